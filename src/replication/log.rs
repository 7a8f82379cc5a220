//! The log: effects as the bytes of commands.
//!
//! A command that is about another database than the one before stands behind a
//! SELECT; the commands of one effect, where they are several, stand between MULTI
//! and EXEC, so that a follower never shows a part of it.
//!
//! While another server is followed, the log is that server's, byte for byte: what
//! comes by the link stands ready ([`Log::ready`]) and is appended as it is carried out.

use super::backlog::Backlog;
use crate::base::num::IntText;
use crate::exec::effect::Effect;
use crate::protocol::request;

/// What is kept of the memory for what is on its way, in bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// See the head of this file.
pub struct Log {
    backlog: Backlog,
    /// Bytes in all.
    offset: u64,
    /// The database that the last command was about.
    db: Option<u32>,
    /// What was appended and is not sent yet.
    fresh: Vec<u8>,
    /// Another server's log is kept here.
    relay: Option<Relay>,
    /// The database that its next command is about; -1 where that says so itself.
    stream_db: i64,
}

/// What has come of another server's log.
#[derive(Default)]
struct Relay {
    /// The link, as a client; 0 for none.
    link: u64,
    /// What is about to be carried out.
    ready: Vec<u8>,
    /// The database that is selected behind that.
    db: i64,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            backlog: Backlog::default(),
            offset: 0,
            db: None,
            fresh: Vec::new(),
            relay: None,
            stream_db: -1,
        }
    }
}

impl Log {
    /// Bytes that were appended in all.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The end that is kept.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// The next command says which database it is about.
    pub fn forget_database(&mut self) {
        self.db = None;
    }

    /// What is appended is another server's log from now on.
    pub fn begin_relay(&mut self) {
        self.relay = Some(Relay::default());
        self.stream_db = -1;
    }

    /// What is appended is this server's own again.
    pub fn end_relay(&mut self) {
        self.relay = None;
        self.stream_db = -1;
        self.db = None;
    }

    /// Whether this is another server's log.
    pub fn is_relayed(&self) -> bool {
        self.relay.is_some()
    }

    /// That server's log comes by this client now.
    pub fn set_link(&mut self, link: u64) {
        if let Some(relay) = &mut self.relay {
            *relay = Relay {
                link,
                ..Relay::default()
            };
        }
    }

    /// The link by which another server's log comes; 0 for none.
    pub fn link(&self) -> u64 {
        self.relay.as_ref().map_or(0, |relay| relay.link)
    }

    /// By this link came what is about to be carried out; behind it the database `db`
    /// is selected.
    pub fn ready(&mut self, link: u64, bytes: &[u8], db: i64) {
        if let Some(relay) = self.relay.as_mut().filter(|relay| relay.link == link) {
            relay.ready.extend_from_slice(bytes);
            relay.db = db;
        }
    }

    /// The last so many bytes of that are not carried out yet: they come again.
    pub fn unready(&mut self, link: u64, bytes: usize) {
        if let Some(relay) = self.relay.as_mut().filter(|relay| relay.link == link) {
            relay
                .ready
                .truncate(relay.ready.len().saturating_sub(bytes));
        }
    }

    /// Appends what came by this link and is carried out; false where that is nothing.
    pub fn carry_out(&mut self, link: u64) -> bool {
        match &mut self.relay {
            Some(relay) if relay.link == link && !relay.ready.is_empty() => {
                self.fresh.append(&mut relay.ready);
                self.stream_db = relay.db;
                true
            }
            _ => false,
        }
    }

    /// The database that the next command of another server's log is about.
    pub fn stream_db(&self) -> i64 {
        self.stream_db
    }

    /// Begins anew behind the byte with this number.
    pub fn restart_at(&mut self, offset: u64, stream_db: i64) {
        self.forget();
        self.fresh.clear();
        self.offset = offset;
        self.stream_db = stream_db;
    }

    /// Appends the commands of an effect.
    pub fn append_effect(&mut self, effect: &Effect) {
        let commands = &effect.commands;
        let is_block = commands.len() > 1 && !effect.is_apart;
        if is_block {
            self.append(&[b"MULTI"]);
        }
        for (db, bytes) in commands.iter() {
            if self.db != Some(db) {
                self.db = Some(db);
                let db = IntText::new(db.into());
                self.append(&[&b"SELECT"[..], db.as_bytes()]);
            }
            self.fresh.extend_from_slice(bytes);
        }
        if is_block {
            self.append(&[b"EXEC"]);
        }
    }

    /// Appends a command as it is.
    pub fn append(&mut self, words: &[impl AsRef<[u8]>]) {
        request::write(&mut self.fresh, words);
    }

    /// What was appended since this was last called, which the backlog has now, too;
    /// that keeps no more than `most` bytes.
    pub fn take_fresh(&mut self, most: usize) -> Vec<u8> {
        self.offset += self.fresh.len() as u64;
        self.backlog.push(&self.fresh, most);
        std::mem::take(&mut self.fresh)
    }

    /// Takes the memory of what was sent back.
    pub fn recycle(&mut self, mut sent: Vec<u8>) {
        if self.fresh.is_empty() && sent.capacity() <= KEPT_BYTES {
            sent.clear();
            self.fresh = sent;
        }
    }

    /// Forgets what is kept.
    pub fn forget(&mut self) {
        self.backlog.clear();
        self.db = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(commands: &[(u32, &str)]) -> Effect {
        let mut effect = Effect::default();
        for (db, line) in commands {
            let words: Vec<&str> = line.split(' ').collect();
            effect.commands.push(*db, &words);
        }
        effect
    }

    /// The commands that the bytes are, a line each.
    fn lines(bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let commands = text.split('*').skip(1);
        let words = |c: &str| {
            let words = c.split("\r\n").skip(2).step_by(2);
            words.collect::<Vec<_>>().join(" ")
        };
        commands.map(words).collect()
    }

    #[test]
    fn a_database_is_named_only_where_it_changes() {
        let mut log = Log::default();
        log.append_effect(&effect(&[(0, "set a 1")]));
        log.append_effect(&effect(&[(0, "set b 2")]));
        log.append_effect(&effect(&[(9, "set c 3")]));
        log.forget_database();
        log.append_effect(&effect(&[(9, "del c")]));
        let fresh = log.take_fresh(100);
        assert_eq!(log.offset(), fresh.len() as u64);
        assert_eq!(
            lines(&fresh),
            [
                "SELECT 0", "set a 1", "set b 2", "SELECT 9", "set c 3", "SELECT 9", "del c"
            ]
        );
    }

    #[test]
    fn what_happened_together_stands_together() {
        let mut log = Log::default();
        log.append_effect(&effect(&[(0, "del a"), (1, "set b 2")]));
        log.append_effect(&Effect {
            is_apart: true,
            ..effect(&[(1, "del x"), (1, "del y")])
        });
        let fresh = log.take_fresh(1000);
        assert_eq!(
            lines(&fresh),
            [
                "MULTI", "SELECT 0", "del a", "SELECT 1", "set b 2", "EXEC", "del x", "del y"
            ]
        );
        assert_eq!(log.backlog().len(), fresh.len());
        log.recycle(fresh);
        assert!(log.take_fresh(1000).is_empty());
    }
}
