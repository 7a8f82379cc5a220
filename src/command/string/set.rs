//! Commands that write whole strings.

use super::{SET, string, write_value};
use crate::base::num;
use crate::command::options::{Condition, Expiry, Options, Takes, Unit};
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::{Deadline, Filled, Found};
use crate::protocol::error::Error;
use crate::store::entry::NewValue;

/// SET key value [NX | XX | IFEQ value] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]
pub(super) fn set(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let value = ctx.args.value()?;
    if ctx.args.is_empty() {
        let found = ctx.txn.find(&key);
        ctx.txn.fill(&key, found, value, Deadline::Never, SET);
        ctx.reply.ok();
        return Ok(());
    }
    let options = Options::parse(Takes::Set, ctx.args.rest())?;
    let is_set = write(ctx, &key, value, options)?;
    match is_set {
        _ if options.get => {}
        true => ctx.reply.ok(),
        false => ctx.reply.null(),
    }
    Ok(())
}

/// SETNX key value
pub(super) fn setnx(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let value = ctx.args.value()?;
    let is_new = ctx.txn.find(&key).is_none();
    if is_new {
        ctx.txn.put(&key, None, value, Deadline::Never, SET);
    }
    ctx.reply.flag(is_new);
    Ok(())
}

/// SETEX key seconds value
pub(super) fn setex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_for(ctx, Unit::Seconds)
}

/// PSETEX key milliseconds value
pub(super) fn psetex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_for(ctx, Unit::Millis)
}

fn set_for(ctx: &mut Ctx<'_, '_>, unit: Unit) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let expiry = Expiry::At(unit, ctx.args.bytes()?);
    let value = ctx.args.value()?;
    let options = Options {
        expiry,
        ..Options::default()
    };
    write(ctx, &key, value, options)?;
    ctx.reply.ok();
    Ok(())
}

/// GETSET key value
pub(super) fn getset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let text = ctx.args.peek().unwrap_or_default();
    let value = ctx.args.value()?;
    let found = reply_old(ctx, &key)?;
    if ctx.txn.fill(&key, found, value, Deadline::Never, SET) == Filled::Dropped {
        return Ok(());
    }
    ctx.txn
        .rewrite(|| vec![b"SET".to_vec(), key.bytes.to_vec(), text.to_vec()]);
    Ok(())
}

/// Finds a key and replies its value.
fn reply_old(ctx: &mut Ctx<'_, '_>, key: &Key<'_>) -> Result<Option<Found>, Error> {
    let found = ctx.txn.look_up(key);
    match found {
        Some(found) => write_value(&mut ctx.reply, string(ctx.txn.entry(found))?),
        None => ctx.reply.null(),
    }
    Ok(found)
}

/// Stores a value as the options say. Whether the condition held; under GET the
/// old value has been replied then.
fn write(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    value: NewValue<'_>,
    options: Options<'_>,
) -> Result<bool, Error> {
    let deadline = options.expiry.deadline(ctx.spec.name, ctx.txn.now_ms, 1)?;
    let found = match options.get {
        true => reply_old(ctx, key)?,
        false => ctx.txn.find(key),
    };
    let holds = match (options.condition, found) {
        (Condition::Always, _) => true,
        (Condition::Absent, found) => found.is_none(),
        (Condition::Present, found) => found.is_some(),
        (Condition::Equal(_), None) => false,
        (Condition::Equal(text), Some(found)) => {
            string(ctx.txn.entry(found))?.with_bytes(|bytes| bytes == text)
        }
    };
    if !holds {
        return Ok(false);
    }
    let deadline = match deadline {
        Some(ms) if ctx.txn.is_past(ms) => {
            if let Some(found) = found {
                ctx.txn.remove_expired(key, found);
            }
            return Ok(true);
        }
        Some(ms) => Deadline::At(ms),
        None if options.expiry == Expiry::Keep => Deadline::Keep,
        None => Deadline::Never,
    };
    match options.condition {
        Condition::Always => {
            if ctx.txn.fill(key, found, value, deadline, SET) == Filled::Dropped {
                return Ok(true);
            }
        }
        _ => ctx.txn.put(key, found, value, deadline, SET),
    }
    let argv = ctx.args.all();
    if let Deadline::At(ms) = deadline {
        ctx.txn.also(key, Event::EXPIRE);
        if !options.expiry.is_definite() {
            ctx.txn.rewrite(|| set_at(argv, ms));
        }
    } else if options.get {
        ctx.txn.rewrite(|| without_get(argv));
    }
    Ok(true)
}

/// SET, SETEX or PSETEX in words that mean the same at any time.
fn set_at(argv: &[&[u8]], ms: u64) -> Vec<Vec<u8>> {
    let value = match argv[0].eq_ignore_ascii_case(b"set") {
        true => argv[2],
        false => argv[3],
    };
    let ms = ms.to_string();
    [b"SET", argv[1], value, b"PXAT", ms.as_bytes()]
        .map(<[u8]>::to_vec)
        .into()
}

/// SET without its option GET, whose reply nobody reads on the other side.
fn without_get(argv: &[&[u8]]) -> Vec<Vec<u8>> {
    let is = |word: &[u8], name: &[u8]| word.eq_ignore_ascii_case(name);
    let is_kept = |&(i, word): &(usize, &&[u8])| {
        i < 3 || !is(word, b"GET") || i > 3 && is(argv[i - 1], b"IFEQ")
    };
    let kept = argv.iter().enumerate().filter(is_kept);
    kept.map(|(_, word)| word.to_vec()).collect()
}

/// DELIFEQ key value
pub(super) fn delifeq(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let text = ctx.args.bytes()?;
    let Some(found) = ctx.txn.find(&key) else {
        ctx.reply.int(0);
        return Ok(());
    };
    let is_equal = string(ctx.txn.entry(found))?.with_bytes(|bytes| bytes == text);
    if is_equal {
        ctx.txn.remove(&key, found, Event::DEL);
        ctx.txn
            .rewrite(|| vec![b"DEL".to_vec(), key.bytes.to_vec()]);
    }
    ctx.reply.flag(is_equal);
    Ok(())
}

// ----- several keys -----------------------------------------------------------

/// MSET key value [key value …]
pub(super) fn mset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    check_pairs(ctx)?;
    write_pairs(ctx, usize::MAX, Deadline::Never, true)?;
    ctx.reply.ok();
    Ok(())
}

/// MSETNX key value [key value …]
pub(super) fn msetnx(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    check_pairs(ctx)?;
    let are_absent = hold(ctx, usize::MAX, Condition::Absent)?;
    if are_absent {
        write_pairs(ctx, usize::MAX, Deadline::Never, false)?;
    }
    ctx.reply.flag(are_absent);
    Ok(())
}

/// MSETEX numkeys key value [key value …] [NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]
pub(super) fn msetex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let pairs = num::parse_i64(ctx.args.bytes()?)
        .filter(|n| (1..=i32::MAX.into()).contains(n))
        .ok_or(Error::NUMKEYS)? as usize;
    if ctx.args.left() < pairs * 2 {
        return Err(Error::SYNTAX);
    }
    let argv = ctx.args.all();
    let (words, said) = argv.split_at(ctx.args.position() + pairs * 2);
    let options = Options::parse(Takes::MsetEx, said)?;
    let at = options.expiry.deadline(ctx.spec.name, ctx.txn.now_ms, 1)?;
    if !hold(ctx, pairs, options.condition)? {
        ctx.reply.int(0);
        return Ok(());
    }
    // A deadline in the past is taken like any other: the keys expire at once.
    let deadline = match (at, options.expiry) {
        (Some(ms), _) => Deadline::At(ms),
        (None, Expiry::Keep) => Deadline::Keep,
        (None, _) => Deadline::Never,
    };
    let is_fill = options.condition == Condition::Always;
    write_pairs(ctx, pairs, deadline, is_fill)?;
    if let (Some(ms), false) = (at, options.expiry.is_definite()) {
        ctx.txn.rewrite(|| {
            let condition: &[&[u8]] = match options.condition {
                Condition::Absent => &[b"NX"],
                Condition::Present => &[b"XX"],
                _ => &[],
            };
            let ms = ms.to_string();
            let expiry = [b"PXAT", ms.as_bytes()];
            let all = words.iter().chain(condition).chain(&expiry);
            all.map(|word| word.to_vec()).collect()
        });
    }
    ctx.reply.int(1);
    Ok(())
}

/// Keys and values come in pairs.
fn check_pairs(ctx: &Ctx<'_, '_>) -> Result<(), Error> {
    match ctx.args.left() % 2 {
        0 => Ok(()),
        _ => Err(Error::arity(ctx.spec.name)),
    }
}

/// Whether the condition holds for all of the next pairs' keys.
fn hold(ctx: &mut Ctx<'_, '_>, pairs: usize, condition: Condition<'_>) -> Result<bool, Error> {
    if condition == Condition::Always {
        return Ok(true);
    }
    let mut args = ctx.args.clone();
    for _ in 0..pairs.min(args.left() / 2) {
        let is_there = ctx.txn.find(&args.key()?).is_some();
        args.bytes()?;
        if is_there != (condition == Condition::Present) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Stores the next pairs, at most so many: plainly, or on a condition that held.
fn write_pairs(
    ctx: &mut Ctx<'_, '_>,
    pairs: usize,
    deadline: Deadline,
    is_fill: bool,
) -> Result<(), Error> {
    for _ in 0..pairs.min(ctx.args.left() / 2) {
        let key = ctx.args.key()?;
        let value = ctx.args.value()?;
        let found = ctx.txn.find(&key);
        let stored = match is_fill {
            true => ctx.txn.fill(&key, found, value, deadline, SET) != Filled::Dropped,
            false => {
                ctx.txn.put(&key, found, value, deadline, SET);
                true
            }
        };
        if stored && let Deadline::At(_) = deadline {
            ctx.txn.also(&key, Event::EXPIRE);
        }
    }
    Ok(())
}
