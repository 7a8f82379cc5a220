//! CACHE.GET.

use crate::command::string::{string, write_value};
use crate::config::policy::STALE_LEASE_MS;
use crate::exec::context::Ctx;
use crate::exec::txn::{Asks, Status};
use crate::exec::waiting::Wait;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;

/// The longest that a reader may ask to wait, in milliseconds: an hour.
const WAIT_MAX_MS: i64 = 3_600_000;

/// CACHE.GET key [LEASE] [WAIT milliseconds]
pub(super) fn get(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let mut asks = Asks {
        knows_stale: true,
        ..Asks::default()
    };
    while !ctx.args.is_empty() {
        if ctx.args.flag("LEASE") {
            asks.lease_ms = STALE_LEASE_MS;
        } else if ctx.args.option("WAIT") {
            let ms = ctx.args.int()?;
            if !(0..=WAIT_MAX_MS).contains(&ms) {
                return Err(Error::new(format!(
                    "ERR WAIT takes 0 to {WAIT_MAX_MS} milliseconds"
                )));
            }
            asks.wait_ms = Some(ms.unsigned_abs());
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let look = ctx.txn.look(&key, asks);
    if let Status::Wait(ms) = look.status {
        ctx.wait(Wait {
            until_ms: Some(ctx.txn.now_ms.saturating_add(ms)),
            is_ready: |_| true,
            timed_out: Box::new(|reply| {
                write_head(reply, "miss");
                reply.null();
                write_tail(reply, -2, None, None);
            }),
            until: None,
            words: None,
        });
        return Ok(());
    }
    let now_ms = ctx.txn.now_ms;
    let name = match look.status {
        Status::Hit => "hit",
        Status::Null => "null",
        Status::Stale => "stale",
        Status::Miss(_) | Status::Wait(_) => "miss",
    };
    match look.found {
        Some(found) => {
            let entry = ctx.txn.entry(found);
            let value = string(entry)?;
            write_head(&mut ctx.reply, name);
            write_value(&mut ctx.reply, value);
            let ttl_ms = match entry.deadline() {
                Some(ms) => ms.saturating_sub(now_ms) as i64,
                None => -1,
            };
            let age = entry
                .note()
                .map(|note| (now_ms.saturating_sub(note.written_ms), note.reads));
            write_tail(&mut ctx.reply, ttl_ms, look.token, age);
        }
        None => {
            write_head(&mut ctx.reply, name);
            ctx.reply.null();
            let ttl_ms = match ctx.txn.null_until(&key) {
                Some(ms) => ms.saturating_sub(now_ms) as i64,
                None => -2,
            };
            write_tail(&mut ctx.reply, ttl_ms, look.token, None);
        }
    }
    Ok(())
}

/// What stands in front of the value.
fn write_head(reply: &mut Reply<'_>, status: &str) {
    reply.map(6);
    reply.bulk(b"status");
    reply.bulk(status.as_bytes());
    reply.bulk(b"value");
}

/// What stands behind it: times are in milliseconds; a TTL is -1 where there is none, and
/// -2 where there is no key, as PTTL says it.
fn write_tail(reply: &mut Reply<'_>, ttl_ms: i64, token: Option<u64>, age: Option<(u64, u16)>) {
    reply.bulk(b"ttl");
    reply.int(ttl_ms);
    reply.bulk(b"token");
    match token {
        Some(token) => reply.int(token as i64),
        None => reply.null(),
    }
    reply.bulk(b"age");
    match age {
        Some((ms, _)) => reply.int(ms as i64),
        None => reply.null(),
    }
    reply.bulk(b"reads");
    match age {
        Some((_, reads)) => reply.int(reads.into()),
        None => reply.null(),
    }
}
