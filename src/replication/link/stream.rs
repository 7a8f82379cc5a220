//! What comes behind the snapshot: the leader's log, command by command.
//!
//! A command is appended to this server's log under the locks under which it is carried
//! out ([`Leader::ready`]), a transaction when its EXEC is: so the data is what the
//! log's offset says, whenever somebody takes a snapshot of it.
//!
//! [`Leader::ready`]: super::super::Leader

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::wire::Wire;
use super::{Attempt, End};
use crate::base::{clock, num};
use crate::config::Primary;
use crate::exec::dispatch::{Batch, Escort, run_batch, run_escorted};
use crate::exec::engine::{Engine, add};
use crate::exec::hint;
use crate::exec::session::{Arrival, Client, Closing, Session};
use crate::protocol::output::Output;
use crate::protocol::parse::{self, Limits, Parsed};

/// How often the leader is told how far this server is.
const ACK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a pause is over (CLIENT PAUSE).
const PAUSE_LOOK: Duration = Duration::from_millis(50);
/// A leader is believed.
const LIMITS: Limits = Limits {
    bulk_bytes: i64::MAX,
    authenticated: true,
};
/// Commands that are carried out in one batch at most.
const BATCH_MAX: usize = 64;
/// What the log shows of a command that failed, in bytes.
const SHOWN_MAX: usize = 128;

/// Finds where commands end, without reading anything twice.
#[derive(Default)]
struct Measure {
    /// What is known of the first one: where its next word begins, and how many words
    /// are to come.
    at: usize,
    words: usize,
}

/// What comes is no command.
#[derive(Debug, PartialEq, Eq)]
struct Garbage;

impl Measure {
    /// How long the command at the beginning of `input` is; `None` where it is not all
    /// there.
    fn command(&mut self, input: &[u8]) -> Result<Option<usize>, Garbage> {
        if self.at == 0 {
            match input {
                [] => return Ok(None),
                // An empty line says that the leader lives.
                [b'\n', ..] => return Ok(Some(1)),
                [b'\r', b'\n', ..] => return Ok(Some(2)),
                [b'\r'] => return Ok(None),
                _ => {}
            }
            let Some((words, next)) = number(input, 0, b'*')? else {
                return Ok(None);
            };
            (self.at, self.words) = (next, words);
        }
        while self.words > 0 {
            let Some((bytes, next)) = number(input, self.at, b'$')? else {
                return Ok(None);
            };
            let end = next.saturating_add(bytes).saturating_add(2);
            if end > input.len() {
                return Ok(None);
            }
            (self.at, self.words) = (end, self.words - 1);
        }
        Ok(Some(std::mem::take(&mut self.at)))
    }
}

/// The number behind `kind` at a place of the input, and where the next line begins.
fn number(input: &[u8], at: usize, kind: u8) -> Result<Option<(usize, usize)>, Garbage> {
    /// More digits than any number has.
    const DIGITS_MAX: usize = 20;
    let Some((&first, rest)) = input[at..].split_first() else {
        return Ok(None);
    };
    if first != kind {
        return Err(Garbage);
    }
    match rest.iter().take(DIGITS_MAX + 1).position(|&b| b == b'\n') {
        Some(end) => {
            let digits = rest[..end].strip_suffix(b"\r").ok_or(Garbage)?;
            let n = num::parse_i64(digits).and_then(|n| usize::try_from(n).ok());
            Ok(Some((n.ok_or(Garbage)?, at + end + 2)))
        }
        None if rest.len() > DIGITS_MAX => Err(Garbage),
        None => Ok(None),
    }
}

/// The link as a client, for as long as it is up.
struct Link<'a> {
    attempt: &'a Attempt,
    client: Arc<Client>,
    session: Session,
    /// The database that is selected behind what has come so far.
    db: i64,
    /// Takes replies, which nobody reads.
    out: Output,
    /// How long the command is that a pause has stopped, which comes next.
    stopped_before: Option<usize>,
    /// For its memory.
    batch: Batch<'static>,
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        let engine = &self.attempt.engine;
        engine.clients.remove(self.client.id);
        if self.session.paused {
            engine.effects.pause.stopped.fetch_sub(1, Relaxed);
        }
        // Where somebody else is followed by now, that one's link is another one.
        let (leader, turn) = (&self.attempt.leader, self.attempt.turn);
        if leader.set_link(engine, turn, None) {
            crate::notice!("Connection with primary lost.");
            crate::notice!("Caching the disconnected primary state.");
        }
    }
}

impl Attempt {
    /// Carries out what comes.
    pub(super) async fn carry_out(&self, mut wire: Wire, primary: &Primary) -> End {
        let Some(mut link) = Link::new(self, &wire, primary) else {
            return End::Unwanted;
        };
        let mut acks = interval(ACK_EVERY);
        acks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut measure = Measure::default();
        let mut heard_ns = clock::mono_ns();
        // What came together with the snapshot, or the answer.
        link.note_read(wire.input().len() as u64);
        if let Err(end) = link.run(&mut wire, &mut measure).await {
            return end;
        }
        loop {
            let pause = link.pause();
            // The first tick comes at once: it tells the leader that this server is there.
            let killed = killed(&link.client);
            let read = tokio::select! {
                read = wire.fill() => Some(read),
                _ = acks.tick() => None,
                () = sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    match link.run(&mut wire, &mut measure).await {
                        Ok(()) => continue,
                        Err(end) => return end,
                    }
                }
                () = killed => return End::Lost,
            };
            match read {
                Some(Ok(read)) => {
                    heard_ns = clock::mono_ns();
                    link.note_read(read as u64);
                    match link.run(&mut wire, &mut measure).await {
                        Ok(()) => {}
                        Err(end) => return end,
                    }
                }
                Some(Err(_)) => return End::Lost,
                None if is_silent(heard_ns, self.patience()) => {
                    crate::warning!("PRIMARY timeout: no data nor PING received...");
                    return End::Lost;
                }
                None => {
                    if link.acknowledge(&wire).await.is_err() {
                        return End::Lost;
                    }
                }
            }
        }
    }
}

/// Whether the leader has said nothing for longer than it may.
fn is_silent(heard_ns: u64, patience: Duration) -> bool {
    Duration::from_nanos(clock::mono_ns().saturating_sub(heard_ns)) > patience
}

/// Waits until somebody wants the link to end.
async fn killed(client: &Arc<Client>) {
    std::future::poll_fn(|cx| {
        client.set_waker(cx.waker());
        match client.is_killed() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

impl<'a> Link<'a> {
    fn new(attempt: &'a Attempt, wire: &Wire, primary: &Primary) -> Option<Link<'a>> {
        let engine = &attempt.engine;
        let stream = wire.stream();
        let shown = |addr: std::io::Result<std::net::SocketAddr>| {
            addr.map_or(String::new(), |addr| addr.to_string())
        };
        let host = String::from_utf8_lossy(&primary.host);
        let client = engine.clients.add(Arrival {
            addr: match shown(stream.peer_addr()) {
                addr if addr.is_empty() => format!("{host}:{}", primary.port),
                addr => addr,
            },
            local_addr: shown(stream.local_addr()),
            is_local: false,
            is_unix: false,
            fd: stream.as_raw_fd(),
            worker: attempt.worker,
        });
        client.leader.store(true, Relaxed);
        let mut session = Session::new(client.clone(), true);
        session.leads = true;
        let db = attempt.leader.stream_db();
        session.db = u32::try_from(db).unwrap_or(0);
        let link = Link {
            attempt,
            session,
            db,
            out: Output::default(),
            stopped_before: None,
            batch: Batch::default(),
            client,
        };
        let read_offset = &engine.following.read_offset;
        read_offset.store(engine.leading.offset.load(Relaxed), Relaxed);
        let is_wanted = attempt
            .leader
            .set_link(engine, attempt.turn, Some(&link.client));
        is_wanted.then_some(link)
    }

    fn engine(&self) -> &'a Engine {
        &self.attempt.engine
    }

    fn note_read(&self, bytes: u64) {
        let engine = self.engine();
        engine.following.read_offset.fetch_add(bytes, Relaxed);
        engine.following.received.fetch_add(bytes, Relaxed);
        self.client.net_in.fetch_add(bytes, Relaxed);
        add(&engine.workers[self.attempt.worker].net_in, bytes);
        self.client.active_ms.store(clock::unix_ms(), Relaxed);
    }

    /// Tells the leader how far this server is.
    async fn acknowledge(&self, wire: &Wire) -> std::io::Result<()> {
        let offset = self.engine().leading.offset.load(Relaxed).to_string();
        let words: &[&[u8]] = &[b"REPLCONF", b"ACK", offset.as_bytes()];
        wire.say(words).await
    }

    /// When to look whether a pause is over, where there is one.
    fn pause(&self) -> Option<Duration> {
        self.stopped_before.map(|_| PAUSE_LOOK)
    }

    /// Ends a pause that is over; false where it is not.
    fn go_on(&mut self) -> bool {
        let pause = &self.engine().effects.pause;
        if self.stopped_before.is_none() {
            return true;
        }
        if pause.left_ms() > 0 {
            return false;
        }
        pause.stopped.fetch_sub(1, Relaxed);
        self.session.paused = false;
        true
    }

    /// Carries out all whole commands that have come.
    async fn run(&mut self, wire: &mut Wire, measure: &mut Measure) -> Result<(), End> {
        if !self.go_on() {
            return Ok(());
        }
        loop {
            if self.stopped_before.is_none() && measure.at == 0 {
                let bytes = self.run_some(wire.input())?;
                wire.take(bytes);
                if bytes > 0 {
                    continue;
                }
            }
            if self.session.paused {
                return Ok(());
            }
            let found = match self.stopped_before.take() {
                Some(bytes) => Ok(Some(bytes)),
                None => measure.command(wire.input()),
            };
            let bytes = match found {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ok(()),
                Err(Garbage) => {
                    let input = wire.input();
                    let shown = &input[..input.len().min(SHOWN_MAX)];
                    crate::warning!(
                        "Protocol error from PRIMARY: what comes is no command: '{}'",
                        shown.escape_ascii()
                    );
                    return Err(End::Lost);
                }
            };
            let wants_ack = self.run_one(&wire.input()[..bytes])?;
            if self.session.paused {
                self.stopped_before = Some(bytes);
                return Ok(());
            }
            if wants_ack && self.acknowledge(wire).await.is_err() {
                return Err(End::Lost);
            }
            if wants_ack {
                // What asks for it is not counted in the answer, as the leader expects.
                let frame = &wire.input()[..bytes];
                self.note(frame);
            }
            wire.take(bytes);
        }
    }

    /// Carries out the commands at the beginning of the input that are for the data, as
    /// many as may run together; says how many bytes they took: none, where the first one
    /// is another kind of command, or not all there.
    fn run_some(&mut self, input: &[u8]) -> Result<usize, End> {
        let mut batch = std::mem::take(&mut self.batch).recycle();
        let mut lengths = SmallVec::new();
        gather(input, &mut batch, &mut lengths);
        let attempt = self.attempt;
        let mut escort = Carrier {
            attempt,
            client: &self.client,
            input,
            lengths,
            ran: 0,
            bytes: 0,
            db: self.db,
        };
        if !escort.lengths.is_empty() {
            let (session, out) = (&mut self.session, &mut self.out);
            run_escorted(&attempt.engine, session, &mut batch, &[], out, &mut escort);
        }
        let Carrier {
            lengths,
            ran,
            bytes,
            db,
            ..
        } = escort;
        self.db = db;
        self.batch = batch.recycle();
        if self.session.paused {
            attempt.leader.unready(self.client.id, lengths[ran]);
            self.stopped_before = Some(lengths[ran]);
            return Ok(bytes);
        }
        self.end_batch()?;
        Ok(bytes)
    }

    /// Appends what is to be carried out nowhere but counts.
    fn note(&self, frame: &[u8]) {
        let (leader, id) = (&self.attempt.leader, self.client.id);
        leader.ready(id, frame, self.db);
        if self.session.multi.is_none() {
            leader.carried_out(id);
        }
    }

    /// Carries a command out, or says that it asks how far this server is.
    fn run_one(&mut self, frame: &[u8]) -> Result<bool, End> {
        let mut batch = Batch::default();
        let is_command = frame[0] == b'*'
            && matches!(
                parse::command(frame, LIMITS, &mut batch.argv),
                Ok(Parsed::Command(used)) if used == frame.len()
            );
        let words = &batch.argv;
        let Some(name) = words.first().filter(|_| is_command) else {
            self.note(frame);
            return Ok(false);
        };
        if name.eq_ignore_ascii_case(b"replconf") {
            let is_ack = words
                .get(1)
                .is_some_and(|w| w.eq_ignore_ascii_case(b"getack"));
            if !is_ack {
                self.note(frame);
            }
            return Ok(is_ack);
        }
        if name.eq_ignore_ascii_case(b"ping") && self.session.multi.is_none() {
            self.note(frame);
            return Ok(false);
        }
        let hint = hint::unwrap(words);
        let is_select = name.eq_ignore_ascii_case(b"select");
        let selected = words.get(1).and_then(|n| num::parse_i64(n));
        if let Some(db) = selected.filter(|_| is_select) {
            self.db = db;
        }
        let engine = self.engine();
        let (leader, id) = (&self.attempt.leader, self.client.id);
        leader.ready(id, frame, self.db);
        if let Some(text) = hint {
            batch.argv.clear();
            let parsed = parse::command(text, LIMITS, &mut batch.argv);
            if !matches!(parsed, Ok(Parsed::Command(used)) if used == text.len()) {
                // Of a newer Larder, perhaps: an ECHO of something else.
                batch.argv = vec![b"ECHO", text];
            }
        }
        batch.end_command(0);
        run_batch(engine, &mut self.session, &mut batch, &[], &mut self.out);
        if self.session.paused {
            leader.unready(id, frame.len());
            return Ok(false);
        }
        if self.client.is_killed() {
            // It may not have run: what is known to have is in the log.
            return Err(End::Lost);
        }
        if self.session.multi.is_none() {
            self.db = self.session.db.into();
            leader.carried_out(id);
        }
        if hint.is_some() {
            // What this server can not do of it does not make it another's copy less.
            self.out.clear();
        }
        look_at_reply(&mut self.out, frame);
        self.end_batch()?;
        Ok(false)
    }

    /// Sees to what a batch left.
    fn end_batch(&mut self) -> Result<(), End> {
        self.out.shrink(SHOWN_MAX * 32);
        if self.client.is_killed() {
            // It may not have run: what is known to have is in the log.
            return Err(End::Lost);
        }
        if let Some(waiter) = self.session.waiting_for.take() {
            // A leader has no command of its own wait.
            waiter.forget(self.engine());
        }
        match self.session.closing {
            Closing::No => Ok(()),
            Closing::AfterReply | Closing::Now => Err(End::Lost),
        }
    }
}

/// Cuts commands that are for the data out of the input, and says how long each is.
fn gather<'i>(input: &'i [u8], batch: &mut Batch<'i>, lengths: &mut SmallVec<[usize; BATCH_MAX]>) {
    /// What the link itself has to see.
    const OTHERS: [&[u8]; 4] = [b"replconf", b"ping", b"echo", b"select"];
    let mut at = 0;
    while lengths.len() < BATCH_MAX && input.get(at) == Some(&b'*') {
        let first = batch.argv.len();
        match parse::command(&input[at..], LIMITS, &mut batch.argv) {
            Ok(Parsed::Command(used)) if batch.argv.len() > first => {
                let name = batch.argv[first];
                if OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                    batch.argv.truncate(first);
                    return;
                }
                batch.end_command(first);
                lengths.push(used);
                at += used;
            }
            _ => {
                batch.argv.truncate(first);
                return;
            }
        }
    }
}

/// Keeps the log in step with a batch that runs.
struct Carrier<'a> {
    attempt: &'a Attempt,
    client: &'a Client,
    /// Begins with the batch.
    input: &'a [u8],
    lengths: SmallVec<[usize; BATCH_MAX]>,
    /// Commands that have run, and their bytes.
    ran: usize,
    bytes: usize,
    /// See [`Link::db`].
    db: i64,
}

impl Carrier<'_> {
    fn frame(&self) -> &[u8] {
        &self.input[self.bytes..][..self.lengths[self.ran]]
    }
}

impl Escort for Carrier<'_> {
    fn before(&mut self) {
        let leader = &self.attempt.leader;
        leader.ready(self.client.id, self.frame(), self.db);
    }

    fn after(&mut self, session: &mut Session, out: &mut Output) -> bool {
        if self.client.is_killed() {
            return false;
        }
        if session.multi.is_none() {
            self.db = session.db.into();
            self.attempt.leader.carried_out(self.client.id);
        }
        look_at_reply(out, self.frame());
        self.bytes += self.lengths[self.ran];
        self.ran += 1;
        true
    }
}

/// An error is none that anybody hears of, but worth a line.
fn look_at_reply(out: &mut Output, frame: &[u8]) {
    if let Some([b'-', text @ ..]) = out.single() {
        let end = text.iter().position(|&b| b == b'\r').unwrap_or(text.len());
        let text = String::from_utf8_lossy(&text[..end]);
        let mut words = Vec::new();
        // It has been read before.
        let _ = parse::command(frame, LIMITS, &mut words);
        let name = String::from_utf8_lossy(words.first().copied().unwrap_or_default());
        crate::warning!(
            "== CRITICAL == This replica is sending an error to its primary: '{text}' after \
             processing the command '{}'",
            name.to_lowercase()
        );
    }
    out.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_cut_alike_however_they_come() {
        let commands: [&[u8]; 5] = [
            b"*1\r\n$4\r\nPING\r\n",
            b"\n",
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\na\r\n*1\r\n$0\r\nb\r\n",
            b"*0\r\n",
            b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n",
        ];
        let all = commands.concat();
        for step in 1..all.len() {
            let (mut measure, mut found) = (Measure::default(), Vec::new());
            let (mut at, mut end) = (0, 0);
            while end < all.len() {
                end = (end + step).min(all.len());
                while let Some(bytes) = measure.command(&all[at..end]).expect("commands") {
                    found.push(&all[at..at + bytes]);
                    at += bytes;
                }
            }
            assert_eq!(found, commands);
        }
    }

    #[test]
    fn what_is_no_command_is_noticed_at_once() {
        let cases: [&[u8]; 6] = [
            b"GET k\r\n",
            b"*x\r\n",
            b"*-1\r\n",
            b"*1\r\n+OK\r\n",
            b"*1\n",
            b"*11111111111111111111111",
        ];
        for bytes in cases {
            assert_eq!(Measure::default().command(bytes), Err(Garbage));
        }
    }
}
