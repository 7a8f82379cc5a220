//! One connection: a future that reads, runs and writes until it is over.
//!
//! An idle connection holds no buffer. Reads go through memory that all connections
//! of a worker share, and only an incomplete command is kept with the connection.
//! Whose input was cut off keeps the memory for the next time, until it has been idle
//! for two seconds; whose argument was large keeps as much for the next one, until a
//! look finds it unused.
//!
//! Replies are written to memory of the connection's own, which follows what it is
//! asked for: from 1 KiB to 16 KiB, less again when a look finds most of it unused,
//! none after two idle seconds. Those of a client that asks for more at once go
//! through memory that the connections of a worker use in turn.
//!
//! ```text
//!    socket ──► scratch.input ──► batch ──► dispatch ──► out (conn) ──► socket
//!                  ▲  │ cut off                           ▲ │ more than fits
//!                  └ rest, partial (conn)                 └ scratch.spare
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::stream::Stream;
use crate::base::clock;
use crate::config::param;
use crate::exec::client_eviction;
use crate::exec::dispatch::{BLOB_MIN, Batch, run_batch};
use crate::exec::engine::{Engine, add};
use crate::exec::multi;
use crate::exec::refill;
use crate::exec::session::{BUFFER_IDLE_MS, Closing, Session};
use crate::exec::tracking::Tracking;
use crate::protocol::error::Error;
use crate::protocol::feed::{self, Sink};
use crate::protocol::output::Output;
use crate::protocol::parse::{Limits, Partial};
use crate::protocol::reply::Reply;
use crate::{verbose, warning};

/// What one read takes at most.
const INPUT_BYTES: usize = 64 * 1024;
/// Reads in a row before other connections get their turn.
const TURNS: usize = 4;
/// What a connection whose input was cut off holds at least.
const OWN_MIN: usize = 16 * 1024;
/// The largest argument whose memory is held ready for another of its size.
const OWN_MAX: usize = 512 * 1024;
/// A buffer up to this size is left alone while its connection is busy.
const OWN_MODEST: usize = 32 * 1024;
/// What the log shows of a request that is none, in bytes.
const SHOWN_MAX: usize = 128;
/// What a connection's own memory for replies is at least, where there is any.
const REPLIES_MIN: usize = 1024;
/// And at most.
const REPLIES_MAX: usize = 16 * 1024;
/// What one shared buffer keeps of its memory after large replies.
const OUTPUT_KEPT: usize = 256 * 1024;
/// What each of the others keeps.
const SPARE_KEPT: usize = 64 * 1024;

/// Replies up to this size wait for the other connections' turns.
const WAITING_MAX: usize = 32 * 1024;
/// Shared buffers that are kept for large replies.
const SPARE_MAX: usize = 64;

/// Memory that the connections of a worker use in turn.
struct Scratch {
    input: Vec<u8>,
    /// Buffers for many replies at once, while nobody has any.
    spare: Vec<Output>,
    batch: Option<Batch<'static>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; INPUT_BYTES],
        spare: Vec::new(),
        batch: Some(Batch::default()),
    });
}

/// Makes this thread's shared memory now rather than at the first connection.
pub fn prepare_thread() {
    SCRATCH.with(|_| ());
}

/// See the head of this file.
pub struct Connection {
    stream: Stream,
    engine: Arc<Engine>,
    session: Session,
    /// The beginning of a command; between commands, memory for it.
    rest: Vec<u8>,
    /// What of that was used since somebody last asked for memory, in bytes.
    rest_peak: usize,
    /// Whether it counts among [`Worker::buffers`].
    ///
    /// [`Worker::buffers`]: crate::exec::engine::Worker::buffers
    holds_buffer: bool,
    /// The beginning of a large command.
    partial: Option<Partial>,
    /// Replies that are not written yet: they wait for the other connections' turns,
    /// or the socket would not take them.
    out: Output,
    /// The connection's own memory for replies, while `out` is a shared buffer.
    own: Option<Output>,
    /// The socket would not take what is in `out`.
    is_stuck: bool,
    /// It owes more than it may.
    owes_too_much: bool,
    /// Commands that were cut out of the input, and wait behind one that waits.
    backlog: VecDeque<Vec<Vec<u8>>>,
    /// Wakes the task when the time of the one that waits is over.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// Why a connection ends.
enum End {
    /// The client went, or was told to go.
    Gone,
    /// Its socket failed.
    Failed,
    /// Its replies pile up.
    Output,
    /// What it sends piles up.
    Query,
}

/// Runs what a connection's client sends.
struct Runner<'a, 'c> {
    connection: &'c mut Connection,
    batch: &'c mut Batch<'a>,
    out: &'c mut Output,
}

impl<'a> Sink<'a> for Runner<'a, '_> {
    #[inline]
    fn limits(&self) -> Limits {
        Limits {
            bulk_bytes: self
                .connection
                .engine
                .settings
                .int(param::PROTO_MAX_BULK_LEN),
            authenticated: self.connection.session.authenticated,
        }
    }

    #[inline]
    fn is_open(&self) -> bool {
        self.connection.session.closing == Closing::No
    }

    #[inline]
    fn is_stopped(&self) -> bool {
        self.connection.session.is_stopped()
    }

    #[inline]
    fn argv(&mut self) -> &mut Vec<&'a [u8]> {
        &mut self.batch.argv
    }

    #[inline]
    fn end_command(&mut self, first: usize) {
        self.batch.end_command(first);
    }

    #[inline]
    fn gathered(&self) -> usize {
        self.batch.len()
    }

    fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.connection.rest
    }

    #[inline]
    fn run_batch(&mut self) {
        let connection = &mut *self.connection;
        let run = run_batch(
            &connection.engine,
            &mut connection.session,
            self.batch,
            &[],
            self.out,
        );
        if connection.session.is_stopped() {
            connection.begin_job();
            connection.backlog.extend(self.batch.words_from(run));
        }
        self.batch.clear();
        connection.hold_to_limits(self.out);
    }

    fn run_owned(&mut self, words: Vec<Vec<u8>>) {
        let last = words.last().map_or(0, Vec::len);
        let words: Vec<Arc<Vec<u8>>> = words.into_iter().map(Arc::new).collect();
        let blobs: Vec<Option<Arc<Vec<u8>>>> = words
            .iter()
            .map(|w| (w.len() >= BLOB_MIN).then(|| w.clone()))
            .collect();
        let mut batch = Batch::default();
        batch.argv.extend(words.iter().map(|w| w.as_slice()));
        batch.end_command(0);
        let connection = &mut *self.connection;
        let run = run_batch(
            &connection.engine,
            &mut connection.session,
            &mut batch,
            &blobs,
            self.out,
        );
        if connection.session.is_stopped() {
            connection.begin_job();
            connection.backlog.extend(batch.words_from(run));
        }
        connection.hold_to_limits(self.out);
        // Who sent a large argument is likely to send another.
        if (OWN_MODEST..OWN_MAX).contains(&last) {
            connection.make_room(last + 2);
            connection.rest_peak = connection.rest_peak.max(last + 2);
        }
    }
}

impl Connection {
    /// A connection of a client that was taken in.
    pub fn new(stream: Stream, engine: Arc<Engine>, session: Session) -> Connection {
        Connection {
            stream,
            engine,
            session,
            rest: Vec::new(),
            rest_peak: 0,
            holds_buffer: false,
            partial: None,
            out: Output::default(),
            own: None,
            is_stuck: false,
            owes_too_much: false,
            backlog: VecDeque::new(),
            alarm: None,
        }
    }

    /// One round: writes what is left, reads, runs, writes.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), End>> {
        if self.session.client.is_killed() {
            return Poll::Ready(Err(End::Gone));
        }
        if self.session.client.take_trim() {
            self.trim();
        }
        if let Err(end) = self.write_left(cx, scratch) {
            return Poll::Ready(Err(end));
        }
        if self.session.closing == Closing::AfterReply {
            return Poll::Pending;
        }
        if self.session.is_stopped() {
            if !self.may_go_on(cx) {
                return self.read_ahead(cx, scratch);
            }
            self.resume(scratch);
            return self.end_turn(cx, scratch);
        }
        let filled = match self.read(cx, scratch) {
            Poll::Ready(Ok(filled)) => filled,
            Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Err(End::Gone));
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Failed)),
            Poll::Pending => return Poll::Pending,
        };
        self.run(scratch, filled);
        self.end_turn(cx, scratch)
    }

    /// Writes what the commands of this turn answered.
    fn end_turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), End>> {
        let result = self.finish(cx, scratch);
        client_eviction::hold(&self.engine);
        Poll::Ready(result)
    }

    /// Whether what the client waited for is over; looks at the clock, too.
    #[cold]
    fn may_go_on(&mut self, cx: &mut Context<'_>) -> bool {
        let engine = self.engine.clone();
        if self.session.paused {
            while let left_ms @ 1.. = engine.effects.pause.left_ms() {
                if !self.is_over(cx, left_ms) {
                    return false;
                }
                // It may have been prolonged meanwhile.
                self.alarm = None;
            }
            self.go_on_from_pause();
        }
        let Some(waiter) = self.session.waiting_for.clone() else {
            return true;
        };
        if !waiter.is_over() {
            let Some(until_ms) = waiter.until_ms() else {
                return false;
            };
            let left_ms = until_ms.saturating_sub(clock::unix_ms());
            // The two clocks need not agree to the millisecond.
            if left_ms > 0 && !self.is_over(cx, left_ms) {
                return false;
            }
            waiter.time_out(&self.engine, self.session.worker);
        }
        waiter.forget(&self.engine);
        self.session.waiting_for = None;
        refill::take_over(&mut self.session);
        add(&self.session.client.commands, 1);
        self.alarm = None;
        true
    }

    /// Whether the time for which the alarm was first set is over.
    fn is_over(&mut self, cx: &mut Context<'_>, left_ms: u64) -> bool {
        let sleep = || Box::pin(tokio::time::sleep(Duration::from_millis(left_ms)));
        let alarm = self.alarm.get_or_insert_with(sleep);
        alarm.as_mut().poll(cx).is_ready()
    }

    /// Begins with what the command that waits has to do meanwhile.
    fn begin_job(&mut self) {
        let session = &mut self.session;
        if let (Some(job), Some(waiter)) = (session.job.take(), &session.waiting_for) {
            tokio::spawn(job(self.engine.clone(), waiter.clone()));
        }
    }

    fn go_on_from_pause(&mut self) {
        self.session.paused = false;
        self.alarm = None;
        let stopped = &self.engine.effects.pause.stopped;
        stopped.fetch_sub(1, Ordering::Relaxed);
    }

    /// While the client waits: takes in what comes, up to a bound, and so notices
    /// when it goes.
    #[cold]
    fn read_ahead(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), End>> {
        if self.partial.is_some() || self.rest.len() >= INPUT_BYTES {
            return Poll::Pending;
        }
        match self.read(cx, scratch) {
            Poll::Ready(Ok(filled)) => {
                self.rest.clear();
                self.keep(&scratch.input[..filled]);
                self.publish();
                client_eviction::hold(&self.engine);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::Interrupted => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(End::Gone)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Goes on behind a command that waited: its reply, what was cut out behind it,
    /// and what came in the meantime.
    #[cold]
    fn resume(&mut self, scratch: &mut Scratch) {
        let mut out = self.begin_replies(scratch);
        self.session.client.collect(&mut out);
        while !self.session.is_stopped()
            && self.session.closing == Closing::No
            && let Some(words) = self.backlog.pop_front()
        {
            let mut runner = Runner {
                connection: self,
                batch: &mut Batch::default(),
                out: &mut out,
            };
            runner.run_owned(words);
        }
        self.out = out;
        if !self.session.is_stopped() && self.session.closing == Closing::No {
            let kept = self.rest.len();
            if scratch.input.len() < kept {
                scratch.input.resize(kept, 0);
            }
            scratch.input[..kept].copy_from_slice(&self.rest);
            self.run(scratch, kept);
        }
    }

    /// Reads behind what is left from before, and says how much of the input is
    /// filled then; or, where a large argument is coming in, straight into it.
    fn read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<io::Result<usize>> {
        let kept = self.rest.len();
        let (read, filled) =
            if let Some((bytes, room)) = self.partial.as_mut().and_then(Partial::wants) {
                let len = bytes.len();
                let room = (bytes.capacity() - len).min(room);
                bytes.resize(len + room, 0);
                let read = self.stream.poll_read(cx, &mut bytes[len..]);
                let n = match &read {
                    Poll::Ready(Ok(n)) => *n,
                    _ => 0,
                };
                bytes.truncate(len + n);
                (read, 0)
            } else {
                if scratch.input.len() < kept + INPUT_BYTES / 4 {
                    scratch.input.resize(kept + INPUT_BYTES, 0);
                }
                scratch.input[..kept].copy_from_slice(&self.rest);
                let read = self.stream.poll_read(cx, &mut scratch.input[kept..]);
                (read, kept)
            };
        let n = match read {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            Poll::Pending => return Poll::Pending,
        };
        let client = &self.session.client;
        add(&self.engine.workers[client.worker].net_in, n as u64);
        add(&client.net_in, n as u64);
        let direct = self.partial.as_mut().is_some_and(|p| p.wants().is_some());
        Poll::Ready(Ok(if direct { 0 } else { filled + n }))
    }

    /// Runs every command that is complete with what came; keeps the rest.
    fn run(&mut self, scratch: &mut Scratch, filled: usize) {
        let mut out = self.begin_replies(scratch);
        let Scratch { input, batch, .. } = scratch;
        let input = &input[..filled];
        self.rest.clear();
        let mut held = batch.take().unwrap_or_default().recycle();
        let used = self
            .run_input(input, &mut held, &mut out)
            .unwrap_or_else(|error| {
                self.log_nonsense(&error, input);
                Reply::new(&mut out, self.session.resp3).error(&error);
                self.engine
                    .count_error(self.session.client.worker, error.code());
                self.session.closing = Closing::AfterReply;
                input.len()
            });
        *batch = Some(held.recycle());
        self.out = out;
        self.keep(&input[used..]);
    }

    /// Where the next replies go, behind those that are not written yet.
    #[inline]
    fn begin_replies(&mut self, scratch: &mut Scratch) -> Output {
        let mut out = std::mem::take(&mut self.out);
        if out.is_empty() && self.own.is_none() {
            let replies = &self.session.client.replies;
            if replies.peak() > REPLIES_MAX {
                let shared = scratch.spare.pop().unwrap_or_default();
                self.own = Some(std::mem::replace(&mut out, shared));
            } else if out.capacity() == 0 {
                out.bytes_mut().reserve_exact(REPLIES_MIN);
            }
        }
        let least = self
            .engine
            .settings
            .int(param::MIN_STRING_SIZE_AVOID_COPY_REPLY);
        out.copy_below(match least {
            0 => usize::MAX,
            bytes => bytes as usize,
        });
        out
    }

    /// Looks at what the turn's replies took: more than a connection may have of its
    /// own is a shared buffer's from now on.
    #[inline]
    fn note_replies(&mut self) {
        let replies = &self.session.client.replies;
        replies.note(self.out.len());
        if self.own.is_none() {
            if self.out.capacity() > REPLIES_MAX {
                let mut own = Output::default();
                own.bytes_mut().reserve_exact(REPLIES_MAX);
                self.own = Some(own);
            }
            let own = self.own.as_ref().unwrap_or(&self.out);
            if replies.set_bytes(own.capacity()) {
                let expands = &self.engine.counters.reply_buffer_expands;
                expands.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// All replies are written: a shared buffer goes back.
    #[inline]
    fn end_replies(&mut self, scratch: &mut Scratch) {
        if let Some(own) = self.own.take() {
            let mut shared = std::mem::replace(&mut self.out, own);
            if scratch.spare.len() < SPARE_MAX {
                shared.shrink(match scratch.spare.is_empty() {
                    true => OUTPUT_KEPT,
                    false => SPARE_KEPT,
                });
                scratch.spare.push(shared);
            }
        }
    }

    /// Gives memory for replies back: all of it where the client is idle, else what
    /// its recent replies did not need.
    fn trim_replies(&mut self, is_idle: bool) {
        let client = &self.session.client;
        if !self.out.is_empty() || self.own.is_some() || !self.engine.replies.may_shrink() {
            return;
        }
        if is_idle && client.replies.is_unused() {
            self.out = Output::default();
        } else if client.replies.is_mostly_unused() {
            let bytes = (client.replies.peak() + 1).max(REPLIES_MIN);
            self.out.shrink(bytes);
            let shrinks = &self.engine.counters.reply_buffer_shrinks;
            shrinks.fetch_add(1, Ordering::Relaxed);
        }
        client.replies.set_bytes(self.out.capacity());
    }

    /// What a client sent is no request.
    fn log_nonsense(&self, error: &Error, input: &[u8]) {
        let hides = self.engine.settings.flag(param::HIDE_USER_DATA_FROM_LOG);
        let shown = match hides {
            true => "*redacted*".to_string(),
            false => input[..input.len().min(SHOWN_MAX)]
                .escape_ascii()
                .to_string(),
        };
        let client = &self.session.client;
        verbose!(
            "{} from client: id={} addr={}. Query buffer: '{shown}'",
            String::from_utf8_lossy(error.as_bytes()),
            client.id,
            client.addr
        );
    }

    /// Keeps what is cut off.
    fn keep(&mut self, left: &[u8]) {
        if left.is_empty() && self.partial.is_none() {
            return;
        }
        // No command ran for these bytes.
        let active_ms = &self.session.client.active_ms;
        active_ms.store(clock::unix_ms(), Ordering::Relaxed);
        if !left.is_empty() {
            self.make_room(left.len().max(OWN_MIN));
            self.rest.extend_from_slice(left);
            self.rest_peak = self.rest_peak.max(left.len());
        }
    }

    /// Makes the empty buffer at least so large. There is nothing in the old one
    /// that would have to be copied.
    fn make_room(&mut self, bytes: usize) {
        if self.rest.capacity() < bytes {
            self.rest = Vec::with_capacity(bytes);
        }
    }

    /// Gives memory back that is held for what may come.
    fn trim(&mut self) {
        let active_ms = self.session.client.active_ms.load(Ordering::Relaxed);
        let is_idle = clock::unix_ms().saturating_sub(active_ms) > BUFFER_IDLE_MS;
        self.trim_replies(is_idle);
        if is_idle {
            self.rest.shrink_to_fit();
            if let Some(partial) = &mut self.partial {
                partial.shrink();
            }
        } else if self.rest.capacity() > OWN_MODEST && self.rest.capacity() / 2 > self.rest_peak {
            self.rest.shrink_to(self.rest_peak.max(OWN_MIN));
        }
        self.rest_peak = self.rest.len();
        self.publish();
    }

    /// As [`feed::run`].
    fn run_input<'a>(
        &mut self,
        input: &'a [u8],
        batch: &mut Batch<'a>,
        out: &mut Output,
    ) -> Result<usize, Error> {
        let mut partial = self.partial.take();
        let mut runner = Runner {
            connection: self,
            batch,
            out,
        };
        let used = feed::run(input, &mut partial, &mut runner);
        self.partial = partial;
        used
    }

    /// Writes what the batch answered, and holds the client to its limits.
    fn finish(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<(), End> {
        if self.owes_too_much {
            return Err(End::Output);
        }
        if self.session.closing == Closing::Now {
            return Err(End::Gone);
        }
        self.note_replies();
        // Whoever has read the reply finds the figures up to date.
        self.publish();
        if self.is_stuck {
            self.publish_output();
        } else if !self.may_wait() {
            self.write(cx, scratch)?;
        }
        let partial = self.partial.as_ref().map_or(0, Partial::held_bytes);
        let multi = self.session.multi.as_ref().map_or(0, |m| m.bytes);
        let query = self.rest.len() + partial + multi;
        if query as i64 > self.engine.settings.int(param::CLIENT_QUERY_BUFFER_LIMIT) {
            let drops = &self.engine.counters.query_limit_drops;
            drops.fetch_add(1, Ordering::Relaxed);
            return Err(End::Query);
        }
        match self.session.closing {
            Closing::AfterReply if self.out.is_empty() => Err(End::Gone),
            _ => Ok(()),
        }
    }

    /// Whether replies wait until the other connections that can be read had their
    /// turn: then they go out one after the other, and a client program that
    /// serves several of them is woken once and finds more to do each time.
    fn may_wait(&self) -> bool {
        let worker = &self.engine.workers[self.session.client.worker];
        self.session.closing == Closing::No
            && self.out.len() <= WAITING_MAX
            && worker.connections.load(Ordering::Relaxed) > 1
    }

    /// Writes what is left from before, and mail: that is left where it is while
    /// the socket takes no more, and counts there.
    fn write_left(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<(), End> {
        if self.is_stuck {
            self.write(cx, scratch)?;
            if !self.is_stuck && self.session.closing == Closing::AfterReply {
                return Err(End::Gone);
            }
        }
        if !self.is_stuck && self.session.client.has_mail() {
            self.out.copy_below(0);
            self.session.client.collect(&mut self.out);
            self.note_replies();
        }
        match self.is_stuck {
            true => Ok(()),
            false => self.write(cx, scratch),
        }
    }

    /// Writes the figures of its buffers, which others may read; the session's
    /// own were written with the batch.
    fn publish(&mut self) {
        let client = &self.session.client;
        let set = |figure: &std::sync::atomic::AtomicU64, n: usize| {
            figure.store(n as u64, Ordering::Relaxed);
        };
        let (bytes, held) = match &self.partial {
            Some(partial) => (partial.bytes(), partial.held_bytes()),
            None => (0, 0),
        };
        let words = self.backlog.iter().flatten();
        let behind: usize = words.map(|word| word.capacity()).sum();
        let waiting = self.session.waiting_for.as_ref();
        set(&client.waiting_bytes, waiting.map_or(0, |w| w.bytes()));
        let replies = client.replies.bytes();
        let held = self.rest.capacity() + held;
        set(&client.query_bytes, self.rest.len() + behind + bytes);
        set(&client.query_held, held + behind);
        client.note_memory();
        if self.holds_buffer != (held + replies > 0) {
            self.count_buffer(held + replies > 0);
        }
    }

    fn publish_output(&self) {
        let client = &self.session.client;
        let beyond = match &self.own {
            Some(_) => self.out.held_bytes(),
            None => self.out.held_bytes() - self.out.capacity(),
        };
        let (left, held) = (self.out.len() as u64, beyond as u64);
        client.output_bytes.store(left, Ordering::Relaxed);
        client.output_held.store(held, Ordering::Relaxed);
        client.note_memory();
    }

    #[cold]
    fn count_buffer(&mut self, holds: bool) {
        self.holds_buffer = holds;
        let count = &self.engine.workers[self.session.client.worker].buffers;
        let before = count.load(Ordering::Relaxed);
        let after = if holds { before + 1 } else { before - 1 };
        count.store(after, Ordering::Relaxed);
    }

    /// A client that does not read is dropped before its replies fill the heap:
    /// what it is owed is never written.
    #[inline]
    fn hold_to_limits(&mut self, out: &Output) {
        let mut bytes = out.len();
        let session = &mut self.session;
        if self.is_stuck {
            bytes += session.client.mail_bytes();
        }
        let is_stranger = !session.was_authenticated;
        let owed = session.client.owed();
        if owed.is_too_much(&session.client, bytes, is_stranger) {
            self.owes_too_much = true;
            session.closing = Closing::Now;
        }
    }

    /// Writes until all is written or the socket takes no more.
    fn write(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        // Counted before it goes: whoever has read a reply finds it counted.
        let total = self.session.client.net_out.load(Ordering::Relaxed) + self.out.len() as u64;
        self.set_net_out(total);
        self.write_some(cx)?;
        let (was_stuck, left) = (self.is_stuck, self.out.len());
        self.is_stuck = left > 0;
        if left > 0 {
            self.set_net_out(total - left as u64);
        } else {
            self.end_replies(scratch);
        }
        if was_stuck || self.is_stuck {
            self.publish_output();
        }
        Ok(())
    }

    fn set_net_out(&self, bytes: u64) {
        let net_out = &self.session.client.net_out;
        net_out.store(bytes, Ordering::Relaxed);
    }

    fn write_some(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let out = &mut self.out;
        while !out.is_empty() {
            let written = match out.single() {
                Some(bytes) => self.stream.poll_write(cx, bytes),
                None => {
                    let mut slices = [IoSlice::new(&[]); 64];
                    let n = out.slices(&mut slices);
                    self.stream.poll_write_slices(cx, &slices[..n])
                }
            };
            match written {
                Poll::Ready(Ok(n)) if n > 0 => {
                    let worker = &self.engine.workers[self.session.client.worker];
                    add(&worker.net_out, n as u64);
                    add(&worker.writes, 1);
                    out.advance(n);
                }
                Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(_) => return Err(End::Failed),
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.session.client.set_waker(cx.waker());
        for _ in 0..TURNS {
            let turn = SCRATCH.with_borrow_mut(|scratch| this.turn(cx, scratch));
            match turn {
                Poll::Pending => return Poll::Pending,
                // To the end of the queue of those that can run.
                Poll::Ready(Ok(())) if !this.out.is_empty() && !this.is_stuck => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => {
                    let client = &this.session.client;
                    match end {
                        End::Gone => verbose!(
                            "Client closed connection id={} addr={}",
                            client.id,
                            client.addr
                        ),
                        End::Failed => {
                            verbose!("Lost the connection id={} addr={}", client.id, client.addr)
                        }
                        // Said where it was found.
                        End::Output => {}
                        End::Query => warning!(
                            "Closing client that reached max query buffer length: id={} addr={}",
                            client.id,
                            client.addr
                        ),
                    }
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // No more mail.
        self.session.client.kill();
        if let Some(waiter) = self.session.waiting_for.take() {
            waiter.forget(&self.engine);
        }
        if self.session.paused {
            self.go_on_from_pause();
        }
        multi::discard(&self.engine, &mut self.session);
        refill::leave(&self.engine, &mut self.session);
        Tracking::disable(&self.engine, &mut self.session);
        if self.holds_buffer {
            self.count_buffer(false);
        }
        self.engine.clients.remove(self.session.client.id);
        let worker = &self.engine.workers[self.session.client.worker];
        worker.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
