//! Transactions: commands that run together, and only if watched keys stayed as
//! they were.

use crate::exec::context::Ctx;
use crate::exec::multi;
use crate::exec::spec::{Arg, Group, Scope, Spec, category, flag::*, key_flag::*, keys};
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("multi", 1, begin)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_MULTI | ALLOW_BUSY | NOT_QUEUED)
        .category(category::TRANSACTION)
        .doc(
            Group::Transactions,
            "1.2.0",
            "O(1)",
            "Begins a transaction.",
        ),
    Spec::new("exec", 1, exec)
        .scope(Scope::Queued)
        .flags(NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG | NOT_QUEUED)
        .category(category::TRANSACTION)
        .doc(
            Group::Transactions,
            "1.2.0",
            "Depends on commands in the transaction",
            "Runs the commands of a transaction.",
        ),
    Spec::new("discard", 1, discard)
        .flags(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | NOT_QUEUED)
        .category(category::TRANSACTION)
        .doc(
            Group::Transactions,
            "2.0.0",
            "O(N), when N is the number of queued commands",
            "Forgets the commands of a transaction.",
        ),
    Spec::new("watch", -2, watch)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_MULTI | ALLOW_BUSY | NOT_QUEUED)
        .category(category::TRANSACTION)
        .keys(&[keys(1, -1, 1, RO)])
        .doc(
            Group::Transactions,
            "2.2.0",
            "O(1) for every key.",
            "Lets the next transaction run only if these keys stay as they \
             are.",
        )
        .args(&[Arg::key("key").multiple()]),
    Spec::new("unwatch", 1, unwatch)
        .flags(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY)
        .category(category::TRANSACTION)
        .doc(
            Group::Transactions,
            "2.2.0",
            "O(1)",
            "Forgets which keys are watched.",
        ),
];

fn begin(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    multi::begin(ctx.session);
    ctx.reply.ok();
    Ok(())
}

fn exec(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    multi::exec(ctx)
}

fn discard(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if ctx.session.multi.is_none() {
        return Err(Error::DISCARD_WITHOUT_MULTI);
    }
    multi::discard(ctx.engine, ctx.session);
    ctx.reply.ok();
    Ok(())
}

fn watch(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.ok();
    if ctx.session.is_watch_broken() {
        // EXEC will refuse anyway.
        return Ok(());
    }
    while !ctx.args.is_empty() {
        let key = ctx.args.key()?;
        // A key whose time is over is not there: its removal later is no change.
        ctx.txn.find(&key);
        let (db, flag) = (ctx.session.db, &ctx.session.watch_flag);
        if ctx.txn.shard_for(&key).watch(db, key.bytes, flag) {
            ctx.session.watching.push((db, key.bytes.to_vec()));
        }
    }
    *ctx.session.client.watch_flag.lock() = Some(ctx.session.watch_flag.clone());
    Ok(())
}

/// Takes the locks of the shards where keys are watched. Within a transaction
/// EXEC has let go of them all, and nothing is left to do.
fn unwatch(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    multi::unwatch(ctx.engine, ctx.session);
    ctx.reply.ok();
    Ok(())
}
