//! Cuts a client's bytes into commands, without copying.
//!
//! A command that lies whole in the buffer becomes slices of it. One that does
//! not is either left in the buffer until more comes, while it is small, or
//! moved to a [`Partial`], which takes each further argument straight into its
//! final allocation: so a large value is copied once, and a command of a million
//! arguments is never read twice.
//!
//! The format is RESP's array of bulk strings, and the inline form of a line of
//! words: <https://valkey.io/topics/protocol/>.

use super::error::Error;
use crate::base::num;

/// Longest line: of an inline command, or of a count.
const LINE_MAX: usize = 64 * 1024;
/// Most arguments of one command.
const ARGS_MAX: i64 = i32::MAX as i64;
/// From this many bytes on an incomplete command is worth a [`Partial`].
const PARTIAL_FROM: usize = 16 * 1024;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`, in bytes.
    pub bulk_bytes: i64,
    /// A client that has not said who it is may send little.
    pub authenticated: bool,
}

/// What lies at the beginning of a buffer.
#[derive(PartialEq, Eq, Debug)]
pub enum Parsed {
    /// A whole command of so many bytes; it may have no arguments at all.
    Command(usize),
    /// The beginning of a command.
    Incomplete,
    /// The beginning of a large command, `used` bytes of which are in the partial.
    Partial(Partial, usize),
}

fn protocol(text: &str) -> Error {
    Error::new(format!("ERR Protocol error: {text}"))
}

enum Line<'a> {
    /// The line's bytes, and where the next begins.
    Whole(&'a [u8], usize),
    Incomplete,
    TooLong,
    /// A carriage return without its line feed.
    Broken,
}

#[inline]
fn line(buffer: &[u8], from: usize) -> Line<'_> {
    let rest = &buffer[from..];
    // Counts are short: a few bytes are looked at one by one.
    let near = rest.len().min(16);
    let cr = match rest[..near].iter().position(|&b| b == b'\r') {
        Some(at) => Some(at),
        None => rest.iter().position(|&b| b == b'\r'),
    };
    match cr {
        Some(at) if at + 1 < rest.len() => match rest[at + 1] {
            b'\n' => Line::Whole(&rest[..at], from + at + 2),
            _ => Line::Broken,
        },
        Some(_) => Line::Incomplete,
        // The character in front of the count is part of its line.
        None if rest.len() >= LINE_MAX => Line::TooLong,
        None => Line::Incomplete,
    }
}

/// A line that is a count of one or two digits, as nearly all are, with where the next
/// one begins; `None` for any other, which [`line`] sees to.
#[inline]
fn brief_count(buffer: &[u8], from: usize) -> Option<(i64, usize)> {
    let [a, b, c, d] = *buffer.get(from..)?.first_chunk()?;
    let (tens, ones) = (a.wrapping_sub(b'0'), b.wrapping_sub(b'0'));
    match (b, c, d) {
        (b'\r', b'\n', _) if tens <= 9 => Some((tens.into(), from + 3)),
        (_, b'\r', b'\n') if (1..=9).contains(&tens) && ones <= 9 => {
            Some((i64::from(tens * 10 + ones), from + 4))
        }
        _ => None,
    }
}

#[inline]
fn length(digits: &[u8]) -> Option<i64> {
    match digits {
        [d @ b'0'..=b'9'] => Some(i64::from(d - b'0')),
        [c @ b'1'..=b'9', d @ b'0'..=b'9'] => Some(i64::from(c - b'0') * 10 + i64::from(d - b'0')),
        _ => num::parse_i64(digits),
    }
}

fn args_count(digits: &[u8], limits: Limits) -> Result<i64, Error> {
    match length(digits) {
        Some(n) if n <= ARGS_MAX => match n > 10 && !limits.authenticated {
            true => Err(protocol("unauthenticated multibulk length")),
            false => Ok(n),
        },
        _ => Err(protocol("invalid multibulk length")),
    }
}

fn bulk_bytes(digits: &[u8], limits: Limits) -> Result<usize, Error> {
    match length(digits) {
        Some(n) if (0..=limits.bulk_bytes).contains(&n) => {
            match n > 16_384 && !limits.authenticated {
                true => Err(protocol("unauthenticated bulk length")),
                false => Ok(n as usize),
            }
        }
        _ => Err(protocol("invalid bulk length")),
    }
}

fn bad_line_end() -> Error {
    protocol("invalid CRLF in request")
}

/// Where a bulk's line should begin something else stands. It is refused as soon
/// as its line is there: `None` until then.
#[cold]
fn not_a_bulk(buffer: &[u8], at: usize) -> Option<Error> {
    match line(buffer, at) {
        Line::Incomplete => None,
        Line::TooLong => Some(protocol("too big bulk count string")),
        Line::Whole(..) | Line::Broken => {
            let mut text = b"ERR Protocol error: expected '$', got '".to_vec();
            text.push(buffer[at]);
            text.push(b'\'');
            Some(Error::new(text))
        }
    }
}

/// Reads one command at the beginning of `buffer`, which is not empty, and
/// appends its arguments to `argv`. On an error the connection is to be closed
/// after it was told.
#[inline]
pub fn command<'a>(
    buffer: &'a [u8],
    limits: Limits,
    argv: &mut Vec<&'a [u8]>,
) -> Result<Parsed, Error> {
    if buffer[0] != b'*' {
        return Ok(Parsed::Incomplete);
    }
    let (count, mut at) = match brief_count(buffer, 1) {
        Some((count, next)) if count <= 10 || limits.authenticated => (count, next),
        _ => match line(buffer, 1) {
            Line::Whole(digits, next) => (args_count(digits, limits)?, next),
            Line::Incomplete => return Ok(Parsed::Incomplete),
            Line::TooLong => return Err(protocol("too big mbulk count string")),
            Line::Broken => return Err(bad_line_end()),
        },
    };
    let first = argv.len();
    for i in 0..count {
        let incomplete = |argv: &mut Vec<&'a [u8]>, at: usize, bulk: usize| {
            if at + bulk < PARTIAL_FROM && buffer.len() < PARTIAL_FROM {
                argv.truncate(first);
                return Parsed::Incomplete;
            }
            let args: Vec<Vec<u8>> = argv.drain(first..).map(<[u8]>::to_vec).collect();
            let partial = Partial {
                args_bytes: args.iter().map(Vec::len).sum(),
                args,
                missing: count - i,
                bulk: None,
            };
            Parsed::Partial(partial, at)
        };
        if at >= buffer.len() {
            return Ok(incomplete(argv, at, 0));
        }
        if buffer[at] != b'$' {
            return not_a_bulk(buffer, at).map_or_else(|| Ok(incomplete(argv, at, 0)), Err);
        }
        let (bytes, start) = match brief_count(buffer, at + 1) {
            Some((bytes, next)) if bytes <= limits.bulk_bytes => (bytes as usize, next),
            _ => match line(buffer, at + 1) {
                Line::Whole(digits, next) => (bulk_bytes(digits, limits)?, next),
                Line::Incomplete => return Ok(incomplete(argv, at, 0)),
                Line::TooLong => return Err(protocol("too big bulk count string")),
                Line::Broken => return Err(bad_line_end()),
            },
        };
        if buffer.len() - start < bytes + 2 {
            return Ok(incomplete(argv, at, bytes));
        }
        at = start + bytes + 2;
        if buffer[at - 2..at] != *b"\r\n" {
            return Err(bad_line_end());
        }
        argv.push(&buffer[start..at - 2]);
    }
    Ok(Parsed::Command(at))
}

/// The words of a line, in memory of their own.
pub type Words = Vec<Vec<u8>>;

/// Reads one inline command, as [`command`] does; its words are copied, since
/// quotes and escapes may change them. A line with a zero byte never ends, as
/// for Valkey's C strings.
pub fn inline(buffer: &[u8]) -> Result<Option<(Words, usize)>, Error> {
    let end = buffer.iter().position(|&b| b == b'\n' || b == 0);
    let Some(end) = end.filter(|&at| buffer[at] == b'\n') else {
        return match buffer.len() > LINE_MAX {
            true => Err(protocol("too big inline request")),
            false => Ok(None),
        };
    };
    let line = &buffer[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match words(line) {
        Some(words) => Ok(Some((words, end + 1))),
        None => Err(protocol("unbalanced quotes in request")),
    }
}

/// Splits a line into words, parts of which may be quoted; double quotes know
/// escapes, single ones only `\'`. A quote that ends the line closes, even behind
/// a backslash, which stands for itself then. `None` where quotes do not end.
pub fn words(line: &[u8]) -> Option<Words> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        while let [b, tail @ ..] = rest
            && (is_blank(*b) || matches!(b, 0x0b | 0x0c))
        {
            rest = tail;
        }
        // A zero byte ends the line for Valkey's C strings.
        if matches!(rest, [] | [0, ..]) {
            return Some(words);
        }
        let mut word = Vec::new();
        while let [b, tail @ ..] = rest
            && !is_blank(*b)
            && *b != 0
        {
            rest = match b {
                b'"' => double_quoted(tail, &mut word)?,
                b'\'' => single_quoted(tail, &mut word)?,
                _ => {
                    word.push(*b);
                    tail
                }
            };
        }
        words.push(word);
    }
}

/// What ends a word; vertical tabs and form feeds only separate words.
fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', a, b, tail @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                let digit = |d: &u8| (*d as char).to_digit(16).map_or(0, |d| d as u8);
                word.push(digit(a) * 16 + digit(b));
                tail
            }
            [b'\\', escaped, tail @ ..] if !tail.is_empty() => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [] | [0, ..] => return None,
            [b, tail @ ..] => {
                word.push(*b);
                tail
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] if !tail.is_empty() => {
                word.push(b'\'');
                tail
            }
            [] | [0, ..] => return None,
            [b, tail @ ..] => {
                word.push(*b);
                tail
            }
        }
    }
}

/// A command of which a part has come, in memory of its own.
#[derive(PartialEq, Eq, Debug)]
pub struct Partial {
    args: Vec<Vec<u8>>,
    /// Their lengths together.
    args_bytes: usize,
    missing: i64,
    /// The argument that is coming in, and its length.
    bulk: Option<(Vec<u8>, usize)>,
}

impl Partial {
    /// Takes what it can from `buffer` and says how much that was: less than all
    /// where the command is complete, or where a count's line is cut. An empty
    /// `spare` becomes an argument's memory where it is of the right size.
    pub fn feed(
        &mut self,
        buffer: &[u8],
        limits: Limits,
        spare: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let mut at = 0;
        while self.missing > 0 {
            if let Some((bytes, len)) = &mut self.bulk {
                // The line's end is kept with the bytes until it is whole.
                let wanted = *len + 2 - bytes.len();
                let taken = wanted.min(buffer.len() - at);
                bytes.extend_from_slice(&buffer[at..at + taken]);
                at += taken;
                if taken < wanted {
                    return Ok(at);
                }
                if !bytes.ends_with(b"\r\n") {
                    return Err(bad_line_end());
                }
                bytes.truncate(*len);
                self.args_bytes += *len;
                self.args.push(std::mem::take(bytes));
                self.bulk = None;
                self.missing -= 1;
                continue;
            }
            if at == buffer.len() {
                return Ok(at);
            }
            if buffer[at] != b'$' {
                return not_a_bulk(buffer, at).map_or(Ok(at), Err);
            }
            match line(buffer, at + 1) {
                Line::Whole(digits, next) => {
                    let bytes = bulk_bytes(digits, limits)?;
                    // Room is made as the bytes come: a client that only
                    // announces half a gigabyte does not get it. A whole MiB has
                    // room for its line's end, too, however it comes.
                    let room = bytes.min(1024 * 1024) + 2;
                    let held = match spare.is_empty() && spare.capacity() == room {
                        true => std::mem::take(spare),
                        false => Vec::with_capacity(room),
                    };
                    self.bulk = Some((held, bytes));
                    at = next;
                }
                Line::Incomplete => return Ok(at),
                Line::TooLong => return Err(protocol("too big bulk count string")),
                Line::Broken => return Err(bad_line_end()),
            }
        }
        Ok(at)
    }

    /// The room that the argument coming in still wants, to be read into
    /// directly: where it is to be appended, and how many bytes at most.
    pub fn wants(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let (bytes, len) = self.bulk.as_mut()?;
        let wanted = *len + 2 - bytes.len();
        if bytes.capacity() - bytes.len() < wanted.min(64 * 1024) {
            // Doubling, but not beyond what was announced.
            bytes.reserve_exact(wanted.min(bytes.len().max(1024 * 1024)));
        }
        Some((bytes, wanted))
    }

    /// Whether all arguments are there.
    pub fn is_complete(&self) -> bool {
        self.missing <= 0
    }

    /// The arguments.
    pub fn into_args(self) -> Vec<Vec<u8>> {
        self.args
    }

    /// Gives back memory that is held for bytes to come.
    pub fn shrink(&mut self) {
        if let Some((bytes, _)) = &mut self.bulk {
            bytes.shrink_to_fit();
        }
    }

    /// Bytes that have come.
    pub fn bytes(&self) -> usize {
        self.args_bytes + self.bulk.as_ref().map_or(0, |(b, _)| b.len())
    }

    /// Bytes of memory that it holds.
    pub fn held_bytes(&self) -> usize {
        let args = self.args_bytes + self.args.capacity() * size_of::<Vec<u8>>();
        args + self.bulk.as_ref().map_or(0, |(b, _)| b.capacity())
    }
}
