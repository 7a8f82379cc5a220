//! Deadlines in twelve bits: a hierarchical timing wheel that is spread over
//! the table's slots, so that expiry needs no index and no memory of its own.
//!
//! ```text
//!   11  10 9              0
//! ┌───────┬────────────────┐   level 0: ticks of  32 ms
//! │ level │ tick mod 1024  │         1:           1 s      (32 × 32 ms)
//! └───────┴────────────────┘         2:          33 s
//!                                    3:          17 min
//! ```
//!
//! A deadline is kept at the finest level on which it lies fewer than
//! [`REACH`] ticks ahead. On level 0 the tick is rounded up: when it has come,
//! the deadline has passed. Above, it is rounded down: when it has come, the
//! entry is looked at and set again on a finer level. So an entry is looked at
//! no more than four times for a deadline up to nine days ahead, and once in
//! nine days beyond. (Varghese and Lauck, "Hashed and hierarchical timing
//! wheels", 1987, has the idea; the slots take the place of its lists.)

/// Milliseconds of a tick on level 0.
pub const TICK_MS: u64 = 32;
/// Ticks that a deadline may lie ahead on its level; the rest of the circle,
/// 256 ticks, is the past: a tick found there is overdue.
const REACH: u64 = 768;
const NONE: u16 = 0xfff;

/// Where a deadline stands on the wheel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer(u16);

const fn shift(level: u16) -> u32 {
    TICK_MS.trailing_zeros() + 5 * level as u32
}

impl Timer {
    /// No deadline.
    pub const NEVER: Timer = Timer(NONE);

    /// The timer for a deadline, both in Unix milliseconds.
    pub fn new(deadline_ms: Option<u64>, now_ms: u64) -> Timer {
        let Some(deadline) = deadline_ms else {
            return Timer::NEVER;
        };
        if deadline <= now_ms {
            // Over already, and so due at once.
            return Timer((now_ms >> shift(0) & 1023) as u16);
        }
        let tick = deadline.saturating_add(TICK_MS - 1) >> shift(0);
        if tick - (now_ms >> shift(0)) < REACH {
            return Timer((tick & 1023) as u16);
        }
        for level in 1..4 {
            let (now, tick) = (now_ms >> shift(level), deadline >> shift(level));
            if tick - now < REACH {
                return Timer::above(level, tick);
            }
        }
        Timer::above(3, (now_ms >> shift(3)) + REACH - 1)
    }

    fn above(level: u16, tick: u64) -> Timer {
        let bits = level << 10 | (tick & 1023) as u16;
        // The one pattern that means "never" gives way to the tick before it.
        Timer(if bits == NONE { bits - 1 } else { bits })
    }

    /// The twelve bits.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The timer of these bits; higher ones are ignored.
    pub fn from_bits(bits: u16) -> Timer {
        Timer(bits & NONE)
    }

    /// Whether there is a deadline at all.
    pub fn is_set(self) -> bool {
        self.0 != NONE
    }

    /// When the entry must be looked at, in Unix milliseconds: a time at or
    /// before `now_ms` where that is due.
    #[inline]
    pub fn due_ms(self, now_ms: u64) -> u64 {
        let (level, tick) = (self.0 >> 10, u64::from(self.0 & 1023));
        let now = now_ms >> shift(level);
        let ahead = tick.wrapping_sub(now) & 1023;
        let tick = if ahead < REACH {
            now + ahead
        } else {
            (now + ahead).saturating_sub(1024)
        };
        tick << shift(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Steps from due time to due time, as the table's sweep does, and ends
        /// within a tick of the deadline.
        #[test]
        fn a_deadline_is_met_within_a_tick_after_few_looks(
            start in 1_700_000_000_000u64..1_900_000_000_000,
            ahead in prop_oneof![0u64..100_000, 0u64..40_000_000, 0u64..800_000_000],
        ) {
            let deadline = start + ahead;
            let mut now = start;
            let mut looks = 0;
            loop {
                let due = Timer::new(Some(deadline), now).due_ms(now);
                now = now.max(due);
                looks += 1;
                if now >= deadline {
                    break;
                }
            }
            prop_assert!(now - deadline <= TICK_MS, "late by {}", now - deadline);
            prop_assert!(looks <= 6, "{looks} looks");
        }

        #[test]
        fn a_tick_that_was_missed_by_less_than_its_past_is_overdue(
            start in 1_700_000_000_000u64..1_900_000_000_000,
            ahead in 0u64..20_000,
            late in 0u64..8_000,
        ) {
            let timer = Timer::new(Some(start + ahead), start);
            let now = start + ahead + TICK_MS + late;
            prop_assert!(timer.due_ms(now) <= now);
        }
    }

    #[test]
    fn never_is_no_deadline() {
        assert!(!Timer::NEVER.is_set());
        assert!(!Timer::new(None, 5).is_set());
        assert!(Timer::new(Some(u64::MAX >> 1), 1_800_000_000_000).is_set());
    }
}
