//! Redis' own policies on the same 32-bit access record.
//!
//! ```text
//!   allkeys-lru, volatile-lru          allkeys-lfu, volatile-lfu
//!   31     30                    0     31    24 23               8 7       0
//!  ┌──────┬───────────────────────┐   ┌────────┬──────────────────┬─────────┐
//!  │ used │ clock at the last use │   │   –    │ minute, mod 2^16 │ counter │
//!  └──────┴───────────────────────┘   └────────┴──────────────────┴─────────┘
//! ```
//!
//! The LRU clock is that of Larder's own policy (1024 ticks for as many accesses as
//! there are entries), so it is as fine in a replay as in life; Valkey's ticks once a
//! second, which costs it 2 to 5 points when a second is a large part of a turnover.

/// What was never used since it came goes as if its last use, which was to come, lay
/// so many ticks further back: eight turnovers. Much of what comes is never asked for
/// again.
const UNUSED_TICKS: u32 = 8192;
/// Set in a record of what was used since it came.
const USED: u32 = 1 << 31;

/// The last use, for LRU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LruRecord(pub u32);

impl LruRecord {
    /// After an insertion; `ticks` are of `Policy::now`.
    pub fn inserted(ticks: u32) -> Self {
        Self(ticks & !USED)
    }

    /// After a use.
    pub fn used(ticks: u32) -> Self {
        Self(ticks | USED)
    }

    /// Ticks since the last use or the insertion.
    pub fn idle(self, ticks: u32) -> u32 {
        ticks.wrapping_sub(self.0) & !USED
    }

    /// The sample with the most goes.
    pub fn age(self, ticks: u32) -> u32 {
        let unused = if self.0 & USED == 0 { UNUSED_TICKS } else { 0 };
        self.idle(ticks) + unused
    }
}

/// A logarithmic counter of uses and the minute that it was last decayed, for LFU, as
/// the comment on LFU in Redis' `evict.c` (2016) describes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LfuRecord(pub u32);

/// What a new key starts with, so that it is not the next to go.
const LFU_INIT: u32 = 5;

/// `lfu-log-factor` and `lfu-decay-time`.
#[derive(Clone, Copy, Debug)]
pub struct LfuConfig {
    /// `lfu-log-factor`.
    pub log_factor: u32,
    /// Minutes for a decay by one; 0 for none.
    pub decay_minutes: u32,
}

impl LfuRecord {
    fn pack(counter: u32, minute: u32) -> Self {
        Self(counter | (minute & 0xFFFF) << 8)
    }

    /// Of a new key.
    pub fn on_insert(minute: u32) -> Self {
        Self::pack(LFU_INIT, minute)
    }

    /// With a counter of so much.
    pub fn with_counter(counter: u8, minute: u32) -> Self {
        Self::pack(counter.into(), minute)
    }

    /// The counter after the minutes since; what `OBJECT FREQ` shows. The sample with the least goes.
    pub fn counter(self, minute: u32, c: LfuConfig) -> u32 {
        let idle = minute.wrapping_sub(self.0 >> 8) & 0xFFFF;
        (self.0 & 0xFF).saturating_sub(idle.checked_div(c.decay_minutes).unwrap_or(0))
    }

    /// After a use; `random` is uniform.
    pub fn on_hit(self, minute: u32, random: u32, c: LfuConfig) -> Self {
        let counter = self.counter(minute, c);
        let odds = u64::from(counter.saturating_sub(LFU_INIT)) * u64::from(c.log_factor) + 1;
        let grows = counter < 255 && u64::from(random) * odds < 1 << 32;
        Self::pack(counter + u32::from(grows), minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const REDIS: LfuConfig = LfuConfig {
        log_factor: 10,
        decay_minutes: 1,
    };

    #[test]
    fn idleness_is_right_across_the_wrap_of_the_clock() {
        assert_eq!(LruRecord::used(u32::MAX - 4).idle(5), 10);
        assert_eq!(LruRecord::inserted(u32::MAX - 4).idle(5), 10);
    }

    #[test]
    fn what_was_never_used_is_eight_turnovers_older_than_what_was() {
        let (new, used) = (LruRecord::inserted(9_000), LruRecord::used(1_000));
        assert!(new.age(9_100) > used.age(9_100));
        assert!(new.age(9_100) < LruRecord::used(800).age(9_100));
        assert_eq!(new.idle(9_100), 100);
    }

    #[test]
    fn a_counter_decays_by_one_a_minute_to_nothing_and_across_the_wrap() {
        let r = LfuRecord::on_insert(0xFFFE);
        assert_eq!(
            [0xFFFE, 0x1_0000, 0x1_0100].map(|m| r.counter(m, REDIS)),
            [5, 3, 0]
        );
        assert_eq!(
            r.counter(
                0x1_0100,
                LfuConfig {
                    decay_minutes: 0,
                    ..REDIS
                }
            ),
            5
        );
    }

    #[test]
    fn a_counter_grows_with_the_logarithm_of_the_uses() {
        let mut random = 1u32;
        let mut r = LfuRecord::on_insert(0);
        let mut at = vec![];
        for i in 1..=1_000_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            r = r.on_hit(0, random, REDIS);
            if [100, 10_000, 1_000_000].contains(&i) {
                at.push(r.counter(0, REDIS));
            }
        }
        // The table in redis.conf: 10, 49 (of 10K: about), 255.
        assert!(
            (8..=14).contains(&at[0]) && (40..=58).contains(&at[1]) && at[2] == 255,
            "{at:?}"
        );
    }
}
