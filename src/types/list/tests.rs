use super::*;
use proptest::prelude::*;

fn texts(list: &List, from: usize, towards: Side) -> Vec<Vec<u8>> {
    let mut walk = list.walk(from, towards);
    let mut all = Vec::new();
    while let Some(item) = walk.step() {
        all.push(item.to_vec());
    }
    assert!(walk.step().is_none());
    all
}

/// That the list holds what the model does, from wherever one looks, and that
/// the quicklist's invariant holds.
fn check(list: &List, model: &[Vec<u8>]) {
    assert_eq!(texts(list, 0, Side::Right), model);
    assert_eq!(
        (list.len(), list.is_empty()),
        (model.len(), model.is_empty())
    );
    let mut back = texts(list, model.len().wrapping_sub(1), Side::Left);
    back.reverse();
    assert_eq!(back, model);
    let end = |side| list.end(side).map(Item::to_vec);
    assert_eq!(end(Side::Left).as_ref(), model.first());
    assert_eq!(end(Side::Right).as_ref(), model.last());
    let List::Quick(quick) = list else { return };
    let bytes: usize = quick.nodes().map(Node::heap_bytes).sum();
    assert_eq!(quick.nodes_heap_bytes(), bytes);
    let depth = quick.figures().depth as usize;
    let nodes: Vec<_> = quick.nodes().collect();
    for (i, node) in nodes.iter().enumerate() {
        assert!(node.count() > 0);
        let is_inner = depth > 0 && i >= depth && i + depth < nodes.len();
        if node.is_squeezed() {
            assert!(is_inner);
        } else if is_inner {
            let mut again = (*node).clone();
            again.squeeze();
            assert!(
                !again.is_squeezed(),
                "node {i} of {} could be smaller",
                nodes.len()
            );
        }
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Push(Side, Vec<Vec<u8>>),
    Pop(Side, usize),
    Rotate(Side, Side),
    Trim(usize, usize),
    Insert(Side, usize, Vec<u8>),
    Set(i64, Vec<u8>),
    Remove(usize, usize, Side),
    Clone,
    Snapshot,
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-d]|[0-9]{1,3}".prop_map(String::into_bytes),
        2 => "[a-z]{0,80}".prop_map(String::into_bytes),
        1 => ("[a-z]", 100usize..3000).prop_map(|(c, n)| c.repeat(n).into_bytes()),
    ]
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Left), Just(Side::Right)]
}

fn edit() -> impl Strategy<Value = Edit> {
    let n = 0usize..1000;
    prop_oneof![
        6 => (side(), prop::collection::vec(text(), 1..8)).prop_map(|(s, t)| Edit::Push(s, t)),
        2 => (side(), 0usize..12).prop_map(|(s, n)| Edit::Pop(s, n)),
        1 => (side(), side()).prop_map(|(a, b)| Edit::Rotate(a, b)),
        1 => (0usize..20, 0usize..20).prop_map(|(a, b)| Edit::Trim(a, b)),
        5 => (side(), n.clone(), text()).prop_map(|(s, n, t)| Edit::Insert(s, n, t)),
        4 => (-60i64..60, text()).prop_map(|(i, t)| Edit::Set(i, t)),
        2 => (n, 0usize..4, side()).prop_map(|(n, m, s)| Edit::Remove(n, m, s)),
        1 => Just(Edit::Clone),
        1 => Just(Edit::Snapshot),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let fill = prop_oneof![Just(-1), Just(-2), 0i64..20];
    let large = prop_oneof![3 => Just(None), 1 => (1u64..100).prop_map(Some)];
    (fill, 0i64..4, large).prop_map(|(f, d, large)| Limits::new(f, d).with_large_bytes(large))
}

fn apply(list: &mut List, model: &mut Vec<Vec<u8>>, edit: Edit, limits: Limits) {
    let len = model.len();
    match edit {
        Edit::Push(side, added) => {
            let words: Vec<&[u8]> = added.iter().map(Vec::as_slice).collect();
            list.push(side, &words, limits);
            match side {
                Side::Left => added.into_iter().for_each(|t| model.insert(0, t)),
                Side::Right => model.extend(added),
            }
        }
        Edit::Pop(side, n) => {
            list.pop(side, n, limits);
            let n = n.min(len);
            match side {
                Side::Left => model.drain(..n),
                Side::Right => model.drain(len - n..),
            };
        }
        Edit::Rotate(from, to) => {
            list.rotate(from, to, limits);
            if len > 0 {
                let text = model.remove(if from == Side::Left { 0 } else { len - 1 });
                model.insert(if to == Side::Left { 0 } else { len - 1 }, text);
            }
        }
        Edit::Trim(front, back) => {
            let kept = front.min(len)..len.saturating_sub(back).max(front.min(len));
            list.trim(kept.clone(), limits);
            *model = model[kept].to_vec();
        }
        Edit::Insert(side, n, text) => {
            let pivot = model
                .get(n % (len + 1))
                .cloned()
                .unwrap_or(b"none".to_vec());
            let at = model.iter().position(|t| *t == pivot);
            assert_eq!(list.insert(side, &pivot, &text, limits), at.is_some());
            if let Some(at) = at {
                model.insert(at + usize::from(side == Side::Right), text);
            }
        }
        Edit::Set(index, text) => {
            let at = place(index, len);
            assert_eq!(list.set(index, &text, limits), at.is_some());
            if let Some(at) = at {
                model[at] = text;
            }
        }
        Edit::Remove(n, most, towards) => {
            let text = model
                .get(n % (len + 1))
                .cloned()
                .unwrap_or(b"none".to_vec());
            let most = if most == 0 { usize::MAX } else { most };
            let mut gone: Vec<_> = (0..len).filter(|&i| model[i] == text).collect();
            if towards == Side::Left {
                gone.reverse();
            }
            gone.truncate(most);
            assert_eq!(list.remove(&text, most, towards, limits), gone.len());
            gone.sort_unstable();
            gone.iter().rev().for_each(|&i| {
                model.remove(i);
            });
        }
        Edit::Clone => *list = list.clone(),
        Edit::Snapshot => *list = List::from_bodies(list.bodies(), limits),
    }
}

proptest! {
    #[test]
    fn a_list_is_a_sequence_of_strings(
        limits in limits(), edits in prop::collection::vec(edit(), 0..60),
    ) {
        let (mut list, mut model) = (List::new(), Vec::new());
        for edit in edits {
            apply(&mut list, &mut model, edit, limits);
            check(&list, &model);
        }
        for index in -40..40 {
            let expected = place(index, model.len()).map(|i| model[i].clone());
            prop_assert_eq!(list.get(index, |item| item.to_vec()), expected);
        }
        for from in 0..model.len() {
            prop_assert_eq!(&texts(&list, from, Side::Right), &model[from..]);
            prop_assert_eq!(texts(&list, from, Side::Left).len(), from + 1);
        }
    }

    #[test]
    fn limits_may_change_at_any_time(
        edits in prop::collection::vec((limits(), edit()), 0..60),
    ) {
        let (mut list, mut model) = (List::new(), Vec::new());
        for (limits, edit) in edits {
            apply(&mut list, &mut model, edit, limits);
            check(&list, &model);
        }
    }
}

fn of(n: usize, text: &str, limits: Limits) -> List {
    let mut list = List::new();
    list.push(Side::Right, &vec![text.as_bytes(); n], limits);
    list
}

fn nodes(list: &List) -> Vec<usize> {
    match list {
        List::Packed(_) => vec![],
        List::Quick(quick) => quick.nodes().map(Node::count).collect(),
    }
}

#[test]
fn a_listpack_turns_into_a_quicklist_when_it_would_exceed_its_limit_and_back_at_half() {
    let limits = Limits::new(4, 0);
    let mut list = of(4, "a", limits);
    assert_eq!(list.encoding(), "listpack");
    list.push(Side::Left, &[b"b"], limits);
    assert_eq!((list.encoding(), nodes(&list)), ("quicklist", vec![1, 4]));
    list.pop(Side::Left, 1, limits);
    list.pop(Side::Right, 1, limits);
    assert_eq!((list.encoding(), nodes(&list)), ("quicklist", vec![3]));
    list.pop(Side::Right, 1, limits);
    assert_eq!((list.encoding(), list.len()), ("listpack", 2));
}

#[test]
fn sizes_count_as_the_five_classes_say() {
    for (fill, bytes) in [
        (-1, 4096),
        (-2, 8192),
        (-5, 65_536),
        (-6, 65_536),
        (0, 8192),
    ] {
        let limits = Limits::new(fill, 0);
        let fits = "x".repeat(bytes - 7);
        assert_eq!(of(1, &fits, limits).encoding(), "listpack", "{fill}");
        assert_eq!(
            of(1, &(fits + "x"), limits).encoding(),
            "quicklist",
            "{fill}"
        );
    }
}

#[test]
fn a_large_element_has_a_node_of_its_own_wherever_it_comes() {
    let limits = Limits::new(-1, 0);
    let large = vec![b'x'; 5000];
    let mut list = of(3, "a", limits);
    list.set(1, &large, limits);
    assert_eq!(nodes(&list), [1, 1, 1]);
    list.set(1, b"b", limits);
    assert_eq!(nodes(&list), [1, 2]);
    list.insert(Side::Left, b"a", &large, limits);
    assert_eq!(nodes(&list), [1, 1, 2]);
    list.insert(Side::Right, b"b", &large, limits);
    assert_eq!(nodes(&list), [1, 1, 1, 1, 1]);
}

#[test]
fn a_full_node_is_split_around_what_is_inserted() {
    let limits = Limits::new(4, 0);
    let mut list = List::new();
    for text in ["a", "p", "c", "d", "e", "f"] {
        list.push(Side::Right, &[text.as_bytes()], limits);
    }
    assert_eq!(nodes(&list), [4, 2]);
    list.insert(Side::Right, b"p", b"q", limits);
    assert_eq!(nodes(&list), [2, 3, 2]);
}

#[test]
fn the_middle_is_compressed_and_the_ends_are_not() {
    let limits = Limits::new(-1, 1);
    let list = of(2000, "the same again and again", limits);
    let List::Quick(quick) = &list else {
        panic!("not a quicklist");
    };
    let squeezed: Vec<bool> = quick.nodes().map(Node::is_squeezed).collect();
    let (n, inner) = (squeezed.len(), &squeezed[1..squeezed.len() - 1]);
    assert!(n > 5 && inner.iter().all(|&s| s) && !squeezed[0] && !squeezed[n - 1]);
    assert!(list.heap_bytes() < quick.figures().uncompressed_bytes / 3);
}

#[test]
fn memory_is_at_most_what_valkey_takes() {
    let limits = Limits::new(-2, 0);
    let list = of(100_000, "twelve bytes", limits);
    let List::Quick(quick) = &list else {
        panic!("not a quicklist");
    };
    let packs: usize = quick.nodes().map(Node::heap_bytes).sum();
    assert!(list.heap_bytes() <= packs + 48 + 32 * quick.nodes().len());
}

#[test]
fn millions_of_elements_are_reached_and_cut_at_once() {
    let limits = Limits::new(-2, 0);
    let mut list = of(1_000_000, "x", limits);
    assert_eq!(list.get(500_000, |item| item.to_vec()), Some(b"x".to_vec()));
    list.set(700_000, b"y", limits);
    assert!(list.insert(Side::Right, b"y", b"z", limits));
    assert_eq!(list.remove(b"y", 1, Side::Left, limits), 1);
    list.trim(700_000..700_001, limits);
    assert_eq!(texts(&list, 0, Side::Right), [b"z"]);
    assert_eq!(list.encoding(), "listpack");
}
