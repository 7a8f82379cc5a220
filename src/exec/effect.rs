//! Effects: how the rest of the server hears of a change.
//!
//! Every change that a command makes leaves through [`super::txn::Txn`] as part
//! of one effect: the keys and what happened to them, in order, and the command
//! that would do the same again (relative times made absolute, random choices
//! made definite). It is delivered under the locks of the shards that it is
//! about, so that effects on the same keys arrive in the order in which they
//! happened. A transaction's effects are one.
//!
//! With nobody attached, nothing is gathered.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use smallvec::SmallVec;

use super::pause::Pause;
use crate::config::{Settings, param};
use crate::protocol::request;

/// What happened to a key: its class, as `notify-keyspace-events` names it, and
/// its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// A letter of `notify-keyspace-events`.
    pub class: char,
    /// The event's name.
    pub name: &'static str,
}

impl Event {
    /// An event about keys of any type.
    pub const fn generic(name: &'static str) -> Event {
        Event { class: 'g', name }
    }

    /// An event about strings.
    pub const fn string(name: &'static str) -> Event {
        Event { class: '$', name }
    }

    /// An event about lists.
    pub const fn list(name: &'static str) -> Event {
        Event { class: 'l', name }
    }

    /// An event about sets.
    pub const fn set(name: &'static str) -> Event {
        Event { class: 's', name }
    }

    /// An event about hashes.
    pub const fn hash(name: &'static str) -> Event {
        Event { class: 'h', name }
    }

    /// An event about sorted sets.
    pub const fn zset(name: &'static str) -> Event {
        Event { class: 'z', name }
    }

    /// An event about streams.
    pub const fn stream(name: &'static str) -> Event {
        Event { class: 't', name }
    }

    /// The key was removed by command.
    pub const DEL: Event = Event::generic("del");
    /// The key got a deadline.
    pub const EXPIRE: Event = Event::generic("expire");
    /// The key lost its deadline.
    pub const PERSIST: Event = Event::generic("persist");
    /// The key's deadline passed, and it was removed.
    pub const EXPIRED: Event = Event {
        class: 'x',
        name: "expired",
    };
    /// Elements of the key's value were removed because their deadlines had passed.
    pub const ITEMS_EXPIRED: Event = Event {
        class: 'x',
        name: "hexpired",
    };
    /// The key was invalidated, alone or with its group, and removed.
    pub const INVALIDATED: Event = Event::generic("invalidated");
    /// The key was removed to make room.
    pub const EVICTED: Event = Event {
        class: 'e',
        name: "evicted",
    };
    /// The value changed in a way that has no name: whoever watches or follows
    /// the key hears of it, but nobody is notified.
    pub const UNNAMED: Event = Event {
        class: ' ',
        name: "",
    };
    /// The key was not there before.
    pub const NEW: Event = Event {
        class: 'n',
        name: "new",
    };
    /// A read did not find the key.
    pub const MISS: Event = Event {
        class: 'm',
        name: "keymiss",
    };
}

/// What happened to one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The database.
    pub db: u32,
    /// The key.
    pub key: Box<[u8]>,
    /// What happened.
    pub event: Event,
}

/// See the head of this file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effect {
    /// What happened, in order; nothing where nobody wants to know.
    pub changes: Vec<Change>,
    /// Whole databases were emptied or exchanged.
    pub wholesale: bool,
    /// The client that did it; 0 for the server itself.
    pub by: u64,
    /// Keys that the client read, and had not before, each with how many of the
    /// changes came first.
    pub reads: Vec<(usize, Box<[u8]>)>,
    /// The commands that do the same again; none where nobody wants them.
    pub commands: Commands,
    /// They need not be done together.
    pub is_apart: bool,
    /// They came from a server that is followed, and are in the log as they came: of each
    /// it is noted that it did something, and no more.
    pub is_relayed: bool,
}

/// What an effect's memory may be to be kept for the next one.
const KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    /// An empty one, for its memory.
    static SPARE: Cell<Option<Box<Effect>>> = const { Cell::new(None) };
}

impl Effect {
    /// An empty one.
    pub fn take() -> Box<Effect> {
        SPARE.take().unwrap_or_default()
    }

    /// Keeps one's memory for the next.
    pub fn recycle(mut self: Box<Effect>) {
        self.clear();
        (self.by, self.is_apart, self.is_relayed) = (0, false, false);
        if self.held_bytes() <= KEPT_BYTES {
            SPARE.set(Some(self));
        }
    }

    /// The memory that an empty one holds on to.
    fn held_bytes(&self) -> usize {
        fn of<T>(items: &Vec<T>) -> usize {
            items.capacity() * size_of::<T>()
        }
        let ends = self.commands.ends.capacity() * size_of::<(u32, usize)>();
        of(&self.changes) + of(&self.reads) + of(&self.commands.bytes) + ends
    }

    /// Whether it is not worth anybody's while.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.commands.is_empty() && !self.wholesale
    }

    /// Adds a command.
    pub fn tell<W: AsRef<[u8]>>(&mut self, db: u32, words: &[W]) {
        match self.is_relayed {
            true => self.commands.note(db),
            false => self.commands.push(db, words),
        }
    }

    /// Forgets what happened, but not who does it.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.commands.clear();
        self.reads.clear();
        self.wholesale = false;
    }
}

/// Commands, each with its database, as a client would send them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Commands {
    bytes: Vec<u8>,
    /// The database of each, and where it ends.
    ends: SmallVec<[(u32, usize); 2]>,
}

impl Commands {
    /// Appends one.
    pub fn push<W: AsRef<[u8]>>(&mut self, db: u32, words: &[W]) {
        request::write(&mut self.bytes, words);
        self.ends.push((db, self.bytes.len()));
    }

    /// Notes that there is one, without its words.
    fn note(&mut self, db: u32) {
        self.ends.push((db, self.bytes.len()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Forgets those behind the first ones.
    pub fn truncate(&mut self, commands: usize) {
        self.ends.truncate(commands);
        let end = self.ends.last().map_or(0, |&(_, end)| end);
        self.bytes.truncate(end);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Databases and bytes of all.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut from = 0;
        self.ends.iter().map(move |&(db, end)| {
            let bytes = &self.bytes[from..end];
            from = end;
            (db, bytes)
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The words of all.
    #[cfg(test)]
    pub fn told(&self) -> Vec<(u32, Vec<Vec<u8>>)> {
        use crate::protocol::parse::{self, Limits};
        let limits = Limits {
            bulk_bytes: i64::MAX,
            authenticated: true,
        };
        let words = |(db, bytes)| {
            let mut argv = Vec::new();
            parse::command(bytes, limits, &mut argv).expect("a command");
            (db, argv.into_iter().map(<[u8]>::to_vec).collect())
        };
        self.iter().map(words).collect()
    }
}

/// Whoever must hear of changes. Called under the locks of the shards concerned:
/// it must not lock shards itself, and must be quick.
pub trait Consumer: Send + Sync {
    /// Takes notice.
    fn observe(&self, effect: &Effect);

    /// Whether it wants the commands.
    fn wants_commands(&self) -> bool {
        true
    }

    /// Whether it wants the changes.
    fn wants_changes(&self) -> bool {
        true
    }
}

/// The events of one change, in order.
pub type Events = SmallVec<[Event; 2]>;

/// Why a key or its value is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// Its time is over.
    Expiry,
    /// Room is needed.
    Eviction,
    /// A client wants it.
    User,
    /// Another value takes its place.
    Replacement,
    /// A client wants it, and does not want to wait for it.
    Unlink,
}

/// The consumers.
#[derive(Default)]
pub struct Effects {
    any: AtomicBool,
    commands: AtomicBool,
    changes: AtomicBool,
    /// By [`Removal`]: whether values are freed later, by another thread; then it
    /// is an UNLINK for followers, or else a DEL.
    unlinks: [AtomicBool; 4],
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// `import-mode`: data is brought in from another server, whose business its
    /// end is.
    importing: AtomicBool,
    /// The data is that of a server that is followed, whose business its end is.
    following: AtomicBool,
    /// Either of the two.
    keeping: AtomicBool,
    consumers: RwLock<Vec<Arc<dyn Consumer>>>,
}

impl Effects {
    /// Adds a consumer.
    pub fn attach(&self, consumer: Arc<dyn Consumer>) {
        let mut consumers = self.consumers.write();
        consumers.push(consumer);
        self.note_wishes(&consumers);
    }

    /// Takes a consumer away.
    pub fn detach(&self, consumer: &Arc<dyn Consumer>) {
        let mut consumers = self.consumers.write();
        consumers.retain(|one| !Arc::ptr_eq(one, consumer));
        self.note_wishes(&consumers);
    }

    fn note_wishes(&self, consumers: &[Arc<dyn Consumer>]) {
        let commands = consumers.iter().any(|one| one.wants_commands());
        let changes = consumers.iter().any(|one| one.wants_changes());
        self.commands.store(commands, Ordering::Release);
        self.changes.store(changes, Ordering::Release);
        self.any.store(!consumers.is_empty(), Ordering::Release);
    }

    /// Whether `import-mode` is on.
    #[inline]
    pub fn is_importing(&self) -> bool {
        self.importing.load(Ordering::Relaxed)
    }

    /// Whether the end of what is there is somebody else's business.
    #[inline]
    pub fn is_keeping(&self) -> bool {
        self.keeping.load(Ordering::Relaxed)
    }

    /// Says whether the data is that of a server that is followed.
    pub fn set_following(&self, following: bool) {
        self.following.store(following, Ordering::Relaxed);
        self.keeping
            .store(following || self.is_importing(), Ordering::Relaxed);
    }

    /// Whether the server removes nothing of its own accord at this time.
    #[inline]
    pub fn keeps_all(&self, now_ms: u64) -> bool {
        self.is_keeping() || self.pause.is_on(now_ms)
    }

    /// Makes the settings about removals take effect.
    pub fn configure(&self, settings: &Settings) {
        let importing = settings.flag(param::IMPORT_MODE);
        self.importing.store(importing, Ordering::Relaxed);
        self.set_following(self.following.load(Ordering::Relaxed));
        for (removal, flag) in [
            (Removal::Expiry, param::LAZYFREE_LAZY_EXPIRE),
            (Removal::Eviction, param::LAZYFREE_LAZY_EVICTION),
            (Removal::User, param::LAZYFREE_LAZY_USER_DEL),
            (Removal::Replacement, param::LAZYFREE_LAZY_SERVER_DEL),
        ] {
            self.unlinks[removal as usize].store(settings.flag(flag), Ordering::Relaxed);
        }
    }

    /// Whether large values are freed later, by another thread.
    pub fn is_lazy(&self, why: Removal) -> bool {
        match why {
            Removal::Unlink => true,
            _ => self.unlinks[why as usize].load(Ordering::Relaxed),
        }
    }

    /// The command by which followers remove a key, too.
    pub fn removal_word(&self, why: Removal) -> &'static str {
        match self.is_lazy(why) {
            true => "UNLINK",
            false => "DEL",
        }
    }

    /// Whether anybody wants to hear.
    #[inline]
    pub fn wanted(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Whether anybody wants to hear of commands, too.
    #[inline]
    pub fn wants_commands(&self) -> bool {
        self.commands.load(Ordering::Relaxed)
    }

    /// Whether anybody wants to hear of each change.
    #[inline]
    pub fn wants_changes(&self) -> bool {
        // Who follows another server remembers what clients did to its keys.
        self.changes.load(Ordering::Relaxed) || self.following.load(Ordering::Relaxed)
    }

    /// Tells everybody.
    pub fn deliver(&self, effect: &Effect) {
        for consumer in self.consumers.read().iter() {
            consumer.observe(effect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_effect_is_kept_for_its_memory_and_a_large_one_is_not() {
        let mut effect = Effect::take();
        (effect.by, effect.is_relayed) = (7, true);
        effect.tell::<&[u8]>(3, &[]);
        let place = &raw const *effect;
        effect.recycle();
        let mut again = Effect::take();
        assert_eq!(&raw const *again, place);
        assert_eq!(*again, Effect::default());
        for _ in 0..KEPT_BYTES {
            again.reads.push((0, Box::default()));
        }
        again.recycle();
        assert_eq!(Effect::take().held_bytes(), Effect::default().held_bytes());
    }
}
