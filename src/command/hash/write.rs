//! Commands that change values.

use super::{Tally, change, fields_alone, has_deadlines, limits, write_item};
use crate::base::float80::Float80;
use crate::base::num::IntText;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::Txn;
use crate::protocol::error::Error;
use crate::types::hash::{Expiry, Hash};

pub(super) const HSET: Event = Event::hash("hset");
const HDEL: Event = Event::hash("hdel");
const HINCRBY: Event = Event::hash("hincrby");
const HINCRBYFLOAT: Event = Event::hash("hincrbyfloat");

/// HSET key field value [field value …]
pub(super) fn hset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let added = store(ctx)?;
    ctx.reply.size(added);
    Ok(())
}

/// HMSET key field value [field value …]
pub(super) fn hmset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    store(ctx)?;
    ctx.reply.ok();
    Ok(())
}

/// Stores all pairs and returns how many of the fields were not there.
fn store(ctx: &mut Ctx<'_, '_>) -> Result<usize, Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let words = ctx.args.rest();
    if !words.len().is_multiple_of(2) {
        return Err(Error::arity(ctx.spec.name));
    }
    let limits = limits(ctx.engine);
    let found = ctx.txn.find_as::<Hash>(&key)?;
    let tally = change(ctx.txn, &key, found, |hash, events| {
        let mut tally = Tally::default();
        hash.prepare(words, limits);
        for pair in words.chunks_exact(2) {
            tally.count(hash.set(pair[0], pair[1], Expiry::Never, over_ms, limits));
        }
        tally.push_event(events);
        events.push(HSET);
        tally
    });
    ctx.txn.count_expired_fields(&key, tally.expired);
    Ok(tally.added)
}

/// HSETNX key field value
pub(super) fn hsetnx(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let words = ctx.args.rest();
    let field = words[0];
    let limits = limits(ctx.engine);
    let found = ctx.txn.find_as::<Hash>(&key)?;
    let is_there = found.is_some_and(|f| ctx.txn.view::<Hash>(f).get(field, over_ms).is_some());
    ctx.reply.flag(!is_there);
    if is_there {
        return Ok(());
    }
    let had_deadlines = has_deadlines(ctx.txn, found);
    let tally = change(ctx.txn, &key, found, |hash, events| {
        let mut tally = Tally::default();
        hash.prepare(words, limits);
        tally.count(hash.set(field, words[1], Expiry::Never, over_ms, limits));
        tally.push_event(events);
        events.push(HSET);
        tally
    });
    ctx.txn.count_expired_fields(&key, tally.expired);
    if had_deadlines {
        // A follower may still have the field that is over here.
        rewrite_as_set(ctx.txn, &key, field, words[1], None);
    }
    Ok(())
}

/// HDEL key field [field …]
pub(super) fn hdel(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let fields = ctx.args.rest();
    let removed = match ctx.txn.find_as::<Hash>(&key)? {
        Some(found) => ctx.txn.update(&key, found, |hash: &mut Hash, events| {
            let removed = fields.iter().filter(|f| hash.remove(f, over_ms)).count();
            if removed > 0 {
                events.push(HDEL);
            }
            removed
        }),
        None => 0,
    };
    ctx.reply.size(removed);
    Ok(())
}

/// HGETDEL key FIELDS numfields field [field …]
pub(super) fn hgetdel(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let fields = fields_alone(&mut ctx.args, Error::NUM_FIELDS)?;
    let found = ctx.txn.find_as::<Hash>(&key)?;
    ctx.reply.array(fields.len());
    let Some(found) = found else {
        fields.iter().for_each(|_| ctx.reply.null());
        return Ok(());
    };
    let reply = &mut ctx.reply;
    ctx.txn.update(&key, found, |hash: &mut Hash, events| {
        let mut removed = false;
        for field in fields {
            write_item(reply, hash.get(field, over_ms));
            removed |= hash.remove(field, over_ms);
        }
        if removed {
            events.push(HDEL);
        }
    });
    Ok(())
}

/// HINCRBY key field increment
pub(super) fn hincrby(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let field = ctx.args.bytes()?;
    let increment = ctx.args.int()?;
    let found = ctx.txn.find_as::<Hash>(&key)?;
    let old = match found.and_then(|f| ctx.txn.view::<Hash>(f).get(field, over_ms).map(|v| v.int()))
    {
        Some(number) => number.ok_or(Error::HASH_NOT_INTEGER)?,
        None => 0,
    };
    let sum = old.checked_add(increment).ok_or(Error::OVERFLOW)?;
    let text = IntText::new(sum);
    let had_deadlines = has_deadlines(ctx.txn, found);
    let deadline = put_sum(ctx, &key, field, text.as_bytes(), HINCRBY)?;
    if had_deadlines {
        rewrite_as_set(ctx.txn, &key, field, text.as_bytes(), deadline);
    }
    ctx.reply.int(sum);
    Ok(())
}

/// HINCRBYFLOAT key field increment
pub(super) fn hincrbyfloat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let field = ctx.args.bytes()?;
    let increment = Float80::parse(ctx.args.bytes()?).ok_or(Error::NOT_FLOAT)?;
    if !increment.is_finite() {
        return Err(Error::IS_NAN_OR_INF);
    }
    let found = ctx.txn.find_as::<Hash>(&key)?;
    let read = |text: &[u8]| Float80::parse(text).ok_or(Error::HASH_NOT_FLOAT);
    let old = match found {
        Some(found) => {
            let hash = ctx.txn.view::<Hash>(found);
            hash.get(field, over_ms).map(|v| v.with_bytes(read))
        }
        None => None,
    };
    let old = old.unwrap_or(Ok(Float80::from(0)))?;
    let sum = old.checked_add(increment).ok_or(Error::NAN_OR_INF)?;
    let text = sum.to_string();
    let deadline = put_sum(ctx, &key, field, text.as_bytes(), HINCRBYFLOAT)?;
    rewrite_as_set(ctx.txn, &key, field, text.as_bytes(), deadline);
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}

/// Stores a sum under a field, whose deadline stays and is returned.
fn put_sum(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    field: &[u8],
    text: &[u8],
    event: Event,
) -> Result<Option<u64>, Error> {
    let limits = limits(ctx.engine);
    let over_ms = ctx.txn.over_ms;
    let found = ctx.txn.find_as::<Hash>(key)?;
    let (tally, deadline) = change(ctx.txn, key, found, |hash, events| {
        let mut tally = Tally::default();
        let deadline = hash.deadline(field, over_ms).flatten();
        tally.count(hash.set(field, text, Expiry::Keep, over_ms, limits));
        tally.push_event(events);
        events.push(event);
        (tally, deadline)
    });
    ctx.txn.count_expired_fields(key, tally.expired);
    Ok(deadline)
}

/// For followers, the field was given this value until this time, whatever they
/// had there.
fn rewrite_as_set(
    txn: &mut Txn<'_>,
    key: &Key<'_>,
    field: &[u8],
    value: &[u8],
    deadline: Option<u64>,
) {
    txn.rewrite(|| match deadline {
        None => [b"HSET", key.bytes, field, value]
            .map(<[u8]>::to_vec)
            .into(),
        Some(ms) => [
            b"HSETEX",
            key.bytes,
            b"PXAT",
            IntText::unsigned(ms).as_bytes(),
            b"FIELDS",
            b"1",
            field,
            value,
        ]
        .map(<[u8]>::to_vec)
        .into(),
    });
}
