//! A sorted set in a listpack: each member, and behind it its score, in order.
//!
//! A score that is an integer is stored as one, any other as its text: a
//! negative zero becomes zero, as in Valkey.

use std::cmp::Ordering;
use std::ops::Range;

use crate::base::num::{self, FloatText};
use crate::types::listpack::{At, Item, Listpack};

/// Number of members.
pub fn len(pack: &Listpack) -> usize {
    pack.len() / 2
}

fn score_of(item: Item<'_>) -> f64 {
    match item {
        Item::Int(n) => n as f64,
        // A listpack that was made elsewhere is looked through before it is used.
        Item::Str(text) => num::parse_f64_saturating(text).unwrap_or(0.0),
    }
}

/// The score behind a member.
pub fn score_at(pack: &Listpack, member: At) -> (At, f64) {
    let at = pack.next(member).expect("a score behind each member");
    (at, score_of(pack.get(at)))
}

/// Where a member is, and its score.
pub fn find(pack: &Listpack, member: &[u8]) -> Option<(At, f64)> {
    let at = pack.find(pack.first()?, member, 1)?;
    Some((at, score_at(pack, at).1))
}

/// A member's rank and score.
pub fn rank(pack: &Listpack, member: &[u8]) -> Option<(usize, f64)> {
    let mut elements = iter(pack, 0..len(pack)).enumerate();
    let (rank, (_, score)) = elements.find(|(_, (item, _))| *item == *member)?;
    Some((rank, score))
}

/// Inserts a member that is not there.
pub fn insert(pack: &mut Listpack, member: &[u8], score: f64) {
    let mut next = pack.first();
    while let Some(at) = next {
        let (score_at, other) = score_at(pack, at);
        let order = other.partial_cmp(&score).unwrap_or(Ordering::Equal);
        let order = order.then_with(|| pack.get(at).with_bytes(|other| other.cmp(member)));
        if order == Ordering::Greater {
            let at = pack.insert_before(at, member);
            match num::exact_i64(score) {
                Some(n) => pack.insert_after_int(at, n),
                None => pack.insert_after(at, FloatText::new(score).as_bytes()),
            };
            return;
        }
        next = pack.next(score_at);
    }
    push(pack, member, score);
}

/// Appends a member that is above all others.
pub fn push(pack: &mut Listpack, member: &[u8], score: f64) {
    pack.push_back(member);
    match num::exact_i64(score) {
        Some(n) => pack.push_back_int(n),
        None => pack.push_back(FloatText::new(score).as_bytes()),
    }
}

/// Takes a member out; false where it is not there.
pub fn remove(pack: &mut Listpack, member: &[u8]) -> bool {
    let found = find(pack, member);
    if let Some((at, _)) = found {
        pack.remove_from(at, 2);
    }
    found.is_some()
}

/// The ranks from the first member that is not below a range to the first one
/// behind that is above it.
pub fn ranks(
    pack: &Listpack,
    is_below: impl Fn(Item<'_>, f64) -> bool,
    is_above: impl Fn(Item<'_>, f64) -> bool,
) -> Range<usize> {
    let len = len(pack);
    let mut elements = iter(pack, 0..len);
    let start = elements.position(|(m, s)| !is_below(m, s)).unwrap_or(len);
    let mut rest = iter(pack, start..len);
    let count = rest.position(|(m, s)| is_above(m, s));
    start..count.map_or(len, |count| start + count)
}

/// Members and their scores.
pub struct Iter<'a> {
    pack: &'a Listpack,
    left: usize,
    /// The next member from the front.
    front: Option<At>,
    /// The next score from the back.
    back: Option<At>,
}

/// The members of these ranks, which are there.
pub fn iter(pack: &Listpack, ranks: Range<usize>) -> Iter<'_> {
    Iter {
        pack,
        left: ranks.len(),
        front: pack.seek(ranks.start as isize * 2),
        back: match ranks.end == len(pack) {
            true => pack.last(),
            false => pack.seek(ranks.end as isize * 2 - 1),
        },
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Item<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let member = self.front?;
        let (at, score) = score_at(self.pack, member);
        self.front = self.pack.next(at);
        Some((self.pack.get(member), score))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let at = self.back?;
        let member = self.pack.prev(at)?;
        self.back = self.pack.prev(member);
        Some((self.pack.get(member), score_of(self.pack.get(at))))
    }
}
