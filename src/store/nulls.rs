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

use std::collections::VecDeque;

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
    /// Remembers that a key is absent until a time in Unix milliseconds, within
    /// `bytes_max` in all; false where the key alone is larger.
    pub fn insert(&mut self, key: &[u8], until_ms: u64, now_ms: u64, bytes_max: usize) -> bool {
        let digest = hash::digest(key);
        self.remove_digest(digest, key);
        self.drop_over(now_ms);
        let bytes = record_bytes(key.len());
        if bytes + size_of::<u64>() * SLOTS_MIN > bytes_max {
            return false;
        }
        self.reserve();
        let place = self.append(key, until_ms, bytes);
        self.link(slot_of(digest, place));
        self.count += 1;
        while self.bytes() > bytes_max && self.count > 1 {
            self.evicted += self.drop_oldest() as u64;
        }
        self.publish_bytes();
        true
    }

    /// Until when a key is known to be absent, in Unix milliseconds.
    #[inline]
    pub fn get(&self, digest: u64, key: &[u8], now_ms: u64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let at = self.find(digest, key)?;
        let until_ms = self.record(self.index[at] as u32).1;
        (now_ms < until_ms).then_some(until_ms)
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

    /// Shows every marker that is not over, the oldest first: its key, and until when it
    /// holds.
    pub fn each(&self, now_ms: u64, mut show: impl FnMut(&[u8], u64)) {
        for chunk in &self.chunks {
            let mut at = 0;
            while at < chunk.bytes.len() {
                let (key, until_ms) = read(&chunk.bytes[at..]);
                let slot = slot_of(hash::digest(key), chunk.number.wrapping_add(at as u32));
                let is_there = || self.probe(slot).any(|at| self.index[at] == slot);
                if now_ms < until_ms && is_there() {
                    show(key, until_ms);
                }
                at += record_bytes(key.len());
            }
        }
    }

    /// Forgets the markers that `is_gone` names; says how many.
    pub fn retain(&mut self, mut is_gone: impl FnMut(&[u8]) -> bool) -> usize {
        let mut gone = Vec::new();
        for &slot in self.index.iter().filter(|&&slot| slot != EMPTY) {
            let (key, _) = self.record(slot as u32);
            if is_gone(key) {
                gone.push(key.to_vec());
            }
        }
        for key in &gone {
            self.remove_digest(hash::digest(key), key);
        }
        gone.len()
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

    fn append(&mut self, key: &[u8], until_ms: u64, bytes: usize) -> u32 {
        let fits = |c: &Chunk| c.bytes.len() + bytes <= c.bytes.capacity();
        if !self.chunks.back().is_some_and(fits) {
            let capacity = bytes.max(CHUNK);
            self.chunks.push_back(Chunk {
                bytes: Vec::with_capacity(capacity),
                number: self.next,
                until_ms: 0,
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
        let place = chunk.number.wrapping_add(chunk.bytes.len() as u32);
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
        // Numbers wrap around, so they are compared by their distance from the oldest.
        let first = self.chunks.front().map_or(0, |c| c.number);
        let ahead = place.wrapping_sub(first);
        let at = self
            .chunks
            .partition_point(|c| c.number.wrapping_sub(first) <= ahead)
            - 1;
        let chunk = &self.chunks[at];
        read(&chunk.bytes[place.wrapping_sub(chunk.number) as usize..])
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
            let at = self.probe(slot).find(|&at| self.index[at] == slot);
            if let Some(at) = at {
                self.unlink(at);
                self.count -= 1;
                gone += 1;
            }
        }
        if let Some(chunk) = self.chunks.pop_front() {
            self.log_bytes -= chunk.bytes.capacity();
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
        nulls.get(hash::digest(key), key, now_ms)
    }

    #[test]
    fn a_marker_takes_no_more_than_24_bytes_above_its_key() {
        let mut nulls = Nulls::default();
        for i in 0..200_000 {
            let key = format!("course:{i:09}");
            assert!(nulls.insert(key.as_bytes(), 10_000, 0, usize::MAX));
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
            nulls.insert(&i.to_be_bytes(), 10_000, 0, 64 * 1024);
            assert!(nulls.bytes() <= 64 * 1024);
        }
        assert!(get(&nulls, &99_999u32.to_be_bytes(), 0).is_some());
        assert!(get(&nulls, &0u32.to_be_bytes(), 0).is_none());
        assert_eq!(nulls.evicted as usize + nulls.len(), 100_000);
        assert!(!nulls.insert(&[0; 70_000], 10_000, 0, 64 * 1024));
        assert!(nulls.insert(&[0; 40_000], 10_000, 0, 64 * 1024));
        assert!(get(&nulls, &[0; 40_000], 0).is_some());
    }

    #[test]
    fn markers_are_shown_by_their_age_and_those_that_were_removed_are_not() {
        let mut nulls = Nulls::default();
        for i in 0..5_000u32 {
            nulls.insert(&i.to_be_bytes(), 100, 0, usize::MAX);
        }
        // One that is remembered anew is young again.
        nulls.insert(&7u32.to_be_bytes(), 200, 0, usize::MAX);
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
            nulls.insert(&i.to_be_bytes(), 100, 0, usize::MAX);
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
                        nulls.insert(&key(k), now + ttl, now, usize::MAX);
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
