//! What a command is: one row, from which routing, locking, prefetch, ACL,
//! COMMAND and its documentation are derived.
//!
//! Rows are written with the builder below, beside their handlers:
//!
//! ```ignore
//! Spec::new("get", 2, get).flags(READONLY | FAST).keys(&[key(1, RO | ACCESS)])
//!     .doc(Group::String, "1.0.0", "O(1)", "Returns the string value of a key.")
//!     .args(&[Arg::key("key")])
//! ```

mod doc;

pub use doc::{Arg, ArgKind, Doc, Group};

use smallvec::SmallVec;

use super::context::Ctx;
use crate::protocol::error::Error;

/// Runs a command: reads `ctx.args`, changes `ctx.txn`, writes `ctx.reply`. On
/// an error what it has written is taken back and the error is the reply.
pub type Handler = fn(&mut Ctx<'_, '_>) -> Result<(), Error>;

/// Whether an argument, by its index, is something that no log may show.
pub type Secrets = fn(argv: &[&[u8]], index: usize) -> bool;

/// Shows the index of every argument that is a key, where no key spec can tell.
pub type KeyFinder = fn(argv: &[&[u8]], visit: &mut dyn FnMut(usize)) -> Result<(), KeyError>;

/// How a key is used, where that depends on the other arguments.
pub type KeyUse = fn(argv: &[&[u8]]) -> u16;

/// The indices of the arguments that are numbers of databases; none where the arguments
/// are not what the command takes.
pub type DatabaseFinder = fn(argv: &[&[u8]]) -> SmallVec<[usize; 2]>;

/// Which arguments are channels that are listened to, or published in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channels {
    /// None.
    None,
    /// The first.
    First,
    /// All.
    All,
    /// All, and they are patterns.
    Patterns,
}

/// With more words than this no command is brief.
const BRIEF_ARGS: usize = 16;

/// Says of a command's words whether it touches more than the keys that it
/// declares.
pub type Reach = fn(&[&[u8]]) -> bool;

/// Flags of a command, under the names that COMMAND shows.
pub mod flag {
    /// Changes the data set.
    pub const WRITE: u32 = 1;
    /// Only reads.
    pub const READONLY: u32 = 1 << 1;
    /// Refused when memory is full and cannot be freed.
    pub const DENYOOM: u32 = 1 << 2;
    /// For administrators.
    pub const ADMIN: u32 = 1 << 3;
    /// About pub/sub.
    pub const PUBSUB: u32 = 1 << 4;
    /// Not for scripts.
    pub const NOSCRIPT: u32 = 1 << 5;
    /// May block the client.
    pub const BLOCKING: u32 = 1 << 6;
    /// Allowed while loading.
    pub const LOADING: u32 = 1 << 7;
    /// Allowed on a replica whose data may be old.
    pub const STALE: u32 = 1 << 8;
    /// Not shown to MONITOR.
    pub const SKIP_MONITOR: u32 = 1 << 9;
    /// Not kept in the slow log.
    pub const SKIP_SLOWLOG: u32 = 1 << 10;
    /// Takes constant or logarithmic time.
    pub const FAST: u32 = 1 << 11;
    /// Allowed before AUTH.
    pub const NO_AUTH: u32 = 1 << 12;
    /// Not in a transaction.
    pub const NO_MULTI: u32 = 1 << 13;
    /// Keys depend on the arguments in ways that the key specs do not tell.
    pub const MOVABLE_KEYS: u32 = 1 << 14;
    /// Runs even within MULTI, instead of being queued.
    pub const NOT_QUEUED: u32 = 1 << 15;
    /// May be run on a client's behalf while others may not write.
    pub const MAY_REPLICATE: u32 = 1 << 16;
    /// Allowed while a script runs too long.
    pub const ALLOW_BUSY: u32 = 1 << 17;
    /// Not for asynchronous loading.
    pub const NO_ASYNC_LOADING: u32 = 1 << 18;
    /// Accesses every database.
    pub const ALL_DBS: u32 = 1 << 19;
    /// Only for whom `enable-debug-command` allows it.
    pub const PROTECTED: u32 = 1 << 20;
    /// May be called without any key.
    pub const NO_MANDATORY_KEYS: u32 = 1 << 21;
    /// Allowed to a client of RESP2 that subscribes.
    pub const SUBSCRIBER: u32 = 1 << 22;

    /// The names, in the order in which COMMAND lists them; it hides the others.
    pub const NAMES: &[(u32, &str)] = &[
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (PUBSUB, "pubsub"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (SKIP_MONITOR, "skip_monitor"),
        (SKIP_SLOWLOG, "skip_commandlog"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (NO_ASYNC_LOADING, "no_async_loading"),
        (NO_MULTI, "no_multi"),
        (MOVABLE_KEYS, "movablekeys"),
        (ALLOW_BUSY, "allow_busy"),
    ];
}

/// Categories of commands, as ACL rules name them.
pub mod category {
    /// The names, bit by bit.
    pub const NAMES: &[&str] = &[
        "keyspace",
        "read",
        "write",
        "set",
        "sortedset",
        "list",
        "hash",
        "string",
        "bitmap",
        "hyperloglog",
        "geo",
        "stream",
        "pubsub",
        "admin",
        "fast",
        "slow",
        "blocking",
        "dangerous",
        "connection",
        "transaction",
        "scripting",
    ];
    /// About keys of any type.
    pub const KEYSPACE: u32 = 1;
    /// Reads keys.
    pub const READ: u32 = 1 << 1;
    /// Writes keys.
    pub const WRITE: u32 = 1 << 2;
    /// About sets.
    pub const SET: u32 = 1 << 3;
    /// About sorted sets.
    pub const SORTEDSET: u32 = 1 << 4;
    /// About lists.
    pub const LIST: u32 = 1 << 5;
    /// About hashes.
    pub const HASH: u32 = 1 << 6;
    /// About strings.
    pub const STRING: u32 = 1 << 7;
    /// About bitmaps.
    pub const BITMAP: u32 = 1 << 8;
    /// About HyperLogLogs.
    pub const HYPERLOGLOG: u32 = 1 << 9;
    /// About places.
    pub const GEO: u32 = 1 << 10;
    /// About streams.
    pub const STREAM: u32 = 1 << 11;
    /// About pub/sub.
    pub const PUBSUB: u32 = 1 << 12;
    /// For administrators.
    pub const ADMIN: u32 = 1 << 13;
    /// Takes constant or logarithmic time.
    pub const FAST: u32 = 1 << 14;
    /// Takes longer.
    pub const SLOW: u32 = 1 << 15;
    /// May block.
    pub const BLOCKING: u32 = 1 << 16;
    /// Can harm others.
    pub const DANGEROUS: u32 = 1 << 17;
    /// About the connection.
    pub const CONNECTION: u32 = 1 << 18;
    /// About transactions.
    pub const TRANSACTION: u32 = 1 << 19;
    /// About scripts and functions.
    pub const SCRIPTING: u32 = 1 << 20;
}

/// Which shards a command must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Those of the keys that it declares.
    Keys,
    /// One after the other, as it asks for them.
    Each,
    /// The whole keyspace.
    All,
    /// Those of the commands that wait for EXEC.
    Queued,
}

/// How a key is used.
pub mod key_flag {
    /// Read only.
    pub const RO: u16 = 1;
    /// Read and written.
    pub const RW: u16 = 1 << 1;
    /// Overwritten.
    pub const OW: u16 = 1 << 2;
    /// Removed.
    pub const RM: u16 = 1 << 3;
    /// The value is given to the client.
    pub const ACCESS: u16 = 1 << 4;
    /// The value is updated.
    pub const UPDATE: u16 = 1 << 5;
    /// Data is added.
    pub const INSERT: u16 = 1 << 6;
    /// Data is removed.
    pub const DELETE: u16 = 1 << 7;
    /// Not a key, though hashed like one.
    pub const NOT_KEY: u16 = 1 << 8;
    /// The spec may miss some.
    pub const INCOMPLETE: u16 = 1 << 9;
    /// The flags depend on the arguments.
    pub const VARIABLE_FLAGS: u16 = 1 << 10;
    /// The names, in the order in which COMMAND lists them.
    pub const NAMES: &[(u16, &str)] = &[
        (OW, "OW"),
        (RO, "RO"),
        (RW, "RW"),
        (RM, "RM"),
        (ACCESS, "access"),
        (UPDATE, "update"),
        (INSERT, "insert"),
        (DELETE, "delete"),
        (NOT_KEY, "not_key"),
        (INCOMPLETE, "incomplete"),
        (VARIABLE_FLAGS, "variable_flags"),
    ];
}

/// Where the first key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// At this argument; the command's name is 0.
    Index(usize),
    /// Behind this word, looked for from an argument on (from the end: negative).
    Keyword(&'static str, isize),
    /// Behind the last option of this name, from argument 2 on, where other
    /// options take as many words as it says; COMMAND does not tell.
    LastOption(&'static str, &'static [(&'static str, usize)]),
    /// Behind this word, from an argument on, if it is the last of some options
    /// that a key follows each: that one counts.
    LastOf(&'static str, usize, &'static [&'static str]),
    /// Nobody can tell.
    Unknown,
}

/// Which arguments from the first key on are keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Find {
    /// Up to `last` (counted from the first; negative: from the end), every `step`.
    Range {
        /// The last one.
        last: isize,
        /// The distance from one to the next.
        step: usize,
        /// With `last` -1: only the first half, third, … of the rest; 0 and 1: all.
        limit: usize,
    },
    /// An argument says how many; all places are counted from `begin`.
    Keynum {
        /// Where the number is.
        at: usize,
        /// Where the first key is.
        first: usize,
        /// The distance from one to the next.
        step: usize,
    },
    /// Nobody can tell.
    Unknown,
}

/// One row of a command's keys.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// From [`key_flag`].
    pub flags: u16,
    /// Where the first key is.
    pub begin: Begin,
    /// Which arguments from there on are keys.
    pub find: Find,
    /// A remark for COMMAND DOCS.
    pub notes: &'static str,
}

impl KeySpec {
    /// With a remark for COMMAND DOCS.
    pub const fn notes(mut self, notes: &'static str) -> KeySpec {
        self.notes = notes;
        self
    }
}

/// A single key.
pub const fn key(at: usize, flags: u16) -> KeySpec {
    keys(at, 0, 1, flags)
}

/// Keys from `at` to `last` (counted from `at`; negative: from the end), every `step`.
pub const fn keys(at: usize, last: isize, step: usize, flags: u16) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Index(at),
        find: Find::Range {
            last,
            step,
            limit: 0,
        },
        notes: "",
    }
}

/// As many keys as the argument `at` says, from the next one on, every `step`.
pub const fn numbered_keys(at: usize, step: usize, flags: u16) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Index(at),
        find: Find::Keynum {
            at: 0,
            first: 1,
            step,
        },
        notes: "",
    }
}

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// In lower case; of a subcommand, only its own.
    pub name: &'static str,
    /// Number of arguments, the name included; negative: at least so many.
    pub arity: i16,
    /// From [`flag`].
    pub flags: u32,
    /// From [`category`]; those that follow from the flags are added by [`Spec::categories`].
    pub own_categories: u32,
    /// Which arguments are keys.
    pub keys: &'static [KeySpec],
    /// What finds its keys, where its key specs are but an approximation.
    pub key_finder: Option<KeyFinder>,
    /// How its keys are used, where that depends on the other arguments.
    pub key_use: Option<KeyUse>,
    /// Which of its arguments are channels.
    pub channels: Channels,
    /// Which are databases.
    pub databases: Option<DatabaseFinder>,
    /// Which shards it must hold.
    pub scope: Scope,
    /// Whether, with these arguments, it touches keys that nobody can tell
    /// before it runs; then it holds the whole keyspace.
    pub reaches_beyond: Option<Reach>,
    /// Its subcommands.
    pub subcommands: &'static [Spec],
    /// For whoever routes commands over a cluster.
    pub tips: &'static [&'static str],
    /// Which arguments are for the server's ears only.
    pub secrets: Secrets,
    /// By its documented cost, the size of what it works on hardly matters.
    constant: bool,
    /// What COMMAND DOCS tells.
    pub doc: Doc,
    /// What runs it.
    pub handler: Handler,
}

impl Spec {
    /// A row with nothing but the necessary.
    pub const fn new(name: &'static str, arity: i16, handler: Handler) -> Spec {
        Spec {
            name,
            arity,
            flags: 0,
            own_categories: 0,
            keys: &[],
            key_finder: None,
            key_use: None,
            channels: Channels::None,
            databases: None,
            scope: Scope::Keys,
            reaches_beyond: None,
            subcommands: &[],
            tips: &[],
            secrets: |_, _| false,
            constant: false,
            doc: Doc {
                group: Group::Generic,
                since: "",
                complexity: "",
                summary: "",
                history: &[],
                deprecated: None,
                system: false,
                args: &[],
            },
            handler,
        }
    }

    /// Its flags.
    pub const fn flags(mut self, flags: u32) -> Spec {
        self.flags = flags;
        self
    }

    /// Its categories, beside those that follow from the flags.
    pub const fn category(mut self, categories: u32) -> Spec {
        self.own_categories = categories;
        self
    }

    /// Its keys.
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Spec {
        self.keys = keys;
        self
    }

    /// What finds its keys better than its key specs do; the first of those says
    /// how they are used.
    pub const fn key_finder(mut self, find: KeyFinder) -> Spec {
        self.key_finder = Some(find);
        self
    }

    /// How keys are used whose key specs say that it depends on the arguments.
    pub const fn key_use(mut self, tell: KeyUse) -> Spec {
        self.key_use = Some(tell);
        self
    }

    /// Which of its arguments are channels.
    pub const fn channels(mut self, channels: Channels) -> Spec {
        self.channels = channels;
        self
    }

    /// What finds the databases among its arguments.
    pub const fn databases(mut self, find: DatabaseFinder) -> Spec {
        self.databases = Some(find);
        self
    }

    /// Its scope, where that is not its keys.
    pub const fn scope(mut self, scope: Scope) -> Spec {
        self.scope = scope;
        self
    }

    /// When it touches keys that nobody can tell before it runs.
    pub const fn reaches_beyond(mut self, beyond: Reach) -> Spec {
        self.reaches_beyond = Some(beyond);
        self
    }

    /// What it must hold, called with these arguments.
    #[inline]
    pub fn scope_of<W: AsRef<[u8]>>(&self, argv: &[W]) -> Scope {
        match self.reaches_beyond {
            None => self.scope,
            Some(beyond) => {
                let words: Vec<&[u8]> = argv.iter().map(AsRef::as_ref).collect();
                match beyond(&words) {
                    true => Scope::All,
                    false => self.scope,
                }
            }
        }
    }

    /// Its subcommands.
    pub const fn subcommands(mut self, subcommands: &'static [Spec]) -> Spec {
        self.subcommands = subcommands;
        self
    }

    /// Arguments that no log may show; what was said in MONITOR's hearing, too.
    pub const fn secrets(mut self, secrets: Secrets) -> Spec {
        self.secrets = secrets;
        self
    }

    /// Its tips.
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Spec {
        self.tips = tips;
        self
    }

    /// Its documentation.
    pub const fn doc(
        mut self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Spec {
        self.doc.group = group;
        self.doc.since = since;
        self.doc.complexity = complexity;
        self.constant = begins(complexity, "O(1)") || begins(complexity, "O(log(N))");
        self.doc.summary = summary;
        self
    }

    /// What changed in which version.
    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Spec {
        self.doc.history = history;
        self
    }

    /// Since when something else is better, and what.
    pub const fn deprecated(mut self, since: &'static str, replaced_by: &'static str) -> Spec {
        self.doc.deprecated = Some((since, replaced_by));
        self
    }

    /// For the server's own parts and its tests.
    pub const fn system(mut self) -> Spec {
        self.doc.system = true;
        self
    }

    /// Its arguments.
    pub const fn args(mut self, args: &'static [Arg]) -> Spec {
        self.doc.args = args;
        self
    }

    /// Whether a flag is set.
    #[inline]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether a call with so many words takes a moment whatever the data: it
    /// reads and changes a bounded number of places, and waits for nobody.
    #[inline]
    pub fn is_brief(&self, args: usize) -> bool {
        self.constant
            && args <= BRIEF_ARGS
            && matches!(self.scope, Scope::Keys)
            && !self.has(flag::BLOCKING)
    }

    /// Whether so many arguments, the name included, will do.
    #[inline]
    pub const fn takes(&self, args: usize) -> bool {
        match self.arity {
            n if n >= 0 => args == n as usize,
            n => args >= n.unsigned_abs() as usize,
        }
    }

    /// All its categories.
    pub const fn categories(&self) -> u32 {
        let mut all = self.own_categories;
        if self.has(flag::WRITE) {
            all |= category::WRITE;
        }
        // Scripting's commands aside, what reads is in the category of readers.
        if self.has(flag::READONLY) && all & category::SCRIPTING == 0 {
            all |= category::READ;
        }
        if self.has(flag::ADMIN) {
            all |= category::ADMIN | category::DANGEROUS;
        }
        if self.has(flag::PUBSUB) {
            all |= category::PUBSUB;
        }
        if self.has(flag::FAST) {
            all |= category::FAST;
        }
        if self.has(flag::BLOCKING) {
            all |= category::BLOCKING;
        }
        if all & category::FAST == 0 {
            all |= category::SLOW;
        }
        all
    }

    /// Whether any argument is a key.
    pub fn has_keys(&self) -> bool {
        let is_key = |key: &KeySpec| key.flags & key_flag::NOT_KEY == 0;
        self.keys.iter().any(is_key)
    }

    /// How a key is used by a call, whose key spec has these flags.
    pub fn use_of(&self, flags: u16, argv: &[&[u8]]) -> u16 {
        match self.key_use {
            Some(tell) if flags & key_flag::VARIABLE_FLAGS != 0 => tell(argv),
            _ => flags & !key_flag::VARIABLE_FLAGS,
        }
    }

    /// Shows the index of every argument that is a key, with its flags, to
    /// `visit`; an error where the arguments do not fit the specs.
    pub fn each_key(
        &self,
        argv: &[&[u8]],
        mut visit: impl FnMut(usize, u16),
    ) -> Result<(), KeyError> {
        if let (Some(find), [spec, ..]) = (self.key_finder, self.keys) {
            return find(argv, &mut |at| visit(at, spec.flags));
        }
        // Nearly all have one key, at one place.
        if let [spec] = self.keys
            && let (Begin::Index(at), Find::Range { last: 0, .. }) = (&spec.begin, &spec.find)
        {
            if *at < argv.len() {
                visit(*at, spec.flags);
            }
            return Ok(());
        }
        for spec in self.keys {
            let Some(begin) = spec.first(argv) else {
                continue;
            };
            match spec.find {
                Find::Range { last, step, limit } => {
                    let last = match last {
                        n if n >= 0 => begin + n as usize,
                        n if limit <= 1 => argv.len().saturating_sub(n.unsigned_abs()),
                        n => {
                            let rest = argv.len() - begin;
                            begin + (rest / limit).saturating_sub(n.unsigned_abs())
                        }
                    };
                    if last >= argv.len() {
                        return Err(KeyError);
                    }
                    (begin..=last)
                        .step_by(step)
                        .for_each(|i| visit(i, spec.flags));
                }
                Find::Keynum { at, first, step } => {
                    let text = argv.get(begin + at).ok_or(KeyError)?;
                    let n = crate::base::num::parse_i64(text).ok_or(KeyError)?;
                    let n = usize::try_from(n).map_err(|_| KeyError)?;
                    let first = begin + first;
                    let room = argv.len().saturating_sub(first).div_ceil(step);
                    if n == 0 || n > room {
                        return Err(KeyError);
                    }
                    (0..n).for_each(|i| visit(first + i * step, spec.flags));
                }
                Find::Unknown => return Err(KeyError),
            }
        }
        Ok(())
    }
}

/// [`Secrets`] of options: behind each of these words so many arguments.
pub fn secrets_behind(argv: &[&[u8]], index: usize, words: &[(&str, usize)]) -> bool {
    words.iter().any(|(word, count)| {
        let options = &argv[index.saturating_sub(*count)..index];
        options
            .iter()
            .any(|w| w.eq_ignore_ascii_case(word.as_bytes()))
    })
}

const fn begins(text: &str, with: &str) -> bool {
    let (text, with) = (text.as_bytes(), with.as_bytes());
    let mut i = 0;
    while i < with.len() {
        if i >= text.len() || text[i] != with[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The arguments do not fit the command's key specs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyError;

impl KeySpec {
    fn first(&self, argv: &[&[u8]]) -> Option<usize> {
        match self.begin {
            Begin::Index(i) => (i < argv.len()).then_some(i),
            Begin::Keyword(word, from) => {
                let is_word = |i: &usize| argv[*i].eq_ignore_ascii_case(word.as_bytes());
                match usize::try_from(from) {
                    Ok(from) => (from..argv.len()).find(is_word),
                    Err(_) => {
                        let last = argv.len().checked_sub(from.unsigned_abs())?;
                        (1..=last).rev().find(is_word)
                    }
                }
                .map(|i| i + 1)
            }
            Begin::LastOption(name, others) => {
                let (mut at, mut found) = (2, None);
                while at < argv.len() {
                    let is = |word: &str| argv[at].eq_ignore_ascii_case(word.as_bytes());
                    if is(name) {
                        found = Some(at + 1);
                        at += 1;
                    } else if let Some((_, words)) = others.iter().find(|(word, _)| is(word)) {
                        at += words;
                    }
                    at += 1;
                }
                found.filter(|&at| at < argv.len())
            }
            Begin::LastOf(word, from, options) => {
                let is = |at: usize, word: &str| argv[at].eq_ignore_ascii_case(word.as_bytes());
                let (mut at, mut last) = (from, None);
                while at + 1 < argv.len() {
                    if options.iter().any(|option| is(at, option)) {
                        last = Some(at);
                        at += 1;
                    }
                    at += 1;
                }
                last.filter(|&at| is(at, word)).map(|at| at + 1)
            }
            Begin::Unknown => None,
        }
    }
}

/// Finds commands by name, in any case.
pub struct CommandTable {
    specs: Vec<&'static Spec>,
    /// Open addressing by the name's digest; indices into `specs`.
    slots: Vec<Option<u16>>,
    /// Names that `rename-command` gave or took away, in lower case, each with what
    /// it stands for.
    renamed: Vec<(Vec<u8>, Option<usize>)>,
    /// Where the counters of each command's subcommands begin.
    sub_counters: Vec<usize>,
    counters: usize,
}

impl CommandTable {
    /// A table of these families.
    pub fn new(families: &[&'static [Spec]]) -> CommandTable {
        let specs: Vec<&'static Spec> = families.iter().flat_map(|f| f.iter()).collect();
        let size = (specs.len() * 4).next_power_of_two();
        let mut counters = specs.len();
        let sub_counters = specs
            .iter()
            .map(|spec| {
                counters += spec.subcommands.len();
                counters - spec.subcommands.len()
            })
            .collect();
        let mut table = CommandTable {
            slots: vec![None; size],
            renamed: Vec::new(),
            specs,
            sub_counters,
            counters,
        };
        for (i, spec) in table.specs.iter().enumerate() {
            let mut at = name_hash(spec.name.as_bytes()) as usize & (size - 1);
            while table.slots[at].is_some() {
                at = (at + 1) & (size - 1);
            }
            table.slots[at] = Some(i as u16);
        }
        table
    }

    /// Has a command found by another name instead, by none where that is empty;
    /// elsewhere it keeps its own. An error, with why, where there is no such
    /// command, or one of the new name.
    pub fn rename(&mut self, old: &[u8], new: &[u8]) -> Result<(), &'static str> {
        let (number, _) = self.find(old).ok_or("No such command in rename-command")?;
        if self.find(new).is_some() && !new.eq_ignore_ascii_case(old) {
            return Err("Target command name already exists");
        }
        self.name(old, None);
        if !new.is_empty() {
            self.name(new, Some(number));
        }
        Ok(())
    }

    fn name(&mut self, name: &[u8], number: Option<usize>) {
        let name = name.to_ascii_lowercase();
        self.renamed.retain(|(other, _)| *other != name);
        self.renamed.push((name, number));
    }

    #[cold]
    fn find_renamed(&self, name: &[u8]) -> Option<Option<usize>> {
        let mut all = self.renamed.iter();
        let found = all.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, number)| *number)
    }

    /// A command of this name, and its number.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<(usize, &'static Spec)> {
        if !self.renamed.is_empty()
            && let Some(number) = self.find_renamed(name)
        {
            return number.map(|number| (number, self.specs[number]));
        }
        self.find_original(name)
    }

    /// The command of this name and its number, whatever it is called now.
    #[inline]
    pub fn find_original(&self, name: &[u8]) -> Option<(usize, &'static Spec)> {
        let mask = self.slots.len() - 1;
        let mut at = name_hash(name) as usize & mask;
        while let Some(i) = self.slots[at] {
            let spec = self.specs[usize::from(i)];
            if spec.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some((i.into(), spec));
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// The name by which the command of a row is found now; `None` where
    /// `rename-command` took it away.
    pub fn name_of(&self, name: &'static str) -> Option<&[u8]> {
        let is_it = |number: usize| self.specs[number].name == name;
        if self.find(name.as_bytes()).is_some_and(|(n, _)| is_it(n)) {
            return Some(name.as_bytes());
        }
        let mut renamed = self.renamed.iter();
        let found = renamed.find(|(_, number)| number.is_some_and(is_it));
        found.map(|(new, _)| &**new)
    }

    /// A command or, as `container|name`, a subcommand; with its container.
    pub fn find_full(&self, name: &[u8]) -> Option<(&'static Spec, Option<&'static Spec>)> {
        let mut parts = name.splitn(2, |&b| b == b'|');
        let (_, spec) = self.find(parts.next()?)?;
        let Some(rest) = parts.next() else {
            return Some((spec, None));
        };
        let is_named = |s: &&Spec| s.name.as_bytes().eq_ignore_ascii_case(rest);
        Some((spec.subcommands.iter().find(is_named)?, Some(spec)))
    }

    /// How many things are counted apart: commands and subcommands.
    pub fn counters(&self) -> usize {
        self.counters
    }

    /// The counter of a command, or of its subcommand at a place.
    #[inline]
    pub fn counter(&self, number: usize, sub: Option<usize>) -> usize {
        match sub {
            Some(at) => self.sub_counters[number] + at,
            None => number,
        }
    }

    /// The name under which a command, by number, and its subcommand are known.
    pub fn full_name(&self, number: usize, sub: Option<usize>) -> String {
        let spec = self.specs[number];
        match sub.and_then(|at| spec.subcommands.get(at)) {
            Some(sub) => format!("{}|{}", spec.name, sub.name),
            None => spec.name.to_string(),
        }
    }

    /// The name of what a counter counts.
    pub fn name_of_counter(&self, counter: usize) -> String {
        if counter < self.specs.len() {
            return self.full_name(counter, None);
        }
        // The last command whose subcommands begin no later; those without any
        // begin where the next ones do.
        let number = self.sub_counters.partition_point(|first| *first <= counter) - 1;
        self.full_name(number, Some(counter - self.sub_counters[number]))
    }

    /// What counts a command and its subcommands, or, named `container|name`, one
    /// of those; nothing where there is none of this name.
    pub fn counters_of(&self, name: &[u8]) -> Vec<usize> {
        let mut parts = name.splitn(2, |&b| b == b'|');
        let Some((number, spec)) = parts.next().and_then(|name| self.find(name)) else {
            return Vec::new();
        };
        let subs = spec.subcommands.iter().enumerate();
        match parts.next() {
            None => [None]
                .into_iter()
                .chain(subs.map(|(at, _)| Some(at)))
                .map(|sub| self.counter(number, sub))
                .collect(),
            Some(rest) => subs
                .filter(|(_, s)| s.name.as_bytes().eq_ignore_ascii_case(rest))
                .map(|(at, _)| self.counter(number, Some(at)))
                .collect(),
        }
    }

    /// All commands, in the order of their families.
    pub fn all(&self) -> &[&'static Spec] {
        &self.specs
    }
}

/// Length, first, middle and last letters: enough to tell a few hundred names apart.
#[inline]
fn name_hash(name: &[u8]) -> u32 {
    let n = name.len();
    let letter = |i: usize| u32::from(name.get(i).copied().unwrap_or(0) | 0x20);
    let mix =
        letter(0) | letter(n / 2) << 8 | letter(n.wrapping_sub(1)) << 16 | letter(n / 3) << 24;
    (mix ^ (n as u32).wrapping_mul(0x9e37)).wrapping_mul(0x9e37_79b1) >> 12
}
