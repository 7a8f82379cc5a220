use std::collections::BTreeSet;

use crate::command::testkit::{Kit, check, recorded};

/// The strings of a reply, sorted.
fn bulks(reply: &str) -> Vec<String> {
    let mut lines = reply.split("\r\n");
    let mut all = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('$') {
            all.extend(lines.next().map(String::from));
        }
    }
    all.sort();
    all
}

fn members(kit: &mut Kit, key: &str) -> Vec<String> {
    bulks(&kit.run(&format!("smembers {key}")))
}

/// A set of so many members, of which some are too long to be packed.
fn filled(kit: &mut Kit, key: &str, count: usize) {
    for n in 0..count {
        kit.run(&format!("sadd {key} member:{n}"));
    }
}

#[test]
fn members_come_and_go() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("sadd s a b a", ":2"),
            ("sadd s b c", ":1"),
            ("scard s", ":3"),
            ("sismember s a", ":1"),
            ("sismember s x", ":0"),
            ("smismember s a x c", "*3 :1 :0 :1"),
            ("srem s a x a", ":1"),
            ("srem s b c", ":2"),
            ("exists s", ":0"),
            ("srem s b", ":0"),
            ("scard s", ":0"),
            ("sismember s a", ":0"),
            ("smismember s a b", "*2 :0 :0"),
            ("smembers s", "*0"),
            (
                "sadd s",
                "-ERR wrong number of arguments for 'sadd' command",
            ),
        ],
    );
}

#[test]
fn every_command_of_the_family_refuses_other_types() {
    let mut kit = Kit::new();
    kit.run("set k v");
    kit.run("sadd s a");
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    for line in [
        "sadd k a",
        "srem k a",
        "sismember k a",
        "smismember k a",
        "scard k",
        "smembers k",
        "smove k s a",
        "smove s k a",
        "spop k",
        "spop k 1",
        "srandmember k",
        "srandmember k 1",
        "sinter k s",
        "sinter nothing k",
        "sintercard 2 s k",
        "sunion s k",
        "sdiff s k",
        "sinterstore d s k",
        "sunionstore d s k",
        "sdiffstore d s k",
        "sscan k 0",
    ] {
        assert_eq!(kit.run(line), wrong, "{line}");
    }
    assert_eq!(kit.run("sunionstore k s"), ":1\r\n");
    assert_eq!(kit.run("get s"), wrong);
}

#[test]
fn encodings_follow_the_settings() {
    let mut kit = Kit::new();
    for (line, encoding) in [
        ("sadd i 1 2 3", "intset"),
        ("sadd i a", "listpack"),
        ("sadd p a b", "listpack"),
        (&format!("sadd p {}", "x".repeat(65)), "hashtable"),
        ("config set set-max-intset-entries 2", ""),
        ("sadd j 1 2 3", "listpack"),
        ("sadd l 1 2", "intset"),
        ("sadd l 3", "hashtable"),
        ("config set set-max-listpack-entries 2", ""),
        ("sadd q a b c", "hashtable"),
    ] {
        kit.run(line);
        let key = line.split(' ').nth(1).expect("a key");
        if !encoding.is_empty() {
            let reply = kit.run(&format!("object encoding {key}"));
            assert!(reply.contains(encoding), "{line}: {reply}");
        }
    }
}

#[test]
fn a_member_moves_from_one_set_to_another() {
    let mut kit = Kit::new();
    check(
        &mut kit,
        &[
            ("smove nothing to a", ":0"),
            ("sadd from a b", ":2"),
            ("smove from to x", ":0"),
            ("exists to", ":0"),
            ("smove from to a", ":1"),
            ("smove from from b", ":1"),
            ("smove from from x", ":0"),
            ("sadd to b", ":1"),
            ("smove from to b", ":1"),
            ("exists from", ":0"),
            ("scard to", ":2"),
        ],
    );
}

#[test]
fn sets_are_combined() {
    let mut kit = Kit::new();
    kit.run("sadd a 1 2 3 x");
    kit.run("sadd b 2 3 4 x");
    kit.run("sadd c 3 y");
    assert_eq!(bulks(&kit.run("sinter a b")), ["2", "3", "x"]);
    assert_eq!(bulks(&kit.run("sinter a b c")), ["3"]);
    assert_eq!(bulks(&kit.run("sunion a c")), ["1", "2", "3", "x", "y"]);
    assert_eq!(bulks(&kit.run("sdiff a b c")), ["1"]);
    assert_eq!(bulks(&kit.run("sdiff a a")), [""; 0]);
    check(
        &mut kit,
        &[
            ("sinter a nothing", "*0"),
            ("sunion nothing", "*0"),
            ("sdiff nothing a", "*0"),
            ("sintercard 2 a b", ":3"),
            ("sintercard 2 a b limit 2", ":2"),
            ("sintercard 2 a b limit 0", ":3"),
            ("sintercard 2 a nothing", ":0"),
            ("sintercard 0 a", "-ERR numkeys should be greater than 0"),
            ("sintercard x a", "-ERR numkeys should be greater than 0"),
            (
                "sintercard 3 a b",
                "-ERR Number of keys can't be greater than number of args",
            ),
            ("sintercard 1 a limit -1", "-ERR LIMIT can't be negative"),
            ("sintercard 1 a limit x", "-ERR LIMIT can't be negative"),
            ("sintercard 1 a limit", "-ERR syntax error"),
            ("sintercard 1 a b", "-ERR syntax error"),
            ("sinterstore d a b", ":3"),
            ("sunionstore d d c", ":4"),
            ("sdiffstore d d a", ":1"),
            ("smembers d", "*1 $1 y"),
            ("sinterstore d a nothing", ":0"),
            ("exists d", ":0"),
            ("set d string", "+OK"),
            ("sdiffstore d a b", ":1"),
            ("type d", "+set"),
        ],
    );
}

#[test]
fn resp3_tells_sets_from_arrays() {
    let mut kit = Kit::new();
    kit.run("hello 3");
    kit.run("sadd s a");
    check(
        &mut kit,
        &[
            ("smembers s", "~1 $1 a"),
            ("smembers nothing", "~0"),
            ("sinter s s", "~1 $1 a"),
            ("sunion s", "~1 $1 a"),
            ("sdiff s", "~1 $1 a"),
            ("srandmember s 2", "*1 $1 a"),
            ("spop s 0", "~0"),
            ("spop s 3", "~1 $1 a"),
            ("spop s 3", "~0"),
            ("spop s", "_"),
            ("srandmember s", "_"),
        ],
    );
}

#[test]
fn what_is_popped_is_gone() {
    let mut kit = Kit::new();
    for count in [5, 100, 300] {
        filled(&mut kit, "s", count);
        let all: BTreeSet<String> = members(&mut kit, "s").into_iter().collect();
        let mut popped = bulks(&kit.run("spop s"));
        popped.extend(bulks(&kit.run("spop s 2")));
        popped.extend(bulks(&kit.run(&format!("spop s {}", count - 4))));
        let rest = members(&mut kit, "s");
        assert_eq!((popped.len(), rest.len()), (count - 1, 1));
        popped.extend(rest);
        assert_eq!(popped.into_iter().collect::<BTreeSet<_>>(), all);
        assert_eq!(bulks(&kit.run("spop s 7")).len(), 1);
        assert_eq!(kit.run("exists s"), ":0\r\n");
    }
    check(
        &mut kit,
        &[
            ("spop s", "$-1"),
            ("spop s 3", "*0"),
            ("spop s -1", "-ERR value is out of range, must be positive"),
            ("spop s x", "-ERR value is out of range, must be positive"),
            ("spop s x 2", "-ERR syntax error"),
        ],
    );
}

#[test]
fn random_members_are_members() {
    let mut kit = Kit::new();
    for count in [5, 100, 300] {
        filled(&mut kit, "s", count);
        let all = members(&mut kit, "s");
        for wanted in [0, 1, 3, count - 1, count, count + 1] {
            let drawn = bulks(&kit.run(&format!("srandmember s {wanted}")));
            assert_eq!(drawn.len(), wanted.min(count));
            assert!(drawn.is_sorted_by(|a, b| a < b), "none twice");
            assert!(drawn.iter().all(|m| all.contains(m)));
        }
        let drawn = bulks(&kit.run("srandmember s -1000"));
        assert_eq!(drawn.len(), 1000);
        assert!(drawn.iter().all(|m| all.contains(m)));
        assert!(all.contains(&bulks(&kit.run("srandmember s"))[0]));
    }
    check(
        &mut kit,
        &[
            ("srandmember nothing", "$-1"),
            ("srandmember nothing 3", "*0"),
            ("srandmember nothing -3", "*0"),
            ("srandmember s x 2", "-ERR syntax error"),
            (
                "srandmember s x",
                "-ERR value is not an integer or out of range",
            ),
            (
                "srandmember s -9223372036854775808",
                "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ),
            (
                "srandmember s -9223372036854775807",
                "-ERR value is out of range",
            ),
        ],
    );
}

#[test]
fn a_walk_meets_every_member_whatever_comes_and_goes() {
    let mut kit = Kit::new();
    for count in [5, 100, 700] {
        filled(&mut kit, "s", count);
        let mut met = BTreeSet::new();
        let mut cursor = "0".to_string();
        for round in 0.. {
            let reply = kit.run(&format!("sscan s {cursor} count 7"));
            let mut words = reply.split("\r\n").skip(2);
            cursor = words.next().expect("a cursor").to_string();
            met.extend(bulks(&reply));
            if cursor == "0" {
                break;
            }
            for n in 0..40 {
                kit.run(&format!("sadd s other:{}", round * 40 + n));
            }
            if round % 8 == 7 {
                (0..=round * 40 + 40).for_each(|n| drop(kit.run(&format!("srem s other:{n}"))));
            }
        }
        assert!(
            (0..count).all(|n| met.contains(&format!("member:{n}"))),
            "{count}"
        );
        kit.run("del s");
    }
}

#[test]
fn sscans_options_are_those_of_scan() {
    let mut kit = Kit::new();
    kit.run("sadd s a1 a2 b1");
    assert_eq!(
        bulks(&kit.run("sscan s 0 match a* count 100")),
        ["0", "a1", "a2"]
    );
    check(
        &mut kit,
        &[
            ("sscan nothing 0 whatever", "*2 $1 0 *0"),
            ("sscan nothing x", "-ERR invalid cursor"),
            ("sscan s 0 type set", "-ERR syntax error"),
            ("sscan s 0 count 0", "-ERR syntax error"),
            (
                "sscan s 0 novalues",
                "-ERR NOVALUES option can only be used in HSCAN",
            ),
            (
                "sscan s 0 noscores",
                "-ERR NOSCORES option can only be used in ZSCAN",
            ),
        ],
    );
}

#[test]
fn followers_hear_which_members_were_drawn() {
    let (mut kit, recorder) = recorded();
    let mut follower = Kit::new();
    filled(&mut kit, "s", 3_000);
    follower.replay(&recorder.take());
    kit.run("spop s");
    kit.run("spop s 1500");
    kit.run("spop s 1400");
    let effects = recorder.take();
    let commands: Vec<_> = effects.iter().flat_map(|e| e.commands.told()).collect();
    assert!(
        commands
            .iter()
            .all(|(_, words)| words[0] == b"SREM" && words.len() <= 1_026)
    );
    assert_eq!(commands.len(), 1 + 2 + 2);
    follower.replay(&effects);
    assert_eq!(members(&mut follower, "s"), members(&mut kit, "s"));
    kit.run("spop s 1000");
    assert_eq!(recorder.commands(), ["UNLINK s"]);
    kit.run("config set lazyfree-lazy-server-del no");
    kit.run("sadd s a");
    recorder.take();
    kit.run("spop s 1");
    assert_eq!(recorder.commands(), ["DEL s"]);
    kit.run("sadd s a");
    recorder.take();
    kit.run("spop s");
    assert_eq!(recorder.commands(), ["SREM s a"]);
}

#[test]
fn events_are_those_of_valkey() {
    let (mut kit, recorder) = recorded();
    for (line, events) in [
        ("sadd s a b c d e", &["new", "sadd"][..]),
        ("sadd s a", &[]),
        ("srem s x", &[]),
        ("srem s a", &["srem"]),
        ("smove s t b", &["srem", "new", "sadd"]),
        ("sadd s b", &["sadd"]),
        ("smove s t b", &["srem"]),
        ("spop s", &["spop"]),
        ("spop s 1", &["spop"]),
        ("spop s 5", &["spop", "del"]),
        ("spop t", &["spop", "del"]),
        ("sadd s a", &["new", "sadd"]),
        ("smove s t a", &["srem", "del", "new", "sadd"]),
        ("sinterstore d t t", &["new", "sinterstore"]),
        ("sunionstore d t t", &["sunionstore"]),
        ("sdiffstore d t nothing", &["sdiffstore"]),
        ("sdiffstore d t t", &["del"]),
        ("srem t a", &["srem", "del"]),
    ] {
        kit.run(line);
        let heard = recorder.events();
        let heard: Vec<&str> = heard.into_iter().filter(|&e| e != "keymiss").collect();
        assert_eq!(heard, events, "{line}");
    }
}

#[test]
fn sets_that_are_over_are_none() {
    let mut kit = Kit::new();
    for key in ["a", "b", "c"] {
        kit.run(&format!("sadd {key} 1 2"));
    }
    kit.let_time_be_over(0, "b");
    check(
        &mut kit,
        &[
            ("sinter a b c", "*0"),
            ("sintercard 2 a c", ":2"),
            ("sunionstore a b", ":0"),
            ("exists a b", ":0"),
            ("sadd b 3", ":1"),
            ("smembers b", "*1 $1 3"),
        ],
    );
    kit.let_time_be_over(0, "c");
    check(
        &mut kit,
        &[("smove b c 3", ":1"), ("smembers c", "*1 $1 3")],
    );
}
