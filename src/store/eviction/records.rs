//! Redis' own policies on the same 32-bit access record.
//!
//! ```text
//!   allkeys-lru, volatile-lru          allkeys-lfu, volatile-lfu
//!   31                           0     31    24 23            8 7       0
//!  ┌──────────────────────────────┐   ┌────────┬───────────────┬─────────┐
//!  │ clock at the last use, ticks │   │   –    │ minute, mod 2^16 │ counter │
//!  └──────────────────────────────┘   └────────┴───────────────┴─────────┘
//! ```
//!
//! The LRU clock is that of Larder's own policy (1024 ticks for as many accesses as
//! there are entries), so it is as fine in a replay as in life; Valkey's ticks once a
//! second, which costs it 2 to 5 points when a second is a large part of a turnover.

/// The last use, for LRU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LruRecord(pub u32);

impl LruRecord {
    /// After a use or an insertion; `ticks` are of `Policy::now`.
    pub fn used(ticks: u32) -> Self {
        Self(ticks)
    }

    /// The sample with the greatest idleness goes.
    pub fn idle(self, ticks: u32) -> u32 {
        ticks.wrapping_sub(self.0)
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
