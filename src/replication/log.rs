//! The log: effects as the bytes of commands.
//!
//! A command that is about another database than the one before stands behind a
//! SELECT; the commands of one effect, where they are several, stand between MULTI
//! and EXEC, so that a follower never shows a part of it.

use super::backlog::Backlog;
use crate::base::num::IntText;
use crate::exec::effect::Effect;

/// What is kept of the memory for what is on its way, in bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// See the head of this file.
#[derive(Default)]
pub struct Log {
    backlog: Backlog,
    /// Bytes in all.
    offset: u64,
    /// The database that the last command was about.
    db: Option<u32>,
    /// What was appended and is not sent yet.
    fresh: Vec<u8>,
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

    /// Appends the commands of an effect.
    pub fn append_effect(&mut self, effect: &Effect) {
        let commands = &effect.commands;
        let is_block = commands.len() > 1 && !effect.is_apart;
        if is_block {
            self.append(&[b"MULTI"]);
        }
        for (db, words) in commands {
            if self.db != Some(*db) {
                self.db = Some(*db);
                let db = IntText::new((*db).into());
                self.append(&[&b"SELECT"[..], db.as_bytes()]);
            }
            self.append(words);
        }
        if is_block {
            self.append(&[b"EXEC"]);
        }
    }

    /// Appends a command as it is.
    pub fn append(&mut self, words: &[impl AsRef<[u8]>]) {
        self.number(b'*', words.len());
        for word in words {
            let word = word.as_ref();
            self.number(b'$', word.len());
            self.fresh.extend_from_slice(word);
            self.fresh.extend_from_slice(b"\r\n");
        }
    }

    fn number(&mut self, kind: u8, n: usize) {
        self.fresh.push(kind);
        let text = IntText::new(n as i64);
        self.fresh.extend_from_slice(text.as_bytes());
        self.fresh.extend_from_slice(b"\r\n");
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

    fn command(db: u32, line: &str) -> (u32, Vec<Vec<u8>>) {
        let words = line.split(' ').map(|w| w.as_bytes().to_vec());
        (db, words.collect())
    }

    fn effect(commands: &[(u32, &str)]) -> Effect {
        Effect {
            commands: commands.iter().map(|(db, l)| command(*db, l)).collect(),
            ..Effect::default()
        }
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
