//! CLIENT PAUSE: until it ends, clients that want to change something, or all of
//! them, stop in front of their next command; and the server removes no key of
//! its own accord, so that nothing at all changes.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::session::Session;
use super::spec::{Scope, Spec, flag};
use crate::base::clock;

/// Commands that go out to followers, whether or not they change a key.
const GOES_OUT: u32 = flag::WRITE | flag::MAY_REPLICATE;

/// See the head of this file.
#[derive(Default)]
pub struct Pause {
    /// When it ends, in Unix milliseconds; 0 where there is none.
    until_ms: AtomicU64,
    /// Readers stop, too.
    all: AtomicBool,
    /// Clients that have stopped.
    pub stopped: AtomicUsize,
}

impl Pause {
    /// Begins, or goes on: neither the end comes nearer nor the readers free.
    pub fn begin(&self, until_ms: u64, all: bool) {
        let was_all = self.left_ms() > 0 && self.all.load(Ordering::Relaxed);
        self.all.store(all || was_all, Ordering::Relaxed);
        self.until_ms.fetch_max(until_ms, Ordering::AcqRel);
    }

    /// Ends; whoever has stopped must be woken.
    pub fn end(&self) {
        self.until_ms.store(0, Ordering::Release);
    }

    /// How long it lasts, in milliseconds; 0 where there is none.
    pub fn left_ms(&self) -> u64 {
        match self.until_ms.load(Ordering::Acquire) {
            0 => 0,
            until_ms => until_ms.saturating_sub(clock::unix_ms()),
        }
    }

    /// Whether it is on at this time.
    #[inline]
    pub fn is_on(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms.load(Ordering::Relaxed)
    }

    /// Whether readers stop, too.
    pub fn is_for_all(&self) -> bool {
        self.all.load(Ordering::Relaxed)
    }

    /// Whether a client must stop in front of this command.
    #[cold]
    pub fn stops(&self, session: &Session, spec: &Spec) -> bool {
        if session.follower {
            return false;
        }
        let queued = session.multi.iter().flat_map(|multi| &multi.queued);
        self.is_for_all()
            || spec.flags & GOES_OUT != 0
            || (spec.scope == Scope::Queued
                && queued.map(|q| q.spec.flags).any(|f| f & GOES_OUT != 0))
    }
}
