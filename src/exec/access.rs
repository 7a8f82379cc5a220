//! What the users of the server may do, as far as commands ask for it.
//!
//! Users are a layer above's ([`Authority`]); here is what a session keeps of its own,
//! so that a user who may do everything costs a command one comparison:
//!
//! ```text
//!  users change ──► generation + 1
//!
//!  a command: is the session's `pass` the generation?
//!     yes ──► its user may do everything, as things are
//!     no  ──► ask whether it has said who it is; fetch its rights, where users have
//!             changed since; they may be all there is: the pass is renewed.
//!             Where they are not, there is no pass, and they judge each command.
//! ```
//!
//! What a server does itself, and what it is told by the server that it follows, nobody
//! judges. Where there is no authority, everybody may do everything.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::dispatch;
use super::engine::Engine;
use super::session::{Client, Session};
use super::spec::{Spec, flag};
use crate::protocol::error::Error;

/// A pass that is good for nothing.
const NO_PASS: u64 = u64::MAX;

/// Who knows the users.
pub trait Authority: Send + Sync {
    /// The rights of the user of this name; `None` where there is no such user.
    fn rights_of(&self, user: &[u8]) -> Option<Arc<dyn Rights>>;

    /// Takes note of what was denied to a client; `object` is what it asked for.
    fn note(
        &self,
        engine: &Engine,
        client: &Client,
        ground: Ground,
        object: &[u8],
        context: Context,
    );
}

/// What a user may do.
pub trait Rights: Send + Sync {
    /// Whether that is everything.
    fn are_all(&self) -> bool;

    /// Lets a command be run.
    ///
    /// # Errors
    /// Why it may not.
    fn judge(&self, engine: &Engine, asked: &Asked<'_>) -> Result<(), Denial>;

    /// Whether a command may be run, and any key be touched beside those that it
    /// declares.
    fn reach_everything(&self, engine: &Engine, asked: &Asked<'_>, touch: Touch) -> bool;
}

/// A command that somebody wants to run.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The command, or its subcommand.
    pub spec: &'static Spec,
    /// What counts it: also what rights know it by.
    pub counter: usize,
    /// Its words.
    pub argv: &'a [&'a [u8]],
    /// The database that it would work on.
    pub db: u32,
}

/// What is done to a key that a command does not declare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// It is read.
    Read,
    /// It is changed or removed.
    Write,
}

/// What a user lacks the right to. Of several the last one is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ground {
    /// A database.
    Database,
    /// The command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
}

/// Why a command may not be run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Denial {
    /// What is lacking.
    pub ground: Ground,
    /// Which of the words it is about; 0: the command.
    pub at: usize,
}

/// Where a command was to be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    /// As it came.
    TopLevel,
    /// In a transaction.
    Multi,
    /// In a script of Lua.
    Lua,
    /// In another script.
    Script,
}

impl Denial {
    /// What it is about.
    pub fn object<'a>(&self, engine: &Engine, asked: &Asked<'a>) -> Vec<u8> {
        match (self.ground, self.at) {
            (Ground::Command, _) | (_, 0) => {
                engine.commands.name_of_counter(asked.counter).into_bytes()
            }
            (_, at) => asked.argv[at].to_vec(),
        }
    }

    /// What a client is told, without the error's code. What exactly it lacks is
    /// told to who asks on behalf of others: `in_full`.
    pub fn text(&self, engine: &Engine, user: &[u8], asked: &Asked<'_>, in_full: bool) -> Vec<u8> {
        let object = self.object(engine, asked);
        let lacks = |what: &str, end: &str| {
            let what = format!(" has no permissions to {what}");
            [b"User ", user, what.as_bytes(), &object, end.as_bytes()].concat()
        };
        match (self.ground, in_full) {
            (Ground::Command, _) => lacks("run the '", "' command"),
            (Ground::Key, true) => lacks("access the '", "' key"),
            (Ground::Channel, true) => lacks("access the '", "' channel"),
            (Ground::Database, true) => lacks("access database ", ""),
            (Ground::Key, false) => b"No permissions to access a key".to_vec(),
            (Ground::Channel, false) => b"No permissions to access a channel".to_vec(),
            (Ground::Database, false) => b"No permissions to access database".to_vec(),
        }
    }

    /// Why a command that was queued is not run, after all.
    fn since_queued(&self) -> Error {
        let why = match self.ground {
            Ground::Command => "no permission to execute the command or subcommand",
            Ground::Key => "no permission to touch the specified keys",
            Ground::Channel => "no permission to access one of the channels used as arguments",
            Ground::Database => "no permission",
        };
        Error::new(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and \
             the EXEC call. This command is no longer allowed for the following reason: {why}"
        ))
    }
}

/// See the head of this file. Every worker reads it in front of every command: it has
/// a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
pub struct Access {
    /// Rises whenever users change.
    generation: AtomicU64,
    /// Whether who comes has to say who it is.
    asks_for_proof: AtomicBool,
    /// Whether anybody may come in without a password.
    is_open: AtomicBool,
    /// Set once.
    authority: OnceLock<Arc<dyn Authority>>,
}

/// What a session keeps of its user's rights.
pub struct Held {
    /// The generation in which its user was found to have all rights.
    pass: u64,
    /// That in which the rights were fetched.
    generation: u64,
    rights: Option<Arc<dyn Rights>>,
}

impl Default for Held {
    fn default() -> Held {
        Held {
            pass: NO_PASS,
            generation: NO_PASS,
            rights: None,
        }
    }
}

/// What is to be done with who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It may do everything.
    Free,
    /// Its rights judge what it may do.
    Judged,
    /// There is no such user any more.
    Gone,
}

impl Access {
    /// Has this one asked from now on, always the same.
    pub fn ask(&self, authority: Arc<dyn Authority>) {
        self.authority.get_or_init(|| authority);
    }

    /// Users have changed. Whether who comes has to say who it is from now on, and
    /// whether the default user has no password.
    pub fn renew(&self, asks_for_proof: bool, is_open: bool) {
        self.asks_for_proof.store(asks_for_proof, Ordering::Relaxed);
        self.is_open.store(is_open, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Whether who comes has to say who it is.
    pub fn asks_for_proof(&self) -> bool {
        self.asks_for_proof.load(Ordering::Relaxed)
    }

    /// Whether anybody who comes is the default user, without a password.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed) || self.authority.get().is_none()
    }

    /// What changes whenever users do.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether a session's user may do everything, for all that is known.
    #[inline]
    pub fn is_free(&self, session: &Session) -> bool {
        session.held.pass == self.generation.load(Ordering::Acquire)
    }

    /// Where a session without a pass stands; an error where it has to say first who
    /// it is. `spec` is the command that it asks for, where there is one.
    #[cold]
    pub(super) fn identify(
        &self,
        session: &mut Session,
        spec: Option<&Spec>,
    ) -> Result<Standing, Error> {
        let generation = self.generation();
        let is_unproven = !session.authenticated && self.asks_for_proof();
        // Whoever has not said who it is does not learn which commands there are.
        if is_unproven && !spec.is_some_and(|s| s.has(flag::NO_AUTH)) {
            return Err(Error::NO_AUTH);
        }
        let Some(authority) = self.authority.get() else {
            session.held.pass = generation;
            return Ok(Standing::Free);
        };
        if session.leads || session.client.is_server() {
            session.held.pass = generation;
            return Ok(Standing::Free);
        }
        if session.client.is_killed() {
            // Another user may have its user's name by now.
            return Ok(Standing::Gone);
        }
        if session.held.generation != generation {
            let user = session.client.names.lock().user.clone();
            let rights = authority.rights_of(&user);
            session.held = Held {
                pass: NO_PASS,
                generation,
                rights,
            };
        }
        match &session.held.rights {
            None => Ok(Standing::Gone),
            Some(rights) if rights.are_all() => {
                if !is_unproven {
                    session.held.pass = generation;
                }
                Ok(Standing::Free)
            }
            Some(_) => Ok(Standing::Judged),
        }
    }
}

/// Judges a command of a session that stands as [`Standing::Judged`]: by its rights as
/// they were then.
fn judge(engine: &Engine, session: &Session, asked: &Asked<'_>) -> Result<(), Denial> {
    match &session.held.rights {
        Some(rights) => rights.judge(engine, asked),
        None => Err(Denial {
            ground: Ground::Command,
            at: 0,
        }),
    }
}

/// Notes a denial, and says it in the words for the client.
#[cold]
fn deny(
    engine: &Engine,
    client: &Client,
    asked: &Asked<'_>,
    denial: Denial,
    context: Context,
) -> Error {
    let object = denial.object(engine, asked);
    if let Some(authority) = engine.access.authority.get() {
        authority.note(engine, client, denial.ground, &object, context);
    }
    let user = client.names.lock().user.clone();
    let text = denial.text(engine, &user, asked, false);
    Error::new([b"NOPERM ", &text[..]].concat())
}

fn context_of(session: &Session) -> Context {
    match session.multi.is_some() || session.in_exec {
        true => Context::Multi,
        false => Context::TopLevel,
    }
}

/// Judges a command that is about to run or to be queued.
#[cold]
pub(super) fn admit(
    engine: &Engine,
    session: &mut Session,
    asked: &Asked<'_>,
) -> Result<(), Error> {
    judge(engine, session, asked).map_err(|denial| {
        session.publish();
        deny(engine, &session.client, asked, denial, context_of(session))
    })
}

/// Judges a command that was queued and is about to run.
#[cold]
pub(super) fn admit_queued(
    engine: &Engine,
    session: &mut Session,
    asked: &Asked<'_>,
) -> Result<(), Error> {
    let denial = match engine.access.identify(session, Some(asked.spec))? {
        Standing::Free => return Ok(()),
        Standing::Judged => match judge(engine, session, asked) {
            Ok(()) => return Ok(()),
            Err(denial) => denial,
        },
        Standing::Gone => Denial {
            ground: Ground::Command,
            at: 0,
        },
    };
    session.publish();
    deny(engine, &session.client, asked, denial, Context::Multi);
    Err(denial.since_queued())
}

/// Judges a command that waited and is about to run again, of whoever it is.
#[cold]
pub(super) fn admit_again(
    engine: &Engine,
    client: &Client,
    asked: &Asked<'_>,
) -> Result<(), Error> {
    let Some(authority) = engine.access.authority.get() else {
        return Ok(());
    };
    let user = client.names.lock().user.clone();
    let judged = match authority.rights_of(&user) {
        Some(rights) if rights.are_all() => Ok(()),
        Some(rights) => rights.judge(engine, asked),
        None => Err(Denial {
            ground: Ground::Command,
            at: 0,
        }),
    };
    judged.map_err(|denial| deny(engine, client, asked, denial, Context::TopLevel))
}

/// Whether a session's user still may run the command of these words, which has just
/// begun something that lasts: it is looked at again once who changes users can see it.
pub fn still_may(engine: &Engine, session: &mut Session, argv: &[&[u8]]) -> bool {
    allows(engine, session, argv, |rights, asked| {
        rights.judge(engine, asked).is_ok()
    })
}

/// Whether a session's user may have any key touched by the command of these words,
/// beside those that it declares.
pub fn may_reach_everything(
    engine: &Engine,
    session: &mut Session,
    argv: &[&[u8]],
    touch: Touch,
) -> bool {
    allows(engine, session, argv, |rights, asked| {
        rights.reach_everything(engine, asked, touch)
    })
}

fn allows(
    engine: &Engine,
    session: &mut Session,
    argv: &[&[u8]],
    allow: impl FnOnce(&dyn Rights, &Asked<'_>) -> bool,
) -> bool {
    if engine.access.is_free(session) {
        return true;
    }
    let Some((spec, counter)) = dispatch::find(engine, argv) else {
        return false;
    };
    let asked = Asked {
        spec,
        counter,
        argv,
        db: session.db,
    };
    match engine.access.identify(session, Some(spec)) {
        Ok(Standing::Free) => true,
        Ok(Standing::Judged) => {
            let rights = session.held.rights.as_deref();
            rights.is_some_and(|rights| allow(rights, &asked))
        }
        Ok(Standing::Gone) | Err(_) => false,
    }
}

/// What a script's command is to its caller's rights.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be run.
    May,
    /// It may not: why, in the words for the client, without an error's code.
    MayNot(Vec<u8>),
    /// There is no command, or subcommand, of these words.
    Unknown,
}

/// Whether a session's user may run a command of these words, as `db` is selected.
/// Whatever asks to find out notes nothing; what is refused to run is noted `within`
/// its context.
pub fn may_run(
    engine: &Engine,
    session: &mut Session,
    argv: &[&[u8]],
    db: u32,
    within: Option<Context>,
) -> Verdict {
    let Some((spec, counter)) = dispatch::find(engine, argv) else {
        return Verdict::Unknown;
    };
    if engine.access.is_free(session) {
        return Verdict::May;
    }
    let asked = Asked {
        spec,
        counter,
        argv,
        db,
    };
    let denial = match engine.access.identify(session, Some(spec)) {
        Ok(Standing::Free) => return Verdict::May,
        Ok(Standing::Judged) => match judge(engine, session, &asked) {
            Ok(()) => return Verdict::May,
            Err(denial) => denial,
        },
        Ok(Standing::Gone) | Err(_) => Denial {
            ground: Ground::Command,
            at: 0,
        },
    };
    if let Some(context) = within {
        session.publish();
        deny(engine, &session.client, &asked, denial, context);
    }
    let user = session.client.names.lock().user.clone();
    Verdict::MayNot(denial.text(engine, &user, &asked, false))
}
