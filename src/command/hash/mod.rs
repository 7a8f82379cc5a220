//! Hashes: the rows of the family's commands, and what their handlers share.
//!
//! The handlers are in files by what they do: [`read`] tells what is there,
//! [`write`] changes values, [`random`] draws and walks, and [`deadline`] is
//! about fields that go by themselves.

use crate::command::expire::DEADLINE_CONDITION;
use crate::command::options::{EX, EXAT, KEEPTTL, MILLIS, NX, PERSIST, PX, PXAT, SECONDS, XX};
use crate::config::param;
use crate::exec::args::{Args, Key};
use crate::exec::effect::Events;
use crate::exec::engine::Engine;
use crate::exec::spec::{
    Arg, ArgKind, Group, Handler, KeySpec, Spec, category::HASH, flag::*, key, key_flag::*,
};
use crate::exec::txn::{Deadline, Found, Txn};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::entry::NewValue;
use crate::types::hash::{Hash, Limits, SetResult};
use crate::types::listpack::Item;
use crate::types::object::Family;

mod deadline;
mod random;
mod read;
#[cfg(test)]
mod tests;
mod write;

/// The sizes up to which a hash is packed.
fn limits(engine: &Engine) -> Limits {
    let size = |parameter| usize::try_from(engine.settings.int(parameter)).unwrap_or(usize::MAX);
    Limits {
        fields: size(param::HASH_MAX_LISTPACK_ENTRIES),
        bytes: size(param::HASH_MAX_LISTPACK_VALUE),
    }
}

/// Changes the hash that was found, or one that is new and kept unless it is
/// left empty.
fn change<R>(
    txn: &mut Txn<'_>,
    key: &Key<'_>,
    found: Option<Found>,
    change: impl FnOnce(&mut Hash, &mut Events) -> R,
) -> R {
    if let Some(found) = found {
        return txn.update(key, found, change);
    }
    let (mut hash, mut events) = (Hash::new(), Events::new());
    let result = change(&mut hash, &mut events);
    let mut events = events.into_iter();
    if let (false, Some(first)) = (hash.is_empty(), events.next()) {
        txn.put(
            key,
            None,
            NewValue::Object(hash.into()),
            Deadline::Never,
            first,
        );
        events.for_each(|event| txn.also(key, event));
    }
    result
}

/// What became of the fields of one command.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Those that were not there.
    added: usize,
    /// Those of them that were there still, but over.
    expired: usize,
}

impl Tally {
    fn count(&mut self, set: SetResult) {
        self.added += usize::from(set != SetResult::Replaced);
        self.expired += usize::from(set == SetResult::Revived);
    }

    fn push_event(&self, events: &mut Events) {
        if self.expired > 0 {
            events.push(deadline::HEXPIRED);
        }
    }
}

/// Whether any field has a deadline.
fn has_deadlines(txn: &Txn<'_>, found: Option<Found>) -> bool {
    found.is_some_and(|f| txn.view::<Hash>(f).due_ms().is_some())
}

/// Reads `FIELDS number field …`, with nothing in front of it; `mismatch` is
/// the error where the number is not theirs.
fn fields_alone<'a>(args: &mut Args<'a>, mismatch: Error) -> Result<&'a [&'a [u8]], Error> {
    if !args.flag("FIELDS") {
        return Err(Error::SYNTAX);
    }
    let number = args.int()?;
    let fields = args.rest();
    match usize::try_from(number) {
        Ok(n) if n > 0 && n == fields.len() => Ok(fields),
        _ => Err(mismatch),
    }
}

/// Writes a value, or that there is none.
fn write_item(reply: &mut Reply<'_>, item: Option<Item<'_>>) {
    match item {
        Some(Item::Int(n)) => reply.bulk_int(n),
        Some(Item::Str(s)) => reply.bulk(s),
        None => reply.null(),
    }
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");
const FIELD: Arg = Arg::new("field", ArgKind::String);
const VALUE: Arg = Arg::new("value", ArgKind::String);
const PAIRS: Arg = Arg::block("data", &[FIELD, VALUE]).multiple();
const NUM_FIELDS: Arg = Arg::new("numfields", ArgKind::Integer);
const FIELDS: Arg = Arg::block("fields", &[NUM_FIELDS, FIELD.multiple()]).token("FIELDS");
const FIELDS_WITH_VALUES: Arg = Arg::block("fields", &[NUM_FIELDS, PAIRS]).token("FIELDS");
const CONDITION: Arg = DEADLINE_CONDITION.since("9.0.0");
const UNIX_SECONDS: Arg = Arg::new("unix-time-seconds", ArgKind::Integer);
const UNIX_MILLIS: Arg = Arg::new("unix-time-milliseconds", ArgKind::Integer);

const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];
const EXAMINED_KEY: &[KeySpec] = &[key(1, RO)];
const UPDATED_KEY: &[KeySpec] = &[key(1, RW | UPDATE)];
const INSERTED_KEY: &[KeySpec] = &[key(1, RW | INSERT)];
const COUNTED_KEY: &[KeySpec] = &[key(1, RW | ACCESS | UPDATE)];

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const ANY_OUTPUT: &[&str] = &["nondeterministic_output"];

const BY_FIELDS: &str = "O(N) where N is the number of specified fields.";
const BY_SIZE: &str = "O(N) where N is the size of the hash.";

/// The family.
pub const SPECS: &[Spec] = &[
    row("hset", -4, write::hset, WRITE | DENYOOM | FAST, UPDATED_KEY)
        .doc(
            Group::Hash,
            "2.0.0",
            "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called with multiple field/value pairs.",
            "Stores values under fields of a hash, whatever was there before.",
        )
        .history(&[("4.0.0", "Accepts multiple `field` and `value` arguments.")])
        .args(&[KEY, PAIRS]),
    row("hmset", -4, write::hmset, WRITE | DENYOOM | FAST, UPDATED_KEY)
        .doc(
            Group::Hash,
            "2.0.0",
            "O(N) where N is the number of fields being set.",
            "Stores values under fields of a hash: HSET with another reply.",
        )
        .args(&[KEY, PAIRS]),
    row("hsetnx", 4, write::hsetnx, WRITE | DENYOOM | FAST, INSERTED_KEY)
        .doc(
            Group::Hash,
            "2.0.0",
            "O(1)",
            "Stores a value under a field that the hash does not have yet.",
        )
        .args(&[KEY, FIELD, VALUE]),
    row("hsetex", -6, deadline::hsetex, WRITE | DENYOOM | FAST, INSERTED_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Stores values under fields of a hash, on conditions and for a time if so wished.",
        )
        .args(&[
            KEY,
            Arg::one_of("key-condition", &[NX, XX]).optional(),
            Arg::one_of(
                "fields-condition",
                &[Arg::word("fnx", "FNX"), Arg::word("fxx", "FXX")],
            )
            .optional(),
            Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, KEEPTTL]).optional(),
            FIELDS_WITH_VALUES,
        ]),
    row("hget", 3, read::hget, READONLY | FAST, READ_KEY)
        .doc(
            Group::Hash,
            "2.0.0",
            "O(1)",
            "Gives the value of a field of a hash.",
        )
        .args(&[KEY, FIELD]),
    row("hmget", -3, read::hmget, READONLY | FAST, READ_KEY)
        .doc(
            Group::Hash,
            "2.0.0",
            "O(N) where N is the number of fields being requested.",
            "Gives the values of several fields of a hash.",
        )
        .args(&[KEY, FIELD.multiple()]),
    row("hgetall", 2, read::hgetall, READONLY, READ_KEY)
        .tips(ANY_ORDER)
        .doc(
            Group::Hash,
            "2.0.0",
            BY_SIZE,
            "Gives all fields of a hash with their values.",
        )
        .args(&[KEY]),
    row("hkeys", 2, read::hkeys, READONLY, READ_KEY)
        .tips(ANY_ORDER)
        .doc(Group::Hash, "2.0.0", BY_SIZE, "Lists the fields of a hash.")
        .args(&[KEY]),
    row("hvals", 2, read::hvals, READONLY, READ_KEY)
        .tips(ANY_ORDER)
        .doc(Group::Hash, "2.0.0", BY_SIZE, "Lists the values of a hash.")
        .args(&[KEY]),
    row("hgetex", -5, deadline::hgetex, WRITE | FAST, COUNTED_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Gives the values of several fields of a hash, and sets or clears their expiration.",
        )
        .args(&[
            KEY,
            Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, PERSIST]).optional(),
            FIELDS,
        ]),
    row("hgetdel", -5, write::hgetdel, WRITE | FAST, &[key(1, RW | ACCESS | DELETE)])
        .doc(
            Group::Hash,
            "9.1.0",
            "O(N) where N is the number of fields to be retrieved and deleted.",
            "Gives the values of several fields of a hash, and removes the fields.",
        )
        .args(&[KEY, FIELDS]),
    row("hdel", -3, write::hdel, WRITE | FAST, &[key(1, RW | DELETE)])
        .doc(
            Group::Hash,
            "2.0.0",
            "O(N) where N is the number of fields to be removed.",
            "Removes fields of a hash, and the key with the last of them.",
        )
        .history(&[("2.4.0", "Accepts multiple `field` arguments.")])
        .args(&[KEY, FIELD.multiple()]),
    row("hlen", 2, read::hlen, READONLY | FAST, EXAMINED_KEY)
        .doc(
            Group::Hash,
            "2.0.0",
            "O(1)",
            "Says how many fields a hash has.",
        )
        .args(&[KEY]),
    row("hstrlen", 3, read::hstrlen, READONLY | FAST, EXAMINED_KEY)
        .doc(
            Group::Hash,
            "3.2.0",
            "O(1)",
            "Gives the length in bytes of a field's value.",
        )
        .args(&[KEY, FIELD]),
    row("hexists", 3, read::hexists, READONLY | FAST, EXAMINED_KEY)
        .doc(
            Group::Hash,
            "2.0.0",
            "O(1)",
            "Says whether a hash has a field.",
        )
        .args(&[KEY, FIELD]),
    row("hincrby", 4, write::hincrby, WRITE | DENYOOM | FAST, COUNTED_KEY)
        .doc(
            Group::Hash,
            "2.0.0",
            "O(1)",
            "Adds to the integer under a field; a field that is not there holds 0.",
        )
        .args(&[KEY, FIELD, Arg::new("increment", ArgKind::Integer)]),
    row("hincrbyfloat", 4, write::hincrbyfloat, WRITE | DENYOOM | FAST, COUNTED_KEY)
        .doc(
            Group::Hash,
            "2.6.0",
            "O(1)",
            "Adds to the floating-point number under a field; a field that is not there holds 0.",
        )
        .args(&[KEY, FIELD, Arg::new("increment", ArgKind::Double)]),
    row("hrandfield", -2, random::hrandfield, READONLY, READ_KEY)
        .tips(ANY_OUTPUT)
        .doc(
            Group::Hash,
            "6.2.0",
            "O(N) where N is the number of fields returned",
            "Draws one or several fields of a hash at random.",
        )
        .args(&[
            KEY,
            Arg::block(
                "options",
                &[
                    Arg::new("count", ArgKind::Integer),
                    Arg::word("withvalues", "WITHVALUES").optional(),
                ],
            )
            .optional(),
        ]),
    row("hscan", -3, random::hscan, READONLY, READ_KEY)
        .tips(ANY_OUTPUT)
        .doc(
            Group::Hash,
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
            "Lists the fields of a hash with their values, some with each call.",
        )
        .args(&[
            KEY,
            Arg::new("cursor", ArgKind::Integer),
            Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
            Arg::new("count", ArgKind::Integer).token("COUNT").optional(),
            Arg::word("novalues", "NOVALUES").optional(),
        ]),
    row("hexpire", -6, deadline::hexpire, WRITE | FAST, UPDATED_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Lets fields of a hash go after some seconds.",
        )
        .args(&[KEY, SECONDS, DEADLINE_CONDITION, FIELDS]),
    row("hpexpire", -6, deadline::hpexpire, WRITE | FAST, UPDATED_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Lets fields of a hash go after some milliseconds.",
        )
        .args(&[KEY, MILLIS, CONDITION, FIELDS]),
    row("hexpireat", -6, deadline::hexpireat, WRITE | FAST, UPDATED_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Lets fields of a hash go at a time given in Unix seconds.",
        )
        .args(&[KEY, UNIX_SECONDS, CONDITION, FIELDS]),
    row("hpexpireat", -6, deadline::hpexpireat, WRITE | FAST, UPDATED_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Lets fields of a hash go at a time given in Unix milliseconds.",
        )
        .args(&[KEY, UNIX_MILLIS, CONDITION, FIELDS]),
    row("hpersist", -5, deadline::hpersist, WRITE | FAST, UPDATED_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Lets fields of a hash stay: takes their deadlines away.",
        )
        .args(&[KEY, FIELDS]),
    row("httl", -5, deadline::httl, READONLY | FAST, READ_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Says how many seconds fields of a hash have left.",
        )
        .args(&[KEY, FIELDS]),
    row("hpttl", -5, deadline::hpttl, READONLY | FAST, READ_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Says how many milliseconds fields of a hash have left.",
        )
        .args(&[KEY, FIELDS]),
    row("hexpiretime", -5, deadline::hexpiretime, READONLY | FAST, READ_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Says when fields of a hash go, in Unix seconds.",
        )
        .args(&[KEY, FIELDS]),
    row("hpexpiretime", -5, deadline::hpexpiretime, READONLY | FAST, READ_KEY)
        .doc(
            Group::Hash,
            "9.0.0",
            BY_FIELDS,
            "Says when fields of a hash go, in Unix milliseconds.",
        )
        .args(&[KEY, FIELDS]),
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
        .category(HASH)
        .keys(keys)
}
