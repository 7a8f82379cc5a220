//! Bytes that say they are a value, under a checksum that is right: what RESTORE
//! takes must be a value like any other.

use larder::base::clock;
use larder::base::hash::crc64;

use crate::commands::{engine, run_commands, session};

/// Restores the bytes; what was taken is read, changed and restored again.
pub fn run(data: &[u8]) {
    clock::reseed(1);
    let engine = engine();
    let mut session = session(&engine);
    let mut call = |words: &[&[u8]]| {
        let words = words.iter().map(|word| word.to_vec()).collect();
        run_commands(&engine, &mut session, &[words])
    };
    let version = larder::persist::rdb::VERSION.to_le_bytes();
    let mut payload = [data, &version].concat();
    payload.extend(crc64(0, &payload).to_le_bytes());
    if call(&[b"restore", b"k", b"0", &payload]) != b"+OK\r\n" {
        return;
    }
    let dumped = call(&[b"dump", b"k"]);
    let start = dumped.iter().position(|&b| b == b'\n').expect("a bulk string") + 1;
    let again = &dumped[start..dumped.len() - 2];
    assert_eq!(call(&[b"restore", b"copy", b"0", again]), b"+OK\r\n");
    let digests = ["k", "copy"].map(|key| call(&[b"debug", b"digest-value", key.as_bytes()]));
    assert_eq!(digests[0], digests[1]);
    for command in COMMANDS {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        call(&words);
    }
}

/// Whatever the value is, some of these read it, and then take it apart.
const COMMANDS: &[&str] = &[
    "type k",
    "object encoding k",
    "memory usage k",
    "bitcount k",
    "append k x",
    "lrange k 0 -1",
    "linsert k before 1 x",
    "lset k 1 y",
    "lrem k 0 1",
    "rpop k 3",
    "lpop k 100000",
    "smembers k",
    "sismember k 1",
    "sadd k 1 x 123456789",
    "spop k 100000",
    "zrange k 0 -1 withscores",
    "zrank k a",
    "zadd k 3 x -inf y",
    "zpopmax k 100000",
    "hgetall k",
    "hset k a 1 b 2",
    "hdel k a",
    "xrange k - +",
    "xinfo stream k full",
    "xadd k * a b",
    "copy k other",
    "del k",
];
