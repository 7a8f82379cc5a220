//! A client's own memory for replies: how much it is, and how much of it was needed
//! lately, so that what is not needed goes back (`rbs` and `rbp` of CLIENT LIST).
//!
//! The memory is its connection's ([`crate::net`]); these are the figures, written
//! there and read by anybody. The peak is of a window of time, which ends for all
//! clients by the clock ([`Replies::look`]).

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Less memory than twice this is never too much, in bytes.
const KEPT_MIN: usize = 1024;
/// How long a peak counts, in milliseconds.
pub const PEAK_RESET_MS: i64 = 5_000;

/// The figures of one client.
#[derive(Default)]
pub struct Replies {
    bytes: AtomicU64,
    peak: AtomicU64,
    peak_since_ms: AtomicU64,
}

impl Replies {
    /// Bytes of the memory; 0 where there is none.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) as usize
    }

    /// The most bytes of replies that were there at once lately.
    #[inline]
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed) as usize
    }

    /// So many bytes of replies are there now.
    #[inline]
    pub fn note(&self, bytes: usize) {
        // A peak that ends at this moment counts for another window.
        if bytes > self.peak() {
            self.peak.store(bytes as u64, Ordering::Relaxed);
        }
    }

    /// The memory is so large now; whether there was some, and it has grown.
    #[inline]
    pub fn set_bytes(&self, bytes: usize) -> bool {
        let before = self.bytes();
        if before != bytes {
            self.bytes.store(bytes as u64, Ordering::Relaxed);
        }
        before > 0 && bytes > before
    }

    /// Whether less than half of it was needed lately.
    pub fn is_mostly_unused(&self) -> bool {
        let half = self.bytes() / 2;
        half >= KEPT_MIN && self.peak() < half
    }

    /// Whether there is some, and none was needed lately.
    pub fn is_unused(&self) -> bool {
        self.bytes() > 0 && self.peak() == 0
    }

    /// Whether something is to be given back now. A client that says nothing needs no
    /// memory, unless it is sent messages. Ends the window where its time is over.
    pub fn look(&self, rules: &Rules, is_silent: bool, now_ms: u64) -> bool {
        let is_too_much = (is_silent && self.is_unused()) || self.is_mostly_unused();
        if is_too_much && rules.may_shrink() {
            return true;
        }
        let since_ms = self.peak_since_ms.load(Ordering::Relaxed);
        let window_ms = rules.peak_reset_ms.load(Ordering::Relaxed);
        if window_ms >= 0 && now_ms.saturating_sub(since_ms) >= window_ms as u64 {
            self.peak_since_ms.store(now_ms, Ordering::Relaxed);
            self.peak.store(0, Ordering::Relaxed);
        }
        false
    }
}

/// What holds for all clients; DEBUG REPLYBUFFER changes it.
pub struct Rules {
    /// How long a peak counts, in milliseconds; -1 for ever.
    pub peak_reset_ms: AtomicI64,
    /// Whether memory is given back at all.
    pub resizing: AtomicBool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            peak_reset_ms: AtomicI64::new(PEAK_RESET_MS),
            resizing: AtomicBool::new(true),
        }
    }
}

impl Rules {
    /// Whether memory is given back at all.
    pub fn may_shrink(&self) -> bool {
        self.resizing.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_too_much_when_a_window_needed_less_than_half() {
        let (rules, replies) = (Rules::default(), Replies::default());
        assert!(!replies.set_bytes(16_384), "the first is no growth");
        replies.note(9_000);
        assert!(!replies.look(&rules, false, 10_000));
        assert_eq!(replies.peak(), 0, "the first window began long ago");
        replies.note(9_000);
        assert!(!replies.look(&rules, false, 14_999));
        assert!(!replies.look(&rules, false, 15_000), "its time is over");
        replies.note(8_191);
        assert!(replies.look(&rules, false, 15_100), "now it is");
        assert!(!replies.set_bytes(8_192));
        assert!(!replies.is_mostly_unused());
        assert!(replies.set_bytes(16_384));
        rules.resizing.store(false, Ordering::Relaxed);
        assert!(!replies.look(&rules, false, 15_200));
    }

    #[test]
    fn little_memory_goes_only_when_its_client_is_idle() {
        let (rules, replies) = (Rules::default(), Replies::default());
        assert!(!replies.look(&rules, true, 10), "there is none");
        replies.set_bytes(2_047);
        assert!(!replies.look(&rules, false, 20_000));
        replies.note(3);
        assert!(!replies.look(&rules, true, 20_100), "it is sent messages");
        assert!(!replies.look(&rules, true, 25_100));
        assert!(replies.look(&rules, true, 25_200));
    }

    #[test]
    fn a_peak_lasts_for_ever_where_windows_do_not_end() {
        let (rules, replies) = (Rules::default(), Replies::default());
        rules.peak_reset_ms.store(-1, Ordering::Relaxed);
        replies.note(5);
        replies.look(&rules, false, 1 << 40);
        assert_eq!(replies.peak(), 5);
    }
}
