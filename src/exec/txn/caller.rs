//! Who reads and writes, as policies see it: which client, and what it missed.

use std::sync::Arc;

pub use super::misses::Miss;
use super::misses::Misses;

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
    misses: Misses,
    leases: Vec<HeldLease>,
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
        self.misses.note(miss);
    }

    /// The miss that a refill of the key answers.
    pub fn take_miss(&mut self, key: u64) -> Option<Miss> {
        self.misses.take(key)
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
        for miss in other.misses.all() {
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
