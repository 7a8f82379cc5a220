//! Commands that read a string, some of which then let go of the key.

use super::{string, write_value};
use crate::command::options::{Expiry, Options, Takes};
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::protocol::error::Error;
use crate::store::figures::Reason;

/// GET key
pub(super) fn get(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    match ctx.txn.fetch(&key) {
        Ok(Some(entry)) => write_value(&mut ctx.reply, string(entry)?),
        Ok(None) => ctx.reply.null(),
        Err(ms) => ctx.wait_for_refill(ms),
    }
    Ok(())
}

/// MGET key [key …]
pub(super) fn mget(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.array(ctx.args.left());
    while !ctx.args.is_empty() {
        let key = ctx.args.key()?;
        // What is no string is as good as absent here.
        match ctx.txn.fetch(&key).ok().flatten().map(string) {
            Some(Ok(value)) => write_value(&mut ctx.reply, value),
            Some(Err(_)) | None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// STRLEN key
pub(super) fn strlen(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let length = match ctx.txn.read(&key) {
        Some(entry) => string(entry)?.len(),
        None => 0,
    };
    ctx.reply.size(length);
    Ok(())
}

/// GETRANGE key start end, and SUBSTR
pub(super) fn getrange(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (start, end) = (ctx.args.int()?, ctx.args.int()?);
    match ctx.txn.read(&key) {
        Some(entry) => string(entry)?.with_bytes(|bytes| {
            ctx.reply.bulk(part(bytes, start, end));
        }),
        None => ctx.reply.bulk(b""),
    }
    Ok(())
}

/// The bytes from `start` to `end`, both included, and counted from the end
/// where negative.
fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    // Both before the beginning and in the wrong order: not the first byte.
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let place = |n: i64| match usize::try_from(n) {
        Ok(n) => n,
        Err(_) => bytes
            .len()
            .saturating_sub(usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let end = place(end).saturating_add(1).min(bytes.len());
    bytes.get(place(start)..end).unwrap_or_default()
}

/// GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]
pub(super) fn getex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let options = Options::parse(Takes::GetEx, ctx.args.rest())?;
    let deadline = options.expiry.deadline(ctx.spec.name, ctx.txn.now_ms, 1)?;
    let Some(found) = ctx.txn.look_up(&key) else {
        ctx.reply.null();
        return Ok(());
    };
    let entry = ctx.txn.entry(found);
    write_value(&mut ctx.reply, string(entry)?);
    match deadline {
        Some(ms) if ctx.txn.is_past(ms) => ctx.txn.remove_expired(&key, found),
        Some(ms) => {
            ctx.txn.set_deadline(&key, found, deadline, Event::EXPIRE);
            ctx.txn.rewrite(|| {
                let ms = ms.to_string().into_bytes();
                vec![b"PEXPIREAT".to_vec(), key.bytes.to_vec(), ms]
            });
        }
        None if options.expiry == Expiry::Persist && entry.deadline().is_some() => {
            ctx.txn.set_deadline(&key, found, None, Event::PERSIST);
            ctx.txn
                .rewrite(|| vec![b"PERSIST".to_vec(), key.bytes.to_vec()]);
        }
        None => {}
    }
    Ok(())
}

/// GETDEL key
pub(super) fn getdel(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let Some(found) = ctx.txn.look_up(&key) else {
        ctx.txn.forget_miss(&key);
        ctx.txn.remove_absent(&key, Reason::Deleted);
        ctx.reply.null();
        return Ok(());
    };
    write_value(&mut ctx.reply, string(ctx.txn.entry(found))?);
    ctx.txn.remove(&key, found, Event::DEL);
    ctx.txn
        .rewrite(|| vec![b"DEL".to_vec(), key.bytes.to_vec()]);
    Ok(())
}
