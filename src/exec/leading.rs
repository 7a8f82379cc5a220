//! What the server knows as a leader: its history's name, how far that goes, who
//! follows it and how far each has come. The `replication` service writes it; what
//! limits clients, refuses writes and shows figures reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::failover::Failover;
use super::session::Client;
use crate::base::clock;

/// A server that follows this one.
pub struct Follower {
    /// Its connection.
    pub client: Arc<Client>,
    /// The address that it gave, where it did.
    pub address: String,
    /// The port that it listens on, by its own word.
    pub port: u32,
    /// Came by SYNC: it does not say how far it has come.
    pub is_silent: bool,
    /// Wants the snapshot alone.
    pub wants_no_more: bool,
    /// How far it has come.
    pub acked: AtomicU64,
    /// How far its append-only file has come.
    pub acked_on_disk: AtomicU64,
    /// When it last gave a sign of life, in Unix milliseconds; 0 before its snapshot
    /// was sent.
    pub alive_ms: AtomicU64,
    /// What it had sent by then, in bytes.
    pub heard: AtomicU64,
}

/// How far a follower's connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The snapshot is on its way.
    Snapshot,
    /// Changes are sent as they happen.
    Online,
}

impl Progress {
    /// As INFO says it.
    pub fn name(self) -> &'static str {
        match self {
            Progress::Snapshot => "send_bulk",
            Progress::Online => "online",
        }
    }
}

impl Follower {
    /// One that has just come, and has everything up to `offset`, or will have.
    pub fn new(client: Arc<Client>, address: String, port: u32, offset: u64) -> Follower {
        Follower {
            client,
            address,
            port,
            is_silent: false,
            wants_no_more: false,
            acked: AtomicU64::new(offset),
            acked_on_disk: AtomicU64::new(0),
            alive_ms: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        }
    }

    /// How far its connection is.
    pub fn progress(&self) -> Progress {
        match self.client.snapshot_left() {
            0 => Progress::Online,
            _ => Progress::Snapshot,
        }
    }

    /// Its address: as it said, or where it comes from.
    pub fn ip(&self) -> &str {
        match self.address.is_empty() {
            true => self.client.addr.rsplit_once(':').map_or("", |(ip, _)| ip),
            false => &self.address,
        }
    }

    /// Notes that it lives.
    pub fn note_alive(&self) {
        self.alive_ms.store(clock::unix_ms(), Ordering::Relaxed);
    }

    /// As [`Follower::note_alive`], where it has sent anything since the last look:
    /// while it takes a snapshot in, it sends no more than line ends.
    pub fn look(&self) {
        let heard = self.client.net_in.load(Ordering::Relaxed);
        let is_first = self.alive_ms.load(Ordering::Relaxed) == 0;
        let is_online = self.progress() == Progress::Online;
        if self.heard.swap(heard, Ordering::Relaxed) != heard || (is_first && is_online) {
            self.note_alive();
        }
    }

    /// Seconds since its last sign of life.
    pub fn lag_s(&self) -> u64 {
        match self.alive_ms.load(Ordering::Relaxed) {
            0 => 0,
            ms => clock::unix_ms().saturating_sub(ms) / 1000,
        }
    }
}

/// See the head of this file. One for the process.
pub struct Leading {
    /// The name of the history of changes that the data stands for: 40 hexadecimal
    /// digits.
    id: Mutex<String>,
    /// The history that it went on from, and the first byte that is in it no more.
    former: Mutex<Option<(String, u64)>>,
    /// Bytes of commands that were written in it.
    pub offset: AtomicU64,
    /// Whether its end is kept.
    pub has_backlog: AtomicBool,
    /// Bytes of it that are kept.
    pub backlog_bytes: AtomicU64,
    /// Snapshots that followers asked for.
    pub full_syncs: AtomicU64,
    /// Followers that could go on where they were.
    pub partial_syncs: AtomicU64,
    /// Followers that wanted to, but could not.
    pub partial_refusals: AtomicU64,
    /// Bytes sent to followers.
    pub sent: AtomicU64,
    /// Whether it is about to change places with a follower.
    pub failover: Failover,
    /// How many there are.
    count: AtomicUsize,
    /// How many are not behind.
    good: AtomicU32,
    followers: Mutex<Vec<Arc<Follower>>>,
}

impl Default for Leading {
    fn default() -> Leading {
        Leading {
            id: Mutex::new(clock::random_hex(40)),
            former: Mutex::default(),
            offset: AtomicU64::new(0),
            has_backlog: AtomicBool::new(false),
            backlog_bytes: AtomicU64::new(0),
            full_syncs: AtomicU64::new(0),
            partial_syncs: AtomicU64::new(0),
            partial_refusals: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            failover: Failover::default(),
            count: AtomicUsize::new(0),
            good: AtomicU32::new(0),
            followers: Mutex::default(),
        }
    }
}

impl Leading {
    /// The name of the history.
    pub fn id(&self) -> String {
        self.id.lock().clone()
    }

    /// Begins another history: what was, nobody can go on from.
    pub fn change_id(&self) {
        *self.former.lock() = None;
        *self.id.lock() = clock::random_hex(40);
    }

    /// Goes on with another history, of this name or of a new one, up to whose beginning
    /// the present one holds.
    pub fn shift_id(&self, id: Option<&str>) {
        let new = id.map_or_else(|| clock::random_hex(40), str::to_string);
        let old = std::mem::replace(&mut *self.id.lock(), new);
        let end = self.offset.load(Ordering::Acquire) + 1;
        *self.former.lock() = Some((old, end));
    }

    /// What is there is a part of this history, and of no other.
    pub fn set_id(&self, id: &str) {
        *self.former.lock() = None;
        *self.id.lock() = id.into();
    }

    /// The history that it went on from, and the first byte that is in it no more.
    pub fn former(&self) -> Option<(String, u64)> {
        self.former.lock().clone()
    }

    /// Whether who has this history up to before a byte has nothing else than this
    /// server had.
    pub fn shares(&self, id: &[u8], offset: u64) -> bool {
        let is = |own: &str| own.as_bytes().eq_ignore_ascii_case(id);
        is(&self.id.lock())
            || matches!(&*self.former.lock(), Some((former, end)) if is(former) && offset <= *end)
    }

    /// Takes a follower in.
    pub fn add(&self, follower: Arc<Follower>) {
        let mut followers = self.followers.lock();
        followers.push(follower);
        self.count.store(followers.len(), Ordering::Release);
    }

    /// Lets one go.
    pub fn remove(&self, follower: &Arc<Follower>) {
        let mut followers = self.followers.lock();
        followers.retain(|one| !Arc::ptr_eq(one, follower));
        self.count.store(followers.len(), Ordering::Release);
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, by arrival.
    pub fn followers(&self) -> Vec<Arc<Follower>> {
        match self.is_empty() {
            true => Vec::new(),
            false => self.followers.lock().clone(),
        }
    }

    /// Shows all of them, who are not to come or go meanwhile; returns how many there are.
    pub fn for_each(&self, show: impl Fn(&Follower)) -> usize {
        if self.is_empty() {
            return 0;
        }
        let followers = self.followers.lock();
        followers.iter().for_each(|one| show(one));
        followers.len()
    }

    /// Counts those that gave a sign of life within so many seconds.
    pub fn count_good(&self, lag_max_s: u64) {
        let followers = self.followers();
        let is_good =
            |f: &&Arc<Follower>| f.progress() == Progress::Online && f.lag_s() <= lag_max_s;
        let good = followers.iter().filter(is_good).count();
        self.good.store(good as u32, Ordering::Relaxed);
    }

    /// How many there were at the last [`Leading::count_good`].
    pub fn good(&self) -> u32 {
        self.good.load(Ordering::Relaxed)
    }

    /// How many have come so far.
    pub fn reached(&self, offset: u64, on_disk: bool) -> usize {
        let figure = |f: &Follower| match on_disk {
            true => f.acked_on_disk.load(Ordering::Relaxed),
            false => f.acked.load(Ordering::Relaxed),
        };
        let followers = self.followers();
        let is_there = |f: &&Arc<Follower>| f.progress() == Progress::Online && figure(f) >= offset;
        followers.iter().filter(is_there).count()
    }

    /// Whether a follower lacks something. One that does not say how far it has come, or
    /// that wants no more than it was sent, has all that it will have.
    pub fn is_behind(&self, follower: &Follower) -> bool {
        let all = self.offset.load(Ordering::Acquire);
        let tells = !follower.is_silent && !follower.wants_no_more;
        tells && follower.acked.load(Ordering::Acquire) != all
    }

    /// Whether any does.
    pub fn is_anybody_behind(&self) -> bool {
        self.followers().iter().any(|f| self.is_behind(f))
    }

    /// Bytes that are on their way to followers, which no eviction makes less.
    pub fn bytes_on_their_way(&self) -> usize {
        let followers = self.followers();
        let bytes: u64 = followers.iter().map(|f| f.client.owed_held()).sum();
        bytes as usize
    }
}
