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
    let mut length = end;
    let edit = |blob: &mut Vec<u8>| {
        if blob.len() < at {
            blob.resize(at, 0);
        }
        // What lies behind the old end is appended, so that the memory grows in
        // steps that pay for themselves.
        let within = bytes.len().min(blob.len() - at);
        blob[at..at + within].copy_from_slice(&bytes[..within]);
        blob.extend_from_slice(&bytes[within..]);
        length = blob.len();
    };
    if let Some(found) = found
        && txn.edit_blob(key, found, edit, event)
    {
        return length;
    }
    let old = found.map(|found| txn.entry(found).value());
    let length = end.max(old.map_or(0, |old| old.len()));
    let fill = |new: &mut [u8]| {
        if let Some(old) = old {
            old.with_bytes(|old| new[..old.len()].copy_from_slice(old));
        }
        new[at..end].copy_from_slice(bytes);
    };
    let mut short: SmallVec<[u8; 512]>;
    let value = if length < BLOB_MIN {
        short = SmallVec::from_elem(0, length);
        fill(&mut short);
        NewValue::Str(&short)
    } else {
        let mut long = vec![0; length];
        fill(&mut long);
        NewValue::Blob(Arc::new(long))
    };
    txn.put_in(txn.db, key, found, value, Deadline::Keep, true, event);
    length
}
