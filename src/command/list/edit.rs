//! Commands that add, remove and replace elements of one list.

use super::{limits, not_least, push};
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::protocol::error::Error;
use crate::types::list::{List, Side, range};
use crate::types::object::Family;

/// LPUSH key element [element …], RPUSH
pub(super) fn push_any(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let found = ctx.txn.find_as::<List>(&key)?;
    let texts = ctx.args.rest();
    let len = push(ctx, &key, found, own_side(ctx), texts);
    ctx.reply.size(len);
    Ok(())
}

/// LPUSHX key element [element …], RPUSHX
pub(super) fn push_existing(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let len = match ctx.txn.find_as::<List>(&key)? {
        Some(found) => {
            let texts = ctx.args.rest();
            push(ctx, &key, Some(found), own_side(ctx), texts)
        }
        None => 0,
    };
    ctx.reply.size(len);
    Ok(())
}

/// The side that the command's name says.
pub(super) fn own_side(ctx: &Ctx<'_, '_>) -> Side {
    match ctx.spec.name.starts_with('l') {
        true => Side::Left,
        false => Side::Right,
    }
}

/// LINSERT key BEFORE|AFTER pivot element
pub(super) fn linsert(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let side = if ctx.args.flag("BEFORE") {
        Side::Left
    } else if ctx.args.flag("AFTER") {
        Side::Right
    } else {
        return Err(Error::SYNTAX);
    };
    let (pivot, text) = (ctx.args.bytes()?, ctx.args.bytes()?);
    let Some(found) = ctx.txn.find_as::<List>(&key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let limits = limits(ctx);
    let len = ctx.txn.update(&key, found, |list: &mut List, events| {
        let inserted = list.insert(side, pivot, text, limits);
        inserted.then(|| {
            events.push(Event::list("linsert"));
            list.len()
        })
    });
    ctx.reply.int(len.map_or(-1, |len| len as i64));
    Ok(())
}

/// LSET key index element
pub(super) fn lset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let found = ctx.txn.find_as::<List>(&key)?.ok_or(Error::NO_KEY)?;
    let (index, text) = (ctx.args.int()?, ctx.args.bytes()?);
    let limits = limits(ctx);
    let is_set = ctx.txn.update(&key, found, |list: &mut List, events| {
        let is_set = list.set(index, text, limits);
        if is_set {
            events.push(Event::list("lset"));
        }
        is_set
    });
    if !is_set {
        return Err(Error::INDEX_RANGE);
    }
    ctx.reply.ok();
    Ok(())
}

/// LREM key count element
pub(super) fn lrem(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let count = not_least(ctx.args.bytes()?)?;
    let text = ctx.args.bytes()?;
    let Some(found) = ctx.txn.find_as::<List>(&key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let (most, towards) = match count {
        0 => (usize::MAX, Side::Right),
        1.. => (count as usize, Side::Right),
        _ => (count.unsigned_abs() as usize, Side::Left),
    };
    let limits = limits(ctx);
    let removed = ctx.txn.update(&key, found, |list: &mut List, events| {
        let removed = list.remove(text, most, towards, limits);
        if removed > 0 {
            events.push(Event::list("lrem"));
        }
        removed
    });
    ctx.txn.count_as(&key, removed as u64);
    ctx.reply.size(removed);
    Ok(())
}

/// LTRIM key start stop
pub(super) fn ltrim(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    const EVENT: Event = Event::list("ltrim");
    let key = ctx.args.key()?;
    let (start, stop) = (ctx.args.int()?, ctx.args.int()?);
    if let Some(found) = ctx.txn.find_as::<List>(&key)? {
        let limits = limits(ctx);
        let cut = ctx.txn.update(&key, found, |list: &mut List, events| {
            let before = list.len();
            list.trim(range(start, stop, before), limits);
            let cut = before - list.len();
            if cut > 0 {
                events.push(EVENT);
            }
            cut
        });
        ctx.txn.count_as(&key, cut as u64);
        if cut == 0 {
            // Subscribers hear of it even so.
            ctx.txn.also(&key, EVENT);
        }
    }
    ctx.reply.ok();
    Ok(())
}
