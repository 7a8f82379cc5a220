//! Commands about fields that go by themselves.

use super::write::HSET;
use super::{Tally, change, fields_alone, limits, write_item};
use crate::base::num::{self, IntText};
use crate::command::expire::Condition;
use crate::command::options::{self, Fields, Options, Takes, Unit};
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::{Found, Txn};
use crate::protocol::error::Error;
use crate::types::hash::{Expiry, Hash};

const HEXPIRE: Event = Event::hash("hexpire");
pub(super) const HEXPIRED: Event = Event::hash("hexpired");
const HPERSIST: Event = Event::hash("hpersist");

// What commands say of a field.
const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const REFUSED: i64 = 0;
const DONE: i64 = 1;
const GONE: i64 = 2;

/// Splits `[option …] FIELDS number word …` into what `parse` makes of the
/// options, and the words, which must be `each` times the number.
fn named_fields<'a, T>(
    words: &'a [&'a [u8]],
    each: usize,
    parse: impl FnOnce(&'a [&'a [u8]]) -> Result<T, Error>,
) -> Result<(T, &'a [&'a [u8]]), Error> {
    let at = words
        .iter()
        .position(|w| w.eq_ignore_ascii_case(b"FIELDS"))
        .filter(|at| at + 1 < words.len())
        .ok_or(Error::NUM_FIELDS)?;
    let options = parse(&words[..at])?;
    let number = num::parse_i64(words[at + 1]).ok_or(Error::NOT_INTEGER)?;
    let fields = &words[at + 2..];
    let is_true =
        usize::try_from(number).is_ok_and(|n| n > 0 && n.checked_mul(each) == Some(fields.len()));
    match is_true {
        true => Ok((options, fields)),
        false => Err(Error::NUM_FIELDS),
    }
}

// ----- setting and taking away --------------------------------------------------

/// HEXPIRE key seconds [condition] FIELDS numfields field [field …]
pub(super) fn hexpire(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadlines(ctx, Unit::Seconds)
}

/// HPEXPIRE key milliseconds [condition] FIELDS numfields field [field …]
pub(super) fn hpexpire(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadlines(ctx, Unit::Millis)
}

/// HEXPIREAT key unix-time-seconds [condition] FIELDS numfields field [field …]
pub(super) fn hexpireat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadlines(ctx, Unit::UnixSeconds)
}

/// HPEXPIREAT key unix-time-milliseconds [condition] FIELDS numfields field [field …]
pub(super) fn hpexpireat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    set_deadlines(ctx, Unit::UnixMillis)
}

fn set_deadlines(ctx: &mut Ctx<'_, '_>, unit: Unit) -> Result<(), Error> {
    let (key, now_ms, over_ms) = (ctx.args.key()?, ctx.txn.now_ms, ctx.txn.over_ms);
    let time = ctx.args.bytes()?;
    let words = ctx.args.rest();
    let (condition, fields) = named_fields(words, 1, Condition::parse)?;
    let at_ms = unit.deadline(time, ctx.spec.name, now_ms, 0)?;
    let found = ctx.txn.find_as::<Hash>(&key)?;
    ctx.reply.array(fields.len());
    let Some(found) = found else {
        fields.iter().for_each(|_| ctx.reply.int(NO_FIELD));
        return Ok(());
    };
    let is_past = ctx.txn.is_past(at_ms);
    let reply = &mut ctx.reply;
    let changed: Vec<&[u8]> = ctx.txn.update(&key, found, |hash: &mut Hash, events| {
        let mut changed = Vec::new();
        for field in fields {
            let code = match hash.deadline(field, over_ms) {
                None => NO_FIELD,
                Some(before) if !condition.allows(before, at_ms) => REFUSED,
                Some(_) => {
                    changed.push(*field);
                    match is_past {
                        true => hash.remove(field, over_ms),
                        false => hash.set_deadline(field, Some(at_ms)),
                    };
                    if is_past { GONE } else { DONE }
                }
            };
            reply.int(code);
        }
        if !changed.is_empty() {
            events.push(if is_past { HEXPIRED } else { HEXPIRE });
        }
        changed
    });
    match changed.is_empty() {
        true => {}
        false if is_past => expired_at_once(ctx.txn, &key, &changed),
        false => ctx.txn.rewrite(|| {
            let at = IntText::unsigned(at_ms);
            let words = [b"HPEXPIREAT", key.bytes, at.as_bytes()]
                .into_iter()
                .chain(words.iter().copied());
            words.map(<[u8]>::to_vec).collect()
        }),
    }
    Ok(())
}

/// Fields that a command gave a time in the past: they count as expired, and
/// for followers they were removed.
fn expired_at_once(txn: &mut Txn<'_>, key: &Key<'_>, fields: &[&[u8]]) {
    txn.count_expired_fields(key, fields.len());
    txn.rewrite(|| words(&[b"HDEL", key.bytes], fields));
}

fn words(first: &[&[u8]], rest: &[&[u8]]) -> Vec<Vec<u8>> {
    first.iter().chain(rest).map(|w| w.to_vec()).collect()
}

/// HPERSIST key FIELDS numfields field [field …]
pub(super) fn hpersist(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let fields = fields_alone(&mut ctx.args, Error::NUM_FIELDS)?;
    let found = ctx.txn.find_as::<Hash>(&key)?;
    ctx.reply.array(fields.len());
    let Some(found) = found else {
        fields.iter().for_each(|_| ctx.reply.int(NO_FIELD));
        return Ok(());
    };
    let reply = &mut ctx.reply;
    ctx.txn.update(&key, found, |hash: &mut Hash, events| {
        let mut any = false;
        for field in fields {
            let code = match hash.deadline(field, over_ms) {
                None => NO_FIELD,
                Some(None) => NO_DEADLINE,
                Some(Some(_)) => {
                    hash.set_deadline(field, None);
                    any = true;
                    DONE
                }
            };
            reply.int(code);
        }
        if any {
            events.push(HPERSIST);
        }
    });
    Ok(())
}

// ----- asking -------------------------------------------------------------------

/// HTTL key FIELDS numfields field [field …]
pub(super) fn httl(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadlines(ctx, Unit::Seconds)
}

/// HPTTL key FIELDS numfields field [field …]
pub(super) fn hpttl(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadlines(ctx, Unit::Millis)
}

/// HEXPIRETIME key FIELDS numfields field [field …]
pub(super) fn hexpiretime(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadlines(ctx, Unit::UnixSeconds)
}

/// HPEXPIRETIME key FIELDS numfields field [field …]
pub(super) fn hpexpiretime(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    tell_deadlines(ctx, Unit::UnixMillis)
}

fn tell_deadlines(ctx: &mut Ctx<'_, '_>, unit: Unit) -> Result<(), Error> {
    let (key, now_ms, over_ms) = (ctx.args.key()?, ctx.txn.now_ms, ctx.txn.over_ms);
    let fields = fields_alone(&mut ctx.args, Error::SYNTAX)?;
    let hash = ctx.txn.read_as::<Hash>(&key)?;
    ctx.reply.array(fields.len());
    for field in fields {
        let deadline = hash.as_deref().map(|h| h.deadline(field, over_ms));
        ctx.reply.int(match deadline.flatten() {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(at_ms)) => unit.tell(at_ms, now_ms),
        });
    }
    Ok(())
}

// ----- together with values -----------------------------------------------------

/// HGETEX key [expiration] FIELDS numfields field [field …]
pub(super) fn hgetex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, now_ms, over_ms) = (ctx.args.key()?, ctx.txn.now_ms, ctx.txn.over_ms);
    let parse = |words| Options::parse(Takes::HgetEx, words);
    let (options, fields) = named_fields(ctx.args.rest(), 1, parse)?;
    let found = ctx.txn.look_up_as::<Hash>(&key)?;
    let deadline = options.expiry.deadline(ctx.spec.name, now_ms, 0)?;
    let change = match (options.expiry, deadline) {
        (_, Some(at_ms)) if ctx.txn.is_past(at_ms) => Some(Change::Remove),
        (_, Some(at_ms)) => Some(Change::Expire(at_ms)),
        (options::Expiry::Persist, _) => Some(Change::Persist),
        _ => None,
    };
    ctx.reply.array(fields.len());
    match (found, change) {
        (None, _) => fields.iter().for_each(|_| ctx.reply.null()),
        (Some(found), None) => {
            let hash = ctx.txn.view::<Hash>(found);
            for field in fields {
                write_item(&mut ctx.reply, hash.get(field, over_ms));
            }
        }
        (Some(found), Some(change)) => read_and_change(ctx, &key, found, fields, change),
    }
    Ok(())
}

/// What HGETEX does to the fields that it reads.
#[derive(Clone, Copy)]
enum Change {
    Remove,
    Expire(u64),
    Persist,
}

fn read_and_change(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    found: Found,
    fields: &[&[u8]],
    change: Change,
) {
    let over_ms = ctx.txn.over_ms;
    let reply = &mut ctx.reply;
    let changed: Vec<&[u8]> = ctx.txn.update(key, found, |hash: &mut Hash, events| {
        let mut changed = Vec::new();
        for field in fields {
            write_item(reply, hash.get(field, over_ms));
            let is_changed = match (change, hash.deadline(field, over_ms)) {
                (_, None) | (Change::Persist, Some(None)) => false,
                (Change::Remove, _) => hash.remove(field, over_ms),
                (Change::Expire(at_ms), _) => hash.set_deadline(field, Some(at_ms)),
                (Change::Persist, _) => hash.set_deadline(field, None),
            };
            if is_changed {
                changed.push(*field);
            }
        }
        if !changed.is_empty() {
            events.push(match change {
                Change::Remove => HEXPIRED,
                Change::Expire(_) => HEXPIRE,
                Change::Persist => HPERSIST,
            });
        }
        changed
    });
    if changed.is_empty() {
        return;
    }
    let number = IntText::unsigned(changed.len() as u64);
    let number = number.as_bytes();
    match change {
        Change::Remove => expired_at_once(ctx.txn, key, &changed),
        Change::Expire(at_ms) => ctx.txn.rewrite(|| {
            let at = IntText::unsigned(at_ms);
            words(
                &[b"HPEXPIREAT", key.bytes, at.as_bytes(), b"FIELDS", number],
                &changed,
            )
        }),
        Change::Persist => ctx
            .txn
            .rewrite(|| words(&[b"HPERSIST", key.bytes, b"FIELDS", number], &changed)),
    }
}

/// HSETEX key [NX|XX] [FNX|FXX] [expiration] FIELDS numfields field value [field value …]
pub(super) fn hsetex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, now_ms, over_ms) = (ctx.args.key()?, ctx.txn.now_ms, ctx.txn.over_ms);
    let parse = |words| Options::parse(Takes::HsetEx, words);
    let (options, pairs) = named_fields(ctx.args.rest(), 2, parse)?;
    let found = ctx.txn.find_as::<Hash>(&key)?;
    let is_wanted = match options.condition {
        options::Condition::Absent => found.is_none(),
        options::Condition::Present => found.is_some(),
        _ => true,
    };
    let deadline = match is_wanted {
        true => options.expiry.deadline(ctx.spec.name, now_ms, 0)?,
        false => None,
    };
    let is_there =
        |field: &[u8]| found.is_some_and(|f| ctx.txn.view::<Hash>(f).get(field, over_ms).is_some());
    let mut fields = pairs.iter().step_by(2);
    let is_wanted = is_wanted
        && match options.fields {
            Fields::Any => true,
            Fields::Absent => !fields.any(|f| is_there(f)),
            Fields::Present => fields.all(|f| is_there(f)),
        };
    ctx.reply.flag(is_wanted);
    match deadline {
        _ if !is_wanted => {}
        Some(at_ms) if ctx.txn.is_past(at_ms) => remove_instead(ctx.txn, &key, found, pairs),
        _ => set_with_deadline(ctx, &key, found, pairs, &options, deadline),
    }
    Ok(())
}

fn set_with_deadline(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    found: Option<Found>,
    pairs: &[&[u8]],
    options: &Options<'_>,
    deadline: Option<u64>,
) {
    let over_ms = ctx.txn.over_ms;
    let limits = limits(ctx.engine);
    let keeps = options.expiry == options::Expiry::Keep;
    let expiry = match deadline {
        Some(ms) => Expiry::At(ms),
        None if keeps => Expiry::Keep,
        None => Expiry::Never,
    };
    let (tally, over) = change(ctx.txn, key, found, |hash, events| {
        let mut tally = Tally::default();
        let mut over = Vec::new();
        for pair in pairs.chunks_exact(2) {
            let before = tally.expired;
            tally.count(hash.set(pair[0], pair[1], expiry, over_ms, limits));
            if keeps && tally.expired > before {
                over.push(pair[0]);
            }
        }
        tally.push_event(events);
        events.push(HSET);
        if deadline.is_some() {
            events.push(HEXPIRE);
        }
        (tally, over)
    });
    ctx.txn.count_expired_fields(key, tally.expired);
    if !over.is_empty() {
        // A follower cannot know that what it has there is over.
        ctx.txn.rewrite(|| words(&[b"HDEL", key.bytes], &over));
    }
    let is_definite = options.condition == options::Condition::Always
        && options.fields == Fields::Any
        && (deadline.is_none() || options.expiry.is_definite());
    if !is_definite || !over.is_empty() {
        ctx.txn.rewrite(|| {
            let at = deadline.map(IntText::unsigned);
            let number = IntText::unsigned(pairs.len() as u64 / 2);
            let mut first = vec![&b"HSETEX"[..], key.bytes];
            if let Some(at) = &at {
                first.extend([b"PXAT", at.as_bytes()]);
            } else if keeps {
                first.push(b"KEEPTTL");
            }
            first.extend([b"FIELDS", number.as_bytes()]);
            words(&first, pairs)
        });
    }
}

/// A time in the past: the fields go, whatever they were to hold.
fn remove_instead(txn: &mut Txn<'_>, key: &Key<'_>, found: Option<Found>, pairs: &[&[u8]]) {
    let fields = || pairs.iter().step_by(2).copied();
    // Valkey counts those that were not there as well.
    txn.count_expired_fields(key, fields().count());
    let removed: Vec<&[u8]> = match found {
        Some(found) => txn.update(key, found, |hash: &mut Hash, events| {
            // At the time 0 nothing is over yet: those that are go as well.
            let removed: Vec<&[u8]> = fields().filter(|f| hash.remove(f, 0)).collect();
            if !removed.is_empty() {
                events.extend([HSET, HEXPIRE, HEXPIRED]);
            }
            removed
        }),
        None => Vec::new(),
    };
    if removed.is_empty() {
        // The events come all the same; those of a key that comes and goes, too.
        let came_and_went = found.is_none();
        if came_and_went {
            txn.also(key, Event::NEW);
        }
        for event in [HSET, HEXPIRE, HEXPIRED] {
            txn.also(key, event);
        }
        if came_and_went {
            txn.also(key, Event::DEL);
        }
        return;
    }
    txn.rewrite(|| words(&[b"HDEL", key.bytes], &removed));
}
