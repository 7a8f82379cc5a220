//! Eviction: what goes when memory is full.
//!
//! An entry carries a record of 32 bits, which a hit rewrites and nothing else;
//! its meaning is the policy's:
//!
//! | policy | record | who goes |
//! |---|---|---|
//! | `larder` | [`learned`] | the least learned worth for its bytes |
//! | `*-lru` | time of the last use, counted in accesses | the longest unused, and rather what was never used |
//! | `*-lfu` | [`records::LfuRecord`] | the least counted |
//! | `*-random`, `volatile-ttl` | as `*-lru` | any; the next to expire |
//!
//! While `maxmemory` is not set nothing can go, and the record is the time of
//! the last use in sixteenths of a second, whatever the policy: OBJECT IDLETIME
//! is exact then. Otherwise time is counted in accesses, which serves eviction
//! better, and IDLETIME is read off a list of moments at which the count was noted.
//!
//! **Invariant:** knows no lock of a shard; the caller samples and removes.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::base::clock;

pub mod learned;
mod observatory;
pub mod records;

use learned::{GhostRecord, Now, Policy, Record};
use records::{LfuConfig, LfuRecord, LruRecord};

/// A policy by what it compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Order {
    /// Nothing goes, so far as this order is concerned: only times are kept.
    Time,
    Learned,
    Lru,
    Lfu,
    Random,
    Ttl,
}

/// What is looked at of an entry that might go.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its record.
    pub access: u32,
    /// What removing it frees.
    pub bytes: u32,
    /// When it goes anyway, in Unix milliseconds.
    pub deadline: Option<u64>,
}

/// See the head of this file. Every field is read and written by anybody, each
/// for itself; a reader that sees an old one chooses a little worse.
pub struct Evictor {
    order: AtomicU8,
    /// 1 where only keys with a deadline may go, 2 where none may.
    which: AtomicU8,
    policy: Policy,
    /// Unix time in sixteenths of a second.
    time: AtomicU32,
    lfu_log_factor: AtomicU32,
    lfu_decay_minutes: AtomicU32,
    /// (ticks, Unix seconds), rising: at most [`MOMENTS`].
    moments: Mutex<Vec<(u32, u64)>>,
}

/// How many moments are kept: the older, the farther apart.
const MOMENTS: usize = 256;

impl Default for Evictor {
    fn default() -> Evictor {
        let evictor = Evictor {
            order: AtomicU8::new(Order::Time as u8),
            which: AtomicU8::new(0),
            policy: Policy::default(),
            time: AtomicU32::new(0),
            lfu_log_factor: AtomicU32::new(10),
            lfu_decay_minutes: AtomicU32::new(1),
            moments: Mutex::default(),
        };
        evictor.set_time(clock::unix_ms());
        evictor
    }
}

impl Evictor {
    /// Takes a policy by the name that `maxmemory-policy` gives it. `bounded`:
    /// whether `maxmemory` is set.
    pub fn configure(&self, name: &str, bounded: bool, lfu: LfuConfig) {
        let which = match name {
            "noeviction" => 2,
            _ => u8::from(name.starts_with("volatile-")),
        };
        let order = match name.rsplit('-').next() {
            // Redis shows frequencies under an LFU policy even without a limit.
            Some("lfu") => Order::Lfu,
            _ if !bounded => Order::Time,
            Some("lru") => Order::Lru,
            Some("random") => Order::Random,
            Some("ttl") => Order::Ttl,
            Some("larder") => Order::Learned,
            _ => Order::Time,
        };
        self.which.store(which, Ordering::Relaxed);
        self.order.store(order as u8, Ordering::Relaxed);
        self.lfu_log_factor.store(lfu.log_factor, Ordering::Relaxed);
        self.lfu_decay_minutes
            .store(lfu.decay_minutes, Ordering::Relaxed);
    }

    #[inline]
    fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            1 => Order::Learned,
            2 => Order::Lru,
            3 => Order::Lfu,
            4 => Order::Random,
            5 => Order::Ttl,
            _ => Order::Time,
        }
    }

    fn lfu(&self) -> LfuConfig {
        LfuConfig {
            log_factor: self.lfu_log_factor.load(Ordering::Relaxed),
            decay_minutes: self.lfu_decay_minutes.load(Ordering::Relaxed),
        }
    }

    fn minute(&self) -> u32 {
        self.time.load(Ordering::Relaxed) / (16 * 60)
    }

    /// How many entries are worth a look before one goes, where `configured` says how many
    /// neighbourhoods of so many are to be. LRU is served better by few, as Redis has it:
    /// chance keeps it from losing all of a loop that is larger than the cache.
    pub fn samples(&self, configured: usize, neighbours: usize) -> usize {
        match self.order() {
            Order::Lru => configured,
            _ => (configured * neighbours).max(learned::SAMPLES),
        }
    }

    /// Whether only keys with a deadline may go.
    pub fn is_volatile_only(&self) -> bool {
        self.which.load(Ordering::Relaxed) == 1
    }

    /// Whether nothing may go.
    pub fn is_forbidden(&self) -> bool {
        self.which.load(Ordering::Relaxed) == 2
    }

    /// Whether records count uses (OBJECT FREQ) rather than time them.
    pub fn is_lfu(&self) -> bool {
        self.order() == Order::Lfu
    }

    /// Tells the time, in Unix milliseconds; once a batch.
    #[inline]
    pub fn set_time(&self, now_ms: u64) {
        let time = (now_ms / 62) as u32; // about a sixteenth of a second
        if self.time.load(Ordering::Relaxed) != time {
            self.time.store(time, Ordering::Relaxed);
        }
    }

    /// Counts commands, for the clock of those orders that count accesses.
    #[inline]
    pub fn advance(&self, commands: u32) {
        self.policy.advance(commands);
    }

    /// Tells how many entries there are, while memory is scarce.
    pub fn set_entries(&self, entries: usize) {
        self.policy.set_entries(entries);
    }

    /// Notes the moment, once a second, so that idle times can be told later.
    pub fn note_moment(&self) {
        // Time passes even where nothing is used.
        self.policy.advance(1);
        let mut moments = self.moments.lock();
        moments.push((self.policy.now().0, clock::unix_ms() / 1000));
        if moments.len() > MOMENTS {
            // Every other one of the older half goes.
            let mut i = 0;
            moments.retain(|_| {
                i += 1;
                i > MOMENTS / 2 || i % 2 == 0
            });
        }
    }

    /// The record of a new entry, with what its ghost knew.
    pub fn on_insert(&self, digest: u64, ghost: Option<u8>) -> u32 {
        match self.order() {
            Order::Time => self.time.load(Ordering::Relaxed),
            Order::Learned => {
                let now = self.policy.now();
                self.observe(digest, now);
                Record::on_insert(ghost.map(GhostRecord), now).0
            }
            Order::Lru | Order::Random | Order::Ttl => LruRecord::inserted(self.policy.now().0).0,
            Order::Lfu => LfuRecord::on_insert(self.minute()).0,
        }
    }

    /// The record of an entry that was used.
    #[inline]
    pub fn on_hit(&self, digest: u64, access: u32) -> u32 {
        match self.order() {
            Order::Time => self.time.load(Ordering::Relaxed),
            Order::Learned => {
                let now = self.policy.now();
                self.observe(digest, now);
                Record(access).on_hit(now).0
            }
            Order::Lru | Order::Random | Order::Ttl => LruRecord::used(self.policy.now().0).0,
            Order::Lfu => {
                let random = clock::random() as u32;
                LfuRecord(access)
                    .on_hit(self.minute(), random, self.lfu())
                    .0
            }
        }
    }

    #[inline]
    fn observe(&self, digest: u64, now: Now) {
        if self.policy.samples(digest) {
            self.policy.observe(digest, now);
        }
    }

    /// What to remember of an entry that goes; `None` where the policy would not ask.
    pub fn ghost(&self, access: u32) -> Option<u8> {
        (self.order() == Order::Learned).then(|| Record(access).ghost().0)
    }

    /// Which of the candidates goes.
    pub fn choose(&self, candidates: &[Candidate]) -> Option<usize> {
        let now = self.policy.now();
        let mut all = candidates.iter().enumerate();
        let chosen = match self.order() {
            Order::Learned => {
                let samples: smallvec::SmallVec<[learned::Sample; 64]> = candidates
                    .iter()
                    .map(|c| learned::Sample {
                        record: Record(c.access),
                        bytes: c.bytes,
                    })
                    .collect();
                return self.policy.choose(&samples, now);
            }
            Order::Lru => all.max_by_key(|(_, c)| LruRecord(c.access).age(now.0)),
            Order::Lfu => {
                let (minute, lfu) = (self.minute(), self.lfu());
                all.min_by_key(|(_, c)| LfuRecord(c.access).counter(minute, lfu))
            }
            Order::Ttl => all.min_by_key(|(_, c)| c.deadline.unwrap_or(u64::MAX)),
            Order::Random | Order::Time => {
                let any = clock::random_below(candidates.len() as u64) as usize;
                all.nth(any)
            }
        };
        chosen.map(|(i, _)| i)
    }

    /// Seconds since the last use, for OBJECT IDLETIME.
    pub fn idle_seconds(&self, access: u32) -> u64 {
        let ticks = match self.order() {
            Order::Time => {
                let now = self.time.load(Ordering::Relaxed);
                return u64::from(now.wrapping_sub(access)) * 62 / 1000;
            }
            Order::Learned => Record(access).age(self.policy.now()),
            Order::Lru | Order::Random | Order::Ttl => LruRecord(access).idle(self.policy.now().0),
            Order::Lfu => return 0,
        };
        let then = self.policy.now().0.wrapping_sub(ticks);
        let moments = self.moments.lock();
        let (first, now) = (moments.first(), clock::unix_ms() / 1000);
        let Some(first) = first else {
            return 0;
        };
        // Ticks wrap: they are compared by their distance from the first moment.
        let after =
            moments.partition_point(|m| m.0.wrapping_sub(first.0) < then.wrapping_sub(first.0));
        let moment = moments.get(after).map_or(now, |m| m.1);
        now.saturating_sub(moment)
    }

    /// A record of which [`Evictor::idle_seconds`] says so much, as far back as
    /// moments were noted.
    pub fn record_of_idle(&self, seconds: u64) -> u32 {
        if self.order() == Order::Time {
            let ticks = seconds.saturating_mul(1000).div_ceil(62) as u32;
            return self.time.load(Ordering::Relaxed).wrapping_sub(ticks);
        }
        let then = (clock::unix_ms() / 1000).saturating_sub(seconds);
        let moments = self.moments.lock();
        let after = moments.partition_point(|m| m.1 <= then);
        let moment = moments.get(after.saturating_sub(1));
        let ticks = moment.map_or_else(|| self.policy.now().0, |m| m.0);
        match self.order() {
            Order::Learned => Record::on_insert(None, Now(ticks)).0,
            _ => LruRecord::used(ticks).0,
        }
    }

    /// A record of which [`Evictor::frequency`] says so much.
    pub fn record_of_frequency(&self, frequency: u8) -> u32 {
        LfuRecord::with_counter(frequency, self.minute()).0
    }

    /// The logarithmic count of uses, for OBJECT FREQ.
    pub fn frequency(&self, access: u32) -> u8 {
        LfuRecord(access).counter(self.minute(), self.lfu()) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LFU: LfuConfig = LfuConfig {
        log_factor: 10,
        decay_minutes: 1,
    };

    fn candidate(access: u32, deadline: Option<u64>) -> Candidate {
        Candidate {
            access,
            bytes: 100,
            deadline,
        }
    }

    #[test]
    fn the_longest_unused_goes_under_lru_and_the_next_to_expire_under_ttl() {
        let evictor = Evictor::default();
        evictor.configure("allkeys-lru", true, LFU);
        let old = evictor.on_insert(1, None);
        evictor.advance(100);
        let young = evictor.on_insert(2, None);
        let all = [candidate(young, Some(5)), candidate(old, Some(9))];
        assert_eq!(evictor.choose(&all), Some(1));
        evictor.configure("volatile-ttl", true, LFU);
        assert_eq!(evictor.choose(&all), Some(0));
        assert!(evictor.is_volatile_only());
        assert_eq!(evictor.choose(&[]), None);
    }

    #[test]
    fn the_least_used_goes_under_lfu() {
        let evictor = Evictor::default();
        evictor.configure("allkeys-lfu", true, LFU);
        let rare = evictor.on_insert(1, None);
        let often = (0..1000).fold(rare, |r, _| evictor.on_hit(1, r));
        assert!(evictor.frequency(often) > evictor.frequency(rare));
        let all = [candidate(often, None), candidate(rare, None)];
        assert_eq!(evictor.choose(&all), Some(1));
    }

    #[test]
    fn without_a_limit_idle_times_are_those_of_the_clock() {
        let evictor = Evictor::default();
        evictor.configure("larder", false, LFU);
        evictor.set_time(1_000_000_000);
        let record = evictor.on_insert(1, None);
        evictor.set_time(1_000_000_000 + 90_000);
        assert!((89..=90).contains(&evictor.idle_seconds(record)));
    }
}
