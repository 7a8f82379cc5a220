use proptest::prelude::*;

use super::encoding_name;
use crate::base::hash;
use crate::command::testkit::{Kit, check, recorded};
use crate::store::entry::{BLOB_MIN, Entry, Value};
use crate::store::rules::TableId;

/// Looks at an entry of database 0.
fn with_entry<R>(kit: &Kit, key: &str, look: impl FnOnce(Entry<'_>) -> R) -> Option<R> {
    let digest = hash::digest(key.as_bytes());
    let keyspace = &kit.engine.keyspace;
    let shard = keyspace.lock(keyspace.shard_of(digest));
    let table = shard.table(0, TableId::PLAIN)?;
    let place = table.find(digest, key.as_bytes())?;
    Some(look(table.entry(place)))
}

fn encoding(kit: &Kit, key: &str) -> &'static str {
    with_entry(kit, key, encoding_name).expect("the key is there")
}

fn deadline(kit: &Kit, key: &str) -> Option<u64> {
    with_entry(kit, key, |entry| entry.deadline()).expect("the key is there")
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

const SYNTAX: &str = "-ERR syntax error";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_FLOAT: &str = "-ERR value is not a valid float";
const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";

#[test]
fn what_is_set_is_read_back() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("set k hello", "+OK"),
            ("get k", "$5 hello"),
            ("strlen k", ":5"),
            ("set k 42", "+OK"),
            ("get k", "$2 42"),
            ("strlen k", ":2"),
            ("set k \"\"", "+OK"),
            ("get k", "$0"),
            ("mget k none k", "*3 $0  $-1 $0"),
            ("getset k new", "$0"),
            ("getset other 1", "$-1"),
            ("setnx k no", ":0"),
            ("setnx fresh yes", ":1"),
            ("getdel k", "$3 new"),
            ("getdel k", "$-1"),
            ("strlen k", ":0"),
        ],
    );
    kit.session.speak_resp3(true);
    check(
        &mut kit,
        &[("get k", "_"), ("mget k", "*1 _"), ("set k v get", "_")],
    );
}

#[test]
fn a_condition_decides_whether_a_key_is_set() {
    check(
        &mut Kit::new(),
        &[
            ("set k a xx", "$-1"),
            ("set k a nx", "+OK"),
            ("set k b NX", "$-1"),
            ("set k b nx get", "$1 a"),
            ("get k", "$1 a"),
            ("set k b xx", "+OK"),
            ("set k c ifeq a", "$-1"),
            ("set k c ifeq b", "+OK"),
            ("set k d ifeq b get", "$1 c"),
            ("set k 7 ifeq c get", "$1 c"),
            ("set k 8 ifeq 7", "+OK"),
            ("set none x ifeq y", "$-1"),
            ("set none x ifeq y get", "$-1"),
            ("get none", "$-1"),
            ("set k 9 nx xx", SYNTAX),
            ("set k 9 ifeq", SYNTAX),
            ("set k 9 ifeq 8 ifeq 8", SYNTAX),
            ("set k 9 ex", SYNTAX),
            ("set k 9 ex 1 keepttl", SYNTAX),
            ("set k 9 ex ten", NOT_INTEGER),
            ("set k 9 ex 0", "-ERR invalid expire time in 'set' command"),
            ("setex k 0 v", "-ERR invalid expire time in 'setex' command"),
            (
                "psetex k -1 v",
                "-ERR invalid expire time in 'psetex' command",
            ),
            (
                "getex k px 0",
                "-ERR invalid expire time in 'getex' command",
            ),
            (
                "msetex 1 k v px 0",
                "-ERR invalid expire time in 'msetex' command",
            ),
            ("get k", "$1 8"),
            ("delifeq k 9", ":0"),
            ("delifeq k 8", ":1"),
            ("delifeq k 8", ":0"),
        ],
    );
}

#[test]
fn a_new_value_drops_the_deadline_unless_it_is_kept() {
    let mut kit = Kit::new();
    for (line, expected) in [
        ("set k v pxat 99999999999999", Some(99_999_999_999_999)),
        ("set k w keepttl", Some(99_999_999_999_999)),
        ("set k w exat 99999999999", Some(99_999_999_999_000)),
        ("append k x", Some(99_999_999_999_000)),
        ("setrange k 0 1", Some(99_999_999_999_000)),
        ("msetex 1 k 1 keepttl", Some(99_999_999_999_000)),
        ("incr k", Some(99_999_999_999_000)),
        ("incrbyfloat k 0.5", Some(99_999_999_999_000)),
        ("getex k", Some(99_999_999_999_000)),
        ("getex k persist", None),
        ("getex k pxat 99999999999999", Some(99_999_999_999_999)),
        ("set k w", None),
        ("msetex 1 k w pxat 99999999999999", Some(99_999_999_999_999)),
        ("getset k w", None),
        ("getex k exat 99999999999", Some(99_999_999_999_000)),
        ("mset k w", None),
    ] {
        assert!(!kit.run(line).starts_with('-'), "{line}");
        assert_eq!(deadline(&kit, "k"), expected, "{line}");
    }
    kit.run("setex k 1000 v");
    let at = deadline(&kit, "k").expect("a deadline");
    kit.run("psetex k 1000000 v");
    assert!(deadline(&kit, "k").expect("a deadline").abs_diff(at) < 60_000);
}

#[test]
fn a_deadline_in_the_past_removes_the_key() {
    let (mut kit, recorder) = recorded();
    check(
        &mut kit,
        &[
            ("set k old", "+OK"),
            ("set k new pxat 1", "+OK"),
            ("get k", "$-1"),
            ("set k old", "+OK"),
            ("set k new exat 1 get", "$3 old"),
            ("get k", "$-1"),
            ("set k old", "+OK"),
            ("getex k exat 1", "$3 old"),
            ("get k", "$-1"),
            ("set k new pxat 1", "+OK"),
        ],
    );
    assert_eq!(
        recorder.commands(),
        [
            "set k old",
            "UNLINK k",
            "set k old",
            "UNLINK k",
            "set k old",
            "UNLINK k"
        ],
    );
    kit.run("set k old");
    kit.run("set k new pxat 1");
    assert_eq!(recorder.events(), ["new", "set", "expired"]);
}

#[test]
fn several_keys_are_set_together_or_not_at_all() {
    check(
        &mut Kit::new(),
        &[
            ("mset a 1 b two a 3", "+OK"),
            ("mget a b", "*2 $1 3 $3 two"),
            (
                "mset a 1 b",
                "-ERR wrong number of arguments for 'mset' command",
            ),
            (
                "msetnx a",
                "-ERR wrong number of arguments for 'msetnx' command",
            ),
            (
                "msetnx a 1 b",
                "-ERR wrong number of arguments for 'msetnx' command",
            ),
            ("msetnx c 1 a 1", ":0"),
            ("msetnx c 1 d 2 c 3", ":1"),
            ("mget c d", "*2 $1 3 $1 2"),
            ("msetex 2 a x e y nx", ":0"),
            ("msetex 2 a x e y xx", ":0"),
            ("msetex 2 a x b y xx", ":1"),
            ("msetex 2 e x f y nx", ":1"),
            ("msetex 2 e nx f xx", ":1"),
            ("mget a b e f", "*4 $1 x $1 y $2 nx $2 xx"),
            ("msetex 2 a x b", SYNTAX),
            ("msetex 1 a x get", SYNTAX),
            ("msetex 0 a x", "-ERR invalid numkeys value or out of range"),
            (
                "msetex no a x",
                "-ERR invalid numkeys value or out of range",
            ),
            (
                "msetex 4294967296 a x",
                "-ERR invalid numkeys value or out of range",
            ),
        ],
    );
}

#[test]
fn integers_are_counted_within_64_bits() {
    check(
        &mut Kit::new(),
        &[
            ("incr n", ":1"),
            ("incrby n 41", ":42"),
            ("decr n", ":41"),
            ("decrby n -9", ":50"),
            ("get n", "$2 50"),
            ("set n 9223372036854775807", "+OK"),
            ("incr n", "-ERR increment or decrement would overflow"),
            ("set n -9223372036854775808", "+OK"),
            ("decr n", "-ERR increment or decrement would overflow"),
            (
                "decrby n -9223372036854775808",
                "-ERR decrement would overflow",
            ),
            ("incrby n 9223372036854775807", ":-1"),
            ("incrby n 1.5", NOT_INTEGER),
            ("set n \" 1\"", "+OK"),
            ("incr n", NOT_INTEGER),
            ("set n 1", "+OK"),
            ("append n 0", ":2"),
            ("incr n", ":11"),
        ],
    );
}

#[test]
fn floats_are_added_as_long_doubles() {
    check(
        &mut Kit::new(),
        &[
            ("incrbyfloat f 0.1", "$3 0.1"),
            ("incrbyfloat f 0.2", "$3 0.3"),
            ("incrbyfloat f -0.3", "$1 0"),
            ("set f 5.0e3", "+OK"),
            ("incrbyfloat f 2.0e2", "$4 5200"),
            ("incrbyfloat f 1e-18", "$4 5200"),
            ("incrbyfloat f abc", NOT_FLOAT),
            ("incrbyfloat f \" 1\"", NOT_FLOAT),
            (
                "incrbyfloat f inf",
                "-ERR increment would produce NaN or Infinity",
            ),
            ("incrbyfloat f nan", NOT_FLOAT),
            ("set f text", "+OK"),
            ("incrbyfloat f 1", NOT_FLOAT),
            ("set f 1", "+OK"),
            ("incrbyfloat f 1", "$1 2"),
            ("incr f", ":3"),
        ],
    );
}

#[test]
fn parts_are_counted_from_either_end() {
    check(
        &mut Kit::new(),
        &[
            ("set k \"This is a string\"", "+OK"),
            ("getrange k 0 3", "$4 This"),
            ("getrange k -3 -1", "$3 ing"),
            ("substr k 0 -1", "$16 This is a string"),
            ("getrange k 10 100", "$6 string"),
            ("getrange k 5 3", "$0"),
            ("getrange k -1 -3", "$0"),
            ("getrange k -100 -99", "$1 T"),
            ("getrange k -99 -100", "$0"),
            ("getrange k 0 9223372036854775807", "$16 This is a string"),
            ("getrange k -9223372036854775808 0", "$1 T"),
            ("getrange k 16 20", "$0"),
            ("getrange k a 1", NOT_INTEGER),
            ("getrange none 0 -1", "$0"),
            ("set k 12345", "+OK"),
            ("getrange k 1 -2", "$3 234"),
            ("set k \"\"", "+OK"),
            ("getrange k 0 -1", "$0"),
        ],
    );
}

#[test]
fn a_range_is_written_with_zeros_up_to_it() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("setrange k 3 \"\"", ":0"),
            ("strlen k", ":0"),
            ("setrange k 3 abc", ":6"),
            ("get k", "$6 \0\0\0abc"),
            ("setrange k 0 xy", ":6"),
            ("get k", "$6 xy\0abc"),
            ("setrange k 8 \"\"", ":6"),
            ("setrange k -1 x", "-ERR offset is out of range"),
            ("setrange k 1x x", NOT_INTEGER),
            ("setrange k 536870912 x", TOO_LONG),
            ("setrange k 9223372036854775807 x", TOO_LONG),
            ("set n 12345", "+OK"),
            ("setrange n 1 99", ":5"),
            ("get n", "$5 19945"),
        ],
    );
}

#[test]
fn a_string_grows_no_longer_than_an_argument_may_be() {
    let mut kit = Kit::with(&["--proto-max-bulk-len", "1mb"]);
    check(
        &mut kit,
        &[
            ("setrange k 1048575 x", ":1048576"),
            ("append k x", TOO_LONG),
            ("append k \"\"", ":1048576"),
            ("setrange k 1048576 x", TOO_LONG),
            ("setrange other 1048575 xy", TOO_LONG),
            ("strlen other", ":0"),
        ],
    );
    let half = "x".repeat(600);
    kit.run(&format!("mset {{k}}a {half} {{k}}b {half}"));
    check(
        &mut kit,
        &[(
            "lcs {k}a {k}b",
            "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        )],
    );
}

#[test]
fn appending_is_the_same_however_long_the_string_is() {
    let mut kit = Kit::new();
    let mut model = String::new();
    for i in 0..200 {
        let tail = "abc".repeat(i * 3 % 97);
        model += &tail;
        let reply = kit.run(&format!("append k \"{tail}\""));
        assert_eq!(reply, format!(":{}\r\n", model.len()));
        let at = i * 7919 % (model.len() + 3);
        kit.run(&format!("setrange k {at} XY"));
        model.extend(std::iter::repeat_n('\0', at.saturating_sub(model.len())));
        model.replace_range(at..(at + 2).min(model.len()), "XY");
        assert_eq!(kit.run("get k"), bulk(&model));
    }
    assert!(model.len() > BLOB_MIN, "large strings were met too");
}

#[test]
fn a_reply_that_is_being_written_does_not_change_under_an_append() {
    let mut kit = Kit::new();
    let text = "x".repeat(BLOB_MIN);
    kit.run(&format!("set k {text}"));
    let shared = with_entry(&kit, "k", |entry| match entry.value() {
        Value::Blob(blob) => blob.clone(),
        _ => panic!("a large string lies apart"),
    });
    assert_eq!(kit.run("append k yz"), format!(":{}\r\n", BLOB_MIN + 2));
    assert_eq!(kit.run("setrange k 0 ab"), format!(":{}\r\n", BLOB_MIN + 2));
    assert_eq!(
        shared.expect("the key is there").as_slice(),
        text.as_bytes()
    );
    assert_eq!(kit.run("getrange k -3 -1"), bulk("xyz"));
}

#[test]
fn an_encoding_is_named_as_in_valkey() {
    let mut kit = Kit::new();
    let mut named = |line: &str| {
        kit.run(line);
        encoding(&kit, "k")
    };
    assert_eq!(named("set k 10"), "int");
    assert_eq!(named("append k \"\""), "raw");
    assert_eq!(named("set k 10"), "int");
    assert_eq!(named("incrbyfloat k 1"), "embstr");
    assert_eq!(named("incr k"), "int");
    assert_eq!(named("setrange k 1 0"), "raw");
    assert_eq!(named("getex k pxat 99999999999999"), "raw");
    assert_eq!(named("getset k 007"), "embstr");
    let longest = "x".repeat(112);
    assert_eq!(named(&format!("set k {longest}")), "embstr");
    assert_eq!(named("getex k pxat 99999999999999"), "raw");
    assert_eq!(named(&format!("set k {}", &longest[8..])), "embstr");
    assert_eq!(named("getex k pxat 99999999999999"), "embstr");
    assert_eq!(named(&format!("set k {longest}x")), "raw");
}

#[test]
fn the_longest_common_subsequence_is_found() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("mset {k}1 ohmytext {k}2 mynewtext", "+OK"),
            ("lcs {k}1 {k}2", "$6 mytext"),
            ("lcs {k}1 {k}2 LEN", ":6"),
            (
                "lcs {k}1 {k}2 IDX",
                "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6",
            ),
            (
                "lcs {k}1 {k}2 idx minmatchlen 4 withmatchlen",
                "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6",
            ),
            ("lcs {k}1 {k}2 minmatchlen -1", "$6 mytext"),
            ("lcs {k}1 {k}2 minmatchlen", SYNTAX),
            ("lcs {k}1 {k}2 minmatchlen x", NOT_INTEGER),
            ("lcs {k}1 {k}2 all", SYNTAX),
            (
                "lcs {k}1 {k}2 len idx",
                "-ERR If you want both the length and indexes, please just use IDX.",
            ),
            ("lcs {k}1 none", "$0"),
            ("lcs none {k}1 len", ":0"),
            ("set {k}2 12345", "+OK"),
            ("lcs {k}2 {k}2", "$5 12345"),
        ],
    );
    kit.session.speak_resp3(true);
    check(
        &mut kit,
        &[("lcs {k}1 {k}2 idx", "%2 $7 matches *0 $3 len :0")],
    );
}

#[test]
fn what_is_propagated_means_the_same_at_any_time() {
    let (mut kit, recorder) = recorded();
    for (line, expected) in [
        ("set k v ex 1000", "SET k v PXAT *"),
        ("set k v px 100000 xx get", "SET k v PXAT *"),
        ("set k v exat 99999999999", "SET k v PXAT 99999999999000"),
        ("set k v pxat 99999999999999", "set k v pxat 99999999999999"),
        ("set k v get xx GET", "set k v xx"),
        ("set k get ifeq v get", "set k get ifeq v"),
        ("set k v ifeq get get", "set k v ifeq get"),
        ("set k v keepttl", "set k v keepttl"),
        ("setex k 1000 w", "SET k w PXAT *"),
        ("psetex k 100000 w", "SET k w PXAT *"),
        ("getset k 10", "SET k 10"),
        ("incrbyfloat k 0.5", "SET k 10.5 KEEPTTL"),
        ("getex k ex 1000", "PEXPIREAT k *"),
        ("getex k persist", "PERSIST k"),
        ("getex k persist", ""),
        ("getex k", ""),
        ("set k v nx", ""),
        ("append k x", "append k x"),
        (
            "msetex 2 a 1 b 2 ex 5 ex 1000 nx",
            "msetex 2 a 1 b 2 NX PXAT *",
        ),
        ("msetex 2 a 1 b 2 keepttl", "msetex 2 a 1 b 2 keepttl"),
        ("msetnx a 1 c 2", ""),
        ("delifeq a 2", ""),
        ("delifeq a 1", "DEL a"),
        ("getdel b", "DEL b"),
        ("getdel b", ""),
        ("setrange none 5 \"\"", ""),
        ("get k", ""),
    ] {
        kit.run(line);
        let found = recorder.commands().join("; ");
        let fits = match expected.strip_suffix('*') {
            Some(begin) => found.strip_prefix(begin).is_some_and(|ms| ms.len() == 13),
            None => found == expected,
        };
        assert!(fits, "{line} was propagated as {found:?}");
    }
}

#[test]
fn events_have_the_names_of_valkey() {
    let (mut kit, recorder) = recorded();
    for (line, expected) in [
        ("set k v", &["new", "set"][..]),
        ("set k v ex 1000", &["set", "expire"]),
        ("getex k ex 1000", &["expire"]),
        ("getex k persist", &["persist"]),
        ("getset k 1", &["set"]),
        ("incr k", &["incrby"]),
        ("decrby k 3", &["incrby"]),
        ("incrbyfloat k 3", &["incrbyfloat"]),
        ("append k 3", &["append"]),
        ("setrange k 1 x", &["setrange"]),
        ("mset k 1 l 1", &["set", "new", "set"]),
        ("msetex 1 k 1 ex 1000", &["set", "expire"]),
        ("getdel k", &["del"]),
        ("delifeq l 1", &["del"]),
        ("get l", &["keymiss"]),
        ("set l 1 get", &["keymiss", "new", "set"]),
        ("set l 1 nx", &[]),
    ] {
        kit.run(line);
        assert_eq!(recorder.events(), expected, "{line}");
    }
}

/// A command about one of three keys, with relative times long enough not to end.
fn command() -> impl Strategy<Value = Vec<String>> {
    let key = || proptest::sample::select(&["a", "b", "c"][..]);
    let value = || "[0-9]{1,3}|[ab]{0,6}|-?[0-9]\\.[0-9]|x{17000}";
    let one = |first: &'static [&'static str]| proptest::sample::select(first);
    let options = proptest::collection::vec(
        one(&[
            "NX",
            "XX",
            "GET",
            "KEEPTTL",
            "EX 1000",
            "PX 100000",
            "EXAT 99999999999",
            "PXAT 1",
            "IFEQ 1",
        ]),
        0..3,
    );
    prop_oneof![
        (key(), value(), options).prop_map(|(k, v, o)| {
            let mut words = vec!["set".to_string(), k.into(), v];
            words.extend(o.iter().flat_map(|o| o.split(' ')).map(String::from));
            words
        }),
        (
            one(&["setnx", "getset", "append", "delifeq", "incrbyfloat"]),
            key(),
            value()
        )
            .prop_map(|(c, k, v)| vec![c.into(), k.into(), v]),
        (one(&["incr", "decr", "getdel", "getex"]), key())
            .prop_map(|(c, k)| vec![c.into(), k.into()]),
        (key(), one(&["EX 1000", "PERSIST", "EXAT 1"])).prop_map(|(k, o)| {
            let mut words = vec!["getex".to_string(), k.into()];
            words.extend(o.split(' ').map(String::from));
            words
        }),
        (one(&["mset", "msetnx"]), key(), value(), key(), value())
            .prop_map(|(c, k, v, l, w)| vec![c.into(), k.into(), v, l.into(), w]),
        (key(), 0..40u32, value()).prop_map(|(k, at, v)| vec![
            "setrange".into(),
            k.into(),
            at.to_string(),
            v
        ]),
        (key(), value(), one(&["NX", "XX", "KEEPTTL"])).prop_map(|(k, v, o)| {
            let words = ["msetex", "1", k, &v, "PX", "100000", o];
            words.map(String::from).into()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_repeats_the_effects_has_the_same_data(
        commands in proptest::collection::vec(command(), 1..40),
    ) {
        let (mut leader, recorder) = recorded();
        for words in &commands {
            let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            leader.call(&words);
        }
        let mut follower = Kit::new();
        for (_, words) in recorder.take().iter().flat_map(|e| e.commands.told()) {
            // The generic commands belong to another family.
            let name = words[0].to_ascii_lowercase();
            let line = match name.as_slice() {
                b"del" | b"unlink" => vec![&b"getdel"[..], &words[1]],
                b"persist" => vec![&b"getex"[..], &words[1], b"PERSIST"],
                b"pexpireat" => vec![&b"getex"[..], &words[1], b"PXAT", &words[2]],
                _ => words.iter().map(Vec::as_slice).collect(),
            };
            follower.call(&line);
        }
        for key in ["a", "b", "c"] {
            let look = |kit: &Kit| {
                with_entry(kit, key, |entry| (entry.value().to_vec(), entry.deadline()))
            };
            prop_assert_eq!(look(&leader), look(&follower), "{}", key);
        }
    }
}
