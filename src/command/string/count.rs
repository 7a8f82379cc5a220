//! Commands that add to a number.

use super::string;
use crate::base::float80::Float80;
use crate::base::num;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::Deadline;
use crate::protocol::error::Error;
use crate::store::entry::{NewValue, Value};

const INCRBY: Event = Event::string("incrby");
const INCRBYFLOAT: Event = Event::string("incrbyfloat");

/// INCR key
pub(super) fn incr(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    add(ctx, |_| Ok(1))
}

/// DECR key
pub(super) fn decr(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    add(ctx, |_| Ok(-1))
}

/// INCRBY key increment
pub(super) fn incrby(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    add(ctx, |ctx| ctx.args.int())
}

/// DECRBY key decrement
pub(super) fn decrby(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    add(ctx, |ctx| {
        let n = ctx.args.int()?;
        n.checked_neg().ok_or(Error::DECREMENT_OVERFLOW)
    })
}

#[inline]
fn add<'c, 't>(
    ctx: &mut Ctx<'c, 't>,
    increment: impl FnOnce(&mut Ctx<'c, 't>) -> Result<i64, Error>,
) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let increment = increment(ctx)?;
    let found = ctx.txn.find(&key);
    let old = match found {
        Some(found) => match string(ctx.txn.entry(found))? {
            Value::Int(n) => n,
            Value::Str(text) => num::parse_i64(text).ok_or(Error::NOT_INTEGER)?,
            Value::Blob(_) | Value::Object(_) => return Err(Error::NOT_INTEGER),
        },
        None => 0,
    };
    let new = old.checked_add(increment).ok_or(Error::OVERFLOW)?;
    let is_done = found.is_some_and(|found| ctx.txn.put_int(&key, found, new, INCRBY));
    if !is_done {
        let value = NewValue::Int(new);
        ctx.txn.put(&key, found, value, Deadline::Keep, INCRBY);
    }
    ctx.reply.int(new);
    Ok(())
}

/// INCRBYFLOAT key increment
pub(super) fn incrbyfloat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let found = ctx.txn.find(&key);
    let old = match found {
        Some(found) => match string(ctx.txn.entry(found))? {
            Value::Int(n) => Float80::from(n),
            Value::Str(text) => Float80::parse(text).ok_or(Error::NOT_FLOAT)?,
            Value::Blob(_) | Value::Object(_) => return Err(Error::NOT_FLOAT),
        },
        None => Float80::from(0),
    };
    let increment = Float80::parse(ctx.args.bytes()?).ok_or(Error::NOT_FLOAT)?;
    let sum = old.checked_add(increment).ok_or(Error::NAN_OR_INF)?;
    let text = sum.to_string();
    // As text even where it is whole: OBJECT ENCODING tells.
    let value = NewValue::Str(text.as_bytes());
    ctx.txn.put(&key, found, value, Deadline::Keep, INCRBYFLOAT);
    ctx.txn.rewrite(|| {
        [b"SET", key.bytes, text.as_bytes(), b"KEEPTTL"]
            .map(<[u8]>::to_vec)
            .into()
    });
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}
