//! What is counted of warming: runs that announce keys for a refill before anybody
//! asks for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::clock;
use crate::exec::engine::Engine;
use crate::exec::services::Service;

/// See the head of this file. Counts are those since the last CONFIG RESETSTAT.
#[derive(Default, Debug)]
pub struct Figures {
    /// Runs that came to their end, whichever.
    pub runs: AtomicU64,
    /// Runs, or parts of one, that failed.
    pub failures: AtomicU64,
    /// Keys announced.
    pub announced: AtomicU64,
    /// How long the last run took, in milliseconds.
    last_duration_ms: AtomicU64,
    /// When the one under way began, in Unix milliseconds; 0: there is none.
    began_ms: AtomicU64,
}

impl Service for Figures {
    fn new(_: &Engine) -> Arc<Figures> {
        Arc::default()
    }
}

impl Figures {
    /// A run begins.
    pub fn begin(&self) {
        self.began_ms.store(clock::unix_ms(), Ordering::Relaxed);
    }

    /// The run that began is over.
    pub fn end(&self) {
        let began_ms = self.began_ms.swap(0, Ordering::Relaxed);
        let took_ms = clock::unix_ms().saturating_sub(began_ms);
        self.last_duration_ms.store(took_ms, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a run is under way.
    pub fn is_running(&self) -> bool {
        self.began_ms.load(Ordering::Relaxed) != 0
    }

    /// How long the run under way has taken by now, or, where there is none, how long
    /// the last one took; in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        match self.began_ms.load(Ordering::Relaxed) {
            0 => self.last_duration_ms.load(Ordering::Relaxed),
            began_ms => clock::unix_ms().saturating_sub(began_ms),
        }
    }

    /// CONFIG RESETSTAT. What is under way stays so.
    pub fn reset(&self) {
        for count in [
            &self.runs,
            &self.failures,
            &self.announced,
            &self.last_duration_ms,
        ] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_hangs_is_seen_before_its_end() {
        clock::freeze(10_000);
        let figures = Figures::default();
        assert_eq!((figures.is_running(), figures.duration_ms()), (false, 0));
        figures.begin();
        clock::freeze(75_000);
        assert_eq!(
            (figures.is_running(), figures.duration_ms()),
            (true, 65_000)
        );
        clock::freeze(80_000);
        figures.end();
        clock::freeze(99_000);
        assert_eq!(
            (figures.is_running(), figures.duration_ms()),
            (false, 70_000)
        );
        assert_eq!(figures.runs.load(Ordering::Relaxed), 1);
        figures.reset();
        assert_eq!(
            (
                figures.runs.into_inner(),
                figures.last_duration_ms.into_inner()
            ),
            (0, 0)
        );
    }
}
