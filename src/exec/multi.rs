//! The life of a transaction: what waits for EXEC, and what breaks it.

use smallvec::SmallVec;

use super::args::{Key, KeyAt};
use super::context::Ctx;
use super::dispatch;
use super::engine::Engine;
use super::session::Queued;
use super::session::{Multi, Session};
use super::spec::Scope;
use crate::base::hash;
use crate::protocol::error::Error;
use crate::store::keyspace::Locked;

/// MULTI; dispatch refuses it within a transaction.
pub fn begin(session: &mut Session) {
    session.multi = Some(Box::<Multi>::default());
}

/// Forgets what waits, and stops watching.
pub fn discard(engine: &Engine, session: &mut Session) {
    session.multi = None;
    unwatch(engine, session);
}

/// Stops watching; takes the shards' locks, so none may be held.
pub fn unwatch(engine: &Engine, session: &mut Session) {
    if session.watching.is_empty() {
        return;
    }
    for (db, key) in session.watching.drain(..) {
        let shard = engine.keyspace.shard_of(hash::digest(&key));
        engine
            .keyspace
            .lock(shard)
            .unwatch(db, &key, &session.watch_flag);
        session.client.drop_name(&key);
    }
    reset_flag(session);
}

/// A new flag rather than a lowered one: whoever still holds the old one may
/// raise it in vain.
fn reset_flag(session: &mut Session) {
    if session.is_watch_broken() {
        session.watch_flag = Default::default();
    }
    *session.client.watch_flag.lock() = None;
}

/// Locks all that EXEC will touch: the keys that its commands declare, and the
/// watched ones, whose time may be over.
pub(super) fn lock_queued<'t>(engine: &'t Engine, session: &Session) -> Locked<'t> {
    let Some(multi) = &session.multi else {
        return Locked::None;
    };
    let is_keyed = |q: &Queued| q.spec.scope_of(&q.argv) == Scope::Keys;
    if !multi.queued.iter().all(is_keyed) {
        return engine.keyspace.lock_all();
    }
    let mut keys: Vec<KeyAt> = Vec::new();
    for queued in &multi.queued {
        dispatch::keys_of(engine, queued, &mut keys);
    }
    let watched = session.watching.iter().map(|(_, k)| hash::digest(k));
    let mut shards: SmallVec<[usize; 16]> = keys
        .iter()
        .map(|k| k.digest)
        .chain(watched)
        .map(|digest| engine.keyspace.shard_of(digest))
        .collect();
    engine.keyspace.lock_some(&mut shards)
}

/// EXEC: runs what waits, if nothing forbids it.
pub fn exec(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let Some(multi) = ctx.session.multi.take() else {
        return Err(Error::EXEC_WITHOUT_MULTI);
    };
    // A watched key whose time is over has changed.
    let watching = std::mem::take(&mut ctx.session.watching);
    for (db, key) in &watching {
        let digest = hash::digest(key);
        ctx.txn.find_in(*db, &Key::new(key, digest));
    }
    let broken = ctx.session.is_watch_broken();
    for (db, key) in &watching {
        let digest = hash::digest(key);
        let flag = ctx.session.watch_flag.clone();
        ctx.txn
            .shard_for(&Key::new(key, digest))
            .unwatch(*db, key, &flag);
        ctx.session.client.drop_name(key);
    }
    if !watching.is_empty() {
        reset_flag(ctx.session);
    }
    if multi.failed {
        return Err(Error::EXEC_ABORT);
    }
    if broken {
        ctx.reply.null_array();
        return Ok(());
    }
    ctx.reply.array(multi.queued.len());
    ctx.session.in_exec = true;
    for queued in &multi.queued {
        let out = ctx.reply.output();
        dispatch::run_queued(ctx.engine, ctx.session, ctx.txn, queued, out);
    }
    ctx.session.in_exec = false;
    Ok(())
}
