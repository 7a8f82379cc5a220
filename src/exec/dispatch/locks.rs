//! Which locks a command takes before it runs.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::Call;
use crate::exec::engine::Engine;
use crate::exec::multi;
use crate::exec::session::Session;
use crate::exec::spec::{Scope, Spec};
use crate::protocol::error::Error;
use crate::store::keyspace::Locked;
use crate::store::shard::Shard;

/// Locks what a command declared; `None` where it goes through the shards one
/// by one.
#[inline]
pub(super) fn lock_declared<'t>(
    engine: &'t Engine,
    session: &Session,
    call: &Call<'_>,
    spec: &Spec,
) -> Result<Option<Locked<'t>>, Error> {
    let keyspace = &engine.keyspace;
    let scope = spec.scope_of(call.argv);
    Ok(Some(match (scope, call.keys) {
        (Scope::Keys, []) => Locked::None,
        (Scope::Keys, [key]) => {
            let shard = keyspace.shard_of(key.digest);
            Locked::One(shard, lock_one(engine, session, shard)?)
        }
        (Scope::Keys, keys) => {
            let mut shards: SmallVec<[usize; 16]> =
                keys.iter().map(|k| keyspace.shard_of(k.digest)).collect();
            approach(engine, session, shards[0])?;
            keyspace.lock_some(&mut shards)
        }
        _ => {
            approach(engine, session, 0)?;
            match scope {
                Scope::Each => return Ok(None),
                Scope::Queued => multi::lock_queued(engine, session),
                _ => keyspace.lock_all(),
            }
        }
    }))
}

/// Locks a shard, unless a script that has it runs too long to be waited for.
#[inline]
fn lock_one<'t>(
    engine: &'t Engine,
    session: &Session,
    shard: usize,
) -> Result<MutexGuard<'t, Shard>, Error> {
    let busy = &engine.busy;
    let gives_up = || busy.is_on() && !busy.is_doomed() && !session.leads;
    let guard = engine.keyspace.lock_unless(shard, gives_up);
    guard.ok_or_else(|| busy.error())
}

/// Likewise waits until a shard can be had.
#[inline]
fn approach(engine: &Engine, session: &Session, shard: usize) -> Result<(), Error> {
    if engine.keyspace.is_locked(shard) {
        drop(lock_one(engine, session, shard)?);
    }
    Ok(())
}
