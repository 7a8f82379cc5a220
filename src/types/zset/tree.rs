//! A large sorted set: an index from members to their scores, and beside it the
//! order.
//!
//! ```text
//!  members: Dict     "ann" ▶ ┌ ann │ 3.5 ┐ ◀┐     one allocation a member
//!                            └───────────┘  │
//!  ranks: RankTree   … (2, •) (3.5, • ──────┘) (3.5, •) (7, •) …
//! ```
//!
//! Leaves of the order have handles alone, for memory; its inner nodes have the
//! scores beside them, so that a search goes to members only in its leaf and
//! among equal scores.
//!
//! **Rule that makes this sound:** every handle in `ranks` is one of an element
//! in `members`, whose payloads all have one length. An element that goes leaves
//! `ranks` first, and so does one whose score changes: copies of its key that are
//! still there then are not compared any more. Where a changed score leaves it in
//! its leaf it stays, for no node above has its key (`RankTree::shift`).
#![allow(unsafe_code)]

use std::cmp::Ordering;
use std::ops::Range;

use crate::types::dict::{Dict, Element, Handle, Payload};
use crate::types::listpack::Item;
use crate::types::rank_tree::{self, RankTree, Ranked};

/// A member's score, which is a number.
#[derive(Clone, Copy)]
pub struct Score;

impl Payload for Score {
    type New<'a> = f64;
    type Get<'a> = f64;
    const LENGTH_BITS: u32 = 0;
    const FIXED_BYTES: usize = size_of::<f64>();

    fn bytes(_: f64) -> usize {
        Self::FIXED_BYTES
    }

    fn write(score: f64, out: &mut [u8]) {
        out.copy_from_slice(&score.to_ne_bytes());
    }

    fn read(bytes: &[u8], _: bool) -> f64 {
        bytes.try_into().map_or(0.0, f64::from_ne_bytes)
    }
}

/// A member in the order.
#[derive(Clone, Copy)]
struct Member(Handle<Score>);

impl Member {
    #[inline]
    fn element(&self) -> Element<'_, Score> {
        // SAFETY: by the rule above it is still there. What is read lives no
        // longer than the borrow of `ranks`, within which nobody changes it.
        unsafe { self.0.element() }
    }
}

impl Ranked for Member {
    type Key = Key;

    #[inline]
    fn key(&self) -> Key {
        Key::of(self.element())
    }

    #[inline]
    fn is(&self, key: &Key) -> bool {
        self.0.is(key.member.0)
    }
}

/// What members are ordered by.
#[derive(Clone, Copy)]
struct Key {
    score: f64,
    member: Member,
}

impl Key {
    fn of(element: Element<'_, Score>) -> Key {
        Key {
            score: element.payload(),
            member: Member(element.handle()),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.member.element().key()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match self.score.partial_cmp(&other.score) {
            Some(Ordering::Equal) | None => self.bytes().cmp(other.bytes()),
            Some(order) => order,
        }
    }
}

/// See the head of this file.
#[derive(Default)]
pub struct Tree {
    members: Dict<Score>,
    ranks: RankTree<Member>,
}

impl Clone for Tree {
    fn clone(&self) -> Self {
        let mut copy = Tree::default();
        for (member, score) in self.range(0..self.len()) {
            member.with_bytes(|member| copy.insert(member, score));
        }
        copy
    }
}

impl Tree {
    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.members.get(member)
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let place = self.members.find(member)?;
        let key = Key::of(self.members.element(place));
        let rank = self.ranks.partition_point(|other| other < key);
        Some((rank, key.score))
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) {
        let place = self.members.insert(member, score);
        self.ranks
            .insert(Member(self.members.element(place).handle()));
    }

    /// Gives a member that is there another score.
    pub(super) fn change(&mut self, member: &[u8], score: f64) {
        let Some(place) = self.members.find(member) else {
            return;
        };
        let old = Key::of(self.members.element(place));
        let (member, new) = (old.member, Key { score, ..old });
        if self.ranks.shift(old, new) {
            self.members.replace(place, score);
            return;
        }
        let left = self.ranks.remove(old);
        debug_assert!(left, "who is a member has a rank");
        self.members.replace(place, score);
        debug_assert!(member.0.is(self.members.element(place).handle()));
        self.ranks
            .insert(Member(self.members.element(place).handle()));
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(place) = self.members.find(member) else {
            return false;
        };
        let left = self.ranks.remove(Key::of(self.members.element(place)));
        debug_assert!(left, "who is a member has a rank");
        self.members.remove(place);
        true
    }

    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        let members = &mut self.members;
        self.ranks.remove_range(ranks, |member| {
            let place = members.find(member.element().key());
            members.remove(place.expect("who has a rank is a member"));
        });
    }

    /// The ranks from the first member that is not below a range to the first one
    /// that is above it.
    pub(super) fn ranks(
        &self,
        is_below: impl Fn(&[u8], f64) -> bool,
        is_above: impl Fn(&[u8], f64) -> bool,
    ) -> Range<usize> {
        let (is_below, is_above) = (&is_below, &is_above);
        let start = self.ranks.partition_point(|x| is_below(x.bytes(), x.score));
        let end = self
            .ranks
            .partition_point(|x| !is_above(x.bytes(), x.score));
        start..end.max(start)
    }

    /// As [`Dict::scan`].
    pub(super) fn scan(&self, cursor: u64, mut visit: impl FnMut(&[u8], f64)) -> Option<u64> {
        self.members
            .scan(cursor, |element| visit(element.key(), element.payload()))
    }

    pub(super) fn range(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter(self.ranks.range(ranks))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.members.heap_bytes() + self.ranks.heap_bytes()
    }

    pub(super) fn free_effort(&self) -> usize {
        self.members.free_effort() + self.ranks.allocations()
    }
}

/// Members and their scores.
pub struct Iter<'a>(rank_tree::Iter<'a, Member>);

impl<'a> Iter<'a> {
    /// `member` stands in the tree that is borrowed for `'a`.
    fn element(member: Member) -> (Item<'a>, f64) {
        // SAFETY: as in `Member::element`.
        let element = unsafe { member.0.element() };
        (Item::Str(element.key()), element.payload())
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Item<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Self::element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(Self::element)
    }
}
