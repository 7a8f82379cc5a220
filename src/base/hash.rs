//! Hashes: the digest that places a key, and the checksums of Redis's formats.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// A key's digest: 64 bits that place it (shard, segment, line, tag).
///
/// Keyed with entropy drawn once a process, so that a client cannot choose keys
/// that collide. In a cluster its first bits are the key's slot ([`place_by_slot`]).
#[inline]
pub fn digest(key: &[u8]) -> u64 {
    let mut h = hasher().build_hasher();
    h.write(key);
    match places_by_slot() {
        false => h.finish(),
        true => placed(key, h.finish()),
    }
}

/// Out of the way of those who are in no cluster.
#[cold]
#[inline(never)]
fn placed(key: &[u8], rest: u64) -> u64 {
    in_slot(slot(key), rest)
}

/// Slots that a cluster's keys lie in.
pub const SLOTS: u16 = 1 << SLOT_BITS;
/// Bits of a digest, from the top, that are a slot's, where they are.
pub const SLOT_BITS: u32 = 14;

/// From now on digests begin with their key's slot, so that what is placed by a
/// digest's first bits keeps the keys of a slot together; or no longer. It is said
/// before there is any digest of a key, and in a process but once.
pub fn place_by_slot(by_slot: bool) {
    mode::set(by_slot);
}

/// Whether digests begin with their key's slot.
#[inline]
pub fn places_by_slot() -> bool {
    mode::get()
}

/// The slot of a key in a cluster: that of what stands between its first `{` and the
/// next `}`, if anything does, or else of all of it.
pub fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&b| b == b'{').and_then(|open| {
        let behind = &key[open + 1..];
        let end = behind.iter().position(|&b| b == b'}')?;
        (end > 0).then(|| &behind[..end])
    });
    crc16(tag.unwrap_or(key)) & (SLOTS - 1)
}

/// The slot in which every key lies that matches a glob pattern; `None` where they may
/// lie in several: it tells from a tag in front of which, and in which, nothing is
/// special.
pub fn slot_of_pattern(pattern: &[u8]) -> Option<u16> {
    let mut open = None;
    for (at, &b) in pattern.iter().enumerate() {
        match (b, open) {
            (b'*' | b'?' | b'[' | b'\\', _) => return None,
            (b'{', None) => open = Some(at + 1),
            // An empty tag is none, and no other one counts.
            (b'}', Some(from)) if from == at => open = Some(usize::MAX),
            (b'}', Some(from)) if from < at => return Some(slot(pattern)),
            _ => {}
        }
    }
    Some(slot(pattern))
}

/// The slot that a digest begins with, where digests do.
#[inline]
pub fn slot_of(digest: u64) -> u16 {
    ((digest >> (64 - SLOT_BITS)) as u16).reverse_bits() >> (16 - SLOT_BITS)
}

/// The digests of a slot's keys: the least and the greatest that there can be. The
/// slot's bits are reversed, so that slots side by side, which one node of a cluster
/// has, are spread over all shards.
#[inline]
pub fn digests_in(slot: u16) -> std::ops::RangeInclusive<u64> {
    in_slot(slot, 0)..=in_slot(slot, u64::MAX)
}

#[inline]
fn in_slot(slot: u16, rest: u64) -> u64 {
    let bits = slot << (16 - SLOT_BITS);
    u64::from(bits.reverse_bits()) << (64 - SLOT_BITS) | rest >> SLOT_BITS
}

#[cfg(not(test))]
mod mode {
    use std::sync::atomic::{AtomicBool, Ordering};

    static BY_SLOT: AtomicBool = AtomicBool::new(false);

    pub fn set(by_slot: bool) {
        BY_SLOT.store(by_slot, Ordering::Relaxed);
    }

    #[inline]
    pub fn get() -> bool {
        BY_SLOT.load(Ordering::Relaxed)
    }
}

/// In tests each thread has servers of its own.
#[cfg(test)]
mod mode {
    use std::cell::Cell;

    thread_local! {
        static BY_SLOT: Cell<bool> = const { Cell::new(false) };
    }

    pub fn set(by_slot: bool) {
        BY_SLOT.set(by_slot);
    }

    pub fn get() -> bool {
        BY_SLOT.get()
    }
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
    fn a_slot_is_that_of_the_tag_where_there_is_one() {
        for (key, slot_of_it) in [
            (&b"foo"[..], 12182),
            (b"alice", 749),
            (b"{foo}1", 12182),
            (b"a{foo}b{alice}", 12182),
            (
                b"{}{alice}",
                slot(b"x{}{alice}".strip_prefix(b"x").expect("it")),
            ),
            (b"", 0),
        ] {
            assert_eq!(slot(key), slot_of_it, "{key:?}");
        }
        assert_ne!(slot(b"{}{alice}"), 749);
        assert_ne!(slot(b"{alice"), 749);
    }

    #[test]
    fn a_pattern_lies_in_a_slot_where_its_tag_is_plain() {
        for (pattern, slot) in [
            (&b"{foo}*"[..], Some(12182)),
            (b"a{foo}[ab]?", Some(12182)),
            (b"foo", Some(12182)),
            (b"*{foo}", None),
            (b"{f*o}", None),
            (b"{foo", Some(slot(b"{foo"))),
            (b"{}{foo}", Some(slot(b"{}{foo}"))),
            (b"{}*", None),
            (b"\\{foo}", None),
            (b"a*", None),
        ] {
            assert_eq!(slot_of_pattern(pattern), slot, "{pattern:?}");
        }
    }

    #[test]
    fn a_digest_tells_its_keys_slot_where_keys_are_placed_by_it() {
        let plain = digest(b"foo");
        place_by_slot(true);
        for n in 0..2_000 {
            let key = format!("key:{n}");
            let digest = digest(key.as_bytes());
            assert_eq!(slot_of(digest), slot(key.as_bytes()));
            assert!(digests_in(slot(key.as_bytes())).contains(&digest));
        }
        // Neighbours lie far apart.
        assert_eq!(digests_in(0).start() >> 63, 0);
        assert_eq!(digests_in(1).start() >> 63, 1);
        place_by_slot(false);
        assert_eq!(digest(b"foo"), plain);
    }

    #[test]
    fn a_digest_is_stable_within_a_process_and_differs_between_keys() {
        assert_eq!(digest(b"a"), digest(b"a"));
        assert_ne!(digest(b"a"), digest(b"b"));
        assert_ne!(digest(b""), digest(b"\0"));
    }
}
