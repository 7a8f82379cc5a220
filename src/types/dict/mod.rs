//! A hash table of elements, for sets, hashes and sorted sets that are large: a
//! key of bytes, and a [`Payload`] beside it.
//!
//! ```text
//!  digest   ┌ 5 bits ┬ 5 bits ┬ … ┬─ frag: 15 bits ─┐
//!           └────────┴────────┴───┴─────────────────┘
//!  root ──▶ node of 32 ──▶ node of 32 ──▶ leaf: 1 to 128 lines
//!  line     ┌ 7 tags ┬ spilled ┬ 7 slots of 8 bytes ┐  one cache line
//!           └────────┴─────────┴────────────────────┘
//!  slot ──▶ element: key and payload in one allocation (`element`)
//! ```
//!
//! A leaf that is full grows by an eighth to a half; at [`LINES_MAX`] it becomes
//! a node of 32 leaves. A node whose elements would fill a quarter of a leaf
//! becomes one, and a leaf that is mostly empty has fewer lines. Each of these
//! touches the elements of one leaf, so that no change takes longer than some
//! tens of microseconds, whatever the size of the dict; the lines are always
//! about 80% full. Who goes where among the lines is `base::tags`.
//!
//! Every node counts what is beneath it, so that an element is found by rank and
//! a random one is fair however unevenly a mass deletion left the leaves.
//!
//! **SCAN's guarantee.** Whoever is there from the start of a walk to its end is
//! met, however the dict changes: `base::cursor` says how.
//!
//! # Use
//!
//! A [`Place`] says where an element stands until the dict next gains or loses
//! one: `find`, `random` and `at_rank` give it, `element`, `replace` and `remove`
//! take it. A [`Handle`] refers to an element from outside until it goes.
//! A payload is bytes behind the key, read and written by its trait:
//!
//! ```ignore
//! let mut scores: Dict<Score> = Dict::new();
//! let place = scores.insert(b"member", 1.5);       // not there before
//! scores.replace(place, 2.5);                      // in place: 8 bytes
//! assert_eq!(scores.get(b"member"), Some(2.5));
//! scores.remove(place);
//! ```

mod element;

pub use element::{Element, Handle, Payload};

use element::Owned;

use crate::base::heap::usable_bytes;
use crate::base::tags::{Tags, WIDTH, first_frag, frag, home};
use crate::base::{clock, cursor, hash};

const IS_TINY: bool = cfg!(any(test, feature = "tiny"));
/// Lines of the largest leaf.
const LINES_MAX: usize = if IS_TINY { 4 } else { 128 };
/// Bits of a digest that choose among a node's children.
const DIGIT_BITS: u32 = if IS_TINY { 2 } else { 5 };
const FANOUT: usize = 1 << DIGIT_BITS;
/// Bits of a digest that lead to a leaf, from the top. A leaf beneath so many
/// grows on instead.
const PREFIX_BITS: u32 = 30;
/// A node with fewer elements becomes a leaf.
const NODE_MIN: usize = LINES_MAX * WIDTH / 4;

type Cursor = cursor::Cursor<PREFIX_BITS>;

#[derive(Clone)]
#[repr(C, align(64))]
struct Line<P: Payload> {
    tags: Tags,
    slots: [Option<Owned<P>>; WIDTH],
}

const _: () = assert!(size_of::<Line<()>>() == 64 && size_of::<Child<()>>() == 24);
const _: () = assert!(PREFIX_BITS.is_multiple_of(DIGIT_BITS));

impl<P: Payload> Line<P> {
    /// The frag of a taken slot.
    fn frag(&self, slot: usize) -> u32 {
        u32::from(self.owned(slot).place()) << 8 | u32::from(self.tags.get(slot))
    }

    #[inline]
    fn owned(&self, slot: usize) -> &Owned<P> {
        self.slots[slot].as_ref().expect("the slot is taken")
    }

    fn elements(&self) -> impl Iterator<Item = Element<'_, P>> {
        self.tags.taken().map(|slot| self.owned(slot).element())
    }
}

/// A part of the dict: a leaf or a node, and how many elements are in it.
#[derive(Clone)]
struct Child<P: Payload> {
    count: usize,
    body: Body<P>,
}

#[derive(Clone)]
enum Body<P: Payload> {
    Leaf(Box<[Line<P>]>),
    Node(Box<[Child<P>; FANOUT]>),
}

/// What the lines and nodes take: bytes, and allocations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Frame {
    bytes: usize,
    blocks: usize,
}

impl Frame {
    /// What another takes beside this.
    fn add(&mut self, other: Frame) {
        self.bytes += other.bytes;
        self.blocks += other.blocks;
    }

    fn subtract(&mut self, other: Frame) {
        self.bytes -= other.bytes;
        self.blocks -= other.blocks;
    }
}

/// An element on its way from one leaf to another.
struct Moving<P: Payload> {
    owned: Owned<P>,
    frag: u32,
}

fn lines<P: Payload>(size: usize) -> Box<[Line<P>]> {
    let line = || Line {
        tags: Tags::default(),
        slots: Default::default(),
    };
    std::iter::repeat_with(line).take(size).collect()
}

/// How many elements may be in a leaf before it grows.
fn limit(size: usize) -> usize {
    let slots = size * WIDTH;
    slots - slots / 16
}

/// The next larger number of lines: the allocator's size classes.
fn larger(size: usize) -> usize {
    size + match size {
        0..8 => 1,
        _ => 1 << (size.ilog2() - 2),
    }
}

/// The least number of lines for `count` elements that leaves some room to grow.
fn size_for(count: usize) -> usize {
    let wanted = (count + count / 6).div_ceil(WIDTH).max(1);
    usable_bytes(wanted * 64) / 64
}

/// The digit of a prefix that chooses among the children of a node that lies so
/// many bits deep.
#[inline]
fn digit(prefix: u32, depth: u32) -> usize {
    (prefix >> (PREFIX_BITS - DIGIT_BITS - depth)) as usize & (FANOUT - 1)
}

#[inline]
fn prefix(digest: u64) -> u32 {
    (digest >> (64 - PREFIX_BITS)) as u32
}

/// The line behind one, of so many.
#[inline]
fn after(line: usize, lines: usize) -> usize {
    if line + 1 == lines { 0 } else { line + 1 }
}

/// Puts an element in a leaf that has a free slot.
fn put<P: Payload>(lines: &mut [Line<P>], moving: Moving<P>) -> (usize, usize) {
    let mut at = home(moving.frag, lines.len());
    loop {
        let line = &mut lines[at];
        if let Some(slot) = line.tags.matches(0).next() {
            line.tags.set(slot, moving.frag as u8);
            line.slots[slot] = Some(moving.owned);
            return (at, slot);
        }
        line.tags.spill();
        at = after(at, lines.len());
    }
}

/// Takes an element out of a leaf.
fn take<P: Payload>(lines: &mut [Line<P>], line: usize, slot: usize) -> Owned<P> {
    let mut at = home(lines[line].frag(slot), lines.len());
    while at != line {
        lines[at].tags.unspill();
        at = after(at, lines.len());
    }
    let line = &mut lines[line];
    line.tags.set(slot, 0);
    line.slots[slot].take().expect("the slot is taken")
}

impl<P: Payload> Child<P> {
    /// A leaf of so many lines, with nothing in it.
    fn leaf(size: usize) -> Self {
        Child {
            count: 0,
            body: Body::Leaf(lines(size)),
        }
    }

    /// Takes all its elements out, showing each to `out`.
    fn drain(&mut self, out: &mut impl FnMut(Moving<P>)) {
        match &mut self.body {
            Body::Leaf(lines) => {
                for line in lines {
                    for slot in line.tags.taken() {
                        let frag = line.frag(slot);
                        if let Some(owned) = line.slots[slot].take() {
                            out(Moving { owned, frag });
                        }
                    }
                    line.tags = Tags::default();
                }
            }
            Body::Node(children) => children.iter_mut().for_each(|child| child.drain(out)),
        }
        self.count = 0;
    }

    /// The same elements in one leaf of so many lines.
    fn flatten(&mut self, size: usize) {
        let count = self.count;
        let mut fresh = lines(size);
        self.drain(&mut |moving| {
            put(&mut fresh, moving);
        });
        self.count = count;
        self.body = Body::Leaf(fresh);
    }

    /// Makes a leaf a node of leaves, each as large as it needs to be.
    fn split(&mut self, depth: u32) {
        let mut all = Vec::with_capacity(self.count);
        self.drain(&mut |moving| {
            moving.owned.prefetch();
            all.push(moving);
        });
        let digits: Vec<u8> = all
            .iter()
            .map(|m| digit(prefix(hash::digest(m.owned.element().key())), depth) as u8)
            .collect();
        let mut counts = [0; FANOUT];
        digits.iter().for_each(|&d| counts[usize::from(d)] += 1);
        self.count = all.len();
        let mut children = Box::new(counts.map(|count| Child::leaf(size_for(count))));
        for (moving, digit) in all.into_iter().zip(digits) {
            let child = &mut children[usize::from(digit)];
            if let Body::Leaf(lines) = &mut child.body {
                put(lines, moving);
                child.count += 1;
            }
        }
        self.body = Body::Node(children);
    }

    /// Does something to its lines and nodes, and keeps count of what they take.
    fn reframe(&mut self, frame: &mut Frame, change: impl FnOnce(&mut Self)) {
        frame.subtract(self.frame());
        change(self);
        frame.add(self.frame());
    }

    /// Adds an element that is not there.
    fn insert(&mut self, digest: u64, owned: Owned<P>, frame: &mut Frame) -> Place {
        let mut child = self;
        let mut depth = 0;
        loop {
            if let Body::Leaf(lines) = &child.body
                && child.count >= limit(lines.len())
            {
                let size = larger(lines.len());
                child.reframe(frame, |child| match size {
                    1..=LINES_MAX => child.flatten(size),
                    _ if depth == PREFIX_BITS => child.flatten(size),
                    _ => child.split(depth),
                });
            }
            child.count += 1;
            match &mut child.body {
                Body::Leaf(lines) => {
                    let frag = frag(digest);
                    let (line, slot) = put(lines, Moving { owned, frag });
                    return Place {
                        digest,
                        line: line as u32,
                        slot: slot as u8,
                    };
                }
                Body::Node(children) => {
                    child = &mut children[digit(prefix(digest), depth)];
                    depth += DIGIT_BITS;
                }
            }
        }
    }

    fn remove(&mut self, place: Place, depth: u32, frame: &mut Frame) -> Owned<P> {
        self.count -= 1;
        let (owned, is_sparse) = match &mut self.body {
            Body::Leaf(lines) => {
                let owned = take(lines, place.line as usize, place.slot.into());
                (
                    owned,
                    self.count * 4 < lines.len() * WIDTH && lines.len() > 1,
                )
            }
            Body::Node(children) => {
                let child = &mut children[digit(prefix(place.digest), depth)];
                let owned = child.remove(place, depth + DIGIT_BITS, frame);
                (owned, self.count < NODE_MIN)
            }
        };
        if is_sparse {
            self.reframe(frame, |child| child.flatten(size_for(child.count)));
        }
        owned
    }

    /// The place of the element at a rank.
    fn at_rank(&self, mut rank: usize) -> Option<Place> {
        let mut child = self;
        loop {
            match &child.body {
                Body::Node(children) => {
                    child = children.iter().find(|c| {
                        let is_here = rank < c.count;
                        rank -= if is_here { 0 } else { c.count };
                        is_here
                    })?;
                }
                Body::Leaf(lines) => return at_rank(lines, rank),
            }
        }
    }

    /// Shows the elements at some ranks, which rise, and count from `first` here.
    fn at_ranks<'a>(
        &'a self,
        ranks: &[usize],
        first: usize,
        visit: &mut impl FnMut(Element<'a, P>),
    ) {
        match &self.body {
            Body::Leaf(lines) => {
                let mut ranks = ranks.iter().map(|rank| rank - first).peekable();
                let elements = lines.iter().flat_map(Line::elements).enumerate();
                for (rank, element) in elements {
                    while ranks.next_if_eq(&rank).is_some() {
                        visit(element);
                    }
                    if ranks.peek().is_none() {
                        return;
                    }
                }
            }
            Body::Node(children) => {
                let (mut ranks, mut first) = (ranks, first);
                for child in children.iter() {
                    let here = ranks.partition_point(|&rank| rank < first + child.count);
                    if here > 0 {
                        child.at_ranks(&ranks[..here], first, visit);
                    }
                    ranks = &ranks[here..];
                    first += child.count;
                }
            }
        }
    }

    fn frame(&self) -> Frame {
        let own = |bytes| Frame {
            bytes: usable_bytes(bytes),
            blocks: 1,
        };
        match &self.body {
            Body::Leaf(lines) => own(size_of_val(&**lines)),
            Body::Node(children) => {
                let mut sum = own(size_of_val(&**children));
                children.iter().for_each(|child| sum.add(child.frame()));
                sum
            }
        }
    }
}

fn at_rank<P: Payload>(lines: &[Line<P>], mut rank: usize) -> Option<Place> {
    for (at, line) in lines.iter().enumerate() {
        let mut taken = line.tags.taken();
        if rank >= taken.count() {
            rank -= taken.count();
            continue;
        }
        let slot = taken.nth(rank)?;
        return Some(Place {
            digest: hash::digest(line.owned(slot).element().key()),
            line: at as u32,
            slot: slot as u8,
        });
    }
    None
}

/// Where an element stands; good until the dict next gains or loses one. A debug
/// build notices who uses it later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    digest: u64,
    line: u32,
    slot: u8,
}

/// See the head of this file.
#[derive(Clone)]
pub struct Dict<P: Payload> {
    root: Child<P>,
    frame: Frame,
    /// Bytes of the elements' allocations.
    element_bytes: usize,
}

impl<P: Payload> Default for Dict<P> {
    fn default() -> Self {
        Dict::new()
    }
}

impl<P: Payload> Dict<P> {
    /// An empty dict.
    pub fn new() -> Self {
        let root = Child::leaf(1);
        Dict {
            frame: root.frame(),
            root,
            element_bytes: 0,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.root.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The leaf of a prefix, and how many bits deep it lies.
    #[inline]
    fn leaf(&self, prefix: u32) -> (&[Line<P>], u32) {
        let mut child = &self.root;
        let mut depth = 0;
        loop {
            match &child.body {
                Body::Leaf(lines) => return (lines, depth),
                Body::Node(children) => {
                    child = &children[digit(prefix, depth)];
                    depth += DIGIT_BITS;
                }
            }
        }
    }

    /// Finds a key.
    pub fn find(&self, key: &[u8]) -> Option<Place> {
        self.find_where(hash::digest(key), |element| element.key() == key)
    }

    /// Finds an element by its key's digest and by what `is_it` says of it, which
    /// may be asked about some with other digests, too.
    #[inline]
    pub fn find_where<'a>(
        &'a self,
        digest: u64,
        mut is_it: impl FnMut(Element<'a, P>) -> bool,
    ) -> Option<Place> {
        let (lines, _) = self.leaf(prefix(digest));
        let frag = frag(digest);
        let first = home(frag, lines.len());
        let mut at = first;
        loop {
            let line = &lines[at];
            for slot in line.tags.matches(frag as u8) {
                let owned = line.owned(slot);
                if u32::from(owned.place()) == frag >> 8 && is_it(owned.element()) {
                    return Some(Place {
                        digest,
                        line: at as u32,
                        slot: slot as u8,
                    });
                }
            }
            at = after(at, lines.len());
            if !line.tags.is_passed() || at == first {
                return None;
            }
        }
    }

    /// Whether a key is there.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// The payload of a key.
    pub fn get(&self, key: &[u8]) -> Option<P::Get<'_>> {
        Some(self.element(self.find(key)?).payload())
    }

    fn owned(&self, place: Place) -> &Owned<P> {
        let (lines, _) = self.leaf(prefix(place.digest));
        let owned = lines[place.line as usize].owned(place.slot.into());
        debug_assert!(
            hash::digest(owned.element().key()) == place.digest,
            "a place was used after its dict gained or lost an element"
        );
        owned
    }

    /// The element at a place.
    pub fn element(&self, place: Place) -> Element<'_, P> {
        self.owned(place).element()
    }

    /// Adds an element whose key is not there.
    pub fn insert(&mut self, key: &[u8], new: P::New<'_>) -> Place {
        debug_assert!(!self.contains(key));
        self.insert_at(hash::digest(key), key, new)
    }

    /// Adds an element if its key is not there, or else says where that is.
    pub fn insert_if_absent(&mut self, key: &[u8], new: P::New<'_>) -> Result<Place, Place> {
        let digest = hash::digest(key);
        match self.find_where(digest, |element| element.key() == key) {
            Some(place) => Err(place),
            None => Ok(self.insert_at(digest, key, new)),
        }
    }

    fn insert_at(&mut self, digest: u64, key: &[u8], new: P::New<'_>) -> Place {
        let owned = Owned::new(key, new, (frag(digest) >> 8) as u8);
        self.element_bytes += owned.element().heap_bytes();
        self.root.insert(digest, owned, &mut self.frame)
    }

    /// Gives an element another payload. Its handles stay good where the payload
    /// keeps its length and its mark.
    pub fn replace(&mut self, place: Place, new: P::New<'_>) {
        let before = self.element(place).heap_bytes();
        let mut child = &mut self.root;
        let mut depth = 0;
        let lines = loop {
            match &mut child.body {
                Body::Leaf(lines) => break lines,
                Body::Node(children) => {
                    child = &mut children[digit(prefix(place.digest), depth)];
                    depth += DIGIT_BITS;
                }
            }
        };
        let slot = &mut lines[place.line as usize].slots[usize::from(place.slot)];
        let owned = slot.as_mut().expect("the slot is taken");
        owned.replace(new);
        self.element_bytes += owned.element().heap_bytes();
        self.element_bytes -= before;
    }

    /// Removes an element.
    pub fn remove(&mut self, place: Place) {
        debug_assert!(self.owned(place).place() == (frag(place.digest) >> 8) as u8);
        let owned = self.root.remove(place, 0, &mut self.frame);
        self.element_bytes -= owned.element().heap_bytes();
    }

    /// Removes a key, and says whether it was there.
    pub fn take(&mut self, key: &[u8]) -> bool {
        let place = self.find(key);
        if let Some(place) = place {
            self.remove(place);
        }
        place.is_some()
    }

    /// Every element, in the order of their digests.
    pub fn iter(&self) -> impl Iterator<Item = Element<'_, P>> {
        let mut next = 0;
        let leaves = std::iter::from_fn(move || {
            (next < 1 << PREFIX_BITS).then(|| {
                let (lines, depth) = self.leaf(next);
                next += 1 << (PREFIX_BITS - depth);
                lines
            })
        });
        leaves.flatten().flat_map(Line::elements)
    }

    /// The element at a rank from 0 up to [`Dict::len`], in the order of `iter`.
    pub fn at_rank(&self, rank: usize) -> Option<Place> {
        self.root.at_rank(rank)
    }

    /// Shows the elements at some ranks that rise (one may be there repeatedly):
    /// cheaper than one by one.
    pub fn at_ranks<'a>(&'a self, ranks: &[usize], mut visit: impl FnMut(Element<'a, P>)) {
        debug_assert!(ranks.is_sorted());
        self.root.at_ranks(ranks, 0, &mut visit);
    }

    /// An element at random, each with the same probability; `None` where there
    /// is none.
    pub fn random(&self) -> Option<Place> {
        self.at_rank(clock::random_below(self.len() as u64) as usize)
    }

    /// Walks one line from `cursor` on, and returns where to go on; `None` at the
    /// end. A walk begins at 0.
    pub fn scan<'a>(&'a self, cursor: u64, mut visit: impl FnMut(Element<'a, P>)) -> Option<u64> {
        let mut cursor = Cursor::from_bits(cursor);
        let (lines, depth) = self.leaf(cursor.prefix);
        let is_merged = depth < cursor.depth;
        cursor.depth = cursor.depth.max(depth);
        let wanted = home(cursor.frag, lines.len());
        let mut at = wanted;
        loop {
            let line = &lines[at];
            for slot in line.tags.taken() {
                let frag = line.frag(slot);
                if frag >= cursor.frag && home(frag, lines.len()) == wanted {
                    let element = line.owned(slot).element();
                    if !is_merged || cursor.holds(prefix(hash::digest(element.key()))) {
                        visit(element);
                    }
                }
            }
            at = after(at, lines.len());
            if !line.tags.is_passed() || at == wanted {
                break;
            }
        }
        if wanted + 1 < lines.len() {
            cursor.frag = first_frag(wanted + 1, lines.len());
            return Some(cursor.bits());
        }
        cursor.next_part().map(Cursor::bits)
    }

    /// What it holds on the heap beside itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.element_bytes + self.frame.bytes
    }

    /// How many allocations it holds.
    pub fn free_effort(&self) -> usize {
        self.len() + self.frame.blocks
    }
}

#[cfg(test)]
mod tests;
