//! A set: of integers as long as there are few and nothing else, of short
//! members as long as there are few, or else a table.
//!
//! ```text
//!  Ints ──▶ Packed ──▶ Table      never back, but by a command that makes
//!    └───────────────────▲        a new set of what is left or found
//! ```
//!
//! Source: Valkey's `t_set.c`, whose conversions these are, so that OBJECT
//! ENCODING answers the same.

pub mod combine;

use super::dict::Dict;
use super::intset::{self, Intset};
use super::listpack::Listpack;
use super::object::Family;
use super::sample;
use crate::base::heap::usable_bytes;
use crate::base::num::{self, IntText};

/// A member, as an integer where it is kept as one.
pub use super::listpack::Item as Member;

/// Up to where a set is compact.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most integers (`set-max-intset-entries`).
    pub intset_entries: usize,
    /// Most short members (`set-max-listpack-entries`).
    pub listpack_entries: usize,
    /// Bytes of the longest of them (`set-max-listpack-value`).
    pub listpack_value: usize,
}

impl Limits {
    /// Everything is a table: for sets that are only made to be read.
    pub const NONE: Limits = Limits {
        intset_entries: 0,
        listpack_entries: 0,
        listpack_value: 0,
    };

    fn intset_entries(&self) -> usize {
        self.intset_entries.min(intset::LEN_MAX - 1)
    }
}

/// See the head of this file.
#[derive(Clone)]
pub enum Set {
    /// Integers alone.
    Ints(Intset),
    /// Short members.
    Packed(Listpack),
    /// Any members.
    Table(Box<Dict<()>>),
}

impl Default for Set {
    /// An empty set.
    fn default() -> Set {
        Set::Ints(Intset::new())
    }
}

impl Set {
    /// An empty set, fit for `first` and so many members in all.
    pub fn for_members(first: &[u8], count: usize, limits: &Limits) -> Set {
        if count <= limits.intset_entries && num::parse_i64(first).is_some() {
            Set::Ints(Intset::new())
        } else if count <= limits.listpack_entries {
            Set::Packed(Listpack::new())
        } else {
            Set::Table(Box::default())
        }
    }

    /// Makes it a table at once where so many members more would make it one.
    pub fn expect(&mut self, count: usize, limits: &Limits) {
        let is_much = match self {
            Set::Ints(_) => count > limits.intset_entries,
            Set::Packed(_) => count > limits.listpack_entries,
            Set::Table(_) => false,
        };
        if is_much {
            self.make_table();
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Packed(pack) => pack.len(),
            Set::Table(dict) => dict.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every member: of a table in no order, of integers by rising value, or else
    /// in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        let (mut ints, mut pack, mut dict) = (None, None, None);
        match self {
            Set::Ints(it) => ints = Some(it.iter().map(Member::Int)),
            Set::Packed(it) => pack = Some(it.iter()),
            Set::Table(it) => dict = Some(it.iter().map(|element| Member::Str(element.key()))),
        }
        let (ints, pack, dict) = (ints.into_iter(), pack.into_iter(), dict.into_iter());
        ints.flatten().chain(pack.flatten()).chain(dict.flatten())
    }

    /// Whether a member is there.
    pub fn contains(&self, member: Member<'_>) -> bool {
        match self {
            Set::Ints(ints) => member.int().is_some_and(|n| ints.contains(n)),
            Set::Packed(pack) => member.with_bytes(|text| find(pack, text).is_some()),
            Set::Table(dict) => member.with_bytes(|text| dict.contains(text)),
        }
    }

    /// Adds a member, and says whether it was not there.
    pub fn insert(&mut self, member: Member<'_>, limits: &Limits) -> bool {
        match self {
            Set::Ints(ints) => match member.int() {
                Some(n) => {
                    let is_new = ints.insert(n);
                    if is_new && ints.len() > limits.intset_entries() {
                        self.make_table();
                    }
                    is_new
                }
                None => member.with_bytes(|text| self.insert_text_to_ints(text, limits)),
            },
            Set::Packed(_) => member.with_bytes(|text| self.insert_packed(text, limits)),
            Set::Table(dict) => member.with_bytes(|text| dict.insert_if_absent(text, ()).is_ok()),
        }
    }

    fn insert_packed(&mut self, text: &[u8], limits: &Limits) -> bool {
        let Set::Packed(pack) = self else {
            return false;
        };
        if find(pack, text).is_some() {
            return false;
        }
        let is_short = text.len() <= limits.listpack_value;
        if pack.len() < limits.listpack_entries && is_short && pack.has_room_for(text.len()) {
            pack.push_back(text);
        } else {
            self.make_table().insert(text, ());
        }
        true
    }

    /// Adds what is no integer to a set of integers.
    fn insert_text_to_ints(&mut self, text: &[u8], limits: &Limits) -> bool {
        let Set::Ints(ints) = self else {
            return false;
        };
        let longest = [ints.iter().next(), ints.iter().next_back()]
            .into_iter()
            .flatten()
            .map(|n| IntText::new(n).as_bytes().len())
            .max();
        let is_short = text.len().max(longest.unwrap_or(0)) <= limits.listpack_value;
        if ints.len() < limits.listpack_entries && is_short {
            let mut pack: Listpack = Listpack::new();
            ints.iter().for_each(|n| pack.push_back_int(n));
            pack.push_back(text);
            *self = Set::Packed(pack);
        } else {
            self.make_table().insert(text, ());
        }
        true
    }

    /// Makes it a table, whatever it was.
    fn make_table(&mut self) -> &mut Dict<()> {
        if !matches!(self, Set::Table(_)) {
            let mut dict = Box::<Dict<()>>::default();
            for member in self.iter() {
                // What a listpack from outside holds twice is there once.
                let _ = member.with_bytes(|text| dict.insert_if_absent(text, ()));
            }
            *self = Set::Table(dict);
        }
        match self {
            Set::Table(dict) => dict,
            _ => unreachable!("it was just made one"),
        }
    }

    /// Makes it a set of integers, where it is a listpack or table of nothing else
    /// and has few enough.
    pub fn make_ints(&mut self, limits: &Limits) {
        if !matches!(self, Set::Ints(_)) && self.len() <= limits.intset_entries() {
            let ints: Option<Vec<i64>> = self.iter().map(Member::int).collect();
            if let Some(mut ints) = ints {
                ints.sort_unstable();
                *self = Set::Ints(ints.into_iter().collect());
            }
        }
    }

    /// Removes a member, and says whether it was there.
    pub fn remove(&mut self, member: Member<'_>) -> bool {
        match self {
            Set::Ints(ints) => member.int().is_some_and(|n| ints.remove(n)),
            Set::Packed(pack) => {
                let at = member.with_bytes(|text| find(pack, text));
                if let Some(at) = at {
                    pack.remove(at);
                }
                at.is_some()
            }
            Set::Table(dict) => member.with_bytes(|text| dict.take(text)),
        }
    }

    /// The member at a rank, in the order of `iter`.
    pub fn at_rank(&self, rank: usize) -> Option<Member<'_>> {
        match self {
            Set::Ints(ints) => ints.get(rank).map(Member::Int),
            Set::Packed(pack) => {
                let at = pack.seek(isize::try_from(rank).ok()?)?;
                Some(pack.get(at))
            }
            Set::Table(dict) => {
                let place = dict.at_rank(rank)?;
                Some(Member::Str(dict.element(place).key()))
            }
        }
    }

    /// Shows the members at some ranks, which rise.
    pub fn at_ranks<'a>(&'a self, ranks: &[usize], mut visit: impl FnMut(Member<'a>)) {
        match self {
            Set::Table(dict) => dict.at_ranks(ranks, |element| visit(Member::Str(element.key()))),
            _ => {
                let mut ranks = ranks.iter().copied().peekable();
                for (rank, member) in self.iter().enumerate() {
                    while ranks.next_if_eq(&rank).is_some() {
                        visit(member);
                    }
                }
            }
        }
    }

    /// Takes so many members out, chosen at random, or all of them. Where few are
    /// left, they are a new set, which may be more compact.
    pub fn pop(&mut self, count: usize, limits: &Limits) -> Vec<Vec<u8>> {
        let len = self.len();
        let left = len.saturating_sub(count);
        let mut taken = Vec::with_capacity(count.min(len));
        if left * REBUILT_FROM > count {
            let ranks = sample::ranks(len, count);
            self.at_ranks(&ranks, |member| taken.push(member.to_vec()));
            for member in &taken {
                self.remove(Member::Str(member));
            }
            return taken;
        }
        let mut rest = match self {
            Set::Ints(_) => Set::Ints(Intset::new()),
            _ => Set::Packed(Listpack::new()),
        };
        let mut kept = sample::ranks(len, left).into_iter().peekable();
        for (rank, member) in self.iter().enumerate() {
            match kept.next_if_eq(&rank) {
                Some(_) => {
                    rest.insert(member, limits);
                }
                None => taken.push(member.to_vec()),
            }
        }
        *self = rest;
        taken
    }
}

/// The share of a set, as 1 to this, that is not worth taking all others out of it.
const REBUILT_FROM: usize = 5;

fn find(pack: &Listpack, text: &[u8]) -> Option<super::listpack::At> {
    pack.find(pack.first()?, text, 0)
}

impl Family for Set {
    fn len(&self) -> usize {
        self.len()
    }

    fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Packed(_) => "listpack",
            Set::Table(_) => "hashtable",
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.heap_bytes(),
            Set::Packed(pack) => pack.heap_bytes(),
            Set::Table(dict) => usable_bytes(size_of::<Dict<()>>()) + dict.heap_bytes(),
        }
    }

    fn free_effort(&self) -> usize {
        match self {
            Set::Ints(_) | Set::Packed(_) => 1,
            Set::Table(dict) => 1 + dict.free_effort(),
        }
    }
}

#[cfg(test)]
mod tests;
