//! Keys under policies: how they are found, written and let go.
//!
//! A policy has tables of its own in each shard, so a key is where its policy says
//! ([`crate::store::rules`]). What older rules put elsewhere is brought home by whoever
//! finds it, or by [`Txn::settle_slice`].
//!
//! ```text
//!  an entry     found by     GET, MGET, CACHE.GET        any other command
//!  ──────────────────────    ───────────────────────     ─────────────────
//!  in its lifetime           the value                   the value
//!  past it, in its grace     refill.rs decides           no key
//!  past both                 goes                        goes
//!  invalidated since         goes, or past its lifetime  likewise
//! ```

use super::lifetime::{self, Life};
use super::{Caller, Found, Txn, locate_in, note_use};
use crate::base::hash;
use crate::config::policy::{Mode, Policy};
use crate::exec::args::Key;
use crate::exec::effect::Event;
use crate::exec::txn::Deadline;
use crate::store::adaptive::Typical;
use crate::store::departed::Record;
use crate::store::entry::{Draft, Entry, NewValue, Note, Object, mark};
use crate::store::figures::Reason;
use crate::store::rules::{Rules, Slot, TableId};
use crate::store::shard::Shard;
use smallvec::SmallVec;
use std::sync::Arc;

/// A read begins an idle lifetime anew where that prolongs it by one part of so many.
const IDLE_PARTS: u64 = 100;

/// What is under a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sight {
    /// An entry in its lifetime.
    Fresh(Found),
    /// One past it, in its grace.
    Stale(Found),
    /// Nothing.
    Absent,
}

/// What is written under a key.
pub(super) struct Write<'a> {
    pub value: NewValue<'a>,
    pub deadline: Deadline,
    pub raw: bool,
    pub event: Event,
    /// A plain write of a whole string, which may be a refill.
    pub is_fill: bool,
    /// Digests of explicit tags.
    pub tags: &'a [u64],
}

/// A policy that is in force for a key and its client.
#[derive(Clone)]
pub(super) struct InForce<'a> {
    rules: Shared<'a>,
    pub slot: Slot,
    /// It only counts what it would do.
    pub is_shadow: bool,
}

/// The rules of a shard, which whoever has them can go on with while the shard changes.
#[derive(Clone)]
enum Shared<'a> {
    /// Those that the batch began with, if they are still the shard's.
    Batch(&'a Rules),
    Own(Arc<Rules>),
}

impl InForce<'_> {
    #[inline]
    fn rules(&self) -> &Rules {
        match &self.rules {
            Shared::Batch(rules) => rules,
            Shared::Own(rules) => rules,
        }
    }

    #[inline]
    pub fn policy(&self) -> &Policy {
        self.rules()
            .get(self.slot)
            .expect("it was there when it was found to be in force")
    }

    /// What its keys are like.
    pub fn typical(&self) -> &Typical {
        let typical = self.rules().typical(self.slot);
        typical.expect("every policy has one")
    }
}

/// By what departed keys and leases are known.
pub(in crate::exec) fn identity(db: u32, digest: u64) -> u64 {
    digest ^ u64::from(db).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Caller {
    fn is_among(&self, users: &[Box<str>]) -> bool {
        let user = self.user.as_deref().unwrap_or("default");
        users.is_empty() || users.iter().any(|one| **one == *user)
    }
}

impl<'a> Txn<'a> {
    /// The policy in force for a key of a slot and this client.
    #[inline]
    pub(super) fn in_force(&self, shard: usize, slot: Slot, key: &[u8]) -> Option<InForce<'a>> {
        let rules = &self.locked.shard(shard).rules;
        let policy = rules.get(slot)?;
        if !policy.is_for_all() && !self.is_concerned(policy, key) {
            return None;
        }
        Some(InForce {
            slot,
            is_shadow: policy.mode == Mode::Shadow,
            rules: match self.rules {
                Some(batch) if batch.is(rules) => Shared::Batch(batch),
                _ => Shared::Own(rules.clone()),
            },
        })
    }

    /// Whether a policy that is not for all is for this client and key.
    fn is_concerned(&self, policy: &Policy, key: &[u8]) -> bool {
        policy.mode != Mode::No && self.caller.is_among(&policy.users) && policy.has_come_to(key)
    }

    /// Finds a key where there are policies or outstanding invalidations.
    #[inline(never)]
    pub(super) fn sight(&mut self, shard: usize, db: u32, key: &Key<'_>) -> Sight {
        if self.locked.shard(shard).settling.is_some() {
            self.settle_key(shard, db, key);
        }
        let owner = self.locked.shard(shard);
        let slot = key.slot(&owner.rules);
        let Some((found, entry)) = locate(owner, shard, db, slot, key) else {
            return Sight::Absent;
        };
        let is_current = match entry.note_epoch() {
            Some(epoch) => epoch == self.epoch,
            None => entry.epoch() == self.plain_epoch,
        };
        if !is_current {
            return self.judge(found, key);
        }
        match entry.deadline() {
            Some(ms) if ms <= self.over_ms => {
                let grace_ms = entry.note().map_or(0, |n| n.grace_ms);
                self.by_deadline(found, Some(ms), grace_ms)
            }
            _ => Sight::Fresh(found),
        }
    }

    #[inline]
    pub(super) fn by_deadline(
        &mut self,
        found: Found,
        deadline: Option<u64>,
        grace_ms: u32,
    ) -> Sight {
        match deadline {
            Some(ms) if ms <= self.over_ms => {
                if ms.saturating_add(grace_ms.into()) > self.over_ms {
                    return Sight::Stale(found);
                }
                if !self.keeps() {
                    self.expire(found);
                }
                Sight::Absent
            }
            _ => Sight::Fresh(found),
        }
    }

    /// Remembers an entry that is about to go, and ends its lease. To be called before
    /// any removal.
    #[inline]
    pub(super) fn depart(&mut self, found: Found, why: Reason) {
        if found.id != TableId::PLAIN {
            self.depart_governed(found, why);
        }
    }

    fn depart_governed(&mut self, found: Found, why: Reason) {
        let slot = found.id.slot();
        let entry = self.entry(found);
        let digest = hash::digest(entry.key());
        let note = entry.note().unwrap_or_default();
        let is_soft = note.marks & mark::SOFT != 0 && why == Reason::Expired;
        let why = if is_soft { Reason::Invalidated } else { why };
        let is_fence = matches!(why, Reason::Invalidated | Reason::Deleted);
        let age_s = self.now_ms.saturating_sub(note.written_ms) / 1000;
        if is_fence {
            let key = entry.key().to_vec();
            self.cascade(found.shard, found.db, slot, &key);
        }
        let now_ms = self.now_ms;
        let owner = self.locked.shard_mut(found.shard);
        let fence = match is_fence {
            true => owner.next_sequence(),
            false => 0,
        };
        let entries = owner.table(found.db, found.id).map_or(0, |t| t.len());
        let kept = owner.kept_mut(slot);
        let identity = identity(found.db, digest);
        let before = kept.departed.get(identity).map_or(0, |r| r.fence);
        let record = Record {
            why,
            at_ms: now_ms,
            fence: fence.max(before),
            history: note.history,
            written_ms: note.written_ms,
            reads: note.reads,
        };
        // A flood of absences that push each other out leaves nothing worth its memory.
        if !found.id.is_sentinels() || why != Reason::Evicted {
            kept.departed.insert(identity, record, entries);
        }
        let figures = &mut kept.figures;
        match why {
            Reason::Expired => figures.expired += 1,
            Reason::Evicted => {
                figures.evicted += 1;
                if note.written_ms > 0 {
                    figures.eviction_age_s.add(age_s);
                }
            }
            Reason::Invalidated => figures.invalidated += 1,
            Reason::Deleted => figures.deleted += 1,
            Reason::Unknown => {}
        }
        if is_fence && kept.leases.end(identity).is_some() {
            kept.figures.leases_removed += 1;
        }
    }

    /// A client or an invalidation removed a key that was not there: whoever is about to
    /// bring it has missed that. A remembered absence is forgotten; whether there was one.
    pub fn remove_absent(&mut self, key: &Key<'_>, why: Reason) -> bool {
        let shard = self.keyspace.shard_of(key.digest);
        let db = self.db;
        if self.shard_of(shard).is_plain {
            return false;
        }
        // What is past its lifetime is not seen, but there.
        if let Sight::Stale(found) = self.sight(shard, db, key) {
            self.depart(found, why);
            let table = self.table_mut(found);
            let object = table.remove(found.place);
            table.publish_bytes();
            self.garbage.add(object);
            self.touched(shard, db, key.bytes);
            return false;
        }
        let now_ms = self.now_ms;
        let owner = self.locked.shard_mut(shard);
        let slot = key.slot(&owner.rules);
        let fence = owner.next_sequence();
        let entries = owner
            .table(db, TableId::values(slot))
            .map_or(0, |t| t.len());
        let Some(kept) = owner.known_or_made(slot) else {
            return false;
        };
        let was_null = kept
            .nulls_mut(db)
            .is_some_and(|nulls| nulls.remove(key.digest, key.bytes));
        if slot == 0 {
            return was_null;
        }
        let identity = identity(db, key.digest);
        let record = match kept.departed.get(identity) {
            Some(record) => Record { fence, ..*record },
            None => Record {
                why,
                at_ms: now_ms,
                fence,
                history: 0,
                written_ms: 0,
                reads: 0,
            },
        };
        kept.departed.insert(identity, record, entries);
        if kept.leases.end(identity).is_some() {
            kept.figures.leases_removed += 1;
        }
        self.cascade(shard, db, slot, key.bytes);
        // Whoever waits for a refill may have to do it.
        self.wake(key);
        was_null
    }

    /// The read that missed a key was none that its client would answer with a refill.
    pub fn forget_miss(&mut self, key: &Key<'_>) {
        let identity = identity(self.db, key.digest);
        if let Some(reader) = &mut self.caller.reader {
            reader.take_miss(identity);
        }
    }

    /// Notes what falls with a key.
    fn cascade(&mut self, shard: usize, db: u32, slot: Slot, key: &[u8]) {
        let rules = &self.locked.shard(shard).rules;
        if rules.get(slot).is_none_or(|p| p.cascade.is_empty()) {
            return;
        }
        let in_force = self.in_force(shard, slot, key);
        let Some(in_force) = in_force.filter(|p| !p.is_shadow) else {
            return;
        };
        let policy = in_force.policy();
        let Some(captures) = policy.pattern.captures(key) else {
            return;
        };
        let fill = |template: &crate::config::policy::Template| super::Cascade {
            db,
            cause: key.into(),
            pattern: template.fill_escaped(&captures),
        };
        let all: Vec<_> = policy.cascade.iter().map(fill).collect();
        self.rest().cascades.extend(all);
    }

    // ----- reads ----------------------------------------------------------

    /// The usual read under a policy: of a value that is there and current, by a policy
    /// that is in force for everybody and does nothing on a read. Counted and noted as
    /// [`Txn::sight`] and [`Txn::note_hit`] do it step by step, which see to all others.
    #[inline]
    pub(super) fn glance(&mut self, shard: usize, key: &Key<'_>) -> Option<Found> {
        let (db, epoch, over_ms, touch) = (self.db, self.epoch, self.over_ms, self.touch);
        let evictor = self.keyspace.evictor();
        let owner = self.locked.shard_mut(shard);
        if owner.settling.is_some() {
            return None;
        }
        let slot = key.slot(&owner.rules);
        let part = owner.part_of(db, slot)?;
        if !part.policy.only_reads() {
            return None;
        }
        let place = part.table.find(key.digest, key.bytes)?;
        let mut entry = part.table.entry_mut(place);
        if !entry.read_if_current(epoch, over_ms, touch) {
            return None;
        }
        if touch {
            note_use(&mut entry, evictor, key.digest);
        }
        part.stats.hits += 1;
        part.kept.figures.hits += 1;
        Some(Found {
            shard,
            db,
            id: TableId::values(slot),
            place,
        })
    }

    /// The usual find under a policy: of a value that is there, in its lifetime and
    /// current. [`Txn::sight`] sees to all others.
    #[inline]
    pub(super) fn current(&mut self, shard: usize, db: u32, key: &Key<'_>) -> Option<Found> {
        let (epoch, over_ms) = (self.epoch, self.over_ms);
        let owner = self.locked.shard_mut(shard);
        if owner.settling.is_some() {
            return None;
        }
        let slot = key.slot(&owner.rules);
        let part = owner.part_of(db, slot)?;
        let place = part.table.find(key.digest, key.bytes)?;
        let is_current = part
            .table
            .entry_mut(place)
            .read_if_current(epoch, over_ms, false);
        is_current.then_some(Found {
            shard,
            db,
            id: TableId::values(slot),
            place,
        })
    }

    /// As [`Txn::read`], where there are policies or outstanding invalidations.
    pub(super) fn read_governed(&mut self, shard: usize, key: &Key<'_>) -> Option<Entry<'_>> {
        if let Some(found) = self.glance(shard, key) {
            return Some(self.entry(found));
        }
        let found = self.look_up(key)?;
        Some(self.entry(found))
    }

    /// An entry of a policy was read: counts, notes, and prolongs what is idle.
    pub(super) fn note_hit(&mut self, key: &Key<'_>, found: Found) {
        let policy = self.in_force(found.shard, found.id.slot(), key.bytes);
        self.note_hit_by(key, found, policy.as_ref());
    }

    /// As [`Txn::note_hit`], for who knows the policy in force.
    #[inline]
    pub(super) fn note_hit_by(
        &mut self,
        key: &Key<'_>,
        found: Found,
        policy: Option<&InForce<'_>>,
    ) {
        self.note_access(key, found);
        let Some(in_force) = policy else {
            return;
        };
        let figures = &mut self
            .locked
            .shard_mut(found.shard)
            .kept_mut(in_force.slot)
            .figures;
        match found.id.is_sentinels() {
            true => figures.null_hits += 1,
            false => figures.hits += 1,
        }
        if self.touch {
            let reads = self.table_mut(found).entry_mut(found.place).note_read();
            let policy = in_force.policy();
            if reads && !in_force.is_shadow && (policy.refresh_percent > 0 || policy.idle) {
                self.prolong(key, found, in_force);
            }
        }
    }

    /// An entry was read whose policy may want it refilled, or to live on.
    fn prolong(&mut self, key: &Key<'_>, found: Found, in_force: &InForce<'_>) {
        let (now_ms, policy) = (self.now_ms, in_force.policy());
        let entry = self.entry(found);
        let (Some(mut note), Some(deadline)) = (entry.note(), entry.deadline()) else {
            return;
        };
        if policy.refresh_percent > 0 && self.consider_refresh(key, found, policy, &mut note) {
            self.table_mut(found).entry_mut(found.place).set_note(&note);
        }
        if !policy.idle {
            return;
        }
        let ttl_ms = match policy.ttl_ms {
            0 => deadline.saturating_sub(note.written_ms),
            ttl => ttl,
        };
        let wanted = now_ms + ttl_ms;
        if wanted > deadline + ttl_ms / IDLE_PARTS {
            let table = self.table_mut(found);
            table.set_deadline(found.place, Some(wanted), now_ms);
            table.publish_bytes();
            let kept = self.locked.shard_mut(found.shard).kept_mut(in_force.slot);
            kept.figures.idle_extensions += 1;
            let ms = wanted.to_string().into_bytes();
            let words = vec![b"PEXPIREAT".to_vec(), key.bytes.to_vec(), ms];
            self.propagate(found.db, words);
        }
    }

    /// A read found nothing: says why to the figures, and remembers that this client may
    /// be about to bring it.
    #[inline]
    pub(super) fn note_miss(&mut self, key: &Key<'_>) {
        let shard = self.keyspace.shard_of(key.digest);
        if !self.shard_of(shard).is_plain {
            self.note_miss_governed(shard, key);
        }
    }

    pub(super) fn note_miss_governed(&mut self, shard: usize, key: &Key<'_>) {
        let (db, now_ms, epoch) = (self.db, self.now_ms, self.epoch);
        let owner = self.locked.shard_mut(shard);
        let slot = key.slot(&owner.rules);
        if self.in_force(shard, slot, key.bytes).is_none() {
            return;
        }
        let owner = self.locked.shard_mut(shard);
        let sequence = owner.next_sequence();
        let is_null = self.absent_until(shard, slot, db, key).is_some();
        let kept = self.locked.shard_mut(shard).kept_mut(slot);
        if is_null {
            kept.figures.null_hits += 1;
            return;
        }
        let identity = identity(db, key.digest);
        let why = kept
            .departed
            .get(identity)
            .map_or(Reason::Unknown, |r| r.why);
        kept.figures.misses[why as usize] += 1;
        if self.caller.client == 0 {
            return;
        }
        let reader = self.caller.reader.get_or_insert_default();
        reader.note_miss(super::caller::Miss {
            key: identity,
            sequence,
            epoch,
            at_ms: now_ms,
        });
    }

    /// A value was changed in place: what is written so has no grace.
    #[inline]
    pub(super) fn note_edit(&mut self, found: Found) {
        let mut entry = self.table_mut(found).entry_mut(found.place);
        entry.clear_graceful();
        if found.id != TableId::PLAIN {
            let now_ms = self.now_ms;
            let table = self.table_mut(found);
            if let Some(mut note) = table.entry(found.place).note()
                && (note.grace_ms > 0 || note.marks & (mark::ANNOUNCED | mark::SOFT) != 0)
            {
                note.grace_ms = 0;
                note.marks &= !(mark::ANNOUNCED | mark::SOFT);
                table.set_note(found.place, &note, now_ms);
            }
        }
    }

    // ----- writes ---------------------------------------------------------

    /// The usual refill under a policy: of a value that is there and current, by a policy
    /// that is in force for everybody and asks neither what the value is nor what was, and
    /// that is waited for by nobody. Stored and counted as [`Txn::put_under`] does it step
    /// by step, which sees to all others: they are handed back.
    #[inline]
    pub(super) fn fill_over<'v>(
        &mut self,
        key: &Key<'_>,
        found: Found,
        value: NewValue<'v>,
        asked: Deadline,
        event: Event,
    ) -> Result<Option<u64>, NewValue<'v>> {
        let Found {
            shard, db, place, ..
        } = found;
        let (now_ms, epoch, plain_epoch) = (self.now_ms, self.epoch, self.plain_epoch);
        let evictor = self.keyspace.evictor();
        let owner = self.locked.shard_mut(shard);
        let Some(part) = owner.part_of(db, found.id.slot()) else {
            return Err(value);
        };
        if found.id.is_sentinels() || !part.policy.only_dates() || !part.kept.leases.is_empty() {
            return Err(value);
        }
        let asked_ms = match asked {
            Deadline::At(ms) => Some(ms),
            Deadline::Never => None,
            Deadline::Keep => return Err(value),
        };
        let old = part.table.entry(place);
        let Some(old_note) = old.note() else {
            return Err(value);
        };
        let old_deadline = old.deadline();
        let given = lifetime::given(part.policy, asked_ms, now_ms, true);
        let note = Note {
            written_ms: now_ms,
            epoch,
            reads: 0,
            grace_ms: given.grace_ms,
            marks: 0,
            ..old_note
        };
        let draft = Draft {
            deadline: given.deadline,
            access: evictor.on_hit(key.digest, old.access()),
            graceful: given.deadline.is_some(),
            epoch: plain_epoch,
            note: Some(&note),
            ..Draft::new(key.bytes, value)
        };
        let object = part.table.replace(place, draft, now_ms);
        part.table.publish_bytes();
        part.kept.figures.fills += 1;
        part.kept.figures.ttl_capped += u64::from(given.is_capped);
        self.garbage.add(object);
        self.changed(shard, db, key.bytes, event);
        if given.deadline != old_deadline && given.deadline != asked_ms {
            self.propagate_deadline(db, key.bytes, given.deadline);
        }
        Ok(given.deadline)
    }

    /// As [`Txn::put_in`], where there are policies or outstanding invalidations.
    /// Returns the deadline that the entry has.
    pub(super) fn put_governed(
        &mut self,
        db: u32,
        key: &Key<'_>,
        found: Option<Found>,
        write: Write<'_>,
    ) -> Option<u64> {
        let shard = self.keyspace.shard_of(key.digest);
        let slot = key.slot(&self.locked.shard(shard).rules);
        let policy = self.in_force(shard, slot, key.bytes);
        self.put_under(policy.as_ref(), slot, db, key, found, write)
    }

    /// As [`Txn::put_governed`], for who knows the policy in force.
    pub(super) fn put_under(
        &mut self,
        policy: Option<&InForce<'_>>,
        slot: Slot,
        db: u32,
        key: &Key<'_>,
        found: Option<Found>,
        write: Write<'_>,
    ) -> Option<u64> {
        let shard = self.keyspace.shard_of(key.digest);
        // Handlers do not see what is past its lifetime, but it is there.
        let there = match found {
            Some(found) => Some(found),
            None => match self.sight(shard, db, key) {
                Sight::Fresh(found) | Sight::Stale(found) => Some(found),
                Sight::Absent => None,
            },
        };
        let (now_ms, evictor) = (self.now_ms, self.keyspace.evictor());
        let old = there.map(|f| {
            let entry = self.entry(f);
            (entry.access(), entry.deadline(), entry.note())
        });
        let keeps = write.deadline == Deadline::Keep && found.is_some();
        // What is changed rather than written anew stays in its groups.
        let old_tags = match there {
            Some(there) if keeps && write.tags.is_empty() => self.entry(there).tags(),
            _ => SmallVec::new(),
        };
        let tags = if old_tags.is_empty() {
            write.tags
        } else {
            &old_tags
        };
        let identity = identity(db, key.digest);
        let owner = self.locked.shard_mut(shard);
        let ghost = match there {
            Some(_) => None,
            None => owner.recall(db, key.digest),
        };
        let (old_access, old_deadline, old_note) = match old {
            Some((access, deadline, note)) => (Some(access), deadline, note),
            None => (None, None, None),
        };
        let past = lifetime::Past {
            note: old_note.filter(|_| there.is_some()),
            departed: match there {
                Some(_) => None,
                None => owner
                    .known_mut(slot)
                    .and_then(|k| k.departed.get(identity).copied()),
            },
        };
        let kept_deadline = old_deadline.filter(|_| found.is_some());
        let is_null = policy.is_some_and(|p| {
            write.is_fill
                && !p.policy().null_values.is_empty()
                && is_sentinel(p.policy(), &write.value)
        });
        let life = Life {
            asked: write.deadline,
            kept: kept_deadline,
            is_fill: write.is_fill,
            is_null,
            now_ms,
        };
        let decided = lifetime::decide(policy, &life, &past, &write.value);
        let epochs = (self.epoch, self.plain_epoch);
        let is_edit = keeps && !write.is_fill;
        let note = (slot > 0 || !tags.is_empty()).then(|| match old_note {
            Some(note) if is_edit => Note {
                epoch: epochs.0,
                grace_ms: 0,
                // What was changed is no client's word for nothing any more.
                marks: note.marks & !(mark::SOFT | mark::NULL),
                ..note
            },
            _ => Note {
                written_ms: now_ms,
                epoch: epochs.0,
                reads: 0,
                grace_ms: decided.grace_ms,
                history: decided.history,
                marks: decided.marks | if decided.is_null { mark::NULL } else { 0 },
                cost: old_note.map_or(0, |n| n.cost),
            },
        });
        let draft = Draft {
            key: key.bytes,
            value: write.value,
            deadline: decided.deadline,
            raw: write.raw,
            access: match old_access {
                Some(access) => evictor.on_hit(key.digest, access),
                None => evictor.on_insert(key.digest, ghost),
            },
            graceful: write.is_fill && decided.deadline.is_some(),
            epoch: epochs.1,
            note: note.as_ref(),
            tags,
        };
        let id = match decided.is_null {
            true => TableId::sentinels(slot),
            false => TableId::values(slot),
        };
        match there {
            Some(there) if there.id == id => {
                let table = self.table_mut(there);
                let old = table.replace(there.place, draft, now_ms);
                table.publish_bytes();
                self.garbage.add(old);
            }
            there => {
                if let Some(there) = there {
                    let table = self.table_mut(there);
                    let old = table.remove(there.place);
                    table.publish_bytes();
                    self.garbage.add(old);
                }
                let old = self.place(shard, db, id, key.digest, draft);
                self.garbage.add(old);
            }
        }
        if found.is_none() {
            self.record(db, key.bytes, Event::NEW);
        }
        self.settle_accounts(shard, db, slot, key, &decided, write.is_fill);
        self.changed(shard, db, key.bytes, write.event);
        if decided.deadline != kept_deadline && !decided.is_as_asked {
            self.propagate_deadline(db, key.bytes, decided.deadline);
        }
        if let Some(policy) = policy.filter(|p| !p.is_shadow) {
            self.hold_policy_to_its_memory(shard, id, policy.policy());
        }
        decided.deadline
    }

    /// Followers do not decide: they are told the deadline behind the command.
    fn propagate_deadline(&mut self, db: u32, key: &[u8], deadline: Option<u64>) {
        if self.effect.is_some() && self.effects.wants_commands() {
            let words = match deadline {
                Some(ms) => vec![b"PEXPIREAT".to_vec(), key.to_vec(), ms.to_string().into()],
                None => vec![b"PERSIST".to_vec(), key.to_vec()],
            };
            self.rest().behind.push((db, words));
        }
    }

    /// What a write means for what is kept beside the tables.
    fn settle_accounts(
        &mut self,
        shard: usize,
        db: u32,
        slot: Slot,
        key: &Key<'_>,
        decided: &lifetime::Decided,
        is_fill: bool,
    ) {
        let Some(kept) = self.locked.shard_mut(shard).known_or_made(slot) else {
            return;
        };
        if let Some(nulls) = kept.nulls_mut(db) {
            nulls.remove(key.digest, key.bytes);
        }
        let figures = &mut kept.figures;
        decided.count(figures);
        if is_fill {
            match decided.is_null {
                true => figures.null_fills += 1,
                false => figures.fills += 1,
            }
        }
        if kept.leases.end(identity(db, key.digest)).is_some() {
            kept.figures.leases_filled += 1;
        }
    }

    /// Evicts from a policy's own tables while they take more than it may.
    #[inline]
    fn hold_policy_to_its_memory(&mut self, shard: usize, id: TableId, policy: &Policy) {
        let most = match id.is_sentinels() {
            false => policy.memory_max_bytes,
            true => match (policy.null_max_bytes, self.keyspace.null_bytes_max() as u64) {
                (0, all) => all,
                (own, all) => own.min(all),
            },
        };
        if most > 0 {
            self.hold_to(shard, id, most);
        }
    }

    fn hold_to(&mut self, shard: usize, id: TableId, most: u64) {
        let most = (most / self.keyspace.len() as u64).max(1) as usize;
        // One that comes lets few go.
        for _ in 0..8 {
            if self.locked.shard(shard).bytes_of(id) <= most || !self.evict_from(shard, id) {
                break;
            }
        }
    }

    fn evict_from(&mut self, shard: usize, id: TableId) -> bool {
        let evictor = self.keyspace.evictor();
        let mut places = Vec::new();
        let owner = self.locked.shard(shard);
        owner.sample_of(id, crate::store::eviction::learned::SAMPLES, &mut places);
        let candidates: Vec<_> = places
            .iter()
            .filter_map(|&(db, place)| {
                let entry = owner.table(db, id)?.entry(place);
                Some(crate::store::eviction::Candidate {
                    access: entry.access(),
                    bytes: entry.bytes().min(u32::MAX as usize) as u32,
                    deadline: entry.deadline(),
                })
            })
            .collect();
        // Where nothing may be evicted at large, the policy's own bound still holds.
        let chosen = evictor
            .choose(&candidates)
            .or_else(|| (!places.is_empty()).then_some(0));
        match chosen {
            Some(chosen) if places.len() > 1 => {
                let (db, place) = places[chosen];
                self.evict(shard, (db, id), place);
                true
            }
            _ => false,
        }
    }

    /// An entry that comes from another key or database, as it is.
    pub(super) fn place_governed(
        &mut self,
        shard: usize,
        db: u32,
        key: &Key<'_>,
        draft: Draft<'_>,
    ) -> Option<Object> {
        let now_ms = self.now_ms;
        // Brings home what is there, so that it is replaced.
        let there = self.sight(shard, db, key);
        let slot = key.slot(&self.locked.shard(shard).rules);
        let policy = self.in_force(shard, slot, key.bytes);
        let life = Life {
            asked: draft.deadline.map_or(Deadline::Never, Deadline::At),
            kept: None,
            is_fill: false,
            is_null: false,
            now_ms,
        };
        let decided = lifetime::decide(
            policy.as_ref(),
            &life,
            &lifetime::Past::default(),
            &draft.value,
        );
        let note = Note {
            written_ms: now_ms,
            epoch: self.epoch,
            ..Note::default()
        };
        let asked = draft.deadline;
        let draft = Draft {
            note: (slot > 0 || !draft.tags.is_empty()).then_some(&note),
            epoch: self.plain_epoch,
            deadline: decided.deadline,
            ..draft
        };
        if decided.deadline != asked {
            self.propagate_deadline(db, key.bytes, decided.deadline);
        }
        let id = TableId::values(slot);
        let mut old = None;
        if let Sight::Fresh(there) | Sight::Stale(there) = there
            && there.id != id
        {
            let table = self.table_mut(there);
            old = table.remove(there.place);
            table.publish_bytes();
        }
        let replaced = self.place(shard, db, id, key.digest, draft);
        self.settle_accounts(shard, db, slot, key, &decided, false);
        old.or(replaced)
    }
}

/// Finds a key in the tables of its policy.
#[inline]
fn locate<'s>(
    owner: &'s Shard,
    shard: usize,
    db: u32,
    slot: Slot,
    key: &Key<'_>,
) -> Option<(Found, Entry<'s>)> {
    match locate_in(owner, shard, db, TableId::values(slot), key) {
        None if slot > 0 => locate_in(owner, shard, db, TableId::sentinels(slot), key),
        found => found,
    }
}

fn is_sentinel(policy: &Policy, value: &NewValue<'_>) -> bool {
    let is = |bytes: &[u8]| policy.null_values.iter().any(|v| **v == *bytes);
    match value {
        NewValue::Int(n) => is(n.to_string().as_bytes()),
        NewValue::Str(bytes) => is(bytes),
        NewValue::Blob(_) | NewValue::Object(_) => false,
    }
}

pub(super) fn is_sentinel_of(policy: &Policy, entry: &Entry<'_>) -> bool {
    use crate::store::entry::Value;
    !policy.null_values.is_empty()
        && match entry.value() {
            Value::Object(_) | Value::Blob(_) => false,
            value => value.with_bytes(|b| policy.null_values.iter().any(|v| **v == *b)),
        }
}
