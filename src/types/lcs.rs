//! The longest common subsequence of two strings.
//!
//! The textbook's table says for every pair of prefixes how long theirs is. To
//! find the way back through it, only one bit of each cell is needed: whether
//! the cell above is larger than the one to the left. So the table takes 32
//! times less than Redis's, whose bound on it ([`table_bytes`]) still holds,
//! because clients see it and because it bounds the time.

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

/// Only the length.
pub fn length(a: &[u8], b: &[u8]) -> usize {
    let mut row = vec![0; b.len()];
    a.iter().for_each(|&x| next_row(x, b, &mut row, |_, _| ()));
    row.last().map_or(0, |&n| n as usize)
}

/// All of it; `None` where there is not enough memory.
pub fn common(a: &[u8], b: &[u8]) -> Option<Common> {
    let words = b.len().div_ceil(64);
    let mut up: Vec<u64> = Vec::new();
    up.try_reserve_exact(words.checked_mul(a.len())?).ok()?;
    up.resize(words * a.len(), 0);
    let mut row = vec![0; b.len()];
    for (&x, up) in a.iter().zip(up.chunks_mut(words.max(1))) {
        next_row(x, b, &mut row, |j, is_up| {
            up[j / 64] |= u64::from(is_up) << (j % 64);
        });
    }
    let length = row.last().map_or(0, |&n| n as usize);
    let is_up = |i: usize, j: usize| up[i * words + j / 64] >> (j % 64) & 1 == 1;
    Some(walk_back(a, b, length, is_up))
}

/// Turns the row of one prefix of the first string into that of the next, which
/// ends with `x`; shows for each column whether the cell above is larger than
/// the one to the left.
#[inline]
fn next_row(x: u8, b: &[u8], row: &mut [u32], mut show: impl FnMut(usize, bool)) {
    let (mut left, mut corner) = (0, 0);
    for (j, (&y, cell)) in b.iter().zip(row).enumerate() {
        let above = *cell;
        show(j, above > left);
        *cell = if x == y { corner + 1 } else { above.max(left) };
        (left, corner) = (*cell, above);
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
            prop_assert_eq!(length(&a, &b), found.bytes.len());
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
        assert_eq!(length(b"", b"abc"), 0);
        assert_eq!(common(b"abc", b"").expect("memory").matches, []);
        assert_eq!(table_bytes(8, 9), 360);
    }
}
