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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::store::entry::{Draft, NewValue};
    use crate::store::garbage::Garbage;

    const NOW_MS: u64 = 1_800_000_000_000;
    const TAGS: u16 = 4;

    fn key(tag: u16, n: u16) -> Vec<u8> {
        format!("{{t{tag}}}{n}").into_bytes()
    }

    /// A table's keys of a slot, `most` at once.
    fn listed(table: &Table, slot: u16, most: usize) -> BTreeSet<Vec<u8>> {
        let (mut keys, mut from) = (BTreeSet::new(), 0);
        loop {
            let mut digests = Vec::new();
            table.digests_of_slot(slot, from, most, &mut digests);
            for &digest in &digests {
                table.each_of(digest, |entry| {
                    assert!(keys.insert(entry.key().to_vec()), "shown twice");
                });
            }
            match digests.last() {
                Some(last) if digests.len() == most => from = last + 1,
                _ => return keys,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Whatever comes, goes and expires: each slot's keys are those of the table.
        #[test]
        fn the_keys_of_a_slot_are_those_that_are_there(
            steps in prop::collection::vec(
                (0..3u8, 0..TAGS, 0..500u16, 0..200u16, any::<bool>()), 1..30
            ),
            most in 1usize..50,
        ) {
            hash::place_by_slot(true);
            let mut table = Table::by_slot(0);
            let mut model: BTreeMap<u16, BTreeSet<Vec<u8>>> = BTreeMap::new();
            for (step, tag, from, many, fleeting) in steps {
                for n in from..from + many {
                    let bytes = key(tag, n);
                    let (digest, slot) = (hash::digest(&bytes), hash::slot(&bytes));
                    let keys = model.entry(slot).or_default();
                    let found = table.find(digest, &bytes);
                    match (step, found) {
                        (0 | 1, None) => {
                            let deadline = fleeting.then_some(NOW_MS);
                            let draft = Draft { deadline, ..Draft::new(&bytes, NewValue::Int(1)) };
                            table.insert(digest, draft, NOW_MS);
                            keys.insert(bytes);
                        }
                        (1, Some(place)) => {
                            let draft = Draft::new(&bytes, NewValue::Str(b"another"));
                            table.replace(place, draft, NOW_MS);
                        }
                        (2, Some(place)) => {
                            table.remove(place);
                            keys.remove(&bytes);
                        }
                        _ => {}
                    }
                }
                if step == 2 {
                    let mut gone = Vec::new();
                    let mut garbage = Garbage::default();
                    table.expire(NOW_MS + 1, usize::MAX, true, &mut garbage, |entry, _| {
                        gone.push(entry.key().to_vec());
                    });
                    for bytes in gone {
                        model.entry(hash::slot(&bytes)).or_default().remove(&bytes);
                    }
                }
                for (slot, keys) in &model {
                    prop_assert_eq!(table.len_of_slot(*slot), keys.len());
                    prop_assert_eq!(&listed(&table, *slot, most), keys);
                }
            }
            hash::place_by_slot(false);
        }
    }
}
