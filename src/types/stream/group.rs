//! Consumer groups: how far each has read, and what it gave to whom and has not
//! heard of since.

use super::Id;
use super::map::{IdMap, array_bytes};

/// What a consumer did last, where it never did it.
pub const NEVER: i64 = -1;

/// The number of a consumer within its group; another one's after it is removed.
pub type ConsumerNumber = u32;

/// An entry that was delivered, and not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// When it was last delivered, in Unix milliseconds.
    pub delivered_ms: i64,
    /// How often it was.
    pub deliveries: u64,
    /// To whom.
    pub consumer: ConsumerNumber,
}

/// One of a group.
#[derive(Clone)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last asked for something, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it last got something, in Unix milliseconds, or [`NEVER`].
    pub active_ms: i64,
    /// What it has to acknowledge.
    pending: IdMap<()>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What it has to acknowledge.
    pub fn pending(&self) -> &IdMap<()> {
        &self.pending
    }
}

/// A consumer group.
#[derive(Clone)]
pub struct Group {
    /// The last entry that it gave to anybody.
    pub last_id: Id,
    /// How many entries of the stream it has read, as far as can be told.
    pub entries_read: Option<u64>,
    pending: IdMap<Pending>,
    /// The consumers' numbers, in the order of their names.
    by_name: Vec<ConsumerNumber>,
    consumers: Vec<Option<Consumer>>,
    /// Numbers that nobody has.
    free: Vec<ConsumerNumber>,
    /// Bytes of the consumers' names and of what is pending for each.
    consumer_bytes: usize,
}

impl Group {
    /// A group that has read up to an id.
    pub fn new(last_id: Id, entries_read: Option<u64>) -> Group {
        Group {
            last_id,
            entries_read,
            pending: IdMap::default(),
            by_name: Vec::new(),
            consumers: Vec::new(),
            free: Vec::new(),
            consumer_bytes: 0,
        }
    }

    /// Bytes that it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.pending.heap_bytes()
            + array_bytes::<ConsumerNumber>(self.by_name.capacity())
            + array_bytes::<Option<Consumer>>(self.consumers.capacity())
            + array_bytes::<ConsumerNumber>(self.free.capacity())
            + self.consumer_bytes
    }

    /// How many allocations must be freed with it, about.
    pub fn free_effort(&self) -> usize {
        self.pending.allocations() * 2 + self.consumers.len() * 2 + 1
    }

    // ----- consumers ------------------------------------------------------

    /// Its consumers by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.by_name.iter().map(|&number| self.consumer(number))
    }

    /// The number of the consumer with this name.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerNumber> {
        self.place(name).ok().map(|place| self.by_name[place])
    }

    /// The place of a name among the others, or where it would be.
    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        let name_of = |&number: &ConsumerNumber| self.consumer(number).name();
        self.by_name
            .binary_search_by(|number| name_of(number).cmp(name))
    }

    /// The consumer with a number that this group gave.
    pub fn consumer(&self, number: ConsumerNumber) -> &Consumer {
        let consumer = self.consumers.get(number as usize);
        consumer
            .and_then(Option::as_ref)
            .expect("a number of a consumer that is there")
    }

    /// The consumer with a number that this group gave, to be changed.
    pub fn consumer_mut(&mut self, number: ConsumerNumber) -> &mut Consumer {
        let consumer = self.consumers.get_mut(number as usize);
        consumer
            .and_then(Option::as_mut)
            .expect("a number of a consumer that is there")
    }

    /// Adds a consumer that was seen now; none where it is there already.
    pub fn create(&mut self, name: &[u8], now_ms: i64) -> Option<ConsumerNumber> {
        let place = self.place(name).err()?;
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                let number = ConsumerNumber::try_from(self.consumers.len()).ok()?;
                if self.consumers.len() == self.consumers.capacity() {
                    self.consumers.reserve_exact(self.consumers.len().max(1));
                }
                self.consumers.push(None);
                number
            }
        };
        if self.by_name.len() == self.by_name.capacity() {
            self.by_name.reserve_exact(self.by_name.len().max(1));
        }
        self.by_name.insert(place, number);
        self.consumer_bytes += array_bytes::<u8>(name.len());
        self.consumers[number as usize] = Some(Consumer {
            name: name.into(),
            seen_ms: now_ms,
            active_ms: NEVER,
            pending: IdMap::default(),
        });
        Some(number)
    }

    /// The consumer with this name, added now where there is none, and whether it
    /// was.
    pub fn find_or_create(&mut self, name: &[u8], now_ms: i64) -> (ConsumerNumber, bool) {
        match self.find(name) {
            Some(number) => (number, false),
            None => {
                let number = self.create(name, now_ms);
                (number.expect("nobody has the name"), true)
            }
        }
    }

    /// Removes a consumer, with what it has to acknowledge: how much that was.
    pub fn remove(&mut self, name: &[u8]) -> Option<usize> {
        let place = self.place(name).ok()?;
        let number = self.by_name.remove(place);
        let consumer = self.consumers[number as usize].take()?;
        self.free.push(number);
        self.consumer_bytes -= array_bytes::<u8>(name.len()) + consumer.pending.heap_bytes();
        for (id, ()) in consumer.pending.iter() {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    // ----- what is pending ------------------------------------------------

    /// What is pending, by id.
    pub fn pending(&self) -> &IdMap<Pending> {
        &self.pending
    }

    /// What is pending from one id to another; for one consumer, or for all.
    pub fn pending_range(
        &self,
        from: Id,
        to: Id,
        consumer: Option<ConsumerNumber>,
    ) -> impl Iterator<Item = (Id, Pending)> {
        let (all, own) = match consumer {
            None => (Some(self.pending.range(from, to)), None),
            Some(number) => (None, Some(self.consumer(number).pending.range(from, to))),
        };
        let own = own.into_iter().flatten().map(|(id, ())| {
            let pending = self.pending.get(id);
            (id, *pending.expect("what a consumer has, its group has"))
        });
        all.into_iter().flatten().map(|(id, p)| (id, *p)).chain(own)
    }

    /// Notes that an entry was delivered to a consumer: anew, or in the place of
    /// what was known of it.
    pub fn deliver(&mut self, id: Id, pending: Pending) {
        let old = self.pending.insert(id, pending);
        if old.map(|old| old.consumer) == Some(pending.consumer) {
            return;
        }
        if let Some(old) = old {
            self.change_own(old.consumer, |own| own.remove(id));
        }
        self.change_own(pending.consumer, |own| own.insert(id, ()));
    }

    /// Acknowledges an entry: what was known of it.
    pub fn acknowledge(&mut self, id: Id) -> Option<Pending> {
        let pending = self.pending.remove(id)?;
        self.change_own(pending.consumer, |own| own.remove(id));
        Some(pending)
    }

    fn change_own<R>(
        &mut self,
        consumer: ConsumerNumber,
        change: impl FnOnce(&mut IdMap<()>) -> R,
    ) -> R {
        let own = &mut self.consumer_mut(consumer).pending;
        let before = own.heap_bytes();
        let result = change(own);
        let after = own.heap_bytes();
        self.consumer_bytes = self.consumer_bytes + after - before;
        result
    }
}
