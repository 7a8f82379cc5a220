//! What a client missed: the newest misses, one of a key, found by the key.
//!
//! A list from the oldest to the newest through a few nodes, and a table of open
//! addressing over them. Noting, finding and forgetting one costs the same however many
//! there are.
//!
//! ```text
//!   index  [ – | 2 | – | 0 | – | 1 | – | – ]     by key, at most half full
//!                │       │       │
//!   nodes  [ 0: miss, older, newer | 1: … | 2: … ]     oldest ──► … ──► newest
//! ```

/// Misses that are remembered of one client. Beyond, the oldest are forgotten, and a
/// refill of theirs is taken for a write.
const MISSES_MAX: usize = 256;

/// No node.
const NONE: u16 = u16::MAX;
/// The least table that there is.
const INDEX_MIN: usize = 8;

const _: () = assert!(MISSES_MAX < NONE as usize);

/// A miss that its client may be loading for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Miss {
    /// Of database and key; its low bits are as good as random.
    pub key: u64,
    /// The shard's count of misses and removals.
    pub sequence: u64,
    /// How many invalidations there had been.
    pub epoch: u32,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

struct Node {
    miss: Miss,
    older: u16,
    /// Of a node that is free, the next such.
    newer: u16,
}

/// See the head of this file.
pub struct Misses {
    nodes: Vec<Node>,
    index: Vec<u16>,
    len: usize,
    free: u16,
    oldest: u16,
    newest: u16,
}

impl Default for Misses {
    fn default() -> Misses {
        Misses {
            nodes: Vec::new(),
            index: Vec::new(),
            len: 0,
            free: NONE,
            oldest: NONE,
            newest: NONE,
        }
    }
}

impl Misses {
    /// Remembers a miss as the newest, in the place of an older one of the same key.
    pub fn note(&mut self, miss: Miss) {
        if let Some(place) = self.place_of(miss.key) {
            let at = self.index[place];
            self.unlink(at);
            self.nodes[usize::from(at)].miss = miss;
            self.link(at);
            return;
        }
        if self.len == MISSES_MAX {
            let oldest = self.nodes[usize::from(self.oldest)].miss.key;
            self.take(oldest);
        }
        if (self.len + 1) * 2 > self.index.len() {
            self.grow();
        }
        let node = Node {
            miss,
            older: NONE,
            newer: NONE,
        };
        let at = match self.free {
            NONE => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u16
            }
            free => {
                self.free = self.nodes[usize::from(free)].newer;
                self.nodes[usize::from(free)] = node;
                free
            }
        };
        self.link(at);
        self.enter(at);
        self.len += 1;
    }

    /// Forgets the miss of a key, and says what it was.
    pub fn take(&mut self, key: u64) -> Option<Miss> {
        let place = self.place_of(key)?;
        let at = self.index[place];
        self.leave(place);
        self.unlink(at);
        let node = &mut self.nodes[usize::from(at)];
        node.newer = self.free;
        self.free = at;
        self.len -= 1;
        Some(node.miss)
    }

    /// All, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = Miss> + '_ {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let node = self.nodes.get(usize::from(at))?;
            at = node.newer;
            Some(node.miss)
        })
    }

    fn home_of(&self, key: u64) -> usize {
        key as usize & (self.index.len() - 1)
    }

    /// Where the index has a key.
    fn place_of(&self, key: u64) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut place = self.home_of(key);
        loop {
            let node = self.nodes.get(usize::from(self.index[place]))?;
            if node.miss.key == key {
                return Some(place);
            }
            place = (place + 1) & (self.index.len() - 1);
        }
    }

    fn enter(&mut self, at: u16) {
        let mut place = self.home_of(self.nodes[usize::from(at)].miss.key);
        while self.index[place] != NONE {
            place = (place + 1) & (self.index.len() - 1);
        }
        self.index[place] = at;
    }

    /// Empties a place, and moves those behind it up that would not be found otherwise.
    fn leave(&mut self, mut hole: usize) {
        let mask = self.index.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let at = self.index[place];
            if at == NONE {
                break;
            }
            let home = self.home_of(self.nodes[usize::from(at)].miss.key);
            // Its way from home to where it is leads over the hole.
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.index[hole] = at;
                hole = place;
            }
        }
        self.index[hole] = NONE;
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.index.len() * 2).max(INDEX_MIN);
        self.index = vec![NONE; size];
        let mut at = self.oldest;
        while at != NONE {
            self.enter(at);
            at = self.nodes[usize::from(at)].newer;
        }
    }

    /// Makes a node the newest.
    fn link(&mut self, at: u16) {
        let newest = std::mem::replace(&mut self.newest, at);
        let node = &mut self.nodes[usize::from(at)];
        (node.older, node.newer) = (newest, NONE);
        match newest {
            NONE => self.oldest = at,
            newest => self.nodes[usize::from(newest)].newer = at,
        }
    }

    fn unlink(&mut self, at: u16) {
        let node = &self.nodes[usize::from(at)];
        let (older, newer) = (node.older, node.newer);
        match older {
            NONE => self.oldest = newer,
            older => self.nodes[usize::from(older)].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.nodes[usize::from(newer)].older = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn miss(key: u64, sequence: u64) -> Miss {
        Miss {
            key,
            sequence,
            epoch: 0,
            at_ms: 0,
        }
    }

    #[test]
    fn the_newest_misses_are_remembered_once_each() {
        let mut misses = Misses::default();
        for key in 0..=MISSES_MAX as u64 {
            misses.note(miss(key, key));
        }
        misses.note(miss(5, 1_000));
        assert_eq!(misses.take(0), None, "the oldest went");
        assert_eq!(misses.take(5).map(|m| m.sequence), Some(1_000));
        assert_eq!(misses.take(5), None);
        assert_eq!(misses.all().count(), MISSES_MAX - 1);
        assert!(misses.index.len() <= 2 * MISSES_MAX);
    }

    proptest! {
        #[test]
        fn they_are_what_a_list_that_is_walked_would_have(
            steps in prop::collection::vec((any::<bool>(), 0u64..400, 0u64..4), 0..2_000),
            takes in 1u8..4,
        ) {
            let (mut misses, mut model) = (Misses::default(), VecDeque::new());
            for (number, (is_take, key, home)) in steps.into_iter().enumerate() {
                // Many have the same home.
                let key = key << 9 | home;
                if is_take && number % usize::from(takes) == 0 {
                    let at = model.iter().position(|m: &Miss| m.key == key);
                    prop_assert_eq!(misses.take(key), at.and_then(|at| model.remove(at)));
                    continue;
                }
                let miss = miss(key, number as u64);
                misses.note(miss);
                model.retain(|m| m.key != key);
                if model.len() == MISSES_MAX {
                    model.pop_front();
                }
                model.push_back(miss);
            }
            prop_assert!(misses.all().eq(model));
        }
    }
}
