//! A `HashMap` beside the table: whatever is done to both, they must agree. The
//! segments are tiny here, so that they grow, split and merge all the time.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::base::clock;
use crate::store::entry::{BLOB_MIN, NewValue};
use crate::store::garbage::Garbage;
use crate::types::hash::{Expiry, Hash, Limits};

const KEYS: u16 = 700;
const START_MS: u64 = 1_800_000_000_000;

#[derive(Clone, Debug)]
enum Op {
    /// Puts some keys in a row, whether they are there or not.
    Put(u16, u16, Content, Option<i64>),
    /// Removes some keys in a row.
    Remove(u16, u16),
    /// Gives some keys in a row another deadline.
    Deadline(u16, u16, Option<i64>),
    /// Lets time pass, and removes what is over, a few segments at a time.
    Pass(u64, usize),
    /// Sets the clock, also back.
    Jump(i64),
    /// Walks on for some lines.
    Walk(u8),
}

#[derive(Clone, Debug)]
enum Content {
    Int(i64),
    Str(usize),
    Blob(usize),
}

#[derive(Clone, PartialEq, Debug)]
struct Row {
    value: Vec<u8>,
    deadline: Option<u64>,
    access: u32,
    raw: bool,
}

struct Pair {
    table: Table,
    model: HashMap<Vec<u8>, Row>,
    now_ms: u64,
    /// When a deadline was last set, perhaps one in the past.
    last_set_ms: u64,
    walk: Option<Walk>,
    walks: usize,
    /// Tells one put from the next.
    count: u32,
}

/// A walk in progress.
struct Walk {
    cursor: u64,
    /// Who was there when it began, and still is.
    owed: HashSet<Vec<u8>>,
    met: HashSet<Vec<u8>>,
}

/// What grows as a walk goes on.
fn order(cursor: u64) -> (u32, u32) {
    let cursor = Cursor::from_bits(cursor);
    (cursor.prefix, cursor.frag)
}

/// Keys of several lengths, some of them beyond 255 bytes.
fn key(n: u16) -> Vec<u8> {
    let mut key = format!("key:{n}").into_bytes();
    if n.is_multiple_of(16) {
        key.resize(300, b'.');
    }
    key
}

fn keys(from: u16, many: u16) -> impl Iterator<Item = Vec<u8>> {
    (from..from + many).map(|n| key(n % KEYS))
}

impl Pair {
    fn new(shard_bits: u8) -> Pair {
        Pair {
            table: Table::new(shard_bits),
            model: HashMap::new(),
            now_ms: START_MS,
            last_set_ms: 0,
            walk: None,
            walks: 0,
            count: 0,
        }
    }

    fn find(&self, key: &[u8]) -> Option<Place> {
        self.table.find(hash::digest(key), key)
    }

    fn after(&mut self, ms: Option<i64>) -> Option<u64> {
        self.last_set_ms = self.now_ms;
        ms.map(|ms| self.now_ms.saturating_add_signed(ms))
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put(from, many, content, deadline) => {
                for key in keys(*from, *many) {
                    self.put(&key, content, *deadline);
                }
            }
            Op::Remove(from, many) => {
                for key in keys(*from, *many) {
                    let place = self.find(&key);
                    assert_eq!(place.is_some(), self.model.remove(&key).is_some());
                    if let Some(place) = place {
                        self.table.remove(place);
                    }
                    self.forget(&key);
                }
            }
            Op::Deadline(from, many, ms) => {
                let deadline = self.after(*ms);
                for key in keys(*from, *many) {
                    if let Some(place) = self.find(&key) {
                        self.table.set_deadline(place, deadline, self.now_ms);
                        self.model.get_mut(&key).expect("it is there").deadline = deadline;
                    }
                }
            }
            Op::Pass(ms, most) => {
                self.now_ms += ms;
                self.expire(*most, false);
            }
            Op::Jump(ms) => {
                let now = self.now_ms.saturating_add_signed(*ms);
                self.now_ms = now.max(START_MS / 2);
                self.expire(usize::MAX, true);
            }
            Op::Walk(lines) => (0..*lines).for_each(|_| self.step()),
        }
    }

    fn put(&mut self, key: &[u8], content: &Content, deadline: Option<i64>) {
        self.count += 1;
        let mut row = Row {
            value: Vec::new(),
            deadline: self.after(deadline),
            access: self.count,
            raw: self.count.is_multiple_of(5),
        };
        let fill = self.count as u8;
        let value = match content {
            Content::Int(n) => {
                row.value = n.to_string().into_bytes();
                NewValue::Int(*n)
            }
            Content::Str(len) => {
                row.value = vec![fill; *len];
                NewValue::Str(&row.value)
            }
            Content::Blob(len) => {
                row.value = vec![fill; *len];
                NewValue::Blob(row.value.clone().into())
            }
        };
        let draft = Draft {
            deadline: row.deadline,
            raw: row.raw,
            access: row.access,
            ..Draft::new(key, value)
        };
        match self.find(key) {
            Some(place) => drop(self.table.replace(place, draft, self.now_ms)),
            None => {
                let place = self.table.insert(hash::digest(key), draft, self.now_ms);
                assert_eq!(self.table.entry(place).key(), key);
            }
        }
        self.model.insert(key.to_vec(), row);
    }

    fn expire(&mut self, most: usize, all: bool) {
        let now = self.now_ms;
        for round in 0.. {
            assert!(round < 1000, "the sweep comes to no end");
            let mut gone = Vec::new();
            let more = self
                .table
                .expire(now, most, all, &mut Garbage::default(), |entry, due| {
                    assert_eq!(due, Due::Entry);
                    gone.push(entry.key().to_vec());
                });
            for key in gone {
                let row = self.model.remove(&key).expect("only what is there goes");
                assert!(row.deadline.is_some_and(|ms| ms <= now), "too early");
                self.forget(&key);
            }
            if !more {
                break;
            }
        }
        for row in self.model.values() {
            let over = row.deadline.is_some_and(|ms| ms <= now);
            let late = over && row.deadline.max(Some(self.last_set_ms)) < Some(now - TICK_MS);
            assert!(!late, "{:?} at {now}", row.deadline);
        }
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(walk) = &mut self.walk {
            walk.owed.remove(key);
        }
    }

    /// Walks on by a line; begins where no walk is under way.
    fn step(&mut self) {
        let walk = self.walk.get_or_insert_with(|| Walk {
            cursor: 0,
            owed: self.model.keys().cloned().collect(),
            met: HashSet::new(),
        });
        let next = self.table.scan(walk.cursor, |entry| {
            assert!(self.model.contains_key(entry.key()));
            walk.met.insert(entry.key().to_vec());
        });
        match next {
            Some(cursor) => {
                assert!(cursor < 1 << CURSOR_BITS);
                assert!(order(cursor) > order(walk.cursor), "a walk turned back");
                walk.cursor = cursor;
            }
            None => {
                let missed: Vec<_> = walk.owed.difference(&walk.met).collect();
                assert!(missed.is_empty(), "missed {missed:?}");
                self.walk = None;
                self.walks += 1;
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.table.len(), self.model.len());
        let volatile = self.model.values().filter(|r| r.deadline.is_some());
        assert_eq!(self.table.volatile(), volatile.count());
        for key in keys(0, KEYS) {
            let found = self.find(&key).map(|place| self.table.entry(place));
            let found = found.map(|entry| Row {
                value: entry.value().to_vec(),
                deadline: entry.deadline(),
                access: entry.access(),
                raw: entry.is_raw(),
            });
            assert_eq!(found.as_ref(), self.model.get(&key));
        }
        check_structure(&self.table);
    }
}

/// What must be true of every table at any time.
fn check_structure(table: &Table) {
    assert_eq!(table.directory.len(), 1 << table.depth);
    let (mut count, mut deepest, mut bytes, mut outside) = (0, 0, 0, 0);
    for (first, segment) in table.segments() {
        let (_, width) = table.group(first);
        for other in &table.directory[first..first + width] {
            assert_eq!(other.lines, segment.lines);
            assert_eq!((other.size, other.depth), (segment.size, segment.depth));
        }
        deepest += usize::from(width == 1);
        let lines = segment.lines();
        let mut spilled = vec![0; lines.len()];
        let mut here = 0;
        for (at, line) in lines.iter().enumerate() {
            for slot in line.tags.taken() {
                let entry = table.read(line.slots[slot]);
                let digest = hash::digest(entry.key());
                assert_eq!(line.frag(slot), frag(digest));
                assert!((first..first + width).contains(&table.index(digest)));
                let set = timer(line.slots[slot]).is_set();
                assert_eq!(set, entry.deadline().is_some());
                assert!(!set || segment.due != NEVER_DUE, "nobody would look");
                let mut passed = home(frag(digest), lines.len());
                while passed != at {
                    spilled[passed] += 1;
                    passed = (passed + 1) % lines.len();
                }
                here += 1;
                let own = entry.own_bytes();
                bytes += if own <= entry::BLOCK_MAX { own } else { 0 };
                outside += usize::from(entry.is_outside());
            }
        }
        for (line, spilled) in lines.iter().zip(spilled) {
            let noted = usize::from(line.tags.passed());
            assert!(noted == spilled || (noted == 255 && spilled > 0));
        }
        assert_eq!(usize::from(segment.count), here);
        count += here;
    }
    assert_eq!((table.count, table.deepest), (count, deepest));
    assert_eq!((table.slab.used_bytes(), table.outside), (bytes, outside));
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        4 => any::<i64>().prop_map(Content::Int),
        8 => (0usize..100).prop_map(Content::Str),
        2 => (240usize..1_100).prop_map(Content::Str),
        1 => (BLOB_MIN - 2..BLOB_MIN + 2).prop_map(Content::Str),
        1 => (0usize..40).prop_map(Content::Blob),
    ]
}

fn deadline() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        3 => Just(None),
        1 => (-5_000i64..0).prop_map(Some),
        3 => (0i64..60_000).prop_map(Some),
        2 => (0i64..100_000_000).prop_map(Some),
        1 => (0i64..2_000_000_000).prop_map(Some),
        1 => Just(Some(1 << 50)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let few = || (0..KEYS, 1u16..4);
    let many = || (0..KEYS, 1u16..300);
    prop_oneof![
        4 => (few(), content(), deadline()).prop_map(|((f, n), c, d)| Op::Put(f, n, c, d)),
        3 => (many(), content(), deadline()).prop_map(|((f, n), c, d)| Op::Put(f, n, c, d)),
        3 => few().prop_map(|(f, n)| Op::Remove(f, n)),
        3 => many().prop_map(|(f, n)| Op::Remove(f, n)),
        2 => (few(), deadline()).prop_map(|((f, n), d)| Op::Deadline(f, n, d)),
        1 => (many(), deadline()).prop_map(|((f, n), d)| Op::Deadline(f, n, d)),
        4 => (0u64..4_000, 1usize..10).prop_map(|(ms, n)| Op::Pass(ms, n)),
        1 => (-10_000_000i64..100_000_000).prop_map(Op::Jump),
        8 => (1u8..40).prop_map(Op::Walk),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_table_holds_what_a_map_beside_it_holds(
        shard_bits in 0u8..=10,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut pair = Pair::new(shard_bits);
        for op in &ops {
            pair.apply(op);
            pair.check();
        }
        // A walk that is under way, and one with nothing changing.
        let ends = pair.walks + 2;
        for _ in 0..100_000 {
            if pair.walks == ends {
                break;
            }
            pair.step();
        }
        prop_assert_eq!(pair.walks, ends, "a walk comes to no end");
        pair.apply(&Op::Remove(0, KEYS));
        pair.check();
        prop_assert_eq!(pair.table.directory.len(), 1, "an empty table is small again");
    }

    #[test]
    fn any_number_is_a_cursor(cursor: u64, many in 0u16..KEYS) {
        let mut pair = Pair::new(4);
        pair.apply(&Op::Put(0, many, Content::Int(1), None));
        let mut cursor = cursor;
        for _ in 0..100_000 {
            match pair.table.scan(cursor, |_| ()) {
                Some(next) => cursor = next,
                None => return Ok(()),
            }
        }
        prop_assert!(false, "a walk comes to no end");
    }
}

#[cfg(debug_assertions)]
#[test]
#[should_panic = "a place was used after its table gained or lost an entry"]
fn a_place_is_no_good_once_another_key_went() {
    let mut table = Table::new(0);
    let places = [b"a", b"b"].map(|key| {
        let draft = Draft::new(key, NewValue::Int(1));
        table.insert(hash::digest(key), draft, START_MS)
    });
    table.remove(places[1]);
    table.entry(places[0]);
}

#[test]
fn a_table_grows_through_keys_that_reach_a_segment_by_any_reference() {
    let mut pair = Pair::new(0);
    for n in 0..20_000u32 {
        let key = n.to_le_bytes();
        let draft = Draft::new(&key, NewValue::Int(1));
        pair.table.insert(hash::digest(&key), draft, START_MS);
    }
    check_structure(&pair.table);
    assert_eq!(pair.table.len(), 20_000);
    let full = 20_000.0 / pair.table.slots() as f64;
    assert!(full > 0.7, "{full} of the slots are taken");
}

#[test]
fn a_random_entry_is_any_with_the_same_probability() {
    const DRAWS: u32 = 400;
    clock::reseed(3);
    let mut pair = Pair::new(0);
    let mut keys = 0;
    // Segments of several depths, whatever the digests of this process are.
    let depths =
        |pair: &Pair| -> HashSet<u8> { pair.table.segments().map(|(_, s)| s.depth).collect() };
    while keys < 300 || depths(&pair).len() < 2 {
        pair.apply(&Op::Put(keys, 1, Content::Int(1), None));
        keys += 1;
    }
    let mut drawn: HashMap<Vec<u8>, u32> = HashMap::new();
    for _ in 0..u32::from(keys) * DRAWS {
        let entry = pair.table.random().expect("there are some");
        *drawn.entry(entry.key().to_vec()).or_default() += 1;
    }
    assert_eq!(drawn.len(), usize::from(keys));
    // Six standard deviations.
    let range = DRAWS - 120..DRAWS + 120;
    let odd: Vec<_> = drawn.values().filter(|n| !range.contains(n)).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn a_sample_shows_nobody_twice() {
    clock::reseed(5);
    let mut pair = Pair::new(0);
    for left in [300, 40, 3] {
        pair.apply(&Op::Put(0, 300, Content::Int(1), None));
        pair.apply(&Op::Remove(left, 300 - left));
        for most in [1, 5, 1_000] {
            let mut places = Vec::new();
            pair.table.sample(most, false, &mut places);
            let keys: HashSet<_> = places.iter().map(|&p| pair.table.entry(p).key()).collect();
            assert_eq!(keys.len(), places.len());
            assert_eq!(places.len(), most.min(left.into()));
            places.clear();
            pair.table.sample(most, true, &mut places);
            assert!(places.is_empty(), "none has a deadline");
        }
    }
}

#[test]
fn keys_of_every_length_are_told_apart_wherever_they_differ() {
    for n in 0..80 {
        let key: Vec<u8> = (0..n).map(|i| i as u8).collect();
        assert!(is_same(&key, &key.clone()));
        assert!(!is_same(&key, &[&key[..], b"x"].concat()));
        for at in 0..n {
            let mut other = key.clone();
            other[at] ^= 0x80;
            assert!(!is_same(&key, &other), "{n} {at}");
        }
    }
}

/// What is done to hashes whose fields have deadlines.
#[derive(Clone, Debug)]
enum FieldOp {
    /// Puts a hash with a field that goes after so long, or one without.
    Put(u8, Option<u64>),
    /// Gives the field another deadline, or none.
    Change(u8, Option<u64>),
    /// Gives the key another deadline, or none.
    Deadline(u8, Option<u64>),
    Remove(u8),
    /// Lets time pass, and removes what is over.
    Pass(u64),
}

fn field_ops() -> impl Strategy<Value = Vec<FieldOp>> {
    let ahead = || prop::option::weighted(0.8, prop_oneof![0u64..300, 0u64..40_000]);
    let op = prop_oneof![
        4 => (any::<u8>(), ahead()).prop_map(|(n, ms)| FieldOp::Put(n, ms)),
        3 => (any::<u8>(), ahead()).prop_map(|(n, ms)| FieldOp::Change(n, ms)),
        2 => (any::<u8>(), ahead()).prop_map(|(n, ms)| FieldOp::Deadline(n, ms)),
        1 => any::<u8>().prop_map(FieldOp::Remove),
        3 => prop_oneof![0u64..200, 0u64..4_000].prop_map(FieldOp::Pass),
    ];
    prop::collection::vec(op, 1..150)
}

fn field(due_ms: Option<u64>) -> Object {
    let limits = Limits {
        fields: 8,
        bytes: 8,
    };
    let mut hash = Hash::new();
    hash.set(b"stays", b"v", Expiry::Never, 0, limits);
    hash.set(b"goes", b"v", Expiry::Never, 0, limits);
    hash.set_deadline(b"goes", due_ms);
    hash.into()
}

proptest! {
    #[test]
    fn who_has_fields_that_are_over_is_shown_within_a_tick(ops in field_ops()) {
        let mut table = Table::new(0);
        let mut now_ms = START_MS;
        // The key's own deadline, and its field's.
        let mut model: HashMap<u8, (Option<u64>, Option<u64>)> = HashMap::new();
        for op in ops {
            let find = |table: &Table, n: u8| {
                let key = key(n.into());
                table.find(hash::digest(&key), &key)
            };
            match op {
                FieldOp::Put(n, ms) => {
                    let due_ms = ms.map(|ms| now_ms + ms);
                    let key = key(n.into());
                    let draft = Draft::new(&key, NewValue::Object(field(due_ms)));
                    match find(&table, n) {
                        Some(place) => drop(table.replace(place, draft, now_ms)),
                        None => drop(table.insert(hash::digest(&key), draft, now_ms)),
                    }
                    model.insert(n, (None, due_ms));
                }
                FieldOp::Change(n, ms) => {
                    if let Some(place) = find(&table, n) {
                        let due_ms = ms.map(|ms| now_ms + ms);
                        table.change_object(place, now_ms, |object| *object = field(due_ms));
                        model.get_mut(&n).expect("it is there").1 = due_ms;
                    }
                }
                FieldOp::Deadline(n, ms) => {
                    if let Some(place) = find(&table, n) {
                        let deadline = ms.map(|ms| now_ms + ms);
                        table.set_deadline(place, deadline, now_ms);
                        model.get_mut(&n).expect("it is there").0 = deadline;
                    }
                }
                FieldOp::Remove(n) => {
                    if let Some(place) = find(&table, n) {
                        table.remove(place);
                        model.remove(&n);
                    }
                }
                FieldOp::Pass(ms) => {
                    now_ms += ms;
                    let mut partly = Vec::new();
                    let garbage = &mut Garbage::default();
                    table.expire(now_ms, usize::MAX, false, garbage, |entry, due| {
                        let is_over = entry.deadline().is_some_and(|ms| ms <= now_ms);
                        assert_eq!(due == Due::Entry, is_over);
                        if due == Due::Items {
                            partly.push(entry.key().to_vec());
                        }
                    });
                    model.retain(|_, row| row.0.is_none_or(|ms| ms > now_ms || now_ms - ms < TICK_MS));
                    model.retain(|&n, _| find(&table, n).is_some());
                    for key in partly {
                        let place = table.find(hash::digest(&key), &key).expect("it stays");
                        let count = table.change_object(place, now_ms, |object| {
                            let mut count = 0;
                            object.expire(now_ms, 10, |_| count += 1);
                            count
                        });
                        assert_eq!(count, Some(1));
                    }
                    for (n, row) in &mut model {
                        let place = find(&table, *n).expect("it stays");
                        let due_ms = table.entry(place).items_due_ms();
                        if due_ms.is_none() && row.1.is_some_and(|ms| ms <= now_ms) {
                            row.1 = None;
                        }
                        let is_late = row.1.is_some_and(|ms| ms + TICK_MS < now_ms);
                        prop_assert!(!is_late, "{row:?} at {now_ms}");
                    }
                }
            }
            prop_assert_eq!(table.len(), model.len());
            let rows = || model.values();
            let volatile = rows().filter(|row| row.0.is_some()).count();
            prop_assert_eq!(table.volatile(), volatile);
            let with_items = rows().filter(|row| row.1.is_some()).count();
            prop_assert_eq!(table.with_volatile_items(), with_items);
            let mut sampled = Vec::new();
            table.sample(1_000, true, &mut sampled);
            prop_assert_eq!(sampled.len(), volatile);
            for (n, row) in &model {
                let entry = table.entry(find(&table, *n).expect("it is there"));
                prop_assert_eq!((entry.deadline(), entry.items_due_ms()), *row);
            }
        }
    }
}
