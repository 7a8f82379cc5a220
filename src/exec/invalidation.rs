//! Invalidations, as commands ask for them and as they follow from one another.

use super::args::Key;
use super::engine::Engine;
use super::sweep;
use super::txn::{Cascade, Found, Txn};
use super::waiting;
use crate::base::{clock, hash};
use crate::config::policy::Pattern;
use crate::store::figures::Reason;
use crate::store::invalidation::{Cause, Full, Target};
use crate::store::keyspace::Locked;
use crate::store::rules::TableId;

/// What falls in a row at most, so that patterns that name each other come to an end.
const CASCADES_MAX: usize = 1_000;

impl Txn<'_> {
    /// Puts the invalidation of a group in force. Needs the whole keyspace. Returns its
    /// id, and how many keys it is known to concern.
    pub fn invalidate(&mut self, target: &Target, cause: &Cause<'_>) -> Result<(u64, u64), Full> {
        let rules = self.shard(0).rules.clone();
        // Followers are told key by key, as the sweep comes to them.
        let sweeps = self.sends_commands();
        let id = self.change_invalidations(|all| all.add(target, cause, sweeps))?;
        self.note_wholesale();
        let mut entries = 0;
        for i in 0..self.shards() {
            let shard = self.shard(i);
            match target {
                Target::Keys(_) => {}
                Target::Prefix(prefix) => {
                    shard.touch_watched_if(cause.db, |key| key.starts_with(prefix));
                }
                Target::Pattern(pattern) => {
                    shard.touch_watched_if(cause.db, |key| pattern.matches(key));
                }
                // Rather one transaction too many fails than one too few.
                Target::Tags(_) => shard.touch_watched_if(cause.db, |_| true),
                Target::Policy(slot, _) => {
                    shard.touch_watched_if(cause.db, |key| rules.slot_of(key) == *slot);
                    shard.forget_nulls(*slot, cause.db);
                    if !cause.soft && !sweeps {
                        entries += self.drop_tables(i, *slot, cause.db);
                    }
                }
            }
        }
        self.count_entries(id, entries);
        Ok((id, entries))
    }

    /// Notes an invalidation of keys that has been carried out; returns its id.
    pub fn log_invalidation(&mut self, target: &Target, cause: &Cause<'_>, entries: u64) -> u64 {
        self.log(target, cause, entries)
    }

    /// Invalidates one key, which the transaction holds; whether it was there.
    pub fn invalidate_key(&mut self, key: &Key<'_>, soft: bool) -> bool {
        match self.find(key) {
            Some(found) if soft && self.make_stale(found) => true,
            Some(found) => {
                self.drop_invalidated(found, key.bytes);
                self.count_change();
                true
            }
            None => {
                self.remove_absent(key, Reason::Invalidated);
                false
            }
        }
    }

    /// As [`Txn::invalidate_key`], for an entry that stays, past its lifetime; false where
    /// its policy gives it no grace.
    fn make_stale(&mut self, found: Found) -> bool {
        found.id() != TableId::PLAIN && self.be_stale(found)
    }
}

/// Carries out what falls with keys that were removed, before anybody is told that they
/// were. Called without any lock held.
#[cold]
pub fn cascade(engine: &Engine, worker: usize, cascades: Vec<Cascade>) {
    let mut left = cascades;
    let mut done = 0;
    while let Some(one) = left.pop() {
        done += 1;
        if done > CASCADES_MAX {
            crate::warning!("more than {CASCADES_MAX} keys and patterns fall with one another");
            return;
        }
        let Ok(pattern) = Pattern::parse(&one.pattern) else {
            continue;
        };
        match pattern.literal() {
            Some(key) if *key != *one.cause => left.extend(fall(engine, worker, one.db, key)),
            Some(_) => {}
            None => invalidate_pattern(engine, worker, &one, pattern),
        }
    }
}

/// Invalidates one key; returns what falls with it in turn.
fn fall(engine: &Engine, worker: usize, db: u32, bytes: &[u8]) -> Vec<Cascade> {
    let digest = hash::digest(bytes);
    let keyspace = &engine.keyspace;
    let shard = keyspace.shard_of(digest);
    let locked = Locked::One(shard, keyspace.lock(shard));
    let now_ms = clock::unix_ms();
    let mut txn = Txn::new(keyspace, &engine.effects, locked, db, now_ms);
    let was_there = txn.find(&Key::new(bytes, digest)).is_some();
    txn.invalidate_key(&Key::new(bytes, digest), false);
    let mut outcome = txn.commit();
    let rest = outcome.take_rest();
    engine.reclaimer.free(outcome.garbage, true);
    waiting::serve(engine, worker, rest.changed);
    // What was not there has been followed to its end before.
    if was_there { rest.cascades } else { Vec::new() }
}

fn invalidate_pattern(engine: &Engine, worker: usize, one: &Cascade, pattern: Pattern) {
    let keyspace = &engine.keyspace;
    let reason = format!("falls with {}", String::from_utf8_lossy(&one.cause));
    let target = Target::Pattern(pattern);
    loop {
        let now_ms = clock::unix_ms();
        let cause = Cause {
            db: one.db,
            soft: false,
            reason: &reason,
            who: "cascade",
            now_ms,
        };
        let locked = keyspace.lock_all();
        let mut txn = Txn::new(keyspace, &engine.effects, locked, one.db, now_ms);
        let result = txn.invalidate(&target, &cause);
        let outcome = txn.commit();
        engine.reclaimer.free(outcome.garbage, true);
        if result.is_ok() {
            return;
        }
        // There are too many: the sweep has to come to its end first.
        for shard in 0..keyspace.len() {
            while sweep::slice(engine, worker, shard) {}
        }
        sweep::conclude(engine);
    }
}
