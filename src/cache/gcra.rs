//! The generic cell rate algorithm (ITU-T I.371): a limit on a rate whose whole
//! state is one moment, the theoretical arrival time (TAT).
//!
//! ```text
//!             now                TAT           now + tolerance
//! ─────────────┼──────────────────┼───────────────────┼──────► time
//!              │◄─ spent, earned ─►◄──── remaining ───►│
//!              │   anew by then   │                   │
//! ```
//!
//! A unit moves the TAT one interval on, from now where it lies in the past. It
//! is refused where the TAT would come to lie further than the tolerance, the
//! intervals of all units that may come at once, beyond now. So a state whose TAT
//! is past is as good as none, and may be forgotten.

/// Longest tolerance, so that sums stay within 63 bits for 150 years.
const TOLERANCE_NS_MAX: u128 = 100 * 366 * 86_400 * 1_000_000_000;

/// How much may come, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// From one unit to the next where they come evenly; at least 1.
    interval_ns: u64,
    /// How many may come at once; at least 1.
    burst: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The new state, where it is allowed.
    pub tat_ns: Option<u64>,
    /// How many more units would be allowed now.
    pub remaining: u64,
    /// When it would be allowed, where it is refused now and will not always be.
    pub retry_after_ns: Option<u64>,
    /// When everything is earned anew.
    pub reset_after_ns: u64,
}

impl Quota {
    /// `count` units in a period, `burst` of them at once. `None` where any of
    /// these is 0, an interval would be, or a burst takes a century to be earned.
    pub fn new(count: u64, period_ns: u64, burst: u64) -> Option<Quota> {
        let interval_ns = period_ns.checked_div(count)?;
        let tolerance_ns = u128::from(interval_ns) * u128::from(burst);
        let fits = (1..=TOLERANCE_NS_MAX).contains(&tolerance_ns);
        fits.then_some(Quota { interval_ns, burst })
    }

    /// Decides on `quantity` units that come at once; 0 looks, and moves nothing.
    pub fn decide(self, tat_ns: Option<u64>, now_ns: u64, quantity: u64) -> Decision {
        let interval = i128::from(self.interval_ns);
        let tolerance = interval * i128::from(self.burst);
        let increment = interval * i128::from(quantity);
        let now = i128::from(now_ns);
        let tat = now.max(tat_ns.map_or(now, i128::from));
        let new = tat + increment;
        let excess = new - tolerance - now;
        let is_allowed = excess <= 0;
        let spent = if is_allowed { new } else { tat } - now;
        // Nothing is negative, and what is beyond 64 bits is beyond telling.
        let unsigned = |n: i128| u64::try_from(n).unwrap_or(u64::MAX);
        Decision {
            tat_ns: is_allowed.then(|| unsigned(new)),
            remaining: unsigned((tolerance - spent).max(0) / interval),
            retry_after_ns: (!is_allowed && increment <= tolerance).then(|| unsigned(excess)),
            reset_after_ns: unsigned(spent),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_empties_and_fills_as_the_time_goes() {
        let quota = Quota::new(1, S, 5).expect("a quota");
        let mut tat = None;
        // At a tenth of a second, so many units: what is left, when all is back,
        // and, where it is refused, when to come again.
        let refused = |after: Option<u64>| Some(after);
        #[expect(clippy::type_complexity, reason = "a table of cases")]
        let cases: [(u64, u64, u64, u64, Option<Option<u64>>); 14] = [
            (0, 6, 5, 0, refused(None)),
            (0, 1, 4, 10, None),
            (0, 1, 3, 20, None),
            (0, 2, 1, 40, None),
            (0, 1, 0, 50, None),
            (0, 0, 0, 50, None),
            (0, 1, 0, 50, refused(Some(10))),
            (30, 1, 2, 30, None),
            (31, 1, 1, 39, None),
            (40, 1, 1, 40, None),
            (80, 1, 4, 10, None),
            (95, 0, 5, 0, None),
            (95, 3, 2, 30, None),
            (95, 5, 2, 30, refused(Some(30))),
        ];
        for (at, quantity, remaining, reset, refusal) in cases {
            let decision = quota.decide(tat, 100 * S + at * S / 10, quantity);
            let what = format!("{quantity} at {at}");
            assert_eq!(decision.remaining, remaining, "{what}");
            assert_eq!(decision.reset_after_ns, reset * S / 10, "{what}");
            let after = decision.retry_after_ns.map(|ns| ns / (S / 10));
            let is_refused = decision.tat_ns.is_none();
            assert_eq!(is_refused.then_some(after), refusal, "{what}");
            tat = decision.tat_ns.or(tat);
        }
    }

    #[test]
    fn a_quota_is_neither_nothing_nor_endless() {
        for (count, period, burst) in [(0, S, 1), (1, 0, 1), (1, S, 0), (S + 1, S, 1)] {
            assert_eq!(Quota::new(count, period, burst), None);
        }
        assert_eq!(Quota::new(1, u64::MAX, u64::MAX), None);
        assert!(Quota::new(S, S, 1).is_some());
    }

    #[test]
    fn a_state_from_far_away_is_no_fault() {
        let quota = Quota::new(1, S, 5).expect("a quota");
        let decision = quota.decide(Some(u64::MAX), 0, u64::MAX);
        assert_eq!((decision.tat_ns, decision.remaining), (None, 0));
        let decision = quota.decide(Some(0), u64::MAX / 2, 1);
        assert_eq!(decision.remaining, 4);
    }

    proptest! {
        /// Against a bucket that is counted out: at any time, no more passed since
        /// any earlier one than the burst and what the rate gave meanwhile.
        #[test]
        fn no_stretch_of_time_sees_more_than_burst_and_rate(
            count in 1u64..1000,
            burst in 1u64..50,
            steps in prop::collection::vec((0u64..3 * S, 0u64..8), 1..200),
        ) {
            let quota = Quota::new(count, S, burst).expect("a quota");
            let interval = S / count;
            let (mut tat, mut now) = (None, S);
            let mut passed: Vec<(u64, u64)> = Vec::new();
            for (wait, quantity) in steps {
                now += wait;
                let before = quota.decide(tat, now, 0).remaining;
                let decision = quota.decide(tat, now, quantity);
                prop_assert_eq!(decision.tat_ns.is_some(), quantity <= before);
                if decision.tat_ns.is_some() {
                    prop_assert_eq!(decision.remaining, before - quantity);
                    tat = decision.tat_ns;
                    passed.push((now, quantity));
                } else if let Some(after) = decision.retry_after_ns {
                    let then = quota.decide(tat, now + after, quantity);
                    prop_assert!(then.tat_ns.is_some());
                    let too_early = quota.decide(tat, now + after - 1, quantity);
                    prop_assert!(too_early.tat_ns.is_none());
                } else {
                    prop_assert!(quantity > burst);
                }
                for first in 0..passed.len() {
                    let sum: u64 = passed[first..].iter().map(|(_, n)| n).sum();
                    let given = burst + (now - passed[first].0) / interval;
                    prop_assert!(sum <= given, "{} of {}", sum, given);
                }
            }
        }
    }
}
