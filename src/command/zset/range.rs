//! Commands about ranges: of ranks, of scores, of members.

use std::ops::Range;

use super::{limits, store, write_element, write_elements_head};
use crate::base::num;
use crate::exec::args::Args;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::protocol::error::Error;
use crate::types::object::Family;
use crate::types::zset::{LexBound, LexRange, ScoreBound, ScoreRange, ZSet};

const NOT_A_SCORE_RANGE: &str = "ERR min or max is not a float";
const NOT_A_LEX_RANGE: &str = "ERR min or max not valid string range item";

/// Reads `1.5`, `(1.5`, `-inf`.
pub(super) fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, Error> {
    let bound = |text: &[u8]| {
        let is_open = text.first() == Some(&b'(');
        let text = &text[usize::from(is_open)..];
        // As far as a C string goes; where that is nowhere, it is 0.
        let text = text.split(|&b| b == 0).next().unwrap_or_default();
        let score = match text {
            [] => 0.0,
            _ => num::parse_f64_saturating(text)?,
        };
        Some(ScoreBound { score, is_open })
    };
    match (bound(min), bound(max)) {
        (Some(min), Some(max)) => Ok(ScoreRange { min, max }),
        _ => Err(Error::new(NOT_A_SCORE_RANGE)),
    }
}

/// Reads `[a`, `(a`, `-`, `+`.
pub(super) fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, Error> {
    let bound = |text: &'a [u8]| match text {
        [b'-'] | [b'-', 0, ..] => Some(LexBound::Lowest),
        [b'+'] | [b'+', 0, ..] => Some(LexBound::Highest),
        [b'[', member @ ..] => Some(LexBound::Closed(member)),
        [b'(', member @ ..] => Some(LexBound::Open(member)),
        _ => None,
    };
    match (bound(min), bound(max)) {
        (Some(min), Some(max)) => Ok(LexRange { min, max }),
        _ => Err(Error::new(NOT_A_LEX_RANGE)),
    }
}

/// What a range is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range as a client gives it.
enum Span<'a> {
    /// From one rank to another; negative ones count from the end.
    Ranks(i64, i64),
    Scores(ScoreRange),
    Members(LexRange<'a>),
}

impl<'a> Span<'a> {
    fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Span<'a>, Error> {
        let rank = |text| num::parse_i64(text).ok_or(Error::NOT_INTEGER);
        Ok(match by {
            By::Rank => Span::Ranks(rank(min)?, rank(max)?),
            By::Score => Span::Scores(score_range(min, max)?),
            By::Lex => Span::Members(lex_range(min, max)?),
        })
    }

    /// The ranks, from the lowest score up; `from_top` says that those given
    /// count from the highest down.
    fn ranks(&self, zset: &ZSet, from_top: bool) -> Range<usize> {
        match self {
            Span::Ranks(start, stop) => {
                let ranks = absolute(*start, *stop, zset.len());
                match from_top {
                    true => zset.len() - ranks.end..zset.len() - ranks.start,
                    false => ranks,
                }
            }
            Span::Scores(range) => zset.ranks_by_score(range),
            Span::Members(range) => zset.ranks_by_lex(range),
        }
    }
}

/// Of so many, those from `start` to `stop`, both included.
fn absolute(start: i64, stop: i64, len: usize) -> Range<usize> {
    let from_end = |n: i64| if n < 0 { n + len as i64 } else { n };
    let start = usize::try_from(from_end(start)).unwrap_or(0);
    let end = match usize::try_from(from_end(stop)) {
        Ok(stop) => stop.saturating_add(1).min(len),
        Err(_) => 0,
    };
    if start < end { start..end } else { 0..0 }
}

/// What ZRANGE and its kin are asked for.
struct Query<'a> {
    span: Span<'a>,
    from_top: bool,
    /// How many to skip, and how many to give (negative: all).
    limit: (i64, i64),
    with_scores: bool,
}

impl<'a> Query<'a> {
    /// Reads what is behind the key. `by` and `from_top` are known of a command
    /// that takes no option for it.
    fn parse(
        args: &mut Args<'a>,
        by: Option<By>,
        from_top: Option<bool>,
        is_store: bool,
    ) -> Result<Query<'a>, Error> {
        let (min, max) = (args.bytes()?, args.bytes()?);
        let (mut said_by, mut said_top) = (by, from_top);
        let mut limit = (0, -1);
        let mut with_scores = false;
        while !args.is_empty() {
            if !is_store && args.flag("WITHSCORES") {
                with_scores = true;
            } else if args.left() >= 3 && args.flag("LIMIT") {
                limit = (args.int()?, args.int()?);
            } else if said_top.is_none() && args.flag("REV") {
                said_top = Some(true);
            } else if said_by.is_none() && args.flag("BYLEX") {
                said_by = Some(By::Lex);
            } else if said_by.is_none() && args.flag("BYSCORE") {
                said_by = Some(By::Score);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        let by = said_by.unwrap_or(By::Rank);
        let from_top = said_top.unwrap_or(false);
        if limit.1 != -1 && by == By::Rank {
            return Err(Error::new(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Error::new(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (min, max) = match from_top && by != By::Rank {
            true => (max, min),
            false => (min, max),
        };
        Ok(Query {
            span: Span::parse(by, min, max)?,
            from_top,
            limit,
            with_scores,
        })
    }

    /// The ranks that are asked for, from the lowest score up.
    fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let ranks = self.span.ranks(zset, self.from_top);
        if let Span::Ranks(..) = self.span {
            return ranks;
        }
        let Ok(skip) = usize::try_from(self.limit.0) else {
            return 0..0;
        };
        let skip = skip.min(ranks.len());
        let count = usize::try_from(self.limit.1).unwrap_or(usize::MAX);
        let count = count.min(ranks.len() - skip);
        match self.from_top {
            true => ranks.end - skip - count..ranks.end - skip,
            false => ranks.start + skip..ranks.start + skip + count,
        }
    }
}

/// ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]
pub(super) fn zrange(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    range(ctx, None, None)
}

/// ZREVRANGE key start stop [WITHSCORES]
pub(super) fn zrevrange(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    range(ctx, Some(By::Rank), Some(true))
}

/// ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]
pub(super) fn zrangebyscore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    range(ctx, Some(By::Score), Some(false))
}

/// ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]
pub(super) fn zrevrangebyscore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    range(ctx, Some(By::Score), Some(true))
}

/// ZRANGEBYLEX key min max [LIMIT offset count]
pub(super) fn zrangebylex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    range(ctx, Some(By::Lex), Some(false))
}

/// ZREVRANGEBYLEX key max min [LIMIT offset count]
pub(super) fn zrevrangebylex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    range(ctx, Some(By::Lex), Some(true))
}

fn range(ctx: &mut Ctx<'_, '_>, by: Option<By>, from_top: Option<bool>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let query = Query::parse(&mut ctx.args, by, from_top, false)?;
    let Some(zset) = ctx.txn.read_as::<ZSet>(&key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (reply, with_scores) = (&mut ctx.reply, query.with_scores);
    let mut elements = zset.range(query.ranks(&zset));
    write_elements_head(reply, elements.len(), with_scores);
    while let Some(element) = match query.from_top {
        true => elements.next_back(),
        false => elements.next(),
    } {
        write_element(reply, element, with_scores);
    }
    Ok(())
}

/// ZRANGESTORE dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]
pub(super) fn zrangestore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (to, from) = (ctx.args.key()?, ctx.args.key()?);
    let query = Query::parse(&mut ctx.args, None, None, true)?;
    let limits = limits(ctx);
    let mut copy = ZSet::default();
    if let Some(zset) = ctx.txn.read_as::<ZSet>(&from)? {
        if let Span::Ranks(..) = query.span {
            copy.expect(query.ranks(&zset).len(), 0, limits);
        }
        for (member, score) in zset.range(query.ranks(&zset)) {
            member.with_bytes(|member| copy.push(member, score, limits));
        }
    }
    store(ctx, &to, copy, Event::zset("zrangestore"));
    Ok(())
}

/// ZREMRANGEBYRANK key start stop
pub(super) fn zremrangebyrank(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    remove_range(ctx, By::Rank, Event::zset("zremrangebyrank"))
}

/// ZREMRANGEBYSCORE key min max
pub(super) fn zremrangebyscore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    remove_range(ctx, By::Score, Event::zset("zremrangebyscore"))
}

/// ZREMRANGEBYLEX key min max
pub(super) fn zremrangebylex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    remove_range(ctx, By::Lex, Event::zset("zremrangebylex"))
}

fn remove_range(ctx: &mut Ctx<'_, '_>, by: By, event: Event) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let span = Span::parse(by, ctx.args.bytes()?, ctx.args.bytes()?)?;
    let removed = match ctx.txn.find_as::<ZSet>(&key)? {
        None => 0,
        Some(found) => ctx.txn.update(&key, found, |zset: &mut ZSet, events| {
            let ranks = span.ranks(zset, false);
            let removed = ranks.len();
            if removed > 0 {
                zset.remove_ranks(ranks);
                events.push(event);
            }
            removed
        }),
    };
    ctx.reply.size(removed);
    Ok(())
}
