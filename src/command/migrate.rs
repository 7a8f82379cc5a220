//! MIGRATE: keys go to another server.
//!
//! The values are taken under the locks of their keys, which are watched from then
//! on. The rest is a job beside the client's connection ([`crate::exec::waiting`]),
//! so that neither a lock nor a worker waits for the other server:
//!
//! ```text
//!  handler    lock · read values, watch keys · unlock
//!  job        connect · AUTH · SELECT · RESTORE … · read what the other says
//!  settle     lock · has a key changed? ── no ──► remove the keys · unlock · reply
//!                            └─ yes: read it again · unlock · send that and ask again
//! ```
//!
//! What has changed is sent again by RESTORE … REPLACE, or by DEL where it is gone:
//! the other's copy is this command's own. So a change that a client made here while
//! its key was on the way goes with the key. A key that changes each time stays, and
//! the reply says so.
//!
//! **Invariant:** a key is removed only under its lock, only if the other server
//! has acknowledged it, and only if nothing has changed it since that value was
//! read. Whatever fails, the key stays here.

mod link;
mod pool;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::{clock, num};
use crate::exec::args::{Args, Key};
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::engine::{Counters, Engine};
use crate::exec::spec::{
    Arg, ArgKind, Begin, Find, Group, KeyError, KeySpec, Spec,
    category::{DANGEROUS, KEYSPACE},
    flag::*,
    key,
    key_flag::*,
    secrets_behind,
};
use crate::exec::txn::{Found, Txn};
use crate::exec::waiting::{Completed, Waiter};
use crate::persist::rdb::{self, Rules};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::protocol::request;
use crate::store::shard::WatchFlag;
use link::Link;
use pool::{Pool, Target};

/// Where the options begin.
const OPTIONS_AT: usize = 6;
/// Options, each with how many words follow it.
const OPTIONS: [(&str, usize); 4] = [("copy", 0), ("replace", 0), ("auth", 1), ("auth2", 2)];
/// For how long the other server may be silent where the client does not say.
const TIMEOUT_MS: i64 = 1_000;
/// How often what has changed on its way is sent.
const ROUNDS_MAX: usize = 16;

/// What the client said.
struct Order {
    host: String,
    port: u16,
    db: i64,
    timeout: Duration,
    /// AUTH and its words, where the other wants to know who comes.
    login: Vec<Vec<u8>>,
    copies: bool,
    replaces: bool,
}

impl Order {
    fn of(ctx: &Ctx<'_, '_>) -> Result<Order, Error> {
        let argv = ctx.args.all();
        let (mut copies, mut replaces, mut login) = (false, false, Vec::new());
        let mut args = Args::new(argv, &[], &[], OPTIONS_AT);
        while !args.is_empty() {
            if args.flag("COPY") {
                copies = true;
            } else if args.flag("REPLACE") {
                replaces = true;
            } else if args.option("AUTH") {
                login = vec![b"AUTH".to_vec(), args.bytes()?.to_vec()];
            } else if args.left() >= 3 && args.flag("AUTH2") {
                let (name, password) = (args.bytes()?, args.bytes()?);
                login = vec![b"AUTH".to_vec(), name.to_vec(), password.to_vec()];
            } else if args.flag("KEYS") {
                if !argv[3].is_empty() {
                    return Err(Error::MIGRATE_KEYS);
                }
                break;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        let int = |at: usize| num::parse_i64(argv[at]).ok_or(Error::NOT_INTEGER);
        let timeout_ms = match int(5)? {
            ..=0 => TIMEOUT_MS,
            ms => ms,
        };
        Ok(Order {
            host: String::from_utf8_lossy(argv[1]).into_owned(),
            // What is no port is nowhere to be reached.
            port: num::parse_i64(argv[2])
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(0),
            db: int(4)?,
            timeout: Duration::from_millis(timeout_ms.unsigned_abs()),
            login,
            copies,
            replaces,
        })
    }
}

impl Order {
    fn target(&self) -> Target {
        Target {
            host: self.host.clone(),
            port: self.port,
            login: self.login.clone(),
        }
    }

    /// What is said in front of the first key, and in how many commands, where this
    /// database is selected. Who comes is said each time: the password may no longer be
    /// right.
    fn prelude(&self, selected: Option<i64>) -> (Vec<u8>, usize) {
        let (mut out, mut count) = (Vec::new(), 0);
        if !self.login.is_empty() {
            request::write(&mut out, &self.login);
            count += 1;
        }
        if selected != Some(self.db) {
            request::write(&mut out, &[b"SELECT", self.db.to_string().as_bytes()]);
            count += 1;
        }
        (out, count)
    }
}

/// How a key stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be sent.
    Ready,
    /// The other server has it, or has removed it.
    Acknowledged,
    /// The other server does not want it.
    Refused,
}

/// One key on its way.
struct Parcel {
    state: State,
    /// It was sent before: what is there may be replaced.
    again: bool,
    /// The value and its time to live in milliseconds, 0 for ever; `None` where the
    /// key has gone since it was sent.
    content: Option<(Vec<u8>, u64)>,
    /// Raised when the key changes.
    flag: WatchFlag,
}

impl Parcel {
    /// Reads a key, and has it watched.
    fn of(txn: &mut Txn<'_>, key: &Key<'_>, found: Option<Found>, rules: &Rules) -> Parcel {
        let now_ms = txn.now_ms;
        let content = found.map(|found| {
            let entry = txn.entry(found);
            let left_ms = |at: u64| at.saturating_sub(now_ms).max(1);
            let ttl_ms = entry.deadline().map_or(0, left_ms);
            (rdb::payload(entry.value(), rules), ttl_ms)
        });
        let (db, flag) = (txn.db, WatchFlag::default());
        txn.shard_for(key).watch(db, key.bytes, &flag);
        Parcel {
            state: State::Ready,
            again: false,
            content,
            flag,
        }
    }

    /// Reads it again, where it has changed.
    fn renew(&mut self, txn: &mut Txn<'_>, key: &Key<'_>, rules: &Rules) {
        self.let_go(txn, key);
        let found = txn.find(key);
        *self = Parcel {
            again: true,
            ..Parcel::of(txn, key, found, rules)
        };
    }

    fn let_go(&self, txn: &mut Txn<'_>, key: &Key<'_>) {
        let db = txn.db;
        txn.shard_for(key).unwatch(db, key.bytes, &self.flag);
    }

    fn has_changed(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Writes the command that brings it over.
    fn write(&mut self, key: &Key<'_>, replaces: bool, out: &mut Vec<u8>) {
        match &self.content {
            Some((payload, ttl_ms)) => {
                let ttl = ttl_ms.to_string();
                let all = [b"RESTORE", key.bytes, ttl.as_bytes(), payload, b"REPLACE"];
                let count = all.len() - usize::from(!replaces && !self.again);
                request::write(out, &all[..count]);
            }
            None => request::write(out, &[b"DEL", key.bytes]),
        }
        // It may be large, and is not needed any more.
        self.content = None;
    }
}

/// Keys on their way.
struct Migration {
    order: Order,
    parcels: Vec<Parcel>,
    /// The first thing that the other server did not like.
    refusal: Option<Error>,
    /// Nothing more can be said to the other server.
    broken: Option<Error>,
    /// The other server did not let it in, or choose the database.
    shut_out: bool,
    /// The command's own work up to now, in nanoseconds.
    worked_ns: u64,
}

/// A connection to the other server.
struct Way {
    link: Link,
    /// The database that is selected there, where one is.
    selected: Option<i64>,
    /// It was there before: the other may have closed it.
    is_kept: bool,
    counters: Arc<Counters>,
}

impl Way {
    async fn open(order: &Order, counters: &Arc<Counters>) -> io::Result<Way> {
        let link = Link::open(&order.host, order.port, order.timeout, counters).await?;
        Ok(Way {
            link,
            selected: None,
            is_kept: false,
            counters: counters.clone(),
        })
    }

    /// Says two things, and hears the first line of what comes back; or what failed, for
    /// the client, and why.
    async fn say(&mut self, first: &[u8], then: &[u8]) -> Result<Vec<u8>, (Error, io::Error)> {
        for bytes in [first, then] {
            let said = self.link.write(bytes).await;
            said.map_err(|e| (Error::MIGRATE_WRITE, e))?;
        }
        let heard = self.link.line().await;
        heard.map_err(|e| (Error::MIGRATE_READ, e))
    }

    /// Whether an error may come of nothing but that the other had closed it before.
    fn may_be_closed(&self, error: &io::Error) -> bool {
        self.is_kept && error.kind() != io::ErrorKind::TimedOut
    }
}

impl Migration {
    /// The whole way, once the values are read.
    async fn run(mut self, names: Vec<(Vec<u8>, u64)>, engine: Arc<Engine>, waiter: Arc<Waiter>) {
        let keys: Vec<Key<'_>> = names
            .iter()
            .map(|(bytes, digest)| Key::new(bytes, *digest))
            .collect();
        let pool = engine.service::<Pool>();
        let target = self.order.target();
        let way = match pool.take(&target) {
            Some((mut link, selected)) => {
                link.set_silence_max(self.order.timeout);
                Ok(Way {
                    link,
                    selected: Some(selected),
                    is_kept: true,
                    counters: engine.counters.clone(),
                })
            }
            None => Way::open(&self.order, &engine.counters).await,
        };
        let mut way = match way {
            Ok(way) => Some(way),
            Err(_) => {
                self.broken = Some(Error::MIGRATE_CONNECT);
                None
            }
        };
        for round in 1..=ROUNDS_MAX {
            if let Some(way) = &mut way {
                self.send(&keys, way, round == 1).await;
            }
            let (is_last, worked_ns) = (round == ROUNDS_MAX, self.worked_ns);
            let db = self.order.db;
            let settle = |txn: &mut Txn<'_>, reply: &mut Reply<'_>| {
                let rules = Rules::of(&engine.settings);
                let is_sound = self.broken.is_none() && !self.shut_out;
                let completed = self.settle(txn, &keys, reply, &rules, is_last);
                // Before the client hears of it: its next call may take this one.
                if let (Completed::Over(_), true) = (&completed, is_sound)
                    && let Some(way) = way.take()
                {
                    pool.put(target.clone(), way.link, db);
                }
                completed
            };
            if waiter.complete(&engine, &keys, worked_ns, settle).is_none() {
                return;
            }
        }
    }

    /// Sends all that is to be sent, and hears what becomes of it.
    async fn send(&mut self, keys: &[Key<'_>], way: &mut Way, is_first: bool) {
        let began_ns = clock::work_ns();
        let mut out = Vec::new();
        let ready: Vec<usize> = (0..self.parcels.len())
            .filter(|&i| self.parcels[i].state == State::Ready)
            .collect();
        for &i in &ready {
            self.parcels[i].write(&keys[i], self.order.replaces, &mut out);
        }
        self.worked_ns += clock::work_ns() - began_ns;
        let (mut prelude, mut preludes) = match is_first {
            true => self.order.prelude(way.selected),
            false => (Vec::new(), 0),
        };
        let mut heard = way.say(&prelude, &out).await;
        if heard.as_ref().is_err_and(|(_, e)| way.may_be_closed(e)) {
            // The other closes what it takes for unused: that is no failure.
            if let Ok(new) = Way::open(&self.order, &way.counters).await {
                *way = new;
                (prelude, preludes) = self.order.prelude(None);
                heard = way.say(&prelude, &out).await;
            }
        }
        drop(out);
        let mut heard = match heard {
            Ok(line) => Some(line),
            Err((error, _)) => {
                self.broken = Some(error);
                return;
            }
        };
        (way.selected, way.is_kept) = (Some(self.order.db), false);
        let mut refused = None;
        for n in 0..preludes + ready.len() {
            let line = match heard.take() {
                Some(first) => first,
                None => match way.link.line().await {
                    Ok(line) => line,
                    Err(_) => {
                        self.broken = Some(Error::MIGRATE_READ);
                        return;
                    }
                },
            };
            let said = line.strip_prefix(b"-");
            if refused.is_none()
                && let Some(said) = said
            {
                let text = [b"ERR Target instance replied with error: ", said].concat();
                refused = Some(Error::new(text));
            }
            if let Some(n) = n.checked_sub(preludes) {
                // Where it was not let in, a key that went all the same went astray.
                let is_fine = said.is_none() && !self.shut_out;
                self.parcels[ready[n]].state = match is_fine {
                    true => State::Acknowledged,
                    false => State::Refused,
                };
            }
            if n + 1 == preludes {
                self.shut_out = refused.is_some();
            }
        }
        self.refusal = self.refusal.take().or(refused);
    }

    /// Removes what has arrived; or reads again what has changed on the way.
    fn settle(
        &mut self,
        txn: &mut Txn<'_>,
        keys: &[Key<'_>],
        reply: &mut Reply<'_>,
        rules: &Rules,
        is_last: bool,
    ) -> Completed<()> {
        let mut has_changed = false;
        let goes_on = self.broken.is_none() && !is_last;
        for (parcel, key) in self.parcels.iter_mut().zip(keys) {
            let has_arrived = parcel.state == State::Acknowledged;
            if has_arrived && parcel.has_changed() && !self.order.copies {
                has_changed = true;
                if goes_on {
                    parcel.renew(txn, key, rules);
                }
            }
        }
        if has_changed && goes_on {
            return Completed::More(());
        }
        self.remove(txn, keys);
        Completed::Over(match (self.refusal.take(), self.broken.take()) {
            (Some(error), _) | (None, Some(error)) => Err(error),
            (None, None) if has_changed => Err(Error::MIGRATE_CHANGED),
            (None, None) => {
                reply.ok();
                Ok(())
            }
        })
    }

    /// Removes what the other server has and nobody has changed, unless it is a copy;
    /// watches no more.
    fn remove(&self, txn: &mut Txn<'_>, keys: &[Key<'_>]) {
        let mut removed = vec![b"DEL".to_vec()];
        for (parcel, key) in self.parcels.iter().zip(keys) {
            parcel.let_go(txn, key);
            let has_arrived = parcel.state == State::Acknowledged && !parcel.has_changed();
            let may_go = has_arrived && !self.order.copies;
            if let Some(found) = txn.find(key).filter(|_| may_go) {
                txn.remove(key, found, Event::DEL);
                removed.push(key.bytes.to_vec());
            }
        }
        if removed.len() > 1 {
            txn.rewrite(|| removed);
        }
    }
}

/// MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password]
/// [AUTH2 name password] [KEYS key …]
fn migrate(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let began_ns = clock::work_ns();
    let order = Order::of(ctx)?;
    if ctx.session.in_exec {
        return Err(Error::MIGRATE_IN_EXEC);
    }
    let argv = ctx.args.all();
    let rules = Rules::of(&ctx.engine.settings);
    let (mut names, mut parcels) = (Vec::new(), Vec::new());
    for at in ctx.args.keys() {
        let bytes = argv[at.arg as usize];
        let digest = at.digest;
        let key = Key::new(bytes, digest);
        if let Some(found) = ctx.txn.look_up(&key) {
            parcels.push(Parcel::of(ctx.txn, &key, Some(found), &rules));
            names.push((bytes.to_vec(), digest));
        }
    }
    if parcels.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(());
    }
    let migration = Migration {
        order,
        parcels,
        refusal: None,
        broken: None,
        shut_out: false,
        worked_ns: clock::work_ns() - began_ns,
    };
    ctx.start(Box::new(move |engine, waiter| {
        Box::pin(migration.run(names, engine, waiter))
    }));
    Ok(())
}

/// Closes connections that nobody has used for long.
pub fn drop_idle_links(engine: &Engine) {
    engine.service::<Pool>().drop_idle();
}

/// The key, or those behind KEYS.
fn find_keys(argv: &[&[u8]], visit: &mut dyn FnMut(usize)) -> Result<(), KeyError> {
    let mut at = OPTIONS_AT;
    while at < argv.len() {
        let is = |word: &str| argv[at].eq_ignore_ascii_case(word.as_bytes());
        if is("keys") {
            if argv[3].is_empty() {
                (at + 1..argv.len()).for_each(visit);
            }
            return Ok(());
        }
        let option = OPTIONS.iter().find(|(word, _)| is(word));
        at += 1 + option.map_or(0, |(_, more)| *more);
    }
    visit(3);
    Ok(())
}

// ----- rows -------------------------------------------------------------------

/// Behind the word, to the end.
const MORE_KEYS: KeySpec = KeySpec {
    flags: RW | ACCESS | DELETE | INCOMPLETE,
    begin: Begin::Keyword("KEYS", -2),
    find: Find::Range {
        last: -1,
        step: 1,
        limit: 0,
    },
    notes: "",
};

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("migrate", -6, migrate)
    .flags(WRITE | NO_MULTI | MOVABLE_KEYS)
    .category(KEYSPACE | DANGEROUS)
    .keys(&[key(3, RW | ACCESS | DELETE), MORE_KEYS])
    .key_finder(find_keys)
    .secrets(|argv, i| i > OPTIONS_AT && secrets_behind(argv, i, &OPTIONS[2..]))
    .tips(&["nondeterministic_output"])
    .doc(
        Group::Generic,
        "2.6.0",
        "This command actually executes a DUMP+DEL in the source instance, and a RESTORE in the target instance. See the pages of these commands for time complexity. Also an O(N) data transfer between the two instances is performed.",
        "Moves keys to another server.",
    )
    .history(&[
        ("3.0.0", "Added the `COPY` and `REPLACE` options."),
        ("3.0.6", "Added the `KEYS` option."),
        ("4.0.7", "Added the `AUTH` option."),
        ("6.0.0", "Added the `AUTH2` option."),
    ])
    .args(&[
        Arg::new("host", ArgKind::String),
        Arg::new("port", ArgKind::Integer),
        Arg::one_of(
            "key-selector",
            &[Arg::key("key"), Arg::word("empty-string", "\"\"")],
        ),
        Arg::new("destination-db", ArgKind::Integer),
        Arg::new("timeout", ArgKind::Integer),
        Arg::word("copy", "COPY").optional().since("3.0.0"),
        Arg::word("replace", "REPLACE").optional().since("3.0.0"),
        Arg::one_of(
            "authentication",
            &[
                Arg::new("auth", ArgKind::String)
                    .shown_as("password")
                    .token("AUTH")
                    .since("4.0.7"),
                Arg::block(
                    "auth2",
                    &[
                        Arg::new("username", ArgKind::String),
                        Arg::new("password", ArgKind::String),
                    ],
                )
                .token("AUTH2")
                .since("6.0.0"),
            ],
        )
        .optional(),
        Arg::new("keys", ArgKind::Key(1))
            .shown_as("key")
            .token("KEYS")
            .optional()
            .multiple()
            .since("3.0.6"),
    ])];

#[cfg(test)]
mod tests {
    use crate::command::testkit::{Kit, check};

    #[test]
    fn what_cannot_be_done_is_said_at_once() {
        let mut kit = Kit::new();
        kit.run("set k v");
        check(
            &mut kit,
            &[
                ("migrate h 1 none 0 0", "+NOKEY"),
                ("migrate h 1 \"\" 0 0 keys", "+NOKEY"),
                ("migrate h 1 \"\" 0 0 copy keys none other", "+NOKEY"),
                ("migrate h 1 k 0 0 auth", "-ERR syntax error"),
                ("migrate h 1 k 0 0 auth2 name", "-ERR syntax error"),
                ("migrate h 1 k 0 0 move", "-ERR syntax error"),
                (
                    "migrate h 1 k x 0",
                    "-ERR value is not an integer or out of range",
                ),
                (
                    "migrate h 1 k 0 x",
                    "-ERR value is not an integer or out of range",
                ),
                (
                    "migrate h 1 k 0 0 keys a b",
                    "-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                ),
                ("multi", "+OK"),
                (
                    "migrate h 1 k 0 0",
                    "-ERR Command 'migrate' not allowed inside a transaction",
                ),
            ],
        );
    }

    #[test]
    fn its_keys_are_told() {
        check(
            &mut Kit::new(),
            &[
                ("command getkeys migrate h 1 k 0 0 copy", "*1 $1 k"),
                (
                    "command getkeys migrate h 1 \"\" 0 0 auth keys replace keys a b",
                    "*2 $1 a $1 b",
                ),
            ],
        );
    }
}
