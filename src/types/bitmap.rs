//! Bitmaps: strings seen as rows of bits. Bit 0 is the most significant bit of
//! the first byte; behind the last byte all bits are 0.
//!
//! Ranges of bits are given as `first..end`, within the string.
//!
//! **Rule that makes the unsafe calls sound:** a function that is compiled for
//! certain instructions is only called where the processor says that it has
//! them.
#![allow(unsafe_code)]

use std::ops::Range;

/// The bit at an offset.
pub fn get(bytes: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset / 8).ok().and_then(|i| bytes.get(i));
    byte.is_some_and(|b| b & mask(offset) != 0)
}

/// Writes the bit at an offset, which lies within the string, and says whether
/// that made a difference.
pub fn set(bytes: &mut [u8], offset: u64, on: bool) -> bool {
    let byte = &mut bytes[(offset / 8) as usize];
    let old = *byte;
    *byte = match on {
        true => old | mask(offset),
        false => old & !mask(offset),
    };
    *byte != old
}

fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

// ----- counting and searching ---------------------------------------------------

/// A range of bits as whole bytes between two that belong to it in part.
struct Parts {
    /// The first byte and those of its bits that belong to the range.
    head: Option<(usize, u8)>,
    middle: Range<usize>,
    /// The last byte and those of its bits that belong to the range.
    tail: Option<(usize, u8)>,
}

impl Parts {
    fn of(range: Range<u64>) -> Parts {
        let (first, end) = ((range.start / 8) as usize, (range.end / 8) as usize);
        let from_first = 0xffu8 >> (range.start % 8);
        let to_end = !(0xffu8 >> (range.end % 8));
        if range.is_empty() {
            let (head, middle, tail) = (None, 0..0, None);
            return Parts { head, middle, tail };
        }
        if first == end {
            let head = Some((first, from_first & to_end));
            let (middle, tail) = (0..0, None);
            return Parts { head, middle, tail };
        }
        let is_cut = from_first != 0xff;
        Parts {
            head: is_cut.then_some((first, from_first)),
            middle: first + usize::from(is_cut)..end,
            tail: (to_end != 0).then_some((end, to_end)),
        }
    }
}

/// How many bits of a range are 1.
pub fn count(bytes: &[u8], range: Range<u64>) -> u64 {
    let parts = Parts::of(range);
    let edges = [parts.head, parts.tail];
    let edges = edges.iter().flatten().map(|&(at, m)| bytes[at] & m);
    edges.map(|b| u64::from(b.count_ones())).sum::<u64>() + ones(&bytes[parts.middle])
}

/// How many bits are 1.
fn ones(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") && has!("avx512vpopcntdq") {
            // SAFETY: the processor has these instructions.
            return unsafe { ones_by_avx512(bytes) };
        }
        if has!("avx2") && has!("popcnt") {
            // SAFETY: the processor has these instructions.
            return unsafe { ones_by_avx2(bytes) };
        }
    }
    ones_of_words(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn ones_by_avx512(bytes: &[u8]) -> u64 {
    ones_of_words(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn ones_by_avx2(bytes: &[u8]) -> u64 {
    ones_of_words(bytes)
}

/// Compiled anew into each of its callers, for their instructions.
#[inline(always)]
fn ones_of_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let of_words = words
        .iter()
        .map(|&w| u64::from(u64::from_ne_bytes(w).count_ones()));
    let of_rest = rest.iter().map(|b| u64::from(b.count_ones()));
    of_words.sum::<u64>() + of_rest.sum::<u64>()
}

/// The first bit of a range that is `on`.
pub fn find(bytes: &[u8], on: bool, range: Range<u64>) -> Option<u64> {
    // Looking for a 0 is looking for a 1 in the opposite.
    let flip = if on { 0 } else { 0xff };
    let in_byte = |at: usize, belongs: u8| match (bytes[at] ^ flip) & belongs {
        0 => None,
        byte => Some(at as u64 * 8 + u64::from(byte.leading_zeros())),
    };
    let parts = Parts::of(range);
    let at_edge = |edge: Option<(usize, u8)>| edge.and_then(|(at, m)| in_byte(at, m));
    at_edge(parts.head)
        .or_else(|| {
            let first = parts.middle.start;
            let at = first_other_than(&bytes[parts.middle], flip)?;
            in_byte(first + at, 0xff)
        })
        .or_else(|| at_edge(parts.tail))
}

/// Where the first byte other than this one is.
fn first_other_than(bytes: &[u8], skipped: u8) -> Option<usize> {
    const BLOCK: usize = 64;
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let is_other = |block: &[u8; BLOCK]| block.iter().fold(0, |a, b| a | (b ^ skipped)) != 0;
    let from = blocks.iter().position(is_other).unwrap_or(blocks.len()) * BLOCK;
    let at = bytes[from..].iter().position(|&b| b != skipped)?;
    Some(from + at)
}

// ----- combining ----------------------------------------------------------------

/// What BITOP makes of its sources: X is the first one, Y any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// In each.
    And,
    /// In any.
    Or,
    /// In an odd number of them.
    Xor,
    /// Not in X, which is the only one.
    Not,
    /// In X, but in no Y.
    Diff,
    /// In some Y, but not in X.
    Diff1,
    /// In X and in some Y.
    AndOr,
    /// In exactly one.
    One,
}

/// Combines strings, the shorter ones continued with zeros, into one as long as
/// the longest.
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    // So many bytes at a time stay in the processor's first cache until every
    // source has been added to them.
    const BLOCK: usize = 4096;
    let length = sources.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut result = vec![0; length];
    let mut twice = [0; BLOCK];
    for (i, block) in result.chunks_mut(BLOCK).enumerate() {
        let length = block.len();
        let part = |source: &&'_ [u8]| {
            let from = (i * BLOCK).min(source.len());
            from..(from + length).min(source.len())
        };
        let parts = sources.iter().map(|s| &s[part(s)]);
        combine_block(operation, parts, block, &mut twice[..length]);
    }
    result
}

/// `block` holds zeros; `twice` is room of the same length.
fn combine_block<'a>(
    operation: Operation,
    mut sources: impl Iterator<Item = &'a [u8]>,
    block: &mut [u8],
    twice: &mut [u8],
) {
    let first = sources.next().unwrap_or_default();
    let or = |block: &mut [u8], source: &[u8]| zip(block, source, |a, b| a | b);
    let and = |block: &mut [u8], source: &[u8]| {
        zip(block, source, |a, b| a & b);
        block[source.len()..].fill(0);
    };
    match operation {
        Operation::And => {
            or(block, first);
            sources.for_each(|s| and(block, s));
        }
        Operation::Or => {
            or(block, first);
            sources.for_each(|s| or(block, s));
        }
        Operation::Xor => {
            or(block, first);
            sources.for_each(|s| zip(block, s, |a, b| a ^ b));
        }
        Operation::Not => {
            block.fill(0xff);
            zip(block, first, |_, b| !b);
        }
        Operation::Diff => {
            or(block, first);
            sources.for_each(|s| zip(block, s, |a, b| a & !b));
        }
        Operation::Diff1 => {
            sources.for_each(|s| or(block, s));
            zip(block, first, |a, b| a & !b);
        }
        Operation::AndOr => {
            sources.for_each(|s| or(block, s));
            and(block, first);
        }
        Operation::One => {
            or(block, first);
            twice.fill(0);
            for s in sources {
                for ((once, twice), b) in block.iter_mut().zip(twice.iter_mut()).zip(s) {
                    *twice |= *once & b;
                    *once |= b;
                }
            }
            zip(block, twice, |a, b| a & !b);
        }
    }
}

#[inline(always)]
fn zip(block: &mut [u8], source: &[u8], of: impl Fn(u8, u8) -> u8) {
    block
        .iter_mut()
        .zip(source)
        .for_each(|(a, &b)| *a = of(*a, b));
}

// ----- integers of any width ------------------------------------------------------

/// The kind of an integer that lies among the bits, most significant bit first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    is_signed: bool,
    bits: u32,
}

/// What becomes of a number that does not fit its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// Its low bits are kept.
    Wrap,
    /// The nearest one that fits is.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Field {
    /// Bytes that any field is spread over, at most.
    const SPREAD: usize = 9;

    /// A field of 1 to 64 bits with a sign, or of 1 to 63 without one.
    pub fn new(is_signed: bool, bits: i64) -> Option<Field> {
        let most = if is_signed { 64 } else { 63 };
        let bits = u32::try_from(bits).ok()?;
        let fits = (1..=most).contains(&bits);
        fits.then_some(Field { is_signed, bits })
    }

    /// Its width in bits.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// Bytes that a string has when it reaches just to the field's last bit.
    pub fn end(self, offset: u64) -> u64 {
        (offset + u64::from(self.bits)).div_ceil(8)
    }

    /// How far to the right of 128 bits, the bytes from the offset on being the
    /// leftmost, the field lies.
    fn shift(self, offset: u64) -> u32 {
        128 - self.bits - (offset % 8) as u32
    }

    fn load(bytes: &[u8], offset: u64) -> u128 {
        let from = usize::try_from(offset / 8).map_or(bytes.len(), |i| i.min(bytes.len()));
        let part = &bytes[from..(from + Field::SPREAD).min(bytes.len())];
        let mut word = [0; 16];
        word[..part.len()].copy_from_slice(part);
        u128::from_be_bytes(word)
    }

    /// Reads the number at an offset.
    pub fn read(self, bytes: &[u8], offset: u64) -> i64 {
        self.wrap((Field::load(bytes, offset) >> self.shift(offset)) as u64)
    }

    /// Writes a number that fits at an offset; the string reaches so far.
    pub fn write(self, bytes: &mut [u8], offset: u64, n: i64) {
        let shift = self.shift(offset);
        let field = u128::from(u64::MAX >> (64 - self.bits)) << shift;
        let old = Field::load(bytes, offset);
        let new = old & !field | (n as u128) << shift & field;
        let part = &mut bytes[(offset / 8) as usize..];
        let length = part.len().min(Field::SPREAD);
        part[..length].copy_from_slice(&new.to_be_bytes()[..length]);
    }

    /// The number that the low bits of a word are.
    fn wrap(self, word: u64) -> i64 {
        let unused = 64 - self.bits;
        match self.is_signed {
            true => ((word << unused) as i64) >> unused,
            false => (word << unused >> unused) as i64,
        }
    }

    /// What is kept of a number; nothing where it does not fit and may not be
    /// changed.
    pub fn fit(self, n: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = match self.is_signed {
            true => (-1i128 << (self.bits - 1), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        };
        match overflow {
            _ if (min..=max).contains(&n) => Some(n as i64),
            Overflow::Wrap => Some(self.wrap(n as u64)),
            Overflow::Saturate => Some(n.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }

    /// A number as SET means it: a field without a sign takes a negative one
    /// for the large one of the same 64 bits.
    pub fn meant(self, n: i64) -> i128 {
        match self.is_signed {
            true => n.into(),
            false => (n as u64).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The bits of a string, one by one.
    fn bits(bytes: &[u8]) -> Vec<bool> {
        (0..bytes.len() as u64 * 8)
            .map(|i| bytes[i as usize / 8] >> (7 - i % 8) & 1 == 1)
            .collect()
    }

    /// A string in which long stretches are alike.
    fn string() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => Just(0u8), 4 => Just(0xff), 1 => any::<u8>()];
        let stretch = (byte, 1..90usize).prop_map(|(b, n)| vec![b; n]);
        vec(stretch, 0..6).prop_map(|v| v.concat())
    }

    fn string_and_range() -> impl Strategy<Value = (Vec<u8>, Range<u64>)> {
        string().prop_flat_map(|s| {
            let n = s.len() as u64 * 8;
            (Just(s), 0..=n, 0..=n).prop_map(|(s, a, b)| (s, a.min(b)..a.max(b)))
        })
    }

    proptest! {
        #[test]
        fn a_bit_that_is_written_is_read_back_and_the_others_stay(mut s in string(), at: u64, on: bool) {
            prop_assume!(!s.is_empty());
            let at = at % (s.len() as u64 * 8);
            let mut model = bits(&s);
            prop_assert_eq!(get(&s, at), model[at as usize]);
            let differs = set(&mut s, at, on);
            prop_assert_eq!(differs, model[at as usize] != on);
            model[at as usize] = on;
            prop_assert_eq!(bits(&s), model);
            prop_assert!(!get(&s, s.len() as u64 * 8 + at));
        }

        #[test]
        fn bits_are_counted_and_found_as_one_by_one((s, range) in string_and_range()) {
            let model = bits(&s);
            let part = &model[range.start as usize..range.end as usize];
            let ones = part.iter().filter(|&&b| b).count() as u64;
            prop_assert_eq!(count(&s, range.clone()), ones);
            for on in [false, true] {
                let at = part.iter().position(|&b| b == on).map(|at| range.start + at as u64);
                prop_assert_eq!(find(&s, on, range.clone()), at);
            }
        }

        #[test]
        fn however_ones_are_counted_there_are_as_many(s in vec(any::<u8>(), 0..700)) {
            let expected: u64 = s.iter().map(|b| u64::from(b.count_ones())).sum();
            prop_assert_eq!(ones(&s), expected);
            prop_assert_eq!(ones_of_words(&s), expected);
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has these instructions; those that know
                // 256 bits know how to count.
                prop_assert_eq!(unsafe { ones_by_avx2(&s) }, expected);
            }
        }

        #[test]
        fn sources_are_combined_bit_by_bit(sources in vec(string(), 1..5)) {
            use Operation::*;
            let slices: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let longest = sources.iter().map(Vec::len).max().unwrap();
            for operation in [And, Or, Xor, Not, Diff, Diff1, AndOr, One] {
                let result = bits(&combine(operation, &slices));
                prop_assert_eq!(result.len(), longest * 8);
                for (at, &bit) in result.iter().enumerate() {
                    let of = |s: &Vec<u8>| get(s, at as u64);
                    let (x, ys) = (of(&sources[0]), &sources[1..]);
                    let set = sources.iter().filter(|s| of(s)).count();
                    let any_y = ys.iter().any(of);
                    let expected = match operation {
                        And => set == sources.len(),
                        Or => set > 0,
                        Xor => set % 2 == 1,
                        Not => !x,
                        Diff => x && !any_y,
                        Diff1 => !x && any_y,
                        AndOr => x && any_y,
                        One => set == 1,
                    };
                    prop_assert_eq!(bit, expected, "{:?} at {}", operation, at);
                }
            }
        }

        #[test]
        fn a_field_is_read_and_written_bit_by_bit(
            mut s in vec(any::<u8>(), 9..40),
            is_signed: bool,
            width in 1..=63i64,
            at: u64,
            n: i64,
        ) {
            let field = Field::new(is_signed, width).unwrap();
            let room = s.len() as u64 * 8 - width as u64;
            let at = at % (room + 1);
            let n = field.fit(n.into(), Overflow::Wrap).unwrap();
            let mut model = bits(&s);
            field.write(&mut s, at, n);
            for i in 0..width {
                model[at as usize + i as usize] = n >> (width - 1 - i) & 1 == 1;
            }
            prop_assert_eq!(bits(&s), model);
            prop_assert_eq!(field.read(&s, at), n);
            prop_assert!(field.end(at) <= s.len() as u64);
        }

        #[test]
        fn a_number_beyond_its_field_wraps_saturates_or_fails(
            is_signed: bool,
            width in 1..=64i64,
            a: i64,
            b: i64,
        ) {
            let Some(field) = Field::new(is_signed, width) else { return Ok(()) };
            let n = i128::from(a) + i128::from(b);
            let wrapped = field.fit(n, Overflow::Wrap).unwrap();
            prop_assert_eq!((i128::from(wrapped) - n) % (1 << width), 0);
            let nearest = field.fit(n, Overflow::Saturate).unwrap();
            match field.fit(n, Overflow::Fail) {
                Some(kept) => prop_assert_eq!([kept, wrapped, nearest].map(i128::from), [n; 3]),
                None => prop_assert!(i128::from(nearest) != n),
            }
        }
    }

    #[test]
    fn a_field_beyond_the_end_is_read_as_zeros_go_on() {
        let field = Field::new(false, 8).unwrap();
        assert_eq!(field.read(b"\xff", 4), 0xf0);
        assert_eq!(field.read(b"\xff", u64::MAX - 64), 0);
        assert_eq!(
            Field::new(true, 64).unwrap().read(b"\xff\xff", 1),
            -(1 << 49)
        );
        assert_eq!(Field::new(false, 64), None);
        assert_eq!(Field::new(true, 0), None);
        assert_eq!(Field::new(true, 65), None);
    }

    #[test]
    fn blocks_are_combined_across_their_ends() {
        let (a, b) = (vec![0xf0; 10_000], vec![0x33; 5_000]);
        let one = combine(Operation::One, &[&a, &b]);
        assert!(one[..5_000].iter().all(|&b| b == 0xc3));
        assert!(one[5_000..].iter().all(|&b| b == 0xf0));
        assert_eq!(one.len(), 10_000);
    }
}
