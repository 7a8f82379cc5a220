//! HyperLogLog: how many different elements there were, estimated in 12 KiB at
//! most with a standard error of 0.81%. The bytes are Valkey's.
//!
//! ```text
//!  0      4          5        8               16
//! ┌──────┬──────────┬────────┬───────────────┬──────────
//! │ HYLL │ encoding │ unused │ cached count  │ registers
//! │      │    u8    │        │ u64, bit 63:  │
//! │      │          │        │ it is too old │
//! └──────┴──────────┴────────┴───────────────┴──────────
//! ```
//!
//! An element's hash names one of 16,384 registers and gives it a rank; each
//! keeps the highest. Dense, they are 6 bits each, the first in the lowest bits
//! of the first byte. Sparse, they are runs, one after the other:
//!
//! ```text
//! 00nnnnnn            n + 1 registers of 0
//! 01nnnnnn nnnnnnnn   n + 1 registers of 0
//! 1rrrrrnn            n + 1 registers of r + 1
//! ```
//!
//! A sparse one is changed run by run exactly as Valkey does it, so that the
//! same elements give the same bytes. It becomes dense where it would grow
//! beyond a limit or a rank exceeds 32, and never goes back.
//!
//! The estimate is Ertl's: "New cardinality estimation algorithms for
//! HyperLogLog sketches", arXiv:1702.01284.

#[cfg(target_arch = "x86_64")]
mod avx2;

/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bytes of a dense one.
pub const DENSE_BYTES: usize = HEAD + REGISTERS / 4 * 3;

const HEAD: usize = 16;
const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const COUNT_AT: usize = 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const INDEX_BITS: u32 = 14;
/// Bits of the hash that a rank is taken from.
const RANK_BITS: u32 = 64 - INDEX_BITS;
/// The highest rank of a sparse run.
const SPARSE_RANK_MAX: u8 = 32;

/// A rank for each register.
pub type Registers = [u8; REGISTERS];

/// The runs do not cover the registers exactly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt;

/// How the registers lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// 6 bits each.
    Dense,
    /// In runs.
    Sparse,
}

/// How a string's registers lie; `None` where it is no HyperLogLog. All other
/// functions take only strings that are.
pub fn encoding(bytes: &[u8]) -> Option<Encoding> {
    if bytes.len() < HEAD || !bytes.starts_with(MAGIC) {
        return None;
    }
    match bytes[ENCODING_AT] {
        DENSE => (bytes.len() == DENSE_BYTES).then_some(Encoding::Dense),
        SPARSE => Some(Encoding::Sparse),
        _ => None,
    }
}

fn is_dense(bytes: &[u8]) -> bool {
    bytes[ENCODING_AT] == DENSE
}

/// One without elements.
pub fn empty() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(SPARSE);
    bytes.resize(HEAD, 0);
    Run::Zeros(REGISTERS).append_to(&mut bytes);
    bytes
}

// ----- elements -----------------------------------------------------------------

/// The register that an element belongs to, and its rank: how many zeros its
/// hash goes on with, and one more.
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element);
    let index = hash as usize & (REGISTERS - 1);
    let rest = hash >> INDEX_BITS | 1 << RANK_BITS;
    (index, rest.trailing_zeros() as u8 + 1)
}

/// MurmurHash64A (Austin Appleby, public domain), with Redis's seed.
fn murmur(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let (words, rest) = bytes.as_chunks();
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}

/// Adds elements to a dense one, and says whether any made a difference.
pub fn add_to_dense<'a>(bytes: &mut [u8], elements: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut differs = false;
    for element in elements {
        let (index, rank) = place(element);
        differs |= raise_dense(&mut bytes[HEAD..], index, rank);
    }
    if differs {
        forget_count(bytes);
    }
    differs
}

/// Adds elements, and says whether any made a difference. A sparse one becomes
/// dense where it would take more than `sparse_max` bytes.
pub fn add<'a>(
    bytes: &mut Vec<u8>,
    elements: impl Iterator<Item = &'a [u8]>,
    sparse_max: usize,
) -> Result<bool, Corrupt> {
    let mut differs = false;
    for element in elements {
        let (index, rank) = place(element);
        differs |= match is_dense(bytes) {
            true => raise_dense(&mut bytes[HEAD..], index, rank),
            false => raise_sparse(bytes, index, rank, sparse_max, &mut Cursor::start())?,
        };
    }
    if differs {
        forget_count(bytes);
    }
    Ok(differs)
}

// ----- dense registers ------------------------------------------------------------

/// The bits of a register lie in at most two bytes: where, and how far from the
/// lowest bit.
fn bits_of(index: usize) -> (usize, usize) {
    (index * 6 / 8, index * 6 % 8)
}

fn dense(registers: &[u8], index: usize) -> u8 {
    let (at, shift) = bits_of(index);
    let high = registers.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([registers[at], high]) >> shift) as u8 & 63
}

fn set_dense(registers: &mut [u8], index: usize, rank: u8) {
    let (at, shift) = bits_of(index);
    let (bits, mask) = (u16::from(rank) << shift, !(63u16 << shift));
    registers[at] = registers[at] & mask as u8 | bits as u8;
    if shift > 2 {
        registers[at + 1] = registers[at + 1] & (mask >> 8) as u8 | (bits >> 8) as u8;
    }
}

fn raise_dense(registers: &mut [u8], index: usize, rank: u8) -> bool {
    let differs = dense(registers, index) < rank;
    if differs {
        set_dense(registers, index, rank);
    }
    differs
}

/// Eight dense registers, which are 6 bytes, as 8 bytes.
fn spread(dense: u64) -> u64 {
    let x = dense & 0x00ff_ffff | (dense & 0xffff_ff00_0000) << 8;
    let x = x & 0x0000_0fff_0000_0fff | (x & 0x00ff_f000_00ff_f000) << 4;
    x & 0x003f_003f_003f_003f | (x & 0x0fc0_0fc0_0fc0_0fc0) << 2
}

/// The opposite of [`spread`].
fn pack(registers: u64) -> u64 {
    let x = registers & 0x003f_003f_003f_003f | (registers & 0x3f00_3f00_3f00_3f00) >> 2;
    let x = x & 0x0000_0fff_0000_0fff | (x & 0x0fff_0000_0fff_0000) >> 4;
    x & 0x00ff_ffff | (x & 0x00ff_ffff_0000_0000) >> 8
}

/// Makes a string dense that holds these registers, with the header of another.
pub fn dense_of(registers: &Registers, like: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DENSE_BYTES);
    bytes.extend_from_slice(&like[..HEAD]);
    bytes[ENCODING_AT] = DENSE;
    #[cfg(target_arch = "x86_64")]
    if avx2::append_dense(registers, &mut bytes) {
        return bytes;
    }
    append_dense(registers, &mut bytes);
    bytes
}

/// Appends registers as dense ones.
fn append_dense(registers: &Registers, bytes: &mut Vec<u8>) {
    for &eight in registers.as_chunks().0 {
        bytes.extend_from_slice(&pack(u64::from_le_bytes(eight)).to_le_bytes()[..6]);
    }
}

/// Makes a string dense; nothing but that changes.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupt> {
    if !is_dense(bytes) {
        let mut registers = [0; REGISTERS];
        merge(&mut registers, bytes)?;
        *bytes = dense_of(&registers, bytes);
    }
    Ok(())
}

// ----- sparse registers ---------------------------------------------------------

/// Registers, one behind the other, of one rank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// So many of 0, in one byte where they are at most 64.
    Zeros(usize),
    /// So many of 0, in two bytes.
    ManyZeros(usize),
    /// So many of a rank.
    Of(u8, usize),
}

impl Run {
    const OF_LENGTH_MAX: usize = 4;

    /// The first run of some, and the bytes that it takes. Where the second
    /// byte of one is missing it counts as 0.
    fn first(bytes: &[u8]) -> (Run, usize) {
        let byte = bytes[0];
        let low = usize::from(byte & 0x3f);
        match byte >> 6 {
            0 => (Run::Zeros(low + 1), 1),
            1 => {
                let second = bytes.get(1).copied().unwrap_or(0);
                (Run::ManyZeros((low << 8 | usize::from(second)) + 1), 2)
            }
            _ => (Run::Of((byte >> 2 & 31) + 1, (low & 3) + 1), 1),
        }
    }

    fn length(self) -> usize {
        match self {
            Run::Zeros(n) | Run::ManyZeros(n) | Run::Of(_, n) => n,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Run::Zeros(_) | Run::ManyZeros(_) => 0,
            Run::Of(rank, _) => rank,
        }
    }

    /// Of the same rank, but so many.
    fn of_length(self, n: usize) -> Run {
        match self {
            Run::Zeros(_) | Run::ManyZeros(_) => Run::Zeros(n),
            Run::Of(rank, _) => Run::Of(rank, n),
        }
    }

    fn append_to(self, bytes: &mut impl Extend<u8>) {
        match self {
            Run::Of(rank, n) => bytes.extend([0x80 | (rank - 1) << 2 | (n - 1) as u8]),
            Run::Zeros(n @ 1..=64) => bytes.extend([(n - 1) as u8]),
            Run::Zeros(n) | Run::ManyZeros(n) => {
                bytes.extend([0x40 | ((n - 1) >> 8) as u8, (n - 1) as u8]);
            }
        }
    }
}

/// The runs of a sparse one.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut rest = &bytes[HEAD..];
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (run, taken) = Run::first(rest);
        rest = rest.get(taken..).unwrap_or_default();
        Some(run)
    })
}

/// A run on the way from the first to the last.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Where the one before begins, and its first register.
    before: Option<(usize, usize)>,
    /// Where it begins.
    at: usize,
    /// Its first register.
    first: usize,
}

impl Cursor {
    fn start() -> Cursor {
        Cursor {
            before: None,
            at: HEAD,
            first: 0,
        }
    }
}

/// Raises a register of a sparse one to a rank, and says whether it was lower.
/// The search begins at the cursor, which is left where a search for a higher
/// register may go on if everything behind this one is 0.
fn raise_sparse(
    bytes: &mut Vec<u8>,
    index: usize,
    rank: u8,
    sparse_max: usize,
    cursor: &mut Cursor,
) -> Result<bool, Corrupt> {
    if rank > SPARSE_RANK_MAX {
        return raise_as_dense(bytes, index, rank);
    }
    let (run, taken) = loop {
        let rest = bytes.get(cursor.at..).unwrap_or_default();
        if rest.is_empty() {
            return Err(Corrupt);
        }
        let (run, taken) = Run::first(rest);
        if taken > rest.len() {
            return Err(Corrupt);
        }
        if index < cursor.first + run.length() {
            break (run, taken);
        }
        cursor.before = Some((cursor.at, cursor.first));
        cursor.at += taken;
        cursor.first += run.length();
    };
    if run.rank() >= rank {
        return Ok(false);
    }
    // What was one run becomes up to three.
    let mut parts = smallvec::SmallVec::<[u8; 5]>::new();
    let (before, behind) = (
        index - cursor.first,
        run.length() - 1 - (index - cursor.first),
    );
    if before > 0 {
        run.of_length(before).append_to(&mut parts);
    }
    Run::Of(rank, 1).append_to(&mut parts);
    if behind > 0 {
        run.of_length(behind).append_to(&mut parts);
    }
    let grows = parts.len() > taken;
    if grows && bytes.len() + parts.len() - taken > sparse_max {
        return raise_as_dense(bytes, index, rank);
    }
    bytes.splice(cursor.at..cursor.at + taken, parts);
    if let Some((at, first)) = cursor.before {
        *cursor = Cursor {
            before: None,
            at,
            first,
        };
    }
    join(bytes, cursor.at);
    Ok(true)
}

fn raise_as_dense(bytes: &mut Vec<u8>, index: usize, rank: u8) -> Result<bool, Corrupt> {
    make_dense(bytes)?;
    Ok(raise_dense(&mut bytes[HEAD..], index, rank))
}

/// Joins neighbours of one rank among the few runs from here on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    // As many as Valkey looks at.
    for _ in 0..5 {
        if at >= bytes.len() {
            break;
        }
        let (run, taken) = Run::first(&bytes[at..]);
        let next = bytes
            .get(at + taken)
            .map(|_| Run::first(&bytes[at + taken..]).0);
        match (run, next) {
            (Run::Of(a, n), Some(Run::Of(b, m))) if a == b && n + m <= Run::OF_LENGTH_MAX => {
                let mut joined = smallvec::SmallVec::<[u8; 2]>::new();
                Run::Of(a, n + m).append_to(&mut joined);
                bytes.splice(at..at + 2, joined);
            }
            _ => at += taken,
        }
    }
}

/// Raises registers to dense ones.
fn merge_dense(registers: &mut Registers, dense: &[u8]) {
    let mut words = [0u64; REGISTERS / 8];
    for (word, six) in words.iter_mut().zip(dense.as_chunks::<6>().0) {
        let [a, b, c, d, e, f] = *six;
        *word = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    }
    for word in &mut words {
        *word = spread(*word);
    }
    for (eight, word) in registers.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        let other = word.to_le_bytes();
        eight
            .iter_mut()
            .zip(other)
            .for_each(|(a, b)| *a = b.max(*a));
    }
}

// ----- several together -----------------------------------------------------------

/// Raises registers to those of a string.
pub fn merge(registers: &mut Registers, bytes: &[u8]) -> Result<(), Corrupt> {
    if is_dense(bytes) {
        #[cfg(target_arch = "x86_64")]
        if avx2::merge(registers, &bytes[HEAD..]) {
            return Ok(());
        }
        merge_dense(registers, &bytes[HEAD..]);
        return Ok(());
    }
    let mut at = 0;
    for run in runs(bytes) {
        let part = registers.get_mut(at..at + run.length()).ok_or(Corrupt)?;
        at += run.length();
        if let Run::Of(rank, _) = run {
            part.iter_mut().for_each(|r| *r = rank.max(*r));
        }
    }
    match at == REGISTERS {
        true => Ok(()),
        false => Err(Corrupt),
    }
}

/// Raises the registers of a string to these.
pub fn raise_all(
    bytes: &mut Vec<u8>,
    registers: &Registers,
    sparse_max: usize,
) -> Result<(), Corrupt> {
    // Into an empty one the registers go in order, so that each search can go on
    // where the last one ended.
    let is_empty = runs(bytes).eq([Run::ManyZeros(REGISTERS)]);
    let mut cursor = Cursor::start();
    for (index, &rank) in registers.iter().enumerate().filter(|(_, r)| **r > 0) {
        if is_dense(bytes) {
            raise_dense(&mut bytes[HEAD..], index, rank);
            continue;
        }
        if !is_empty {
            cursor = Cursor::start();
        }
        raise_sparse(bytes, index, rank, sparse_max, &mut cursor)?;
    }
    Ok(())
}

// ----- counting -----------------------------------------------------------------

/// The count that was kept, unless elements were added since.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    let count = u64::from_le_bytes(*bytes[COUNT_AT..].first_chunk()?);
    (count >> 63 == 0).then_some(count)
}

/// Keeps a count.
pub fn cache_count(bytes: &mut [u8], count: u64) {
    bytes[COUNT_AT..HEAD].copy_from_slice(&count.to_le_bytes());
}

/// Says that the kept count is too old.
pub fn forget_count(bytes: &mut [u8]) {
    bytes[HEAD - 1] |= 0x80;
}

/// How many registers have each rank.
type Histogram = [u32; 64];

/// Estimates how many different elements were added.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    let mut histogram = [0; 64];
    if is_dense(bytes) {
        let mut registers = [0; REGISTERS];
        merge(&mut registers, bytes)?;
        return Ok(count_of(&registers));
    }
    let mut left = REGISTERS;
    for run in runs(bytes) {
        left = left.checked_sub(run.length()).ok_or(Corrupt)?;
        histogram[usize::from(run.rank())] += run.length() as u32;
    }
    match left {
        0 => Ok(estimate(&histogram)),
        _ => Err(Corrupt),
    }
}

/// Estimates how many different elements registers stand for.
pub fn count_of(registers: &Registers) -> u64 {
    // Several, so that no count waits for the one before it to be written.
    let mut several = [[0u16; 64]; 8];
    const { assert!(REGISTERS / 8 <= u16::MAX as usize) };
    for &eight in registers.as_chunks().0 {
        let ranks = u64::from_le_bytes(eight);
        for (i, counts) in several.iter_mut().enumerate() {
            counts[(ranks >> (8 * i)) as usize & 63] += 1;
        }
    }
    let sum = |i| {
        several
            .iter()
            .map(|counts: &[u16; 64]| u32::from(counts[i]))
            .sum()
    };
    estimate(&std::array::from_fn(sum))
}

fn estimate(histogram: &Histogram) -> u64 {
    const M: f64 = REGISTERS as f64;
    // 0.5 / ln 2
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let of = |rank: u32| f64::from(histogram[rank as usize]);
    let mut z = M * tau((M - of(RANK_BITS + 1)) / M);
    for rank in (1..=RANK_BITS).rev() {
        z = 0.5 * (z + of(rank));
    }
    z += M * sigma(of(0) / M);
    (ALPHA * M * M / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock;

    const SPARSE_MAX: usize = 3000;

    fn add_number(bytes: &mut Vec<u8>, n: u64, sparse_max: usize) -> bool {
        add(bytes, [&n.to_le_bytes()[..]].into_iter(), sparse_max).unwrap()
    }

    fn registers(bytes: &[u8]) -> Box<Registers> {
        let mut registers = Box::new([0; REGISTERS]);
        merge(&mut registers, bytes).unwrap();
        registers
    }

    /// The registers of ranks that are set, by number: few, near each other.
    fn ranks() -> impl Strategy<Value = Vec<(usize, u8)>> {
        let index = prop_oneof![0..40usize, 16_300..REGISTERS, 0..REGISTERS];
        vec((index, prop_oneof![9 => 1..4u8, 1 => 1..51u8]), 0..60)
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn wide_instructions_do_what_narrow_ones_do() {
        for seed in 0..20 {
            clock::reseed(seed);
            let some = || Box::new(std::array::from_fn(|_| clock::random_below(64) as u8));
            let (ranks, before): (Box<Registers>, Box<Registers>) = (some(), some());
            let (mut narrow, mut wide) = (Vec::new(), Vec::new());
            append_dense(&ranks, &mut narrow);
            if !avx2::append_dense(&ranks, &mut wide) {
                return;
            }
            assert_eq!(narrow, wide);
            let (mut by_narrow, mut by_wide) = (before.clone(), before);
            merge_dense(&mut by_narrow, &narrow);
            assert!(avx2::merge(&mut by_wide, &narrow));
            assert_eq!(by_narrow, by_wide);
        }
    }

    proptest! {
        #[test]
        fn eight_registers_are_packed_and_spread_again(eight: [u8; 8]) {
            let eight = u64::from_le_bytes(eight.map(|b| b & 63));
            prop_assert_eq!(spread(pack(eight)), eight);
            prop_assert!(pack(eight) < 1 << 48);
        }

        #[test]
        fn sparse_dense_and_a_plain_array_agree(ranks in ranks(), sparse_max in 20..200usize) {
            let mut model = Box::new([0; REGISTERS]);
            let mut sparse = empty();
            let mut dense = empty();
            make_dense(&mut dense).unwrap();
            for (index, rank) in ranks {
                let differs = model[index] < rank;
                model[index] = rank.max(model[index]);
                prop_assert_eq!(raise_dense(&mut dense[HEAD..], index, rank), differs);
                let raised = match is_dense(&sparse) {
                    true => raise_dense(&mut sparse[HEAD..], index, rank),
                    false => raise_sparse(&mut sparse, index, rank, sparse_max, &mut Cursor::start()).unwrap(),
                };
                prop_assert_eq!(raised, differs);
                prop_assert!(encoding(&sparse).is_some());
                prop_assert!(is_dense(&sparse) || sparse.len() <= sparse_max);
            }
            prop_assert!(registers(&sparse) == model);
            prop_assert!(registers(&dense) == model);
            prop_assert_eq!(count(&sparse), count(&dense));
            // All at once as one by one.
            let mut whole = empty();
            raise_all(&mut whole, &model, 1 << 20).unwrap();
            let mut single = empty();
            for (index, &rank) in model.iter().enumerate().filter(|(_, r)| **r > 0) {
                match is_dense(&single) {
                    true => raise_dense(&mut single[HEAD..], index, rank),
                    false => raise_sparse(&mut single, index, rank, 1 << 20, &mut Cursor::start()).unwrap(),
                };
            }
            prop_assert!(whole == single);
        }

        #[test]
        fn no_runs_do_harm(runs in vec(any::<u8>(), 0..60), index in 0..REGISTERS, rank in 1..51u8) {
            let mut bytes = empty();
            bytes.truncate(HEAD);
            bytes.extend_from_slice(&runs);
            let is_whole = count(&bytes).is_ok();
            prop_assert_eq!(merge(&mut Box::new([0; REGISTERS]), &bytes).is_ok(), is_whole);
            prop_assert_eq!(make_dense(&mut bytes.clone()).is_ok(), is_whole);
            let _ = raise_sparse(&mut bytes, index, rank, SPARSE_MAX, &mut Cursor::start());
        }
    }

    #[test]
    fn an_element_has_its_place() {
        // As PFDEBUG DECODE of valkey-server 9.1.2 tells.
        for (element, expected) in [
            (&b""[..], (5938, 2)),
            (b"a", (12711, 2)),
            (b"b", (15780, 1)),
            (b"hello", (9216, 1)),
            (b"0123456789", (1021, 2)),
        ] {
            assert_eq!(place(element), expected);
        }
    }

    #[test]
    fn estimates_are_near_at_every_size_in_either_form() {
        let (mut bytes, mut dense) = (empty(), empty());
        make_dense(&mut dense).unwrap();
        assert_eq!(count(&bytes), Ok(0));
        let mut wanted = 1;
        for n in 1..=100_000u64 {
            let element = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            add_number(&mut bytes, element, SPARSE_MAX);
            add_number(&mut dense, element, SPARSE_MAX);
            if n == wanted {
                let estimated = count(&bytes).unwrap();
                assert_eq!(Ok(estimated), count(&dense));
                let error = estimated.abs_diff(n) as f64 / n as f64;
                assert!(error < 0.05, "{estimated} of {n}");
                assert_eq!(is_dense(&bytes), n > 1_000);
                wanted *= 10;
            }
        }
        assert!(!add_number(&mut bytes, 0x9e37_79b9_7f4a_7c15, SPARSE_MAX));
    }

    #[test]
    fn a_count_is_kept_until_an_element_makes_a_difference() {
        let mut bytes = empty();
        assert_eq!(cached_count(&bytes), Some(0));
        add_number(&mut bytes, 1, SPARSE_MAX);
        assert_eq!(cached_count(&bytes), None);
        cache_count(&mut bytes, 1);
        assert!(!add_number(&mut bytes, 1, SPARSE_MAX));
        assert_eq!(cached_count(&bytes), Some(1));
        make_dense(&mut bytes).unwrap();
        assert_eq!(cached_count(&bytes), Some(1));
        assert!(add_to_dense(&mut bytes, [&b"x"[..]].into_iter()));
        assert_eq!(cached_count(&bytes), None);
    }

    #[test]
    fn what_is_no_hyperloglog_is_told() {
        let mut bytes = empty();
        assert_eq!(encoding(&bytes), Some(Encoding::Sparse));
        bytes[ENCODING_AT] = DENSE;
        assert_eq!(encoding(&bytes), None);
        bytes.resize(DENSE_BYTES, 0);
        assert_eq!(encoding(&bytes), Some(Encoding::Dense));
        bytes[ENCODING_AT] = 2;
        assert_eq!(encoding(&bytes), None);
        assert_eq!(encoding(b"HYLL\x01"), None);
        assert_eq!(encoding(b"hyll\x01 and enough bytes"), None);
    }
}
