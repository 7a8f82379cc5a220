//! Commands that draw members at random.

use super::{limits, write_member};
use crate::base::clock;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::{Event, Removal};
use crate::exec::txn::Found;
use crate::protocol::error::Error;
use crate::types::sample::{self, DRAWS_MAX};
use crate::types::set::Set;

const SPOP: Event = Event::set("spop");
/// Members in one of the commands by which followers hear of SPOP.
const REMOVED_TOGETHER: usize = 1024;

/// SPOP key [count]
pub(super) fn spop(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    if ctx.args.left() > 1 {
        return Err(Error::SYNTAX);
    }
    if ctx.args.is_empty() {
        let popped = match ctx.txn.find_as::<Set>(&key)? {
            Some(found) => pop(ctx, &key, found, 1),
            None => Vec::new(),
        };
        match popped.first() {
            Some(member) => ctx.reply.bulk(member),
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    let count = ctx.args.int().ok().and_then(|n| usize::try_from(n).ok());
    let count = count.ok_or(Error::NOT_POSITIVE)?;
    let found = ctx.txn.find_as::<Set>(&key)?;
    let Some(found) = found.filter(|_| count > 0) else {
        ctx.reply.set(0);
        return Ok(());
    };
    if count >= ctx.txn.view::<Set>(found).len() {
        pop_all(ctx, &key, found);
        return Ok(());
    }
    let popped = pop(ctx, &key, found, count);
    ctx.reply.set(popped.len());
    popped.iter().for_each(|member| ctx.reply.bulk(member));
    Ok(())
}

/// Takes so many members out. Followers are told which.
fn pop(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, found: Found, count: usize) -> Vec<Vec<u8>> {
    let limits = limits(ctx);
    let popped = ctx.txn.update(key, found, |set: &mut Set, events| {
        events.push(SPOP);
        set.pop(count, &limits)
    });
    for members in popped.chunks(REMOVED_TOGETHER) {
        ctx.txn.rewrite(|| {
            let words = [b"SREM".to_vec(), key.bytes.to_vec()].into_iter();
            words.chain(members.iter().cloned()).collect()
        });
    }
    popped
}

/// Gives all members, and removes the key.
fn pop_all(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, found: Found) {
    let set = ctx.txn.view::<Set>(found);
    ctx.reply.set(set.len());
    set.iter()
        .for_each(|member| write_member(&mut ctx.reply, member));
    ctx.txn.also(key, SPOP);
    ctx.txn.remove(key, found, Event::DEL);
    let word = ctx.engine.effects.removal_word(Removal::Replacement);
    let key = key.bytes.to_vec();
    ctx.txn.rewrite(|| vec![word.into(), key]);
}

/// SRANDMEMBER key [count]
pub(super) fn srandmember(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    if ctx.args.left() > 1 {
        return Err(Error::SYNTAX);
    }
    if ctx.args.is_empty() {
        let set = ctx.txn.read_as::<Set>(&key)?;
        match set.as_ref().and_then(|set| set.at_rank(random_rank(set))) {
            Some(member) => write_member(&mut ctx.reply, member),
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    let count = ctx.args.int()?;
    if count == i64::MIN {
        return Err(Error::NOT_LONG);
    }
    let most = ctx.reply_bytes_max();
    let Some(set) = ctx.txn.read_as::<Set>(&key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if let Ok(count) = usize::try_from(count) {
        let ranks = sample::ranks(set.len(), count);
        ctx.reply.array(ranks.len());
        set.at_ranks(&ranks, |member| write_member(&mut ctx.reply, member));
        return Ok(());
    }
    let draws = count.unsigned_abs();
    if draws > DRAWS_MAX && most.is_none() {
        return Err(Error::OUT_OF_RANGE);
    }
    ctx.reply.array(draws as usize);
    for _ in 0..draws {
        if most.is_some_and(|most| ctx.reply.output().len() > most) {
            break;
        }
        if let Some(member) = set.at_rank(random_rank(&set)) {
            write_member(&mut ctx.reply, member);
        }
    }
    Ok(())
}

fn random_rank(set: &Set) -> usize {
    clock::random_below(set.len() as u64) as usize
}
