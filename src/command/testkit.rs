//! Runs commands against an engine without a socket, for the families' tests.

use std::ffi::OsString;
use std::sync::Arc;

use crate::config::{Invocation, Settings};
use crate::exec::dispatch::{Batch, run_batch};
use crate::exec::engine::Engine;
use crate::exec::session::{Arrival, Session};
use crate::protocol::output::Output;
use crate::protocol::parse;

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
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let Ok(Invocation::Run(sources)) = Invocation::parse(&args) else {
            panic!("not a run");
        };
        let settings = Settings::load(sources).expect("valid settings");
        let engine = Engine::new(Arc::new(settings), super::table(), 1);
        Kit::client_of(Arc::new(engine))
    }

    /// Another client of the same engine.
    pub fn another(&self) -> Kit {
        Kit::client_of(self.engine.clone())
    }

    fn client_of(engine: Arc<Engine>) -> Kit {
        let client = engine.clients.add(Arrival {
            addr: "127.0.0.1:1".into(),
            local_addr: "127.0.0.1:2".into(),
            is_local: true,
            is_unix: false,
            fd: 0,
            worker: 0,
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
        let mut batch = Batch::default();
        batch.argv.extend_from_slice(words);
        batch.end_command(0);
        let mut out = Output::default();
        run_batch(&self.engine, &mut self.session, &mut batch, &[], &mut out);
        let mut slices = vec![std::io::IoSlice::new(&[]); 1 << 12];
        let n = out.slices(&mut slices);
        slices[..n].iter().flat_map(|s| s.to_vec()).collect()
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
