//! Leases: who may refill a key, so that a value that is missing is loaded once.
//!
//! ```text
//!             │ nobody's      │ held
//! ────────────┼───────────────┼───────────────────────────────────────────
//!  read       │ mine: refill  │ not my turn
//!  fill       │ –             │ nobody's: the value is there
//!  with token │ refused       │ nobody's, if it is the token; else refused
//!  removal    │ –             │ nobody's
//!  deadline   │ –             │ nobody's
//!  departure  │ –             │ nobody's, if it is the holder that leaves
//! ```
//!
//! The connection that holds it is no exception: a pool gives it to another thread while
//! the first one loads.
//!
//! A lease is known by the key's digest and database: two keys of the same digest
//! would share one, which costs a load, and never a wrong value.

use std::collections::HashMap;

/// Most leases of one shard. Beyond, nobody gets one, and everybody loads.
pub const LEASES_MAX: usize = 1 << 14;

/// One lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// What the holder shows, never 0.
    pub token: u64,
    /// The client that holds it.
    pub client: u64,
    /// When it ends, in Unix milliseconds.
    pub until_ms: u64,
    /// When its holder missed the key, in Unix milliseconds.
    pub since_ms: u64,
    /// How many invalidations there had been then.
    pub epoch: u32,
    /// The key's database.
    pub db: u32,
}

impl Lease {
    /// Whether it is not over. Where the clock was set back, nobody knows for how long it
    /// was meant, and it is.
    fn holds(&self, now_ms: u64) -> bool {
        (self.since_ms..self.until_ms).contains(&now_ms)
    }
}

/// Who asks for a lease, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// The client.
    pub client: u64,
    /// The token that it gets.
    pub token: u64,
    /// The time, in Unix milliseconds.
    pub now_ms: u64,
    /// For how long the lease is given, in milliseconds.
    pub lease_ms: u64,
    /// How many invalidations there have been.
    pub epoch: u32,
    /// The key's database.
    pub db: u32,
}

/// Whose turn it is to refill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// The caller's, from now on, with this token.
    Mine(u64),
    /// Another's, until this time in Unix milliseconds.
    Others(u64),
    /// Nobody's: there are too many leases.
    Nobody,
}

/// The leases of one policy in one shard. Under the shard's lock.
#[derive(Default, Debug)]
pub struct Leases {
    held: HashMap<u64, Lease>,
    /// Those that ended by their deadline and were met so.
    pub lapsed: u64,
}

impl Leases {
    /// The lease of a key, where somebody holds it.
    pub fn get(&self, key: u64, now_ms: u64) -> Option<&Lease> {
        self.held.get(&key).filter(|lease| lease.holds(now_ms))
    }

    /// A client reads a key that is to be refilled.
    pub fn read(&mut self, key: u64, asking: Asking) -> Turn {
        let Asking {
            client,
            token,
            now_ms,
            lease_ms,
            epoch,
            db,
        } = asking;
        match self.held.get(&key) {
            Some(lease) if !lease.holds(now_ms) => self.lapsed += 1,
            Some(lease) => return Turn::Others(lease.until_ms),
            None => {}
        }
        if self.held.len() >= LEASES_MAX && !self.held.contains_key(&key) {
            let before = self.held.len();
            self.held.retain(|_, lease| lease.holds(now_ms));
            self.lapsed += (before - self.held.len()) as u64;
            if self.held.len() >= LEASES_MAX {
                return Turn::Nobody;
            }
        }
        let token = token.max(1);
        let lease = Lease {
            token,
            client,
            until_ms: now_ms.saturating_add(lease_ms),
            since_ms: now_ms,
            epoch,
            db,
        };
        self.held.insert(key, lease);
        Turn::Mine(token)
    }

    /// Whether a token is good for a key.
    pub fn is_good(&self, key: u64, token: u64, now_ms: u64) -> bool {
        self.get(key, now_ms).is_some_and(|l| l.token == token)
    }

    /// The key was filled or removed: returns what ended so.
    #[inline]
    pub fn end(&mut self, key: u64) -> Option<Lease> {
        match self.held.is_empty() {
            true => None,
            false => self.held.remove(&key),
        }
    }

    /// The holder of a lease is gone; false where it is another's by now.
    pub fn leave(&mut self, key: u64, token: u64) -> bool {
        let is_its = self.held.get(&key).is_some_and(|l| l.token == token);
        is_its && self.held.remove(&key).is_some()
    }

    /// How many are held, some of which may be over.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The heap that they take, about.
    pub fn bytes(&self) -> usize {
        self.held.capacity() * (size_of::<(u64, Lease)>() + 1)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.held = HashMap::new();
    }

    /// All keys of a database were removed; says how many leases ended so.
    pub fn end_of(&mut self, db: u32) -> usize {
        let before = self.held.len();
        self.held.retain(|_, lease| lease.db != db);
        if self.held.is_empty() {
            self.held = HashMap::new();
        }
        before - self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asking(client: u64, now_ms: u64, lease_ms: u64, token: u64) -> Asking {
        Asking {
            client,
            token,
            now_ms,
            lease_ms,
            epoch: 0,
            db: 0,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Read { key: u64, client: u64 },
        Fill { key: u64 },
        FillWith { key: u64, token: u64 },
        Leave { key: u64, client: u64 },
        Pass { ms: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let (key, client) = (0u64..3, 1u64..4);
        prop_oneof![
            (key.clone(), client.clone()).prop_map(|(key, client)| Step::Read { key, client }),
            key.clone().prop_map(|key| Step::Fill { key }),
            (key.clone(), 1u64..40).prop_map(|(key, token)| Step::FillWith { key, token }),
            (key, client).prop_map(|(key, client)| Step::Leave { key, client }),
            (1u64..80).prop_map(|ms| Step::Pass { ms }),
        ]
    }

    proptest! {
        /// The table in the head of the file, held against a model that knows only
        /// who was told to refill what until when.
        #[test]
        fn at_no_time_do_two_hold_the_lease_of_a_key(
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut leases = Leases::default();
            let mut model: HashMap<u64, (u64, u64, u64)> = HashMap::new();
            let (mut now, mut tokens) = (1_000u64, 0u64);
            for step in steps {
                match step {
                    Step::Read { key, client } => {
                        tokens += 1;
                        let turn = leases.read(key, asking(client, now, 50, tokens));
                        let held = model.get(&key).copied().filter(|(_, _, until)| now < *until);
                        let expected = match held {
                            None => {
                                model.insert(key, (client, tokens, now + 50));
                                Turn::Mine(tokens)
                            }
                            Some((_, _, until)) => Turn::Others(until),
                        };
                        prop_assert_eq!(turn, expected);
                    }
                    Step::Fill { key } => {
                        leases.end(key);
                        model.remove(&key);
                    }
                    Step::FillWith { key, token } => {
                        let held = model.get(&key).filter(|(_, _, until)| now < *until);
                        let expected = held.is_some_and(|(_, good, _)| *good == token);
                        prop_assert_eq!(leases.is_good(key, token, now), expected);
                        if expected {
                            leases.end(key);
                            model.remove(&key);
                        }
                    }
                    Step::Leave { key, client } => {
                        if let Some(&(who, token, _)) = model.get(&key)
                            && who == client
                        {
                            leases.leave(key, token);
                            model.remove(&key);
                        }
                        prop_assert!(!leases.leave(key, 0));
                    }
                    Step::Pass { ms } => now += ms,
                }
            }
        }
    }

    #[test]
    fn a_lease_does_not_outlive_a_clock_that_is_set_back() {
        let mut leases = Leases::default();
        assert_eq!(leases.read(1, asking(1, 1_000_000, 10, 5)), Turn::Mine(5));
        assert_eq!(leases.read(1, asking(2, 1_000, 10, 6)), Turn::Mine(6));
    }

    #[test]
    fn there_are_no_more_leases_than_the_bound_and_those_that_lapsed_make_room() {
        let mut leases = Leases::default();
        for key in 0..LEASES_MAX as u64 {
            assert_eq!(
                leases.read(key, asking(1, 0, 10, key + 1)),
                Turn::Mine(key + 1)
            );
        }
        assert_eq!(leases.read(u64::MAX, asking(1, 0, 10, 7)), Turn::Nobody);
        assert_eq!(leases.read(u64::MAX, asking(1, 10, 10, 7)), Turn::Mine(7));
        assert_eq!(leases.len(), 1);
    }
}
