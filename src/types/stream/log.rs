//! The entries of a stream.

use super::Id;
use super::map::{IdMap, Range};
use super::node::{Entry, Node};
use crate::types::listpack::At;

/// The most bytes of names and values in one entry, and of a node to which more
/// are added.
const BYTES_MAX: usize = 1 << 30;

/// When a node is full.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a node; 0: as many as it can hold.
    pub node_bytes: usize,
    /// Entries of a node, those removed included; 0: no bound.
    pub node_entries: u64,
}

/// The id that a new entry is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewId {
    /// The time, or the next one where the clock is behind.
    Auto,
    /// The next one of a millisecond.
    AutoSeq(u64),
    /// This one.
    Given(Id),
}

/// Why an entry was not appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendError {
    /// Its id is not greater than that of the last.
    NotGreater,
    /// Its fields are too large for a node.
    TooLarge,
}

/// What is left by a trimming.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// At most so many entries, the last ones.
    Length(u64),
    /// The entries from this id on.
    From(Id),
}

/// How a trimming goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    /// What is left.
    pub keep: Keep,
    /// Only whole nodes go.
    pub approximate: bool,
    /// No more entries go than so many; 0: no bound.
    pub limit: u64,
}

/// See the head of this file.
#[derive(Clone, Default)]
pub struct Log {
    nodes: IdMap<Node>,
    len: u64,
    first_id: Id,
    last_id: Id,
    max_deleted_id: Id,
    added: u64,
    /// Bytes that the nodes' listpacks take.
    node_bytes: usize,
}

impl Log {
    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id of the first entry; the least id where there is none.
    pub fn first_id(&self) -> Id {
        self.first_id
    }

    /// The greatest id that an entry had, or that was set.
    pub fn last_id(&self) -> Id {
        self.last_id
    }

    /// The greatest id of an entry that was removed by its id; the least id
    /// where there was none.
    pub fn max_deleted_id(&self) -> Id {
        self.max_deleted_id
    }

    /// Number of entries that were ever added.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// The nodes, each with its id.
    pub fn nodes(&self) -> impl Iterator<Item = (Id, &Node)> {
        self.nodes.iter()
    }

    /// Number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes that it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.nodes.heap_bytes() + self.node_bytes
    }

    /// How many allocations it has.
    pub fn allocations(&self) -> usize {
        self.nodes.allocations() + self.nodes.len()
    }

    // ----- reading --------------------------------------------------------

    /// The entries from one id to another, both included.
    pub fn range(&self, from: Id, to: Id) -> Entries<'_> {
        self.entries(from, to, Direction::Forward)
    }

    /// The entries from one id to another, both included, the last one first.
    pub fn range_back(&self, from: Id, to: Id) -> Entries<'_> {
        self.entries(from, to, Direction::Back)
    }

    fn entries(&self, from: Id, to: Id, direction: Direction) -> Entries<'_> {
        let first = self.nodes.floor(from).map_or(from, |(id, _)| id);
        Entries {
            nodes: self.nodes.range(first, to),
            at: None,
            direction,
            from,
            to,
        }
    }

    /// The entry with this id.
    pub fn get(&self, id: Id) -> Option<Entry<'_>> {
        self.find(id).map(|(_, entry)| entry)
    }

    /// The entry with this id, and the id of its node.
    fn find(&self, id: Id) -> Option<(Id, Entry<'_>)> {
        let (first, node) = self.nodes.floor(id)?;
        let mut next = node.first(first);
        while let Some(entry) = next {
            if entry.id >= id {
                return (entry.id == id && !entry.is_deleted).then_some((first, entry));
            }
            next = entry.next(first);
        }
        None
    }

    /// The id of the last entry that is still there.
    pub fn last_entry_id(&self) -> Option<Id> {
        Some(self.range_back(Id::MIN, Id::MAX).next()?.id)
    }

    /// The id of the first entry that takes room, removed or not.
    pub fn first_stored_id(&self) -> Option<Id> {
        let (id, node) = self.nodes.first()?;
        Some(node.first(id)?.id)
    }

    // ----- changing -------------------------------------------------------

    /// The id that a new entry would get.
    pub fn next_id(&self, id: NewId, now_ms: u64) -> Result<Id, AppendError> {
        let last = self.last_id;
        let next = match id {
            NewId::Auto if now_ms > last.ms => Some(Id::new(now_ms, 0)),
            NewId::Auto => last.next(),
            NewId::AutoSeq(ms) if ms == last.ms => {
                let seq = last.seq.checked_add(1);
                seq.map(|seq| Id::new(ms, seq))
            }
            NewId::AutoSeq(ms) => Some(Id::new(ms, 0)),
            NewId::Given(id) => Some(id),
        };
        next.filter(|&id| id > last).ok_or(AppendError::NotGreater)
    }

    /// Appends an entry with these names and values in turn: its id.
    pub fn append<B: AsRef<[u8]>>(
        &mut self,
        id: NewId,
        fields: &[B],
        limits: Limits,
        now_ms: u64,
    ) -> Result<Id, AppendError> {
        let id = self.next_id(id, now_ms)?;
        let bytes: usize = fields.iter().map(|text| text.as_ref().len()).sum();
        if bytes > BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let is_full = self
            .nodes
            .last()
            .is_none_or(|(_, node)| limits.reached(node, bytes));
        if is_full {
            let node = Node::new(fields);
            self.node_bytes += node.listpack().heap_bytes();
            self.nodes.insert(id, node);
        }
        let (first, node) = self.nodes.last_mut().expect("one was just there");
        self.node_bytes -= node.listpack().heap_bytes();
        node.push(id.since(first), fields);
        self.node_bytes += node.listpack().heap_bytes();
        self.last_id = id;
        if self.len == 0 {
            self.first_id = id;
        }
        self.len += 1;
        self.added = self.added.wrapping_add(1);
        Ok(id)
    }

    /// Removes entries by their ids: of each, whether it was there.
    pub fn delete(&mut self, ids: &[Id]) -> Vec<bool> {
        let first = self.first_id;
        let deleted: Vec<bool> = ids.iter().map(|&id| self.delete_one(id)).collect();
        if deleted
            .iter()
            .zip(ids)
            .any(|(&was, &id)| was && id == first)
        {
            self.find_first();
        }
        deleted
    }

    fn delete_one(&mut self, id: Id) -> bool {
        let Some((node, at)) = self.find(id).map(|(node, entry)| (node, entry.at)) else {
            return false;
        };
        if self.nodes.get(node).is_some_and(|node| node.count() == 1) {
            self.drop_node(node);
        } else {
            self.delete_in(node, &[at]);
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        true
    }

    fn delete_in(&mut self, node: Id, entries: &[At]) {
        let node = self.nodes.get_mut(node).expect("a node that was found");
        self.node_bytes -= node.listpack().heap_bytes();
        node.delete(entries);
        self.node_bytes += node.listpack().heap_bytes();
    }

    fn drop_node(&mut self, id: Id) {
        if let Some(node) = self.nodes.remove(id) {
            self.node_bytes -= node.listpack().heap_bytes();
        }
    }

    fn find_first(&mut self) {
        let first = self.range(Id::MIN, Id::MAX).next();
        self.first_id = first.map_or(Id::MIN, |entry| entry.id);
    }

    /// Removes entries from the front: how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let mut deleted = 0;
        while let Some((id, node)) = self.nodes.first() {
            let count = node.count();
            let whole = match trim.keep {
                Keep::Length(max) if self.len <= max => break,
                Keep::Length(max) => self.len.saturating_sub(count) >= max,
                Keep::From(from) => node.last(id).is_none_or(|entry| entry.id < from),
            };
            if trim.limit > 0 && deleted + count > trim.limit {
                break;
            }
            if whole {
                self.drop_node(id);
                self.len -= count;
                deleted += count;
                continue;
            }
            if !trim.approximate {
                deleted += self.trim_in(id, trim.keep);
            }
            break;
        }
        if deleted > 0 {
            self.find_first();
        }
        deleted
    }

    /// Removes the first entries of the first node.
    fn trim_in(&mut self, id: Id, keep: Keep) -> u64 {
        let node = self.nodes.get(id).expect("a node that was found");
        let excess = match keep {
            Keep::Length(max) => (self.len - max) as usize,
            Keep::From(_) => usize::MAX,
        };
        let mut entry = node.first(id);
        let all = std::iter::from_fn(|| {
            let this = entry?;
            entry = this.next(id);
            Some(this)
        });
        let doomed: Vec<_> = all
            .take_while(|entry| match keep {
                Keep::Length(_) => true,
                Keep::From(from) => entry.id < from,
            })
            .filter(|entry| !entry.is_deleted)
            .take(excess)
            .map(|entry| entry.at)
            .collect();
        self.delete_in(id, &doomed);
        self.len -= doomed.len() as u64;
        doomed.len() as u64
    }

    /// Sets what is told of the stream's past.
    pub fn set_past(&mut self, last_id: Id, added: Option<u64>, max_deleted_id: Option<Id>) {
        self.last_id = last_id;
        self.added = added.unwrap_or(self.added);
        self.max_deleted_id = max_deleted_id.unwrap_or(self.max_deleted_id);
    }

    /// Takes in a node that was made elsewhere; false where it is not behind all
    /// others, or holds no entry. What is told of the stream's past is not changed.
    pub fn push_node(&mut self, id: Id, node: Node) -> bool {
        let in_order = self.nodes.last().is_none_or(|(last, _)| last < id);
        if !in_order || node.first(id).is_none() {
            return false;
        }
        self.len += node.count();
        self.node_bytes += node.listpack().heap_bytes();
        self.nodes.insert(id, node);
        if self.first_id == Id::MIN {
            self.find_first();
        }
        true
    }

    // ----- how far a reader is --------------------------------------------

    /// Whether an entry from this id on was removed by its id.
    fn has_gaps_from(&self, id: Id) -> bool {
        self.len > 0 && self.max_deleted_id != Id::MIN && id <= self.max_deleted_id
    }

    /// How many entries had been added up to this one, itself included, where
    /// that can be told.
    pub fn added_up_to(&self, id: Id) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(self.added);
        }
        if id != Id::MIN && id < self.max_deleted_id || id > self.last_id {
            return None;
        }
        if id == self.last_id {
            return Some(self.added);
        }
        let unbroken = self.max_deleted_id == Id::MIN || self.max_deleted_id < self.first_id;
        let before = self.added.wrapping_sub(self.len);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if unbroken => Some(before),
            std::cmp::Ordering::Equal if unbroken => Some(before.wrapping_add(1)),
            _ => None,
        }
    }

    /// What a group that has read `entries_read` entries up to `last_id` has read
    /// when it reads the next one, `id`.
    pub fn entries_read(&self, entries_read: Option<u64>, last_id: Id, id: Id) -> Option<u64> {
        match entries_read {
            Some(n) if last_id >= self.first_id && !self.has_gaps_from(last_id) => {
                Some(n.wrapping_add(1))
            }
            _ if self.added > 0 => self.added_up_to(id),
            unknown => unknown,
        }
    }

    /// How many entries a group has not read yet that has read `entries_read` up
    /// to `last_id`, where that can be told. Negative where it was told to have
    /// read more than there were.
    pub fn lag(&self, entries_read: Option<u64>, last_id: Id) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        let read = entries_read.filter(|_| !self.has_gaps_from(last_id));
        let read = read.or_else(|| self.added_up_to(last_id))?;
        Some(self.added.wrapping_sub(read) as i64)
    }
}

impl Limits {
    /// Whether no entry of so many bytes may be added.
    fn reached(self, node: &Node, bytes: usize) -> bool {
        let most = match self.node_bytes {
            0 => BYTES_MAX,
            n => n.min(BYTES_MAX),
        };
        node.listpack().bytes() + bytes >= most
            || self.node_entries > 0 && node.count() + node.deleted() >= self.node_entries
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

/// Entries that are still there, one after the other.
pub struct Entries<'a> {
    nodes: Range<'a, Node>,
    /// The node's id, and the entry given last.
    at: Option<(Id, Entry<'a>)>,
    direction: Direction,
    from: Id,
    to: Id,
}

impl<'a> Entries<'a> {
    /// The next one, removed or not.
    fn advance(&mut self) -> Option<Entry<'a>> {
        let forward = self.direction == Direction::Forward;
        let in_node = self.at.and_then(|(node, entry)| {
            let next = match forward {
                true => entry.next(node),
                false => entry.previous(node),
            };
            next.map(|entry| (node, entry))
        });
        self.at = in_node;
        while self.at.is_none() {
            let (id, node) = match forward {
                true => self.nodes.next()?,
                false => self.nodes.next_back()?,
            };
            let entry = match forward {
                true => node.first(id),
                false => node.last(id),
            };
            self.at = entry.map(|entry| (id, entry));
        }
        self.at.map(|(_, entry)| entry)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let entry = self.advance()?;
            let (early, late) = (entry.id < self.from, entry.id > self.to);
            let (skip, over) = match self.direction {
                Direction::Forward => (early, late),
                Direction::Back => (late, early),
            };
            if over {
                return None;
            }
            if !skip && !entry.is_deleted {
                return Some(entry);
            }
        }
    }
}
