//! Punctual expiry: removes keys soon after their deadline, in slices.

use std::sync::atomic::Ordering;

use super::effect::{Change, Effect, Event, Removal};
use super::engine::Engine;
use super::waiting;
use crate::base::clock;
use crate::store::garbage::Garbage;

/// Segments looked through under one lock: some 1,300 keys at most.
const SEGMENTS: usize = 4;
/// From this jump of the clock on every timer is looked at: the wheel's past is
/// 8 s long.
const JUMP_MS: u64 = 5_000;

/// Removes what is over in one shard, in one slice, on the thread of a worker;
/// true where there is more.
pub fn slice(engine: &Engine, worker: usize, shard: usize) -> bool {
    if !engine.active_expiry.load(Ordering::Relaxed) {
        return false;
    }
    let now_ms = clock::unix_ms();
    if engine.effects.pause.is_on(now_ms) {
        return false;
    }
    let wanted = engine.effects.wanted();
    let mut effect = Effect::default();
    let mut more = false;
    let mut shard = engine.keyspace.lock(shard);
    let last = std::mem::replace(&mut shard.swept_ms, now_ms);
    let all = last != 0 && last.abs_diff(now_ms) > JUMP_MS;
    let mut awaited = Vec::new();
    let named = wanted || shard.watched() > 0 || shard.all_awaited().next().is_some();
    let mut gone: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut garbage = Garbage::default();
    let mut count = 0;
    for (db, table) in shard.tables_mut() {
        if table.volatile() == 0 {
            continue;
        }
        let most = if all { usize::MAX } else { SEGMENTS };
        more |= table.expire(now_ms, most, all, &mut garbage, |entry| {
            count += 1;
            if named {
                gone.push((db, entry.key().to_vec()));
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
    drop(shard);
    if !awaited.is_empty() {
        waiting::serve(engine, worker, awaited);
    }
    engine
        .reclaimer
        .free(garbage, engine.effects.is_lazy(Removal::Expiry));
    more
}
