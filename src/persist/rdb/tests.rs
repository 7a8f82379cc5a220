use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::base::num;
use crate::types::hash::{Expiry, Hash};
use crate::types::list::{List, Side};
use crate::types::listpack::{Item, Listpack};
use crate::types::object::Family;
use crate::types::set::Set;
use crate::types::stream::{self, Group, Id, Keep, NewId, Pending, Stream, Trim};
use crate::types::zset::ZSet;

/// Limits that few elements exceed.
fn rules() -> Rules {
    Rules {
        list: list::Limits::new(4, 1),
        hash: hash::Limits {
            fields: 4,
            bytes: 8,
        },
        set: set::Limits {
            intset_entries: 4,
            listpack_entries: 5,
            listpack_value: 8,
        },
        zset: zset::Limits {
            members_max: 4,
            member_bytes_max: 8,
        },
        compresses: true,
        is_strict: true,
        checks_sums: true,
        key_delay_us: 0,
    }
}

fn saved(object: &Object) -> Vec<u8> {
    let mut out = Output::new(true);
    save_object(object, &mut out);
    out.into_bytes()
}

/// Reads a value behind its type, of which nothing may be left.
fn loaded(bytes: &[u8]) -> Result<Loaded, LoadError> {
    let mut input = Input::new(bytes);
    let kind = input.kind()?;
    let value = load(kind, &mut input, &rules())?;
    match input.into_source() {
        [] => Ok(value),
        _ => Err(LoadError::Corrupt("more than a value")),
    }
}

fn object(bytes: &[u8]) -> Object {
    match loaded(bytes) {
        Ok(Loaded::Object(object)) => object,
        Ok(Loaded::Str(text)) => panic!("a string: {text:?}"),
        Err(error) => panic!("{error:?}"),
    }
}

fn with_footer(mut bytes: Vec<u8>, version: u16) -> Vec<u8> {
    bytes.extend(version.to_le_bytes());
    let sum = crc64(0, &bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// What an object holds, as text, in an order that does not depend on how it
/// lies.
fn contents(object: &Object) -> Vec<String> {
    let shown = |item: Item<'_>| item.with_bytes(|b| format!("{:?}", String::from_utf8_lossy(b)));
    let mut all = Vec::new();
    match object {
        Object::List(list) => {
            let mut walk = list.walk(0, Side::Right);
            while let Some(item) = walk.step() {
                all.push(shown(item));
            }
        }
        Object::Hash(hash) => {
            hash.each(0, |field, value| {
                let deadline = field.with_bytes(|name| hash.deadline(name, 0));
                all.push(format!("{} {} {deadline:?}", shown(field), shown(value)));
            });
            all.sort();
        }
        Object::Set(set) => {
            all.extend(set.iter().map(shown));
            all.sort();
        }
        Object::ZSet(zset) => {
            all.extend(
                zset.iter()
                    .map(|(m, score)| format!("{} {score}", shown(m))),
            );
        }
        Object::Stream(stream) => {
            for entry in stream.log().range(Id::MIN, Id::MAX) {
                let fields = entry
                    .iter()
                    .map(|(n, v)| format!("{} {}", shown(n), shown(v)));
                all.push(format!("{} {:?}", entry.id, fields.collect::<Vec<_>>()));
            }
            for (name, group) in stream.groups() {
                let (last, read) = (group.last_id, group.entries_read);
                let pending = group.pending_range(Id::MIN, Id::MAX, None);
                let pending: Vec<_> = pending
                    .map(|(id, p)| {
                        let owner = group.consumer(p.consumer).name();
                        format!("{id} {} {} {owner:?}", p.delivered_ms, p.deliveries)
                    })
                    .collect();
                let consumers = group.consumers();
                let consumers = consumers.map(|c| (c.name().to_vec(), c.seen_ms, c.active_ms));
                let consumers: Vec<_> = consumers.collect();
                all.push(format!(
                    "{name:?} {last} {read:?} {pending:?} {consumers:?}"
                ));
            }
        }
    }
    all
}

/// Texts of all lengths, of which some are integers and some compress well.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        (-300..300i64).prop_map(|n| n.to_string().into_bytes()),
        vec(any::<u8>(), 0..12),
        (any::<u8>(), 0..20_000usize).prop_map(|(b, n)| vec![b; n]),
        vec(any::<u8>(), 50..300),
    ]
}

/// An object that a failing test can show.
struct Sample(Object);

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.0.encoding(), contents(&self.0))
    }
}

fn objects() -> impl Strategy<Value = Sample> {
    let list = vec(text(), 1..12).prop_map(|texts| {
        let mut list = List::new();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        list.push(Side::Right, &texts, rules().list);
        Sample(list.into())
    });
    let member = prop_oneof![(0..9i64).prop_map(|n| n.to_string().into_bytes()), text()];
    let set = btree_set(member, 1..9).prop_map(|members| {
        let limits = rules().set;
        let mut set = Set::for_members(b"1", members.len(), &limits);
        for member in &members {
            let int = num::parse_i64(member).map(Item::Int);
            set.insert(int.unwrap_or(Item::Str(member)), &limits);
        }
        Sample(set.into())
    });
    let score = prop_oneof![
        (-3..3i8).prop_map(f64::from),
        any::<f64>().prop_filter("a number", |n| !n.is_nan()),
        Just(f64::INFINITY),
    ];
    let members = proptest::collection::btree_map(text(), score, 1..9);
    let zset = members.prop_map(|members| {
        let mut zset = ZSet::default();
        for (member, score) in &members {
            let _ = zset.give(member, *score, Default::default(), rules().zset);
        }
        Sample(zset.into())
    });
    let value = (text(), prop::option::weighted(0.2, 1..i64::MAX as u64));
    let fields = proptest::collection::btree_map(text(), value, 1..9);
    let hash = fields.prop_map(|fields| {
        let mut hash = Hash::new();
        for (field, (value, deadline)) in &fields {
            let expiry = deadline.map_or(Expiry::Never, Expiry::At);
            hash.set(field, value, expiry, 0, rules().hash);
        }
        Sample(hash.into())
    });
    prop_oneof![list, hash, set, zset, streams()]
}

/// Entries of which some are removed, and two groups that have some of them.
fn streams() -> impl Strategy<Value = Sample> {
    let fields = prop_oneof![Just(vec![b"a".to_vec(), b"1".to_vec()]), vec(text(), 2)];
    let removed = vec(0..30u64, 0..6);
    let delivered = vec((0..30u64, 0..3u8, any::<bool>()), 0..12);
    (vec(fields, 0..20), removed, delivered).prop_map(|(entries, removed, delivered)| {
        let limits = stream::Limits {
            node_bytes: 4096,
            node_entries: 6,
        };
        let mut stream = Stream::default();
        for fields in &entries {
            let appended = stream.log_mut().append(NewId::Auto, fields, limits, 7);
            appended.expect("a greater id");
        }
        let id = |n: u64| Id::new(7, n);
        stream
            .log_mut()
            .delete(&removed.into_iter().map(id).collect::<Vec<_>>());
        let mut groups = [
            Group::new(id(3), None),
            Group::new(Id::MAX, Some(entries.len() as u64)),
        ];
        for (n, consumer, which) in delivered {
            let group = &mut groups[usize::from(which)];
            let (consumer, _) = group.find_or_create(&[b'c', consumer], 40);
            let pending = Pending {
                delivered_ms: n as i64,
                deliveries: n,
                consumer,
            };
            group.deliver(id(n), pending);
        }
        for (name, group) in [b"some", b"more"].iter().zip(groups) {
            stream.create_group(*name, group);
        }
        Sample(stream.into())
    })
}

proptest! {
    #[test]
    fn an_object_comes_back_from_its_bytes(Sample(object) in objects()) {
        let bytes = saved(&object);
        let again = self::object(&bytes);
        prop_assert_eq!(contents(&again), contents(&object));
        prop_assert_eq!(again.encoding(), object.encoding());
        prop_assert_eq!(again.len(), object.len());
    }

    #[test]
    fn a_string_comes_back_from_its_bytes(text in text(), compresses: bool) {
        let rules = Rules { compresses, ..rules() };
        let bytes = payload(Value::Str(&text), &rules);
        match value_of(&bytes, &rules) {
            Ok(Loaded::Str(again)) => prop_assert_eq!(again, text),
            _ => prop_assert!(false),
        }
    }

    #[test]
    fn a_damaged_value_does_no_harm(
        Sample(object) in objects(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length: prop::sample::Index,
        is_cut: bool,
    ) {
        let mut bytes = saved(&object);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        // Whatever is taken for a value is one: it comes back from its bytes.
        if let Ok(Loaded::Object(object)) = loaded(&bytes) {
            prop_assert_eq!(contents(&self::object(&saved(&object))), contents(&object));
        }
    }

    #[test]
    fn a_damaged_stream_can_be_worked_with(
        Sample(object) in streams(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = saved(&object);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let Ok(Loaded::Object(Object::Stream(mut stream))) = loaded(&bytes) else {
            return Ok(());
        };
        let ids: Vec<Id> = stream.log().range_back(Id::MIN, Id::MAX).map(|e| e.id).collect();
        let limits = stream::Limits { node_bytes: 0, node_entries: 3 };
        let _ = stream.log_mut().append(NewId::Auto, &["a", "b"], limits, 0);
        stream.log_mut().delete(&ids[..ids.len() / 2]);
        for keep in [3, 1, 0] {
            let trim = Trim { keep: Keep::Length(keep), approximate: false, limit: 0 };
            stream.log_mut().trim(trim);
        }
        prop_assert_eq!(stream.log().len(), 0);
        let pending = ids.iter().filter(|&&id| stream.acknowledge_everywhere(id) > 0).count();
        prop_assert!(pending <= ids.len());
    }

    #[test]
    fn random_bytes_do_no_harm(kind in 0..=kind::LAST, bytes in vec(any::<u8>(), 0..80)) {
        let _ = loaded(&[&[kind], &bytes[..]].concat());
    }

    #[test]
    fn a_length_comes_back(n: u64, shift in 0..64u32) {
        let n = n >> shift;
        let mut out = Output::new(false);
        out.length(n);
        let bytes = out.into_bytes();
        let mut input = Input::new(&bytes[..]);
        prop_assert_eq!(input.length().ok(), Some(n));
        prop_assert!(input.into_source().is_empty());
    }
}

/// The bytes are those of valkey-server 9.1.2.
#[test]
fn payloads_are_valkeys() {
    let known: [(Value<'_>, &[u8]); 3] = [
        (Value::Int(10), b"\0\xc0\nP\0\xa1\xb5\x9e\xd4\x90\xfc\x04O"),
        (Value::Str(b"bar"), b"\0\x03barP\0)\x94\x80\xf1p4\x9a\xe3"),
        (Value::Str(b"-129"), b"\0\xc1\x7f\xffP\0"),
    ];
    for (value, expected) in known {
        let bytes = payload(value, &rules());
        assert!(bytes.starts_with(expected), "{value:?}: {bytes:x?}");
    }
}

#[test]
fn what_ends_too_soon_or_was_changed_is_refused() {
    let bytes = payload(Value::Str(b"some text"), &rules());
    for length in 0..bytes.len() {
        assert!(value_of(&bytes[..length], &rules()).is_err());
        let mut changed = bytes.clone();
        changed[length] ^= 1;
        let refused = value_of(&changed, &rules());
        assert!(matches!(refused, Err(PayloadError::Footer)));
    }
}

#[test]
fn versions_are_read_by_the_rule() {
    let relaxed = Rules {
        is_strict: false,
        ..rules()
    };
    let text = b"\0\x01x".to_vec();
    for (version, in_strict, in_relaxed) in [
        (0, false, false),
        (1, true, true),
        (6, true, true),
        (11, true, true),
        (12, false, true),
        (79, false, true),
        (80, true, true),
        (81, false, true),
    ] {
        let payload = with_footer(text.clone(), version);
        assert_eq!(value_of(&payload, &rules()).is_ok(), in_strict, "{version}");
        assert_eq!(
            value_of(&payload, &relaxed).is_ok(),
            in_relaxed,
            "{version}"
        );
    }
    let foreign = with_footer(b"\x16\x01x".to_vec(), 12);
    assert!(matches!(
        value_of(&foreign, &relaxed),
        Err(PayloadError::ForeignType(22))
    ));
}

#[test]
fn a_length_that_is_claimed_takes_no_memory() {
    // 2^62 bytes of a string, elements of a list, compressed bytes, bytes of
    // which a few are the compressed form.
    let long = b"\x81\x40\0\0\0\0\0\0\0";
    for head in [
        &b"\0"[..],
        b"\x01",
        b"\x02",
        b"\x03",
        b"\x04",
        b"\x05",
        b"\x12",
        b"\0\xc3",
        b"\0\xc3\x02",
        b"\x16",
    ] {
        assert!(loaded(&[head, long, b"\x01x"].concat()).is_err());
    }
}

// ----- what older versions wrote --------------------------------------------------

/// A string behind a length of one byte.
fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

/// A ziplist of entries without the length of the one before.
fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
    let (mut body, mut before, mut last) = (Vec::new(), 0u8, 10);
    for entry in entries {
        last = 10 + body.len();
        body.push(before);
        body.extend_from_slice(entry);
        before = entry.len() as u8 + 1;
    }
    let mut bytes = (body.len() as u32 + 11).to_le_bytes().to_vec();
    bytes.extend((last as u32).to_le_bytes());
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend(body);
    bytes.push(0xff);
    bytes
}

const ENTRIES: &[&[u8]] = &[
    b"\x02ab",
    b"\x40\x01x",
    b"\x80\0\0\0\x01y",
    b"\xc0\xfe\xff",
    b"\xd0\0\0\x01\0",
    b"\xe0\0\0\0\0\x01\0\0\0",
    b"\xf0\xff\xff\xff",
    b"\xfe\x80",
    b"\xf1",
    b"\xfd",
];
const TEXTS: [&str; 10] = [
    "ab",
    "x",
    "y",
    "-2",
    "65536",
    "4294967296",
    "-1",
    "-128",
    "0",
    "12",
];

#[test]
fn ziplists_are_read_as_what_they_were() {
    let list = [&[kind::LIST_ZIPLIST], &short(&ziplist(ENTRIES))[..]].concat();
    assert_eq!(contents(&object(&list)), TEXTS.map(|t| format!("{t:?}")));
    let nodes = [
        &[kind::LIST_ZIPLISTS, 2],
        &short(&ziplist(ENTRIES))[..],
        &short(&ziplist(ENTRIES)),
    ]
    .concat();
    assert_eq!(object(&nodes).len(), 20);
    let zset = ziplist(&[b"\x01b", b"\xf2", b"\x01a", b"\x031.5"]);
    let zset = object(&[&[kind::ZSET_ZIPLIST], &short(&zset)[..]].concat());
    assert_eq!(contents(&zset), ["\"b\" 1", "\"a\" 1.5"]);
    assert_eq!(zset.encoding(), "listpack");
}

#[test]
fn a_damaged_ziplist_is_refused() {
    let good = ziplist(ENTRIES);
    let is_good =
        |bytes: &[u8]| loaded(&[&[kind::LIST_ZIPLIST], &short(bytes)[..]].concat()).is_ok();
    assert!(is_good(&good));
    // Its length, the last entry, the count, and the length of each one before.
    for at in [0, 4, 8, 10, 14, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert!(!is_good(&bytes), "byte {at}");
    }
    assert!(!is_good(&ziplist(&[])), "an empty one");
    assert!(!is_good(&ziplist(&[b"\xff"])), "no such kind");
    assert!(!is_good(&ziplist(&[b"\x05ab"])), "beyond the end");
}

#[test]
fn old_lists_sets_and_sorted_sets_are_read() {
    let list = object(b"\x01\x03\x01a\xc0\x0c\x01b");
    assert_eq!(contents(&list), ["\"a\"", "\"12\"", "\"b\""]);
    let set = object(b"\x02\x02\xc0\x01\xc0\x02");
    assert_eq!((contents(&set).len(), set.encoding()), (2, "intset"));
    let zset = object(b"\x03\x03\x01a\xff\x01b\x031e1\x01c\xfe");
    assert_eq!(contents(&zset), ["\"a\" -inf", "\"b\" 10", "\"c\" inf"]);
}

#[test]
fn old_hashes_are_read() {
    let shown = |bytes: &[u8]| contents(&object(bytes));
    let both = ["\"a\" \"1\" Some(None)", "\"b\" \"x\" Some(None)"];
    assert_eq!(shown(b"\x04\x02\x01b\x01x\x01a\xc0\x01"), both);
    let packed = ziplist(&[b"\x01a", b"\xf2", b"\x01b", b"\x01x"]);
    assert_eq!(
        shown(&[&[kind::HASH_ZIPLIST], &short(&packed)[..]].concat()),
        both
    );
    let zipmap = |count: u8, rest: &[u8]| {
        let map = [&[count], rest, b"\xff"].concat();
        [&[kind::HASH_ZIPMAP], &short(&map)[..]].concat()
    };
    let fields = b"\x01a\x01\x001\x01b\x01\x02x__";
    for count in [2, 254] {
        assert_eq!(shown(&zipmap(count, fields)), both);
    }
    let long = [b"\x01a\xfe\x2c\x01\0\0\0", &[b'v'; 300][..], b"\xff"].concat();
    let mut out = Output::new(false);
    out.string(&[b"\x01", &long[..]].concat());
    let long = object(&[&[kind::HASH_ZIPMAP], &out.into_bytes()[..]].concat());
    assert_eq!(long.len(), 1);
    for (count, rest) in [
        (1, &fields[..]),
        (2, &fields[..9]),
        (1, b"\x01a"),
        (0, b""),
        // A length in five bytes that one would hold.
        (1, b"\xfe\x01\0\0\0a\x01\x001"),
    ] {
        assert!(loaded(&zipmap(count, rest)).is_err(), "{rest:x?}");
    }
    let with_deadlines =
        b"\x16\x02\x01a\xc0\x01\x05\0\0\0\0\0\0\0\x01b\x01x\xff\xff\xff\xff\xff\xff\xff\xff";
    let hash = object(with_deadlines);
    assert_eq!(contents(&hash), ["\"a\" \"1\" Some(Some(5))", both[1]]);
    assert_eq!((hash.encoding(), hash.due_ms()), ("hashtable", Some(5)));
}

#[test]
fn what_no_key_may_hold_is_refused() {
    let is_empty = |bytes: &[u8]| matches!(loaded(bytes), Err(LoadError::Empty));
    for kind in [1, 2, 3, 4, 5, 14, 18, 22] {
        assert!(is_empty(&[kind, 0]), "type {kind}");
    }
    let nothing = short(Listpack::new().as_bytes());
    for kind in [16, 17, 20] {
        assert!(is_empty(&[&[kind], &nothing[..]].concat()), "type {kind}");
    }
    assert!(
        is_empty(&[&[18, 1, 2], &nothing[..]].concat()),
        "nodes without elements"
    );
    let twice: [&[u8]; 7] = [
        b"\x04\x02\x01a\x01a\x01a\x01b",
        b"\x16\x01\x01a\x01a\xfe\xff\xff\xff\xff\xff\xff\xff",
        b"\x02\x02\x01a\x01a",
        b"\x02\x02\xc0\x01\x011",
        b"\x03\x02\x01a\x011\x01a\x012",
        b"\x05\x02\x01a\0\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\0",
        b"\x05\x01\x01a\0\0\0\0\0\0\xf8\x7f",
    ];
    for bytes in twice {
        assert!(loaded(bytes).is_err(), "{bytes:x?}");
    }
    for unknown in [6, 7, 8, 23, 200, 255] {
        let refused = loaded(&[unknown, 0]);
        assert!(
            matches!(refused, Err(LoadError::UnknownType(_))),
            "{unknown}"
        );
    }
}

fn pack(items: &[&str]) -> Listpack {
    let mut pack = Listpack::new();
    items
        .iter()
        .for_each(|item| pack.push_back(item.as_bytes()));
    pack
}

#[test]
fn listpacks_are_held_to_what_their_type_wants() {
    let load =
        |kind: u8, items: &[&str]| loaded(&[&[kind], &short(pack(items).as_bytes())[..]].concat());
    assert!(load(kind::SET_LISTPACK, &["a", "b", "a"]).is_err());
    assert!(load(kind::HASH_LISTPACK, &["a", "1", "b"]).is_err());
    assert!(load(kind::HASH_LISTPACK, &["a", "1", "a", "2"]).is_err());
    assert!(load(kind::ZSET_LISTPACK, &["a", "1", "b"]).is_err());
    assert!(load(kind::ZSET_LISTPACK, &["a", "1", "a", "2"]).is_err());
    assert!(load(kind::ZSET_LISTPACK, &["a", "nan"]).is_err());
    // What is out of order is put in order.
    let Ok(Loaded::Object(zset)) = load(kind::ZSET_LISTPACK, &["a", "2", "c", "1", "b", "1"])
    else {
        panic!("refused");
    };
    assert_eq!(contents(&zset), ["\"b\" 1", "\"c\" 1", "\"a\" 2"]);
    // Beyond the limits it is a table.
    let Ok(Loaded::Object(set)) = load(kind::SET_LISTPACK, &["a", "b", "c", "d", "e", "f"]) else {
        panic!("refused");
    };
    assert_eq!(set.encoding(), "hashtable");
}

#[test]
fn integers_that_were_stored_as_text_are_found() {
    // "12" as a text of two bytes.
    let bytes = b"\x0b\0\0\0\x01\0\x8212\x03\xff";
    let object = object(&[&[kind::SET_LISTPACK, bytes.len() as u8], &bytes[..]].concat());
    let Object::Set(set) = object else {
        panic!("no set")
    };
    assert!(set.contains(Item::Int(12)));
    assert_eq!(Family::len(&set), 1);
}
