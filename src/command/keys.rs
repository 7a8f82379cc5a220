//! Keys of any type: what they are, and making them go, move and multiply.

use crate::base::num;
use crate::config::param;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::engine::Engine;
use crate::exec::spec::{
    Arg, ArgKind, Group, Scope, Spec, category, flag::*, key, key_flag::*, keys,
};
use crate::protocol::error::Error;
use crate::store::entry::Value;

const AGGREGATED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const KEYS: &[Arg] = &[Arg::key("key").multiple()];
const RENAMED: &[Arg] = &[Arg::key("key"), Arg::new("newkey", ArgKind::Key(1))];

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("del", -2, del)
        .flags(WRITE)
        .category(category::KEYSPACE)
        .keys(&[keys(1, -1, 1, RM | DELETE)])
        .tips(AGGREGATED)
        .doc(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
            "Removes keys, and says how many there were.",
        )
        .args(KEYS),
    Spec::new("unlink", -2, del)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[keys(1, -1, 1, RM | DELETE)])
        .tips(AGGREGATED)
        .doc(
            Group::Generic,
            "4.0.0",
            "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed of.",
            "Removes keys at once, and gives their memory back later.",
        )
        .args(KEYS),
    Spec::new("exists", -2, exists)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[keys(1, -1, 1, RO)])
        .tips(AGGREGATED)
        .doc(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of keys to check.",
            "Counts how many of the keys are there.",
        )
        .history(&[("3.0.3", "Accepts multiple `key` arguments.")])
        .args(KEYS),
    Spec::new("type", 2, type_of)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RO)])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Says of which type a key's value is.",
        )
        .args(&[Arg::key("key")]),
    Spec::new("touch", -2, touch)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[keys(1, -1, 1, RO)])
        .tips(AGGREGATED)
        .doc(
            Group::Generic,
            "3.2.1",
            "O(N) where N is the number of keys that will be touched.",
            "Notes an access to each of the keys, and counts those that are there.",
        )
        .args(KEYS),
    Spec::new("rename", 3, rename)
        .flags(WRITE)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | ACCESS | DELETE), key(2, OW | UPDATE)])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Gives a key another name, over whatever has that name.",
        )
        .args(RENAMED),
    Spec::new("renamenx", 3, renamenx)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | ACCESS | DELETE), key(2, OW | INSERT)])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Gives a key another name, if no key has that name.",
        )
        .history(&[(
            "3.2.0",
            "The command no longer returns an error when source and destination names are the same.",
        )])
        .args(RENAMED),
    Spec::new("copy", -3, copy)
        .flags(WRITE | DENYOOM)
        .category(category::KEYSPACE)
        .keys(&[key(1, RO | ACCESS), key(2, OW | UPDATE)])
        .doc(
            Group::Generic,
            "6.2.0",
            "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
            "Copies a key's value and deadline to another key.",
        )
        .args(&[
            Arg::key("source"),
            Arg::new("destination", ArgKind::Key(1)),
            Arg::new("destination-db", ArgKind::Integer).token("DB").optional(),
            Arg::word("replace", "REPLACE").optional(),
        ]),
    Spec::new("move", 3, move_key)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | ACCESS | UPDATE)])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Takes a key to another database.",
        )
        .args(&[Arg::key("key"), Arg::new("db", ArgKind::Integer)]),
    Spec::new("randomkey", 1, randomkey)
        .flags(READONLY)
        .category(category::KEYSPACE)
        .scope(Scope::All)
        .tips(&[
            "request_policy:all_shards",
            "response_policy:special",
            "nondeterministic_output",
        ])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Picks a key of the database at random.",
        ),
];

/// A value's type, as TYPE names it and SCAN chooses by it.
pub(super) fn type_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Int(_) | Value::Str(_) | Value::Blob(_) => "string",
    }
}

/// The number of a database, as MOVE and COPY read it.
pub(super) fn database(engine: &Engine, text: &[u8]) -> Result<u32, Error> {
    let n = num::parse_i64(text).ok_or(Error::NOT_INTEGER)?;
    let n = i32::try_from(n).map_err(|_| Error::NOT_INT32)?;
    existing_database(engine, n)
}

/// Refuses a number beyond `databases`.
pub(super) fn existing_database(engine: &Engine, n: i32) -> Result<u32, Error> {
    match u32::try_from(n) {
        Ok(db) if i64::from(db) < engine.settings.int(param::DATABASES) => Ok(db),
        _ => Err(Error::DB_RANGE),
    }
}

fn del(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mut removed = 0;
    while !ctx.args.is_empty() {
        let key = ctx.args.key()?;
        if let Some(found) = ctx.txn.find(&key) {
            ctx.txn.remove(&key, found, Event::DEL);
            removed += 1;
        }
    }
    ctx.reply.size(removed);
    Ok(())
}

fn exists(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mut there = 0;
    while !ctx.args.is_empty() {
        let key = ctx.args.key()?;
        there += usize::from(ctx.txn.peek(&key).is_some());
    }
    ctx.reply.size(there);
    Ok(())
}

fn touch(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mut there = 0;
    while !ctx.args.is_empty() {
        let key = ctx.args.key()?;
        there += usize::from(ctx.txn.look_up(&key).is_some());
    }
    ctx.reply.size(there);
    Ok(())
}

fn type_of(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let name = match ctx.txn.peek(&key) {
        Some(found) => type_name(&ctx.txn.entry(found).value()),
        None => "none",
    };
    ctx.reply.simple(name);
    Ok(())
}

fn rename(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    rename_key(ctx, true)?;
    ctx.reply.ok();
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let renamed = rename_key(ctx, false)?;
    ctx.reply.flag(renamed);
    Ok(())
}

/// Whether the key has a new name; without `overwrite` only one that is free.
fn rename_key(ctx: &mut Ctx<'_, '_>, overwrite: bool) -> Result<bool, Error> {
    let (from, to) = (ctx.args.key()?, ctx.args.key()?);
    let db = ctx.txn.db;
    if ctx.txn.find_used(db, &from).is_none() {
        return Err(Error::NO_KEY);
    }
    if from.bytes == to.bytes || (ctx.txn.find_used(db, &to).is_some() && !overwrite) {
        return Ok(false);
    }
    // Looking for the other key may have moved this one.
    if let Some(found) = ctx.txn.find(&from) {
        let (left, came) = (Event::generic("rename_from"), Event::generic("rename_to"));
        ctx.txn.relocate((&from, found), (db, &to), left, came);
    }
    Ok(true)
}

fn copy(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (from, to) = (ctx.args.key()?, ctx.args.key()?);
    let (mut db, mut replace) = (ctx.txn.db, false);
    while !ctx.args.is_empty() {
        if ctx.args.flag("REPLACE") {
            replace = true;
        } else if ctx.args.option("DB") {
            db = database(ctx.engine, ctx.args.bytes()?)?;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if db == ctx.txn.db && from.bytes == to.bytes {
        return Err(Error::SAME_OBJECT);
    }
    let there = ctx.txn.look_up(&from).is_some();
    if !there || (ctx.txn.find_used(db, &to).is_some() && !replace) {
        ctx.reply.flag(false);
        return Ok(());
    }
    // Looking for the other key may have moved this one.
    if let Some(found) = ctx.txn.find(&from) {
        let came = Event::generic("copy_to");
        ctx.txn.duplicate(found, (db, &to), came);
    }
    ctx.reply.flag(true);
    Ok(())
}

fn move_key(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let db = database(ctx.engine, ctx.args.bytes()?)?;
    let here = ctx.txn.db;
    if db == here {
        return Err(Error::SAME_OBJECT);
    }
    let free = ctx.txn.find_used(here, &key).is_some() && ctx.txn.find_used(db, &key).is_none();
    if let Some(found) = ctx.txn.find(&key).filter(|_| free) {
        let (left, came) = (Event::generic("move_from"), Event::generic("move_to"));
        ctx.txn.relocate((&key, found), (db, &key), left, came);
    }
    ctx.reply.flag(free);
    Ok(())
}

fn randomkey(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    match ctx.txn.random_key() {
        Some(key) => ctx.reply.bulk(&key),
        None => ctx.reply.null(),
    }
    Ok(())
}
