//! What of entries outlives the server, and how it comes back.
//!
//! An entry that is written to a snapshot is what a read would find at that time:
//! invalidations that nobody has carried out on it yet are. One that comes back is put
//! where it was, to live on as it did; where its policy is another one by now, or knew
//! nothing of it, it is settled as entries are whose rules change.

use std::sync::Arc;

use super::Txn;
use super::governed::Sight;
use super::invalidated::{kept_past_ms, softened};
use super::settle::Hiding;
use crate::config::policy::{Mode, Policy};
use crate::exec::args::Key;
use crate::exec::effect::Event;
use crate::store::entry::{Draft, Entry, NewValue, Note, mark};
use crate::store::invalidation::Verdict;
use crate::store::libraries::Libraries;
use crate::store::nulls::Marker;
use crate::store::rules::{Rules, Slot, TableId, TooMany};
use crate::store::shard::{DATED_MAX, Settling, Shard};

/// An entry as it is to outlive the server.
pub struct Persisted {
    /// When its lifetime is over, in Unix milliseconds.
    pub deadline: Option<u64>,
    /// What its policy keeps of it, where it has one, or tags.
    pub note: Option<Kept>,
}

/// What a policy keeps of an entry.
pub struct Kept {
    /// The policy; 0: none.
    pub slot: Slot,
    /// It has not been settled under the rules in force.
    pub is_unsettled: bool,
    /// The note.
    pub note: Note,
}

/// An entry that comes back.
pub struct Restored<'a> {
    /// Its value.
    pub value: NewValue<'a>,
    /// When its lifetime is over, in Unix milliseconds.
    pub deadline: Option<u64>,
    /// What is known of its use, as the eviction policy keeps it.
    pub access: Option<u32>,
    /// What a policy kept of it.
    pub kept: Option<RestoredNote<'a>>,
}

/// What a policy kept of an entry that comes back.
#[derive(Clone, Copy)]
pub struct RestoredNote<'a> {
    /// The policy; `None`: it had none.
    pub policy: Option<&'a Policy>,
    /// It was not settled.
    pub is_unsettled: bool,
    /// It was a plain write with a lifetime.
    pub is_graceful: bool,
    /// The note, but for its epoch.
    pub note: &'a Note,
    /// The digests of its explicit tags.
    pub tags: &'a [u64],
}

impl Hiding<'_> {
    /// An entry as it is to outlive the server; `None` where it was invalidated.
    pub fn persisted(
        &self,
        shard: &Shard,
        db: u32,
        id: TableId,
        entry: &Entry<'_>,
        now_ms: u64,
    ) -> Option<Persisted> {
        let (mut deadline, mut note) = (entry.deadline(), entry.note());
        match self.verdict(shard, db, id, entry) {
            Verdict::Untouched => {}
            Verdict::Gone(_) => return None,
            Verdict::Stale(_) => {
                let policy = shard.rules.get(id.slot());
                let stale_ms = policy.map_or(0, |p| kept_past_ms(p, entry.key()));
                let (at_ms, soft) = softened(note?, deadline, stale_ms, now_ms)?;
                (deadline, note) = (Some(at_ms), Some(soft));
            }
        }
        let slot = match shard.is_plain {
            true => 0,
            false => shard.rules.slot_of(entry.key()),
        };
        // It is about to have one: when it was written nobody knows.
        let is_due = slot > 0 && entry.is_graceful();
        let note = note.or(is_due.then_some(Note {
            written_ms: now_ms,
            ..Note::default()
        }));
        let kept = note.map(|note| Kept {
            slot,
            is_unsettled: slot != id.slot() || !shard.is_settled(db, entry.key()),
            note,
        });
        let is_of_use = |kept: &Kept| kept.slot > 0 || !entry.tags().is_empty();
        Some(Persisted {
            deadline,
            note: kept.filter(is_of_use),
        })
    }
}

impl Txn<'_> {
    /// The libraries of functions.
    pub fn libraries(&self) -> &Libraries {
        self.keyspace.libraries()
    }

    /// Takes shards that hold nothing for settled: what comes back is put where the rules
    /// in force want it.
    pub fn note_empty_shards(&mut self) {
        for index in 0..self.shards() {
            let shard = self.shard(index);
            if shard.is_empty() {
                shard.settling = None;
                shard.dated.clear();
            }
        }
    }

    /// Puts a policy in force beside the others, where none has its name. Needs the whole
    /// keyspace, or none of it.
    pub fn adopt_policy(&mut self, policy: &Policy) -> Result<(), TooMany> {
        let adopt = |rules: &Rules| match rules.named(policy.name.as_bytes()) {
            Some(_) => Ok(None),
            None => rules.with(policy.clone()).map(Some),
        };
        let keyspace = self.keyspace;
        if self.each {
            self.let_go();
            keyspace.change_rules(adopt)?;
        } else if let Some(rules) = adopt(&keyspace.rules())? {
            keyspace.replace_rules(rules, |index, new| new.govern(self.shard(index)));
        }
        self.note_empty_shards();
        Ok(())
    }

    /// Ends bringing entries back: where none has to be settled, nothing need be known of
    /// those that have been.
    pub fn end_restoring(&mut self) {
        for index in 0..self.shards() {
            let shard = self.shard(index);
            if shard.settling.is_none() {
                shard.dated.clear();
            }
        }
    }

    /// Whether what has this deadline and note is over, under the rules in force for the
    /// key.
    pub fn is_over(&mut self, key: &Key<'_>, deadline: Option<u64>, note: Option<&Note>) -> bool {
        let Some(deadline) = deadline else {
            return false;
        };
        let grace_ms = match self.shard_for(key).rules.slot_of(key.bytes) {
            0 => 0,
            _ => note.map_or(0, |n| n.grace_ms),
        };
        self.is_past(deadline.saturating_add(grace_ms.into()))
    }

    /// Brings an entry back, in the place of whatever is there.
    pub fn restore(&mut self, key: &Key<'_>, entry: Restored<'_>) {
        let (db, epochs) = (self.db, (self.epoch, self.plain_epoch));
        let shard = self.keyspace.shard_of(key.digest);
        self.drop_present(shard, key);
        let evictor = self.keyspace.evictor();
        let owner = self.shard_of(shard);
        let slot = owner.rules.slot_of(key.bytes);
        let is_settled = match (&entry.kept, owner.rules.get(slot)) {
            (None, None) => true,
            (Some(kept), policy) => !kept.is_unsettled && kept.policy == policy.map(Arc::as_ref),
            (None, Some(_)) => false,
        };
        if !is_settled {
            owner.settling = Some(Settling::START);
            owner.is_plain = false;
        } else if slot > 0 && entry.deadline.is_none() && owner.dated.len() < DATED_MAX {
            // Others that come into this shard may have to be settled: not this one again.
            owner.dated.insert((db, key.bytes.into()));
        }
        let kept = entry.kept.filter(|kept| slot > 0 || !kept.tags.is_empty());
        let note = kept.map(|kept| Note {
            epoch: epochs.0,
            ..*kept.note
        });
        // What no policy has seen yet is looked for where keys without one are.
        let id = match &note {
            None => TableId::PLAIN,
            Some(note) if note.marks & mark::NULL != 0 => TableId::sentinels(slot),
            Some(_) => TableId::values(slot),
        };
        let ghost = owner.recall(db, key.digest);
        let draft = Draft {
            deadline: entry.deadline,
            access: match entry.access {
                Some(access) => access,
                None => evictor.on_insert(key.digest, ghost),
            },
            graceful: entry.kept.is_some_and(|kept| kept.is_graceful),
            epoch: epochs.1,
            note: note.as_ref(),
            tags: kept.map_or(&[], |kept| kept.tags),
            ..Draft::new(key.bytes, entry.value)
        };
        let old = self.place(shard, db, id, key.digest, draft);
        self.garbage.add(old);
        if let Some(kept) = self.shard_of(shard).known_mut(slot)
            && let Some(nulls) = kept.nulls_mut(db)
        {
            nulls.remove(key.digest, key.bytes);
        }
        self.record(db, key.bytes, Event::NEW);
        self.changed(shard, db, key.bytes, Event::UNNAMED);
    }

    /// Takes away what is under a key, in its lifetime or past it, without a word.
    fn drop_present(&mut self, shard: usize, key: &Key<'_>) {
        if self.shard_of(shard).is_plain {
            // It is replaced where it stands.
            return;
        }
        let (Sight::Fresh(found) | Sight::Stale(found)) = self.sight(shard, self.db, key) else {
            return;
        };
        let table = self.table_mut(found);
        let old = table.remove(found.place);
        table.publish_bytes();
        self.garbage.add(old);
    }

    /// Brings an absence back, until a time in Unix milliseconds; whether there was room
    /// for it.
    pub fn restore_null(&mut self, key: &Key<'_>, until_ms: u64) -> bool {
        if until_ms <= self.now_ms || self.find(key).is_some() {
            return false;
        }
        let (db, now_ms) = (self.db, self.now_ms);
        let shard = self.keyspace.shard_of(key.digest);
        let owner = self.shard_of(shard);
        owner.is_plain = false;
        let slot = owner.rules.slot_of(key.bytes);
        let most = self.null_bytes_of(shard, slot, db);
        let epoch = self.epoch;
        let kept = self.shard_of(shard).kept_mut(slot);
        let nulls = kept.make_nulls(db);
        let is_kept = nulls.insert(key.bytes, Marker { until_ms, epoch }, now_ms, most);
        kept.figures.nulls_evicted += std::mem::take(&mut nulls.evicted);
        is_kept
    }

    /// Bytes that the absences of a policy in a database may take in a shard.
    pub(super) fn null_bytes_of(&mut self, shard: usize, slot: Slot, db: u32) -> usize {
        let (shards, null_max) = (self.keyspace.len(), self.keyspace.null_bytes_max());
        let owner = self.shard_of(shard);
        // It is one share for all users, whichever of them the policy is for.
        let policy = owner.rules.get(slot).filter(|p| p.mode == Mode::Yes);
        let own = policy.map_or(0, |p| p.null_max_bytes) as usize;
        let all = owner.null_bytes();
        let these = owner.kept(slot).and_then(|kept| kept.nulls(db));
        let these = these.map_or(0, |nulls| nulls.bytes());
        // What those of other policies leave of the share.
        let most = (null_max / shards).max(256);
        let most = most.saturating_sub(all - these).max(256);
        match own {
            0 => most,
            own => most.min((own / shards).max(256)),
        }
    }
}
