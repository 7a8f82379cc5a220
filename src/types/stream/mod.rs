//! Streams: entries under rising ids, and groups of consumers that share them.
//!
//! ```text
//! Stream ─▶ Tree ─┬─ log ─▶ nodes by id ─▶ Node (a listpack of entries)
//!                 └─ groups by name ─▶ Group ─┬─ pending by id
//!                                             └─ consumers, each with its own ids
//! ```
//!
//! [`Log`] holds the entries and tells how far a reader of them is, [`node`] is
//! their format, [`Group`] what was delivered to whom, and [`IdMap`] the one
//! structure by which all of them find an id.

use std::collections::BTreeMap;

mod group;
mod id;
mod log;
mod map;
pub mod node;
mod radix;
#[cfg(test)]
mod tests;

pub use group::{Consumer, ConsumerNumber, Group, NEVER, Pending};
pub use id::{Id, IdText};
pub use log::{AppendError, Entries, Keep, Limits, Log, NewId, Trim};
pub use map::IdMap;
pub use node::{Entry, Node};

use super::object::Family;
use crate::base::heap::usable_bytes;

/// A stream.
#[derive(Clone)]
pub enum Stream {
    /// The only encoding.
    Tree(Box<Tree>),
}

/// What a stream holds.
#[derive(Clone, Default)]
pub struct Tree {
    log: Log,
    groups: BTreeMap<Box<[u8]>, Box<Group>>,
    /// Bytes that the groups take, with their names.
    group_bytes: usize,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::Tree(Box::default())
    }
}

impl Stream {
    fn tree(&self) -> &Tree {
        match self {
            Stream::Tree(tree) => tree,
        }
    }

    fn tree_mut(&mut self) -> &mut Tree {
        match self {
            Stream::Tree(tree) => tree,
        }
    }

    /// The entries.
    pub fn log(&self) -> &Log {
        &self.tree().log
    }

    /// The entries, to be changed.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.tree_mut().log
    }

    /// How many nodes Valkey's radix tree over the entries has.
    pub fn radix_nodes(&self) -> usize {
        radix::nodes(self.log().nodes().map(|(id, _)| id))
    }

    /// The groups by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        let groups = self.tree().groups.iter();
        groups.map(|(name, group)| (&**name, &**group))
    }

    /// The group with this name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.tree().groups.get(name).map(|group| &**group)
    }

    /// Changes a group; none where there is none of this name.
    pub fn change_group<R>(
        &mut self,
        name: &[u8],
        change: impl FnOnce(&Log, &mut Group) -> R,
    ) -> Option<R> {
        let tree = self.tree_mut();
        let group = tree.groups.get_mut(name)?;
        tree.group_bytes -= group.heap_bytes();
        let result = change(&tree.log, group);
        tree.group_bytes += group.heap_bytes();
        Some(result)
    }

    /// Adds a group; false where there is one of this name.
    pub fn create_group(&mut self, name: &[u8], group: Group) -> bool {
        let tree = self.tree_mut();
        if tree.groups.contains_key(name) {
            return false;
        }
        tree.group_bytes += own_bytes(name) + group.heap_bytes();
        tree.groups.insert(name.into(), Box::new(group));
        true
    }

    /// Removes a group; false where there was none of this name.
    pub fn destroy_group(&mut self, name: &[u8]) -> bool {
        let tree = self.tree_mut();
        let Some(group) = tree.groups.remove(name) else {
            return false;
        };
        tree.group_bytes -= own_bytes(name) + group.heap_bytes();
        true
    }

    /// Whether a group still needs an entry: has not read it yet, or has it
    /// pending.
    pub fn is_needed(&self, id: Id) -> bool {
        self.groups()
            .any(|(_, group)| id > group.last_id || group.pending().get(id).is_some())
    }

    /// Removes an entry from what is pending in any group: in how many it was.
    pub fn acknowledge_everywhere(&mut self, id: Id) -> usize {
        let tree = self.tree_mut();
        let mut groups = 0;
        for group in tree.groups.values_mut() {
            tree.group_bytes -= group.heap_bytes();
            groups += usize::from(group.acknowledge(id).is_some());
            tree.group_bytes += group.heap_bytes();
        }
        groups
    }
}

/// What a group takes beside what it holds: itself, its name, and its place.
fn own_bytes(name: &[u8]) -> usize {
    /// Of a tree's node, as far as it is filled on average.
    const PLACE: usize = 40;
    usable_bytes(size_of::<Group>()) + usable_bytes(name.len()) + PLACE
}

impl Family for Stream {
    const STAYS_EMPTY: bool = true;

    fn len(&self) -> usize {
        self.log().len() as usize
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn heap_bytes(&self) -> usize {
        usable_bytes(size_of::<Tree>()) + self.log().heap_bytes() + self.tree().group_bytes
    }

    fn free_effort(&self) -> usize {
        // As Valkey has it: the groups are taken to be about alike.
        let groups = self.tree().groups.len();
        let first = self.groups().next();
        let each = first.map_or(0, |(_, group)| group.free_effort());
        1 + self.log().allocations() + groups * each
    }
}
