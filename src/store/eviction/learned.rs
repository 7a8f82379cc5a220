//! Larder's own eviction policy: evict what is worth least for the memory it holds,
//! where worth is *learned* from how the cache's keys have been used lately.
//!
//! An entry is worth the hits that it will bring for each tick that it stays. Which
//! that is cannot be known for one key, but well for a *class* of keys: those used
//! as often, at such intervals, and left alone as long. So an observatory follows a
//! sample of the keys, resident or not, notes at which age those of each class come
//! back, and makes an index of it:
//!
//! ```text
//!   accesses of sampled keys                       eviction
//!            │                                        │ 48 neighbouring slots
//!            ▼                                        ▼
//!   Observatory ──► hazard[class][age] ──► index[class][age] / bytes ──► least goes
//!   (last 4 turns)  P(used at this age |    best hits per tick over
//!                   not used before)        any time from this age on
//! ```
//!
//! The index is Gittins' (J. C. Gittins, "Bandit processes and dynamic allocation
//! indices", 1979); to rank by hits per space-time is LHD's idea (Beckmann, Chen,
//! Cidon, NSDI 2018). LHD learns from what is resident, and so never sees what it
//! evicts too early; the observatory does not depend on evictions. Nothing is tuned
//! by hand for a pattern: where recency predicts, the index falls with age (LRU); in
//! a loop it rises with age (the *newest* go, a stable part stays and hits); a
//! scan's keys are of class 0, whose keys do not come back, and go first.
//!
//! The access record of an entry, rewritten at a hit, with nothing shared written:
//!
//! ```text
//!   31      29 28           22 21                                  0
//!  ┌──────────┬───────────────┬─────────────────────────────────────┐
//!  │ count    │ gap           │ last: clock at the last use, ticks  │
//!  └──────────┴───────────────┴─────────────────────────────────────┘
//!   uses after  smoothed log2 of the ages at use, 8 steps to an
//!   the first   octave, from 16 ticks
//! ```
//!
//! Time is counted in accesses: a *turn* is as many accesses as there are entries,
//! and has 1024 ticks. A record so keeps 4096 turns before it wraps, and nothing here
//! knows seconds.
//!
//! **Invariant:** this file knows no table and no lock of a shard. Every call is
//! correct with stale arguments; the worst outcome is a worse victim.

use super::observatory::{AGES, Observatory, bucket};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Slots worth looking at for one victim. 24 cost 0.6 points of hits, 16 a point.
pub const SAMPLES: usize = 48;
/// Ticks in a turn, the time of as many accesses as there are entries.
const TURN: u32 = 1024;
/// Ages below this are alike: they fall into the first bucket.
pub(super) const NEAR: u32 = 16;
/// Class 0 is of keys used once; then three groups by count, each of `GAPS` by gap.
const GAPS: usize = 6;
pub(super) const CLASSES: usize = 1 + 3 * GAPS;
/// The observatory follows this many resident keys at most, a sample of them.
const OBSERVED_MAX: usize = 2048;

const LAST_BITS: u32 = 22;
const GAP_BITS: u32 = 7;
const COUNT_BITS: u32 = 3;
const LAST_MASK: u32 = (1 << LAST_BITS) - 1;
const GAP_MAX: u32 = (1 << GAP_BITS) - 1;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;
/// Gap steps to a class.
const GAP_STEP: u32 = 12;

const _: () = assert!(size_of::<Record>() == 4 && LAST_BITS + GAP_BITS + COUNT_BITS == 32);
const _: () = assert!(COUNT_BITS + 3 == GhostRecord::BITS && GAPS <= 8);

/// An entry's access record; the layout stands in the file's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record(pub u32);

/// What a ghost remembers of an evicted entry: its count, and its class of gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GhostRecord(pub u8);

impl GhostRecord {
    /// The low bits in use.
    pub const BITS: u32 = 6;
}

/// A reading of the clock, in ticks; take one for a batch of commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now(pub u32);

impl Record {
    fn pack(last: u32, gap: u32, count: u32) -> Self {
        Self(
            last & LAST_MASK
                | gap.min(GAP_MAX) << LAST_BITS
                | count.min(COUNT_MAX) << (LAST_BITS + GAP_BITS),
        )
    }

    fn gap(self) -> u32 {
        self.0 >> LAST_BITS & GAP_MAX
    }

    /// Uses after the first, at most 7; what `OBJECT FREQ` may show.
    pub fn count(self) -> u32 {
        self.0 >> (LAST_BITS + GAP_BITS)
    }

    /// Ticks since the last use.
    pub fn age(self, now: Now) -> u32 {
        now.0.wrapping_sub(self.0) & LAST_MASK
    }

    /// The record of an entry just inserted, with what its ghost knew.
    pub fn on_insert(ghost: Option<GhostRecord>, now: Now) -> Self {
        let Some(GhostRecord(g)) = ghost else {
            return Self::pack(now.0, 0, 0);
        };
        let (count, gap) = (u32::from(g) & COUNT_MAX, u32::from(g) >> COUNT_BITS);
        // A ghost has no time; that it was away for a turn costs 0.1 points at most.
        let before = Self::pack(
            now.0.wrapping_sub(TURN),
            gap * GAP_STEP + GAP_STEP / 2,
            count,
        );
        before.on_hit(now)
    }

    /// The record after a use.
    pub fn on_hit(self, now: Now) -> Self {
        let step = log_steps::<3>(self.age(now)).min(GAP_MAX);
        let gap = if self.count() == 0 {
            step
        } else {
            (self.gap() + step) / 2
        };
        Self::pack(now.0, gap, self.count() + 1)
    }

    /// What to remember of an entry that is evicted.
    pub fn ghost(self) -> GhostRecord {
        GhostRecord((self.count() | self.gap_class() << COUNT_BITS) as u8)
    }

    fn gap_class(self) -> u32 {
        (self.gap() / GAP_STEP).min(GAPS as u32 - 1)
    }

    pub(super) fn class(self) -> usize {
        let group = match self.count() {
            0 => return 0,
            1 => 0,
            2..=4 => 1,
            _ => 2,
        };
        1 + group * GAPS + self.gap_class() as usize
    }
}

/// `log2(ticks / NEAR)` in steps of `1 / 2^FRACTION` octaves, linear between powers; 0 below `NEAR`.
pub(super) fn log_steps<const FRACTION: u32>(ticks: u32) -> u32 {
    let ticks = ticks.max(NEAR);
    let octave = ticks.ilog2();
    let fraction = ticks >> (octave - FRACTION) & ((1 << FRACTION) - 1);
    (octave - NEAR.ilog2()) << FRACTION | fraction
}

/// One slot looked at for a victim.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its access record.
    pub record: Record,
    /// What evicting the entry frees.
    pub bytes: u32,
}

/// The state that all shards share.
///
/// `ticks` is written by every worker (in batches) and read at each batch; `pace` is
/// written by whoever evicts; `sample_mask`, `followed` and `index` by whoever holds
/// `observatory`. All are read by anyone, each word for itself.
pub struct Policy {
    /// 16 bits of fraction.
    ticks: AtomicU64,
    /// Ticks to an access, with 16 bits of fraction.
    pace: AtomicU64,
    /// A key is followed when these bits of its digest are 0; all of them: none is.
    sample_mask: AtomicU32,
    /// How many residents that makes; 0 before the first fit.
    followed: AtomicU32,
    /// Hits to expect per tick, as bits of an `f32`.
    index: [[AtomicU32; AGES]; CLASSES],
    observatory: Mutex<Observatory>,
}

impl Default for Policy {
    fn default() -> Self {
        let policy = Self {
            ticks: AtomicU64::new(0),
            pace: AtomicU64::new(1 << 16),
            sample_mask: AtomicU32::new(u32::MAX),
            followed: AtomicU32::new(0),
            index: [const { [const { AtomicU32::new(0) }; AGES] }; CLASSES],
            observatory: Mutex::new(Observatory::default()),
        };
        let mut observatory = policy.observatory.lock();
        observatory.resize(0, 0);
        policy.publish(&mut observatory, Now(0));
        drop(observatory);
        policy
    }
}

impl Policy {
    /// The clock.
    #[inline]
    pub fn now(&self) -> Now {
        Now((self.ticks.load(Relaxed) >> 16) as u32)
    }

    /// Counts a worker's lookups, hit or missed; once for a batch of commands.
    pub fn advance(&self, accesses: u32) {
        self.ticks
            .fetch_add(self.pace.load(Relaxed) * u64::from(accesses), Relaxed);
    }

    /// Tells how many entries the cache holds: at each eviction, and from an eighth of
    /// `maxmemory` on at insertions too, so that the first eviction finds a lesson
    /// learned. Before the first call no key is followed: without pressure a hit pays
    /// for its record alone.
    pub fn set_entries(&self, entries: usize) {
        let entries = entries.max(16);
        self.pace
            .store((u64::from(TURN) << 16) / entries as u64, Relaxed);
        let thin = entries.div_ceil(OBSERVED_MAX).next_power_of_two() as u32;
        let (followed, fitted) = (entries as u32 / thin, self.followed.load(Relaxed));
        if thin - 1 == self.sample_mask.load(Relaxed) && followed.abs_diff(fitted) <= fitted / 8 {
            return;
        }
        if let Some(mut o) = self.observatory.try_lock() {
            self.sample_mask.store(thin - 1, Relaxed);
            self.followed.store(followed, Relaxed);
            o.resize(followed as usize, thin - 1);
        }
    }

    /// Whether the accesses of this key, hits and insertions, are to be told to `observe`.
    pub fn samples(&self, digest: u64) -> bool {
        let mask = self.sample_mask.load(Relaxed);
        mask != u32::MAX && digest as u32 & mask == 0
    }

    /// Notes the use of a sampled key. When another worker is noting one, this one is let go.
    pub fn observe(&self, digest: u64, now: Now) {
        let Some(mut o) = self.observatory.try_lock() else {
            return;
        };
        o.note(digest, now);
        if o.lesson_is_due() {
            self.publish(&mut o, now);
        }
    }

    fn publish(&self, o: &mut Observatory, now: Now) {
        for (row, learned) in self.index.iter().zip(o.learn(now)) {
            for (cell, worth) in row.iter().zip(learned) {
                cell.store(worth.to_bits(), Relaxed);
            }
        }
    }

    /// What a byte of the entry brings: hits to expect per tick and byte.
    pub fn worth(&self, s: &Sample, now: Now) -> f32 {
        let index = &self.index[s.record.class()][bucket(s.record.age(now))];
        f32::from_bits(index.load(Relaxed)) / s.bytes.max(1) as f32
    }

    /// The sample to evict: of the least worth, the longest unused. `None` of none.
    pub fn choose(&self, samples: &[Sample], now: Now) -> Option<usize> {
        let key = |s: &Sample| (self.worth(s, now), u32::MAX - s.record.age(now));
        let less = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        samples
            .iter()
            .map(key)
            .enumerate()
            .min_by(|a, b| less(&a.1, &b.1))
            .map(|(i, _)| i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a cache of `entries` be used so; gives the policy as it has learned.
    fn taught(entries: usize, keys: impl Iterator<Item = u64>) -> Policy {
        let policy = Policy::default();
        policy.set_entries(entries);
        for key in keys {
            policy.advance(1);
            policy.observe(
                key.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32),
                policy.now(),
            );
        }
        policy
    }

    fn aged(turns: f32, count: u32, now: Now) -> Sample {
        let ticks = (turns * TURN as f32) as u32;
        Sample {
            record: Record::pack(now.0.wrapping_sub(ticks), 48, count),
            bytes: 100,
        }
    }

    #[test]
    fn an_age_is_right_across_the_wrap_of_the_clock() {
        let r = Record::on_insert(None, Now(LAST_MASK - 3)).on_hit(Now(LAST_MASK - 1));
        assert_eq!((r.count(), r.age(Now(LAST_MASK.wrapping_add(9)))), (1, 10));
    }

    #[test]
    fn a_ghost_brings_back_what_it_knew_and_one_use_more() {
        let r = (0..4).fold(Record::on_insert(None, Now(0)), |r, i| {
            r.on_hit(Now(5000 * i))
        });
        let back = Record::on_insert(Some(r.ghost()), Now(40_000));
        assert!(u32::from(r.ghost().0) < 1 << GhostRecord::BITS);
        assert_eq!((r.count(), back.count(), back.age(Now(40_000))), (4, 5, 0));
        assert!(back.gap_class().abs_diff(r.gap_class()) <= 1);
    }

    #[test]
    fn untaught_it_is_lru_and_of_two_alike_the_larger_goes() {
        let (policy, now) = (Policy::default(), Now(1 << 20));
        let ages = [0.1, 3.0, 0.5, 9.0, 2.0].map(|t| aged(t, 0, now));
        assert_eq!(policy.choose(&ages, now), Some(3));
        let large = Sample {
            bytes: 200,
            ..ages[0]
        };
        assert_eq!(policy.choose(&[ages[0], large], now), Some(1));
        assert_eq!(policy.choose(&[], now), None);
    }

    #[test]
    fn in_a_loop_the_newest_go() {
        let policy = taught(1000, (0..20_000).map(|i| i % 1250));
        let now = policy.now();
        assert_eq!(
            policy.choose(
                &[aged(1.0, 7, now), aged(0.1, 7, now), aged(0.6, 7, now)],
                now
            ),
            Some(1)
        );
    }

    #[test]
    fn keys_used_once_go_before_older_ones_that_came_back() {
        let policy = taught(
            1000,
            (0..40_000).map(|i| {
                if i % 2 == 0 {
                    1_000_000 + i
                } else {
                    i * i % 701
                }
            }),
        );
        let now = policy.now();
        assert_eq!(
            policy.choose(&[aged(0.3, 5, now), aged(0.1, 0, now)], now),
            Some(1)
        );
    }

    #[test]
    fn the_observatory_stays_small_in_a_cache_of_any_size() {
        for entries in [1, 57, 3000, 1 << 20, 400_000_000] {
            let policy = taught(entries, 0..100);
            let bytes = policy.observatory.lock().bytes();
            assert!((6 << 10..=96 << 10).contains(&bytes), "{bytes}");
        }
    }
}
