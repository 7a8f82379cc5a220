//! Where a walk over a hash table stands, in a number that a client keeps.
//!
//! A cursor names a part of the digests by the bits that they begin with, and a
//! frag. Met is everything before that part, and in it everything before that
//! frag. The number of bits is the depth of the segment that was being walked:
//!
//! ```text
//!  ┌ bits of the part ┬ 1 ┬ 0 … ┬─ frag: 15 bits ─┐
//!  └──────────────────┴───┴─────┴─────────────────┘
//!    bits, mark and zeros: PREFIX_BITS + 1 in all
//! ```
//!
//! If the segment has split since, its first half is walked from the frag on,
//! and the other from its start. If it has merged, the walk goes on as if it had
//! not, and passes over what belongs to another part. So nobody is missed, and
//! since (part, frag) only grows, every walk comes to an end.

use super::tags::FRAG_BITS;

/// Where a walk goes on, over digests of which `PREFIX_BITS` (at most 31) choose
/// the segment.
#[derive(Clone, Copy)]
pub struct Cursor<const PREFIX_BITS: u32> {
    /// The part's first prefix.
    pub prefix: u32,
    /// Number of its leading bits that make the part.
    pub depth: u32,
    /// The frag from which on it is still to be walked.
    pub frag: u32,
}

impl<const PREFIX_BITS: u32> Cursor<PREFIX_BITS> {
    /// Bits of a cursor's number.
    pub const BITS: u32 = FRAG_BITS + PREFIX_BITS + 1;

    /// Any number is a cursor; 0 is the start.
    pub fn from_bits(bits: u64) -> Self {
        let part = (bits >> FRAG_BITS) as u32 & (u32::MAX >> (31 - PREFIX_BITS));
        Cursor {
            prefix: (part & part.saturating_sub(1)) >> 1,
            depth: PREFIX_BITS.saturating_sub(part.trailing_zeros()),
            frag: bits as u32 & ((1 << FRAG_BITS) - 1),
        }
    }

    /// The number that a client is given.
    pub fn bits(self) -> u64 {
        let part = self.prefix << 1 | 1 << (PREFIX_BITS - self.depth);
        u64::from(part) << FRAG_BITS | u64::from(self.frag)
    }

    /// The start of the largest part that begins where this one ends.
    pub fn next_part(self) -> Option<Self> {
        let below = PREFIX_BITS - self.depth;
        let next = (self.prefix >> below) + 1;
        (next < 1 << self.depth).then(|| Cursor {
            prefix: next << below,
            depth: self.depth - next.trailing_zeros(),
            frag: 0,
        })
    }

    /// Whether a prefix belongs to the part.
    pub fn holds(self, prefix: u32) -> bool {
        (self.prefix ^ prefix) >> (PREFIX_BITS - self.depth) == 0
    }
}
