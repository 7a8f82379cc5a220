//! Commands that make one set of several.

use super::{limits, write_member};
use crate::base::num;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::Txn;
use crate::protocol::error::Error;
use crate::store::entry::View;
use crate::types::set::{Limits, Member, Set, combine};

/// SINTER key [key …]
pub(super) fn sinter(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let keys = remaining_keys(ctx)?;
    let views = views(ctx.txn, &keys)?;
    let members: Vec<Member<'_>> = match all(&views) {
        Some(sets) => combine::intersection(&sets).collect(),
        None => Vec::new(),
    };
    ctx.reply.set(members.len());
    for member in members {
        write_member(&mut ctx.reply, member);
    }
    Ok(())
}

/// SINTERCARD numkeys key [key …] [LIMIT limit]
pub(super) fn sintercard(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let numkeys = positive(ctx.args.bytes()?)
        .filter(|&n| n > 0)
        .ok_or_else(|| Error::new("ERR numkeys should be greater than 0"))?;
    if numkeys > ctx.args.left() {
        let text = "ERR Number of keys can't be greater than number of args";
        return Err(Error::new(text));
    }
    let keys: Vec<Key<'_>> = (0..numkeys)
        .map(|_| ctx.args.key())
        .collect::<Result<_, _>>()?;
    let mut limit = 0;
    while !ctx.args.is_empty() {
        if !ctx.args.option("LIMIT") {
            return Err(Error::SYNTAX);
        }
        limit =
            positive(ctx.args.bytes()?).ok_or_else(|| Error::new("ERR LIMIT can't be negative"))?;
    }
    let views = views(ctx.txn, &keys)?;
    let most = if limit == 0 { usize::MAX } else { limit };
    let count = all(&views).map_or(0, |sets| combine::intersection(&sets).take(most).count());
    ctx.reply.size(count);
    Ok(())
}

fn positive(text: &[u8]) -> Option<usize> {
    usize::try_from(num::parse_i64(text)?).ok()
}

/// SUNION key [key …]
pub(super) fn sunion(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    give(ctx, union)
}

/// SDIFF key [key …]
pub(super) fn sdiff(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    give(ctx, difference)
}

/// SINTERSTORE destination key [key …]
pub(super) fn sinterstore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    store(ctx, Event::set("sinterstore"), |sets, limits| {
        let all: Option<Vec<&Set>> = sets.iter().copied().collect();
        all.map_or_else(Set::default, |sets| {
            combine::intersection_as_set(&sets, limits)
        })
    })
}

/// SUNIONSTORE destination key [key …]
pub(super) fn sunionstore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    store(ctx, Event::set("sunionstore"), union)
}

/// SDIFFSTORE destination key [key …]
pub(super) fn sdiffstore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    store(ctx, Event::set("sdiffstore"), difference)
}

/// Makes one set of several, some of which may not be there.
type Operation = fn(&[Option<&Set>], &Limits) -> Set;

fn union(sets: &[Option<&Set>], limits: &Limits) -> Set {
    let sets: Vec<&Set> = sets.iter().flatten().copied().collect();
    combine::union(&sets, limits)
}

fn difference(sets: &[Option<&Set>], limits: &Limits) -> Set {
    let Some((Some(first), others)) = sets.split_first() else {
        return Set::default();
    };
    let others: Vec<&Set> = others.iter().flatten().copied().collect();
    combine::difference(first, &others, limits)
}

fn give(ctx: &mut Ctx<'_, '_>, operation: Operation) -> Result<(), Error> {
    let keys = remaining_keys(ctx)?;
    let mut limits = limits(ctx);
    let views = views(ctx.txn, &keys)?;
    let sets = sets(&views);
    if !sets.iter().flatten().all(|set| matches!(set, Set::Ints(_))) {
        limits = Limits::NONE;
    }
    let result = operation(&sets, &limits);
    ctx.reply.set(result.len());
    for member in result.iter() {
        write_member(&mut ctx.reply, member);
    }
    Ok(())
}

fn store(ctx: &mut Ctx<'_, '_>, event: Event, operation: Operation) -> Result<(), Error> {
    let to = ctx.args.key()?;
    let keys = remaining_keys(ctx)?;
    let limits = limits(ctx);
    let views = views(ctx.txn, &keys)?;
    let result = operation(&sets(&views), &limits);
    drop(views);
    let length = ctx.txn.store(&to, result, event);
    ctx.reply.size(length);
    Ok(())
}

fn remaining_keys<'c>(ctx: &mut Ctx<'c, '_>) -> Result<Vec<Key<'c>>, Error> {
    (0..ctx.args.left()).map(|_| ctx.args.key()).collect()
}

/// The sets of several keys; an error where one holds something else.
fn views<'t>(txn: &'t mut Txn<'_>, keys: &[Key<'_>]) -> Result<Vec<Option<View<'t, Set>>>, Error> {
    for key in keys {
        if let Some(entry) = txn.read(key) {
            View::<Set>::of(entry.value()).ok_or(Error::WRONG_TYPE)?;
        }
    }
    // They were all looked at, so that finding them removes none any more.
    let found: Vec<_> = keys.iter().map(|key| txn.find(key)).collect();
    let txn = &*txn;
    Ok(found
        .into_iter()
        .map(|found| Some(txn.view(found?)))
        .collect())
}

fn sets<'a>(views: &'a [Option<View<'_, Set>>]) -> Vec<Option<&'a Set>> {
    views.iter().map(Option::as_deref).collect()
}

/// All sets; `None` where one is not there.
fn all<'a>(views: &'a [Option<View<'_, Set>>]) -> Option<Vec<&'a Set>> {
    views.iter().map(Option::as_deref).collect()
}
