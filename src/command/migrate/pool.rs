//! Connections to other servers that MIGRATE keeps for the next time: whoever moves a
//! slot calls it many times in a row.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::link::{Link, Rested};
use crate::base::clock;
use crate::exec::engine::{Counters, Engine};
use crate::exec::services::Service;

/// Connections that are kept at most.
const LINKS_MAX: usize = 64;
/// For how long one is kept that nobody uses, in milliseconds.
const IDLE_MS: u64 = 10_000;

/// Where a connection leads, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The other server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// AUTH and its words; none where nobody was asked who comes.
    pub login: Vec<Vec<u8>>,
}

/// Counts a connection for as long as there is one.
pub struct Counted(Arc<Counters>);

impl Counted {
    /// One more.
    pub fn new(counters: &Arc<Counters>) -> Counted {
        counters.migrate_links.fetch_add(1, Ordering::Relaxed);
        Counted(counters.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.migrate_links.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Idle {
    target: Target,
    link: Rested,
    /// The database that is selected there.
    db: i64,
    since_ms: u64,
}

/// See the head of this file.
#[derive(Default)]
pub struct Pool(Mutex<Vec<Idle>>);

impl Service for Pool {
    fn new(_: &Engine) -> Arc<Pool> {
        Arc::default()
    }
}

impl Pool {
    /// A connection that leads there and still stands, with the database that is
    /// selected.
    pub fn take(&self, target: &Target) -> Option<(Link, i64)> {
        let idle = {
            let mut all = self.0.lock();
            let at = all.iter().position(|idle| idle.target == *target)?;
            all.swap_remove(at)
        };
        Some((idle.link.wake()?, idle.db))
    }

    /// Keeps a connection on which nothing is left to be said.
    pub fn put(&self, target: Target, link: Link, db: i64) {
        let Some(link) = link.rest() else {
            return;
        };
        let mut all = self.0.lock();
        if all.len() >= LINKS_MAX {
            all.remove(0);
        }
        all.push(Idle {
            target,
            link,
            db,
            since_ms: clock::unix_ms(),
        });
    }

    /// Closes those that nobody has used for long.
    pub fn drop_idle(&self) {
        let now_ms = clock::unix_ms();
        let is_used = |idle: &Idle| now_ms.saturating_sub(idle.since_ms) <= IDLE_MS;
        self.0.lock().retain(is_used);
    }
}
