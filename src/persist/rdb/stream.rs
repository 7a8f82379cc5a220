//! Streams: their nodes as they lie in memory, then what they know of their past,
//! then their groups.

use std::io::Read;

use super::{Input, LoadError, Output, kind};
use crate::types::listpack::Listpack;
use crate::types::stream::{Group, Id, IdMap, Log, Node, Pending, Stream};

/// A group that does not know how many entries it has read.
const UNKNOWN: u64 = u64::MAX;
/// The first version whose consumers tell when they were active.
const WITH_ACTIVITY: u16 = 11;

/// Writes a stream behind its type.
pub(super) fn save(stream: &Stream, out: &mut Output) {
    let log = stream.log();
    let tells_activity = out.version() >= WITH_ACTIVITY;
    out.kind(match tells_activity {
        true => kind::STREAM,
        false => kind::STREAM_2,
    });
    out.length(log.node_count() as u64);
    for (id, node) in log.nodes() {
        out.string(&id.to_bytes());
        out.string(node.listpack().as_bytes());
    }
    out.length(log.len());
    for id in [log.last_id(), log.first_id(), log.max_deleted_id()] {
        save_id(id, out);
    }
    out.length(log.added());
    out.length(stream.groups().len() as u64);
    for (name, group) in stream.groups() {
        out.string(name);
        save_id(group.last_id, out);
        out.length(group.entries_read.unwrap_or(UNKNOWN));
        save_group(group, tells_activity, out);
    }
}

fn save_id(id: Id, out: &mut Output) {
    out.length(id.ms);
    out.length(id.seq);
}

fn save_group(group: &Group, tells_activity: bool, out: &mut Output) {
    out.length(group.pending().len() as u64);
    for (id, pending) in group.pending().iter() {
        out.raw(&id.to_bytes());
        out.raw(&pending.delivered_ms.to_le_bytes());
        out.length(pending.deliveries);
    }
    out.length(group.consumers().len() as u64);
    for consumer in group.consumers() {
        out.string(consumer.name());
        out.raw(&consumer.seen_ms.to_le_bytes());
        if tells_activity {
            out.raw(&consumer.active_ms.to_le_bytes());
        }
        out.length(consumer.pending().len() as u64);
        for (id, ()) in consumer.pending().iter() {
            out.raw(&id.to_bytes());
        }
    }
}

/// Reads a stream of a type that is one.
pub(super) fn load<R: Read>(kind: u8, input: &mut Input<R>) -> Result<Stream, LoadError> {
    let mut stream = Stream::default();
    load_log(kind, input, stream.log_mut())?;
    for _ in 0..input.length()? {
        let name = input.string()?;
        let last_id = load_id(input)?;
        let entries_read = match kind {
            kind::STREAM_1 => stream.log().added_up_to(last_id),
            _ => Some(input.length()?).filter(|&n| n != UNKNOWN),
        };
        let mut group = Group::new(last_id, entries_read);
        load_group(kind, input, &mut group)?;
        if !stream.create_group(&name, group) {
            return Err(LoadError::Corrupt("Duplicated consumer group name"));
        }
    }
    Ok(stream)
}

fn load_id<R: Read>(input: &mut Input<R>) -> Result<Id, LoadError> {
    Ok(Id::new(input.length()?, input.length()?))
}

fn load_log<R: Read>(kind: u8, input: &mut Input<R>, log: &mut Log) -> Result<(), LoadError> {
    for _ in 0..input.length()? {
        let id = <[u8; 16]>::try_from(input.string()?.as_slice());
        let id = id.map_err(|_| {
            LoadError::Corrupt("Stream node key entry is not the size of a stream ID")
        })?;
        let node = Listpack::from_bytes(&input.string()?).and_then(Node::from_listpack);
        let is_in = node.is_some_and(|node| log.push_node(Id::from_bytes(id), node));
        if !is_in {
            return Err(LoadError::Corrupt("Stream listpack integrity check failed"));
        }
    }
    let length = input.length()?;
    let last_id = load_id(input)?;
    let (max_deleted, added) = match kind {
        kind::STREAM_1 => (Id::MIN, length),
        _ => {
            // The first entry's, which is known.
            load_id(input)?;
            (load_id(input)?, input.length()?)
        }
    };
    let is_behind = log.nodes().last().is_none_or(|(id, _)| id <= last_id)
        && log.last_entry_id() <= Some(last_id);
    if length != log.len() || !is_behind {
        return Err(LoadError::Corrupt(
            "Stream length or last ID inconsistent with its entries",
        ));
    }
    log.set_past(last_id, Some(added), Some(max_deleted));
    Ok(())
}

fn load_group<R: Read>(kind: u8, input: &mut Input<R>, group: &mut Group) -> Result<(), LoadError> {
    const PENDING: LoadError =
        LoadError::Corrupt("Duplicated consumer PEL entry, or one of no consumer or no group");
    // What is pending, until its consumer is known.
    let mut pending = IdMap::default();
    for _ in 0..input.length()? {
        let id = Id::from_bytes(input.array()?);
        let delivery = (input.signed()?, input.length()?);
        if pending.insert(id, delivery).is_some() {
            return Err(PENDING);
        }
    }
    for _ in 0..input.length()? {
        let name = input.string()?;
        let seen_ms = input.signed()?;
        let active_ms = match kind {
            kind::STREAM => input.signed()?,
            _ => seen_ms,
        };
        let consumer = group
            .create(&name, seen_ms)
            .ok_or(LoadError::Corrupt("Duplicate stream consumer detected"))?;
        group.consumer_mut(consumer).active_ms = active_ms;
        for _ in 0..input.length()? {
            let id = Id::from_bytes(input.array()?);
            let (delivered_ms, deliveries) = pending.remove(id).ok_or(PENDING)?;
            let pending = Pending {
                delivered_ms,
                deliveries,
                consumer,
            };
            group.deliver(id, pending);
        }
    }
    match pending.is_empty() {
        true => Ok(()),
        false => Err(PENDING),
    }
}
