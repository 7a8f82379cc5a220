//! Entries of a table that are chosen at random.
//!
//! **Unsafe here is prefetching alone**, which has no effect but on caches, whatever the
//! address.
#![allow(unsafe_code)]

use super::{LINES_MAX, Place, Table, address, prefetch, timer};
use crate::base::clock;
use crate::base::tags::WIDTH;
use crate::store::entry::Entry;

impl Table {
    /// An entry chosen at random, each with the same probability; `None` where
    /// there is none, or no luck in many tries because the table is nearly empty.
    pub fn random(&self) -> Option<Entry<'_>> {
        for _ in 0..4_096 {
            let index = self.random_reference();
            let segment = &self.directory[index];
            if self.group(index).0 != index {
                // Nor must one with many references.
                continue;
            }
            // A throw over the largest size: a small segment must not be preferred.
            let at = clock::random_below((LINES_MAX * WIDTH) as u64) as usize;
            let (line, slot) = (at / WIDTH, at % WIDTH);
            if let Some(line) = segment.lines().get(line)
                && line.tags.get(slot) != 0
            {
                return Some(self.read(line.slots[slot]));
            }
        }
        let any = self.segments().find_map(|(_, s)| s.each().next())?;
        Some(self.read(any.1))
    }

    fn random_reference(&self) -> usize {
        clock::random_below(self.directory.len() as u64) as usize
    }

    /// Whether a slot's entry has a deadline of its own.
    fn is_volatile(&self, bits: u64) -> bool {
        let is_timed = timer(bits).is_set();
        is_timed && (self.with_volatile_items == 0 || self.read(bits).deadline().is_some())
    }

    /// Shows up to `most` entries that lie side by side from a random place on:
    /// a random sample, since the order is that of the digests. With
    /// `volatile`, only those with a deadline.
    pub fn sample(&self, most: usize, volatile: bool, out: &mut Vec<Place>) {
        let enough = out.len() + most;
        let mut index = self.random_reference();
        let mut start = None;
        // Once around the directory at most.
        let mut passed = 0;
        while passed < self.directory.len() {
            let (first, width) = self.group(index);
            passed += width;
            let lines = self.directory[first].lines();
            let from = start.unwrap_or_else(|| clock::random_below(lines.len() as u64) as usize);
            start = Some(0);
            for i in 0..lines.len() {
                let at = (from + i) % lines.len();
                for slot in lines[at].tags.taken() {
                    let bits = lines[at].slots[slot];
                    if volatile && !self.is_volatile(bits) {
                        continue;
                    }
                    // SAFETY: a prefetch has no effect but on caches.
                    unsafe { prefetch(address(bits).as_ptr()) };
                    out.push(Place::new(first, at, slot, self.generation));
                    if out.len() == enough {
                        return;
                    }
                }
            }
            index = first + width;
            if index == self.directory.len() {
                index = 0;
            }
        }
    }
}
