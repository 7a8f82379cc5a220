//! What tells the slots of a cache line apart in a hash table: seven tags of a
//! byte each, and a count of who found no room.
//!
//! ```text
//!  digest  ┌ …bits that choose a segment… ┬─ frag: 15 bits ─┐
//!          └──────────────────────────────┴ place ┬ tag (8) ┘
//!  line    ┌ 7 tags ┬ spilled ┬ 7 slots of 8 bytes ┐  one cache line
//!          └────────┴─────────┴────────────────────┘
//! ```
//!
//! The frag, as a fraction, times the number of lines is the home line: so to
//! give a segment another number of lines no key need be read, where the slots
//! keep the frag's upper bits. Whoever finds the home line full goes to one of
//! the next; `spilled` counts, in each line that it passed, who did so: a search
//! ends at a line that nobody passed. No tombstones.

/// Slots in a line.
pub const WIDTH: usize = 7;
/// Bits of a digest that place an element among a segment's lines.
pub const FRAG_BITS: u32 = 15;

const SPILLED: u64 = 0xff << 56;
const ONE_SPILLED: u64 = 1 << 56;
const LOW7: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const TAG_TOPS: u64 = 0x0080_8080_8080_8080;

/// The head of a line: seven tags, 0 where the slot is free, and in the top byte
/// `spilled`.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Tags(u64);

impl Tags {
    /// The slots with this tag; 0 finds the free ones.
    #[inline]
    pub fn matches(self, tag: u8) -> Slots {
        let x = self.0 ^ (u64::from(tag) * 0x0101_0101_0101_0101);
        Slots(!(((x & LOW7) + LOW7) | x) & TAG_TOPS)
    }

    /// The slots that are not free.
    #[inline]
    pub fn taken(self) -> Slots {
        Slots(!self.matches(0).0 & TAG_TOPS)
    }

    /// A slot's tag.
    #[inline]
    pub fn get(self, slot: usize) -> u8 {
        (self.0 >> (slot * 8)) as u8
    }

    /// Gives a slot a tag; 0 says that it is free.
    #[inline]
    pub fn set(&mut self, slot: usize, tag: u8) {
        let at = slot * 8;
        self.0 = self.0 & !(0xff << at) | u64::from(tag) << at;
    }

    /// Notes that an element passed. 255 stays 255: from then on nobody knows
    /// how many there are.
    #[inline]
    pub fn spill(&mut self) {
        if self.0 & SPILLED != SPILLED {
            self.0 += ONE_SPILLED;
        }
    }

    /// Notes that an element that had passed is gone.
    #[inline]
    pub fn unspill(&mut self) {
        if self.0 & SPILLED != SPILLED {
            self.0 -= ONE_SPILLED;
        }
    }

    /// How many elements passed; 255 for nobody knows how many.
    #[inline]
    pub fn passed(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// Whether an element that belongs here may lie further on.
    #[inline]
    pub fn is_passed(self) -> bool {
        self.passed() > 0
    }
}

/// Some of a line's slots, by rising number.
#[derive(Clone, Copy, Default)]
pub struct Slots(u64);

impl Slots {
    /// Number of slots.
    #[inline]
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl Iterator for Slots {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        (self.0 != 0).then(|| {
            let slot = (self.0.trailing_zeros() / 8) as usize;
            self.0 &= self.0 - 1;
            slot
        })
    }
}

/// A digest's frag; its lowest byte is the tag.
#[inline]
pub fn frag(digest: u64) -> u32 {
    let frag = digest as u32 & ((1 << FRAG_BITS) - 1);
    // A tag of 0 means a free slot.
    if frag & 0xff == 0 { frag | 1 } else { frag }
}

/// The line where a frag belongs, of so many.
#[inline]
pub fn home(frag: u32, lines: usize) -> usize {
    (frag as usize * lines) >> FRAG_BITS
}

/// The first frag whose home is a line, of so many.
pub fn first_frag(line: usize, lines: usize) -> u32 {
    (line << FRAG_BITS).div_ceil(lines) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_their_slots_apart() {
        let mut tags = Tags::default();
        for (slot, tag) in [(0, 1), (3, 0x80), (6, 1), (4, 0xff)] {
            tags.set(slot, tag);
        }
        assert!(tags.matches(1).eq([0, 6]));
        assert!(tags.matches(0x80).eq([3]));
        assert!(tags.matches(0).eq([1, 2, 5]));
        assert!(tags.taken().eq([0, 3, 4, 6]));
        assert_eq!(tags.taken().count(), 4);
        tags.set(3, 0);
        assert!(tags.taken().eq([0, 4, 6]));
        assert_eq!(tags.get(4), 0xff);
    }

    #[test]
    fn a_count_of_those_who_passed_sticks_when_it_is_full() {
        let mut tags = Tags::default();
        tags.spill();
        assert!(tags.is_passed());
        tags.unspill();
        assert!(!tags.is_passed());
        (0..256).for_each(|_| tags.spill());
        (0..256).for_each(|_| tags.unspill());
        assert!(tags.is_passed() && tags.taken().count() == 0);
    }

    #[test]
    fn every_line_has_a_first_frag() {
        for lines in 1..150 {
            for line in 0..lines {
                let first = first_frag(line, lines);
                assert_eq!(home(first, lines), line);
                assert!(line == 0 || home(first - 1, lines) == line - 1);
            }
        }
    }
}
