//! What a handler is given.

use super::args::Args;
use super::engine::Engine;
use super::session::Session;
use super::spec::Spec;
use super::txn::Txn;
use super::waiting::{Job, Wait};
use crate::base::clock;
use crate::protocol::reply::Reply;

/// One running command. `'t` is the life of the locks, `'c` that of the call.
pub struct Ctx<'c, 't> {
    /// The server.
    pub engine: &'t Engine,
    /// The client.
    pub session: &'c mut Session,
    /// The entries that the command declared.
    pub txn: &'c mut Txn<'t>,
    /// What the client said.
    pub args: Args<'c>,
    /// What it is told.
    pub reply: Reply<'c>,
    /// The command.
    pub spec: &'static Spec,
}

impl Ctx<'_, '_> {
    /// Bytes that a reply may grow to before its client is dropped for it: whoever
    /// writes as much as the client says may stop there. `None`: without a bound.
    pub fn reply_bytes_max(&self) -> Option<usize> {
        let client = &self.session.client;
        client.owed().hard_bytes(client)
    }

    /// Waits at most so long for another client's refill of the command's key.
    pub fn wait_for_refill(&mut self, ms: u64) {
        self.wait(Wait {
            until_ms: Some(clock::unix_ms().saturating_add(ms)),
            // Whatever happened: it may be this client's turn.
            is_ready: |_| true,
            timed_out: Box::new(|reply| reply.null()),
            until: None,
            words: None,
        });
    }

    /// Waits for a change of the keys that the command declares, which is then run
    /// again; nothing may have been written, and what was changed stays. Where nobody can wait, in
    /// EXEC or a script, its time is over at once.
    pub fn wait(&mut self, wait: Wait) {
        match self.session.in_exec {
            true => (wait.timed_out)(&mut self.reply),
            false => self.session.wait = Some(wait),
        }
    }

    /// Waits for a job, which begins when this command's locks are let go. Where
    /// nobody can wait, there is none to be done: the caller has looked.
    pub fn start(&mut self, job: Job) {
        debug_assert!(!self.session.in_exec);
        self.session.job = Some(job);
        self.session.wait = Some(Wait {
            until_ms: None,
            is_ready: |_| false,
            timed_out: Box::new(|_| ()),
            until: None,
            words: None,
        });
    }
}
