//! The refresh stream: keys that are to be refilled are announced on it, and any worker
//! reads it with XREADGROUP.
//!
//! ```text
//!  a read of a key near its end ─┐
//!                                ├─► queue ─► XADD refresh-stream MAXLEN ~ n * …
//!  a warming run ────────────────┘   (bounded)    by worker 0, between its other work
//! ```
//!
//! The command that announces a key only queues it, so it neither waits nor fails for it;
//! where the queue is full, the announcement is dropped and counted. A run of warming
//! goes past the queue, at its own pace, so that it cannot fill it.
//!
//! **Lock order.** The queue's lock is held for a push or a pop, and nothing is locked
//! under it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::num::IntText;
use crate::config::param;
use crate::exec::engine::Engine;
use crate::exec::own::{Own, Ran};
use crate::exec::services::Service;
use crate::exec::txn::Announced;
use crate::warning;

/// Most announcements that wait for the stream.
const QUEUED_MAX: usize = 10_000;
/// Most bytes of their keys.
const QUEUED_BYTES_MAX: usize = 16 << 20;
/// Announcements that are written at a time.
const SLICE: usize = 32;
/// Whose thread writes the stream.
const WORKER: usize = 0;

/// See the head of this file.
pub struct Refresh {
    queue: Mutex<Queue>,
    /// What writes. Only the thread of [`WORKER`] takes it.
    own: Mutex<Own>,
    /// What is counted.
    pub counts: Counts,
    /// The last failure stands in the log, and nothing has succeeded since.
    is_warned: AtomicBool,
}

/// What is counted of the stream.
#[derive(Default)]
pub struct Counts {
    /// Entries appended.
    pub appended: AtomicU64,
    /// Announcements dropped because too many waited.
    pub dropped: AtomicU64,
    /// Announcements that the stream did not take.
    pub failed: AtomicU64,
}

#[derive(Default)]
struct Queue {
    keys: VecDeque<Announced>,
    bytes: usize,
}

/// What became of an announcement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// It is on the stream.
    Yes,
    /// Changes are paused: it may be tried again.
    NotNow,
    /// It is not, for this reason.
    No(String),
}

impl Service for Refresh {
    fn new(engine: &Engine) -> Arc<Refresh> {
        Arc::new(Refresh {
            queue: Mutex::default(),
            own: Mutex::new(Own::new(engine, WORKER, "refresh-stream")),
            counts: Counts::default(),
            is_warned: AtomicBool::new(false),
        })
    }
}

/// Has keys near their end announced from now on.
pub fn configure(engine: &Engine) {
    let take = |engine: &Engine, keys| engine.service::<Refresh>().queue(engine, keys);
    // Set once, whoever comes first.
    let _ = engine.announcer.set(Box::new(take));
}

/// Whether there is a stream.
pub fn is_on(engine: &Engine) -> bool {
    !engine.settings.text(param::REFRESH_STREAM).is_empty()
}

/// Writes some of what waits; true where there is more. On the thread of worker 0, with
/// no lock held.
pub fn slice(engine: &Engine) -> bool {
    let refresh = engine.service::<Refresh>();
    for _ in 0..SLICE {
        let Some(next) = refresh.take() else {
            return false;
        };
        if !is_on(engine) {
            continue;
        }
        if refresh.tell(engine, &next) == Told::NotNow {
            refresh.put_back(next);
            return false;
        }
    }
    true
}

impl Refresh {
    /// How many announcements wait.
    pub fn waiting(&self) -> usize {
        self.queue.lock().keys.len()
    }

    fn queue(&self, engine: &Engine, keys: Vec<Announced>) {
        let stream = engine.settings.text(param::REFRESH_STREAM);
        if stream.is_empty() {
            return;
        }
        let db = engine.settings.int(param::REFRESH_STREAM_DB);
        let mut queue = self.queue.lock();
        for one in keys {
            if is_stream(&one, db, &stream) {
                continue;
            }
            let bytes = queue.bytes + one.key.len();
            if queue.keys.len() >= QUEUED_MAX || bytes > QUEUED_BYTES_MAX {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            queue.bytes = bytes;
            queue.keys.push_back(one);
        }
    }

    fn take(&self) -> Option<Announced> {
        let mut queue = self.queue.lock();
        let next = queue.keys.pop_front()?;
        queue.bytes -= next.key.len();
        Some(next)
    }

    fn put_back(&self, one: Announced) {
        let mut queue = self.queue.lock();
        queue.bytes += one.key.len();
        queue.keys.push_front(one);
    }

    /// Appends one announcement to the stream. On the thread of worker 0, with no lock
    /// held.
    pub fn tell(&self, engine: &Engine, key: &Announced) -> Told {
        let settings = &engine.settings;
        let stream = settings.text(param::REFRESH_STREAM);
        let db = settings.int(param::REFRESH_STREAM_DB);
        if stream.is_empty() {
            return Told::No("there is no refresh-stream".into());
        }
        if db >= i64::from(engine.databases()) {
            return self.fail(&stream, format!("there is no database {db}"));
        }
        if is_stream(key, db, &stream) {
            return Told::No("the stream itself is not announced".into());
        }
        let most = IntText::new(settings.int(param::REFRESH_STREAM_MAX));
        let (of, left) = (
            IntText::unsigned(key.db.into()),
            IntText::unsigned(key.left_ms),
        );
        let args: [&[u8]; 15] = [
            &stream,
            b"maxlen",
            b"~",
            most.as_bytes(),
            b"*",
            b"key",
            &key.key,
            b"db",
            of.as_bytes(),
            b"policy",
            key.policy.as_bytes(),
            b"left_ms",
            left.as_bytes(),
            b"reason",
            key.why.as_bytes(),
        ];
        match self.own.lock().run(engine, db as u32, "xadd", &args) {
            Ran::Done => {
                self.counts.appended.fetch_add(1, Ordering::Relaxed);
                self.is_warned.store(false, Ordering::Relaxed);
                Told::Yes
            }
            Ran::NotNow => Told::NotNow,
            Ran::Refused(why) => self.fail(&stream, why),
        }
    }

    /// Says so once, and again only after a success.
    fn fail(&self, stream: &[u8], why: String) -> Told {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        if !self.is_warned.swap(true, Ordering::Relaxed) {
            warning!(
                "Keys to be refilled can't be announced on the stream '{}': {why}",
                String::from_utf8_lossy(stream)
            );
        }
        Told::No(why)
    }
}

/// Whoever reads the stream must not have it announced on itself.
fn is_stream(key: &Announced, db: i64, stream: &[u8]) -> bool {
    *key.key == *stream && i64::from(key.db) == db
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use crate::command::testkit::{Kit, check};

    const NOW_MS: u64 = 1_800_000_000_000;

    fn kit(args: &[&str]) -> Kit {
        clock::freeze(NOW_MS);
        let mut kit = Kit::with(args);
        kit.policy("p a:* ttl 10s refresh 50%");
        kit
    }

    /// Reads a key until it must have been announced.
    fn announce(kit: &mut Kit, key: &str) {
        kit.run(&format!("set {key} v"));
        clock::freeze(clock::unix_ms() + 9_999);
        for _ in 0..200 {
            kit.run(&format!("get {key}"));
        }
    }

    fn all(kit: &mut Kit) {
        while slice(&kit.engine) {}
    }

    #[test]
    fn a_read_near_the_end_puts_its_key_on_the_stream_once() {
        let mut kit = kit(&[]);
        let mut worker = kit.another();
        kit.run("xgroup create larder:refresh g $ mkstream");
        assert_eq!(
            worker.run("xreadgroup group g w block 0 streams larder:refresh >"),
            ""
        );
        announce(&mut kit, "a:1");
        assert_eq!(
            kit.run("xlen larder:refresh"),
            ":0\r\n",
            "it is written later"
        );
        all(&mut kit);
        let mut out = crate::protocol::output::Output::default();
        worker.session.client.collect(&mut out);
        let woken = String::from_utf8_lossy(out.single().expect("one piece")).into_owned();
        for word in [
            "key", "a:1", "db", "0", "policy", "p", "left_ms", "1", "reason", "expires",
        ] {
            assert!(
                woken.contains(&format!("\r\n{word}\r\n")),
                "{word} in {woken}"
            );
        }
        check(
            &mut kit,
            &[
                ("xlen larder:refresh", ":1"),
                ("type larder:refresh", "+stream"),
            ],
        );
    }

    #[test]
    fn no_command_fails_where_the_stream_cannot_be_written() {
        let mut kit = kit(&[]);
        kit.run("set larder:refresh other");
        announce(&mut kit, "a:1");
        all(&mut kit);
        let refresh = kit.engine.service::<Refresh>().clone();
        assert_eq!(refresh.counts.failed.load(Ordering::Relaxed), 1);
        kit.run("del larder:refresh");
        announce(&mut kit, "a:2");
        all(&mut kit);
        assert_eq!(refresh.counts.appended.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_stream_has_the_name_and_the_database_that_the_settings_say_or_is_not_there() {
        let mut kit = kit(&["--refresh-stream", "r", "--refresh-stream-db", "3"]);
        announce(&mut kit, "a:1");
        all(&mut kit);
        check(
            &mut kit,
            &[("xlen r", ":0"), ("select 3", "+OK"), ("xlen r", ":1")],
        );
        kit.run("config set refresh-stream-db 99");
        kit.run("select 0");
        announce(&mut kit, "a:2");
        all(&mut kit);
        let refresh = kit.engine.service::<Refresh>().clone();
        assert_eq!(refresh.counts.failed.load(Ordering::Relaxed), 1);
        kit.run("config set refresh-stream \"\"");
        announce(&mut kit, "a:3");
        assert_eq!(refresh.waiting(), 0);
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_by_bytes() {
        let kit = kit(&[]);
        let refresh = kit.engine.service::<Refresh>().clone();
        let one = |bytes: usize| Announced {
            db: 0,
            key: vec![b'k'; bytes].into(),
            policy: "p".into(),
            left_ms: 1,
            why: "expires",
        };
        refresh.queue(&kit.engine, vec![one(QUEUED_BYTES_MAX + 1)]);
        assert_eq!(refresh.waiting(), 0);
        refresh.queue(&kit.engine, (0..QUEUED_MAX + 5).map(|_| one(1)).collect());
        assert_eq!(refresh.waiting(), QUEUED_MAX);
        assert_eq!(refresh.counts.dropped.load(Ordering::Relaxed), 6);
    }

    #[test]
    fn announcements_wait_while_changes_are_paused() {
        let mut kit = kit(&[]);
        announce(&mut kit, "a:1");
        kit.run("client pause 1000 write");
        all(&mut kit);
        assert_eq!(kit.run("xlen larder:refresh"), ":0\r\n");
        clock::freeze(clock::unix_ms() + 1_001);
        all(&mut kit);
        assert_eq!(kit.run("xlen larder:refresh"), ":1\r\n");
    }

    #[test]
    fn the_stream_is_cut_to_its_length_and_never_announced_on_itself() {
        let mut kit = kit(&[
            "--refresh-stream",
            "a:stream",
            "--refresh-stream-max",
            "200",
        ]);
        for i in 0..1_000 {
            let key = Announced {
                db: 0,
                key: format!("a:{i}").into_bytes().into(),
                policy: "p".into(),
                left_ms: 1,
                why: "expires",
            };
            let told = kit.engine.service::<Refresh>().tell(&kit.engine, &key);
            assert_eq!(told, Told::Yes);
        }
        let reply = kit.run("xlen a:stream");
        let length: u64 = reply.trim()[1..].parse().expect("a number");
        assert!((200..=300).contains(&length), "{length}");
        // The policy gives the stream a lifetime, too.
        clock::freeze(NOW_MS + 9_999);
        for _ in 0..200 {
            kit.run("xrange a:stream - + count 1");
        }
        assert_eq!(kit.engine.service::<Refresh>().waiting(), 0);
    }
}
