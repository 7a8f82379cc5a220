//! What a policy remembers of keys that it no longer holds: why and when each left,
//! and what its history says. Bounded; the oldest are forgotten first.
//!
//! It tells a miss's reason, carries the history over to the refill, and tells a
//! refill that began before a removal from one that began after it.

use std::collections::{HashMap, VecDeque};

use super::figures::Reason;

/// Fewest that a policy remembers in one shard.
pub const RECORDS_MIN: usize = 256;
/// Most of them.
pub const RECORDS_MAX: usize = 1 << 16;

/// From so many on they are kept in parts.
const PART_MAX: usize = 4096;
const PARTS: usize = 16;
const _: () = assert!(PART_MAX * PARTS == RECORDS_MAX);

/// What is known of one key that left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Why it left.
    pub why: Reason,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// The shard's count of misses and removals when a client or an invalidation last
    /// removed it; 0: none did.
    pub fence: u64,
    /// Its history, packed as in an entry; 0: none.
    pub history: u64,
    /// When its last value was written, in Unix milliseconds.
    pub written_ms: u64,
    /// Reads of its last value.
    pub reads: u16,
}

/// See the head of this file. Under the shard's lock.
#[derive(Default, Debug)]
pub struct Departed {
    /// None, one, or [`PARTS`] of them, by digest: no part is so large that its growth
    /// keeps anybody waiting.
    parts: Vec<Part>,
}

/// Those that share some bits of their digests.
#[derive(Default, Debug)]
struct Part {
    records: HashMap<u64, Record, Plain>,
    /// By departure; one that came back and left again keeps its place.
    order: VecDeque<u64>,
}

impl Part {
    fn insert(&mut self, key: u64, record: Record, most: usize) {
        if self.records.insert(key, record).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > most {
            if let Some(oldest) = self.order.pop_front() {
                self.records.remove(&oldest);
            }
        }
        if self.order.capacity() > 4 * most {
            self.order.shrink_to(2 * most);
            self.records.shrink_to(2 * most);
        }
    }
}

impl Departed {
    /// Remembers a key that leaves, beside as many as the policy has entries.
    pub fn insert(&mut self, key: u64, record: Record, entries: usize) {
        match &mut self.parts[..] {
            [] => self.parts.push(Part::default()),
            [one] if one.order.len() == PART_MAX => self.divide(),
            _ => {}
        }
        let most = entries.clamp(RECORDS_MIN, RECORDS_MAX) / self.parts.len();
        let at = self.part_of(key);
        self.parts[at].insert(key, record, most);
    }

    fn part_of(&self, key: u64) -> usize {
        match self.parts.len() {
            // The top bits are the same for all of a shard, and a part's own table looks
            // at the lower bits of this product.
            PARTS => (spread(key) >> (u64::BITS - PARTS.ilog2())) as usize,
            _ => 0,
        }
    }

    #[cold]
    fn divide(&mut self) {
        let whole = self.parts.pop().unwrap_or_default();
        self.parts.resize_with(PARTS, Part::default);
        for key in whole.order {
            if let Some(&record) = whole.records.get(&key) {
                let at = self.part_of(key);
                self.parts[at].insert(key, record, PART_MAX);
            }
        }
    }

    /// What is known of a key.
    #[inline]
    pub fn get(&self, key: u64) -> Option<&Record> {
        self.parts.get(self.part_of(key))?.records.get(&key)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.order.len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The heap that they take, about.
    pub fn bytes(&self) -> usize {
        let of_part = |part: &Part| {
            part.records.capacity() * (size_of::<(u64, Record)>() + 1)
                + part.order.capacity() * size_of::<u64>()
        };
        self.parts.iter().map(of_part).sum::<usize>() + self.parts.capacity() * size_of::<Part>()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Departed::default();
    }
}

fn spread(digest: u64) -> u64 {
    digest.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Digests are hashes already.
type Plain = std::hash::BuildHasherDefault<Digest>;

/// Takes a digest for its own hash.
#[derive(Default)]
pub struct Digest(u64);

impl std::hash::Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, digest: u64) {
        // The top bits are the same for all of a shard: the table looks at both ends.
        self.0 = spread(digest).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record {
        why: Reason::Expired,
        at_ms: 1,
        fence: 0,
        history: 0,
        written_ms: 0,
        reads: 0,
    };

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut departed = Departed::default();
        for key in 0..2 * RECORDS_MIN as u64 {
            departed.insert(key, RECORD, 0);
        }
        assert_eq!(departed.len(), RECORDS_MIN);
        assert_eq!(departed.get(0), None);
        assert_eq!(departed.get(RECORDS_MIN as u64), Some(&RECORD));
    }

    #[test]
    fn a_key_that_leaves_again_is_known_by_its_newest_record() {
        let mut departed = Departed::default();
        departed.insert(7, RECORD, 0);
        let newer = Record {
            why: Reason::Deleted,
            fence: 9,
            ..RECORD
        };
        departed.insert(7, newer, 0);
        assert_eq!(departed.get(7), Some(&newer));
        assert_eq!(departed.len(), 1);
    }

    #[test]
    fn none_is_lost_where_they_become_many() {
        let mut departed = Departed::default();
        for key in 0..4 * PART_MAX as u64 {
            let record = Record {
                at_ms: key,
                ..RECORD
            };
            departed.insert(key << 20, record, RECORDS_MAX);
            assert_eq!(departed.len() as u64, key + 1);
        }
        let is_known = |key: u64| departed.get(key << 20).is_some_and(|r| r.at_ms == key);
        assert!((0..4 * PART_MAX as u64).all(is_known));
    }

    #[test]
    fn memory_stays_within_the_bound() {
        let mut departed = Departed::default();
        for key in 0..4 * RECORDS_MAX as u64 {
            departed.insert(key, RECORD, usize::MAX);
        }
        assert_eq!(departed.len(), RECORDS_MAX);
        assert!(departed.bytes() < RECORDS_MAX * 150);
    }
}
