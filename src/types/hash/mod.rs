//! Hashes: values under fields, of which each may have a deadline.
//!
//! A small hash is packed: fields and values by turns in one listpack, searched
//! from front to back. A hash with many fields, with a long one, or with any
//! deadline is a [`Table`]; it never becomes packed again.
//!
//! A field whose deadline has passed is over: nobody sees it any more, but it
//! counts in [`Family::len`] until [`Family::expire`] removes it. Times are Unix
//! milliseconds; who asks says what time it is.

mod table;

use super::listpack::{At, Item, Listpack};
use super::object::Family;
use crate::base::clock;

pub use table::Table;

/// See the head of this file.
#[derive(Clone)]
pub enum Hash {
    /// Fields and values by turns.
    Packed(Listpack),
    /// A table of fields.
    Table(Box<Table>),
}

/// Up to where a hash is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Number of fields.
    pub fields: usize,
    /// Bytes of a field or a value.
    pub bytes: usize,
}

/// What becomes of a field's deadline when its value is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// There is none.
    Never,
    /// It stays what it was.
    Keep,
    /// This one.
    At(u64),
}

/// What there was when a field was set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetResult {
    /// No such field.
    Added,
    /// A value, which was replaced.
    Replaced,
    /// A value that was over.
    Revived,
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::new()
    }
}

impl Hash {
    /// An empty one.
    pub fn new() -> Hash {
        Hash::Packed(Listpack::new())
    }

    /// Of fields and values by turns, no field of which is there twice.
    pub fn from_packed(pack: Listpack, limits: Limits) -> Hash {
        let is_small = pack.len() / 2 <= limits.fields
            && pack.iter().all(|item| item.text_len() <= limits.bytes);
        let mut hash = Hash::Packed(pack);
        if !is_small {
            hash.unpack();
        }
        hash
    }

    // ----- reading ----------------------------------------------------------

    /// A field's value.
    #[inline]
    pub fn get(&self, field: &[u8], now_ms: u64) -> Option<Item<'_>> {
        match self {
            Hash::Packed(pack) => find(pack, field).map(|value| pack.get(value)),
            Hash::Table(table) => table.get(field, now_ms).map(|(value, _)| Item::Str(value)),
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, field: &[u8], now_ms: u64) -> bool {
        self.get(field, now_ms).is_some()
    }

    /// A field's deadline, where it has one; `None` where there is no such field.
    pub fn deadline(&self, field: &[u8], now_ms: u64) -> Option<Option<u64>> {
        match self {
            Hash::Packed(pack) => find(pack, field).map(|_| None),
            Hash::Table(table) => table.get(field, now_ms).map(|(_, deadline)| deadline),
        }
    }

    /// Number of fields that are not over, found in a time that grows with the
    /// number of those that are.
    pub fn live(&self, now_ms: u64) -> usize {
        match self {
            Hash::Packed(_) => self.len(),
            Hash::Table(table) => table.len() - table.due(now_ms),
        }
    }

    /// Shows every field that is not over, with its value.
    pub fn each<'a>(&'a self, now_ms: u64, mut visit: impl FnMut(Item<'a>, Item<'a>)) {
        match self {
            Hash::Packed(pack) => pairs(pack).for_each(|(field, value)| visit(field, value)),
            Hash::Table(table) => table
                .iter()
                .filter(|f| !f.is_over(now_ms))
                .for_each(|f| visit(Item::Str(f.name), Item::Str(f.value))),
        }
    }

    /// Shows the fields of some ranks that rise, those that are over included.
    pub fn at_ranks<'a>(&'a self, ranks: &[usize], mut visit: impl FnMut(Item<'a>, Item<'a>)) {
        match self {
            Hash::Packed(pack) => {
                let mut wanted = ranks.iter().peekable();
                for (rank, (field, value)) in pairs(pack).enumerate() {
                    if wanted.next_if_eq(&&rank).is_some() {
                        visit(field, value);
                    }
                }
            }
            Hash::Table(table) => {
                table.at_ranks(ranks, |f| visit(Item::Str(f.name), Item::Str(f.value)));
            }
        }
    }

    /// A field at random, each that is not over with the same probability.
    pub fn random(&self, now_ms: u64) -> Option<(Item<'_>, Item<'_>)> {
        match self {
            Hash::Packed(pack) => {
                let at = clock::random_below(pack.len() as u64 / 2) * 2;
                let field = pack.seek(at as isize)?;
                Some((pack.get(field), pack.get(pack.next(field)?)))
            }
            Hash::Table(table) => table
                .random(now_ms)
                .map(|f| (Item::Str(f.name), Item::Str(f.value))),
        }
    }

    /// Walks a part of the fields from `cursor` on, and returns where to go on;
    /// `None` at the end. A walk begins at 0. What is packed is one part.
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        now_ms: u64,
        mut visit: impl FnMut(Item<'a>, Item<'a>),
    ) -> Option<u64> {
        match self {
            Hash::Packed(_) => {
                self.each(now_ms, visit);
                None
            }
            Hash::Table(table) => table.scan(cursor, |f| {
                if !f.is_over(now_ms) {
                    visit(Item::Str(f.name), Item::Str(f.value));
                }
            }),
        }
    }

    // ----- changing ---------------------------------------------------------

    /// Makes a table of it at once where it would not stay packed with these
    /// fields and values, by turns.
    pub fn prepare(&mut self, words: &[&[u8]], limits: Limits) {
        let Hash::Packed(pack) = self else {
            return;
        };
        let bytes = words.iter().map(|w| w.len()).sum();
        let is_small = words.len() / 2 <= limits.fields
            && words.iter().all(|w| w.len() <= limits.bytes)
            && pack.has_room_for(bytes);
        if !is_small {
            self.unpack();
        }
    }

    /// Gives a field a value.
    pub fn set(
        &mut self,
        field: &[u8],
        value: &[u8],
        expiry: Expiry,
        now_ms: u64,
        limits: Limits,
    ) -> SetResult {
        if let Hash::Packed(pack) = self {
            let is_small = !matches!(expiry, Expiry::At(_))
                && field.len() <= limits.bytes
                && value.len() <= limits.bytes
                && pack.has_room_for(field.len() + value.len());
            if !is_small {
                self.unpack();
            }
        }
        let pack = match self {
            Hash::Packed(pack) => pack,
            Hash::Table(table) => return table.set(field, value, expiry, now_ms),
        };
        let result = match find(pack, field) {
            Some(old) => {
                pack.replace(old, value);
                SetResult::Replaced
            }
            None => {
                pack.push_back(field);
                pack.push_back(value);
                SetResult::Added
            }
        };
        if pack.len() / 2 > limits.fields {
            self.unpack();
        }
        result
    }

    /// Gives a field another deadline, or none; false where there is no such
    /// field, or no change. Whether it is over makes no difference.
    pub fn set_deadline(&mut self, field: &[u8], deadline: Option<u64>) -> bool {
        if let Hash::Packed(pack) = self {
            if deadline.is_none() || find(pack, field).is_none() {
                return false;
            }
            self.unpack();
        }
        match self {
            Hash::Packed(_) => false,
            Hash::Table(table) => table.set_deadline(field, deadline),
        }
    }

    /// Removes a field; false where there is none, or it is over.
    pub fn remove(&mut self, field: &[u8], now_ms: u64) -> bool {
        match self {
            Hash::Packed(pack) => {
                let value = find(pack, field);
                if let Some(field) = value.and_then(|value| pack.prev(value)) {
                    pack.remove_from(field, 2);
                }
                value.is_some()
            }
            Hash::Table(table) => table.remove(field, now_ms),
        }
    }

    /// Makes a table of what is packed.
    fn unpack(&mut self) {
        if let Hash::Packed(pack) = self {
            let mut table = Table::default();
            for (field, value) in pairs(pack) {
                field
                    .with_bytes(|field| value.with_bytes(|value| table.insert(field, value, None)));
            }
            *self = Hash::Table(Box::new(table));
        }
    }
}

impl Family for Hash {
    /// Those that are over are counted until they are removed.
    #[inline]
    fn len(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.len() / 2,
            Hash::Table(table) => table.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
            Hash::Table(_) => "hashtable",
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.heap_bytes(),
            Hash::Table(table) => table.heap_bytes(),
        }
    }

    fn free_effort(&self) -> usize {
        match self {
            Hash::Packed(_) => 1,
            Hash::Table(table) => table.free_effort(),
        }
    }

    fn due_ms(&self) -> Option<u64> {
        match self {
            Hash::Packed(_) => None,
            Hash::Table(table) => table.due_ms(),
        }
    }

    /// The oldest deadlines first.
    fn expire(&mut self, now_ms: u64, most: usize, gone: impl FnMut(&[u8])) {
        if let Hash::Table(table) = self {
            table.expire(now_ms, most, gone);
        }
    }
}

/// Where the value of a field stands.
#[inline]
fn find(pack: &Listpack, field: &[u8]) -> Option<At> {
    pack.next(pack.find(pack.first()?, field, 1)?)
}

fn pairs(pack: &Listpack) -> impl Iterator<Item = (Item<'_>, Item<'_>)> {
    let mut items = pack.iter();
    std::iter::from_fn(move || items.next().zip(items.next()))
}

#[cfg(test)]
mod tests;
