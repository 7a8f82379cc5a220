//! The link to the leader: a task on one worker, which connects, introduces itself,
//! takes a snapshot in where it must, and carries out what comes behind it.
//!
//! ```text
//!   connect ─► PING, AUTH, REPLCONF … ─► PSYNC ─┬─ +CONTINUE ───────────────┐
//!      ▲                                        └─ +FULLRESYNC ─► snapshot ─┴─► changes
//!      └───────── once a second, for as long as that leader is wanted ◄────────────┘
//! ```
//!
//! Whoever asks for another leader, or for none, changes the turn
//! ([`Following::turn`]); the link looks at it in front of everything that it does to
//! the data, under all shards' locks, and ends where it has changed.
//!
//! [`Following::turn`]: crate::exec::following::Following::turn

mod payload;
mod stream;
mod wire;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use self::wire::Wire;
use super::Leader;
use crate::config::{Primary, param};
use crate::exec::engine::Engine;
use crate::exec::failover::Stage;
use crate::exec::following::Phase;

/// How long to wait before the leader is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Digits of a history's name.
const ID_LENGTH: usize = 40;
/// The version that is told the leader: that of Valkey whose snapshots are read.
const VERSION: &str = "9.1.2";

/// Reads a snapshot into the keyspace, which is empty; given by who knows its format.
pub type Load = fn(&Engine, Box<dyn Read + Send>) -> Result<Loaded, String>;

/// What a snapshot brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loaded {
    /// Keys that are there now.
    pub keys: u64,
    /// The database that the next change is about, where it says so.
    pub stream_db: Option<u32>,
}

/// Why a link ended. What there is to say of it is in the log.
enum End {
    /// It failed.
    Failed,
    /// It was up, and broke.
    Lost,
    /// It is not wanted any more.
    Unwanted,
}

/// What is wrong, as the log says it.
struct Trouble(String);

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is common to all steps of one attempt.
struct Attempt {
    engine: Arc<Engine>,
    leader: Arc<Leader>,
    worker: usize,
    turn: u64,
    load: Load,
}

/// Follows whom the server is told to follow, for ever, on the runtime of a worker.
pub async fn run(engine: Arc<Engine>, worker: usize, load: Load) {
    let mut is_lost = false;
    loop {
        let following = &engine.following;
        let turn = following.turn();
        let Some(primary) = following.leader() else {
            is_lost = false;
            following.changed.notified().await;
            continue;
        };
        let name = format!(
            "{}:{}",
            String::from_utf8_lossy(&primary.host),
            primary.port
        );
        match is_lost {
            true => crate::notice!("Reconnecting to PRIMARY {name}"),
            false => crate::notice!("Connecting to PRIMARY {name}"),
        }
        let attempt = Attempt {
            leader: engine.service::<Leader>().clone(),
            engine: engine.clone(),
            worker,
            turn,
            load,
        };
        let end = tokio::select! {
            end = attempt.live(&primary) => end,
            () = changed(&engine, turn) => End::Unwanted,
        };
        is_lost = matches!(end, End::Lost);
        if following.turn() == turn {
            following.set_phase(Phase::Connect);
            if !is_lost {
                tokio::select! {
                    () = sleep(RETRY) => {}
                    () = changed(&engine, turn) => {}
                }
            }
        }
    }
}

/// Waits until somebody wants another leader, or none.
async fn changed(engine: &Engine, turn: u64) {
    while engine.following.turn() == turn {
        engine.following.changed.notified().await;
    }
}

/// What the leader says to PSYNC.
enum Answer {
    /// Go on, in the history of this name or the present one.
    Continue(Option<String>),
    /// A snapshot comes, which is this old in the history of this name.
    Full(String, u64),
}

impl Attempt {
    async fn live(&self, primary: &Primary) -> End {
        let Some((mut wire, answer)) = self.introduce(primary).await else {
            return End::Failed;
        };
        match answer {
            Answer::Continue(id) => {
                if !self.leader.go_on(&self.engine, self.turn, id.as_deref()) {
                    return End::Unwanted;
                }
                crate::notice!(
                    "PRIMARY <-> REPLICA sync: Primary accepted a Partial Resynchronization."
                );
            }
            Answer::Full(id, offset) => {
                self.engine.following.set_phase(Phase::Sync);
                let stream_db = match self.take_snapshot(&mut wire).await {
                    Ok(loaded) => loaded.stream_db.map_or(-1, i64::from),
                    Err(end) => return end,
                };
                let history = (&id[..], offset);
                let (engine, turn) = (&self.engine, self.turn);
                if !self.leader.begin_history(engine, turn, history, stream_db) {
                    return End::Unwanted;
                }
                crate::notice!("PRIMARY <-> REPLICA sync: Finished with success");
            }
        }
        self.carry_out(wire, primary).await
    }

    /// Connects, and comes to an understanding.
    async fn introduce(&self, primary: &Primary) -> Option<(Wire, Answer)> {
        let following = &self.engine.following;
        following.set_phase(Phase::Connecting);
        let limit = self.patience();
        let source = self.engine.settings.text(param::BIND_SOURCE_ADDR);
        let source = String::from_utf8_lossy(&source).parse().ok();
        let wire = match timeout(limit, Wire::connect(primary, source)).await {
            Ok(Ok(wire)) => wire,
            Ok(Err(error)) => {
                crate::warning!("Error condition on socket for SYNC: {error}");
                return None;
            }
            Err(_) => {
                crate::warning!("Timeout connecting to the PRIMARY...");
                return None;
            }
        };
        crate::notice!("PRIMARY <-> REPLICA sync started");
        crate::notice!("Non blocking connect for SYNC fired the event.");
        following.set_phase(Phase::Handshake);
        let mut wire = wire;
        match timeout(limit, self.shake_hands(&mut wire)).await {
            Ok(Ok(answer)) => {
                if self.is_failing_over() {
                    match answer {
                        Some(_) => self.leader.end_failover(&self.engine, self.worker),
                        None => self.abort_failover(),
                    }
                }
                answer.map(|answer| (wire, answer))
            }
            Ok(Err(trouble)) => {
                crate::warning!("Sending command to primary in replication handshake: {trouble}");
                None
            }
            Err(_) => {
                crate::warning!("Timeout connecting to the PRIMARY...");
                None
            }
        }
    }

    /// How long the leader may say nothing.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.engine.settings.int(param::REPL_TIMEOUT) as u64)
    }

    async fn shake_hands(&self, wire: &mut Wire) -> Result<Option<Answer>, Trouble> {
        let settings = &self.engine.settings;
        let pong = wire.ask(&[b"PING"]).await?;
        let is_good = ["+", "-NOAUTH", "-NOPERM", "-ERR operation not permitted"];
        if !is_good.iter().any(|good| pong.starts_with(good)) {
            crate::warning!("Error reply to PING from primary: '{pong}'");
            return Ok(None);
        }
        crate::notice!("Primary replied to PING, replication can continue...");
        let (user, password) = (
            settings.text(param::PRIMARYUSER),
            settings.text(param::PRIMARYAUTH),
        );
        if !password.is_empty() {
            let words: &[&[u8]] = match user.is_empty() {
                true => &[b"AUTH", &password],
                false => &[b"AUTH", &user, &password],
            };
            let reply = wire.ask(words).await?;
            if reply.starts_with('-') {
                crate::warning!("Unable to AUTH to PRIMARY: {reply}");
                return Ok(None);
            }
        }
        let port = match settings.int(param::REPLICA_ANNOUNCE_PORT) {
            0 => settings.int(param::PORT),
            announced => announced,
        };
        let (port, address) = (port.to_string(), settings.text(param::REPLICA_ANNOUNCE_IP));
        let mut facts: Vec<(&str, Vec<&[u8]>)> =
            vec![("listening-port", vec![b"listening-port", port.as_bytes()])];
        if !address.is_empty() {
            facts.push(("ip-address", vec![b"ip-address", &address]));
        }
        facts.push(("capa", vec![b"capa", b"eof", b"capa", b"psync2"]));
        facts.push(("VERSION", vec![b"version", VERSION.as_bytes()]));
        for (name, fact) in facts {
            let words = [&[&b"REPLCONF"[..]], &fact[..]].concat();
            let reply = wire.ask(&words).await?;
            if reply.starts_with('-') {
                crate::notice!(
                    "(Non critical) Primary does not understand REPLCONF {name}: {reply}"
                );
            }
        }
        self.ask_to_go_on(wire).await
    }

    /// Whether the other one is asked to lead in this server's place.
    fn is_failing_over(&self) -> bool {
        self.engine.leading.failover.stage() == Stage::Asking
    }

    /// The other one does not want to lead.
    fn abort_failover(&self) {
        let _held = self.engine.keyspace.lock_all();
        if self.engine.following.turn() == self.turn {
            let why = "Failover target rejected psync request";
            self.leader.abort_failover(&self.engine, why);
        }
    }

    /// PSYNC.
    async fn ask_to_go_on(&self, wire: &mut Wire) -> Result<Option<Answer>, Trouble> {
        let leading = &self.engine.leading;
        let can_resume = self.engine.following.can_resume.load(Ordering::Relaxed);
        let (id, offset) = match can_resume {
            true => {
                let (id, next) = (leading.id(), leading.offset.load(Ordering::Acquire) + 1);
                crate::notice!("Trying a partial resynchronization (request {id}:{next}).");
                (id, next.to_string())
            }
            false => {
                crate::notice!("Partial resynchronization not possible (no cached primary)");
                ("?".into(), "-1".into())
            }
        };
        let mut words: Vec<&[u8]> = vec![b"PSYNC", id.as_bytes(), offset.as_bytes()];
        if self.is_failing_over() {
            words.push(b"FAILOVER");
        }
        wire.say(&words).await?;
        let reply = loop {
            // Empty lines say that it lives.
            let line = wire.line().await?;
            if !line.is_empty() {
                break line;
            }
        };
        let mut words = reply.split(' ');
        match words.next() {
            Some("+FULLRESYNC") => {
                let (id, offset) = (words.next(), words.next());
                let offset = offset.and_then(|text| text.parse().ok());
                match (id, offset) {
                    (Some(id), Some(offset)) if id.len() == ID_LENGTH => {
                        crate::notice!("Full resync from primary: {id}:{offset}");
                        return Ok(Some(Answer::Full(id.into(), offset)));
                    }
                    _ => crate::warning!("Primary replied with wrong +FULLRESYNC syntax."),
                }
            }
            Some("+CONTINUE") if can_resume => {
                crate::notice!("Successful partial resynchronization with primary.");
                let id = words.next().filter(|id| id.len() == ID_LENGTH);
                return Ok(Some(Answer::Continue(id.map(str::to_string))));
            }
            Some("-NOMASTERLINK" | "-LOADING") => crate::notice!(
                "Primary is currently unable to PSYNC but should be in the future: {reply}"
            ),
            Some("-ERR") => crate::notice!(
                "Primary does not support PSYNC or is in error state (reply: {reply})"
            ),
            _ => crate::warning!("Unexpected reply to PSYNC from primary: {reply}"),
        }
        Ok(None)
    }
}
