//! The dict of large sets, hashes and sorted sets at its real size: the unit
//! tests shrink its leaves.

#![cfg(not(feature = "tiny"))]

use larder::base::clock;
use larder::types::dict::Dict;

const ELEMENTS: usize = 200_000;

fn key(n: usize) -> Vec<u8> {
    format!("{n:016}").into_bytes()
}

fn filled() -> Dict<()> {
    let mut dict = Dict::new();
    for n in 0..ELEMENTS {
        dict.insert(&key(n), ());
    }
    dict
}

/// All keys that a walk meets; `meanwhile` is called between its steps.
fn walk(dict: &mut Dict<()>, mut meanwhile: impl FnMut(&mut Dict<()>, &[Vec<u8>])) -> Vec<Vec<u8>> {
    let (mut cursor, mut all) = (Some(0), Vec::new());
    while let Some(from) = cursor {
        let mut met = Vec::new();
        cursor = dict.scan(from, |element| met.push(element.key().to_vec()));
        meanwhile(dict, &met);
        all.append(&mut met);
    }
    all
}

#[test]
fn everybody_is_found_met_and_counted() {
    let mut dict = filled();
    assert_eq!(dict.len(), ELEMENTS);
    assert!((0..ELEMENTS).all(|n| dict.contains(&key(n))));
    assert!(!dict.contains(&key(ELEMENTS)));
    let mut met = walk(&mut dict, |_, _| {});
    met.sort();
    assert!(
        met.iter()
            .eq((0..ELEMENTS).map(key).collect::<Vec<_>>().iter())
    );
    let every_thousandth: Vec<usize> = (0..ELEMENTS).step_by(1_000).collect();
    let wanted: Vec<&[u8]> = dict.iter().step_by(1_000).map(|e| e.key()).collect();
    let mut shown = Vec::new();
    dict.at_ranks(&every_thousandth, |element| shown.push(element.key()));
    assert_eq!(shown, wanted);
    for (rank, key) in every_thousandth.into_iter().zip(wanted) {
        let place = dict.at_rank(rank).expect("there are so many");
        assert_eq!(dict.element(place).key(), key);
    }
}

#[test]
fn an_element_costs_little_more_than_its_bytes() {
    let dict = filled();
    let each = dict.heap_bytes() as f64 / ELEMENTS as f64;
    assert!(
        (16.0 + 8.0..16.0 + 8.0 * 2.0).contains(&each),
        "{each} bytes"
    );
}

#[test]
fn a_walk_that_removes_what_it_meets_leaves_nothing_and_holds_nothing() {
    let mut dict = filled();
    let met = walk(&mut dict, |dict, met| {
        met.iter().for_each(|key| assert!(dict.take(key)));
    });
    assert_eq!(met.len(), ELEMENTS);
    assert!(dict.is_empty());
    assert_eq!(dict.heap_bytes(), Dict::<()>::new().heap_bytes());
}

#[test]
fn a_random_element_is_as_likely_as_any_other_when_nearly_all_are_gone() {
    clock::reseed(17);
    let mut dict = filled();
    let keys: Vec<Vec<u8>> = dict.iter().map(|e| e.key().to_vec()).collect();
    // All but those at one end: what a walk that removes has not come to yet.
    keys[..ELEMENTS - 64]
        .iter()
        .for_each(|key| assert!(dict.take(key)));
    let mut drawn = [0.0; 64];
    for _ in 0..64_000 {
        let place = dict.random().expect("some are left");
        let key = dict.element(place).key();
        let at = keys[ELEMENTS - 64..].iter().position(|k| k == key);
        drawn[at.expect("it is one of them")] += 1.0;
    }
    let chi: f64 = drawn.iter().map(|n| (n - 1000.0f64).powi(2) / 1000.0).sum();
    // 63 degrees of freedom: one in a hundred thousand lies beyond 121.
    assert!(chi < 121.0, "{chi}");
}
