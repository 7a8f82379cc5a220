//! Runs commands against an engine without a socket, for the families' tests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{clock, hash};
use crate::config::policy::Policy;
use crate::config::{Invocation, Settings};
use crate::exec::dispatch::{Batch, run_batch};
use crate::exec::effect::{Consumer, Effect};
use crate::exec::engine::Engine;
use crate::exec::session::{Arrival, Session};
use crate::exec::sweep;
use crate::protocol::output::Output;
use crate::protocol::parse;
use crate::store::table::Table;

/// An engine of its own and one client.
pub struct Kit {
    /// The server.
    pub engine: Arc<Engine>,
    /// The client.
    pub session: Session,
}

impl Kit {
    /// With the default configuration.
    pub fn new() -> Kit {
        Kit::with(&[])
    }

    /// With a command line: `["--maxmemory", "1mb"]`.
    pub fn with(args: &[&str]) -> Kit {
        Kit::of_workers(1, args)
    }

    /// With a command line, for several workers.
    pub fn of_workers(workers: usize, args: &[&str]) -> Kit {
        // No test leaves a snapshot behind that it did not ask for.
        let args = ["--save", ""].iter().chain(args);
        let args: Vec<OsString> = args.map(OsString::from).collect();
        let Ok(Invocation::Run(sources)) = Invocation::parse(&args) else {
            panic!("not a run");
        };
        let settings = Settings::load(sources).expect("valid settings");
        let commands = super::table_for(&settings).expect("commands of these names");
        let rules = super::policies_for(&settings).expect("policies");
        let engine = Engine::new(Arc::new(settings), commands, workers);
        engine.keyspace.set_rules(rules);
        super::configure(&engine);
        Kit::client_of(Arc::new(engine), 0)
    }

    /// Another client of the same engine.
    pub fn another(&self) -> Kit {
        self.another_of(0)
    }

    /// Another client, of this worker.
    pub fn another_of(&self, worker: usize) -> Kit {
        Kit::client_of(self.engine.clone(), worker)
    }

    fn client_of(engine: Arc<Engine>, worker: usize) -> Kit {
        let client = engine.clients.add(Arrival {
            addr: "127.0.0.1:1".into(),
            local_addr: "127.0.0.1:2".into(),
            is_local: true,
            is_unix: false,
            fd: 0,
            worker,
        });
        Kit {
            session: Session::new(client, true),
            engine,
        }
    }

    /// The raw reply to a command, given as one line with redis-cli's quoting.
    pub fn run(&mut self, line: &str) -> String {
        let words = parse::words(line.as_bytes()).expect("balanced quotes");
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        String::from_utf8_lossy(&self.call(&words)).into_owned()
    }

    /// The raw reply to a command, word by word.
    pub fn call(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.pipeline(&[words])
    }

    /// The raw replies to commands that come together.
    pub fn pipeline<W: AsRef<[u8]>>(&mut self, commands: &[impl AsRef<[W]>]) -> Vec<u8> {
        let mut batch = Batch::default();
        for words in commands {
            let first = batch.argv.len();
            batch.argv.extend(words.as_ref().iter().map(AsRef::as_ref));
            batch.end_command(first);
        }
        let mut out = Output::default();
        run_batch(&self.engine, &mut self.session, &mut batch, &[], &mut out);
        let mut slices = vec![std::io::IoSlice::new(&[]); 1 << 12];
        let n = out.slices(&mut slices);
        slices[..n].iter().flat_map(|s| s.to_vec()).collect()
    }
}

impl Kit {
    /// Puts a policy in force, by the words behind `policy`.
    pub fn policy(&mut self, line: &str) {
        let words = parse::words(line.as_bytes()).expect("balanced quotes");
        let policy = Policy::parse(&words).expect("a policy");
        let keyspace = &self.engine.keyspace;
        keyspace.set_rules(keyspace.rules().with(policy).expect("a slot"));
    }

    /// Lets all work that comes by the clock be done.
    pub fn sweep(&mut self) {
        for shard in 0..self.engine.keyspace.len() {
            while sweep::slice(&self.engine, 0, shard) {}
        }
        sweep::conclude(&self.engine);
    }
}

/// Everything that an engine holds: by database and key, value and deadline.
pub type Contents = BTreeMap<(u32, Vec<u8>), (Vec<u8>, Option<u64>)>;

impl Kit {
    /// All data.
    pub fn contents(&self) -> Contents {
        let mut all = Contents::new();
        for i in 0..self.engine.keyspace.len() {
            for (db, _, table) in self.engine.keyspace.lock(i).tables() {
                let mut cursor = Some(0);
                while let Some(from) = cursor {
                    cursor = table.scan(from, |entry| {
                        let row = (entry.value().to_vec(), entry.deadline());
                        all.insert((db, entry.key().to_vec()), row);
                    });
                }
            }
        }
        all
    }

    /// Runs the commands of effects, as a follower would.
    pub fn replay(&mut self, effects: &[Effect]) {
        for (db, words) in effects.iter().flat_map(|e| e.commands.told()) {
            self.session.db = db;
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let reply = self.call(&words);
            assert_ne!(reply[0], b'-', "{}", String::from_utf8_lossy(&reply));
        }
    }

    /// Lets a key's time be over without waiting for it; nobody has noticed yet.
    pub fn let_time_be_over(&mut self, db: u32, key: &str) {
        let digest = hash::digest(key.as_bytes());
        let keyspace = &self.engine.keyspace;
        let mut shard = keyspace.lock(keyspace.shard_of(digest));
        let find = |table: &Table| table.find(digest, key.as_bytes());
        let place = shard
            .tables_mut()
            .filter(|(d, _, _)| *d == db)
            .find_map(|(_, _, table)| Some((find(table)?, table)));
        let (place, table) = place.expect("the key is there");
        table.set_deadline(place, Some(1), clock::unix_ms());
    }
}

/// Runs lines and compares the replies, whose line breaks are written as spaces.
pub fn check(kit: &mut Kit, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        let reply = kit.run(line).replace("\r\n", " ");
        assert_eq!(reply.trim_end(), *expected, "{line}");
    }
}

/// Keeps the effects that it hears of.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Effect>>);

impl Consumer for Recorder {
    fn observe(&self, effect: &Effect) {
        self.0.lock().push(effect.clone());
    }
}

/// A kit, and what it does.
pub fn recorded() -> (Kit, Arc<Recorder>) {
    let kit = Kit::new();
    let recorder = Arc::new(Recorder::default());
    kit.engine.effects.attach(recorder.clone());
    (kit, recorder)
}

impl Recorder {
    /// The effects since this was last asked for.
    pub fn take(&self) -> Vec<Effect> {
        std::mem::take(&mut self.0.lock())
    }

    /// What would be propagated, as lines.
    pub fn commands(&self) -> Vec<String> {
        let line = |words: &Vec<Vec<u8>>| {
            let words = words.iter().map(|w| String::from_utf8_lossy(w));
            words.collect::<Vec<_>>().join(" ")
        };
        let effects = self.take();
        let commands = effects.iter().flat_map(|e| e.commands.told());
        commands.map(|(_, words)| line(&words)).collect()
    }

    /// The events of all keys.
    pub fn events(&self) -> Vec<&'static str> {
        let effects = self.take();
        let changes = effects.iter().flat_map(|e| &e.changes);
        changes.map(|c| c.event.name).collect()
    }
}

#[test]
fn what_one_client_writes_another_reads() {
    let mut one = Kit::new();
    let mut other = one.another();
    assert_eq!(one.run("set k v"), "+OK\r\n");
    assert_eq!(other.run("get k"), "$1\r\nv\r\n");
}

#[test]
fn a_command_runs_without_a_socket() {
    assert_eq!(Kit::new().run("get nothing"), "$-1\r\n");
}
