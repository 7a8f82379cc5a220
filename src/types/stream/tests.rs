//! A stream against a model, and what Valkey's tests of its counters say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::types::listpack::Listpack;

const LIMITS: Limits = Limits {
    node_bytes: 200,
    node_entries: 5,
};

type Fields = Vec<Vec<u8>>;

fn words(fields: &str) -> Fields {
    fields.split(' ').map(|w| w.as_bytes().to_vec()).collect()
}

fn read(entry: Entry<'_>) -> (Id, Fields) {
    let fields = entry
        .iter()
        .flat_map(|(name, value)| [name.to_vec(), value.to_vec()]);
    (entry.id, fields.collect())
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64, u64, Fields),
    Delete(Vec<u64>),
    Trim(Keep, bool, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let word = prop_oneof![
        Just(b"f".to_vec()),
        Just(b"12345".to_vec()),
        Just(b"-3".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let pairs = prop::collection::vec((word.clone(), word), 1..4);
    let other = pairs.prop_map(|pairs| pairs.into_iter().flat_map(|(a, b)| [a, b]).collect());
    let fields = prop_oneof![
        Just(words("temperature 20 place here")),
        Just(words("temperature 2000000 place there")),
        other,
    ];
    let keep = prop_oneof![
        (0..30u64).prop_map(Keep::Length),
        (0..60u64).prop_map(|n| Keep::From(Id::new(n, 1))),
    ];
    prop_oneof![
        5 => (0..3u64, 0..3u64, fields).prop_map(|(ms, seq, f)| Step::Append(ms, seq, f)),
        2 => prop::collection::vec(0..60u64, 1..4).prop_map(Step::Delete),
        1 => (keep, any::<bool>(), 0..12u64).prop_map(|(k, a, l)| Step::Trim(k, a, l)),
    ]
}

proptest! {
    #[test]
    fn a_log_is_a_sorted_map_of_entries(
        steps in prop::collection::vec(step(), 0..150), a in 0..60u64, b in 0..60u64,
    ) {
        let mut log = Log::default();
        let mut model: BTreeMap<Id, Fields> = BTreeMap::new();
        let mut added = 0;
        for step in steps {
            match step {
                Step::Append(ms, seq, fields) => {
                    let last = log.last_id();
                    let id = Id::new(last.ms + ms, if ms == 0 { last.seq + seq } else { seq });
                    let appended = log.append(NewId::Given(id), &fields, LIMITS, 0);
                    if id > last {
                        prop_assert_eq!(appended, Ok(id));
                        model.insert(id, fields);
                        added += 1;
                    } else {
                        prop_assert_eq!(appended, Err(AppendError::NotGreater));
                    }
                }
                Step::Delete(places) => {
                    let ids: Vec<Id> = places
                        .iter()
                        .map(|&n| model.keys().nth(n as usize).copied().unwrap_or(Id::new(n, n)))
                        .collect();
                    let expected: Vec<bool> =
                        ids.iter().map(|id| model.remove(id).is_some()).collect();
                    prop_assert_eq!(log.delete(&ids), expected);
                }
                Step::Trim(keep, approximate, limit) => {
                    let limit = if approximate { limit } else { 0 };
                    let before = model.len();
                    let deleted = log.trim(Trim { keep, approximate, limit });
                    prop_assert!(limit == 0 || deleted <= limit);
                    for _ in 0..deleted {
                        let first = model.pop_first();
                        if let (Keep::From(from), Some((id, _))) = (keep, first) {
                            prop_assert!(id < from);
                        }
                    }
                    match keep {
                        _ if approximate => {}
                        Keep::Length(max) => {
                            prop_assert_eq!(model.len(), before.min(max as usize));
                        }
                        Keep::From(from) => prop_assert!(model.keys().all(|&id| id >= from)),
                    }
                    if let Keep::Length(max) = keep {
                        prop_assert!(model.len() as u64 >= max.min(before as u64));
                    }
                }
            }
            prop_assert_eq!(log.len(), model.len() as u64);
            prop_assert_eq!(log.added(), added);
            prop_assert_eq!(log.first_id(), model.keys().next().copied().unwrap_or(Id::MIN));
            prop_assert_eq!(log.last_entry_id(), model.keys().next_back().copied());
            let bytes: usize = log.nodes().map(|(_, node)| node.listpack().heap_bytes()).sum();
            prop_assert!(log.heap_bytes() >= bytes && log.heap_bytes() - bytes <= 4096);
        }
        let all: Vec<_> = log.range(Id::MIN, Id::MAX).map(read).collect();
        prop_assert_eq!(&all, &model.clone().into_iter().collect::<Vec<_>>());
        let (from, to) = (Id::new(a, 0), Id::new(b, 2));
        let some: Vec<_> = log.range(from, to).map(read).collect();
        let wanted: Vec<_> = all.iter().filter(|(id, _)| (from..=to).contains(id)).cloned().collect();
        prop_assert_eq!(&some, &wanted);
        let mut back: Vec<_> = log.range_back(from, to).map(read).collect();
        back.reverse();
        prop_assert_eq!(&back, &wanted);
        // What is written to a snapshot and read again is the same.
        let mut again = Log::default();
        for (id, node) in log.nodes() {
            let list = Listpack::from_bytes(node.listpack().as_bytes());
            let node = list.and_then(Node::from_listpack);
            prop_assert!(again.push_node(id, node.expect("it is well-formed")));
        }
        prop_assert_eq!(again.range(Id::MIN, Id::MAX).map(read).collect::<Vec<_>>(), all);
        prop_assert_eq!((again.len(), again.first_id()), (log.len(), log.first_id()));
    }

    #[test]
    fn a_damaged_node_is_refused_or_can_be_read(
        numbers in prop::collection::vec(prop_oneof![0..6i64, -2..40i64], 0..40),
    ) {
        let mut list = Listpack::new();
        numbers.iter().for_each(|&n| list.push_back_int(n));
        if let Some(node) = Node::from_listpack(list) {
            let id = Id::new(100, 100);
            let mut entry = node.first(id);
            let mut forward = Vec::new();
            while let Some(this) = entry {
                prop_assert_eq!(this.iter().count(), this.fields);
                forward.push(this.at);
                entry = this.next(id);
            }
            let mut entry = node.last(id);
            while let Some(this) = entry {
                prop_assert_eq!(Some(this.at), forward.pop());
                entry = this.previous(id);
            }
            prop_assert!(forward.is_empty());
        }
    }

    #[test]
    fn a_group_knows_who_has_what(
        steps in prop::collection::vec((0..4u8, 0..5u8, 0..40u64), 0..200),
    ) {
        let mut group = Group::new(Id::MIN, None);
        let mut model: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
        for (what, consumer, n) in steps {
            let name = vec![b'a' + consumer; usize::from(consumer)];
            let id = Id::new(n, 0);
            match what {
                0 | 1 => {
                    let number = group.find(&name).or_else(|| group.create(&name, 1));
                    names.insert(name.clone());
                    let consumer = number.expect("it is there now");
                    group.deliver(id, Pending { delivered_ms: 5, deliveries: 1, consumer });
                    model.insert(n, name);
                }
                2 => {
                    let owner = group.acknowledge(id);
                    prop_assert_eq!(owner.is_some(), model.remove(&n).is_some());
                }
                _ => {
                    let had = model.values().filter(|owner| **owner == name).count();
                    let expected = names.remove(&name).then_some(had);
                    prop_assert_eq!(group.remove(&name), expected);
                    model.retain(|_, owner| *owner != name);
                }
            }
            prop_assert!(group.consumers().map(Consumer::name).eq(names.iter().map(Vec::as_slice)));
        }
        let all = group.pending_range(Id::MIN, Id::MAX, None);
        let all: Vec<_> = all.map(|(id, p)| (id.ms, group.consumer(p.consumer).name().to_vec())).collect();
        prop_assert_eq!(&all, &model.clone().into_iter().collect::<Vec<_>>());
        for name in &names {
            let own = group.pending_range(Id::MIN, Id::MAX, group.find(name));
            let own: Vec<_> = own.map(|(id, _)| id.ms).collect();
            let wanted: Vec<_> = model.iter().filter(|(_, o)| *o == name).map(|(n, _)| *n).collect();
            prop_assert_eq!(own, wanted);
        }
        let copy = group.clone();
        prop_assert!(copy.heap_bytes() <= group.heap_bytes());
    }

    #[test]
    fn radix_nodes_are_counted_as_if_the_tree_were_there(
        parts in prop::collection::btree_set((0..3u64, 0..600u64, 0..3u64), 0..40),
    ) {
        let ids: BTreeSet<Id> = parts
            .into_iter()
            .map(|(high, ms, seq)| Id::new(high << 40 | ms, seq * 255))
            .collect();
        let keys: Vec<[u8; 16]> = ids.iter().map(|id| id.to_bytes()).collect();
        let expected = match keys.is_empty() {
            true => 1,
            false => tree_nodes(&keys, 0, 0),
        };
        prop_assert_eq!(radix::nodes(ids.into_iter()), expected);
    }
}

/// The nodes below a byte: `run` bytes have led there without a parting.
fn tree_nodes(keys: &[[u8; 16]], depth: usize, run: usize) -> usize {
    if depth == 16 {
        return usize::from(run > 0) + 1;
    }
    let groups: Vec<_> = keys.chunk_by(|a, b| a[depth] == b[depth]).collect();
    match groups[..] {
        [_] => tree_nodes(keys, depth + 1, run + 1),
        _ => {
            let below = groups.iter().map(|keys| tree_nodes(keys, depth + 1, 0));
            usize::from(run > 0) + 1 + below.sum::<usize>()
        }
    }
}

fn log_of(ids: &[u64]) -> Log {
    let mut log = Log::default();
    for &ms in ids {
        let appended = log.append(NewId::Given(Id::new(ms, 0)), &["a", "1"], LIMITS, 0);
        appended.expect("a greater id");
    }
    log
}

#[test]
fn ids_are_made_from_the_clock_or_from_the_last_one() {
    let mut log = log_of(&[5]);
    assert_eq!(log.next_id(NewId::Auto, 9), Ok(Id::new(9, 0)));
    assert_eq!(log.next_id(NewId::Auto, 4), Ok(Id::new(5, 1)));
    assert_eq!(log.next_id(NewId::AutoSeq(5), 9), Ok(Id::new(5, 1)));
    assert_eq!(log.next_id(NewId::AutoSeq(7), 9), Ok(Id::new(7, 0)));
    assert_eq!(
        log.next_id(NewId::AutoSeq(4), 9),
        Err(AppendError::NotGreater)
    );
    log.set_past(Id::new(5, u64::MAX), None, None);
    assert_eq!(
        log.next_id(NewId::AutoSeq(5), 9),
        Err(AppendError::NotGreater)
    );
    assert_eq!(log.next_id(NewId::Auto, 4), Ok(Id::new(6, 0)));
    assert_eq!(
        Log::default().next_id(NewId::AutoSeq(0), 0),
        Ok(Id::new(0, 1))
    );
}

#[test]
fn an_id_has_neighbours_and_a_text() {
    assert_eq!(Id::new(1, u64::MAX).next(), Some(Id::new(2, 0)));
    assert_eq!(Id::new(2, 0).previous(), Some(Id::new(1, u64::MAX)));
    assert_eq!((Id::MAX.next(), Id::MIN.previous()), (None, None));
    assert_eq!(
        Id::MAX.text().as_bytes(),
        b"18446744073709551615-18446744073709551615"
    );
    assert_eq!(Id::from_bytes(Id::new(3, 4).to_bytes()), Id::new(3, 4));
    let (first, id) = (Id::new(7, 9), Id::new(8, 2));
    assert_eq!(Id::after(first, id.since(first)), id);
}

#[test]
fn a_node_is_laid_out_as_valkey_lays_it_out() {
    let mut log = Log::default();
    for (seq, fields) in [(1, "a 1 b 2"), (2, "a 3 b 4"), (3, "c x")] {
        let appended = log.append(NewId::Given(Id::new(9, seq)), &words(fields), LIMITS, 0);
        appended.expect("a greater id");
    }
    log.delete(&[Id::new(9, 2)]);
    let (id, node) = log.nodes().next().expect("one node");
    assert_eq!(id, Id::new(9, 1));
    let elements: Vec<_> = node.listpack().iter().map(|e| e.to_vec()).collect();
    let expected = "2 1 2 a b 0 2 0 0 1 2 5 3 0 1 3 4 5 0 0 2 1 c x 6";
    assert_eq!(elements, words(expected));
}

#[test]
fn lag_is_told_while_no_gap_lies_ahead() {
    let mut log = log_of(&[1, 2, 3, 4, 5]);
    assert_eq!(log.lag(None, Id::MIN), Some(5));
    assert_eq!(log.entries_read(None, Id::MIN, Id::new(1, 0)), Some(1));
    assert_eq!(log.lag(Some(1), Id::new(1, 0)), Some(4));
    log.delete(&[Id::new(3, 0)]);
    assert_eq!(log.lag(Some(1), Id::new(1, 0)), None);
    assert_eq!(log.lag(Some(3), Id::new(3, 0)), None);
    assert_eq!(log.lag(None, Id::new(5, 0)), Some(0));
    let trim = |n| Trim {
        keep: Keep::Length(n),
        approximate: false,
        limit: 0,
    };
    assert_eq!(log.trim(trim(2)), 2);
    assert_eq!(log.lag(None, Id::new(1, 0)), None);
    assert_eq!(log.lag(None, Id::MIN), Some(2));
    assert_eq!(log.lag(None, Id::new(4, 0)), Some(1));
    log.trim(trim(0));
    assert_eq!(log.lag(None, Id::new(1, 0)), Some(0));
    assert_eq!(Log::default().lag(None, Id::new(7, 0)), Some(0));
}

#[test]
fn a_stream_counts_the_bytes_of_its_groups() {
    let mut stream = Stream::default();
    let empty = stream.heap_bytes();
    assert!(stream.create_group(b"g", Group::new(Id::MIN, None)));
    assert!(!stream.create_group(b"g", Group::new(Id::MIN, None)));
    let changed = stream.change_group(b"g", |_, group| {
        let consumer = group.create(b"c", 1).expect("new");
        for ms in 1..100 {
            let pending = Pending {
                delivered_ms: 1,
                deliveries: 1,
                consumer,
            };
            group.deliver(Id::new(ms, 0), pending);
        }
    });
    assert!(changed.is_some());
    assert!(stream.heap_bytes() > empty + 99 * size_of::<(Id, Pending)>());
    assert_eq!(stream.acknowledge_everywhere(Id::new(7, 0)), 1);
    assert_eq!(stream.acknowledge_everywhere(Id::new(7, 0)), 0);
    assert!(stream.is_needed(Id::new(8, 0)));
    assert!(stream.destroy_group(b"g") && !stream.destroy_group(b"g"));
    assert_eq!(stream.heap_bytes(), empty);
}
