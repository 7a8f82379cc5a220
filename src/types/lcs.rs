//! The longest common subsequence of two strings.
//!
//! The textbook's table says for every pair of prefixes how long theirs is. From
//! one cell to the next in a row it rises by 0 or 1, so that a row is a bit for
//! each cell, and a row follows from the one before by a few operations on 64
//! cells at once. The bits also tell the way back: where two bytes differ, a cell
//! has the larger of the one above and the one to the left, and so is larger than
//! the one to the left only where the one above is.
//!
//! So the table takes 32 times less than Redis's, whose bound on it
//! ([`table_bytes`]) still holds, because clients see it and because it bounds the
//! time.
//!
//! Source: Heikki Hyyrö, "Bit-parallel LCS-length computation revisited", 2004.

use std::ops::Range;

/// Strings of this length and longer are refused.
pub const LENGTH_MAX: usize = u32::MAX as usize - 1;

/// A stretch that both strings have in common, and that the subsequence takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// Where it lies in the first string.
    pub a: Range<usize>,
    /// Where it lies in the second.
    pub b: Range<usize>,
}

/// A longest common subsequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Common {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where they come from, the last stretch first.
    pub matches: Vec<Match>,
}

/// What Redis's table for strings of these lengths takes: 4 bytes a cell.
pub fn table_bytes(a: usize, b: usize) -> u128 {
    (a as u128 + 1) * (b as u128 + 1) * 4
}

/// Only the length; `None` where there is not enough memory.
pub fn length(a: &[u8], b: &[u8]) -> Option<usize> {
    let last = Places::of(a, b)?.rows(a, |_| ());
    Some(rises(&last))
}

/// All of it; `None` where there is not enough memory.
pub fn common(a: &[u8], b: &[u8]) -> Option<Common> {
    let words = b.len().div_ceil(64);
    let mut rows: Vec<u64> = Vec::new();
    rows.try_reserve_exact(words.checked_mul(a.len())?).ok()?;
    let places = Places::of(a, b)?;
    let last = places.rows(a, |row| rows.extend_from_slice(row));
    let is_up = |i: usize, j: usize| rows[i * words + j / 64] >> (j % 64) & 1 == 0;
    Some(walk_back(a, b, rises(&last), is_up))
}

/// How often a row rises: that is its last cell. Behind that its bits are ones.
fn rises(row: &[u64]) -> usize {
    row.iter().map(|word| word.count_zeros() as usize).sum()
}

/// Where in the second string each byte of the first stands, as bits.
struct Places {
    words: usize,
    /// By byte.
    slots: [Option<u8>; 256],
    /// By slot and word.
    bits: Vec<u64>,
}

impl Places {
    /// `None` where there is not enough memory.
    fn of(a: &[u8], b: &[u8]) -> Option<Places> {
        let words = b.len().div_ceil(64);
        let mut slots = [None; 256];
        let mut count = 0;
        for &x in a {
            let slot = &mut slots[usize::from(x)];
            if slot.is_none() {
                *slot = Some(count as u8);
                count += 1;
            }
        }
        let mut bits = Vec::new();
        bits.try_reserve_exact(words.checked_mul(count)?).ok()?;
        bits.resize(words * count, 0);
        for (j, &y) in b.iter().enumerate() {
            if let Some(slot) = slots[usize::from(y)] {
                bits[usize::from(slot) * words + j / 64] |= 1 << (j % 64);
            }
        }
        Some(Places { words, slots, bits })
    }

    /// Shows the row of each prefix of the first string, and gives the last: a bit is
    /// 0 where a cell is larger than the one to its left.
    fn rows(&self, a: &[u8], mut show: impl FnMut(&[u64])) -> Vec<u64> {
        let mut row = vec![u64::MAX; self.words];
        for &x in a {
            let slot = self.slots[usize::from(x)].expect("a byte of the first string");
            let same = &self.bits[usize::from(slot) * self.words..][..self.words];
            let mut carry = false;
            for (word, &same) in row.iter_mut().zip(same) {
                let (sum, over) = word.overflowing_add(*word & same);
                let (sum, over_too) = sum.overflowing_add(u64::from(carry));
                carry = over || over_too;
                *word = sum | (*word & !same);
            }
            show(&row);
        }
        row
    }
}

/// Goes from the ends of both strings to the beginning of one, gathering what
/// they share.
fn walk_back(a: &[u8], b: &[u8], length: usize, is_up: impl Fn(usize, usize) -> bool) -> Common {
    let mut bytes = Vec::with_capacity(length);
    let mut matches: Vec<Match> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            bytes.push(a[i - 1]);
            match matches.last_mut() {
                Some(last) if (last.a.start, last.b.start) == (i, j) => {
                    last.a.start -= 1;
                    last.b.start -= 1;
                }
                _ => matches.push(Match {
                    a: i - 1..i,
                    b: j - 1..j,
                }),
            }
            i -= 1;
            j -= 1;
        } else if is_up(i - 1, j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    bytes.reverse();
    Common { bytes, matches }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The textbook's table, and the way back that Redis takes through it.
    fn model(a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = if a[i - 1] == b[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let mut bytes = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                bytes.push(a[i - 1]);
                (i, j) = (i - 1, j - 1);
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        bytes.reverse();
        bytes
    }

    proptest! {
        #[test]
        fn the_subsequence_is_that_of_the_textbook(
            a in proptest::collection::vec(0u8..4, 0..150),
            b in proptest::collection::vec(0u8..4, 0..150),
        ) {
            let found = common(&a, &b).expect("memory");
            prop_assert_eq!(&found.bytes, &model(&a, &b));
            prop_assert_eq!(length(&a, &b), Some(found.bytes.len()));
            let mut joined = Vec::new();
            for m in found.matches.iter().rev() {
                prop_assert_eq!(&a[m.a.clone()], &b[m.b.clone()]);
                joined.extend_from_slice(&a[m.a.clone()]);
            }
            prop_assert_eq!(joined, found.bytes);
            for pair in found.matches.windows(2) {
                let (later, earlier) = (&pair[0], &pair[1]);
                prop_assert!(earlier.a.end <= later.a.start && earlier.b.end <= later.b.start);
                let touch = (earlier.a.end, earlier.b.end) == (later.a.start, later.b.start);
                prop_assert!(!touch, "stretches are as long as they can be");
            }
        }
    }

    #[test]
    fn the_example_of_the_manual_comes_out() {
        let found = common(b"ohmytext", b"mynewtext").expect("memory");
        assert_eq!(found.bytes, b"mytext");
        let stretch = |a: Range<usize>, b: Range<usize>| Match { a, b };
        assert_eq!(found.matches, [stretch(4..8, 5..9), stretch(2..4, 0..2)]);
        assert_eq!(length(b"", b"abc"), Some(0));
        assert_eq!(common(b"abc", b"").expect("memory").matches, []);
        assert_eq!(table_bytes(8, 9), 360);
    }
}
