//! A `BTreeSet` beside the set, through every change of its encoding.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::base::clock;

const LIMITS: Limits = Limits {
    intset_entries: 8,
    listpack_entries: 12,
    listpack_value: 10,
};

fn encoding(set: &Set) -> &'static str {
    Family::encoding(set)
}

fn of(members: &[&str]) -> Set {
    let mut set = Set::for_members(members[0].as_bytes(), 1, &LIMITS);
    for member in members {
        set.insert(Member::Str(member.as_bytes()), &LIMITS);
    }
    set
}

fn members(set: &Set) -> BTreeSet<Vec<u8>> {
    set.iter().map(Member::to_vec).collect()
}

/// Integers and others, long and short.
fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (-9i64..9).prop_map(|n| n.to_string().into_bytes()),
        1 => (0u64..4).prop_map(|n| (u64::MAX / 3 + n).to_string().into_bytes()),
        1 => "[a-c]{0,2}".prop_map(String::into_bytes),
        1 => "0[0-3]".prop_map(String::into_bytes),
        1 => "[ab]{10,11}".prop_map(String::into_bytes),
    ]
}

type Members = BTreeSet<Vec<u8>>;

proptest! {
    #[test]
    fn it_is_a_set_in_whatever_encoding(
        first in member(),
        steps in prop::collection::vec((0u8..8, member()), 0..80),
    ) {
        let mut set = Set::for_members(&first, 1, &LIMITS);
        let mut model = BTreeSet::new();
        let mut was_table = false;
        for (step, member) in &steps {
            let item = match num::parse_i64(member) {
                Some(n) if step % 2 == 0 => Member::Int(n),
                _ => Member::Str(member),
            };
            if *step < 5 {
                prop_assert_eq!(set.insert(item, &LIMITS), model.insert(member.clone()));
            } else {
                prop_assert_eq!(set.remove(item), model.remove(member));
            }
            prop_assert_eq!(set.contains(item), *step < 5);
            prop_assert_eq!(&members(&set), &model);
            prop_assert_eq!(set.len(), model.len());
            was_table |= matches!(set, Set::Table(_));
            prop_assert!(!was_table || matches!(set, Set::Table(_)), "never back");
            match &set {
                Set::Ints(_) => {
                    prop_assert!(model.len() <= LIMITS.intset_entries);
                    prop_assert!(model.iter().all(|m| num::parse_i64(m).is_some()));
                }
                Set::Packed(_) => {
                    prop_assert!(model.len() <= LIMITS.listpack_entries);
                    prop_assert!(model.iter().all(|m| m.len() <= LIMITS.listpack_value));
                }
                Set::Table(_) => {}
            }
        }
        let by_rank: Vec<_> = (0..set.len()).filter_map(|rank| set.at_rank(rank)).collect();
        prop_assert!(by_rank.iter().copied().eq(set.iter()));
        prop_assert_eq!(set.at_rank(set.len()), None);
        let every_second: Vec<usize> = (0..set.len()).step_by(2).collect();
        let mut shown = Vec::new();
        set.at_ranks(&every_second, |member| shown.push(member));
        prop_assert_eq!(shown, by_rank.into_iter().step_by(2).collect::<Vec<_>>());
        prop_assert_eq!(members(&set.clone()), model);
    }

    #[test]
    fn what_is_popped_is_gone_and_the_rest_is_there(
        first in member(),
        others in prop::collection::btree_set(member(), 0..30),
        count in 0usize..40,
    ) {
        let mut set = Set::for_members(&first, 1, &LIMITS);
        for member in &others {
            set.insert(Member::Str(member), &LIMITS);
        }
        let taken = set.pop(count, &LIMITS);
        prop_assert_eq!(taken.len(), count.min(others.len()));
        let taken: BTreeSet<Vec<u8>> = taken.into_iter().collect();
        prop_assert_eq!(taken.len(), count.min(others.len()));
        let rest = members(&set);
        prop_assert!(rest.is_disjoint(&taken));
        prop_assert_eq!(&rest | &taken, others);
    }
}

#[test]
fn encodings_change_where_valkeys_do() {
    let mut set = of(&["1", "2"]);
    assert_eq!(encoding(&set), "intset");
    set.insert(Member::Str(b"a"), &LIMITS);
    assert_eq!(encoding(&set), "listpack");
    set.insert(Member::Str(b"more than ten"), &LIMITS);
    assert_eq!(encoding(&set), "hashtable");

    let nine: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    let nine: Vec<&str> = nine.iter().map(String::as_str).collect();
    assert_eq!(encoding(&of(&nine[..8])), "intset");
    assert_eq!(encoding(&of(&nine)), "hashtable");

    let mut set = of(&["1", "-12345678901"]);
    set.insert(Member::Str(b"a"), &LIMITS);
    assert_eq!(encoding(&set), "hashtable", "an integer is too long a text");
    assert_eq!(encoding(&of(&["01"])), "listpack");
}

#[test]
fn many_members_at_once_make_a_table_at_once() {
    let of_count = |count| encoding(&Set::for_members(b"1", count, &LIMITS));
    assert_eq!(of_count(8), "intset");
    assert_eq!(of_count(12), "listpack");
    assert_eq!(of_count(13), "hashtable");
    let mut set = of(&["1"]);
    set.expect(8, &LIMITS);
    assert_eq!(encoding(&set), "intset");
    set.expect(9, &LIMITS);
    assert_eq!(encoding(&set), "hashtable");
    assert_eq!(members(&set), members(&of(&["1"])));
}

#[test]
fn what_few_a_large_pop_leaves_are_compact_again() {
    let names: Vec<String> = (0..100).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut set = of(&names);
    set.pop(80, &LIMITS);
    assert_eq!(
        encoding(&set),
        "hashtable",
        "20 are as many as a fifth of 80"
    );
    let mut set = of(&names);
    set.pop(95, &LIMITS);
    assert_eq!((encoding(&set), set.len()), ("listpack", 5));
}

#[test]
fn integers_in_a_listpack_become_an_intset_when_asked() {
    let mut set = of(&["1", "a", "2"]);
    set.make_ints(&LIMITS);
    assert_eq!(encoding(&set), "listpack");
    set.remove(Member::Str(b"a"));
    set.make_ints(&LIMITS);
    assert_eq!(encoding(&set), "intset");
    assert_eq!(members(&set), members(&of(&["1", "2"])));
}

#[test]
fn every_member_is_popped_with_the_same_probability() {
    clock::reseed(3);
    for size in [6, 10, 20] {
        let names: Vec<String> = (0..size).map(|n| format!("m{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut seen: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
        for round in 0..size * 1_000 {
            for member in of(&names).pop(1 + round % 2 * (size - 2), &LIMITS) {
                *seen.entry(member).or_default() += 1.0;
            }
        }
        let expected = seen.values().sum::<f64>() / size as f64;
        let chi: f64 = seen
            .values()
            .map(|n| (n - expected).powi(2) / expected)
            .sum();
        // Beyond it lies less than one in ten thousand, for 19 degrees of freedom.
        assert!(seen.len() == size && chi < 53.0, "{size}: {chi}");
    }
}

proptest! {
    #[test]
    fn sets_are_combined_as_sets_are(
        all in prop::collection::vec(
            (member(), prop::collection::btree_set(member(), 0..20)), 1..5),
    ) {
        let sets: Vec<Set> = all
            .iter()
            .map(|(first, members)| {
                let mut set = Set::for_members(first, 1, &LIMITS);
                for member in members {
                    set.insert(Member::Str(member), &LIMITS);
                }
                set
            })
            .collect();
        let sets: Vec<&Set> = sets.iter().collect();
        let models: Vec<_> = all.into_iter().map(|(_, members)| members).collect();
        let fold = |f: fn(&Members, &Members) -> Members| {
            models[1..].iter().fold(models[0].clone(), |a, b| f(&a, b))
        };
        for limits in [LIMITS, Limits::NONE] {
            let union = combine::union(&sets, &limits);
            prop_assert_eq!(members(&union), fold(|a, b| a | b));
            let difference = combine::difference(sets[0], &sets[1..], &limits);
            prop_assert_eq!(members(&difference), fold(|a, b| a - b));
            let intersection = combine::intersection_as_set(&sets, &limits);
            prop_assert_eq!(members(&intersection), fold(|a, b| a & b));
        }
        let intersection: BTreeSet<_> = combine::intersection(&sets).map(Member::to_vec).collect();
        prop_assert_eq!(intersection, fold(|a, b| a & b));
    }
}

#[test]
fn what_is_made_of_sets_is_as_compact_as_valkeys() {
    let (ints, more, texts) = (
        of(&["1", "2", "3"]),
        of(&["2", "3", "4"]),
        of(&["2", "3", "a"]),
    );
    let intersection = |sets: &[&Set]| encoding(&combine::intersection_as_set(sets, &LIMITS));
    assert_eq!(intersection(&[&ints, &more]), "intset");
    assert_eq!(
        intersection(&[&texts, &ints]),
        "intset",
        "they are all integers"
    );
    assert_eq!(intersection(&[&texts, &texts]), "listpack");
    let union = |sets: &[&Set]| encoding(&combine::union(sets, &LIMITS));
    assert_eq!(union(&[&ints, &more]), "intset");
    assert_eq!(union(&[&ints, &texts]), "listpack");
    assert_eq!(
        encoding(&combine::difference(&texts, &[&ints], &LIMITS)),
        "listpack"
    );
    assert_eq!(
        encoding(&combine::difference(&more, &[&ints], &LIMITS)),
        "intset"
    );
}
