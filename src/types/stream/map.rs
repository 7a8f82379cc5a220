//! A map whose keys are ids: what a stream keeps its nodes in, and a group what
//! is pending.
//!
//! Ids mostly come in rising order and go in the order in which they came. So it
//! is a queue of sorted chunks: a chunk is filled to the brim before the next one
//! is begun, and nothing but the last chunk has spare room. A lookup is two binary
//! searches, and what an insertion or a removal moves is bounded by the chunk.
//!
//! ```text
//! chunks ─▶ [1-0 1-1 2-0 … 9-0] [9-5 12-0 … 40-0] [41-0 43-0 ·  ·  ·]
//! ```
//!
//! **Invariant:** no chunk is empty, and two neighbours would not fit one half
//! full: so holes cannot make it larger than about four times what it holds.

use std::collections::VecDeque;
use std::mem;

use super::Id;
use crate::base::heap::usable_bytes;

/// Entries in a full chunk.
const CHUNK: usize = if cfg!(test) { 8 } else { 128 };

/// See the head of this file.
pub struct IdMap<V> {
    chunks: VecDeque<Vec<(Id, V)>>,
    len: usize,
    /// Bytes that the chunks take.
    chunk_bytes: usize,
}

impl<V> Default for IdMap<V> {
    fn default() -> IdMap<V> {
        IdMap {
            chunks: VecDeque::new(),
            len: 0,
            chunk_bytes: 0,
        }
    }
}

/// The copy has the spare room of the original, and so its bytes.
impl<V: Clone> Clone for IdMap<V> {
    fn clone(&self) -> IdMap<V> {
        let mut chunks = VecDeque::with_capacity(self.chunks.capacity());
        chunks.extend(self.chunks.iter().map(|chunk| {
            let mut copy = Vec::with_capacity(chunk.capacity());
            copy.extend_from_slice(chunk);
            copy
        }));
        IdMap { chunks, ..*self }
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
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it holds on the heap, without what its values hold there.
    pub fn heap_bytes(&self) -> usize {
        array_bytes::<Vec<(Id, V)>>(self.chunks.capacity()) + self.chunk_bytes
    }

    /// How many allocations it has.
    pub fn allocations(&self) -> usize {
        self.chunks.len() + usize::from(self.chunks.capacity() > 0)
    }

    /// The value of an id.
    pub fn get(&self, id: Id) -> Option<&V> {
        let place = self.find(id)?;
        Some(&self.chunks[place.chunk][place.at].1)
    }

    /// The value of an id, to be changed.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut V> {
        let place = self.find(id)?;
        Some(&mut self.chunks[place.chunk][place.at].1)
    }

    /// The first entry.
    pub fn first(&self) -> Option<(Id, &V)> {
        self.range(Id::MIN, Id::MAX).next()
    }

    /// The last entry.
    pub fn last(&self) -> Option<(Id, &V)> {
        self.range(Id::MIN, Id::MAX).next_back()
    }

    /// The last entry, to be changed.
    pub fn last_mut(&mut self) -> Option<(Id, &mut V)> {
        let (id, value) = self.chunks.back_mut()?.last_mut()?;
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
            chunks: &self.chunks,
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
        let chunk = match self.chunk_of(id) {
            Some(chunk) => chunk,
            None => {
                self.push_chunk(0, Vec::new());
                0
            }
        };
        let at = match self.chunks[chunk].binary_search_by_key(&id, |entry| entry.0) {
            Ok(at) => return Some(mem::replace(&mut self.chunks[chunk][at].1, value)),
            Err(at) => at,
        };
        self.len += 1;
        if self.chunks[chunk].len() < CHUNK {
            self.resize(chunk, |entries| {
                if entries.len() == entries.capacity() {
                    let more = entries.len().max(1).min(CHUNK - entries.len());
                    entries.reserve_exact(more);
                }
                entries.insert(at, (id, value));
            });
        } else if at == CHUNK && chunk + 1 == self.chunks.len() {
            self.push_chunk(chunk + 1, vec![(id, value)]);
        } else {
            let mut right = Vec::new();
            self.resize(chunk, |entries| {
                right = entries.split_off(CHUNK / 2);
                entries.shrink_to_fit();
            });
            let into_right = at > CHUNK / 2;
            if into_right {
                right.insert(at - CHUNK / 2, (id, value));
                self.push_chunk(chunk + 1, right);
            } else {
                self.push_chunk(chunk + 1, right);
                self.resize(chunk, |entries| entries.insert(at, (id, value)));
            }
        }
        None
    }

    /// Takes an id out, with its value.
    pub fn remove(&mut self, id: Id) -> Option<V> {
        let Place { chunk, at } = self.find(id)?;
        self.len -= 1;
        let mut value = None;
        self.resize(chunk, |entries| value = Some(entries.remove(at).1));
        self.tidy(chunk);
        value
    }

    // ----- chunks ---------------------------------------------------------

    fn bytes_of(chunk: &Vec<(Id, V)>) -> usize {
        array_bytes::<(Id, V)>(chunk.capacity())
    }

    /// Changes a chunk, and counts its bytes anew.
    fn resize(&mut self, chunk: usize, change: impl FnOnce(&mut Vec<(Id, V)>)) {
        let entries = &mut self.chunks[chunk];
        self.chunk_bytes -= Self::bytes_of(entries);
        change(entries);
        self.chunk_bytes += Self::bytes_of(entries);
    }

    fn push_chunk(&mut self, at: usize, chunk: Vec<(Id, V)>) {
        if self.chunks.len() == self.chunks.capacity() {
            self.chunks.reserve_exact(self.chunks.len().max(1));
        }
        self.chunk_bytes += Self::bytes_of(&chunk);
        self.chunks.insert(at, chunk);
    }

    fn drop_chunk(&mut self, chunk: usize) {
        if let Some(entries) = self.chunks.remove(chunk) {
            self.chunk_bytes -= Self::bytes_of(&entries);
        }
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
    }

    /// Gives back what a chunk that lost an entry needs no more.
    fn tidy(&mut self, chunk: usize) {
        let len = self.chunks[chunk].len();
        if len == 0 {
            self.drop_chunk(chunk);
            return;
        }
        if len >= CHUNK / 4 {
            return;
        }
        let room = |other: usize| {
            let other = self.chunks.get(other);
            other.is_some_and(|other| other.len() + len <= CHUNK / 2)
        };
        let left = if room(chunk + 1) {
            Some(chunk)
        } else {
            chunk.checked_sub(1).filter(|&left| room(left))
        };
        if let Some(left) = left {
            let mut right = Vec::new();
            self.resize(left + 1, |entries| mem::swap(&mut right, entries));
            self.drop_chunk(left + 1);
            self.resize(left, |entries| entries.append(&mut right));
        } else if self.chunks[chunk].capacity() > len * 4 {
            self.resize(chunk, |entries| entries.shrink_to(len * 2));
        }
    }

    // ----- places ---------------------------------------------------------

    /// The chunk where an id is or would be; none where there are no chunks.
    fn chunk_of(&self, id: Id) -> Option<usize> {
        let behind = self.chunks.partition_point(|chunk| chunk[0].0 <= id);
        (!self.chunks.is_empty()).then(|| behind.saturating_sub(1))
    }

    fn find(&self, id: Id) -> Option<Place> {
        let chunk = self.chunk_of(id)?;
        let at = self.chunks[chunk].binary_search_by_key(&id, |entry| entry.0);
        at.ok().map(|at| Place { chunk, at })
    }

    /// The first place whose id is greater than this one, or (unless `behind`)
    /// equal to it.
    fn place(&self, id: Id, behind: bool) -> Place {
        let Some(chunk) = self.chunk_of(id) else {
            return Place { chunk: 0, at: 0 };
        };
        let before = |entry: &(Id, V)| entry.0 < id || behind && entry.0 == id;
        let at = self.chunks[chunk].partition_point(before);
        match at == self.chunks[chunk].len() {
            true => Place {
                chunk: chunk + 1,
                at: 0,
            },
            false => Place { chunk, at },
        }
    }
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
    chunks: &'a VecDeque<Vec<(Id, V)>>,
    front: Place,
    back: Place,
}

impl<'a, V> Iterator for Range<'a, V> {
    type Item = (Id, &'a V);

    fn next(&mut self) -> Option<(Id, &'a V)> {
        if self.front == self.back {
            return None;
        }
        let chunk = &self.chunks[self.front.chunk];
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
            self.back.at = self.chunks[self.back.chunk].len();
        }
        self.back.at -= 1;
        let (id, value) = &self.chunks[self.back.chunk][self.back.at];
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
                let bytes: usize = map.chunks.iter().map(IdMap::bytes_of).sum();
                prop_assert_eq!(map.chunk_bytes, bytes);
                prop_assert!(map.chunks.iter().all(|chunk| !chunk.is_empty()));
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
        assert_eq!(map.chunks.len(), 10);
        assert!(
            map.chunks
                .iter()
                .all(|chunk| chunk.len() == chunk.capacity())
        );
    }
}
