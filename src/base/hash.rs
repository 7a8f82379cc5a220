//! Hashes: the digest that places a key, and the checksums of Redis's formats.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// A key's digest: 64 bits that place it (shard, segment, line, tag).
///
/// Keyed with entropy drawn once a process, so that a client cannot choose keys
/// that collide.
pub fn digest(key: &[u8]) -> u64 {
    let mut h = hasher().build_hasher();
    h.write(key);
    h.finish()
}

/// A digest that is the same in every process: for what is written to files. Whoever
/// chooses what is hashed can make two collide.
///
/// It is XXH64 with the seed 0.
pub fn lasting_digest(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}

/// Other bits of a digest than those that choose its shard and place, in 0..2^32.
#[inline]
pub fn spread(digest: u64) -> u64 {
    digest.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// The same digest, for hash tables of the standard library.
#[derive(Clone, Copy, Default, Debug)]
pub struct Keyed;

impl BuildHasher for Keyed {
    type Hasher = <SeedableRandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        hasher().build_hasher()
    }
}

fn hasher() -> &'static SeedableRandomState {
    static HASHER: OnceLock<SeedableRandomState> = OnceLock::new();
    HASHER.get_or_init(|| {
        static SEED: OnceLock<SharedSeed> = OnceLock::new();
        let seed = SEED.get_or_init(|| SharedSeed::from_u64(entropy()));
        SeedableRandomState::with_seed(entropy(), seed)
    })
}

/// In tests always the same, so that what fails once fails again.
fn entropy() -> u64 {
    if cfg!(test) {
        1
    } else {
        super::clock::random()
    }
}

/// CRC16 (XMODEM), as Redis Cluster places keys in slots by it.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &b| {
        (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ b)]
    })
}

/// CRC64 (Jones), as RDB files end with it.
pub fn crc64(crc: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(crc, |crc, &b| {
        CRC64[usize::from(crc as u8 ^ b)] ^ (crc >> 8)
    })
}

static CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 {
                (crc << 1) ^ 0x1021
            } else {
                crc << 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

static CRC64: [u64; 256] = {
    // The Jones polynomial 0xad93d23594c935a9, bits reflected.
    const POLY: u64 = 0x95ac_9329_ac4b_c9b5;
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 {
                (crc >> 1) ^ POLY
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_their_published_check_values() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc64(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn a_lasting_digest_is_the_published_one() {
        assert_eq!(lasting_digest(b""), 0xef46_db37_51d8_e999);
        assert_eq!(lasting_digest(b"abc"), 0x44bc_2cf5_ad77_0999);
        let long = b"Nobody inspects the spammish repetition";
        assert_eq!(lasting_digest(long), 0xfbce_a83c_8a37_8bf1);
    }

    #[test]
    fn a_digest_is_stable_within_a_process_and_differs_between_keys() {
        assert_eq!(digest(b"a"), digest(b"a"));
        assert_ne!(digest(b"a"), digest(b"b"));
        assert_ne!(digest(b""), digest(b"\0"));
    }
}
