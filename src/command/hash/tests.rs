//! The family's replies, events and what followers are told.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use crate::base::clock;
use crate::command::testkit::{Kit, check, recorded};
use crate::exec::sweep;
use crate::store::entry::View;
use crate::store::rules::TableId;
use crate::types::hash::Hash;
use crate::types::object::Family;

/// Far enough ahead for all tests.
const FAR: &str = "99999999999999";

/// Lets fields' times be over without waiting; nobody has noticed yet.
fn let_time_be_over(kit: &Kit, key: &str, fields: &[&str]) {
    let digest = crate::base::hash::digest(key.as_bytes());
    let keyspace = &kit.engine.keyspace;
    let mut shard = keyspace.lock(keyspace.shard_of(digest));
    let table = shard
        .table_mut(0, TableId::PLAIN)
        .expect("the key is there");
    let place = table
        .find(digest, key.as_bytes())
        .expect("the key is there");
    table.change_object(place, clock::unix_ms(), |object| {
        let hash = <Hash as crate::types::object::Member>::of_mut(object).expect("a hash");
        for field in fields {
            assert!(hash.set_deadline(field.as_bytes(), Some(1)));
        }
    });
}

/// Sweeps every shard until nothing is left to do.
fn sweep_all(kit: &Kit) {
    for shard in 0..kit.engine.keyspace.len() {
        // For the jump back to the time of 1970: every timer is looked at.
        kit.engine.keyspace.lock(shard).swept_ms = 1;
        while sweep::slice(&kit.engine, 0, shard) {}
    }
}

fn info(kit: &mut Kit, name: &str) -> String {
    let reply = kit.run("info everything");
    let line = reply.lines().find(|l| l.starts_with(&format!("{name}:")));
    line.and_then(|l| l.split_once(':'))
        .map_or("none", |l| l.1)
        .to_string()
}

#[test]
fn values_are_stored_told_and_removed() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("hset h a 1 b 2", ":2"),
            ("hset h b 3 c 4 c 5", ":1"),
            ("hmset h d 6", "+OK"),
            ("hget h b", "$1 3"),
            ("hget h none", "$-1"),
            ("hget none a", "$-1"),
            ("hmget h a none c", "*3 $1 1 $-1 $1 5"),
            ("hmget none a b", "*2 $-1 $-1"),
            ("hlen h", ":4"),
            ("hlen none", ":0"),
            ("hgetall h", "*8 $1 a $1 1 $1 b $1 3 $1 c $1 5 $1 d $1 6"),
            ("hkeys h", "*4 $1 a $1 b $1 c $1 d"),
            ("hvals h", "*4 $1 1 $1 3 $1 5 $1 6"),
            ("hgetall none", "*0"),
            ("hkeys none", "*0"),
            ("hexists h a", ":1"),
            ("hexists h none", ":0"),
            ("hexists none a", ":0"),
            ("hset h text abcdef", ":1"),
            ("hstrlen h text", ":6"),
            ("hstrlen h a", ":1"),
            ("hstrlen h none", ":0"),
            ("hstrlen none a", ":0"),
            ("hsetnx h a 9", ":0"),
            ("hsetnx h e 9", ":1"),
            ("hget h e", "$1 9"),
            ("hdel h a none b a", ":2"),
            ("hdel none a", ":0"),
            ("hgetdel h FIELDS 2 c none", "*2 $1 5 $-1"),
            ("hgetdel none FIELDS 1 c", "*1 $-1"),
            ("hlen h", ":3"),
            ("hdel h d e text", ":3"),
            ("exists h", ":0"),
            ("hset h \"\" \"\"", ":1"),
            ("hget h \"\"", "$0"),
            ("hgetdel h fields 2 \"\" \"\"", "*2 $0  $-1"),
            ("exists h", ":0"),
        ],
    );
    kit.run("hello 3");
    check(
        &mut kit,
        &[
            ("hset h a 1", ":1"),
            ("hgetall h", "%1 $1 a $1 1"),
            ("hgetall none", "%0"),
            ("hkeys h", "*1 $1 a"),
            ("hget h none", "_"),
            ("hmget h a none", "*2 $1 1 _"),
        ],
    );
}

#[test]
fn the_encoding_follows_the_settings() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            (
                "config set hash-max-listpack-entries 3 hash-max-ziplist-value 5",
                "+OK",
            ),
            ("hset h a 1 b 2 c 3", ":3"),
            ("object encoding h", "$8 listpack"),
            ("type h", "+hash"),
            ("hset h d 4", ":1"),
            ("object encoding h", "$9 hashtable"),
            ("hdel h d c b", ":3"),
            ("object encoding h", "$9 hashtable"),
            ("hset v a 12345", ":1"),
            ("object encoding v", "$8 listpack"),
            ("hset v a 123456", ":0"),
            ("object encoding v", "$9 hashtable"),
            ("hset n abcdef 1", ":1"),
            ("object encoding n", "$9 hashtable"),
            ("hset i a 99999", ":1"),
            ("hincrby i a 1", ":100000"),
            ("object encoding i", "$9 hashtable"),
            ("hset d a 1", ":1"),
            ("hpersist d FIELDS 1 a", "*1 :-1"),
            ("object encoding d", "$8 listpack"),
            ("hexpire d 100 FIELDS 1 none", "*1 :-2"),
            ("object encoding d", "$8 listpack"),
            ("hexpire d 100 FIELDS 1 a", "*1 :1"),
            ("object encoding d", "$9 hashtable"),
        ],
    );
}

#[test]
fn numbers_are_added() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("hincrby h n 5", ":5"),
            ("hincrby h n -7", ":-2"),
            ("hset h n 9223372036854775807 text abc space \" 1\"", ":2"),
            (
                "hincrby h n 1",
                "-ERR increment or decrement would overflow",
            ),
            ("hincrby h n -1", ":9223372036854775806"),
            ("hincrby h text 1", "-ERR hash value is not an integer"),
            ("hincrby h space 1", "-ERR hash value is not an integer"),
            (
                "hincrby h n x",
                "-ERR value is not an integer or out of range",
            ),
            ("hincrbyfloat f n 10.5", "$4 10.5"),
            ("hincrbyfloat f n 0.1", "$4 10.6"),
            ("hincrbyfloat f n -5e3", "$23 -4989.39999999999999991"),
            ("hincrbyfloat f n x", "-ERR value is not a valid float"),
            ("hincrbyfloat f n inf", "-ERR value is NaN or Infinity"),
            ("hincrbyfloat h text 1", "-ERR hash value is not a float"),
            ("hincrbyfloat h space 1", "-ERR hash value is not a float"),
            ("hset f huge 1e4932", ":1"),
            (
                "hincrbyfloat f huge 1e4932",
                "-ERR increment would produce NaN or Infinity",
            ),
            ("set s v", "+OK"),
            (
                "hincrby s a x",
                "-ERR value is not an integer or out of range",
            ),
            (
                "hincrby s a 1",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ],
    );
}

#[test]
fn errors_are_those_of_valkey() {
    let mut kit = Kit::new();
    let mismatch =
        "-ERR numfields should be greater than 0 and match the provided number of fields";
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let not_integer = "-ERR value is not an integer or out of range";
    let syntax = "-ERR syntax error";
    check(
        &mut kit,
        &[
            ("set s v", "+OK"),
            ("hset h a 1", ":1"),
            (
                "hset h a",
                "-ERR wrong number of arguments for 'hset' command",
            ),
            (
                "hset h a 1 b",
                "-ERR wrong number of arguments for 'hset' command",
            ),
            (
                "hmset h a 1 b",
                "-ERR wrong number of arguments for 'hmset' command",
            ),
            ("hset s a 1", wrong_type),
            ("hsetnx s a 1", wrong_type),
            ("hget s a", wrong_type),
            ("hgetall s", wrong_type),
            ("hdel s a", wrong_type),
            ("hgetdel s FIELDS 1 a", wrong_type),
            ("httl s FIELDS 1 a", wrong_type),
            ("hexpire s 1 FIELDS 1 a", wrong_type),
            ("hpersist s FIELDS 1 a", wrong_type),
            ("hgetex s FIELDS 1 a", wrong_type),
            ("hsetex s FIELDS 1 a 1", wrong_type),
            ("hscan s 0", wrong_type),
            ("hrandfield s", wrong_type),
            ("hgetdel h FOO 1 a", syntax),
            ("hgetdel h FIELDS x a", not_integer),
            ("hgetdel h FIELDS 2 a", mismatch),
            ("hgetdel h FIELDS 0 a", mismatch),
            ("httl h FOO 1 a", syntax),
            ("httl h FIELDS 2 a", syntax),
            ("httl h FIELDS x a", not_integer),
            ("hpersist h FIELDS 2 a", mismatch),
            ("hexpire h 1 FOO 1 a", mismatch),
            ("hexpire h 1 FIELDS 2 a", mismatch),
            ("hexpire h 1 FIELDS -1 a", mismatch),
            ("hexpire h 1 FIELDS x a", not_integer),
            ("hexpire h 1 FOO FIELDS 1 a", "-ERR Unsupported option FOO"),
            (
                "hexpire h 1 NX XX FIELDS 1 a",
                "-ERR NX and XX, GT or LT options at the same time are not compatible",
            ),
            (
                "hexpire h 1 GT LT FIELDS 1 a",
                "-ERR GT and LT options at the same time are not compatible",
            ),
            ("hexpire h x FIELDS 1 a", not_integer),
            (
                "hexpire h -1 FIELDS 1 a",
                "-ERR invalid expire time in 'hexpire' command",
            ),
            (
                "hpexpire h 9223372036854775807 FIELDS 1 a",
                "-ERR invalid expire time in 'hpexpire' command",
            ),
            (
                "hexpireat h 9223372036854776 FIELDS 1 a",
                "-ERR invalid expire time in 'hexpireat' command",
            ),
            ("hgetex h FIELDS 2 a", mismatch),
            ("hgetex h EX FIELDS 1 a", syntax),
            ("hgetex h KEEPTTL FIELDS 1 a", syntax),
            ("hgetex h PERSIST EX 1 FIELDS 1 a", syntax),
            (
                "hgetex h EX -1 FIELDS 1 a",
                "-ERR invalid expire time in 'hgetex' command",
            ),
            ("hgetex h EX x FIELDS 1 a", not_integer),
            ("hsetex h NX XX FIELDS 1 a 1", syntax),
            ("hsetex h FNX FXX FIELDS 1 a 1", syntax),
            ("hsetex h KEEPTTL EX 1 FIELDS 1 a 1", syntax),
            ("hsetex h PERSIST FIELDS 1 a 1", syntax),
            ("hsetex h FIELDS 1 a 1 b 2", mismatch),
            ("hsetex h FIELDS 2 a 1 b", mismatch),
            (
                "hsetex h EX -1 FIELDS 1 a 1",
                "-ERR invalid expire time in 'hsetex' command",
            ),
            ("hrandfield h x", not_integer),
            ("hrandfield h 1 foo", syntax),
            ("hrandfield h 1 withvalues x", syntax),
            (
                "hrandfield h -9223372036854775808",
                "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ),
            (
                "hrandfield h -9223372036854770000 withvalues",
                "-ERR value is out of range",
            ),
            ("hscan h x", "-ERR invalid cursor"),
            ("hscan h 0 type hash", syntax),
            (
                "hscan h 0 noscores",
                "-ERR NOSCORES option can only be used in ZSCAN",
            ),
            ("hscan none 0 foo", "*2 $1 0 *0"),
            ("hget h a", "$1 1"),
        ],
    );
}

#[test]
fn a_field_has_a_deadline_until_it_is_taken_away_or_overwritten() {
    let mut kit = Kit::new();
    let expire = |what: &str| format!("{what} h {FAR} FIELDS 3 a b none");
    check(
        &mut kit,
        &[
            ("hset h a 1 b 2 c 3", ":3"),
            (&expire("hpexpireat"), "*3 :1 :1 :-2"),
            (
                "hpexpiretime h FIELDS 4 a b c none",
                "*4 :99999999999999 :99999999999999 :-1 :-2",
            ),
            ("hexpiretime h FIELDS 1 a", "*1 :100000000000"),
            ("httl none FIELDS 2 a b", "*2 :-2 :-2"),
            ("hpersist h FIELDS 3 a c none", "*3 :1 :-1 :-2"),
            ("hpersist none FIELDS 1 a", "*1 :-2"),
            ("hpexpiretime h FIELDS 2 a b", "*2 :-1 :99999999999999"),
            ("hset h b 5", ":0"),
            ("hpexpiretime h FIELDS 1 b", "*1 :-1"),
            ("hexpire h 100 FIELDS 2 a b", "*2 :1 :1"),
            ("httl h FIELDS 2 a b", "*2 :100 :100"),
            ("hincrby h a 4", ":5"),
            ("httl h FIELDS 1 a", "*1 :100"),
            ("hincrbyfloat h a 0.5", "$3 5.5"),
            ("httl h FIELDS 1 a", "*1 :100"),
            ("hexpire h 0 FIELDS 3 a a none", "*3 :2 :-2 :-2"),
            ("hget h a", "$-1"),
            ("hpexpireat h 1 FIELDS 2 b c", "*2 :2 :2"),
            ("exists h", ":0"),
            ("hexpire h 0 FIELDS 1 a", "*1 :-2"),
        ],
    );
}

#[test]
fn a_condition_compares_with_the_fields_deadline_before() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("hset h a 1 b 2", ":2"),
            ("hpexpireat h 99999999999999 XX FIELDS 1 a", "*1 :0"),
            ("hpexpireat h 99999999999999 GT FIELDS 1 a", "*1 :0"),
            ("object encoding h", "$8 listpack"),
            (
                "hpexpireat h 99999999999999 nx FIELDS 2 a none",
                "*2 :1 :-2",
            ),
            ("hpexpireat h 99999999999998 NX FIELDS 2 a b", "*2 :0 :1"),
            ("hpexpireat h 99999999999998 GT FIELDS 1 a", "*1 :0"),
            ("hpexpireat h 99999999999998 LT FIELDS 2 a b", "*2 :1 :0"),
            ("hpexpireat h 99999999999999 XX GT FIELDS 2 a b", "*2 :1 :1"),
            ("hpexpireat h 1 GT FIELDS 1 a", "*1 :0"),
            ("hpexpireat h 1 LT FIELDS 1 a", "*1 :2"),
            ("hset h c 3", ":1"),
            ("hpexpireat h 99999999999999 LT FIELDS 1 c", "*1 :1"),
        ],
    );
}

#[test]
fn hgetex_reads_and_then_changes_deadlines() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("hset h a 1 b 2", ":2"),
            ("hgetex h FIELDS 2 a none", "*2 $1 1 $-1"),
            ("object encoding h", "$8 listpack"),
            ("hgetex h PERSIST FIELDS 1 a", "*1 $1 1"),
            ("object encoding h", "$8 listpack"),
            ("hgetex h EX 100 FIELDS 2 a none", "*2 $1 1 $-1"),
            ("httl h FIELDS 2 a b", "*2 :100 :-1"),
            ("hgetex h FIELDS 1 a", "*1 $1 1"),
            ("httl h FIELDS 1 a", "*1 :100"),
            ("hgetex h PERSIST FIELDS 2 a b", "*2 $1 1 $1 2"),
            ("httl h FIELDS 1 a", "*1 :-1"),
            ("hgetex h PXAT 99999999999999 FIELDS 1 b", "*1 $1 2"),
            ("hpexpiretime h FIELDS 1 b", "*1 :99999999999999"),
            ("hgetex none EX 100 FIELDS 1 a", "*1 $-1"),
            ("hgetex h EX 0 FIELDS 3 a a b", "*3 $1 1 $-1 $1 2"),
            ("exists h", ":0"),
        ],
    );
}

#[test]
fn hsetex_stores_on_conditions_and_for_a_time() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("hsetex h XX FIELDS 1 a 1", ":0"),
            ("hsetex h FXX FIELDS 1 a 1", ":0"),
            ("exists h", ":0"),
            ("hsetex h NX FNX FIELDS 2 a 1 b 2", ":1"),
            ("hsetex h NX FIELDS 1 c 3", ":0"),
            ("hsetex h NX EX x FIELDS 1 c 3", ":0"),
            (
                "hsetex h XX EX x FIELDS 1 c 3",
                "-ERR value is not an integer or out of range",
            ),
            ("hsetex h FNX FIELDS 2 c 3 a 4", ":0"),
            ("hsetex h FXX FIELDS 2 a 4 c 3", ":0"),
            ("hsetex h FNX FIELDS 1 c 3", ":1"),
            ("object encoding h", "$8 listpack"),
            ("hsetex h XX FXX EX 100 FIELDS 2 a 5 c 6", ":1"),
            ("httl h FIELDS 3 a b c", "*3 :100 :-1 :100"),
            ("hmget h a b c", "*3 $1 5 $1 2 $1 6"),
            ("hsetex h KEEPTTL FIELDS 2 a 7 d 8", ":1"),
            ("httl h FIELDS 2 a d", "*2 :100 :-1"),
            ("hsetex h FIELDS 1 a 9", ":1"),
            ("httl h FIELDS 1 a", "*1 :-1"),
            ("hsetex h PXAT 1 FIELDS 2 a 1 none 1", ":1"),
            ("hmget h a none b", "*3 $-1 $-1 $1 2"),
            ("hsetex new PX 0 FIELDS 1 a 1", ":1"),
            ("exists new", ":0"),
        ],
    );
}

#[test]
fn what_is_over_is_not_seen_though_it_is_still_there() {
    let mut kit = Kit::new();
    kit.engine.active_expiry.store(false, Ordering::Relaxed);
    kit.run("hset h a 1 b 2 c 3");
    let_time_be_over(&kit, "h", &["a", "b"]);
    check(
        &mut kit,
        &[
            ("hlen h", ":3"),
            ("hget h a", "$-1"),
            ("hmget h a c", "*2 $-1 $1 3"),
            ("hgetall h", "*2 $1 c $1 3"),
            ("hkeys h", "*1 $1 c"),
            ("hvals h", "*1 $1 3"),
            ("hexists h a", ":0"),
            ("hstrlen h a", ":0"),
            ("hscan h 0", "*2 $1 0 *2 $1 c $1 3"),
            ("hrandfield h", "$1 c"),
            ("hrandfield h 5", "*1 $1 c"),
            ("hrandfield h -3", "*3 $1 c $1 c $1 c"),
            ("httl h FIELDS 2 a c", "*2 :-2 :-1"),
            ("hpersist h FIELDS 1 a", "*1 :-2"),
            ("hexpire h 100 FIELDS 1 a", "*1 :-2"),
            ("hgetex h EX 100 FIELDS 1 a", "*1 $-1"),
            ("hdel h a", ":0"),
            ("hgetdel h FIELDS 1 a", "*1 $-1"),
            ("hsetex h FXX FIELDS 1 a 1", ":0"),
            ("hlen h", ":3"),
            ("hsetnx h a 5", ":1"),
            ("hincrby h b 5", ":5"),
            ("httl h FIELDS 2 a b", "*2 :-1 :-1"),
            ("hlen h", ":3"),
        ],
    );
    assert_eq!(info(&mut kit, "expired_fields"), "2");
    let_time_be_over(&kit, "h", &["a", "b", "c"]);
    sweep_all(&kit);
    check(
        &mut kit,
        &[
            ("hgetall h", "*0"),
            ("hrandfield h", "$-1"),
            ("hrandfield h 2", "*0"),
            ("hrandfield h -2", "*0"),
            ("hset h a 1", ":1"),
            ("hlen h", ":3"),
        ],
    );
    kit.engine.active_expiry.store(true, Ordering::Relaxed);
    sweep_all(&kit);
    check(&mut kit, &[("hlen h", ":1")]);
}

#[test]
fn the_sweep_removes_fields_and_then_the_key() {
    let (mut kit, recorder) = recorded();
    kit.run("hset h a 1 b 2 c 3");
    kit.run("hset other a 1 b 2");
    kit.run(&format!("hpexpireat other {FAR} FIELDS 1 a"));
    let mut watcher = kit.another();
    watcher.run("watch h");
    watcher.run("multi");
    let_time_be_over(&kit, "h", &["a", "b"]);
    assert_eq!(
        info(&mut kit, "db0"),
        "keys=2,expires=0,avg_ttl=0,keys_with_volatile_items=2"
    );
    recorder.take();
    sweep_all(&kit);
    let effects = recorder.take();
    let events: Vec<_> = effects
        .iter()
        .flat_map(|e| &e.changes)
        .map(|c| c.event)
        .collect();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].class, events[0].name), ('x', "hexpired"));
    let words: Vec<_> = effects
        .iter()
        .flat_map(|e| e.commands.told())
        .map(|c| c.1.concat())
        .collect();
    assert!(words == [b"HDELhab"] || words == [b"HDELhba"]);
    assert_eq!(watcher.run("exec"), "*-1\r\n");
    check(&mut kit, &[("hgetall h", "*2 $1 c $1 3")]);
    assert_eq!(
        info(&mut kit, "db0"),
        "keys=2,expires=0,avg_ttl=0,keys_with_volatile_items=1"
    );
    let_time_be_over(&kit, "h", &["c"]);
    recorder.take();
    sweep_all(&kit);
    assert_eq!(recorder.commands(), ["HDEL h c", "UNLINK h"]);
    assert_eq!(kit.run("exists h"), ":0\r\n");
    assert_eq!(info(&mut kit, "expired_fields"), "3");
    assert_eq!(info(&mut kit, "expired_keys"), "0");
}

#[test]
fn a_sweep_of_many_fields_is_done_in_slices() {
    let mut kit = Kit::new();
    let fields: Vec<String> = (0..2_500).map(|n| format!("f{n}")).collect();
    let pairs: String = fields.iter().map(|f| format!(" {f} v")).collect();
    kit.run(&format!("hset h{pairs} stays v"));
    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
    let_time_be_over(&kit, "h", &names);
    let digest = crate::base::hash::digest(b"h");
    let shard = kit.engine.keyspace.shard_of(digest);
    kit.engine.keyspace.lock(shard).swept_ms = 1;
    assert!(sweep::slice(&kit.engine, 0, shard));
    assert_eq!(kit.run("hlen h"), ":2001\r\n");
    while sweep::slice(&kit.engine, 0, shard) {}
    assert_eq!(kit.run("hlen h"), ":1\r\n");
}

#[test]
fn a_field_that_goes_by_itself_goes_soon_wherever_its_hash_has_gone() {
    let mut kit = Kit::new();
    kit.run("hset h a 1 b 2");
    kit.run("hset h2 a 1");
    let_time_be_over(&kit, "h", &["a"]);
    kit.run("rename h moved");
    kit.run("copy moved copied");
    kit.run("expire copied 1000");
    sweep_all(&kit);
    check(
        &mut kit,
        &[
            ("hlen moved", ":1"),
            ("hlen copied", ":1"),
            ("hlen h2", ":1"),
        ],
    );
    // As it is, not as of its copy.
    kit.run("hexpire copied 100 FIELDS 1 b");
    check(&mut kit, &[("httl moved FIELDS 1 b", "*1 :-1")]);
    assert_eq!(
        info(&mut kit, "db0").split(',').next_back(),
        Some("keys_with_volatile_items=1")
    );
    kit.run("persist copied");
    kit.run("set copied string");
    assert_eq!(
        info(&mut kit, "db0").split(',').next_back(),
        Some("keys_with_volatile_items=0")
    );
}

#[test]
fn events_are_those_of_valkey() {
    for (before, line, events) in [
        ("", "hset h a 1 b 2", &["new", "hset"][..]),
        ("", "hsetnx h a 1", &["new", "hset"]),
        ("hset h a 1", "hsetnx h a 1", &[]),
        ("hset h a 1", "hset h a 1", &["hset"]),
        ("hset h a 1 b 2", "hdel h a none", &["hdel"]),
        ("hset h a 1", "hdel h none", &[]),
        ("hset h a 1 b 2", "hdel h a b", &["hdel", "del"]),
        ("hset h a 1", "hgetdel h FIELDS 1 a", &["hdel", "del"]),
        ("hset h a 1", "hgetdel h FIELDS 1 none", &[]),
        ("", "hincrby h a 1", &["new", "hincrby"]),
        ("hset h a 1", "hincrbyfloat h a 1", &["hincrbyfloat"]),
        ("hset h a 1", "hexpire h 10 FIELDS 2 a none", &["hexpire"]),
        ("hset h a 1", "hexpire h 10 FIELDS 1 none", &[]),
        (
            "hset h a 1 b 2",
            "hexpire h 0 FIELDS 2 a none",
            &["hexpired"],
        ),
        ("hset h a 1", "hexpire h 0 FIELDS 1 a", &["hexpired", "del"]),
        ("hset h a 1", "hpersist h FIELDS 1 a", &[]),
        (
            "hsetex h EX 10 FIELDS 1 a 1",
            "hpersist h FIELDS 1 a",
            &["hpersist"],
        ),
        ("hset h a 1", "hgetex h EX 10 FIELDS 1 a", &["hexpire"]),
        (
            "hset h a 1",
            "hgetex h EX 0 FIELDS 1 a",
            &["hexpired", "del"],
        ),
        (
            "hsetex h EX 10 FIELDS 1 a 1",
            "hgetex h PERSIST FIELDS 1 a",
            &["hpersist"],
        ),
        ("hset h a 1", "hgetex h FIELDS 1 a", &[]),
        ("", "hsetex h FIELDS 1 a 1", &["new", "hset"]),
        (
            "",
            "hsetex h EX 10 FIELDS 1 a 1",
            &["new", "hset", "hexpire"],
        ),
        (
            "",
            "hsetex h EX 0 FIELDS 1 a 1",
            &["new", "hset", "hexpire", "hexpired", "del"],
        ),
        (
            "hset h a 1 b 2",
            "hsetex h EX 0 FIELDS 1 a 1",
            &["hset", "hexpire", "hexpired"],
        ),
        (
            "hset h a 1",
            "hsetex h EX 0 FIELDS 1 b 1",
            &["hset", "hexpire", "hexpired"],
        ),
    ] {
        let (mut kit, recorder) = recorded();
        if !before.is_empty() {
            kit.run(before);
        }
        recorder.take();
        let reply = kit.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
        assert_eq!(recorder.events(), events, "{before}; {line}");
    }
}

#[test]
fn followers_are_told_what_means_the_same_at_any_time() {
    for (before, line, words) in [
        ("", "hset h a 1", &["hset h a 1"][..]),
        ("", "hincrby h a 1", &["hincrby h a 1"]),
        ("", "hincrbyfloat h a 1", &["HSET h a 1"]),
        (
            "hsetex h PXAT 99999999999999 FIELDS 1 b 1",
            "hincrby h a 1",
            &["HSET h a 1"],
        ),
        (
            "hsetex h PXAT 99999999999999 FIELDS 1 a 1",
            "hincrby h a 1",
            &["HSETEX h PXAT 99999999999999 FIELDS 1 a 2"],
        ),
        ("", "hsetnx h a 1", &["hsetnx h a 1"]),
        (
            "hsetex h PXAT 99999999999999 FIELDS 1 b 1",
            "hsetnx h a 1",
            &["HSET h a 1"],
        ),
        (
            "hset h a 1",
            "hexpireat h 99999999999 FIELDS 1 a",
            &["HPEXPIREAT h 99999999999000 FIELDS 1 a"],
        ),
        (
            "hset h a 1",
            "hexpireat h 99999999999 NX FIELDS 2 a b",
            &["HPEXPIREAT h 99999999999000 NX FIELDS 2 a b"],
        ),
        (
            "hset h a 1 b 2",
            "hexpire h 0 FIELDS 2 a none",
            &["HDEL h a"],
        ),
        ("hset h a 1", "hexpire h 0 FIELDS 1 none", &[]),
        (
            "hset h a 1 b 2",
            "hgetex h EXAT 99999999999 FIELDS 3 a none b",
            &["HPEXPIREAT h 99999999999000 FIELDS 2 a b"],
        ),
        (
            "hset h a 1 b 2",
            "hgetex h EX 0 FIELDS 2 a none",
            &["HDEL h a"],
        ),
        (
            "hsetex h EX 10 FIELDS 1 a 1",
            "hgetex h PERSIST FIELDS 1 a",
            &["HPERSIST h FIELDS 1 a"],
        ),
        ("", "hsetex h FIELDS 1 a 1", &["hsetex h FIELDS 1 a 1"]),
        ("", "hsetex h NX FIELDS 1 a 1", &["HSETEX h FIELDS 1 a 1"]),
        (
            "",
            "hsetex h FNX EXAT 99999999999 FIELDS 1 a 1",
            &["HSETEX h PXAT 99999999999000 FIELDS 1 a 1"],
        ),
        (
            "hset h a 1",
            "hsetex h XX KEEPTTL FIELDS 1 a 1",
            &["HSETEX h KEEPTTL FIELDS 1 a 1"],
        ),
        (
            "hset h a 1 b 2",
            "hsetex h EX 0 FIELDS 2 a 1 c 2",
            &["HDEL h a"],
        ),
        ("hset h a 1", "hsetex h EX 0 FIELDS 1 c 2", &[]),
        ("", "hsetex h EX 0 FIELDS 1 c 2", &[]),
    ] {
        let (mut kit, recorder) = recorded();
        if !before.is_empty() {
            kit.run(before);
        }
        recorder.take();
        kit.run(line);
        assert_eq!(recorder.commands(), words, "{before}; {line}");
    }
}

#[test]
fn who_overwrites_what_is_over_says_so() {
    let (mut kit, recorder) = recorded();
    kit.engine.active_expiry.store(false, Ordering::Relaxed);
    for (line, events, commands) in [
        ("hset h a 1", &["hexpired", "hset"][..], &["hset h a 1"][..]),
        ("hsetnx h a 1", &["hexpired", "hset"], &["HSET h a 1"]),
        ("hincrby h a 1", &["hexpired", "hincrby"], &["HSET h a 1"]),
        (
            "hincrbyfloat h a 1",
            &["hexpired", "hincrbyfloat"],
            &["HSET h a 1"],
        ),
        (
            "hsetex h FIELDS 1 a 1",
            &["hexpired", "hset"],
            &["hsetex h FIELDS 1 a 1"],
        ),
        (
            "hsetex h KEEPTTL FIELDS 2 a 1 b 2",
            &["hexpired", "hset"],
            &["HDEL h a", "HSETEX h KEEPTTL FIELDS 2 a 1 b 2"],
        ),
        (
            "hsetex h PXAT 99999999999999 FIELDS 1 a 1",
            &["hexpired", "hset", "hexpire"],
            &["hsetex h PXAT 99999999999999 FIELDS 1 a 1"],
        ),
        (
            "hsetex h EX 0 FIELDS 1 a 1",
            &["hset", "hexpire", "hexpired"],
            &["HDEL h a"],
        ),
    ] {
        kit.run("del h");
        kit.run("hset h a 5 b 6");
        let_time_be_over(&kit, "h", &["a"]);
        recorder.take();
        kit.run(line);
        let effects = recorder.take();
        let changes = effects.iter().flat_map(|e| &e.changes);
        assert_eq!(
            changes.map(|c| c.event.name).collect::<Vec<_>>(),
            events,
            "{line}"
        );
        let told = effects
            .iter()
            .flat_map(|e| e.commands.told())
            .map(|c| c.1.join(&b' '));
        let told: Vec<String> = told
            .map(|w| String::from_utf8_lossy(&w).into_owned())
            .collect();
        assert_eq!(told, commands, "{line}");
    }
    assert_eq!(info(&mut kit, "expired_fields"), "8");
}

#[test]
fn fields_are_drawn_fairly_and_as_many_as_are_wanted() {
    let mut kit = Kit::new();
    kit.run("config set hash-max-listpack-entries 20");
    for size in [10usize, 60] {
        kit.run("del h");
        for n in 0..size {
            kit.run(&format!("hset h f{n} v{n}"));
        }
        let bulks = |reply: String| -> Vec<String> {
            let lines = reply.split("\r\n").skip(2).step_by(2);
            lines.map(String::from).collect()
        };
        for count in [1, 3, size - 1, size, size * 2] {
            let drawn = bulks(kit.run(&format!("hrandfield h {count}")));
            let expected = count.min(size);
            let different: std::collections::BTreeSet<_> = drawn.iter().collect();
            assert_eq!(
                (drawn.len(), different.len()),
                (expected, expected),
                "{count} of {size}"
            );
        }
        assert_eq!(bulks(kit.run("hrandfield h -75")).len(), 75);
        let pairs = bulks(kit.run("hrandfield h 3 withvalues"));
        assert!(pairs.len() == 6 && pairs.chunks(2).all(|p| p[0].replace('f', "v") == p[1]));
        let mut drawn: BTreeMap<String, f64> = BTreeMap::new();
        for _ in 0..100 * size {
            for field in bulks(kit.run("hrandfield h 3")) {
                *drawn.entry(field).or_default() += 1.0;
            }
        }
        let chi: f64 = drawn.values().map(|n| (n - 300.0).powi(2) / 300.0).sum();
        // Far beyond what 59 degrees of freedom ever give.
        assert!(drawn.len() == size && chi < 125.0, "{size}: {chi}");
    }
    check(
        &mut kit,
        &[
            ("hrandfield none", "$-1"),
            ("hrandfield none 3", "*0"),
            ("hrandfield none -3 withvalues", "*0"),
            ("hrandfield h 0", "*0"),
        ],
    );
    kit.run("hello 3");
    kit.run("hset one f v");
    check(
        &mut kit,
        &[
            ("hrandfield one 1", "*1 $1 f"),
            (
                "hrandfield one -2 withvalues",
                "*2 *2 $1 f $1 v *2 $1 f $1 v",
            ),
        ],
    );
}

#[test]
fn a_walk_meets_every_field() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("hset h a1 1 a2 2 b 3", ":3"),
            ("hscan h 0", "*2 $1 0 *6 $2 a1 $1 1 $2 a2 $1 2 $1 b $1 3"),
            ("hscan h 0 match a* novalues", "*2 $1 0 *2 $2 a1 $2 a2"),
            ("hscan h 77 count 1 match b", "*2 $1 0 *2 $1 b $1 3"),
            ("hscan none 0", "*2 $1 0 *0"),
        ],
    );
    for n in 0..2_000 {
        kit.run(&format!("hset h n{n} v"));
    }
    let (mut cursor, mut met, mut calls) = ("0".to_string(), 0, 0);
    loop {
        let reply = kit.run(&format!("hscan h {cursor} match n* novalues count 50"));
        let words: Vec<&str> = reply
            .split("\r\n")
            .filter(|l| !l.starts_with(['$', '*']))
            .collect();
        cursor = words[0].to_string();
        met += words[1..].iter().filter(|w| w.starts_with('n')).count();
        calls += 1;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(met, 2_000);
    assert!((20..60).contains(&calls), "{calls}");
}

/// All that a client can see of a hash.
fn state(kit: &mut Kit) -> BTreeMap<String, (String, String)> {
    let names = ["a", "b", "c", "d"];
    let fields = names.into_iter().map(|f| {
        let value = kit.run(&format!("hget h {f}"));
        let deadline = kit.run(&format!("hpexpiretime h FIELDS 1 {f}"));
        (f.to_string(), (value, deadline))
    });
    fields.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is done, a follower that runs what it is told has the same; also
    /// where its clock is behind, and it still has what is over here.
    #[test]
    fn a_follower_has_the_same(
        lines in prop::collection::vec(
            (
                prop::sample::select(&[
                    "hset h F 5 G 6", "hsetnx h F 7", "hincrby h F 3", "hincrbyfloat h F 0.25",
                    "hdel h F G", "hgetdel h FIELDS 2 F G", "hexpire h 1000 FIELDS 2 F G",
                    "hexpire h 0 FIELDS 2 F G", "hpexpireat h 99999999999999 GT FIELDS 2 F G",
                    "hexpireat h 99999999999 NX FIELDS 1 F", "hpersist h FIELDS 2 F G",
                    "hgetex h EX 50 FIELDS 2 F G", "hgetex h PERSIST FIELDS 1 F",
                    "hgetex h EX 0 FIELDS 1 F", "hsetex h KEEPTTL FIELDS 2 F 1 G 2",
                    "hsetex h FNX EX 100 FIELDS 1 F 1", "hsetex h FXX PX 5000 FIELDS 2 F 1 G 2",
                    "hsetex h EX 0 FIELDS 2 F 1 G 2", "hsetex h NX FIELDS 1 F 1",
                    "over F", "over G", "sweep",
                ][..]),
                prop::sample::select(&["a", "b", "c", "d"][..]),
                prop::sample::select(&["a", "b", "c", "d"][..]),
            ),
            1..40,
        ),
    ) {
        let (mut kit, recorder) = recorded();
        let mut follower = Kit::new();
        for (line, f, g) in lines {
            let line = line.replace('F', f).replace('G', g);
            let line = line.replace("aIELDS", "FIELDS").replace("bIELDS", "FIELDS");
            let line = line.replace("cIELDS", "FIELDS").replace("dIELDS", "FIELDS");
            match line.split_once(' ') {
                Some(("over", field)) => {
                    if kit.run(&format!("hexists h {field}")) == ":1\r\n" {
                        let_time_be_over(&kit, "h", &[field]);
                    }
                }
                None => sweep_all(&kit),
                _ => drop(kit.run(&line)),
            }
        }
        sweep_all(&kit);
        follower.replay(&recorder.take());
        prop_assert_eq!(state(&mut kit), state(&mut follower));
        prop_assert_eq!(kit.run("hlen h"), follower.run("hlen h"));
        prop_assert_eq!(kit.run("exists h"), follower.run("exists h"));
    }
}

#[test]
fn what_a_hash_takes_is_told() {
    let mut kit = Kit::new();
    for n in 0..1_000 {
        kit.run(&format!("hset h field:{n:010} value:{n:010}"));
    }
    let told: f64 = kit
        .run("memory usage h")
        .trim_start_matches(':')
        .trim_end()
        .parse()
        .expect("a number");
    assert!((41_000.0..60_000.0).contains(&told), "{told}");
    let digest = crate::base::hash::digest(b"h");
    let keyspace = &kit.engine.keyspace;
    let mut shard = keyspace.lock(keyspace.shard_of(digest));
    let table = shard
        .table_mut(0, TableId::PLAIN)
        .expect("the key is there");
    let place = table.find(digest, b"h").expect("the key is there");
    let view = View::<Hash>::of(table.entry(place).value()).expect("a hash");
    assert!(view.free_effort() > 1_000);
}
