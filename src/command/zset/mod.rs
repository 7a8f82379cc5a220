//! Sorted sets: the rows of the family's commands, and what their handlers share.
//!
//! The handlers are in files by what they do: [`add`] gives scores, [`read`] asks
//! about members, [`range`] gives and removes many, [`pop`] takes the lowest and
//! the highest, [`combine`] makes one of several.

use crate::config::param;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{
    Arg, ArgKind, Group, Handler, KeySpec, Spec, category::SORTEDSET, flag::*, key, key_flag::*,
    keys, numbered_keys,
};
use crate::protocol::reply::Reply;
use crate::types::listpack::Item;
use crate::types::zset::{Limits, ZSet};

mod add;
mod combine;
mod pop;
mod range;
mod read;
#[cfg(test)]
mod tests;

pub(super) use add::{Pairs, give_scores};

/// How long a sorted set stays packed.
pub(super) fn limits(ctx: &Ctx<'_, '_>) -> Limits {
    let limit = |handle| usize::try_from(ctx.engine.settings.int(handle)).unwrap_or(0);
    Limits {
        members_max: limit(param::ZSET_MAX_LISTPACK_ENTRIES),
        member_bytes_max: limit(param::ZSET_MAX_LISTPACK_VALUE),
    }
}

/// Stores a sorted set whatever was there before, and replies how many members it
/// has; an empty one is none.
pub(super) fn store(ctx: &mut Ctx<'_, '_>, to: &Key<'_>, zset: ZSet, event: Event) {
    let length = ctx.txn.store(to, zset, event);
    ctx.reply.size(length);
}

/// Writes a member.
fn write_member(reply: &mut Reply<'_>, member: Item<'_>) {
    member.with_bytes(|text| reply.bulk(text));
}

/// Writes the head of so many elements; see [`write_element`].
fn write_elements_head(reply: &mut Reply<'_>, len: usize, with_scores: bool) {
    let is_flat = with_scores && !reply.is_resp3();
    reply.array(if is_flat { len.saturating_mul(2) } else { len });
}

/// Writes a member; with its score, they are a pair in RESP3 and flat in RESP2.
fn write_element(reply: &mut Reply<'_>, (member, score): (Item<'_>, f64), with_scores: bool) {
    if with_scores && reply.is_resp3() {
        reply.array(2);
    }
    write_member(reply, member);
    if with_scores {
        reply.double(score);
    }
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");
const DESTINATION: Arg = Arg::key("destination");
const SOURCES: Arg = Arg::new("key", ArgKind::Key(1)).multiple();
const NUMKEYS: Arg = Arg::new("numkeys", ArgKind::Integer);
const MEMBER: Arg = Arg::new("member", ArgKind::String);
const START: Arg = Arg::new("start", ArgKind::Integer);
const STOP: Arg = Arg::new("stop", ArgKind::Integer);
const MIN_SCORE: Arg = Arg::new("min", ArgKind::Double);
const MAX_SCORE: Arg = Arg::new("max", ArgKind::Double);
const MIN: Arg = Arg::new("min", ArgKind::String);
const MAX: Arg = Arg::new("max", ArgKind::String);
const COUNT: Arg = Arg::new("count", ArgKind::Integer);
const LIMIT: Arg =
    Arg::block("limit", &[Arg::new("offset", ArgKind::Integer), COUNT]).token("LIMIT");
const TIMEOUT: Arg = Arg::new("timeout", ArgKind::Double);
const REV: Arg = Arg::word("rev", "REV");
const SORTBY: Arg = Arg::one_of(
    "sortby",
    &[Arg::word("byscore", "BYSCORE"), Arg::word("bylex", "BYLEX")],
);
const WITHSCORE: Arg = Arg::word("withscore", "WITHSCORE").optional();
const WITHSCORES: Arg = Arg::word("withscores", "WITHSCORES");
const WHERE: Arg = Arg::one_of("where", &[Arg::word("min", "MIN"), Arg::word("max", "MAX")]);
const WEIGHTS: Arg = Arg::new("weight", ArgKind::Integer)
    .token("WEIGHTS")
    .optional()
    .multiple();
const AGGREGATE: Arg = Arg::one_of(
    "aggregate",
    &[
        Arg::word("sum", "SUM"),
        Arg::word("min", "MIN"),
        Arg::word("max", "MAX"),
    ],
)
.token("AGGREGATE")
.optional();

const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];
const READ_KEYS: &[KeySpec] = &[numbered_keys(1, 1, RO | ACCESS)];
const CUT_KEY: &[KeySpec] = &[key(1, RW | DELETE)];
const POPPED_KEY: &[KeySpec] = &[key(1, RW | ACCESS | DELETE)];
const POPPED_KEYS: &[KeySpec] = &[keys(1, -2, 1, RW | ACCESS | DELETE)];
const STORE_KEYS: &[KeySpec] = &[key(1, OW | UPDATE), numbered_keys(2, 1, RO | ACCESS)];

const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];
const TIMEOUT_HISTORY: &[(&str, &str)] = &[(
    "6.0.0",
    "`timeout` is interpreted as a double instead of an integer.",
)];
const RANK_HISTORY: &[(&str, &str)] = &[("7.2.0", "Added the optional `WITHSCORE` argument.")];

const ONE_DESCENT: &str = "O(log(N)) with N being the number of elements in the sorted set.";
const RETURNED_RANGE: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.";
const LIMITED_RANGE: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).";
const REMOVED_RANGE: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.";
const POP: &str = "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.";
const POP_OF_SEVERAL: &str = "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.";
const INTERSECTION: &str = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.";
const DIFFERENCE: &str = "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.";

/// The family.
pub const SPECS: &[Spec] = &[
    row("zadd", -4, add::zadd, WRITE | DENYOOM | FAST, &[key(1, RW | UPDATE)])
        .doc(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
            "Gives scores to members of a sorted set, on conditions if so wished; members that are not there are added.",
        )
        .history(&[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ])
        .args(&[
            KEY,
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")])
                .since("3.0.2")
                .optional(),
            Arg::one_of("comparison", &[Arg::word("gt", "GT"), Arg::word("lt", "LT")])
                .since("6.2.0")
                .optional(),
            Arg::word("change", "CH").since("3.0.2").optional(),
            Arg::word("increment", "INCR").since("3.0.2").optional(),
            Arg::block("data", &[Arg::new("score", ArgKind::Double), MEMBER]).multiple(),
        ]),
    row("zincrby", 4, add::zincrby, WRITE | DENYOOM | FAST, &[key(1, RW | ACCESS | UPDATE)])
        .doc(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)) where N is the number of elements in the sorted set.",
            "Adds to the score of a member of a sorted set; a member that is not there has 0.",
        )
        .args(&[KEY, Arg::new("increment", ArgKind::Integer), MEMBER]),
    row("zrem", -3, add::zrem, WRITE | FAST, CUT_KEY)
        .doc(
            Group::SortedSet,
            "1.2.0",
            "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
            "Takes members out of a sorted set.",
        )
        .history(&[("2.4.0", "Accepts multiple elements.")])
        .args(&[KEY, MEMBER.multiple()]),
    row("zcard", 2, read::zcard, READONLY | FAST, &[key(1, RO)])
        .doc(
            Group::SortedSet,
            "1.2.0",
            "O(1)",
            "Counts the members of a sorted set.",
        )
        .args(&[KEY]),
    row("zscore", 3, read::zscore, READONLY | FAST, READ_KEY)
        .doc(
            Group::SortedSet,
            "1.2.0",
            "O(1)",
            "Gives the score of a member of a sorted set.",
        )
        .args(&[KEY, MEMBER]),
    row("zmscore", -3, read::zmscore, READONLY | FAST, READ_KEY)
        .doc(
            Group::SortedSet,
            "6.2.0",
            "O(N) where N is the number of members being requested.",
            "Gives the scores of several members of a sorted set.",
        )
        .args(&[KEY, MEMBER.multiple()]),
    row("zrank", -3, read::zrank, READONLY | FAST, READ_KEY)
        .doc(
            Group::SortedSet,
            "2.0.0",
            "O(log(N))",
            "Gives the rank of a member of a sorted set, counted from the lowest score.",
        )
        .history(RANK_HISTORY)
        .args(&[KEY, MEMBER, WITHSCORE]),
    row("zrevrank", -3, read::zrevrank, READONLY | FAST, READ_KEY)
        .doc(
            Group::SortedSet,
            "2.0.0",
            "O(log(N))",
            "Gives the rank of a member of a sorted set, counted from the highest score.",
        )
        .history(RANK_HISTORY)
        .args(&[KEY, MEMBER, WITHSCORE]),
    row("zcount", 4, read::zcount, READONLY | FAST, READ_KEY)
        .doc(
            Group::SortedSet,
            "2.0.0",
            ONE_DESCENT,
            "Counts the members of a sorted set whose scores lie in a range.",
        )
        .args(&[KEY, MIN_SCORE, MAX_SCORE]),
    row("zlexcount", 4, read::zlexcount, READONLY | FAST, READ_KEY)
        .doc(
            Group::SortedSet,
            "2.8.9",
            ONE_DESCENT,
            "Counts the members of a sorted set, all of one score, that lie in a range.",
        )
        .args(&[KEY, MIN, MAX]),
    row("zrandmember", -2, read::zrandmember, READONLY, READ_KEY)
        .tips(NONDETERMINISTIC)
        .doc(
            Group::SortedSet,
            "6.2.0",
            "O(N) where N is the number of members returned",
            "Gives members of a sorted set at random.",
        )
        .args(&[
            KEY,
            Arg::block("options", &[COUNT, WITHSCORES.optional()]).optional(),
        ]),
    row("zscan", -3, read::zscan, READONLY, READ_KEY)
        .tips(NONDETERMINISTIC)
        .doc(
            Group::SortedSet,
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
            "Gives the members of a sorted set and their scores, some with each call.",
        )
        .history(&[("8.0.0", "Added noscores option.")])
        .args(&[
            KEY,
            Arg::new("cursor", ArgKind::Integer),
            Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
            COUNT.token("COUNT").optional(),
            Arg::word("noscores", "NOSCORES").optional(),
        ]),
    row("zrange", -4, range::zrange, READONLY, READ_KEY)
        .doc(
            Group::SortedSet,
            "1.2.0",
            RETURNED_RANGE,
            "Gives the members of a sorted set in a range of ranks, of scores or of members.",
        )
        .history(&[("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")])
        .args(&[
            KEY,
            Arg::new("start", ArgKind::String),
            Arg::new("stop", ArgKind::String),
            SORTBY.since("6.2.0").optional(),
            REV.since("6.2.0").optional(),
            LIMIT.since("6.2.0").optional(),
            WITHSCORES.optional(),
        ]),
    row("zrevrange", -4, range::zrevrange, READONLY, READ_KEY)
        .doc(
            Group::SortedSet,
            "1.2.0",
            RETURNED_RANGE,
            "Gives the members of a sorted set in a range of ranks, counted from the highest score.",
        )
        .args(&[KEY, START, STOP, WITHSCORES.optional()]),
    row("zrangebyscore", -4, range::zrangebyscore, READONLY, READ_KEY)
        .doc(
            Group::SortedSet,
            "1.0.5",
            LIMITED_RANGE,
            "Gives the members of a sorted set whose scores lie in a range.",
        )
        .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")])
        .args(&[KEY, MIN_SCORE, MAX_SCORE, WITHSCORES.since("2.0.0").optional(), LIMIT.optional()]),
    row("zrevrangebyscore", -4, range::zrevrangebyscore, READONLY, READ_KEY)
        .doc(
            Group::SortedSet,
            "2.2.0",
            LIMITED_RANGE,
            "Gives the members of a sorted set whose scores lie in a range, the highest first.",
        )
        .history(&[("2.1.6", "`min` and `max` can be exclusive.")])
        .args(&[KEY, MAX_SCORE, MIN_SCORE, WITHSCORES.optional(), LIMIT.optional()]),
    row("zrangebylex", -4, range::zrangebylex, READONLY, READ_KEY)
        .doc(
            Group::SortedSet,
            "2.8.9",
            LIMITED_RANGE,
            "Gives the members of a sorted set, all of one score, that lie in a range.",
        )
        .args(&[KEY, MIN, MAX, LIMIT.optional()]),
    row("zrevrangebylex", -4, range::zrevrangebylex, READONLY, READ_KEY)
        .doc(
            Group::SortedSet,
            "2.8.9",
            LIMITED_RANGE,
            "Gives the members of a sorted set, all of one score, that lie in a range, the last first.",
        )
        .args(&[KEY, MAX, MIN, LIMIT.optional()]),
    row("zrangestore", -5, range::zrangestore, WRITE | DENYOOM, &[key(1, OW | UPDATE), key(2, RO | ACCESS)])
        .doc(
            Group::SortedSet,
            "6.2.0",
            "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
            "Stores the members of a sorted set in a range of ranks, of scores or of members as another sorted set.",
        )
        .args(&[
            Arg::key("dst"),
            Arg::new("src", ArgKind::Key(1)),
            MIN,
            MAX,
            SORTBY.optional(),
            REV.optional(),
            LIMIT.optional(),
        ]),
    row("zremrangebyrank", 4, range::zremrangebyrank, WRITE, CUT_KEY)
        .doc(
            Group::SortedSet,
            "2.0.0",
            REMOVED_RANGE,
            "Takes the members in a range of ranks out of a sorted set.",
        )
        .args(&[KEY, START, STOP]),
    row("zremrangebyscore", 4, range::zremrangebyscore, WRITE, CUT_KEY)
        .doc(
            Group::SortedSet,
            "1.2.0",
            REMOVED_RANGE,
            "Takes the members whose scores lie in a range out of a sorted set.",
        )
        .args(&[KEY, MIN_SCORE, MAX_SCORE]),
    row("zremrangebylex", 4, range::zremrangebylex, WRITE, CUT_KEY)
        .doc(
            Group::SortedSet,
            "2.8.9",
            REMOVED_RANGE,
            "Takes the members that lie in a range out of a sorted set, all of one score.",
        )
        .args(&[KEY, MIN, MAX]),
    row("zpopmin", -2, pop::zpopmin, WRITE | FAST, POPPED_KEY)
        .doc(
            Group::SortedSet,
            "5.0.0",
            POP,
            "Takes the members of the lowest scores out of a sorted set and gives them.",
        )
        .args(&[KEY, COUNT.optional()]),
    row("zpopmax", -2, pop::zpopmax, WRITE | FAST, POPPED_KEY)
        .doc(
            Group::SortedSet,
            "5.0.0",
            POP,
            "Takes the members of the highest scores out of a sorted set and gives them.",
        )
        .args(&[KEY, COUNT.optional()]),
    row("zmpop", -4, pop::zmpop, WRITE | MOVABLE_KEYS, &[numbered_keys(1, 1, RW | ACCESS | DELETE)])
        .doc(
            Group::SortedSet,
            "7.0.0",
            POP_OF_SEVERAL,
            "Takes members of the lowest or highest scores out of the first of several sorted sets that is there, and gives them.",
        )
        .args(&[NUMKEYS, KEY.multiple(), WHERE, COUNT.token("COUNT").optional()]),
    row("bzpopmin", -3, pop::bzpopmin, WRITE | FAST | BLOCKING, POPPED_KEYS)
        .doc(
            Group::SortedSet,
            "5.0.0",
            ONE_DESCENT,
            "Takes the member of the lowest score out of the first of several sorted sets that is there, and waits for one where none is.",
        )
        .history(TIMEOUT_HISTORY)
        .args(&[KEY.multiple(), TIMEOUT]),
    row("bzpopmax", -3, pop::bzpopmax, WRITE | FAST | BLOCKING, POPPED_KEYS)
        .doc(
            Group::SortedSet,
            "5.0.0",
            ONE_DESCENT,
            "Takes the member of the highest score out of the first of several sorted sets that is there, and waits for one where none is.",
        )
        .history(TIMEOUT_HISTORY)
        .args(&[KEY.multiple(), TIMEOUT]),
    row(
        "bzmpop",
        -5,
        pop::bzmpop,
        WRITE | BLOCKING | MOVABLE_KEYS,
        &[numbered_keys(2, 1, RW | ACCESS | DELETE)],
    )
    .doc(
        Group::SortedSet,
        "7.0.0",
        POP_OF_SEVERAL,
        "Takes members of the lowest or highest scores out of the first of several sorted sets that is there, and waits for one where none is.",
    )
    .args(&[TIMEOUT, NUMKEYS, KEY.multiple(), WHERE, COUNT.token("COUNT").optional()]),
    row("zunion", -3, combine::zunion, READONLY | MOVABLE_KEYS, READ_KEYS)
        .doc(
            Group::SortedSet,
            "6.2.0",
            "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
            "Gives the union of several sorted sets.",
        )
        .args(&[NUMKEYS, KEY.multiple(), WEIGHTS, AGGREGATE, WITHSCORES.optional()]),
    row("zunionstore", -4, combine::zunionstore, WRITE | DENYOOM | MOVABLE_KEYS, STORE_KEYS)
        .doc(
            Group::SortedSet,
            "2.0.0",
            "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
            "Stores the union of several sorted sets as another.",
        )
        .args(&[DESTINATION, NUMKEYS, SOURCES, WEIGHTS, AGGREGATE]),
    row("zinter", -3, combine::zinter, READONLY | MOVABLE_KEYS, READ_KEYS)
        .doc(
            Group::SortedSet,
            "6.2.0",
            INTERSECTION,
            "Gives the intersection of several sorted sets.",
        )
        .args(&[NUMKEYS, KEY.multiple(), WEIGHTS, AGGREGATE, WITHSCORES.optional()]),
    row("zinterstore", -4, combine::zinterstore, WRITE | DENYOOM | MOVABLE_KEYS, STORE_KEYS)
        .doc(
            Group::SortedSet,
            "2.0.0",
            INTERSECTION,
            "Stores the intersection of several sorted sets as another.",
        )
        .args(&[DESTINATION, NUMKEYS, SOURCES, WEIGHTS, AGGREGATE]),
    row("zintercard", -3, combine::zintercard, READONLY | MOVABLE_KEYS, READ_KEYS)
        .doc(
            Group::SortedSet,
            "7.0.0",
            "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
            "Counts the members of the intersection of several sorted sets.",
        )
        .args(&[
            NUMKEYS,
            KEY.multiple(),
            Arg::new("limit", ArgKind::Integer).token("LIMIT").optional(),
        ]),
    row("zdiff", -3, combine::zdiff, READONLY | MOVABLE_KEYS, READ_KEYS)
        .doc(
            Group::SortedSet,
            "6.2.0",
            DIFFERENCE,
            "Gives the members of a sorted set that several others do not have.",
        )
        .args(&[NUMKEYS, KEY.multiple(), WITHSCORES.optional()]),
    row("zdiffstore", -4, combine::zdiffstore, WRITE | DENYOOM | MOVABLE_KEYS, STORE_KEYS)
        .doc(
            Group::SortedSet,
            "6.2.0",
            DIFFERENCE,
            "Stores the members of a sorted set that several others do not have as another.",
        )
        .args(&[DESTINATION, NUMKEYS, SOURCES]),

];

const fn row(
    name: &'static str,
    arity: i16,
    handler: Handler,
    flags: u32,
    keys: &'static [KeySpec],
) -> Spec {
    Spec::new(name, arity, handler)
        .flags(flags)
        .category(SORTEDSET)
        .keys(keys)
}
