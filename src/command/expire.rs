//! Deadlines: setting them, asking for them, taking them away.

use crate::base::num::IntText;
use crate::command::options::Unit;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{Arg, ArgKind, Group, Spec, category, flag::*, key, key_flag::*};
use crate::protocol::error::Error;

pub(super) const DEADLINE_CONDITION: Arg = Arg::one_of(
    "condition",
    &[
        Arg::word("nx", "NX"),
        Arg::word("xx", "XX"),
        Arg::word("gt", "GT"),
        Arg::word("lt", "LT"),
    ],
)
.optional();

const CONDITION: Arg = DEADLINE_CONDITION.since("7.0.0");

const OPTIONS_CAME: &[(&str, &str)] = &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")];
const TWO_CAME: &[(&str, &str)] = &[("2.8.0", "Added the -2 reply.")];

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("expire", -3, expire)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | UPDATE)])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Lets a key go after some seconds.",
        )
        .history(OPTIONS_CAME)
        .args(&[
            Arg::key("key"),
            Arg::new("seconds", ArgKind::Integer),
            CONDITION,
        ]),
    Spec::new("pexpire", -3, pexpire)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | UPDATE)])
        .doc(
            Group::Generic,
            "2.6.0",
            "O(1)",
            "Lets a key go after some milliseconds.",
        )
        .history(OPTIONS_CAME)
        .args(&[
            Arg::key("key"),
            Arg::new("milliseconds", ArgKind::Integer),
            CONDITION,
        ]),
    Spec::new("expireat", -3, expireat)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | UPDATE)])
        .doc(
            Group::Generic,
            "1.2.0",
            "O(1)",
            "Lets a key go at a time given in Unix seconds.",
        )
        .history(OPTIONS_CAME)
        .args(&[
            Arg::key("key"),
            Arg::new("unix-time-seconds", ArgKind::UnixTime),
            CONDITION,
        ]),
    Spec::new("pexpireat", -3, pexpireat)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | UPDATE)])
        .doc(
            Group::Generic,
            "2.6.0",
            "O(1)",
            "Lets a key go at a time given in Unix milliseconds.",
        )
        .history(OPTIONS_CAME)
        .args(&[
            Arg::key("key"),
            Arg::new("unix-time-milliseconds", ArgKind::UnixTime),
            CONDITION,
        ]),
    Spec::new("ttl", 2, ttl)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RO | ACCESS)])
        .tips(&["nondeterministic_output"])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Says how many seconds a key has left.",
        )
        .history(TWO_CAME)
        .args(&[Arg::key("key")]),
    Spec::new("pttl", 2, pttl)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RO | ACCESS)])
        .tips(&["nondeterministic_output"])
        .doc(
            Group::Generic,
            "2.6.0",
            "O(1)",
            "Says how many milliseconds a key has left.",
        )
        .history(TWO_CAME)
        .args(&[Arg::key("key")]),
    Spec::new("expiretime", 2, expiretime)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RO | ACCESS)])
        .doc(
            Group::Generic,
            "7.0.0",
            "O(1)",
            "Says when a key goes, in Unix seconds.",
        )
        .args(&[Arg::key("key")]),
    Spec::new("pexpiretime", 2, pexpiretime)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RO | ACCESS)])
        .doc(
            Group::Generic,
            "7.0.0",
            "O(1)",
            "Says when a key goes, in Unix milliseconds.",
        )
        .args(&[Arg::key("key")]),
    Spec::new("persist", 2, persist)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | UPDATE)])
        .doc(
            Group::Generic,
            "2.2.0",
            "O(1)",
            "Lets a key stay: takes its deadline away.",
        )
        .args(&[Arg::key("key")]),
];

/// On which deadlines that a key has already it may be given another.
#[derive(Clone, Copy, Default)]
pub(super) struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    pub(super) fn parse(words: &[&[u8]]) -> Result<Condition, Error> {
        let mut condition = Condition::default();
        for word in words {
            match word.to_ascii_lowercase().as_slice() {
                b"nx" => condition.nx = true,
                b"xx" => condition.xx = true,
                b"gt" => condition.gt = true,
                b"lt" => condition.lt = true,
                _ => {
                    return Err(Error::quoting("ERR Unsupported option ", word, ""));
                }
            }
        }
        let Condition { nx, xx, gt, lt } = condition;
        if nx && (xx || gt || lt) {
            return Err(Error::new(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if gt && lt {
            return Err(Error::new(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(condition)
    }

    /// A key without a deadline counts as one that never goes.
    pub(super) fn allows(self, before: Option<u64>, after: u64) -> bool {
        !(self.nx && before.is_some()
            || self.xx && before.is_none()
            || self.gt && before.is_none_or(|ms| after <= ms)
            || self.lt && before.is_some_and(|ms| after >= ms))
    }
}

fn expire(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadline(ctx, Unit::Seconds)
}

fn pexpire(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadline(ctx, Unit::Millis)
}

fn expireat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadline(ctx, Unit::UnixSeconds)
}

fn pexpireat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadline(ctx, Unit::UnixMillis)
}

fn set_deadline(ctx: &mut Ctx<'_, '_>, unit: Unit) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let time = ctx.args.bytes()?;
    let options = ctx.args.rest();
    // The options are read before the time, and their errors come first.
    let condition = Condition::parse(options)?;
    let at_ms = unit.deadline(time, ctx.spec.name, ctx.txn.now_ms, i64::MIN)?;
    let found = ctx.txn.find_used(ctx.txn.db, &key);
    let found = found.filter(|&f| condition.allows(ctx.txn.entry(f).deadline(), at_ms));
    ctx.reply.flag(found.is_some());
    let Some(found) = found else {
        return Ok(());
    };
    if ctx.txn.is_past(at_ms) {
        ctx.txn.remove_expired(&key, found);
    } else {
        ctx.txn
            .set_deadline(&key, found, Some(at_ms), Event::EXPIRE);
        ctx.txn.rewrite(|| {
            let at = IntText::unsigned(at_ms).as_bytes().to_vec();
            let words = [b"PEXPIREAT".to_vec(), key.bytes.to_vec(), at];
            let options = options.iter().map(|o| o.to_vec());
            words.into_iter().chain(options).collect()
        });
    }
    Ok(())
}

fn ttl(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadline(ctx, Unit::Seconds)
}

fn pttl(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadline(ctx, Unit::Millis)
}

fn expiretime(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadline(ctx, Unit::UnixSeconds)
}

fn pexpiretime(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadline(ctx, Unit::UnixMillis)
}

fn tell_deadline(ctx: &mut Ctx<'_, '_>, unit: Unit) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let Some(found) = ctx.txn.peek(&key) else {
        ctx.reply.int(-2);
        return Ok(());
    };
    let Some(at_ms) = ctx.txn.entry(found).deadline() else {
        ctx.reply.int(-1);
        return Ok(());
    };
    ctx.reply.int(unit.tell(at_ms, ctx.txn.now_ms));
    Ok(())
}

fn persist(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let found = ctx.txn.find_used(ctx.txn.db, &key);
    let found = found.filter(|&f| ctx.txn.entry(f).deadline().is_some());
    if let Some(found) = found {
        ctx.txn.set_deadline(&key, found, None, Event::PERSIST);
    }
    ctx.reply.flag(found.is_some());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::command::testkit::{Kit, check, recorded};

    const FAR: &str = "9999999999999";

    fn number(reply: &str) -> i64 {
        reply.trim_end()[1..].parse().expect("an integer")
    }

    #[test]
    fn a_deadline_is_set_told_and_taken_away() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("set k v", "+OK"),
                ("ttl k", ":-1"),
                ("pexpiretime k", ":-1"),
                ("ttl none", ":-2"),
                ("expiretime none", ":-2"),
                ("expire none 100", ":0"),
                ("pexpireat k 9999999999400", ":1"),
                ("pexpiretime k", ":9999999999400"),
                ("expiretime k", ":9999999999"),
                ("pexpireat k 9999999999500", ":1"),
                ("expiretime k", ":10000000000"),
                ("expireat k 9999999999", ":1"),
                ("pexpiretime k", ":9999999999000"),
                ("persist k", ":1"),
                ("persist k", ":0"),
                ("persist none", ":0"),
                ("ttl k", ":-1"),
                ("expire k 100", ":1"),
                ("ttl k", ":100"),
                ("get k", "$1 v"),
            ],
        );
        let left = number(&kit.run("pttl k"));
        assert!((95_000..=100_000).contains(&left), "{left}");
    }

    #[test]
    fn a_condition_compares_with_the_deadline_before() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("set k v", "+OK"),
                ("pexpireat k 9999999999999 xx", ":0"),
                ("pexpireat k 9999999999999 gt", ":0"),
                ("pexpireat k 9999999999999 XX GT", ":0"),
                ("pexpireat k 9999999999999 lt", ":1"),
                ("pexpireat k 9999999999999 nx", ":0"),
                ("pexpireat k 9999999999999 gt", ":0"),
                ("pexpireat k 9999999999999 lt", ":0"),
                ("pexpireat k 9999999999998 gt", ":0"),
                ("pexpireat k 9999999999998 xx lt", ":1"),
                ("pexpireat k 9999999999999 gt xx", ":1"),
                ("persist k", ":1"),
                ("pexpireat k 9999999999998 nx nx", ":1"),
                ("pexpireat k 1 gt", ":0"),
                ("exists k", ":1"),
                ("pexpireat k 1 lt", ":1"),
                ("exists k", ":0"),
            ],
        );
    }

    #[test]
    fn errors_are_those_of_valkey_and_options_come_first() {
        let mut kit = Kit::new();
        let both = "-ERR NX and XX, GT or LT options at the same time are not compatible";
        check(
            &mut kit,
            &[
                ("set k v", "+OK"),
                (
                    "expire k",
                    "-ERR wrong number of arguments for 'expire' command",
                ),
                ("expire k x", "-ERR value is not an integer or out of range"),
                ("expire k x AB", "-ERR Unsupported option AB"),
                ("expire k 1 nx xx", both),
                ("expire k 1 gt nx", both),
                ("expire k 1 nx lt", both),
                (
                    "pexpire k 1 gt lt",
                    "-ERR GT and LT options at the same time are not compatible",
                ),
                (
                    "expire k 9223372036854775807",
                    "-ERR invalid expire time in 'expire' command",
                ),
                (
                    "expire k 9223372036854775",
                    "-ERR invalid expire time in 'expire' command",
                ),
                (
                    "expire k -9223372036854775808",
                    "-ERR invalid expire time in 'expire' command",
                ),
                (
                    "pexpire k 9223372036854775807",
                    "-ERR invalid expire time in 'pexpire' command",
                ),
                (
                    "expireat none 9223372036854776",
                    "-ERR invalid expire time in 'expireat' command",
                ),
                ("pexpireat k 9223372036854775807", ":1"),
                ("pexpiretime k", ":9223372036854775807"),
                ("expiretime k", ":9223372036854776"),
                ("pexpire k -9223372036854775808", ":1"),
                ("exists k", ":0"),
            ],
        );
    }

    #[test]
    fn a_relative_time_is_propagated_as_an_absolute_one() {
        let (mut kit, recorder) = recorded();
        kit.run("set k v");
        for (command, options) in [
            ("expire k 1000", ""),
            ("pexpire k 5000000 xx GT", " xx GT"),
            ("expireat k 9999999999 gt", " gt"),
            ("pexpireat k 9999999999999", ""),
        ] {
            recorder.take();
            assert_eq!(kit.run(command), ":1\r\n");
            let at = number(&kit.run("pexpiretime k"));
            assert_eq!(recorder.commands(), [format!("PEXPIREAT k {at}{options}")]);
        }
        kit.run("expire k 5 nx");
        assert_eq!(recorder.commands(), [""; 0]);
        kit.run("persist k");
        assert_eq!(recorder.commands(), ["persist k"]);
    }

    #[test]
    fn a_deadline_in_the_past_removes_the_key_as_expired() {
        for (lazy, word) in [("yes", "UNLINK"), ("no", "DEL")] {
            for command in [
                "expire k 0",
                "pexpire k -5",
                "expireat k 1",
                "pexpireat k -1",
            ] {
                let (mut kit, recorder) = recorded();
                kit.run(&format!("config set lazyfree-lazy-expire {lazy}"));
                kit.run("set k v");
                recorder.take();
                assert_eq!(kit.run(command), ":1\r\n");
                let effect = recorder.take().remove(0);
                assert_eq!(effect.changes.len(), 1);
                assert_eq!(effect.changes[0].event.name, "expired");
                assert_eq!(
                    effect.commands.told(),
                    [(0, vec![word.into(), b"k".to_vec()])]
                );
                let keyspace = &kit.engine.keyspace;
                let expired = (0..keyspace.len()).map(|i| keyspace.lock(i).stats.expired);
                assert_eq!(expired.sum::<u64>(), 1);
            }
        }
    }

    #[test]
    fn events_tell_of_deadlines() {
        let (mut kit, recorder) = recorded();
        kit.run("set k v");
        for (command, events) in [
            (format!("pexpireat k {FAR}"), vec!["expire"]),
            (format!("pexpireat k {FAR} nx"), vec![]),
            ("persist k".into(), vec!["persist"]),
            ("persist k".into(), vec![]),
            ("ttl none".into(), vec!["keymiss"]),
            ("expire none 1".into(), vec![]),
        ] {
            recorder.take();
            kit.run(&command);
            assert_eq!(recorder.events(), events, "{command}");
        }
    }

    fn command() -> impl Strategy<Value = String> {
        let key = || prop::sample::select(vec!["a", "b", "c", "d"]);
        let time = prop_oneof![-10i64..0, 10_000i64..1_000_000, Just(9_999_999_999)];
        let option = prop::sample::select(vec!["", " nx", " xx", " gt", " lt", " xx lt"]);
        let word = prop::sample::select(vec!["expire", "pexpire", "expireat", "pexpireat"]);
        prop_oneof![
            3 => (key(), 0..100).prop_map(|(k, n)| format!("set {k} {n}")),
            6 => (word, key(), time, option).prop_map(|(w, k, t, o)| format!("{w} {k} {t}{o}")),
            1 => key().prop_map(|k| format!("persist {k}")),
            1 => key().prop_map(|k| format!("unlink {k} none")),
            2 => (key(), key()).prop_map(|(a, b)| format!("rename {a} {b}")),
            1 => (key(), key()).prop_map(|(a, b)| format!("renamenx {a} {b}")),
            2 => (key(), key(), 0..3).prop_map(|(a, b, n)| format!("copy {a} {b} db {n}")),
            1 => (key(), key()).prop_map(|(a, b)| format!("copy {a} {b} replace")),
            2 => (key(), 0..3).prop_map(|(k, n)| format!("move {k} {n}")),
            2 => (0..3).prop_map(|n| format!("select {n}")),
            1 => (0..3, 0..3).prop_map(|(a, b)| format!("swapdb {a} {b}")),
            1 => Just("flushdb".to_string()),
            1 => key().prop_map(|k| format!("get {k}")),
        ]
    }

    proptest! {
        #[test]
        fn whoever_replays_the_effects_has_the_same_data(
            commands in prop::collection::vec((command(), 0..8), 1..80),
        ) {
            let (mut kit, recorder) = recorded();
            let mut follower = Kit::new();
            for (command, stale) in &commands {
                kit.run(command);
                // Now and then time is over for a key, here and there.
                let db = kit.session.db;
                if *stale == 0 && kit.contents().contains_key(&(db, b"a".to_vec())) {
                    follower.replay(&recorder.take());
                    kit.let_time_be_over(db, "a");
                    kit.run("exists a");
                }
            }
            follower.replay(&recorder.take());
            prop_assert_eq!(follower.contents(), kit.contents());
        }
    }

    #[test]
    fn in_import_mode_nothing_goes_and_only_its_source_sees_what_is_over() {
        let mut kit = Kit::new();
        let mut source = kit.another();
        assert_eq!(
            source.run("client import-source on"),
            "-ERR Server is not in import mode\r\n"
        );
        kit.run("config set import-mode yes");
        assert_eq!(source.run("client import-source on"), "+OK\r\n");
        kit.run("set a 1");
        assert_eq!(kit.run("expireat a -1"), ":1\r\n");
        kit.run("set b 1 pxat 1000");
        kit.run("hset h f 1 g 2");
        kit.run("hpexpireat h 1000 fields 1 f");
        for (line, seen, hidden) in [
            ("get b", "$1\r\n1\r\n", "$-1\r\n"),
            ("ttl b", ":0\r\n", ":-2\r\n"),
            ("keys b", "*1\r\n$1\r\nb\r\n", "*0\r\n"),
            ("hget h f", "$1\r\n1\r\n", "$-1\r\n"),
            ("dbsize", ":3\r\n", ":3\r\n"),
        ] {
            assert_eq!(source.run(line), seen, "{line}");
            assert_eq!(kit.run(line), hidden, "{line}");
        }
        assert!(!sweep(&kit));
        assert_eq!(source.run("incr b"), ":2\r\n");
        kit.run("config set import-mode no");
        assert_eq!(source.run("get b"), "$-1\r\n");
        while sweep(&kit) {}
        assert_eq!(kit.run("dbsize"), ":1\r\n");
        assert_eq!(kit.run("hlen h"), ":1\r\n");
        assert_eq!(source.run("client import-source off"), "+OK\r\n");
    }

    /// One round of the look for what is over; true where there is more.
    fn sweep(kit: &Kit) -> bool {
        (0..kit.engine.keyspace.len()).fold(false, |more, shard| {
            more | crate::exec::sweep::slice(&kit.engine, 0, shard)
        })
    }
}
