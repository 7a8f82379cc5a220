//! What a shard remembers of the entries that it evicted: about a ghost an entry, two
//! bytes each.
//!
//! ```text
//!   set: ┌──────┬──────┬─ … ─┬──────┐    slot: 15        6 5       0
//!        │newest│      │     │oldest│         ┌───────────┬─────────┐
//!        └──────┴──────┴─ … ─┴──────┘         │ tag (≠ 0) │ payload │
//!          8 slots, first in first out        └───────────┴─────────┘
//! ```
//!
//! A key's set and tag come from its digest, so that a stranger is taken for a ghost
//! once in 128 lookups at most: enough for a hint, never to be relied upon.
//!
//! Which bits of the digest: the set from the top 32, the tag from the ten below.

/// Slots in a set.
const WAYS: usize = 8;
const PAYLOAD_BITS: u32 = 6;
const TAG_BITS: u32 = 10;
const _: () = assert!(PAYLOAD_BITS + TAG_BITS == u16::BITS && size_of::<Set>() == 16);
/// Small caches remember more than they hold; it costs 16 bytes a shard.
const SETS_MIN: usize = 1;

type Set = [u16; WAYS];

/// One shard's ghosts. Read and written under the shard's lock.
pub struct Ghosts {
    sets: Box<[Set]>,
}

impl Default for Ghosts {
    fn default() -> Self {
        Self {
            sets: vec![[0; WAYS]; SETS_MIN].into(),
        }
    }
}

impl Ghosts {
    /// Remembers the six bits of `payload` for a key that leaves; the set's oldest is forgotten.
    pub fn insert(&mut self, digest: u64, payload: u8) {
        debug_assert!(payload < 1 << PAYLOAD_BITS);
        let tag = tag_of(digest);
        let set = self.set_of(digest);
        let gone = set
            .iter()
            .position(|&s| s >> PAYLOAD_BITS == tag)
            .unwrap_or(WAYS - 1);
        set[..=gone].rotate_right(1);
        set[0] = tag << PAYLOAD_BITS | u16::from(payload);
    }

    /// The payload of a key that comes back; it is a ghost no more.
    pub fn take(&mut self, digest: u64) -> Option<u8> {
        let tag = tag_of(digest);
        let set = self.set_of(digest);
        let at = set.iter().position(|&s| s >> PAYLOAD_BITS == tag)?;
        let payload = set[at] as u8 & ((1 << PAYLOAD_BITS) - 1);
        set[at..].rotate_left(1);
        set[WAYS - 1] = 0;
        Some(payload)
    }

    /// Fits the memory to the shard's count of entries; to be called at evictions. Mostly
    /// does nothing. A new set takes over the old one that held the most of its keys.
    pub fn resize(&mut self, entries: usize) {
        let (old, new) = (self.sets.len(), entries.div_ceil(WAYS).max(SETS_MIN));
        if old.abs_diff(new) > old / 4 {
            self.sets = (0..new)
                .map(|i| self.sets[(2 * i + 1) * old / (2 * new)])
                .collect();
        }
    }

    /// The heap that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    fn set_of(&mut self, digest: u64) -> &mut Set {
        &mut self.sets[(((digest >> 32) * self.sets.len() as u64) >> 32) as usize]
    }
}

fn tag_of(digest: u64) -> u16 {
    ((digest >> 22) as u16 & ((1 << TAG_BITS) - 1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// splitmix64's finisher.
    fn digest(i: u64) -> u64 {
        let z = (i ^ i >> 30)
            .wrapping_add(0x9E37_79B9_7F4A_7C15)
            .wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    #[test]
    fn a_ghost_is_found_once_and_then_gone() {
        let mut g = Ghosts::default();
        g.insert(digest(7), 41);
        assert_eq!(g.take(digest(7)), Some(41));
        assert_eq!(g.take(digest(7)), None);
    }

    #[test]
    fn a_key_that_leaves_again_is_remembered_by_its_newest_payload() {
        let mut g = Ghosts::default();
        g.insert(digest(7), 1);
        g.insert(digest(7), 2);
        assert_eq!(g.take(digest(7)), Some(2));
        assert_eq!(g.take(digest(7)), None);
    }

    #[test]
    fn about_as_many_are_remembered_as_the_shard_has_entries_and_the_oldest_go_first() {
        let mut g = Ghosts::default();
        g.resize(4096);
        assert_eq!(g.bytes(), 2 * 4096);
        (0..20_000).for_each(|i| g.insert(digest(i), 1));
        let found = |g: &mut Ghosts, r: std::ops::Range<u64>| {
            r.filter(|&i| g.take(digest(i)).is_some()).count()
        };
        assert!(
            found(&mut g, 18_000..20_000) > 1800,
            "the newest half is there"
        );
        assert!(
            found(&mut g, 0..10_000) < 150,
            "the oldest is not, but for strangers' tags"
        );
    }

    #[test]
    fn strangers_are_rarely_taken_for_ghosts() {
        let mut g = Ghosts::default();
        g.resize(4096);
        (0..20_000).for_each(|i| g.insert(digest(i), 1));
        let found = (100_000..200_000)
            .filter(|&i| g.take(digest(i)).is_some())
            .count();
        assert!(found < 1000, "{found}");
    }

    #[test]
    fn most_ghosts_outlive_growing_and_the_memory_shrinks_with_the_entries() {
        let mut g = Ghosts::default();
        g.resize(1000);
        (0..500).for_each(|i| g.insert(digest(i), 3));
        g.resize(2000);
        g.resize(3000);
        let kept = (0..500).filter(|&i| g.take(digest(i)).is_some()).count();
        assert!(kept > 300, "{kept}");
        g.resize(0);
        assert_eq!(g.bytes(), SETS_MIN * 16);
    }
}
