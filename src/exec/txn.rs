//! A transaction: locked shards, and the only way by which a command reads and
//! changes entries.
//!
//! **Invariant:** every change goes through `put`, `update`, `set_deadline`,
//! `remove`, `relocate`, `duplicate`, `flush` or `swap` here, each of which tells whoever watches the key, keeps
//! the counts, and records its part of the effect. A handler names neither.

use std::sync::atomic::Ordering;

use crate::base::hash;
use crate::protocol::error::Error;
use crate::store::entry::{Draft, Entry, EntryMut, Family, NewValue, Object, Value, View};
use crate::store::eviction::Evictor;
use crate::store::figures::Reason;
use crate::store::garbage::Garbage;
use crate::store::keyspace::{Keyspace, Locked};
use crate::store::rules::{Rules, TableId};
use crate::store::shard::Shard;
use crate::store::table::{Place, Table};

use super::args::Key;
use super::effect::{Effect, Effects, Event, Events, Removal};
use super::session::Client;
use super::waiting::Changed;

mod caller;
mod carried;
mod effects;
mod governed;
mod invalidated;
mod lifetime;
mod misses;
mod persisted;
mod refill;
mod settle;
mod tagged;

pub use caller::{Announced, Caller, Cascade, Reader};
pub use persisted::{Persisted, Restored, RestoredNote};
pub use refill::{Asks, Filled, Known, Look, State, Status};

use carried::Carried;
pub(super) use governed::identity;
use governed::{Sight, Write};
pub use settle::Hiding;

/// Where an entry was found; good until the transaction next changes any key,
/// which finding another one may do: its time may be over.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    shard: usize,
    db: u32,
    id: TableId,
    place: Place,
}

/// What becomes of a key's deadline when its value is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// It stays what it was.
    Keep,
    /// There is none.
    Never,
    /// Unix milliseconds.
    At(u64),
}

/// What is left to do when a transaction's locks are let go.
#[must_use = "somebody may wait for it"]
pub struct Outcome {
    /// What is to be freed.
    pub garbage: Garbage,
    /// What happens seldom, and is made when it does.
    pub rest: Option<Box<Rest>>,
}

/// See [`Outcome`].
#[derive(Default)]
pub struct Rest {
    /// What somebody waits for: [`super::waiting::serve`].
    pub changed: Vec<Changed>,
    /// Keys to be refilled before their end.
    pub announced: Vec<Announced>,
    /// What falls with keys that were removed: [`super::invalidation::cascade`].
    pub cascades: Vec<Cascade>,
    /// Commands to be propagated behind the running one.
    behind: Vec<(u32, Vec<Vec<u8>>)>,
}

impl Outcome {
    /// What happens seldom.
    pub fn take_rest(&mut self) -> Rest {
        self.rest.take().map_or_else(Rest::default, |rest| *rest)
    }
}

/// See the head of this file.
pub struct Txn<'a> {
    keyspace: &'a Keyspace,
    effects: &'a Effects,
    locked: Locked<'a>,
    /// Shards are locked one by one, as they are asked for.
    each: bool,
    /// The database that keys are looked up in.
    pub db: u32,
    /// The time at which the command runs, in Unix milliseconds.
    pub now_ms: u64,
    /// What has a deadline up to here is not seen: up to now, or, for who brings in
    /// data (CLIENT IMPORT-SOURCE), up to no time at all.
    pub over_ms: u64,
    /// Whether what is over goes when it is met, even where the server removes nothing
    /// of its own accord: a client is about to write.
    pub removes: bool,
    /// Whether reads count as accesses (CLIENT NO-TOUCH).
    pub touch: bool,
    /// What to tell those who want to hear; none where nobody does.
    effect: Option<Box<Effect>>,
    /// Changes made by the running command.
    changes: u64,
    /// The running command's own word for what it did.
    rewritten: bool,
    /// Large values that are gone.
    garbage: Garbage,
    /// Why they are.
    pub removal: Removal,
    /// Who reads and writes, as policies see it.
    caller: Caller,
    /// The policies that the batch began with, where there are any.
    rules: Option<&'a Rules>,
    /// What is left to do, beside the garbage.
    rest: Option<Box<Rest>>,
    /// The epochs in which this runs.
    epoch: u32,
    plain_epoch: u8,
}

/// Finds a key in one of a shard's tables.
#[inline(always)]
fn locate_in<'s>(
    owner: &'s Shard,
    shard: usize,
    db: u32,
    id: TableId,
    key: &Key<'_>,
) -> Option<(Found, Entry<'s>)> {
    let table = owner.table(db, id)?;
    let place = table.find(key.digest, key.bytes)?;
    let found = Found {
        shard,
        db,
        id,
        place,
    };
    Some((found, table.entry(place)))
}

/// Notes that an entry was used.
#[inline]
fn note_use(entry: &mut EntryMut<'_>, evictor: &Evictor, digest: u64) {
    let before = entry.as_ref().access();
    let after = evictor.on_hit(digest, before);
    if after != before {
        entry.set_access(after);
    }
}

impl Found {
    /// The table in which it was found.
    pub fn id(self) -> TableId {
        self.id
    }
}

impl<'a> Txn<'a> {
    /// A transaction over shards that are locked.
    #[inline]
    pub fn new(
        keyspace: &'a Keyspace,
        effects: &'a Effects,
        locked: Locked<'a>,
        db: u32,
        now_ms: u64,
    ) -> Txn<'a> {
        let (epoch, plain_epoch) = keyspace.epochs();
        Txn {
            keyspace,
            effects,
            locked,
            each: false,
            db,
            now_ms,
            over_ms: now_ms,
            removes: false,
            touch: true,
            effect: effects.wanted().then(Effect::take),
            changes: 0,
            rewritten: false,
            garbage: Garbage::default(),
            removal: Removal::Replacement,
            caller: Caller::default(),
            rules: None,
            rest: None,
            epoch,
            plain_epoch,
        }
    }

    /// A transaction that locks one shard after the other, as it comes to them:
    /// what it sees of one may be older than what it sees of the next.
    pub fn one_by_one(keyspace: &'a Keyspace, effects: &'a Effects, db: u32, now_ms: u64) -> Self {
        let mut txn = Txn::new(keyspace, effects, Locked::None, db, now_ms);
        txn.each = true;
        txn
    }

    /// Notes that its client has read a key for the first time, and keeps what it
    /// saw.
    pub fn note_read(&mut self, key: &[u8]) {
        if let Some(effect) = &mut self.effect {
            effect.reads.push((effect.changes.len(), key.into()));
        }
    }

    /// Lends it the policies with which the batch began: it need not hold on to its
    /// shards' own while these are the same.
    #[inline]
    pub fn set_rules(&mut self, rules: Option<&'a Rules>) {
        self.rules = rules;
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Says which client it is for.
    #[inline]
    pub fn set_client(&mut self, client: &Client) {
        if let Some(effect) = &mut self.effect {
            effect.by = client.id;
            effect.is_relayed = client.is_leader();
        }
        self.caller.client = client.id;
        if self.keyspace.asks_for_users() {
            let user = &client.names.lock().user;
            self.caller.user = Some(String::from_utf8_lossy(user).into());
        }
        if self.effects.is_keeping() && self.sees_all(client) {
            self.over_ms = 0;
        }
    }

    /// Whether a client brings the data, and with it the end of what is over.
    #[cold]
    fn sees_all(&self, client: &Client) -> bool {
        client.is_leader() || self.effects.is_importing() && client.imports.load(Ordering::Relaxed)
    }

    /// Whether what is over and was met stays there nevertheless.
    #[inline]
    pub(super) fn keeps(&self) -> bool {
        match self.removes && self.effects.is_keeping() {
            true => self.effects.pause.is_on(self.now_ms),
            false => self.effects.keeps_all(self.now_ms),
        }
    }

    /// What happens in it need not happen together at followers.
    #[inline]
    pub fn be_apart(&mut self) {
        if let Some(effect) = &mut self.effect {
            effect.is_apart = true;
        }
    }

    /// Whether what gets this deadline goes instead, in Unix milliseconds.
    #[inline]
    pub fn is_past(&self, ms: u64) -> bool {
        ms <= self.now_ms && !self.effects.is_keeping()
    }

    /// The keyspace's eviction policy.
    pub fn evictor(&self) -> &'a Evictor {
        self.keyspace.evictor()
    }

    // ----- shards ---------------------------------------------------------

    /// Number of shards, for commands whose scope is more than their keys.
    pub fn shards(&self) -> usize {
        self.keyspace.len()
    }

    /// Lets the shard go that it came to last, where it locks one after the other.
    pub fn let_go(&mut self) {
        if self.each {
            self.deliver();
            self.locked = Locked::None;
        }
    }

    /// A shard, for commands whose scope is more than their keys.
    pub fn shard(&mut self, index: usize) -> &mut Shard {
        if self.each && !matches!(self.locked, Locked::One(i, _) if i == index) {
            // What happened in the one before leaves while that is still locked.
            self.deliver();
            // Never two at once out of order.
            self.locked = Locked::None;
            self.locked = Locked::One(index, self.keyspace.lock(index));
            if self.effect.is_none() && self.effects.wanted() {
                // Somebody has come to hear while no shard was held.
                self.effect = Some(Box::default());
            }
        }
        self.locked.shard_mut(index)
    }

    /// The shard of a slot's keys, in a cluster; likewise.
    pub fn shard_of_slot(&mut self, slot: u16) -> &mut Shard {
        let index = self.keyspace.shard_of_slot(slot);
        self.shard(index)
    }

    /// Number of keys in a database.
    pub fn len(&mut self, db: u32) -> usize {
        (0..self.shards()).map(|i| self.shard(i).len_of(db)).sum()
    }

    // ----- keys -----------------------------------------------------------

    /// Finds a key in the current database, removing it if its time is over.
    #[inline]
    pub fn find(&mut self, key: &Key<'_>) -> Option<Found> {
        self.find_in(self.db, key)
    }

    /// Finds a key in any database.
    #[inline]
    pub fn find_in(&mut self, db: u32, key: &Key<'_>) -> Option<Found> {
        let shard = self.keyspace.shard_of(key.digest);
        let owner = self.shard_of(shard);
        if !owner.is_plain {
            if let Some(found) = self.current(shard, db, key) {
                return Some(found);
            }
            return match self.sight(shard, db, key) {
                Sight::Fresh(found) => Some(found),
                Sight::Stale(_) | Sight::Absent => None,
            };
        }
        let (found, entry) = locate_in(owner, shard, db, TableId::PLAIN, key)?;
        match entry.deadline() {
            Some(ms) if ms <= self.over_ms => {
                if !self.keeps() {
                    self.expire(found);
                }
                None
            }
            _ => Some(found),
        }
    }

    #[inline]
    fn shard_of(&mut self, shard: usize) -> &mut Shard {
        if self.each {
            self.shard(shard)
        } else {
            self.locked.shard_mut(shard)
        }
    }

    /// Reads a key: finds it, counts a hit or a miss, and notes the access.
    #[inline]
    pub fn read(&mut self, key: &Key<'_>) -> Option<Entry<'_>> {
        let shard = self.keyspace.shard_of(key.digest);
        if !self.shard_of(shard).is_plain {
            return self.read_governed(shard, key);
        }
        let Some(found) = self.find(key) else {
            self.miss(key);
            return None;
        };
        // The hottest path there is: the shard, the table and the slot are each
        // gone to once more, not once for each step.
        let (evictor, touch) = (self.keyspace.evictor(), self.touch);
        let shard = self.locked.shard_mut(found.shard);
        shard.stats.hits += 1;
        let table = shard
            .table_mut(found.db, TableId::PLAIN)
            .expect("a found entry has a table");
        let mut entry = table.entry_mut(found.place);
        if touch {
            note_use(&mut entry, evictor, key.digest);
        }
        Some(entry.into_ref())
    }

    /// As [`Txn::read`], for who wants to go on with the place.
    #[inline]
    pub fn look_up(&mut self, key: &Key<'_>) -> Option<Found> {
        let found = self.peek(key)?;
        match found.id {
            TableId::PLAIN => self.note_access(key, found),
            _ => self.note_hit(key, found),
        }
        Some(found)
    }

    /// As [`Txn::look_up`], but the access is not noted: for commands that ask
    /// about a key rather than for its value.
    #[inline]
    pub fn peek(&mut self, key: &Key<'_>) -> Option<Found> {
        let found = self.find(key);
        match found {
            Some(_) => self.count_read(key, true),
            None => self.miss(key),
        }
        found
    }

    /// A read did not find its key.
    #[inline]
    fn miss(&mut self, key: &Key<'_>) {
        self.count_read(key, false);
        self.note_miss(key);
        self.record(self.db, key.bytes, Event::MISS);
    }

    /// As [`Txn::find_in`], noting the access: for commands that go on to change
    /// the key, which counts as neither hit nor miss.
    #[inline]
    pub fn find_used(&mut self, db: u32, key: &Key<'_>) -> Option<Found> {
        let found = self.find_in(db, key)?;
        self.note_access(key, found);
        Some(found)
    }

    /// As [`Txn::read`], for a value of a known family; an error where it is of
    /// another type.
    pub fn read_as<T: Family>(&mut self, key: &Key<'_>) -> Result<Option<View<'_, T>>, Error> {
        match self.read(key) {
            Some(entry) => View::of(entry.value()).map(Some).ok_or(Error::WRONG_TYPE),
            None => Ok(None),
        }
    }

    /// As [`Txn::find_used`] in the current database, for a value of a known
    /// family; an error where it is of another type.
    pub fn find_as<T: Family>(&mut self, key: &Key<'_>) -> Result<Option<Found>, Error> {
        let Some(found) = self.find_used(self.db, key) else {
            return Ok(None);
        };
        match View::<T>::of(self.entry(found).value()) {
            Some(_) => Ok(Some(found)),
            None => Err(Error::WRONG_TYPE),
        }
    }

    /// As [`Txn::look_up`], for a value of a known family; an error where it is of
    /// another type.
    pub fn look_up_as<T: Family>(&mut self, key: &Key<'_>) -> Result<Option<Found>, Error> {
        let Some(found) = self.look_up(key) else {
            return Ok(None);
        };
        match View::<T>::of(self.entry(found).value()) {
            Some(_) => Ok(Some(found)),
            None => Err(Error::WRONG_TYPE),
        }
    }

    /// The value that [`Txn::find_as`] found.
    pub fn view<T: Family>(&self, found: Found) -> View<'_, T> {
        View::of(self.entry(found).value()).expect("what was found is of this family")
    }

    /// Counts a hit or a miss, for who found the key by [`Txn::find`].
    #[inline]
    pub fn count_read(&mut self, key: &Key<'_>, hit: bool) {
        let stats = &mut self.shard_for(key).stats;
        if hit {
            stats.hits += 1;
        } else {
            stats.misses += 1;
        }
    }

    /// Notes that an entry was used.
    #[inline]
    pub fn note_access(&mut self, key: &Key<'_>, found: Found) {
        if self.touch {
            let evictor = self.keyspace.evictor();
            let mut entry = self.table_mut(found).entry_mut(found.place);
            note_use(&mut entry, evictor, key.digest);
        }
    }

    #[inline]
    fn table_mut(&mut self, found: Found) -> &mut Table {
        self.locked
            .shard_mut(found.shard)
            .table_mut(found.db, found.id)
            .expect("a found entry has a table")
    }

    /// The entry that was found.
    #[inline]
    pub fn entry(&self, found: Found) -> Entry<'_> {
        self.locked
            .shard(found.shard)
            .table(found.db, found.id)
            .expect("a found entry has a table")
            .entry(found.place)
    }

    /// Stores a value under a key: in the place of what was found, or anew.
    #[inline]
    pub fn put(
        &mut self,
        key: &Key<'_>,
        found: Option<Found>,
        value: NewValue<'_>,
        deadline: Deadline,
        event: Event,
    ) {
        self.put_in(self.db, key, found, value, deadline, false, event);
    }

    /// Stores what a command made of other values, without a deadline, whatever was
    /// under the key before; where it is empty, the key goes. Returns its length.
    pub fn store<T: Family>(&mut self, key: &Key<'_>, value: T, event: Event) -> usize {
        let length = value.len();
        match self.find(key) {
            found if length > 0 => {
                let value = NewValue::Object(value.into());
                self.put(key, found, value, Deadline::Never, event);
            }
            Some(found) => self.remove(key, found, Event::DEL),
            None => {}
        }
        length
    }

    /// As [`Txn::put`], in any database, and with a say in whether the string
    /// counts as grown in place.
    #[expect(clippy::too_many_arguments, reason = "the parts of one entry")]
    pub fn put_in(
        &mut self,
        db: u32,
        key: &Key<'_>,
        found: Option<Found>,
        value: NewValue<'_>,
        deadline: Deadline,
        raw: bool,
        event: Event,
    ) {
        let shard = self.keyspace.shard_of(key.digest);
        // A string that is changed stays in the groups that its note names.
        let is_noted = deadline == Deadline::Keep
            && found.is_some_and(|found| self.entry(found).note().is_some());
        if !self.shard_of(shard).is_plain || is_noted {
            let write = Write {
                value,
                deadline,
                raw,
                event,
                is_fill: false,
                tags: &[],
            };
            self.put_governed(db, key, found, write);
            return;
        }
        self.put_plain(db, key, found, value, deadline, raw, event, false);
    }

    /// As [`Txn::put_in`], where there is neither policy nor invalidation.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the parts of one entry")]
    fn put_plain(
        &mut self,
        db: u32,
        key: &Key<'_>,
        found: Option<Found>,
        value: NewValue<'_>,
        deadline: Deadline,
        raw: bool,
        event: Event,
        graceful: bool,
    ) {
        let shard = self.keyspace.shard_of(key.digest);
        let plain_epoch = self.plain_epoch;
        let evictor = self.keyspace.evictor();
        let now_ms = self.now_ms;
        let owner = self.shard_of(shard);
        let ghost = match found {
            Some(_) => None,
            None => owner.recall(db, key.digest),
        };
        let table = owner.make_table(db, TableId::PLAIN);
        let mut draft = Draft {
            deadline: match deadline {
                Deadline::At(ms) => Some(ms),
                Deadline::Keep | Deadline::Never => None,
            },
            raw,
            graceful,
            epoch: plain_epoch,
            ..Draft::new(key.bytes, value)
        };
        match found {
            Some(found) => {
                let old = table.entry(found.place);
                draft.access = evictor.on_hit(key.digest, old.access());
                if deadline == Deadline::Keep {
                    draft.deadline = old.deadline();
                }
                let old = table.replace(found.place, draft, now_ms);
                table.publish_bytes();
                self.garbage.add(old);
            }
            None => {
                draft.access = evictor.on_insert(key.digest, ghost);
                table.insert(key.digest, draft, now_ms);
                table.publish_bytes();
                self.record(db, key.bytes, Event::NEW);
            }
        }
        self.changed(shard, db, key.bytes, event);
    }

    /// Writes an integer in the place of one, keeping all else; false where the
    /// value is none.
    #[inline]
    pub fn put_int(&mut self, key: &Key<'_>, found: Found, n: i64, event: Event) -> bool {
        let mut entry = self.table_mut(found).entry_mut(found.place);
        if !entry.set_int(n) {
            return false;
        }
        self.note_edit(found);
        self.note_access(key, found);
        self.changed(found.shard, found.db, key.bytes, event);
        true
    }

    /// Changes a large string in place; false, and nothing changed, where the
    /// value is none or a reply still refers to it.
    pub fn edit_blob(
        &mut self,
        key: &Key<'_>,
        found: Found,
        edit: impl FnOnce(&mut Vec<u8>),
        event: Event,
    ) -> bool {
        let mut entry = self.table_mut(found).entry_mut(found.place);
        let Some(bytes) = entry.blob_mut() else {
            return false;
        };
        edit(bytes);
        self.note_edit(found);
        self.note_access(key, found);
        self.changed(found.shard, found.db, key.bytes, event);
        true
    }

    /// Changes what [`Txn::find_as`] found, in place. `change` says what happened
    /// by the events that it adds; without any, nothing did. A value that it leaves
    /// empty goes, and its key with it.
    pub fn update<T: Family, R>(
        &mut self,
        key: &Key<'_>,
        found: Found,
        change: impl FnOnce(&mut T, &mut Events) -> R,
    ) -> R {
        let mut events = Events::new();
        let now_ms = self.now_ms;
        let table = self.table_mut(found);
        let changed = table.change_object(found.place, now_ms, |object| {
            let value = T::of_mut(object)?;
            let result = change(value, &mut events);
            Some((result, value.is_empty() && !T::STAYS_EMPTY))
        });
        let (result, is_over) = changed.flatten().expect("what was found is of this family");
        for &event in &events {
            self.changed(found.shard, found.db, key.bytes, event);
        }
        if is_over {
            self.remove(key, found, Event::DEL);
        }
        result
    }

    /// Changes the bytes of a string in place, and says whether `edit` found
    /// anything to change. `None`, and nothing changed, where the value is an
    /// integer or a reply still refers to it.
    pub fn edit_bytes(
        &mut self,
        key: &Key<'_>,
        found: Found,
        edit: impl FnOnce(&mut [u8]) -> bool,
        event: Event,
    ) -> Option<bool> {
        let mut entry = self.table_mut(found).entry_mut(found.place);
        let is_changed = edit(entry.bytes_mut()?);
        self.note_access(key, found);
        if is_changed {
            self.note_edit(found);
            self.changed(found.shard, found.db, key.bytes, event);
        }
        Some(is_changed)
    }

    /// Gives a key another deadline, or none.
    pub fn set_deadline(
        &mut self,
        key: &Key<'_>,
        found: Found,
        deadline: Option<u64>,
        event: Event,
    ) {
        let now_ms = self.now_ms;
        let table = self.table_mut(found);
        table.set_deadline(found.place, deadline, now_ms);
        table.publish_bytes();
        self.note_dated(found, key);
        self.changed(found.shard, found.db, key.bytes, event);
    }

    /// Writes the eviction policy's record of a key; no change to anybody else.
    pub fn set_access(&mut self, found: Found, access: u32) {
        self.table_mut(found)
            .entry_mut(found.place)
            .set_access(access);
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &Key<'_>, found: Found, event: Event) {
        self.depart(found, Reason::Deleted);
        let table = self.table_mut(found);
        let object = table.remove(found.place);
        table.publish_bytes();
        self.garbage.add(object);
        self.changed(found.shard, found.db, key.bytes, event);
    }

    /// Removes a key that a command gave a deadline in the past: it counts as
    /// expired, not as deleted, and for followers the command was a removal.
    pub fn remove_expired(&mut self, key: &Key<'_>, found: Found) {
        self.shard_for(key).stats.expired += 1;
        self.remove(key, found, Event::EXPIRED);
        let word = self.effects.removal_word(Removal::Expiry);
        self.rewrite(|| vec![word.into(), key.bytes.to_vec()]);
    }

    /// Moves an entry to another key or database: its value, deadline and access
    /// record. Whatever was there is gone without a word.
    pub fn relocate(
        &mut self,
        (from, found): (&Key<'_>, Found),
        (db, to): (u32, &Key<'_>),
        left: Event,
        came: Event,
    ) {
        self.depart(found, Reason::Deleted);
        let carried = self.take_out(found);
        let shard = self.settle(db, to, carried);
        self.touched(found.shard, found.db, from.bytes);
        self.record(found.db, from.bytes, left);
        self.changed(shard, db, to.bytes, came);
    }

    /// As [`Txn::relocate`], but the entry stays where it is, too. A large
    /// string is shared until one of the two changes.
    pub fn duplicate(&mut self, found: Found, (db, to): (u32, &Key<'_>), came: Event) {
        let mut carried = Carried::from(self.entry(found));
        if let Value::Object(object) = self.entry(found).value() {
            carried.value = Some(NewValue::Object(object.get().clone()));
        }
        let shard = self.settle(db, to, carried);
        self.changed(shard, db, to.bytes, came);
    }

    /// Takes an entry out of its table, to be put elsewhere. Nobody hears of it.
    fn take_out(&mut self, found: Found) -> Carried {
        let mut carried = Carried::from(self.entry(found));
        let table = self.table_mut(found);
        if let Some(object) = table.remove(found.place) {
            carried.value = Some(NewValue::Object(object));
        }
        table.publish_bytes();
        carried
    }

    fn settle(&mut self, db: u32, key: &Key<'_>, mut carried: Carried) -> usize {
        let shard = self.keyspace.shard_of(key.digest);
        let is_tagged = carried.is_tagged();
        let draft = carried.draft(key.bytes);
        let old = match self.shard_of(shard).is_plain && !is_tagged {
            true => self.place(shard, db, TableId::PLAIN, key.digest, draft),
            false => self.place_governed(shard, db, key, draft),
        };
        self.garbage.add(old);
        self.record(db, key.bytes, Event::NEW);
        shard
    }

    /// Puts an entry into a table, in the place of what is there under its key.
    fn place(
        &mut self,
        shard: usize,
        db: u32,
        id: TableId,
        digest: u64,
        draft: Draft<'_>,
    ) -> Option<Object> {
        let now_ms = self.now_ms;
        let table = self.shard_of(shard).make_table(db, id);
        let old = match table.find(digest, draft.key) {
            Some(place) => table.replace(place, draft, now_ms),
            None => {
                table.insert(digest, draft, now_ms);
                None
            }
        };
        table.publish_bytes();
        old
    }

    /// Notes a further event of a key that the running command changed.
    #[inline]
    pub fn also(&mut self, key: &Key<'_>, event: Event) {
        self.record(self.db, key.bytes, event);
    }

    #[cold]
    fn expire(&mut self, found: Found) {
        self.depart(found, Reason::Expired);
        let table = self.table_mut(found);
        let key = table.entry(found.place).key().to_vec();
        let object = table.remove(found.place);
        table.publish_bytes();
        self.garbage.add(object);
        self.locked.shard_mut(found.shard).stats.expired += 1;
        self.touched(found.shard, found.db, &key);
        self.record(found.db, &key, Event::EXPIRED);
        let word = self.effects.removal_word(Removal::Expiry);
        self.propagate(found.db, vec![word.into(), key]);
    }

    /// Removes elements whose deadline has passed from a key's value, `most` at
    /// most, and the key with the last of them. Returns how many it removed.
    pub fn expire_items(&mut self, db: u32, key: &Key<'_>, most: usize) -> usize {
        let Some(found) = self.find_in(db, key) else {
            return 0;
        };
        let (now_ms, wanted) = (self.now_ms, self.effect.is_some());
        let mut words = vec![b"HDEL".to_vec(), key.bytes.to_vec()];
        let mut count = 0;
        let table = self.table_mut(found);
        let is_empty = table.change_object(found.place, now_ms, |object| {
            object.expire(now_ms, most, |item| {
                count += 1;
                if wanted {
                    words.push(item.to_vec());
                }
            });
            object.is_empty()
        });
        if count == 0 {
            return 0;
        }
        let stats = &mut self.locked.shard_mut(found.shard).stats;
        stats.expired_fields += count as u64;
        self.touched(found.shard, db, key.bytes);
        self.record(db, key.bytes, Event::ITEMS_EXPIRED);
        self.propagate(db, words);
        if is_empty == Some(true) {
            self.depart(found, Reason::Expired);
            let table = self.table_mut(found);
            let object = table.remove(found.place);
            table.publish_bytes();
            self.garbage.add(object);
            self.record(db, key.bytes, Event::DEL);
            let word = self.effects.removal_word(Removal::Expiry);
            self.propagate(db, vec![word.into(), key.bytes.to_vec()]);
        }
        count
    }

    /// Counts fields that a command found to be over, or gave a time in the past.
    pub fn count_expired_fields(&mut self, key: &Key<'_>, fields: usize) {
        if fields > 0 {
            self.shard_for(key).stats.expired_fields += fields as u64;
        }
    }

    /// Removes an entry to make room, and remembers it.
    pub fn evict(&mut self, shard: usize, (db, id): (u32, TableId), place: Place) {
        let found = Found {
            shard,
            db,
            id,
            place,
        };
        self.depart(found, Reason::Evicted);
        let evictor = self.keyspace.evictor();
        let owner = self.shard_of(shard);
        let table = owner
            .table_mut(db, id)
            .expect("an entry that was sampled has a table");
        let entry = table.entry(place);
        let (key, ghost) = (entry.key().to_vec(), evictor.ghost(entry.access()));
        let object = table.remove(place);
        table.publish_bytes();
        owner.stats.evicted += 1;
        if let Some(ghost) = ghost {
            owner.remember(db, hash::digest(&key), ghost);
        }
        self.touched(shard, db, &key);
        self.garbage.add(object);
        self.record(db, &key, Event::EVICTED);
        let word = self.effects.removal_word(Removal::Eviction);
        self.propagate(db, vec![word.into(), key]);
    }

    // ----- whole databases ------------------------------------------------

    /// Empties a database; the tables returned hold what was in it, and
    /// dropping them takes its time. Needs the whole keyspace.
    pub fn flush(&mut self, db: u32) -> Vec<Box<Table>> {
        let mut tables = Vec::new();
        self.note_wholesale();
        for i in 0..self.shards() {
            let shard = self.shard(i);
            let taken = shard.take_tables(db);
            let keys: usize = taken.iter().map(|table| table.len()).sum();
            shard.stats.changes += keys as u64;
            self.changes += keys as u64;
            tables.extend(taken);
            self.note_awaited(i, |awaited| awaited == db);
        }
        tables
    }

    /// Exchanges two databases, which may be one. Needs the whole keyspace.
    pub fn swap(&mut self, a: u32, b: u32) {
        self.shard(0).stats.changes += 1;
        self.changes += 1;
        if a == b {
            return;
        }
        self.note_wholesale();
        for i in 0..self.shards() {
            // A key whose time is over is none: to bring it under the eyes of
            // who watches that key in the other database is no change.
            for key in self.shard(i).watched_in(a, b) {
                let digest = hash::digest(&key);
                for db in [a, b] {
                    self.find_in(db, &Key::new(&key, digest));
                }
            }
            self.shard(i).swap_tables(a, b);
            self.note_awaited(i, |awaited| awaited == a || awaited == b);
        }
        if self.keyspace.is_governed() {
            self.change_invalidations(|all| all.swap(a, b));
        }
    }

    pub(super) fn note_wholesale(&mut self) {
        if let Some(effect) = &mut self.effect {
            effect.wholesale = true;
        }
    }

    /// Notes all keys of a shard that somebody waits for, of some databases.
    fn note_awaited(&mut self, shard: usize, which: impl Fn(u32) -> bool) {
        let shard = self.locked.shard(shard);
        let all = shard.all_awaited().filter(|(db, _)| which(*db));
        let all: Vec<Changed> = all.map(|(db, key)| (db, key.to_vec())).collect();
        self.rest().changed.extend(all);
    }

    // ----- watching -------------------------------------------------------

    /// The shard in which a key is watched.
    pub fn shard_for(&mut self, key: &Key<'_>) -> &mut Shard {
        let shard = self.keyspace.shard_of(key.digest);
        self.shard_of(shard)
    }
}
