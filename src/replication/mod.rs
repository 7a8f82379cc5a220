//! The leader's side of replication: every effect, as commands, in one log whose
//! end is kept, to everybody who follows.
//!
//! ```text
//!   effect ──► log ──► backlog: what a follower that was away goes on from
//!               └────► inbox of each follower, behind its snapshot
//! ```
//!
//! An effect is appended under the locks of its shards, so that what concerns a key
//! stands in the log in the order in which it happened. A follower is taken in while
//! the whole keyspace is held: its snapshot and what comes behind fit together.
//!
//! With nobody following, and nobody to be expected back, nothing is heard and
//! nothing kept.
//!
//! A server that follows another one ([`link`]) has that one's log in the place of its
//! own, and hands it on: who follows this one can follow that one as well.
//!
//! **Lock order.** Shards, then the log, then a client's inbox.

mod backlog;
mod failover;
mod follow;
pub mod link;
mod log;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use self::log::Log;
use crate::base::clock;
use crate::config::{Settings, param};
use crate::exec::effect::{Change, Consumer, Effect, Event};
use crate::exec::engine::Engine;
use crate::exec::failover::Stage;
use crate::exec::following::Following;
use crate::exec::leading::{Follower, Leading, Progress};
use crate::exec::services::Service;
use crate::exec::waiting;

/// Asks followers how far they have come.
const GETACK: &[&[u8]] = &[b"REPLCONF", b"GETACK", b"*"];

/// See the head of this file.
pub struct Leader {
    log: Mutex<Log>,
    leading: Arc<Leading>,
    following: Arc<Following>,
    settings: Arc<Settings>,
    clock: Mutex<Clock>,
}

/// When what comes by the clock was last done, in Unix milliseconds.
#[derive(Default)]
struct Clock {
    pinged_ms: u64,
    /// Since when nobody follows.
    alone_ms: u64,
}

impl Service for Leader {
    fn new(engine: &Engine) -> Arc<Leader> {
        Arc::new(Leader {
            log: Mutex::default(),
            leading: engine.leading.clone(),
            following: engine.following.clone(),
            settings: engine.settings.clone(),
            clock: Mutex::default(),
        })
    }
}

impl Consumer for Leader {
    fn observe(&self, effect: &Effect) {
        if effect.commands.is_empty() {
            return;
        }
        let mut log = self.log.lock();
        if log.is_relayed() {
            // What else happens here is nobody's business.
            if log.carry_out(effect.by) {
                self.send(&mut log);
            } else if effect.by != 0 && effect.by != log.link() {
                self.note_own_keys(effect);
            }
            return;
        }
        log.append_effect(effect);
        self.send(&mut log);
    }

    /// Only while another server is followed: then they are wanted anyway.
    fn wants_changes(&self) -> bool {
        false
    }
}

impl Leader {
    /// Clients of a follower may give keys deadlines of their own.
    fn note_own_keys(&self, effect: &Effect) {
        let has_deadline = |change: &&Change| change.event == Event::EXPIRE;
        for change in effect.changes.iter().filter(has_deadline) {
            self.following.note_own_key(change.db, &change.key);
        }
    }

    /// Sends what was appended.
    fn send(&self, log: &mut Log) {
        let most = self.settings.int(param::REPL_BACKLOG_SIZE) as usize;
        let fresh = log.take_fresh(most);
        let leading = &self.leading;
        leading.offset.store(log.offset(), Ordering::Release);
        let kept = log.backlog().len() as u64;
        leading.backlog_bytes.store(kept, Ordering::Relaxed);
        let count = leading.for_each(|follower| {
            if !follower.wants_no_more {
                follower.client.post_bytes(&fresh);
            }
        });
        let bytes = (fresh.len() * count) as u64;
        leading.sent.fetch_add(bytes, Ordering::Relaxed);
        log.recycle(fresh);
    }

    /// Takes a follower in that is about to get a snapshot, which is as old as the
    /// offset that `make` is given; the log begins where there is none. The whole
    /// keyspace is held until the snapshot is taken. Says which database the next
    /// command is about, too: -1 where that says so itself.
    pub fn take_in(
        self: &Arc<Self>,
        engine: &Engine,
        make: impl FnOnce(u64) -> Follower,
    ) -> (Arc<Follower>, i64) {
        let mut log = self.log.lock();
        if !self.leading.has_backlog.swap(true, Ordering::AcqRel) {
            self.leading.change_id();
            self.clock.lock().pinged_ms = clock::unix_ms();
            engine.effects.attach(self.clone());
            crate::notice!(
                "Replication backlog created, my new replication ID is '{}'",
                self.leading.id()
            );
        }
        // The snapshot selects no database for what comes behind it.
        log.forget_database();
        let follower = Arc::new(make(log.offset()));
        self.leading.add(follower.clone());
        (follower, log.stream_db())
    }

    /// What a follower has missed that has `id`'s history up to before `offset`;
    /// nothing where it cannot go on from there. It is taken in with that: `take_in`
    /// is called before anything else is sent.
    pub fn resume(
        &self,
        id: &[u8],
        offset: u64,
        take_in: impl FnOnce(&[u8]) -> Arc<Follower>,
    ) -> bool {
        let log = self.log.lock();
        if !self.leading.shares(id, offset) || !self.leading.has_backlog.load(Ordering::Acquire) {
            return false;
        }
        match log.backlog().since(log.offset(), offset) {
            Some(missed) => {
                let follower = take_in(&missed);
                self.leading.add(follower);
                true
            }
            None => false,
        }
    }

    /// Lets a follower go.
    pub fn let_go(&self, follower: &Arc<Follower>) {
        self.leading.remove(follower);
        self.count_good();
        self.clock.lock().alone_ms = clock::unix_ms();
    }

    /// Asks all followers how far they have come.
    pub fn ask(&self) {
        self.say(GETACK);
    }

    /// Sends a command that is about no database.
    fn say(&self, words: &[&[u8]]) {
        let mut log = self.log.lock();
        if !log.is_relayed() {
            log.append(words);
            self.send(&mut log);
        }
    }

    /// A follower says how far it has come. On the thread of a worker, which holds
    /// no lock.
    pub fn note_ack(
        &self,
        engine: &Engine,
        worker: usize,
        follower: &Follower,
        offset: u64,
        on_disk: Option<u64>,
    ) {
        follower.acked.fetch_max(offset, Ordering::AcqRel);
        if let Some(offset) = on_disk {
            follower.acked_on_disk.fetch_max(offset, Ordering::AcqRel);
        }
        follower.note_alive();
        self.count_good();
        waiting::look(engine, worker);
    }

    fn count_good(&self) {
        let lag_max_s = self.settings.int(param::MIN_REPLICAS_MAX_LAG) as u64;
        self.leading.count_good(lag_max_s);
    }

    /// What is to be done every second.
    pub fn tick(self: &Arc<Self>, engine: &Engine) {
        if !self.leading.has_backlog.load(Ordering::Acquire) {
            return;
        }
        let now_ms = clock::unix_ms();
        let followers = self.leading.followers();
        if followers.is_empty() {
            self.forget_after_all(engine, now_ms);
            return;
        }
        let is_time = {
            let mut clock = self.clock.lock();
            let period_ms = self.settings.int(param::REPL_PING_REPLICA_PERIOD) as u64 * 1000;
            // Who waits for a follower to have everything sends no more.
            let rests = engine.leading.failover.stage() != Stage::None;
            let is_time = !rests && now_ms.saturating_sub(clock.pinged_ms) >= period_ms;
            if is_time {
                clock.pinged_ms = now_ms;
            }
            is_time
        };
        if is_time {
            self.say(&[b"PING"]);
        }
        let timeout_s = self.settings.int(param::REPL_TIMEOUT) as u64;
        for follower in &followers {
            follower.look();
            let is_lost = !follower.is_silent
                && follower.progress() == Progress::Online
                && follower.lag_s() > timeout_s;
            if is_lost {
                crate::warning!("Disconnecting timedout replica: {}", follower.client.addr);
                follower.client.kill();
            }
        }
        self.count_good();
    }

    /// `repl-backlog-ttl`: nobody is expected back.
    fn forget_after_all(self: &Arc<Self>, engine: &Engine, now_ms: u64) {
        let ttl_ms = self.settings.int(param::REPL_BACKLOG_TTL) as u64 * 1000;
        let alone_ms = self.clock.lock().alone_ms;
        if ttl_ms == 0 || engine.following.is_on() || now_ms.saturating_sub(alone_ms) < ttl_ms {
            return;
        }
        let locked = engine.keyspace.lock_all();
        let mut log = self.log.lock();
        if !self.leading.is_empty() {
            return;
        }
        self.leading.has_backlog.store(false, Ordering::Release);
        self.leading.backlog_bytes.store(0, Ordering::Relaxed);
        // What changes from now on is counted by nobody.
        self.leading.change_id();
        log.forget();
        drop(log);
        let me: Arc<dyn Consumer> = self.clone();
        engine.effects.detach(&me);
        drop(locked);
        crate::notice!("Replication backlog freed after nobody followed for long");
    }
}
