//! The id of an entry: a time in milliseconds, and a number among the entries of
//! that millisecond.

use std::fmt;

use crate::base::num::IntText;

/// See the head of this file. The order of ids is that of entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Id {
    /// Unix time in milliseconds, where nobody chose another.
    pub ms: u64,
    /// The number within the millisecond.
    pub seq: u64,
}

impl Id {
    /// The least id. No entry has it: it stands for "none".
    pub const MIN: Id = Id { ms: 0, seq: 0 };
    /// The greatest id.
    pub const MAX: Id = Id {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// An id of its parts.
    pub const fn new(ms: u64, seq: u64) -> Id {
        Id { ms, seq }
    }

    /// The one behind it; none behind the greatest.
    pub fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The one before it; none before the least.
    pub fn previous(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// What an entry's id says relative to the first of its node. Wraps, as the
    /// number within the millisecond may be less than the first one's.
    pub fn since(self, first: Id) -> (i64, i64) {
        let ms = self.ms.wrapping_sub(first.ms);
        (ms as i64, self.seq.wrapping_sub(first.seq) as i64)
    }

    /// Undoes [`Id::since`].
    pub fn after(first: Id, (ms, seq): (i64, i64)) -> Id {
        Id {
            ms: first.ms.wrapping_add(ms as u64),
            seq: first.seq.wrapping_add(seq as u64),
        }
    }

    /// Its 16 bytes in the order in which ids are sorted: a node's key in RDB.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// Undoes [`Id::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Id {
        let both = u128::from_be_bytes(bytes);
        Id::new((both >> 64) as u64, both as u64)
    }

    /// Its text, `ms-seq`.
    pub fn text(self) -> IdText {
        let mut text = IdText {
            bytes: [0; 41],
            len: 0,
        };
        text.push(IntText::unsigned(self.ms).as_bytes());
        text.push(b"-");
        text.push(IntText::unsigned(self.seq).as_bytes());
        text
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// An id's text, made without allocating.
#[derive(Clone, Copy)]
pub struct IdText {
    bytes: [u8; 41],
    len: u8,
}

impl IdText {
    fn push(&mut self, part: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + part.len()].copy_from_slice(part);
        self.len += part.len() as u8;
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}
