//! A long list: nodes of several elements each, in a ring.
//!
//! Valkey chains its nodes; here they stand one beside the other in a
//! `VecDeque`, 16 bytes each, so that an index is found by adding up counts that
//! lie together. The nodes themselves are Valkey's, split and merged as it does:
//! which encoding a list has depends on it.
//!
//! **Invariant:** no node is empty; of the `depth` nodes at each end none is
//! compressed; every node between them is, if it was worth it.

use std::collections::VecDeque;

use crate::base::heap::usable_bytes;
use crate::types::listpack::{At, Item, Listpack};

use super::node::{Body, Node};
use super::{Limits, List, Side, beside, end_of, remove_equal};

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Quicklist {
    nodes: VecDeque<Node>,
    /// Number of elements.
    count: usize,
    /// What the nodes hold on the heap.
    nodes_bytes: usize,
    /// What the configuration said when it was made.
    fill: i16,
    depth: u16,
}

/// What DEBUG OBJECT tells of a quicklist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Nodes.
    pub nodes: usize,
    /// Elements.
    pub count: usize,
    /// The limit of a node, as `list-max-listpack-size` says it.
    pub fill: i16,
    /// Nodes at each end that are not compressed; 0: none is.
    pub depth: u16,
    /// Bytes of all nodes, uncompressed.
    pub uncompressed_bytes: usize,
}

impl Quicklist {
    pub(super) fn new(limits: Limits) -> Quicklist {
        Quicklist {
            nodes: VecDeque::with_capacity(1),
            count: 0,
            nodes_bytes: 0,
            fill: limits.fill,
            depth: limits.depth,
        }
    }

    /// The limits under which it was made.
    fn own(&self, limits: Limits) -> Limits {
        Limits {
            fill: self.fill,
            depth: self.depth,
            ..limits
        }
    }

    /// For DEBUG OBJECT; looks at every node.
    pub fn figures(&self) -> Figures {
        Figures {
            nodes: self.nodes.len(),
            count: self.count,
            fill: self.fill,
            depth: self.depth,
            uncompressed_bytes: self.nodes.iter().map(Node::bytes).sum(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.iter()
    }

    #[cfg(test)]
    pub(super) fn nodes_heap_bytes(&self) -> usize {
        self.nodes_bytes
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let ring = self.nodes.capacity() * size_of::<Node>();
        usable_bytes(size_of::<Quicklist>()) + usable_bytes(ring) + self.nodes_bytes
    }

    /// What the node of this index holds.
    pub(super) fn body(&self, node: usize) -> Option<Body<'_>> {
        self.nodes.get(node).map(Node::body)
    }

    /// The listpack of its only node, if it has one node and that is none.
    pub(super) fn sole_pack(&self) -> Option<&Listpack> {
        match self.nodes.front()? {
            Node::Pack { pack, .. } if self.nodes.len() == 1 => Some(pack),
            _ => None,
        }
    }

    /// A small list of its first node.
    pub(super) fn take_pack(&mut self) -> List {
        match self.nodes.pop_front() {
            Some(Node::Pack { pack, .. }) => List::Packed(pack),
            _ => unreachable!("the first node is no listpack"),
        }
    }

    /// The element at an end.
    pub(super) fn end(&self, side: Side) -> Option<Item<'_>> {
        match self.nodes.get(self.end_node(side))? {
            Node::Pack { pack, .. } => end_of(pack, side).map(|at| pack.get(at)),
            Node::Plain(text) => Some(Item::Str(text)),
            Node::Squeezed { .. } => unreachable!("a compressed node at an end"),
        }
    }

    /// The index of the node at an end; without nodes, none's.
    fn end_node(&self, side: Side) -> usize {
        match side {
            Side::Left => 0,
            Side::Right => self.nodes.len().saturating_sub(1),
        }
    }

    /// The node in which an element stands, and its index there.
    pub(super) fn locate(&self, index: usize) -> Option<(usize, usize)> {
        let behind = self.count.checked_sub(index)?.checked_sub(1)?;
        if index <= behind {
            let mut passed = 0;
            let node = self.nodes.iter().position(|node| {
                passed += node.count();
                passed > index
            })?;
            Some((node, index + self.nodes[node].count() - passed))
        } else {
            let mut passed = 0;
            let node = self.nodes.iter().rposition(|node| {
                passed += node.count();
                passed > behind
            })?;
            Some((node, passed - behind - 1))
        }
    }

    // ----- changing ---------------------------------------------------------

    /// Adds a node at the tail.
    pub(super) fn push_body(&mut self, body: Body<'_>) {
        let node = Node::from(body);
        if node.count() > 0 {
            self.count += node.count();
            self.insert_node(self.nodes.len(), node);
        }
    }

    pub(super) fn push(&mut self, side: Side, text: &[u8], limits: Limits) {
        let limits = self.own(limits);
        let end = self.end_node(side);
        self.count += 1;
        match self.nodes.get(end) {
            Some(node) if node.has_room_for(text, limits) => {
                self.edit(end, |pack| match side {
                    Side::Left => pack.push_front(text),
                    Side::Right => pack.push_back(text),
                });
            }
            _ => {
                let place = match side {
                    Side::Left => 0,
                    Side::Right => self.nodes.len(),
                };
                self.insert_node(place, Node::new(text, limits));
            }
        }
    }

    /// Removes elements, which must be there.
    pub(super) fn remove_range(&mut self, start: usize, n: usize) {
        let Some((mut node, mut offset)) = self.locate(start) else {
            return;
        };
        self.count -= n;
        let mut left = n;
        while left > 0 {
            if offset == 0 && self.nodes[node].count() <= left {
                let first = node;
                while left > 0 && self.nodes[node].count() <= left {
                    left -= self.nodes[node].count();
                    node += 1;
                }
                let gone: usize = self.nodes.drain(first..node).map(|n| n.heap_bytes()).sum();
                self.nodes_bytes -= gone;
                node = first;
            } else {
                let taken = left.min(self.nodes[node].count() - offset);
                self.edit(node, |pack| pack.remove_range(offset, taken));
                self.settle(node);
                left -= taken;
                node += 1;
                offset = 0;
            }
        }
        self.nodes_went();
    }

    /// Removes up to `n` elements that are equal to a text; returns how many.
    pub(super) fn remove(&mut self, text: &[u8], n: usize, towards: Side) -> usize {
        let mut removed = 0;
        for i in 0..self.nodes.len() {
            if removed == n {
                break;
            }
            let i = match towards {
                Side::Right => i,
                Side::Left => self.nodes.len() - 1 - i,
            };
            let node = &self.nodes[i];
            let is_there = match node.body() {
                Body::Plain(whole) => *whole == *text,
                Body::Pack(pack) => pack.first().and_then(|at| pack.find(at, text, 0)).is_some(),
            };
            if !is_there {
                continue;
            }
            if node.is_plain() {
                self.replace_node(i, Node::from(Listpack::new()));
                removed += 1;
            } else {
                removed += self.edit(i, |pack| remove_equal(pack, text, n - removed, towards));
                self.settle(i);
            }
        }
        self.count -= removed;
        if removed > 0 {
            let gone = self.nodes.iter().filter(|node| node.count() == 0);
            self.nodes_bytes -= gone.map(Node::heap_bytes).sum::<usize>();
            self.nodes.retain(|node| node.count() > 0);
            self.nodes_went();
        }
        removed
    }

    /// Adds a text beside the first element that is equal to `pivot`; false
    /// where there is none.
    pub(super) fn insert(&mut self, side: Side, pivot: &[u8], text: &[u8], limits: Limits) -> bool {
        let found = self.nodes.iter().enumerate().find_map(|(i, node)| {
            let at = match node.body() {
                Body::Plain(whole) => (*whole == *pivot).then_some(None)?,
                Body::Pack(pack) => Some(pack.find(pack.first()?, pivot, 0)?),
            };
            Some((i, at))
        });
        match found {
            Some((node, at)) => {
                self.insert_beside(node, at, side, text, self.own(limits));
                true
            }
            None => false,
        }
    }

    /// Adds a text beside an element: that at `at` in a node, or the whole of it.
    fn insert_beside(
        &mut self,
        node: usize,
        at: Option<At>,
        side: Side,
        text: &[u8],
        limits: Limits,
    ) {
        self.count += 1;
        // Where the node would come that stands beside this one.
        let place = node + usize::from(side == Side::Right);
        let neighbour = match side {
            Side::Left => node.checked_sub(1),
            Side::Right => Some(node + 1).filter(|&i| i < self.nodes.len()),
        };
        let inner = at.filter(|&at| {
            let is_inner = |pack: &mut Listpack| beside(pack, at, side).is_some();
            self.edit(node, is_inner)
        });
        let fits = self.nodes[node].has_room_for(text, limits);
        match (at, inner, neighbour) {
            (Some(at), _, _) if fits => {
                self.edit(node, |pack| match side {
                    Side::Left => pack.insert_before(at, text),
                    Side::Right => pack.insert_after(at, text),
                });
                self.settle(node);
            }
            (_, Some(at), _) => {
                self.split(node, at, side);
                if limits.is_large(text.len()) {
                    self.insert_node(node + 1, Node::new(text, limits));
                    self.settle(node);
                    self.settle(node + 2);
                } else {
                    // To the half that the pivot is not in.
                    match side {
                        Side::Left => self.edit(node, |pack| pack.push_back(text)),
                        Side::Right => self.edit(node + 1, |pack| pack.push_front(text)),
                    }
                    self.merge_around(node + usize::from(side == Side::Left), limits);
                }
            }
            (_, None, Some(other)) if self.nodes[other].has_room_for(text, limits) => {
                self.edit(other, |pack| match side {
                    Side::Left => pack.push_back(text),
                    Side::Right => pack.push_front(text),
                });
                self.settle(other);
                self.settle(node);
            }
            _ => {
                self.insert_node(place, Node::new(text, limits));
                self.settle(node + usize::from(side == Side::Left));
            }
        }
    }

    /// Cuts a node in two beside an element that has another on that side.
    fn split(&mut self, node: usize, at: At, side: Side) {
        let behind = self.edit(node, |pack| {
            let first = match side {
                Side::Left => Some(at),
                Side::Right => pack.next(at),
            };
            pack.split_off(first.expect("it was looked at"))
        });
        self.add_node(node + 1, Node::from(behind));
    }

    /// Replaces an element, which must be there.
    pub(super) fn set(&mut self, index: usize, text: &[u8], limits: Limits) {
        let limits = self.own(limits);
        let Some((node, offset)) = self.locate(index) else {
            return;
        };
        let (is_plain, is_large) = (self.nodes[node].is_plain(), limits.is_large(text.len()));
        match (is_plain, is_large) {
            // Even where the node grows beyond its limit.
            (false, false) => {
                self.edit(node, |pack| {
                    let at = pack.seek(offset as isize);
                    pack.replace(at.expect("it was located"), text);
                });
                self.settle(node);
            }
            (true, true) => {
                self.replace_node(node, Node::new(text, limits));
                self.settle(node);
            }
            (true, false) => {
                self.insert_beside(node, None, Side::Right, text, limits);
                self.remove_node(node);
                self.count -= 1;
                self.nodes_went();
            }
            (false, true) => self.set_large(node, offset, text, limits),
        }
    }

    /// Replaces an element of a listpack by one that has a node of its own.
    fn set_large(&mut self, node: usize, offset: usize, text: &[u8], limits: Limits) {
        let behind = self.edit(node, |pack| {
            let at = pack.seek(offset as isize).expect("it was located");
            let behind = pack.next(at).map(|next| pack.split_off(next));
            pack.remove(at);
            behind
        });
        if let Some(behind) = behind {
            self.add_node(node + 1, Node::from(behind));
        }
        if self.nodes[node].count() == 0 {
            self.replace_node(node, Node::new(text, limits));
            self.settle(node);
            self.settle(node + 1);
            self.settle_ends();
        } else {
            self.add_node(node + 1, Node::new(text, limits));
            self.merge_around(node + 1, limits);
        }
    }

    // ----- nodes ------------------------------------------------------------

    fn add_node(&mut self, place: usize, node: Node) {
        self.nodes_bytes += node.heap_bytes();
        self.nodes.insert(place, node);
    }

    fn remove_node(&mut self, place: usize) -> Option<Node> {
        let node = self.nodes.remove(place)?;
        self.nodes_bytes -= node.heap_bytes();
        Some(node)
    }

    fn replace_node(&mut self, place: usize, node: Node) {
        self.change(place, |old| *old = node);
    }

    /// As [`Node::edit`].
    fn edit<R>(&mut self, place: usize, f: impl FnOnce(&mut Listpack) -> R) -> R {
        self.change(place, |node| node.edit(f))
    }

    fn change<R>(&mut self, place: usize, f: impl FnOnce(&mut Node) -> R) -> R {
        let node = &mut self.nodes[place];
        let before = node.heap_bytes();
        let result = f(node);
        self.nodes_bytes = self.nodes_bytes + node.heap_bytes() - before;
        result
    }

    fn insert_node(&mut self, place: usize, node: Node) {
        self.add_node(place, node);
        self.settle(place);
        self.settle_ends();
    }

    /// Merges the nodes around one that was just split, as far as the limits
    /// allow, in Valkey's order.
    fn merge_around(&mut self, mut center: usize, limits: Limits) {
        if center >= 2 && self.merge(center - 2, limits) {
            center -= 1;
        }
        self.merge(center + 1, limits);
        if center >= 1 && self.merge(center - 1, limits) {
            center -= 1;
        }
        self.merge(center, limits);
        for node in center.saturating_sub(2)..=center + 2 {
            self.settle(node);
        }
        self.settle_ends();
    }

    /// Merges a node with the next one, if they may be.
    fn merge(&mut self, node: usize, limits: Limits) -> bool {
        let may = match (self.nodes.get(node), self.nodes.get(node + 1)) {
            (Some(a), Some(b)) => a.may_merge(b, limits),
            _ => false,
        };
        if may && let Some(next) = self.remove_node(node + 1) {
            let Body::Pack(more) = next.body() else {
                unreachable!("a plain node does not merge");
            };
            self.edit(node, |pack| pack.append(&more));
        }
        may
    }

    /// After nodes were removed.
    fn nodes_went(&mut self) {
        if self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
        self.settle_ends();
    }

    /// Compresses a node that stands far enough from both ends.
    fn settle(&mut self, node: usize) {
        let depth = usize::from(self.depth);
        if depth > 0 && node >= depth && node + depth < self.nodes.len() {
            self.change(node, Node::squeeze);
        }
    }

    /// After nodes came or went: opens those that now stand at an end, and
    /// compresses those that have just left it: no more than two at a time.
    fn settle_ends(&mut self) {
        let (depth, len) = (usize::from(self.depth), self.nodes.len());
        for i in 0..depth.min(len) {
            self.change(i, Node::open);
            self.change(len - 1 - i, Node::open);
        }
        for i in depth..len.min(depth + 2) {
            self.settle(i);
            self.settle(len - 1 - i);
        }
    }
}
