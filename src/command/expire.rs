//! Deadlines: setting them, asking for them, taking them away.

use crate::base::num::IntText;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{Arg, ArgKind, Group, Spec, category, flag::*, key, key_flag::*};
use crate::protocol::error::Error;

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[
        Arg::word("nx", "NX"),
        Arg::word("xx", "XX"),
        Arg::word("gt", "GT"),
        Arg::word("lt", "LT"),
    ],
)
.optional()
.since("7.0.0");

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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Millis,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// Now.
    Now,
    /// The start of Unix time.
    Epoch,
}

/// On which deadlines that a key has already it may be given another.
#[derive(Clone, Copy, Default)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn parse(words: &[&[u8]]) -> Result<Condition, Error> {
        let mut condition = Condition::default();
        for word in words {
            match word.to_ascii_lowercase().as_slice() {
                b"nx" => condition.nx = true,
                b"xx" => condition.xx = true,
                b"gt" => condition.gt = true,
                b"lt" => condition.lt = true,
                _ => {
                    let text = [b"ERR Unsupported option ".as_slice(), word].concat();
                    return Err(Error::new(text));
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
    fn allows(self, before: Option<u64>, after: u64) -> bool {
        !(self.nx && before.is_some()
            || self.xx && before.is_none()
            || self.gt && before.is_none_or(|ms| after <= ms)
            || self.lt && before.is_some_and(|ms| after >= ms))
    }
}

fn expire(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadline(ctx, Unit::Seconds, From::Now)
}

fn pexpire(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadline(ctx, Unit::Millis, From::Now)
}

fn expireat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadline(ctx, Unit::Seconds, From::Epoch)
}

fn pexpireat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadline(ctx, Unit::Millis, From::Epoch)
}

fn set_deadline(ctx: &mut Ctx<'_, '_>, unit: Unit, from: From) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let time = ctx.args.bytes()?;
    let options = ctx.args.rest();
    // The options are read before the time, and their errors come first.
    let condition = Condition::parse(options)?;
    let time = crate::base::num::parse_i64(time).ok_or(Error::NOT_INTEGER)?;
    let base_ms = match from {
        From::Now => ctx.txn.now_ms as i64,
        From::Epoch => 0,
    };
    let at_ms = match unit {
        Unit::Seconds => time.checked_mul(1000),
        Unit::Millis => Some(time),
    };
    let at_ms = at_ms
        .and_then(|ms| ms.checked_add(base_ms))
        .ok_or_else(|| Error::expire_time(ctx.spec.name))?;
    // What lies before the start of Unix time is as past as that.
    let at_ms = at_ms.max(0) as u64;

    let found = ctx.txn.find_used(ctx.txn.db, &key);
    let found = found.filter(|&f| condition.allows(ctx.txn.entry(f).deadline(), at_ms));
    ctx.reply.flag(found.is_some());
    let Some(found) = found else {
        return Ok(());
    };
    if at_ms <= ctx.txn.now_ms {
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
    tell_deadline(ctx, Unit::Seconds, From::Now)
}

fn pttl(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadline(ctx, Unit::Millis, From::Now)
}

fn expiretime(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadline(ctx, Unit::Seconds, From::Epoch)
}

fn pexpiretime(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadline(ctx, Unit::Millis, From::Epoch)
}

fn tell_deadline(ctx: &mut Ctx<'_, '_>, unit: Unit, from: From) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let Some(found) = ctx.txn.peek(&key) else {
        ctx.reply.int(-2);
        return Ok(());
    };
    let Some(at_ms) = ctx.txn.entry(found).deadline() else {
        ctx.reply.int(-1);
        return Ok(());
    };
    let ms = match from {
        From::Now => at_ms.saturating_sub(ctx.txn.now_ms),
        From::Epoch => at_ms,
    };
    ctx.reply.int(match unit {
        Unit::Seconds => ms.saturating_add(500) / 1000,
        Unit::Millis => ms,
    } as i64);
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
