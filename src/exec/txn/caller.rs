//! Who reads and writes, as policies see it: which client, and what it missed.

use std::collections::VecDeque;
use std::sync::Arc;

/// Misses that are remembered of one client. Beyond, the oldest are forgotten, and a
/// refill of theirs is taken for a write.
const MISSES_MAX: usize = 256;
/// Leases that are given up when their client leaves; others end by their deadline.
const LEASES_MAX: usize = 4096;

/// The client of a transaction.
#[derive(Default)]
pub struct Caller {
    /// Its id; 0 for the server itself.
    pub client: u64,
    /// The user it authenticated as, where a policy asks for that.
    pub user: Option<Arc<str>>,
    /// Whether it may be made to wait.
    pub can_wait: bool,
    /// What it missed; made when it first misses something under a policy.
    pub reader: Option<Box<Reader>>,
}

/// What a client missed, and may be about to bring.
#[derive(Default)]
pub struct Reader {
    misses: VecDeque<Miss>,
    leases: Vec<HeldLease>,
}

/// A miss that its client may be loading for.
#[derive(Clone, Copy, Debug)]
pub struct Miss {
    /// Of database and key.
    pub key: u64,
    /// The shard's count of misses and removals.
    pub sequence: u64,
    /// How many invalidations there had been.
    pub epoch: u32,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// A lease that is given up when its client leaves.
#[derive(Clone, Debug)]
pub struct HeldLease {
    /// The database.
    pub db: u32,
    /// The key.
    pub key: Box<[u8]>,
    /// What proves it.
    pub token: u64,
    /// When it ends by itself, in Unix milliseconds.
    pub until_ms: u64,
}

/// A key that is to be refilled before its end.
#[derive(Clone, Debug)]
pub struct Announced {
    /// The database.
    pub db: u32,
    /// The key.
    pub key: Box<[u8]>,
    /// Its policy.
    pub policy: Box<str>,
    /// How long it still lives, in milliseconds.
    pub left_ms: u64,
    /// Why it is announced.
    pub why: &'static str,
}

/// What falls with a key: a key, or a pattern of keys.
#[derive(Clone, Debug)]
pub struct Cascade {
    /// The database.
    pub db: u32,
    /// What was removed.
    pub cause: Box<[u8]>,
    /// The pattern, in which captures are escaped.
    pub pattern: Vec<u8>,
}

impl Reader {
    /// Remembers a miss, in the place of an older one of the same key.
    pub fn note_miss(&mut self, miss: Miss) {
        self.misses.retain(|m| m.key != miss.key);
        if self.misses.len() == MISSES_MAX {
            self.misses.pop_front();
        }
        self.misses.push_back(miss);
    }

    /// The miss that a refill of the key answers.
    pub fn take_miss(&mut self, key: u64) -> Option<Miss> {
        let at = self.misses.iter().position(|m| m.key == key)?;
        self.misses.remove(at)
    }

    /// Remembers a lease.
    pub fn note_lease(&mut self, lease: HeldLease, now_ms: u64) {
        self.leases
            .retain(|l| l.until_ms > now_ms && (l.db, &l.key) != (lease.db, &lease.key));
        if self.leases.len() < LEASES_MAX {
            self.leases.push(lease);
        }
    }

    /// Takes over what another of the same client remembers.
    pub fn merge(&mut self, other: Reader) {
        for miss in other.misses {
            self.note_miss(miss);
        }
        for lease in other.leases {
            self.note_lease(lease, 0);
        }
    }

    /// What it held.
    pub fn take_leases(&mut self) -> Vec<HeldLease> {
        std::mem::take(&mut self.leases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_misses_are_remembered_once_each() {
        let mut reader = Reader::default();
        let miss = |key, sequence| Miss {
            key,
            sequence,
            epoch: 0,
            at_ms: 0,
        };
        for key in 0..=MISSES_MAX as u64 {
            reader.note_miss(miss(key, key));
        }
        reader.note_miss(miss(5, 1_000));
        assert!(reader.take_miss(0).is_none());
        assert_eq!(reader.take_miss(5).map(|m| m.sequence), Some(1_000));
        assert!(reader.take_miss(5).is_none());
    }
}
