//! Which keys of a table are in which slot of a cluster, for who lists, counts or drops
//! the keys of a slot. A table of a server that is in no cluster keeps nothing of it.
//!
//! The digests of a slot's keys begin alike (`base::hash`), and the table, whose own
//! order is that of the bits behind, is found by them: so an ordered set of digests is
//! a list of every slot's keys. It takes about 14 bytes a key.

use std::collections::BTreeSet;

use super::{Table, frag, home};
use crate::base::hash;
use crate::store::entry::Entry;

/// What a digest takes in an ordered set, in bytes, about.
const DIGEST_BYTES: usize = 14;

/// See the head of this file.
pub(super) struct Slots {
    digests: BTreeSet<u64>,
    /// Number of keys of each slot that lies in this shard, by the slot's bits that the
    /// shard's do not tell.
    counts: Vec<u32>,
    /// Bits of a digest, from the top, that chose the shard.
    shard_bits: u32,
}

impl Slots {
    fn new(shard_bits: u8) -> Slots {
        let shard_bits = u32::from(shard_bits);
        Slots {
            digests: BTreeSet::new(),
            counts: vec![0; 1 << (hash::SLOT_BITS - shard_bits)],
            shard_bits,
        }
    }

    fn at(&self, digest: u64) -> usize {
        // In two steps, since a shift by 64 is none.
        ((digest << self.shard_bits) >> 1 >> (63 - (hash::SLOT_BITS - self.shard_bits))) as usize
    }

    pub fn add(&mut self, digest: u64) {
        let at = self.at(digest);
        self.counts[at] += 1;
        self.digests.insert(digest);
    }

    pub fn bytes(&self) -> usize {
        self.digests.len() * DIGEST_BYTES + self.counts.len() * size_of::<u32>()
    }
}

impl Table {
    /// An empty table of a shard of a cluster's node, which the top `shard_bits` of
    /// digests chose: it knows the keys of each slot.
    pub fn by_slot(shard_bits: u8) -> Table {
        let mut table = Table::new(hash::SLOT_BITS as u8);
        table.slots = Some(Box::new(Slots::new(shard_bits)));
        table
    }

    /// Notes that what `bits` refer to is no longer in the table.
    #[inline]
    pub(super) fn leave_slot(&mut self, bits: u64) {
        if self.slots.is_some() {
            let digest = hash::digest(self.read(bits).key());
            self.forget_digest(digest);
        }
    }

    #[cold]
    fn forget_digest(&mut self, digest: u64) {
        let mut is_shared = false;
        self.each_of(digest, |_| is_shared = true);
        if let Some(slots) = &mut self.slots {
            let at = slots.at(digest);
            slots.counts[at] -= 1;
            if !is_shared {
                slots.digests.remove(&digest);
            }
        }
    }

    /// Shows every entry whose key has this digest.
    pub fn each_of<'a>(&'a self, digest: u64, mut visit: impl FnMut(Entry<'a>)) {
        let lines = self.directory[self.index(digest)].lines();
        let frag = frag(digest);
        let first = home(frag, lines.len());
        for step in 0..lines.len() {
            let line = &lines[(first + step) % lines.len()];
            for slot in line.tags.matches(frag as u8) {
                let entry = self.read(line.slots[slot]);
                if line.frag(slot) == frag && hash::digest(entry.key()) == digest {
                    visit(entry);
                }
            }
            if !line.tags.is_passed() {
                return;
            }
        }
    }

    /// Number of keys of a slot, which is one of this shard's.
    pub fn len_of_slot(&self, slot: u16) -> usize {
        let digest = *hash::digests_in(slot).start();
        let slots = self.slots.as_ref();
        slots.map_or(0, |slots| slots.counts[slots.at(digest)] as usize)
    }

    /// Up to `most` digests of a slot's keys, the least first, from one on.
    pub fn digests_of_slot(&self, slot: u16, from: u64, most: usize, out: &mut Vec<u64>) {
        let all = hash::digests_in(slot);
        let from = from.max(*all.start());
        if let Some(slots) = &self.slots
            && from <= *all.end()
        {
            out.extend(slots.digests.range(from..=*all.end()).take(most));
        }
    }
}
