//! A set of integers in one allocation, sorted, in Redis's intset format, byte
//! for byte.
//!
//! ```text
//!  ┌─────────────┬──────────────┬─────────┬─────┬─────────┐
//!  │ width u32 LE│ length u32 LE│ integer │  …  │ integer │   by rising value
//!  └─────────────┴──────────────┴─────────┴─────┴─────────┘
//! ```
//!
//! All integers are as wide as the widest needs to be: 2, 4 or 8 bytes, two's
//! complement, little-endian. The width never falls again.
//!
//! Source: Valkey's `intset.c`.

use super::thin::{LENGTH_BYTES, Thin};

/// Most integers of one.
pub const LEN_MAX: usize = 1 << 28;

const WIDTH_BYTES: usize = 4;
const HEADER: usize = 8;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Intset {
    /// Behind the length that [`Thin`] wants, the format's bytes.
    pub(super) bytes: Thin,
}

const _: () = assert!(size_of::<Intset>() == 8);
const _: () = assert!(LEN_MAX * 8 + HEADER + LENGTH_BYTES < u32::MAX as usize);

impl Default for Intset {
    fn default() -> Intset {
        Intset::new()
    }
}

/// How wide an integer is, in bytes.
fn width(n: i64) -> usize {
    if i16::try_from(n).is_ok() {
        2
    } else if i32::try_from(n).is_ok() {
        4
    } else {
        8
    }
}

/// Reads an integer from as many bytes as it is wide.
#[inline]
fn read(bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unused = 64 - 8 * bytes.len();
    i64::from_le_bytes(wide) << unused >> unused
}

fn with_length(format: &[u8]) -> Thin {
    let length = (format.len() + LENGTH_BYTES) as u32;
    Thin::new(&[&length.to_le_bytes(), format].concat())
}

impl Intset {
    /// An empty one.
    pub fn new() -> Intset {
        Intset {
            bytes: with_length(&[2, 0, 0, 0, 0, 0, 0, 0]),
        }
    }

    /// Takes bytes from outside; `None` where they are no intset, or an empty one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Intset> {
        let width = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let length = u32::from_le_bytes(*bytes.get(WIDTH_BYTES..)?.first_chunk()?) as usize;
        if !matches!(width, 2 | 4 | 8) || length == 0 || length > LEN_MAX {
            return None;
        }
        let integers = &bytes[HEADER..];
        if integers.len() != length * width {
            return None;
        }
        let is_sorted = integers
            .chunks_exact(width)
            .map(read)
            .is_sorted_by(|a, b| a < b);
        is_sorted.then(|| Intset {
            bytes: with_length(bytes),
        })
    }

    /// The format's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[LENGTH_BYTES..]
    }

    /// What is allocated, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.heap_bytes()
    }

    #[inline]
    fn width(&self) -> usize {
        usize::from(self.as_bytes()[0])
    }

    #[inline]
    fn integers(&self) -> &[u8] {
        &self.as_bytes()[HEADER..]
    }

    /// Number of integers.
    #[inline]
    pub fn len(&self) -> usize {
        self.integers().len() / self.width()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.integers().is_empty()
    }

    /// The integer at a rank.
    #[inline]
    pub fn get(&self, rank: usize) -> Option<i64> {
        let width = self.width();
        let at = rank.checked_mul(width)?;
        self.integers().get(at..at + width).map(read)
    }

    /// The integers, by rising value.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator {
        self.integers().chunks_exact(self.width()).map(read)
    }

    /// The rank of an integer, or else the one that it would have.
    fn rank(&self, n: i64) -> Result<usize, usize> {
        fn search<const W: usize>(integers: &[u8], n: i64) -> Result<usize, usize> {
            let (integers, _) = integers.as_chunks::<W>();
            integers.binary_search_by(|bytes| read(bytes).cmp(&n))
        }
        match self.width() {
            2 => search::<2>(self.integers(), n),
            4 => search::<4>(self.integers(), n),
            _ => search::<8>(self.integers(), n),
        }
    }

    /// Whether an integer is there.
    pub fn contains(&self, n: i64) -> bool {
        self.rank(n).is_ok()
    }

    /// Adds an integer, and says whether it was not there.
    ///
    /// # Panics
    /// Where there are [`LEN_MAX`] already.
    pub fn insert(&mut self, n: i64) -> bool {
        let Err(rank) = self.rank(n) else {
            return false;
        };
        assert!(self.len() < LEN_MAX);
        if width(n) > self.width() {
            self.widen(width(n));
        }
        let width = self.width();
        let at = LENGTH_BYTES + HEADER + rank * width;
        let bytes = n.to_le_bytes();
        self.bytes
            .open(at..at, width)
            .copy_from_slice(&bytes[..width]);
        self.note_length();
        true
    }

    /// Removes an integer, and says whether it was there.
    pub fn remove(&mut self, n: i64) -> bool {
        let Ok(rank) = self.rank(n) else {
            return false;
        };
        let width = self.width();
        let at = LENGTH_BYTES + HEADER + rank * width;
        self.bytes.open(at..at + width, 0);
        self.note_length();
        true
    }

    fn note_length(&mut self) {
        let length = (self.len() as u32).to_le_bytes();
        self.bytes.body_mut()[WIDTH_BYTES..HEADER].copy_from_slice(&length);
    }

    /// Writes all integers wider.
    fn widen(&mut self, width: usize) {
        let mut format = Vec::with_capacity(HEADER + self.len() * width);
        format.extend_from_slice(&self.as_bytes()[..HEADER]);
        format[..WIDTH_BYTES].copy_from_slice(&(width as u32).to_le_bytes());
        for n in self.iter() {
            format.extend_from_slice(&n.to_le_bytes()[..width]);
        }
        self.bytes = with_length(&format);
    }
}

impl FromIterator<i64> for Intset {
    fn from_iter<I: IntoIterator<Item = i64>>(integers: I) -> Intset {
        let mut set = Intset::new();
        for n in integers {
            set.insert(n);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Integers of every width, close together.
    fn integer() -> impl Strategy<Value = i64> {
        prop_oneof![
            -40i64..40,
            (0i64..40).prop_map(|n| n * 1_700 - 34_000),
            (0i64..40).prop_map(|n| n * 110_000_000 - 2_200_000_000),
            Just(i64::MIN),
            Just(i64::MAX),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set(
            steps in prop::collection::vec((any::<bool>(), integer()), 0..200)
        ) {
            let (mut set, mut model) = (Intset::new(), BTreeSet::new());
            for (adds, n) in steps {
                match adds {
                    true => prop_assert_eq!(set.insert(n), model.insert(n)),
                    false => prop_assert_eq!(set.remove(n), model.remove(&n)),
                }
                prop_assert_eq!(set.contains(n), adds);
                prop_assert!(set.iter().eq(model.iter().copied()));
                prop_assert_eq!(set.len(), model.len());
                let read = Intset::from_bytes(set.as_bytes());
                prop_assert_eq!(read.is_some(), !set.is_empty());
                prop_assert!(read.is_none_or(|read| read.iter().eq(set.iter())));
            }
            prop_assert!((0..=model.len()).map(|rank| set.get(rank)).eq(
                model.iter().copied().map(Some).chain([None])
            ));
        }

        #[test]
        fn bytes_from_outside_are_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(set) = Intset::from_bytes(&bytes) {
                prop_assert_eq!(set.as_bytes(), &bytes[..]);
            }
        }
    }

    #[test]
    fn the_format_is_that_of_redis() {
        let set: Intset = [3, -2].into_iter().collect();
        assert_eq!(set.as_bytes(), b"\x02\0\0\0\x02\0\0\0\xfe\xff\x03\0");
        let set: Intset = [3, 70_000].into_iter().collect();
        assert_eq!(
            set.as_bytes(),
            b"\x04\0\0\0\x02\0\0\0\x03\0\0\0\x70\x11\x01\0"
        );
    }

    #[test]
    fn what_is_damaged_is_refused() {
        for bytes in [
            &b""[..],
            b"\x02\0\0\0\x01\0\0",
            b"\x02\0\0\0\0\0\0\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0",
            b"\x03\0\0\0\x01\0\0\0\x01\0\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0",
            b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0",
            b"\x02\0\0\0\xff\xff\xff\xff\x01\0",
        ] {
            assert!(Intset::from_bytes(bytes).is_none(), "{bytes:?}");
        }
    }
}
