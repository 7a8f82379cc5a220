//! Who listens: channels by name, and patterns.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::base::hash;
use crate::exec::session::Client;

/// Locks over which channels are spread.
const STRIPES: usize = 64;

/// Those who listen to one channel, by id.
pub type Subscribers = BTreeMap<u64, Arc<Client>>;

type Table = HashMap<Arc<[u8]>, Subscribers, hash::Keyed>;

/// Channels with those who listen; one without any is not kept.
pub struct Channels {
    stripes: Box<[Mutex<Table>]>,
    /// How many there are; written under the locks.
    len: Arc<AtomicU64>,
}

impl Channels {
    /// None yet; how many there are is kept in `len`.
    pub fn new(len: Arc<AtomicU64>) -> Channels {
        Channels {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    fn stripe(&self, channel: &[u8]) -> &Mutex<Table> {
        &self.stripes[hash::digest(channel) as usize % STRIPES]
    }

    /// Has a client listen. The name that it is known by, shared by all.
    pub fn add(&self, channel: &[u8], client: &Arc<Client>) -> Arc<[u8]> {
        let mut table = self.stripe(channel).lock();
        let before = table.len();
        let name = add(&mut table, channel, client);
        let more = table.len() - before;
        self.len.fetch_add(more as u64, Ordering::Relaxed);
        name
    }

    /// Has a client listen no more.
    pub fn remove(&self, channel: &[u8], client: &Client) {
        let mut table = self.stripe(channel).lock();
        let before = table.len();
        remove(&mut table, channel, client);
        let less = before - table.len();
        self.len.fetch_sub(less as u64, Ordering::Relaxed);
    }

    /// Shows those who listen to a channel to `visit`, while nobody comes or
    /// goes; what it says.
    pub fn with(&self, channel: &[u8], visit: impl FnOnce(&Subscribers) -> usize) -> usize {
        self.stripe(channel).lock().get(channel).map_or(0, visit)
    }

    /// Ends all that these channels are, and returns them with those who listened.
    pub fn take(&self, is_taken: impl Fn(&[u8]) -> bool) -> Vec<(Arc<[u8]>, Subscribers)> {
        let mut taken = Vec::new();
        for stripe in &self.stripes {
            let mut table = stripe.lock();
            let before = table.len();
            taken.extend(table.extract_if(|name, _| is_taken(name)));
            let less = before - table.len();
            self.len.fetch_sub(less as u64, Ordering::Relaxed);
        }
        taken
    }

    /// Whether a client listens to a channel.
    pub fn has(&self, channel: &[u8], client: &Client) -> bool {
        let table = self.stripe(channel).lock();
        let subscribers = table.get(channel);
        subscribers.is_some_and(|subscribers| subscribers.contains_key(&client.id))
    }

    /// Shows each channel to `visit`, stripe by stripe, while nobody comes to it or goes.
    pub fn each(&self, mut visit: impl FnMut(&[u8], &Subscribers)) {
        for stripe in &self.stripes {
            for (name, subscribers) in stripe.lock().iter() {
                visit(name, subscribers);
            }
        }
    }

    /// The names of all.
    pub fn names(&self) -> Vec<Arc<[u8]>> {
        let mut names = Vec::new();
        for stripe in &self.stripes {
            names.extend(stripe.lock().keys().cloned());
        }
        names
    }
}

/// Patterns with those who listen; one without any is not kept.
pub struct Patterns {
    table: RwLock<Table>,
    /// How many there are; written under the lock.
    len: Arc<AtomicU64>,
}

impl Patterns {
    /// None yet; how many there are is kept in `len`.
    pub fn new(len: Arc<AtomicU64>) -> Patterns {
        Patterns {
            table: RwLock::default(),
            len,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has a client listen. The pattern, shared by all.
    pub fn add(&self, pattern: &[u8], client: &Arc<Client>) -> Arc<[u8]> {
        let mut table = self.table.write();
        let name = add(&mut table, pattern, client);
        self.len.store(table.len() as u64, Ordering::Relaxed);
        name
    }

    /// Has a client listen no more.
    pub fn remove(&self, pattern: &[u8], client: &Client) {
        let mut table = self.table.write();
        remove(&mut table, pattern, client);
        self.len.store(table.len() as u64, Ordering::Relaxed);
    }

    /// Shows each pattern to `visit`, while nobody comes or goes.
    pub fn each(&self, mut visit: impl FnMut(&[u8], &Subscribers)) {
        for (pattern, subscribers) in self.table.read().iter() {
            visit(pattern, subscribers);
        }
    }
}

fn add(table: &mut Table, name: &[u8], client: &Arc<Client>) -> Arc<[u8]> {
    let name: Arc<[u8]> = match table.get_key_value(name) {
        Some((name, _)) => name.clone(),
        None => name.into(),
    };
    let subscribers = table.entry(name.clone()).or_default();
    subscribers.insert(client.id, client.clone());
    name
}

fn remove(table: &mut Table, name: &[u8], client: &Client) {
    if let Some(subscribers) = table.get_mut(name) {
        subscribers.remove(&client.id);
        if subscribers.is_empty() {
            table.remove(name);
        }
    }
}
