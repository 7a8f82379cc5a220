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
            ctx.session.client.keep_name(key.bytes);
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

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;

    fn populated() -> Kit {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        assert_eq!(kit.run("debug populate 1 a"), "+OK\r\n");
        kit
    }

    #[test]
    fn commands_wait_until_exec_runs_them_together() {
        let mut kit = populated();
        assert_eq!(kit.run("multi"), "+OK\r\n");
        assert_eq!(kit.run("get a:0"), "+QUEUED\r\n");
        assert_eq!(kit.run("select 1"), "+QUEUED\r\n");
        assert_eq!(kit.run("get a:0"), "+QUEUED\r\n");
        assert_eq!(kit.run("exec"), "*3\r\n$7\r\nvalue:0\r\n+OK\r\n$-1\r\n");
        assert_eq!(kit.session.db, 1);
    }

    #[test]
    fn exec_and_discard_need_multi() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("exec"), "-ERR EXEC without MULTI\r\n");
        assert_eq!(kit.run("discard"), "-ERR DISCARD without MULTI\r\n");
        kit.run("multi");
        assert_eq!(kit.run("discard"), "+OK\r\n");
        assert_eq!(kit.run("exec"), "-ERR EXEC without MULTI\r\n");
    }

    #[test]
    fn what_may_not_be_queued_ends_the_transaction() {
        let mut kit = Kit::new();
        for (line, name) in [
            ("multi", "multi"),
            ("watch a", "watch"),
            ("client reply on", "client|reply"),
            ("shutdown", "shutdown"),
        ] {
            kit.run("multi");
            assert_eq!(
                kit.run(line),
                format!("-ERR Command '{name}' not allowed inside a transaction\r\n")
            );
            assert_eq!(
                kit.run("exec"),
                "-EXECABORT Transaction discarded because of previous errors.\r\n"
            );
        }
        for line in ["nosuch", "get", "config nosuch"] {
            kit.run("multi");
            kit.run(line);
            assert!(kit.run("exec").starts_with("-EXECABORT "), "{line}");
        }
        assert_eq!(kit.run("exec"), "-ERR EXEC without MULTI\r\n");
    }

    #[test]
    fn an_error_within_does_not_stop_the_others() {
        let mut kit = Kit::new();
        kit.run("multi");
        kit.run("client kill 1.2.3.4:5");
        kit.run("ping");
        assert_eq!(kit.run("exec"), "*2\r\n-ERR No such client\r\n+PONG\r\n");
    }

    #[test]
    fn a_watched_key_that_another_client_changes_stops_exec() {
        let mut kit = populated();
        let mut other = kit.another();
        assert_eq!(kit.run("watch b:0 a:0"), "+OK\r\n");
        other.run("debug populate 1 b");
        kit.run("multi");
        kit.run("ping");
        assert_eq!(kit.run("exec"), "*-1\r\n");
        // EXEC ends the watching, whatever came of it.
        other.run("debug populate 1 c");
        kit.run("multi");
        kit.run("ping");
        assert_eq!(kit.run("exec"), "*1\r\n+PONG\r\n");
    }

    #[test]
    fn a_key_is_watched_in_its_own_database_only() {
        let mut kit = populated();
        let mut other = kit.another();
        kit.run("watch b:0");
        other.run("select 1");
        other.run("debug populate 1 b");
        kit.run("multi");
        kit.run("ping");
        assert_eq!(kit.run("exec"), "*1\r\n+PONG\r\n");
    }

    #[test]
    fn unwatch_and_discard_end_the_watching() {
        let mut kit = populated();
        let mut other = kit.another();
        for (i, end) in ["unwatch", "discard"].into_iter().enumerate() {
            kit.run(&format!("watch k{i}:0"));
            other.run(&format!("debug populate 1 k{i}"));
            if end == "discard" {
                kit.run("multi");
            }
            assert_eq!(kit.run(end), "+OK\r\n");
            assert_eq!(kit.engine.keyspace.lock(0).watched(), 0);
            kit.run("multi");
            kit.run("ping");
            assert_eq!(kit.run("exec"), "*1\r\n+PONG\r\n");
        }
    }

    #[test]
    fn a_key_watched_twice_counts_once() {
        let mut kit = populated();
        kit.run("watch a:0 a:0");
        kit.run("watch a:0");
        assert!(kit.run("client info").contains(" watch=1 "));
        kit.run("multi");
        kit.run("unwatch");
        assert_eq!(kit.run("exec"), "*1\r\n+OK\r\n");
        assert!(kit.run("client info").contains(" watch=0 "));
    }
}
