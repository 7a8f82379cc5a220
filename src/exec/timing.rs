//! How long commands take: their statistics, the slow log, the latency monitor.
//!
//! A look at the clock takes a tenth of the time of a small command. So commands
//! that are brief whatever the data ([`Spec::is_brief`]) share one for as many as
//! 32 of them that came together, and the time is shared out among them; every
//! other command is timed by itself. From this follows who is slow:
//!
//! * A command that was timed by itself has its own time.
//! * Where brief commands that came together took longer than the slow log's
//!   threshold, none of them did: they did not get the processor. That is an event
//!   of the latency monitor, which names no command, and nothing for the slow log.
//! * Where somebody asks for times so short that brief commands may well reach
//!   them, each command is timed by itself.
//!
//! Time in which a command waits for a lock, or makes room for everybody, is not
//! its own ([`clock::aside`]).

use std::sync::atomic::Ordering;

use super::command_log::Kind;
use super::engine::{Engine, Worker, add};
use super::latency::Event;
use super::session::Client;
use super::spec::{Spec, flag};
use crate::base::clock;
use crate::config::{Settings, param};

/// Who asks for shorter times than this gets each command timed by itself.
const SHARED_MIN_NS: u64 = 1_000_000;
/// What a word takes in a request beside its bytes, at most.
const WORD_OVERHEAD_MAX: usize = 25;

/// Commands that ran since the clock was last looked at.
#[derive(Default)]
pub struct Stopwatch {
    /// Their counters, each with how many came in a row.
    runs: Vec<(u32, u32)>,
    count: u32,
    since_ns: u64,
    /// Nobody shares.
    exact: bool,
}

impl Stopwatch {
    /// Begins a batch.
    pub fn begin(&mut self, settings: &Settings) {
        self.runs.clear();
        self.count = 0;
        self.exact = least_interesting_ns(settings) < SHARED_MIN_NS;
        self.since_ns = clock::work_ns();
    }

    /// Whether a command that is about to run is timed by itself.
    #[inline]
    pub fn is_alone(&self, spec: Option<&Spec>, args: usize) -> bool {
        self.exact || spec.is_some_and(|s| !s.is_brief(args))
    }

    /// Notes that a command ran that shares.
    #[inline]
    pub fn ran(&mut self, counter: usize) {
        self.count += 1;
        match self.runs.last_mut() {
            Some((last, n)) if *last as usize == counter => *n += 1,
            _ => self.runs.push((counter as u32, 1)),
        }
    }

    /// Shares out the time of the commands that ran, if any, and begins anew.
    pub fn share(&mut self, engine: &Engine, worker: &Worker) {
        if self.count == 0 {
            return;
        }
        let stretch_ns = self.lap(worker);
        let each = stretch_ns / u64::from(self.count);
        for (counter, n) in self.runs.drain(..) {
            count(engine, worker, counter as usize, each, u64::from(n));
        }
        self.count = 0;
        engine
            .latency
            .note(&engine.settings, Event::FastCommand, stretch_ns);
    }

    /// What the command took that ran by itself, in nanoseconds; begins anew.
    /// `counter` is that of one that ran rather than being refused.
    pub fn alone(&mut self, engine: &Engine, worker: &Worker, counter: Option<usize>) -> u64 {
        let took_ns = self.lap(worker);
        if let Some(counter) = counter {
            count(engine, worker, counter, took_ns, 1);
        }
        took_ns
    }

    fn lap(&mut self, worker: &Worker) -> u64 {
        let now_ns = clock::work_ns();
        let stretch_ns = now_ns - self.since_ns;
        if stretch_ns > worker.stretch_max_ns.load(Ordering::Relaxed) {
            worker.stretch_max_ns.store(stretch_ns, Ordering::Relaxed);
        }
        self.since_ns = now_ns;
        stretch_ns
    }
}

/// The shortest time of a command that somebody wants to hear of.
fn least_interesting_ns(settings: &Settings) -> u64 {
    let slow_us = Kind::Slow.threshold(settings);
    let monitor_ms = settings.int(param::LATENCY_MONITOR_THRESHOLD) as u64;
    let slow_ns = u64::try_from(slow_us).map_or(u64::MAX, |us| us.saturating_mul(1_000));
    match monitor_ms {
        0 => slow_ns,
        ms => slow_ns.min(ms.saturating_mul(1_000_000)),
    }
}

/// Counts the time of commands that each took so long.
fn count(engine: &Engine, worker: &Worker, counter: usize, each_ns: u64, times: u64) {
    let calls = &worker.calls[counter];
    add(&calls.nanos, each_ns * times);
    if engine.settings.flag(param::LATENCY_TRACKING) {
        let latency = calls.latency.get_or_init(Box::default);
        latency.record(each_ns, times);
    }
}

/// A command that was timed by itself, apart from a batch, and has ended.
pub(super) struct Ended<'a> {
    /// The command.
    pub spec: &'static Spec,
    /// What counts it.
    pub counter: usize,
    /// Its words.
    pub argv: &'a [&'a [u8]],
    /// How long it ran.
    pub took_ns: u64,
    /// Bytes of its reply.
    pub reply: usize,
}

impl Ended<'_> {
    /// Counts it, and tells whoever keeps the extraordinary.
    pub fn note(&self, engine: &Engine, worker: usize, client: &Client) {
        let Ended { spec, argv, .. } = *self;
        let worker = &engine.workers[worker];
        count(engine, worker, self.counter, self.took_ns, 1);
        report(engine, client, spec, argv, self.took_ns);
        let request_most = request_bytes_most(argv);
        report_sizes(engine, client, spec, argv, request_most, self.reply);
    }
}

/// Tells the slow log and the latency monitor of a command that was timed by
/// itself.
#[inline]
pub fn report(engine: &Engine, client: &Client, spec: &Spec, argv: &[&[u8]], took_ns: u64) {
    let event = match spec.has(flag::FAST) {
        true => Event::FastCommand,
        false => Event::Command,
    };
    engine.latency.note(&engine.settings, event, took_ns);
    let us = took_ns / 1_000;
    if Kind::Slow.is_reached(&engine.settings, us) {
        let log = &engine.command_log;
        log.push(Kind::Slow, us, &engine.settings, client, spec, argv);
    }
}

/// No fewer bytes than a request of these words has.
#[inline]
pub fn request_bytes_most(argv: &[&[u8]]) -> usize {
    let bytes: usize = argv.iter().map(|word| word.len()).sum();
    bytes + (argv.len() + 1) * WORD_OVERHEAD_MAX
}

/// The bytes of a request of these words.
fn request_bytes(argv: &[&[u8]]) -> usize {
    let line = |n: usize| n.checked_ilog10().unwrap_or(0) as usize + 4;
    let words = argv.iter().map(|word| line(word.len()) + word.len() + 2);
    line(argv.len()) + words.sum::<usize>()
}

/// Tells the command log of a command that ran, if its request, which has at
/// most `request_most` bytes, or its reply is large.
#[inline]
pub fn report_sizes(
    engine: &Engine,
    client: &Client,
    spec: &Spec,
    argv: &[&[u8]],
    request_most: usize,
    reply: usize,
) {
    let settings = &engine.settings;
    if Kind::LargeRequest.is_reached(settings, request_most as u64) {
        let bytes = request_bytes(argv) as u64;
        if Kind::LargeRequest.is_reached(settings, bytes) {
            let log = &engine.command_log;
            log.push(Kind::LargeRequest, bytes, settings, client, spec, argv);
        }
    }
    if Kind::LargeReply.is_reached(settings, reply as u64) {
        let log = &engine.command_log;
        log.push(Kind::LargeReply, reply as u64, settings, client, spec, argv);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_bytes_that_came() {
        for (argv, text) in [
            (vec![&b"PING"[..]], "*1\r\n$4\r\nPING\r\n"),
            (
                vec![&b"ECHO"[..], b"0123456789"],
                "*2\r\n$4\r\nECHO\r\n$10\r\n0123456789\r\n",
            ),
            (vec![&b"ECHO"[..], b""], "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"),
        ] {
            assert_eq!(request_bytes(&argv), text.len());
            assert!(request_bytes_most(&argv) >= text.len());
        }
    }
}
