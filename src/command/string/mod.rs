//! Strings: the rows of the family's commands, and what their handlers share.
//!
//! The handlers are in files by what they do: [`get`] reads, [`set`] writes
//! whole values, [`edit`] changes parts of one, [`count`] adds numbers, and
//! [`lcs`] compares two.

use crate::command::options::{EX, EXAT, KEEPTTL, MILLIS, NX, PERSIST, PX, PXAT, SECONDS, XX};
use crate::exec::effect::Event;
use crate::exec::spec::{
    Arg, ArgKind, Group, KeySpec, Spec, category::STRING, flag::*, key, key_flag::*, keys,
    numbered_keys,
};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::entry::{Entry, Value};

mod count;
pub(super) mod edit;
mod get;
mod lcs;
mod set;
#[cfg(test)]
mod tests;

const SET: Event = Event::string("set");

/// The string that an entry holds; an error where it holds something else.
#[inline]
pub(super) fn string(entry: Entry<'_>) -> Result<Value<'_>, Error> {
    match entry.value() {
        Value::Object(_) => Err(Error::WRONG_TYPE),
        value => Ok(value),
    }
}

/// Writes a value as a bulk string; nil for one that is no string.
#[inline]
pub(super) fn write_value(reply: &mut Reply<'_>, value: Value<'_>) {
    match value {
        Value::Int(n) => reply.bulk_int(n),
        Value::Str(s) => reply.bulk(s),
        Value::Blob(b) => reply.blob(b.clone()),
        Value::Object(_) => reply.null(),
    }
}

/// What OBJECT ENCODING says of a string. Valkey lays a string beside its key
/// where both fit two cache lines together with its own header; clients see
/// that, so the sum is Valkey's.
pub(super) fn encoding_name(entry: Entry<'_>) -> &'static str {
    const LINES_BYTES: usize = 128;
    const HEADER_BYTES: usize = 8;
    let value_bytes = match entry.value() {
        Value::Int(_) => return "int",
        Value::Object(object) => return object.get().encoding(),
        Value::Str(_) | Value::Blob(_) if entry.is_raw() => return "raw",
        value => value.len() + 4,
    };
    // A text's own header: shorter for the shortest.
    let key_bytes = match entry.key().len() {
        n if n < 32 => n + 3,
        n => n + 5,
    };
    let deadline_bytes = if entry.deadline().is_some() { 8 } else { 0 };
    if HEADER_BYTES + key_bytes + deadline_bytes + value_bytes <= LINES_BYTES {
        "embstr"
    } else {
        "raw"
    }
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");
const VALUE: Arg = Arg::new("value", ArgKind::String);
const START: Arg = Arg::new("start", ArgKind::Integer);
const END: Arg = Arg::new("end", ArgKind::Integer);
const PAIRS: Arg = Arg::block("data", &[KEY, VALUE]).multiple();

const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];
const UPDATED_KEY: &[KeySpec] = &[key(1, RW | ACCESS | UPDATE)];
const OVERWRITTEN_KEY: &[KeySpec] = &[key(1, OW | UPDATE)];

const MULTI_SHARD: &str = "request_policy:multi_shard";
const ALL_SUCCEEDED: &str = "response_policy:all_succeeded";

const ANY_LENGTH: &str = "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.";

/// The family.
pub const SPECS: &[Spec] = &[
    row("get", 2, get::get, READONLY | FAST, READ_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Gives the string that a key holds.",
        )
        .args(&[KEY]),
    row("set", -3, set::set, WRITE | DENYOOM, SET_KEY)
        .key_use(use_of_set)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Stores a string under a key, whatever was there before, on conditions and for a time if so wished.",
        )
        .history(SET_HISTORY)
        .args(SET_ARGS),
    row("setnx", 3, set::setnx, WRITE | DENYOOM | FAST, &[key(1, OW | INSERT)])
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Stores a string under a key that is not there yet.",
        )
        .args(&[KEY, VALUE]),
    row("setex", 4, set::setex, WRITE | DENYOOM, OVERWRITTEN_KEY)
        .doc(
            Group::String,
            "2.0.0",
            "O(1)",
            "Stores a string under a key for a number of seconds.",
        )
        .args(&[KEY, SECONDS, VALUE]),
    row("psetex", 4, set::psetex, WRITE | DENYOOM, OVERWRITTEN_KEY)
        .doc(
            Group::String,
            "2.6.0",
            "O(1)",
            "Stores a string under a key for a number of milliseconds.",
        )
        .args(&[KEY, MILLIS, VALUE]),
    row("getset", 3, set::getset, WRITE | DENYOOM | FAST, UPDATED_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Stores a string under a key, and gives the one that was there.",
        )
        .args(&[KEY, VALUE]),
    row("getex", -2, get::getex, WRITE | FAST, GETEX_KEY)
        .doc(
            Group::String,
            "6.2.0",
            "O(1)",
            "Gives the string that a key holds, and sets or clears its expiration.",
        )
        .args(&[
            KEY,
            Arg::one_of(
                "expiration",
                &[EX, PX, EXAT, PXAT, PERSIST],
            )
            .optional(),
        ]),
    row("getdel", 2, get::getdel, WRITE | FAST, &[key(1, RW | ACCESS | DELETE)])
        .doc(
            Group::String,
            "6.2.0",
            "O(1)",
            "Gives the string that a key held, and removes the key.",
        )
        .args(&[KEY]),
    row("delifeq", 3, set::delifeq, WRITE | FAST, &[key(1, RM | DELETE)])
        .doc(
            Group::String,
            "9.0.0",
            "O(1)",
            "Removes a key that holds exactly this string.",
        )
        .args(&[KEY, VALUE]),
    row("mget", -2, get::mget, READONLY | FAST, &[keys(1, -1, 1, RO | ACCESS)])
        .tips(&[MULTI_SHARD])
        .doc(
            Group::String,
            "1.0.0",
            "O(N) where N is the number of keys to retrieve.",
            "Gives the strings that several keys hold, all of one moment.",
        )
        .args(&[KEY.multiple()]),
    row("mset", -3, set::mset, WRITE | DENYOOM, &[keys(1, -1, 2, OW | UPDATE)])
        .tips(&[MULTI_SHARD, ALL_SUCCEEDED])
        .doc(
            Group::String,
            "1.0.1",
            "O(N) where N is the number of keys to set.",
            "Stores strings under several keys at once.",
        )
        .args(&[PAIRS]),
    row("msetnx", -3, set::msetnx, WRITE | DENYOOM, &[keys(1, -1, 2, OW | INSERT)])
        .doc(
            Group::String,
            "1.0.1",
            "O(N) where N is the number of keys to set.",
            "Stores strings under several keys at once where none of them is there yet.",
        )
        .args(&[PAIRS]),
    row(
        "msetex",
        -4,
        set::msetex,
        WRITE | DENYOOM | MOVABLE_KEYS,
        &[numbered_keys(1, 2, OW | UPDATE)],
    )
    .tips(&[MULTI_SHARD, ALL_SUCCEEDED])
    .doc(
        Group::String,
        "9.1.0",
        "O(N) where N is the number of keys to set.",
        "Stores strings under several keys at once, on a condition and for a time if so wished.",
    )
    .args(&[
        Arg::new("numkeys", ArgKind::Integer),
        PAIRS,
        Arg::one_of("condition", &[NX, XX]).optional(),
        Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, KEEPTTL]).optional(),
    ]),
    row("append", 3, edit::append, WRITE | DENYOOM | FAST, &[key(1, RW | INSERT)])
        .doc(
            Group::String,
            "2.0.0",
            "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the dynamic string library used by the server will double the free space available on every reallocation.",
            "Adds to the end of the string that a key holds, or begins one.",
        )
        .args(&[KEY, VALUE]),
    row("strlen", 2, get::strlen, READONLY | FAST, &[key(1, RO)])
        .doc(
            Group::String,
            "2.2.0",
            "O(1)",
            "Gives the length in bytes of the string that a key holds.",
        )
        .args(&[KEY]),
    row("getrange", 4, get::getrange, READONLY, READ_KEY)
        .doc(
            Group::String,
            "2.4.0",
            ANY_LENGTH,
            "Gives a part of the string that a key holds.",
        )
        .args(&[KEY, START, END]),
    row("substr", 4, get::getrange, READONLY, READ_KEY)
        .doc(
            Group::String,
            "1.0.0",
            ANY_LENGTH,
            "Gives a part of the string that a key holds: GETRANGE under its first name.",
        )
        .args(&[KEY, START, END]),
    row("setrange", 4, edit::setrange, WRITE | DENYOOM, &[key(1, RW | UPDATE)])
        .doc(
            Group::String,
            "2.2.0",
            "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.",
            "Writes over a part of the string that a key holds, or begins one, with zeros up to there.",
        )
        .args(&[KEY, Arg::new("offset", ArgKind::Integer), VALUE]),
    row("incr", 2, count::incr, WRITE | DENYOOM | FAST, UPDATED_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Adds 1 to the integer that a key holds; a key that is not there holds 0.",
        )
        .args(&[KEY]),
    row("decr", 2, count::decr, WRITE | DENYOOM | FAST, UPDATED_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Subtracts 1 from the integer that a key holds; a key that is not there holds 0.",
        )
        .args(&[KEY]),
    row("incrby", 3, count::incrby, WRITE | DENYOOM | FAST, UPDATED_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Adds to the integer that a key holds; a key that is not there holds 0.",
        )
        .args(&[KEY, Arg::new("increment", ArgKind::Integer)]),
    row("decrby", 3, count::decrby, WRITE | DENYOOM | FAST, UPDATED_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Subtracts from the integer that a key holds; a key that is not there holds 0.",
        )
        .args(&[KEY, Arg::new("decrement", ArgKind::Integer)]),
    row("incrbyfloat", 3, count::incrbyfloat, WRITE | DENYOOM | FAST, UPDATED_KEY)
        .doc(
            Group::String,
            "2.6.0",
            "O(1)",
            "Adds to the floating-point number that a key holds; a key that is not there holds 0.",
        )
        .args(&[KEY, Arg::new("increment", ArgKind::Double)]),
    row("lcs", -3, lcs::lcs, READONLY, &[keys(1, 1, 1, RO | ACCESS)])
        .doc(
            Group::String,
            "7.0.0",
            "O(N*M) where N and M are the lengths of s1 and s2, respectively",
            "Finds the longest common subsequence of two strings.",
        )
        .args(&[
            Arg::key("key1"),
            Arg::key("key2"),
            Arg::word("len", "LEN").optional(),
            Arg::word("idx", "IDX").optional(),
            Arg::new("min-match-len", ArgKind::Integer)
                .token("MINMATCHLEN")
                .optional(),
            Arg::word("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
];

const fn row(
    name: &'static str,
    arity: i16,
    handler: crate::exec::spec::Handler,
    flags: u32,
    keys: &'static [KeySpec],
) -> Spec {
    Spec::new(name, arity, handler)
        .flags(flags)
        .category(STRING)
        .keys(keys)
}

const SET_KEY: &[KeySpec] = &[key(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS)
    .notes("RW and ACCESS due to the optional `GET` argument")];

/// SET reads where GET stands among its options.
fn use_of_set(argv: &[&[u8]]) -> u16 {
    let is_get = |word: &&[u8]| word.eq_ignore_ascii_case(b"get");
    match argv.iter().skip(3).any(is_get) {
        true => RW | ACCESS | UPDATE,
        false => OW | UPDATE,
    }
}

const GETEX_KEY: &[KeySpec] =
    &[key(1, RW | ACCESS | UPDATE).notes("RW and UPDATE because it changes the TTL")];

const SET_HISTORY: &[(&str, &str)] = &[
    ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
    ("6.0.0", "Added the `KEEPTTL` option."),
    ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
    (
        "7.0.0",
        "Allowed the `NX` and `GET` options to be used together.",
    ),
    ("8.1.0", "Added the `IFEQ` option."),
];

const SET_ARGS: &[Arg] = &[
    KEY,
    VALUE,
    Arg::one_of(
        "condition",
        &[
            NX.since("2.6.12"),
            XX.since("2.6.12"),
            Arg::new("comparison-value", ArgKind::String)
                .token("IFEQ")
                .since("8.1.0")
                .summary("Stores the string only where the key holds exactly this one."),
        ],
    )
    .optional(),
    Arg::word("get", "GET").since("6.2.0").optional(),
    Arg::one_of(
        "expiration",
        &[
            EX.since("2.6.12"),
            PX.since("2.6.12"),
            EXAT.since("6.2.0"),
            PXAT.since("6.2.0"),
            KEEPTTL.since("6.0.0"),
        ],
    )
    .optional(),
];
