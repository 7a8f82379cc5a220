//! What a handler is given.

use super::args::Args;
use super::engine::Engine;
use super::session::Session;
use super::spec::Spec;
use super::txn::Txn;
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
