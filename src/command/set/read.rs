//! Commands that ask about members.

use super::write_member;
use crate::command::scan::{Names, Options, Over, parse_cursor, write_walk};
use crate::exec::context::Ctx;
use crate::protocol::error::Error;
use crate::types::set::{Member, Set};

/// SISMEMBER key member
pub(super) fn sismember(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let member = Member::Str(ctx.args.bytes()?);
    let set = ctx.txn.read_as::<Set>(&key)?;
    ctx.reply.flag(set.is_some_and(|set| set.contains(member)));
    Ok(())
}

/// SMISMEMBER key member [member …]
pub(super) fn smismember(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let members = ctx.args.rest();
    let set = ctx.txn.read_as::<Set>(&key)?;
    ctx.reply.array(members.len());
    for member in members {
        let is_there = set
            .as_ref()
            .is_some_and(|s| s.contains(Member::Str(member)));
        ctx.reply.flag(is_there);
    }
    Ok(())
}

/// SCARD key
pub(super) fn scard(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let set = ctx.txn.read_as::<Set>(&key)?;
    ctx.reply.size(set.map_or(0, |set| set.len()));
    Ok(())
}

/// SMEMBERS key
pub(super) fn smembers(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    match ctx.txn.read_as::<Set>(&key)? {
        Some(set) => {
            ctx.reply.set(set.len());
            set.iter()
                .for_each(|member| write_member(&mut ctx.reply, member));
        }
        None => ctx.reply.set(0),
    }
    Ok(())
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]
pub(super) fn sscan(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let cursor = parse_cursor(ctx.args.bytes()?).ok_or(Error::CURSOR)?;
    let mut names = Names::default();
    let mut next = 0;
    if let Some(set) = ctx.txn.read_as::<Set>(&key)? {
        let options = Options::parse(&mut ctx.args, Over::Set)?;
        let mut show = |member: Member<'_>| {
            member.with_bytes(|name| {
                if options.pattern.matches(name) {
                    names.push(name);
                }
            });
        };
        match &*set {
            Set::Table(dict) => {
                next = options.walk(cursor, |cursor| {
                    let mut met = 0;
                    let next = dict.scan(cursor, |element| {
                        met += 1;
                        show(Member::Str(element.key()));
                    });
                    (met, next)
                });
            }
            // What is compact is given all at once.
            compact => compact.iter().for_each(show),
        }
    }
    write_walk(&mut ctx.reply, next, &names);
    Ok(())
}
