//! Leases, staleness and fences together, on random interleavings of clients, held
//! against a model that knows nothing of tables, notes or departed keys.

use std::collections::HashMap;

use proptest::prelude::*;

use super::tests::{kit, part};
use crate::base::clock;
use crate::command::testkit::Kit;

const TTL_MS: u64 = 100;
const STALE_MS: u64 = 60;
const LEASE_MS: u64 = 40;
const CLIENTS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Get(usize, usize),
    Set(usize, usize),
    SetNx(usize, usize),
    Del(usize, usize),
    InvalidateKey(usize, usize),
    InvalidateGroup(usize),
    Pass(u64),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let (client, key) = (0..CLIENTS, 0..2usize);
    prop_oneof![
        6 => (client.clone(), key.clone()).prop_map(|(c, k)| Step::Get(c, k)),
        4 => (client.clone(), key.clone()).prop_map(|(c, k)| Step::Set(c, k)),
        1 => (client.clone(), key.clone()).prop_map(|(c, k)| Step::SetNx(c, k)),
        1 => (client.clone(), key.clone()).prop_map(|(c, k)| Step::Del(c, k)),
        1 => (client.clone(), key).prop_map(|(c, k)| Step::InvalidateKey(c, k)),
        1 => client.prop_map(Step::InvalidateGroup),
        4 => (1u64..70).prop_map(Step::Pass),
        1 => Just(Step::Sweep),
    ]
}

#[derive(Clone)]
struct Value {
    text: String,
    deadline: u64,
    grace: u64,
}

#[derive(Default)]
struct Model {
    values: HashMap<usize, Value>,
    leases: HashMap<usize, (usize, u64)>,
    /// By client and key: the number of the step of the miss.
    misses: HashMap<(usize, usize), usize>,
    removals: HashMap<usize, usize>,
    now: u64,
    step: usize,
}

impl Model {
    fn is_fresh(&self, key: usize) -> bool {
        self.values.get(&key).is_some_and(|v| self.now < v.deadline)
    }

    fn get(&mut self, client: usize, key: usize) -> Option<String> {
        let now = self.now;
        self.values.retain(|_, v| now < v.deadline + v.grace);
        let value = self.values.get(&key).cloned();
        if self.is_fresh(key) {
            return value.map(|v| v.text);
        }
        let held = self
            .leases
            .get(&key)
            .copied()
            .filter(|(_, until)| now < *until);
        let is_mine = held.is_none();
        if is_mine {
            self.leases.insert(key, (client, now + LEASE_MS));
        }
        if value.is_none() || is_mine {
            self.misses.insert((client, key), self.step);
            return None;
        }
        value.map(|v| v.text)
    }

    fn store(&mut self, key: usize, text: String, grace: u64) {
        let deadline = self.now + TTL_MS;
        self.values.insert(
            key,
            Value {
                text,
                deadline,
                grace,
            },
        );
        self.leases.remove(&key);
    }

    fn set(&mut self, client: usize, key: usize, text: String) {
        let miss = self.misses.remove(&(client, key));
        let removal = self.removals.get(&key).copied();
        if matches!((miss, removal), (Some(miss), Some(removal)) if removal > miss) {
            return;
        }
        self.store(key, text, STALE_MS);
    }

    fn remove(&mut self, key: usize) -> bool {
        let was_there = self.is_fresh(key);
        self.values.remove(&key);
        self.leases.remove(&key);
        self.removals.insert(key, self.step);
        was_there
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let first = kit(&["p a:* ttl 100ms stale 60ms lease 40ms fence yes tag t"]);
    let mut clients: Vec<Kit> = (1..CLIENTS).map(|_| first.another()).collect();
    clients.push(first);
    let mut model = Model {
        now: clock::unix_ms(),
        ..Model::default()
    };
    for (n, step) in steps.into_iter().enumerate() {
        model.step = n + 1;
        match step {
            Step::Get(c, k) => {
                let expected = match model.get(c, k) {
                    Some(text) => format!("${}\r\n{text}\r\n", text.len()),
                    None => "$-1\r\n".into(),
                };
                prop_assert_eq!(clients[c].run(&format!("get a:{k}")), expected);
            }
            Step::Set(c, k) => {
                model.set(c, k, format!("v{n}"));
                clients[c].run(&format!("set a:{k} v{n}"));
            }
            Step::SetNx(c, k) => {
                let expected = i32::from(!model.is_fresh(k));
                if expected == 1 {
                    model.store(k, format!("v{n}"), 0);
                }
                let reply = clients[c].run(&format!("setnx a:{k} v{n}"));
                prop_assert_eq!(reply, format!(":{expected}\r\n"));
            }
            Step::Del(c, k) => {
                let expected = i32::from(model.remove(k));
                let reply = clients[c].run(&format!("del a:{k}"));
                prop_assert_eq!(reply, format!(":{expected}\r\n"));
            }
            Step::InvalidateKey(c, k) => {
                let expected = i32::from(model.remove(k)).to_string();
                let reply = clients[c].run(&format!("cache.invalidate key a:{k}"));
                prop_assert_eq!(part(&reply, "entries"), expected);
            }
            Step::InvalidateGroup(c) => {
                for k in 0..2 {
                    // A lease on what is not there stays; the fence is what counts.
                    let lease = model.leases.get(&k).copied();
                    let now = model.now;
                    model.values.retain(|_, v| now < v.deadline + v.grace);
                    let was_there = model.values.contains_key(&k);
                    model.remove(k);
                    if let (false, Some(lease)) = (was_there, lease) {
                        model.leases.insert(k, lease);
                    }
                }
                clients[c].run("cache.invalidate tag t");
                // Whether it is found by a read or by the sweep makes no difference but for
                // the lease of what was there.
                clients[c].sweep();
            }
            Step::Pass(ms) => {
                model.now += ms;
                clock::freeze(model.now);
            }
            Step::Sweep => clients[0].sweep(),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn leases_staleness_and_fences_are_those_of_the_model(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(steps)?;
    }
}
