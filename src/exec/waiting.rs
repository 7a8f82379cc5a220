//! Commands that wait: for a key, as BLPOP and its like do, or for a job of their own.
//!
//! A handler that finds nothing says so ([`Ctx::wait`]), and its connection stops.
//! The command is kept as a [`Waiter`] under a ticket that stands in the shards of
//! all its keys, put there under the locks under which it found nothing, so that
//! no change is missed. Whoever changes such a key runs, as soon as the locks are
//! let go, what waits for it, in the order of arrival, and mails the replies.
//!
//! ```text
//!            ┌─ served by who changed a key: its reply ─┐
//!  waiting ──┼─ its time is over: the reply to that ────┼──► over: the connection goes on
//!            ├─ CLIENT UNBLOCK: either, or an error ────┤
//!            └─ the connection ends ────────────────────┘
//! ```
//!
//! A command that has to talk to somebody ([`Ctx::start`]) waits in the same way, but
//! for no key: its connection runs its job as a task beside itself, which holds no
//! lock while it talks, and in the end does under locks what is left to do
//! ([`Waiter::complete`]). Neither CLIENT UNBLOCK nor the end of the connection
//! stops it halfway.
//!
//! **Lock order.** A waiter's state is locked with or without shards held; nobody
//! locks a shard while holding it.
//!
//! [`Ctx::wait`]: super::context::Ctx::wait
//! [`Ctx::start`]: super::context::Ctx::start

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::access::{self, Asked};
use super::args::{Key, KeyAt};
use super::dispatch;
use super::engine::{Calls, Engine, add};
use super::invalidation;
use super::refill;
use super::session::{Client, ReplyMode, Session};
use super::spec::{Spec, flag};
use super::timing::Ended;
use super::txn::Txn;
use crate::base::clock;
use crate::protocol::error::Error;
use crate::protocol::output::Output;
use crate::protocol::reply::Reply;
use crate::store::entry::{Family, Value, View};

/// What a handler waits for: a change of the keys that its command declares.
pub struct Wait {
    /// When it gives up, in Unix milliseconds; `None`: never.
    pub until_ms: Option<u64>,
    /// Whether a key's value, `None` where there is no key, is worth running the
    /// command again.
    pub is_ready: fn(Option<Value<'_>>) -> bool,
    /// The reply when the time is over.
    pub timed_out: Answer,
    /// What ends it beside the time, for who waits for something else than keys; see
    /// [`look`].
    pub until: Option<Condition>,
    /// The command to run instead of what the client said, with its keys in the
    /// same places: what was relative to now made absolute.
    pub words: Option<Vec<Vec<u8>>>,
}

/// What a command does outside of the server. The task runs on its client's worker,
/// and ends with [`Waiter::complete`].
pub type Job = Box<dyn FnOnce(Arc<Engine>, Arc<Waiter>) -> Task + Send + Sync>;

/// See [`Job`].
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Writes a reply.
pub type Answer = Box<dyn Fn(&mut Reply<'_>) + Send + Sync>;

/// Whether what is waited for has come.
pub type Condition = Box<dyn Fn() -> bool + Send + Sync>;

/// A value of this family is there.
pub fn holds<T: Family>(value: Option<Value<'_>>) -> bool {
    value.is_some_and(|value| View::<T>::of(value).is_some())
}

/// A database and a key of it, that changed.
pub type Changed = (u32, Vec<u8>);

/// A command that waits.
pub struct Waiter {
    ticket: u64,
    client: Arc<Client>,
    wait: Wait,
    spec: &'static Spec,
    counter: usize,
    /// How many words name the command.
    skip: usize,
    words: Vec<Vec<u8>>,
    keys: Vec<KeyAt>,
    db: u32,
    no_touch: bool,
    answered: bool,
    /// When it was last found that its client may run it, by what users could do then.
    access: u64,
    /// It waits for its own job rather than for a key.
    works: bool,
    /// Whether it is over. Held while somebody runs or ends it.
    over: Mutex<bool>,
}

impl Waiter {
    /// When it gives up, in Unix milliseconds.
    pub fn until_ms(&self) -> Option<u64> {
        self.wait.until_ms
    }

    /// Bytes of its words.
    pub fn bytes(&self) -> usize {
        self.words.iter().map(Vec::len).sum()
    }

    /// Whether the connection may go on; the reply is in the mail then.
    pub fn is_over(&self) -> bool {
        *self.over.lock()
    }

    /// Ends it, unless it is over, with a reply to be mailed.
    fn end(&self, engine: &Engine, reply: impl FnOnce(&mut Reply<'_>)) -> bool {
        let mut over = self.over.lock();
        if *over {
            return false;
        }
        *over = true;
        let mut out = Output::default();
        reply(&mut Reply::new(&mut out, self.client.speaks_resp3()));
        self.send(engine, out);
        true
    }

    /// Ends it because its time is over, on the thread of a worker.
    pub fn time_out(&self, engine: &Engine, worker: usize) -> bool {
        let is_ended = self.end(engine, &self.wait.timed_out);
        if is_ended {
            add(&self.calls(engine, worker).calls, 1);
        }
        is_ended
    }

    /// Ends it where its condition holds, as if its time were over.
    fn look(&self, engine: &Engine, worker: usize) {
        if self.wait.until.as_ref().is_some_and(|holds| holds()) {
            self.time_out(engine, worker);
        }
    }

    /// Ends it with an error, likewise.
    fn fail(&self, engine: &Engine, worker: usize, error: &Error) -> bool {
        let is_ended = self.end(engine, |reply| reply.error(error));
        if is_ended {
            let calls = self.calls(engine, worker);
            add(&calls.calls, 1);
            add(&calls.rejected, 1);
            engine.count_error(worker, error.code());
        }
        is_ended
    }

    fn calls<'e>(&self, engine: &'e Engine, worker: usize) -> &'e Calls {
        &engine.workers[worker].calls[self.counter]
    }

    fn send(&self, engine: &Engine, out: Output) {
        engine.waiters.all.lock().remove(&self.ticket);
        if self.wait.until.is_some() {
            let mut conditional = engine.waiters.conditional.lock();
            conditional.retain(|one| one.ticket != self.ticket);
        }
        *self.client.waiter.lock() = None;
        self.client.post_reply(out, self.answered);
    }

    /// Ends a job: does what is left of the command to its keys, under the locks of
    /// their shards, and mails the reply, or the error, to who waits for it.
    /// `worked_ns` is what of the command's own work was done before. Where `finish`
    /// says that there is more to do, nothing has ended. On the thread of the
    /// client's worker.
    pub fn complete<R>(
        &self,
        engine: &Engine,
        keys: &[Key<'_>],
        worked_ns: u64,
        finish: impl FnOnce(&mut Txn<'_>, &mut Reply<'_>) -> Completed<R>,
    ) -> Option<R> {
        let began_ns = clock::work_ns();
        let worker = self.client.worker;
        let mut shards: SmallVec<[usize; 16]> = keys
            .iter()
            .map(|key| engine.keyspace.shard_of(key.digest))
            .collect();
        let locked = engine.keyspace.lock_some(&mut shards);
        let now_ms = clock::unix_ms();
        let mut txn = Txn::new(&engine.keyspace, &engine.effects, locked, self.db, now_ms);
        txn.set_client(&self.client);
        let argv: Vec<&[u8]> = self.words.iter().map(Vec::as_slice).collect();
        let mut out = Output::default();
        let completed = finish(
            &mut txn,
            &mut Reply::new(&mut out, self.client.speaks_resp3()),
        );
        txn.end_command(&argv);
        let more = match completed {
            Completed::More(more) => Some(more),
            Completed::Over(result) => {
                if let Err(error) = result {
                    out = Output::default();
                    Reply::new(&mut out, self.client.speaks_resp3()).error(&error);
                    add(&self.calls(engine, worker).failed, 1);
                    engine.count_error(worker, error.code());
                }
                add(&self.calls(engine, worker).calls, 1);
                let ended = Ended {
                    spec: self.spec,
                    counter: self.counter,
                    argv: &argv,
                    took_ns: worked_ns + (clock::work_ns() - began_ns),
                    reply: out.len(),
                };
                ended.note(engine, worker, &self.client);
                let mut over = self.over.lock();
                // The connection may have ended meanwhile.
                if !*over {
                    *over = true;
                    self.send(engine, out);
                }
                None
            }
        };
        let why = txn.removal;
        let mut outcome = txn.commit();
        let rest = outcome.take_rest();
        engine
            .reclaimer
            .free(outcome.garbage, engine.effects.is_lazy(why));
        serve(engine, worker, rest.changed);
        more
    }

    /// The database that was selected when the command was called.
    pub fn db(&self) -> u32 {
        self.db
    }

    /// Takes its tickets back, which nobody looks at any more, and ends it where it
    /// is not over. For its connection, when it goes on or ends; takes the shards'
    /// locks, so none may be held.
    pub fn forget(&self, engine: &Engine) {
        self.end(engine, |_| ());
        for at in &self.keys {
            let shard = engine.keyspace.shard_of(at.digest);
            let key = &self.words[at.arg as usize];
            engine
                .keyspace
                .lock(shard)
                .stop_waiting(self.db, key, self.ticket);
        }
    }
}

/// How far a job has come with [`Waiter::complete`].
pub enum Completed<R> {
    /// There is something else to do first.
    More(R),
    /// This is the end; the reply is written, or this error is it.
    Over(Result<(), Error>),
}

/// Everything that waits, by ticket.
#[derive(Default)]
pub struct Waiters {
    next: AtomicU64,
    all: Mutex<HashMap<u64, Arc<Waiter>>>,
    /// Those that wait for a condition.
    conditional: Mutex<Vec<Arc<Waiter>>>,
}

impl Waiters {
    /// How many commands wait.
    pub fn len(&self) -> usize {
        self.all.lock().len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys are such that somebody waits for them to go, too.
    pub fn keys_that_may_go(&self) -> usize {
        let all = self.all.lock();
        let concerned = all.values().filter(|w| (w.wait.is_ready)(None));
        let keys = concerned.flat_map(|w| {
            let words = w.keys.iter().map(|at| &w.words[at.arg as usize]);
            words.map(|key| (w.db, key))
        });
        keys.collect::<HashSet<_>>().len()
    }
}

/// A command that has said that it waits.
pub(super) struct Call<'a> {
    pub spec: &'static Spec,
    pub counter: usize,
    pub skip: usize,
    pub argv: &'a [&'a [u8]],
    pub keys: &'a [KeyAt],
}

/// Makes a command wait that is still in its transaction, and stops its client.
#[cold]
pub(super) fn begin(
    engine: &Engine,
    session: &mut Session,
    txn: &mut Txn<'_>,
    mut wait: Wait,
    call: &Call<'_>,
) {
    let said = || call.argv.iter().map(|a| a.to_vec()).collect();
    let words: Vec<Vec<u8>> = wait.words.take().unwrap_or_else(said);
    let works = session.job.is_some();
    let waiter = Arc::new(Waiter {
        ticket: engine.waiters.next.fetch_add(1, Ordering::Relaxed),
        client: session.client.clone(),
        wait,
        spec: call.spec,
        counter: call.counter,
        skip: call.skip,
        words,
        keys: match works {
            true => Vec::new(),
            false => call.keys.to_vec(),
        },
        db: session.db,
        no_touch: session.no_touch,
        answered: session.reply_mode == ReplyMode::On,
        access: engine.access.generation(),
        works,
        over: Mutex::new(false),
    });
    for at in &waiter.keys {
        let bytes = &waiter.words[at.arg as usize];
        let digest = at.digest;
        let shard = txn.shard_for(&Key::new(bytes, digest));
        shard.wait(session.db, bytes, waiter.ticket);
    }
    let all = &engine.waiters.all;
    all.lock().insert(waiter.ticket, waiter.clone());
    *session.client.waiter.lock() = Some(waiter.clone());
    if waiter.wait.until.is_some() {
        let conditional = &engine.waiters.conditional;
        conditional.lock().push(waiter.clone());
        // It may have come while nobody knew of this.
        waiter.look(engine, session.worker);
    }
    session.waiting_for = Some(waiter);
}

/// Ends those that wait for a condition, where it holds now. On the thread of a
/// worker.
pub fn look(engine: &Engine, worker: usize) {
    let all = engine.waiters.conditional.lock().clone();
    for waiter in all {
        waiter.look(engine, worker);
    }
}

/// Ends everything that waits, but for the jobs, with an error. On the thread of a
/// worker; shards may be held.
pub fn fail_all(engine: &Engine, worker: usize, error: &Error) {
    let all: Vec<_> = engine.waiters.all.lock().values().cloned().collect();
    for waiter in all.iter().filter(|waiter| !waiter.works) {
        waiter.fail(engine, worker, error);
    }
}

/// Ends those that wait for keys and that `why` has an error for, by who waits, the
/// command and the first of its keys. On the thread of a worker; shards may be held.
pub(super) fn fail_some(
    engine: &Engine,
    worker: usize,
    why: impl Fn(&Client, &Spec, &KeyAt) -> Option<Error>,
) {
    let all: Vec<_> = engine.waiters.all.lock().values().cloned().collect();
    for waiter in all {
        if let Some(key) = waiter.keys.first()
            && let Some(error) = why(&waiter.client, waiter.spec, key)
        {
            waiter.fail(engine, worker, &error);
        }
    }
}

/// CLIENT UNBLOCK: ends what a client waits for, as if its time were over or with
/// an error; false where it waits for nothing. On the thread of a worker.
pub fn unblock(engine: &Engine, worker: usize, client: &Client, with_error: bool) -> bool {
    let waiter = client.waiter.lock().clone();
    let Some(waiter) = waiter.filter(|waiter| !waiter.works) else {
        return false;
    };
    match with_error {
        true => waiter.fail(engine, worker, &Error::UNBLOCKED),
        false => waiter.time_out(engine, worker),
    }
}

/// Runs what waits for keys that changed, and what waits for what that changes.
/// Called without any lock held, by the worker `worker`.
#[cold]
pub fn serve(engine: &Engine, worker: usize, changed: Vec<Changed>) {
    let mut changed = VecDeque::from(changed);
    while let Some((db, bytes)) = changed.pop_front() {
        let digest = crate::base::hash::digest(&bytes);
        let key = Key::new(&bytes, digest);
        let shard = engine.keyspace.shard_of(digest);
        let tickets = engine.keyspace.lock(shard).awaited(db, &bytes);
        for ticket in tickets {
            let waiter = engine.waiters.all.lock().get(&ticket).cloned();
            if let Some(waiter) = waiter {
                changed.extend(try_run(engine, worker, &waiter, &key));
            }
        }
    }
}

/// Why a command that waited may not run any more, where users have changed meanwhile.
fn denied(engine: &Engine, waiter: &Waiter, asked: &Asked<'_>) -> Option<Error> {
    match engine.access.generation() == waiter.access {
        true => None,
        false => access::admit_again(engine, &waiter.client, asked).err(),
    }
}

/// Runs a command again, if the changed key is worth it; returns what it changed
/// in turn.
fn try_run(engine: &Engine, worker: usize, waiter: &Waiter, key: &Key<'_>) -> Vec<Changed> {
    let mut shards: SmallVec<[usize; 16]> = waiter
        .keys
        .iter()
        .map(|k| engine.keyspace.shard_of(k.digest))
        .collect();
    let locked = engine.keyspace.lock_some(&mut shards);
    let mut over = waiter.over.lock();
    if *over {
        return Vec::new();
    }
    let now_ms = clock::unix_ms();
    let mut txn = Txn::new(&engine.keyspace, &engine.effects, locked, waiter.db, now_ms);
    // One whose time is over is not there, but to find that out is not to remove it.
    let over_ms = std::mem::replace(&mut txn.over_ms, 0);
    let is_live = |txn: &Txn<'_>, found| txn.entry(found).deadline().is_none_or(|ms| ms > over_ms);
    let found = txn.find(key).filter(|found| is_live(&txn, *found));
    txn.over_ms = over_ms;
    let value = found.map(|found| txn.entry(found).value());
    let mut out = Output::default();
    if (waiter.wait.is_ready)(value) {
        let argv: Vec<&[u8]> = waiter.words.iter().map(Vec::as_slice).collect();
        let asked = Asked {
            spec: waiter.spec,
            counter: waiter.counter,
            argv: &argv,
            db: waiter.db,
        };
        match denied(engine, waiter, &asked) {
            Some(error) => {
                *over = true;
                add(&engine.workers[worker].calls[waiter.counter].rejected, 1);
                engine.count_error(worker, error.code());
                Reply::new(&mut out, waiter.client.speaks_resp3()).error(&error);
            }
            None => {
                let mut session = Session::in_place_of(&waiter.client, worker, waiter.db);
                session.no_touch = waiter.no_touch;
                txn.removes = waiter.spec.has(flag::WRITE);
                txn.touch = !waiter.no_touch;
                txn.set_client(&waiter.client);
                let call = Call {
                    spec: waiter.spec,
                    counter: waiter.counter,
                    skip: waiter.skip,
                    argv: &argv,
                    keys: &waiter.keys,
                };
                txn.set_reader(None, true);
                *over = dispatch::run_again(engine, &mut session, &mut txn, &call, &mut out);
                if let Some(reader) = txn.take_reader() {
                    *waiter.client.missed.lock() = Some(reader);
                }
            }
        }
    }
    if *over {
        // Before what it changed is announced: the reply comes first.
        waiter.send(engine, out);
    }
    let why = txn.removal;
    let mut outcome = txn.commit();
    let rest = outcome.take_rest();
    engine
        .reclaimer
        .free(outcome.garbage, engine.effects.is_lazy(why));
    refill::announce(engine, rest.announced);
    invalidation::cascade(engine, worker, rest.cascades);
    rest.changed
}
