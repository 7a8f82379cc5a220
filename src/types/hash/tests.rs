//! A map beside the hash: whatever is done to both, they must agree.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    fields: 8,
    bytes: 16,
};
const KEPT_PACKED: Limits = Limits {
    fields: usize::MAX,
    bytes: usize::MAX,
};

#[derive(Clone, Debug)]
enum Op {
    Set(u8, usize, When),
    SetDeadline(u8, Option<u64>),
    Remove(u8),
    /// Lets some time pass.
    Wait(u64),
    /// Removes at most so many that are over.
    Expire(usize),
}

#[derive(Clone, Copy, Debug)]
enum When {
    Never,
    Keep,
    In(u64),
}

fn ops(fields: u8) -> impl Strategy<Value = Vec<Op>> {
    let length = prop_oneof![8 => 0usize..16, 1 => 16usize..200];
    let when = prop_oneof![
        6 => Just(When::Never),
        2 => Just(When::Keep),
        1 => (0u64..50).prop_map(When::In),
    ];
    let op = prop_oneof![
        8 => (0..fields, length, when).prop_map(|(f, n, w)| Op::Set(f, n, w)),
        1 => (0..fields, prop::option::of(0u64..50)).prop_map(|(f, d)| Op::SetDeadline(f, d)),
        4 => (0..fields).prop_map(Op::Remove),
        2 => (0u64..20).prop_map(Op::Wait),
        1 => (0usize..4).prop_map(Op::Expire),
    ];
    prop::collection::vec(op, 1..120)
}

/// Some are integers, which a listpack stores as such.
fn name(n: u8) -> Vec<u8> {
    match n % 3 {
        0 => n.to_string().into_bytes(),
        _ => format!("field:{n}").into_bytes(),
    }
}

struct Pair {
    hash: Hash,
    model: BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>,
    now_ms: u64,
}

impl Pair {
    fn new() -> Pair {
        Pair {
            hash: Hash::new(),
            model: BTreeMap::new(),
            now_ms: 1_000,
        }
    }

    fn is_live(&self, name: &[u8]) -> bool {
        let field = self.model.get(name);
        field.is_some_and(|(_, deadline)| deadline.is_none_or(|ms| ms > self.now_ms))
    }

    fn apply(&mut self, op: &Op, limits: Limits) {
        match *op {
            Op::Set(n, length, when) => {
                let (name, value) = (name(n), vec![b'0' + n % 10; length]);
                let live = self.is_live(&name);
                let before = self.model.get(&name).map(|(_, deadline)| *deadline);
                let (expiry, after) = match when {
                    When::Never => (Expiry::Never, None),
                    When::Keep if live => (Expiry::Keep, before.flatten()),
                    When::Keep => (Expiry::Keep, None),
                    When::In(ms) => (Expiry::At(self.now_ms + ms), Some(self.now_ms + ms)),
                };
                let expected = match before {
                    None => SetResult::Added,
                    Some(_) if live => SetResult::Replaced,
                    Some(_) => SetResult::Revived,
                };
                let result = self.hash.set(&name, &value, expiry, self.now_ms, limits);
                assert_eq!(result, expected);
                self.model.insert(name, (value, after));
            }
            Op::SetDeadline(n, ms) => {
                let (name, deadline) = (name(n), ms.map(|ms| self.now_ms + ms));
                let field = self.model.get_mut(&name).filter(|f| f.1 != deadline);
                let is_changed = self.hash.set_deadline(&name, deadline);
                assert_eq!(is_changed, field.is_some());
                if let Some(field) = field {
                    field.1 = deadline;
                }
            }
            Op::Remove(n) => {
                let name = name(n);
                let live = self.is_live(&name);
                assert_eq!(self.hash.remove(&name, self.now_ms), live);
                if live {
                    self.model.remove(&name);
                }
            }
            Op::Wait(ms) => self.now_ms += ms,
            Op::Expire(most) => {
                let mut gone = Vec::new();
                self.hash
                    .expire(self.now_ms, most, |name| gone.push(name.to_vec()));
                let due = self.model.iter().filter(|(name, _)| !self.is_live(name));
                assert_eq!(gone.len(), due.count().min(most));
                // The oldest deadlines first.
                let removed: Vec<_> = gone.iter().map(|name| self.model[name].1).collect();
                assert!(removed.is_sorted());
                for name in &gone {
                    assert!(!self.is_live(name));
                    self.model.remove(name);
                }
                let next = self
                    .model
                    .values()
                    .filter_map(|(_, deadline)| *deadline)
                    .min();
                assert!(
                    removed
                        .last()
                        .is_none_or(|ms| next.is_none_or(|next| *ms <= Some(next)))
                );
            }
        }
    }

    fn check(&self) {
        let (hash, now_ms) = (&self.hash, self.now_ms);
        assert_eq!(hash.len(), self.model.len());
        let deadlines = self.model.values().filter_map(|(_, deadline)| *deadline);
        assert_eq!(hash.due_ms(), deadlines.min());
        let live: BTreeMap<_, _> = (self.model.iter())
            .filter(|(name, _)| self.is_live(name))
            .map(|(name, (value, _))| (name.clone(), value.clone()))
            .collect();
        assert_eq!(hash.live(now_ms), live.len());
        let mut shown = BTreeMap::new();
        hash.each(now_ms, |name, value| {
            assert!(shown.insert(name.to_vec(), value.to_vec()).is_none());
        });
        assert_eq!(shown, live);
        for n in 0..u8::MAX {
            let name = name(n);
            let value = hash.get(&name, now_ms).map(|value| value.to_vec());
            assert_eq!(value.as_ref(), live.get(&name));
            let deadline = live.get(&name).map(|_| self.model[&name].1);
            assert_eq!(hash.deadline(&name, now_ms), deadline);
        }
        let mut walked = BTreeSet::new();
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            cursor = hash.scan(at, now_ms, |name, _| {
                walked.insert(name.to_vec());
            });
        }
        assert!(walked.iter().eq(live.keys()));
        match hash.random(now_ms) {
            Some((name, value)) => assert_eq!(live.get(&name.to_vec()), Some(&value.to_vec())),
            None => assert!(live.is_empty()),
        }
        if let Hash::Table(table) = hash {
            let all = table
                .iter()
                .map(|f| (f.name.to_vec(), (f.value.to_vec(), f.deadline)));
            assert_eq!(all.collect::<BTreeMap<_, _>>(), self.model);
        }
    }
}

proptest! {
    #[test]
    fn a_hash_is_a_map_whose_fields_may_go_by_themselves(ops in ops(40)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.apply(op, LIMITS);
        }
        pair.check();
        let copy = Pair { hash: pair.hash.clone(), model: pair.model.clone(), ..pair };
        pair.apply(&Op::Set(1, 1, When::Never), LIMITS);
        pair.check();
        copy.check();
        pair.apply(&Op::Wait(1_000), LIMITS);
        pair.apply(&Op::Expire(usize::MAX), LIMITS);
        pair.check();
        prop_assert_eq!(pair.hash.due_ms(), None);
    }

    #[test]
    fn a_hash_of_any_size_may_stay_packed(ops in ops(200)) {
        let mut pair = Pair::new();
        for op in ops {
            let without_deadlines = match op {
                Op::Set(n, length, _) => Op::Set(n, length, When::Keep),
                Op::SetDeadline(n, _) => Op::SetDeadline(n, None),
                op => op,
            };
            pair.apply(&without_deadlines, KEPT_PACKED);
        }
        prop_assert_eq!(pair.hash.encoding(), "listpack");
        pair.check();
        let Hash::Packed(pack) = &pair.hash else { unreachable!() };
        let again = Hash::from_packed(pack.clone(), LIMITS);
        Pair { hash: again, ..pair }.check();
    }
}

fn filled(fields: usize, limits: Limits) -> Hash {
    let mut hash = Hash::new();
    for n in 0..fields {
        let name = format!("field:{n}");
        hash.set(name.as_bytes(), b"value", Expiry::Never, 0, limits);
    }
    hash
}

#[test]
fn a_hash_is_packed_up_to_its_limits_and_not_beyond() {
    assert_eq!(filled(8, LIMITS).encoding(), "listpack");
    assert_eq!(filled(9, LIMITS).encoding(), "hashtable");
    for (field, value) in [(16, 16), (17, 1), (1, 17)] {
        let mut hash = filled(1, LIMITS);
        hash.set(
            &vec![b'f'; field],
            &vec![b'v'; value],
            Expiry::Never,
            0,
            LIMITS,
        );
        let is_packed = field <= 16 && value <= 16;
        assert_eq!(
            matches!(hash, Hash::Packed(_)),
            is_packed,
            "{field} {value}"
        );
    }
    // It does not come back.
    let mut hash = filled(9, LIMITS);
    for n in 0..9 {
        assert!(hash.remove(format!("field:{n}").as_bytes(), 0));
    }
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 0));
}

#[test]
fn what_is_announced_is_made_room_for_at_once() {
    let words: Vec<&[u8]> = vec![b"a"; 16];
    let mut hash = Hash::new();
    hash.prepare(&words, LIMITS);
    assert_eq!(hash.encoding(), "listpack");
    let words: Vec<&[u8]> = vec![b"a"; 18];
    hash.prepare(&words, LIMITS);
    assert_eq!(hash.encoding(), "hashtable");
    let mut hash = Hash::new();
    hash.prepare(&[b"a", &[b'b'; 17]], LIMITS);
    assert_eq!(hash.encoding(), "hashtable");
}

#[test]
fn only_a_deadline_makes_a_table_of_a_small_hash() {
    let mut hash = filled(3, LIMITS);
    assert!(!hash.set_deadline(b"none", Some(5)));
    assert!(!hash.set_deadline(b"field:1", None));
    assert_eq!(hash.encoding(), "listpack");
    assert!(hash.set_deadline(b"field:1", Some(5)));
    assert_eq!((hash.encoding(), hash.due_ms()), ("hashtable", Some(5)));
    let mut hash = filled(3, LIMITS);
    hash.set(b"field:1", b"new", Expiry::At(7), 0, LIMITS);
    assert_eq!((hash.encoding(), hash.due_ms()), ("hashtable", Some(7)));
}

#[test]
fn a_random_field_is_fair_also_where_nearly_all_are_over() {
    clock::reseed(3);
    for over in [0, 50, 2_000] {
        let mut hash = filled(10, LIMITS);
        for n in 0..over {
            let name = format!("over:{n}");
            hash.set(name.as_bytes(), b"", Expiry::At(1), 0, LIMITS);
        }
        let mut drawn: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..4_000 {
            let (name, _) = hash.random(1).expect("ten are not over");
            *drawn.entry(name.to_vec()).or_default() += 1;
        }
        assert_eq!(drawn.len(), 10);
        // Nine degrees of freedom: one in a million lies beyond 45.
        let chi: f64 = drawn
            .values()
            .map(|&n| (f64::from(n) - 400.0).powi(2) / 400.0)
            .sum();
        assert!(chi < 45.0, "{over}: {chi}");
    }
    assert!(Hash::new().random(0).is_none());
}

#[test]
fn a_field_takes_no_more_than_its_bytes_and_a_slot() {
    let mut hash = Hash::new();
    for n in 0..20_000u32 {
        let (field, value) = (format!("{n:016}"), format!("{n:x>16}"));
        hash.set(field.as_bytes(), value.as_bytes(), Expiry::Never, 0, LIMITS);
    }
    let each = hash.heap_bytes() as f64 / 20_000.0;
    assert!((41.0..45.0).contains(&each), "{each} bytes");
}
