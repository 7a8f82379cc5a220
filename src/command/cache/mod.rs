//! The cache's own commands: reads that say what they found, refills under a lease,
//! remembered absences, and invalidations.

use super::options::{EX, EXAT, KEEPTTL, NX, PX, PXAT, XX};
use crate::exec::spec::{
    Arg, ArgKind, Group, KeySpec, Scope, Spec, category, flag::*, key, key_flag::*, keys,
};

mod explain;
mod invalidate;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod persistence_tests;
mod read;
#[cfg(test)]
mod tests;
mod write;

const KEY: Arg = Arg::key("key");
const VALUE: Arg = Arg::new("value", ArgKind::String);
const TOKEN: Arg = Arg::new("token", ArgKind::Integer);
const TAGS: Arg = Arg::block(
    "tags",
    &[
        Arg::new("numtags", ArgKind::Integer).token("TAGS"),
        Arg::new("tag", ArgKind::String).multiple(),
    ],
)
.optional();
const FOR_A_TIME: Arg = Arg::one_of("expiration", &[EX, PX, EXAT, PXAT]).optional();
const FOR_A_TIME_OR_KEPT: Arg =
    Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, KEEPTTL]).optional();

const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];
const WRITTEN_KEY: &[KeySpec] = &[key(1, OW | UPDATE)];

/// The family.
pub const SPECS: &[Spec] = &[
    row("cache.get", -2, read::get, READONLY | FAST, READ_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Gives a string with what the cache knows of it: whether it is fresh, stale, known to be absent or missing and why, and whose turn it is to refill it.",
        )
        .args(&[
            KEY,
            Arg::word("lease", "LEASE")
                .optional()
                .summary("Asks for the refill, where the key's policy gives no lease."),
            Arg::new("milliseconds", ArgKind::Integer)
                .token("WAIT")
                .optional()
                .summary("Waits at most so long for a refill that another client has begun."),
        ]),
    row("cache.set", -3, write::set, WRITE | DENYOOM, WRITTEN_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(N) where N is the number of tags",
            "Stores a string under a key, with groups that it belongs to.",
        )
        .args(&[
            KEY,
            VALUE,
            Arg::one_of("condition", &[NX, XX]).optional(),
            FOR_A_TIME_OR_KEPT,
            TAGS,
        ]),
    row("cache.fill", -4, write::fill, WRITE | DENYOOM, WRITTEN_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(N) where N is the number of tags",
            "Refills a key, while the token of its lease is good.",
        )
        .args(&[KEY, TOKEN, VALUE, FOR_A_TIME, TAGS]),
    row("cache.fillnull", -3, write::fill_null, WRITE | DENYOOM, WRITTEN_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Answers a lease with the origin's word that there is no such key.",
        )
        .args(&[KEY, TOKEN, FOR_A_TIME]),
    row("cache.null", -2, write::null, WRITE | DENYOOM, WRITTEN_KEY)
        .doc(
            Group::String,
            "1.0.0",
            "O(1)",
            "Remembers that the origin has no such key.",
        )
        .args(&[KEY, FOR_A_TIME]),
    row("cache.tag", -2, write::tag, WRITE | DENYOOM, WRITTEN_KEY)
        .doc(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of tags",
            "Gives a key groups that it belongs to, in the place of those that it was given.",
        )
        .args(&[KEY, Arg::new("tag", ArgKind::String).multiple().optional()]),
    Spec::new("cache.invalidate", -3, invalidate::invalidate)
        .flags(WRITE)
        .category(category::KEYSPACE)
        .keys(&[keys(2, -1, 1, RM | DELETE | INCOMPLETE)
            .notes("only in the form with KEY")])
        .key_finder(invalidate::find_keys)
        .reaches_beyond(invalidate::is_about_a_group)
        .doc(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of keys or tags that are named; that of the keys in a group does not count",
            "Forgets keys, or all keys of a group, at once.",
        )
        .args(&[
            Arg::one_of(
                "target",
                &[
                    Arg::key("key").token("KEY").multiple(),
                    Arg::new("tag", ArgKind::String).token("TAG").multiple(),
                    Arg::new("prefix", ArgKind::String).token("PREFIX"),
                    Arg::new("pattern", ArgKind::Pattern).token("PATTERN"),
                    Arg::new("policy", ArgKind::String).token("POLICY"),
                ],
            ),
            Arg::word("soft", "SOFT")
                .optional()
                .summary("Leaves the entries, past their lifetime, for as long as their policy says."),
            Arg::new("reason", ArgKind::String).token("REASON").optional(),
        ]),
    Spec::new("cache.invalidations", -1, invalidate::invalidations)
        .flags(LOADING | STALE)
        .category(category::KEYSPACE)
        .doc(
            Group::Server,
            "1.0.0",
            "O(N) where N is the number of rows",
            "Lists invalidations, the newest first: what, why, by whom, when, and how many entries.",
        )
        .args(&[
            Arg::new("count", ArgKind::Integer).optional(),
            Arg::new("id", ArgKind::Integer).token("ID").optional(),
        ]),
    row("cache.explain", 2, explain::explain, READONLY, READ_KEY)
        .doc(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of the key's tags",
            "Tells all that the cache knows of a key: its policy, state, lifetime and history, and why they are so.",
        )
        .args(&[KEY]),
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
        .category(category::STRING)
        .scope(Scope::Keys)
        .keys(keys)
}
