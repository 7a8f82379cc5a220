//! What a policy keeps of an entry, and how it lies behind the entry's value.

/// Bytes of a note without tags.
pub(super) const NOTE_BYTES: usize = 26;

/// What a policy keeps of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Note {
    /// When the value was written, in Unix milliseconds (48 bits).
    pub written_ms: u64,
    /// How many invalidations there had been then, or when it was last found to be
    /// untouched by them.
    pub epoch: u32,
    /// Reads since it was written; stays at its highest.
    pub reads: u16,
    /// For how long it is kept past its deadline, in milliseconds.
    pub grace_ms: u32,
    /// The history of its lifetimes, packed by whoever decides on them.
    pub history: u64,
    /// From [`mark`].
    pub marks: u8,
    /// What it took to load the value, as [`Note::cost_of`] packs it.
    pub cost: u8,
}

/// Marks of a [`Note`].
pub mod mark {
    /// The value stands for an absence.
    pub const NULL: u8 = 1;
    /// It was announced for a refill.
    pub const ANNOUNCED: u8 = 2;
    /// It was invalidated softly: it is past its lifetime.
    pub const SOFT: u8 = 4;
}

impl Note {
    /// Packs a time in milliseconds, to within a tenth: a quarter of its binary logarithm.
    pub fn cost_of(ms: u64) -> u8 {
        (((ms + 1) as f64).log2() * 4.0).round() as u8
    }

    /// The time that [`Note::cost_of`] packed, in milliseconds.
    pub fn cost_ms(&self) -> u64 {
        (2f64.powf(f64::from(self.cost) / 4.0) - 1.0).round() as u64
    }

    pub(super) fn to_bytes(self) -> [u8; NOTE_BYTES] {
        let mut out = [0; NOTE_BYTES];
        out[..6].copy_from_slice(&self.written_ms.to_le_bytes()[..6]);
        out[6..10].copy_from_slice(&self.epoch.to_le_bytes());
        out[10..12].copy_from_slice(&self.reads.to_le_bytes());
        out[12..16].copy_from_slice(&self.grace_ms.to_le_bytes());
        out[16..24].copy_from_slice(&self.history.to_le_bytes());
        out[24] = self.marks;
        out[25] = self.cost;
        out
    }

    pub(super) fn from_bytes(bytes: [u8; NOTE_BYTES]) -> Note {
        let word = |at: usize, n: usize| {
            let mut out = [0; 8];
            out[..n].copy_from_slice(&bytes[at..at + n]);
            u64::from_le_bytes(out)
        };
        Note {
            written_ms: word(0, 6),
            epoch: word(6, 4) as u32,
            reads: word(10, 2) as u16,
            grace_ms: word(12, 4) as u32,
            history: word(16, 8),
            marks: bytes[24],
            cost: bytes[25],
        }
    }
}
