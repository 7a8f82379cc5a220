//! Commands that change a part of a string.

use std::sync::Arc;

use smallvec::SmallVec;

use super::string;
use crate::config::param;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::{Deadline, Found, Txn};
use crate::protocol::error::Error;
use crate::store::entry::{BLOB_MIN, NewValue};

const APPEND: Event = Event::string("append");
const SETRANGE: Event = Event::string("setrange");

/// APPEND key value
pub(super) fn append(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let tail = ctx.args.peek().unwrap_or_default();
    let length = match ctx.txn.find(&key) {
        Some(found) => {
            let length = string(ctx.txn.entry(found))?.len();
            check_length(ctx, length, tail)?;
            write_at(ctx.txn, &key, Some(found), length, tail, APPEND)
        }
        None => {
            let value = ctx.args.value()?;
            ctx.txn.put(&key, None, value, Deadline::Never, APPEND);
            tail.len()
        }
    };
    ctx.reply.size(length);
    Ok(())
}

/// SETRANGE key offset value
pub(super) fn setrange(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let offset = usize::try_from(ctx.args.int()?).map_err(|_| Error::OFFSET)?;
    let bytes = ctx.args.bytes()?;
    let found = ctx.txn.find(&key);
    let mut length = match found {
        Some(found) => string(ctx.txn.entry(found))?.len(),
        None => 0,
    };
    if !bytes.is_empty() {
        check_length(ctx, offset, bytes)?;
        length = write_at(ctx.txn, &key, found, offset, bytes, SETRANGE);
    }
    ctx.reply.size(length);
    Ok(())
}

/// A string may not grow beyond what a client could send.
fn check_length(ctx: &Ctx<'_, '_>, at: usize, bytes: &[u8]) -> Result<(), Error> {
    let limit = ctx.engine.settings.int(param::PROTO_MAX_BULK_LEN);
    match at.checked_add(bytes.len()) {
        Some(length) if i64::try_from(length).is_ok_and(|n| n <= limit) => Ok(()),
        _ => Err(Error::TOO_LONG),
    }
}

/// Writes bytes at a place of a string, with zeros up to there, and says how
/// long it is then.
fn write_at(
    txn: &mut Txn<'_>,
    key: &Key<'_>,
    found: Option<Found>,
    at: usize,
    bytes: &[u8],
    event: Event,
) -> usize {
    let end = at + bytes.len();
    let write = |string: &mut [u8]| {
        string[at..end].copy_from_slice(bytes);
        true
    };
    change(txn, key, found, end, write, event)
}

/// Shows the bytes of a string to `edit`, which changes them and says whether it
/// did; a string shorter than `length_min` first grows to it with zeros, which is
/// a change. Gives the string's length after that.
pub(in crate::command) fn change(
    txn: &mut Txn<'_>,
    key: &Key<'_>,
    found: Option<Found>,
    length_min: usize,
    mut edit: impl FnMut(&mut [u8]) -> bool,
    event: Event,
) -> usize {
    let old_length = found.map_or(0, |found| txn.entry(found).value().len());
    let length = old_length.max(length_min);
    let grows = found.is_none() || old_length < length_min;
    if let Some(found) = found {
        // A blob's memory grows in steps that pay for themselves.
        let grow = |blob: &mut Vec<u8>| {
            blob.resize(length, 0);
            edit(blob);
        };
        let is_done = match grows {
            true => txn.edit_blob(key, found, grow, event),
            false => txn.edit_bytes(key, found, &mut edit, event).is_some(),
        };
        if is_done {
            return length;
        }
    }
    let old = found.map(|found| txn.entry(found).value());
    let mut fill = |new: &mut [u8]| {
        if let Some(old) = old {
            old.with_bytes(|old| new[..old.len()].copy_from_slice(old));
        }
        edit(new) || grows
    };
    let mut short: SmallVec<[u8; 512]>;
    let (value, is_changed) = if length < BLOB_MIN {
        short = SmallVec::from_elem(0, length);
        let is_changed = fill(&mut short);
        (NewValue::Str(&short), is_changed)
    } else {
        let mut long = vec![0; length];
        let is_changed = fill(&mut long);
        (NewValue::Blob(Arc::new(long)), is_changed)
    };
    if is_changed {
        txn.put_in(txn.db, key, found, value, Deadline::Keep, true, event);
    }
    length
}

/// Puts a string in the place of whatever was there. It counts as one that was
/// changed in place.
pub(in crate::command) fn replace(
    txn: &mut Txn<'_>,
    key: &Key<'_>,
    found: Option<Found>,
    bytes: Vec<u8>,
    deadline: Deadline,
    event: Event,
) {
    let value = match bytes.len() {
        0..BLOB_MIN => NewValue::Str(&bytes),
        _ => NewValue::Blob(Arc::new(bytes)),
    };
    txn.put_in(txn.db, key, found, value, deadline, true, event);
}
