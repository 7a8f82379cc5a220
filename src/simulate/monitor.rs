//! What MONITOR prints, understood as accesses of an application.
//!
//! | command | what it is |
//! |---|---|
//! | reads the values of keys (`GET`, `MGET`, `HGETALL`, `GETEX`, …) | a read of each |
//! | `SET`, `SETEX`, `PSETEX`, `SETNX`, `GETSET`, `MSET` | the key's size; a write, or the refill of a read (below) |
//! | `DEL`, `UNLINK`, `GETDEL` | the origin's value changed, and the cache is told |
//! | anything else | ignored, and counted by its name |
//!
//! An application that caches aside reads, misses, asks the origin and writes. That
//! write is the answer to the read, and the simulated application makes its own.
//! So a write by a client that read the key within the last [`REFILL_US`], once for
//! each read, only tells what the origin held: where its value is another than the
//! one written before, the origin had changed by the time of the read. Any other
//! write is a change that the application made.

use std::collections::HashMap;

use super::trace::{Access, Kind, Trace};
use crate::base::{hash, num};
use crate::command;
use crate::exec::spec::{CommandTable, Spec, flag, key_flag};
use crate::protocol::parse;

/// How soon a refill follows its read, in microseconds.
const REFILL_US: u64 = 10_000_000;
/// Databases have numbers below this.
const DATABASES_MAX: u64 = 10_000;
/// They read a key, but not its value.
const NO_READS: &[&str] = &[
    "exists",
    "ttl",
    "pttl",
    "expiretime",
    "pexpiretime",
    "type",
    "touch",
    "dump",
    "object",
    "memory",
];

/// Reads of a key that may be waiting for their refill.
const READS: usize = 4;

/// What is known of a key while a trace is read.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The numbers of its last reads among the accesses, from 1, the newest
    /// first; 0 for none, or one that has its refill.
    reads: [u32; READS],
    /// Digest of the value that was written last; 0 for none.
    value: u64,
}

/// See the head of this file.
pub struct Commands {
    table: CommandTable,
    known: Vec<Known>,
    /// Numbers of the clients, by their address.
    clients: HashMap<Vec<u8>, u32>,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands {
            table: command::table(),
            known: Vec::new(),
            clients: HashMap::new(),
        }
    }
}

/// Who runs a command, where and when.
#[derive(Clone, Copy)]
struct Caller {
    at_us: u64,
    db: u16,
    client: u32,
}

impl Commands {
    /// Adds the accesses of a line to a trace.
    pub fn line(&mut self, at_us: u64, line: &[u8], trace: &mut Trace) -> Result<(), &'static str> {
        let begin = line.iter().position(|&b| b == b'[').unwrap_or(line.len());
        // An address of IPv6 has brackets, too.
        let quote = line.iter().position(|&b| b == b'"').unwrap_or(line.len());
        let end = line[..quote].iter().rposition(|&b| b == b']');
        let end = end
            .filter(|&end| end > begin)
            .ok_or("no ] behind the client")?;
        let origin = &line[begin + 1..end];
        let space = origin.iter().position(|&b| b == b' ');
        let (db, address) = origin.split_at(space.ok_or("no database and client in [ ]")?);
        let db = num::parse_u64(db)
            .filter(|&db| db < DATABASES_MAX)
            .ok_or("the database is none")? as u16;
        let words = parse::words(&line[end + 1..]).ok_or("quotes that do not end")?;
        let argv: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        if argv.is_empty() {
            return Err("no command");
        }
        let next = self.clients.len() as u32 + 1;
        let client = *self.clients.entry(address.to_vec()).or_insert(next);
        let caller = Caller { at_us, db, client };
        if self.command(caller, &argv, trace).is_none() {
            let name = argv[0].to_ascii_uppercase().escape_ascii().to_string();
            *trace.ignored.entry(name).or_default() += 1;
        }
        Ok(())
    }

    /// `None` where the command is no access.
    fn command(&mut self, caller: Caller, argv: &[&[u8]], trace: &mut Trace) -> Option<()> {
        let (_, spec) = self.table.find(argv[0])?;
        if !spec.takes(argv.len()) {
            return None;
        }
        match spec.name {
            "set" | "setnx" | "getset" => self.write(caller, argv[1], argv[2], trace),
            "setex" | "psetex" => self.write(caller, argv[1], argv[3], trace),
            "mset" => {
                for pair in argv[1..].chunks_exact(2) {
                    self.write(caller, pair[0], pair[1], trace);
                }
            }
            "del" | "unlink" | "getdel" => {
                for name in keys(spec, argv)? {
                    self.access(caller, name, Kind::Delete, 0, trace);
                }
            }
            name if name == "getex" || spec.has(flag::READONLY) && !NO_READS.contains(&name) => {
                for name in keys(spec, argv)? {
                    let key = self.access(caller, name, Kind::Read, 0, trace);
                    let reads = &mut self.known[key].reads;
                    reads.rotate_right(1);
                    reads[0] = trace.accesses.len() as u32;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn access(
        &mut self,
        caller: Caller,
        name: &[u8],
        kind: Kind,
        bytes: u32,
        trace: &mut Trace,
    ) -> usize {
        let key = trace.keys.number(caller.db, name);
        self.known.resize(trace.keys.len(), Known::default());
        trace.accesses.push(Access {
            at_us: caller.at_us,
            key,
            bytes,
            client: caller.client,
            kind,
        });
        key as usize
    }

    fn write(&mut self, caller: Caller, name: &[u8], value: &[u8], trace: &mut Trace) {
        let key = trace.keys.number(caller.db, name) as usize;
        self.known.resize(trace.keys.len(), Known::default());
        let known = &mut self.known[key];
        let before = std::mem::replace(&mut known.value, hash::digest(value).max(1));
        let has_changed = before != 0 && before != known.value;
        let bytes = value.len() as u32;
        let accesses = &mut trace.accesses;
        let mut answered = None;
        for read in &mut known.reads {
            let is_waiting = (*read as usize).checked_sub(1).filter(|&at| {
                let access = &accesses[at];
                let age_us = caller.at_us.saturating_sub(access.at_us);
                access.client == caller.client && age_us <= REFILL_US
            });
            if is_waiting.is_some() {
                // The newest is answered; those before it were hits.
                answered = answered.or(is_waiting);
                *read = 0;
            }
        }
        match answered {
            Some(at) => {
                accesses[at].bytes = bytes;
                if has_changed {
                    accesses[at].kind = Kind::ReadChanged;
                }
            }
            None => {
                self.access(caller, name, Kind::Write, bytes, trace);
            }
        }
    }
}

/// The keys of a command; `None` where it has none.
fn keys<'a>(spec: &Spec, argv: &[&'a [u8]]) -> Option<Vec<&'a [u8]>> {
    let mut keys = Vec::new();
    let visit = |at: usize, flags| {
        if flags & key_flag::NOT_KEY == 0 {
            keys.push(argv[at]);
        }
    };
    spec.each_key(argv, visit).ok()?;
    (!keys.is_empty()).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (Vec<String>, Trace) {
        let text = lines.join("\n");
        let trace = Trace::read(&mut text.as_bytes(), None).expect("memory can be read");
        let row = |a: &Access| {
            let name = String::from_utf8_lossy(trace.keys.name(a.key)).into_owned();
            format!("{:?} {name} {} of {}", a.kind, a.bytes, a.client)
        };
        (trace.accesses.iter().map(row).collect(), trace)
    }

    #[test]
    fn commands_are_reads_writes_and_deletions() {
        let (rows, trace) = read(&[
            "OK",
            r#"1700000000.000001 [0 127.0.0.1:1] "GET" "a\x01""#,
            r#"1700000000.000002 [3 unix:/tmp/s] "mget" "b" "c""#,
            r#"1700000000.000003 [0 lua] "hget" "h" "f""#,
            r#"1700000000.000004 [0 127.0.0.1:1] "mset" "x" "12345" "y" "1""#,
            r#"1700000000.000005 [0 127.0.0.1:1] "setex" "z" "60" "123""#,
            r#"1700000000.000006 [0 127.0.0.1:1] "del" "x" "y""#,
            r#"1700000000.000007 [0 127.0.0.1:1] "ttl" "x""#,
            r#"1700000000.000008 [0 127.0.0.1:1] "incr" "n""#,
            r#"1700000000.000009 [0 127.0.0.1:1] "nonsense""#,
            r#"1700000000.000009 [0 127.0.0.1:1] "INCR" "n""#,
        ]);
        let expected = [
            "Read a\u{1} 0 of 1",
            "Read b 0 of 2",
            "Read c 0 of 2",
            "Read h 0 of 3",
            "Write x 5 of 1",
            "Write y 1 of 1",
            "Write z 3 of 1",
            "Delete x 0 of 1",
            "Delete y 0 of 1",
        ];
        assert_eq!(rows, expected);
        assert_eq!(trace.keys.databases(), 4);
        assert_eq!(trace.bad.count, 0);
        assert_eq!(
            (
                trace.ignored["INCR"],
                trace.ignored["TTL"],
                trace.ignored["NONSENSE"]
            ),
            (2, 1, 1)
        );
    }

    #[test]
    fn a_write_that_answers_a_read_is_none() {
        let (rows, _) = read(&[
            r#"1.0 [0 a:1] "get" "k""#,
            r#"1.1 [0 a:1] "set" "k" "one""#,
            r#"2.0 [0 a:1] "get" "k""#,
            r#"2.1 [0 a:1] "set" "k" "one""#,
            r#"3.0 [0 a:1] "get" "k""#,
            r#"3.1 [0 a:1] "set" "k" "other""#,
            // Of another client, in between, and too late.
            r#"4.0 [0 a:1] "get" "k""#,
            r#"4.1 [0 a:2] "set" "k" "o""#,
            r#"4.2 [0 a:1] "set" "k" "p""#,
            r#"5.0 [0 a:1] "get" "k""#,
            r#"15.1 [0 a:1] "set" "k" "q""#,
            // A hit, a miss and its refill; then a write of its own.
            r#"16.0 [0 a:1] "get" "k""#,
            r#"17.0 [0 a:1] "get" "k""#,
            r#"17.1 [0 a:1] "set" "k" "q""#,
            r#"18.0 [0 a:1] "set" "k" "qq""#,
        ]);
        let expected = [
            "Read k 3 of 1",
            "Read k 3 of 1",
            "ReadChanged k 5 of 1",
            "ReadChanged k 1 of 1",
            "Write k 1 of 2",
            "Read k 0 of 1",
            "Write k 1 of 1",
            "Read k 0 of 1",
            "Read k 1 of 1",
            "Write k 2 of 1",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_address_may_have_brackets() {
        let (rows, trace) = read(&[r#"1.0 [0 [::1]:5000] "get" "[k]""#]);
        assert_eq!(
            (rows, trace.bad.count),
            (vec!["Read [k] 0 of 1".to_string()], 0)
        );
    }

    #[test]
    fn a_line_cut_off_is_a_bad_one() {
        let (rows, trace) = read(&[
            r#"1.0 [0 a:1"#,
            r#"1.0 [0 a:1] "get" "k"#,
            r#"1.0 [0 a:1]"#,
            r#"1.0 [0] "get" "k""#,
            r#"1.0 [x a:1] "get" "k""#,
            r#"x [0 a:1] "get" "k""#,
        ]);
        assert_eq!((rows.len(), trace.bad.count), (0, 6));
    }
}
