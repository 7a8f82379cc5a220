//! Punctual expiry: removes keys, and fields of hashes, soon after their deadline,
//! in slices.

use std::sync::atomic::Ordering;

use super::args::Key;
use super::effect::{Change, Effect, Event, Removal};
use super::engine::Engine;
use super::txn::{Txn, identity};
use super::waiting;
use crate::base::{clock, hash};
use crate::store::departed::Record;
use crate::store::entry::{Entry, Note, mark};
use crate::store::figures::Reason;
use crate::store::garbage::Garbage;
use crate::store::keyspace::Locked;
use crate::store::rules::TableId;
use crate::store::shard::{Settling, Shard};
use crate::store::table::Due;

/// Segments looked through under one lock: some 1,300 keys at most.
const SEGMENTS: usize = 4;
/// Keys that clients of a follower gave a deadline, looked at at a time.
const OWN_KEYS: usize = 1000;
/// Fields removed under one lock.
const FIELDS: usize = 500;
/// From this jump of the clock on every timer is looked at: the wheel's past is
/// 8 s long.
const JUMP_MS: u64 = 5_000;
/// From here on every time is a jump.
const LONG_AGO_MS: u64 = 1;

/// One slice of all that is to be done in a shard; true where there is more.
pub fn slice(engine: &Engine, worker: usize, index: usize) -> bool {
    let more = keep_up(engine, worker, index);
    more | expire(engine, worker, index)
}

/// Removes what is over in one shard, in one slice, on the thread of a worker;
/// true where there is more.
pub fn expire(engine: &Engine, worker: usize, index: usize) -> bool {
    let now_ms = clock::unix_ms();
    if !may_change(engine, now_ms) {
        if engine.effects.is_keeping() {
            // What is brought in may be over for long: once it goes, by any timer.
            engine.keyspace.lock(index).swept_ms = LONG_AGO_MS;
        }
        return false;
    }
    let mut effect = Effect {
        is_apart: true,
        ..Effect::default()
    };
    let mut more = false;
    let mut shard = engine.keyspace.lock(index);
    // Under the lock: whoever asked for it before reads under it.
    let wanted = engine.effects.wanted();
    let last = std::mem::replace(&mut shard.swept_ms, now_ms);
    let all = last != 0 && last.abs_diff(now_ms) > JUMP_MS;
    let mut awaited = Vec::new();
    let named = wanted || shard.watched() > 0 || shard.all_awaited().next().is_some();
    let mut gone: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut departed: Vec<Departing> = Vec::new();
    let mut partly: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut garbage = Garbage::default();
    let mut count = 0;
    for (db, id, table) in shard.tables_mut() {
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
                if id != TableId::PLAIN {
                    departed.push(Departing::of(db, id, &entry));
                }
            }
        });
        table.publish_bytes();
    }
    shard.stats.expired += count;
    for one in departed {
        one.note(&mut shard, now_ms);
    }
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
            effect.commands.push(db, &[word.as_bytes(), &key]);
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
        txn.be_apart();
        more |= expire_fields(&mut txn, &partly);
        let mut outcome = txn.commit();
        awaited.extend(outcome.take_rest().changed);
        engine.reclaimer.free(outcome.garbage, is_lazy);
    }
    if !awaited.is_empty() {
        waiting::serve(engine, worker, awaited);
    }
    engine.reclaimer.free(garbage, is_lazy);
    more
}

/// A policy's key whose time was over.
struct Departing {
    db: u32,
    id: TableId,
    digest: u64,
    note: Note,
}

impl Departing {
    fn of(db: u32, id: TableId, entry: &Entry<'_>) -> Departing {
        Departing {
            db,
            id,
            digest: hash::digest(entry.key()),
            note: entry.note().unwrap_or_default(),
        }
    }

    fn note(self, shard: &mut Shard, now_ms: u64) {
        let entries = shard.table(self.db, self.id).map_or(0, |t| t.len());
        let kept = shard.kept_mut(self.id.slot());
        let identity = identity(self.db, self.digest);
        let is_soft = self.note.marks & mark::SOFT != 0;
        let (why, count) = match is_soft {
            true => (Reason::Invalidated, &mut kept.figures.invalidated),
            false => (Reason::Expired, &mut kept.figures.expired),
        };
        *count += 1;
        let record = Record {
            why,
            at_ms: now_ms,
            fence: kept.departed.get(identity).map_or(0, |r| r.fence),
            history: self.note.history,
            written_ms: self.note.written_ms,
            reads: self.note.reads,
        };
        kept.departed.insert(identity, record, entries);
    }
}

/// Whether what nobody asked for may change keys now.
fn may_change(engine: &Engine, now_ms: u64) -> bool {
    engine.active_expiry.load(Ordering::Relaxed)
        && !engine.effects.is_keeping()
        && !engine.effects.pause.is_on(now_ms)
}

/// One slice of what policies and invalidations leave to be done in a shard; true where
/// there is more.
pub fn keep_up(engine: &Engine, worker: usize, index: usize) -> bool {
    let now_ms = clock::unix_ms();
    if !may_change(engine, now_ms) {
        return false;
    }
    let keyspace = &engine.keyspace;
    let mut shard = keyspace.lock(index);
    if shard.is_plain {
        return false;
    }
    for (_, kept) in shard.all_kept_mut() {
        kept.drop_over(now_ms);
    }
    if shard.rules.is_empty() {
        let is_valid = keyspace.invalidations().read().is_empty();
        shard.note_plain(is_valid);
    }
    let orphans = orphans(&shard, now_ms);
    let (epoch, _) = keyspace.epochs();
    let sweeping = match shard.sweeping {
        None if shard.swept != epoch => Some((Settling::START, epoch)),
        at => at,
    };
    let locked = Locked::One(index, shard);
    let mut txn = Txn::new(keyspace, &engine.effects, locked, 0, now_ms);
    let mut more = txn.settle_slice(index);
    if let Some((at, began)) = sweeping {
        let absences_left = txn.sweep_absences(index, began);
        let next = match txn.sweep_invalidated(index, at) {
            // Past the end there is nothing more to be done than absences.
            None if absences_left => Some(Settling {
                index: txn.shard(index).kinds(),
                ..Settling::START
            }),
            next => next,
        };
        let shard = txn.shard(index);
        shard.sweeping = next.map(|at| (at, began));
        if next.is_none() {
            shard.swept = began;
        }
        more |= next.is_some() || began != epoch;
    }
    let mut outcome = txn.commit();
    let rest = outcome.take_rest();
    let is_lazy = engine.effects.is_lazy(Removal::Expiry);
    engine.reclaimer.free(outcome.garbage, is_lazy);
    let mut changed = rest.changed;
    changed.extend(orphans);
    if !changed.is_empty() {
        waiting::serve(engine, worker, changed);
    }
    more
}

/// Keys that somebody waits for, and whose refill nobody has promised any more.
fn orphans(shard: &Shard, now_ms: u64) -> Vec<(u32, Vec<u8>)> {
    let is_orphan = |(db, key): &(u32, &[u8])| {
        let slot = shard.rules.slot_of(key);
        let kept = shard.kept(slot).filter(|kept| !kept.leases.is_empty());
        let identity = identity(*db, hash::digest(key));
        kept.is_some_and(|kept| kept.leases.get(identity, now_ms).is_none())
    };
    let all = shard.all_awaited().filter(is_orphan);
    all.map(|(db, key)| (db, key.to_vec())).collect()
}

/// Tells what is invalidated how far the sweep has come in all shards. For one worker,
/// now and then.
pub fn conclude(engine: &Engine) {
    let keyspace = &engine.keyspace;
    let (epoch, _) = keyspace.epochs();
    let behind = |i: usize| epoch.wrapping_sub(keyspace.lock(i).swept);
    {
        let invalidations = keyspace.invalidations().read();
        if invalidations.is_empty() && !invalidations.is_unswept() {
            return;
        }
    }
    let most = (0..keyspace.len()).map(behind).max().unwrap_or(0);
    let swept = epoch.wrapping_sub(most);
    let now_ms = clock::unix_ms();
    if !keyspace.invalidations().read().wants_word(swept, now_ms) {
        return;
    }
    let keeps = keyspace.is_governed();
    let mut locked = keyspace.lock_all();
    keyspace.change_invalidations(&mut locked, |all| all.swept(swept, now_ms, keeps));
}

/// Removes some of the keys that clients of a follower gave a deadline, when that has
/// passed. For one worker, now and then.
pub fn own_keys(engine: &Engine, worker: usize) {
    let following = &engine.following;
    let now_ms = clock::unix_ms();
    let rests = !engine.active_expiry.load(Ordering::Relaxed)
        || following.own_keys() == 0
        || engine.effects.pause.is_on(now_ms);
    if rests {
        return;
    }
    if !following.is_on() {
        // They are like all others again.
        following.forget_own_keys();
        return;
    }
    for own in following.next_own_keys(OWN_KEYS) {
        let (db, bytes) = &own;
        let key = Key::of(bytes);
        let index = engine.keyspace.shard_of(key.digest);
        let locked = Locked::One(index, engine.keyspace.lock(index));
        let mut txn = Txn::new(&engine.keyspace, &engine.effects, locked, *db, now_ms);
        txn.removes = true;
        let found = txn.find(&key);
        if found.is_none_or(|found| txn.entry(found).deadline().is_none()) {
            following.forget_own_key(&own);
        }
        let mut outcome = txn.commit();
        let changed = outcome.take_rest().changed;
        let is_lazy = engine.effects.is_lazy(Removal::Expiry);
        engine.reclaimer.free(outcome.garbage, is_lazy);
        waiting::serve(engine, worker, changed);
    }
}

/// Removes fields that are over from these keys' hashes; true where some are left.
fn expire_fields(txn: &mut Txn<'_>, keys: &[(u32, Vec<u8>)]) -> bool {
    let mut left = FIELDS;
    for (db, key) in keys {
        let key = Key::of(key);
        left -= txn.expire_items(*db, &key, left);
        if left == 0 {
            return true;
        }
    }
    false
}
