//! Dense registers, 32 at a time, where the processor has AVX2.
//!
//! ```text
//!  24 bytes of dense registers, 12 to each half of a vector
//!      │ shuffle: three bytes to each lane of 32 bits
//!  [ ········ dddddd cc cccc bbbb bb aaaaaa ] × 8
//!      │ mask and shift: 6 bits to each byte
//!  [ ··dddddd ··cccccc ··bbbbbb ··aaaaaa ] × 8      32 registers
//! ```
//!
//! **Rule that makes this sound:** what is called with `target_feature` is called
//! behind a look whether the processor has it; memory is read and written only
//! through arrays of the very size of what is moved.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{REGISTERS, Registers};

/// Registers of one vector, and the bytes that they take when dense.
const WIDE: usize = 32;
const DENSE: usize = WIDE / 4 * 3;

const _: () = assert!(size_of::<__m256i>() == WIDE && REGISTERS.is_multiple_of(WIDE));

/// As [`super::merge_dense`]; false, with nothing done, where the processor lacks it.
pub fn merge(registers: &mut Registers, dense: &[u8]) -> bool {
    let has = is_x86_feature_detected!("avx2");
    if has {
        // SAFETY: the processor has what it takes.
        unsafe { merge_wide(registers, dense) };
    }
    has
}

/// As [`super::append_dense`], likewise.
pub fn append_dense(registers: &Registers, bytes: &mut Vec<u8>) -> bool {
    let has = is_x86_feature_detected!("avx2");
    if has {
        // SAFETY: the processor has what it takes.
        unsafe { append_wide(registers, bytes) };
    }
    has
}

#[target_feature(enable = "avx2")]
fn load(from: &[u8; WIDE]) -> __m256i {
    // SAFETY: as many bytes are there; they need not be aligned.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(to: &mut [u8; WIDE], vector: __m256i) {
    // SAFETY: as in `load`.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) };
}

/// Two words of 8 bytes and two of 4, as 12 bytes to each half.
#[target_feature(enable = "avx2")]
fn halves(dense: &[u8; DENSE]) -> __m256i {
    let word = |at: usize| i64::from_le_bytes(std::array::from_fn(|i| dense[at + i]));
    let last = |at: usize| i64::from(u32::from_le_bytes(std::array::from_fn(|i| dense[at + i])));
    _mm256_set_epi64x(last(20), word(12), last(8), word(0))
}

#[target_feature(enable = "avx2")]
fn merge_wide(registers: &mut Registers, dense: &[u8]) {
    #[rustfmt::skip]
    let three = _mm256_setr_epi8(
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,
    );
    let mask = |bits: i32| _mm256_set1_epi32(bits);
    let all = registers.as_chunks_mut::<WIDE>().0;
    for (some, dense) in all.iter_mut().zip(dense.as_chunks::<DENSE>().0) {
        let x = _mm256_shuffle_epi8(halves(dense), three);
        let a = _mm256_and_si256(x, mask(0x3f));
        let b = _mm256_slli_epi32(_mm256_and_si256(x, mask(0x3f << 6)), 2);
        let c = _mm256_slli_epi32(_mm256_and_si256(x, mask(0x3f << 12)), 4);
        let d = _mm256_slli_epi32(_mm256_and_si256(x, mask(0x3f << 18)), 6);
        let ranks = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
        store(some, _mm256_max_epu8(load(some), ranks));
    }
}

#[target_feature(enable = "avx2")]
fn append_wide(registers: &Registers, bytes: &mut Vec<u8>) {
    #[rustfmt::skip]
    let together = _mm256_setr_epi8(
        0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
        0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
    );
    let mask = |bits: i32| _mm256_set1_epi32(bits);
    for some in registers.as_chunks::<WIDE>().0 {
        let x = load(some);
        let a = _mm256_and_si256(x, mask(0x3f));
        let b = _mm256_srli_epi32(_mm256_and_si256(x, mask(0x3f << 8)), 2);
        let c = _mm256_srli_epi32(_mm256_and_si256(x, mask(0x3f << 16)), 4);
        let d = _mm256_srli_epi32(_mm256_and_si256(x, mask(0x3f << 24)), 6);
        let x = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
        let mut dense = [0; WIDE];
        store(&mut dense, _mm256_shuffle_epi8(x, together));
        bytes.extend_from_slice(&dense[..DENSE / 2]);
        bytes.extend_from_slice(&dense[WIDE / 2..][..DENSE / 2]);
    }
}
