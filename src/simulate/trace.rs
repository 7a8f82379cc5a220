//! A trace: accesses with times, read from text.
//!
//! ```text
//!  seconds[.fraction] key [bytes]                          with times
//!  key [bytes]                                             without: `--rate`
//!  1700000000.123456 [0 127.0.0.1:1234] "get" "key"        what MONITOR prints
//! ```
//!
//! Words are set apart by blanks, and a key is any bytes but those. Empty lines,
//! lines that begin with `#`, and MONITOR's own `OK` say nothing. A line that
//! cannot be understood is counted, and the first few are kept to be shown.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use super::monitor::Commands;
use crate::base::{hash, num};

/// Bad lines that are shown.
const SHOWN_MAX: usize = 5;
/// Of each so many bytes.
const SHOWN_BYTES_MAX: usize = 80;
/// A longer line is a bad one.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A value cannot be larger: what a server takes by default.
const VALUE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// A trace is no longer than this, in microseconds: 20 years.
const SPAN_US_MAX: u64 = 20 * 365 * 86_400 * 1_000_000;

/// What happens to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The application reads it.
    Read,
    /// It reads it, and what it found when it went to the origin had changed.
    ReadChanged,
    /// It writes it: to the origin, and to the cache.
    Write,
    /// It writes it to the origin, and deletes it from the cache.
    Delete,
}

/// One access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Microseconds since the first; never 0, so that a time stands for a version.
    pub at_us: u64,
    /// The number of the key.
    pub key: u32,
    /// Size of the value; see [`Trace::size_values`].
    pub bytes: u32,
    /// Who it is, for those that the trace tells apart; 0 for anybody.
    pub client: u32,
    /// What happens.
    pub kind: Kind,
}

/// See the head of this file.
#[derive(Default)]
pub struct Trace {
    /// By time.
    pub accesses: Vec<Access>,
    /// The keys.
    pub keys: Keys,
    /// What could not be understood.
    pub bad: BadLines,
    /// Commands of MONITOR that are neither read nor written by the simulated
    /// application, by name.
    pub ignored: HashMap<String, u64>,
    /// How many lines stood before one of an earlier time.
    pub unordered: u64,
}

/// Lines that could not be understood.
#[derive(Default)]
pub struct BadLines {
    /// How many.
    pub count: u64,
    /// The first ones: number, reason, and text.
    pub first: Vec<(u64, &'static str, String)>,
}

impl BadLines {
    fn note(&mut self, number: u64, why: &'static str, line: &[u8]) {
        self.count += 1;
        if self.first.len() < SHOWN_MAX {
            let shown = &line[..line.len().min(SHOWN_BYTES_MAX)];
            let text = shown.escape_ascii().to_string();
            self.first.push((number, why, text));
        }
    }
}

/// The keys, each with a number.
#[derive(Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    dbs: Vec<u16>,
    /// By a digest of name and database. Where two share one, the second is
    /// found under the next that is free.
    numbers: HashMap<u64, u32>,
}

impl Keys {
    /// The number of a key, which is a new one where it was not seen before.
    pub fn number(&mut self, db: u16, name: &[u8]) -> u32 {
        let mut digest = hash::digest(name) ^ u64::from(db);
        while let Some(&number) = self.numbers.get(&digest) {
            if self.name(number) == name && self.db(number) == db {
                return number;
            }
            digest = digest.wrapping_add(1);
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
        self.dbs.push(db);
        self.numbers.insert(digest, number);
        number
    }

    /// A key's name.
    #[inline]
    pub fn name(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[at]]
    }

    /// A key's database.
    #[inline]
    pub fn db(&self, number: u32) -> u16 {
        self.dbs[number as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many databases they lie in, counted from the first.
    pub fn databases(&self) -> u32 {
        self.dbs.iter().max().map_or(0, |&db| u32::from(db) + 1)
    }
}

impl Trace {
    /// Reads a trace whose lines have no times where a rate is given, in accesses
    /// a second.
    pub fn read(from: &mut dyn BufRead, rate: Option<f64>) -> io::Result<Trace> {
        let mut reader = Reader {
            trace: Trace::default(),
            commands: Commands::default(),
            rate,
        };
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            if read as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                skip_line(from)?;
                reader
                    .trace
                    .bad
                    .note(number, "a line of more than 64 MB", &line);
            } else if let Err(why) = reader.line(&line) {
                reader.trace.bad.note(number, why, line.trim_ascii());
            }
        }
        Ok(reader.finish())
    }

    /// Gives every access a size: the one that was last said of its key, the first
    /// that is said later, or else this one. None is below `least`, which is what
    /// the simulation itself needs.
    pub fn size_values(&mut self, default: u32, least: u32) {
        let mut sizes = vec![0; self.keys.len()];
        for access in self.accesses.iter().rev().filter(|a| a.bytes > 0) {
            sizes[access.key as usize] = access.bytes;
        }
        for access in &mut self.accesses {
            let size = &mut sizes[access.key as usize];
            match (access.bytes, *size) {
                (0, 0) => *size = default,
                (0, _) => {}
                (said, _) => *size = said,
            }
            access.bytes = (*size).max(least);
        }
    }

    /// How long it is, in microseconds.
    pub fn span_us(&self) -> u64 {
        self.accesses.last().map_or(0, |a| a.at_us)
    }
}

fn skip_line(from: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        let end = buffer.iter().position(|&b| b == b'\n');
        let (count, is_over) = match end {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        from.consume(count);
        if is_over {
            return Ok(());
        }
    }
}

struct Reader {
    trace: Trace,
    commands: Commands,
    rate: Option<f64>,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' || line == b"OK" {
            return Ok(());
        }
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        let second = words.next();
        if second.is_some_and(|word| word[0] == b'[') && self.rate.is_none() {
            let at_us = self.time(first)?;
            return self.commands.line(at_us, line, &mut self.trace);
        }
        let (at_us, key, size) = match self.rate {
            None => {
                let key = second.ok_or("no time in front of the key (see --rate)")?;
                (self.time(first)?, key, words.next())
            }
            Some(rate) => {
                let at = self.trace.accesses.len() as f64 / rate * 1e6;
                (at as u64, first, second)
            }
        };
        let bytes = match size {
            None => 0,
            Some(text) => num::parse_u64(text)
                .filter(|&n| n <= VALUE_BYTES_MAX)
                .ok_or("the size is none")? as u32,
        };
        if words.next().is_some() {
            return Err("more words than time, key and size");
        }
        let key = self.trace.keys.number(0, key);
        self.trace.accesses.push(Access {
            at_us,
            key,
            bytes,
            client: 0,
            kind: Kind::Read,
        });
        Ok(())
    }

    /// The time of a line, which must be near the one of the first.
    fn time(&mut self, text: &[u8]) -> Result<u64, &'static str> {
        let at_us = micros(text).ok_or("the time is none")?;
        match self.trace.accesses.first() {
            Some(first) if first.at_us.abs_diff(at_us) > SPAN_US_MAX => {
                Err("the time is more than 20 years from the first")
            }
            _ => Ok(at_us),
        }
    }

    fn finish(self) -> Trace {
        let mut trace = self.trace;
        let accesses = &mut trace.accesses;
        trace.unordered = accesses
            .windows(2)
            .filter(|pair| pair[0].at_us > pair[1].at_us)
            .count() as u64;
        if trace.unordered > 0 {
            accesses.sort_by_key(|a| a.at_us);
        }
        let first_us = accesses.first().map_or(0, |a| a.at_us);
        for access in accesses {
            access.at_us = access.at_us - first_us + 1;
        }
        // Nobody asks for a key by its name any more.
        trace.keys.numbers = HashMap::new();
        trace
    }
}

/// Seconds with a fraction, in microseconds.
fn micros(text: &[u8]) -> Option<u64> {
    let (whole, fraction) = match text.iter().position(|&b| b == b'.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    let mut us = 0;
    for i in 0..6 {
        us = us * 10 + u64::from(fraction.get(i).map_or(0, |b| b.wrapping_sub(b'0')));
    }
    let is_number = fraction.iter().all(u8::is_ascii_digit);
    let seconds = num::parse_u64(whole).filter(|_| is_number)?;
    seconds.checked_mul(1_000_000)?.checked_add(us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn read(text: &[u8], rate: Option<f64>) -> Trace {
        Trace::read(&mut &text[..], rate).expect("memory can be read")
    }

    /// Time, key, size and kind of each access.
    fn rows(trace: &Trace) -> Vec<(u64, String, u32, Kind)> {
        let row = |a: &Access| {
            let name = String::from_utf8_lossy(trace.keys.name(a.key)).into_owned();
            (a.at_us - 1, name, a.bytes, a.kind)
        };
        trace.accesses.iter().map(row).collect()
    }

    #[test]
    fn lines_with_times_count_from_the_first() {
        let trace = read(
            b"# a comment\n\n10.5 a 100\r\n11 b\n  12.0000019\ta 7\n",
            None,
        );
        let expected = [
            (0, "a".to_string(), 100, Kind::Read),
            (500_000, "b".to_string(), 0, Kind::Read),
            (1_500_001, "a".to_string(), 7, Kind::Read),
        ];
        assert_eq!(rows(&trace), expected);
        assert_eq!((trace.keys.len(), trace.bad.count), (2, 0));
    }

    #[test]
    fn lines_without_times_come_at_a_rate() {
        let trace = read(b"1 512\n2\n1\n", Some(4.0));
        let expected = [
            (0, "1".to_string(), 512, Kind::Read),
            (250_000, "2".to_string(), 0, Kind::Read),
            (500_000, "1".to_string(), 0, Kind::Read),
        ];
        assert_eq!(rows(&trace), expected);
    }

    #[test]
    fn bad_lines_are_counted_and_the_first_few_kept() {
        let text = b"a\n1 a\nx a\n-1 a\n2 a -5\n3 a 1 2\n4 a\n1e9 a\n99999999999 a\n5\xff a\n";
        let trace = read(text, None);
        assert_eq!(rows(&trace).len(), 2);
        assert_eq!(trace.bad.count, 8);
        let first: Vec<_> = trace
            .bad
            .first
            .iter()
            .map(|(n, why, _)| (*n, *why))
            .collect();
        let expected = [
            (1, "no time in front of the key (see --rate)"),
            (3, "the time is none"),
            (4, "the time is none"),
            (5, "the size is none"),
            (6, "more words than time, key and size"),
        ];
        assert_eq!(first, expected);
    }

    #[test]
    fn an_access_without_a_size_has_that_of_its_neighbours() {
        let mut trace = read(b"1 a\n2 b\n3 a 50\n4 a\n5 a 3\n6 a\n", None);
        trace.size_values(100, 8);
        let sizes: Vec<u32> = trace.accesses.iter().map(|a| a.bytes).collect();
        assert_eq!(sizes, [50, 100, 50, 50, 8, 8]);
    }

    #[test]
    fn lines_out_of_order_are_put_in_order() {
        let trace = read(b"2 b\n1 a\n2 c\n", None);
        let names: Vec<_> = rows(&trace).into_iter().map(|row| row.1).collect();
        assert_eq!((names.join(""), trace.unordered), ("abc".to_string(), 1));
    }

    #[test]
    fn a_key_keeps_its_number_and_each_database_has_its_own() {
        let mut keys = Keys::default();
        let numbers = [(0, "a"), (0, "b"), (1, "a"), (0, "a"), (0, "")]
            .map(|(db, name)| keys.number(db, name.as_bytes()));
        assert_eq!(numbers, [0, 1, 2, 0, 3]);
        assert_eq!(
            (keys.name(2), keys.db(2), keys.databases()),
            (&b"a"[..], 1, 2)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_end_the_reading(text in prop::collection::vec(any::<u8>(), 0..400), rate in prop::option::of(0.1f64..1e9)) {
            read(&text, rate);
        }

        #[test]
        fn nothing_that_resembles_a_trace_ends_the_reading(
            lines in prop::collection::vec("[0-9.]{0,20}[ \t]?(\\[[0-9]{0,7} [a-z0-9.:]{0,12}\\]?)?[ ]?(\"?(get|SET|setex|mget|del|hgetall|eval|mset)\"?)?( \"[a-c\\\\x\"]{0,4}\"?){0,5}[ ]?[0-9]{0,12}", 0..30),
            rate in prop::option::of(1.0f64..1e6),
        ) {
            let trace = read(lines.join("\n").as_bytes(), rate);
            let ordered = trace.accesses.windows(2).all(|pair| pair[0].at_us <= pair[1].at_us);
            prop_assert!(ordered && trace.accesses.iter().all(|a| a.at_us > 0));
        }
    }
}
