//! Whether the server does what it is there for, for whoever supervises it.

use std::fmt::Write;

use crate::base::clock;
use crate::config::param;
use crate::exec::engine::Engine;
use crate::store::memory;

/// How it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It serves.
    Ready,
    /// It does not serve yet.
    Loading,
    /// Something is wrong; the reasons say what.
    Degraded,
}

/// One thing that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reason {
    /// What it is.
    pub text: &'static str,
    /// Clients had better go elsewhere.
    pub is_serious: bool,
}

/// See the head of this file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// How it is.
    pub status: Status,
    /// What is wrong.
    pub reasons: Vec<Reason>,
}

/// What may be wrong: whether it is, and how bad that would be.
type Check = (fn(&Engine) -> bool, Reason);

const CHECKS: &[Check] = &[
    (
        |engine| engine.shutdown.is_requested(),
        Reason {
            text: "the server is shutting down",
            is_serious: true,
        },
    ),
    (
        is_full,
        Reason {
            text: "memory is at maxmemory and nothing may be evicted: writes are refused",
            is_serious: true,
        },
    ),
    (
        |engine| engine.saving.refuses_writes(&engine.settings),
        Reason {
            text: "the last snapshot failed (stop-writes-on-bgsave-error): writes are refused",
            is_serious: true,
        },
    ),
    (
        |engine| engine.clients.len() as i64 >= engine.settings.int(param::MAXCLIENTS),
        Reason {
            text: "there are maxclients clients: others are turned away",
            is_serious: true,
        },
    ),
    (
        |engine| engine.effects.pause.is_on(clock::unix_ms()),
        Reason {
            text: "clients are paused (CLIENT PAUSE)",
            is_serious: false,
        },
    ),
    (
        |engine| engine.effects.is_importing(),
        Reason {
            text: "data is brought in (import-mode): nothing expires or is evicted",
            is_serious: false,
        },
    ),
];

fn is_full(engine: &Engine) -> bool {
    let limit = engine.settings.int(param::MAXMEMORY) as usize;
    limit > 0 && engine.keyspace.evictor().is_forbidden() && memory::used_bytes() > limit
}

impl Health {
    /// How it stands now. `is_serving`: clients are taken in.
    pub fn of(engine: &Engine, is_serving: bool) -> Health {
        if !is_serving {
            let reason = Reason {
                text: "clients are not taken in yet",
                is_serious: true,
            };
            return Health {
                status: Status::Loading,
                reasons: vec![reason],
            };
        }
        let wrong = CHECKS.iter().filter(|(is_wrong, _)| is_wrong(engine));
        let reasons: Vec<Reason> = wrong.map(|(_, reason)| *reason).collect();
        let status = match reasons.is_empty() {
            true => Status::Ready,
            false => Status::Degraded,
        };
        Health { status, reasons }
    }

    /// Whether clients had better go elsewhere.
    pub fn is_serious(&self) -> bool {
        self.reasons.iter().any(|reason| reason.is_serious)
    }

    /// As JSON.
    pub fn to_json(&self, engine: &Engine) -> String {
        let status = match self.status {
            Status::Ready => "ready",
            Status::Loading => "loading",
            Status::Degraded => "degraded",
        };
        let mut json = format!("{{\"status\":\"{status}\",\"reasons\":[");
        for (i, reason) in self.reasons.iter().enumerate() {
            // They hold nothing that JSON would want escaped.
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(json, "{comma}\"{}\"", reason.text);
        }
        let uptime_s = clock::unix_ms().saturating_sub(engine.started_ms) / 1000;
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(
            json,
            "],\"uptime_seconds\":{uptime_s},\"version\":\"{version}\"}}"
        );
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit::Kit;

    #[test]
    fn a_server_that_serves_is_ready_and_one_that_does_not_yet_is_loading() {
        let kit = Kit::new();
        let health = Health::of(&kit.engine, true);
        assert_eq!((health.status, health.is_serious()), (Status::Ready, false));
        let json = health.to_json(&kit.engine);
        assert!(
            json.starts_with("{\"status\":\"ready\",\"reasons\":[],\"uptime_seconds\":"),
            "{json}"
        );
        let health = Health::of(&kit.engine, false);
        assert_eq!(
            (health.status, health.is_serious()),
            (Status::Loading, true)
        );
    }

    #[test]
    fn a_full_memory_is_serious_where_nothing_may_go() {
        let mut kit = Kit::new();
        kit.run("set some thing");
        kit.run("config set maxmemory 1 maxmemory-policy noeviction");
        let health = Health::of(&kit.engine, true);
        assert_eq!(
            (health.status, health.is_serious()),
            (Status::Degraded, true)
        );
        assert_eq!(health.reasons.len(), 1);
        kit.run("config set maxmemory-policy allkeys-lru");
        assert_eq!(Health::of(&kit.engine, true).status, Status::Ready);
    }

    #[test]
    fn a_pause_is_told_and_is_not_serious() {
        let mut kit = Kit::new();
        kit.run("client pause 100000 write");
        let health = Health::of(&kit.engine, true);
        assert_eq!(
            (health.status, health.is_serious()),
            (Status::Degraded, false)
        );
        assert!(health.to_json(&kit.engine).contains("CLIENT PAUSE"));
    }

    #[test]
    fn no_reason_wants_escaping() {
        for (_, reason) in CHECKS {
            let is_plain = |c: char| !c.is_control() && c != '"' && c != '\\';
            assert!(reason.text.chars().all(is_plain), "{}", reason.text);
        }
    }
}
