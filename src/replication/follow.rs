//! Becoming a follower, becoming a leader again, and what a snapshot from the leader
//! means for the log.
//!
//! All of it happens while the whole keyspace is held: who changes a key does it before
//! or behind it, and the log with it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Leader;
use crate::base::clock;
use crate::config::{Primary, param};
use crate::exec::engine::Engine;
use crate::exec::failover::Stage;
use crate::exec::following::Phase;
use crate::exec::txn::Txn;
use crate::exec::waiting;
use crate::protocol::error::Error;

impl Leader {
    /// Follows another server from now on: asks it to go on from what is there, where
    /// that `can_resume`. For who holds every shard, on the thread of a worker.
    pub fn follow(&self, engine: &Engine, worker: usize, primary: Primary, can_resume: bool) {
        let following = &engine.following;
        if !following.is_on() {
            if can_resume {
                crate::notice!(
                    "Before turning into a replica, using my own primary parameters to synthesize \
                     a cached primary: I may be able to synchronize with the new primary with \
                     just a partial transfer."
                );
            }
            following.can_resume.store(can_resume, Ordering::Relaxed);
            self.log.lock().begin_relay();
        }
        self.log.lock().set_link(0);
        engine.effects.set_following(true);
        engine.settings.note_replica_of(Some(primary.clone()));
        following.set_leader(Some(primary));
        engine.guard();
        if engine.leading.failover.stage() == Stage::None {
            waiting::fail_all(engine, worker, &Error::FORCED_UNBLOCK);
        }
    }

    /// Follows nobody any more: what is there goes on as a history of its own. False
    /// where nobody was followed. For who holds every shard.
    pub fn lead(&self, engine: &Engine) -> bool {
        let following = &engine.following;
        if !following.is_on() {
            return false;
        }
        engine.settings.note_replica_of(None);
        following.set_leader(None);
        following.can_resume.store(false, Ordering::Relaxed);
        following.down_since_ms.store(0, Ordering::Relaxed);
        self.log.lock().end_relay();
        self.leading.shift_id(None);
        let former = self.leading.former();
        let (former, end) = former.unwrap_or_default();
        crate::notice!(
            "Setting secondary replication ID to {former}, valid up to offset: {end}. New \
             replication ID is {}",
            self.leading.id()
        );
        self.send_away();
        self.clock.lock().alone_ms = clock::unix_ms();
        engine.effects.set_following(false);
        engine.guard();
        true
    }

    /// Has all followers come again, to hear the history's new name.
    fn send_away(&self) {
        let followers = self.leading.followers();
        followers.iter().for_each(|one| one.client.kill());
    }

    /// Forgets all data and its history: another one comes. False where it is no longer
    /// wanted by who had this turn. On the thread of a worker, which holds no lock.
    pub(super) fn empty(self: &Arc<Self>, engine: &Engine, worker: usize, turn: u64) -> bool {
        let following = &engine.following;
        let locked = engine.keyspace.lock_all();
        if following.turn() != turn {
            return false;
        }
        let now_ms = clock::unix_ms();
        let mut txn = Txn::new(&engine.keyspace, &engine.effects, locked, 0, now_ms);
        following.set_loading(true);
        following.can_resume.store(false, Ordering::Relaxed);
        following.forget_own_keys();
        self.send_away();
        if self.leading.has_backlog.swap(false, Ordering::AcqRel) {
            self.leading.backlog_bytes.store(0, Ordering::Relaxed);
            let me: Arc<dyn crate::exec::effect::Consumer> = self.clone();
            engine.effects.detach(&me);
        }
        self.log.lock().forget();
        let mut databases = BTreeSet::new();
        for index in 0..txn.shards() {
            databases.extend(txn.shard(index).tables().map(|(db, _, _)| db));
        }
        txn.libraries().replace(Vec::new());
        let tables = databases.iter().flat_map(|&db| txn.flush(db)).collect();
        let mut outcome = txn.commit();
        let changed = outcome.take_rest().changed;
        let later = engine.settings.flag(param::REPLICA_LAZY_FLUSH);
        engine.reclaimer.free_tables(tables, later);
        engine.reclaimer.free(outcome.garbage, later);
        waiting::serve(engine, worker, changed);
        true
    }

    /// The data is the leader's now, up to an offset of the history `id`; `stream_db` is
    /// the database that its next command is about. False as for [`Leader::empty`].
    pub(super) fn begin_history(
        self: &Arc<Self>,
        engine: &Engine,
        turn: u64,
        (id, offset): (&str, u64),
        stream_db: i64,
    ) -> bool {
        let _held = engine.keyspace.lock_all();
        if engine.following.turn() != turn {
            return false;
        }
        let mut log = self.log.lock();
        log.restart_at(offset, stream_db);
        self.leading.set_id(id);
        self.leading.offset.store(offset, Ordering::Release);
        drop(log);
        self.keep_log(engine);
        engine.following.can_resume.store(true, Ordering::Relaxed);
        engine.following.set_loading(false);
        true
    }

    /// Goes on where the data is, in a history of this name or of the present one. False
    /// as for [`Leader::empty`].
    pub(super) fn go_on(self: &Arc<Self>, engine: &Engine, turn: u64, id: Option<&str>) -> bool {
        let _held = engine.keyspace.lock_all();
        if engine.following.turn() != turn {
            return false;
        }
        if let Some(id) = id.filter(|id| *id != self.leading.id()) {
            crate::notice!("Primary replication ID changed to {id}");
            self.leading.shift_id(Some(id));
            self.send_away();
        }
        self.keep_log(engine);
        true
    }

    /// From now on the end of the log is kept, whoever follows: the server may be asked
    /// to lead.
    fn keep_log(self: &Arc<Self>, engine: &Engine) {
        if !self.leading.has_backlog.swap(true, Ordering::AcqRel) {
            engine.effects.attach(self.clone());
        }
    }

    /// The link is this client, or none. False as for [`Leader::empty`].
    pub(super) fn set_link(
        &self,
        engine: &Engine,
        turn: u64,
        link: Option<&Arc<crate::exec::session::Client>>,
    ) -> bool {
        let _held = engine.keyspace.lock_all();
        let following = &engine.following;
        if following.turn() != turn {
            return false;
        }
        self.log.lock().set_link(link.map_or(0, |link| link.id));
        following.set_link(link.cloned());
        match link {
            Some(_) => following.down_since_ms.store(0, Ordering::Relaxed),
            None => {
                let now_ms = clock::unix_ms();
                following.down_since_ms.store(now_ms, Ordering::Relaxed);
            }
        }
        following.set_phase(match link {
            Some(_) => Phase::Connected,
            None => Phase::Connect,
        });
        true
    }

    /// A command came by a link and is about to be carried out.
    pub(super) fn ready(&self, link: u64, bytes: &[u8], db: i64) {
        self.log.lock().ready(link, bytes, db);
    }

    /// It has to wait, and is said to be [`Leader::ready`] again.
    pub(super) fn unready(&self, link: u64, bytes: usize) {
        self.log.lock().unready(link, bytes);
    }

    /// It is carried out.
    pub(super) fn carried_out(&self, link: u64) {
        let mut log = self.log.lock();
        if log.carry_out(link) {
            self.send(&mut log);
        }
    }

    /// The database that the leader's next command is about.
    pub(super) fn stream_db(&self) -> i64 {
        self.log.lock().stream_db()
    }
}
