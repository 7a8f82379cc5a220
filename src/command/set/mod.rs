//! Sets: the rows of the family's commands, and what their handlers share.
//!
//! The handlers are in files by what they do: [`edit`] adds, removes and moves
//! members, [`read`] asks about them, [`random`] draws them, [`combine`] makes one
//! set of several.

use crate::config::param;
use crate::exec::context::Ctx;
use crate::exec::spec::{
    Arg, ArgKind, Group, Handler, KeySpec, Spec, category::SET, flag::*, key, key_flag::*, keys,
    numbered_keys,
};
use crate::protocol::reply::Reply;
use crate::types::set::{Limits, Member};

mod combine;
mod edit;
mod random;
mod read;
#[cfg(test)]
mod tests;

/// How long a set stays compact.
fn limits(ctx: &Ctx<'_, '_>) -> Limits {
    let limit = |handle| usize::try_from(ctx.engine.settings.int(handle)).unwrap_or(0);
    Limits {
        intset_entries: limit(param::SET_MAX_INTSET_ENTRIES),
        listpack_entries: limit(param::SET_MAX_LISTPACK_ENTRIES),
        listpack_value: limit(param::SET_MAX_LISTPACK_VALUE),
    }
}

/// Writes a member.
fn write_member(reply: &mut Reply<'_>, member: Member<'_>) {
    match member {
        Member::Int(n) => reply.bulk_int(n),
        Member::Str(text) => reply.bulk(text),
    }
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");
const DESTINATION: Arg = Arg::key("destination");
const SOURCES: Arg = Arg::new("key", ArgKind::Key(1)).multiple();
const MEMBER: Arg = Arg::new("member", ArgKind::String);
const COUNT: Arg = Arg::new("count", ArgKind::Integer).optional();

const ASKED_KEY: &[KeySpec] = &[key(1, RO)];
const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];
const READ_KEYS: &[KeySpec] = &[keys(1, -1, 1, RO | ACCESS)];
const STORE_KEYS: &[KeySpec] = &[key(1, OW | UPDATE), keys(2, -1, 1, RO | ACCESS)];

const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const SEVERAL_MEMBERS: &[(&str, &str)] = &[("2.4.0", "Accepts multiple `member` arguments.")];

const INTERSECTION: &str =
    "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.";
const ALL_MEMBERS: &str = "O(N) where N is the total number of elements in all given sets.";

/// The family.
pub const SPECS: &[Spec] = &[
    row("sadd", -3, edit::sadd, WRITE | DENYOOM | FAST, &[key(1, RW | INSERT)])
        .doc(
            Group::Set,
            "1.0.0",
            "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
            "Puts members in a set, which is made if it is not there.",
        )
        .history(SEVERAL_MEMBERS)
        .args(&[KEY, MEMBER.multiple()]),
    row("srem", -3, edit::srem, WRITE | FAST, &[key(1, RW | DELETE)])
        .doc(
            Group::Set,
            "1.0.0",
            "O(N) where N is the number of members to be removed.",
            "Takes members out of a set; the last takes the key with it.",
        )
        .history(SEVERAL_MEMBERS)
        .args(&[KEY, MEMBER.multiple()]),
    row(
        "smove",
        4,
        edit::smove,
        WRITE | FAST,
        &[key(1, RW | ACCESS | DELETE), key(2, RW | INSERT)],
    )
    .doc(
        Group::Set,
        "1.0.0",
        "O(1)",
        "Takes a member out of one set and puts it in another.",
    )
    .args(&[
        Arg::key("source"),
        Arg::new("destination", ArgKind::Key(1)),
        MEMBER,
    ]),
    row("sismember", 3, read::sismember, READONLY | FAST, ASKED_KEY)
        .doc(
            Group::Set,
            "1.0.0",
            "O(1)",
            "Says whether a set has a member.",
        )
        .args(&[KEY, MEMBER]),
    row("smismember", -3, read::smismember, READONLY | FAST, READ_KEY)
        .doc(
            Group::Set,
            "6.2.0",
            "O(N) where N is the number of elements being checked for membership",
            "Says of several members whether a set has them.",
        )
        .args(&[KEY, MEMBER.multiple()]),
    row("scard", 2, read::scard, READONLY | FAST, ASKED_KEY)
        .doc(Group::Set, "1.0.0", "O(1)", "Counts the members of a set.")
        .args(&[KEY]),
    row("smembers", 2, read::smembers, READONLY, READ_KEY)
        .tips(UNORDERED)
        .doc(
            Group::Set,
            "1.0.0",
            "O(N) where N is the set cardinality.",
            "Gives all members of a set.",
        )
        .args(&[KEY]),
    row("sscan", -3, read::sscan, READONLY, READ_KEY)
        .tips(NONDETERMINISTIC)
        .doc(
            Group::Set,
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
            "Gives the members of a set, some with each call.",
        )
        .args(&[
            KEY,
            Arg::new("cursor", ArgKind::Integer),
            Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
            COUNT.token("COUNT"),
        ]),
    row("spop", -2, random::spop, WRITE | FAST, &[key(1, RW | ACCESS | DELETE)])
        .tips(NONDETERMINISTIC)
        .doc(
            Group::Set,
            "1.0.0",
            "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
            "Takes random members out of a set and gives them; the last takes the key with it.",
        )
        .history(&[("3.2.0", "Added the `count` argument.")])
        .args(&[KEY, COUNT.since("3.2.0")]),
    row("srandmember", -2, random::srandmember, READONLY, READ_KEY)
        .tips(NONDETERMINISTIC)
        .doc(
            Group::Set,
            "1.0.0",
            "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
            "Gives random members of a set.",
        )
        .history(&[("2.6.0", "Added the optional `count` argument.")])
        .args(&[KEY, COUNT.since("2.6.0")]),
    row("sinter", -2, combine::sinter, READONLY, READ_KEYS)
        .tips(UNORDERED)
        .doc(
            Group::Set,
            "1.0.0",
            INTERSECTION,
            "Gives the members that all of several sets have.",
        )
        .args(&[KEY.multiple()]),
    row(
        "sintercard",
        -3,
        combine::sintercard,
        READONLY | MOVABLE_KEYS,
        &[numbered_keys(1, 1, RO | ACCESS)],
    )
    .doc(
        Group::Set,
        "7.0.0",
        INTERSECTION,
        "Counts the members that all of several sets have.",
    )
    .args(&[
        Arg::new("numkeys", ArgKind::Integer),
        KEY.multiple(),
        Arg::new("limit", ArgKind::Integer).token("LIMIT").optional(),
    ]),
    row("sinterstore", -3, combine::sinterstore, WRITE | DENYOOM, STORE_KEYS)
        .doc(
            Group::Set,
            "1.0.0",
            INTERSECTION,
            "Stores the members that all of several sets have as a set.",
        )
        .args(&[DESTINATION, SOURCES]),
    row("sunion", -2, combine::sunion, READONLY, READ_KEYS)
        .tips(UNORDERED)
        .doc(
            Group::Set,
            "1.0.0",
            ALL_MEMBERS,
            "Gives the members that any of several sets has.",
        )
        .args(&[KEY.multiple()]),
    row("sunionstore", -3, combine::sunionstore, WRITE | DENYOOM, STORE_KEYS)
        .doc(
            Group::Set,
            "1.0.0",
            ALL_MEMBERS,
            "Stores the members that any of several sets has as a set.",
        )
        .args(&[DESTINATION, SOURCES]),
    row("sdiff", -2, combine::sdiff, READONLY, READ_KEYS)
        .tips(UNORDERED)
        .doc(
            Group::Set,
            "1.0.0",
            ALL_MEMBERS,
            "Gives the members of a set that several others do not have.",
        )
        .args(&[KEY.multiple()]),
    row("sdiffstore", -3, combine::sdiffstore, WRITE | DENYOOM, STORE_KEYS)
        .doc(
            Group::Set,
            "1.0.0",
            ALL_MEMBERS,
            "Stores the members of a set that several others do not have as a set.",
        )
        .args(&[DESTINATION, SOURCES]),
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
        .category(SET)
        .keys(keys)
}
