//! What clients may owe: output limits by class, and who breaks them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::access::Access;
use super::engine::Counters;
use super::session::Client;
use crate::base::clock;
use crate::config::{ClientClass, OutputLimit, Settings, param};

/// Replies up to this size together count towards no limit: they would fit the
/// fixed buffer that a client of Valkey has.
const FREE_BYTES: usize = 16 * 1024;
/// What a client may owe, where it counts, before it has ever said who it is.
const STRANGER_MAX: u64 = 1024;

/// See the head of this file. One for the process.
pub struct Owed {
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    access: Arc<Access>,
    /// By [`ClientClass`]: whether there is any limit.
    limited: [AtomicBool; 3],
    /// Whether every reply counts as a block of the reply list
    /// (DEBUG CLIENT-ENFORCE-REPLY-LIST).
    pub listed: AtomicBool,
    /// Somebody was looked at more closely since the last [`Owed::drop_debtors`].
    looked: AtomicBool,
}

impl Owed {
    /// The rules that these settings hold.
    pub fn new(settings: Arc<Settings>, counters: Arc<Counters>, access: Arc<Access>) -> Owed {
        let owed = Owed {
            settings,
            counters,
            access,
            limited: Default::default(),
            listed: AtomicBool::new(false),
            looked: AtomicBool::new(false),
        };
        owed.configure();
        owed
    }

    /// Makes the settings take effect.
    pub fn configure(&self) {
        let limits = self.settings.output_limits();
        for class in [
            ClientClass::Normal,
            ClientClass::Replica,
            ClientClass::PubSub,
        ] {
            let limited = limits.of(class) != OutputLimit::default();
            self.limited[class as usize].store(limited, Ordering::Relaxed);
        }
    }

    /// Whether a client that owes `bytes` is to be dropped; it is counted then.
    /// A stranger has never said who it is.
    #[inline]
    pub fn is_too_much(&self, client: &Client, bytes: usize, is_stranger: bool) -> bool {
        let bytes = match client.is_follower() {
            true => bytes.saturating_sub(client.snapshot_left() as usize),
            false => bytes,
        };
        let counts = bytes > FREE_BYTES || (bytes > 0 && self.listed.load(Ordering::Relaxed));
        let is_limited = || self.limited[client.class() as usize].load(Ordering::Relaxed);
        if counts && (is_stranger || is_limited()) {
            return self.check(client, bytes, is_stranger);
        }
        client.end_excess();
        false
    }

    /// Bytes at which a client is dropped at once, where there is such a limit.
    pub fn hard_bytes(&self, client: &Client) -> Option<usize> {
        let limit = self.settings.output_limits().of(client.class());
        let bytes = usize::try_from(limit.hard_bytes).unwrap_or(usize::MAX);
        (bytes > 0).then_some(bytes.max(FREE_BYTES))
    }

    /// Drops those who have owed more than the soft limit for too long, though
    /// nothing more is added.
    pub fn drop_debtors(&self, clients: impl FnOnce() -> Vec<Arc<Client>>) {
        if !self.looked.swap(false, Ordering::Relaxed) {
            return;
        }
        for client in clients() {
            if !client.is_killed() && self.is_too_much(&client, client.owed_bytes(), false) {
                client.kill();
            }
        }
    }

    #[cold]
    fn check(&self, client: &Client, bytes: usize, is_stranger: bool) -> bool {
        self.looked.store(true, Ordering::Relaxed);
        let owed = bytes.max(FREE_BYTES) as u64;
        let is_stranger = is_stranger && self.access.asks_for_proof();
        let mut limit = self.settings.output_limits().of(client.class());
        if client.is_follower() {
            // Whoever is dropped comes back for as much as the backlog holds.
            let backlog = self.settings.int(param::REPL_BACKLOG_SIZE) as u64;
            for bytes in [&mut limit.hard_bytes, &mut limit.soft_bytes] {
                *bytes = match *bytes {
                    0 => 0,
                    bytes => bytes.max(backlog),
                };
            }
        }
        let since = &client.over_soft_since_ms;
        let broken =
            (is_stranger && owed > STRANGER_MAX) || limit.is_broken(owed, since, clock::unix_ms());
        if broken {
            let drops = &self.counters.output_limit_drops;
            drops.fetch_add(1, Ordering::Relaxed);
            crate::warning!(
                "Client id={} addr={} closed for overcoming of output buffer limits.",
                client.id,
                client.addr
            );
        }
        broken
    }
}
