//! A hash as a table of fields, with an index of their deadlines.
//!
//! The index has a pair for each field with a deadline: that, and the field's
//! digest, by which the table finds it. So the next deadline is the first pair,
//! and who is over is found without looking at who is not.
//!
//! **Invariant:** a pair is in the index exactly where some field has this
//! deadline and digest. Two fields may have both alike, if hardly ever.

use std::collections::BTreeSet;

use super::{Expiry, SetResult};
use crate::base::hash;
use crate::types::dict::{Dict, Element, Payload, Place};

/// See the head of this file.
#[derive(Clone, Default)]
pub struct Table {
    fields: Dict<Valued>,
    deadlines: BTreeSet<(u64, u64)>,
}

/// A field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// What it is called.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Its deadline, where it has one.
    pub deadline: Option<u64>,
}

impl Field<'_> {
    /// Whether its deadline has passed.
    #[inline]
    pub fn is_over(&self, now_ms: u64) -> bool {
        is_over(self.deadline, now_ms)
    }
}

#[inline]
fn is_over(deadline: Option<u64>, now_ms: u64) -> bool {
    deadline.is_some_and(|ms| ms <= now_ms)
}

/// A value, and behind it, where the element is marked, the deadline.
#[derive(Clone, Copy)]
struct Valued;

const DEADLINE_BYTES: usize = 8;

impl Payload for Valued {
    type New<'a> = (&'a [u8], Option<u64>);
    type Get<'a> = (&'a [u8], Option<u64>);
    const LENGTH_BITS: u32 = 6;

    fn bytes((value, deadline): Self::New<'_>) -> usize {
        value.len() + deadline.map_or(0, |_| DEADLINE_BYTES)
    }

    fn is_marked((_, deadline): Self::New<'_>) -> bool {
        deadline.is_some()
    }

    fn write((value, deadline): Self::New<'_>, out: &mut [u8]) {
        let (to, rest) = out.split_at_mut(value.len());
        to.copy_from_slice(value);
        if let Some(ms) = deadline {
            rest.copy_from_slice(&ms.to_le_bytes());
        }
    }

    #[inline]
    fn read(bytes: &[u8], is_marked: bool) -> Self::Get<'_> {
        match bytes.split_last_chunk() {
            Some((value, ms)) if is_marked => (value, Some(u64::from_le_bytes(*ms))),
            _ => (bytes, None),
        }
    }
}

fn field<'a>(element: Element<'a, Valued>) -> Field<'a> {
    let (value, deadline) = element.payload();
    Field {
        name: element.key(),
        value,
        deadline,
    }
}

/// Whether a pair of the index stands for this element.
fn is_indexed(element: Element<'_, Valued>, ms: u64, digest: u64) -> bool {
    element.payload().1 == Some(ms) && hash::digest(element.key()) == digest
}

impl Table {
    /// Number of fields, those that are over included.
    #[inline]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Number of fields with a deadline.
    pub fn volatile(&self) -> usize {
        self.iter().filter(|f| f.deadline.is_some()).count()
    }

    /// Every field, those that are over included.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(field)
    }

    /// The first deadline.
    pub fn due_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|pair| pair.0)
    }

    /// Number of fields that are over.
    pub fn due(&self, now_ms: u64) -> usize {
        let over = self.deadlines.range(..=(now_ms, u64::MAX));
        over.map(|&(ms, digest)| {
            let mut count = 0;
            self.fields.find_where(digest, |element| {
                count += usize::from(is_indexed(element, ms, digest));
                false
            });
            count
        })
        .sum()
    }

    /// A field's value and deadline, where it is not over.
    #[inline]
    pub(super) fn get(&self, name: &[u8], now_ms: u64) -> Option<(&[u8], Option<u64>)> {
        let (value, deadline) = self.fields.get(name)?;
        (!is_over(deadline, now_ms)).then_some((value, deadline))
    }

    /// As [`super::Hash::at_ranks`].
    pub(super) fn at_ranks<'a>(&'a self, ranks: &[usize], mut visit: impl FnMut(Field<'a>)) {
        self.fields.at_ranks(ranks, |element| visit(field(element)));
    }

    /// A field at random that is not over.
    pub(super) fn random(&self, now_ms: u64) -> Option<Field<'_>> {
        /// Where so many are over in a row, hardly any is not.
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let field = field(self.fields.element(self.fields.random()?));
            if !field.is_over(now_ms) {
                return Some(field);
            }
        }
        let live = self.len() - self.due(now_ms);
        let at = crate::base::clock::random_below(live as u64);
        self.iter().filter(|f| !f.is_over(now_ms)).nth(at as usize)
    }

    /// As [`super::Hash::scan`], those that are over included.
    pub(super) fn scan<'a>(&'a self, cursor: u64, mut visit: impl FnMut(Field<'a>)) -> Option<u64> {
        self.fields.scan(cursor, |element| visit(field(element)))
    }

    /// Adds a field that is not there, as a snapshot tells of it.
    pub fn insert(&mut self, name: &[u8], value: &[u8], deadline: Option<u64>) {
        self.fields.insert(name, (value, deadline));
        if let Some(ms) = deadline {
            self.deadlines.insert((ms, hash::digest(name)));
        }
    }

    /// As [`super::Hash::set`].
    pub(super) fn set(
        &mut self,
        name: &[u8],
        value: &[u8],
        expiry: Expiry,
        now_ms: u64,
    ) -> SetResult {
        let Some(place) = self.fields.find(name) else {
            let deadline = match expiry {
                Expiry::At(ms) => Some(ms),
                Expiry::Keep | Expiry::Never => None,
            };
            self.insert(name, value, deadline);
            return SetResult::Added;
        };
        let (_, before) = self.fields.element(place).payload();
        let was_over = is_over(before, now_ms);
        let deadline = match expiry {
            Expiry::At(ms) => Some(ms),
            Expiry::Keep if !was_over => before,
            Expiry::Keep | Expiry::Never => None,
        };
        self.fields.replace(place, (value, deadline));
        self.reindex(name, before, deadline);
        match was_over {
            true => SetResult::Revived,
            false => SetResult::Replaced,
        }
    }

    /// As [`super::Hash::set_deadline`].
    pub(super) fn set_deadline(&mut self, name: &[u8], deadline: Option<u64>) -> bool {
        let Some(place) = self.fields.find(name) else {
            return false;
        };
        let (value, before) = self.fields.element(place).payload();
        if before == deadline {
            return false;
        }
        let value = value.to_vec();
        self.fields.replace(place, (&value, deadline));
        self.reindex(name, before, deadline);
        true
    }

    /// As [`super::Hash::remove`].
    pub(super) fn remove(&mut self, name: &[u8], now_ms: u64) -> bool {
        let Some(place) = self.fields.find(name) else {
            return false;
        };
        let (_, deadline) = self.fields.element(place).payload();
        if is_over(deadline, now_ms) {
            return false;
        }
        self.fields.remove(place);
        self.reindex(name, deadline, None);
        true
    }

    /// As [`super::Hash::expire`].
    pub(super) fn expire(&mut self, now_ms: u64, most: usize, mut gone: impl FnMut(&[u8])) {
        for _ in 0..most {
            let Some(&(ms, digest)) = self.deadlines.first() else {
                return;
            };
            if ms > now_ms {
                return;
            }
            if let Some(place) = self.find_due(ms, digest) {
                gone(self.fields.element(place).key());
                self.fields.remove(place);
            }
            self.forget(ms, digest);
        }
    }

    /// A field of this deadline and digest.
    fn find_due(&self, ms: u64, digest: u64) -> Option<Place> {
        self.fields
            .find_where(digest, |element| is_indexed(element, ms, digest))
    }

    /// Takes a pair out of the index, unless there is still a field for it.
    fn forget(&mut self, ms: u64, digest: u64) {
        if self.find_due(ms, digest).is_none() {
            self.deadlines.remove(&(ms, digest));
        }
    }

    /// Brings the index up to a field's new deadline.
    fn reindex(&mut self, name: &[u8], before: Option<u64>, after: Option<u64>) {
        if before == after {
            return;
        }
        let digest = hash::digest(name);
        if let Some(ms) = after {
            self.deadlines.insert((ms, digest));
        }
        if let Some(ms) = before {
            self.forget(ms, digest);
        }
    }

    /// Bytes on the heap; of the index, about.
    pub(super) fn heap_bytes(&self) -> usize {
        /// A node of a B-tree has room for eleven pairs, and is two thirds full.
        const PAIR_BYTES: usize = 26;
        size_of::<Table>() + self.fields.heap_bytes() + self.deadlines.len() * PAIR_BYTES
    }

    /// Number of allocations, about.
    pub(super) fn free_effort(&self) -> usize {
        1 + self.fields.free_effort() + self.deadlines.len() / 7
    }
}
