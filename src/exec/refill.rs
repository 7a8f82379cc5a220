//! Refills, as far as they are about clients: who leaves gives up its leases, and keys
//! near their end are announced to whoever refills them.

use super::engine::Engine;
use super::session::Session;
use super::txn::{Announced, Txn};
use super::waiting;
use crate::base::{clock, hash};
use crate::store::keyspace::Locked;

/// A client's connection ends: whoever waits for what it was to bring goes on. Takes
/// shards' locks, so none may be held.
pub fn leave(engine: &Engine, session: &mut Session) {
    take_over(session);
    let Some(mut reader) = session.reader.take() else {
        return;
    };
    let now_ms = clock::unix_ms();
    for lease in reader.take_leases() {
        if lease.until_ms <= now_ms {
            continue;
        }
        let keyspace = &engine.keyspace;
        let shard = keyspace.shard_of(hash::digest(&lease.key));
        let locked = Locked::One(shard, keyspace.lock(shard));
        let mut txn = Txn::new(keyspace, &engine.effects, locked, lease.db, now_ms);
        txn.abandon(&lease);
        let rest = txn.commit().take_rest();
        waiting::serve(engine, session.worker, rest.changed);
    }
}

/// Takes over what others missed on the client's behalf while it waited.
pub fn take_over(session: &mut Session) {
    if let Some(missed) = session.client.missed.lock().take() {
        match &mut session.reader {
            Some(reader) => reader.merge(*missed),
            none => *none = Some(missed),
        }
    }
}

/// Tells whoever refills keys of those near their end. Called without any lock held.
pub fn announce(engine: &Engine, keys: Vec<Announced>) {
    if let Some(announcer) = engine.announcer.get()
        && !keys.is_empty()
    {
        announcer(engine, keys);
    }
}
