//! MONITOR: clients that are shown every command as it has run.
//!
//! They are shown it under the locks that it ran under, so that commands on the
//! same keys appear in the order in which they took effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::command_log::REDACTED;
use super::mail::Message;
use super::session::{Client, Session};
use super::spec::{Spec, flag};
use crate::base::clock;
use crate::config;
use crate::protocol::reply::Reply;

/// Those who look on.
#[derive(Default)]
pub struct Monitors {
    any: AtomicBool,
    clients: Mutex<Vec<Arc<Client>>>,
}

/// A session looks on until this goes.
struct Looking {
    monitors: Arc<Monitors>,
    client: Arc<Client>,
}

impl Monitors {
    /// Has a session's client look on from now on.
    pub fn add(self: &Arc<Self>, session: &mut Session) {
        let client = &session.client;
        session.extensions.get_or_insert_with(|| {
            let mut clients = self.clients.lock();
            clients.push(client.clone());
            self.any.store(true, Ordering::Relaxed);
            client.monitor.store(true, Ordering::Relaxed);
            Looking {
                monitors: self.clone(),
                client: client.clone(),
            }
        });
        session.monitor = true;
    }

    /// Shows a command that has run, unless it is none of theirs.
    #[inline]
    pub fn show(&self, session: &Session, spec: &Spec, argv: &[&[u8]]) {
        if self.any.load(Ordering::Relaxed) && !spec.has(flag::SKIP_MONITOR | flag::ADMIN) {
            self.post(session, spec, argv);
        }
    }

    /// Shows a command that is about to run, though commands of its kind are not shown
    /// when they have.
    #[inline]
    pub fn show_now(&self, session: &Session, spec: &Spec, argv: &[&[u8]]) {
        if self.any.load(Ordering::Relaxed) {
            self.post(session, spec, argv);
        }
    }

    #[cold]
    fn post(&self, session: &Session, spec: &Spec, argv: &[&[u8]]) {
        let line = line(session, spec, argv, clock::unix_us());
        let write = |reply: &mut Reply<'_>| reply.simple(&line);
        let message = Message::new(&write);
        let clients = self.clients.lock();
        clients.iter().for_each(|client| client.post(&message));
    }
}

/// Has a session's client look on no more.
pub fn end(session: &mut Session) {
    session.extensions.remove::<Looking>();
    session.monitor = false;
}

impl Drop for Looking {
    fn drop(&mut self) {
        let mut clients = self.monitors.clients.lock();
        clients.retain(|client| client.id != self.client.id);
        let any = !clients.is_empty();
        self.monitors.any.store(any, Ordering::Relaxed);
        self.client.monitor.store(false, Ordering::Relaxed);
    }
}

/// `1700000000.123456 [0 127.0.0.1:50000] "set" "key" "value"`.
fn line(session: &Session, spec: &Spec, argv: &[&[u8]], now_us: u64) -> String {
    let client = &session.client;
    let from = match client.is_unix {
        true => format!("unix:{}", client.addr.trim_end_matches(":0")),
        false => client.addr.clone(),
    };
    let from = match session.in_script {
        true => "lua".into(),
        false => from,
    };
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    let mut line = format!("{seconds}.{micros:06} [{} {from}]", session.db).into_bytes();
    for (i, word) in argv.iter().enumerate() {
        let is_secret = i > 0 && (spec.secrets)(argv, i);
        line.push(b' ');
        config::quote(if is_secret { REDACTED } else { word }, &mut line);
    }
    String::from_utf8_lossy(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use crate::command::testkit::Kit;
    use crate::protocol::output::Output;

    fn seen(kit: &Kit) -> Vec<String> {
        let mut out = Output::default();
        kit.session.client.collect(&mut out);
        let text = String::from_utf8_lossy(out.single().unwrap_or_default()).into_owned();
        let word = |line: &str| line.split_once(' ').expect("a time").1.to_string();
        text.lines().map(word).collect()
    }

    #[test]
    fn commands_are_shown_as_they_ran_and_secrets_are_not() {
        let mut kit = Kit::new();
        let mut monitor = kit.another();
        assert_eq!(monitor.run("monitor"), "+OK\r\n");
        assert_eq!(monitor.run("monitor"), "", "as in Valkey");
        kit.run("set k \"a\\n\\x01\"");
        kit.run("select 3");
        kit.run("config get maxmemory");
        kit.run("incr");
        kit.run("nonsense");
        kit.run("auth somebody secret");
        kit.run("multi");
        kit.run("get k");
        kit.run("exec");
        assert_eq!(
            seen(&monitor),
            [
                "[0 127.0.0.1:1] \"set\" \"k\" \"a\\n\\x01\"",
                "[3 127.0.0.1:1] \"select\" \"3\"",
                "[3 127.0.0.1:1] \"auth\" \"(redacted)\" \"(redacted)\"",
                "[3 127.0.0.1:1] \"multi\"",
                "[3 127.0.0.1:1] \"get\" \"k\"",
                "[3 127.0.0.1:1] \"exec\"",
            ]
        );
    }

    #[test]
    fn a_transaction_that_failed_is_shown_to_be_over() {
        let mut kit = Kit::new();
        let mut monitor = kit.another();
        monitor.run("monitor");
        kit.run("multi");
        kit.run("nonsense");
        kit.run("exec");
        let seen = seen(&monitor).join(",");
        assert!(seen.ends_with("\"multi\",[0 127.0.0.1:1] \"exec\""));
    }

    #[test]
    fn who_looks_on_touches_no_key_until_reset() {
        let mut kit = Kit::new();
        let mut monitor = kit.another();
        monitor.run("monitor");
        let refused = "-ERR Replica can't interact with the keyspace\r\n";
        for command in ["get k", "set k v", "publish a b"] {
            assert_eq!(monitor.run(command), refused);
        }
        assert!(kit.run("client list").contains("flags=O "));
        let said = monitor.run("ping");
        assert!(said.starts_with("+PONG\r\n+") && said.ends_with("\"ping\"\r\n"));
        assert_eq!(monitor.run("reset"), "+RESET\r\n");
        assert_eq!(monitor.run("get k"), "$-1\r\n");
        kit.run("ping");
        assert!(seen(&monitor).is_empty());
        monitor.run("monitor");
        drop(monitor);
        kit.run("ping");
        let any = &kit.engine.monitors.any;
        assert!(!any.load(std::sync::atomic::Ordering::Relaxed));
    }
}
