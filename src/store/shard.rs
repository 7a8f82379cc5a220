//! A shard: the part of every database whose keys' digests begin alike, and all
//! that is kept beside it under one lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use super::ghost::Ghosts;
use super::table::{Place, Table};

/// Set for a client when a key that it watches changes.
pub type WatchFlag = Arc<AtomicBool>;

/// A database and a key of it.
type WatchedKey = (u32, Box<[u8]>);

/// What happened in a shard since the last CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys removed because their deadline had passed.
    pub expired: u64,
    /// Fields of hashes removed because their deadline had passed.
    pub expired_fields: u64,
    /// Keys removed to make room.
    pub evicted: u64,
    /// Changes since the last snapshot.
    pub changes: u64,
}

/// See the head of this file.
pub struct Shard {
    tables: Vec<Option<Box<Table>>>,
    bits: u8,
    watched: HashMap<WatchedKey, SmallVec<[WatchFlag; 1]>>,
    /// Tickets of those who wait for a change of a key, by arrival.
    awaited: HashMap<WatchedKey, Vec<u64>>,
    /// What it remembers of entries that were evicted.
    ghosts: Ghosts,
    /// What happened here.
    pub stats: Stats,
    /// When deadlines were last looked after, in Unix milliseconds.
    pub swept_ms: u64,
}

impl Shard {
    /// An empty shard, one of two to the power of `bits`.
    pub fn new(bits: u8) -> Shard {
        Shard {
            // The first database is always in use: its table is not to come out of
            // what `maxmemory` leaves for the data.
            tables: vec![Some(Box::new(Table::new(bits)))],
            bits,
            watched: HashMap::new(),
            awaited: HashMap::new(),
            ghosts: Ghosts::default(),
            stats: Stats::default(),
            swept_ms: 0,
        }
    }

    /// A database's table, where it has ever had a key.
    #[inline]
    pub fn table(&self, db: u32) -> Option<&Table> {
        self.tables.get(db as usize)?.as_deref()
    }

    /// A database's table, where it has ever had a key.
    #[inline]
    pub fn table_mut(&mut self, db: u32) -> Option<&mut Table> {
        self.tables.get_mut(db as usize)?.as_deref_mut()
    }

    /// A database's table, made where there is none.
    #[inline]
    pub fn make_table(&mut self, db: u32) -> &mut Table {
        let at = db as usize;
        if at >= self.tables.len() {
            self.tables.resize_with(at + 1, || None);
        }
        let bits = self.bits;
        self.tables[at].get_or_insert_with(|| Box::new(Table::new(bits)))
    }

    /// The databases that have a table.
    pub fn tables(&self) -> impl Iterator<Item = (u32, &Table)> {
        self.tables
            .iter()
            .enumerate()
            .filter_map(|(db, t)| Some((db as u32, t.as_deref()?)))
    }

    /// The databases that have a table, to be changed.
    pub fn tables_mut(&mut self) -> impl Iterator<Item = (u32, &mut Table)> {
        self.tables
            .iter_mut()
            .enumerate()
            .filter_map(|(db, t)| Some((db as u32, t.as_deref_mut()?)))
    }

    /// Number of entries in all databases.
    pub fn len(&self) -> usize {
        self.tables().map(|(_, t)| t.len()).sum()
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
    pub fn sample(&self, most: usize, volatile: bool, out: &mut Vec<(u32, Place)>) {
        let weight = |t: &Table| if volatile { t.volatile() } else { t.len() };
        let all: usize = self.tables().map(|(_, t)| weight(t)).sum();
        let mut places = Vec::new();
        for (db, table) in self.tables() {
            let share = (most * weight(table)).div_ceil(all.max(1));
            if share > 0 {
                places.clear();
                table.sample(share, volatile, &mut places);
                out.extend(places.iter().map(|&place| (db, place)));
            }
        }
    }

    /// Takes a database's keys out, all at once; dropping them is the caller's.
    pub fn take_table(&mut self, db: u32) -> Option<Box<Table>> {
        let table = self.tables.get_mut(db as usize)?.take()?;
        if !table.is_empty() {
            self.touch_all_watched(|d| d == db, Some(&table));
        }
        Some(table)
    }

    /// Exchanges two databases.
    pub fn swap_tables(&mut self, a: u32, b: u32) {
        let most = a.max(b) as usize;
        if most >= self.tables.len() {
            self.tables.resize_with(most + 1, || None);
        }
        self.tables.swap(a as usize, b as usize);
        let watched = std::mem::take(&mut self.watched);
        for ((db, key), flags) in watched {
            let there = |db| {
                self.table(db)
                    .is_some_and(|t| t.find(crate::base::hash::digest(&key), &key).is_some())
            };
            if (db == a || db == b) && (there(a) || there(b)) {
                flags.iter().for_each(|f| f.store(true, Ordering::Relaxed));
            }
            self.watched.insert((db, key), flags);
        }
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
            let was_there =
                gone.is_none_or(|t| t.find(crate::base::hash::digest(key), key).is_some());
            if db(*d) && was_there {
                flags.iter().for_each(|f| f.store(true, Ordering::Relaxed));
            }
        }
    }
}

/// The top bits of a digest are the shard's own and tell nothing apart in it.
fn ghost_digest(db: u32, digest: u64) -> u64 {
    digest.rotate_left(16) ^ u64::from(db).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
