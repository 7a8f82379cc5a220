//! ACL LOG: who was denied what, the last first.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::exec::access::{Context, Ground};

/// Denials that are alike within so many milliseconds are one entry.
const ALIKE_MS: u64 = 60_000;
/// Entries that are looked at for one that is alike.
const LOOKS: usize = 10;

/// Why somebody was denied something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It could not show who it is.
    Auth,
    /// Its user has no right to it.
    Rights(Ground),
}

impl Reason {
    /// As ACL LOG calls it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Auth => "auth",
            Reason::Rights(Ground::Database) => "database",
            Reason::Rights(Ground::Command) => "command",
            Reason::Rights(Ground::Key) => "key",
            Reason::Rights(Ground::Channel) => "channel",
        }
    }
}

/// As ACL LOG calls a context.
pub fn context_name(context: Context) -> &'static str {
    match context {
        Context::TopLevel => "toplevel",
        Context::Multi => "multi",
        Context::Lua => "lua",
        Context::Script => "script",
    }
}

/// What was denied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// What was asked for: a command, a key, a channel, a database.
    pub object: Vec<u8>,
    /// The user, or who it said it was.
    pub user: Vec<u8>,
}

/// Denials that are alike.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Rising from 0.
    pub id: u64,
    /// How many.
    pub count: u64,
    /// What.
    pub denied: Denied,
    /// When the first was, in Unix milliseconds.
    pub first_ms: u64,
    /// When the last was, likewise.
    pub last_ms: u64,
    /// The client of the last one, as CLIENT LIST shows it.
    pub client: Vec<u8>,
}

/// See the head of this file.
#[derive(Default)]
pub struct Log(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// The last first.
    all: VecDeque<Entry>,
    next: u64,
}

impl Log {
    /// Notes a denial to a client; at most `len_max` entries are kept.
    pub fn note(&self, denied: Denied, client: Vec<u8>, now_ms: u64, len_max: usize) {
        let mut entries = self.0.lock();
        if len_max == 0 {
            entries.all.clear();
            return;
        }
        let is_alike =
            |one: &Entry| one.denied == denied && now_ms.abs_diff(one.last_ms) <= ALIKE_MS;
        let alike = entries.all.iter().take(LOOKS).position(is_alike);
        let entry = match alike.and_then(|at| entries.all.remove(at)) {
            Some(alike) => Entry {
                count: alike.count + 1,
                last_ms: now_ms,
                client,
                ..alike
            },
            None => {
                entries.next += 1;
                Entry {
                    id: entries.next - 1,
                    count: 1,
                    denied,
                    first_ms: now_ms,
                    last_ms: now_ms,
                    client,
                }
            }
        };
        entries.all.push_front(entry);
        entries.all.truncate(len_max);
    }

    /// The last ones, at most so many.
    pub fn last(&self, most: usize) -> Vec<Entry> {
        self.0.lock().all.iter().take(most).cloned().collect()
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.0.lock().all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(object: &str) -> Denied {
        Denied {
            reason: Reason::Rights(Ground::Key),
            context: Context::TopLevel,
            object: object.into(),
            user: b"bob".to_vec(),
        }
    }

    fn shown(log: &Log) -> Vec<(u64, u64, String)> {
        let text = |one: &Entry| String::from_utf8_lossy(&one.denied.object).into_owned();
        let all = log.last(usize::MAX);
        all.iter()
            .map(|one| (one.id, one.count, text(one)))
            .collect()
    }

    #[test]
    fn denials_that_are_alike_within_a_minute_are_one_entry() {
        let log = Log::default();
        for (object, at_ms) in [("a", 0), ("b", 1), ("a", 60_000), ("b", 60_002)] {
            log.note(denied(object), b"client".to_vec(), at_ms, 128);
        }
        let expected = [(2, 1, "b".into()), (0, 2, "a".into()), (1, 1, "b".into())];
        assert_eq!(shown(&log), expected);
        let last = &log.last(2)[1];
        assert_eq!((last.first_ms, last.last_ms), (0, 60_000));
    }

    #[test]
    fn at_most_so_many_entries_are_kept_and_ids_go_on() {
        let log = Log::default();
        for i in 0..10 {
            log.note(denied(&i.to_string()), Vec::new(), 0, 3);
        }
        let ids: Vec<u64> = shown(&log).iter().map(|one| one.0).collect();
        assert_eq!(ids, [9, 8, 7]);
        log.reset();
        log.note(denied("x"), Vec::new(), 0, 3);
        assert_eq!(shown(&log), [(10, 1, "x".into())]);
        log.note(denied("y"), Vec::new(), 0, 0);
        assert!(log.last(9).is_empty());
    }

    #[test]
    fn only_the_last_entries_are_looked_at_for_one_that_is_alike() {
        let log = Log::default();
        for i in 0..=LOOKS {
            log.note(denied(&i.to_string()), Vec::new(), 0, 128);
        }
        log.note(denied("0"), Vec::new(), 0, 128);
        assert_eq!(shown(&log)[0], (LOOKS as u64 + 1, 1, "0".into()));
    }
}
