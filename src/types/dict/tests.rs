//! A map beside the dict: whatever is done to both, they must agree. The leaves
//! are tiny here, so that they grow, split and merge all the time.

#![allow(unsafe_code)]

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// A value of any length, and a number that may be there: as a hash's field has.
#[derive(Clone, Copy, Debug)]
struct Text;

impl Payload for Text {
    type New<'a> = (&'a [u8], Option<u64>);
    type Get<'a> = (&'a [u8], Option<u64>);
    const LENGTH_BITS: u32 = 6;

    fn bytes((text, number): Self::New<'_>) -> usize {
        text.len() + if number.is_some() { 8 } else { 0 }
    }

    fn is_marked((_, number): Self::New<'_>) -> bool {
        number.is_some()
    }

    fn write((text, number): Self::New<'_>, out: &mut [u8]) {
        out[..text.len()].copy_from_slice(text);
        if let Some(number) = number {
            out[text.len()..].copy_from_slice(&number.to_le_bytes());
        }
    }

    fn read(bytes: &[u8], is_marked: bool) -> Self::Get<'_> {
        match bytes.split_last_chunk() {
            Some((text, number)) if is_marked => (text, Some(u64::from_le_bytes(*number))),
            _ => (bytes, None),
        }
    }
}

/// A number: as a sorted set's member has.
#[derive(Clone, Copy, Debug)]
struct Score;

impl Payload for Score {
    type New<'a> = f64;
    type Get<'a> = f64;
    const LENGTH_BITS: u32 = 0;
    const FIXED_BYTES: usize = 8;

    fn bytes(_: f64) -> usize {
        8
    }

    fn write(new: f64, out: &mut [u8]) {
        out.copy_from_slice(&new.to_le_bytes());
    }

    fn read(bytes: &[u8], _: bool) -> f64 {
        bytes.first_chunk().map_or(0.0, |b| f64::from_le_bytes(*b))
    }
}

const KEYS: u16 = 700;

#[derive(Clone, Debug)]
enum Op {
    /// Puts some keys in a row, whether they are there or not.
    Put(u16, u16, usize, Option<u64>),
    /// Removes some keys in a row.
    Remove(u16, u16),
    /// Walks on for some lines.
    Walk(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let length = prop_oneof![4 => 0usize..80, 1 => 100usize..40_000];
    let op = prop_oneof![
        4 => (0..KEYS, 1u16..60, length, any::<Option<u64>>())
            .prop_map(|(from, many, length, n)| Op::Put(from, many, length, n)),
        3 => (0..KEYS, 1u16..90).prop_map(|(from, many)| Op::Remove(from, many)),
        2 => (0u8..40).prop_map(Op::Walk),
    ];
    prop::collection::vec(op, 1..60)
}

/// Keys of several lengths, among them none, and more than a word tells.
fn key(n: u16) -> Vec<u8> {
    match n {
        0 => Vec::new(),
        _ if n.is_multiple_of(64) => vec![n as u8 / 64; 5_000],
        _ => format!("{n:0width$}", width = usize::from(n % 40)).into_bytes(),
    }
}

fn keys(from: u16, many: u16) -> impl Iterator<Item = Vec<u8>> {
    (from..from + many).map(|n| key(n % KEYS))
}

#[derive(Default)]
struct Pair {
    dict: Dict<Text>,
    model: BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>,
    walk: Option<Walk>,
    walks: usize,
}

/// A walk in progress.
#[derive(Default)]
struct Walk {
    cursor: u64,
    /// Who was there when it began, and still is.
    owed: HashSet<Vec<u8>>,
    met: HashSet<Vec<u8>>,
}

impl Pair {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put(from, many, length, number) => {
                for key in keys(*from, *many) {
                    let text = vec![*from as u8; *length];
                    let new = (&text[..], *number);
                    match self.dict.insert_if_absent(&key, new) {
                        Err(place) => self.dict.replace(place, new),
                        Ok(place) => {
                            assert_eq!(self.dict.element(place).key(), key);
                            assert_eq!(Some(place), self.dict.find(&key));
                        }
                    }
                    self.model.insert(key, (text, *number));
                }
            }
            Op::Remove(from, many) => {
                for key in keys(*from, *many) {
                    assert_eq!(self.dict.take(&key), self.model.remove(&key).is_some());
                    if let Some(walk) = &mut self.walk {
                        walk.owed.remove(&key);
                    }
                }
            }
            Op::Walk(lines) => (0..*lines).for_each(|_| self.step()),
        }
    }

    fn step(&mut self) {
        let walk = self.walk.get_or_insert_with(|| Walk {
            owed: self.model.keys().cloned().collect(),
            ..Walk::default()
        });
        let next = self.dict.scan(walk.cursor, |element| {
            walk.met.insert(element.key().to_vec());
        });
        match next {
            Some(cursor) => {
                assert!(cursor < 1 << Cursor::BITS && cursor != walk.cursor);
                walk.cursor = cursor;
            }
            None => {
                assert!(walk.owed.is_subset(&walk.met));
                self.walks += 1;
                self.walk = None;
            }
        }
    }

    fn check(&self) {
        let held: BTreeMap<_, _> = (self.dict.iter())
            .map(|e| (e.key().to_vec(), (e.payload().0.to_vec(), e.payload().1)))
            .collect();
        assert_eq!(held, self.model);
        assert_eq!(self.dict.len(), self.model.len());
        let marked = self.dict.iter().filter(|e| e.is_marked()).count();
        assert_eq!(
            marked,
            self.model.values().filter(|v| v.1.is_some()).count()
        );
        let bytes: usize = self.dict.iter().map(|e| e.heap_bytes()).sum();
        assert_eq!(self.dict.element_bytes, bytes);
        assert_eq!(self.dict.frame, self.dict.root.frame());
        let by_rank = (0..self.dict.len()).filter_map(|rank| self.dict.at_rank(rank));
        assert!(
            by_rank
                .map(|place| self.dict.element(place).key())
                .eq(self.dict.iter().map(|e| e.key()))
        );
        assert_eq!(self.dict.at_rank(self.dict.len()), None);
        for n in 0..KEYS {
            let key = key(n);
            let value = self.model.get(&key).map(|(text, n)| (&text[..], *n));
            assert_eq!(self.dict.get(&key), value);
        }
    }
}

proptest! {
    #[test]
    fn a_dict_is_a_map_through_every_growth_and_merge(ops in ops()) {
        let mut pair = Pair::default();
        for op in &ops {
            pair.apply(op);
        }
        pair.check();
        let walks = pair.walks;
        (0..10_000).take_while(|_| { pair.step(); pair.walks == walks }).count();
        prop_assert!(pair.walks > walks, "a walk comes to its end");
        let copy = Pair { dict: pair.dict.clone(), model: pair.model.clone(), ..Pair::default() };
        pair.apply(&Op::Remove(0, KEYS));
        prop_assert!(pair.dict.is_empty());
        prop_assert_eq!(pair.dict.frame, Dict::<Text>::new().frame);
        copy.check();
    }

    #[test]
    fn elements_are_shown_by_their_ranks(
        count in 0usize..400,
        ranks in prop::collection::vec(any::<prop::sample::Index>(), 0..50),
    ) {
        let dict = numbers(count);
        let mut ranks: Vec<usize> = match count {
            0 => Vec::new(),
            _ => ranks.iter().map(|rank| rank.index(count)).collect(),
        };
        ranks.sort_unstable();
        let mut shown = Vec::new();
        dict.at_ranks(&ranks, |element| shown.push(element.key()));
        let wanted: Vec<&[u8]> = ranks
            .iter()
            .filter_map(|&rank| Some(dict.element(dict.at_rank(rank)?).key()))
            .collect();
        prop_assert_eq!(shown, wanted);
    }

    #[test]
    fn any_number_is_a_cursor_and_leads_to_an_end(start in any::<u64>(), count in 0usize..400) {
        let dict = numbers(count);
        let mut cursor = start;
        for _ in 0..2_000 {
            match dict.scan(cursor, |_| {}) {
                Some(next) => cursor = next,
                None => return Ok(()),
            }
        }
        prop_assert!(false, "{start} leads to no end");
    }
}

fn numbers(count: usize) -> Dict<()> {
    let mut dict = Dict::new();
    for n in 0..count {
        dict.insert(n.to_string().as_bytes(), ());
    }
    dict
}

#[test]
fn a_random_element_is_fair_also_where_a_deletion_left_the_leaves_uneven() {
    clock::reseed(11);
    let mut dict = numbers(20_000);
    // What a walk that deletes as it goes leaves behind: all in the last leaves,
    // and one that lies far from them.
    let keys: Vec<Vec<u8>> = dict.iter().map(|e| e.key().to_vec()).collect();
    for key in &keys[1..19_900] {
        assert!(dict.take(key));
    }
    let mut picked: HashMap<Vec<u8>, u64> = HashMap::new();
    let (picks, kinds) = (101_000, dict.len());
    for _ in 0..picks {
        let place = dict.random().expect("it is not empty");
        *picked
            .entry(dict.element(place).key().to_vec())
            .or_default() += 1;
    }
    assert_eq!((picked.len(), kinds), (101, 101));
    let expected = (picks / kinds) as f64;
    let chi: f64 = picked
        .values()
        .map(|&n| (n as f64 - expected).powi(2) / expected)
        .sum();
    // 100 degrees of freedom: one in a million lies beyond 181.
    assert!(chi < 181.0, "{chi}");
    assert!(Dict::<()>::new().random().is_none());
}

#[test]
fn a_score_is_replaced_in_place_and_its_handle_stays_good() {
    let mut dict = Dict::<Score>::new();
    let handles: Vec<_> = (0..2_000)
        .map(|n| {
            let place = dict.insert(format!("member:{n}").as_bytes(), f64::from(n));
            dict.element(place).handle()
        })
        .collect();
    for n in 0..2_000 {
        let place = dict
            .find(format!("member:{n}").as_bytes())
            .expect("it is there");
        dict.replace(place, f64::from(n) / 2.0);
    }
    for (n, handle) in handles.into_iter().enumerate() {
        // SAFETY: nothing was removed, and scores have all one length.
        let element = unsafe { handle.element() };
        assert_eq!(element.key(), format!("member:{n}").as_bytes());
        assert_eq!(element.payload(), n as f64 / 2.0);
    }
}

#[test]
fn an_element_takes_its_bytes_and_a_slot() {
    let mut dict = Dict::<()>::new();
    dict.insert(&[b'x'; 16], ());
    assert_eq!(dict.heap_bytes(), 16 + 64);
    let mut dict = Dict::<Text>::new();
    dict.insert(&[b'x'; 16], (&[b'y'; 16], None));
    assert_eq!(dict.heap_bytes(), 32 + 64);
}
