use proptest::prelude::*;

use super::*;

const SECOND_MS: u64 = 1000;
const HOUR_MS: u64 = 3_600_000;
const BOUNDS: Bounds = Bounds {
    ttl_ms: 60 * SECOND_MS,
    ttl_min_ms: SECOND_MS,
    ttl_max_ms: HOUR_MS,
    jitter_percent: 10,
};
/// A value changes every ten minutes, a key is read every ten seconds.
const PRIOR: Prior = Prior {
    time_ms: SHAPE_FIRST * 600_000.0,
    read_every_ms: 10_000.0,
};

fn refill(value_digest: u32, reads: u32, age_ms: u64) -> Refill {
    Refill {
        value_digest,
        reads,
        age_ms,
    }
}

/// What a key ends with that is refilled so soon as it expires, and read every `every_ms`.
fn after(refills: u32, every_ms: u64, value: impl Fn(u32) -> u32) -> Decision {
    let mut last = weigh(None, &BOUNDS, PRIOR, refill(value(0), 0, 0));
    for n in 1..=refills {
        // As it comes out of an entry.
        let kept = History::from_bits(last.history.to_bits());
        let reads = (last.ttl_ms / every_ms) as u32;
        let age_ms = (u64::from(reads) + 1) * every_ms;
        last = weigh(kept, &BOUNDS, PRIOR, refill(value(n), reads, age_ms));
    }
    last
}

#[test]
fn a_key_without_history_gets_the_policys_ttl() {
    let typical = Typical::new(BOUNDS.ttl_ms);
    let decision = decide(None, &BOUNDS, &typical, refill(7, 0, 0));
    assert_eq!(decision.ttl_ms, BOUNDS.ttl_ms);
    assert_eq!(
        (decision.reason, decision.held),
        (Reason::First, Held::Free)
    );
    assert_eq!(decision.history.read_every_ms(), None);
}

#[test]
fn a_typical_key_keeps_the_policys_ttl() {
    let typical = History {
        digest: 0,
        shape: SHAPE_FIRST,
        time_ms: PRIOR.time_ms,
        reads: 4.0,
        read_ms: 4.0 * PRIOR.read_every_ms,
    };
    let ttl_ms = best_ttl_ms(&typical, PRIOR, 60_000.0);
    assert!((ttl_ms - 60_000.0).abs() < 1e-6, "{ttl_ms}");
}

#[test]
fn a_key_that_never_changes_ends_at_ttl_max() {
    for every_ms in [SECOND_MS, 60 * SECOND_MS, HOUR_MS] {
        let end = after(4000, every_ms, |_| 7);
        assert_eq!((end.ttl_ms, end.held), (BOUNDS.ttl_max_ms, Held::Max));
        assert_eq!(end.reason, Reason::Same);
    }
}

#[test]
fn a_key_that_always_changes_ends_near_ttl_min() {
    let end = after(60, 100, |n| n);
    assert!(end.ttl_ms < 2 * BOUNDS.ttl_min_ms, "{end:?}");
    assert_eq!(end.reason, Reason::Changed);
}

#[test]
fn a_key_that_is_read_more_lives_shorter_at_the_same_rate_of_changes() {
    let ttl_ms = |every_ms| after(40, every_ms, |n| n / 4).ttl_ms;
    let (hot, cold) = (ttl_ms(100), ttl_ms(10_000));
    assert!(2 * hot < cold, "{hot} {cold}");
}

#[test]
fn a_change_after_a_long_calm_is_a_surprise_and_cuts_deep() {
    let calm = after(20, 10_000, |_| 7);
    let kept = History::from_bits(calm.history.to_bits());
    let cut = weigh(kept, &BOUNDS, PRIOR, refill(8, 5, 60_000));
    assert_eq!(cut.reason, Reason::ChangedAtOnce);
    assert!(2 * cut.ttl_ms < calm.ttl_ms, "{cut:?} after {calm:?}");
}

#[test]
fn a_calm_after_many_changes_is_a_surprise_and_lets_live() {
    let wild = after(30, 1000, |n| n);
    let kept = History::from_bits(wild.history.to_bits());
    let grown = weigh(kept, &BOUNDS, PRIOR, refill(30, 5, 100 * wild.ttl_ms));
    assert_eq!(grown.reason, Reason::SameAtLast);
    assert!(grown.ttl_ms > 2 * wild.ttl_ms, "{grown:?} after {wild:?}");
}

#[test]
fn a_key_that_nobody_reads_gets_no_more_than_the_policys_ttl() {
    let calm = after(20, 10_000, |_| 7);
    assert!(calm.ttl_ms > BOUNDS.ttl_ms);
    let left = weigh(
        Some(calm.history),
        &BOUNDS,
        PRIOR,
        refill(7, 0, BOUNDS.ttl_max_ms + 1),
    );
    assert_eq!((left.ttl_ms, left.reason), (BOUNDS.ttl_ms, Reason::Unread));
}

#[test]
fn what_is_typical_is_found_from_first_refills() {
    // Half of the keys change every ten minutes, half every ten days.
    let typical = Typical::new(BOUNDS.ttl_ms);
    for n in 0..4000u32 {
        let first = decide(None, &BOUNDS, &typical, refill(7, 0, 0));
        let age_ms = 60_000 + u64::from(n % 7) * 300_000;
        let chance = 1.0 - (-(age_ms as f64) / 600_000.0).exp();
        let is_changed = n % 2 == 0 && f64::from(n / 2 * 37 % 100) < 100.0 * chance;
        let next = refill(7 + u32::from(is_changed), 2, age_ms);
        decide(Some(first.history), &BOUNDS, &typical, next);
    }
    let (change, read) = (typical.change_every_ms(), typical.read_every_ms());
    assert!((600_000..36_000_000).contains(&change), "{change}");
    assert!((100_000..500_000).contains(&read), "{read}");
}

#[test]
fn jitter_only_shortens_and_reaches_its_whole_span() {
    assert_eq!(jitter(1000, 10, 0), 1000);
    assert_eq!(jitter(1000, 10, u64::MAX), 900);
    assert_eq!(jitter(1000, 0, u64::MAX), 1000);
    assert_eq!(jitter(1000, 255, u64::MAX), 1);
    assert_eq!(jitter(u64::MAX, 100, u64::MAX), 1);
    assert_eq!(jitter(0, 10, 5), 1);
    let tight = Bounds {
        ttl_min_ms: 950,
        ..BOUNDS
    };
    assert_eq!(tight.jittered(1000, u64::MAX), 950);
}

#[test]
fn bits_that_are_no_history_are_none() {
    assert_eq!(History::from_bits(0), None);
    assert_eq!(History::from_bits(u64::MAX << 42), None);
}

#[test]
fn every_reason_has_a_sentence_of_its_own() {
    use std::collections::HashSet;
    let reasons = [
        Reason::First,
        Reason::Same,
        Reason::SameAtLast,
        Reason::Changed,
        Reason::ChangedAtOnce,
        Reason::Unread,
    ];
    let texts: HashSet<_> = reasons.map(Reason::text).into();
    assert_eq!(texts.len(), reasons.len());
    let texts: HashSet<_> = [Held::Free, Held::Min, Held::Max].map(Held::text).into();
    assert_eq!(texts.len(), 3);
}

prop_compose! {
    /// From some refills of every size, the extreme ones too.
    fn histories()(bits in any::<u64>()) -> History {
        History::from_bits(bits | 1 << 18 | 1 << 26).expect("a shape and a time")
    }
}

prop_compose! {
    fn bounds()(ttl_ms in any::<u64>(), a in any::<u64>(), b in any::<u64>(),
        small in 0u32..64, jitter_percent in any::<u8>()) -> Bounds {
        Bounds { ttl_ms: ttl_ms >> small, ttl_min_ms: a.min(b) >> small, ttl_max_ms: a.max(b) >> small,
            jitter_percent }
    }
}

prop_compose! {
    fn refills()(value_digest in any::<u32>(), reads in any::<u32>(), age_ms in any::<u64>(),
        small in 0u32..64, few in 0u32..32) -> Refill {
        Refill { value_digest, reads: reads >> few, age_ms: age_ms >> small }
    }
}

proptest! {
    #[test]
    fn nothing_leads_out_of_the_bounds_or_of_the_numbers(
        bounds in bounds(), refills in prop::collection::vec(refills(), 1..40), random in any::<u64>(),
    ) {
        let typical = Typical::new(bounds.ttl_ms);
        let mut kept = None;
        for refill in refills {
            let decision = decide(kept, &bounds, &typical, refill);
            let within = bounds.ttl_min_ms..=bounds.ttl_max_ms;
            prop_assert!(within.contains(&decision.ttl_ms));
            prop_assert!(within.contains(&bounds.jittered(decision.ttl_ms, random)));
            let history = decision.history;
            let numbers = [history.shape, history.time_ms, history.reads, history.read_ms];
            prop_assert!(numbers.iter().all(|n| n.is_finite()), "{:?}", history);
            kept = History::from_bits(history.to_bits());
            prop_assert!(kept.is_some());
        }
    }

    #[test]
    fn packing_loses_no_more_than_a_step(history in histories()) {
        let kept = History::from_bits(history.to_bits()).expect("packed just now");
        prop_assert_eq!(kept.to_bits(), history.to_bits());
        prop_assert_eq!(kept.digest, history.digest);
        for (a, b, octaves) in [
            (kept.time_ms, history.time_ms, 1.0 / 1024.0),
            (kept.shape, history.shape, 1.0 / 16.0),
            (kept.read_ms, history.read_ms, 1.0 / 32.0),
            (kept.reads, history.reads, 1.0 / 16.0),
        ] {
            prop_assert!(a == b || (a / b).log2().abs() <= octaves, "{} {}", a, b);
        }
    }

    #[test]
    fn the_same_value_never_shortens_what_another_would_have_got(
        history in histories(), refill in refills(),
    ) {
        let same = Refill { value_digest: history.digest, ..refill };
        let other = Refill { value_digest: !history.digest, ..refill };
        let (same, other) = (
            weigh(Some(history), &BOUNDS, PRIOR, same),
            weigh(Some(history), &BOUNDS, PRIOR, other),
        );
        prop_assert!(same.ttl_ms >= other.ttl_ms, "{:?} {:?}", same, other);
    }

    #[test]
    fn belief_moves_with_what_is_seen(history in histories(), age_ms in 1.0..1e12) {
        let change_every = |h: &History| h.time_ms / h.shape;
        let (mut same, mut other) = (history, history);
        same.learn_change(false, age_ms);
        other.learn_change(true, age_ms);
        prop_assert!(change_every(&same) >= change_every(&history) * (1.0 - 1e-6));
        prop_assert!(change_every(&other) <= change_every(&history) * (1.0 + 1e-6));
    }
}
