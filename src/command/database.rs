//! Whole databases: their size, emptying and exchanging them.

use std::collections::BTreeSet;

use crate::base::num;
use crate::config::param;
use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, category, flag::*};
use crate::protocol::error::Error;

use super::keys::existing_database;

const FLUSH_TYPE: &[Arg] = &[Arg::one_of(
    "flush-type",
    &[
        Arg::word("async", "ASYNC").since("4.0.0"),
        Arg::word("sync", "SYNC").since("6.2.0"),
    ],
)
.optional()];
const FLUSH_TYPES_CAME: &[(&str, &str)] = &[
    ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
    ("6.2.0", "Added the `SYNC` flushing mode modifier."),
];
const FLUSH_TIPS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("dbsize", 1, dbsize)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .scope(Scope::All)
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .doc(
            Group::Server,
            "1.0.0",
            "O(1)",
            "Counts the keys of the database.",
        ),
    Spec::new("flushdb", -1, flushdb)
        .flags(WRITE)
        .category(category::KEYSPACE | category::DANGEROUS)
        .scope(Scope::All)
        .tips(FLUSH_TIPS)
        .doc(
            Group::Server,
            "1.0.0",
            "O(N) where N is the number of keys in the selected database",
            "Empties the database.",
        )
        .history(FLUSH_TYPES_CAME)
        .args(FLUSH_TYPE),
    Spec::new("flushall", -1, flushall)
        .flags(WRITE | ALL_DBS)
        .category(category::KEYSPACE | category::DANGEROUS)
        .scope(Scope::All)
        .tips(FLUSH_TIPS)
        .doc(
            Group::Server,
            "1.0.0",
            "O(N) where N is the total number of keys in all databases",
            "Empties every database.",
        )
        .history(FLUSH_TYPES_CAME)
        .args(FLUSH_TYPE),
    Spec::new("swapdb", 3, swapdb)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE | category::DANGEROUS)
        .scope(Scope::All)
        .doc(
            Group::Server,
            "4.0.0",
            "O(N) where N is the count of clients watching or blocking on keys from both databases.",
            "Exchanges two databases.",
        )
        .args(&[
            Arg::new("index1", ArgKind::Integer),
            Arg::new("index2", ArgKind::Integer),
        ]),
];

fn dbsize(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let size = ctx.txn.len(ctx.txn.db);
    ctx.reply.size(size);
    Ok(())
}

/// Whether memory is to be given back later.
fn flush_type(ctx: &mut Ctx<'_, '_>) -> Result<bool, Error> {
    let later = if ctx.args.is_empty() {
        ctx.engine.settings.flag(param::LAZYFREE_LAZY_USER_FLUSH)
    } else if ctx.args.flag("ASYNC") {
        true
    } else if ctx.args.flag("SYNC") {
        false
    } else {
        return Err(Error::SYNTAX);
    };
    ctx.args.end()?;
    Ok(later)
}

fn flushdb(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let later = flush_type(ctx)?;
    flush(ctx, &BTreeSet::from([ctx.txn.db]), later);
    Ok(())
}

fn flushall(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let later = flush_type(ctx)?;
    let mut databases = BTreeSet::new();
    for i in 0..ctx.txn.shards() {
        databases.extend(ctx.txn.shard(i).tables().map(|(db, _)| db));
    }
    flush(ctx, &databases, later);
    Ok(())
}

fn flush(ctx: &mut Ctx<'_, '_>, databases: &BTreeSet<u32>, later: bool) {
    let tables = databases.iter().flat_map(|&db| ctx.txn.flush(db)).collect();
    ctx.engine.reclaim(tables, later);
    // A follower may hold what is no longer here.
    ctx.txn.count_change();
    ctx.reply.ok();
}

fn swapdb(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mut number = |error: &str| {
        let n = num::parse_i64(ctx.args.bytes()?).and_then(|n| i32::try_from(n).ok());
        n.ok_or_else(|| Error::new(error))
    };
    let a = number("ERR invalid first DB index")?;
    let b = number("ERR invalid second DB index")?;
    let a = existing_database(ctx.engine, a)?;
    let b = existing_database(ctx.engine, b)?;
    ctx.txn.swap(a, b);
    ctx.reply.ok();
    Ok(())
}
