//! The simulated origin: when its values change, what it does not have, how long
//! it takes.
//!
//! The changes of a key are a Poisson process that is computed rather than kept.
//! Time is cut into windows of the mean interval; the changes within one, of
//! which there is one on average, come from a hash of seed, key and window. So
//! every variant sees the same history, and to ask for the last change before a
//! moment costs about two hashes, however rarely it is asked.

use super::options::Options;
use super::trace::Keys;
use crate::base::glob::{self, Case};

/// See the head of this file.
pub struct Origin {
    /// How long it takes to answer, in microseconds.
    pub latency_us: u64,
    seed: u64,
    /// Of each key, the mean time between changes in microseconds; 0: it never
    /// changes.
    intervals_us: Vec<u64>,
    /// Of keys, those whose hash is below this are not there.
    absent_below: u64,
}

impl Origin {
    /// The origin behind these keys.
    pub fn new(options: &Options, keys: &Keys) -> Origin {
        let interval = |name: &[u8]| {
            let rules = &options.updates;
            let named = rules.iter().find(|rule| {
                let pattern = rule.pattern.as_deref();
                pattern.is_some_and(|p| glob::matches(p, name, Case::Exact))
            });
            // Of rules for all others the last one holds.
            let rest = || rules.iter().rev().find(|rule| rule.pattern.is_none());
            named.or_else(rest).map_or(0, |rule| rule.interval_us)
        };
        let intervals_us = match options.updates[..] {
            [] => Vec::new(),
            _ => (0..keys.len() as u32)
                .map(|key| interval(keys.name(key)))
                .collect(),
        };
        Origin {
            latency_us: options.latency_us,
            seed: mix(options.seed),
            intervals_us,
            // Saturates for 100%.
            absent_below: (options.absent * u64::MAX as f64) as u64,
        }
    }

    /// Whether it has no such key, unless one is written.
    #[inline]
    pub fn is_absent(&self, key: u32) -> bool {
        self.absent_below > 0 && mix(self.seed ^ 0xab5e ^ u64::from(key) << 16) < self.absent_below
    }

    /// When the value changed last, at or before a moment, in microseconds; 0 where
    /// it has not since the start.
    #[inline]
    pub fn changed_us(&self, key: u32, at_us: u64) -> u64 {
        match self.intervals_us.get(key as usize) {
            None | Some(0) => 0,
            Some(&interval_us) => self.last_change(key, at_us, interval_us),
        }
    }

    fn last_change(&self, key: u32, at_us: u64, interval_us: u64) -> u64 {
        let history = mix(self.seed ^ u64::from(key));
        let mut window = at_us / interval_us;
        loop {
            let begin_us = window * interval_us;
            let mut hash = mix(history ^ window.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut last = None;
            for _ in 0..changes(hash) {
                hash = mix(hash);
                let into = (u128::from(hash) * u128::from(interval_us)) >> 64;
                let change_us = begin_us + into as u64;
                if change_us <= at_us {
                    last = last.max(Some(change_us));
                }
            }
            match last {
                Some(change_us) => return change_us.max(1),
                None if window == 0 => return 0,
                None => window -= 1,
            }
        }
    }
}

/// How many changes fall into a window: Poisson's distribution with mean 1, by its
/// inverse. More than eight come once in a million windows.
fn changes(hash: u64) -> u32 {
    let mut left = (hash >> 11) as f64 / (1u64 << 53) as f64;
    let mut share = (-1.0f64).exp();
    let mut count = 0;
    while left >= share && count < 12 {
        left -= share;
        count += 1;
        share /= f64::from(count);
    }
    count
}

/// splitmix64's finisher.
#[inline]
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::options::Wish;

    fn origin(args: &[&str], names: &[&str]) -> Origin {
        let args: Vec<_> = ["t"].iter().chain(args).map(Into::into).collect();
        let Ok(Wish::Run(options)) = Options::parse(&args) else {
            panic!("not a run");
        };
        let mut keys = Keys::default();
        for name in names {
            keys.number(0, name.as_bytes());
        }
        Origin::new(&options, &keys)
    }

    /// All changes up to a moment, found by going back from change to change.
    fn history(origin: &Origin, key: u32, until_us: u64) -> Vec<u64> {
        let mut changes = Vec::new();
        let mut at = until_us;
        loop {
            match origin.changed_us(key, at) {
                0 => return changes,
                change => {
                    changes.push(change);
                    at = change - 1;
                }
            }
        }
    }

    #[test]
    fn changes_are_those_of_a_poisson_process() {
        let origin = origin(&["--update-interval", "1s"], &["k"]);
        let history = history(&origin, 0, 20_000 * 1_000_000);
        let count = history.len() as f64;
        assert!((19_400.0..20_600.0).contains(&count), "{count}");
        let gaps: Vec<f64> = history
            .windows(2)
            .map(|p| (p[0] - p[1]) as f64 / 1e6)
            .collect();
        // An exponential distribution has a deviation equal to its mean, and e^-2
        // of it lies beyond two of them.
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.05,
            "{variance} {mean}"
        );
        let beyond = gaps.iter().filter(|&&g| g > 2.0 * mean).count() as f64 / gaps.len() as f64;
        assert!((beyond - (-2.0f64).exp()).abs() < 0.01, "{beyond}");
    }

    #[test]
    fn the_last_change_stays_until_the_next() {
        let origin = origin(&["--update-interval", "10s"], &["k"]);
        for pair in history(&origin, 0, 1_000_000_000).windows(2) {
            let (next, change) = (pair[0], pair[1]);
            for at in [change, (change + next) / 2, next - 1] {
                assert_eq!(origin.changed_us(0, at), change);
            }
        }
    }

    #[test]
    fn the_first_pattern_that_matches_says_how_often() {
        let origin = origin(
            &["--update-interval", "a*=1s", "--update-interval", "ab*=2s"],
            &["ab", "b"],
        );
        assert_eq!(origin.intervals_us, [1_000_000, 0]);
        assert_eq!(
            origin.changed_us(1, u64::MAX / 2),
            0,
            "nobody said that it changes"
        );
    }

    #[test]
    fn the_share_of_absent_keys_is_what_was_said() {
        let names: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (percent, expected) in [("0", 0..1), ("20%", 1_900..2_100), ("100%", 9_999..10_001)] {
            let origin = origin(&["--absent-share", percent], &names);
            let absent = (0..10_000).filter(|&key| origin.is_absent(key)).count();
            assert!(expected.contains(&absent), "{percent}: {absent}");
        }
    }
}
