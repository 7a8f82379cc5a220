//! Lists: one listpack while they are small, a quicklist from then on.
//!
//! Which of the two a list is, clients see; so both directions of the change are
//! Valkey's (`t_list.c`): a listpack that would exceed its limit turns into a
//! quicklist; a quicklist of one node that has shrunk to half the limit turns
//! back. Between the two limits it stays what it is.

mod node;
mod quicklist;

use std::borrow::Cow;
use std::ops::Range;

use super::listpack::{At, Item, Listpack, Needle};
use super::object::Family;
use node::Node;

pub use node::Body;
pub use quicklist::{Figures, Quicklist};

/// An end of a list, or a direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The head; towards the head.
    Left,
    /// The tail; towards the tail.
    Right,
}

/// How large a listpack may become, and what is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// As `list-max-listpack-size` says it: a number of elements, or, negative,
    /// a class of sizes.
    fill: i16,
    /// Nodes at each end of a quicklist that are not compressed; 0: none is.
    depth: u16,
    /// Bytes from which on an element has a node of its own, where a test
    /// wants to say so.
    large_bytes: Option<u64>,
}

impl Limits {
    /// What `list-max-listpack-size` and `list-compress-depth` say.
    pub fn new(listpack_size: i64, compress_depth: i64) -> Limits {
        Limits {
            fill: listpack_size.clamp(-5, i16::MAX.into()) as i16,
            depth: compress_depth.clamp(0, u16::MAX.into()) as u16,
            large_bytes: None,
        }
    }

    /// With a bound of one's own for what has a node of its own, in bytes.
    pub fn with_large_bytes(self, bytes: Option<u64>) -> Limits {
        Limits {
            large_bytes: bytes,
            ..self
        }
    }

    /// The most bytes of a listpack that is limited by its number of elements.
    const COUNTED_BYTES_MAX: usize = 8192;

    /// The most bytes and the most elements; `None` for no limit.
    fn of_node(self) -> (Option<usize>, Option<usize>) {
        match self.fill {
            fill @ 0.. => (None, Some(fill.max(1) as usize)),
            fill => (Some(2048 << fill.unsigned_abs()), None),
        }
    }

    /// Whether a listpack of this size would be too large.
    fn exceeds(self, bytes: usize, count: usize) -> bool {
        match self.of_node() {
            (Some(bytes_max), _) => bytes > bytes_max,
            (None, count_max) => {
                bytes > Self::COUNTED_BYTES_MAX || count_max.is_some_and(|max| count > max)
            }
        }
    }

    /// Whether a quicklist of one node of this size is to be a listpack again;
    /// one that shrinks waits until it is half of what it might be.
    fn allows_listpack(self, bytes: usize, count: usize, shrinking: bool) -> bool {
        let (bytes_max, count_max) = self.of_node();
        let part = if shrinking { 2 } else { 1 };
        bytes_max.is_none_or(|max| bytes <= max / part)
            && count_max.is_none_or(|max| count <= max / part)
    }

    /// Whether a text has a node of its own.
    fn is_large(self, bytes: usize) -> bool {
        match self.large_bytes {
            Some(large) => bytes as u64 >= large,
            None => bytes > self.of_node().0.unwrap_or(Self::COUNTED_BYTES_MAX),
        }
    }
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub enum List {
    /// A small one.
    Packed(Listpack),
    /// A large one.
    Quick(Box<Quicklist>),
}

const _: () = assert!(size_of::<List>() == 16);

impl Default for List {
    fn default() -> List {
        List::new()
    }
}

impl List {
    /// An empty one.
    pub fn new() -> List {
        List::Packed(Listpack::new())
    }

    /// A list from the nodes of a snapshot, in the encoding that is due to it.
    pub fn from_bodies<'a>(bodies: impl IntoIterator<Item = Body<'a>>, limits: Limits) -> List {
        let mut quick = Quicklist::new(limits);
        for body in bodies {
            quick.push_body(body);
        }
        match quick.sole_pack() {
            Some(pack) if limits.allows_listpack(pack.bytes(), pack.len(), false) => {
                quick.take_pack()
            }
            _ => List::Quick(Box::new(quick)),
        }
    }

    /// The nodes, for a snapshot; a small list is one.
    pub fn bodies(&self) -> impl Iterator<Item = Body<'_>> {
        let (pack, quick) = match self {
            List::Packed(pack) => (Some(Body::Pack(Cow::Borrowed(pack))), None),
            List::Quick(quick) => (None, Some(quick.nodes().map(Node::body))),
        };
        pack.into_iter().chain(quick.into_iter().flatten())
    }

    // ----- reading ----------------------------------------------------------

    /// The element at an end.
    pub fn end(&self, side: Side) -> Option<Item<'_>> {
        match self {
            List::Packed(pack) => end_of(pack, side).map(|at| pack.get(at)),
            List::Quick(quick) => quick.end(side),
        }
    }

    /// Lends the element of this index, counted from the end where negative.
    pub fn get<R>(&self, index: i64, f: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let index = place(index, self.len())?;
        self.walk(index, Side::Right).step().map(f)
    }

    /// Goes over the elements from an index on.
    pub fn walk(&self, index: usize, towards: Side) -> Walk<'_> {
        let (body, node, offset) = match self {
            List::Packed(pack) => (Some(Body::Pack(Cow::Borrowed(pack))), 0, index),
            List::Quick(quick) => match quick.locate(index) {
                Some((node, offset)) => (quick.body(node), node, offset),
                None => (None, 0, 0),
            },
        };
        let at = match &body {
            Some(Body::Pack(pack)) => isize::try_from(offset).ok().and_then(|n| pack.seek(n)),
            _ => None,
        };
        Walk {
            list: self,
            towards,
            node,
            body,
            at,
            stepped: false,
        }
    }

    // ----- changing ---------------------------------------------------------

    /// Adds texts one by one at an end.
    pub fn push(&mut self, side: Side, texts: &[&[u8]], limits: Limits) {
        self.make_room(texts, limits);
        match self {
            List::Packed(pack) => match side {
                Side::Left => texts.iter().for_each(|text| pack.push_front(text)),
                Side::Right => texts.iter().for_each(|text| pack.push_back(text)),
            },
            List::Quick(quick) => {
                texts.iter().for_each(|text| quick.push(side, text, limits));
            }
        }
    }

    /// Removes up to `n` elements at an end.
    pub fn pop(&mut self, side: Side, n: usize, limits: Limits) {
        self.take(side, n);
        self.shrink(limits);
    }

    /// Takes the element at one end and adds it at an end, which may be the same.
    pub fn rotate(&mut self, from: Side, to: Side, limits: Limits) {
        if let Some(text) = self.end(from).map(Item::to_vec) {
            self.take(from, 1);
            self.push(to, &[&text], limits);
            self.shrink(limits);
        }
    }

    /// Keeps only the elements of a range.
    pub fn trim(&mut self, kept: Range<usize>, limits: Limits) {
        let len = self.len();
        self.take(Side::Right, len.saturating_sub(kept.end));
        self.take(Side::Left, kept.start.min(len));
        self.shrink(limits);
    }

    /// Adds a text beside the first element that is equal to `pivot`; false
    /// where there is none.
    pub fn insert(&mut self, side: Side, pivot: &[u8], text: &[u8], limits: Limits) -> bool {
        self.make_room(&[text], limits);
        match self {
            List::Packed(pack) => {
                let Some(at) = pack.first().and_then(|first| pack.find(first, pivot, 0)) else {
                    return false;
                };
                match side {
                    Side::Left => pack.insert_before(at, text),
                    Side::Right => pack.insert_after(at, text),
                };
                true
            }
            List::Quick(quick) => quick.insert(side, pivot, text, limits),
        }
    }

    /// Replaces the element of this index, counted from the end where negative;
    /// false where there is none.
    pub fn set(&mut self, index: i64, text: &[u8], limits: Limits) -> bool {
        self.make_room(&[text], limits);
        let Some(index) = place(index, self.len()) else {
            return false;
        };
        match self {
            List::Packed(pack) => {
                if let Some(at) = pack.seek(index as isize) {
                    pack.replace(at, text);
                }
            }
            List::Quick(quick) => quick.set(index, text, limits),
        }
        self.shrink(limits);
        true
    }

    /// Removes up to `n` elements that are equal to a text, going towards a side;
    /// returns how many.
    pub fn remove(&mut self, text: &[u8], n: usize, towards: Side, limits: Limits) -> usize {
        let removed = match self {
            List::Packed(pack) => remove_equal(pack, text, n, towards),
            List::Quick(quick) => quick.remove(text, n, towards),
        };
        self.shrink(limits);
        removed
    }

    fn take(&mut self, side: Side, n: usize) {
        let n = n.min(self.len());
        if n == 0 {
            return;
        }
        let start = match side {
            Side::Left => 0,
            Side::Right => self.len() - n,
        };
        match self {
            List::Packed(pack) => pack.remove_range(start, n),
            List::Quick(quick) => quick.remove_range(start, n),
        }
    }

    /// Turns into a quicklist before the listpack would exceed its limit.
    fn make_room(&mut self, texts: &[&[u8]], limits: Limits) {
        let List::Packed(pack) = self else { return };
        let added: usize = texts.iter().map(|text| text.len()).sum();
        if limits.exceeds(pack.bytes() + added, pack.len() + texts.len()) {
            let mut quick = Quicklist::new(limits);
            quick.push_body(Body::Pack(Cow::Owned(std::mem::take(pack))));
            *self = List::Quick(Box::new(quick));
        }
    }

    /// Turns back into a listpack when little is left.
    fn shrink(&mut self, limits: Limits) {
        let List::Quick(quick) = self else { return };
        if let Some(pack) = quick.sole_pack()
            && limits.allows_listpack(pack.bytes(), quick.len(), true)
        {
            *self = quick.take_pack();
        }
    }
}

impl Family for List {
    fn len(&self) -> usize {
        match self {
            List::Packed(pack) => pack.len(),
            List::Quick(quick) => quick.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            List::Packed(_) => "listpack",
            List::Quick(_) => "quicklist",
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            List::Packed(pack) => pack.heap_bytes(),
            List::Quick(quick) => quick.heap_bytes(),
        }
    }

    fn free_effort(&self) -> usize {
        match self {
            List::Packed(_) => 1,
            List::Quick(quick) => 2 + quick.nodes().len(),
        }
    }
}

/// The place that an index means, which counts from the end where it is negative.
pub fn place(index: i64, len: usize) -> Option<usize> {
    let magnitude = usize::try_from(index.unsigned_abs()).ok()?;
    match index < 0 {
        false => Some(magnitude).filter(|&n| n < len),
        true => len.checked_sub(magnitude),
    }
}

/// The elements from `start` to `stop`, both included, and counted from the end
/// where negative.
pub fn range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let clamp = |n: i64| match usize::try_from(n) {
        Ok(n) => n,
        Err(_) => len.saturating_sub(n.unsigned_abs() as usize),
    };
    let before_all = stop < 0 && stop.unsigned_abs() > len as u64;
    let (start, stop) = (clamp(start), clamp(stop).min(len.saturating_sub(1)));
    match before_all || start > stop || start >= len {
        true => 0..0,
        false => start..stop + 1,
    }
}

fn end_of(pack: &Listpack, side: Side) -> Option<At> {
    match side {
        Side::Left => pack.first(),
        Side::Right => pack.last(),
    }
}

fn beside(pack: &Listpack, at: At, side: Side) -> Option<At> {
    match side {
        Side::Left => pack.prev(at),
        Side::Right => pack.next(at),
    }
}

/// Removes up to `n` elements that are equal to a text; returns how many.
fn remove_equal(pack: &mut Listpack, text: &[u8], n: usize, towards: Side) -> usize {
    let mut removed = 0;
    match towards {
        Side::Right => {
            let mut from = pack.first();
            while let Some(at) = from.filter(|_| removed < n) {
                let Some(at) = pack.find(at, text, 0) else {
                    break;
                };
                from = pack.remove(at);
                removed += 1;
            }
        }
        Side::Left => {
            let needle = Needle::new(text);
            let mut from = pack.last();
            while let Some(at) = from.filter(|_| removed < n) {
                from = pack.prev(at);
                if needle.is(pack.get(at)) {
                    pack.remove(at);
                    removed += 1;
                }
            }
        }
    }
    removed
}

/// A walk over a list's elements. Not an iterator: a compressed node is opened
/// for as long as the walk is in it, and its elements are lent from there.
pub struct Walk<'a> {
    list: &'a List,
    towards: Side,
    /// The node that the walk is in.
    node: usize,
    /// What that node holds; `None` at the end.
    body: Option<Body<'a>>,
    /// The next element, or the one that was lent last.
    at: Option<At>,
    /// Whether the element at `at` has been lent.
    stepped: bool,
}

impl Walk<'_> {
    /// Lends the next element.
    pub fn step(&mut self) -> Option<Item<'_>> {
        if self.stepped {
            self.at = match (&self.body, self.at) {
                (Some(Body::Pack(pack)), Some(at)) => beside(pack, at, self.towards),
                _ => None,
            };
            if self.at.is_none() {
                self.next_node();
            }
        }
        self.stepped = true;
        match self.body.as_ref()? {
            Body::Pack(pack) => self.at.map(|at| pack.get(at)),
            Body::Plain(text) => Some(Item::Str(text)),
        }
    }

    fn next_node(&mut self) {
        let next = match self.towards {
            Side::Left => self.node.checked_sub(1),
            Side::Right => Some(self.node + 1),
        };
        self.body = match (self.list, next) {
            (List::Quick(quick), Some(node)) => {
                self.node = node;
                quick.body(node)
            }
            _ => None,
        };
        self.at = match &self.body {
            Some(Body::Pack(pack)) => match self.towards {
                Side::Left => pack.last(),
                Side::Right => pack.first(),
            },
            _ => None,
        };
    }
}

/// What a text takes in a listpack at most, above itself: the estimate by which
/// Valkey decides whether a node has room.
const ELEMENT_OVERHEAD: usize = 8;

#[cfg(test)]
mod tests;
