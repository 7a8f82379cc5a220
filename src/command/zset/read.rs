//! Commands that ask about members: scores, ranks, counts, random ones.

use super::range::{lex_range, score_range};
use super::{write_element, write_elements_head, write_member};
use crate::base::clock;
use crate::base::num::{self, FloatText};
use crate::command::scan::{Names, Options, Over, parse_cursor, write_walk};
use crate::exec::context::Ctx;
use crate::protocol::error::Error;
use crate::types::object::Family;
use crate::types::sample;
use crate::types::zset::ZSet;

/// ZCARD key
pub(super) fn zcard(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let len = ctx.txn.read_as::<ZSet>(&key)?.map_or(0, |zset| zset.len());
    ctx.reply.size(len);
    Ok(())
}

/// ZSCORE key member
pub(super) fn zscore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let member = ctx.args.bytes()?;
    let zset = ctx.txn.read_as::<ZSet>(&key)?;
    match zset.and_then(|zset| zset.score(member)) {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// ZMSCORE key member [member …]
pub(super) fn zmscore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let members = ctx.args.rest();
    let zset = ctx.txn.read_as::<ZSet>(&key)?;
    ctx.reply.array(members.len());
    for member in members {
        match zset.as_ref().and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// ZRANK key member [WITHSCORE]
pub(super) fn zrank(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    rank(ctx, false)
}

/// ZREVRANK key member [WITHSCORE]
pub(super) fn zrevrank(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    rank(ctx, true)
}

fn rank(ctx: &mut Ctx<'_, '_>, from_top: bool) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let member = ctx.args.bytes()?;
    if ctx.args.left() > 1 {
        return Err(Error::arity(ctx.spec.name));
    }
    let with_score = ctx.args.flag("WITHSCORE");
    ctx.args.end()?;
    let zset = ctx.txn.read_as::<ZSet>(&key)?;
    let found = zset.and_then(|zset| {
        let (rank, score) = zset.rank(member)?;
        let rank = if from_top {
            zset.len() - 1 - rank
        } else {
            rank
        };
        Some((rank, score))
    });
    match (found, with_score) {
        (Some((rank, _)), false) => ctx.reply.size(rank),
        (Some((rank, score)), true) => {
            ctx.reply.array(2);
            ctx.reply.size(rank);
            ctx.reply.double(score);
        }
        (None, false) => ctx.reply.null(),
        (None, true) => ctx.reply.null_array(),
    }
    Ok(())
}

/// ZCOUNT key min max
pub(super) fn zcount(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let range = score_range(ctx.args.bytes()?, ctx.args.bytes()?)?;
    let zset = ctx.txn.read_as::<ZSet>(&key)?;
    ctx.reply
        .size(zset.map_or(0, |zset| zset.ranks_by_score(&range).len()));
    Ok(())
}

/// ZLEXCOUNT key min max
pub(super) fn zlexcount(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let range = lex_range(ctx.args.bytes()?, ctx.args.bytes()?)?;
    let zset = ctx.txn.read_as::<ZSet>(&key)?;
    ctx.reply
        .size(zset.map_or(0, |zset| zset.ranks_by_lex(&range).len()));
    Ok(())
}

/// ZRANDMEMBER key [count [WITHSCORES]]
pub(super) fn zrandmember(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    if ctx.args.is_empty() {
        match ctx.txn.read_as::<ZSet>(&key)? {
            Some(zset) => {
                let element = zset.at(clock::random_below(zset.len() as u64) as usize);
                let (member, _) = element.expect("a sorted set is never empty");
                write_member(&mut ctx.reply, member);
            }
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    let count = num::parse_i64(ctx.args.bytes()?).ok_or(Error::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(Error::NOT_LONG);
    }
    let with_scores = ctx.args.flag("WITHSCORES");
    ctx.args.end()?;
    let most = ctx.reply_bytes_max();
    let is_beyond = count < 0 && count.unsigned_abs() > sample::DRAWS_MAX && most.is_none();
    if is_beyond || with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let Some(zset) = ctx.txn.read_as::<ZSet>(&key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (len, reply) = (zset.len(), &mut ctx.reply);
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        write_elements_head(reply, wanted, with_scores);
        for _ in 0..wanted {
            if most.is_some_and(|most| reply.output().len() > most) {
                break;
            }
            let element = zset.at(clock::random_below(len as u64) as usize);
            write_element(
                reply,
                element.expect("a rank below the length"),
                with_scores,
            );
        }
    } else if wanted >= len {
        write_elements_head(reply, len, with_scores);
        for element in zset.iter().rev() {
            write_element(reply, element, with_scores);
        }
    } else {
        write_elements_head(reply, wanted, with_scores);
        for rank in sample::ranks(len, wanted) {
            let element = zset.at(rank);
            write_element(
                reply,
                element.expect("a rank below the length"),
                with_scores,
            );
        }
    }
    Ok(())
}

/// ZSCAN key cursor [MATCH pattern] [COUNT count] [NOSCORES]
pub(super) fn zscan(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let cursor = parse_cursor(ctx.args.bytes()?).ok_or(Error::CURSOR)?;
    let mut names = Names::default();
    let mut next = 0;
    if let Some(zset) = ctx.txn.read_as::<ZSet>(&key)? {
        let options = Options::parse(&mut ctx.args, Over::ZSet)?;
        let mut show = |member: &[u8], score: f64| {
            if !options.pattern.matches(member) {
                return;
            }
            names.push(member);
            match &*zset {
                _ if options.names_only => {}
                ZSet::Packed(_) => names.push(FloatText::new(score).as_bytes()),
                // As Valkey: here, and nowhere else, in all digits.
                ZSet::Tree(_) => names.push(num::text_17g(score).as_bytes()),
            }
        };
        next = options.walk(cursor, |cursor| {
            let mut met = 0;
            let next = zset.scan(cursor, |member, score| {
                met += 1;
                member.with_bytes(|member| show(member, score));
            });
            (met, next)
        });
    }
    write_walk(&mut ctx.reply, next, &names);
    Ok(())
}
