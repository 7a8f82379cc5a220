//! Random commands, as their documentation has it or not: each must be answered
//! once and well, and the tables must hold what they count.

use std::ffi::OsString;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder::base::clock;
use larder::config::{Invocation, Settings};
use larder::exec::dispatch::{Batch, run_batch};
use larder::exec::engine::Engine;
use larder::exec::multi;
use larder::exec::session::{Arrival, Closing, Session};
use larder::exec::spec::{Arg, ArgKind, Spec};
use larder::exec::tracking::Tracking;
use larder::protocol::output::Output;

use crate::{Choices, reply};

const START_MS: u64 = 1_800_000_000_000;
/// What ends the process, reaches outside of it, or is not to be answered.
const LEFT_OUT: &[&str] = &["shutdown", "debug", "migrate", "set", "rewrite", "reply"];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "-1",
    "10",
    "100",
    "1000",
    "4096",
    "-100",
    "70000",
    "2147483648",
    "1800000001",
    "1800000000500",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "-0",
    "1e3",
    "inf",
    "nan",
    "007",
    "",
];
const PATTERNS: &[&str] = &["k*", "#", "none", "k*->x", "*", "k1*2"];
const SETTINGS: &[&str] = &[
    "--proto-max-bulk-len",
    "1mb",
    "--databases",
    "4",
    "--enable-debug-command",
    "yes",
];

pub(crate) fn engine() -> Engine {
    let args: Vec<OsString> = SETTINGS.iter().map(OsString::from).collect();
    let Ok(Invocation::Run(sources)) = Invocation::parse(&args) else {
        panic!("not a run");
    };
    let settings = Settings::load(sources).expect("valid settings");
    Engine::new(Arc::new(settings), larder::command::table(), 1)
}

pub(crate) fn session(engine: &Engine) -> Session {
    let client = engine.clients.add(Arrival {
        addr: "127.0.0.1:1".into(),
        local_addr: "127.0.0.1:2".into(),
        is_local: true,
        is_unix: false,
        fd: 0,
        worker: 0,
    });
    Session::new(client, true)
}

/// Two clients take turns, a batch at a time, while time goes on.
pub fn run(data: &[u8]) {
    // Digests and random choices are to be the same each time.
    clock::reseed(1);
    let mut now_ms = START_MS;
    let engine = engine();
    let mut sessions = [session(&engine), session(&engine)];
    let mut choices = Choices::new(data);
    while !choices.is_over() {
        now_ms += choices.of(&[0, 0, 1, 40, 5_000, 10_000_000]);
        clock::freeze(now_ms);
        if choices.byte().is_multiple_of(8) {
            for shard in 0..engine.keyspace.len() {
                while larder::exec::sweep::slice(&engine, 0, shard) {}
            }
        }
        let session = &mut sessions[choices.below(2)];
        let commands: Vec<_> = (0..1 + choices.below(8))
            .map(|_| command(&engine, &mut choices))
            .collect();
        run_commands(&engine, session, &commands);
        for session in &mut sessions {
            if session.client.is_killed() {
                part(&engine, session);
                *session = self::session(&engine);
            }
        }
    }
    for shard in 0..engine.keyspace.len() {
        for (_, table) in engine.keyspace.lock(shard).tables() {
            let (mut met, mut volatile) = (0, 0);
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                cursor = table.scan(from, |entry| {
                    met += 1;
                    volatile += usize::from(entry.deadline().is_some());
                });
            }
            assert_eq!((met, volatile), (table.len(), table.volatile()));
        }
    }
    clock::freeze(0);
}

/// A connection ends.
fn part(engine: &Engine, session: &mut Session) {
    multi::discard(engine, session);
    Tracking::disable(engine, session);
    engine.clients.remove(session.client.id);
}

/// Runs commands together, each of which must be answered, and gives the replies.
/// The time of what waits is over at once, and so is a pause.
pub(crate) fn run_commands(
    engine: &Engine,
    session: &mut Session,
    commands: &[Vec<Vec<u8>>],
) -> Vec<u8> {
    let mut out = Output::default();
    let was_sent_things = is_sent_things(session);
    let mut done = 0;
    while done < commands.len() && session.closing == Closing::No {
        let mut batch = Batch::default();
        for words in &commands[done..] {
            let first = batch.argv.len();
            batch.argv.extend(words.iter().map(Vec::as_slice));
            batch.end_command(first);
        }
        done += run_batch(engine, session, &mut batch, &[], &mut out);
        go_on(engine, session, &mut out);
    }
    let mut slices = vec![IoSlice::new(&[]); 1 << 12];
    let n = out.slices(&mut slices);
    let replies: Vec<u8> = slices[..n].iter().flat_map(|s| s.to_vec()).collect();
    let answered = reply::count(&replies);
    let answers_often = commands.iter().any(|words| words[0].ends_with(b"subscribe"));
    match session.closing {
        Closing::No if was_sent_things || is_sent_things(session) || answers_often => {
            assert!(answered >= commands.len());
        }
        Closing::No => assert_eq!(answered, commands.len()),
        _ => assert!(answered <= commands.len() || was_sent_things || answers_often),
    }
    session.closing = Closing::No;
    replies
}

/// Whether there may be more than replies: what it listens to.
fn is_sent_things(session: &Session) -> bool {
    session.subscriber || session.monitor
}

/// What a connection does until its client may go on.
fn go_on(engine: &Engine, session: &mut Session, out: &mut Output) {
    if session.paused {
        let pause = &engine.effects.pause;
        pause.end();
        pause.stopped.fetch_sub(1, Ordering::Relaxed);
        session.paused = false;
    }
    if let Some(waiter) = session.waiting_for.take() {
        waiter.time_out(engine, 0);
        waiter.forget(engine);
        session.client.collect(out);
    }
}

fn command(engine: &Engine, choices: &mut Choices<'_>) -> Vec<Vec<u8>> {
    let all = engine.commands.all();
    let mut spec: &Spec = all[choices.below(all.len())];
    let mut words = vec![spec.name.into()];
    if LEFT_OUT[..3].contains(&spec.name) {
        return vec![b"ping".to_vec()];
    }
    if !spec.subcommands.is_empty() {
        spec = &spec.subcommands[choices.below(spec.subcommands.len())];
        if LEFT_OUT.contains(&spec.name) {
            return vec![b"ping".to_vec()];
        }
        words.push(spec.name.into());
    }
    documented(spec.doc.args, choices, &mut words);
    // Now and then a word too many, too few, or another one.
    match choices.below(16) {
        0 => words.push(word(choices)),
        1 if words.len() > 2 => drop(words.pop()),
        2 if words.len() > 2 => {
            let at = 2 + choices.below(words.len() - 2);
            words[at] = word(choices);
        }
        _ => {}
    }
    words
}

/// Arguments as COMMAND DOCS describes them.
fn documented(args: &[Arg], choices: &mut Choices<'_>, words: &mut Vec<Vec<u8>>) {
    for arg in args {
        if arg.optional && choices.below(2) == 0 {
            continue;
        }
        let times = if arg.multiple {
            1 + choices.below(4)
        } else {
            1
        };
        for i in 0..times {
            if let Some(token) = arg.token.filter(|_| i == 0 || arg.multiple_token) {
                words.push(token.into());
            }
            match arg.kind {
                ArgKind::Key(_) => words.push(key(choices)),
                ArgKind::Integer | ArgKind::Double | ArgKind::UnixTime => {
                    words.push(choices.of(NUMBERS).into());
                }
                ArgKind::KeyPattern(_) => words.push(choices.of(PATTERNS).into()),
                ArgKind::Pattern => {
                    words.push(choices.of(&["*", "k*", "k[1-3]", "?*", "["]).into())
                }
                ArgKind::String => words.push(word(choices)),
                ArgKind::PureToken => {}
                ArgKind::OneOf => {
                    let one = choices.below(arg.args.len().max(1));
                    documented(&arg.args[one..][..1], choices, words);
                }
                ArgKind::Block => documented(arg.args, choices, words),
            }
        }
    }
}

fn key(choices: &mut Choices<'_>) -> Vec<u8> {
    let n = choices.below(64);
    match n {
        60 => vec![b'k'; 300],
        61 => Vec::new(),
        _ => format!("k{}", n % 12).into_bytes(),
    }
}

fn word(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.below(8) {
        0 | 1 => choices.of(NUMBERS).into(),
        2 => key(choices),
        3 => vec![b'x'; choices.below(20_000)],
        4 => choices
            .of(&["NX", "XX", "GET", "KEEPTTL", "EX", "*", "default", "on"])
            .into(),
        _ => {
            let n = choices.below(24);
            choices.bytes(n).to_vec()
        }
    }
}
