//! What the server knows as a follower: whom it follows, how the link is, how much has
//! come by it. The `replication` service writes it; what refuses commands, keeps keys
//! and shows figures reads it.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::session::Client;
use crate::base::clock;
use crate::config::Primary;

/// How far the link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Nobody is followed.
    None,
    /// There is none, and one is to be made.
    Connect,
    /// The leader's socket is being connected to.
    Connecting,
    /// Both introduce themselves.
    Handshake,
    /// A snapshot comes.
    Sync,
    /// Changes come as they happen.
    Connected,
}

impl Phase {
    const ALL: [Phase; 6] = [
        Phase::None,
        Phase::Connect,
        Phase::Connecting,
        Phase::Handshake,
        Phase::Sync,
        Phase::Connected,
    ];

    /// As ROLE says it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::None => "none",
            Phase::Connect => "connect",
            Phase::Connecting => "connecting",
            Phase::Handshake => "handshake",
            Phase::Sync => "sync",
            Phase::Connected => "connected",
        }
    }
}

/// A snapshot on its way.
#[derive(Default)]
pub struct Transfer {
    /// Bytes in all; 0 where the leader does not know.
    pub total: AtomicU64,
    /// Bytes that have come.
    pub read: AtomicU64,
    /// When some last came, in Unix milliseconds.
    pub active_ms: AtomicU64,
}

/// See the head of this file. One for the process.
///
/// Whether there is a leader, and which, changes under all shards' locks.
#[derive(Default)]
pub struct Following {
    is_on: AtomicBool,
    is_loading: AtomicBool,
    phase: AtomicU8,
    leader: Mutex<Option<Primary>>,
    /// Changes with every new answer to who is followed.
    turn: AtomicU64,
    /// Rings when it does.
    pub changed: Notify,
    /// Whether what is there is a part of a known history, so that the leader may be
    /// asked to go on from there.
    pub can_resume: AtomicBool,
    /// Bytes of changes that have come, with those that are not carried out yet.
    pub read_offset: AtomicU64,
    /// Bytes that leaders have sent.
    pub received: AtomicU64,
    /// Since when the link is down, in Unix milliseconds; 0 where it is not, or never was up.
    pub down_since_ms: AtomicU64,
    /// The snapshot that comes.
    pub transfer: Transfer,
    /// The link, as a client.
    link: Mutex<Option<Arc<Client>>>,
    own_keys: Mutex<OwnKeys>,
}

/// A key of a database.
type DbKey = (u32, Box<[u8]>);

/// Keys that clients of this server gave a deadline: no leader knows of them, so none
/// says when they go.
#[derive(Default)]
struct OwnKeys {
    all: BTreeSet<DbKey>,
    /// The last one that was looked at.
    last: Option<DbKey>,
}

impl Following {
    /// Whether another server is followed.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Who is followed.
    pub fn leader(&self) -> Option<Primary> {
        self.leader.lock().clone()
    }

    /// Whose turn it is: a link that began in another one has nothing more to say.
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// Follows this one, or nobody, from now on. For who holds every shard.
    pub fn set_leader(&self, leader: Option<Primary>) {
        let is_on = leader.is_some();
        *self.leader.lock() = leader;
        self.is_on.store(is_on, Ordering::Release);
        self.turn.fetch_add(1, Ordering::AcqRel);
        self.set_phase(match is_on {
            true => Phase::Connect,
            false => Phase::None,
        });
        self.is_loading.store(false, Ordering::Release);
        if let Some(link) = self.link() {
            link.kill();
        }
        self.changed.notify_one();
    }

    /// How far the link is.
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Acquire))]
    }

    /// It has come so far.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Whether changes come.
    pub fn is_linked(&self) -> bool {
        self.phase() == Phase::Connected
    }

    /// Whether the data is being replaced.
    pub fn is_loading(&self) -> bool {
        self.is_loading.load(Ordering::Acquire)
    }

    /// It is, or no longer.
    pub fn set_loading(&self, loading: bool) {
        self.is_loading.store(loading, Ordering::Release);
    }

    /// The link, as a client.
    pub fn link(&self) -> Option<Arc<Client>> {
        self.link.lock().clone()
    }

    /// The link is this client, or there is none.
    pub fn set_link(&self, link: Option<Arc<Client>>) {
        *self.link.lock() = link;
    }

    /// A client of this server gave a key a deadline.
    pub fn note_own_key(&self, db: u32, key: &[u8]) {
        self.own_keys.lock().all.insert((db, key.into()));
    }

    /// How many such keys are remembered.
    pub fn own_keys(&self) -> usize {
        self.own_keys.lock().all.len()
    }

    /// Up to `most` of them, others each time until all had their turn.
    pub fn next_own_keys(&self, most: usize) -> Vec<DbKey> {
        let mut own = self.own_keys.lock();
        let from = match own.last.take() {
            Some(last) => Bound::Excluded(last),
            None => Bound::Unbounded,
        };
        let next = own.all.range((from, Bound::Unbounded)).take(most);
        let next: Vec<DbKey> = next.cloned().collect();
        if next.len() == most {
            own.last = next.last().cloned();
        }
        next
    }

    /// It is none of these any more.
    pub fn forget_own_key(&self, key: &DbKey) {
        self.own_keys.lock().all.remove(key);
    }

    /// Forgets them all.
    pub fn forget_own_keys(&self) {
        *self.own_keys.lock() = OwnKeys::default();
    }

    /// Seconds since the leader last said anything; -1 where there is no link.
    pub fn silent_s(&self) -> i64 {
        match self.link() {
            Some(link) if self.is_linked() => seconds_since(&link.active_ms),
            _ => -1,
        }
    }
}

/// Whole seconds since a Unix time in milliseconds.
pub fn seconds_since(ms: &AtomicU64) -> i64 {
    (clock::unix_ms().saturating_sub(ms.load(Ordering::Relaxed)) / 1000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_keys_have_their_turn_one_after_the_other_and_then_anew() {
        let following = Following::default();
        for key in [b"a", b"b", b"c"] {
            following.note_own_key(0, key);
        }
        let next = || {
            let keys = following.next_own_keys(2);
            keys.iter().map(|(_, key)| key[0]).collect::<Vec<_>>()
        };
        assert_eq!([next(), next(), next()], [&b"ab"[..], b"c", b"ab"]);
        following.forget_own_key(&(0, (*b"c").into()));
        assert_eq!(following.own_keys(), 2);
        assert!(following.next_own_keys(2).is_empty());
        assert_eq!(following.next_own_keys(2).len(), 2);
    }
}
