//! The keyspace: all shards, and how they are locked.
//!
//! **Lock order.** Whoever holds more than one shard took them by rising index.
//! The whole keyspace is the same thing carried to its end: every shard, by
//! rising index. There is no second lock, so an ordinary command pays for no
//! gate, and no two holders can wait for each other.

use std::cell::Cell;
use std::convert::Infallible;
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};
use smallvec::SmallVec;

use super::eviction::Evictor;
use super::invalidation::Invalidations;
use super::libraries::Libraries;
use super::memory;
use super::rules::{Rules, SlotHint};
use super::shard::{Settling, Shard};
use crate::base::{clock, hash};

/// A lock is held for so long at most while nothing unusual goes on.
const BRIEFLY: Duration = Duration::from_micros(50);

/// Keeps neighbours off each other's cache lines (two lines: they are fetched in pairs).
#[repr(align(128))]
struct Padded<T>(T);

/// See the head of this file.
pub struct Keyspace {
    shards: Box<[Padded<Mutex<Shard>>]>,
    bits: u8,
    evictor: Evictor,
    libraries: Libraries,
    /// Workers that wait for a shard for longer than usual.
    waiting: [AtomicBool; WORKERS_MAX],
    invalidations: RwLock<Invalidations>,
    /// Their epochs, of all and of patterns: written under all shards' locks.
    epochs: AtomicU64,
    /// Bytes that absences may take.
    null_bytes_max: AtomicUsize,
    /// Whether they were promised that much, by the configuration or by a policy.
    promises_nulls: [AtomicBool; 2],
    /// The policies in force, as every shard has them too. Written under all shards'
    /// locks; whoever holds this one takes no other.
    rules: RwLock<Arc<Rules>>,
    /// Whether there is any policy.
    governed: AtomicBool,
    /// Whether any is for some users alone.
    asks_for_users: AtomicBool,
}

/// Policies that are about to be in force ([`Keyspace::replace_rules`]).
pub struct NewRules(Arc<Rules>);

impl NewRules {
    /// Puts them in force in a shard.
    pub fn govern(&self, shard: &mut Shard) {
        shard.rules = self.0.clone();
        shard.settling = Some(Settling::START);
        shard.dated.clear();
        shard.is_plain = false;
    }
}

/// Between two looks at why a shard cannot be had.
const PATIENCE: Duration = Duration::from_millis(5);
/// Workers that there can be.
const WORKERS_MAX: usize = 256;

/// Shards that are locked together.
pub type Locked<'a> = Held<MutexGuard<'a, Shard>>;

/// Shards that are held without an allocation. A transaction, which is moved about
/// for every command, has room for all of them.
const HELD: usize = 4;

/// What is locked together, by guards `G`: the tests lock something else.
pub enum Held<G> {
    /// None of them.
    None,
    /// One: nearly every command.
    One(usize, G),
    /// Some, by rising index.
    Some(SmallVec<[(usize, G); HELD]>),
    /// All of them.
    All(Vec<G>),
}

impl Keyspace {
    /// An empty keyspace of at least `shards` shards: a power of two. In a cluster a
    /// slot lies in one shard: that is said before ([`hash::place_by_slot`]).
    pub fn new(shards: usize) -> Keyspace {
        let shards = shards.clamp(1, 1 << 10).next_power_of_two();
        let bits = shards.trailing_zeros() as u8;
        let by_slot = hash::places_by_slot();
        Keyspace {
            shards: (0..shards)
                .map(|_| Padded(Mutex::new(Shard::new(bits, by_slot))))
                .collect(),
            bits,
            evictor: Evictor::default(),
            libraries: Libraries::default(),
            waiting: [const { AtomicBool::new(false) }; WORKERS_MAX],
            invalidations: RwLock::default(),
            epochs: AtomicU64::new(0),
            null_bytes_max: AtomicUsize::new(usize::MAX),
            promises_nulls: Default::default(),
            rules: RwLock::default(),
            governed: AtomicBool::new(false),
            asks_for_users: AtomicBool::new(false),
        }
    }

    /// The policies in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.read().clone()
    }

    /// Bytes that absences of all policies may take.
    pub fn null_bytes_max(&self) -> usize {
        self.null_bytes_max.load(Ordering::Relaxed)
    }

    /// Says how many bytes absences may take, and whether data keeps clear of them before
    /// there is an absence.
    pub fn set_null_bytes_max(&self, bytes: usize, is_promised: bool) {
        self.null_bytes_max.store(bytes, Ordering::Relaxed);
        self.promises_nulls[0].store(is_promised, Ordering::Relaxed);
    }

    /// Bytes that data leaves to absences still to come, so that none of them pushes out
    /// data: what they do not use yet of their share, if there are any or they were
    /// promised it.
    pub fn null_reserve(&self) -> usize {
        let used = memory::absence_bytes();
        let is_promised = |by: &AtomicBool| by.load(Ordering::Relaxed);
        match used > 0 || self.promises_nulls.iter().any(is_promised) {
            true => self.null_bytes_max().saturating_sub(used),
            false => 0,
        }
    }

    /// Whether there is any policy.
    #[inline]
    pub fn is_governed(&self) -> bool {
        self.governed.load(Ordering::Relaxed)
    }

    /// Whether any policy is for some users alone.
    #[inline]
    pub fn asks_for_users(&self) -> bool {
        self.asks_for_users.load(Ordering::Relaxed)
    }

    /// Puts other policies in force, at once. What is there is brought to where they
    /// want it when it is next found, or in the background.
    pub fn set_rules(&self, rules: Rules) {
        if rules.is_empty() && !self.is_governed() {
            return;
        }
        let set = self.change_rules(|_| Ok::<_, Infallible>(Some(rules)));
        let Ok(()) = set;
    }

    /// Puts those policies in force that `change` makes of the present ones, if any;
    /// nobody else changes them meanwhile. The caller holds no shard.
    pub fn change_rules<E>(
        &self,
        change: impl FnOnce(&Rules) -> Result<Option<Rules>, E>,
    ) -> Result<(), E> {
        let mut locked = self.lock_all();
        if let Some(rules) = change(&self.rules())? {
            self.replace_rules(rules, |index, new| new.govern(locked.shard_mut(index)));
        }
        Ok(())
    }

    /// Puts policies in force, for who holds every shard: `each` is called for each of
    /// them and hands it what is given.
    pub fn replace_rules(&self, rules: Rules, mut each: impl FnMut(usize, &NewRules)) {
        let rules = Arc::new(rules);
        self.governed.store(!rules.is_empty(), Ordering::Relaxed);
        let asks = rules.all().any(|(_, policy)| !policy.users.is_empty());
        self.asks_for_users.store(asks, Ordering::Relaxed);
        let nulls = rules.all().any(|(_, p)| !p.null_values.is_empty());
        self.promises_nulls[1].store(nulls, Ordering::Relaxed);
        *self.rules.write() = rules.clone();
        let new = NewRules(rules);
        (0..self.len()).for_each(|index| each(index, &new));
    }

    /// The libraries of functions.
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// Invalidations. Changed under all shards' locks ([`Keyspace::change_invalidations`]).
    pub fn invalidations(&self) -> &RwLock<Invalidations> {
        &self.invalidations
    }

    /// The current epochs of entries with a note and of those without.
    #[inline]
    pub fn epochs(&self) -> (u32, u8) {
        let both = self.epochs.load(Ordering::Relaxed);
        ((both >> 8) as u32, both as u8)
    }

    /// Changes what is invalidated, under all shards' locks, which the caller holds.
    pub fn change_invalidations<R>(
        &self,
        locked: &mut Locked<'_>,
        change: impl FnOnce(&mut Invalidations) -> R,
    ) -> R {
        let Held::All(shards) = locked else {
            undeclared();
        };
        let mut invalidations = self.invalidations.write();
        let result = change(&mut invalidations);
        let both = u64::from(invalidations.epoch()) << 8 | u64::from(invalidations.plain_epoch());
        self.epochs.store(both, Ordering::Relaxed);
        for shard in shards.iter_mut() {
            shard.note_plain(invalidations.is_empty());
        }
        result
    }

    /// What goes when memory is full.
    #[inline]
    pub fn evictor(&self) -> &Evictor {
        &self.evictor
    }

    /// Number of shards.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Never: there is always a shard.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The shard of a key.
    #[inline]
    pub fn shard_of(&self, digest: u64) -> usize {
        // In two steps, since a shift by 64 is none.
        (digest >> 1 >> (63 - self.bits)) as usize
    }

    /// The shard of a slot's keys, in a cluster.
    pub fn shard_of_slot(&self, slot: u16) -> usize {
        self.shard_of(*hash::digests_in(slot).start())
    }

    /// Whether nobody holds the first shard now, for tests.
    #[cfg(test)]
    pub fn is_free(&self) -> bool {
        !self.shards[0].0.is_locked()
    }

    /// Locks one shard.
    #[inline]
    pub fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[shard].0;
        match shard.try_lock_for(BRIEFLY) {
            Some(guard) => guard,
            None => self.wait_for(shard),
        }
    }

    /// As [`Keyspace::lock`], but from time to time, as long as it cannot be had, who asks
    /// may give it up.
    #[inline]
    pub fn lock_unless(
        &self,
        shard: usize,
        gives_up: impl FnMut() -> bool,
    ) -> Option<MutexGuard<'_, Shard>> {
        let mutex = &self.shards[shard].0;
        match mutex.try_lock_for(BRIEFLY) {
            None => insist(mutex, gives_up),
            guard => guard,
        }
    }

    /// Whether somebody has a shard at this moment.
    #[inline]
    pub fn is_locked(&self, shard: usize) -> bool {
        self.shards[shard].0.is_locked()
    }

    /// Whether a shard could be had within a time.
    pub fn is_free_within(&self, shard: usize, time: Duration) -> bool {
        self.shards[shard].0.try_lock_for(time).is_some()
    }

    /// Locks the shards named, in any order and with repetitions.
    pub fn lock_some(&self, shards: &mut SmallVec<[usize; 16]>) -> Locked<'_> {
        Held::some(shards, self.len(), |i| self.lock(i))
    }

    /// Locks the whole keyspace.
    pub fn lock_all(&self) -> Locked<'_> {
        Held::all(self.len(), |i| self.lock(i))
    }

    /// Asks the processor for keys' entries: first for all of their lines, then,
    /// by what those say, for the entries. `alone`: nobody else takes locks
    /// often, so that one round of all of them is cheaper than two for each key.
    pub fn prefetch(
        &self,
        db: u32,
        keys: impl Iterator<Item = (u64, SlotHint)> + Clone,
        alone: bool,
    ) {
        let noted = self.is_governed();
        if alone && keys.clone().nth(self.len() / 4).is_some() {
            let shards: SmallVec<[_; 32]> = self.shards.iter().map(|s| s.0.lock()).collect();
            let home =
                |(digest, hint)| Some((digest, shards[self.shard_of(digest)].home(db, hint)?));
            let homes: SmallVec<[_; 64]> = keys.filter_map(home).collect();
            for (digest, table) in &homes {
                table.prefetch_line(*digest);
            }
            for (digest, table) in &homes {
                table.prefetch_entry(*digest, noted);
            }
            return;
        }
        for (digest, hint) in keys.clone() {
            if let Some(table) = self.lock(self.shard_of(digest)).home(db, hint) {
                table.prefetch_line(digest);
            }
        }
        for (digest, hint) in keys {
            if let Some(table) = self.lock(self.shard_of(digest)).home(db, hint) {
                table.prefetch_entry(digest, noted);
            }
        }
    }
}

/// Tries to lock again and again.
#[cold]
fn insist(
    shard: &Mutex<Shard>,
    mut gives_up: impl FnMut() -> bool,
) -> Option<MutexGuard<'_, Shard>> {
    loop {
        let guard = clock::aside(|| shard.try_lock_for(PATIENCE));
        if guard.is_some() || gives_up() {
            return guard;
        }
    }
}

thread_local! {
    /// The worker whose thread this is.
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Says that this thread is a worker's from now on.
pub fn be_worker(index: usize) {
    WORKER.set(Some(index));
}

impl Keyspace {
    /// Who waits for longer does so at the expense of whoever holds the lock.
    #[cold]
    fn wait_for<'a>(&self, shard: &'a Mutex<Shard>) -> MutexGuard<'a, Shard> {
        let waits = WORKER.get().and_then(|index| self.waiting.get(index));
        if let Some(waits) = waits {
            waits.store(true, Ordering::Release);
        }
        let guard = clock::aside(|| shard.lock());
        if let Some(waits) = waits {
            waits.store(false, Ordering::Release);
        }
        guard
    }

    /// Whether a worker's thread waits for a shard that somebody holds for long.
    pub fn makes_wait(&self, worker: usize) -> bool {
        let waits = self.waiting.get(worker);
        waits.is_some_and(|waits| waits.load(Ordering::Acquire))
    }
}

impl<G> Held<G> {
    /// Locks those named, of `count` in all: the one place that knows the order.
    #[inline]
    fn some(shards: &mut SmallVec<[usize; 16]>, count: usize, lock: impl Fn(usize) -> G) -> Self {
        shards.sort_unstable();
        shards.dedup();
        match shards[..] {
            [] => Held::None,
            [one] => Held::One(one, lock(one)),
            _ if shards.len() == count => Held::all(count, lock),
            _ => Held::Some(shards.iter().map(|&i| (i, lock(i))).collect()),
        }
    }

    /// Locks all of `count`.
    fn all(count: usize, lock: impl Fn(usize) -> G) -> Self {
        Held::All((0..count).map(lock).collect())
    }
}

impl<G: DerefMut> Held<G> {
    /// A shard among those locked.
    ///
    /// # Panics
    /// Where it is not: a command touched a key that it did not declare.
    #[inline]
    pub fn shard(&self, index: usize) -> &G::Target {
        match self {
            Held::One(i, shard) if *i == index => shard,
            Held::Some(shards) => match shards.binary_search_by_key(&index, |(i, _)| *i) {
                Ok(at) => &shards[at].1,
                Err(_) => undeclared(),
            },
            Held::All(shards) => &shards[index],
            _ => undeclared(),
        }
    }

    /// As [`Held::shard`], to be changed.
    #[inline]
    pub fn shard_mut(&mut self, index: usize) -> &mut G::Target {
        match self {
            Held::One(i, shard) if *i == index => shard,
            Held::Some(shards) => match shards.binary_search_by_key(&index, |(i, _)| *i) {
                Ok(at) => &mut shards[at].1,
                Err(_) => undeclared(),
            },
            Held::All(shards) => &mut shards[index],
            _ => undeclared(),
        }
    }
}

#[cold]
fn undeclared() -> ! {
    panic!("a command touched a key that it did not declare")
}

#[cfg(test)]
mod tests;
