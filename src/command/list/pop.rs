//! Commands that take elements from the ends of lists.

use super::edit::own_side;
use super::{limits, popped, push, pushed, side, write_item, write_items};
use crate::base::num::{self, IntText};
use crate::command::timeout;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::txn::Found;
use crate::exec::waiting::{Wait, holds};
use crate::protocol::error::Error;
use crate::types::list::{List, Side};
use crate::types::object::Family;

/// LPOP key [count], RPOP
pub(super) fn pop_one_key(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let side = own_side(ctx);
    if ctx.args.left() > 1 {
        return Err(Error::arity(ctx.spec.name));
    }
    let count = match ctx.args.is_empty() {
        true => None,
        false => Some(positive(ctx.args.bytes()?).ok_or(Error::NOT_POSITIVE)?),
    };
    match (ctx.txn.find_as::<List>(&key)?, count) {
        (None, None) => ctx.reply.null(),
        (None, Some(_)) => ctx.reply.null_array(),
        (Some(_), Some(0)) => ctx.reply.array(0),
        (Some(found), Some(n)) => {
            pop_several(ctx, &key, found, side, n);
        }
        (Some(found), None) => pop_one(ctx, &key, found, side),
    }
    Ok(())
}

fn positive(text: &[u8]) -> Option<u64> {
    num::parse_i64(text).and_then(|n| u64::try_from(n).ok())
}

/// Takes the element at an end, and writes it.
fn pop_one(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, found: Found, side: Side) {
    if let Some(item) = ctx.txn.view::<List>(found).end(side) {
        write_item(&mut ctx.reply, item);
    }
    remove(ctx, key, found, side, 1);
}

/// Takes up to `n` elements at an end, and writes them as an array; returns how
/// many they are.
fn pop_several(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, found: Found, side: Side, n: u64) -> usize {
    let list = ctx.txn.view::<List>(found);
    let n = usize::try_from(n).map_or(list.len(), |n| n.min(list.len()));
    let (from, towards) = match side {
        Side::Left => (0, Side::Right),
        Side::Right => (list.len() - 1, Side::Left),
    };
    write_items(&mut ctx.reply, &list, from, n, towards);
    remove(ctx, key, found, side, n);
    n
}

fn remove(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, found: Found, side: Side, n: usize) {
    let limits = limits(ctx);
    ctx.txn.update(key, found, |list: &mut List, events| {
        list.pop(side, n, limits);
        events.push(popped(side));
    });
    ctx.txn.count_as(key, n as u64);
}

/// What LMPOP and BLMPOP are asked for, behind their keys.
struct Wish {
    keys: usize,
    side: Side,
    count: u64,
}

impl Wish {
    /// Reads the number of keys and what stands behind the keys; the cursor
    /// then stands before the first key.
    fn parse(ctx: &mut Ctx<'_, '_>) -> Result<Wish, Error> {
        let keys = positive(ctx.args.bytes()?).filter(|&n| n > 0);
        let keys = keys.ok_or(Error::NUMKEYS_POSITIVE)?;
        let keys = usize::try_from(keys).map_err(|_| Error::SYNTAX)?;
        let mut behind = ctx.args.clone();
        for _ in 0..keys.min(behind.left() + 1) {
            behind.bytes()?;
        }
        let side = side(&mut behind)?;
        let mut count = None;
        while !behind.is_empty() {
            if count.is_some() || !behind.option("COUNT") {
                return Err(Error::SYNTAX);
            }
            let n = positive(behind.bytes()?).filter(|&n| n > 0);
            count = Some(n.ok_or(Error::COUNT_POSITIVE)?);
        }
        Ok(Wish {
            keys,
            side,
            count: count.unwrap_or(1),
        })
    }

    /// Takes from the first list that is there, and writes its key and what was
    /// taken; false where none is.
    fn grant(&self, ctx: &mut Ctx<'_, '_>) -> Result<bool, Error> {
        for _ in 0..self.keys {
            let key = ctx.args.key()?;
            if let Some(found) = ctx.txn.find_as::<List>(&key)? {
                ctx.reply.array(2);
                ctx.reply.bulk(key.bytes);
                let n = pop_several(ctx, &key, found, self.side, self.count);
                ctx.txn.rewrite(|| {
                    let n = IntText::unsigned(n as u64);
                    words(&[pop_name(self.side), key.bytes, n.as_bytes()])
                });
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn pop_name(side: Side) -> &'static [u8] {
    match side {
        Side::Left => b"LPOP",
        Side::Right => b"RPOP",
    }
}

fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

/// LMPOP numkeys key [key …] LEFT|RIGHT [COUNT count]
pub(super) fn lmpop(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let wish = Wish::parse(ctx)?;
    if !wish.grant(ctx)? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// BLPOP key [key …] timeout, BRPOP
pub(super) fn blocking_pop(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let argv = ctx.args.all();
    let until_ms = timeout::in_seconds(argv[argv.len() - 1], ctx.txn.now_ms)?;
    let side = match ctx.spec.name {
        "blpop" => Side::Left,
        _ => Side::Right,
    };
    while ctx.args.left() > 1 {
        let key = ctx.args.key()?;
        if let Some(found) = ctx.txn.find_as::<List>(&key)? {
            ctx.reply.array(2);
            ctx.reply.bulk(key.bytes);
            pop_one(ctx, &key, found, side);
            ctx.txn.rewrite(|| words(&[pop_name(side), key.bytes]));
            return Ok(());
        }
    }
    wait(ctx, until_ms);
    Ok(())
}

/// BLMPOP timeout numkeys key [key …] LEFT|RIGHT [COUNT count]
pub(super) fn blmpop(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let seconds = ctx.args.bytes()?;
    let wish = Wish::parse(ctx)?;
    let until_ms = timeout::in_seconds(seconds, ctx.txn.now_ms)?;
    if !wish.grant(ctx)? {
        wait(ctx, until_ms);
    }
    Ok(())
}

fn wait(ctx: &mut Ctx<'_, '_>, until_ms: Option<u64>) {
    ctx.wait(Wait {
        until_ms,
        is_ready: holds::<List>,
        timed_out: Box::new(|reply| reply.null_array()),
        until: None,
        words: None,
    });
}

/// BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout
pub(super) fn blmove(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let keys = (ctx.args.key()?, ctx.args.key()?);
    let sides = (side(&mut ctx.args)?, side(&mut ctx.args)?);
    // As the client said it, but for the timeout.
    let all = ctx.args.all();
    let said = [b"LMOVE", all[1], all[2], all[3], all[4]];
    move_or_wait(ctx, keys, sides, &said)
}

/// BRPOPLPUSH source destination timeout
pub(super) fn brpoplpush(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let keys = (ctx.args.key()?, ctx.args.key()?);
    let said = [b"RPOPLPUSH".as_slice(), keys.0.bytes, keys.1.bytes];
    move_or_wait(ctx, keys, (Side::Right, Side::Left), &said)
}

/// Moves an element, in other words `said`; the next argument is the timeout.
fn move_or_wait(
    ctx: &mut Ctx<'_, '_>,
    keys: (Key<'_>, Key<'_>),
    sides: (Side, Side),
    said: &[&[u8]],
) -> Result<(), Error> {
    let until_ms = timeout::in_seconds(ctx.args.bytes()?, ctx.txn.now_ms)?;
    if move_one(ctx, keys, sides)? {
        ctx.txn.rewrite(|| words(said));
    } else if ctx.session.in_exec {
        // Not what a wait that is over is answered by.
        ctx.reply.null();
    } else {
        wait(ctx, until_ms);
    }
    Ok(())
}

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT
pub(super) fn lmove(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let keys = (ctx.args.key()?, ctx.args.key()?);
    let sides = (side(&mut ctx.args)?, side(&mut ctx.args)?);
    if !move_one(ctx, keys, sides)? {
        ctx.reply.null();
    }
    Ok(())
}

/// RPOPLPUSH source destination
pub(super) fn rpoplpush(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let keys = (ctx.args.key()?, ctx.args.key()?);
    if !move_one(ctx, keys, (Side::Right, Side::Left))? {
        ctx.reply.null();
    }
    Ok(())
}

/// Moves an element from an end of the first list to one of the second, which
/// may be the same, and writes it; false where the first is not there.
fn move_one(
    ctx: &mut Ctx<'_, '_>,
    (source, destination): (Key<'_>, Key<'_>),
    (from, to): (Side, Side),
) -> Result<bool, Error> {
    let Some(found) = ctx.txn.find_as::<List>(&source)? else {
        return Ok(false);
    };
    if source.bytes == destination.bytes {
        let limits = limits(ctx);
        ctx.txn.update(&source, found, |list: &mut List, events| {
            list.rotate(from, to, limits);
            events.extend([pushed(to), popped(from)]);
        });
        ctx.txn.count_as(&source, 1);
        if let Some(item) = ctx.txn.view::<List>(found).end(to) {
            write_item(&mut ctx.reply, item);
        }
        return Ok(true);
    }
    let target = ctx.txn.find_as::<List>(&destination)?;
    // Looking for the second may have moved the first.
    let again = |ctx: &mut Ctx<'_, '_>| ctx.txn.find(&source);
    let Some(found) = again(ctx) else {
        return Ok(false);
    };
    let text = ctx.txn.view::<List>(found).end(from).map(|i| i.to_vec());
    let text = text.unwrap_or_default();
    push(ctx, &destination, target, to, &[&text]);
    if let Some(found) = again(ctx) {
        remove(ctx, &source, found, from, 1);
    }
    ctx.reply.bulk(&text);
    Ok(true)
}
