//! Reads that may find a value past its lifetime, an absence or nothing, and the
//! refills that answer them.
//!
//! ```text
//!  a read finds     the lease is     GET answers   CACHE.GET says
//!  ──────────────   ──────────────   ───────────   ─────────────────────────────
//!  a value          –                the value     hit
//!  a sentinel       –                the sentinel  null
//!  an absence       –                nil           null
//!  a stale value    nobody's, mine   nil           stale, with a token
//!                   another's        the value     stale
//!  nothing          nobody's, mine   nil           miss, with a token
//!                   another's        waits or nil  waits, or miss
//! ```
//!
//! A lease is given where the policy has one (`lease`, or `stale`, which brings one),
//! or where CACHE.GET asks for it.
//!
//! | a write of a whole string | the client's own miss of the key | taken? |
//! |---|---|---|
//! | SET | none | yes: it is a write |
//! | SET | younger than the key's last removal | yes |
//! | SET, `fence yes` | older than that | no, but acknowledged |
//! | CACHE.FILL | – | while its token is good |

use std::sync::Arc;

use super::caller::{HeldLease, Miss, Reader};
use super::governed::{InForce, Sight, Write, identity};
use super::lifetime;
use super::{Announced, Deadline, Found, Txn};
use crate::base::clock;
use crate::config::policy::Policy;
use crate::exec::args::Key;
use crate::exec::effect::Event;
use crate::store::entry::{Entry, NewValue, Note, mark};
use crate::store::figures::Reason;
use crate::store::lease::{Asking, Lease, Turn};
use crate::store::nulls::Marker;
use crate::store::rules::{Slot, TableId};

/// What a read found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// A value in its lifetime.
    Hit,
    /// An absence.
    Null,
    /// A value past its lifetime.
    Stale,
    /// Nothing, for this reason.
    Miss(Reason),
    /// Nothing yet: another client refills it, for which this one may wait so many
    /// milliseconds.
    Wait(u64),
}

/// What a read found, and whose turn it is.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// What it is.
    pub status: Status,
    /// Where; for GET, nothing where the caller is to refill it.
    pub found: Option<Found>,
    /// What proves that it is the caller's turn.
    pub token: Option<u64>,
}

/// What a reader asks for beyond its policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asks {
    /// A lease, for so many milliseconds where the policy has none.
    pub lease_ms: u64,
    /// To wait for another's refill at most so long, in milliseconds, instead of what the
    /// policy says.
    pub wait_ms: Option<u64>,
    /// It knows what a stale value is.
    pub knows_stale: bool,
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filled {
    /// It was stored; with this deadline.
    Stored(Option<u64>),
    /// It was dropped: the key was removed since it began.
    Dropped,
}

impl Txn<'_> {
    /// Reads a key as GET does.
    #[inline]
    pub fn fetch(&mut self, key: &Key<'_>) -> Result<Option<Entry<'_>>, u64> {
        let shard = self.keyspace.shard_of(key.digest);
        if self.shard_of(shard).is_plain {
            return Ok(self.read(key));
        }
        if let Some(found) = self.glance(shard, key) {
            return Ok(Some(self.entry(found)));
        }
        let look = self.look(key, Asks::default());
        match look.status {
            Status::Wait(ms) => Err(ms),
            _ => Ok(look.found.map(|found| self.entry(found))),
        }
    }

    /// Reads a key, and says all that there is to say.
    #[inline(never)]
    pub fn look(&mut self, key: &Key<'_>, asks: Asks) -> Look {
        let shard = self.keyspace.shard_of(key.digest);
        let db = self.db;
        self.shard_of(shard);
        let sight = self.sight(shard, db, key);
        let slot = match sight {
            Sight::Fresh(found) | Sight::Stale(found) if found.id != TableId::PLAIN => {
                found.id.slot()
            }
            _ => key.slot(&self.locked.shard(shard).rules),
        };
        let policy = self.in_force(shard, slot, key.bytes);
        match sight {
            Sight::Fresh(found) => {
                self.count_read(key, true);
                match found.id {
                    TableId::PLAIN => self.note_access(key, found),
                    _ => self.note_hit_by(key, found, policy.as_ref()),
                }
                let is_null = found.id.is_sentinels();
                Look {
                    status: if is_null { Status::Null } else { Status::Hit },
                    found: Some(found),
                    token: None,
                }
            }
            Sight::Stale(found) => match &policy {
                Some(policy) if !policy.is_shadow => self.look_stale(key, found, policy, asks),
                policy => {
                    if policy.is_some() {
                        let kept = self.locked.shard_mut(shard).kept_mut(slot);
                        kept.figures.shadow_stale += 1;
                    }
                    self.look_absent(shard, slot, key, policy.as_ref(), asks)
                }
            },
            Sight::Absent => self.look_absent(shard, slot, key, policy.as_ref(), asks),
        }
    }

    fn look_stale(
        &mut self,
        key: &Key<'_>,
        found: Found,
        policy: &InForce<'_>,
        asks: Asks,
    ) -> Look {
        let lease_ms = policy.policy().effective_lease_ms().max(asks.lease_ms);
        let turn = self.take_turn(found.shard, policy.slot, key, lease_ms);
        let figures = &mut self
            .locked
            .shard_mut(found.shard)
            .kept_mut(policy.slot)
            .figures;
        match turn {
            Turn::Mine(token) => {
                figures.misses[Reason::Expired as usize] += 1;
                self.count_read(key, false);
                self.record(self.db, key.bytes, Event::MISS);
                self.remember_miss(found.shard, key);
                Look {
                    status: Status::Stale,
                    found: asks.knows_stale.then_some(found),
                    token: Some(token),
                }
            }
            Turn::Others(_) | Turn::Nobody => {
                figures.stale_hits += 1;
                self.count_read(key, true);
                self.note_access(key, found);
                Look {
                    status: Status::Stale,
                    found: Some(found),
                    token: None,
                }
            }
        }
    }

    fn look_absent(
        &mut self,
        shard: usize,
        slot: Slot,
        key: &Key<'_>,
        policy: Option<&InForce<'_>>,
        asks: Asks,
    ) -> Look {
        let absent = |status| Look {
            status,
            found: None,
            token: None,
        };
        let (db, now_ms) = (self.db, self.now_ms);
        if self.absent_until(shard, slot, db, key).is_some() {
            self.locked
                .shard_mut(shard)
                .kept_mut(slot)
                .figures
                .null_hits += 1;
            self.count_read(key, false);
            self.record(db, key.bytes, Event::MISS);
            return absent(Status::Null);
        }
        let kept = self.locked.shard(shard).kept(slot);
        let departed = kept.and_then(|k| k.departed.get(identity(db, key.digest)));
        let why = departed.map_or(Reason::Unknown, |r| r.why);
        let lease_ms = policy.map_or(0, |p| p.policy().effective_lease_ms());
        let is_shadow = policy.is_some_and(|p| p.is_shadow);
        let lease_ms = match (is_shadow, asks.lease_ms) {
            (true, 0) => 0,
            (_, asked) => lease_ms.max(asked),
        };
        if is_shadow && policy.is_some_and(|p| p.policy().effective_lease_ms() > 0) {
            let kept = self.locked.shard_mut(shard).kept_mut(slot);
            kept.figures.shadow_leases += u64::from(kept.leases.get(key.digest, now_ms).is_some());
        }
        let turn = match lease_ms {
            0 => Turn::Nobody,
            ms => self.take_turn(shard, slot, key, ms),
        };
        let wait_ms = match asks.wait_ms {
            Some(ms) => ms,
            None => policy.map_or(0, |p| p.policy().lease_wait_ms),
        };
        if let Turn::Others(_) = turn
            && wait_ms > 0
            && self.caller.can_wait
        {
            let kept = self.locked.shard_mut(shard).kept_mut(slot);
            kept.figures.lease_waits += 1;
            return absent(Status::Wait(wait_ms));
        }
        self.miss(key);
        Look {
            token: match turn {
                Turn::Mine(token) => Some(token),
                Turn::Others(_) | Turn::Nobody => None,
            },
            ..absent(Status::Miss(why))
        }
    }

    /// Asks whose turn it is to refill a key.
    fn take_turn(&mut self, shard: usize, slot: Slot, key: &Key<'_>, lease_ms: u64) -> Turn {
        let (db, now_ms, client) = (self.db, self.now_ms, self.caller.client);
        let epoch = self.epoch;
        let token = clock::random() >> 1;
        let kept = self.locked.shard_mut(shard).kept_mut(slot);
        let identity = identity(db, key.digest);
        let asking = Asking {
            client,
            token,
            now_ms,
            lease_ms,
            epoch,
            db,
        };
        let turn = kept.leases.read(identity, asking);
        kept.figures.leases_expired += std::mem::take(&mut kept.leases.lapsed);
        if let Turn::Mine(token) = turn {
            kept.figures.leases_granted += 1;
            let lease = HeldLease {
                db,
                key: key.bytes.into(),
                token,
                until_ms: now_ms + lease_ms,
            };
            let reader = self.caller.reader.get_or_insert_default();
            reader.note_lease(lease, now_ms);
        }
        turn
    }

    fn remember_miss(&mut self, shard: usize, key: &Key<'_>) {
        let miss = Miss {
            key: identity(self.db, key.digest),
            sequence: self.locked.shard_mut(shard).next_sequence(),
            epoch: self.epoch,
            at_ms: self.now_ms,
        };
        let reader = self.caller.reader.get_or_insert_default();
        reader.note_miss(miss);
    }

    /// Stores a whole string that a client wrote plainly: a refill, or a write.
    #[inline]
    pub fn fill(
        &mut self,
        key: &Key<'_>,
        found: Option<Found>,
        value: NewValue<'_>,
        deadline: Deadline,
        event: Event,
    ) -> Filled {
        self.fill_tagged(key, found, value, deadline, event, &[])
    }

    /// As [`Txn::fill`], with the digests of explicit tags.
    #[inline]
    pub fn fill_tagged(
        &mut self,
        key: &Key<'_>,
        found: Option<Found>,
        value: NewValue<'_>,
        deadline: Deadline,
        event: Event,
        tags: &[u64],
    ) -> Filled {
        let shard = self.keyspace.shard_of(key.digest);
        if self.shard_of(shard).is_plain && tags.is_empty() {
            let graceful = matches!(deadline, Deadline::At(_));
            self.put_plain(self.db, key, found, value, deadline, false, event, graceful);
            let asked = match deadline {
                Deadline::At(ms) => Some(ms),
                Deadline::Keep | Deadline::Never => None,
            };
            return Filled::Stored(asked);
        }
        let miss = match &mut self.caller.reader {
            Some(reader) => reader.take_miss(identity(self.db, key.digest)),
            None => None,
        };
        let value = match found {
            Some(found) if tags.is_empty() && miss.is_none() => {
                match self.fill_over(key, found, value, deadline, event) {
                    Ok(deadline) => return Filled::Stored(deadline),
                    Err(value) => value,
                }
            }
            _ => value,
        };
        self.fill_governed(shard, key, found, miss, value, deadline, event, tags)
    }

    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "the parts of one write")]
    fn fill_governed(
        &mut self,
        shard: usize,
        key: &Key<'_>,
        found: Option<Found>,
        miss: Option<Miss>,
        value: NewValue<'_>,
        deadline: Deadline,
        event: Event,
        tags: &[u64],
    ) -> Filled {
        let (db, now_ms) = (self.db, self.now_ms);
        let slot = key.slot(&self.locked.shard(shard).rules);
        let policy = self.in_force(shard, slot, key.bytes);
        let identity = identity(db, key.digest);
        if let (Some(miss), Some(policy)) = (&miss, &policy)
            && policy.policy().fence
            && self.is_fenced(shard, policy, key, miss)
        {
            let figures = &mut self.locked.shard_mut(shard).kept_mut(slot).figures;
            match policy.is_shadow {
                true => figures.shadow_fence_drops += 1,
                false => {
                    figures.fence_drops += 1;
                    return Filled::Dropped;
                }
            }
        }
        let lease = match self.locked.shard_mut(shard).known_mut(slot) {
            Some(kept) => kept.leases.get(identity, now_ms).copied(),
            None => None,
        };
        let began_ms = miss.map(|m| m.at_ms).or(lease.map(|l| l.since_ms));
        let write = Write {
            value,
            deadline,
            raw: false,
            event,
            is_fill: true,
            tags,
        };
        let deadline = self.put_under(policy.as_ref(), slot, db, key, found, write);
        if let Some(began_ms) = began_ms.filter(|_| slot > 0) {
            self.note_load(shard, slot, key, now_ms.saturating_sub(began_ms));
        }
        Filled::Stored(deadline)
    }

    /// A refill took so long from the miss that it answers.
    fn note_load(&mut self, shard: usize, slot: Slot, key: &Key<'_>, took_ms: u64) {
        let kept = self.locked.shard_mut(shard).kept_mut(slot);
        kept.figures.load_ms.add(took_ms);
        if let Sight::Fresh(found) = self.sight(shard, self.db, key)
            && let Some(mut note) = self.entry(found).note()
        {
            note.cost = Note::cost_of(took_ms);
            self.table_mut(found).entry_mut(found.place).set_note(&note);
        }
    }

    /// Whether the key was removed or invalidated since a miss.
    fn is_fenced(&self, shard: usize, policy: &InForce<'_>, key: &Key<'_>, miss: &Miss) -> bool {
        let kept = self.locked.shard(shard).kept(policy.slot);
        let record = kept.and_then(|k| k.departed.get(miss.key));
        let fence = record.map_or(0, |r| r.fence);
        if fence.max(kept.map_or(0, |k| k.fence_of(self.db))) > miss.sequence {
            return true;
        }
        self.is_invalidated_since(key, policy.slot, policy.policy(), miss.epoch)
    }

    /// Whether a group that a key belongs to was invalidated after an epoch.
    fn is_invalidated_since(&self, key: &Key<'_>, slot: Slot, policy: &Policy, epoch: u32) -> bool {
        let invalidations = self.keyspace.invalidations().read();
        invalidations.concerns(self.db, key.bytes, Some((slot, policy)), epoch)
    }

    /// Whether a token is good for a key.
    pub fn holds_lease(&mut self, key: &Key<'_>, token: u64) -> bool {
        let now_ms = self.now_ms;
        let identity = identity(self.db, key.digest);
        let owner = self.shard_for(key);
        let slot = key.slot(&owner.rules);
        let policy = owner.rules.get(slot).cloned();
        let Some(kept) = owner.known_or_made(slot) else {
            return false;
        };
        let lease = kept.leases.get(identity, now_ms).copied();
        let lease = lease.filter(|lease| lease.token == token);
        // A group that the key belongs to may have been invalidated since.
        let is_fenced = match (&lease, &policy) {
            (Some(lease), Some(policy)) => {
                self.is_invalidated_since(key, slot, policy, lease.epoch)
            }
            _ => false,
        };
        let is_good = lease.is_some() && !is_fenced;
        let kept = self.shard_for(key).kept_mut(slot);
        if is_fenced && kept.leases.end(identity).is_some() {
            kept.figures.leases_removed += 1;
        }
        kept.figures.token_refusals += u64::from(!is_good);
        is_good
    }

    /// Remembers that the origin has no such key, until a time in Unix milliseconds;
    /// what was there goes. Returns until when, or `None` where there is no room for it.
    /// Who had missed the key, or `answers` a lease, tells what it found: where nothing is
    /// there, nothing is removed, and nothing falls with it.
    pub fn fill_null(
        &mut self,
        key: &Key<'_>,
        until_ms: Option<u64>,
        answers: bool,
    ) -> Option<u64> {
        let (db, now_ms) = (self.db, self.now_ms);
        let shard = self.keyspace.shard_of(key.digest);
        let identity = identity(db, key.digest);
        let owner = self.shard_of(shard);
        let slot = key.slot(&owner.rules);
        if let Some(kept) = owner.known_mut(slot)
            && kept.leases.end(identity).is_some()
        {
            kept.figures.leases_filled += 1;
        }
        let reader = self.caller.reader.as_deref_mut();
        let miss = reader.and_then(|reader| reader.take_miss(identity));
        let is_refill = answers || miss.is_some();
        match self.find(key) {
            Some(found) => self.remove(key, found, Event::DEL),
            None if is_refill && !self.is_stale(shard, key) => {}
            None => {
                self.remove_absent(key, Reason::Deleted);
            }
        }
        let owner = self.shard_of(shard);
        owner.is_plain = false;
        let slot = key.slot(&owner.rules);
        let policy = self.in_force(shard, slot, key.bytes);
        let policy = policy.filter(|p| !p.is_shadow);
        let policy = policy.as_ref().map(InForce::policy);
        let ttl_most = policy.map_or(u64::MAX, |p| p.null_ttl_ms);
        let default = policy.map_or(crate::config::policy::NULL_TTL_MS, |p| p.null_ttl_ms);
        let until_ms = match until_ms {
            Some(ms) => ms.min(now_ms.saturating_add(ttl_most)),
            None => now_ms + default,
        };
        let most = self.null_bytes_of(shard, slot, db);
        let epoch = self.epoch;
        let kept = self.shard_of(shard).kept_mut(slot);
        let nulls = kept.make_nulls(db);
        let is_kept = nulls.insert(key.bytes, Marker { until_ms, epoch }, now_ms, most);
        let evicted = std::mem::take(&mut nulls.evicted);
        kept.figures.nulls_evicted += evicted;
        kept.figures.null_fills += u64::from(is_kept);
        if let Some(miss) = miss
            && slot > 0
        {
            let kept = self.locked.shard_mut(shard).kept_mut(slot);
            kept.figures.load_ms.add(now_ms.saturating_sub(miss.at_ms));
        }
        self.count_changes_of(key, 1);
        self.wake(key);
        is_kept.then_some(until_ms)
    }

    /// Whether what is under a key is past its lifetime, in its grace.
    fn is_stale(&mut self, shard: usize, key: &Key<'_>) -> bool {
        !self.shard_of(shard).is_plain && matches!(self.sight(shard, self.db, key), Sight::Stale(_))
    }

    /// Until when a key is known to be absent, in Unix milliseconds.
    pub fn null_until(&mut self, key: &Key<'_>) -> Option<u64> {
        let slot = key.slot(&self.shard_for(key).rules);
        let shard = self.keyspace.shard_of(key.digest);
        self.absent_until(shard, slot, self.db, key)
    }

    /// Likewise, for a key of a policy. What has been invalidated since is not known
    /// any more.
    pub(super) fn absent_until(
        &self,
        shard: usize,
        slot: Slot,
        db: u32,
        key: &Key<'_>,
    ) -> Option<u64> {
        let owner = self.locked.shard(shard);
        let nulls = owner.kept(slot)?.nulls(db)?;
        let marker = nulls.get(key.digest, key.bytes, self.now_ms)?;
        let is_gone = marker.epoch != self.epoch && {
            let policy = owner.rules.get(slot).map(|p| (slot, &**p));
            let invalidations = self.keyspace.invalidations().read();
            invalidations.concerns(db, key.bytes, policy, marker.epoch)
        };
        (!is_gone).then_some(marker.until_ms)
    }

    /// A read of a key near its end: is it to be announced for a refill?
    ///
    /// In the last part of its lifetime, with a probability that rises towards the end,
    /// by the time that a refill takes: T·(−ln u) exceeds what is left, for u uniform in
    /// 0..1. (Vattani, Chierichetti and Lowenstein, "Optimal probabilistic cache stampede
    /// prevention", 2015.)
    pub(super) fn consider_refresh(
        &mut self,
        key: &Key<'_>,
        found: Found,
        policy: &Policy,
        note: &mut Note,
    ) -> bool {
        let Some(deadline) = self.entry(found).deadline() else {
            return false;
        };
        let ttl_ms = deadline.saturating_sub(note.written_ms);
        let left_ms = deadline.saturating_sub(self.now_ms);
        let window_ms = ttl_ms.saturating_mul(policy.refresh_percent.into()) / 100;
        if note.marks & mark::ANNOUNCED != 0 || left_ms > window_ms {
            return false;
        }
        // Where nobody has measured a refill, it takes an eighth of the window.
        let cost_ms = match note.cost_ms() {
            0 => window_ms as f64 / 8.0,
            ms => ms as f64,
        };
        let uniform = (clock::random_below(1 << 32) + 1) as f64 / (1u64 << 32) as f64;
        if cost_ms * -uniform.ln() < left_ms as f64 {
            return false;
        }
        note.marks |= mark::ANNOUNCED;
        let slot = found.id.slot();
        let kept = self.locked.shard_mut(found.shard).kept_mut(slot);
        kept.figures.refreshes += 1;
        self.rest().announced.push(Announced {
            db: found.db,
            key: key.bytes.into(),
            policy: policy.name.clone(),
            left_ms,
            why: "expires",
        });
        true
    }

    /// Gives up what a client holds that leaves: whoever waits for its refill goes on.
    pub fn abandon(&mut self, lease: &HeldLease) {
        let key = Key::of(&lease.key);
        let owner = self.shard_for(&key);
        let slot = key.slot(&owner.rules);
        let Some(kept) = owner.known_mut(slot) else {
            return;
        };
        if kept
            .leases
            .leave(identity(lease.db, key.digest), lease.token)
        {
            kept.figures.leases_abandoned += 1;
            self.wake(&key);
        }
    }

    /// Takes what the client's session remembers of it.
    pub fn set_reader(&mut self, reader: Option<Box<Reader>>, can_wait: bool) {
        self.caller.reader = reader;
        self.caller.can_wait = can_wait;
    }

    /// Gives it back.
    pub fn take_reader(&mut self) -> Option<Box<Reader>> {
        self.caller.reader.take()
    }
}

/// In what state a key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It has a value, in its lifetime.
    Fresh,
    /// It is known to be absent, or its value says so.
    Null,
    /// It has a value past its lifetime.
    Stale,
    /// It is not there, for this reason.
    Missing(Reason),
}

impl State {
    /// The name that it has in commands.
    pub fn name(self) -> &'static str {
        match self {
            State::Fresh => "fresh",
            State::Null => "null",
            State::Stale => "stale",
            State::Missing(_) => "missing",
        }
    }
}

/// All that is known of a key, for CACHE.EXPLAIN.
#[derive(Debug)]
pub struct Known {
    /// Its policy, in force or not.
    pub policy: Option<Arc<Policy>>,
    /// Whether it is in force for this key and client.
    pub is_in_force: bool,
    /// What is under it.
    pub state: State,
    /// Whether there is an entry.
    pub is_there: bool,
    /// When its lifetime is over, in Unix milliseconds.
    pub deadline: Option<u64>,
    /// What its policy keeps of it.
    pub note: Option<Note>,
    /// The history of its lifetimes.
    pub history: u64,
    /// Why it lives as long as it does, and what bound that.
    pub decision: Option<(&'static str, &'static str)>,
    /// Who is to refill it.
    pub lease: Option<Lease>,
    /// When it left, in Unix milliseconds.
    pub left_ms: Option<u64>,
    /// The tags that its policy gives it.
    pub tags: Vec<Vec<u8>>,
}

impl Txn<'_> {
    /// Tells all that is known of a key; no access is noted.
    pub fn explain(&mut self, key: &Key<'_>) -> Known {
        let shard = self.keyspace.shard_of(key.digest);
        let (db, now_ms) = (self.db, self.now_ms);
        self.shard_of(shard);
        let sight = self.sight(shard, db, key);
        let owner = self.locked.shard(shard);
        let slot = key.slot(&owner.rules);
        let policy = owner.rules.get(slot).cloned();
        let is_in_force = self.in_force(shard, slot, key.bytes).is_some();
        let owner = self.locked.shard(shard);
        let kept = owner.kept(slot);
        let identity = identity(db, key.digest);
        let departed = kept.and_then(|k| k.departed.get(identity).copied());
        let lease = kept.and_then(|k| k.leases.get(identity, now_ms).copied());
        let found = match sight {
            Sight::Fresh(found) | Sight::Stale(found) => Some(found),
            Sight::Absent => None,
        };
        let entry = found.map(|found| self.entry(found));
        let note = entry.and_then(|e| e.note());
        let null_until = self.absent_until(shard, slot, db, key);
        let state = match (sight, null_until) {
            (Sight::Fresh(_), _) if note.is_some_and(|n| n.marks & mark::NULL != 0) => State::Null,
            (Sight::Fresh(_), _) => State::Fresh,
            (Sight::Stale(_), _) => State::Stale,
            (Sight::Absent, Some(_)) => State::Null,
            (Sight::Absent, None) => {
                State::Missing(departed.map_or(Reason::Unknown, |record| record.why))
            }
        };
        let tags = match &policy {
            Some(policy) => policy.pattern.captures(key.bytes).map(|captures| {
                let fill = |t: &crate::config::policy::Template| t.fill(&captures);
                policy.tags.iter().map(fill).collect()
            }),
            None => None,
        };
        Known {
            is_in_force,
            state,
            is_there: found.is_some(),
            deadline: entry.and_then(|e| e.deadline()).or(null_until),
            history: match (&note, &departed) {
                (Some(note), _) => note.history,
                (None, Some(record)) => record.history,
                (None, None) => 0,
            },
            decision: note.as_ref().and_then(|n| lifetime::reason_text(n.marks)),
            note,
            lease,
            left_ms: departed.filter(|_| found.is_none()).map(|r| r.at_ms),
            tags: tags.unwrap_or_default(),
            policy,
        }
    }

    /// As [`Txn::put`], with the digests of explicit tags.
    pub fn put_tagged(
        &mut self,
        key: &Key<'_>,
        found: Option<Found>,
        value: NewValue<'_>,
        deadline: Deadline,
        event: Event,
        tags: &[u64],
    ) -> Filled {
        let write = Write {
            value,
            deadline,
            raw: false,
            event,
            is_fill: false,
            tags,
        };
        let db = self.db;
        let shard = self.keyspace.shard_of(key.digest);
        self.shard_of(shard);
        Filled::Stored(self.put_governed(db, key, found, write))
    }
}
