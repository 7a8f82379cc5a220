//! Unions, intersections and differences of sorted sets and sets, of which each
//! member counts as one with score 1.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use smallvec::SmallVec;

use super::{limits, store, write_elements_head};
use crate::base::hash::Keyed;
use crate::base::num;
use crate::exec::args::{Args, Key};
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::Txn;
use crate::protocol::error::Error;
use crate::store::entry::View;
use crate::types::listpack::Item;
use crate::types::object::Family;
use crate::types::set::Set;
use crate::types::set::combine::Finder;
use crate::types::zset::{Scores, ZSet};

/// What is made of several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores of one member make one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    /// Opposite infinities add up to 0.
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => number_or_0(a + b),
            Aggregate::Min if b < a => b,
            Aggregate::Max if b > a => b,
            Aggregate::Min | Aggregate::Max => a,
        }
    }
}

fn number_or_0(n: f64) -> f64 {
    if n.is_nan() { 0.0 } else { n }
}

/// ZUNION numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub(super) fn zunion(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    combine(ctx, Operation::Union)
}

/// ZINTER numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub(super) fn zinter(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    combine(ctx, Operation::Intersection)
}

/// ZDIFF numkeys key [key …] [WITHSCORES]
pub(super) fn zdiff(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    combine(ctx, Operation::Difference)
}

/// ZUNIONSTORE destination numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX]
pub(super) fn zunionstore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    combine_and_store(ctx, Operation::Union, Event::zset("zunionstore"))
}

/// ZINTERSTORE destination numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX]
pub(super) fn zinterstore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    combine_and_store(ctx, Operation::Intersection, Event::zset("zinterstore"))
}

/// ZDIFFSTORE destination numkeys key [key …]
pub(super) fn zdiffstore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    combine_and_store(ctx, Operation::Difference, Event::zset("zdiffstore"))
}

fn combine(ctx: &mut Ctx<'_, '_>, operation: Operation) -> Result<(), Error> {
    check_numkeys(ctx, 0)?;
    let keys = source_keys(ctx)?;
    let mut query = Query::new(operation, keys.len());
    query.parse(&mut ctx.args, true)?;
    let sources = sources(ctx.txn, &keys, &query);
    let elements = query.run(&sources);
    write_elements_head(&mut ctx.reply, elements.len(), query.with_scores);
    for (member, score) in &elements {
        let element = (Item::Str(member), *score);
        super::write_element(&mut ctx.reply, element, query.with_scores);
    }
    Ok(())
}

fn combine_and_store(
    ctx: &mut Ctx<'_, '_>,
    operation: Operation,
    event: Event,
) -> Result<(), Error> {
    check_numkeys(ctx, 1)?;
    let to = ctx.args.key()?;
    let keys = source_keys(ctx)?;
    let mut query = Query::new(operation, keys.len());
    query.parse(&mut ctx.args, false)?;
    let limits = limits(ctx);
    let sources = sources(ctx.txn, &keys, &query);
    let result = ZSet::of_sorted(&query.run(&sources), limits);
    drop(sources);
    store(ctx, &to, result, event);
    Ok(())
}

/// ZINTERCARD numkeys key [key …] [LIMIT limit]
pub(super) fn zintercard(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    check_numkeys(ctx, 0)?;
    let keys = source_keys(ctx)?;
    let mut limit = 0;
    while !ctx.args.is_empty() {
        if !ctx.args.option("LIMIT") {
            return Err(Error::SYNTAX);
        }
        limit = num::parse_i64(ctx.args.bytes()?)
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| Error::new("ERR LIMIT can't be negative"))?;
    }
    let query = Query::new(Operation::Intersection, keys.len());
    let sources = sources(ctx.txn, &keys, &query);
    let most = if limit == 0 { usize::MAX } else { limit };
    let count = query.intersect(&sources).take(most).count();
    ctx.reply.size(count);
    Ok(())
}

/// Looks whether as many keys follow as are said to, before any is read as one.
fn check_numkeys(ctx: &Ctx<'_, '_>, before: usize) -> Result<(), Error> {
    let mut args = ctx.args.clone();
    for _ in 0..before {
        args.bytes()?;
    }
    let numkeys = args.int()?;
    if numkeys < 1 {
        let name = ctx.spec.name;
        let text = format!("ERR at least 1 input key is needed for '{name}' command");
        return Err(Error::new(text));
    }
    match usize::try_from(numkeys) {
        Ok(n) if n <= args.left() => Ok(()),
        _ => Err(Error::SYNTAX),
    }
}

/// The keys that the next argument numbers. Each is read: an error where one
/// holds neither a sorted set nor a set.
fn source_keys<'c>(ctx: &mut Ctx<'c, '_>) -> Result<Keys<'c>, Error> {
    let numkeys = ctx.args.int()?;
    let mut keys = Keys::new();
    for _ in 0..numkeys {
        let key = ctx.args.key()?;
        if let Some(entry) = ctx.txn.read(&key) {
            let value = entry.value();
            if View::<ZSet>::of(value).is_none() && View::<Set>::of(value).is_none() {
                return Err(Error::WRONG_TYPE);
            }
        }
        keys.push(key);
    }
    Ok(keys)
}

type Keys<'a> = SmallVec<[Key<'a>; 4]>;

/// A source of elements.
struct Source<'a> {
    weight: f64,
    value: Option<SourceValue<'a>>,
}

enum SourceValue<'a> {
    Set(View<'a, Set>),
    ZSet(View<'a, ZSet>),
}

impl Source<'_> {
    fn len(&self) -> usize {
        match &self.value {
            None => 0,
            Some(SourceValue::Set(set)) => set.len(),
            Some(SourceValue::ZSet(zset)) => zset.len(),
        }
    }

    /// For who asks for the scores of about so many members.
    fn scores(&self, lookups: usize) -> SourceScores<'_> {
        match &self.value {
            None => SourceScores::None,
            Some(SourceValue::Set(set)) => SourceScores::Set(Finder::of(set, lookups)),
            Some(SourceValue::ZSet(zset)) => SourceScores::ZSet(zset.scores(lookups)),
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = (Cow<'_, [u8]>, f64)> + '_> {
        match &self.value {
            None => Box::new(std::iter::empty()),
            Some(SourceValue::Set(set)) => Box::new(set.iter().map(|m| (text(m), 1.0))),
            Some(SourceValue::ZSet(zset)) => Box::new(zset.iter().map(|(m, s)| (text(m), s))),
        }
    }
}

/// The scores of a source.
enum SourceScores<'a> {
    None,
    Set(Finder<'a>),
    ZSet(Scores<'a>),
}

impl SourceScores<'_> {
    fn of(&self, member: &[u8]) -> Option<f64> {
        match self {
            SourceScores::None => None,
            SourceScores::Set(set) => set.contains(Item::Str(member)).then_some(1.0),
            SourceScores::ZSet(scores) => scores.of(member),
        }
    }
}

fn text(item: Item<'_>) -> Cow<'_, [u8]> {
    match item {
        Item::Str(text) => Cow::Borrowed(text),
        item => Cow::Owned(item.to_vec()),
    }
}

/// What the sources hold, in the order of the keys, which were all read before:
/// finding them now changes nothing.
fn sources<'t>(txn: &'t mut Txn<'_>, keys: &[Key<'_>], query: &Query) -> Vec<Source<'t>> {
    let found: SmallVec<[_; 4]> = keys.iter().map(|key| txn.find(key)).collect();
    let txn = &*txn;
    let value = |found| {
        let value = txn.entry(found).value();
        let zset = View::of(value).map(SourceValue::ZSet);
        zset.or_else(|| View::of(value).map(SourceValue::Set))
    };
    let weighted = found.into_iter().zip(&query.weights);
    weighted
        .map(|(found, &weight)| Source {
            weight,
            value: found.and_then(value),
        })
        .collect()
}

/// Members and scores that were made of several sources.
type Elements<'a> = Vec<(Cow<'a, [u8]>, f64)>;

struct Query {
    operation: Operation,
    /// One for each source.
    weights: SmallVec<[f64; 4]>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Query {
    fn new(operation: Operation, sources: usize) -> Query {
        Query {
            operation,
            weights: SmallVec::from_elem(1.0, sources),
            aggregate: Aggregate::Sum,
            with_scores: false,
        }
    }

    /// Reads the options; `is_shown` says whether the client gets the elements.
    fn parse(&mut self, args: &mut Args<'_>, is_shown: bool) -> Result<(), Error> {
        let takes_weights = self.operation != Operation::Difference;
        while !args.is_empty() {
            if takes_weights && args.left() > self.weights.len() && args.flag("WEIGHTS") {
                for weight in &mut self.weights {
                    *weight = num::parse_f64(args.bytes()?)
                        .ok_or_else(|| Error::new("ERR weight value is not a float"))?;
                }
            } else if takes_weights && args.option("AGGREGATE") {
                self.aggregate = match () {
                    () if args.flag("SUM") => Aggregate::Sum,
                    () if args.flag("MIN") => Aggregate::Min,
                    () if args.flag("MAX") => Aggregate::Max,
                    () => return Err(Error::SYNTAX),
                };
            } else if is_shown && args.flag("WITHSCORES") {
                self.with_scores = true;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(())
    }

    /// The elements of the result, in order.
    fn run<'a>(&self, sources: &'a [Source<'a>]) -> Elements<'a> {
        let mut elements: Elements<'a> = match self.operation {
            Operation::Union => self.unite(sources),
            Operation::Intersection => self.intersect(sources).collect(),
            Operation::Difference => subtract(sources),
        };
        elements.sort_unstable_by(|(a, a_score), (b, b_score)| {
            let order = a_score.partial_cmp(b_score).unwrap_or(Ordering::Equal);
            order.then_with(|| a.cmp(b))
        });
        elements
    }

    fn unite<'a>(&self, sources: &'a [Source<'a>]) -> Elements<'a> {
        let mut scores: HashMap<Cow<'a, [u8]>, f64, Keyed> = HashMap::default();
        for source in by_len(sources) {
            for (member, score) in source.iter() {
                let score = number_or_0(source.weight * score);
                scores
                    .entry(member)
                    .and_modify(|sum| *sum = self.aggregate.of(*sum, score))
                    .or_insert(score);
            }
        }
        scores.into_iter().collect()
    }

    fn intersect<'a>(
        &self,
        sources: &'a [Source<'a>],
    ) -> impl Iterator<Item = (Cow<'a, [u8]>, f64)> + use<'a> {
        let aggregate = self.aggregate;
        let sources = by_len(sources);
        let first = sources.first().copied();
        let lookups = first.map_or(0, Source::len);
        let others: Vec<(f64, SourceScores<'a>)> = sources
            .iter()
            .skip(1)
            .map(|other| (other.weight, other.scores(lookups)))
            .collect();
        let elements = first.into_iter().flat_map(|first| {
            let weighted = |(member, score)| (member, number_or_0(first.weight * score));
            first.iter().map(weighted)
        });
        elements.filter_map(move |(member, mut score)| {
            for (weight, other) in &others {
                score = aggregate.of(score, weight * other.of(&member)?);
            }
            Some((member, score))
        })
    }
}

/// The shortest first.
fn by_len<'a>(sources: &'a [Source<'a>]) -> Vec<&'a Source<'a>> {
    let mut sources: Vec<_> = sources.iter().collect();
    sources.sort_by_key(|source| source.len());
    sources
}

/// What only the first has. Either each of its members is looked for in all
/// others, or the members of all others are struck off: what is less work.
fn subtract<'a>(sources: &'a [Source<'a>]) -> Elements<'a> {
    let Some((first, others)) = sources.split_first() else {
        return Elements::new();
    };
    let looked_for = first.len() * others.len() / 2;
    let struck_off: usize = others.iter().map(Source::len).sum();
    if looked_for <= struck_off {
        let others: Vec<_> = others.iter().map(|o| o.scores(first.len())).collect();
        let is_alone = |member: &[u8]| others.iter().all(|o| o.of(member).is_none());
        first
            .iter()
            .filter(|(member, _)| is_alone(member))
            .collect()
    } else {
        let mut left: HashMap<_, _, Keyed> = first.iter().collect();
        for (member, _) in others.iter().flat_map(Source::iter) {
            left.remove(&member);
        }
        left.into_iter().collect()
    }
}
