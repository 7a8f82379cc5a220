//! Client eviction: the memory of all clients together, held to
//! `maxmemory-clients` by dropping those that take most.
//!
//! Each client's share of the sum is what it was last noted with: by its own
//! connection after each turn, by whoever posts it mail, and whenever the sum is
//! exceeded. Where there is no limit, nothing is noted.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::engine::Engine;
use super::session::Client;
use crate::config::{Settings, param};
use crate::{notice, warning};

/// A lower limit would leave no room to lift it, in bytes.
const LIMIT_MIN: u64 = 128 * 1024;

/// The bit of a share that says that its client is spared (CLIENT NO-EVICT).
const SPARED: u64 = 1 << 63;
/// The share of a client that goes: nothing, for ever.
const GONE: u64 = u64::MAX;

/// A client's part of [`ClientMemory`]: bytes, perhaps [`SPARED`], or [`GONE`].
#[derive(Default)]
pub(super) struct Share(AtomicU64);

/// See the head of this file. One for the process.
#[derive(Default)]
pub struct ClientMemory {
    /// Bytes; 0 for no limit.
    limit: AtomicU64,
    /// Bytes of all clients. Signed, as those below: what is added may come
    /// behind what is taken away.
    all: AtomicI64,
    /// Bytes of those that may go.
    evictable: AtomicI64,
    /// Held by whoever evicts: two would drop more than need be.
    evicting: Mutex<()>,
}

fn bytes(share: u64) -> i64 {
    match share {
        GONE => 0,
        _ => (share & !SPARED) as i64,
    }
}

fn evictable_bytes(share: u64) -> i64 {
    match share & SPARED {
        0 => share as i64,
        _ => 0,
    }
}

impl ClientMemory {
    /// Whether there is a limit.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.limit.load(Ordering::Relaxed) != 0
    }

    /// Notes what a client takes now.
    pub(super) fn note(&self, share: &Share, bytes: u64, spared: bool) {
        let after = bytes | if spared { SPARED } else { 0 };
        let alive = |before| (before != GONE).then_some(after);
        let noted = share
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, alive);
        if let Ok(before) = noted {
            self.change(before, after);
        }
    }

    /// Takes a client's share away, for good.
    pub(super) fn forget(&self, share: &Share) {
        self.change(share.0.swap(GONE, Ordering::Relaxed), GONE);
    }

    fn change(&self, before: u64, after: u64) {
        if before == after {
            return;
        }
        let all = bytes(after) - bytes(before);
        let evictable = evictable_bytes(after) - evictable_bytes(before);
        self.all.fetch_add(all, Ordering::Relaxed);
        self.evictable.fetch_add(evictable, Ordering::Relaxed);
    }

    /// Whether clients take more than they may.
    fn is_exceeded(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        limit > 0 && self.all.load(Ordering::Relaxed) > limit
    }

    /// Whether there is something to do about it.
    #[inline]
    fn calls_for_eviction(&self) -> bool {
        self.is_limited() && self.is_exceeded() && self.evictable.load(Ordering::Relaxed) > 0
    }
}

/// Makes the settings take effect.
pub fn configure(engine: &Engine) {
    let limit = limit_bytes(&engine.settings);
    let memory = engine.clients.memory();
    memory.limit.store(limit, Ordering::Relaxed);
    for client in engine.clients.all() {
        client.note_memory();
    }
}

/// `maxmemory-clients` in bytes; 0 for no limit.
fn limit_bytes(settings: &Settings) -> u64 {
    let maxmemory = settings.int(param::MAXMEMORY) as u64;
    let limit = match settings.int(param::MAXMEMORY_CLIENTS) {
        bytes @ 1.. => bytes as u64,
        percent if percent < 0 && maxmemory > 0 => {
            let percent = u128::from(percent.unsigned_abs());
            (u128::from(maxmemory) * percent / 100) as u64
        }
        _ => return 0,
    };
    limit.max(LIMIT_MIN)
}

/// Drops the largest clients while all together take more than they may; whether
/// there was something to do. Called without any lock held.
#[inline]
pub fn hold(engine: &Engine) -> bool {
    let is_too_much = engine.clients.memory().calls_for_eviction();
    if is_too_much {
        evict(engine);
    }
    is_too_much
}

#[cold]
fn evict(engine: &Engine) {
    let memory = engine.clients.memory();
    let Some(_alone) = memory.evicting.try_lock() else {
        return;
    };
    let mut clients = engine.clients.all();
    clients.retain(|client| {
        client.note_memory();
        !client.is_spared() && !client.is_killed()
    });
    clients.sort_by_cached_key(|client| client.memory_bytes());
    while memory.is_exceeded() {
        let Some(client) = clients.pop() else {
            warning!("Over client maxmemory after evicting all evictable clients");
            return;
        };
        notice!("Evicting client: {}", describe(engine, &client));
        client.kill();
        // Its connection is closed by its own worker; from now on nobody sees it.
        engine.clients.remove(client.id);
        let evictions = &engine.counters.client_evictions;
        evictions.fetch_add(1, Ordering::Relaxed);
    }
}

fn describe(engine: &Engine, client: &Client) -> String {
    let name = match engine.settings.flag(param::HIDE_USER_DATA_FROM_LOG) {
        true => b"*redacted*".to_vec(),
        false => client.names.lock().name.clone(),
    };
    format!(
        "id={} addr={} name={} tot-mem={}",
        client.id,
        client.addr,
        String::from_utf8_lossy(&name),
        client.memory_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit::Kit;

    fn sums(kit: &Kit) -> (i64, i64) {
        let memory = kit.engine.clients.memory();
        let get = |sum: &AtomicI64| sum.load(Ordering::Relaxed);
        (get(&memory.all), get(&memory.evictable))
    }

    /// Has a client take so many bytes beside its own.
    fn take(kit: &Kit, bytes: u64) {
        let client = &kit.session.client;
        client.query_held.store(bytes, Ordering::Relaxed);
        client.note_memory();
    }

    #[test]
    fn the_limit_is_bytes_or_percent_of_maxmemory_and_never_tiny() {
        for (args, expected) in [
            (&["--maxmemory-clients", "0"][..], 0),
            (&["--maxmemory-clients", "1"], LIMIT_MIN),
            (&["--maxmemory-clients", "3000000"], 3_000_000),
            (&["--maxmemory-clients", "7%"], 0),
            (
                &["--maxmemory-clients", "7%", "--maxmemory", "6mb"],
                440_401,
            ),
            (
                &["--maxmemory-clients", "1%", "--maxmemory", "6mb"],
                LIMIT_MIN,
            ),
        ] {
            let kit = Kit::with(args);
            assert_eq!(limit_bytes(&kit.engine.settings), expected, "{args:?}");
        }
    }

    #[test]
    fn the_largest_go_first_and_no_more_than_need_be() {
        let mut kit = Kit::with(&["--maxmemory-clients", "1mb"]);
        let sizes = [300_000, 500_000, 200_000, 400_000, 100_000];
        let clients: Vec<Kit> = sizes.iter().map(|_| kit.another()).collect();
        for (client, bytes) in clients.iter().zip(sizes) {
            take(client, bytes);
        }
        assert_eq!(kit.run("ping"), "+PONG\r\n");
        let killed: Vec<bool> = clients
            .iter()
            .map(|c| c.session.client.is_killed())
            .collect();
        assert_eq!(killed, [false, true, false, false, false]);
        let evictions = &kit.engine.counters.client_evictions;
        assert_eq!(evictions.load(Ordering::Relaxed), 1);
        assert_eq!(kit.engine.clients.len(), sizes.len());
    }

    #[test]
    fn who_is_evicted_in_front_of_its_own_command_does_not_run_it() {
        let mut kit = Kit::with(&["--maxmemory-clients", "1mb"]);
        take(&kit, 2 << 20);
        assert_eq!(kit.run("set k v"), "");
        assert!(kit.session.client.is_killed());
        assert!(kit.contents().is_empty());
    }

    #[test]
    fn the_spared_count_but_stay() {
        let mut kit = Kit::with(&["--maxmemory-clients", "1mb"]);
        let mut other = kit.another();
        kit.run("client no-evict on");
        take(&kit, 2 << 20);
        assert_eq!(kit.run("ping"), "+PONG\r\n");
        assert!(other.session.client.is_killed(), "all the others went");
        assert_eq!(sums(&kit).1, 0);
        assert!(!hold(&kit.engine), "nothing is left to do");
        assert_eq!(other.run("ping"), "", "nothing of theirs runs any more");
        assert_eq!(kit.run("client no-evict off"), "+OK\r\n");
        take(&kit, 2 << 20);
        assert_eq!(kit.run("ping"), "");
    }

    #[test]
    fn the_sum_is_that_of_the_clients_whenever_the_limit_was_set() {
        let mut kit = Kit::new();
        let other = kit.another();
        take(&other, 100_000);
        assert_eq!(sums(&kit), (0, 0), "nothing is noted without a limit");
        kit.run("config set maxmemory-clients 1mb");
        kit.run("client no-evict on");
        kit.session.client.note_memory();
        let (mine, others) = (
            kit.session.client.memory_bytes() as i64,
            other.session.client.memory_bytes() as i64,
        );
        assert_eq!(sums(&kit), (mine + others, others));
        other.session.client.kill();
        take(&other, 5);
        assert_eq!(sums(&kit), (mine, 0), "who goes takes no more");
    }

    #[test]
    fn names_that_are_kept_for_a_client_count_until_it_lets_go() {
        let mut kit = Kit::new();
        let before = kit.session.client.memory_bytes();
        for (begin, end) in [
            ("watch a b c", "unwatch"),
            ("watch a", "reset"),
            ("subscribe a b", "unsubscribe"),
            ("psubscribe a*", "reset"),
            ("ssubscribe a", "sunsubscribe a"),
            (
                "client tracking on bcast prefix a prefix b",
                "client tracking off",
            ),
        ] {
            kit.run("hello 3");
            kit.run(begin);
            let during = kit.session.client.memory_bytes();
            assert!(during > before, "{begin}");
            kit.run(end);
            assert_eq!(kit.session.client.memory_bytes(), before, "{end}");
        }
        kit.run("watch a");
        kit.run("multi");
        kit.run("exec");
        assert_eq!(kit.session.client.memory_bytes(), before);
    }
}
