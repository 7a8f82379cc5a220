//! A sorted set: members, each once, ordered by score and, among equal scores,
//! by their bytes.
//!
//! A small one is a listpack of members, each followed by its score, in order,
//! as Valkey's is. A large one is a [`Tree`]: an index from members to scores
//! beside a tree that knows ranks. Every range, whatever it is given by, is
//! first made a range of ranks.

use std::ops::Range;

use super::listpack::index::Index;
use super::listpack::{Item, Listpack};
use super::object::Family;
use crate::base::heap::usable_bytes;

mod packed;
mod range;
#[cfg(test)]
mod tests;
mod tree;

pub use range::{LexBound, LexRange, ScoreBound, ScoreRange};
pub use tree::Tree;

/// See the head of this file.
#[derive(Clone)]
pub enum ZSet {
    /// Few and short members.
    Packed(Listpack),
    /// Any others.
    Tree(Box<Tree>),
}

const _: () = assert!(size_of::<ZSet>() == 16);

/// How long a sorted set stays packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most members.
    pub members_max: usize,
    /// Most bytes of a member.
    pub member_bytes_max: usize,
}

impl Limits {
    fn allow(&self, members: usize, member_bytes: usize) -> bool {
        members <= self.members_max && member_bytes <= self.member_bytes_max
    }
}

/// On what conditions, and how, a score is given.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rule {
    /// Not to a member that is there.
    pub only_new: bool,
    /// Not to one that is not there.
    pub only_present: bool,
    /// Of one that is there, to none that is not greater.
    pub only_greater: bool,
    /// Of one that is there, to none that is not less.
    pub only_less: bool,
    /// It is added to the score of a member that is there.
    pub add: bool,
}

/// What became of a score that was given; with the one that the member has now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Given {
    /// To a new member.
    New(f64),
    /// To one that had another.
    Changed(f64),
    /// To one that had the same.
    Same(f64),
    /// To none, by the rule.
    Refused,
}

/// The sum of two scores that have none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotANumber;

impl Default for ZSet {
    fn default() -> Self {
        ZSet::Packed(Listpack::new())
    }
}

impl ZSet {
    /// One of members and scores that come in order.
    pub fn of_sorted<M: AsRef<[u8]>>(elements: &[(M, f64)], limits: Limits) -> ZSet {
        let longest = elements.iter().map(|(m, _)| m.as_ref().len()).max();
        let mut zset = ZSet::default();
        zset.expect(elements.len(), longest.unwrap_or(0), limits);
        for (member, score) in elements {
            zset.push(member.as_ref(), *score, limits);
        }
        zset
    }

    /// Appends a member that is above all others.
    pub fn push(&mut self, member: &[u8], score: f64, limits: Limits) {
        match self.packed_with_room(member, limits) {
            Some(pack) => packed::push(pack, member, score),
            None => self.unpack().insert(member, score),
        }
    }

    /// Unpacks it where so many members, or one of so many bytes, are beyond the
    /// limits.
    pub fn expect(&mut self, members: usize, member_bytes: usize, limits: Limits) {
        if !limits.allow(members, member_bytes) {
            self.unpack();
        }
    }

    fn unpack(&mut self) -> &mut Tree {
        if let ZSet::Packed(pack) = self {
            let mut tree = Tree::default();
            for (member, score) in packed::iter(pack, 0..packed::len(pack)) {
                member.with_bytes(|member| tree.insert(member, score));
            }
            *self = ZSet::Tree(Box::new(tree));
        }
        match self {
            ZSet::Tree(tree) => tree,
            ZSet::Packed(_) => unreachable!("it was just unpacked"),
        }
    }

    /// A member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            ZSet::Packed(pack) => packed::find(pack, member).map(|(_, score)| score),
            ZSet::Tree(tree) => tree.score(member),
        }
    }

    /// For who asks for the scores of about so many members.
    pub fn scores(&self, lookups: usize) -> Scores<'_> {
        let index = match self {
            ZSet::Packed(pack) => Index::new(pack, true, lookups).map(|index| (pack, index)),
            ZSet::Tree(_) => None,
        };
        match index {
            Some((pack, index)) => Scores::Indexed(pack, index),
            None => Scores::Plain(self),
        }
    }

    /// A member's rank, from the lowest score up, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            ZSet::Packed(pack) => packed::rank(pack, member),
            ZSet::Tree(tree) => tree.rank(member),
        }
    }

    /// Gives a member a score, which is a number. What was refused or is not a
    /// number changed nothing.
    pub fn give(
        &mut self,
        member: &[u8],
        score: f64,
        rule: Rule,
        limits: Limits,
    ) -> Result<Given, NotANumber> {
        debug_assert!(!score.is_nan());
        let Some(before) = self.score(member) else {
            if rule.only_present {
                return Ok(Given::Refused);
            }
            self.insert(member, score, limits);
            return Ok(Given::New(score));
        };
        if rule.only_new {
            return Ok(Given::Refused);
        }
        let score = if rule.add { before + score } else { score };
        if score.is_nan() {
            return Err(NotANumber);
        }
        if rule.only_greater && score <= before || rule.only_less && score >= before {
            return Ok(Given::Refused);
        }
        if score == before {
            return Ok(Given::Same(score));
        }
        match self {
            ZSet::Packed(pack) => {
                packed::remove(pack, member);
                packed::insert(pack, member, score);
            }
            ZSet::Tree(tree) => tree.change(member, score),
        }
        Ok(Given::Changed(score))
    }

    fn insert(&mut self, member: &[u8], score: f64, limits: Limits) {
        match self.packed_with_room(member, limits) {
            Some(pack) => packed::insert(pack, member, score),
            None => self.unpack().insert(member, score),
        }
    }

    fn packed_with_room(&mut self, member: &[u8], limits: Limits) -> Option<&mut Listpack> {
        match self {
            ZSet::Packed(pack)
                if limits.allow(packed::len(pack) + 1, member.len())
                    && pack.has_room_for(member.len()) =>
            {
                Some(pack)
            }
            _ => None,
        }
    }

    /// Takes a member out; false where it is not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            ZSet::Packed(pack) => packed::remove(pack, member),
            ZSet::Tree(tree) => tree.remove(member),
        }
    }

    /// Takes the members of these ranks out.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        match self {
            ZSet::Packed(pack) => pack.remove_range(ranks.start * 2, ranks.len() * 2),
            ZSet::Tree(tree) => tree.remove_ranks(ranks),
        }
    }

    /// The ranks of the members whose scores lie in a range.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        match self {
            ZSet::Packed(pack) => packed::ranks(
                pack,
                |_, score| range.is_below(score),
                |_, score| range.is_above(score),
            ),
            ZSet::Tree(tree) => tree.ranks(
                |_, score| range.is_below(score),
                |_, score| range.is_above(score),
            ),
        }
    }

    /// The ranks of the members that lie in a range; for sorted sets of which
    /// all scores are the same.
    pub fn ranks_by_lex(&self, range: &LexRange<'_>) -> Range<usize> {
        match self {
            ZSet::Packed(pack) => packed::ranks(
                pack,
                |member, _| member.with_bytes(|member| range.is_below(member)),
                |member, _| member.with_bytes(|member| range.is_above(member)),
            ),
            ZSet::Tree(tree) => tree.ranks(
                |member, _| range.is_below(member),
                |member, _| range.is_above(member),
            ),
        }
    }

    /// The members of these ranks, which are there, and their scores, from
    /// either end.
    pub fn range(&self, ranks: Range<usize>) -> Iter<'_> {
        match self {
            ZSet::Packed(pack) => Iter::Packed(packed::iter(pack, ranks)),
            ZSet::Tree(tree) => Iter::Tree(tree.range(ranks)),
        }
    }

    /// All members and their scores.
    pub fn iter(&self) -> Iter<'_> {
        self.range(0..self.len())
    }

    /// Shows some members and their scores from `cursor` on, and returns where to
    /// go on, `None` at the end; a walk begins at 0. Whoever is there from the
    /// start of a walk to its end is met.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(Item<'_>, f64)) -> Option<u64> {
        match self {
            ZSet::Packed(_) => {
                self.iter().for_each(|(member, score)| visit(member, score));
                None
            }
            ZSet::Tree(tree) => tree.scan(cursor, |member, score| visit(Item::Str(member), score)),
        }
    }

    /// The member at a rank, and its score.
    pub fn at(&self, rank: usize) -> Option<(Item<'_>, f64)> {
        (rank < self.len()).then(|| self.range(rank..rank + 1).next())?
    }
}

/// The scores of a sorted set.
pub enum Scores<'a> {
    /// As they are.
    Plain(&'a ZSet),
    /// With an index of the members beside them.
    Indexed(&'a Listpack, Index<'a>),
}

impl Scores<'_> {
    /// A member's score.
    pub fn of(&self, member: &[u8]) -> Option<f64> {
        match self {
            Scores::Plain(zset) => zset.score(member),
            Scores::Indexed(pack, index) => {
                let at = index.find(member)?;
                Some(packed::score_at(pack, at).1)
            }
        }
    }
}

impl Family for ZSet {
    fn len(&self) -> usize {
        match self {
            ZSet::Packed(pack) => packed::len(pack),
            ZSet::Tree(tree) => tree.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            ZSet::Packed(_) => "listpack",
            ZSet::Tree(_) => "skiplist",
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            ZSet::Packed(pack) => pack.heap_bytes(),
            ZSet::Tree(tree) => usable_bytes(size_of::<Tree>()) + tree.heap_bytes(),
        }
    }

    fn free_effort(&self) -> usize {
        match self {
            ZSet::Packed(_) => 1,
            ZSet::Tree(tree) => 1 + tree.free_effort(),
        }
    }
}

/// Members and their scores.
pub enum Iter<'a> {
    /// Of a packed one.
    Packed(packed::Iter<'a>),
    /// Of a tree.
    Tree(tree::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Item<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Packed(iter) => iter.next(),
            Iter::Tree(iter) => iter.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Iter::Packed(iter) => iter.size_hint(),
            Iter::Tree(iter) => iter.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Packed(iter) => iter.next_back(),
            Iter::Tree(iter) => iter.next_back(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}
