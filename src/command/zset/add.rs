//! Commands that give scores, and take members out by name.

use smallvec::SmallVec;

use super::limits;
use crate::base::num;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::Deadline;
use crate::protocol::error::Error;
use crate::store::entry::NewValue;
use crate::types::zset::{Given, Limits, NotANumber, Rule, ZSet};

const ZADD: Event = Event::zset("zadd");
const ZINCR: Event = Event::zset("zincr");
const ZREM: Event = Event::zset("zrem");

/// ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member …]
pub(super) fn zadd(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    give(ctx, Rule::default())
}

/// ZINCRBY key increment member
pub(super) fn zincrby(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let add = true;
    give(
        ctx,
        Rule {
            add,
            ..Rule::default()
        },
    )
}

/// Scores, each with the member that it is for.
pub(in crate::command) type Pairs<'a> = SmallVec<[(f64, &'a [u8]); 4]>;

/// What became of several.
#[derive(Default)]
struct Tally {
    added: usize,
    changed: usize,
    /// The last score that was not refused.
    score: Option<f64>,
}

impl Tally {
    fn give(
        &mut self,
        zset: &mut ZSet,
        pairs: &Pairs<'_>,
        rule: Rule,
        limits: Limits,
    ) -> Result<(), NotANumber> {
        let longest = pairs.iter().map(|(_, member)| member.len()).max();
        zset.expect(pairs.len(), longest.unwrap_or(0), limits);
        for &(score, member) in pairs {
            match zset.give(member, score, rule, limits)? {
                Given::New(score) => {
                    self.added += 1;
                    self.score = Some(score);
                }
                Given::Changed(score) => {
                    self.changed += 1;
                    self.score = Some(score);
                }
                Given::Same(score) => self.score = Some(score),
                Given::Refused => {}
            }
        }
        Ok(())
    }
}

fn give(ctx: &mut Ctx<'_, '_>, mut rule: Rule) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let mut count_changed = false;
    loop {
        if ctx.args.flag("NX") {
            rule.only_new = true;
        } else if ctx.args.flag("XX") {
            rule.only_present = true;
        } else if ctx.args.flag("GT") {
            rule.only_greater = true;
        } else if ctx.args.flag("LT") {
            rule.only_less = true;
        } else if ctx.args.flag("CH") {
            count_changed = true;
        } else if ctx.args.flag("INCR") {
            rule.add = true;
        } else {
            break;
        }
    }
    let pairs = pairs(ctx.args.rest(), rule)?;
    give_scores(ctx, &key, &pairs, rule, count_changed)
}

/// Gives scores to members of a key, which may not be there, and replies what
/// became of them; `count_changed` says whether those that had others count.
pub(in crate::command) fn give_scores(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    pairs: &Pairs<'_>,
    rule: Rule,
    count_changed: bool,
) -> Result<(), Error> {
    let limits = limits(ctx);
    let event = if rule.add { ZINCR } else { ZADD };
    let mut tally = Tally::default();
    match ctx.txn.find_as::<ZSet>(key)? {
        None if rule.only_present => {}
        None => {
            let mut zset = ZSet::default();
            let given = tally.give(&mut zset, pairs, rule, limits);
            given.map_err(|NotANumber| Error::NAN_SCORE)?;
            let value = NewValue::Object(zset.into());
            ctx.txn.put(key, None, value, Deadline::Never, event);
        }
        Some(found) => {
            let given = ctx.txn.update(key, found, |zset: &mut ZSet, events| {
                let given = tally.give(zset, pairs, rule, limits);
                if tally.added + tally.changed > 0 {
                    events.push(event);
                }
                given
            });
            given.map_err(|NotANumber| Error::NAN_SCORE)?;
        }
    }
    match (rule.add, tally.score) {
        (true, Some(score)) => ctx.reply.double(score),
        (true, None) => ctx.reply.null(),
        (false, _) if count_changed => ctx.reply.size(tally.added + tally.changed),
        (false, _) => ctx.reply.size(tally.added),
    }
    Ok(())
}

fn pairs<'a>(words: &[&'a [u8]], rule: Rule) -> Result<Pairs<'a>, Error> {
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    if rule.only_new && rule.only_present {
        return Err(Error::new(
            "ERR XX and NX options at the same time are not compatible",
        ));
    }
    let conditions = [rule.only_new, rule.only_greater, rule.only_less];
    if conditions.iter().filter(|&&is_set| is_set).count() > 1 {
        return Err(Error::new(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if rule.add && words.len() > 2 {
        return Err(Error::new(
            "ERR INCR option supports a single increment-element pair",
        ));
    }
    let pair = |pair: &[&'a [u8]]| {
        let score = num::parse_f64(pair[0]).ok_or(Error::NOT_FLOAT)?;
        Ok((score, pair[1]))
    };
    words.chunks_exact(2).map(pair).collect()
}

/// ZREM key member [member …]
pub(super) fn zrem(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let members = ctx.args.rest();
    let removed = match ctx.txn.find_as::<ZSet>(&key)? {
        None => 0,
        Some(found) => ctx.txn.update(&key, found, |zset: &mut ZSet, events| {
            let removed = members.iter().filter(|m| zset.remove(m)).count();
            if removed > 0 {
                events.push(ZREM);
            }
            removed
        }),
    };
    ctx.reply.size(removed);
    Ok(())
}
