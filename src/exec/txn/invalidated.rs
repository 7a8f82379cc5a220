//! What invalidations do to entries that they find, and how they are put in force.
//!
//! An entry that is older than the last invalidation is judged when it is found: see
//! [`crate::store::invalidation`].

use super::governed::Sight;
use super::{Found, Txn};
use crate::config::policy::{Mode, Policy};
use crate::exec::args::Key;
use crate::exec::effect::{Event, Removal};
use crate::store::entry::{Note, mark};
use crate::store::figures::Reason;
use crate::store::invalidation::{Cause, Invalidations, Target, Verdict};
use crate::store::rules::{Slot, TableId};

/// Chunks of absences that are looked through under one lock: some 200 keys each.
const CHUNKS: usize = 2;

impl Txn<'_> {
    /// An entry is older than the last invalidation: is that about it?
    #[cold]
    pub(super) fn judge(&mut self, found: Found, key: &Key<'_>) -> Sight {
        match self.verdict(found) {
            Verdict::Untouched => {
                let (epoch, plain) = (self.epoch, self.plain_epoch);
                let table = self.table_mut(found);
                let mut entry = table.entry_mut(found.place);
                entry.set_epoch(plain);
                if let Some(mut note) = entry.as_ref().note() {
                    note.epoch = epoch;
                    entry.set_note(&note);
                }
            }
            Verdict::Gone(id) => {
                self.keyspace.invalidations().read().count(id, 1);
                self.drop_invalidated(found, key.bytes);
                return Sight::Absent;
            }
            Verdict::Stale(id) => {
                self.keyspace.invalidations().read().count(id, 1);
                if !self.be_stale(found) {
                    self.drop_invalidated(found, key.bytes);
                    return Sight::Absent;
                }
            }
        }
        let entry = self.entry(found);
        let (deadline, grace_ms) = (entry.deadline(), entry.note().map_or(0, |n| n.grace_ms));
        self.by_deadline(found, deadline, grace_ms)
    }

    pub(super) fn verdict(&self, found: Found) -> Verdict {
        let shard = self.locked.shard(found.shard);
        let slot = found.id.slot();
        let policy = shard.rules.get(slot).map(|p| (slot, &**p));
        let invalidations = self.keyspace.invalidations().read();
        invalidations.verdict(found.db, &self.entry(found), policy)
    }

    /// Ends an entry's lifetime now, and leaves it its policy's grace; false where that
    /// has none.
    pub(in crate::exec) fn be_stale(&mut self, found: Found) -> bool {
        let (now_ms, epoch) = (self.now_ms, self.epoch);
        let shard = self.locked.shard(found.shard);
        let entry = self.entry(found);
        let policy = shard.rules.get(found.id.slot());
        let stale_ms = policy.map_or(0, |p| kept_past_ms(p, entry.key()));
        let soft = entry.note();
        let soft = soft.and_then(|note| softened(note, entry.deadline(), stale_ms, now_ms));
        let Some((deadline, mut note)) = soft else {
            return false;
        };
        note.epoch = epoch;
        let table = self.table_mut(found);
        // The deadline's field may be added, which may move the entry.
        table.set_deadline(found.place, Some(deadline), now_ms);
        table.set_note(found.place, &note, now_ms);
        table.publish_bytes();
        true
    }

    /// Removes an entry because it was invalidated.
    pub(in crate::exec) fn drop_invalidated(&mut self, found: Found, key: &[u8]) {
        self.depart(found, Reason::Invalidated);
        let table = self.table_mut(found);
        let object = table.remove(found.place);
        table.publish_bytes();
        self.garbage.add(object);
        self.touched(found.shard, found.db, key);
        self.record(found.db, key, Event::INVALIDATED);
        let word = self.effects.removal_word(Removal::User);
        self.propagate(found.db, vec![word.into(), key.to_vec()]);
    }

    /// Changes what is invalidated. Needs the whole keyspace.
    pub(in crate::exec) fn change_invalidations<R>(
        &mut self,
        change: impl FnOnce(&mut Invalidations) -> R,
    ) -> R {
        let result = self.keyspace.change_invalidations(&mut self.locked, change);
        (self.epoch, self.plain_epoch) = self.keyspace.epochs();
        result
    }

    /// Notes an invalidation that needs no rule; returns its id.
    pub(in crate::exec) fn log(&self, target: &Target, cause: &Cause<'_>, entries: u64) -> u64 {
        let mut all = self.keyspace.invalidations().write();
        // It changes nothing but the log, so no more than this lock is needed.
        let id = all.add(target, cause, false).unwrap_or_default();
        all.count(id, entries);
        id
    }

    /// Counts entries that an invalidation concerned.
    pub(in crate::exec) fn count_entries(&self, id: u64, entries: u64) {
        self.keyspace.invalidations().read().count(id, entries);
    }

    /// Forgets some of a shard's absences that were invalidated before an epoch; true
    /// where there are more to be looked at.
    pub(in crate::exec) fn sweep_absences(&mut self, index: usize, began: u32) -> bool {
        let (keyspace, epochs) = (self.keyspace, (began, self.epoch));
        let invalidations = keyspace.invalidations().read();
        let shard = self.shard(index);
        let rules = shard.rules.clone();
        let mut more = false;
        for (slot, kept) in shard.all_kept_mut() {
            let policy = rules.get(slot).map(|p| (slot, &**p));
            for (db, nulls) in kept.all_nulls_mut() {
                more |= nulls.sweep(epochs, CHUNKS, |key, epoch| {
                    invalidations.concerns(db, key, policy, epoch)
                });
            }
        }
        more
    }

    /// Takes a policy's keys out of one shard, all at once; returns how many there were.
    pub(in crate::exec) fn drop_tables(&mut self, index: usize, slot: Slot, db: u32) -> u64 {
        let mut keys = 0;
        for id in [TableId::values(slot), TableId::sentinels(slot)] {
            if let Some(table) = self.shard(index).take_table(db, id) {
                keys += table.len() as u64;
                self.garbage.add_table(table);
            }
        }
        let shard = self.shard(index);
        shard.stats.changes += keys;
        let fence = shard.next_sequence();
        let kept = shard.kept_mut(slot);
        kept.set_fence(db, fence);
        kept.figures.invalidated += keys;
        kept.figures.leases_removed += kept.leases.end_of(db) as u64;
        self.changes += keys;
        keys
    }
}

/// For how long a policy keeps a key past its lifetime: not at all, where it is not in
/// force for it. Whoever invalidates it need not be one of those that it is for.
pub(super) fn kept_past_ms(policy: &Policy, key: &[u8]) -> u64 {
    let is_in_force = policy.mode == Mode::Yes && policy.has_come_to(key);
    if is_in_force { policy.stale_ms } else { 0 }
}

/// The deadline and note of an entry whose lifetime ends now, and that its policy keeps
/// for so long past it; `None` where that is not at all.
pub(super) fn softened(
    mut note: Note,
    deadline: Option<u64>,
    stale_ms: u64,
    now_ms: u64,
) -> Option<(u64, Note)> {
    // What is over does not come back.
    let is_over = |ms: u64| ms.saturating_add(note.grace_ms.into()) <= now_ms;
    if deadline.is_some_and(is_over) {
        return None;
    }
    let deadline = deadline.map_or(now_ms, |ms| ms.min(now_ms));
    note.grace_ms = (stale_ms + (now_ms - deadline)).min(u32::MAX.into()) as u32;
    note.marks |= mark::SOFT;
    (stale_ms > 0).then_some((deadline, note))
}
