//! Mail: what a client is sent beside the replies to its own commands, by
//! whoever has something for it: published messages, notifications,
//! invalidations, what a monitor sees.
//!
//! Anybody on any thread posts ([`Client::post`]); the client's connection
//! collects: what its own commands caused behind the reply of that very command,
//! the rest whenever its task runs. A message is written once for all its
//! receivers, in each protocol that they speak; what is long in it is shared.
//!
//! ```text
//!   any thread ── post ──► inbox of the client ── collect ──► its connection's output
//!                     └──► wakes the connection's task, once for a batch
//! ```
//!
//! What lies in an inbox counts towards the client's output limit. Who breaks it
//! is dropped by whoever posts, so that no inbox grows without bound.
//!
//! [`Client::post`]: super::session::Client::post

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::engine::Engine;
use crate::protocol::output::Output;
use crate::protocol::reply::Reply;

/// What an inbox keeps of its memory when it has been emptied, in bytes.
const KEPT_BYTES: usize = 512;
/// Tasks that are woken before the others of their worker get their turn.
const AT_ONCE: usize = 32;

/// A message, written when the first who speaks a protocol gets it.
pub struct Message<'a> {
    write: &'a dyn Fn(&mut Reply<'_>),
    /// In RESP2 and RESP3.
    forms: [OnceCell<Output>; 2],
}

impl<'a> Message<'a> {
    /// The message that `write` writes.
    pub fn new(write: &'a dyn Fn(&mut Reply<'_>)) -> Message<'a> {
        Message {
            write,
            forms: Default::default(),
        }
    }

    pub(super) fn form(&self, resp3: bool) -> &Output {
        self.forms[usize::from(resp3)].get_or_init(|| {
            let mut form = Output::default();
            (self.write)(&mut Reply::new(&mut form, resp3));
            form
        })
    }
}

/// Mail that is not collected yet.
#[derive(Default)]
pub(super) struct Inbox {
    letters: Mutex<Output>,
    /// Bytes in it, for who does not want to wait for the lock.
    bytes: AtomicU64,
    /// Bytes of memory that they hold.
    held: AtomicU64,
}

impl Inbox {
    pub(super) fn open(&self) -> MutexGuard<'_, Output> {
        self.letters.lock()
    }

    /// Moves everything to the end of `out`.
    pub(super) fn empty(&self, letters: &mut Output, out: &mut Output) {
        if letters.held_bytes() <= KEPT_BYTES {
            out.append(letters);
        } else if out.is_empty() {
            *out = std::mem::take(letters);
        } else {
            out.append(letters);
            *letters = Output::default();
        }
        self.publish(letters);
    }

    /// Writes the figures, after the letters changed.
    pub(super) fn publish(&self, letters: &Output) {
        self.bytes.store(letters.len() as u64, Ordering::Relaxed);
        let held = letters.held_bytes() as u64;
        self.held.store(held, Ordering::Relaxed);
    }

    /// Bytes of mail.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of memory that it holds.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// The tasks of one worker that have mail and are not woken yet, where they are
/// many: they are woken a few at a time, and between the others of the worker get
/// their turn. So whoever publishes to thousands holds nobody up, itself neither;
/// and what it publishes meanwhile reaches those who wait in one write.
#[derive(Default)]
pub struct Bell {
    waiting: Mutex<VecDeque<Waker>>,
    rung: Notify,
}

impl Bell {
    fn add(&self, wakers: &mut Vec<Waker>) {
        self.waiting.lock().extend(wakers.drain(..));
        self.rung.notify_one();
    }

    /// Wakes those who have mail, for ever. Runs as a task of the worker.
    pub async fn ring(&self) {
        loop {
            self.rung.notified().await;
            while self.ring_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Wakes a few; whether there are more.
    fn ring_some(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let few = waiting.len().min(AT_ONCE);
        let wakers: SmallVec<[Waker; AT_ONCE]> = waiting.drain(..few).collect();
        let more = !waiting.is_empty();
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
        more
    }
}

/// Tasks that have mail, while a batch runs on this thread: they are woken when
/// it ends, each once, and find all that the batch sent them.
struct Held {
    on: Cell<bool>,
    /// By worker.
    wakers: RefCell<Vec<Vec<Waker>>>,
    count: Cell<usize>,
}

thread_local! {
    static HELD: Held = const {
        Held {
            on: Cell::new(false),
            wakers: RefCell::new(Vec::new()),
            count: Cell::new(0),
        }
    };
}

/// Until this is dropped, nobody is woken by mail from this thread.
pub struct Quiet<'e> {
    engine: &'e Engine,
}

/// See [`Quiet`].
#[inline]
pub fn quiet(engine: &Engine) -> Quiet<'_> {
    HELD.with(|held| held.on.set(true));
    Quiet { engine }
}

impl Drop for Quiet<'_> {
    #[inline]
    fn drop(&mut self) {
        HELD.with(|held| {
            held.on.set(false);
            if held.count.get() > 0 {
                held.release(self.engine);
            }
        });
    }
}

impl Held {
    #[cold]
    fn release(&self, engine: &Engine) {
        let are_many = self.count.replace(0) > AT_ONCE;
        let mut all = self.wakers.borrow_mut();
        for (wakers, worker) in all.iter_mut().zip(&engine.workers) {
            match are_many {
                true if wakers.is_empty() => {}
                true => worker.bell.add(wakers),
                false => wakers.drain(..).for_each(Waker::wake),
            }
        }
    }
}

/// Wakes a task of a worker that has mail, now or when the running batch ends.
pub(super) fn notify(worker: usize, waker: Waker) {
    HELD.with(|held| {
        if !held.on.get() {
            waker.wake();
            return;
        }
        let mut all = held.wakers.borrow_mut();
        if all.len() <= worker {
            all.resize_with(worker + 1, Vec::new);
        }
        all[worker].push(waker);
        held.count.set(held.count.get() + 1);
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::command::testkit::Kit;

    fn collected(kit: &Kit) -> String {
        let mut out = Output::default();
        kit.session.client.collect(&mut out);
        String::from_utf8_lossy(out.single().unwrap_or_default()).into_owned()
    }

    #[derive(Default)]
    struct Bells(AtomicUsize);

    impl Wake for Bells {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_message_is_written_in_the_protocol_of_each_receiver_in_order() {
        let (two, mut three) = (Kit::new(), Kit::new());
        three.run("hello 3");
        let written = Cell::new(0);
        for n in 0..3 {
            let write = |reply: &mut Reply<'_>| {
                written.set(written.get() + 1);
                reply.push(1);
                reply.int(n);
            };
            let message = Message::new(&write);
            for kit in [&two, &three, &two] {
                kit.session.client.post(&message);
            }
        }
        assert_eq!(written.get(), 6, "once for each protocol");
        assert!(two.session.client.has_mail());
        let expected = "*1\r\n:0\r\n*1\r\n:0\r\n*1\r\n:1\r\n*1\r\n:1\r\n*1\r\n:2\r\n*1\r\n:2\r\n";
        assert_eq!(collected(&two), expected);
        assert_eq!(collected(&three), ">1\r\n:0\r\n>1\r\n:1\r\n>1\r\n:2\r\n");
        assert!(!two.session.client.has_mail());
    }

    #[test]
    fn mail_comes_between_replies() {
        let mut kit = Kit::new();
        let write = |reply: &mut Reply<'_>| reply.simple("mail");
        kit.session.client.post(&Message::new(&write));
        assert_eq!(kit.run("ping"), "+mail\r\n+PONG\r\n");
        assert_eq!(kit.run("ping"), "+PONG\r\n");
    }

    #[test]
    fn a_task_is_woken_once_for_what_a_batch_sends() {
        let kit = Kit::new();
        let client = &kit.session.client;
        let bells = Arc::new(Bells::default());
        let write = |reply: &mut Reply<'_>| reply.simple("mail");
        let message = Message::new(&write);
        client.set_waker(&Waker::from(bells.clone()));
        {
            let _quiet = quiet(&kit.engine);
            client.post(&message);
            client.post(&message);
            assert_eq!(bells.0.load(Ordering::Relaxed), 0);
        }
        assert_eq!(bells.0.load(Ordering::Relaxed), 1);
        collected(&kit);
        client.set_waker(&Waker::from(bells.clone()));
        client.post(&message);
        assert_eq!(
            bells.0.load(Ordering::Relaxed),
            2,
            "outside a batch, at once"
        );
    }

    #[test]
    fn many_are_woken_a_few_at_a_time() {
        let kit = Kit::new();
        let kits: Vec<Kit> = (0..AT_ONCE * 2).map(|_| kit.another()).collect();
        let bells = Arc::new(Bells::default());
        let write = |reply: &mut Reply<'_>| reply.simple("mail");
        let message = Message::new(&write);
        for kit in &kits {
            kit.session.client.set_waker(&Waker::from(bells.clone()));
        }
        {
            let _quiet = quiet(&kit.engine);
            kits.iter()
                .for_each(|kit| kit.session.client.post(&message));
        }
        let bell = &kit.engine.workers[0].bell;
        for (woken, more) in [(AT_ONCE, true), (2 * AT_ONCE, false)] {
            assert_eq!(bell.ring_some(), more);
            assert_eq!(bells.0.load(Ordering::Relaxed), woken);
        }
    }

    #[test]
    fn who_owes_too_much_is_dropped_and_gets_no_more() {
        let kit = Kit::with(&["--client-output-buffer-limit", "pubsub 100000 0 0"]);
        let client = &kit.session.client;
        let blob = Arc::new(vec![b'x'; 30_000]);
        let write = |reply: &mut Reply<'_>| reply.blob(blob.clone());
        let message = Message::new(&write);
        for _ in 0..10 {
            client.post(&message);
        }
        assert!(!client.is_killed(), "ordinary clients have no limit here");
        collected(&kit);
        client.subscriptions[0].store(1, Ordering::Relaxed);
        for _ in 0..10 {
            client.post(&message);
            assert!(client.owed_bytes() < 130_000);
        }
        assert!(client.is_killed());
        collected(&kit);
        assert_eq!(client.owed_bytes(), 0);
        assert_eq!(Arc::strong_count(&blob), 2, "the message holds the other");
        let drops = &kit.engine.counters.output_limit_drops;
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}
