//! Finds many texts in one listpack: what an element's text is leads to its place,
//! so that the listpack is walked once and not for each.
//!
//! ```text
//!  slots: │ · │ 7 │ · │ 19 │ 42 │ · │ …      offsets, 0 for none, by the text's
//!             └───── listpack ─────┘         digest; at least half are free
//! ```

use super::{At, Item, Listpack, Needle};
use crate::base::hash::digest;
use crate::base::num;

/// With fewer texts to be found, or elements to find them among, an index costs
/// more than it saves.
const WORTH: usize = 8;

/// See the head of this file.
pub struct Index<'a> {
    pack: &'a Listpack,
    slots: Vec<u32>,
}

impl<'a> Index<'a> {
    /// An index of every element, or, of a listpack of pairs, of the first of each;
    /// `None` where so many lookups are not worth one.
    pub fn new(pack: &'a Listpack, are_pairs: bool, lookups: usize) -> Option<Index<'a>> {
        let elements = pack.len() / (1 + usize::from(are_pairs));
        if lookups.min(elements) < WORTH {
            return None;
        }
        let mut index = Index {
            pack,
            slots: vec![0; (elements * 2).next_power_of_two()],
        };
        let mut next = pack.first();
        while let Some(at) = next {
            let free = index.search(pack.get(at), |_| false);
            if let Err(slot) = free {
                index.slots[slot] = at.0;
            }
            next = pack.next(at);
            if are_pairs {
                next = next.and_then(|value| pack.next(value));
            }
        }
        Some(index)
    }

    /// The first element that has this text.
    pub fn find(&self, text: &[u8]) -> Option<At> {
        let needle = Needle::new(text);
        let item = needle.int.map_or(Item::Str(text), Item::Int);
        self.search(item, |at| needle.is(self.pack.get(at))).ok()
    }

    /// The first element that is found to be the one, among those whose texts could
    /// be this; or else the free slot behind them.
    fn search(&self, item: Item<'_>, is: impl Fn(At) -> bool) -> Result<At, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = match item {
            Item::Int(n) => digest(&n.to_le_bytes()),
            // As a string it may say an integer, too.
            Item::Str(text) => match num::parse_i64(text) {
                Some(n) => digest(&n.to_le_bytes()),
                None => digest(text),
            },
        } as usize
            & mask;
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                offset if is(At(offset)) => return Ok(At(offset)),
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "[a-c]{0,3}".prop_map(String::into_bytes),
            (-40i64..40).prop_map(|n| n.to_string().into_bytes()),
            Just(b"007".to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn it_finds_what_a_walk_finds(
            elements in prop::collection::vec(text(), 8..60),
            wanted in prop::collection::vec(text(), 1..60),
            are_pairs: bool,
        ) {
            let mut pack = Listpack::new();
            for element in &elements {
                pack.push_back(element);
                if are_pairs {
                    pack.push_back(b"a");
                }
            }
            let index = Index::new(&pack, are_pairs, WORTH).expect("worth it");
            let first = pack.first().expect("there are some");
            for text in wanted.iter().chain(&elements) {
                let found = pack.find(first, text, usize::from(are_pairs));
                prop_assert_eq!(index.find(text), found);
            }
        }
    }
}
