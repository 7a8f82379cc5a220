//! Cuts a pipelined batch into commands: our parser beside that of the crate
//! redis-protocol, which finds the same slices without copying them. Elements
//! are commands.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::protocol::parse::{self, Limits, Parsed};
use redis_protocol::resp2::decode::decode_range;

/// What one read of a socket brings from a client that pipelines well.
const COMMANDS: usize = 64;
const LIMITS: Limits = Limits {
    bulk_bytes: 512 << 20,
    authenticated: true,
};

fn batch(command: impl Fn(usize) -> Vec<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for words in (0..COMMANDS).map(command) {
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(&word);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes
}

fn key(i: usize) -> Vec<u8> {
    format!("key:{:012}", i * 7919).into_bytes()
}

fn ours<'a>(input: &'a [u8], argv: &mut Vec<&'a [u8]>) -> usize {
    argv.clear();
    let mut at = 0;
    while at < input.len() {
        match parse::command(&input[at..], LIMITS, argv) {
            Ok(Parsed::Command(used)) => at += used,
            other => panic!("{other:?}"),
        }
    }
    argv.len()
}

fn theirs(input: &[u8]) -> usize {
    let (mut at, mut frames) = (0, 0);
    while at < input.len() {
        let (frame, used) = decode_range(&input[at..])
            .expect("valid")
            .expect("complete");
        black_box(frame);
        at += used;
        frames += 1;
    }
    frames
}

fn commands(c: &mut Criterion) {
    let get = batch(|i| vec![b"GET".to_vec(), key(i)]);
    let set = batch(|i| vec![b"SET".to_vec(), key(i), vec![b'v'; 64]]);
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(COMMANDS as u64));
    for (name, input) in [("get", &get), ("set", &set)] {
        let mut argv = Vec::new();
        group.bench_function(format!("{name}/larder"), |b| {
            b.iter(|| ours(black_box(input), &mut argv));
        });
        group.bench_function(format!("{name}/redis-protocol"), |b| {
            b.iter(|| theirs(black_box(input)));
        });
    }
    group.finish();
}

criterion_group!(benches, commands);
criterion_main!(benches);
