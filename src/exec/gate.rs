//! The gate in front of every command, where a layer above may keep one: it
//! limits how many a client may send.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::session::Session;
use super::spec::Spec;
use crate::protocol::error::Error;

/// Who says whether a command may run.
pub trait Keeper: Send + Sync {
    /// Lets a command pass that is about to run or to be queued, and counts it.
    ///
    /// # Errors
    /// Why it does not pass.
    fn pass(&self, session: &mut Session, spec: &Spec) -> Result<(), Refusal>;
}

/// Why a command does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The limit that it would exceed, in the words of the configuration.
    pub limit: Vec<u8>,
    /// When it would pass, in milliseconds.
    pub retry_after_ms: u64,
}

/// See the head of this file. Every worker reads it in front of every command: it
/// has a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
pub struct Gate {
    /// Written when the configuration changes; read in front of every command.
    kept: AtomicBool,
    /// Set once.
    keeper: OnceLock<Arc<dyn Keeper>>,
}

impl Gate {
    /// Whether anybody is to be asked: one relaxed load.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Has this one asked from now on, always the same.
    pub fn keep(&self, keeper: &Arc<impl Keeper + 'static>) {
        self.keeper
            .get_or_init(|| keeper.clone() as Arc<dyn Keeper>);
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Nobody is asked.
    pub fn open(&self) {
        self.kept.store(false, Ordering::Relaxed);
    }

    /// Asks the keeper.
    #[cold]
    pub(super) fn pass(&self, session: &mut Session, spec: &Spec) -> Result<(), Error> {
        match self.keeper.get() {
            Some(keeper) => keeper
                .pass(session, spec)
                .map_err(|why| Error::rate_limited(&why.limit, why.retry_after_ms)),
            None => Ok(()),
        }
    }
}
