//! Who answers for a worker whose thread runs a script that does not end, and for those
//! who wait for a shard that the script has.
//!
//! The worker's connections are at rest, for their thread is elsewhere: what came for
//! them waits in the kernel. Whole commands are taken from there and refused, or carried
//! out where they are about ending the script; everything else is left as it was, for the
//! connection to find when its thread comes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, send};

use crate::exec::access::{self, Verdict};
use crate::exec::dispatch::{self, Batch};
use crate::exec::engine::Engine;
use crate::exec::session::{Client, Session};
use crate::exec::spec::flag;
use crate::protocol::output::Output;
use crate::protocol::parse::{self, Limits, Parsed};

/// Between two looks at what came.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest command that is answered; a longer one waits for its connection.
const COMMAND_MAX: usize = 16 * 1024;
/// Commands that may run beside the script and change nothing about their connection.
const RUN: &[&str] = &["kill", "stats"];

/// Has somebody stand in from now on whenever a script runs too long.
pub fn provide(engine: &Arc<Engine>) {
    let weak = Arc::downgrade(engine);
    let begin = move || {
        let Some(engine) = weak.upgrade() else {
            return;
        };
        let thread = std::thread::Builder::new().name("stand-in".into());
        if let Err(error) = thread.spawn(move || stand_in(&engine)) {
            crate::warning!("Nobody answers while the script runs: {error}");
        }
    };
    // Set once for a server.
    let _ = engine.busy.stand_in.set(Box::new(begin));
}

fn stand_in(engine: &Engine) {
    let worker = engine.busy.worker();
    let runs = engine.workers[worker].client.load(Ordering::Relaxed);
    let mut buffer = vec![0; COMMAND_MAX];
    while engine.busy.is_on() {
        let clients = engine.clients.all();
        let is_at_rest = |client: &&Arc<Client>| {
            (client.worker == worker || engine.keyspace.makes_wait(client.worker))
                && client.id != runs
                && client.query_bytes.load(Ordering::Relaxed) == 0
                && client.output_bytes.load(Ordering::Relaxed) == 0
                && client.waiter.lock().is_none()
                && !client.follower.load(Ordering::Relaxed)
                && !client.is_leader()
        };
        for client in clients.iter().filter(is_at_rest) {
            let Some(_turn) = engine.busy.take_turn() else {
                return;
            };
            answer(engine, client, &mut buffer);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Answers the command that a client has sent, if it has sent a whole one.
fn answer(engine: &Engine, client: &Arc<Client>, buffer: &mut [u8]) {
    let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    let Ok(came @ 1..) = recv(client.fd, buffer, peek) else {
        return;
    };
    let mut session = Session::in_place_of(client, client.worker, 0);
    session.authenticated = client.is_authenticated();
    let mut out = Output::default();
    out.copy_below(usize::MAX);
    let Some(taken) = run(engine, &mut session, &buffer[..came], &mut out) else {
        return;
    };
    // What was there a moment ago is there now: nobody else reads it.
    let _ = recv(client.fd, &mut buffer[..taken], MsgFlags::MSG_DONTWAIT);
    if let Some(reply) = out.single() {
        // A client that does not take a line is not told.
        let _ = send(
            client.fd,
            reply,
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        );
    }
}

/// Runs the command at the beginning of what came; how long it is. `None`: it waits.
fn run(engine: &Engine, session: &mut Session, came: &[u8], out: &mut Output) -> Option<usize> {
    let limits = Limits {
        bulk_bytes: COMMAND_MAX as i64,
        authenticated: session.authenticated,
    };
    let (mut argv, words);
    let taken = if came[0] == b'*' {
        argv = Vec::new();
        match parse::command(came, limits, &mut argv) {
            Ok(Parsed::Command(taken)) => taken,
            _ => return None,
        }
    } else {
        let taken;
        (words, taken) = parse::inline(came).ok()??;
        argv = words.iter().map(Vec::as_slice).collect();
        taken
    };
    if let Some((_, spec)) = argv.first().and_then(|name| engine.commands.find(name)) {
        let spec = dispatch::subcommand(spec, &argv).map_or(spec, |(_, sub)| sub);
        let db = session.db;
        let may = |session| access::may_run(engine, session, &argv, db, None) == Verdict::May;
        if dispatch::ends_in_spite_of(spec, &argv) && may(session) {
            // The script ends, and then its connection finds what was said.
            engine.busy.doom();
            return None;
        }
        if spec.has(flag::ALLOW_BUSY) && spec.name != "shutdown" && !RUN.contains(&spec.name) {
            return None;
        }
    }
    if !argv.is_empty() {
        let mut batch = Batch::default();
        batch.argv = argv;
        batch.end_command(0);
        dispatch::run_batch(engine, session, &mut batch, &[], out);
    }
    Some(taken)
}
