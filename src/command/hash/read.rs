//! Commands that tell what a hash holds.

use super::write_item;
use crate::exec::context::Ctx;
use crate::protocol::error::Error;
use crate::types::hash::Hash;
use crate::types::object::Family;

/// HGET key field
pub(super) fn hget(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let field = ctx.args.bytes()?;
    let hash = ctx.txn.read_as::<Hash>(&key)?;
    let value = hash.as_deref().and_then(|h| h.get(field, over_ms));
    write_item(&mut ctx.reply, value);
    Ok(())
}

/// HMGET key field [field …]
pub(super) fn hmget(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let fields = ctx.args.rest();
    let hash = ctx.txn.read_as::<Hash>(&key)?;
    ctx.reply.array(fields.len());
    for field in fields {
        let value = hash.as_deref().and_then(|h| h.get(field, over_ms));
        write_item(&mut ctx.reply, value);
    }
    Ok(())
}

/// HGETALL key
pub(super) fn hgetall(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let Some(hash) = ctx.txn.read_as::<Hash>(&key)? else {
        ctx.reply.map(0);
        return Ok(());
    };
    ctx.reply.map(hash.live(over_ms));
    hash.each(over_ms, |field, value| {
        write_item(&mut ctx.reply, Some(field));
        write_item(&mut ctx.reply, Some(value));
    });
    Ok(())
}

/// HKEYS key
pub(super) fn hkeys(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    list(ctx, true)
}

/// HVALS key
pub(super) fn hvals(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    list(ctx, false)
}

fn list(ctx: &mut Ctx<'_, '_>, fields: bool) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let Some(hash) = ctx.txn.read_as::<Hash>(&key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    ctx.reply.array(hash.live(over_ms));
    hash.each(over_ms, |field, value| {
        write_item(&mut ctx.reply, Some(if fields { field } else { value }));
    });
    Ok(())
}

/// HLEN key. Fields whose time is over count until they are removed.
pub(super) fn hlen(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let hash = ctx.txn.read_as::<Hash>(&key)?;
    ctx.reply.size(hash.map_or(0, |h| h.len()));
    Ok(())
}

/// HSTRLEN key field
pub(super) fn hstrlen(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let field = ctx.args.bytes()?;
    let hash = ctx.txn.read_as::<Hash>(&key)?;
    let value = hash.as_deref().and_then(|h| h.get(field, over_ms));
    ctx.reply.size(value.map_or(0, |v| v.text_len()));
    Ok(())
}

/// HEXISTS key field
pub(super) fn hexists(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let field = ctx.args.bytes()?;
    let hash = ctx.txn.read_as::<Hash>(&key)?;
    ctx.reply
        .flag(hash.is_some_and(|h| h.get(field, over_ms).is_some()));
    Ok(())
}
