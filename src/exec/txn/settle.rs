//! What new rules mean for keys that are there, and what walks over tables must know.
//!
//! A key is brought to where the rules want it, and to live as they say, when it is next
//! found, or by [`Txn::settle_slice`] in the background.

use super::governed::{InForce, is_sentinel_of};
use super::lifetime::{self};
use super::{Found, Txn};
use crate::exec::args::Key;
use crate::exec::effect::Event;
use crate::store::entry::{Entry, Note, mark};
use crate::store::invalidation::{Verdict, tag_digest};
use crate::store::nulls::Marker;
use crate::store::rules::{Slot, TableId};
use crate::store::shard::{DATED_MAX, Settling, Shard};

/// Entries looked at by one step of [`Txn::settle_slice`], about.
const SLICE: usize = 64;

impl<'a> Txn<'a> {
    /// Brings what is under a key to where the rules want it, and to live as they say.
    pub(super) fn settle_key(&mut self, shard: usize, db: u32, key: &Key<'_>) {
        let owner = self.locked.shard(shard);
        if owner.is_settled(db, key.bytes) {
            return;
        }
        let slot = key.slot(&owner.rules);
        let place = owner
            .tables_of(db)
            .find_map(|(id, table)| Some((id, table.find(key.digest, key.bytes)?)));
        let Some((id, place)) = place else {
            return;
        };
        let found = Found {
            shard,
            db,
            id,
            place,
        };
        let policy = self.in_force(shard, slot, key.bytes);
        let entry = self.entry(found);
        let (deadline, old_note) = (entry.deadline(), entry.note());
        let is_null = policy
            .as_ref()
            .is_some_and(|p| !p.is_shadow && is_sentinel_of(p.policy(), &entry));
        let (ttl, grace_ms) = lifetime::settled(
            policy.as_ref(),
            deadline,
            self.now_ms,
            is_null,
            entry.is_graceful(),
        );
        // What was invalidated softly keeps what it was given then, whoever wrote it.
        let soft = old_note.filter(|note| note.marks & mark::SOFT != 0);
        let keeps = |p: &InForce<'_>| !p.is_shadow && p.policy().stale_ms > 0;
        let grace_ms = match soft {
            Some(note) if policy.as_ref().is_some_and(keeps) => note.grace_ms,
            _ => grace_ms,
        };
        let home = match is_null {
            true => TableId::sentinels(slot),
            false => TableId::values(slot),
        };
        let epochs = (self.epoch, self.plain_epoch);
        let note = (slot > 0 || !entry.tags().is_empty()).then(|| {
            let old = old_note.unwrap_or(Note {
                // When it was written nobody knows: no earlier than this.
                written_ms: self.now_ms,
                epoch: epochs.0,
                ..Note::default()
            });
            Note {
                grace_ms,
                marks: match is_null {
                    true => old.marks | mark::NULL,
                    false => old.marks & !mark::NULL,
                },
                ..old
            }
        });
        if home == id && ttl == deadline && note == old_note {
            return;
        }
        if old_note.is_none() && entry.epoch() != epochs.1 && note.is_some() {
            // It would not be known any more what it was before.
            match self.verdict(found) {
                Verdict::Untouched => {}
                Verdict::Gone(id) | Verdict::Stale(id) => {
                    self.keyspace.invalidations().read().count(id, 1);
                    self.drop_invalidated(found, key.bytes);
                    return;
                }
            }
        }
        let entry = self.entry(found);
        let (tags, graceful, epoch) = (entry.tags(), entry.is_graceful(), entry.epoch());
        let mut carried = self.take_out(found);
        carried.deadline = ttl;
        let mut draft = carried.draft(key.bytes);
        draft.note = note.as_ref();
        draft.tags = &tags;
        draft.graceful = graceful;
        draft.epoch = epoch;
        let old = self.place(shard, db, home, key.digest, draft);
        self.garbage.add(old);
        if ttl != deadline {
            self.touched(shard, db, key.bytes);
            self.record(db, key.bytes, Event::EXPIRE);
            let words = match ttl {
                Some(ms) => vec![
                    b"PEXPIREAT".to_vec(),
                    key.bytes.to_vec(),
                    ms.to_string().into(),
                ],
                None => vec![b"PERSIST".to_vec(), key.bytes.to_vec()],
            };
            self.propagate(db, words);
        }
    }

    /// A client gave a key a deadline, or made it last: what new rules say of it is done.
    #[inline]
    pub(super) fn note_dated(&mut self, found: Found, key: &Key<'_>) {
        let owner = self.locked.shard_mut(found.shard);
        if owner.settling.is_some() && owner.dated.len() < DATED_MAX {
            owner.dated.insert((found.db, key.bytes.into()));
        }
    }

    /// Brings some of a shard's entries to where the rules want them; false where all are
    /// there.
    pub fn settle_slice(&mut self, index: usize) -> bool {
        let Some(mut at) = self.shard(index).settling else {
            return false;
        };
        let mut keys: Vec<(u32, Vec<u8>)> = Vec::new();
        let owner = self.shard(index);
        loop {
            let id = TableId::at(at.index);
            if at.index >= owner.kinds() {
                break;
            }
            if at.db as usize >= owner.databases_of(id) {
                at = Settling {
                    index: at.index + 1,
                    ..Settling::START
                };
                continue;
            }
            let mut cursor = Some(at.cursor);
            if let Some(table) = owner.table(at.db, id).filter(|t| !t.is_empty()) {
                while let Some(from) = cursor
                    && keys.len() < SLICE
                {
                    cursor = table.scan(from, |entry| keys.push((at.db, entry.key().to_vec())));
                }
            } else {
                cursor = None;
            }
            at = match cursor {
                Some(cursor) => Settling { cursor, ..at },
                None => Settling {
                    db: at.db + 1,
                    cursor: 0,
                    ..at
                },
            };
            if keys.len() >= SLICE {
                break;
            }
        }
        let is_over = at.index >= self.shard(index).kinds();
        for (db, bytes) in &keys {
            let key = Key::of(bytes);
            self.settle_key(index, *db, &key);
        }
        let is_valid = self.keyspace.invalidations().read().is_empty();
        let owner = self.shard(index);
        owner.settling = (!is_over).then_some(at);
        if is_over {
            owner.dated = std::collections::HashSet::new();
            owner.forget_strangers();
            owner.note_plain(is_valid);
        }
        !is_over
    }

    /// Removes what was invalidated of some of a shard's entries, from a place on; `None`
    /// at the end.
    pub fn sweep_invalidated(&mut self, index: usize, mut at: Settling) -> Option<Settling> {
        let mut met: Vec<(u32, Vec<u8>)> = Vec::new();
        let mut looked = 0;
        let epochs = (self.epoch, self.plain_epoch);
        let owner = self.shard(index);
        while looked < 4 * SLICE && met.len() < SLICE {
            let id = TableId::at(at.index);
            if at.index >= owner.kinds() {
                break;
            }
            let table = owner.table(at.db, id).filter(|t| !t.is_empty());
            let mut cursor = table.map(|_| at.cursor);
            while let (Some(table), Some(from)) = (table, cursor) {
                cursor = table.scan(from, |entry| {
                    looked += 1;
                    let is_current = match entry.note() {
                        Some(note) => note.epoch == epochs.0,
                        None => entry.epoch() == epochs.1,
                    };
                    if !is_current {
                        met.push((at.db, entry.key().to_vec()));
                    }
                });
                if looked >= 4 * SLICE || met.len() >= SLICE {
                    break;
                }
            }
            at = match cursor {
                Some(cursor) => Settling { cursor, ..at },
                None if (at.db as usize) + 1 < owner.databases_of(id) => Settling {
                    db: at.db + 1,
                    cursor: 0,
                    ..at
                },
                None => Settling {
                    index: at.index + 1,
                    ..Settling::START
                },
            };
        }
        for (db, bytes) in &met {
            let key = Key::of(bytes);
            self.sight(index, *db, &key);
        }
        let is_over = at.index >= self.shard(index).kinds();
        (!is_over).then_some(at)
    }

    /// For who walks over tables: what of them is not there for clients.
    pub fn hiding(&self) -> Hiding<'a> {
        Hiding {
            keyspace: self.keyspace,
            over_ms: self.over_ms,
            epochs: (self.epoch, self.plain_epoch),
        }
    }

    /// The digests of tags.
    pub fn tag_digests(&self, tags: &[&[u8]]) -> Vec<u64> {
        tags.iter().map(|tag| tag_digest(tag)).collect()
    }
}

/// What is needed to tell whether an entry that was met in a walk is there for clients.
#[derive(Clone, Copy)]
pub struct Hiding<'a> {
    keyspace: &'a crate::store::keyspace::Keyspace,
    over_ms: u64,
    epochs: (u32, u8),
}

impl Hiding<'_> {
    /// Whether an entry that was met is not there.
    pub fn hides(&self, shard: &Shard, db: u32, id: TableId, entry: &Entry<'_>) -> bool {
        entry.deadline().is_some_and(|ms| ms <= self.over_ms)
            || self.verdict(shard, db, id, entry) != Verdict::Untouched
    }

    /// Whether an absence that was met is not known any more.
    pub fn hides_absence(
        &self,
        shard: &Shard,
        db: u32,
        slot: Slot,
        key: &[u8],
        marker: Marker,
    ) -> bool {
        marker.epoch != self.epochs.0 && {
            let policy = shard.rules.get(slot).map(|p| (slot, &**p));
            let invalidations = self.keyspace.invalidations().read();
            invalidations.concerns(db, key, policy, marker.epoch)
        }
    }

    /// What invalidations say of an entry that was met.
    pub(super) fn verdict(
        &self,
        shard: &Shard,
        db: u32,
        id: TableId,
        entry: &Entry<'_>,
    ) -> Verdict {
        if shard.is_plain {
            return Verdict::Untouched;
        }
        let is_current = match entry.note() {
            Some(note) => note.epoch == self.epochs.0,
            None => entry.epoch() == self.epochs.1,
        };
        if is_current {
            return Verdict::Untouched;
        }
        let slot = id.slot();
        let policy = shard.rules.get(slot).map(|p| (slot, &**p));
        let invalidations = self.keyspace.invalidations().read();
        invalidations.verdict(db, entry, policy)
    }
}
