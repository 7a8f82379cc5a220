//! LCS.

use super::string;
use crate::config::param;
use crate::exec::context::Ctx;
use crate::exec::txn::Found;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::entry::Value;
use crate::types::lcs::{self, Match};

/// What is wanted of the subsequence.
#[derive(Default)]
struct Wish {
    length: bool,
    matches: bool,
    match_length_min: usize,
    with_match_length: bool,
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]
pub(super) fn lcs(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (first, second) = (ctx.args.key()?, ctx.args.key()?);
    ctx.txn.look_up(&first);
    let b = ctx.txn.look_up(&second);
    // Looking for the second may have removed it, and moved the first.
    let a = ctx.txn.find(&first);
    let is_string = |&found: &Found| string(ctx.txn.entry(found)).is_ok();
    if ![a, b].iter().flatten().all(is_string) {
        return Err(Error::LCS_TYPE);
    }
    let wish = Wish::of(ctx)?;
    let empty = Value::Str(b"");
    let a = a.map_or(empty, |found| ctx.txn.entry(found).value());
    let b = b.map_or(empty, |found| ctx.txn.entry(found).value());
    if a.len().max(b.len()) >= lcs::LENGTH_MAX {
        return Err(Error::LCS_TOO_LONG);
    }
    let limit = ctx.engine.settings.int(param::PROTO_MAX_BULK_LEN);
    if lcs::table_bytes(a.len(), b.len()) > limit as u128 {
        return Err(Error::LCS_TABLE);
    }
    a.with_bytes(|a| b.with_bytes(|b| wish.grant(&mut ctx.reply, a, b)))
}

impl Wish {
    fn of(ctx: &mut Ctx<'_, '_>) -> Result<Wish, Error> {
        let mut wish = Wish::default();
        while !ctx.args.is_empty() {
            if ctx.args.flag("IDX") {
                wish.matches = true;
            } else if ctx.args.flag("LEN") {
                wish.length = true;
            } else if ctx.args.flag("WITHMATCHLEN") {
                wish.with_match_length = true;
            } else if ctx.args.option("MINMATCHLEN") {
                wish.match_length_min = usize::try_from(ctx.args.int()?).unwrap_or(0);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        match wish.length && wish.matches {
            true => Err(Error::LCS_LEN_AND_IDX),
            false => Ok(wish),
        }
    }

    fn grant(&self, reply: &mut Reply<'_>, a: &[u8], b: &[u8]) -> Result<(), Error> {
        if self.length {
            reply.size(lcs::length(a, b).ok_or(Error::LCS_MEMORY)?);
            return Ok(());
        }
        let common = lcs::common(a, b).ok_or(Error::LCS_MEMORY)?;
        if !self.matches {
            reply.bulk(&common.bytes);
            return Ok(());
        }
        let long_enough = |m: &&Match| m.a.len() >= self.match_length_min;
        reply.map(2);
        reply.bulk(b"matches");
        reply.array(common.matches.iter().filter(long_enough).count());
        for m in common.matches.iter().filter(long_enough) {
            reply.array(2 + usize::from(self.with_match_length));
            for stretch in [&m.a, &m.b] {
                reply.array(2);
                reply.size(stretch.start);
                reply.size(stretch.end - 1);
            }
            if self.with_match_length {
                reply.size(m.a.len());
            }
        }
        reply.bulk(b"len");
        reply.size(common.bytes.len());
        Ok(())
    }
}
