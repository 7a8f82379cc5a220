//! Making room: evicts until the process is within `maxmemory`.

use std::sync::atomic::Ordering;

use super::effect::Removal;
use super::engine::{Engine, Worker};
use super::latency::Event;
use super::txn::{Outcome, Txn};
use crate::base::{clock, hash};
use crate::config::{Settings, param};
use crate::store::eviction::{Candidate, Evictor, records::LfuConfig};
use crate::store::keyspace::Locked;
use crate::store::memory;
use crate::store::rules::TableId;
use crate::store::shard::Shard;
use crate::store::table::Place;

/// Entries looked at for each unit of `maxmemory-samples`: they lie side by
/// side, so that eight cost little more than one.
const NEIGHBOURS: usize = 8;
/// Entries that one [`slice`] evicts at most.
const SLICE: usize = 32;
/// What absences may take where nobody says otherwise, in bytes, and as a part of
/// `maxmemory`.
const NULL_MAX: usize = 64 << 20;
const NULL_PARTS: usize = 16;
/// Batches between two counts of all entries.
const COUNT_EVERY: u64 = 16;

/// Makes the settings about eviction take effect.
pub fn configure(evictor: &Evictor, settings: &Settings) {
    let lfu = LfuConfig {
        log_factor: settings.int(param::LFU_LOG_FACTOR) as u32,
        decay_minutes: settings.int(param::LFU_DECAY_TIME) as u32,
    };
    let policy = settings.choice_name(param::MAXMEMORY_POLICY);
    evictor.configure(policy, settings.int(param::MAXMEMORY) > 0, lfu);
}

/// Bytes that absences may take, and whether they were promised that much.
pub fn null_bytes_max(settings: &Settings) -> (usize, bool) {
    let limit = match settings.int(param::MAXMEMORY) as usize {
        0 => usize::MAX,
        limit => limit,
    };
    match settings.int(param::NULL_MAX) as usize {
        0 => (NULL_MAX.min(limit / NULL_PARTS), false),
        asked => (asked.min(limit / 2), true),
    }
}

/// Evicts while memory is above `maxmemory`; false where it stays there. Called
/// without any lock held.
#[inline]
pub fn make(engine: &Engine, now_ms: u64) -> bool {
    let limit = engine.settings.int(param::MAXMEMORY) as usize;
    if limit == 0 {
        return true;
    }
    let (used, reserve) = (memory::used_bytes(), engine.keyspace.null_reserve());
    if used.saturating_add(reserve) <= limit
        || engine.effects.pause.is_on(now_ms)
        || engine.loading.is_on()
    {
        return true;
    }
    if used <= limit {
        // Absences have more time to come than this command. The share is of the limit that
        // was in force a moment ago, perhaps.
        let limit = beyond_followers(engine, limit.saturating_sub(reserve));
        evict_until(engine, limit, now_ms, SLICE);
        return true;
    }
    evict_until(engine, beyond_followers(engine, limit), now_ms, usize::MAX)
}

/// As [`make`], but a little of it, so that `maxmemory` holds without a command to
/// come upon it: where it was lowered, or what is not data grew. Whether there is
/// more to do.
pub fn slice(engine: &Engine) -> bool {
    let limit = engine.settings.int(param::MAXMEMORY) as usize;
    let limit = limit.saturating_sub(engine.keyspace.null_reserve());
    if limit == 0 || memory::used_bytes() <= limit {
        return false;
    }
    let limit = beyond_followers(engine, limit);
    let now_ms = clock::unix_ms();
    !engine.effects.pause.is_on(now_ms)
        && !engine.leaves_eviction()
        && evict_until(engine, limit, now_ms, SLICE)
        && memory::used_bytes() > limit
}

/// The limit, and what is on its way to followers: to evict makes that more, not
/// less.
fn beyond_followers(engine: &Engine, limit: usize) -> usize {
    limit.saturating_add(engine.leading.bytes_on_their_way())
}

/// Tells the policy how much a worker used the cache, and, once it begins to fill,
/// how many entries it has.
#[inline]
pub fn note_batch(engine: &Engine, worker: &Worker, commands: u64) {
    let limit = engine.settings.int(param::MAXMEMORY) as usize;
    if limit == 0 {
        return;
    }
    let evictor = engine.keyspace.evictor();
    evictor.advance(commands as u32);
    let batches = worker.batches.load(Ordering::Relaxed);
    if batches.is_multiple_of(COUNT_EVERY) && memory::used_bytes() >= limit / 8 {
        let entries = (0..engine.keyspace.len())
            .map(|i| engine.keyspace.lock(i).len())
            .sum();
        evictor.set_entries(entries);
    }
}

/// Evicts at most so many entries while memory is above the limit; false where none
/// is left that may go.
#[cold]
fn evict_until(engine: &Engine, limit: usize, now_ms: u64, most: usize) -> bool {
    if memory::used_bytes() <= limit || engine.leaves_eviction() {
        return true;
    }
    if engine.keyspace.evictor().is_forbidden() || engine.effects.is_importing() {
        return false;
    }
    let (monitor, settings) = (&engine.latency, &engine.settings);
    let one = || monitor.watch(settings, Event::EvictionDel, || evict_one(engine, now_ms));
    let evict = || {
        (0..most)
            .take_while(|_| memory::used_bytes() > limit)
            .all(|_| one())
    };
    let began_ns = clock::mono_ns();
    // The command that came upon it is not the one to blame.
    let is_there_room = clock::aside(evict);
    let took_ns = clock::mono_ns() - began_ns;
    monitor.note(settings, Event::EvictionCycle, took_ns);
    let total_ns = &engine.counters.eviction_ns;
    total_ns.fetch_add(took_ns, Ordering::Relaxed);
    is_there_room
}

/// An entry that might go, seen under a lock that is no longer held.
struct Seen {
    shard: usize,
    table: (u32, TableId),
    key: Vec<u8>,
    candidate: Candidate,
}

/// Removes one entry; false where there is none that may go.
///
/// A shard with entries enough to choose from gives up its own under one lock.
/// Where shards are small, as in a small cache, what is seen in several is
/// compared, and the chosen one is looked up again.
fn evict_one(engine: &Engine, now_ms: u64) -> bool {
    let keyspace = &engine.keyspace;
    let evictor = keyspace.evictor();
    let volatile = evictor.is_volatile_only();
    let wanted = wanted_samples(engine);
    let shards = keyspace.len();
    let first = clock::random_below(shards as u64) as usize;
    let mut seen: Vec<Seen> = Vec::new();
    let mut places = Vec::new();
    let mut entries = 0;
    for i in 0..shards {
        let at = (first + i) % shards;
        let shard = keyspace.lock(at);
        entries += shard.len();
        places.clear();
        shard.sample(wanted - seen.len(), volatile, &mut places);
        if i == 0 && places.len() >= wanted {
            evictor.set_entries(entries * shards);
            let candidates: Vec<Candidate> = places
                .iter()
                .map(|&(db, id, place)| candidate(&shard, (db, id), place))
                .collect();
            let Some(chosen) = evictor.choose(&candidates) else {
                return false;
            };
            let (db, id, place) = places[chosen];
            let locked = Locked::One(at, shard);
            let mut txn = Txn::new(keyspace, &engine.effects, locked, db, now_ms);
            txn.evict(at, (db, id), place);
            free(engine, txn.commit());
            return true;
        }
        for &(db, id, place) in &places {
            let key = shard.table(db, id).map(|t| t.entry(place).key().to_vec());
            seen.push(Seen {
                shard: at,
                table: (db, id),
                key: key.unwrap_or_default(),
                candidate: candidate(&shard, (db, id), place),
            });
        }
        if seen.len() >= wanted {
            entries = entries * shards / (i + 1);
            break;
        }
    }
    evictor.set_entries(entries);
    let candidates: Vec<Candidate> = seen.iter().map(|s| s.candidate).collect();
    let Some(chosen) = evictor.choose(&candidates) else {
        return false;
    };
    let Seen {
        shard,
        table: (db, id),
        key,
        ..
    } = &seen[chosen];
    let owner = keyspace.lock(*shard);
    let place = owner
        .table(*db, *id)
        .and_then(|t| t.find(hash::digest(key), key));
    if let Some(place) = place {
        let locked = Locked::One(*shard, owner);
        let mut txn = Txn::new(keyspace, &engine.effects, locked, *db, now_ms);
        txn.evict(*shard, (*db, *id), place);
        free(engine, txn.commit());
    }
    // Whoever removed it in the meantime made room as well.
    true
}

/// What is evicted is no change that anybody waits for.
fn free(engine: &Engine, outcome: Outcome) {
    let later = engine.effects.is_lazy(Removal::Eviction);
    engine.reclaimer.free(outcome.garbage, later);
}

fn wanted_samples(engine: &Engine) -> usize {
    let configured = engine.settings.int(param::MAXMEMORY_SAMPLES).max(1) as usize;
    engine.keyspace.evictor().samples(configured, NEIGHBOURS)
}

fn candidate(shard: &Shard, (db, id): (u32, TableId), place: Place) -> Candidate {
    let entry = shard
        .table(db, id)
        .expect("an entry that was sampled has a table")
        .entry(place);
    Candidate {
        access: entry.access(),
        bytes: entry.bytes().min(u32::MAX as usize) as u32,
        deadline: entry.deadline(),
    }
}
