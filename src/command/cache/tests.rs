use crate::base::clock;
use crate::command::testkit::{Kit, check, recorded};
use crate::exec::hint;
use crate::store::figures::Figures;

const NOW_MS: u64 = 1_800_000_000_000;

/// A kit whose clock stands still, with policies.
pub(super) fn kit(policies: &[&str]) -> Kit {
    clock::freeze(NOW_MS);
    let mut kit = Kit::new();
    for line in policies {
        kit.policy(line);
    }
    kit
}

fn pass(ms: u64) {
    clock::freeze(clock::unix_ms() + ms);
}

/// What all shards counted of a policy.
fn figures(kit: &Kit, name: &str) -> Figures {
    let keyspace = &kit.engine.keyspace;
    let mut all = Figures::default();
    for i in 0..keyspace.len() {
        let shard = keyspace.lock(i);
        let (slot, _) = shard.rules.named(name.as_bytes()).expect("a policy");
        if let Some(kept) = shard.kept(slot) {
            all.merge(&kept.figures);
        }
    }
    all
}

/// One of the values of CACHE.GET's reply, or of any flat map.
pub(super) fn part(reply: &str, name: &str) -> String {
    let lines: Vec<&str> = reply.split("\r\n").collect();
    let at = lines.iter().position(|l| *l == name).expect("it is named");
    match lines[at + 1].as_bytes()[0] {
        b'$' if lines[at + 1] != "$-1" => lines[at + 2].into(),
        b':' => lines[at + 1][1..].into(),
        _ => "nil".into(),
    }
}

fn get(kit: &mut Kit, line: &str) -> (String, String) {
    let reply = kit.run(line);
    (part(&reply, "status"), part(&reply, "value"))
}

fn is(pair: (String, String), status: &str, value: &str) {
    assert_eq!(pair, (status.to_string(), value.to_string()));
}

#[test]
fn a_policy_gives_lifetimes_and_bounds_those_that_writers_ask_for() {
    let mut kit = kit(&[
        "p a:* ttl 10m ttl-min 5s ttl-max 1h",
        "o o:* ttl 1m ttl-override yes",
    ]);
    check(
        &mut kit,
        &[
            ("set a:1 v", "+OK"),
            ("pttl a:1", ":600000"),
            ("set a:1 v ex 86400", "+OK"),
            ("pttl a:1", ":3600000"),
            ("setex a:1 1 v", "+OK"),
            ("pttl a:1", ":5000"),
            ("set a:1 v keepttl", "+OK"),
            ("pttl a:1", ":5000"),
            ("set o:1 v ex 5", "+OK"),
            ("pttl o:1", ":60000"),
            ("hset a:h f v", ":1"),
            ("pttl a:h", ":600000"),
            ("hset a:h g v", ":1"),
            ("incr a:n", ":1"),
            ("pttl a:n", ":600000"),
            ("mset a:2 v b v", "+OK"),
            ("pttl a:2", ":600000"),
            ("pttl b", ":-1"),
            ("rename b a:3", "+OK"),
            ("pttl a:3", ":600000"),
            ("dbsize", ":6"),
        ],
    );
    assert_eq!(figures(&kit, "p").ttl_capped, 2);
}

#[test]
fn jitter_shortens_lifetimes_and_never_below_the_least() {
    let mut kit = kit(&["p a:* ttl 100s ttl-min 95s jitter 10%"]);
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..200 {
        kit.run(&format!("set a:{i} v"));
        let reply = kit.run(&format!("pttl a:{i}"));
        let ms: u64 = reply.trim()[1..].parse().expect("a number");
        assert!((95_000..=100_000).contains(&ms), "{ms}");
        seen.insert(ms);
    }
    assert!(seen.len() > 50);
}

#[test]
fn an_idle_lifetime_begins_anew_with_each_read() {
    let mut kit = kit(&["p s:* ttl 30m idle yes"]);
    kit.run("set s:1 v");
    kit.run("hset s:2 f v");
    pass(20 * 60_000);
    assert_eq!(kit.run("get s:1"), "$1\r\nv\r\n");
    assert_eq!(kit.run("hget s:2 f"), "$1\r\nv\r\n");
    pass(20 * 60_000);
    assert_eq!(kit.run("get s:1"), "$1\r\nv\r\n");
    assert_eq!(kit.run("hget s:2 f"), "$1\r\nv\r\n");
    pass(30 * 60_000);
    assert_eq!(kit.run("get s:1"), "$-1\r\n");
    assert_eq!(figures(&kit, "p").idle_extensions, 4);
}

#[test]
fn a_stale_value_is_served_to_all_but_the_one_who_refills() {
    let mut one = kit(&["p a:* ttl 10s stale 30s lease 2s"]);
    let mut two = one.another();
    one.run("set a:1 old");
    pass(10_001);
    // To every other command there is no key.
    check(
        &mut one,
        &[
            ("exists a:1", ":0"),
            ("ttl a:1", ":-2"),
            ("type a:1", "+none"),
            ("keys *", "*0"),
            ("strlen a:1", ":0"),
        ],
    );
    assert_eq!(one.run("get a:1"), "$-1\r\n");
    assert_eq!(two.run("get a:1"), "$3\r\nold\r\n");
    assert_eq!(two.run("mget a:1"), "*1\r\n$3\r\nold\r\n");
    // A pool may have given the connection to another thread.
    assert_eq!(one.run("get a:1"), "$3\r\nold\r\n");
    one.run("set a:1 new");
    assert_eq!(two.run("get a:1"), "$3\r\nnew\r\n");
    assert_eq!(one.run("pttl a:1"), ":10000\r\n");
    // Nobody refills it any more: the lease ends, and the grace, too.
    pass(10_001);
    assert_eq!(one.run("get a:1"), "$-1\r\n");
    pass(2_001);
    assert_eq!(two.run("get a:1"), "$-1\r\n", "its turn now");
    assert_eq!(one.run("get a:1"), "$3\r\nnew\r\n");
    pass(28_000);
    assert_eq!(one.run("get a:1"), "$-1\r\n");
    let figures = figures(&one, "p");
    assert_eq!((figures.stale_hits, figures.leases_granted), (4, 4));
    assert_eq!((figures.leases_filled, figures.leases_expired), (1, 2));
}

#[test]
fn what_is_written_on_a_condition_or_counted_has_no_grace() {
    let mut one = kit(&["p a:* ttl 10s stale 30s"]);
    let mut two = one.another();
    for line in [
        "set a:1 v nx ex 5",
        "set a:2 1 ex 5",
        "set a:3 v",
        "setnx a:4 v",
    ] {
        one.run(line);
    }
    one.run("incr a:2");
    one.run("set a:3 w ifeq v");
    pass(10_001);
    for key in ["a:1", "a:2", "a:3", "a:4"] {
        assert_eq!(one.run(&format!("get {key}")), "$-1\r\n");
        assert_eq!(two.run(&format!("get {key}")), "$-1\r\n", "{key}");
    }
}

#[test]
fn a_miss_gives_one_client_the_lease_and_others_may_wait() {
    let mut one = kit(&["p a:* lease 2s lease-wait 1s", "q b:* lease 2s"]);
    let mut two = one.another();
    assert_eq!(one.run("get b:1"), "$-1\r\n");
    assert_eq!(two.run("get b:1"), "$-1\r\n", "it does not wait");
    assert_eq!(one.run("get a:1"), "$-1\r\n");
    assert_eq!(two.run("get a:1"), "", "it waits");
    assert!(two.session.is_stopped());
    one.run("set a:1 v");
    let mut out = crate::protocol::output::Output::default();
    two.session.client.collect(&mut out);
    let mut slices = [std::io::IoSlice::new(&[])];
    assert_eq!(out.slices(&mut slices), 1);
    assert_eq!(&*slices[0], b"$1\r\nv\r\n");
    // Within a transaction nobody waits.
    let mut three = one.another();
    one.run("get a:2");
    three.run("multi");
    three.run("get a:2");
    assert_eq!(three.run("exec"), "*1\r\n$-1\r\n");
    let figures = figures(&one, "p");
    assert_eq!((figures.leases_granted, figures.lease_waits), (2, 1));
}

#[test]
fn who_leaves_gives_up_its_leases() {
    let mut one = kit(&["p a:* lease 2s"]);
    let mut two = one.another();
    one.run("get a:1");
    let token = part(&two.run("cache.get a:1"), "token");
    assert_eq!(token, "nil");
    crate::exec::refill::leave(&one.engine, &mut one.session);
    assert_ne!(part(&two.run("cache.get a:1"), "token"), "nil");
    assert_eq!(figures(&one, "p").leases_abandoned, 1);
}

#[test]
fn cache_get_says_what_it_found() {
    let mut one = kit(&["p a:* ttl 10s stale 5s null-value __NULL__ null-ttl 3s"]);
    let mut two = one.another();
    let reply = one.run("cache.get a:1");
    assert_eq!(part(&reply, "status"), "miss");
    assert_eq!(
        (part(&reply, "ttl"), part(&reply, "age")),
        ("-2".into(), "nil".into())
    );
    let token = part(&reply, "token");
    assert_eq!(two.run("cache.fill a:1 17 v")[..8], *"-NOLEASE");
    assert_eq!(two.run(&format!("cache.fill a:1 {token} v")), "+OK\r\n");
    assert_eq!(
        two.run(&format!("cache.fill a:1 {token} v"))[..8],
        *"-NOLEASE"
    );
    pass(1_000);
    let reply = one.run("cache.get a:1");
    assert_eq!(part(&reply, "status"), "hit");
    assert_eq!(part(&reply, "ttl"), "9000");
    assert_eq!(
        (part(&reply, "age"), part(&reply, "reads")),
        ("1000".into(), "1".into())
    );
    pass(9_000);
    let reply = one.run("cache.get a:1");
    assert_eq!(
        (part(&reply, "status"), part(&reply, "value")),
        ("stale".into(), "v".into())
    );
    assert_ne!(part(&reply, "token"), "nil");
    is(get(&mut two, "cache.get a:1"), "stale", "v");
    // A sentinel is what the client wrote to every command but this one.
    one.run("set a:2 __NULL__ ex 100");
    is(get(&mut one, "cache.get a:2"), "null", "__NULL__");
    check(
        &mut one,
        &[
            ("get a:2", "$8 __NULL__"),
            ("pttl a:2", ":3000"),
            ("exists a:2", ":1"),
            ("append a:2 x", ":9"),
            ("get a:2", "$9 __NULL__x"),
            ("hset h f v", ":1"),
        ],
    );
    assert_eq!(one.run("cache.get h")[..10], *"-WRONGTYPE");
    assert_eq!(one.run("cache.get a:1 lease wait 5000 later")[..4], *"-ERR");
    assert_eq!(figures(&one, "p").null_fills, 1);
}

#[test]
fn an_absence_is_no_key_to_any_command() {
    let mut kit = kit(&["p a:* null-ttl 60s"]);
    check(
        &mut kit,
        &[
            ("set a:1 v", "+OK"),
            ("cache.null a:1 ex 30", "+OK"),
            ("get a:1", "$-1"),
            ("exists a:1", ":0"),
            ("type a:1", "+none"),
            ("ttl a:1", ":-2"),
            ("dbsize", ":0"),
            ("keys *", "*0"),
            ("rename a:1 b", "-ERR no such key"),
            ("copy a:1 b", ":0"),
            ("object encoding a:1", "$-1"),
            ("lrange a:1 0 -1", "*0"),
            ("set a:1 v xx", "$-1"),
        ],
    );
    let reply = kit.run("cache.get a:1");
    assert_eq!(
        (part(&reply, "status"), part(&reply, "ttl")),
        ("null".into(), "30000".into())
    );
    // Whatever makes the key, or removes it, ends that.
    for (n, line) in [
        "set KEY v nx",
        "incr KEY",
        "append KEY v",
        "getset KEY v",
        "lpush KEY v",
        "sadd KEY v",
        "del KEY",
        "unlink KEY",
        "hset KEY f v",
        "xadd KEY * f v",
        "setbit KEY 1 1",
    ]
    .iter()
    .enumerate()
    {
        let key = format!("a:{n}x");
        kit.run(&format!("cache.null {key}"));
        assert_eq!(get(&mut kit, &format!("cache.get {key}")).0, "null");
        kit.run(&line.replace("KEY", &key));
        let state = part(&kit.run(&format!("cache.explain {key}")), "state");
        assert_ne!(state, "null", "{line}");
    }
    kit.run("cache.null a:9");
    kit.run("set b v");
    kit.run("rename b a:9");
    assert_eq!(kit.run("get a:9"), "$1\r\nv\r\n");
    kit.run("cache.null a:9 ex 1000000");
    pass(60_001);
    assert_eq!(get(&mut kit, "cache.get a:9").0, "miss", "null-ttl caps it");
    kit.run("cache.null c px 5");
    assert_eq!(get(&mut kit, "cache.get c").0, "null");
    kit.run("flushdb");
    assert_eq!(get(&mut kit, "cache.get c").0, "miss");
}

#[test]
fn a_refill_that_began_before_a_removal_is_dropped() {
    let mut reader = kit(&["p a:* fence yes tag t:{1}", "q b:*"]);
    let mut writer = reader.another();
    let cases = [
        "del a:1",
        "unlink a:1",
        "getdel a:1",
        "cache.invalidate key a:1",
        "cache.invalidate tag t:1",
        "cache.invalidate prefix a:",
        "cache.invalidate pattern a:?",
        "cache.invalidate policy p",
        "flushdb",
    ];
    for (n, line) in cases.iter().enumerate() {
        assert_eq!(reader.run("get a:1"), "$-1\r\n", "{line}");
        writer.run(line);
        assert_eq!(reader.run("set a:1 old"), "+OK\r\n");
        assert_eq!(reader.run("get a:1"), "$-1\r\n", "{line}");
        assert_eq!(figures(&reader, "p").fence_drops, n as u64 + 1);
        // It missed again, and nothing happened since.
        assert_eq!(reader.run("set a:1 new"), "+OK\r\n");
        assert_eq!(writer.run("get a:1"), "$3\r\nnew\r\n");
        writer.run("del a:1");
    }
    // A write without a miss is one.
    reader.run("get a:1");
    writer.run("del a:1");
    writer.run("set a:1 written");
    assert_eq!(reader.run("set a:1 old"), "+OK\r\n");
    assert_eq!(reader.run("get a:1"), "$7\r\nwritten\r\n");
    // Without the option, the later one stays.
    reader.run("get b:1");
    writer.run("del b:1");
    reader.run("set b:1 old");
    assert_eq!(reader.run("get b:1"), "$3\r\nold\r\n");
}

#[test]
fn groups_are_invalidated_at_once_and_swept_later() {
    let mut kit = kit(&["p course:* tag school:{1} stale 10s ttl 1m"]);
    for i in 0..300 {
        kit.run(&format!("set course:{}:{i} v", i % 3));
        kit.run(&format!("set other:{i} v"));
    }
    kit.policy("q course:2:* tag school:two");
    kit.run("cache.set x v tags 2 red green");
    kit.run("cache.set y v tags 1 green");
    kit.run("cache.set z v tags 1 red");
    kit.run("append z w");
    assert_eq!(kit.run("cache.invalidate tag red")[..4], *"*4\r\n");
    check(
        &mut kit,
        &[("get x", "$-1"), ("get y", "$1 v"), ("exists x", ":0")],
    );
    assert_eq!(
        kit.run("get z"),
        "$-1\r\n",
        "what is appended to stays in its groups"
    );
    // By the first policy's template, which the last star of the pattern fills.
    kit.run("cache.invalidate tag school:0:3 school:two");
    assert_eq!(kit.run("get course:0:3"), "$-1\r\n");
    assert_eq!(kit.run("get course:2:2"), "$-1\r\n");
    assert_eq!(kit.run("get course:0:6"), "$1\r\nv\r\n");
    kit.run("set course:2:2 again");
    kit.run("cache.invalidate prefix other:1 reason test");
    assert_eq!(kit.run("get other:17"), "$-1\r\n");
    assert_eq!(kit.run("get other:27"), "$1\r\nv\r\n");
    assert_eq!(kit.run("keys other:1*"), "*0\r\n");
    assert!(
        kit.run("scan 0 match other:1* count 10000")
            .ends_with("*0\r\n")
    );
    kit.run("set other:17 again");
    assert_eq!(kit.run("get other:17"), "$5\r\nagain\r\n");
    kit.sweep();
    kit.sweep();
    // 300 others less 111 and one again, 300 courses less 101 and one again, and y.
    assert_eq!(
        kit.run("dbsize"),
        format!(":{}\r\n", 300 - 111 + 1 + 300 - 101 + 1 + 1)
    );
    let reply = kit.run("cache.invalidations 1");
    assert_eq!(part(&reply, "target"), "PREFIX other:1");
    assert_eq!(
        (part(&reply, "reason"), part(&reply, "status")),
        ("test".into(), "completed".into())
    );
    assert_eq!(part(&reply, "entries"), "111");
    let reply = kit.run("cache.invalidate policy p");
    assert_eq!(part(&reply, "entries"), "199");
    assert_eq!(kit.run("get course:1:1"), "$-1\r\n");
    assert_eq!(kit.run("get course:2:2"), "$5\r\nagain\r\n");
    assert_eq!(kit.run("cache.invalidate policy nobody")[..4], *"-ERR");
    assert_eq!(kit.run("cache.invalidate everything x")[..4], *"-ERR");
    kit.run("cache.invalidate pattern *");
    assert_eq!(kit.run("keys *"), "*0\r\n");
}

#[test]
fn absences_fall_with_their_group_at_once_and_those_that_come_later_stay() {
    let mut kit = kit(&["p a:* null-ttl 1h tag t:{1}"]);
    let absences = |kit: &Kit| {
        let keyspace = &kit.engine.keyspace;
        let of = |i| {
            let mut shard = keyspace.lock(i);
            let all = shard.all_kept_mut();
            all.map(|(_, kept)| {
                kept.all_nulls()
                    .map(|(_, nulls)| nulls.len())
                    .sum::<usize>()
            })
            .sum::<usize>()
        };
        (0..keyspace.len()).map(of).sum::<usize>()
    };
    for (target, falls, stays) in [
        ("tag t:1", "a:1", "a:2"),
        ("prefix a:1", "a:10", "a:2"),
        ("pattern a:*1", "a:31", "a:2"),
        ("pattern o*", "other", "a:2"),
        ("policy p SOFT", "a:1", "other"),
    ] {
        kit.run(&format!("cache.null {falls}"));
        kit.run(&format!("cache.null {stays}"));
        let before = absences(&kit);
        kit.run(&format!("cache.invalidate {target}"));
        for _ in 0..2 {
            let reply = kit.run(&format!("cache.get {falls}"));
            assert_eq!(part(&reply, "status"), "miss", "{target}");
            let reply = kit.run(&format!("cache.explain {falls}"));
            assert_eq!(part(&reply, "state"), "missing", "{target}");
            let reply = kit.run(&format!("cache.get {stays}"));
            assert_eq!(part(&reply, "status"), "null", "{target}");
            kit.sweep();
        }
        assert!(absences(&kit) < before, "{target}");
        kit.run("cache.invalidate tag t:elsewhere");
        kit.run(&format!("cache.null {falls}"));
        kit.sweep();
        let reply = kit.run(&format!("cache.get {falls}"));
        assert_eq!(part(&reply, "status"), "null", "{target}");
    }
}

#[test]
fn a_soft_invalidation_makes_stale_where_the_policy_gives_grace() {
    let mut one = kit(&["p a:* ttl 1m stale 10s tag t", "q b:* ttl 1m tag t"]);
    let mut two = one.another();
    for line in ["tag t", "key a:1 b:1", "prefix a:", "policy p"] {
        one.run("mset a:1 v b:1 v");
        one.run(&format!("cache.invalidate {line} soft"));
        assert_eq!(one.run("get a:1"), "$-1\r\n", "{line}");
        assert_eq!(two.run("get a:1"), "$1\r\nv\r\n", "{line}");
        one.run("set a:1 w");
        assert_eq!(two.run("get a:1"), "$1\r\nw\r\n", "{line}");
        if !line.contains("a:") && !line.contains("policy") {
            assert_eq!(two.run("get b:1"), "$-1\r\n", "{line}");
        }
    }
    one.run("cache.invalidate key a:1 soft");
    pass(10_000);
    assert_eq!(one.run("get a:1"), "$-1\r\n");
    assert_eq!(two.run("get a:1"), "$-1\r\n");
}

#[test]
fn keys_and_patterns_fall_with_a_key() {
    let mut kit = kit(&[
        "p course:* cascade list:{1}:* cascade title:{1}",
        "t title:* cascade page:{1}",
    ]);
    kit.run("mset course:1 v list:1:a v list:1:b v list:2:a v title:1 v page:1 v");
    kit.run("del course:1");
    check(
        &mut kit,
        &[
            (
                "mget list:1:a list:1:b title:1 page:1",
                "*4 $-1 $-1 $-1 $-1",
            ),
            ("get list:2:a", "$1 v"),
            ("mset course:* v list:*:a v list:x:a v", "+OK"),
            ("del course:*", ":1"),
            ("mget list:*:a list:x:a", "*2 $-1 $1 v"),
        ],
    );
}

#[test]
fn an_adaptive_lifetime_follows_the_keys_history() {
    let mut kit = kit(&["p a:* ttl 10s ttl-min 1s ttl-max 1000s adaptive yes"]);
    let ttl = |kit: &mut Kit, key: &str| -> u64 {
        let reply = kit.run(&format!("pttl {key}"));
        reply.trim()[1..].parse().expect("a number")
    };
    let (mut steady, mut moving) = (0, 0);
    for round in 0..30 {
        for key in ["a:same", "a:moving"] {
            kit.run(&format!("get {key}"));
        }
        kit.run("set a:same v");
        kit.run(&format!("set a:moving {round}"));
        (steady, moving) = (ttl(&mut kit, "a:same"), ttl(&mut kit, "a:moving"));
        for _ in 0..5 {
            kit.run("get a:same");
            kit.run("get a:moving");
        }
        pass(steady.max(moving) + 10);
        kit.sweep();
    }
    assert!(steady > 40_000, "{steady}");
    assert!(moving < 10_000, "{moving}");
    let figures = figures(&kit, "p");
    assert_eq!((figures.refills_same, figures.refills_changed), (29, 29));
    kit.run("set a:same v");
    let reply = kit.run("cache.explain a:same");
    assert!(part(&reply, "decision").contains("same value"), "{reply}");
    assert_eq!(part(&reply, "policy"), "p");
}

#[test]
fn a_shadow_counts_and_changes_nothing() {
    let mut one = kit(&["p a:* enabled shadow ttl 1s stale 10s lease 2s fence yes null-value N"]);
    let mut two = one.another();
    check(
        &mut one,
        &[
            ("set a:1 v", "+OK"),
            ("pttl a:1", ":-1"),
            ("set a:2 N", "+OK"),
        ],
    );
    is(get(&mut one, "cache.get a:2"), "hit", "N");
    one.run("get a:3");
    two.run("del a:3");
    one.run("set a:3 v");
    assert_eq!(two.run("get a:3"), "$1\r\nv\r\n");
    let figures = figures(&one, "p");
    // What is not in force lets nothing fall with a key, either.
    one.policy("c c:* enabled no cascade d:*");
    one.run("mset c:1 v d:1 v");
    one.run("del c:1");
    assert_eq!(one.run("get d:1"), "$1\r\nv\r\n");
    assert_eq!((figures.shadow_ttls, figures.shadow_nulls), (2, 1));
    assert_eq!((figures.shadow_fence_drops, figures.fence_drops), (1, 0));
}

#[test]
fn a_rollout_is_stable_as_it_grows() {
    let mut kit = kit(&["p a:* ttl 10s rollout 30%"]);
    let with = |kit: &mut Kit| -> Vec<usize> {
        (0..500)
            .filter(|i| {
                kit.run(&format!("set a:{i} v"));
                kit.run(&format!("ttl a:{i}")) == ":10\r\n"
            })
            .collect()
    };
    let some = with(&mut kit);
    assert!((100..200).contains(&some.len()), "{}", some.len());
    kit.policy("p a:* ttl 10s rollout 60%");
    let more = with(&mut kit);
    assert!((250..350).contains(&more.len()), "{}", more.len());
    assert!(some.iter().all(|i| more.contains(i)));
}

#[test]
fn changed_policies_are_in_force_at_once_also_for_keys_that_are_there() {
    let mut kit = kit(&[]);
    for i in 0..2_000 {
        kit.run(&format!("set a:{i} v"));
        kit.run(&format!("set b:{i} v ex 50"));
    }
    kit.policy("p a:* ttl 10s");
    check(
        &mut kit,
        &[
            ("dbsize", ":4000"),
            ("get a:7", "$1 v"),
            ("ttl a:7", ":10"),
            ("ttl b:7", ":50"),
        ],
    );
    let count =
        |kit: &mut Kit, pattern: &str| kit.run(&format!("keys {pattern}")).matches("$").count();
    assert_eq!(count(&mut kit, "a:*"), 2_000);
    kit.sweep();
    assert_eq!(kit.run("ttl a:8"), ":10\r\n");
    assert_eq!(count(&mut kit, "a:*"), 2_000);
    kit.policy("p b:* ttl-max 20s stale 10s");
    kit.policy("q a:1* ttl 5s");
    assert_eq!(kit.run("ttl b:7"), ":20\r\n");
    kit.sweep();
    check(
        &mut kit,
        &[("dbsize", ":4000"), ("ttl b:8", ":20"), ("ttl a:8", ":10")],
    );
    assert_eq!(count(&mut kit, "*"), 4_000);
    let rules = kit.engine.keyspace.rules();
    let rules = rules.without(b"p").and_then(|r| r.without(b"q"));
    kit.engine
        .keyspace
        .set_rules(rules.expect("they were there"));
    kit.sweep();
    assert_eq!(kit.run("dbsize"), ":4000\r\n");
    assert!(kit.engine.keyspace.lock(0).is_plain);
}

#[test]
fn a_scan_misses_nothing_while_keys_change_their_tables() {
    let mut kit = kit(&[]);
    for i in 0..3_000 {
        kit.run(&format!("set k:{i} v"));
    }
    let mut seen = std::collections::BTreeSet::new();
    let (mut cursor, mut round) = ("0".to_string(), 0);
    loop {
        let reply = kit.run(&format!("scan {cursor} count 50"));
        let lines: Vec<&str> = reply.split("\r\n").collect();
        seen.extend(
            lines
                .iter()
                .filter(|l| l.starts_with("k:"))
                .map(|l| l.to_string()),
        );
        cursor = lines[2].to_string();
        if cursor == "0" {
            break;
        }
        round += 1;
        match round % 4 {
            0 => kit.policy("p k:1* ttl 1h"),
            1 => kit.sweep(),
            2 => kit.policy("q k:2*"),
            _ => kit.policy("p k:3* ttl 1h"),
        }
    }
    assert_eq!(seen.len(), 3_000);
}

#[test]
fn a_policys_memory_is_bounded_by_its_own_share() {
    let mut kit = kit(&[
        "p a:* max-memory 200kb",
        "n n:* null-value N null-max 100kb",
    ]);
    for i in 0..5_000 {
        kit.run(&format!("set a:{i} {}", "x".repeat(100)));
        kit.run(&format!("set n:{i} N"));
        kit.run(&format!("set b:{i} v"));
    }
    let count =
        |kit: &mut Kit, pattern: &str| kit.run(&format!("keys {pattern}")).matches("$").count();
    let left = count(&mut kit, "a:*");
    assert!((500..2_000).contains(&left), "{left}");
    let left = count(&mut kit, "n:*");
    assert!((500..4_000).contains(&left), "{left}");
    assert_eq!(count(&mut kit, "b:*"), 5_000);
}

#[test]
fn what_followers_are_told_is_definite() {
    let (mut kit, recorder) = recorded();
    clock::freeze(NOW_MS);
    kit.policy("p a:* ttl 10s null-value N fence yes");
    kit.run("set a:1 v");
    kit.run("cache.set a:2 v tags 1 t");
    kit.run("cache.null a:1");
    let commands = recorder.commands();
    let at = NOW_MS + 10_000;
    let absent_until = (NOW_MS + 60_000).to_string();
    let null = ["CACHE.NULL", "a:1", "PXAT", &absent_until].map(str::as_bytes);
    let null = hint::wrap(&null).join(&b' ');
    let tagged = hint::wrap(&[b"CACHE.TAG", b"a:2", b"t"]).join(&b' ');
    assert_eq!(
        commands,
        [
            "set a:1 v".to_string(),
            format!("PEXPIREAT a:1 {at}"),
            format!("SET a:2 v PXAT {at}"),
            String::from_utf8(tagged).expect("text"),
            format!("PEXPIREAT a:2 {at}"),
            "DEL a:1".to_string(),
            String::from_utf8(null).expect("text"),
        ]
    );
}

#[test]
fn tags_may_come_later_and_go_again() {
    let mut kit = kit(&["p a:* ttl 10s"]);
    for key in ["a:1", "b:1"] {
        let key = |line: &str| line.replace('K', key);
        kit.run("cache.invalidate tag t u");
        kit.run(&key("set K v"));
        for (line, expected) in [
            ("cache.tag K t u", ":1"),
            ("cache.tag none t", ":0"),
            ("get K", "$1 v"),
            ("cache.tag K u", ":1"),
            ("cache.invalidate tag t", "*"),
            ("get K", "$1 v"),
            ("append K w", ":2"),
            ("cache.set K x keepttl", "+OK"),
            ("get K", "$1 x"),
            ("cache.invalidate tag u", "*"),
            ("get K", "$-1"),
            ("cache.set K v tags 1 t", "+OK"),
            ("cache.tag K", ":1"),
            ("cache.invalidate tag t", "*"),
            ("get K", "$1 v"),
            ("cache.tag K ''", "-ERR a tag has 1 to"),
        ] {
            let reply = kit.run(&key(line)).replace("\r\n", " ");
            assert!(reply.starts_with(expected), "{}: {reply}", key(line));
        }
    }
    let ttl = kit.run("ttl a:1");
    assert_eq!(ttl, ":10\r\n");
}

#[test]
fn a_change_that_keeps_the_lifetime_keeps_the_tags_of_followers_too() {
    let (mut kit, recorder) = recorded();
    kit.run("cache.set k v tags 2 t u");
    kit.run("cache.set k w keepttl");
    kit.run("cache.tag k t");
    let both = hint::wrap(&[b"CACHE.TAG", b"k", b"t", b"u"]).join(&b' ');
    let one = hint::wrap(&[b"CACHE.TAG", b"k", b"t"]).join(&b' ');
    let expected = [b"SET k v".to_vec(), both, b"SET k w KEEPTTL".to_vec(), one];
    let expected = expected.map(|words| String::from_utf8(words).expect("text"));
    assert_eq!(recorder.commands(), expected);
}

#[test]
fn flushdb_fences_its_own_database_and_flushall_every_one() {
    let mut kit = kit(&["p a:* fence yes lease 10s"]);
    let token = |kit: &mut Kit| part(&kit.run("cache.get a:1"), "token");
    let begin = |kit: &mut Kit| {
        kit.run("select 0");
        let first = token(kit);
        kit.run("select 3");
        (first, token(kit))
    };
    let mut other = kit.another();
    let (first, third) = begin(&mut kit);
    other.run("flushdb");
    check(&mut kit, &[("set a:2 v", "+OK"), ("get a:2", "$1 v")]);
    assert_eq!(kit.run(&format!("cache.fill a:1 {third} v")), "+OK\r\n");
    kit.run("select 0");
    let refused = kit.run(&format!("cache.fill a:1 {first} v"));
    assert!(refused.starts_with("-NOLEASE"), "{refused}");
    check(&mut kit, &[("set a:1 v", "+OK"), ("exists a:1", ":0")]);
    // Where nothing is there is nothing to remove, and yet something to miss.
    kit.run("flushall");
    let (_, third) = begin(&mut kit);
    kit.run("select 5");
    kit.run("get a:5");
    other.run("flushall");
    check(&mut kit, &[("set a:5 v", "+OK"), ("exists a:5", ":0")]);
    kit.run("select 3");
    let refused = kit.run(&format!("cache.fill a:1 {third} v"));
    assert!(refused.starts_with("-NOLEASE"), "{refused}");
    check(&mut kit, &[("set a:1 v", "+OK"), ("exists a:1", ":0")]);
}

#[test]
fn flushall_forgets_absences_where_nothing_else_is() {
    let mut kit = kit(&[]);
    kit.run("select 7");
    kit.run("cache.null k");
    is(get(&mut kit, "cache.get k"), "null", "nil");
    kit.run("select 0");
    kit.run("flushall");
    kit.run("select 7");
    is(get(&mut kit, "cache.get k"), "miss", "nil");
}

#[test]
fn a_deadline_that_a_client_gives_while_keys_are_settled_stays() {
    let mut kit = kit(&[]);
    for key in ["a:1", "a:2", "a:3"] {
        kit.run(&format!("set {key} v"));
    }
    kit.policy("p a:* ttl 10s ttl-max 20s");
    check(
        &mut kit,
        &[
            ("persist a:1", ":1"),
            ("expire a:2 60", ":1"),
            ("pttl a:1", ":-1"),
        ],
    );
    kit.sweep();
    check(
        &mut kit,
        &[
            ("pttl a:1", ":-1"),
            ("pttl a:2", ":60000"),
            ("pttl a:3", ":10000"),
        ],
    );
    // The next change is another one.
    kit.policy("p a:* ttl 10s ttl-max 30s");
    kit.sweep();
    check(&mut kit, &[("pttl a:1", ":10000"), ("pttl a:2", ":30000")]);
}

#[test]
fn an_explanation_blames_no_policy_that_is_not_in_force() {
    for options in ["enabled shadow", "enabled no", "rollout 0%", "users bob"] {
        let mut kit = kit(&[&format!("p a:* ttl 1s null-value N {options}")]);
        kit.run("set a:1 v");
        let reply = kit.run("cache.explain a:1");
        assert!(part(&reply, "decision").contains("not in force"), "{reply}");
    }
}

#[test]
fn explicit_tags_go_along_with_a_key() {
    for policy in ["p a:* ttl 10m", "p other:* ttl 10m"] {
        for (way, db, name) in [
            ("rename a:1 a:2", 0, "a:2"),
            ("copy a:1 a:2", 0, "a:2"),
            ("copy a:1 a:1 db 3", 3, "a:1"),
            ("move a:1 3", 3, "a:1"),
            ("swapdb 0 3", 3, "a:1"),
        ] {
            let mut kit = kit(&[policy]);
            kit.run("cache.set a:1 v tags 1 g");
            kit.run(way);
            check(
                &mut kit,
                &[
                    (&format!("select {db}"), "+OK"),
                    (&format!("exists {name}"), ":1"),
                ],
            );
            kit.run("cache.invalidate tag g");
            assert_eq!(
                kit.run(&format!("exists {name}")),
                ":0\r\n",
                "{way}, {policy}"
            );
        }
    }
    let mut kit = Kit::new();
    kit.run("cache.set a v tags 1 g");
    kit.run("rename a b");
    kit.run("cache.invalidate tag g");
    check(&mut kit, &[("exists b", ":0")]);
}

#[test]
fn what_was_invalidated_does_not_come_back_as_databases_change_places() {
    for target in [
        "prefix a:",
        "pattern a:*1",
        "tag t",
        "tag g",
        "policy p SOFT",
    ] {
        let mut kit = kit(&["p a:* tag t"]);
        kit.run("cache.set a:1 v tags 1 g");
        kit.run("cache.null a:11");
        kit.run("select 5");
        kit.run("cache.set a:1 other tags 1 g");
        kit.run("select 0");
        kit.run(&format!("cache.invalidate {target}"));
        kit.run("swapdb 0 5");
        for _ in 0..2 {
            check(
                &mut kit,
                &[
                    ("get a:1", "$5 other"),
                    ("select 5", "+OK"),
                    ("exists a:1", ":0"),
                ],
            );
            assert_eq!(get(&mut kit, "cache.get a:1").0, "miss", "{target}");
            if target != "tag g" {
                assert_eq!(get(&mut kit, "cache.get a:11").0, "miss", "{target}");
            }
            kit.run("select 0");
            kit.sweep();
        }
    }
}

#[test]
fn nothing_falls_where_an_origin_has_nothing_for_who_missed() {
    let mut kit = kit(&["p a:* lease 5s cascade list:*"]);
    kit.run("set list:1 v");
    let token = part(&kit.run("cache.get a:1"), "token");
    kit.run(&format!("cache.fillnull a:1 {token} px 10"));
    kit.run("get a:2");
    kit.run("cache.null a:2 px 10");
    assert_eq!(kit.run("exists list:1"), ":1\r\n");
    pass(20);
    for key in ["a:1", "a:2"] {
        let reply = kit.run(&format!("cache.explain {key}"));
        assert_eq!(part(&reply, "reason"), "never_seen");
    }
    let figures = figures(&kit, "p");
    assert_eq!((figures.leases_filled, figures.leases_removed), (2, 0));
    // Who says so without having asked removes what there may be.
    kit.run("cache.null a:3");
    assert_eq!(kit.run("exists list:1"), ":0\r\n");
}

#[test]
fn every_token_that_is_refused_is_counted() {
    let mut kit = kit(&["p a:*"]);
    for i in 0..50 {
        let reply = kit.run(&format!("cache.fill a:{i} 1 v"));
        assert!(reply.starts_with("-NOLEASE"));
    }
    assert_eq!(figures(&kit, "p").token_refusals, 50);
}

#[test]
fn what_stands_for_an_absence_is_explained_by_null_ttl() {
    let mut kit = kit(&["p a:* ttl 10m null-value NONE null-ttl 5s"]);
    kit.run("set a:1 NONE");
    kit.run("set a:2 v");
    let decision = |kit: &mut Kit, key| part(&kit.run(&format!("cache.explain {key}")), "decision");
    assert!(decision(&mut kit, "a:1").contains("null-ttl"));
    assert!(decision(&mut kit, "a:2").contains("the policy's ttl"));
}

#[test]
fn a_sentinel_that_takes_over_a_lifetime_is_an_absence_too() {
    let mut kit = kit(&["p a:* ttl 1h stale 1m null-value NONE null-ttl 5s"]);
    check(
        &mut kit,
        &[("set a:1 v", "+OK"), ("set a:1 NONE keepttl", "+OK")],
    );
    is(get(&mut kit, "cache.get a:1"), "null", "NONE");
    check(&mut kit, &[("pttl a:1", ":5000"), ("get a:1", "$4 NONE")]);
    pass(1_000);
    // And what takes over that of a sentinel is a value, of which it knows nothing.
    check(
        &mut kit,
        &[("set a:1 v keepttl", "+OK"), ("pttl a:1", ":4000")],
    );
    let reply = kit.run("cache.get a:1");
    is((part(&reply, "status"), part(&reply, "value")), "hit", "v");
    assert_eq!(
        (part(&reply, "age"), part(&reply, "reads")),
        ("0".into(), "1".into())
    );
    assert_eq!(part(&kit.run("cache.explain a:1"), "state"), "fresh");
    // It is a plain write with a lifetime: past it, the policy keeps it.
    pass(4_000);
    is(get(&mut kit, "cache.get a:1"), "stale", "v");
    // What changes a value has no grace, and keeps its place.
    check(&mut kit, &[("set a:2 v", "+OK"), ("append a:2 w", ":2")]);
    pass(3_600_000);
    is(get(&mut kit, "cache.get a:2"), "miss", "nil");
}

#[test]
fn a_policy_that_is_not_in_force_bounds_no_absence_and_grants_no_grace() {
    for line in [
        "p a:* enabled no null-ttl 5s stale 1m",
        "p a:* enabled shadow null-ttl 5s stale 1m",
        "p a:* rollout 0% null-ttl 5s stale 1m",
    ] {
        let mut kit = kit(&[line]);
        check(
            &mut kit,
            &[("cache.null a:1 px 9000", "+OK"), ("cache.null a:2", "+OK")],
        );
        assert_eq!(part(&kit.run("cache.get a:1"), "ttl"), "9000", "{line}");
        assert_eq!(part(&kit.run("cache.get a:2"), "ttl"), "60000", "{line}");
        check(
            &mut kit,
            &[("set a:3 v ex 100", "+OK"), ("set a:4 v", "+OK")],
        );
        kit.run("cache.invalidate prefix a:3 soft");
        kit.run("cache.invalidate key a:4 soft");
        check(&mut kit, &[("dbsize", ":1")]);
        kit.sweep();
        check(&mut kit, &[("dbsize", ":0")]);
    }
    let mut kit = kit(&[
        "p a:* null-ttl 5s null-max 4kb",
        "q b:* users bob null-ttl 5s stale 1m",
    ]);
    check(
        &mut kit,
        &[
            ("cache.null a:1 px 9000", "+OK"),
            ("cache.null b:1 px 9000", "+OK"),
        ],
    );
    assert_eq!(part(&kit.run("cache.get a:1"), "ttl"), "5000");
    assert_eq!(part(&kit.run("cache.get b:1"), "ttl"), "9000");
    // Whoever invalidates is not whom the grace is for.
    check(&mut kit, &[("set b:2 v ex 100", "+OK")]);
    kit.run("cache.invalidate prefix b:2 soft");
    kit.sweep();
    check(&mut kit, &[("dbsize", ":1")]);
}

#[test]
fn an_explanation_is_a_map_to_those_who_know_maps() {
    let mut kit = kit(&[]);
    assert!(
        kit.run("cache.explain k")
            .starts_with("*8\r\n$6\r\npolicy\r\n")
    );
    kit.run("hello 3");
    assert!(
        kit.run("cache.explain k")
            .starts_with("%4\r\n$6\r\npolicy\r\n")
    );
}

#[test]
fn what_was_invalidated_softly_stays_stale_when_policies_change() {
    let mut kit = kit(&["p a:* ttl 10m stale 1m"]);
    kit.sweep();
    check(&mut kit, &[("setnx a:1 v", ":1")]);
    kit.run("cache.invalidate key a:1 soft");
    kit.policy("q b:*");
    kit.sweep();
    is(get(&mut kit, "cache.get a:1"), "stale", "v");
    kit.policy("p a:* ttl 10m");
    kit.sweep();
    is(get(&mut kit, "cache.get a:1"), "miss", "nil");
}

#[test]
fn a_sentinel_that_is_appended_to_is_a_value() {
    let mut kit = kit(&["p a:* null-value NONE null-ttl 5s"]);
    check(&mut kit, &[("set a:1 NONE", "+OK"), ("append a:1 v", ":5")]);
    is(get(&mut kit, "cache.get a:1"), "hit", "NONEv");
    assert_eq!(part(&kit.run("cache.explain a:1"), "state"), "fresh");
}
