//! CACHE.EXPLAIN.

use crate::config::policy::Mode;
use crate::exec::context::Ctx;
use crate::exec::txn::{Known, State};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::adaptive::History;

/// CACHE.EXPLAIN key
pub(super) fn explain(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let known = ctx.txn.explain(&key);
    let now_ms = ctx.txn.now_ms;
    let reply = &mut ctx.reply;
    let opened = reply.open();
    let mut rows = 0;
    let mut text = |reply: &mut Reply<'_>, name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
        rows += 1;
    };
    match &known.policy {
        Some(policy) => {
            text(reply, "policy", &policy.name);
            let pattern = String::from_utf8_lossy(policy.pattern.text());
            text(reply, "pattern", &pattern);
            text(
                reply,
                "enabled",
                match (policy.mode, known.is_in_force) {
                    (Mode::Shadow, true) => "shadow: it only counts",
                    (Mode::No, _) => "no",
                    (_, true) => "yes",
                    (_, false) => "not for this key or user: by rollout or users",
                },
            );
        }
        None => text(reply, "policy", "none"),
    }
    text(reply, "state", known.state.name());
    if let State::Missing(reason) = known.state {
        text(reply, "reason", reason.name());
    }
    if let Some((reason, held)) = known.decision {
        text(reply, "decision", reason);
        text(reply, "bounds", held);
    } else if known.is_there {
        text(reply, "decision", why_no_decision(&known));
    }
    let mut numbers: Vec<(&str, i64)> = Vec::new();
    if let Some(ms) = known.deadline {
        numbers.push(("ttl", ms as i64 - now_ms as i64));
    }
    if let Some(note) = &known.note {
        numbers.push(("age", now_ms.saturating_sub(note.written_ms) as i64));
        numbers.push(("reads", note.reads.into()));
        numbers.push(("grace", note.grace_ms.into()));
        numbers.push(("load-time", note.cost_ms() as i64));
    }
    if let Some(history) = History::from_bits(known.history) {
        numbers.push(("changes-every", history.change_every_ms() as i64));
        if let Some(ms) = history.read_every_ms() {
            numbers.push(("read-every", ms as i64));
        }
    }
    if let Some(lease) = &known.lease {
        numbers.push(("lease-holder", lease.client as i64));
        numbers.push(("lease-left", lease.until_ms.saturating_sub(now_ms) as i64));
    }
    if let Some(left_ms) = known.left_ms {
        numbers.push(("left-at", left_ms as i64));
    }
    for (name, n) in &numbers {
        reply.bulk(name.as_bytes());
        reply.int(*n);
    }
    reply.bulk(b"tags");
    reply.array(known.tags.len());
    for tag in &known.tags {
        reply.bulk(tag);
    }
    let rows = rows + numbers.len() + 1;
    reply.close_map(opened, rows);
    Ok(())
}

fn why_no_decision(known: &Known) -> &'static str {
    match &known.policy {
        None => "no policy: it lives as its writer said",
        Some(policy) if !known.is_in_force || policy.mode == Mode::Shadow => {
            "its policy is not in force: it lives as its writer said"
        }
        Some(_) if matches!(known.state, State::Null) => {
            "it stands for an absence, which is remembered for null-ttl at most"
        }
        Some(policy) if policy.adaptive => "its writer said how long, within the policy's bounds",
        Some(policy) if policy.ttl_ms > 0 => {
            "the policy's ttl, or what its writer said within the policy's bounds"
        }
        Some(_) => "as its writer said, within the policy's bounds",
    }
}
