//! FAILOVER: a leader and one of its followers change places.

use crate::base::num;
use crate::config::Primary;
use crate::exec::context::Ctx;
use crate::exec::failover::{Plan, Stage};
use crate::exec::leading::Progress;
use crate::exec::pause::Purpose;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, flag::*};
use crate::protocol::error::Error;
use crate::replication::Leader;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("failover", -1, failover)
    .flags(ADMIN | NOSCRIPT | STALE)
    .scope(Scope::All)
    .doc(
        Group::Server,
        "6.2.0",
        "O(1)",
        "Has a follower take the place of its leader.",
    )
    .args(&[
        Arg::block(
            "target",
            &[
                Arg::new("host", ArgKind::String),
                Arg::new("port", ArgKind::Integer),
                Arg::word("force", "FORCE").optional(),
            ],
        )
        .token("TO")
        .optional(),
        Arg::word("abort", "ABORT").optional(),
        Arg::new("milliseconds", ArgKind::Integer)
            .token("TIMEOUT")
            .optional(),
    ])];

/// FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]
fn failover(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let engine = ctx.engine;
    if engine.routing.is_some() {
        return Err(Error::new(
            "ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.",
        ));
    }
    let state = &engine.leading.failover;
    let leader = engine.service::<Leader>();
    if let [word] = ctx.args.all()[1..]
        && word.eq_ignore_ascii_case(b"abort")
    {
        if state.stage() == Stage::None {
            return Err(Error::new("ERR No failover in progress."));
        }
        leader.abort_failover(engine, "Failover manually aborted");
        ctx.reply.ok();
        return Ok(());
    }
    let mut plan = Plan::default();
    while !ctx.args.is_empty() {
        if plan.until_ms.is_none() && ctx.args.flag("timeout") {
            let ms = ctx.args.int()?;
            match u64::try_from(ms) {
                Ok(ms @ 1..) => plan.until_ms = Some(ctx.txn.now_ms.saturating_add(ms)),
                _ => return Err(Error::new("ERR FAILOVER timeout must be greater than 0")),
            }
        } else if plan.target.is_none() && ctx.args.flag("to") {
            let (host, port) = (ctx.args.bytes()?, ctx.args.bytes()?);
            let port = num::parse_i64(port).ok_or(Error::NOT_INTEGER)?;
            plan.target = Some(Primary {
                host: host.into(),
                // No follower has another one.
                port: u16::try_from(port).unwrap_or(0),
            });
        } else if !plan.is_forced && ctx.args.flag("force") {
            plan.is_forced = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if state.stage() != Stage::None {
        return Err(Error::new("ERR FAILOVER already in progress."));
    }
    if engine.following.is_on() {
        return Err(Error::new(
            "ERR FAILOVER is not valid when server is a replica.",
        ));
    }
    let followers = engine.leading.followers();
    if followers.is_empty() {
        return Err(Error::new("ERR FAILOVER requires connected replicas."));
    }
    if plan.is_forced && (plan.until_ms.is_none() || plan.target.is_none()) {
        return Err(Error::new(
            "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        ));
    }
    match &plan.target {
        Some(target) => {
            let host = String::from_utf8_lossy(&target.host);
            let is_meant = |f: &&std::sync::Arc<crate::exec::leading::Follower>| {
                f.ip().eq_ignore_ascii_case(&host) && f.port == u32::from(target.port)
            };
            let Some(follower) = followers.iter().find(is_meant) else {
                return Err(Error::new(
                    "ERR FAILOVER target HOST and PORT is not a replica.",
                ));
            };
            if follower.progress() != Progress::Online {
                return Err(Error::new("ERR FAILOVER target replica is not online."));
            }
            crate::notice!("FAILOVER requested to {host}:{}.", target.port);
        }
        None => crate::notice!("FAILOVER requested to any replica."),
    }
    state.begin(plan);
    engine
        .effects
        .pause
        .begin(Purpose::Failover, u64::MAX, false);
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testkit::{Kit, check};

    #[test]
    fn a_failover_wants_followers_and_is_given_up_on_demand() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("failover abort", "-ERR No failover in progress."),
                ("failover", "-ERR FAILOVER requires connected replicas."),
                ("failover x", "-ERR syntax error"),
                (
                    "failover timeout 0",
                    "-ERR FAILOVER timeout must be greater than 0",
                ),
            ],
        );
        let mut follower = kit.another();
        follower.run("replconf listening-port 7000 ip-address h");
        follower.run("psync ? -1");
        check(
            &mut kit,
            &[
                (
                    "failover to h 7001",
                    "-ERR FAILOVER target HOST and PORT is not a replica.",
                ),
                (
                    "failover to h 7000",
                    "-ERR FAILOVER target replica is not online.",
                ),
                (
                    "failover to h 7000 force",
                    "-ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
                ),
            ],
        );
        follower
            .session
            .client
            .net_out
            .store(1 << 20, std::sync::atomic::Ordering::Relaxed);
        check(
            &mut kit,
            &[
                ("failover to h 7000", "+OK"),
                ("failover", "-ERR FAILOVER already in progress."),
                (
                    "replicaof h 1",
                    "-ERR REPLICAOF not allowed while failing over.",
                ),
                ("failover abort", "+OK"),
                ("set k v", "+OK"),
            ],
        );
    }
}
