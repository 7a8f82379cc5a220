//! Lists: the rows of the family's commands, and what their handlers share.
//!
//! The handlers are in files by what they do: [`read`] reads, [`edit`] adds,
//! removes and replaces, [`pop`] takes from the ends and moves between lists.

use std::sync::atomic::Ordering;

use crate::base::num;
use crate::config::param;
use crate::exec::args::{Args, Key};
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{
    Arg, ArgKind, Group, Handler, KeySpec, Spec, category::LIST, flag::*, key, key_flag::*, keys,
    numbered_keys,
};
use crate::exec::txn::{Deadline, Found};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::entry::NewValue;
use crate::types::list::{Limits, List, Side};
use crate::types::listpack::Item;
use crate::types::object::Family;

mod edit;
mod pop;
mod read;
#[cfg(test)]
mod tests;

/// How lists are kept, by the configuration.
pub(super) fn limits(ctx: &Ctx<'_, '_>) -> Limits {
    let settings = &ctx.engine.settings;
    let large = ctx.engine.large_element_bytes.load(Ordering::Relaxed);
    Limits::new(
        settings.int(param::LIST_MAX_LISTPACK_SIZE),
        settings.int(param::LIST_COMPRESS_DEPTH),
    )
    .with_large_bytes((large > 0).then_some(large))
}

/// LEFT or RIGHT.
fn side(args: &mut Args<'_>) -> Result<Side, Error> {
    if args.flag("LEFT") {
        Ok(Side::Left)
    } else if args.flag("RIGHT") {
        Ok(Side::Right)
    } else {
        Err(Error::SYNTAX)
    }
}

/// An integer whose opposite is one, too.
fn not_least(text: &[u8]) -> Result<i64, Error> {
    match num::parse_i64(text).ok_or(Error::NOT_INTEGER)? {
        i64::MIN => Err(Error::LEAST_INTEGER),
        n => Ok(n),
    }
}

const fn pushed(side: Side) -> Event {
    match side {
        Side::Left => Event::list("lpush"),
        Side::Right => Event::list("rpush"),
    }
}

const fn popped(side: Side) -> Event {
    match side {
        Side::Left => Event::list("lpop"),
        Side::Right => Event::list("rpop"),
    }
}

/// Adds texts one by one at an end of what was found, or of a new list; returns
/// the list's length.
fn push(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    found: Option<Found>,
    side: Side,
    texts: &[&[u8]],
) -> usize {
    let limits = limits(ctx);
    let len = match found {
        Some(found) => ctx.txn.update(key, found, |list: &mut List, events| {
            list.push(side, texts, limits);
            events.push(pushed(side));
            list.len()
        }),
        None => {
            let mut list = List::new();
            list.push(side, texts, limits);
            let len = list.len();
            let value = NewValue::Object(list.into());
            ctx.txn.put(key, None, value, Deadline::Never, pushed(side));
            len
        }
    };
    ctx.txn.count_as(key, texts.len() as u64);
    len
}

/// Writes an element.
fn write_item(reply: &mut Reply<'_>, item: Item<'_>) {
    match item {
        Item::Int(n) => reply.bulk_int(n),
        Item::Str(text) => reply.bulk(text),
    }
}

/// Writes `n` elements from an index on, which must be there.
fn write_items(reply: &mut Reply<'_>, list: &List, from: usize, n: usize, towards: Side) {
    reply.array(n);
    let mut walk = list.walk(from, towards);
    for _ in 0..n {
        write_item(reply, walk.step().expect("as many elements are there"));
    }
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");
const KEYS: Arg = KEY.multiple();
const SOURCE: Arg = Arg::key("source");
const DESTINATION: Arg = Arg::new("destination", ArgKind::Key(1));
const ELEMENT: Arg = Arg::new("element", ArgKind::String);
const INDEX: Arg = Arg::new("index", ArgKind::Integer);
const COUNT: Arg = Arg::new("count", ArgKind::Integer);
const NUMKEYS: Arg = Arg::new("numkeys", ArgKind::Integer);
const TIMEOUT: Arg = Arg::new("timeout", ArgKind::Double);
const RANGE: &[Arg] = &[
    KEY,
    Arg::new("start", ArgKind::Integer),
    Arg::new("stop", ArgKind::Integer),
];
const SIDES: &[Arg] = &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")];
const WHERE: Arg = Arg::one_of("where", SIDES);
const FROM: Arg = Arg::one_of("wherefrom", SIDES);
const TO: Arg = Arg::one_of("whereto", SIDES);

const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];
const PUSHED_KEY: &[KeySpec] = &[key(1, RW | INSERT)];
const POPPED_KEY: &[KeySpec] = &[key(1, RW | ACCESS | DELETE)];
const AWAITED_KEYS: &[KeySpec] = &[keys(1, -2, 1, RW | ACCESS | DELETE)];
const CUT_KEY: &[KeySpec] = &[key(1, RW | DELETE)];
const MOVED_KEYS: &[KeySpec] = &[key(1, RW | ACCESS | DELETE), key(2, RW | INSERT)];

const FOR_EACH: &str = "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.";
const BY_RETURNED: &str = "O(N) where N is the number of elements returned";
const BY_KEYS: &str = "O(N) where N is the number of provided keys.";
const BY_KEYS_AND_RETURNED: &str =
    "O(N+M) where N is the number of provided keys and M is the number of elements returned.";

const SEVERAL: &[(&str, &str)] = &[("2.4.0", "Accepts multiple `element` arguments.")];
const SEVERAL_LATER: &[(&str, &str)] = &[("4.0.0", "Accepts multiple `element` arguments.")];
const COUNTED: &[(&str, &str)] = &[("6.2.0", "Added the `count` argument.")];

const DECIMALS: &[(&str, &str)] = &[(
    "6.0.0",
    "`timeout` is interpreted as a double instead of an integer.",
)];

/// The family.
pub const SPECS: &[Spec] = &[
    row("lpush", -3, edit::push_any, WRITE | DENYOOM | FAST, PUSHED_KEY)
        .doc(
            Group::List,
            "1.0.0",
            FOR_EACH,
            "Adds elements at the head of a list, one after the other; a key that is not there becomes one.",
        )
        .history(SEVERAL)
        .args(&[KEY, ELEMENT.multiple()]),
    row("rpush", -3, edit::push_any, WRITE | DENYOOM | FAST, PUSHED_KEY)
        .doc(
            Group::List,
            "1.0.0",
            FOR_EACH,
            "Adds elements at the tail of a list, one after the other; a key that is not there becomes one.",
        )
        .history(SEVERAL)
        .args(&[KEY, ELEMENT.multiple()]),
    row("lpushx", -3, edit::push_existing, WRITE | DENYOOM | FAST, PUSHED_KEY)
        .doc(
            Group::List,
            "2.2.0",
            FOR_EACH,
            "Adds elements at the head of a list that is there.",
        )
        .history(SEVERAL_LATER)
        .args(&[KEY, ELEMENT.multiple()]),
    row("rpushx", -3, edit::push_existing, WRITE | DENYOOM | FAST, PUSHED_KEY)
        .doc(
            Group::List,
            "2.2.0",
            FOR_EACH,
            "Adds elements at the tail of a list that is there.",
        )
        .history(SEVERAL_LATER)
        .args(&[KEY, ELEMENT.multiple()]),
    row("linsert", 5, edit::linsert, WRITE | DENYOOM, PUSHED_KEY)
        .doc(
            Group::List,
            "2.2.0",
            "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the right end (tail) is O(N).",
            "Adds an element in front of another, or behind it.",
        )
        .args(&[
            KEY,
            Arg::one_of(
                "where",
                &[Arg::word("before", "BEFORE"), Arg::word("after", "AFTER")],
            ),
            Arg::new("pivot", ArgKind::String),
            ELEMENT,
        ]),
    row("lset", 4, edit::lset, WRITE | DENYOOM, &[key(1, RW | UPDATE)])
        .doc(
            Group::List,
            "1.0.0",
            "O(N) where N is the length of the list. Setting either the first or the last element of the list is O(1).",
            "Replaces the element at an index.",
        )
        .args(&[KEY, INDEX, ELEMENT]),
    row("lrem", 4, edit::lrem, WRITE, CUT_KEY)
        .doc(
            Group::List,
            "1.0.0",
            "O(N+M) where N is the length of the list and M is the number of elements removed.",
            "Removes elements that are equal to one; the key goes with the last element.",
        )
        .args(&[KEY, COUNT, ELEMENT]),
    row("ltrim", 4, edit::ltrim, WRITE, CUT_KEY)
        .doc(
            Group::List,
            "1.0.0",
            "O(N) where N is the number of elements to be removed by the operation.",
            "Keeps only the elements of a range; the key goes with the last element.",
        )
        .args(RANGE),
    row("llen", 2, read::llen, READONLY | FAST, &[key(1, RO)])
        .doc(Group::List, "1.0.0", "O(1)", "Tells how many elements a list has.")
        .args(&[KEY]),
    row("lindex", 3, read::lindex, READONLY, READ_KEY)
        .doc(
            Group::List,
            "1.0.0",
            "O(N) where N is the number of elements to traverse to get to the element at index. This makes asking for the first or the last element of the list O(1).",
            "Gives the element at an index.",
        )
        .args(&[KEY, INDEX]),
    row("lrange", 4, read::lrange, READONLY, READ_KEY)
        .doc(
            Group::List,
            "1.0.0",
            "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the specified range.",
            "Gives the elements of a range.",
        )
        .args(RANGE),
    row("lpos", -3, read::lpos, READONLY, READ_KEY)
        .doc(
            Group::List,
            "6.0.6",
            "O(N) where N is the number of elements in the list, for the average case. When searching for elements near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant time.",
            "Tells at which indexes a list has an element.",
        )
        .args(&[
            KEY,
            ELEMENT,
            Arg::new("rank", ArgKind::Integer).token("RANK").optional(),
            Arg::new("num-matches", ArgKind::Integer)
                .token("COUNT")
                .optional(),
            Arg::new("len", ArgKind::Integer).token("MAXLEN").optional(),
        ]),
    row("lpop", -2, pop::pop_one_key, WRITE | FAST, POPPED_KEY)
        .doc(
            Group::List,
            "1.0.0",
            BY_RETURNED,
            "Takes elements from the head of a list and gives them; the key goes with the last one.",
        )
        .history(COUNTED)
        .args(&[KEY, COUNT.optional().since("6.2.0")]),
    row("rpop", -2, pop::pop_one_key, WRITE | FAST, POPPED_KEY)
        .doc(
            Group::List,
            "1.0.0",
            BY_RETURNED,
            "Takes elements from the tail of a list and gives them; the key goes with the last one.",
        )
        .history(COUNTED)
        .args(&[KEY, COUNT.optional().since("6.2.0")]),
    row(
        "lmpop",
        -4,
        pop::lmpop,
        WRITE,
        &[numbered_keys(1, 1, RW | ACCESS | DELETE)],
    )
    .doc(
        Group::List,
        "7.0.0",
        BY_KEYS_AND_RETURNED,
        "Takes elements from the first of several lists that is there, and gives them.",
    )
    .args(&[NUMKEYS, KEYS, WHERE, COUNT.token("COUNT").optional()]),
    row("lmove", 5, pop::lmove, WRITE | DENYOOM, MOVED_KEYS)
        .doc(
            Group::List,
            "6.2.0",
            "O(1)",
            "Takes an element from one list, adds it to another and gives it.",
        )
        .args(&[SOURCE, DESTINATION, FROM, TO]),
    row("rpoplpush", 3, pop::rpoplpush, WRITE | DENYOOM, MOVED_KEYS)
        .doc(
            Group::List,
            "1.2.0",
            "O(1)",
            "Takes the last element of one list, adds it at the head of another and gives it.",
        )
        .args(&[SOURCE, DESTINATION]),
    row("blpop", -3, pop::blocking_pop, WRITE | BLOCKING, AWAITED_KEYS)
        .doc(
            Group::List,
            "2.0.0",
            BY_KEYS,
            "Takes an element from the head of the first of several lists that is there, and waits for one where none is.",
        )
        .history(DECIMALS)
        .args(&[KEYS, TIMEOUT]),
    row("brpop", -3, pop::blocking_pop, WRITE | BLOCKING, AWAITED_KEYS)
        .doc(
            Group::List,
            "2.0.0",
            BY_KEYS,
            "Takes an element from the tail of the first of several lists that is there, and waits for one where none is.",
        )
        .history(DECIMALS)
        .args(&[KEYS, TIMEOUT]),
    row(
        "blmpop",
        -5,
        pop::blmpop,
        WRITE | BLOCKING,
        &[numbered_keys(2, 1, RW | ACCESS | DELETE)],
    )
    .doc(
        Group::List,
        "7.0.0",
        BY_KEYS_AND_RETURNED,
        "Takes elements from the first of several lists that is there, and waits for one where none is.",
    )
    .args(&[
        TIMEOUT,
        NUMKEYS,
        KEYS,
        WHERE,
        COUNT.token("COUNT").optional(),
    ]),
    row("blmove", 6, pop::blmove, WRITE | DENYOOM | BLOCKING, MOVED_KEYS)
        .doc(
            Group::List,
            "6.2.0",
            "O(1)",
            "Takes an element from one list, waiting until it has one, adds it to another and gives it.",
        )
        .args(&[SOURCE, DESTINATION, FROM, TO, TIMEOUT]),
    row("brpoplpush", 4, pop::brpoplpush, WRITE | DENYOOM | BLOCKING, MOVED_KEYS)
        .doc(
            Group::List,
            "2.2.0",
            "O(1)",
            "Takes the last element of one list, waiting until it has one, adds it at the head of another and gives it.",
        )
        .history(DECIMALS)
        .args(&[SOURCE, DESTINATION, TIMEOUT]),
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
        .category(LIST)
        .keys(keys)
}
