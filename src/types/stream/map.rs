//! A map whose keys are ids: what a stream keeps its nodes in, and a group what
//! is pending.
//!
//! Ids mostly come in rising order and go in the order in which they came. So it
//! is a queue of sorted chunks: a chunk is filled to the brim before the next one
//! is begun, and nothing but the last chunk has spare room. A lookup is two binary
//! searches, and what an insertion or a removal moves is bounded by the chunk.
//!
//! ```text
//! before ─▶ [1-0 1-1 2-0 … 9-0] [9-5 12-0 … 40-0]     last ─▶ [41-0 43-0 ·  ·]
//! ```
//!
//! Most maps have few entries: of the queue they have the last chunk alone.
//!
//! **Invariant:** no chunk is empty but that of an empty map, and a chunk that is
//! a quarter full has no neighbour with which it would fill half of one: so holes
//! cannot make it larger than about four times what it holds.

use std::collections::VecDeque;
use std::mem;

use super::Id;
use crate::base::heap::usable_bytes;

/// Entries in a full chunk.
const CHUNK: usize = if cfg!(test) { 8 } else { 128 };

type Chunk<V> = Vec<(Id, V)>;

/// See the head of this file.
pub struct IdMap<V> {
    before: Option<Box<Before<V>>>,
    last: Chunk<V>,
}

/// The chunks before the last.
struct Before<V> {
    chunks: VecDeque<Chunk<V>>,
    /// Entries in them.
    len: usize,
    /// Bytes that they take.
    bytes: usize,
}

impl<V> Default for IdMap<V> {
    fn default() -> IdMap<V> {
        IdMap {
            before: None,
            last: Vec::new(),
        }
    }
}

/// The copy has the spare room of the original, and so its bytes.
impl<V: Clone> Clone for IdMap<V> {
    fn clone(&self) -> IdMap<V> {
        fn copy<V: Clone>(chunk: &Chunk<V>) -> Chunk<V> {
            let mut copy = Vec::with_capacity(chunk.capacity());
            copy.extend_from_slice(chunk);
            copy
        }
        let before = self.before.as_ref().map(|before| {
            let mut chunks = VecDeque::with_capacity(before.chunks.capacity());
            chunks.extend(before.chunks.iter().map(copy));
            let (len, bytes) = (before.len, before.bytes);
            Box::new(Before { chunks, len, bytes })
        });
        let last = copy(&self.last);
        IdMap { before, last }
    }
}

/// Where an entry is: a chunk, and its place there. One past the last entry is
/// place 0 of the chunk that would come next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    chunk: usize,
    at: usize,
}

impl<V> IdMap<V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.before.as_ref().map_or(0, |before| before.len) + self.last.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Bytes that it holds on the heap, without what its values hold there.
    pub fn heap_bytes(&self) -> usize {
        let before = self.before.as_ref().map_or(0, |before| {
            let queue = array_bytes::<Chunk<V>>(before.chunks.capacity());
            usable_bytes(size_of::<Before<V>>()) + queue + before.bytes
        });
        before + chunk_bytes(&self.last)
    }

    /// How many allocations it has.
    pub fn allocations(&self) -> usize {
        let before = self.before.as_ref();
        before.map_or(0, |before| before.chunks.len() + 2) + usize::from(!self.is_empty())
    }

    /// The value of an id.
    pub fn get(&self, id: Id) -> Option<&V> {
        let place = self.find(id)?;
        Some(&self.chunk(place.chunk)[place.at].1)
    }

    /// The value of an id, to be changed.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut V> {
        let place = self.find(id)?;
        let chunk = match &mut self.before {
            Some(before) if place.chunk < before.chunks.len() => &mut before.chunks[place.chunk],
            _ => &mut self.last,
        };
        Some(&mut chunk[place.at].1)
    }

    /// The first entry.
    pub fn first(&self) -> Option<(Id, &V)> {
        let (id, value) = self.chunk(0).first()?;
        Some((*id, value))
    }

    /// The last entry.
    pub fn last(&self) -> Option<(Id, &V)> {
        let (id, value) = self.last.last()?;
        Some((*id, value))
    }

    /// The last entry, to be changed.
    pub fn last_mut(&mut self) -> Option<(Id, &mut V)> {
        let (id, value) = self.last.last_mut()?;
        Some((*id, value))
    }

    /// The last entry whose id is not greater than this one.
    pub fn floor(&self, id: Id) -> Option<(Id, &V)> {
        self.range(Id::MIN, id).next_back()
    }

    /// The entries from one id to another, both included.
    pub fn range(&self, from: Id, to: Id) -> Range<'_, V> {
        let (front, back) = (self.place(from, false), self.place(to, true));
        Range {
            map: self,
            front,
            back: back.max(front),
        }
    }

    /// Every entry.
    pub fn iter(&self) -> Range<'_, V> {
        self.range(Id::MIN, Id::MAX)
    }

    /// Puts a value under an id, and gives what was there.
    pub fn insert(&mut self, id: Id, value: V) -> Option<V> {
        let chunk = self.chunk_of(id);
        let at = match self.chunk(chunk).binary_search_by_key(&id, |entry| entry.0) {
            Ok(_) => return self.get_mut(id).map(|old| mem::replace(old, value)),
            Err(at) => at,
        };
        if self.chunk(chunk).len() < CHUNK {
            self.change(chunk, |entries| {
                if entries.len() == entries.capacity() {
                    let more = entries.len().max(1).min(CHUNK - entries.len());
                    entries.reserve_exact(more);
                }
                entries.insert(at, (id, value));
            });
        } else if at == CHUNK && chunk + 1 == self.chunks() {
            self.insert_chunk(chunk + 1, vec![(id, value)]);
        } else {
            let mut right = Vec::new();
            self.change(chunk, |entries| {
                right = entries.split_off(CHUNK / 2);
                entries.shrink_to_fit();
            });
            match at.checked_sub(CHUNK / 2) {
                Some(at @ 1..) => right.insert(at, (id, value)),
                _ => self.change(chunk, |entries| entries.insert(at, (id, value))),
            }
            self.insert_chunk(chunk + 1, right);
        }
        None
    }

    /// Takes an id out, with its value.
    pub fn remove(&mut self, id: Id) -> Option<V> {
        let Place { chunk, at } = self.find(id)?;
        let mut value = None;
        self.change(chunk, |entries| value = Some(entries.remove(at).1));
        self.tidy(chunk);
        value
    }

    // ----- chunks ---------------------------------------------------------

    /// Number of chunks; one where there is no entry.
    fn chunks(&self) -> usize {
        self.before.as_ref().map_or(0, |before| before.chunks.len()) + 1
    }

    fn chunk(&self, at: usize) -> &Chunk<V> {
        let before = self.before.as_ref();
        let chunk = before.and_then(|before| before.chunks.get(at));
        chunk.unwrap_or(&self.last)
    }

    /// Changes a chunk, and counts its entries and its bytes anew.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut Chunk<V>)) {
        match &mut self.before {
            Some(before) if at < before.chunks.len() => {
                let chunk = &mut before.chunks[at];
                before.len -= chunk.len();
                before.bytes -= chunk_bytes(chunk);
                change(chunk);
                before.len += chunk.len();
                before.bytes += chunk_bytes(chunk);
            }
            _ => change(&mut self.last),
        }
    }

    /// Puts in a chunk, which is not the first.
    fn insert_chunk(&mut self, at: usize, chunk: Chunk<V>) {
        let (at, chunk) = match at == self.chunks() {
            true => (at - 1, mem::replace(&mut self.last, chunk)),
            false => (at, chunk),
        };
        let before = self.before.get_or_insert_with(|| {
            Box::new(Before {
                chunks: VecDeque::new(),
                len: 0,
                bytes: 0,
            })
        });
        before.len += chunk.len();
        before.bytes += chunk_bytes(&chunk);
        if before.chunks.len() == before.chunks.capacity() {
            before.chunks.reserve_exact(before.chunks.len().max(1));
        }
        before.chunks.insert(at, chunk);
    }

    /// Takes out a chunk.
    fn remove_chunk(&mut self, at: usize) -> Chunk<V> {
        let is_last = at + 1 == self.chunks();
        let Some(before) = &mut self.before else {
            return mem::take(&mut self.last);
        };
        let removed = match is_last {
            true => before.chunks.pop_back(),
            false => before.chunks.remove(at),
        };
        let removed = removed.unwrap_or_default();
        before.len -= removed.len();
        before.bytes -= chunk_bytes(&removed);
        if before.chunks.is_empty() {
            self.before = None;
        } else if before.chunks.len() < before.chunks.capacity() / 4 {
            before.chunks.shrink_to(before.chunks.len() * 2);
        }
        match is_last {
            true => mem::replace(&mut self.last, removed),
            false => removed,
        }
    }

    /// Gives back what a chunk that lost an entry needs no more.
    fn tidy(&mut self, chunk: usize) {
        let len = self.chunk(chunk).len();
        if len == 0 {
            self.remove_chunk(chunk);
            return;
        }
        if len >= CHUNK / 4 {
            return;
        }
        let fits = |other: usize| {
            let is_there = other < self.chunks();
            is_there && self.chunk(other).len() + len <= CHUNK / 2
        };
        let left = match fits(chunk + 1) {
            true => Some(chunk),
            false => chunk.checked_sub(1).filter(|&left| fits(left)),
        };
        if let Some(left) = left {
            let mut right = self.remove_chunk(left + 1);
            self.change(left, |entries| entries.append(&mut right));
        } else if self.chunk(chunk).capacity() > len * 4 {
            self.change(chunk, |entries| entries.shrink_to(len * 2));
        }
    }

    // ----- places ---------------------------------------------------------

    /// The chunk where an id is or would be.
    fn chunk_of(&self, id: Id) -> usize {
        let starts_before = |chunk: &Chunk<V>| chunk.first().is_some_and(|first| first.0 <= id);
        let before = self.before.as_ref();
        let count = match starts_before(&self.last) {
            true => self.chunks(),
            false => before.map_or(0, |before| before.chunks.partition_point(starts_before)),
        };
        count.saturating_sub(1)
    }

    fn find(&self, id: Id) -> Option<Place> {
        let chunk = self.chunk_of(id);
        let at = self.chunk(chunk).binary_search_by_key(&id, |entry| entry.0);
        at.ok().map(|at| Place { chunk, at })
    }

    /// The first place whose id is greater than this one, or (unless `behind`)
    /// equal to it.
    fn place(&self, id: Id, behind: bool) -> Place {
        let chunk = self.chunk_of(id);
        let before = |entry: &(Id, V)| entry.0 < id || behind && entry.0 == id;
        let at = self.chunk(chunk).partition_point(before);
        match at == self.chunk(chunk).len() {
            true => Place {
                chunk: chunk + 1,
                at: 0,
            },
            false => Place { chunk, at },
        }
    }
}

fn chunk_bytes<V>(chunk: &Chunk<V>) -> usize {
    array_bytes::<(Id, V)>(chunk.capacity())
}

/// What room for so many takes.
pub(super) fn array_bytes<T>(capacity: usize) -> usize {
    match capacity * size_of::<T>() {
        0 => 0,
        bytes => usable_bytes(bytes),
    }
}

/// Entries of an [`IdMap`], from either end.
pub struct Range<'a, V> {
    map: &'a IdMap<V>,
    front: Place,
    back: Place,
}

impl<'a, V> Iterator for Range<'a, V> {
    type Item = (Id, &'a V);

    fn next(&mut self) -> Option<(Id, &'a V)> {
        if self.front == self.back {
            return None;
        }
        let chunk = self.map.chunk(self.front.chunk);
        let (id, value) = &chunk[self.front.at];
        self.front.at += 1;
        if self.front.at == chunk.len() {
            self.front = Place {
                chunk: self.front.chunk + 1,
                at: 0,
            };
        }
        Some((*id, value))
    }
}

impl<V> DoubleEndedIterator for Range<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front == self.back {
            return None;
        }
        if self.back.at == 0 {
            self.back.chunk -= 1;
            self.back.at = self.map.chunk(self.back.chunk).len();
        }
        self.back.at -= 1;
        let (id, value) = &self.map.chunk(self.back.chunk)[self.back.at];
        Some((*id, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Append,
        Remove(u64),
        RemoveFirst,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => (0..200u64).prop_map(Step::Insert),
            4 => Just(Step::Append),
            3 => (0..200u64).prop_map(Step::Remove),
            1 => Just(Step::RemoveFirst),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map(steps in steps(), a in 0..250u64, b in 0..250u64) {
            let mut map = IdMap::default();
            let mut model = BTreeMap::new();
            for (value, step) in steps.into_iter().enumerate() {
                let id = |n: u64| Id::new(n / 8, n % 8);
                match step {
                    Step::Insert(n) => {
                        prop_assert_eq!(map.insert(id(n), value), model.insert(id(n), value));
                    }
                    Step::Append => {
                        let last = map.last().map_or(Id::MIN, |(id, _)| id);
                        let next = last.next().expect("far from the end");
                        prop_assert_eq!(map.insert(next, value), model.insert(next, value));
                    }
                    Step::Remove(n) => {
                        prop_assert_eq!(map.remove(id(n)), model.remove(&id(n)));
                    }
                    Step::RemoveFirst => {
                        let first = map.first().map(|(id, _)| id);
                        prop_assert_eq!(first, model.keys().next().copied());
                        if let Some(first) = first {
                            prop_assert_eq!(map.remove(first), model.remove(&first));
                        }
                    }
                }
                prop_assert_eq!(map.len(), model.len());
                if let Some(before) = &map.before {
                    let bytes: usize = before.chunks.iter().map(chunk_bytes).sum();
                    prop_assert_eq!(before.bytes, bytes);
                    prop_assert!(!before.chunks.is_empty() && !map.last.is_empty());
                    prop_assert!(before.chunks.iter().all(|chunk| !chunk.is_empty()));
                }
            }
            let (from, to) = (Id::new(a / 8, a % 8), Id::new(b / 8, b % 8));
            let wanted: Vec<_> = model.iter().filter(|(id, _)| (from..=to).contains(*id)).collect();
            let there: Vec<_> = map.range(from, to).collect();
            prop_assert_eq!(there.iter().map(|(id, v)| (id, *v)).collect::<Vec<_>>(), wanted.clone());
            let mut back: Vec<_> = map.range(from, to).rev().collect();
            back.reverse();
            prop_assert_eq!(back, there);
            prop_assert_eq!(map.floor(to).map(|(id, _)| id), model.range(..=to).next_back().map(|(id, _)| *id));
            prop_assert_eq!(map.get(from), model.get(&from));
        }
    }

    #[test]
    fn what_is_appended_leaves_no_room_behind() {
        let mut map = IdMap::default();
        for n in 0..CHUNK as u64 * 10 {
            map.insert(Id::new(n, 0), ());
        }
        let before = map.before.expect("several chunks");
        assert_eq!(before.chunks.len(), 9);
        let mut chunks = before.chunks.iter().chain([&map.last]);
        assert!(chunks.all(|chunk| chunk.len() == chunk.capacity()));
    }
}
