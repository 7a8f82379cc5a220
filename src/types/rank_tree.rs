//! An ordered sequence that knows ranks: a B+ tree whose inner nodes keep, for
//! each child, its least element and how many elements lie beneath it.
//!
//! ```text
//!            mins    a       k       s          the least of each child
//!            counts  41      57      33         elements beneath each
//!            nodes   │       │       │
//!                 a … j   k … r   s … z         leaves: sorted, all at one depth
//! ```
//!
//! So the rank of an element, the element at a rank, and how many elements lie
//! between two bounds each take one descent; every kind of range is a range of
//! ranks. There are no links between leaves: a walk that leaves one descends
//! again by rank, once in some fifty elements.
//!
//! Leaves grow in small steps rather than by doubling, and ascending or
//! descending insertions leave full ones behind, so that few slots are empty.
//! A node is merged with a neighbour when it is mostly empty and both fit one.

use std::mem::size_of;
use std::ops::Range;

use crate::base::heap::usable_bytes;

/// Most elements of a leaf, and most children of an inner node.
const NODE_MAX: usize = if cfg!(test) { 8 } else { 64 };
/// A node with fewer looks for a neighbour to join.
const NODE_MIN: usize = NODE_MAX / 4;
/// How far an element is moved within its leaf at most.
const SHIFT_MAX: usize = if cfg!(test) { 3 } else { 8 };
/// By how many slots a node grows.
const GROWTH: usize = NODE_MAX / 8;

/// An element of a tree: a small handle, with a key that it is ordered by. No two
/// in a tree have the same, and it does not change while they are there.
pub trait Ranked: Copy {
    /// Inner nodes keep copies of keys, leaves only elements: so to have in a key
    /// what else must be fetched saves time, and costs little memory.
    type Key: Copy + Ord;

    /// Its key.
    fn key(&self) -> Self::Key;

    /// Whether it is the one element that has this key. Quicker where the key has
    /// the handle in it: many elements are asked, and none need be fetched then.
    fn is(&self, key: &Self::Key) -> bool {
        self.key() == *key
    }
}

/// See the head of this file.
pub struct RankTree<T: Ranked> {
    root: Node<T>,
    len: usize,
}

enum Node<T: Ranked> {
    Leaf(Vec<T>),
    Inner(Box<Inner<T>>),
}

/// Three columns of one length.
struct Inner<T: Ranked> {
    mins: Vec<T::Key>,
    counts: Vec<usize>,
    nodes: Vec<Node<T>>,
}

/// Whether a node lies at an end of the whole sequence.
#[derive(Clone, Copy)]
struct Edges {
    first: bool,
    last: bool,
}

impl<T: Ranked> Default for RankTree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Ranked> RankTree<T> {
    /// An empty one.
    pub fn new() -> Self {
        RankTree {
            root: Node::Leaf(Vec::new()),
            len: 0,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an element that is not there yet.
    pub fn insert(&mut self, item: T) {
        let edges = Edges {
            first: true,
            last: true,
        };
        if let Some(right) = self.root.insert(item, item.key(), edges) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let mut inner = Inner::default();
            inner.insert_child(0, left);
            inner.insert_child(1, right);
            self.root = Node::Inner(Box::new(inner));
        }
        self.len += 1;
    }

    /// Takes the element of a key out; false where there is none.
    pub fn remove(&mut self, key: T::Key) -> bool {
        let removed = self.root.remove(key);
        if removed {
            self.len -= 1;
            self.lower();
        }
        removed
    }

    /// Moves the element of a key to where another key belongs, which it is about to
    /// get. False where that is not near by, within its leaf and not its first place:
    /// nothing has changed then, and it is to be removed and inserted again.
    pub fn shift(&mut self, old: T::Key, new: T::Key) -> bool {
        self.root.shift(old, new, None)
    }

    /// Takes the elements of these ranks out, showing each to `visit` in order: it
    /// is not looked at any more then, and may go.
    pub fn remove_range(&mut self, ranks: Range<usize>, mut visit: impl FnMut(T)) {
        let ranks = ranks.start..ranks.end.min(self.len);
        if !ranks.is_empty() {
            self.len -= ranks.len();
            self.root.remove_range(ranks, &mut visit);
            self.lower();
        }
    }

    /// The rank of the first element for whose key `before` is false. It must hold
    /// for a beginning of the sequence and for nothing behind it.
    pub fn partition_point(&self, mut before: impl FnMut(T::Key) -> bool) -> usize {
        let mut node = &self.root;
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(items) => {
                    return rank + items.partition_point(|item| before(item.key()));
                }
                Node::Inner(inner) => {
                    let Some(i) = inner
                        .mins
                        .partition_point(|&min| before(min))
                        .checked_sub(1)
                    else {
                        return rank;
                    };
                    rank += inner.counts[..i].iter().sum::<usize>();
                    node = &inner.nodes[i];
                }
            }
        }
    }

    /// The element at a rank.
    pub fn get(&self, rank: usize) -> Option<T> {
        (rank < self.len).then(|| {
            let (items, at) = self.leaf(rank);
            items[at]
        })
    }

    /// The elements of these ranks, from either end.
    pub fn range(&self, ranks: Range<usize>) -> Iter<'_, T> {
        let end = ranks.end.min(self.len);
        Iter {
            tree: self,
            ranks: ranks.start.min(end)..end,
            front: &[],
            back: &[],
        }
    }

    /// All elements.
    pub fn iter(&self) -> Iter<'_, T> {
        self.range(0..self.len)
    }

    /// Bytes on the heap, estimated from a few of the nodes.
    pub fn heap_bytes(&self) -> usize {
        self.estimate(|node| node.heap_bytes())
    }

    /// Number of allocations, estimated from a few of the nodes.
    pub fn allocations(&self) -> usize {
        self.estimate(|node| match node {
            Node::Leaf(_) => 1,
            Node::Inner(_) => 4,
        })
    }

    /// Sums up what nodes count for. An element's share of the nodes above it,
    /// on average over evenly spaced ones, is what an element takes.
    fn estimate(&self, of: impl Fn(&Node<T>) -> usize) -> usize {
        const PROBES: usize = 64;
        let step = self.len.div_ceil(PROBES).max(1);
        let (mut shares, mut probes) = (0.0, 0);
        for rank in (step / 2..self.len).step_by(step) {
            self.descend(rank, |node| shares += of(node) as f64 / node.count() as f64);
            probes += 1;
        }
        match probes {
            0 => of(&self.root),
            n => (shares / f64::from(n) * self.len as f64).round() as usize,
        }
    }

    /// The leaf that holds a rank, and where in it.
    fn leaf(&self, rank: usize) -> (&[T], usize) {
        self.descend(rank, |_| ())
    }

    /// As [`RankTree::leaf`], showing each node on the way.
    fn descend<'a>(
        &'a self,
        mut rank: usize,
        mut visit: impl FnMut(&'a Node<T>),
    ) -> (&'a [T], usize) {
        let mut node = &self.root;
        loop {
            visit(node);
            match node {
                Node::Leaf(items) => return (items, rank),
                Node::Inner(inner) => {
                    let mut i = 0;
                    while rank >= inner.counts[i] {
                        rank -= inner.counts[i];
                        i += 1;
                    }
                    node = &inner.nodes[i];
                }
            }
        }
    }

    /// Takes roots away that have no choice to offer.
    fn lower(&mut self) {
        while let Node::Inner(inner) = &mut self.root {
            match inner.nodes.len() {
                0 => self.root = Node::Leaf(Vec::new()),
                1 => self.root = inner.nodes.swap_remove(0),
                _ => break,
            }
        }
    }
}

impl<T: Ranked> Node<T> {
    /// Elements of a leaf, or children.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(inner) => inner.nodes.len(),
        }
    }

    /// Elements beneath it.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    /// The least key of a node that has any.
    fn min(&self) -> T::Key {
        match self {
            Node::Leaf(items) => items[0].key(),
            Node::Inner(inner) => inner.mins[0],
        }
    }

    /// The node to its right that this made necessary.
    fn insert(&mut self, item: T, key: T::Key, edges: Edges) -> Option<Node<T>> {
        match self {
            Node::Leaf(items) => {
                let at = items.partition_point(|other| other.key() < key);
                if items.len() < NODE_MAX {
                    insert_lean(items, at, item);
                    return None;
                }
                let cut = cut(at, items.len(), edges);
                let mut right = split_off(items, cut);
                match at <= cut && cut < NODE_MAX {
                    true => insert_lean(items, at, item),
                    false => insert_lean(&mut right, at - cut, item),
                }
                Some(Node::Leaf(right))
            }
            Node::Inner(inner) => {
                let i = inner.child_of(key).unwrap_or(0);
                let beneath = Edges {
                    first: edges.first && i == 0,
                    last: edges.last && i + 1 == inner.nodes.len(),
                };
                let Some(new) = inner.nodes[i].insert(item, key, beneath) else {
                    inner.counts[i] += 1;
                    if key < inner.mins[i] {
                        inner.mins[i] = key;
                    }
                    return None;
                };
                inner.refresh(i);
                let at = i + 1;
                if inner.nodes.len() < NODE_MAX {
                    inner.insert_child(at, new);
                    return None;
                }
                let cut = cut(at, inner.nodes.len(), edges);
                let mut right = inner.split_off(cut);
                match at <= cut && cut < NODE_MAX {
                    true => inner.insert_child(at, new),
                    false => right.insert_child(at - cut, new),
                }
                Some(Node::Inner(Box::new(right)))
            }
        }
    }

    fn remove(&mut self, key: T::Key) -> bool {
        match self {
            Node::Leaf(items) => {
                let Some(at) = items.iter().position(|item| item.is(&key)) else {
                    return false;
                };
                items.remove(at);
                tighten(items);
                true
            }
            Node::Inner(inner) => {
                let Some(i) = inner.child_of(key) else {
                    return false;
                };
                let was_least = inner.mins[i] == key;
                let removed = inner.nodes[i].remove(key);
                if removed && (was_least || inner.nodes[i].width() < NODE_MIN) {
                    inner.settle(i);
                } else if removed {
                    inner.counts[i] -= 1;
                }
                removed
            }
        }
    }

    /// As [`RankTree::shift`]; `above`: the least key behind this node.
    fn shift(&mut self, old: T::Key, new: T::Key, above: Option<T::Key>) -> bool {
        match self {
            Node::Leaf(items) => {
                let Some(from) = items.iter().position(|item| item.is(&old)) else {
                    return false;
                };
                let mut to = from;
                if new > old {
                    let most = (from + SHIFT_MAX).min(items.len() - 1);
                    while to < most && items[to + 1].key() < new {
                        to += 1;
                    }
                    let is_below_the_next = match items.get(to + 1) {
                        Some(next) => to < most || new < next.key(),
                        None => above.is_none_or(|above| new < above),
                    };
                    if from == 0 || !is_below_the_next {
                        return false;
                    }
                    items[from..=to].rotate_left(1);
                } else {
                    let least = from.saturating_sub(SHIFT_MAX);
                    while to > least && new < items[to - 1].key() {
                        to -= 1;
                    }
                    // Neither the first, nor a step further than was looked.
                    if to == 0 || to == least && new < items[to - 1].key() {
                        return false;
                    }
                    items[to..=from].rotate_right(1);
                }
                true
            }
            Node::Inner(inner) => {
                let Some(i) = inner.child_of(old) else {
                    return false;
                };
                let above = inner.mins.get(i + 1).copied().or(above);
                inner.nodes[i].shift(old, new, above)
            }
        }
    }

    fn remove_range(&mut self, ranks: Range<usize>, visit: &mut impl FnMut(T)) {
        match self {
            Node::Leaf(items) => {
                items.drain(ranks).for_each(visit);
                tighten(items);
            }
            Node::Inner(inner) => {
                let mut first = 0;
                let mut touched = 0..0;
                for i in 0..inner.nodes.len() {
                    let count = inner.counts[i];
                    let within = ranks.start.max(first)..ranks.end.min(first + count);
                    if !within.is_empty() {
                        let within = within.start - first..within.end - first;
                        inner.nodes[i].remove_range(within, visit);
                        touched.start = if touched.is_empty() { i } else { touched.start };
                        touched.end = i + 1;
                    }
                    first += count;
                }
                touched.rev().for_each(|i| inner.settle(i));
            }
        }
    }

    /// Bytes of its own, without those of its children.
    fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(items) => slots_bytes(items),
            Node::Inner(inner) => {
                usable_bytes(size_of::<Inner<T>>())
                    + slots_bytes(&inner.mins)
                    + slots_bytes(&inner.counts)
                    + slots_bytes(&inner.nodes)
            }
        }
    }
}

impl<T: Ranked> Default for Inner<T> {
    fn default() -> Self {
        Inner {
            mins: Vec::new(),
            counts: Vec::new(),
            nodes: Vec::new(),
        }
    }
}

impl<T: Ranked> Inner<T> {
    /// The child in whose span a key lies; none for one below all.
    fn child_of(&self, key: T::Key) -> Option<usize> {
        self.mins.partition_point(|min| *min <= key).checked_sub(1)
    }

    fn insert_child(&mut self, at: usize, node: Node<T>) {
        insert_lean(&mut self.mins, at, node.min());
        insert_lean(&mut self.counts, at, node.count());
        insert_lean(&mut self.nodes, at, node);
    }

    fn remove_child(&mut self, at: usize) -> Node<T> {
        self.mins.remove(at);
        self.counts.remove(at);
        let node = self.nodes.remove(at);
        tighten(&mut self.mins);
        tighten(&mut self.counts);
        tighten(&mut self.nodes);
        node
    }

    fn split_off(&mut self, cut: usize) -> Inner<T> {
        Inner {
            mins: split_off(&mut self.mins, cut),
            counts: split_off(&mut self.counts, cut),
            nodes: split_off(&mut self.nodes, cut),
        }
    }

    /// Brings a child's columns up to date.
    fn refresh(&mut self, i: usize) {
        self.mins[i] = self.nodes[i].min();
        self.counts[i] = self.nodes[i].count();
    }

    /// After something was taken out of a child: keeps its columns true, and
    /// lets it go or join a neighbour if too little is left.
    fn settle(&mut self, i: usize) {
        let width = self.nodes[i].width();
        if width == 0 {
            self.remove_child(i);
            return;
        }
        self.refresh(i);
        if width < NODE_MIN {
            if i + 1 < self.nodes.len() && width + self.nodes[i + 1].width() <= NODE_MAX {
                self.join(i);
            } else if i > 0 && width + self.nodes[i - 1].width() <= NODE_MAX {
                self.join(i - 1);
            }
        }
    }

    /// Makes one child of two neighbours.
    fn join(&mut self, i: usize) {
        let right = self.remove_child(i + 1);
        match (&mut self.nodes[i], right) {
            (Node::Leaf(left), Node::Leaf(right)) => append_lean(left, right),
            (Node::Inner(left), Node::Inner(right)) => {
                append_lean(&mut left.mins, right.mins);
                append_lean(&mut left.counts, right.counts);
                append_lean(&mut left.nodes, right.nodes);
            }
            _ => unreachable!("neighbours have one depth"),
        }
        self.refresh(i);
    }
}

/// Where a full node is cut for something that comes in at `at`: in the middle,
/// but at the ends of the sequence, where more of the kind is to be expected,
/// the full node stays as it is.
fn cut(at: usize, len: usize, edges: Edges) -> usize {
    match at {
        0 if edges.first => 0,
        n if n == len && edges.last => len,
        _ => len / 2,
    }
}

fn insert_lean<T>(items: &mut Vec<T>, at: usize, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(GROWTH);
    }
    items.insert(at, item);
}

fn append_lean<T>(items: &mut Vec<T>, mut others: Vec<T>) {
    items.reserve_exact(others.len());
    items.append(&mut others);
}

fn split_off<T>(items: &mut Vec<T>, cut: usize) -> Vec<T> {
    let rest = items.len() - cut;
    let mut right = Vec::with_capacity(rest.next_multiple_of(GROWTH).max(GROWTH));
    right.extend(items.drain(cut..));
    items.shrink_to(cut.next_multiple_of(GROWTH));
    right
}

fn slots_bytes<T>(items: &Vec<T>) -> usize {
    match items.capacity() * size_of::<T>() {
        0 => 0,
        bytes => usable_bytes(bytes),
    }
}

/// Gives slots back where several steps of growth are empty.
fn tighten<T>(items: &mut Vec<T>) {
    if items.capacity() - items.len() >= 3 * GROWTH {
        items.shrink_to(items.len() + GROWTH);
    }
}

/// Elements of a range of ranks, from either end.
pub struct Iter<'a, T: Ranked> {
    tree: &'a RankTree<T>,
    ranks: Range<usize>,
    /// The rest of the leaf that each end stands in; the two may overlap.
    front: &'a [T],
    back: &'a [T],
}

impl<T: Ranked> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.front.is_empty() {
            let (items, at) = self.tree.leaf(self.ranks.start);
            self.front = &items[at..];
        }
        let (first, rest) = self.front.split_first()?;
        self.front = rest;
        self.ranks.start += 1;
        Some(*first)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ranks.len(), Some(self.ranks.len()))
    }
}

impl<T: Ranked> DoubleEndedIterator for Iter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.back.is_empty() {
            let (items, at) = self.tree.leaf(self.ranks.end - 1);
            self.back = &items[..=at];
        }
        let (last, rest) = self.back.split_last()?;
        self.back = rest;
        self.ranks.end -= 1;
        Some(*last)
    }
}

impl<T: Ranked> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl Ranked for u32 {
        type Key = u32;

        fn key(&self) -> u32 {
            *self
        }
    }

    /// Depth, after checking the columns, widths and order of everything beneath.
    fn check_node(node: &Node<u32>, is_root: bool) -> usize {
        assert!(is_root || node.width() > 0, "an empty node");
        assert!(node.width() <= NODE_MAX);
        match node {
            Node::Leaf(items) => {
                assert!(items.is_sorted_by(|a, b| a < b));
                0
            }
            Node::Inner(inner) => {
                assert!(!is_root || inner.nodes.len() > 1, "a root of one child");
                let depths: BTreeSet<usize> =
                    inner.nodes.iter().map(|n| check_node(n, false)).collect();
                assert_eq!(depths.len(), 1, "leaves at several depths");
                for (i, node) in inner.nodes.iter().enumerate() {
                    assert_eq!((inner.mins[i], inner.counts[i]), (node.min(), node.count()));
                }
                assert_eq!(inner.mins.len(), inner.nodes.len());
                assert_eq!(inner.counts.len(), inner.nodes.len());
                depths.first().map_or(0, |d| d + 1)
            }
        }
    }

    fn check(tree: &RankTree<u32>, model: &BTreeSet<u32>) {
        check_node(&tree.root, true);
        assert_eq!(tree.len(), model.len());
        assert_eq!(tree.root.count(), model.len());
        assert!(tree.iter().eq(model.iter().copied()));
        assert!(tree.iter().rev().eq(model.iter().rev().copied()));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32),
        Remove(u32),
        RemoveRange(usize, usize),
        Run { from: u32, len: u32, upwards: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u32..600).prop_map(Step::Insert),
            5 => (0u32..600).prop_map(Step::Remove),
            1 => (0usize..200, 0usize..60).prop_map(|(from, len)| Step::RemoveRange(from, len)),
            1 => (0u32..600, 0u32..120, any::<bool>())
                .prop_map(|(from, len, upwards)| Step::Run { from, len, upwards }),
        ]
    }

    proptest! {
        #[test]
        fn it_is_the_sorted_set_that_a_model_is(steps in prop::collection::vec(step(), 1..250)) {
            let (mut tree, mut model) = (RankTree::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(n) => {
                        if model.insert(n) {
                            tree.insert(n);
                        }
                    }
                    Step::Remove(n) => prop_assert_eq!(tree.remove(n), model.remove(&n)),
                    Step::RemoveRange(from, len) => {
                        let gone: Vec<u32> = model.iter().copied().skip(from).take(len).collect();
                        let mut seen = Vec::new();
                        tree.remove_range(from..from + len, |n| seen.push(n));
                        prop_assert_eq!(&seen, &gone);
                        gone.iter().for_each(|n| { model.remove(n); });
                    }
                    Step::Run { from, len, upwards } => for i in 0..len {
                        let n = if upwards { from + i } else { from + len - i };
                        if model.insert(n) {
                            tree.insert(n);
                        }
                    }
                }
                check(&tree, &model);
            }
            for (rank, n) in model.iter().enumerate() {
                prop_assert_eq!(tree.get(rank), Some(*n));
                prop_assert_eq!(tree.partition_point(|x| x < *n), rank);
                prop_assert_eq!(tree.partition_point(|x| x <= *n), rank + 1);
            }
            prop_assert_eq!(tree.get(model.len()), None);
        }

        #[test]
        fn a_range_is_walked_from_both_ends(
            len in 0u32..300,
            from in 0usize..320,
            width in 0usize..320,
            turns in prop::collection::vec(any::<bool>(), 0..330),
        ) {
            let mut tree = RankTree::new();
            (0..len).for_each(|n| tree.insert(n));
            let mut walk = tree.range(from..from + width);
            let mut model = (0..len).skip(from).take(width).collect::<std::collections::VecDeque<_>>();
            for forward in turns {
                prop_assert_eq!(walk.len(), model.len());
                match forward {
                    true => prop_assert_eq!(walk.next(), model.pop_front()),
                    false => prop_assert_eq!(walk.next_back(), model.pop_back()),
                }
            }
        }
    }

    /// An element whose key changes.
    impl Ranked for &Cell<u32> {
        type Key = (u32, usize);

        fn key(&self) -> Self::Key {
            (self.get(), std::ptr::from_ref(*self) as usize)
        }

        fn is(&self, key: &Self::Key) -> bool {
            self.key().1 == key.1
        }
    }

    proptest! {
        #[test]
        fn an_element_is_shifted_to_where_its_new_key_belongs(
            values in prop::collection::vec(0u32..300, 1..200),
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0u32..300, any::<bool>()), 1..200),
        ) {
            let cells: Vec<Cell<u32>> = values.into_iter().map(Cell::new).collect();
            let mut tree = RankTree::new();
            cells.iter().for_each(|cell| tree.insert(cell));
            for (which, value, is_near) in steps {
                let cell = which.get(&cells);
                let value = if is_near { cell.get() + value % 4 } else { value };
                let old = cell.key();
                let is_shifted = tree.shift(old, (value, old.1));
                if is_shifted {
                    cell.set(value);
                } else {
                    prop_assert!(tree.iter().map(|c| c.key()).is_sorted());
                    prop_assert!(tree.remove(old));
                    cell.set(value);
                    tree.insert(cell);
                }
                prop_assert!(tree.iter().map(|c| c.key()).is_sorted());
                prop_assert_eq!(tree.len(), cells.len());
                for (rank, cell) in tree.iter().enumerate() {
                    prop_assert_eq!(tree.partition_point(|key| key < cell.key()), rank);
                }
            }
        }
    }

    #[test]
    fn what_stays_between_its_neighbours_is_not_moved() {
        let cells: Vec<Cell<u32>> = (0..1000).map(|n| Cell::new(n * 10)).collect();
        let mut tree = RankTree::new();
        cells.iter().for_each(|cell| tree.insert(cell));
        let shifted = cells.iter().filter(|cell| {
            let key = cell.key();
            let is_shifted = tree.shift(key, (key.0 + 5, key.1));
            cell.set(cell.get() + u32::from(is_shifted) * 5);
            is_shifted
        });
        // All but the first of each leaf.
        assert!(shifted.count() > 1000 - 1000 / NODE_MIN);
    }

    #[test]
    fn runs_in_either_direction_leave_full_leaves() {
        for descending in [false, true] {
            let mut tree = RankTree::new();
            for n in 0..4096u32 {
                tree.insert(if descending { 4096 - n } else { n });
            }
            let slots = tree.heap_bytes() / size_of::<u32>();
            let leaves = 4096 / NODE_MAX;
            assert!(tree.allocations() < leaves * 3, "{}", tree.allocations());
            assert!(slots < 4096 * 4, "{slots}");
        }
    }

    #[test]
    fn what_it_takes_is_estimated_within_a_tenth() {
        fn sum(node: &Node<u32>) -> usize {
            let beneath = match node {
                Node::Leaf(_) => 0,
                Node::Inner(inner) => inner.nodes.iter().map(sum).sum(),
            };
            node.heap_bytes() + beneath
        }
        let mut tree = RankTree::new();
        for n in 0..10_000u32 {
            if n.is_power_of_two() || n % 1000 == 7 {
                let (real, said) = (sum(&tree.root), tree.heap_bytes());
                assert!(said.abs_diff(real) * 10 <= real, "{said} for {real}");
            }
            tree.insert(n.wrapping_mul(0x9e37_79b1));
        }
    }

    #[test]
    fn what_is_emptied_holds_nothing() {
        let mut tree = RankTree::new();
        (0..5000u32).for_each(|n| tree.insert(n));
        let mut gone = 0;
        tree.remove_range(0..usize::MAX, |_| gone += 1);
        assert_eq!((gone, tree.len(), tree.get(0)), (5000, 0, None));
        assert!(tree.is_empty() && tree.heap_bytes() < 100);
        assert!(!tree.remove(3));
        tree.insert(3);
        assert_eq!(tree.iter().collect::<Vec<_>>(), [3]);
    }
}
