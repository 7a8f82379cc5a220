//! Commands that only read a list.

use super::{write_item, write_items};
use crate::base::num;
use crate::exec::args::Args;
use crate::exec::context::Ctx;
use crate::protocol::error::Error;
use crate::types::list::{List, Side, range};
use crate::types::listpack::Needle;
use crate::types::object::Family;

/// LLEN key
pub(super) fn llen(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let list = ctx.txn.read_as::<List>(&key)?;
    ctx.reply.size(list.map_or(0, |list| list.len()));
    Ok(())
}

/// LINDEX key index
pub(super) fn lindex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let Some(list) = ctx.txn.read_as::<List>(&key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let index = ctx.args.int()?;
    if list
        .get(index, |item| write_item(&mut ctx.reply, item))
        .is_none()
    {
        ctx.reply.null();
    }
    Ok(())
}

/// LRANGE key start stop
pub(super) fn lrange(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (start, stop) = (ctx.args.int()?, ctx.args.int()?);
    match ctx.txn.read_as::<List>(&key)? {
        Some(list) => {
            let range = range(start, stop, list.len());
            write_items(&mut ctx.reply, &list, range.start, range.len(), Side::Right);
        }
        None => ctx.reply.array(0),
    }
    Ok(())
}

/// Which matches LPOS is to tell.
struct Wish {
    towards: Side,
    /// The first of them, from 1.
    rank: u64,
    /// How many; 0: all. `None`: one, that is not told as an array.
    count: Option<u64>,
    /// How many elements to look at; 0: all.
    looked_at_max: u64,
}

impl Wish {
    fn parse(args: &mut Args<'_>) -> Result<Wish, Error> {
        let mut wish = Wish {
            towards: Side::Right,
            rank: 1,
            count: None,
            looked_at_max: 0,
        };
        while !args.is_empty() {
            if args.option("RANK") {
                let rank = super::not_least(args.bytes()?)?;
                if rank == 0 {
                    return Err(Error::LPOS_RANK);
                }
                wish.rank = rank.unsigned_abs();
                wish.towards = if rank < 0 { Side::Left } else { Side::Right };
            } else if args.option("COUNT") {
                wish.count = Some(positive(args, Error::LPOS_COUNT)?);
            } else if args.option("MAXLEN") {
                wish.looked_at_max = positive(args, Error::LPOS_MAXLEN)?;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(wish)
    }

    /// The indexes, in the order in which they are found.
    fn find(&self, list: &List, text: &[u8]) -> Vec<usize> {
        let len = list.len();
        let unless_0 = |n: u64| if n == 0 { u64::MAX } else { n };
        let count = unless_0(self.count.unwrap_or(1));
        let from = match self.towards {
            Side::Left => len.saturating_sub(1),
            Side::Right => 0,
        };
        let needle = Needle::new(text);
        let mut walk = list.walk(from, self.towards);
        let (mut found, mut passed, mut looked_at) = (Vec::new(), 0, 0);
        while looked_at < unless_0(self.looked_at_max)
            && (found.len() as u64) < count
            && let Some(item) = walk.step()
        {
            if needle.is(item) {
                passed += 1;
                if passed >= self.rank {
                    found.push(match self.towards {
                        Side::Left => len - 1 - looked_at as usize,
                        Side::Right => looked_at as usize,
                    });
                }
            }
            looked_at += 1;
        }
        found
    }
}

fn positive(args: &mut Args<'_>, error: Error) -> Result<u64, Error> {
    let n = num::parse_i64(args.bytes()?).and_then(|n| u64::try_from(n).ok());
    n.ok_or(error)
}

/// LPOS key element [RANK rank] [COUNT n] [MAXLEN n]
pub(super) fn lpos(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, text) = (ctx.args.key()?, ctx.args.bytes()?);
    let wish = Wish::parse(&mut ctx.args)?;
    let list = ctx.txn.read_as::<List>(&key)?;
    let found = list.map_or(Vec::new(), |list| wish.find(&list, text));
    if wish.count.is_some() {
        ctx.reply.array(found.len());
        found.iter().for_each(|&index| ctx.reply.size(index));
    } else {
        match found.first() {
            Some(&index) => ctx.reply.size(index),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}
