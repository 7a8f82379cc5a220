//! Pauses, as CLIENT PAUSE asks for them, and a failover, and the end of the process:
//! until they are over, clients that want to change something, or all of them, stop in
//! front of their next command; and the server removes no key of its own accord, so
//! that nothing at all changes.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::session::Session;
use super::spec::{Scope, Spec, flag};
use crate::base::clock;

/// Commands that go out to followers, whether or not they change a key.
const GOES_OUT: u32 = flag::WRITE | flag::MAY_REPLICATE;

/// What one is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// CLIENT PAUSE.
    Clients,
    /// The process ends as soon as its followers have everything.
    Shutdown,
    /// A follower is to have everything, and then to lead.
    Failover,
}

impl Purpose {
    const ALL: [Purpose; 3] = [Purpose::Clients, Purpose::Shutdown, Purpose::Failover];

    /// As INFO says it.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Clients => "client_pause",
            Purpose::Shutdown => "shutdown_in_progress",
            Purpose::Failover => "failover_in_progress",
        }
    }
}

/// See the head of this file.
#[derive(Default)]
pub struct Pause {
    /// When each ends, in Unix milliseconds; 0 where there is none.
    ends_ms: Mutex<[u64; Purpose::ALL.len()]>,
    /// The last of them.
    until_ms: AtomicU64,
    /// Readers stop, too.
    all: AtomicBool,
    /// Clients that have stopped.
    pub stopped: AtomicUsize,
}

impl Pause {
    /// Begins one, or goes on: neither the end comes nearer nor the readers free.
    pub fn begin(&self, purpose: Purpose, until_ms: u64, all: bool) {
        let mut ends_ms = self.ends_ms.lock();
        let end_ms = &mut ends_ms[purpose as usize];
        if purpose == Purpose::Clients {
            let was_all = *end_ms > clock::unix_ms() && self.all.load(Ordering::Relaxed);
            self.all.store(all || was_all, Ordering::Relaxed);
        }
        *end_ms = until_ms.max(*end_ms);
        self.until_ms.fetch_max(until_ms, Ordering::AcqRel);
    }

    /// Ends one; whoever has stopped must be woken.
    pub fn end(&self, purpose: Purpose) {
        let mut ends_ms = self.ends_ms.lock();
        ends_ms[purpose as usize] = 0;
        if purpose == Purpose::Clients {
            self.all.store(false, Ordering::Relaxed);
        }
        let last_ms = ends_ms.iter().copied().max().unwrap_or(0);
        self.until_ms.store(last_ms, Ordering::Release);
    }

    /// What the one that lasts longest is for, where there is one.
    pub fn purpose(&self) -> Option<Purpose> {
        let ends_ms = self.ends_ms.lock();
        let lasting = |purpose: &Purpose| ends_ms[*purpose as usize] > clock::unix_ms();
        let all = Purpose::ALL.into_iter().filter(lasting);
        all.max_by_key(|purpose| ends_ms[*purpose as usize])
    }

    /// How long they last, in milliseconds; 0 where there is none.
    pub fn left_ms(&self) -> u64 {
        match self.until_ms.load(Ordering::Acquire) {
            0 => 0,
            until_ms => until_ms.saturating_sub(clock::unix_ms()),
        }
    }

    /// Whether one is on at this time.
    #[inline]
    pub fn is_on(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms.load(Ordering::Relaxed)
    }

    /// Whether readers stop, too.
    pub fn is_for_all(&self) -> bool {
        // Only CLIENT PAUSE says so, and another may outlast it.
        self.all.load(Ordering::Relaxed)
            && self.ends_ms.lock()[Purpose::Clients as usize] > clock::unix_ms()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ends_by_itself() {
        let (pause, now_ms) = (Pause::default(), clock::unix_ms());
        pause.begin(Purpose::Clients, now_ms + 60_000, true);
        pause.begin(Purpose::Failover, u64::MAX, false);
        assert_eq!(pause.purpose(), Some(Purpose::Failover));
        assert!(pause.is_for_all());
        pause.end(Purpose::Failover);
        assert_eq!(pause.purpose(), Some(Purpose::Clients));
        assert!((50_000..=60_000).contains(&pause.left_ms()) && pause.is_for_all());
        pause.begin(Purpose::Shutdown, u64::MAX, false);
        pause.end(Purpose::Clients);
        assert!(pause.is_on(now_ms) && !pause.is_for_all());
        pause.end(Purpose::Shutdown);
        assert!(!pause.is_on(now_ms) && pause.purpose().is_none());
    }
}
