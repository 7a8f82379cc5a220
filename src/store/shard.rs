//! A shard: the part of every database whose keys' digests begin alike, and all
//! that is kept beside it under one lock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use crate::base::hash;
use crate::config::policy::{Policy, Priority};

use super::departed::Departed;
use super::entry::Entry;
use super::figures::Figures;
use super::ghost::Ghosts;
use super::lease::Leases;
use super::nulls::Nulls;
use super::rules::{Rules, Slot, SlotHint, TableId};
use super::table::{Place, Table};

/// Set for a client when a key that it watches changes.
pub type WatchFlag = Arc<AtomicBool>;

/// A database and a key of it.
type WatchedKey = (u32, Box<[u8]>);

/// What happened in a shard since the last CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Stats {
    /// Reads that found their key.
    pub hits: u64,
    /// Changes since the last snapshot.
    pub changes: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys removed because their deadline had passed.
    pub expired: u64,
    /// Fields of hashes removed because their deadline had passed.
    pub expired_fields: u64,
    /// Keys removed to make room.
    pub evicted: u64,
}

/// Stands for every database.
const EVERY: u32 = u32::MAX;

/// Most keys in [`Shard::dated`].
pub const DATED_MAX: usize = 4096;

/// What is kept of one policy beside its tables, and of keys without one in slot 0.
#[derive(Default)]
pub struct Kept {
    /// What happened to its keys.
    pub figures: Figures,
    /// Keys that it no longer holds.
    pub departed: Departed,
    /// Who may refill which key.
    pub leases: Leases,
    /// The shard's count of misses and removals when all of it in a database was last
    /// removed, by database.
    fences: SmallVec<[(u32, u64); 1]>,
    /// Remembered absences, by database.
    nulls: Vec<Option<Box<Nulls>>>,
}

impl Kept {
    /// When all of it in a database was last removed, by the shard's count of misses and
    /// removals; 0: never.
    #[inline]
    pub fn fence_of(&self, db: u32) -> u64 {
        let about = self
            .fences
            .iter()
            .filter(|(of, _)| [db, EVERY].contains(of));
        about.map(|(_, fence)| *fence).max().unwrap_or(0)
    }

    /// All of it in a database is removed.
    pub fn set_fence(&mut self, db: u32, fence: u64) {
        match self.fences.iter_mut().find(|(of, _)| *of == db) {
            Some((_, there)) => *there = fence,
            None => self.fences.push((db, fence)),
        }
    }

    /// The absences of a database, where there ever were any.
    #[inline]
    pub fn nulls(&self, db: u32) -> Option<&Nulls> {
        self.nulls.get(db as usize)?.as_deref()
    }

    /// Likewise, to be changed.
    #[inline]
    pub fn nulls_mut(&mut self, db: u32) -> Option<&mut Nulls> {
        self.nulls.get_mut(db as usize)?.as_deref_mut()
    }

    /// The absences of a database.
    pub fn make_nulls(&mut self, db: u32) -> &mut Nulls {
        let at = db as usize;
        if at >= self.nulls.len() {
            self.nulls.resize_with(at + 1, || None);
        }
        self.nulls[at].get_or_insert_default()
    }

    /// All absences, by database.
    pub fn all_nulls(&self) -> impl Iterator<Item = (u32, &Nulls)> {
        let all = self.nulls.iter().enumerate();
        all.filter_map(|(db, n)| Some((db as u32, n.as_deref()?)))
    }

    /// Likewise, to be changed.
    pub fn all_nulls_mut(&mut self) -> impl Iterator<Item = (u32, &mut Nulls)> {
        let all = self.nulls.iter_mut().enumerate();
        all.filter_map(|(db, n)| Some((db as u32, n.as_deref_mut()?)))
    }

    /// Forgets absences that are over.
    pub fn drop_over(&mut self, now_ms: u64) {
        for nulls in &mut self.nulls {
            if let Some(some) = nulls {
                some.drop_over(now_ms);
                if some.is_empty() {
                    *nulls = None;
                }
            }
        }
    }
}

/// A policy's part of a shard and database.
pub struct Part<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The table of its values.
    pub table: &'a mut Table,
    /// What is kept beside it.
    pub kept: &'a mut Kept,
    /// The shard's.
    pub stats: &'a mut Stats,
}

/// Where a shard is on its way to a new set of rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settling {
    /// Which kind of table is walked, by [`TableId::index`].
    pub index: usize,
    /// Of which database.
    pub db: u32,
    /// Where in it.
    pub cursor: u64,
}

impl Settling {
    /// Nothing has been walked.
    pub const START: Settling = Settling {
        index: 0,
        db: 0,
        cursor: 0,
    };
}

/// See the head of this file.
///
/// What every command needs comes first, in the cache line of the lock: a line that
/// another processor has changed is what a batch waits for most.
#[repr(C)]
pub struct Shard {
    /// Nothing but plain tables is in use: no policy, and nothing that is invalidated
    /// and still there.
    pub is_plain: bool,
    /// Its tables know which keys are in which slot of a cluster.
    by_slot: bool,
    bits: u8,
    tables: Vec<Option<Box<Table>>>,
    /// What happened here.
    pub stats: Stats,
    /// Those of policies, by [`TableId::index`] - 1 and database.
    policy_tables: Vec<Vec<Option<Box<Table>>>>,
    /// The policies in force.
    pub rules: Arc<Rules>,
    /// Some keys may still be where older rules wanted them, or live as those said.
    pub settling: Option<Settling>,
    /// Keys that got a deadline from a client, or were made to last, while there was
    /// something to settle: they were settled before that, and are not to be again.
    pub dated: HashSet<WatchedKey>,
    /// By slot.
    kept: Vec<Option<Box<Kept>>>,
    /// Where the sweep for what was invalidated stands, and the epoch in which it began.
    pub sweeping: Option<(Settling, u32)>,
    /// The epoch in which the last one began that came to its end.
    pub swept: u32,
    /// Counts misses and removals under policies, to tell which came first.
    pub sequence: u64,
    watched: HashMap<WatchedKey, SmallVec<[WatchFlag; 1]>>,
    /// Tickets of those who wait for a change of a key, by arrival.
    awaited: HashMap<WatchedKey, Vec<u64>>,
    /// What it remembers of entries that were evicted.
    ghosts: Ghosts,
    /// When deadlines were last looked after, in Unix milliseconds.
    pub swept_ms: u64,
}

impl Shard {
    /// An empty shard, one of two to the power of `bits`; in a cluster, `by_slot`, it
    /// knows which keys are in which slot.
    pub fn new(bits: u8, by_slot: bool) -> Shard {
        Shard {
            // The first database is always in use: its table is not to come out of
            // what `maxmemory` leaves for the data.
            tables: vec![Some(new_table(bits, by_slot))],
            policy_tables: Vec::new(),
            bits,
            by_slot,
            is_plain: true,
            rules: Arc::default(),
            settling: None,
            dated: HashSet::new(),
            kept: Vec::new(),
            sweeping: None,
            swept: 0,
            sequence: 0,
            watched: HashMap::new(),
            awaited: HashMap::new(),
            ghosts: Ghosts::default(),
            stats: Stats::default(),
            swept_ms: 0,
        }
    }

    /// A table of a database, where it has ever had a key.
    #[inline]
    pub fn table(&self, db: u32, id: TableId) -> Option<&Table> {
        let tables = match id {
            TableId::PLAIN => &self.tables,
            _ => self.policy_tables.get(id.index() - 1)?,
        };
        tables.get(db as usize)?.as_deref()
    }

    /// A table of a database, where it has ever had a key.
    #[inline]
    pub fn table_mut(&mut self, db: u32, id: TableId) -> Option<&mut Table> {
        let tables = match id {
            TableId::PLAIN => &mut self.tables,
            _ => self.policy_tables.get_mut(id.index() - 1)?,
        };
        tables.get_mut(db as usize)?.as_deref_mut()
    }

    /// The table in which a key's value would be, as far as is known.
    #[inline]
    pub fn home(&self, db: u32, hint: SlotHint) -> Option<&Table> {
        let id = match self.is_plain {
            true => TableId::PLAIN,
            false => TableId::values(self.rules.slot_by_hint(hint)?),
        };
        self.table(db, id)
    }

    /// What a read under a policy goes to, where all of it is there.
    #[inline]
    pub fn part_of(&mut self, db: u32, slot: Slot) -> Option<Part<'_>> {
        let policy = self.rules.get(slot)?;
        let index = TableId::values(slot).index().checked_sub(1)?;
        let tables = self.policy_tables.get_mut(index)?;
        Some(Part {
            policy,
            table: tables.get_mut(db as usize)?.as_deref_mut()?,
            kept: self.kept.get_mut(usize::from(slot))?.as_deref_mut()?,
            stats: &mut self.stats,
        })
    }

    /// A table of a database, made where there is none.
    #[inline]
    pub fn make_table(&mut self, db: u32, id: TableId) -> &mut Table {
        let (at, bits, by_slot) = (db as usize, self.bits, self.by_slot);
        let tables = self.list_of(id);
        if at >= tables.len() {
            tables.resize_with(at + 1, || None);
        }
        tables[at].get_or_insert_with(|| {
            let mut table = new_table(bits, by_slot);
            if id.is_sentinels() {
                table.hold_absences();
            }
            table
        })
    }

    /// A kind of table, by database.
    fn list_of(&mut self, id: TableId) -> &mut Vec<Option<Box<Table>>> {
        let Some(index) = id.index().checked_sub(1) else {
            return &mut self.tables;
        };
        if index >= self.policy_tables.len() {
            self.policy_tables.resize_with(index + 1, Vec::new);
        }
        &mut self.policy_tables[index]
    }

    /// All tables, with their databases.
    pub fn tables(&self) -> impl Iterator<Item = (u32, TableId, &Table)> {
        let lists = std::iter::once(&self.tables).chain(&self.policy_tables);
        lists.enumerate().flat_map(|(index, list)| {
            let tables = list.iter().enumerate();
            tables.filter_map(move |(db, t)| Some((db as u32, TableId::at(index), t.as_deref()?)))
        })
    }

    /// All tables, to be changed.
    pub fn tables_mut(&mut self) -> impl Iterator<Item = (u32, TableId, &mut Table)> {
        let lists = std::iter::once(&mut self.tables).chain(&mut self.policy_tables);
        lists.enumerate().flat_map(|(index, list)| {
            let tables = list.iter_mut().enumerate();
            tables
                .filter_map(move |(db, t)| Some((db as u32, TableId::at(index), t.as_deref_mut()?)))
        })
    }

    /// The tables of a database.
    pub fn tables_of(&self, db: u32) -> impl Iterator<Item = (TableId, &Table)> {
        let lists = std::iter::once(&self.tables).chain(&self.policy_tables);
        lists.enumerate().filter_map(move |(index, list)| {
            Some((TableId::at(index), list.get(db as usize)?.as_deref()?))
        })
    }

    /// Number of keys in a database.
    #[inline]
    pub fn len_of(&self, db: u32) -> usize {
        match self.is_plain {
            true => self.table(db, TableId::PLAIN).map_or(0, Table::len),
            false => self.tables_of(db).map(|(_, t)| t.len()).sum(),
        }
    }

    /// What is kept of a policy beside its tables.
    #[inline]
    pub fn kept(&self, slot: Slot) -> Option<&Kept> {
        self.kept.get(usize::from(slot))?.as_deref()
    }

    /// Likewise, made where it is not there.
    #[inline]
    pub fn kept_mut(&mut self, slot: Slot) -> &mut Kept {
        let at = usize::from(slot);
        if at >= self.kept.len() {
            self.kept.resize_with(at + 1, || None);
        }
        self.kept[at].get_or_insert_default()
    }

    /// Likewise, where it is there.
    #[inline]
    pub fn known_mut(&mut self, slot: Slot) -> Option<&mut Kept> {
        self.kept.get_mut(usize::from(slot))?.as_deref_mut()
    }

    /// Likewise, made where it is a policy's.
    #[inline]
    pub fn known_or_made(&mut self, slot: Slot) -> Option<&mut Kept> {
        match slot {
            0 => self.known_mut(0),
            _ => Some(self.kept_mut(slot)),
        }
    }

    /// Forgets the absences of a policy in a database.
    pub fn forget_nulls(&mut self, slot: Slot, db: u32) {
        let kept = self.known_mut(slot);
        if let Some(nulls) = kept.and_then(|kept| kept.nulls.get_mut(db as usize)) {
            *nulls = None;
        }
    }

    /// Forgets what was kept of policies that are no more.
    pub fn forget_strangers(&mut self) {
        for (slot, kept) in self.kept.iter_mut().enumerate().skip(1) {
            if self.rules.get(slot as Slot).is_none() {
                *kept = None;
            }
        }
    }

    /// Bytes of absences of all policies.
    pub fn null_bytes(&self) -> usize {
        let all = self.kept.iter().flatten().flat_map(|kept| kept.all_nulls());
        all.map(|(_, nulls)| nulls.bytes()).sum()
    }

    /// Bytes of the entries of a kind of table, of all databases.
    pub fn bytes_of(&self, id: TableId) -> usize {
        let of = |db: usize| self.table(db as u32, id).map_or(0, Table::bytes);
        (0..self.databases_of(id)).map(of).sum()
    }

    /// Up to `most` entries of a kind of table from a random place on.
    pub fn sample_of(&self, id: TableId, most: usize, out: &mut Vec<(u32, Place)>) {
        let mut places = Vec::new();
        for db in 0..self.databases_of(id) as u32 {
            if let Some(table) = self.table(db, id).filter(|t| !t.is_empty()) {
                places.clear();
                table.sample(most, false, &mut places);
                out.extend(places.iter().map(|&place| (db, place)));
            }
        }
    }

    /// All that is kept of policies.
    pub fn all_kept_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Kept)> {
        let all = self.kept.iter_mut().enumerate();
        all.filter_map(|(slot, kept)| Some((slot as Slot, kept.as_deref_mut()?)))
    }

    /// Kinds of tables there are, by [`TableId::index`].
    pub fn kinds(&self) -> usize {
        1 + self.policy_tables.len()
    }

    /// Databases that may have a table of a kind.
    pub fn databases_of(&self, id: TableId) -> usize {
        match id.index().checked_sub(1) {
            None => self.tables.len(),
            Some(at) => self.policy_tables.get(at).map_or(0, Vec::len),
        }
    }

    /// Finds out whether it is plain. `is_valid`: nothing is invalidated and may still
    /// be there.
    pub fn note_plain(&mut self, is_valid: bool) {
        let holds_none = || {
            self.kept
                .iter()
                .flatten()
                .all(|kept| kept.nulls.iter().all(Option::is_none))
        };
        self.is_plain =
            is_valid && self.rules.is_empty() && self.settling.is_none() && holds_none();
    }

    /// Walks on over the keys of a database from a cursor, in the tables that are wanted;
    /// `None` at the end. What goes from one table to another in between is met.
    pub fn scan<'a>(
        &'a self,
        db: u32,
        is_wanted: impl Fn(TableId) -> bool,
        cursor: u64,
        visit: impl FnMut(TableId, Entry<'a>),
    ) -> Option<u64> {
        let tables: SmallVec<[(TableId, &Table); 4]> = self
            .tables_of(db)
            .filter(|(id, table)| is_wanted(*id) && !table.is_empty())
            .collect();
        Table::scan_together(&tables, cursor, visit)
    }

    /// Number of keys of a slot in a database.
    pub fn len_of_slot(&self, db: u32, slot: u16) -> usize {
        self.tables_of(db).map(|(_, t)| t.len_of_slot(slot)).sum()
    }

    /// Walks on over the keys of a slot in a database, `most` at once, from a cursor; a
    /// walk begins at 0. `None` at the end. What is there all the time is met.
    pub fn scan_slot<'a>(
        &'a self,
        db: u32,
        slot: u16,
        cursor: u64,
        most: usize,
        mut visit: impl FnMut(TableId, Entry<'a>),
    ) -> Option<u64> {
        let all = hash::digests_in(slot);
        // A cursor is how far behind the first digest it stands.
        let from = all.start().saturating_add(cursor);
        let mut digests = Vec::new();
        for (_, table) in self.tables_of(db) {
            // One more tells whether there is more.
            table.digests_of_slot(slot, from, most.saturating_add(1), &mut digests);
        }
        digests.sort_unstable();
        digests.dedup();
        let is_more = digests.len() > most;
        digests.truncate(most);
        for (id, table) in self.tables_of(db) {
            for &digest in &digests {
                table.each_of(digest, |entry| visit(id, entry));
            }
        }
        let last = digests.last().filter(|_| is_more);
        last.map(|last| last - all.start() + 1)
    }

    /// The next number of [`Shard::sequence`].
    #[inline]
    pub fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Whether a key is where the rules in force want it, for all that is known without
    /// looking at it.
    pub fn is_settled(&self, db: u32, key: &[u8]) -> bool {
        self.settling.is_none() || !self.dated.is_empty() && self.dated.contains(&(db, key.into()))
    }

    /// Number of entries in all databases.
    pub fn len(&self) -> usize {
        self.tables().map(|(_, _, t)| t.len()).sum()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Remembers an entry that is evicted.
    pub fn remember(&mut self, db: u32, digest: u64, what: u8) {
        let entries = self.len();
        self.ghosts.resize(entries);
        self.ghosts.insert(ghost_digest(db, digest), what);
    }

    /// What is remembered of a key that comes back.
    pub fn recall(&mut self, db: u32, digest: u64) -> Option<u8> {
        self.ghosts.take(ghost_digest(db, digest))
    }

    /// Up to `most` entries from a random place on, of all databases in
    /// proportion; only those with a deadline where `volatile` is set.
    ///
    /// Where policies have priorities, only those of the lowest that there are.
    pub fn sample(&self, most: usize, volatile: bool, out: &mut Vec<(u32, TableId, Place)>) {
        let weight = |t: &Table| if volatile { t.volatile() } else { t.len() };
        let priority = |id: TableId| match self.rules.get(id.slot()) {
            Some(policy) => policy.priority,
            None => Priority::Normal,
        };
        let there = || self.tables().filter(|(_, _, t)| weight(t) > 0);
        let lowest = match self.is_plain {
            true => None,
            false => there().map(|(_, id, _)| priority(id)).min(),
        };
        let chosen = || there().filter(|(_, id, _)| lowest.is_none_or(|l| priority(*id) == l));
        let all: usize = chosen().map(|(_, _, t)| weight(t)).sum();
        let mut places = Vec::new();
        for (db, id, table) in chosen() {
            let share = (most * weight(table)).div_ceil(all.max(1));
            if share > 0 {
                places.clear();
                table.sample(share, volatile, &mut places);
                out.extend(places.iter().map(|&place| (db, id, place)));
            }
        }
    }

    /// Takes a table out with all its keys; dropping it is the caller's.
    pub fn take_table(&mut self, db: u32, id: TableId) -> Option<Box<Table>> {
        let table = self.list_of(id).get_mut(db as usize)?.take()?;
        if !table.is_empty() {
            self.touch_all_watched(|d| d == db, Some(&table));
        }
        Some(table)
    }

    /// Takes a database's keys out, all at once, and forgets its absences.
    pub fn take_tables(&mut self, db: u32) -> Vec<Box<Table>> {
        let fence = self.next_sequence();
        for kept in self.kept.iter_mut().flatten() {
            kept.set_fence(db, fence);
            kept.figures.leases_removed += kept.leases.end_of(db) as u64;
            if let Some(nulls) = kept.nulls.get_mut(db as usize) {
                *nulls = None;
            }
        }
        (0..=self.policy_tables.len())
            .filter_map(|index| self.take_table(db, TableId::at(index)))
            .collect()
    }

    /// All keys of all databases are removed, also of those that hold none: who is about
    /// to bring one has missed that.
    pub fn fence_all(&mut self) {
        let fence = self.next_sequence();
        for kept in self.kept.iter_mut().flatten() {
            kept.fences.clear();
            kept.set_fence(EVERY, fence);
            kept.figures.leases_removed += kept.leases.len() as u64;
            kept.leases.clear();
        }
    }

    /// Exchanges two databases.
    pub fn swap_tables(&mut self, a: u32, b: u32) {
        fn swap<T>(list: &mut Vec<Option<T>>, a: u32, b: u32) {
            let most = a.max(b) as usize;
            if most >= list.len() {
                list.resize_with(most + 1, || None);
            }
            list.swap(a as usize, b as usize);
        }
        for list in std::iter::once(&mut self.tables).chain(&mut self.policy_tables) {
            swap(list, a, b);
        }
        for kept in self.kept.iter_mut().flatten() {
            swap(&mut kept.nulls, a, b);
            // Whoever missed a key before does not know of the other database's.
            let fence = kept.fence_of(a).max(kept.fence_of(b));
            kept.set_fence(a, fence);
            kept.set_fence(b, fence);
        }
        // What walks over databases might have passed one by and never meet its keys.
        self.sweeping = None;
        self.settling = self.settling.map(|_| Settling::START);
        let watched = std::mem::take(&mut self.watched);
        for ((db, key), flags) in watched {
            if (db == a || db == b) && (self.holds(a, &key) || self.holds(b, &key)) {
                flags.iter().for_each(|f| f.store(true, Ordering::Relaxed));
            }
            self.watched.insert((db, key), flags);
        }
    }

    /// Whether any table of a database has a key.
    fn holds(&self, db: u32, key: &[u8]) -> bool {
        let digest = hash::digest(key);
        self.tables_of(db)
            .any(|(_, t)| t.find(digest, key).is_some())
    }

    /// From now on a change of the key sets `flag`; false where it did already.
    pub fn watch(&mut self, db: u32, key: &[u8], flag: &WatchFlag) -> bool {
        let flags = self.watched.entry((db, key.into())).or_default();
        let is_new = !flags.iter().any(|f| Arc::ptr_eq(f, flag));
        if is_new {
            flags.push(flag.clone());
        }
        is_new
    }

    /// Ends [`Shard::watch`] for this flag.
    pub fn unwatch(&mut self, db: u32, key: &[u8], flag: &WatchFlag) {
        let key = (db, key.into());
        if let Some(flags) = self.watched.get_mut(&key) {
            flags.retain(|f| !Arc::ptr_eq(f, flag));
            if flags.is_empty() {
                self.watched.remove(&key);
            }
        }
    }

    /// Tells whoever watches a key of a database that `is_concerned` names.
    pub fn touch_watched_if(&mut self, db: u32, is_concerned: impl Fn(&[u8]) -> bool) {
        for ((d, key), flags) in &self.watched {
            if *d == db && is_concerned(key) && self.holds(db, key) {
                flags.iter().for_each(|f| f.store(true, Ordering::Relaxed));
            }
        }
    }

    /// The keys that clients watch in one of two databases.
    pub fn watched_in(&self, a: u32, b: u32) -> Vec<Box<[u8]>> {
        let watched = self.watched.keys();
        watched
            .filter(|(db, _)| *db == a || *db == b)
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// Number of keys that clients watch.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    /// Puts a ticket behind those that wait for a change of the key.
    pub fn wait(&mut self, db: u32, key: &[u8], ticket: u64) {
        let tickets = self.awaited.entry((db, key.into())).or_default();
        if !tickets.contains(&ticket) {
            tickets.push(ticket);
        }
    }

    /// Takes a ticket back.
    pub fn stop_waiting(&mut self, db: u32, key: &[u8], ticket: u64) {
        let key = (db, key.into());
        if let Some(tickets) = self.awaited.get_mut(&key) {
            tickets.retain(|&t| t != ticket);
            if tickets.is_empty() {
                self.awaited.remove(&key);
            }
        }
    }

    /// The tickets that wait for a change of the key, by arrival.
    pub fn awaited(&self, db: u32, key: &[u8]) -> Vec<u64> {
        let tickets = self.awaited.get(&(db, key.into()));
        tickets.cloned().unwrap_or_default()
    }

    /// Whether anybody waits for a change of the key.
    #[inline]
    pub fn is_awaited(&self, db: u32, key: &[u8]) -> bool {
        !self.awaited.is_empty() && self.awaited.contains_key(&(db, key.into()))
    }

    /// The keys whose change somebody waits for.
    pub fn all_awaited(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.awaited.keys().map(|(db, key)| (*db, &**key))
    }

    /// Tells whoever watches the key that it changed.
    #[inline]
    pub fn touch(&self, db: u32, key: &[u8]) {
        if !self.watched.is_empty() {
            self.touch_watched(db, key);
        }
    }

    #[cold]
    fn touch_watched(&self, db: u32, key: &[u8]) {
        if let Some(flags) = self.watched.get(&(db, key.into())) {
            flags.iter().for_each(|f| f.store(true, Ordering::Relaxed));
        }
    }

    fn touch_all_watched(&self, db: impl Fn(u32) -> bool, gone: Option<&Table>) {
        for ((d, key), flags) in &self.watched {
            let was_there = gone.is_none_or(|t| t.find(hash::digest(key), key).is_some());
            if db(*d) && was_there {
                flags.iter().for_each(|f| f.store(true, Ordering::Relaxed));
            }
        }
    }
}

fn new_table(bits: u8, by_slot: bool) -> Box<Table> {
    Box::new(match by_slot {
        true => Table::by_slot(bits),
        false => Table::new(bits),
    })
}

/// The top bits of a digest are the shard's own and tell nothing apart in it.
fn ghost_digest(db: u32, digest: u64) -> u64 {
    digest.rotate_left(16) ^ u64::from(db).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
