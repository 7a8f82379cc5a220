//! XGROUP: consumer groups and their consumers.

use super::{CREATE_CONSUMER, ids, no_such_group, update_quietly};
use crate::command::help;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::{Deadline, Found};
use crate::protocol::error::Error;
use crate::store::entry::NewValue;
use crate::types::stream::{Group, Id, Log, Stream};

const CREATE: Event = Event::stream("xgroup-create");

/// XGROUP HELP
pub(super) fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's entries_read counter (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the current group ID and entries_read counter.",
        ],
    );
    Ok(())
}

/// What is wrong where a subcommand does not take its arguments.
fn misused(ctx: &Ctx<'_, '_>) -> Error {
    Error::unknown_subcommand_or_arity("xgroup", ctx.args.all()[1])
}

/// The options of CREATE and SETID.
#[derive(Default)]
struct Options {
    make: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(ctx: &mut Ctx<'_, '_>, is_create: bool) -> Result<Options, Error> {
        let mut options = Options::default();
        while !ctx.args.is_empty() {
            if is_create && ctx.args.flag("MKSTREAM") {
                options.make = true;
            } else if ctx.args.option("ENTRIESREAD") {
                let n = ctx.args.int()?;
                if n < -1 {
                    return Err(Error::ENTRIES_READ);
                }
                options.entries_read = u64::try_from(n).ok();
            } else {
                return Err(misused(ctx));
            }
        }
        Ok(options)
    }
}

/// The stream, which must be there.
fn find(ctx: &mut Ctx<'_, '_>, key: &Key<'_>) -> Result<Found, Error> {
    let found = ctx.txn.find_as::<Stream>(key)?;
    found.ok_or(Error::XGROUP_WITHOUT_KEY)
}

/// The stream, which must have this group.
fn find_with_group(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, group: &[u8]) -> Result<Found, Error> {
    let found = find(ctx, key)?;
    match ctx.txn.view::<Stream>(found).group(group) {
        Some(_) => Ok(found),
        None => Err(no_such_group(key, group)),
    }
}

/// XGROUP CREATE key group id | $ [MKSTREAM] [ENTRIESREAD n]
pub(super) fn create(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    const WORDS_MAX: usize = 8;
    let key = ctx.args.key()?;
    let (name, text) = (ctx.args.bytes()?, ctx.args.bytes()?);
    let options = Options::parse(ctx, true)?;
    let found = ctx.txn.find_as::<Stream>(&key)?;
    if found.is_none() && !options.make {
        return Err(Error::XGROUP_WITHOUT_KEY);
    }
    if ctx.args.all().len() > WORDS_MAX {
        return Err(misused(ctx));
    }
    let group = |log: &Log| -> Result<Group, Error> {
        let id = match text {
            b"$" => log.last_id(),
            text => ids::parse(text, 0)?,
        };
        Ok(Group::new(id, options.entries_read))
    };
    match found {
        Some(found) => update_quietly(ctx.txn, &key, found, |stream, events| {
            let group = group(stream.log())?;
            if !stream.create_group(name, group) {
                return Err(Error::BUSY_GROUP);
            }
            events.push(CREATE);
            Ok(())
        })?,
        None => {
            let mut stream = Stream::default();
            stream.create_group(name, group(stream.log())?);
            let value = NewValue::Object(stream.into());
            ctx.txn.put(&key, None, value, Deadline::Never, CREATE);
        }
    }
    ctx.reply.ok();
    Ok(())
}

/// XGROUP SETID key group id | $ [ENTRIESREAD n]
pub(super) fn setid(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    const WORDS_MAX: usize = 7;
    let key = ctx.args.key()?;
    let (name, text) = (ctx.args.bytes()?, ctx.args.bytes()?);
    let options = Options::parse(ctx, false)?;
    let found = find_with_group(ctx, &key, name)?;
    if ctx.args.all().len() > WORDS_MAX {
        return Err(misused(ctx));
    }
    let id: Option<Id> = match text {
        b"$" => None,
        text => Some(ids::parse_any(text, 0)?),
    };
    update_quietly(ctx.txn, &key, found, |stream, events| {
        stream.change_group(name, |log, group| {
            group.last_id = id.unwrap_or(log.last_id());
            group.entries_read = options.entries_read;
        });
        events.push(Event::stream("xgroup-setid"));
    });
    ctx.reply.ok();
    Ok(())
}

/// XGROUP DESTROY key group
pub(super) fn destroy(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let name = ctx.args.bytes()?;
    let found = find(ctx, &key)?;
    let was_there = update_quietly(ctx.txn, &key, found, |stream, events| {
        let was_there = stream.destroy_group(name);
        if was_there {
            events.push(Event::stream("xgroup-destroy"));
        }
        was_there
    });
    if was_there {
        // Whoever waits as one of it is to hear that it is no more.
        ctx.txn.wake(&key);
    }
    ctx.reply.flag(was_there);
    Ok(())
}

/// XGROUP CREATECONSUMER key group consumer
pub(super) fn create_consumer(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (name, consumer) = (ctx.args.bytes()?, ctx.args.bytes()?);
    let found = find_with_group(ctx, &key, name)?;
    let now_ms = ctx.txn.now_ms as i64;
    let is_new = update_quietly(ctx.txn, &key, found, |stream, events| {
        let created = stream.change_group(name, |_, group| group.create(consumer, now_ms));
        let is_new = created.flatten().is_some();
        if is_new {
            events.push(CREATE_CONSUMER);
        }
        is_new
    });
    ctx.reply.flag(is_new);
    Ok(())
}

/// XGROUP DELCONSUMER key group consumer
pub(super) fn delete_consumer(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (name, consumer) = (ctx.args.bytes()?, ctx.args.bytes()?);
    let found = find_with_group(ctx, &key, name)?;
    let pending = update_quietly(ctx.txn, &key, found, |stream, events| {
        let removed = stream.change_group(name, |_, group| group.remove(consumer));
        let pending = removed.flatten();
        if pending.is_some() {
            events.push(Event::stream("xgroup-delconsumer"));
        }
        pending
    });
    ctx.reply.size(pending.unwrap_or(0));
    Ok(())
}
