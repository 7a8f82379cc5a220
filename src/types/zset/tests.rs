use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    members_max: 12,
    member_bytes_max: 8,
};

/// What a sorted set is: scores by member, and the same in order.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, f64>);

impl Model {
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = self.0.iter().map(|(m, s)| (m.clone(), *s)).collect();
        all.sort_by(|(a, x), (b, y)| {
            let order = x.partial_cmp(y).unwrap_or(Ordering::Equal);
            order.then_with(|| a.cmp(b))
        });
        all
    }
}

fn elements<'a>(iter: impl Iterator<Item = (Item<'a>, f64)>) -> Vec<(Vec<u8>, f64)> {
    iter.map(|(member, score)| (member.to_vec(), score))
        .collect()
}

fn check(zset: &ZSet, model: &Model) {
    let sorted = model.sorted();
    assert_eq!(zset.len(), sorted.len());
    assert_eq!(elements(zset.iter()), sorted);
    let mut backwards = elements(zset.iter().rev());
    backwards.reverse();
    assert_eq!(backwards, sorted);
    for (rank, (member, score)) in sorted.iter().enumerate() {
        assert_eq!(zset.rank(member), Some((rank, *score)));
        assert_eq!(zset.score(member), Some(*score));
        let at = zset.at(rank).map(|(m, s)| (m.to_vec(), s));
        assert_eq!(at.as_ref(), Some(&sorted[rank]));
    }
    assert_eq!(zset.score(b"nobody"), None);
    assert!(zset.at(sorted.len()).is_none());
    assert_eq!(elements(zset.clone().iter()), sorted);
}

#[derive(Clone, Debug)]
enum Step {
    Give(Vec<u8>, f64, Rule),
    Remove(Vec<u8>),
    RemoveRanks(usize, usize),
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0u8..40).prop_map(|n| n.to_string().into_bytes()),
        "[a-d]{0,3}".prop_map(String::into_bytes),
        Just(b"longer than the limit".to_vec()),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3i32..4).prop_map(f64::from),
        2 => (-8i32..9).prop_map(|n| f64::from(n) / 4.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(1e300),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let none = Rule::default();
    prop_oneof![
        4 => Just(none),
        2 => Just(Rule { add: true, ..none }),
        1 => Just(Rule { only_new: true, ..none }),
        1 => Just(Rule { only_present: true, ..none }),
        1 => Just(Rule { only_greater: true, ..none }),
        1 => Just(Rule { only_less: true, add: true, ..none }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (member(), score(), rule()).prop_map(|(m, s, r)| Step::Give(m, s, r)),
        3 => member().prop_map(Step::Remove),
        1 => (0usize..30, 0usize..8).prop_map(|(from, len)| Step::RemoveRanks(from, len)),
    ]
}

fn give(model: &mut Model, member: &[u8], score: f64, rule: Rule) -> Result<Given, NotANumber> {
    let Some(before) = model.0.get(member).copied() else {
        if rule.only_present {
            return Ok(Given::Refused);
        }
        model.0.insert(member.to_vec(), score);
        return Ok(Given::New(score));
    };
    let score = if rule.add { before + score } else { score };
    match before.partial_cmp(&score) {
        _ if rule.only_new => Ok(Given::Refused),
        None => Err(NotANumber),
        Some(Ordering::Equal | Ordering::Greater) if rule.only_greater => Ok(Given::Refused),
        Some(Ordering::Equal | Ordering::Less) if rule.only_less => Ok(Given::Refused),
        Some(Ordering::Equal) => Ok(Given::Same(score)),
        Some(_) => {
            model.0.insert(member.to_vec(), score);
            Ok(Given::Changed(score))
        }
    }
}

proptest! {
    #[test]
    fn it_is_what_a_model_is_through_every_encoding(steps in prop::collection::vec(step(), 0..80)) {
        let (mut zset, mut model) = (ZSet::default(), Model::default());
        for step in steps {
            match step {
                Step::Give(member, score, rule) => prop_assert_eq!(
                    zset.give(&member, score, rule, LIMITS),
                    give(&mut model, &member, score, rule)
                ),
                Step::Remove(member) => {
                    prop_assert_eq!(zset.remove(&member), model.0.remove(&member).is_some());
                }
                Step::RemoveRanks(from, len) => {
                    let sorted = model.sorted();
                    let from = from.min(sorted.len());
                    let end = (from + len).min(sorted.len());
                    zset.remove_ranks(from..end);
                    for (member, _) in &sorted[from..end] {
                        model.0.remove(member);
                    }
                }
            }
            check(&zset, &model);
        }
    }

    #[test]
    fn a_range_of_scores_is_one_of_ranks(
        scores in prop::collection::vec(score(), 0..30),
        min in score(),
        max in score(),
        is_open: (bool, bool),
    ) {
        let range = ScoreRange {
            min: ScoreBound { score: min, is_open: is_open.0 },
            max: ScoreBound { score: max, is_open: is_open.1 },
        };
        let mut zset = ZSet::default();
        for (n, score) in scores.iter().enumerate() {
            let given = zset.give(n.to_string().as_bytes(), *score, Rule::default(), LIMITS);
            prop_assert_eq!(given, Ok(Given::New(*score)));
        }
        let within = |score: f64| {
            let above_min = if is_open.0 { score > min } else { score >= min };
            above_min && if is_open.1 { score < max } else { score <= max }
        };
        let expected: Vec<_> = elements(zset.iter()).into_iter().filter(|(_, s)| within(*s)).collect();
        prop_assert_eq!(elements(zset.range(zset.ranks_by_score(&range))), expected);
    }

    #[test]
    fn a_range_of_members_is_one_of_ranks(
        members in prop::collection::btree_set(member(), 0..30),
        min in member(),
        max in member(),
        kinds in (0u8..4, 0u8..4),
    ) {
        fn bound(kind: u8, at: &[u8]) -> LexBound<'_> {
            match kind {
                0 => LexBound::Lowest,
                1 => LexBound::Highest,
                2 => LexBound::Closed(at),
                _ => LexBound::Open(at),
            }
        }
        let range = LexRange { min: bound(kinds.0, &min), max: bound(kinds.1, &max) };
        let mut zset = ZSet::default();
        members.iter().for_each(|m| zset.push(m, 1.0, LIMITS));
        let expected: Vec<_> = members
            .iter()
            .filter(|m| !range.is_below(m) && !range.is_above(m))
            .map(|m| (m.clone(), 1.0))
            .collect();
        prop_assert_eq!(elements(zset.range(zset.ranks_by_lex(&range))), expected);
    }
}

#[test]
fn a_sorted_set_is_packed_while_it_is_small() {
    let mut zset = ZSet::default();
    for n in 0..12 {
        zset.push(n.to_string().as_bytes(), f64::from(n), LIMITS);
        assert_eq!(zset.encoding(), "listpack");
    }
    zset.push(b"a", 99.0, LIMITS);
    assert_eq!(zset.encoding(), "skiplist");
    zset.remove_ranks(1..13);
    assert_eq!((zset.encoding(), zset.len()), ("skiplist", 1));

    let mut zset = ZSet::default();
    zset.push(b"12345678", 0.0, LIMITS);
    assert_eq!(zset.encoding(), "listpack");
    zset.push(b"123456789", 0.0, LIMITS);
    assert_eq!(zset.encoding(), "skiplist");

    let mut zset = ZSet::default();
    zset.expect(12, 8, LIMITS);
    assert_eq!(zset.encoding(), "listpack");
    zset.expect(1, 9, LIMITS);
    assert_eq!(zset.encoding(), "skiplist");
}

#[test]
fn a_negative_zero_lasts_only_in_a_tree() {
    for (limits, text) in [
        (LIMITS, "0"),
        (
            Limits {
                members_max: 0,
                ..LIMITS
            },
            "-0",
        ),
    ] {
        let mut zset = ZSet::default();
        zset.push(b"m", -0.0, limits);
        let score = zset.score(b"m").expect("a member");
        assert_eq!(
            crate::base::num::FloatText::new(score).as_bytes(),
            text.as_bytes()
        );
    }
}
