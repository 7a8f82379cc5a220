//! Remembered absences: keys that the origin is known not to have.
//!
//! ```text
//!  log    ┌──────── chunk, 4 KiB ────────┬── chunk … ──┐   oldest first
//!         │ record record record …       │             │
//!         └──────────────────────────────┴─────────────┘
//!  record ┌ until: 6 ┬ key length: 1 or 5 ┬ key ┐
//!  index  open addressing, 8 bytes a slot: place in the log, and 32 bits of the digest
//! ```
//!
//! A marker takes 7 bytes and its slot in the index, 10 to 14 bytes, above its key.
//! The oldest chunk goes when the share of memory is used up, or when all in it is
//! over: markers have their own share of memory and never push out data. What is removed
//! before its time leaves a hole in its chunk until that goes.
//!
//! A chunk knows in which epochs of invalidations its markers came
//! ([`crate::store::invalidation`]). Whoever finds one that is older than the last
//! invalidation asks whether that is about it; [`Nulls::sweep`] asks for all, a few
//! chunks at a time. So an invalidation costs the same, however much is absent.

use std::collections::VecDeque;

use smallvec::{SmallVec, smallvec};

use super::memory;
use crate::base::hash;

const CHUNK: usize = 4096;
/// Bytes of a record above its key, for keys up to 254 bytes.
const HEAD: usize = 7;
const LONG_HEAD: usize = 11;
const LONG: u8 = 255;
const EMPTY: u64 = u64::MAX;
/// The index is at most so full, of a hundred.
const FULL_PERCENT: usize = 85;
const SLOTS_MIN: usize = 8;

struct Chunk {
    bytes: Vec<u8>,
    /// The number that its first byte has in the log.
    number: u32,
    /// When the last of its markers is over.
    until_ms: u64,
    /// From which byte on its markers are of which epoch.
    epochs: SmallVec<[(u32, u32); 1]>,
}

impl Chunk {
    /// The epoch in which the marker at a byte came, or was last judged.
    fn epoch_at(&self, at: u32) -> u32 {
        let after = self.epochs.partition_point(|(from, _)| *from <= at);
        self.epochs[after - 1].1
    }

    /// Notes that all markers have been judged by what was in force in an epoch.
    fn be_of(&mut self, epoch: u32) {
        self.epochs = smallvec![(0, epoch)];
    }

    /// The heap that it takes.
    fn heap_bytes(&self) -> usize {
        let spilled = match self.epochs.spilled() {
            true => self.epochs.capacity() * size_of::<(u32, u32)>(),
            false => 0,
        };
        self.bytes.capacity() + spilled
    }
}

/// A marker that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marker {
    /// When it is over, in Unix milliseconds.
    pub until_ms: u64,
    /// The epoch of invalidations in which it came.
    pub epoch: u32,
}

/// The markers of one policy and database in one shard. Under the shard's lock.
#[derive(Default)]
pub struct Nulls {
    chunks: VecDeque<Chunk>,
    /// The number of the next chunk.
    next: u32,
    index: Vec<u64>,
    count: usize,
    log_bytes: usize,
    /// What was last told to the process's count.
    published: usize,
    /// Markers that went to make room for others.
    pub evicted: u64,
}

impl Nulls {
    /// Remembers that a key is absent, within `bytes_max` in all; false where the key
    /// alone is larger.
    pub fn insert(&mut self, key: &[u8], marker: Marker, now_ms: u64, bytes_max: usize) -> bool {
        let digest = hash::digest(key);
        self.remove_digest(digest, key);
        self.drop_over(now_ms);
        let bytes = record_bytes(key.len());
        if bytes + size_of::<u64>() * SLOTS_MIN > bytes_max {
            return false;
        }
        self.reserve();
        let place = self.append(key, marker, bytes);
        self.link(slot_of(digest, place));
        self.count += 1;
        while self.bytes() > bytes_max && self.count > 1 {
            self.evicted += self.drop_oldest() as u64;
        }
        self.publish_bytes();
        true
    }

    /// The marker of a key, if it is not over.
    #[inline]
    pub fn get(&self, digest: u64, key: &[u8], now_ms: u64) -> Option<Marker> {
        if self.count == 0 {
            return None;
        }
        let at = self.find(digest, key)?;
        let (chunk, at) = self.whereabouts(self.index[at] as u32);
        let until_ms = read(&chunk.bytes[at as usize..]).1;
        let epoch = chunk.epoch_at(at);
        (now_ms < until_ms).then_some(Marker { until_ms, epoch })
    }

    /// Forgets a key; false where it was not known.
    #[inline]
    pub fn remove(&mut self, digest: u64, key: &[u8]) -> bool {
        self.count > 0 && self.remove_digest(digest, key)
    }

    /// Number of markers, some of which may be over.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The heap that they take.
    pub fn bytes(&self) -> usize {
        self.log_bytes + self.index.capacity() * size_of::<u64>()
    }

    /// Forgets what is over, from the oldest on; says how many went.
    pub fn drop_over(&mut self, now_ms: u64) -> usize {
        let mut gone = 0;
        while self.chunks.front().is_some_and(|c| c.until_ms <= now_ms) {
            gone += self.drop_oldest();
        }
        if self.count == 0 {
            self.index = Vec::new();
        }
        self.publish_bytes();
        gone
    }

    /// Tells the process's count what they take now.
    fn publish_bytes(&mut self) {
        let bytes = self.bytes();
        if bytes != self.published {
            memory::count_absences(bytes as isize - self.published as isize);
            self.published = bytes;
        }
    }

    /// Shows every marker that is not over, the oldest first.
    pub fn each(&self, now_ms: u64, mut show: impl FnMut(&[u8], Marker)) {
        for chunk in &self.chunks {
            let mut at = 0;
            while at < chunk.bytes.len() {
                let (key, until_ms) = read(&chunk.bytes[at..]);
                let slot = slot_of(hash::digest(key), chunk.number.wrapping_add(at as u32));
                let is_there = || self.probe(slot).any(|at| self.index[at] == slot);
                if now_ms < until_ms && is_there() {
                    let epoch = chunk.epoch_at(at as u32);
                    show(key, Marker { until_ms, epoch });
                }
                at += record_bytes(key.len());
            }
        }
    }

    /// Forgets those markers that `is_gone` says so of, by their key and epoch, in some of
    /// the chunks that nobody has judged since the epoch `began`; afterwards they are of
    /// the epoch `now`. True where there are more such chunks.
    pub fn sweep(
        &mut self,
        (began, now): (u32, u32),
        chunks_max: usize,
        mut is_gone: impl FnMut(&[u8], u32) -> bool,
    ) -> bool {
        let is_behind = |c: &Chunk| began.wrapping_sub(c.epochs[0].1) as i32 > 0;
        let first = self.chunks.iter().position(is_behind);
        let Some(first) = first else {
            return false;
        };
        let last = (first + chunks_max).min(self.chunks.len());
        let mut gone = Vec::new();
        for i in first..last {
            let chunk = &self.chunks[i];
            let mut at = 0;
            while at < chunk.bytes.len() {
                let (key, _) = read(&chunk.bytes[at..]);
                if is_gone(key, chunk.epoch_at(at as u32)) {
                    let place = chunk.number.wrapping_add(at as u32);
                    gone.push(slot_of(hash::digest(key), place));
                }
                at += record_bytes(key.len());
            }
            self.log_bytes -= chunk.heap_bytes();
            self.chunks[i].be_of(now);
            self.log_bytes += self.chunks[i].heap_bytes();
        }
        for slot in gone {
            self.forget_slot(slot);
        }
        self.publish_bytes();
        self.chunks.range(last..).any(is_behind)
    }

    /// Forgets the marker of a slot of the index, if it is there.
    fn forget_slot(&mut self, slot: u64) -> bool {
        let at = self.probe(slot).find(|&at| self.index[at] == slot);
        if let Some(at) = at {
            self.unlink(at);
            self.count -= 1;
        }
        at.is_some()
    }

    fn remove_digest(&mut self, digest: u64, key: &[u8]) -> bool {
        match self.find(digest, key) {
            Some(at) => {
                self.unlink(at);
                self.count -= 1;
                true
            }
            None => false,
        }
    }

    // ----- the log --------------------------------------------------------

    fn append(&mut self, key: &[u8], marker: Marker, bytes: usize) -> u32 {
        let Marker { until_ms, epoch } = marker;
        let fits = |c: &Chunk| c.bytes.len() + bytes <= c.bytes.capacity();
        if !self.chunks.back().is_some_and(fits) {
            let capacity = bytes.max(CHUNK);
            self.chunks.push_back(Chunk {
                bytes: Vec::with_capacity(capacity),
                number: self.next,
                until_ms: 0,
                epochs: smallvec![(0, epoch)],
            });
            // A larger chunk takes the numbers of several.
            self.next = self
                .next
                .wrapping_add((capacity.div_ceil(CHUNK) * CHUNK) as u32);
            self.log_bytes += capacity;
        }
        let Some(chunk) = self.chunks.back_mut() else {
            unreachable!("one was pushed");
        };
        let at = chunk.bytes.len() as u32;
        let place = chunk.number.wrapping_add(at);
        if chunk.epoch_at(at) != epoch {
            let before = chunk.heap_bytes();
            chunk.epochs.push((at, epoch));
            self.log_bytes += chunk.heap_bytes() - before;
        }
        chunk.bytes.extend_from_slice(&until_ms.to_le_bytes()[..6]);
        match u8::try_from(key.len()) {
            Ok(n) if n < LONG => chunk.bytes.push(n),
            _ => {
                chunk.bytes.push(LONG);
                let len = key.len() as u32;
                chunk.bytes.extend_from_slice(&len.to_le_bytes());
            }
        }
        chunk.bytes.extend_from_slice(key);
        chunk.until_ms = chunk.until_ms.max(until_ms);
        place
    }

    /// The record at a place: its key, and until when it holds.
    fn record(&self, place: u32) -> (&[u8], u64) {
        let (chunk, at) = self.whereabouts(place);
        read(&chunk.bytes[at as usize..])
    }

    /// The chunk of a place, and the byte of it.
    fn whereabouts(&self, place: u32) -> (&Chunk, u32) {
        // Numbers wrap around, so they are compared by their distance from the oldest.
        let first = self.chunks.front().map_or(0, |c| c.number);
        let ahead = place.wrapping_sub(first);
        let at = self
            .chunks
            .partition_point(|c| c.number.wrapping_sub(first) <= ahead)
            - 1;
        let chunk = &self.chunks[at];
        (chunk, place.wrapping_sub(chunk.number))
    }

    /// Drops the oldest chunk; says how many markers went with it.
    fn drop_oldest(&mut self) -> usize {
        let Some(chunk) = self.chunks.front() else {
            return 0;
        };
        let mut gone = 0;
        let mut places = Vec::new();
        let mut at = 0;
        while at < chunk.bytes.len() {
            let (key, _) = read(&chunk.bytes[at..]);
            let slot = slot_of(hash::digest(key), chunk.number.wrapping_add(at as u32));
            places.push(slot);
            at += record_bytes(key.len());
        }
        for slot in places {
            gone += usize::from(self.forget_slot(slot));
        }
        if let Some(chunk) = self.chunks.pop_front() {
            self.log_bytes -= chunk.heap_bytes();
        }
        gone
    }

    // ----- the index ------------------------------------------------------

    /// The taken slots from a slot's home on, up to the first that is free.
    fn probe(&self, slot: u64) -> impl Iterator<Item = usize> {
        let n = self.index.len();
        let home = home(slot, n);
        (0..n)
            .map(move |i| (home + i) % n)
            .take_while(|&at| self.index[at] != EMPTY)
    }

    fn find(&self, digest: u64, key: &[u8]) -> Option<usize> {
        let wanted = slot_of(digest, 0) >> 32;
        self.probe(slot_of(digest, 0)).find(|&at| {
            self.index[at] >> 32 == wanted && self.record(self.index[at] as u32).0 == key
        })
    }

    fn link(&mut self, slot: u64) {
        let n = self.index.len();
        let mut at = home(slot, n);
        while self.index[at] != EMPTY {
            at = if at + 1 == n { 0 } else { at + 1 };
        }
        self.index[at] = slot;
    }

    /// Frees a slot, and moves up those behind it that would not be found any more.
    fn unlink(&mut self, mut hole: usize) {
        let n = self.index.len();
        let mut at = hole;
        loop {
            at = if at + 1 == n { 0 } else { at + 1 };
            let slot = self.index[at];
            if slot == EMPTY {
                break;
            }
            let home = home(slot, n);
            // Whether its home lies outside of (hole, at], around the end.
            let is_reached = (at + n - home) % n >= (at + n - hole) % n;
            if is_reached {
                self.index[hole] = slot;
                hole = at;
            }
        }
        self.index[hole] = EMPTY;
    }

    /// Makes room for one more: by half, so that little is unused.
    fn reserve(&mut self) {
        if (self.count + 1) * 100 <= self.index.len() * FULL_PERCENT {
            return;
        }
        let size = (self.index.len() * 3 / 2).max(SLOTS_MIN);
        let mut new = Vec::with_capacity(size);
        new.resize(size, EMPTY);
        let old = std::mem::replace(&mut self.index, new);
        for slot in old.into_iter().filter(|&slot| slot != EMPTY) {
            self.link(slot);
        }
    }
}

impl Drop for Nulls {
    fn drop(&mut self) {
        memory::count_absences(-(self.published as isize));
    }
}

/// The upper half tells keys apart and says where a slot is at home; all ones means
/// that it is free.
fn slot_of(digest: u64, place: u32) -> u64 {
    let tag = (digest as u32).min(u32::MAX - 1);
    u64::from(tag) << 32 | u64::from(place)
}

fn home(slot: u64, n: usize) -> usize {
    match n {
        0 => 0,
        _ => (((slot >> 32) * n as u64) >> 32) as usize,
    }
}

fn record_bytes(key: usize) -> usize {
    key + if key < LONG.into() { HEAD } else { LONG_HEAD }
}

/// A record at the beginning of some bytes: its key, and until when it holds.
fn read(bytes: &[u8]) -> (&[u8], u64) {
    let mut until = [0; 8];
    until[..6].copy_from_slice(&bytes[..6]);
    let (len, at) = match bytes[6] {
        LONG => {
            let mut len = [0; 4];
            len.copy_from_slice(&bytes[7..11]);
            (u32::from_le_bytes(len) as usize, LONG_HEAD)
        }
        n => (n.into(), HEAD),
    };
    (&bytes[at..at + len], u64::from_le_bytes(until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn get(nulls: &Nulls, key: &[u8], now_ms: u64) -> Option<u64> {
        let marker = nulls.get(hash::digest(key), key, now_ms);
        marker.map(|marker| marker.until_ms)
    }

    fn until(until_ms: u64) -> Marker {
        Marker { until_ms, epoch: 0 }
    }

    #[test]
    fn a_sweep_judges_each_marker_by_its_own_epoch_and_a_few_chunks_at_a_time() {
        let mut nulls = Nulls::default();
        let key = |i: u32| i.to_be_bytes();
        let came = |i: u32| match i {
            ..5_000 => 0,
            5_000..5_003 => i - 5_000,
            _ => 7,
        };
        for i in 0..6_000 {
            let (until_ms, epoch) = (100, came(i));
            nulls.insert(&key(i), Marker { until_ms, epoch }, 0, usize::MAX);
        }
        let epoch = |nulls: &Nulls, i: u32| {
            let marker = nulls.get(hash::digest(&key(i)), &key(i), 0);
            marker.map(|marker| marker.epoch)
        };
        assert!((0..6_000).all(|i| epoch(&nulls, i) == Some(came(i))));
        let mut asked = 0;
        let mut slices = 1;
        let mut judge = |key: &[u8], epoch: u32| {
            let i = u32::from_be_bytes(key.try_into().expect("four bytes"));
            assert_eq!(epoch, came(i));
            asked += 1;
            epoch < 7 && i % 2 == 0
        };
        while nulls.sweep((7, 9), 2, &mut judge) {
            slices += 1;
        }
        assert!(slices > 3 && asked > 5_000);
        for i in 0..5_003 {
            let left = (i % 2 == 1).then_some(9);
            assert_eq!(epoch(&nulls, i), left, "{i}");
        }
        assert!((5_003..6_000).all(|i| epoch(&nulls, i).is_some()));
        assert_eq!(nulls.len(), 6_000 - 2_502);
        assert!(!nulls.sweep((7, 9), 2, |_, _| true));
        nulls.drop_over(100);
        assert_eq!(nulls.bytes(), 0);
    }

    #[test]
    fn a_marker_takes_no_more_than_24_bytes_above_its_key() {
        let mut nulls = Nulls::default();
        for i in 0..200_000 {
            let key = format!("course:{i:09}");
            assert!(nulls.insert(key.as_bytes(), until(10_000), 0, usize::MAX));
            if i > 1_000 {
                let above = nulls.bytes() - nulls.len() * key.len();
                assert!(above <= 24 * nulls.len(), "{} at {i}", above / nulls.len());
            }
        }
    }

    #[test]
    fn the_oldest_go_first_and_the_share_of_memory_holds() {
        let mut nulls = Nulls::default();
        for i in 0..100_000u32 {
            nulls.insert(&i.to_be_bytes(), until(10_000), 0, 64 * 1024);
            assert!(nulls.bytes() <= 64 * 1024);
        }
        assert!(get(&nulls, &99_999u32.to_be_bytes(), 0).is_some());
        assert!(get(&nulls, &0u32.to_be_bytes(), 0).is_none());
        assert_eq!(nulls.evicted as usize + nulls.len(), 100_000);
        assert!(!nulls.insert(&[0; 70_000], until(10_000), 0, 64 * 1024));
        assert!(nulls.insert(&[0; 40_000], until(10_000), 0, 64 * 1024));
        assert!(get(&nulls, &[0; 40_000], 0).is_some());
    }

    #[test]
    fn markers_are_shown_by_their_age_and_those_that_were_removed_are_not() {
        let mut nulls = Nulls::default();
        for i in 0..5_000u32 {
            nulls.insert(&i.to_be_bytes(), until(100), 0, usize::MAX);
        }
        // One that is remembered anew is young again.
        nulls.insert(&7u32.to_be_bytes(), until(200), 0, usize::MAX);
        nulls.remove(hash::digest(&8u32.to_be_bytes()), &8u32.to_be_bytes());
        let mut shown = Vec::new();
        nulls.each(50, |key, _| shown.push(key.to_vec()));
        let mut expected: Vec<u32> = (0..5_000).filter(|i| *i != 7 && *i != 8).collect();
        expected.push(7);
        let expected: Vec<_> = expected.iter().map(|i| i.to_be_bytes().to_vec()).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_over_gives_its_memory_back() {
        let mut nulls = Nulls::default();
        for i in 0..10_000u32 {
            nulls.insert(&i.to_be_bytes(), until(100), 0, usize::MAX);
        }
        assert_eq!(nulls.drop_over(100), 10_000);
        assert_eq!(nulls.bytes(), 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u64),
        Remove(u8),
        Pass(u64),
    }

    proptest! {
        #[test]
        fn what_a_map_remembers_is_remembered(steps in prop::collection::vec(
            prop_oneof![
                4 => (0u8..60, 1u64..500).prop_map(|(k, ttl)| Step::Insert(k, ttl)),
                2 => (0u8..60).prop_map(Step::Remove),
                1 => (1u64..100).prop_map(Step::Pass),
            ],
            1..400,
        )) {
            let mut nulls = Nulls::default();
            let mut model = BTreeMap::new();
            let mut now = 0;
            let key = |k: u8| vec![k; 1 + usize::from(k) * 7];
            for step in steps {
                match step {
                    Step::Insert(k, ttl) => {
                        nulls.insert(&key(k), until(now + ttl), now, usize::MAX);
                        model.insert(k, now + ttl);
                    }
                    Step::Remove(k) => {
                        nulls.remove(hash::digest(&key(k)), &key(k));
                        model.remove(&k);
                    }
                    Step::Pass(ms) => now += ms,
                }
                for k in 0..60 {
                    let expected = model.get(&k).copied().filter(|&until| now < until);
                    prop_assert_eq!(get(&nulls, &key(k), now), expected);
                }
            }
            let mut seen = 0;
            nulls.each(now, |_, _| seen += 1);
            prop_assert_eq!(seen, model.values().filter(|&&until| now < until).count());
        }
    }
}
