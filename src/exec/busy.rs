//! A script that runs longer than `busy-reply-threshold`: until it ends, others are told
//! so rather than made to wait.
//!
//! Its worker's thread is the script's for as long as it runs, and nobody looks after the
//! worker's other connections. So somebody stands in for it ([`Busy::stand_in`]): he
//! answers for it, one command at a time, and the script's end waits while he does.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::protocol::error::Error;

/// What runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// EVAL and its kin.
    Script,
    /// FCALL and its kin.
    Function,
}

/// See the head of this file.
#[derive(Default)]
pub struct Busy {
    kind: AtomicU8,
    worker: AtomicUsize,
    /// One runs, for however long.
    runs: AtomicBool,
    /// The process ends, whatever the script has done.
    doomed: AtomicBool,
    /// Held while an answer is given for the worker.
    turn: Mutex<()>,
    /// Has somebody stand in for the worker until [`Busy::is_on`] says no more; nobody
    /// does where there is none.
    pub stand_in: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Busy {
    /// One runs for long, on the thread of a worker.
    pub fn begin(&self, kind: Kind, worker: usize) {
        self.worker.store(worker, Ordering::Relaxed);
        self.doomed.store(false, Ordering::Relaxed);
        let kind = match kind {
            Kind::Script => 1,
            Kind::Function => 2,
        };
        self.kind.store(kind, Ordering::Release);
        if let Some(stand_in) = self.stand_in.get() {
            stand_in();
        }
    }

    /// Says whether one runs, and has the whole keyspace.
    pub fn set_running(&self, runs: bool) {
        self.runs.store(runs, Ordering::Relaxed);
    }

    /// Whether one runs.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.runs.load(Ordering::Relaxed)
    }

    /// It has ended.
    pub fn end(&self) {
        let _turn = self.turn.lock();
        self.kind.store(0, Ordering::Release);
    }

    /// Whether one runs for long.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.kind.load(Ordering::Relaxed) != 0
    }

    /// The worker whose thread it has.
    pub fn worker(&self) -> usize {
        self.worker.load(Ordering::Relaxed)
    }

    /// Keeps it from ending while one answer is given; `None` where it has ended.
    pub fn take_turn(&self) -> Option<MutexGuard<'_, ()>> {
        let turn = self.turn.lock();
        self.is_on().then_some(turn)
    }

    /// Has it end, for the process does.
    pub fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end because the process does.
    pub fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Relaxed)
    }

    /// What others are told.
    #[cold]
    pub fn error(&self) -> Error {
        match self.kind.load(Ordering::Relaxed) {
            1 => Error::BUSY_SCRIPT,
            _ => Error::BUSY_FUNCTION,
        }
    }
}
