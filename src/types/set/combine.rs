//! What sets have in common, together, or apart.

use super::{Limits, Listpack, Member, Set};
use crate::types::listpack::index::Index;

/// A set that many members are looked for in.
pub enum Finder<'a> {
    /// As it is.
    Plain(&'a Set),
    /// With an index beside it.
    Indexed(Index<'a>),
}

impl<'a> Finder<'a> {
    /// A set, and about how many are to be looked for.
    pub fn of(set: &'a Set, lookups: usize) -> Finder<'a> {
        let index = match set {
            Set::Packed(pack) => Index::new(pack, false, lookups),
            _ => None,
        };
        index.map_or(Finder::Plain(set), Finder::Indexed)
    }

    /// Whether a member is there.
    pub fn contains(&self, member: Member<'_>) -> bool {
        match self {
            Finder::Plain(set) => set.contains(member),
            Finder::Indexed(index) => member.with_bytes(|text| index.find(text).is_some()),
        }
    }
}

/// The members that all of several sets have, in the order of the smallest.
pub fn intersection<'a>(sets: &[&'a Set]) -> impl Iterator<Item = Member<'a>> {
    let mut sets = sets.to_vec();
    sets.sort_by_key(|set| set.len());
    let members = sets.first().copied();
    let lookups = members.map_or(0, Set::len);
    let others: Vec<Finder<'a>> = sets
        .iter()
        .skip(1)
        .map(|set| Finder::of(set, lookups))
        .collect();
    members
        .into_iter()
        .flat_map(Set::iter)
        .filter(move |&member| others.iter().all(|other| other.contains(member)))
}

/// The members that all of several sets have, as a set.
pub fn intersection_as_set(sets: &[&Set], limits: &Limits) -> Set {
    let mut result = match sets.iter().min_by_key(|set| set.len()) {
        Some(Set::Ints(_)) => Set::default(),
        _ => Set::Packed(Listpack::new()),
    };
    for member in intersection(sets) {
        result.insert(member, limits);
    }
    result.make_ints(limits);
    result
}

/// The members that any of several sets has.
pub fn union(sets: &[&Set], limits: &Limits) -> Set {
    let mut result = Set::default();
    for member in sets.iter().flat_map(|set| set.iter()) {
        result.insert(member, limits);
    }
    result
}

/// The members of a set that none of several others has.
pub fn difference(set: &Set, others: &[&Set], limits: &Limits) -> Set {
    let mut result = Set::default();
    let all: usize = others.iter().map(|other| other.len()).sum();
    // Looking each member up in every other set, or taking all that the others
    // have out of a copy: whatever is less work. A lookup is the cheaper half.
    if set.len() * (others.len() + 1) / 2 <= set.len() + all {
        let mut others = others.to_vec();
        others.sort_by_key(|other| std::cmp::Reverse(other.len()));
        let others: Vec<Finder<'_>> = others
            .into_iter()
            .map(|other| Finder::of(other, set.len()))
            .collect();
        for member in set.iter() {
            if !others.iter().any(|other| other.contains(member)) {
                result.insert(member, limits);
            }
        }
        return result;
    }
    for member in set.iter() {
        result.insert(member, limits);
    }
    for member in others.iter().flat_map(|other| other.iter()) {
        result.remove(member);
        if result.is_empty() {
            break;
        }
    }
    result
}
