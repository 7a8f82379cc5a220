//! What is known of snapshots: when the last one was taken, whether one is being
//! taken now, how many changes none has yet. Whoever takes one keeps it true.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::txn::Txn;
use crate::base::clock;
use crate::config::{Settings, param};

/// Seconds after a failure before a save point is looked at again.
const RETRY_S: i64 = 5;

/// See the head of this file. One for the process.
pub struct Saving {
    /// When the last one was taken, or the server started, in Unix seconds.
    last_s: AtomicI64,
    /// When the last one was begun, likewise.
    tried_s: AtomicI64,
    /// When the one that is being taken was begun, in Unix milliseconds; 0 for none.
    since_ms: AtomicU64,
    /// Whether the last one was taken as it should be.
    is_well: AtomicBool,
    /// How many seconds the last one in the background took; -1 for none.
    took_s: AtomicI64,
    /// How many were taken.
    saves: AtomicU64,
    /// Changes that the last one has, counted as the shards do.
    saved_changes: AtomicU64,
    /// Whether the last snapshot of this process stands in its place. Held while one
    /// is put there.
    pub is_last_placed: Mutex<bool>,
    /// Keys that were over when a snapshot was last read.
    pub expired_at_load: AtomicU64,
    /// Keys that it brought.
    pub loaded: AtomicU64,
}

/// One snapshot at a time: whoever has this takes it.
#[must_use = "it ends with this"]
pub struct Turn<'a> {
    saving: &'a Saving,
    in_background: bool,
    is_well: bool,
}

impl Default for Saving {
    fn default() -> Saving {
        let now_s = (clock::unix_ms() / 1000) as i64;
        Saving {
            last_s: AtomicI64::new(now_s),
            tried_s: AtomicI64::new(0),
            since_ms: AtomicU64::new(0),
            is_well: AtomicBool::new(true),
            took_s: AtomicI64::new(-1),
            saves: AtomicU64::new(0),
            saved_changes: AtomicU64::new(0),
            is_last_placed: Mutex::new(false),
            expired_at_load: AtomicU64::new(0),
            loaded: AtomicU64::new(0),
        }
    }
}

/// Changes of the data since the server started, as the shards count them.
pub fn changes(txn: &mut Txn<'_>) -> u64 {
    (0..txn.shards()).map(|i| txn.shard(i).stats.changes).sum()
}

impl Saving {
    /// Begins one; `None` where one is being taken.
    pub fn begin(&self, in_background: bool) -> Option<Turn<'_>> {
        self.reserve().then(|| self.take_up(in_background))
    }

    /// Keeps others from beginning one, until [`Saving::take_up`] has been called
    /// and its result dropped; false where somebody else does.
    pub fn reserve(&self) -> bool {
        let now_ms = clock::unix_ms().max(1);
        let free = self
            .since_ms
            .compare_exchange(0, now_ms, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if free {
            self.tried_s
                .store((now_ms / 1000) as i64, Ordering::Relaxed);
        }
        free
    }

    /// The turn that was reserved.
    pub fn take_up(&self, in_background: bool) -> Turn<'_> {
        Turn {
            saving: self,
            in_background,
            is_well: false,
        }
    }

    /// Whether one is being taken.
    pub fn is_running(&self) -> bool {
        self.since_ms.load(Ordering::Acquire) != 0
    }

    /// Since when one is being taken, in seconds; -1 for none.
    pub fn running_s(&self) -> i64 {
        match self.since_ms.load(Ordering::Relaxed) {
            0 => -1,
            since_ms => (clock::unix_ms().saturating_sub(since_ms) / 1000) as i64,
        }
    }

    /// When the last one was taken, or the server started, in Unix seconds.
    pub fn last_s(&self) -> i64 {
        self.last_s.load(Ordering::Relaxed)
    }

    /// Whether the last one was taken as it should be.
    pub fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed)
    }

    /// How many seconds the last one in the background took; -1 for none.
    pub fn took_s(&self) -> i64 {
        self.took_s.load(Ordering::Relaxed)
    }

    /// How many were taken.
    pub fn saves(&self) -> u64 {
        self.saves.load(Ordering::Relaxed)
    }

    /// Of so many changes in all, those that no snapshot has.
    pub fn unsaved(&self, changes: u64) -> u64 {
        changes.saturating_sub(self.saved_changes.load(Ordering::Relaxed))
    }

    /// So many changes are in the snapshot that was read, or need not be in any.
    pub fn note_loaded(&self, changes: u64) {
        self.saved_changes.store(changes, Ordering::Relaxed);
    }

    /// Whether the configuration wants one, after so many changes in all.
    pub fn is_due(&self, settings: &Settings, changes: u64) -> bool {
        let now_s = (clock::unix_ms() / 1000) as i64;
        let (unsaved, since_s) = (self.unsaved(changes), now_s - self.last_s());
        let may_try = self.is_well() || now_s - self.tried_s.load(Ordering::Relaxed) > RETRY_S;
        let points = settings.save_points();
        let is_reached = |point: &crate::config::SavePoint| {
            point.changes >= 0 && unsaved >= point.changes as u64 && since_s > point.seconds
        };
        !self.is_running() && unsaved > 0 && may_try && points.iter().any(is_reached)
    }

    /// Whether writes are refused, because nothing that they change could be kept.
    #[inline]
    pub fn refuses_writes(&self, settings: &Settings) -> bool {
        !self.is_well()
            && settings.flag(param::STOP_WRITES_ON_BGSAVE_ERROR)
            && !settings.save_points().is_empty()
    }
}

impl Turn<'_> {
    /// It is taken, with so many changes in all.
    pub fn succeed(&mut self, changes: u64) {
        let saving = self.saving;
        let now_s = (clock::unix_ms() / 1000) as i64;
        saving.last_s.store(now_s, Ordering::Relaxed);
        saving.saves.fetch_add(1, Ordering::Relaxed);
        saving.saved_changes.store(changes, Ordering::Relaxed);
        self.is_well = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let saving = self.saving;
        if self.in_background {
            let took_s = saving.running_s();
            saving.took_s.store(took_s, Ordering::Relaxed);
        }
        saving.is_well.store(self.is_well, Ordering::Relaxed);
        saving.since_ms.store(0, Ordering::Release);
    }
}
