//! Client-side caching: who read which key, and is told when that is no longer
//! what the key holds.
//!
//! A read is remembered under the lock under which it ran, and a change is
//! announced under the lock under which it was made: so no read is ever stale
//! without a word. The word comes behind the reply to the read, for mail does.
//!
//! Keys are remembered by name alone, whatever their database, as Redis does; each
//! until its next change, or until there are too many
//! (`tracking-table-max-keys`): then one is announced as changed, and forgotten.
//! Who wants to hear of every change under a prefix (BCAST) is remembered by that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::args::KeyAt;
use super::effect::{Change, Consumer, Effect, Event};
use super::engine::Engine;
use super::mail::Message;
use super::session::{Client, Session};
use crate::base::hash;
use crate::protocol::reply::Reply;

/// The table's parts, each under a lock of its own.
const STRIPES: usize = 64;
/// Keys that are forgotten on the spot; more are freed by another thread.
const FREED_AT_ONCE: usize = 10_000;
/// Where those are told who do not speak RESP3.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// What a client has chosen.
pub mod mode {
    /// It is told at all.
    pub const ON: u8 = 1;
    /// Of every change under its prefixes.
    pub const BCAST: u8 = 1 << 1;
    /// Only of what it reads right behind CLIENT CACHING YES.
    pub const OPTIN: u8 = 1 << 2;
    /// Not of what it reads right behind CLIENT CACHING NO.
    pub const OPTOUT: u8 = 1 << 3;
    /// Not of its own changes.
    pub const NOLOOP: u8 = 1 << 4;
    /// Nobody is there any more whom it wanted told instead.
    pub const BROKEN: u8 = 1 << 5;
}

/// What a client has chosen, seen from anywhere. Its own connection writes.
#[derive(Default)]
pub struct Choice {
    /// From [`mode`].
    bits: AtomicU8,
    /// Who is told in its stead; 0 for nobody.
    redirect: AtomicU64,
    /// The same.
    deputy: Mutex<Weak<Client>>,
    /// Shared with the table of all prefixes.
    prefixes: Mutex<BTreeSet<Arc<[u8]>>>,
}

impl Choice {
    /// Whether one of these is chosen.
    #[inline]
    pub fn has(&self, bits: u8) -> bool {
        self.bits.load(Ordering::Relaxed) & bits != 0
    }

    /// Who is told in its stead: 0 for nobody, `None` where nobody is told.
    pub fn redirect(&self) -> Option<u64> {
        self.has(mode::ON)
            .then(|| self.redirect.load(Ordering::Relaxed))
    }

    /// Its prefixes, in order.
    pub fn prefixes(&self) -> Vec<Arc<[u8]>> {
        self.prefixes.lock().iter().cloned().collect()
    }
}

type Readers = SmallVec<[Weak<Client>; 1]>;

/// See the head of this file.
#[derive(Default)]
pub struct Tracking {
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    keys: AtomicUsize,
    items: AtomicUsize,
    stripes: Stripes,
    /// Who wants to hear of every change under a prefix.
    prefixes: Mutex<Prefixes>,
}

/// Prefixes, each with who wants to hear of it.
type Prefixes = BTreeMap<Arc<[u8]>, Vec<Arc<Client>>>;

/// Keys, each with who read it.
type Keys = HashMap<Box<[u8]>, Readers>;

struct Stripes(Box<[Mutex<Keys>]>);

impl Default for Stripes {
    fn default() -> Stripes {
        Stripes((0..STRIPES).map(|_| Mutex::default()).collect())
    }
}

impl Stripes {
    fn of(&self, digest: u64) -> &Mutex<Keys> {
        &self.0[digest as usize % STRIPES]
    }
}

/// What is announced.
enum News<'a> {
    /// These keys changed.
    Keys(&'a [&'a [u8]]),
    /// All may have.
    Everything,
}

impl News<'_> {
    fn write(&self, reply: &mut Reply<'_>) {
        match reply.is_resp3() {
            true => {
                reply.push(2);
                reply.bulk(b"invalidate");
            }
            false => {
                reply.push(3);
                reply.bulk(b"message");
                reply.bulk(CHANNEL);
            }
        }
        match self {
            News::Keys(keys) => {
                reply.array(keys.len());
                keys.iter().for_each(|key| reply.bulk(key));
            }
            News::Everything => reply.null(),
        }
    }
}

impl Tracking {
    /// How many clients are told of changes.
    pub fn clients(&self) -> usize {
        self.clients.lock().len()
    }

    /// Keys that are remembered.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Readers that are remembered, over all keys.
    pub fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// Prefixes that somebody wants to hear of.
    pub fn prefixes(&self) -> usize {
        self.prefixes.lock().len()
    }

    /// A client is told from now on, as `bits` from [`mode`] say; with BCAST, of
    /// these prefixes too.
    pub fn enable(
        engine: &Engine,
        session: &mut Session,
        bits: u8,
        deputy: Option<&Arc<Client>>,
        prefixes: &[&[u8]],
    ) {
        let tracking = &engine.tracking;
        let client = &session.client;
        let choice = &client.tracking;
        let mut clients = tracking.clients.lock();
        if clients.is_empty() {
            engine.effects.attach(tracking.clone());
        }
        clients.insert(client.id, client.clone());
        drop(clients);
        let id = deputy.map_or(0, |d| d.id);
        choice.redirect.store(id, Ordering::Relaxed);
        *choice.deputy.lock() = deputy.map_or_else(Weak::new, Arc::downgrade);
        choice.bits.store(bits | mode::ON, Ordering::Relaxed);
        if bits & mode::BCAST != 0 {
            let everything: &[&[u8]] = &[b""];
            let prefixes = if prefixes.is_empty() {
                everything
            } else {
                prefixes
            };
            let mut own = choice.prefixes.lock();
            let mut all = tracking.prefixes.lock();
            for &prefix in prefixes {
                if !own.contains(prefix) {
                    let known = all.get_key_value(prefix).map(|(p, _)| p.clone());
                    let prefix = known.unwrap_or_else(|| prefix.into());
                    own.insert(prefix.clone());
                    client.keep_shared_name();
                    all.entry(prefix).or_default().push(client.clone());
                }
            }
        }
        session.tracks = bits & mode::BCAST == 0;
        session.caching = false;
    }

    /// A client is told no more.
    pub fn disable(engine: &Engine, session: &mut Session) {
        let tracking = &engine.tracking;
        let client = &session.client;
        session.tracks = false;
        session.caching = false;
        if !client.tracking.has(mode::ON) {
            return;
        }
        let own = std::mem::take(&mut *client.tracking.prefixes.lock());
        let mut all = tracking.prefixes.lock();
        for prefix in own {
            client.drop_shared_name();
            if let Some(clients) = all.get_mut(&prefix) {
                clients.retain(|c| !Arc::ptr_eq(c, client));
                if clients.is_empty() {
                    all.remove(&prefix);
                }
            }
        }
        drop(all);
        client.tracking.bits.store(0, Ordering::Relaxed);
        let mut clients = tracking.clients.lock();
        clients.remove(&client.id);
        if clients.is_empty() {
            let consumer: Arc<dyn Consumer> = tracking.clone();
            engine.effects.detach(&consumer);
            // From now on nobody says that these keys change.
            tracking.forget_all();
        }
    }

    /// Forgets who read what. To be called while no client can begin to read.
    fn forget_all(&self) {
        let mut all = Vec::new();
        for stripe in &self.stripes.0 {
            let keys = std::mem::take(&mut *stripe.lock());
            let readers: usize = keys.values().map(|readers| readers.len()).sum();
            self.keys.fetch_sub(keys.len(), Ordering::Relaxed);
            self.items.fetch_sub(readers, Ordering::Relaxed);
            all.push(keys);
        }
        if all.iter().map(HashMap::len).sum::<usize>() > FREED_AT_ONCE {
            // Without a thread it takes this one a while.
            let _ = thread::Builder::new().spawn(move || drop(all));
        }
    }

    /// Remembers what a client reads, at most `max_keys` in all, 0 for any number,
    /// and names to `new` what it has not read before. To be called under the keys'
    /// locks.
    #[cold]
    pub fn remember(
        &self,
        session: &Session,
        argv: &[&[u8]],
        keys: &[KeyAt],
        max_keys: usize,
        mut new: impl FnMut(&[u8]),
    ) {
        let choice = &session.client.tracking;
        if (choice.has(mode::OPTIN) && !session.caching)
            || (choice.has(mode::OPTOUT) && session.caching)
        {
            return;
        }
        for key in keys {
            let name = argv[key.arg as usize];
            let mut stripe = self.stripes.of(key.digest).lock();
            let readers = match stripe.get_mut(name) {
                Some(readers) => readers,
                None => {
                    self.keys.fetch_add(1, Ordering::Relaxed);
                    stripe.entry(name.into()).or_default()
                }
            };
            let client = &session.client;
            if !readers.iter().any(|r| r.as_ptr() == Arc::as_ptr(client)) {
                readers.push(Arc::downgrade(client));
                self.items.fetch_add(1, Ordering::Relaxed);
                new(name);
            }
        }
        if max_keys > 0 {
            self.hold_to(max_keys);
        }
    }

    /// Forgets keys beyond a bound, and says that they changed.
    pub fn hold_to(&self, max_keys: usize) {
        let first = crate::base::clock::random_below(STRIPES as u64) as usize;
        for i in 0..STRIPES {
            let stripe = &self.stripes.0[(first + i) % STRIPES];
            while self.keys() > max_keys {
                let mut stripe = stripe.lock();
                let Some(key) = stripe.keys().next().cloned() else {
                    break;
                };
                let readers = stripe.remove(&key).unwrap_or_default();
                self.announce(&key, readers, 0);
            }
        }
    }

    /// Tells the readers of a key, which are remembered no longer.
    fn announce(&self, key: &[u8], readers: Readers, by: u64) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(readers.len(), Ordering::Relaxed);
        let keys = [key];
        let news = News::Keys(&keys);
        let write = |reply: &mut Reply<'_>| news.write(reply);
        let message = Message::new(&write);
        for client in readers.iter().filter_map(Weak::upgrade) {
            let choice = &client.tracking;
            let is_own = choice.has(mode::NOLOOP) && client.id == by;
            if choice.has(mode::ON) && !choice.has(mode::BCAST) && !is_own {
                send(&client, &message);
            }
        }
    }

    /// Tells everybody that everything may have changed.
    fn announce_everything(&self) {
        for stripe in &self.stripes.0 {
            for (_, readers) in stripe.lock().drain() {
                self.keys.fetch_sub(1, Ordering::Relaxed);
                self.items.fetch_sub(readers.len(), Ordering::Relaxed);
            }
        }
        let write = |reply: &mut Reply<'_>| News::Everything.write(reply);
        let message = Message::new(&write);
        for client in self.clients.lock().values() {
            send(client, &message);
        }
    }

    /// Tells those who want to hear of every change under a prefix.
    fn broadcast(&self, keys: &[&[u8]], by: u64) {
        for (prefix, clients) in self.prefixes.lock().iter() {
            let under = keys.iter().filter(|key| key.starts_with(prefix)).copied();
            let under: SmallVec<[&[u8]; 8]> = under.collect();
            if under.is_empty() {
                continue;
            }
            let news = News::Keys(&under);
            let write = |reply: &mut Reply<'_>| news.write(reply);
            let message = Message::new(&write);
            for client in clients {
                if !(client.tracking.has(mode::NOLOOP) && client.id == by) {
                    send(client, &message);
                }
            }
        }
    }
}

impl Consumer for Tracking {
    fn wants_commands(&self) -> bool {
        false
    }

    fn observe(&self, effect: &Effect) {
        if effect.wholesale {
            self.announce_everything();
        }
        let mut keys: SmallVec<[&[u8]; 8]> = SmallVec::new();
        let is_change = |change: &Change| change.event != Event::NEW && change.event != Event::MISS;
        for change in effect.changes.iter().filter(|c| is_change(c)) {
            if !keys.contains(&&*change.key) {
                keys.push(&change.key);
            }
        }
        for &key in &keys {
            let mut stripe = self.stripes.of(hash::digest(key)).lock();
            let Some(mut readers) = stripe.remove(key) else {
                continue;
            };
            // What its client first read behind the last change of a transaction is
            // true.
            let last = effect
                .changes
                .iter()
                .rposition(|c| is_change(c) && *c.key == *key);
            let is_true = |(at, k): &(usize, Box<[u8]>)| Some(*at) > last && **k == *key;
            if effect.reads.iter().any(is_true) {
                let by = |r: &Weak<Client>| r.upgrade().is_some_and(|c| c.id == effect.by);
                let kept: Readers = readers.iter().filter(|r| by(r)).cloned().collect();
                readers.retain(|r| !by(r));
                self.keys.fetch_add(1, Ordering::Relaxed);
                stripe.insert(key.into(), kept);
            }
            self.announce(key, readers, effect.by);
        }
        if !keys.is_empty() {
            self.broadcast(&keys, effect.by);
        }
    }
}

/// Sends the news to a client, or to its deputy.
fn send(client: &Arc<Client>, message: &Message<'_>) {
    let choice = &client.tracking;
    let id = choice.redirect.load(Ordering::Relaxed);
    if id == 0 {
        // RESP2 knows no message that nobody asked for.
        if client.speaks_resp3() {
            client.post(message);
        }
        return;
    }
    let deputy = choice.deputy.lock().upgrade();
    match deputy.filter(|deputy| !deputy.is_killed()) {
        Some(deputy) if deputy.speaks_resp3() || deputy.is_subscriber() => deputy.post(message),
        Some(_) => {}
        None => {
            choice.bits.fetch_or(mode::BROKEN, Ordering::Relaxed);
            if client.speaks_resp3() {
                let write = |reply: &mut Reply<'_>| {
                    reply.push(2);
                    reply.bulk(b"tracking-redir-broken");
                    reply.int(id as i64);
                };
                client.post(&Message::new(&write));
            }
        }
    }
}
