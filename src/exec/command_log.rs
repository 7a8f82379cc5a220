//! The command log: the last commands that took long, asked much, or answered
//! much (COMMANDLOG, SLOWLOG).

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::session::Client;
use super::spec::{Spec, flag};
use crate::base::clock;
use crate::config::{Settings, param};

/// Words of a command that are kept; the last says how many more there were.
const ARGS_MAX: usize = 32;
/// Bytes of a word that are kept.
const ARG_BYTES_MAX: usize = 128;
/// What stands where a word is secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// What is extraordinary about a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It took long.
    Slow,
    /// It came with many bytes.
    LargeRequest,
    /// Its reply has many bytes.
    LargeReply,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Slow, Kind::LargeRequest, Kind::LargeReply];

    /// As COMMANDLOG calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Slow => "slow",
            Kind::LargeRequest => "large-request",
            Kind::LargeReply => "large-reply",
        }
    }

    /// From this figure on a command is kept, in microseconds or bytes; negative
    /// for none.
    #[inline]
    pub fn threshold(self, settings: &Settings) -> i64 {
        settings.int(match self {
            Kind::Slow => param::COMMANDLOG_EXECUTION_SLOWER_THAN,
            Kind::LargeRequest => param::COMMANDLOG_REQUEST_LARGER_THAN,
            Kind::LargeReply => param::COMMANDLOG_REPLY_LARGER_THAN,
        })
    }

    fn len_max(self, settings: &Settings) -> usize {
        settings.int(match self {
            Kind::Slow => param::COMMANDLOG_SLOW_EXECUTION_MAX_LEN,
            Kind::LargeRequest => param::COMMANDLOG_LARGE_REQUEST_MAX_LEN,
            Kind::LargeReply => param::COMMANDLOG_LARGE_REPLY_MAX_LEN,
        }) as usize
    }

    /// Whether a figure is extraordinary.
    #[inline]
    pub fn is_reached(self, settings: &Settings, value: u64) -> bool {
        u64::try_from(self.threshold(settings)).is_ok_and(|least| value >= least)
    }
}

/// A command that was kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Rising from 0 in each log.
    pub id: u64,
    /// When it ended, in Unix seconds.
    pub at_s: u64,
    /// Microseconds, or bytes.
    pub value: u64,
    /// Its words, cut and redacted.
    pub argv: Vec<Vec<u8>>,
    /// The client's address.
    pub addr: String,
    /// The client's name.
    pub name: Vec<u8>,
}

#[derive(Default)]
struct Log {
    next_id: u64,
    /// The newest first.
    entries: VecDeque<Arc<Entry>>,
}

/// A log for each [`Kind`]: as many entries as the settings allow, each of some
/// 4 KiB at most.
#[derive(Default)]
pub struct CommandLog {
    logs: [Mutex<Log>; 3],
}

impl CommandLog {
    /// Keeps a command, unless its log is off or its row forbids it.
    #[cold]
    pub fn push(
        &self,
        kind: Kind,
        value: u64,
        settings: &Settings,
        client: &Client,
        spec: &Spec,
        argv: &[&[u8]],
    ) {
        let len_max = kind.len_max(settings);
        if spec.has(flag::SKIP_SLOWLOG) || len_max == 0 {
            return;
        }
        let name = client.names.lock().name.clone();
        let mut log = self.logs[kind as usize].lock();
        let entry = Entry {
            id: log.next_id,
            at_s: clock::unix_ms() / 1000,
            value,
            argv: abridged(spec, argv),
            addr: client.addr.clone(),
            name,
        };
        log.next_id += 1;
        log.entries.push_front(Arc::new(entry));
        log.entries.truncate(len_max);
    }

    /// Makes a smaller limit of a log take effect.
    pub fn configure(&self, settings: &Settings) {
        for kind in Kind::ALL {
            let len_max = kind.len_max(settings);
            // A log that is off keeps what it has.
            if len_max > 0 {
                self.logs[kind as usize].lock().entries.truncate(len_max);
            }
        }
    }

    /// The newest entries, at most `count`.
    pub fn newest(&self, kind: Kind, count: usize) -> Vec<Arc<Entry>> {
        let log = self.logs[kind as usize].lock();
        log.entries.iter().take(count).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self, kind: Kind) -> usize {
        self.logs[kind as usize].lock().entries.len()
    }

    /// Forgets all entries; ids go on.
    pub fn reset(&self, kind: Kind) {
        self.logs[kind as usize].lock().entries.clear();
    }
}

/// A command's words, as a log may show them.
fn abridged(spec: &Spec, argv: &[&[u8]]) -> Vec<Vec<u8>> {
    let kept = argv.len().min(ARGS_MAX);
    let words = argv.iter().enumerate().take(kept);
    let mut words: Vec<Vec<u8>> = words.map(|(i, _)| word(spec, argv, i)).collect();
    if kept < argv.len() {
        let more = argv.len() - kept + 1;
        words[kept - 1] = format!("... ({more} more arguments)").into_bytes();
    }
    words
}

fn word(spec: &Spec, argv: &[&[u8]], index: usize) -> Vec<u8> {
    let word = argv[index];
    if index > 0 && (spec.secrets)(argv, index) {
        return REDACTED.to_vec();
    }
    match word.split_at_checked(ARG_BYTES_MAX) {
        Some((head, rest)) if !rest.is_empty() => {
            let more = format!("... ({} more bytes)", rest.len());
            [head, more.as_bytes()].concat()
        }
        _ => word.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec::new("auth", -2, |_| Ok(())).secrets(|_, i| i >= 2)
    }

    #[test]
    fn words_are_cut_counted_and_redacted() {
        let long = [b'a'; 130];
        let mut argv: Vec<&[u8]> = vec![b"auth", &long, b"secret"];
        let words = abridged(&spec(), &argv);
        assert_eq!(words[1], [&[b'a'; 128][..], b"... (2 more bytes)"].concat());
        assert_eq!(words[2], REDACTED);
        argv.resize(32, b"x");
        assert_eq!(abridged(&spec(), &argv)[31], REDACTED);
        argv.push(b"x");
        let words = abridged(&spec(), &argv);
        assert_eq!(words.len(), 32);
        assert_eq!(words[31], b"... (2 more arguments)");
    }
}
