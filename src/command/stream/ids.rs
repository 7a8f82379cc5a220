//! Ids as clients write them.

use crate::exec::args::Args;
use crate::protocol::error::Error;
use crate::types::stream::{Id, NewId};

/// The longest text that is looked at.
const TEXT_MAX: usize = 127;

/// An id: `ms` or `ms-seq`; without a number within the millisecond it is `seq`.
pub(super) fn parse(text: &[u8], seq: u64) -> Result<Id, Error> {
    match parts(text)? {
        (ms, None) => Ok(Id::new(ms, seq)),
        (ms, Some(seq)) => Ok(Id::new(ms, number(seq)?)),
    }
}

/// An id for a new entry, which may leave its number to the stream: `ms-*`.
pub(super) fn parse_new(text: &[u8]) -> Result<NewId, Error> {
    match parts(text)? {
        (ms, Some(b"*")) => Ok(NewId::AutoSeq(ms)),
        _ => parse(text, 0).map(NewId::Given),
    }
}

/// An id, or `-` and `+`, the least and the greatest.
pub(super) fn parse_any(text: &[u8], seq: u64) -> Result<Id, Error> {
    match text {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        _ => parse(text, seq),
    }
}

/// The first id of an interval; behind a `(` it is not part of it.
pub(super) fn parse_start(text: &[u8]) -> Result<Id, Error> {
    match open(text) {
        Some(text) => parse(text, 0)?.next().ok_or(Error::STREAM_INTERVAL_START),
        None => parse_any(text, 0),
    }
}

/// The last id of an interval; behind a `(` it is not part of it.
pub(super) fn parse_end(text: &[u8]) -> Result<Id, Error> {
    match open(text) {
        Some(text) => {
            let id = parse(text, u64::MAX)?;
            id.previous().ok_or(Error::STREAM_INTERVAL_END)
        }
        None => parse_any(text, u64::MAX),
    }
}

/// The ids that are left.
pub(super) fn rest(args: &mut Args<'_>) -> Result<Vec<Id>, Error> {
    args.rest().iter().map(|text| parse(text, 0)).collect()
}

fn open(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"(").filter(|rest| !rest.is_empty())
}

/// The milliseconds, and the text behind the dash.
fn parts(text: &[u8]) -> Result<(u64, Option<&[u8]>), Error> {
    if text.len() > TEXT_MAX {
        return Err(Error::STREAM_ID);
    }
    match text.iter().position(|&b| b == b'-') {
        Some(at) => Ok((number(&text[..at])?, Some(&text[at + 1..]))),
        None => Ok((number(text)?, None)),
    }
}

/// A number as `strtoull` reads it: space, a plus and zeros may lead.
fn number(text: &[u8]) -> Result<u64, Error> {
    let text = match text {
        // What begins like a number that is none.
        [b'-', ..] => return Err(Error::STREAM_ID),
        text => text.trim_ascii_start(),
    };
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all);
    text.and_then(|text| text.parse().ok())
        .ok_or(Error::STREAM_ID)
}
