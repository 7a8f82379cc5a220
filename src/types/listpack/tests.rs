use super::*;
use proptest::prelude::*;

fn texts(pack: &Listpack) -> Vec<Vec<u8>> {
    pack.iter().map(Item::to_vec).collect()
}

/// Well-formed, and the same from both ends.
fn check(pack: &Listpack, model: &[Vec<u8>]) {
    assert_eq!(texts(pack), model);
    assert_eq!(pack.len(), model.len());
    assert_eq!(pack.is_empty(), model.is_empty());
    let back = std::iter::successors(pack.last(), |&at| pack.prev(at));
    let mut back: Vec<_> = back.map(|at| pack.get(at).to_vec()).collect();
    back.reverse();
    assert_eq!(back, model);
    let again = Listpack::from_bytes(pack.as_bytes()).expect("well-formed");
    assert!(again == *pack);
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        (any::<i64>(), 0u32..64).prop_map(|(n, by)| (n >> by).to_string().into_bytes()),
        "[-0-9a-z]{0,5}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..200),
        (
            any::<u8>(),
            prop_oneof![0usize..70, 4000usize..4200, 16_000usize..17_000]
        )
            .prop_map(|(byte, n)| vec![byte; n]),
    ]
}

#[derive(Clone, Debug)]
enum Edit {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    Before(usize, Vec<u8>),
    After(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize),
    RemoveFrom(usize, usize),
    RemoveRange(usize, usize),
    Append(Vec<Vec<u8>>),
    Split(usize, bool),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = 0usize..1000;
    prop_oneof![
        4 => text().prop_map(Edit::PushBack),
        2 => text().prop_map(Edit::PushFront),
        1 => (at.clone(), text()).prop_map(|(n, t)| Edit::Before(n, t)),
        1 => (at.clone(), text()).prop_map(|(n, t)| Edit::After(n, t)),
        1 => (at.clone(), text()).prop_map(|(n, t)| Edit::Replace(n, t)),
        1 => at.clone().prop_map(Edit::Remove),
        1 => (at.clone(), 0usize..5).prop_map(|(n, m)| Edit::RemoveFrom(n, m)),
        1 => (0usize..20, 0usize..5).prop_map(|(n, m)| Edit::RemoveRange(n, m)),
        1 => prop::collection::vec(text(), 0..5).prop_map(Edit::Append),
        1 => (at, any::<bool>()).prop_map(|(n, front)| Edit::Split(n, front)),
    ]
}

/// An integer's own inserting function, where the text is one.
fn either(
    pack: &mut Listpack,
    text: &[u8],
    by_text: impl FnOnce(&mut Listpack, &[u8]),
    by_int: impl FnOnce(&mut Listpack, i64),
) {
    match num::parse_i64(text) {
        Some(n) if n % 2 == 0 => by_int(pack, n),
        _ => by_text(pack, text),
    }
}

fn apply(pack: &mut Listpack, model: &mut Vec<Vec<u8>>, edit: Edit) {
    let place = |pack: &Listpack, n: usize| {
        let n = n % pack.len().max(1);
        pack.seek(n as isize).map(|at| (n, at))
    };
    match edit {
        Edit::PushBack(t) => {
            either(pack, &t, Listpack::push_back, Listpack::push_back_int);
            model.push(t);
        }
        Edit::PushFront(t) => {
            either(pack, &t, Listpack::push_front, Listpack::push_front_int);
            model.insert(0, t);
        }
        Edit::Before(n, t) => {
            let Some((n, at)) = place(pack, n) else {
                return;
            };
            either(
                pack,
                &t,
                |p, t| assert_eq!(p.insert_before(at, t), at),
                |p, t| assert_eq!(p.insert_before_int(at, t), at),
            );
            model.insert(n, t);
        }
        Edit::After(n, t) => {
            let Some((n, at)) = place(pack, n) else {
                return;
            };
            either(
                pack,
                &t,
                |p, t| assert_eq!(Some(p.insert_after(at, t)), p.next(at)),
                |p, t| assert_eq!(Some(p.insert_after_int(at, t)), p.next(at)),
            );
            model.insert(n + 1, t);
        }
        Edit::Replace(n, t) => {
            let Some((n, at)) = place(pack, n) else {
                return;
            };
            either(
                pack,
                &t,
                |p, t| assert_eq!(p.replace(at, t), at),
                |p, t| assert_eq!(p.replace_int(at, t), at),
            );
            model[n] = t;
        }
        Edit::Remove(n) => {
            let Some((n, at)) = place(pack, n) else {
                return;
            };
            let next = pack.remove(at);
            model.remove(n);
            assert_eq!(next, pack.seek(n as isize));
        }
        Edit::RemoveFrom(n, m) => {
            let Some((n, at)) = place(pack, n) else {
                return;
            };
            let next = pack.remove_from(at, m);
            model.drain(n..(n + m).min(model.len()));
            assert_eq!(next, pack.seek(n as isize));
        }
        Edit::RemoveRange(n, m) => {
            pack.remove_range(n, m);
            model.drain(n.min(model.len())..(n + m).min(model.len()));
        }
        Edit::Append(more) => {
            pack.append(&more.iter().collect());
            model.extend(more);
        }
        Edit::Split(n, front) => {
            let Some((n, at)) = place(pack, n) else {
                return;
            };
            let behind = pack.split_off(at);
            let model_behind = model.split_off(n);
            check(&behind, &model_behind);
            check(pack, model);
            if !front {
                *pack = behind;
                *model = model_behind;
            }
        }
    }
}

proptest! {
    #[test]
    fn a_listpack_is_a_sequence_of_strings(edits in prop::collection::vec(edit(), 0..40)) {
        let (mut pack, mut model) = (Listpack::new(), Vec::new());
        for edit in edits {
            apply(&mut pack, &mut model, edit);
            check(&pack, &model);
        }
        for index in -50isize..50 {
            let n = if index < 0 { index + model.len() as isize } else { index };
            let expected = usize::try_from(n).ok().and_then(|n| model.get(n));
            let found = pack.seek(index).map(|at| pack.get(at).to_vec());
            prop_assert_eq!(found.as_ref(), expected);
        }
    }

    #[test]
    fn what_is_looked_for_is_found_where_it_is(
        all in prop::collection::vec("[0-4]|[a-c]", 1..20), skip in 0usize..3, from in 0usize..20,
    ) {
        let pack: Listpack = all.iter().collect();
        let from = from % all.len();
        for text in ["0", "3", "a", "b", "4", "", "01"] {
            let expected = (from..all.len()).step_by(skip + 1).find(|&i| all[i] == text);
            let expected = expected.and_then(|i| pack.seek(i as isize));
            let start = pack.seek(from as isize).expect("in range");
            prop_assert_eq!(pack.find(start, text.as_bytes(), skip), expected);
        }
    }

    #[test]
    fn no_bytes_from_outside_do_harm(
        all in prop::collection::vec(text(), 0..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = all.iter().collect::<Listpack>().as_bytes().to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
            let n = (bytes.len() as u32).to_le_bytes();
            bytes.iter_mut().zip(n).for_each(|(b, n)| *b = n);
        }
        if let Some(pack) = Listpack::from_bytes(&bytes) {
            let model = texts(&pack);
            check(&pack, &model);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let length = (bytes.len() as u32 + 7).to_le_bytes();
        let bytes = [&length, [255, 255].as_slice(), &bytes, &[END]].concat();
        if let Some(pack) = Listpack::from_bytes(&bytes) {
            check(&pack, &texts(&pack));
        }
    }
}

/// One element's bytes, between header and end.
fn stored(text: &[u8]) -> Vec<u8> {
    let pack: Listpack = [text].into_iter().collect();
    assert_eq!(element_bytes(text), pack.bytes() - EMPTY_BYTES);
    pack.as_bytes()[HEADER..pack.end()].to_vec()
}

#[test]
fn each_integer_takes_the_shortest_of_the_forms() {
    for (text, bytes) in [
        ("0", &[0, 1][..]),
        ("127", &[127, 1]),
        ("128", &[0xC0, 128, 2]),
        ("-1", &[0xDF, 0xFF, 2]),
        ("4095", &[0xCF, 0xFF, 2]),
        ("-4096", &[0xD0, 0, 2]),
        ("4096", &[0xF1, 0, 0x10, 3]),
        ("-4097", &[0xF1, 0xFF, 0xEF, 3]),
        ("-32768", &[0xF1, 0, 0x80, 3]),
        ("32768", &[0xF2, 0, 0x80, 0, 4]),
        ("-8388608", &[0xF2, 0, 0, 0x80, 4]),
        ("8388608", &[0xF3, 0, 0, 0x80, 0, 5]),
        ("-2147483648", &[0xF3, 0, 0, 0, 0x80, 5]),
        ("2147483648", &[0xF4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9]),
        (
            "-9223372036854775808",
            &[0xF4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9],
        ),
    ] {
        assert_eq!(stored(text.as_bytes()), bytes, "{text}");
    }
}

#[test]
fn strings_have_three_lengths_of_head_and_what_only_looks_like_a_number_is_one() {
    assert_eq!(stored(b""), [0x80, 1]);
    assert_eq!(stored(b"01"), [0x82, b'0', b'1', 3]);
    assert_eq!(stored(b"9223372036854775808").len(), 21);
    assert_eq!(stored(&[b'x'; 63])[0], 0xBF);
    let long = stored(&[b'x'; 64]);
    assert_eq!((&long[..2], &long[66..]), (&[0xE0, 64][..], &[66][..]));
    let long = stored(&[b'x'; 126]);
    assert_eq!(long[128..], [1, 0x80]);
    let long = stored(&[b'x'; 4096]);
    assert_eq!(&long[..5], [0xF0, 0, 0x10, 0, 0]);
    assert_eq!(long[4101..], [0x20, 0x85]);
}

#[test]
fn a_length_behind_an_element_takes_one_to_five_bytes() {
    for (size, bytes) in [
        (127, &[127][..]),
        (128, &[1, 0x80]),
        (0x3FFF, &[0x7F, 0xFF]),
        (0x4000, &[1, 0x80, 0x80]),
        (0x1F_FFFF, &[0x7F, 0xFF, 0xFF]),
        (0x20_0000, &[1, 0x80, 0x80, 0x80]),
        (0xFFF_FFFF, &[0x7F, 0xFF, 0xFF, 0xFF]),
        (0x1000_0000, &[1, 0x80, 0x80, 0x80, 0x80]),
    ] {
        let (back, n) = back_length(size);
        assert_eq!(&back[..n], bytes, "{size}");
    }
}

#[test]
fn more_elements_than_the_count_can_say_are_counted_and_again_when_they_are_fewer() {
    let mut pack: Listpack = std::iter::repeat_n("1", 65_534).collect();
    assert_eq!(pack.count(), 65_534);
    pack.push_back(b"2");
    assert_eq!((pack.count(), pack.len()), (UNCOUNTED, 65_535));
    pack.push_front(b"3");
    assert_eq!(pack.len(), 65_536);
    for index in [
        0,
        1,
        -1,
        -2,
        65_535,
        65_536,
        -65_536,
        -65_537,
        isize::MIN,
        isize::MAX,
    ] {
        let text = pack.seek(index).map(|at| pack.get(at));
        let expected = match index {
            0 | -65_536 => Some(Item::Int(3)),
            -1 | 65_535 => Some(Item::Int(2)),
            1 | -2 => Some(Item::Int(1)),
            _ => None,
        };
        assert_eq!(text, expected, "{index}");
    }
    assert!(Listpack::from_bytes(pack.as_bytes()).is_some());
    pack.remove_range(1, 1);
    pack.remove_range(65_534, 10);
    assert_eq!((pack.count(), pack.len()), (65_534, 65_534));
}

#[test]
fn a_number_kept_as_a_string_is_found_and_equals_itself() {
    let bytes = [11, 0, 0, 0, 1, 0, 0x82, b'1', b'2', 3, 0xFF];
    let pack = Listpack::from_bytes(&bytes).expect("well-formed");
    let at = pack.first().expect("one");
    assert_eq!(pack.get(at), Item::Str(b"12"));
    assert_eq!(pack.find(at, b"12", 0), Some(at));
    assert!(pack.get(at).eq(b"12".as_slice()) && Item::Int(12).eq(b"12".as_slice()));
    assert_eq!(pack.get(at).int(), Some(12));
}

#[test]
fn every_single_wrong_byte_of_the_frame_is_noticed() {
    let good: Listpack = ["a", "5", "-3000", "a longer one"].into_iter().collect();
    let good = good.as_bytes();
    for at in [0, 1, 2, 3, 4, 5, 8, 10, 13, good.len() - 2, good.len() - 1] {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        assert!(Listpack::from_bytes(&bad).is_none(), "{at}");
    }
    for n in 0..good.len() {
        assert!(Listpack::from_bytes(&good[..n]).is_none(), "{n}");
    }
}
