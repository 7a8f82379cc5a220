//! SORT: the elements of a list, a set or a sorted set, in an order of the
//! client's choice.
//!
//! A pattern (BY, GET) makes a key of each element, which only the run itself
//! can tell: with one, the command holds the whole keyspace.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::list;
use crate::base::{hash, num};
use crate::exec::access::{self, Touch};
use crate::exec::args::{Args, Key};
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{
    Arg, ArgKind, Begin, Find, Group, Handler, KeySpec, Spec,
    category::{DANGEROUS, LIST, SET, SORTEDSET},
    flag::*,
    key,
    key_flag::*,
};
use crate::exec::txn::Txn;
use crate::protocol::error::Error;
use crate::store::entry::Value;
use crate::types::list::{List, Side};
use crate::types::object::Object;

const SORTSTORE: Event = Event::list("sortstore");

/// An element, or what a pattern leads to.
type Text = SmallVec<[u8; 24]>;

/// What is wanted.
struct Wish<'c> {
    descending: bool,
    alphabetic: bool,
    by: Option<Pattern<'c>>,
    /// The elements stay in the order in which they are.
    unsorted: bool,
    /// How many to leave out at first, and how many to give then.
    limit: (i64, i64),
    get: Vec<Pattern<'c>>,
    store: Option<Key<'c>>,
}

impl<'c> Wish<'c> {
    fn of(ctx: &mut Ctx<'c, '_>) -> Result<Wish<'c>, Error> {
        let mut wish = Wish {
            descending: false,
            alphabetic: false,
            by: None,
            unsorted: false,
            limit: (0, -1),
            get: Vec::new(),
            store: None,
        };
        let mut destination: Option<Args<'c>> = None;
        while !ctx.args.is_empty() {
            if ctx.args.flag("ASC") {
                wish.descending = false;
            } else if ctx.args.flag("DESC") {
                wish.descending = true;
            } else if ctx.args.flag("ALPHA") {
                wish.alphabetic = true;
            } else if ctx.args.left() >= 3 && ctx.args.flag("LIMIT") {
                wish.limit = (ctx.args.int()?, ctx.args.int()?);
            } else if ctx.spec.has(WRITE) && ctx.args.option("STORE") {
                destination = Some(ctx.args.clone());
                ctx.args.bytes()?;
            } else if ctx.args.option("BY") {
                let pattern = Pattern(ctx.args.bytes()?);
                if pattern.leads_to_keys() {
                    if !lies_with_key(ctx, pattern) {
                        return Err(Error::sort_across_slots("BY"));
                    }
                    admit(ctx, "BY")?;
                }
                wish.unsorted |= !pattern.leads_to_keys();
                wish.by = Some(pattern);
            } else if ctx.args.option("GET") {
                let pattern = Pattern(ctx.args.bytes()?);
                if pattern.0 != b"#" && !lies_with_key(ctx, pattern) {
                    return Err(Error::sort_across_slots("GET"));
                }
                admit(ctx, "GET")?;
                wish.get.push(pattern);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        wish.store = destination.map(|mut args| args.key()).transpose()?;
        Ok(wish)
    }

    /// The places, among so many sorted elements, of those to give.
    fn places(&self, count: usize) -> std::ops::Range<usize> {
        let within = |n: i64| usize::try_from(n).unwrap_or(usize::MAX).min(count);
        let start = within(self.limit.0.max(0));
        match self.limit.1 {
            ..0 => start..count,
            n => start..(start + within(n)).min(count),
        }
    }
}

/// What becomes a key when an element takes the place of its first `*`; behind
/// `->` it names a field of the hash there.
#[derive(Clone, Copy)]
struct Pattern<'c>(&'c [u8]);

impl Pattern<'_> {
    fn leads_to_keys(&self) -> bool {
        self.0.contains(&b'*')
    }

    /// What it leads to from an element; nothing where there is no such value.
    fn follow(&self, txn: &mut Txn<'_>, element: &[u8]) -> Option<Text> {
        if self.0 == b"#" {
            return Some(element.into());
        }
        let star = self.0.iter().position(|&b| b == b'*')?;
        let (before, behind) = (&self.0[..star], &self.0[star + 1..]);
        let arrow = behind.windows(2).position(|pair| pair == b"->");
        let (behind, field) = match arrow {
            Some(at) if at + 2 < behind.len() => (&behind[..at], Some(&behind[at + 2..])),
            _ => (behind, None),
        };
        let bytes = [before, element, behind].concat();
        let key = Key::of(&bytes);
        let over_ms = txn.over_ms;
        let value = txn.read(&key)?.value();
        match (value, field) {
            (Value::Object(_), None) => None,
            (value, None) => Some(value.with_bytes(Text::from_slice)),
            (Value::Object(object), Some(field)) => match &*object.get() {
                Object::Hash(hash) => {
                    let item = hash.get(field, over_ms)?;
                    Some(item.with_bytes(Text::from_slice))
                }
                _ => None,
            },
            (_, Some(_)) => None,
        }
    }
}

/// An error where the client's user may not read any key, which a pattern may lead to.
fn admit(ctx: &mut Ctx<'_, '_>, option: &str) -> Result<(), Error> {
    let argv = ctx.args.all();
    match access::may_reach_everything(ctx.engine, ctx.session, argv, Touch::Read) {
        true => Ok(()),
        false => Err(Error::new(format!(
            "ERR {option} option of SORT denied due to insufficient ACL permissions."
        ))),
    }
}

/// Whether what a pattern leads to lies in the slot of the key that is sorted, where
/// there is a cluster.
fn lies_with_key(ctx: &Ctx<'_, '_>, pattern: Pattern<'_>) -> bool {
    let key = ctx.args.all()[1];
    ctx.engine.routing.is_none() || hash::slot_of_pattern(pattern.0) == Some(hash::slot(key))
}

/// Whether a BY or GET leads to keys.
fn follows_patterns(argv: &[&[u8]]) -> bool {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    argv.windows(2)
        .skip(2)
        .any(|pair| (is(pair[0], "BY") || is(pair[0], "GET")) && Pattern(pair[1]).leads_to_keys())
}

/// An element, and what it is compared by.
struct Sorted {
    element: Text,
    score: f64,
    /// By a pattern; of those that it leads nowhere, there is none.
    text: Option<Text>,
}

/// The elements of a list, a set or a sorted set, in their own order.
fn elements(value: Value<'_>) -> Result<Vec<Sorted>, Error> {
    let Value::Object(object) = value else {
        return Err(Error::WRONG_TYPE);
    };
    let mut all = Vec::new();
    let mut add = |text: &[u8]| {
        all.push(Sorted {
            element: Text::from_slice(text),
            score: 0.0,
            text: None,
        });
    };
    match &*object.get() {
        Object::List(list) => {
            let mut walk = list.walk(0, Side::Right);
            while let Some(item) = walk.step() {
                item.with_bytes(&mut add);
            }
        }
        Object::Set(set) => set.iter().for_each(|member| member.with_bytes(&mut add)),
        Object::ZSet(zset) => zset
            .iter()
            .for_each(|(member, _)| member.with_bytes(&mut add)),
        _ => return Err(Error::WRONG_TYPE),
    }
    Ok(all)
}

fn is_set(value: Value<'_>) -> bool {
    matches!(value, Value::Object(object) if matches!(*object.get(), Object::Set(_)))
}

/// SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC | DESC]
/// [ALPHA] [STORE destination], and SORT_RO
fn sort(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let mut wish = Wish::of(ctx)?;
    let mut all = Vec::new();
    if let Some(entry) = ctx.txn.read(&key) {
        let value = entry.value();
        all = elements(value)?;
        // What is stored must not depend on how a set happens to lie.
        if wish.unsorted && wish.store.is_some() && is_set(value) {
            (wish.unsorted, wish.alphabetic, wish.by) = (false, true, None);
        }
        if wish.unsorted && wish.descending && !is_set(value) {
            all.reverse();
        }
    }
    let places = wish.places(all.len());
    if !wish.unsorted {
        weigh(&wish, ctx.txn, &mut all)?;
        put_in_order(&wish, &mut all, places.clone());
    }
    let chosen = &all[places];
    match wish.store {
        None => {
            ctx.reply.array(chosen.len() * wish.get.len().max(1));
            for Sorted { element, .. } in chosen {
                if wish.get.is_empty() {
                    ctx.reply.bulk(element);
                }
                for pattern in &wish.get {
                    match pattern.follow(ctx.txn, element) {
                        Some(text) => ctx.reply.bulk(&text),
                        None => ctx.reply.null(),
                    }
                }
            }
        }
        Some(destination) => {
            let mut got: Vec<Text> = Vec::new();
            for Sorted { element, .. } in chosen {
                for pattern in &wish.get {
                    got.push(pattern.follow(ctx.txn, element).unwrap_or_default());
                }
            }
            let texts: Vec<&[u8]> = match wish.get.is_empty() {
                true => chosen.iter().map(|one| &one.element[..]).collect(),
                false => got.iter().map(|text| &text[..]).collect(),
            };
            store(ctx, &destination, &texts);
        }
    }
    Ok(())
}

fn store(ctx: &mut Ctx<'_, '_>, destination: &Key<'_>, texts: &[&[u8]]) {
    let limits = list::limits(ctx);
    let mut list = List::new();
    list.push(Side::Right, texts, limits);
    let length = ctx.txn.store(destination, list, SORTSTORE);
    ctx.reply.size(length);
}

/// Finds what each element is compared by.
fn weigh(wish: &Wish<'_>, txn: &mut Txn<'_>, all: &mut [Sorted]) -> Result<(), Error> {
    let mut are_numbers = true;
    for one in all {
        if let Some(pattern) = &wish.by {
            one.text = pattern.follow(txn, &one.element);
        }
        if wish.alphabetic {
            continue;
        }
        let text = match &wish.by {
            Some(_) => one.text.as_deref(),
            None => Some(&one.element[..]),
        };
        match text.map(num::parse_f64) {
            Some(Some(score)) => one.score = score,
            Some(None) => are_numbers = false,
            None => {}
        }
    }
    match are_numbers {
        true => Ok(()),
        false => Err(Error::SORT_SCORE),
    }
}

/// Sorts, so far as those at these places are concerned.
fn put_in_order(wish: &Wish<'_>, all: &mut Vec<Sorted>, places: std::ops::Range<usize>) {
    let compare = |a: &Sorted, b: &Sorted| {
        let order = match (wish.alphabetic, &wish.by) {
            (false, _) => {
                let by_score = a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal);
                by_score.then_with(|| a.element.cmp(&b.element))
            }
            (true, None) => a.element.cmp(&b.element),
            (true, Some(_)) => a.text.cmp(&b.text),
        };
        match wish.descending {
            true => order.reverse(),
            false => order,
        }
    };
    // Of many only a few: the others need no order among themselves. Where some
    // are equal to all but their place, that is to decide.
    let is_total = !(wish.alphabetic && wish.by.is_some());
    if is_total && places.end < all.len() && !places.is_empty() {
        all.select_nth_unstable_by(places.end - 1, compare);
        all.truncate(places.end);
    }
    all.sort_by(compare);
}

// ----- rows -------------------------------------------------------------------

const PATTERN_NOTE: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort";
const STORE_NOTE: &str = "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array";

const SORTED_KEY: KeySpec = key(1, RO | ACCESS);
const PATTERN_KEYS: KeySpec = KeySpec {
    flags: RO | ACCESS,
    begin: Begin::Unknown,
    find: Find::Unknown,
    notes: PATTERN_NOTE,
};
const STORE_KEY: KeySpec = KeySpec {
    flags: OW | UPDATE,
    begin: Begin::LastOption("STORE", &[("LIMIT", 2), ("BY", 1), ("GET", 1)]),
    find: Find::Range {
        last: 0,
        step: 1,
        limit: 0,
    },
    notes: STORE_NOTE,
};

const KEY: Arg = Arg::key("key");
const BY: Arg = Arg::new("by-pattern", ArgKind::KeyPattern(1))
    .shown_as("pattern")
    .token("BY")
    .optional();
const LIMIT: Arg = Arg::block(
    "limit",
    &[
        Arg::new("offset", ArgKind::Integer),
        Arg::new("count", ArgKind::Integer),
    ],
)
.token("LIMIT")
.optional();
const GET: Arg = Arg::new("get-pattern", ArgKind::KeyPattern(1))
    .shown_as("pattern")
    .token("GET")
    .optional()
    .multiple()
    .multiple_token();
const ORDER: Arg = Arg::one_of(
    "order",
    &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")],
)
.optional();
const ALPHA: Arg = Arg::word("sorting", "ALPHA").optional();

const fn row(name: &'static str, flags: u32, keys: &'static [KeySpec], handler: Handler) -> Spec {
    Spec::new(name, -2, handler)
        .flags(flags | MOVABLE_KEYS)
        .category(SET | SORTEDSET | LIST | DANGEROUS)
        .keys(keys)
        .reaches_beyond(follows_patterns)
}

const COST: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).";

/// The family.
pub const SPECS: &[Spec] = &[
    row(
        "sort",
        WRITE | DENYOOM,
        &[SORTED_KEY, PATTERN_KEYS, STORE_KEY],
        sort,
    )
    .doc(
        Group::Generic,
        "1.0.0",
        COST,
        "Sorts the elements of a list, a set or a sorted set, and gives or stores them, or what they lead to.",
    )
    .args(&[
        KEY,
        BY,
        LIMIT,
        GET,
        ORDER,
        ALPHA,
        Arg::new("destination", ArgKind::Key(2))
            .token("STORE")
            .optional(),
    ]),
    row("sort_ro", READONLY, &[SORTED_KEY, PATTERN_KEYS], sort)
        .doc(
            Group::Generic,
            "7.0.0",
            COST,
            "Sorts the elements of a list, a set or a sorted set, and gives them, or what they lead to.",
        )
        .args(&[KEY, BY, LIMIT, GET, ORDER, ALPHA]),
];

#[cfg(test)]
mod tests {
    use crate::command::testkit::{Kit, check, recorded};

    fn kit() -> Kit {
        let mut kit = Kit::new();
        kit.run("zadd z 1 3 2 10 3 1 4 2");
        kit.run("sadd s c a b");
        for line in [
            "set w_1 4",
            "set w_2 3",
            "set w_3 2",
            "set w_10 1",
            "set o_1 one",
        ] {
            kit.run(line);
        }
        kit
    }

    #[test]
    fn elements_are_sorted_by_themselves() {
        check(
            &mut kit(),
            &[
                ("sort z", "*4 $1 1 $1 2 $1 3 $2 10"),
                ("sort z desc", "*4 $2 10 $1 3 $1 2 $1 1"),
                ("sort z alpha", "*4 $1 1 $2 10 $1 2 $1 3"),
                ("sort z limit 1 2", "*2 $1 2 $1 3"),
                ("sort z limit 3 -1", "*1 $2 10"),
                ("sort z limit 4 5", "*0"),
                ("sort z limit -5 1", "*1 $1 1"),
                ("sort z limit 0 0", "*0"),
                ("sort s alpha desc", "*3 $1 c $1 b $1 a"),
                ("sort none", "*0"),
                (
                    "sort s",
                    "-ERR One or more scores can't be converted into double",
                ),
                (
                    "sort w_1",
                    "-WRONGTYPE Operation against a key holding the wrong kind of value",
                ),
            ],
        );
    }

    #[test]
    fn patterns_lead_to_what_elements_are_sorted_by_and_to_what_is_given() {
        check(
            &mut kit(),
            &[
                ("sort z by w_*", "*4 $2 10 $1 3 $1 2 $1 1"),
                ("sort z by w_* limit 0 1 get # get o_*", "*2 $2 10 $-1"),
                ("sort z get # get o_* limit 0 1", "*2 $1 1 $3 one"),
                ("sort z by nosort get #", "*4 $1 3 $2 10 $1 1 $1 2"),
                ("sort z by nosort desc limit 0 2", "*2 $1 2 $1 1"),
                ("sort z by o_* alpha limit 3 1", "*1 $1 1"),
                (
                    "sort z by o_*",
                    "-ERR One or more scores can't be converted into double",
                ),
                ("sort z get fixed limit 0 1", "*1 $-1"),
                ("sort z get s limit 0 1", "*1 $-1"),
                ("sort_ro z by w_* limit 0 2", "*2 $2 10 $1 3"),
                ("sort_ro z store d", "-ERR syntax error"),
                ("sort z limit 1", "-ERR syntax error"),
                ("sort z by", "-ERR syntax error"),
                (
                    "sort z limit a 1",
                    "-ERR value is not an integer or out of range",
                ),
            ],
        );
    }

    #[test]
    fn what_is_sorted_is_stored_as_a_list() {
        let (mut kit, recorder) = recorded();
        kit.run("zadd z 1 3 2 10 3 1");
        kit.run("sadd s c a b");
        recorder.take();
        check(
            &mut kit,
            &[
                ("sort z store d", ":3"),
                ("type d", "+list"),
                ("sort d desc", "*3 $2 10 $1 3 $1 1"),
                ("sort s by nosort store e store d", ":3"),
                ("exists e", ":0"),
                ("sort d by nosort", "*3 $1 a $1 b $1 c"),
                ("sort z get none* get # limit 0 1 store d", ":2"),
                ("sort d by nosort", "*2 $0  $1 1"),
                ("sort none store d", ":0"),
                ("exists d", ":0"),
            ],
        );
        let mut events = recorder.events();
        events.retain(|name| *name != "keymiss");
        let expected = ["new", "sortstore", "sortstore", "sortstore", "del"];
        assert_eq!(events, expected);
        // With a pattern, in a transaction, between others.
        check(
            &mut kit,
            &[
                ("multi", "+OK"),
                ("set w_10 0", "+QUEUED"),
                ("sort z by w_* store d", "+QUEUED"),
                ("sort z store d", "+QUEUED"),
                ("exec", "*3 +OK :3 :3"),
            ],
        );
    }

    #[test]
    fn its_keys_are_told() {
        check(
            &mut Kit::new(),
            &[
                ("command getkeys sort a by b store c", "*2 $1 a $1 c"),
                (
                    "command getkeys sort a get store limit 1 2 store b store c",
                    "*2 $1 a $1 c",
                ),
                ("command getkeys sort a by store", "*1 $1 a"),
                ("command getkeys sort_ro a", "*1 $1 a"),
            ],
        );
    }
}
