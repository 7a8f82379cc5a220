//! XINFO: what there is to know of a stream, its groups and their consumers.

use super::{no_such_group, write_entries, write_entry, write_id};
use crate::command::help;
use crate::exec::context::Ctx;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::types::stream::{Consumer, Group, Id, Log, NEVER, Stream};

/// Entries and pending ones that FULL shows of each, where it is not told.
const COUNT: usize = 10;

/// XINFO HELP
pub(super) fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
        ],
    );
    Ok(())
}

/// XINFO STREAM key [FULL [COUNT n]]
pub(super) fn info_stream(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let misused = Error::unknown_subcommand_or_arity("xinfo", ctx.args.all()[1]);
    let mut args = ctx.args.clone();
    let stream = ctx.txn.read_as::<Stream>(&key)?.ok_or(Error::NO_KEY)?;
    let full = match args.left() {
        0 => None,
        1 if args.flag("FULL") => Some(COUNT),
        3 if args.flag("FULL") && args.flag("COUNT") => match args.int()? {
            0 => Some(usize::MAX),
            n => Some(usize::try_from(n).unwrap_or(COUNT)),
        },
        _ => return Err(misused),
    };
    let (reply, log) = (&mut ctx.reply, stream.log());
    reply.map(if full.is_some() { 9 } else { 10 });
    int(reply, "length", log.len() as i64);
    int(reply, "radix-tree-keys", log.node_count() as i64);
    int(reply, "radix-tree-nodes", stream.radix_nodes() as i64);
    id(reply, "last-generated-id", log.last_id());
    id(reply, "max-deleted-entry-id", log.max_deleted_id());
    int(reply, "entries-added", log.added() as i64);
    id(reply, "recorded-first-entry-id", log.first_id());
    match full {
        None => {
            int(reply, "groups", stream.groups().len() as i64);
            let ends = [
                ("first-entry", log.range(Id::MIN, Id::MAX).next()),
                ("last-entry", log.range_back(Id::MIN, Id::MAX).next()),
            ];
            for (name, entry) in ends {
                reply.bulk(name.as_bytes());
                match entry {
                    Some(entry) => write_entry(reply, entry),
                    None => reply.null(),
                }
            }
        }
        Some(count) => {
            reply.bulk(b"entries");
            write_entries(reply, log.range(Id::MIN, Id::MAX).take(count));
            reply.bulk(b"groups");
            reply.array(stream.groups().len());
            for (name, group) in stream.groups() {
                write_group_in_full(reply, log, name, group, count);
            }
        }
    }
    Ok(())
}

fn write_group_in_full(reply: &mut Reply<'_>, log: &Log, name: &[u8], group: &Group, count: usize) {
    reply.map(7);
    text(reply, "name", name);
    id(reply, "last-delivered-id", group.last_id);
    write_progress(reply, log, group);
    let pending = group.pending();
    int(reply, "pel-count", pending.len() as i64);
    reply.bulk(b"pending");
    reply.array(pending.len().min(count));
    for (id, pending) in pending.iter().take(count) {
        reply.array(4);
        write_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.int(pending.delivered_ms);
        reply.int(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        let own = consumer.pending();
        reply.map(5);
        text(reply, "name", consumer.name());
        int(reply, "seen-time", consumer.seen_ms);
        int(reply, "active-time", consumer.active_ms);
        int(reply, "pel-count", own.len() as i64);
        reply.bulk(b"pending");
        reply.array(own.len().min(count));
        let number = group.find(consumer.name());
        for (id, pending) in group.pending_range(Id::MIN, Id::MAX, number).take(count) {
            reply.array(3);
            write_id(reply, id);
            reply.int(pending.delivered_ms);
            reply.int(pending.deliveries as i64);
        }
    }
}

/// XINFO GROUPS key
pub(super) fn info_groups(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let stream = ctx.txn.read_as::<Stream>(&key)?.ok_or(Error::NO_KEY)?;
    let reply = &mut ctx.reply;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        text(reply, "name", name);
        int(reply, "consumers", group.consumers().len() as i64);
        int(reply, "pending", group.pending().len() as i64);
        id(reply, "last-delivered-id", group.last_id);
        write_progress(reply, stream.log(), group);
    }
    Ok(())
}

/// How far a group is, as far as that can be told.
fn write_progress(reply: &mut Reply<'_>, log: &Log, group: &Group) {
    let known = [
        ("entries-read", group.entries_read.map(|n| n as i64)),
        ("lag", log.lag(group.entries_read, group.last_id)),
    ];
    for (name, number) in known {
        reply.bulk(name.as_bytes());
        match number {
            Some(n) => reply.int(n),
            None => reply.null(),
        }
    }
}

/// XINFO CONSUMERS key group
pub(super) fn info_consumers(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let name = ctx.args.bytes()?;
    let now_ms = ctx.txn.now_ms as i64;
    let stream = ctx.txn.read_as::<Stream>(&key)?.ok_or(Error::NO_KEY)?;
    let group = stream
        .group(name)
        .ok_or_else(|| no_such_group(&key, name))?;
    let reply = &mut ctx.reply;
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        write_consumer(reply, consumer, now_ms);
    }
    Ok(())
}

fn write_consumer(reply: &mut Reply<'_>, consumer: &Consumer, now_ms: i64) {
    reply.map(4);
    text(reply, "name", consumer.name());
    int(reply, "pending", consumer.pending().len() as i64);
    let idle = now_ms.saturating_sub(consumer.seen_ms);
    int(reply, "idle", idle.max(0));
    let inactive = match consumer.active_ms {
        NEVER => NEVER,
        ms => now_ms.saturating_sub(ms),
    };
    int(reply, "inactive", inactive);
}

fn int(reply: &mut Reply<'_>, name: &str, n: i64) {
    reply.bulk(name.as_bytes());
    reply.int(n);
}

fn id(reply: &mut Reply<'_>, name: &str, id: Id) {
    reply.bulk(name.as_bytes());
    write_id(reply, id);
}

fn text(reply: &mut Reply<'_>, name: &str, text: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(text);
}
