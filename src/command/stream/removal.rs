//! Commands that remove entries with a say in what becomes of those that groups
//! still have to acknowledge.

use super::{DELETE, Words, ids, look_up};
use crate::base::num;
use crate::exec::args::{Args, Key};
use crate::exec::context::Ctx;
use crate::exec::txn::Found;
use crate::protocol::error::Error;
use crate::types::stream::{Id, Stream};

/// What becomes of what is pending in groups when its entry is removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum References {
    /// It stays.
    Keep,
    /// It goes, too.
    Delete,
    /// Only entries go that no group needs any more.
    Acked,
}

/// What the client is told of an id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Absent = -1,
    Deleted = 1,
    /// The entry stays, as a group needs it.
    Needed = 2,
}

/// `[KEEPREF | DELREF | ACKED] IDS n id [id …]`, in either order.
fn options(args: &mut Args<'_>) -> Result<(References, Vec<Id>), Error> {
    let (mut references, mut ids) = (None, None);
    while !args.is_empty() {
        let known = [
            ("KEEPREF", References::Keep),
            ("DELREF", References::Delete),
            ("ACKED", References::Acked),
        ];
        if let Some((_, how)) = known.into_iter().find(|(word, _)| args.flag(word)) {
            if references.replace(how).is_some() {
                return Err(Error::SYNTAX);
            }
        } else if ids.is_none() && args.option("IDS") {
            let count = num::parse_i64(args.bytes()?).filter(|&n| n > 0);
            let count = count.ok_or(Error::NUMIDS)? as usize;
            if count > args.left() {
                return Err(Error::NUMIDS_MISMATCH);
            }
            let some = (0..count).map(|_| ids::parse(args.bytes()?, 0));
            ids = Some(some.collect::<Result<Vec<Id>, Error>>()?);
        } else {
            // Ids beyond their number are no options.
            return Err(match ids {
                Some(_) => Error::NUMIDS_MISMATCH,
                None => Error::SYNTAX,
            });
        }
    }
    let ids = ids.ok_or(Error::SYNTAX)?;
    Ok((references.unwrap_or(References::Keep), ids))
}

/// XDELEX key [KEEPREF | DELREF | ACKED] IDS n id [id …]
pub(super) fn xdelex(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (references, ids) = options(&mut ctx.args)?;
    let found = ctx.txn.find_as::<Stream>(&key)?;
    remove(ctx, &key, found, None, references, &ids);
    Ok(())
}

/// XACKDEL key group [KEEPREF | DELREF | ACKED] IDS n id [id …]
pub(super) fn xackdel(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let group = ctx.args.bytes()?;
    let (references, ids) = options(&mut ctx.args)?;
    let found = look_up(ctx.txn, &key)?;
    let has_group = |found: &Found| ctx.txn.view::<Stream>(*found).group(group).is_some();
    let found = found.filter(has_group);
    remove(ctx, &key, found, Some(group), references, &ids);
    Ok(())
}

/// Removes entries, of a group only those that it had pending, and replies what
/// became of each.
fn remove(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    found: Option<Found>,
    group: Option<&[u8]>,
    references: References,
    ids: &[Id],
) {
    let mut acknowledged = 0;
    let outcomes = match found {
        None => vec![Outcome::Absent; ids.len()],
        Some(found) => {
            let mut remove_one = |stream: &mut Stream, id: Id| {
                if let Some(name) = group {
                    let pending = stream.change_group(name, |_, group| group.acknowledge(id));
                    if pending.flatten().is_none() {
                        return Outcome::Absent;
                    }
                    acknowledged += 1;
                }
                let is_there = stream.log().get(id).is_some();
                if is_there && references == References::Acked && stream.is_needed(id) {
                    return Outcome::Needed;
                }
                if references == References::Delete {
                    acknowledged += stream.acknowledge_everywhere(id);
                }
                let deleted = stream.log_mut().delete(&[id]);
                match deleted[0] || group.is_some() {
                    true => Outcome::Deleted,
                    false => Outcome::Absent,
                }
            };
            let (outcomes, deleted) = ctx.txn.update(key, found, |stream: &mut Stream, events| {
                let before = stream.log().len();
                let outcomes: Vec<Outcome> = ids.iter().map(|&id| remove_one(stream, id)).collect();
                let deleted = before - stream.log().len();
                if deleted > 0 {
                    events.push(DELETE);
                }
                (outcomes, deleted)
            });
            ctx.txn.count_changes_of(key, acknowledged as u64);
            if acknowledged as u64 + deleted > 0 && ctx.txn.is_heard() {
                let groups: Vec<Vec<u8>> = match (references, group) {
                    _ if acknowledged == 0 => Vec::new(),
                    (References::Delete, _) => {
                        let stream = ctx.txn.view::<Stream>(found);
                        stream.groups().map(|(name, _)| name.to_vec()).collect()
                    }
                    (_, group) => group.map(<[u8]>::to_vec).into_iter().collect(),
                };
                let gone = ids.iter().zip(&outcomes);
                let gone = gone.filter(|(_, outcome)| **outcome == Outcome::Deleted);
                let gone: Vec<Id> = gone.map(|(id, _)| *id).collect();
                ctx.txn.rewrite_as(words(key, groups, ids, &gone));
            }
            outcomes
        }
    };
    ctx.reply.array(outcomes.len());
    outcomes.iter().for_each(|&o| ctx.reply.int(o as i64));
}

/// The same in commands that every follower knows.
fn words(key: &Key<'_>, groups: Vec<Vec<u8>>, ids: &[Id], gone: &[Id]) -> Vec<Words> {
    let texts = |ids: &[Id]| -> Words {
        let texts = ids.iter().map(|id| id.text().as_bytes().to_vec());
        texts.collect()
    };
    let acks = groups.into_iter().map(|group| {
        let mut words = vec![b"XACK".to_vec(), key.bytes.to_vec(), group];
        words.extend(texts(ids));
        words
    });
    let mut commands: Vec<Words> = acks.collect();
    if !gone.is_empty() {
        let mut words = vec![b"XDEL".to_vec(), key.bytes.to_vec()];
        words.extend(texts(gone));
        commands.push(words);
    }
    commands
}
