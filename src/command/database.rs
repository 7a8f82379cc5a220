//! Whole databases: their size, emptying and exchanging them.

use std::collections::BTreeSet;

use smallvec::smallvec;

use crate::base::num;
use crate::config::param;
use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, category, flag::*};
use crate::persist::save;
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
        .databases(|_| smallvec![1, 2])
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
    let databases = databases(ctx);
    flush(ctx, &databases, later);
    for i in 0..ctx.txn.shards() {
        ctx.txn.shard(i).fence_all();
    }
    save_nothing(ctx);
    Ok(())
}

/// Where there are save points, what was emptied is not to come back with a restart.
fn save_nothing(ctx: &mut Ctx<'_, '_>) {
    let engine = ctx.engine;
    if !engine.settings.save_points().is_empty()
        && let Some(turn) = engine.saving.begin(false)
    {
        // Why it could not be saved is in the log.
        let _ = save::within(engine, ctx.txn, turn);
    }
}

/// All that there are, and one at least, for those who hear of it even where nothing
/// is left.
fn databases(ctx: &mut Ctx<'_, '_>) -> BTreeSet<u32> {
    let mut databases = BTreeSet::from([ctx.txn.db]);
    for i in 0..ctx.txn.shards() {
        let shard = ctx.txn.shard(i);
        databases.extend(shard.tables().map(|(db, _, _)| db));
        // Those that are known by what they do not have.
        for (_, kept) in shard.all_kept_mut() {
            databases.extend(kept.all_nulls().map(|(db, _)| db));
        }
    }
    databases
}

/// Empties all databases, for who has the whole keyspace.
pub(super) fn empty(ctx: &mut Ctx<'_, '_>) {
    for db in databases(ctx) {
        let tables = ctx.txn.flush(db);
        ctx.engine.reclaimer.free_tables(tables, false);
    }
}

fn flush(ctx: &mut Ctx<'_, '_>, databases: &BTreeSet<u32>, later: bool) {
    let tables = databases.iter().flat_map(|&db| ctx.txn.flush(db)).collect();
    ctx.engine.reclaimer.free_tables(tables, later);
    // A follower may hold what is no longer here.
    ctx.txn.count_change();
    ctx.reply.ok();
}

fn swapdb(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if ctx.engine.routing.is_some() {
        return Err(Error::new("ERR SWAPDB is not allowed in cluster mode"));
    }
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

#[cfg(test)]
mod tests {
    use crate::command::testkit::{Kit, check, recorded};

    #[test]
    fn databases_are_counted_emptied_and_exchanged() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("dbsize", ":0"),
                ("mset a 1 b 2", "+OK"),
                ("dbsize", ":2"),
                ("select 3", "+OK"),
                ("dbsize", ":0"),
                ("set c 3", "+OK"),
                ("swapdb 0 3", "+OK"),
                ("dbsize", ":2"),
                ("swapdb 3 3", "+OK"),
                ("dbsize", ":2"),
                ("flushdb", "+OK"),
                ("dbsize", ":0"),
                ("select 0", "+OK"),
                ("get c", "$1 3"),
                ("flushall sync", "+OK"),
                ("flushall ASYNC", "+OK"),
                ("dbsize", ":0"),
            ],
        );
    }

    #[test]
    fn errors_are_those_of_valkey() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("flushdb now", "-ERR syntax error"),
                ("flushall sync async", "-ERR syntax error"),
                ("swapdb x 0", "-ERR invalid first DB index"),
                ("swapdb 99 x", "-ERR invalid second DB index"),
                ("swapdb 3000000000 0", "-ERR invalid first DB index"),
                ("swapdb 0 16", "-ERR DB index is out of range"),
                ("swapdb -1 0", "-ERR DB index is out of range"),
                (
                    "swapdb 0",
                    "-ERR wrong number of arguments for 'swapdb' command",
                ),
            ],
        );
    }

    #[test]
    fn a_flush_is_propagated_even_where_there_is_nothing() {
        let (mut kit, recorder) = recorded();
        kit.run("flushdb");
        kit.run("flushall async");
        kit.run("swapdb 0 1");
        assert_eq!(
            recorder.commands(),
            ["flushdb", "flushall async", "swapdb 0 1"]
        );
    }

    /// Whether EXEC of a client that watches `k` in database 0 goes through,
    /// after another one's commands.
    fn survives(kit: &mut Kit, before: &[&str], other: &[&str]) -> bool {
        kit.run("flushall");
        before.iter().for_each(|line| drop(kit.run(line)));
        kit.run("watch k");
        let mut another = kit.another();
        other.iter().for_each(|line| drop(another.run(line)));
        kit.run("multi");
        kit.run("ping");
        kit.run("exec") == "*1\r\n+PONG\r\n"
    }

    #[test]
    fn a_watched_key_is_broken_by_a_flush_only_where_it_was() {
        let mut kit = Kit::new();
        assert!(!survives(&mut kit, &["set k v"], &["flushdb"]));
        assert!(!survives(&mut kit, &["set k v"], &["flushall"]));
        assert!(survives(&mut kit, &["set other v"], &["flushall"]));
        assert!(survives(&mut kit, &["set k v"], &["select 1", "flushdb"]));
    }

    #[test]
    fn a_watched_key_is_broken_by_an_exchange_that_takes_or_brings_it() {
        let mut kit = Kit::new();
        assert!(!survives(&mut kit, &["set k v"], &["swapdb 0 1"]));
        let there = ["select 1", "set k v", "swapdb 0 1"];
        assert!(!survives(&mut kit, &[], &there));
        assert!(survives(&mut kit, &[], &["swapdb 0 1"]));
        assert!(survives(&mut kit, &["set k v"], &["swapdb 1 2"]));
        assert!(survives(&mut kit, &["set k v"], &["swapdb 0 0"]));
    }

    #[test]
    fn a_key_whose_time_is_over_comes_unnoticed_with_an_exchange() {
        let mut kit = Kit::new();
        kit.another().run("select 1");
        let mut other = kit.another();
        kit.run("watch k");
        other.run("select 1");
        other.run("set k v");
        other.let_time_be_over(1, "k");
        other.run("swapdb 0 1");
        kit.run("multi");
        kit.run("ping");
        assert_eq!(kit.run("exec"), "*1\r\n+PONG\r\n");
    }

    #[test]
    fn a_key_whose_time_was_over_may_be_flushed_unnoticed() {
        let mut kit = Kit::new();
        kit.run("set k v");
        kit.let_time_be_over(0, "k");
        kit.run("watch k");
        kit.another().run("flushall");
        kit.run("multi");
        kit.run("ping");
        assert_eq!(kit.run("exec"), "*1\r\n+PONG\r\n");
    }
}
