//! A node: some tens of entries that follow each other, in one listpack, in
//! Valkey's format, byte for byte.
//!
//! ```text
//! node    count │ deleted │ fields │ name 1 … name N │ 0 │ entry │ entry │ …
//! entry   flags │ ms │ seq │ fields │ name 1 │ value 1 │ … │ elements
//!         flags │ ms │ seq │ value 1 │ … │ value N │ elements    (SAME_FIELDS)
//! ```
//!
//! The head holds the names of the first entry's fields; an entry with the same
//! names leaves them out. `ms` and `seq` are relative to the node's id, which is
//! that of its first entry. `elements` is how many came before it since `flags`,
//! so that a node can be read from its end; the head's 0 ends that.
//!
//! An entry is removed by a flag; a node goes when none is left in it.
//!
//! **Invariant:** a listpack in here has this form: it was made here, or
//! [`Node::from_listpack`] looked at it.

use super::Id;
use crate::types::listpack::{At, Item, Listpack};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// See the head of this file.
#[derive(Clone, PartialEq, Eq)]
pub struct Node(Listpack);

impl Node {
    /// A node without entries, for entries with fields like these: names and
    /// values in turn.
    pub fn new<B: AsRef<[u8]>>(fields: &[B]) -> Node {
        let mut list = Listpack::new();
        list.push_back_int(0);
        list.push_back_int(0);
        list.push_back_int((fields.len() / 2) as i64);
        for name in fields.iter().step_by(2) {
            list.push_back(name.as_ref());
        }
        list.push_back_int(0);
        Node(list)
    }

    /// A node that was made elsewhere; none where it has not the form of one.
    pub fn from_listpack(list: Listpack) -> Option<Node> {
        let mut elements = list.iter();
        let mut int = || elements.next()?.int();
        let (count, deleted, fields) = (int()?, int()?, int()?);
        if count < 0 || deleted < 0 || fields < 0 {
            return None;
        }
        let skip = |elements: &mut dyn Iterator<Item = Item<'_>>, n: i64| {
            (0..n).try_for_each(|_| elements.next().map(drop))
        };
        skip(&mut elements, fields)?;
        if elements.next()?.int()? != 0 {
            return None;
        }
        let (mut live, mut dead) = (0, 0);
        while let Some(flags) = elements.next() {
            let flags = flags.int()?;
            *(if flags & DELETED != 0 {
                &mut dead
            } else {
                &mut live
            }) += 1;
            (0..2).try_for_each(|_| elements.next()?.int().map(drop))?;
            let expected = if flags & SAME_FIELDS != 0 {
                skip(&mut elements, fields)?;
                fields.checked_add(3)?
            } else {
                let fields = elements.next()?.int().filter(|&n| n >= 0)?;
                let both = fields.checked_mul(2)?;
                skip(&mut elements, both)?;
                both.checked_add(4)?
            };
            if elements.next()?.int()? != expected {
                return None;
            }
        }
        (live == count && dead == deleted).then_some(Node(list))
    }

    /// Its listpack, as it goes into a snapshot.
    pub fn listpack(&self) -> &Listpack {
        &self.0
    }

    fn head(&self) -> At {
        self.0.first().expect("a node has a head")
    }

    /// Number of entries that are still there.
    pub fn count(&self) -> u64 {
        self.int(self.head()) as u64
    }

    /// Number of entries that were removed.
    pub fn deleted(&self) -> u64 {
        self.int(self.following(self.head())) as u64
    }

    /// Appends an entry: its id relative to the node's, its names and values in
    /// turn.
    pub fn push<B: AsRef<[u8]>>(&mut self, since: (i64, i64), fields: &[B]) {
        let same = self.has_names(fields);
        self.add_to_head(1, 0);
        let list = &mut self.0;
        list.push_back_int(if same { SAME_FIELDS } else { 0 });
        list.push_back_int(since.0);
        list.push_back_int(since.1);
        let elements = if same {
            for value in fields.iter().skip(1).step_by(2) {
                list.push_back(value.as_ref());
            }
            fields.len() / 2 + 3
        } else {
            list.push_back_int((fields.len() / 2) as i64);
            for text in fields {
                list.push_back(text.as_ref());
            }
            fields.len() + 4
        };
        list.push_back_int(elements as i64);
    }

    /// Flags entries as removed that are not; each by its [`Entry::at`], in order.
    pub fn delete(&mut self, entries: &[At]) {
        for &at in entries.iter().rev() {
            // Those before it stay where they are, whatever becomes of its length.
            let flags = self.int(at);
            self.0.replace_int(at, flags | DELETED);
        }
        let count = entries.len() as i64;
        self.add_to_head(-count, count);
    }

    fn add_to_head(&mut self, live: i64, deleted: i64) {
        let at = self.head();
        let count = self.int(at);
        let at = self.0.replace_int(at, count + live);
        if deleted != 0 {
            let at = self.following(at);
            let count = self.int(at);
            self.0.replace_int(at, count + deleted);
        }
    }

    /// Whether the head has these names.
    fn has_names<B: AsRef<[u8]>>(&self, fields: &[B]) -> bool {
        let Names { count, first } = self.names();
        count == fields.len() / 2
            && (self.0.iter_from(Some(first)).zip(fields.iter().step_by(2)))
                .all(|(name, wanted)| name == *wanted.as_ref())
    }

    fn names(&self) -> Names {
        let at = self.following(self.following(self.head()));
        Names {
            count: self.int(at) as usize,
            first: self.following(at),
        }
    }

    // ----- reading --------------------------------------------------------

    fn int(&self, at: At) -> i64 {
        self.0.get(at).int().expect("a node has integers here")
    }

    fn following(&self, at: At) -> At {
        self.0.next(at).expect("a node goes on here")
    }

    fn skip(&self, mut at: At, elements: usize) -> At {
        for _ in 0..elements {
            at = self.following(at);
        }
        at
    }

    /// The first entry, removed or not, of the node with this id.
    pub fn first(&self, node: Id) -> Option<Entry<'_>> {
        let names = self.names();
        let zero = self.skip(names.first, names.count);
        Some(self.entry(node, names, self.0.next(zero)?))
    }

    /// The last entry, removed or not, of the node with this id.
    pub fn last(&self, node: Id) -> Option<Entry<'_>> {
        let last = self.0.last().expect("a node has a head");
        self.ending(node, self.names(), last)
    }

    /// The entry whose last element is here; none where that is the head's.
    fn ending(&self, node: Id, names: Names, mut at: At) -> Option<Entry<'_>> {
        let elements = self.int(at);
        for _ in 0..elements {
            at = self.0.prev(at).expect("an entry begins where it says");
        }
        (elements != 0).then(|| self.entry(node, names, at))
    }

    fn entry(&self, node: Id, names: Names, at: At) -> Entry<'_> {
        let ms = self.following(at);
        let seq = self.following(ms);
        let flags = self.int(at);
        let same = flags & SAME_FIELDS != 0;
        let behind = self.following(seq);
        let (fields, body) = match same {
            true => (names.count, behind),
            false => (self.int(behind) as usize, self.following(behind)),
        };
        Entry {
            node: self,
            id: Id::after(node, (self.int(ms), self.int(seq))),
            at,
            is_deleted: flags & DELETED != 0,
            names,
            same,
            body,
            fields,
        }
    }
}

/// The names in a node's head.
#[derive(Clone, Copy)]
struct Names {
    count: usize,
    first: At,
}

/// An entry in its node.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    node: &'a Node,
    /// Its id.
    pub id: Id,
    /// Where it begins.
    pub at: At,
    /// Whether it was removed.
    pub is_deleted: bool,
    names: Names,
    /// Whether its names are those in the head.
    same: bool,
    /// Where its values are, or its names and values.
    body: At,
    /// Number of its fields.
    pub fields: usize,
}

impl<'a> Entry<'a> {
    /// The one behind it in its node, whose id is `node`.
    pub fn next(&self, node: Id) -> Option<Entry<'a>> {
        let elements = self.fields * if self.same { 1 } else { 2 };
        let end = self.node.skip(self.body, elements);
        let at = self.node.0.next(end)?;
        Some(self.node.entry(node, self.names, at))
    }

    /// The one before it in its node, whose id is `node`.
    pub fn previous(&self, node: Id) -> Option<Entry<'a>> {
        let end = self.node.0.prev(self.at).expect("a node has a head");
        self.node.ending(node, self.names, end)
    }

    /// Its names and values.
    pub fn iter(&self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> + use<'a> {
        let list = &self.node.0;
        let mut names = self.same.then(|| list.iter_from(Some(self.names.first)));
        let mut body = list.iter_from(Some(self.body));
        (0..self.fields).map_while(move |_| {
            let name = match &mut names {
                Some(names) => names.next()?,
                None => body.next()?,
            };
            Some((name, body.next()?))
        })
    }
}
