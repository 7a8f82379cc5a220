//! One variant's run: the trace, through an engine, on the virtual clock.
//!
//! ```text
//!   trace ──► access ──► GET ──► value? ──yes──► hit, fresh or stale
//!               │                  │ no
//!               │                  ▼
//!   time ◄── next of:          load begins ──── latency ────► SET key value
//!            access, load that                (half-way: the
//!            has come, wait that               origin is read)
//!            is over, sweep
//! ```
//!
//! The simulated application caches aside, over many connections. It is honest
//! about its faults: clients that miss a key together load it each for itself, and
//! a value that was read before a change may be written after it. A value begins
//! with the time of the change that made it, so that a stale one is recognised
//! exactly.
//!
//! The engine is the server's own, without sockets: commands run through
//! [`run_batch`], time is [`clock::freeze`]'s, and what a server does by the clock
//! is done here whenever virtual time has moved far enough. Memory that is in use
//! before the first access is left out of the count, so that `maxmemory` bounds
//! what the cache holds.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::sync::Arc;

use super::figures::{Meter, Outcome};
use super::options::SENTINEL_BYTES_MAX;
use super::origin::Origin;
use super::trace::{Access, Kind, Trace};
use crate::base::clock;
use crate::base::num::IntText;
use crate::command;
use crate::config::{Settings, param};
use crate::exec::dispatch::{Batch, run_batch};
use crate::exec::engine::Engine;
use crate::exec::session::{Arrival, Session};
use crate::exec::{room, sweep};
use crate::protocol::output::Output;
use crate::store::memory;

/// Virtual time begins here, in Unix milliseconds.
const BEGIN_MS: u64 = 1_700_000_000_000;
/// How often deadlines are looked after, in microseconds.
const SWEEP_EVERY_US: u64 = 100_000;
/// Where nothing happens, this suffices: the wheel remembers 8 s.
const SWEEP_IDLE_US: u64 = 4_000_000;
/// Where nothing happens for so long, every deadline is looked at once.
const SWEEP_PAUSE_US: u64 = 600_000_000;
/// Accesses between two readings of the memory in use, at most.
const MEMORY_EVERY: u32 = 256;
/// A value begins with its version.
pub const VERSION_BYTES: usize = 8;

/// What an application is like.
pub struct Application {
    /// The time to live that it gives, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// What it writes for what the origin does not have.
    pub sentinel: Option<Vec<u8>>,
    /// Its connections.
    pub clients: usize,
}

/// A load from the origin that is under way.
struct Fill {
    at_us: u64,
    key: u32,
    client: u32,
    bytes: u32,
    /// When the origin reads the value, in microseconds.
    read_us: u64,
    /// What had been written to it before the load began.
    written_us: u64,
}

/// One connection.
struct Client {
    session: Session,
    /// The access whose reply it waits for.
    waits_for: Option<Access>,
}

/// See the head of this file.
struct Replay<'a> {
    trace: &'a Trace,
    origin: &'a Origin,
    application: &'a Application,
    engine: Arc<Engine>,
    clients: Vec<Client>,
    /// The one whose turn it is.
    next: usize,
    /// How many wait.
    waiting: usize,
    /// In the order in which they come.
    fills: VecDeque<Fill>,
    /// When each key was last written by the application; 0 for never.
    written_us: Vec<u64>,
    /// Loads under way, by key.
    loading: Vec<u16>,
    now_us: u64,
    swept_us: u64,
    noted_us: u64,
    until_memory: u32,
    meter: Meter,
    error: Option<String>,
    ttl: Option<(&'static [u8], IntText)>,
    value: Vec<u8>,
    batch: Batch<'static>,
    out: Output,
    /// Bytes in use that are not the cache's.
    left_out: i64,
    is_bounded: bool,
}

/// Runs a variant.
///
/// # Errors
///
/// What is wrong with its settings that only the commands know.
pub fn run(
    name: &str,
    trace: &Trace,
    origin: &Origin,
    settings: Settings,
    application: &Application,
    seed: u64,
) -> Result<Outcome, String> {
    clock::reseed(seed);
    clock::freeze(BEGIN_MS);
    let commands = command::table_for(&settings).map_err(|error| error.to_string())?;
    let engine = Engine::new(Arc::new(settings), commands, 1);
    command::configure(&engine);
    let mut replay = Replay::new(trace, origin, application, Arc::new(engine));
    replay.begin();
    for access in &trace.accesses {
        replay.pass_until(access.at_us);
        replay.access(access);
    }
    // What is under way at the end still comes.
    replay.pass_until(trace.span_us() + origin.latency_us);
    let outcome = replay.finish(name);
    clock::freeze(0);
    Ok(outcome)
}

impl<'a> Replay<'a> {
    fn new(
        trace: &'a Trace,
        origin: &'a Origin,
        application: &'a Application,
        engine: Arc<Engine>,
    ) -> Replay<'a> {
        let largest = trace.accesses.iter().map(|a| a.bytes).max().unwrap_or(0);
        let ttl = application.ttl_ms.map(|ms| match ms % 1000 {
            0 => (&b"EX"[..], IntText::unsigned(ms / 1000)),
            _ => (&b"PX"[..], IntText::unsigned(ms)),
        });
        Replay {
            clients: (0..application.clients).map(|_| client(&engine)).collect(),
            next: 0,
            waiting: 0,
            fills: VecDeque::with_capacity(1 << 10),
            written_us: vec![0; trace.keys.len()],
            loading: vec![0; trace.keys.len()],
            now_us: 0,
            swept_us: 0,
            noted_us: 0,
            until_memory: 0,
            meter: Meter::new(trace.span_us()),
            error: None,
            ttl,
            value: vec![b'.'; (largest as usize).max(VERSION_BYTES)],
            batch: Batch::default(),
            out: Output::default(),
            left_out: 0,
            is_bounded: engine.settings.int(param::MAXMEMORY) > 0,
            trace,
            origin,
            application,
            engine,
        }
    }

    /// What is in use now is not the cache's.
    fn begin(&mut self) {
        let bytes = memory::used_bytes() as i64;
        self.leave_out(bytes);
    }

    /// Where there is no limit, nothing has to be hidden from it: the count that
    /// all share stays as it is.
    fn leave_out(&mut self, bytes: i64) {
        self.left_out += bytes;
        if self.is_bounded {
            memory::leave_out(bytes);
        }
    }

    fn used_bytes(&self) -> u64 {
        let used = memory::used_bytes() as u64;
        match self.is_bounded {
            true => used,
            false => used.saturating_sub(self.left_out as u64),
        }
    }

    fn finish(mut self, name: &str) -> Outcome {
        self.note_memory();
        let bytes = self.used_bytes();
        let keyspace = &self.engine.keyspace;
        let mut outcome = Outcome {
            name: name.to_owned(),
            bytes,
            error: self.error.take(),
            ..Outcome::default()
        };
        for shard in (0..keyspace.len()).map(|i| keyspace.lock(i)) {
            outcome.keys += shard.len() as u64;
            outcome.evicted += shard.stats.evicted;
            outcome.expired += shard.stats.expired;
        }
        if self.is_bounded {
            memory::leave_out(-self.left_out);
        }
        (outcome.total, outcome.pieces) = self.meter.finish();
        outcome
    }

    // ----- time -----------------------------------------------------------

    /// Lets time pass, and does what is due on the way.
    fn pass_until(&mut self, until_us: u64) {
        loop {
            let fill_us = self.fills.front().map_or(u64::MAX, |fill| fill.at_us);
            let wait_us = match self.waiting {
                0 => u64::MAX,
                _ => self.wait_ends_us(),
            };
            if fill_us.min(wait_us) > until_us {
                break;
            }
            if wait_us < fill_us {
                self.step_to(wait_us);
                self.end_waits();
            } else if let Some(fill) = self.fills.pop_front() {
                self.step_to(fill.at_us);
                self.fill(&fill);
            }
        }
        self.step_to(until_us);
    }

    /// Moves the clock, and does what a server does by it.
    fn step_to(&mut self, to_us: u64) {
        let mut behind_us = to_us.saturating_sub(self.swept_us);
        if behind_us >= SWEEP_EVERY_US {
            while behind_us > SWEEP_IDLE_US && behind_us < SWEEP_PAUSE_US {
                self.set_now(self.swept_us + SWEEP_IDLE_US);
                self.sweep();
                behind_us -= SWEEP_IDLE_US;
            }
            self.set_now(to_us);
            self.sweep();
        }
        self.set_now(to_us);
    }

    fn set_now(&mut self, now_us: u64) {
        // Never back: a wait may end within the millisecond that has begun.
        if now_us > self.now_us {
            if now_us / 1000 != self.now_us / 1000 {
                clock::freeze(BEGIN_MS + now_us / 1000);
            }
            self.now_us = now_us;
            self.meter.advance(now_us);
        }
    }

    fn sweep(&mut self) {
        self.swept_us = self.now_us;
        let engine = &self.engine;
        for shard in 0..engine.keyspace.len() {
            while sweep::slice(engine, 0, shard) {}
        }
        while room::slice(engine) {}
        if self.now_us - self.noted_us >= 1_000_000 {
            self.noted_us = self.now_us;
            engine.keyspace.evictor().note_moment();
        }
        self.note_memory();
        if self.waiting > 0 {
            self.end_waits();
        }
    }

    fn note_memory(&mut self) {
        self.until_memory = MEMORY_EVERY;
        let bytes = self.used_bytes();
        self.meter.note_bytes(bytes);
    }

    // ----- the application ------------------------------------------------

    fn access(&mut self, access: &Access) {
        self.until_memory = match self.until_memory {
            0 => {
                self.note_memory();
                MEMORY_EVERY
            }
            n => n - 1,
        };
        let client = self.choose_client(access.client);
        match access.kind {
            Kind::Read => self.read(client, access),
            Kind::ReadChanged => {
                self.written_us[access.key as usize] = self.now_us;
                self.read(client, access);
            }
            Kind::Write => {
                self.meter.now.writes += 1;
                self.written_us[access.key as usize] = self.now_us;
                self.set(client, access.key, self.now_us, access.bytes);
            }
            Kind::Delete => {
                self.meter.now.writes += 1;
                self.written_us[access.key as usize] = self.now_us;
                let name = self.trace.keys.name(access.key);
                self.command(client, access.key, &[b"DEL", name]);
                self.check();
            }
        }
        if self.waiting > 0 {
            self.end_waits();
        }
    }

    /// A connection that does not wait: the one that the trace names, or the next.
    fn choose_client(&mut self, named: u32) -> usize {
        let first = match named {
            0 => {
                self.next = (self.next + 1) % self.clients.len();
                self.next
            }
            named => named as usize % self.clients.len(),
        };
        if self.clients[first].waits_for.is_none() {
            return first;
        }
        let count = self.clients.len();
        let others = (1..count).map(|i| (first + i) % count);
        let free = others
            .into_iter()
            .find(|&i| self.clients[i].waits_for.is_none());
        free.unwrap_or_else(|| {
            // A pool that is used up grows.
            self.clients.push(client(&self.engine));
            count
        })
    }

    fn read(&mut self, client: usize, access: &Access) {
        let name = self.trace.keys.name(access.key);
        self.command(client, access.key, &[b"GET", name]);
        if self.clients[client].session.is_stopped() {
            self.clients[client].waits_for = Some(*access);
            self.waiting += 1;
        } else {
            self.take_answer(client, access);
        }
    }

    /// The reply to a read is there.
    fn take_answer(&mut self, client: usize, access: &Access) {
        let key = access.key;
        let counts = &mut self.meter.now;
        counts.reads += 1;
        let mut head = [0; SENTINEL_BYTES_MAX];
        match Answer::read(&self.out, &mut head) {
            Answer::Value(length, head) => {
                counts.hits += 1;
                let written_us = self.written_us[key as usize];
                let sentinel = self.application.sentinel.as_deref();
                let is_fresh = if sentinel.is_some_and(|s| s.len() == length && s == head) {
                    counts.null_hits += 1;
                    written_us == 0 && self.origin.is_absent(key)
                } else {
                    let changed_us = self.origin.changed_us(key, self.now_us);
                    let version = changed_us.max(written_us).to_le_bytes();
                    head.get(..VERSION_BYTES) == Some(&version[..])
                };
                counts.stale += u64::from(!is_fresh);
            }
            Answer::Nil => self.load(client, access),
            Answer::Other => {
                self.check();
                self.load(client, access);
            }
        }
    }

    fn load(&mut self, client: usize, access: &Access) {
        let key = access.key as usize;
        let counts = &mut self.meter.now;
        counts.loads += 1;
        counts.duplicates += u64::from(self.loading[key] > 0);
        self.loading[key] = self.loading[key].saturating_add(1);
        let held = self.fills.capacity();
        self.fills.push_back(Fill {
            at_us: self.now_us + self.origin.latency_us,
            key: access.key,
            client: client as u32,
            bytes: access.bytes,
            read_us: self.now_us + self.origin.latency_us / 2,
            written_us: self.written_us[key],
        });
        let grown = self.fills.capacity() - held;
        if grown > 0 {
            self.leave_out((grown * size_of::<Fill>()) as i64);
        }
    }

    /// What the origin answered has come.
    fn fill(&mut self, fill: &Fill) {
        let (key, at) = (fill.key, fill.key as usize);
        self.loading[at] = self.loading[at].saturating_sub(1);
        // Written in between, it is seen if the origin was read behind it.
        let written_us = match self.written_us[at] {
            us if us <= fill.read_us => us,
            _ => fill.written_us,
        };
        let client = fill.client as usize;
        // Its connection may wait for another key by now.
        let client = match self.clients[client].waits_for {
            None => client,
            Some(_) => self.choose_client(0),
        };
        if written_us == 0 && self.origin.is_absent(key) {
            self.meter.now.null_loads += 1;
            let application = self.application;
            if let Some(sentinel) = &application.sentinel {
                self.set_value(client, key, sentinel);
            }
        } else {
            self.meter.now.origin_bytes += u64::from(fill.bytes);
            let changed_us = self.origin.changed_us(key, fill.read_us);
            self.set(client, key, changed_us.max(written_us), fill.bytes);
        }
        if self.waiting > 0 {
            self.end_waits();
        }
    }

    /// Writes a value of this version and size.
    fn set(&mut self, client: usize, key: u32, version: u64, bytes: u32) {
        let mut value = mem::take(&mut self.value);
        value[..VERSION_BYTES].copy_from_slice(&version.to_le_bytes());
        self.set_value(client, key, &value[..bytes as usize]);
        self.value = value;
    }

    fn set_value(&mut self, client: usize, key: u32, value: &[u8]) {
        let name = self.trace.keys.name(key);
        match self.ttl {
            Some((unit, ttl)) => {
                self.command(client, key, &[b"SET", name, value, unit, ttl.as_bytes()]);
            }
            None => self.command(client, key, &[b"SET", name, value]),
        }
        self.check();
    }

    /// Runs a command about a key; its reply is in `out`.
    fn command(&mut self, client: usize, key: u32, words: &[&[u8]]) {
        let mut batch = mem::take(&mut self.batch).recycle();
        batch.argv.extend_from_slice(words);
        batch.end_command(0);
        self.out.clear();
        let session = &mut self.clients[client].session;
        session.db = u32::from(self.trace.keys.db(key));
        run_batch(&self.engine, session, &mut batch, &[], &mut self.out);
        self.batch = batch.recycle();
    }

    /// Counts an error, if the reply is one.
    fn check(&mut self) {
        let reply = self.out.single().unwrap_or_default();
        if reply.first() != Some(&b'-') {
            return;
        }
        if reply.starts_with(b"-OOM") {
            self.meter.now.refused += 1;
        } else {
            self.meter.now.errors += 1;
            let text = || String::from_utf8_lossy(reply[1..].trim_ascii_end()).into_owned();
            self.error.get_or_insert_with(text);
        }
    }

    // ----- connections that wait ------------------------------------------

    /// When the next of those gives up.
    fn wait_ends_us(&self) -> u64 {
        let ends = |client: &Client| {
            let until_ms = client.session.waiting_for.as_ref()?.until_ms()?;
            Some(until_ms.saturating_sub(BEGIN_MS).saturating_mul(1000))
        };
        self.clients
            .iter()
            .filter_map(ends)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Those whose reply has come, or whose time is over, go on.
    fn end_waits(&mut self) {
        for client in 0..self.clients.len() {
            let Client { session, waits_for } = &mut self.clients[client];
            let (Some(access), Some(waiter)) = (*waits_for, session.waiting_for.clone()) else {
                continue;
            };
            if !waiter.is_over() {
                let now_ms = BEGIN_MS + self.now_us / 1000;
                if waiter.until_ms().is_none_or(|until_ms| until_ms > now_ms) {
                    continue;
                }
                waiter.time_out(&self.engine, 0);
            }
            waiter.forget(&self.engine);
            session.waiting_for = None;
            *waits_for = None;
            self.waiting -= 1;
            self.out.clear();
            session.client.collect(&mut self.out);
            self.take_answer(client, &access);
        }
    }
}

fn client(engine: &Engine) -> Client {
    let client = engine.clients.add(Arrival {
        addr: "127.0.0.1:1".into(),
        local_addr: "127.0.0.1:2".into(),
        is_local: true,
        is_unix: false,
        fd: 0,
        worker: 0,
    });
    Client {
        session: Session::new(client, true),
        waits_for: None,
    }
}

/// A reply to a read.
enum Answer<'a> {
    /// A string: its length, and its first bytes.
    Value(usize, &'a [u8]),
    /// Nothing.
    Nil,
    /// An error.
    Other,
}

impl Answer<'_> {
    /// Reads a reply; `head` takes the first bytes of a value.
    fn read<'a>(out: &Output, head: &'a mut [u8; SENTINEL_BYTES_MAX]) -> Answer<'a> {
        let mut slices = [IoSlice::new(&[]); 4];
        let count = out.slices(&mut slices);
        let [first, rest @ ..] = &slices[..count] else {
            return Answer::Other;
        };
        let line = first.iter().position(|&b| b == b'\r');
        let (Some(b'$'), Some(end)) = (first.first(), line) else {
            return Answer::Other;
        };
        let digits = std::str::from_utf8(&first[1..end]).unwrap_or_default();
        let Ok(length) = digits.parse::<usize>() else {
            // RESP2 writes -1 for nothing.
            return Answer::Nil;
        };
        let mut room = length.min(head.len());
        let taken = room;
        let mut at = 0;
        let parts = std::iter::once(&first[(end + 2).min(first.len())..]);
        for part in parts.chain(rest.iter().map(|slice| &slice[..])) {
            let n = room.min(part.len());
            head[at..at + n].copy_from_slice(&part[..n]);
            at += n;
            room -= n;
        }
        Answer::Value(length, &head[..taken])
    }
}
