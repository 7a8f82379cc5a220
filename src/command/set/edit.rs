//! Commands that add, remove and move members.

use super::limits;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::Deadline;
use crate::protocol::error::Error;
use crate::store::entry::NewValue;
use crate::types::set::{Limits, Member, Set};

const SADD: Event = Event::set("sadd");
const SREM: Event = Event::set("srem");

/// SADD key member [member …]
pub(super) fn sadd(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let members = ctx.args.rest();
    let limits = limits(ctx);
    let added = match ctx.txn.find_as::<Set>(&key)? {
        Some(found) => ctx.txn.update(&key, found, |set: &mut Set, events| {
            set.expect(members.len(), &limits);
            let added = insert_all(set, members, &limits);
            if added > 0 {
                events.push(SADD);
            }
            added
        }),
        None => {
            let (set, added) = new_set(members, &limits);
            let value = NewValue::Object(set.into());
            ctx.txn.put(&key, None, value, Deadline::Never, SADD);
            added
        }
    };
    ctx.reply.size(added);
    Ok(())
}

fn insert_all(set: &mut Set, members: &[&[u8]], limits: &Limits) -> usize {
    let is_new = |member: &&&[u8]| set.insert(Member::Str(member), limits);
    members.iter().filter(is_new).count()
}

/// A set of some members, and how many different ones they are.
fn new_set(members: &[&[u8]], limits: &Limits) -> (Set, usize) {
    let first = members.first().copied().unwrap_or_default();
    let mut set = Set::for_members(first, members.len(), limits);
    let added = insert_all(&mut set, members, limits);
    (set, added)
}

/// SREM key member [member …]
pub(super) fn srem(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let members = ctx.args.rest();
    let mut removed = 0;
    if let Some(found) = ctx.txn.find_as::<Set>(&key)? {
        ctx.txn.update(&key, found, |set: &mut Set, events| {
            let was_there = |member: &&&[u8]| set.remove(Member::Str(member));
            removed = members.iter().filter(was_there).count();
            if removed > 0 {
                events.push(SREM);
            }
        });
    }
    ctx.reply.size(removed);
    Ok(())
}

/// SMOVE source destination member
pub(super) fn smove(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (from, to) = (ctx.args.key()?, ctx.args.key()?);
    let member = ctx.args.bytes()?;
    // If the second's time is over it goes now, and not when the first was found.
    ctx.txn.find(&to);
    let Some(source) = ctx.txn.find_as::<Set>(&from)? else {
        ctx.reply.flag(false);
        return Ok(());
    };
    ctx.txn.find_as::<Set>(&to)?;
    if from.bytes == to.bytes {
        let is_there = ctx.txn.view::<Set>(source).contains(Member::Str(member));
        ctx.reply.flag(is_there);
        return Ok(());
    }
    let is_moved = ctx.txn.update(&from, source, |set: &mut Set, events| {
        let was_there = set.remove(Member::Str(member));
        if was_there {
            events.push(SREM);
        }
        was_there
    });
    if is_moved {
        let limits = limits(ctx);
        match ctx.txn.find(&to) {
            Some(found) => ctx.txn.update(&to, found, |set: &mut Set, events| {
                if set.insert(Member::Str(member), &limits) {
                    events.push(SADD);
                }
            }),
            None => {
                let (set, _) = new_set(&[member], &limits);
                let value = NewValue::Object(set.into());
                ctx.txn.put(&to, None, value, Deadline::Never, SADD);
            }
        }
    }
    ctx.reply.flag(is_moved);
    Ok(())
}
