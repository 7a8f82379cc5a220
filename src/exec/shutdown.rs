//! The end of the process: who wants it, what is to be done before, and how far that is.
//!
//! ```text
//!             ┌─ a signal: with the next tick ─┐          ┌─ refused: it can't be done, or
//!             │                                ▼          │  somebody aborts it
//!  running ───┴─ SHUTDOWN ──────────────► requested ──► waiting for followers ──► ended
//! ```
//!
//! Whoever said SHUTDOWN hears only that it is refused: what else there is to hear is the
//! end of the connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::clock;
use crate::config::Settings;
use crate::config::param::{Bits, at_end};

/// What is to be done before the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Farewell {
    /// Whether to take a snapshot; without a word, where the configuration has save points.
    pub save: Option<bool>,
    /// Whether to end even where it cannot be taken.
    pub is_forced: bool,
    /// Whether it was taken already, unless something has changed since.
    pub is_saved: bool,
    /// Followers that lack something are not waited for.
    pub is_urgent: bool,
    /// Not where a cluster may go down with this server.
    pub is_safe: bool,
}

impl Farewell {
    /// What a directive says is to be done when a signal comes.
    pub fn of(settings: &Settings, directive: Bits) -> Farewell {
        let wishes = settings.bits(directive);
        let has = |wish: u64| wishes & wish != 0;
        Farewell {
            save: match (has(at_end::SAVE), has(at_end::NOSAVE)) {
                (false, false) => None,
                (save, _) => Some(save),
            },
            is_forced: has(at_end::FORCE),
            is_saved: false,
            is_urgent: has(at_end::NOW),
            is_safe: has(at_end::SAFE),
        }
    }
}

/// See the head of this file.
#[derive(Default)]
pub struct Shutdown {
    farewell: Mutex<Farewell>,
    scheduled: AtomicBool,
    wanted: AtomicBool,
    /// When followers are waited for no longer, in Unix milliseconds; 0: they are not
    /// waited for.
    waits_until_ms: AtomicU64,
    /// How often the end was refused.
    refusals: AtomicU64,
    done: AtomicBool,
    notify: Notify,
}

impl Shutdown {
    /// Has the end asked for with the next tick of the clock, unless it is
    /// cancelled; false where it was scheduled or asked for already.
    pub fn schedule(&self, farewell: Farewell) -> bool {
        if self.is_requested() || self.scheduled.swap(true, Ordering::AcqRel) {
            return false;
        }
        *self.farewell.lock() = farewell;
        true
    }

    /// Takes it back, where it is not too late; false where nobody asked for the end.
    pub fn abort(&self) -> bool {
        let was_waiting = self.waits_until_ms.swap(0, Ordering::AcqRel) > 0;
        if was_waiting {
            self.refuse();
        }
        self.scheduled.swap(false, Ordering::AcqRel) || was_waiting
    }

    /// Asks for the end if it is scheduled.
    pub fn keep_schedule(&self) {
        if self.scheduled.load(Ordering::Acquire) && !self.is_requested() {
            self.request();
        }
    }

    /// Asks for the end, and says what to do before.
    pub fn request_with(&self, farewell: Farewell) {
        *self.farewell.lock() = farewell;
        self.request();
    }

    fn request(&self) {
        self.wanted.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// What to do before the end.
    pub fn farewell(&self) -> Farewell {
        *self.farewell.lock()
    }

    /// Followers are waited for, up to this time in Unix milliseconds.
    pub fn wait_for_followers(&self, until_ms: u64) {
        self.waits_until_ms
            .store(until_ms.max(1), Ordering::Release);
    }

    /// For how many milliseconds they still are; `None` where they are not.
    pub fn left_ms(&self) -> Option<u64> {
        match self.waits_until_ms.load(Ordering::Acquire) {
            0 => None,
            until_ms => Some(until_ms.saturating_sub(clock::unix_ms())),
        }
    }

    /// They are waited for no longer; false where the end was aborted meanwhile.
    pub fn end_waiting(&self) -> bool {
        self.waits_until_ms.swap(0, Ordering::AcqRel) > 0
    }

    /// Takes the wish back: what was to be done before the end could not be done.
    pub fn refuse(&self) {
        *self.farewell.lock() = Farewell::default();
        self.scheduled.store(false, Ordering::Release);
        self.wanted.store(false, Ordering::Release);
        self.refusals.fetch_add(1, Ordering::AcqRel);
        self.notify.notify_waiters();
    }

    /// How often it was taken back.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Acquire)
    }

    /// Waits until it was taken back more often than so many times.
    pub async fn refused(&self, before: u64) {
        self.until(|| self.refusals() > before).await;
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Waits for that.
    pub async fn requested(&self) {
        self.until(|| self.is_requested()).await;
    }

    /// Says that all is written: the workers may let their connections go.
    pub fn end(&self) {
        self.done.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Waits for that.
    pub async fn ended(&self) {
        self.until(|| self.done.load(Ordering::Acquire)).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            // Registered before it is looked, so that no call is missed.
            let notified = self.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if holds() {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit::Kit;
    use crate::config::param;

    #[test]
    fn what_waits_for_followers_can_be_aborted_and_what_no_longer_does_cannot() {
        let shutdown = Shutdown::default();
        assert!(!shutdown.abort());
        shutdown.request_with(Farewell::default());
        shutdown.wait_for_followers(clock::unix_ms() + 10_000);
        assert!(shutdown.left_ms().is_some_and(|ms| ms > 9_000));
        assert!(shutdown.abort());
        assert!(!shutdown.end_waiting() && !shutdown.is_requested());
        assert_eq!((shutdown.left_ms(), shutdown.refusals()), (None, 1));
        shutdown.request_with(Farewell::default());
        shutdown.wait_for_followers(clock::unix_ms());
        assert!(shutdown.end_waiting());
        assert!(!shutdown.abort() && shutdown.is_requested());
    }

    #[test]
    fn a_signal_says_what_its_directive_says() {
        let kit = Kit::with(&["--shutdown-on-sigterm", "nosave now force"]);
        let settings = &kit.engine.settings;
        let expected = Farewell {
            save: Some(false),
            is_forced: true,
            is_urgent: true,
            ..Farewell::default()
        };
        assert_eq!(Farewell::of(settings, param::SHUTDOWN_ON_SIGTERM), expected);
        let other = Farewell::of(settings, param::SHUTDOWN_ON_SIGINT);
        assert_eq!(other, Farewell::default());
    }
}
