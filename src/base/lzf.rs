//! LZF: the fast, weak compression that Redis uses in snapshots and for the
//! middle of long lists.
//!
//! ```text
//! 000lllll                        l + 1 bytes follow as they are
//! lllooooo oooooooo               l + 2 bytes come again, from o + 1 bytes back
//! 111ooooo llllllll oooooooo      l + 9 bytes, likewise
//! ```
//!
//! Source: Marc Lehmann's LibLZF, whose format this is.

/// Longest run of bytes as they are.
const RUN_MAX: usize = 32;
/// Shortest and longest stretch that comes again.
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
/// How far back it may lie.
const DISTANCE_MAX: usize = 1 << 13;
/// The most bytes that a byte can stand for.
const RATIO_MAX: usize = MATCH_MAX / 3;

/// Bits of hashes; a table for more is not worth being emptied for short inputs.
const HASH_BITS: u32 = 13;
const HASH_BITS_SHORT: u32 = 9;
/// Up to so many bytes an input is short.
const SHORT_MAX: usize = 1 << HASH_BITS_SHORT;

/// Appends the compressed form of `input`; `None`, with what was appended left
/// there, where that takes more than `bytes_max` bytes.
pub fn compress(input: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Option<()> {
    match input.len() {
        ..=SHORT_MAX => compress_with(&mut [0; 1 << HASH_BITS_SHORT], input, bytes_max, out),
        _ => compress_with(&mut [0; 1 << HASH_BITS], input, bytes_max, out),
    }
}

/// `seen`: where three bytes of a hash were last seen, one up; 0 for nowhere.
fn compress_with<const SLOTS: usize>(
    seen: &mut [u32; SLOTS],
    input: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    let end = out.len().saturating_add(bytes_max);
    let mut run = 0;
    let mut at = 0;
    while let Some(&[a, b, c]) = input.get(at..).and_then(|rest| rest.first_chunk()) {
        let slot = &mut seen[hash(a, b, c, SLOTS)];
        let before = std::mem::replace(slot, u32::try_from(at).ok()? + 1) as usize;
        let distance = (at + 1).wrapping_sub(before);
        let is_near = before != 0 && distance <= DISTANCE_MAX;
        if !is_near || input[before - 1..][..MATCH_MIN] != [a, b, c] {
            at += 1;
            continue;
        }
        literals(&input[run..at], out);
        let length = input[at..]
            .iter()
            .zip(&input[before - 1..])
            .take(MATCH_MAX)
            .take_while(|(x, y)| x == y)
            .count();
        let (long, back) = (length - 2, distance - 1);
        let high = (back >> 8) as u8;
        if long < 7 {
            out.push((long as u8) << 5 | high);
        } else {
            out.extend([7 << 5 | high, (long - 7) as u8]);
        }
        out.push(back as u8);
        at += length;
        run = at;
        if out.len() > end {
            return None;
        }
    }
    literals(&input[run..], out);
    (out.len() <= end).then_some(())
}

fn literals(bytes: &[u8], out: &mut Vec<u8>) {
    for run in bytes.chunks(RUN_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

/// A slot among so many, a power of two.
#[inline]
fn hash(a: u8, b: u8, c: u8, slots: usize) -> usize {
    let n = u32::from_le_bytes([a, b, c, 0]);
    (n.wrapping_mul(0x9E37_79B1) >> (32 - slots.trailing_zeros())) as usize
}

/// The `bytes` bytes that `input` stands for; `None` where it is malformed or
/// stands for another number of bytes. Bytes from outside do no harm.
pub fn decompress(input: &[u8], bytes: usize) -> Option<Vec<u8>> {
    if bytes > input.len().saturating_mul(RATIO_MAX) {
        return None;
    }
    let mut out = Vec::with_capacity(bytes);
    let mut rest = input.iter();
    while let Some(&head) = rest.next() {
        let long = usize::from(head >> 5);
        if long == 0 {
            let run = rest.as_slice().get(..=usize::from(head))?;
            out.extend_from_slice(run);
            rest = rest.as_slice()[run.len()..].iter();
        } else {
            let more = if long == 7 { *rest.next()? } else { 0 };
            let length = long + usize::from(more) + 2;
            let back = usize::from(head & 0x1F) << 8 | usize::from(*rest.next()?);
            let from = out.len().checked_sub(back + 1)?;
            if out.len() + length > bytes {
                return None;
            }
            if length <= back {
                out.extend_from_within(from..from + length);
            } else {
                // It repeats itself.
                (from..from + length).for_each(|i| out.push(out[i]));
            }
        }
        if out.len() > bytes {
            return None;
        }
    }
    (out.len() == bytes).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(input, usize::MAX, &mut out).expect("no bound");
        out
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(parts in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..40), 0usize..400), 0..12,
        )) {
            let input: Vec<u8> = parts.iter().flat_map(|(p, n)| p.repeat(*n)).collect();
            let out = packed(&input);
            prop_assert_eq!(decompress(&out, input.len()), Some(input));
        }

        #[test]
        fn any_bytes_are_refused_or_read(
            input in prop::collection::vec(any::<u8>(), 0..60), bytes in 0usize..500,
        ) {
            if let Some(out) = decompress(&input, bytes) {
                prop_assert_eq!(out.len(), bytes);
            }
        }
    }

    #[test]
    fn repetition_is_worth_it_and_noise_is_given_up() {
        let input = b"abcabcabcabcabcabcabcabcabcabcabcabc".repeat(100);
        assert!(packed(&input).len() < input.len() / 50);
        let noise: Vec<u8> = (0..1000u32)
            .map(|n| (n.wrapping_mul(0x9E37_79B1) >> 13) as u8)
            .collect();
        assert_eq!(compress(&noise, 100, &mut Vec::new()), None);
    }

    #[test]
    fn the_forms_are_those_of_the_format() {
        assert_eq!(packed(b"abcd"), b"\x03abcd");
        assert_eq!(packed(b"aaaaaaaaaa"), [0, b'a', 7 << 5, 0, 0]);
        assert_eq!(packed(b"abcabcz"), *b"\x02abc\x20\x02\x00z");
        assert_eq!(
            decompress(b"\x02abc\x20\x02\x00z", 7),
            Some(b"abcabcz".to_vec())
        );
        assert_eq!(decompress(b"\x02abc\x20\x03\x00z", 7), None);
        assert_eq!(decompress(b"\x02abc\x20\x02\x00z", 6), None);
        assert_eq!(decompress(b"\x02ab", 3), None);
    }
}
