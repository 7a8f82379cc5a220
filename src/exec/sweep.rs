//! Punctual expiry: removes keys, and fields of hashes, soon after their deadline,
//! in slices.

use std::sync::atomic::Ordering;

use super::args::Key;
use super::effect::{Change, Effect, Event, Removal};
use super::engine::Engine;
use super::txn::Txn;
use super::waiting;
use crate::base::{clock, hash};
use crate::store::garbage::Garbage;
use crate::store::keyspace::Locked;
use crate::store::table::Due;

/// Segments looked through under one lock: some 1,300 keys at most.
const SEGMENTS: usize = 4;
/// Fields removed under one lock.
const FIELDS: usize = 500;
/// From this jump of the clock on every timer is looked at: the wheel's past is
/// 8 s long.
const JUMP_MS: u64 = 5_000;
/// From here on every time is a jump.
const LONG_AGO_MS: u64 = 1;

/// Removes what is over in one shard, in one slice, on the thread of a worker;
/// true where there is more.
pub fn slice(engine: &Engine, worker: usize, index: usize) -> bool {
    if !engine.active_expiry.load(Ordering::Relaxed) {
        return false;
    }
    let now_ms = clock::unix_ms();
    if engine.effects.is_importing() {
        // What is brought in may be over for long: once it goes, by any timer.
        engine.keyspace.lock(index).swept_ms = LONG_AGO_MS;
        return false;
    }
    if engine.effects.pause.is_on(now_ms) {
        return false;
    }
    let mut effect = Effect::default();
    let mut more = false;
    let mut shard = engine.keyspace.lock(index);
    // Under the lock: whoever asked for it before reads under it.
    let wanted = engine.effects.wanted();
    let last = std::mem::replace(&mut shard.swept_ms, now_ms);
    let all = last != 0 && last.abs_diff(now_ms) > JUMP_MS;
    let mut awaited = Vec::new();
    let named = wanted || shard.watched() > 0 || shard.all_awaited().next().is_some();
    let mut gone: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut partly: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut garbage = Garbage::default();
    let mut count = 0;
    for (db, table) in shard.tables_mut() {
        if table.is_lasting() {
            continue;
        }
        let most = if all { usize::MAX } else { SEGMENTS };
        more |= table.expire(now_ms, most, all, &mut garbage, |entry, due| match due {
            Due::Items => partly.push((db, entry.key().to_vec())),
            Due::Entry => {
                count += 1;
                if named {
                    gone.push((db, entry.key().to_vec()));
                }
            }
        });
        table.publish_bytes();
    }
    shard.stats.expired += count;
    for (db, key) in gone {
        shard.touch(db, &key);
        if shard.is_awaited(db, &key) {
            awaited.push((db, key.clone()));
        }
        if wanted {
            effect.changes.push(Change {
                db,
                key: key.clone().into(),
                event: Event::EXPIRED,
            });
            let word = engine.effects.removal_word(Removal::Expiry);
            effect.commands.push((db, vec![word.into(), key]));
        }
    }
    if !effect.changes.is_empty() {
        engine.effects.deliver(&effect);
    }
    let is_lazy = engine.effects.is_lazy(Removal::Expiry);
    if partly.is_empty() {
        drop(shard);
    } else {
        let locked = Locked::One(index, shard);
        let mut txn = Txn::new(&engine.keyspace, &engine.effects, locked, 0, now_ms);
        more |= expire_fields(&mut txn, &partly);
        let outcome = txn.commit();
        engine.reclaimer.free(outcome.garbage, is_lazy);
        awaited.extend(outcome.changed);
    }
    if !awaited.is_empty() {
        waiting::serve(engine, worker, awaited);
    }
    engine.reclaimer.free(garbage, is_lazy);
    more
}

/// Removes fields that are over from these keys' hashes; true where some are left.
fn expire_fields(txn: &mut Txn<'_>, keys: &[(u32, Vec<u8>)]) -> bool {
    let mut left = FIELDS;
    for (db, key) in keys {
        let key = Key {
            bytes: key,
            digest: hash::digest(key),
        };
        left -= txn.expire_items(*db, &key, left);
        if left == 0 {
            return true;
        }
    }
    false
}
