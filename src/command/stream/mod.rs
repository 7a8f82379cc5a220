//! Streams: the rows of the family's commands, and what their handlers share.
//!
//! The handlers are in files by what they do: [`entries`] adds and removes them,
//! [`read`] reads them, [`groups`] is about consumer groups, [`pending`] about
//! what they have delivered, [`removal`] about both, and [`info`] tells.

use crate::exec::args::Key;
use crate::exec::effect::{Event, Events};
use crate::exec::spec::Spec;
use crate::exec::txn::{Found, Txn};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::types::listpack::Item;
use crate::types::stream::{Entry, Group, Id, Pending, Stream};

mod entries;
mod groups;
mod ids;
mod info;
mod pending;
mod read;
mod removal;
mod rows;
#[cfg(test)]
mod tests;

/// The family.
pub const SPECS: &[Spec] = rows::SPECS;

const DELETE: Event = Event::stream("xdel");
const TRIM: Event = Event::stream("xtrim");
const CREATE_CONSUMER: Event = Event::stream("xgroup-createconsumer");

/// The words of a command.
type Words = Vec<Vec<u8>>;

// ----- the keyed operations ---------------------------------------------------

/// Finds a stream for a command that counts as one that reads, though it changes
/// what groups know.
fn look_up(txn: &mut Txn<'_>, key: &Key<'_>) -> Result<Option<Found>, Error> {
    if txn.peek(key).is_none() {
        return Ok(None);
    }
    txn.find_as::<Stream>(key)
}

/// Changes what is about a stream rather than in it: who watches the key for its
/// entries does not hear of that.
fn update_quietly<R>(
    txn: &mut Txn<'_>,
    key: &Key<'_>,
    found: Found,
    change: impl FnOnce(&mut Stream, &mut Events) -> R,
) -> R {
    let mut events = Events::new();
    let result = txn.update(key, found, |stream: &mut Stream, _| {
        change(stream, &mut events)
    });
    txn.count_changes_of(key, events.len() as u64);
    events.iter().for_each(|&event| txn.also(key, event));
    result
}

/// The consumer with this name, added where there is none yet, that was seen now.
fn enter(group: &mut Group, name: &[u8], now_ms: i64, events: &mut Events) -> u32 {
    let (number, is_new) = group.find_or_create(name, now_ms);
    if is_new {
        events.push(CREATE_CONSUMER);
    }
    group.consumer_mut(number).seen_ms = now_ms;
    number
}

// ----- errors -----------------------------------------------------------------

/// No key, or no group, for a command that needs both.
fn no_group(key: &Key<'_>, group: &[u8], after: &str) -> Error {
    let before = "NOGROUP No such key '";
    Error::quoting_both((before, key.bytes), ("' or consumer group '", group), after)
}

/// A key without this group.
fn no_such_group(key: &Key<'_>, group: &[u8]) -> Error {
    let before = "NOGROUP No such consumer group '";
    Error::quoting_both((before, group), ("' for key name '", key.bytes), "'")
}

// ----- replies ----------------------------------------------------------------

fn write_id(reply: &mut Reply<'_>, id: Id) {
    reply.bulk(id.text().as_bytes());
}

fn write_item(reply: &mut Reply<'_>, item: Item<'_>) {
    item.with_bytes(|bytes| reply.bulk(bytes));
}

/// An entry: its id, and its names and values.
fn write_entry(reply: &mut Reply<'_>, entry: Entry<'_>) {
    reply.array(2);
    write_id(reply, entry.id);
    reply.array(entry.fields * 2);
    for (name, value) in entry.iter() {
        write_item(reply, name);
        write_item(reply, value);
    }
}

fn write_entries<'a>(reply: &mut Reply<'_>, entries: impl Iterator<Item = Entry<'a>>) {
    let opened = reply.open();
    let mut count = 0;
    for entry in entries {
        write_entry(reply, entry);
        count += 1;
    }
    reply.close_array(opened, count);
}

// ----- what followers do ------------------------------------------------------

fn words(words: &[&[u8]]) -> Words {
    words.iter().map(|word| word.to_vec()).collect()
}

/// What makes a follower know of a delivery: an XCLAIM that does nothing twice.
fn claim_words(
    (key, group): (&Key<'_>, &[u8]),
    consumer: &[u8],
    id: Id,
    pending: Pending,
    last_id: Id,
) -> Words {
    words(&[
        b"XCLAIM",
        key.bytes,
        group,
        consumer,
        b"0",
        id.text().as_bytes(),
        b"TIME",
        pending.delivered_ms.to_string().as_bytes(),
        b"RETRYCOUNT",
        pending.deliveries.to_string().as_bytes(),
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        last_id.text().as_bytes(),
    ])
}

/// What makes a follower know how far a group has read.
fn position_words((key, name): (&Key<'_>, &[u8]), group: &Group) -> Words {
    let read = group.entries_read.map_or("-1".into(), |n| n.to_string());
    words(&[
        b"XGROUP",
        b"SETID",
        key.bytes,
        name,
        group.last_id.text().as_bytes(),
        b"ENTRIESREAD",
        read.as_bytes(),
    ])
}

/// What makes a follower know of a consumer that has got nothing yet.
fn consumer_words((key, group): (&Key<'_>, &[u8]), consumer: &[u8]) -> Words {
    words(&[b"XGROUP", b"CREATECONSUMER", key.bytes, group, consumer])
}
