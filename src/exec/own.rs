//! Commands that the server runs itself: the way of a client's, without a connection.
//! So they lock, make room, leave effects and wake whoever waits as any other does.

use super::dispatch::{Batch, run_batch};
use super::engine::Engine;
use super::session::{Arrival, Session};
use crate::protocol::output::Output;

/// A client that is the server itself. It stands in no list of clients.
pub struct Own {
    session: Session,
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ran {
    /// It ran.
    Done,
    /// Changes are paused (CLIENT PAUSE): it did not run.
    NotNow,
    /// It was answered with this error.
    Refused(String),
}

impl Own {
    /// For the thread of a worker, which alone may use it. `name` is what MONITOR and the
    /// command log show in place of an address.
    pub fn new(engine: &Engine, worker: usize, name: &str) -> Own {
        let client = engine.clients.unlisted(Arrival {
            addr: name.into(),
            local_addr: String::new(),
            is_local: true,
            is_unix: false,
            fd: 0,
            worker,
        });
        Own {
            session: Session::new(client, true),
        }
    }

    /// Runs a command, named as its row is, in a database. Called without any lock held,
    /// and not within a batch.
    pub fn run(&mut self, engine: &Engine, db: u32, name: &'static str, args: &[&[u8]]) -> Ran {
        let Some(name) = engine.commands.name_of(name) else {
            let name = name.to_uppercase();
            return Ran::Refused(format!("ERR {name} was taken away by rename-command"));
        };
        self.session.db = db;
        self.session.paused = false;
        let mut batch = Batch::default();
        batch.argv.push(name);
        batch.argv.extend(args);
        batch.end_command(0);
        let mut out = Output::default();
        run_batch(engine, &mut self.session, &mut batch, &[], &mut out);
        if self.session.paused {
            let stopped = &engine.effects.pause.stopped;
            stopped.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            return Ran::NotNow;
        }
        match out.single() {
            Some([b'-', text @ ..]) => {
                Ran::Refused(String::from_utf8_lossy(text.trim_ascii_end()).into())
            }
            _ => Ran::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit::Kit;

    #[test]
    fn the_servers_own_commands_run_under_any_name_and_nobody_sees_a_client() {
        let mut kit = Kit::with(&["--rename-command", "set", "put"]);
        let mut own = Own::new(&kit.engine, 0, "server");
        assert_eq!(own.run(&kit.engine, 0, "set", &[b"k", b"v"]), Ran::Done);
        assert_eq!(own.run(&kit.engine, 3, "set", &[b"k", b"w"]), Ran::Done);
        assert_eq!(kit.run("get k"), "$1\r\nv\r\n");
        let refused = own.run(&kit.engine, 0, "lpush", &[b"k", b"v"]);
        assert!(matches!(refused, Ran::Refused(why) if why.starts_with("WRONGTYPE")));
        assert_eq!(kit.engine.clients.len(), 1);
        kit.run("client pause 100000 write");
        assert_eq!(own.run(&kit.engine, 0, "set", &[b"k", b"x"]), Ran::NotNow);
        kit.run("client unpause");
        assert_eq!(own.run(&kit.engine, 0, "set", &[b"k", b"x"]), Ran::Done);
    }

    #[test]
    fn a_command_that_was_taken_away_is_refused_by_its_name() {
        let kit = Kit::with(&["--rename-command", "xadd", ""]);
        let mut own = Own::new(&kit.engine, 0, "server");
        let ran = own.run(&kit.engine, 0, "xadd", &[b"k", b"*", b"f", b"v"]);
        let why = "ERR XADD was taken away by rename-command";
        assert_eq!(ran, Ran::Refused(why.into()));
    }
}
