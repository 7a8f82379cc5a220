//! Commands that add entries to a stream, and that remove them.

use super::ids;
use super::{DELETE, TRIM, update_quietly};
use crate::base::num::IntText;
use crate::config::param;
use crate::exec::args::Args;
use crate::exec::context::Ctx;
use crate::exec::effect::{Event, Events};
use crate::exec::engine::Engine;
use crate::exec::txn::Deadline;
use crate::protocol::error::Error;
use crate::store::entry::NewValue;
use crate::types::stream::{AppendError, Id, Keep, Limits, NewId, Stream, Trim};

const ADD: Event = Event::stream("xadd");

/// What stands between the key and the id or the end.
struct Options {
    make: bool,
    trim: Option<Trim>,
    /// XADD's id.
    id: Option<NewId>,
}

impl Options {
    /// Reads as far as XADD's id goes, or to the end.
    fn parse(args: &mut Args<'_>, engine: &Engine, is_add: bool) -> Result<Options, Error> {
        let mut options = Options {
            make: true,
            trim: None,
            id: None,
        };
        let (mut approximate, mut limit) = (false, None);
        let mut keep = None;
        while options.id.is_none() && !args.is_empty() {
            if is_add && args.flag("*") {
                options.id = Some(NewId::Auto);
            } else if let Some(by_length) = strategy(args) {
                if keep.is_some() {
                    return Err(Error::STREAM_TRIM_TWICE);
                }
                approximate = args.option("~");
                let _ = approximate || args.option("=");
                keep = Some(match by_length {
                    true => {
                        let length = u64::try_from(args.int()?);
                        Keep::Length(length.map_err(|_| Error::STREAM_MAXLEN)?)
                    }
                    false => Keep::From(ids::parse(args.bytes()?, 0)?),
                });
            } else if args.option("LIMIT") {
                limit = Some(u64::try_from(args.int()?).map_err(|_| Error::STREAM_LIMIT)?);
            } else if is_add && args.flag("NOMKSTREAM") {
                options.make = false;
            } else if is_add {
                options.id = Some(ids::parse_new(args.bytes()?)?);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        match (keep, limit) {
            (None, Some(1..)) => return Err(Error::STREAM_LIMIT_ALONE),
            (None, _) if !is_add => return Err(Error::STREAM_TRIM_NOTHING),
            (_, Some(_)) if !approximate => return Err(Error::STREAM_LIMIT_EXACT),
            _ => {}
        }
        options.trim = keep.map(|keep| Trim {
            keep,
            approximate,
            limit: match limit {
                Some(limit) => limit,
                None if approximate => limit_by_default(engine),
                None => 0,
            },
        });
        Ok(options)
    }
}

/// Takes the word of a strategy, if that is what comes next: whether it is the one
/// by length, or else by id.
fn strategy(args: &mut Args<'_>) -> Option<bool> {
    let by_length = args.option("MAXLEN");
    (by_length || args.option("MINID")).then_some(by_length)
}

/// Entries of a hundred nodes, within reason: so that trimming takes no long time.
fn limit_by_default(engine: &Engine) -> u64 {
    let entries = engine.settings.int(param::STREAM_NODE_MAX_ENTRIES);
    match entries.saturating_mul(100) {
        n if n <= 0 => 10_000,
        n => n.min(1_000_000) as u64,
    }
}

fn limits(engine: &Engine) -> Limits {
    let setting = |p| u64::try_from(engine.settings.int(p)).unwrap_or(0);
    Limits {
        node_bytes: setting(param::STREAM_NODE_MAX_BYTES) as usize,
        node_entries: setting(param::STREAM_NODE_MAX_ENTRIES),
    }
}

/// XADD key [NOMKSTREAM] [MAXLEN | MINID [= | ~] threshold [LIMIT n]] * | id field value [field value …]
pub(super) fn xadd(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let options = Options::parse(&mut ctx.args, ctx.engine, true)?;
    let fields = ctx.args.rest();
    let Some(id) = options
        .id
        .filter(|_| !fields.is_empty() && fields.len().is_multiple_of(2))
    else {
        return Err(Error::arity(ctx.spec.name));
    };
    if id == NewId::Given(Id::MIN) {
        return Err(Error::STREAM_ID_ZERO);
    }
    let (limits, now_ms) = (limits(ctx.engine), ctx.txn.now_ms);
    let add = |stream: &mut Stream, events: &mut Events| {
        let log = stream.log_mut();
        if log.last_id() == Id::MAX {
            return Err(Error::STREAM_EXHAUSTED);
        }
        let id = log
            .append(id, fields, limits, now_ms)
            .map_err(|e| match e {
                AppendError::NotGreater => Error::STREAM_ID_NOT_GREATER,
                AppendError::TooLarge => Error::STREAM_ENTRY_TOO_LARGE,
            })?;
        events.push(ADD);
        if options.trim.is_some_and(|trim| log.trim(trim) > 0) {
            events.push(TRIM);
        }
        Ok((id, options.trim.map(|trim| definite(stream, trim))))
    };
    let (id, threshold) = match ctx.txn.find_as::<Stream>(&key)? {
        Some(found) => ctx.txn.update(&key, found, add)?,
        None if !options.make => {
            ctx.reply.null();
            return Ok(());
        }
        None => {
            let (mut stream, mut events) = (Stream::default(), Events::new());
            let added = add(&mut stream, &mut events)?;
            let value = NewValue::Object(stream.into());
            ctx.txn.put(&key, None, value, Deadline::Never, ADD);
            events.iter().skip(1).for_each(|&e| ctx.txn.also(&key, e));
            added
        }
    };
    ctx.reply.bulk(id.text().as_bytes());
    let is_definite = matches!(options.id, Some(NewId::Given(_)));
    if !is_definite || options.trim.is_some_and(|trim| trim.approximate) {
        ctx.txn.rewrite(|| {
            let mut words = vec![b"XADD".to_vec(), key.bytes.to_vec()];
            words.extend(threshold.into_iter().flatten());
            words.push(id.text().as_bytes().to_vec());
            words.extend(fields.iter().map(|text| text.to_vec()));
            words
        });
    }
    Ok(())
}

/// A trimming that was done, in words that do the same wherever they are said.
fn definite(stream: &Stream, trim: Trim) -> [Vec<u8>; 3] {
    let log = stream.log();
    let keep = match trim.keep {
        keep if !trim.approximate => keep,
        Keep::Length(_) => Keep::Length(log.len()),
        Keep::From(_) => Keep::From(log.first_stored_id().unwrap_or(Id::MAX)),
    };
    let (word, value) = match keep {
        Keep::Length(n) => ("MAXLEN", IntText::unsigned(n).as_bytes().to_vec()),
        Keep::From(id) => ("MINID", id.text().as_bytes().to_vec()),
    };
    [word.into(), b"=".to_vec(), value]
}

/// XTRIM key MAXLEN | MINID [= | ~] threshold [LIMIT n]
pub(super) fn xtrim(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let options = Options::parse(&mut ctx.args, ctx.engine, false)?;
    let (Some(found), Some(trim)) = (ctx.txn.find_as::<Stream>(&key)?, options.trim) else {
        ctx.reply.int(0);
        return Ok(());
    };
    let (trimmed, words) = ctx.txn.update(&key, found, |stream: &mut Stream, events| {
        let trimmed = stream.log_mut().trim(trim);
        if trimmed > 0 {
            events.push(TRIM);
        }
        (trimmed, definite(stream, trim))
    });
    if trimmed > 0 && trim.approximate {
        ctx.txn.rewrite(|| {
            let head = [b"XTRIM".to_vec(), key.bytes.to_vec()];
            head.into_iter().chain(words).collect()
        });
    }
    ctx.reply.int(trimmed as i64);
    Ok(())
}

/// XDEL key id [id …]
pub(super) fn xdel(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let Some(found) = ctx.txn.find_as::<Stream>(&key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let ids = ids::rest(&mut ctx.args)?;
    let deleted = ctx.txn.update(&key, found, |stream: &mut Stream, events| {
        let deleted = stream.log_mut().delete(&ids);
        let deleted = deleted.into_iter().filter(|&was| was).count();
        if deleted > 0 {
            events.push(DELETE);
        }
        deleted
    });
    ctx.reply.size(deleted);
    Ok(())
}

/// XSETID key last-id [ENTRIESADDED n] [MAXDELETEDID id]
pub(super) fn xsetid(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let id = ids::parse(ctx.args.bytes()?, 0)?;
    let (mut added, mut max_deleted) = (None, Id::MIN);
    while !ctx.args.is_empty() {
        if ctx.args.option("ENTRIESADDED") {
            let n = u64::try_from(ctx.args.int()?);
            added = Some(n.map_err(|_| Error::STREAM_ADDED_NEGATIVE)?);
        } else if ctx.args.option("MAXDELETEDID") {
            max_deleted = ids::parse(ctx.args.bytes()?, 0)?;
            if id < max_deleted {
                return Err(Error::STREAM_SETID_BELOW_GIVEN);
            }
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let found = ctx.txn.find_as::<Stream>(&key)?.ok_or(Error::NO_KEY)?;
    update_quietly(ctx.txn, &key, found, |stream, events| {
        let log = stream.log_mut();
        if id < log.max_deleted_id() {
            return Err(Error::STREAM_SETID_BELOW_DELETED);
        }
        if log.last_entry_id().is_some_and(|last| id < last) {
            return Err(Error::STREAM_SETID_BELOW_TOP);
        }
        if added.is_some_and(|n| n < log.len()) {
            return Err(Error::STREAM_SETID_BELOW_LENGTH);
        }
        log.set_past(id, added, Some(max_deleted).filter(|&id| id != Id::MIN));
        events.push(Event::stream("xsetid"));
        Ok(())
    })?;
    ctx.reply.ok();
    Ok(())
}
