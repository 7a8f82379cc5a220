//! From words to handlers: looks commands up, refuses what may not run, locks
//! what they declared, runs them, and puts their replies in order.
//!
//! A batch goes through three passes, so that the memory that the commands need
//! is on its way before any of them runs: names and digests, asking for the
//! tables' lines; then the lines, asking for the entries; then the commands.

mod called;
mod locks;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::access::{self, Asked, Standing};
use super::args::{Args, KeyAt};
use super::client_eviction;
use super::context::Ctx;
use super::engine::{Engine, add};
use super::invalidation;
use super::latency;
use super::mail;
use super::refill;
use super::room;
use super::routing;
use super::session::{Client, Closing, Queued, ReplyMode, Session};
use super::spec::{Scope, Spec, flag, key_flag};
use super::timing::{self, Ended, Stopwatch};
use super::txn::Txn;
use super::waiting::{self, Wait};
use crate::base::{clock, hash, num};
use crate::config::param;
use crate::protocol::error::Error;
use crate::protocol::output::Output;
use crate::protocol::reply::Reply;
use crate::store::entry::Blob;
use crate::store::rules::{Rules, SlotHint};

pub use called::{Terms, call};
use locks::lock_declared;

/// From this size on an argument is kept in the memory that it was read into.
pub use crate::store::entry::BLOB_MIN;

/// Commands after which the time is read again within a batch.
const CLOCK_EVERY: usize = 32;

/// A command that was cut out of the input and looked up.
#[derive(Clone, Copy)]
struct Command {
    argv: (u32, u32),
    keys: (u32, u32),
    number: u32,
    spec: Option<&'static Spec>,
}

/// Commands that came together. It is kept from batch to batch for its memory.
#[derive(Default)]
pub struct Batch<'a> {
    /// The words of all commands, one after the other.
    pub argv: Vec<&'a [u8]>,
    commands: Vec<Command>,
    keys: Vec<KeyAt>,
    stopwatch: Stopwatch,
}

impl<'a> Batch<'a> {
    /// Ends a command whose words were appended to `argv` from `first` on.
    #[inline]
    pub fn end_command(&mut self, first: usize) {
        self.commands.push(Command {
            argv: (first as u32, self.argv.len() as u32),
            keys: (0, 0),
            number: 0,
            spec: None,
        });
    }

    /// Number of commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The words of the commands from the one with number `first` on.
    pub fn words_from(&self, first: usize) -> impl Iterator<Item = Vec<Vec<u8>>> {
        self.commands[first..].iter().map(|command| {
            let (from, to) = command.argv;
            let words = &self.argv[from as usize..to as usize];
            words.iter().map(|w| w.to_vec()).collect()
        })
    }

    /// Forgets everything but the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.argv.clear();
        self.commands.clear();
        self.keys.clear();
    }

    /// Forgets everything but the memory, which the next batch may use for
    /// words of another life.
    pub fn recycle<'b>(mut self) -> Batch<'b> {
        self.clear();
        Batch {
            // The standard library makes this the same allocation.
            argv: self.argv.into_iter().map(|_| &[][..]).collect(),
            commands: self.commands,
            keys: self.keys,
            stopwatch: self.stopwatch,
        }
    }
}

/// Somebody who sees each command of a batch come and go.
pub trait Escort {
    /// The next command is about to run.
    fn before(&mut self);

    /// It has run, and was answered behind all before it. False: no other is to run.
    fn after(&mut self, session: &mut Session, out: &mut Output) -> bool;
}

/// Nobody does.
impl Escort for () {
    #[inline]
    fn before(&mut self) {}

    #[inline]
    fn after(&mut self, _: &mut Session, _: &mut Output) -> bool {
        true
    }
}

/// Runs a batch, and appends the replies to `out`. `blobs` are large arguments
/// in memory of their own: then the batch is one command. Says how many commands
/// ran: not all of them where the session is stopped by one.
pub fn run_batch(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    blobs: &[Option<Blob>],
    out: &mut Output,
) -> usize {
    run_escorted(engine, session, batch, blobs, out, &mut ())
}

/// As [`run_batch`], with an escort.
pub fn run_escorted(
    engine: &Engine,
    session: &mut Session,
    batch: &mut Batch<'_>,
    blobs: &[Option<Blob>],
    out: &mut Output,
    escort: &mut impl Escort,
) -> usize {
    let rules = prepare(engine, session, batch);
    let _quiet = mail::quiet(engine);
    let worker = &engine.workers[session.worker];
    // For the report, should this be the last thing that the process does.
    worker.client.store(session.client.id, Ordering::Relaxed);
    let request_most = timing::request_bytes_most(&batch.argv);
    let is_single = batch.commands.len() == 1;
    let stopwatch = &mut batch.stopwatch;
    stopwatch.begin(&engine.settings);
    let mut now_ms = clock::unix_ms();
    engine.keyspace.evictor().set_time(now_ms);
    session.client.active_ms.store(now_ms, Ordering::Relaxed);
    let mut run = 0;
    for (i, command) in batch.commands.iter().enumerate() {
        if i > 0 && i.is_multiple_of(CLOCK_EVERY) {
            now_ms = clock::unix_ms();
            stopwatch.share(engine, worker);
        }
        let call = Call {
            argv: &batch.argv[command.argv.0 as usize..command.argv.1 as usize],
            keys: &batch.keys[command.keys.0 as usize..command.keys.1 as usize],
            blobs,
            spec: command.spec,
            number: command.number as usize,
            rules: rules.as_deref(),
        };
        let is_alone = is_single || stopwatch.is_alone(call.spec, call.argv.len());
        if is_alone {
            stopwatch.share(engine, worker);
        }
        let mark = out.len();
        escort.before();
        let target = if session.reply_mode == ReplyMode::On {
            run_one(engine, session, &call, out, now_ms)
        } else {
            run_unanswered(engine, session, &call, out, now_ms)
        };
        if session.paused {
            break;
        }
        if is_alone {
            let took_ns = stopwatch.alone(engine, worker, target.map(|t| t.counter));
            if let Some(Target { spec, .. }) = target {
                timing::report(engine, &session.client, spec, call.argv, took_ns);
            }
            if call.spec.is_some_and(|s| s.scope != Scope::Keys) {
                now_ms = clock::unix_ms();
            }
        } else if let Some(target) = target {
            stopwatch.ran(target.counter);
        }
        if let Some(Target { spec, .. }) = target {
            let reply = out.len().saturating_sub(mark);
            let client = &session.client;
            timing::report_sizes(engine, client, spec, call.argv, request_most, reply);
        }
        run += 1;
        let goes_on = escort.after(session, out);
        if !goes_on || session.closing != Closing::No || session.is_stopped() {
            break;
        }
    }
    if session.client.has_mail() {
        session.client.collect(out);
    }
    stopwatch.share(engine, worker);
    worker.client.store(0, Ordering::Relaxed);
    add(&worker.commands, run);
    add(&worker.batches, 1);
    if run > worker.batch_max.load(Ordering::Relaxed) {
        worker.batch_max.store(run, Ordering::Relaxed);
    }
    room::note_batch(engine, worker, run);
    // One that waits counts when it goes on.
    let waits = u64::from(session.waiting_for.is_some());
    add(&session.client.commands, run - waits);
    // Before the replies go: who has one can see in CLIENT LIST what it says.
    session.publish();
    run as usize
}

/// The first two passes. Returns the policies, where there are any.
fn prepare(engine: &Engine, session: &Session, batch: &mut Batch<'_>) -> Option<Arc<Rules>> {
    // The same command often comes many times in a row.
    let mut last: (&[u8], Option<(usize, &'static Spec)>) = (&[], None);
    for command in &mut batch.commands {
        let argv = &batch.argv[command.argv.0 as usize..command.argv.1 as usize];
        if argv[0] != last.0 {
            last = (argv[0], engine.commands.find(argv[0]));
        }
        let Some((number, spec)) = last.1 else {
            continue;
        };
        command.number = number as u32;
        command.spec = Some(spec);
        let first = batch.keys.len();
        if find_keys(spec, argv, &mut batch.keys) {
            command.keys = (first as u32, batch.keys.len() as u32);
        } else {
            batch.keys.truncate(first);
        }
    }
    let keyspace = &engine.keyspace;
    let rules = keyspace.is_governed().then(|| keyspace.rules());
    if let Some(rules) = &rules {
        find_policies(rules, batch);
    }
    if batch.keys.len() > 1 {
        let alone = engine.workers.len() == 1;
        let keys = batch.keys.iter().map(|k| (k.digest, k.policy));
        keyspace.prefetch(session.db, keys, alone);
        let worker = &engine.workers[session.worker];
        add(&worker.prefetches, 1);
        add(&worker.prefetched, batch.keys.len() as u64);
    }
    rules
}

/// Finds each key's policy once for all that its command will ask of it.
fn find_policies(rules: &Rules, batch: &mut Batch<'_>) {
    for command in &batch.commands {
        for key in &mut batch.keys[command.keys.0 as usize..command.keys.1 as usize] {
            key.policy = rules.hint(batch.argv[(command.argv.0 + key.arg) as usize]);
        }
    }
}

/// Appends the keys among a command's words; false where they do not fit its
/// key specs, which its handler will say in its own way.
#[inline]
fn find_keys(spec: &Spec, argv: &[&[u8]], keys: &mut Vec<KeyAt>) -> bool {
    let spec = match spec.subcommands {
        [] => spec,
        _ => match subcommand(spec, argv) {
            Some((_, sub)) => sub,
            None => return true,
        },
    };
    if spec.keys.is_empty() || !spec.takes(argv.len()) {
        return true;
    }
    let visit = |arg: usize, flags| {
        if flags & key_flag::NOT_KEY == 0 {
            keys.push(KeyAt {
                arg: arg as u32,
                policy: SlotHint::NONE,
                digest: hash::digest(argv[arg]),
            });
        }
    };
    spec.each_key(argv, visit).is_ok()
}

/// The subcommand that the second word names, and its place.
pub fn subcommand(spec: &Spec, argv: &[&[u8]]) -> Option<(usize, &'static Spec)> {
    let name = argv.get(1)?;
    spec.subcommands
        .iter()
        .enumerate()
        .find(|(_, s)| s.name.as_bytes().eq_ignore_ascii_case(name))
}

struct Call<'a> {
    argv: &'a [&'a [u8]],
    keys: &'a [KeyAt],
    blobs: &'a [Option<Blob>],
    spec: Option<&'static Spec>,
    number: usize,
    /// The policies with which its batch began, where there are any.
    rules: Option<&'a Rules>,
}

/// CLIENT REPLY OFF or SKIP: the command runs, and its reply is taken back.
#[cold]
fn run_unanswered(
    engine: &Engine,
    session: &mut Session,
    call: &Call<'_>,
    out: &mut Output,
    now_ms: u64,
) -> Option<Target> {
    let mark = out.mark();
    let before = session.reply_mode;
    if before == ReplyMode::SkipNext {
        session.reply_mode = ReplyMode::Skip;
    }
    let target = run_one(engine, session, call, out, now_ms);
    // CLIENT REPLY ON is answered itself.
    if session.reply_mode != ReplyMode::On {
        out.rewind(mark);
    }
    if session.reply_mode == ReplyMode::Skip {
        session.reply_mode = ReplyMode::On;
    }
    target
}

/// What a command's words name.
#[derive(Clone, Copy)]
struct Target {
    /// The command, or its subcommand.
    spec: &'static Spec,
    /// How many words name it.
    skip: usize,
    /// What counts it.
    counter: usize,
}

/// Finds what the words name, and notes it as the client's last command.
#[inline]
fn resolve(engine: &Engine, client: &Client, call: &Call<'_>) -> Option<Target> {
    let place = match call.spec {
        Some(spec) if !spec.subcommands.is_empty() && call.argv.len() > 1 => {
            subcommand(spec, call.argv).map(|(at, sub)| (sub, Some(at)))
        }
        Some(spec) => Some((spec, None)),
        None => None,
    };
    let Some((spec, sub)) = place else {
        client.last_command.store(0, Ordering::Relaxed);
        return None;
    };
    let last = (call.number + 1) as u32 | sub.map_or(0, |at| at as u32 + 1) << 16;
    client.last_command.store(last, Ordering::Relaxed);
    Some(Target {
        spec,
        skip: 1 + usize::from(sub.is_some()),
        counter: engine.commands.counter(call.number, sub),
    })
}

/// Runs one command, or says why not; returns one that ran.
#[inline]
fn run_one(
    engine: &Engine,
    session: &mut Session,
    call: &Call<'_>,
    out: &mut Output,
    now_ms: u64,
) -> Option<Target> {
    let target = resolve(engine, &session.client, call);
    let admitted = admit(engine, session, call, target, now_ms);
    // What the command before sent its own client comes behind its reply, and what
    // making room for this one causes comes in front of this one's.
    if session.client.has_mail() && session.reply_mode == ReplyMode::On {
        session.client.collect(out);
    }
    match admitted {
        Ok(Some(target)) => {
            let spec = target.spec;
            if session.multi.is_some() && !spec.has(flag::NOT_QUEUED) {
                queue(engine, session, call, target);
                Reply::new(out, session.resp3).simple("QUEUED");
                return None;
            }
            let (keyspace, effects, db) = (&engine.keyspace, &engine.effects, session.db);
            let mut txn = match lock_declared(engine, session, call, spec) {
                Ok(Some(locked)) => Txn::new(keyspace, effects, locked, db, now_ms),
                Ok(None) => Txn::one_by_one(keyspace, effects, db, now_ms),
                Err(error) => return refuse(engine, session, call, Some(target), error, out),
            };
            if session.leads && session.client.is_killed() {
                // Somebody else leads by now, or nobody: that was said under these locks.
                return None;
            }
            txn.removes = spec.has(flag::WRITE);
            txn.touch = !session.no_touch || spec.name == "touch";
            txn.set_client(&session.client);
            txn.set_rules(call.rules);
            let can_wait = spec.scope != Scope::Queued;
            txn.set_reader(session.reader.take(), can_wait);
            if spec.scope != Scope::Keys && spec.has(flag::READONLY) {
                // What a walk comes upon has nothing to do with each other.
                txn.be_apart();
            }
            let is_let_in = match &engine.routing {
                None => true,
                Some(routing) => {
                    let (argv, keys) = (call.argv, call.keys);
                    routing::lets_in(engine, routing, session, &mut txn, spec, argv, keys)
                }
            };
            if is_let_in {
                call_handler(engine, session, &mut txn, call, target, out);
            }
            session.reader = txn.take_reader();
            let why = txn.removal;
            let outcome = txn.commit();
            if !outcome.garbage.is_empty() {
                let later = engine.effects.is_lazy(why);
                engine.reclaimer.free(outcome.garbage, later);
            }
            if let Some(rest) = outcome.rest {
                let rest = *rest;
                // What others waited for is not this command's work.
                clock::aside(|| waiting::serve(engine, session.worker, rest.changed));
                invalidation::cascade(engine, session.worker, rest.cascades);
                clock::aside(|| refill::announce(engine, rest.announced));
            }
            if !is_let_in && let Some(error) = session.passage.refused.take() {
                return refuse(engine, session, call, Some(target), error, out);
            }
            (!session.is_stopped()).then_some(target)
        }
        Ok(None) => None,
        Err(error) => refuse(engine, session, call, target, error, out),
    }
}

/// Says why a command does not run, and what that means for its transaction.
#[cold]
fn refuse(
    engine: &Engine,
    session: &mut Session,
    call: &Call<'_>,
    target: Option<Target>,
    error: Error,
    out: &mut Output,
) -> Option<Target> {
    let worker = session.worker;
    if let Some(target) = target {
        add(&engine.workers[worker].calls[target.counter].rejected, 1);
    }
    engine.count_error(worker, error.code());
    let is_exec = call.spec.is_some_and(|s| s.scope == Scope::Queued);
    let error = match session.multi.as_mut() {
        _ if is_exec && error.is_about_routing() => {
            super::multi::discard(engine, session);
            error
        }
        _ if is_exec => {
            if let Some(target) = target {
                // The commands are not shown, but that they are over.
                engine.monitors.show(session, target.spec, call.argv);
            }
            super::multi::discard(engine, session);
            let mut text = b"EXECABORT Transaction discarded because of: ".to_vec();
            let said = error.as_bytes();
            text.extend_from_slice(said.strip_prefix(b"ERR ").unwrap_or(said));
            Error::new(text)
        }
        Some(multi) => {
            multi.failed = true;
            error
        }
        None => error,
    };
    Reply::new(out, session.resp3).error(&error);
    None
}

/// What may run; `None` where the connection is to be closed without a word, or
/// the client stops in front of the command.
#[inline]
fn admit(
    engine: &Engine,
    session: &mut Session,
    call: &Call<'_>,
    target: Option<Target>,
    now_ms: u64,
) -> Result<Option<Target>, Error> {
    let argv = call.argv;
    if target.is_none() && call.spec.is_none() && is_http(argv[0]) {
        crate::warning!(
            "{} speaks HTTP and is cut off: a web page may have made a browser send commands here",
            session.client.addr
        );
        session.closing = Closing::Now;
        return Ok(None);
    }
    let mut is_free = engine.access.is_free(session);
    if !is_free {
        match engine.access.identify(session, target.map(|t| t.spec))? {
            Standing::Free => is_free = true,
            Standing::Judged => {}
            Standing::Gone => {
                session.closing = Closing::Now;
                return Ok(None);
            }
        }
    }
    let Some(target) = target else {
        return Err(unknown(call));
    };
    let spec = target.spec;
    if !spec.takes(argv.len()) {
        return Err(Error::arity(&full_name(call, target)));
    }
    if spec.has(flag::PROTECTED) && !is_allowed_to_debug(engine, session) {
        let name = spec.name.to_uppercase();
        return Err(Error::protected(&name, param::ENABLE_DEBUG_COMMAND.name()));
    }
    if session.multi.is_some() && spec.has(flag::NO_MULTI) {
        return Err(Error::not_in_multi(&full_name(call, target)));
    }
    if !is_free {
        let asked = asked(session, call, target);
        access::admit(engine, session, &asked)?;
    }
    if let Some(routing) = &engine.routing {
        routing::admit(engine, routing, session, spec, argv, call.keys)?;
    }
    if client_eviction::hold(engine) && session.client.is_killed() {
        session.closing = Closing::Now;
        return Ok(None);
    }
    session.has_room = room::make(engine, now_ms);
    if !session.has_room && !session.leads {
        // What is queued is judged as if it ran: a transaction may read and delete.
        let grows = match (spec.scope, &session.multi) {
            (Scope::Queued, Some(multi)) => multi.queued.iter().any(|q| q.spec.has(flag::DENYOOM)),
            _ => spec.has(flag::DENYOOM),
        };
        if grows {
            engine.counters.oom_refusals.fetch_add(1, Ordering::Relaxed);
            return Err(Error::OOM);
        }
    }
    if session.subscriber || session.monitor || session.follower {
        admit_listener(session, call, target)?;
    }
    if engine.is_guarded() {
        admit_guarded(engine, session, spec, argv)?;
    }
    let pause = &engine.effects.pause;
    if pause.is_on(now_ms) && pause.stops(session, spec) {
        session.paused = true;
        pause.stopped.fetch_add(1, Ordering::Relaxed);
        return Ok(None);
    }
    // Last, for it counts: only what is about to run, and that once.
    if engine.gate.is_kept() && !session.client.is_server() && !session.leads {
        engine.gate.pass(session, spec)?;
    }
    Ok(Some(target))
}

/// What a client asks for, as its user's rights judge it.
fn asked<'a>(session: &Session, call: &Call<'a>, target: Target) -> Asked<'a> {
    let multi = session.multi.as_ref();
    Asked {
        spec: target.spec,
        counter: target.counter,
        argv: call.argv,
        db: multi.and_then(|multi| multi.db).unwrap_or(session.db),
    }
}

/// The command, or its subcommand, that these words name, and what counts it.
pub fn find(engine: &Engine, argv: &[&[u8]]) -> Option<(&'static Spec, usize)> {
    let (number, spec) = engine.commands.find(argv.first()?)?;
    if spec.subcommands.is_empty() || argv.len() == 1 {
        return Some((spec, engine.commands.counter(number, None)));
    }
    let (at, sub) = subcommand(spec, argv)?;
    Some((sub, engine.commands.counter(number, Some(at))))
}

/// What a client that is sent things unasked may run.
#[cold]
fn admit_listener(session: &Session, call: &Call<'_>, target: Target) -> Result<(), Error> {
    let spec = target.spec;
    let touches = |spec: &Spec| spec.has(flag::READONLY | flag::WRITE | flag::MAY_REPLICATE);
    let runs_touching = || match &session.multi {
        Some(multi) if spec.scope == Scope::Queued => multi.queued.iter().any(|q| touches(q.spec)),
        _ => false,
    };
    if (session.monitor || session.follower) && (touches(spec) || runs_touching()) {
        return Err(Error::REPLICA_TOUCHES_KEYS);
    }
    // What it subscribed to may have been ended.
    let subscribes = session.subscriber && session.client.is_subscriber();
    if subscribes && !session.resp3 && !spec.has(flag::SUBSCRIBER) {
        return Err(Error::not_while_subscribed(&full_name(call, target)));
    }
    Ok(())
}

/// Whether a command may run while there may be reason to refuse it.
#[cold]
fn admit_guarded(
    engine: &Engine,
    session: &Session,
    spec: &Spec,
    argv: &[&[u8]],
) -> Result<(), Error> {
    if session.leads {
        return Ok(());
    }
    // What waits for EXEC is judged by it: what it holds would run.
    let lacks = |needed: u32| match (spec.scope, &session.multi) {
        (Scope::Queued, Some(multi)) => multi.queued.iter().any(|q| !q.spec.has(needed)),
        _ => !spec.has(needed),
    };
    let writes = match (spec.scope, &session.multi) {
        (Scope::Queued, Some(multi)) => multi.queued.iter().any(|q| q.spec.has(flag::WRITE)),
        _ => spec.has(flag::WRITE),
    };
    if engine.busy.is_on() {
        if ends_in_spite_of(spec, argv) {
            engine.busy.doom();
        } else if lacks(flag::ALLOW_BUSY) || spec.name == "shutdown" {
            return Err(engine.busy.error());
        }
    }
    if engine.is_loading() && lacks(flag::LOADING) {
        return Err(Error::LOADING);
    }
    if writes {
        engine.refuse_to_write()?;
    }
    if engine.is_stale() && lacks(flag::STALE) {
        return Err(Error::MASTER_DOWN);
    }
    Ok(())
}

/// Whether a command ends the server though a script runs: it keeps nothing, so that
/// the script need not come to its end.
pub fn ends_in_spite_of(spec: &Spec, argv: &[&[u8]]) -> bool {
    let is = |word: &[u8]| argv.iter().any(|w| w.eq_ignore_ascii_case(word));
    spec.name == "shutdown" && is(b"nosave") && !is(b"save")
}

/// Whether a web browser was led here: it is cut off at once, password or not,
/// before what it sends behind its headers is taken for commands.
#[cold]
fn is_http(word: &[u8]) -> bool {
    [&b"host:"[..], b"post"]
        .iter()
        .any(|w| word.eq_ignore_ascii_case(w))
}

/// Nobody knows this command.
#[cold]
fn unknown(call: &Call<'_>) -> Error {
    let argv = call.argv;
    match call.spec {
        Some(spec) => Error::unknown_subcommand(spec.name, argv[1]),
        None => Error::unknown_command(argv),
    }
}

#[cold]
fn full_name(call: &Call<'_>, target: Target) -> String {
    match call.spec {
        Some(top) if target.skip == 2 => format!("{}|{}", top.name, target.spec.name),
        _ => target.spec.name.to_string(),
    }
}

fn is_allowed_to_debug(engine: &Engine, session: &Session) -> bool {
    match engine.settings.choice_name(param::ENABLE_DEBUG_COMMAND) {
        "yes" => true,
        "local" => session.client.is_local,
        _ => false,
    }
}

fn queue(engine: &Engine, session: &mut Session, call: &Call<'_>, target: Target) {
    let is_lost = session.is_watch_broken();
    if let Some(multi) = session.multi.as_mut() {
        if multi.failed || is_lost {
            // It will not run: no memory is spent on it.
            return;
        }
        if target.spec.name == "select" {
            let db = num::parse_i64(call.argv[1]).and_then(|db| u32::try_from(db).ok());
            multi.db = db.filter(|db| *db < engine.databases()).or(multi.db);
        }
        let argv: Vec<Vec<u8>> = call.argv.iter().map(|a| a.to_vec()).collect();
        multi.bytes += argv
            .iter()
            .map(|a| a.len() + size_of::<Vec<u8>>())
            .sum::<usize>();
        multi.queued.push(Queued {
            spec: target.spec,
            number: call.number,
            counter: target.counter,
            argv,
        });
    }
}

/// Runs a handler within a transaction, and stops the client where it waits.
#[inline(always)]
fn call_handler<'t>(
    engine: &'t Engine,
    session: &mut Session,
    txn: &mut Txn<'t>,
    call: &Call<'_>,
    target: Target,
    out: &mut Output,
) {
    let args = Args::new(call.argv, call.blobs, call.keys, target.skip);
    let wait = handle(engine, session, txn, args, target, out);
    engine.monitors.show(session, target.spec, call.argv);
    if let Some(wait) = wait {
        let Target {
            spec,
            skip,
            counter,
        } = target;
        let call = waiting::Call {
            spec,
            counter,
            skip,
            argv: call.argv,
            keys: call.keys,
        };
        waiting::begin(engine, session, txn, wait, &call);
    }
}

/// For a client that keeps what it reads: it is told when that changes.
#[cold]
fn remember_reads(
    engine: &Engine,
    session: &mut Session,
    txn: &mut Txn<'_>,
    spec: &Spec,
    argv: &[&[u8]],
    keys: &[KeyAt],
) {
    if spec.has(flag::READONLY) {
        let most = engine.settings.int(param::TRACKING_TABLE_MAX_KEYS) as usize;
        let new = |key: &[u8]| txn.note_read(key);
        engine.tracking.remember(session, argv, keys, most, new);
    }
    // CLIENT CACHING holds for what comes right behind it, or the transaction; what
    // else is said of the connection is not what was meant.
    let is_of_client = spec.name == "caching" || argv[0].eq_ignore_ascii_case(b"client");
    if session.multi.is_none() && !session.in_exec && !is_of_client {
        session.caching = false;
    }
}

/// Runs a handler, and returns what it waits for.
#[inline(always)]
fn handle<'t>(
    engine: &'t Engine,
    session: &mut Session,
    txn: &mut Txn<'t>,
    args: Args<'_>,
    target: Target,
    out: &mut Output,
) -> Option<Wait> {
    let spec = target.spec;
    let worker = session.worker;
    let calls = &engine.workers[worker].calls[target.counter];
    let mark = out.mark();
    let resp3 = session.resp3;
    let (argv, keys) = (args.all(), args.keys());
    let mut ctx = Ctx {
        engine,
        session,
        txn,
        args,
        reply: Reply::new(out, resp3),
        spec,
    };
    let result = (spec.handler)(&mut ctx);
    if session.wait.is_some() {
        txn.end_command(argv);
        return session.wait.take();
    }
    add(&calls.calls, 1);
    txn.end_command(argv);
    if session.tracks {
        remember_reads(engine, session, txn, spec, argv, keys);
    }
    if let Err(error) = result {
        add(&calls.failed, 1);
        engine.count_error(worker, error.code());
        out.rewind(mark);
        Reply::new(out, resp3).error(&error);
    }
    None
}

/// Runs a command that waited for EXEC, within EXEC's transaction.
pub(super) fn run_queued<'t>(
    engine: &'t Engine,
    session: &mut Session,
    txn: &mut Txn<'t>,
    queued: &Queued,
    out: &mut Output,
) {
    let argv: Vec<&[u8]> = queued.argv.iter().map(Vec::as_slice).collect();
    let mut keys = Vec::new();
    let top = engine.commands.all()[queued.number];
    if !find_keys(top, &argv, &mut keys) {
        keys.clear();
    }
    let call = Call {
        argv: &argv,
        keys: &keys,
        blobs: &[],
        spec: Some(top),
        number: queued.number,
        rules: None,
    };
    let target = Target {
        spec: queued.spec,
        skip: match std::ptr::eq(queued.spec, top) {
            true => 1,
            false => 2,
        },
        counter: queued.counter,
    };
    if !engine.access.is_free(session) {
        let asked = asked(session, &call, target);
        if let Err(error) = access::admit_queued(engine, session, &asked) {
            engine.count_error(session.worker, error.code());
            Reply::new(out, session.resp3).error(&error);
            return;
        }
    }
    run_within(engine, session, txn, &call, target, out);
}

/// Runs a command within the transaction of another one.
fn run_within<'t>(
    engine: &'t Engine,
    session: &mut Session,
    txn: &mut Txn<'t>,
    call: &Call<'_>,
    target: Target,
    out: &mut Output,
) {
    txn.db = session.db;
    txn.removes = target.spec.has(flag::WRITE);
    let (began_ns, mark) = (clock::work_ns(), out.len());
    call_handler(engine, session, txn, call, target, out);
    let ended = Ended {
        spec: target.spec,
        counter: target.counter,
        argv: call.argv,
        took_ns: clock::work_ns() - began_ns,
        reply: out.len().saturating_sub(mark),
    };
    ended.note(engine, session.worker, &session.client);
    let nested_ns = &engine.workers[session.worker].nested_ns;
    add(nested_ns, ended.took_ns);
}

/// Runs a command that waited, on the thread of the session's worker; false where
/// it has to wait further.
pub(super) fn run_again<'t>(
    engine: &'t Engine,
    session: &mut Session,
    txn: &mut Txn<'t>,
    call: &waiting::Call<'_>,
    out: &mut Output,
) -> bool {
    let (began_ns, mark) = (clock::work_ns(), out.len());
    let target = Target {
        spec: call.spec,
        skip: call.skip,
        counter: call.counter,
    };
    let args = Args::new(call.argv, &[], call.keys, call.skip);
    if handle(engine, session, txn, args, target, out).is_some() {
        return false;
    }
    let ended = Ended {
        spec: call.spec,
        counter: call.counter,
        argv: call.argv,
        took_ns: clock::work_ns() - began_ns,
        reply: out.len().saturating_sub(mark),
    };
    ended.note(engine, session.worker, &session.client);
    let event = latency::Event::CommandUnblocking;
    engine.latency.note(&engine.settings, event, ended.took_ns);
    true
}

/// The keys of a queued command.
pub(super) fn keys_of(engine: &Engine, queued: &Queued, keys: &mut Vec<KeyAt>) {
    let argv: SmallVec<[&[u8]; 16]> = queued.argv.iter().map(Vec::as_slice).collect();
    let first = keys.len();
    if !find_keys(engine.commands.all()[queued.number], &argv, keys) {
        keys.truncate(first);
    }
}
