//! The keys of a slot: how many there are, which, and what is done with all of them.

use std::sync::OnceLock;

use super::super::scan::{Names, Options, Over};
use super::{slot_of, the_cluster, wrong};
use crate::base::{hash, num};
use crate::cluster::Cluster;
use crate::config::param;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::{Event, Removal};
use crate::exec::txn::Txn;
use crate::protocol::error::Error;
use crate::store::figures::Reason;

/// Keys that are taken out of a slot at once.
const DROPPED_AT_ONCE: usize = 1024;
/// The letters of a tag.
const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A slot, and what is behind it.
fn slot_in_range(ctx: &mut Ctx<'_, '_>) -> Result<Option<u16>, Error> {
    let slot = ctx.args.int()?;
    Ok(u16::try_from(slot).ok().filter(|slot| *slot < hash::SLOTS))
}

pub(super) fn count_keys(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    let slot = slot_in_range(ctx)?.ok_or_else(|| Error::new("ERR Invalid slot"))?;
    let db = ctx.txn.db;
    let count = ctx.txn.shard_of_slot(slot).len_of_slot(db, slot);
    ctx.reply.size(count);
    Ok(())
}

pub(super) fn get_keys(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    let slot = slot_in_range(ctx)?;
    let most = usize::try_from(ctx.args.int()?).ok();
    let (Some(slot), Some(most)) = (slot, most) else {
        return Err(Error::new("ERR Invalid slot or number of keys"));
    };
    // What is over counts until it is gone; what is invalidated does not.
    let over_ms = std::mem::replace(&mut ctx.txn.over_ms, 0);
    let (db, hiding) = (ctx.txn.db, ctx.txn.hiding());
    ctx.txn.over_ms = over_ms;
    let shard = ctx.txn.shard_of_slot(slot);
    let (mut names, mut left) = (Names::default(), most);
    let mut cursor = (most > 0).then_some(0);
    while let Some(from) = cursor {
        cursor = shard.scan_slot(db, slot, from, left, |id, entry| {
            if left > 0 && !hiding.hides(shard, db, id, &entry) {
                names.push(entry.key());
                left -= 1;
            }
        });
        if left == 0 {
            break;
        }
    }
    names.write(&mut ctx.reply);
    Ok(())
}

/// Removes all keys of a slot in all databases.
pub fn drop_slot(txn: &mut Txn<'_>, slot: u16, databases: u32) {
    let own_db = txn.db;
    // Also what is over.
    let over_ms = std::mem::replace(&mut txn.over_ms, 0);
    for db in 0..databases {
        txn.db = db;
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            let mut keys = Vec::new();
            let shard = txn.shard_of_slot(slot);
            cursor = shard.scan_slot(db, slot, from, DROPPED_AT_ONCE, |_, entry| {
                keys.push(entry.key().to_vec());
            });
            for bytes in &keys {
                let key = Key::of(bytes);
                match txn.find(&key) {
                    Some(found) => txn.remove(&key, found, Event::DEL),
                    None => drop(txn.remove_absent(&key, Reason::Deleted)),
                }
            }
        }
    }
    (txn.db, txn.over_ms) = (own_db, over_ms);
}

/// FLUSHSLOT slot [ASYNC | SYNC]
pub(super) fn flush_slot(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    let slot = slot_of(ctx.args.bytes()?)?;
    let later = match *ctx.args.rest() {
        [] => ctx.engine.settings.flag(param::LAZYFREE_LAZY_USER_FLUSH),
        [word] if word.eq_ignore_ascii_case(b"async") => true,
        [word] if word.eq_ignore_ascii_case(b"sync") => false,
        [_] => return Err(Error::SYNTAX),
        _ => return Err(wrong(ctx)),
    };
    ctx.txn.removal = match later {
        true => Removal::Unlink,
        false => Removal::User,
    };
    drop_slot(ctx.txn, slot, ctx.engine.databases());
    ctx.reply.ok();
    Ok(())
}

// ----- SLOT-STATS -----------------------------------------------------------------

/// SLOT-STATS SLOTSRANGE first last | ORDERBY key-count [LIMIT n] [ASC | DESC]. Of a
/// slot nothing is counted but its keys.
pub(super) fn slot_stats(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let cluster = the_cluster(ctx)?;
    let words = ctx.args.rest();
    let is_mine = |slot: &u16| {
        let state = cluster.state();
        state.owner(*slot) == Some(state.my_ref())
    };
    let rows: Vec<(u16, usize)> = match *words {
        [word, first, last] if word.eq_ignore_ascii_case(b"slotsrange") => {
            let (first, last) = (slot_of(first)?, slot_of(last)?);
            if first > last {
                return Err(format!(
                    "ERR Start slot number {first} is greater than end slot number {last}"
                )
                .into());
            }
            let slots = (first..=last).filter(is_mine);
            slots.map(|slot| (slot, keys_of(ctx, slot))).collect()
        }
        [word, metric, ref options @ ..] if word.eq_ignore_ascii_case(b"orderby") => {
            if !metric.eq_ignore_ascii_case(b"key-count") {
                return Err(Error::new("ERR Unrecognized sort metric for ORDERBY."));
            }
            let (limit, descending) = order(options)?;
            let slots = (0..hash::SLOTS).filter(is_mine);
            let mut rows: Vec<_> = slots.map(|slot| (slot, keys_of(ctx, slot))).collect();
            rows.sort_by_key(|(slot, keys)| match descending {
                true => (-(*keys as i64), *slot),
                false => (*keys as i64, *slot),
            });
            rows.truncate(limit);
            rows
        }
        _ => return Err(wrong(ctx)),
    };
    ctx.reply.array(rows.len());
    for (slot, keys) in rows {
        ctx.reply.array(2);
        ctx.reply.int(slot.into());
        ctx.reply.map(1);
        ctx.reply.bulk(b"key-count");
        ctx.reply.size(keys);
    }
    Ok(())
}

/// Keys of a slot in all databases.
fn keys_of(ctx: &mut Ctx<'_, '_>, slot: u16) -> usize {
    let shard = ctx.txn.shard_of_slot(slot);
    let databases = ctx.engine.databases();
    (0..databases).map(|db| shard.len_of_slot(db, slot)).sum()
}

/// How many rows are wanted, and whether the greatest come first.
fn order(options: &[&[u8]]) -> Result<(usize, bool), Error> {
    let (mut limit, mut descending) = (None, None);
    let mut at = 0;
    while at < options.len() {
        let is = |word: &str| options[at].eq_ignore_ascii_case(word.as_bytes());
        let is_again = if is("limit") && at + 1 < options.len() {
            let n =
                num::parse_i64(options[at + 1]).filter(|n| (1..=hash::SLOTS.into()).contains(n));
            let n = n.ok_or_else(|| {
                Error::new("ERR Limit has to lie in between 1 and 16384 (maximum number of slots).")
            })?;
            at += 1;
            limit.replace(n as usize).is_some()
        } else if is("asc") || is("desc") {
            descending.replace(is("desc")).is_some()
        } else {
            return Err(Error::SYNTAX);
        };
        if is_again {
            return Err(Error::new(
                "ERR Multiple filters of the same type are disallowed.",
            ));
        }
        at += 1;
    }
    let all = usize::from(hash::SLOTS);
    Ok((limit.unwrap_or(all), descending.unwrap_or(true)))
}

// ----- CLUSTERSCAN ------------------------------------------------------------------

/// A short text that lies in a slot.
fn tag_of(slot: u16) -> &'static [u8] {
    static TAGS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let tags = TAGS.get_or_init(|| {
        let mut tags = vec![Vec::new(); usize::from(hash::SLOTS)];
        let mut left = tags.len();
        let mut number = 0usize;
        while left > 0 {
            let (mut rest, mut text) = (number, Vec::new());
            loop {
                text.push(LETTERS[rest % LETTERS.len()]);
                rest /= LETTERS.len();
                if rest == 0 {
                    break;
                }
                rest -= 1;
            }
            let tag = &mut tags[usize::from(hash::slot(&text))];
            if tag.is_empty() {
                *tag = text;
                left -= 1;
            }
            number += 1;
        }
        tags
    });
    &tags[usize::from(slot)]
}

/// What a cursor within a slot begins with: who does not know it begins anew. It stands
/// for the process, whose digests are its own.
fn fingerprint(ctx: &Ctx<'_, '_>) -> &'static str {
    static PRINT: OnceLock<String> = OnceLock::new();
    PRINT.get_or_init(|| {
        let n = hash::lasting_digest(ctx.engine.run_id.as_bytes());
        let digit = |i: u32| char::from(b'0' + (n >> (6 * i) & 0x3f) as u8);
        (0..6).map(digit).collect()
    })
}

/// Where CLUSTERSCAN stands: in which slot, and where in it.
struct Stand {
    slot: u16,
    within: u64,
}

impl Stand {
    /// `fingerprint-{tag}-number`
    fn parse(text: &[u8], fingerprint: &str) -> Option<Stand> {
        let mut parts = text.splitn(3, |&b| b == b'-');
        let (print, tag, number) = (parts.next()?, parts.next()?, parts.next()?);
        let within = num::parse_u64(number)?;
        let is_known = print == fingerprint.as_bytes();
        Some(Stand {
            slot: hash::slot(tag),
            within: if is_known { within } else { 0 },
        })
    }

    fn write(&self, fingerprint: &str) -> Vec<u8> {
        let print = if self.within == 0 { "0" } else { fingerprint };
        let tag = String::from_utf8_lossy(tag_of(self.slot));
        format!("{print}-{{{tag}}}-{}", self.within).into_bytes()
    }
}

/// CLUSTERSCAN cursor [MATCH pattern] [COUNT n] [TYPE name] [SLOT slot]
pub(super) fn cluster_scan(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let cluster = the_cluster(ctx)?;
    let cursor = ctx.args.bytes()?;
    let options = Options::parse(&mut ctx.args, Over::Cluster)?;
    let (by_slot, by_match) = (options.slot, options.pattern.slot());
    let is_none = matches!((by_slot, by_match), (Some(a), Some(b)) if a != b);
    let print = fingerprint(ctx);
    let begin = |slot: u16| Stand { slot, within: 0 }.write(print);
    let nothing = |ctx: &mut Ctx<'_, '_>, cursor: &[u8]| {
        ctx.reply.array(2);
        ctx.reply.bulk(cursor);
        ctx.reply.array(0);
    };
    if cursor == b"0" {
        let first = by_slot.or(by_match).unwrap_or(0);
        let next = if is_none { b"0".to_vec() } else { begin(first) };
        nothing(ctx, &next);
        return Ok(());
    }
    let stand = Stand::parse(cursor, print).ok_or_else(|| Error::new("ERR Invalid cursor"))?;
    if by_slot.is_some_and(|slot| slot != stand.slot) {
        return Err(Error::new("ERR Cursor slot mismatch with SLOT argument"));
    }
    if let Some(slot) = by_match.filter(|slot| *slot != stand.slot) {
        let next = match !is_none && slot > stand.slot {
            true => begin(slot),
            false => b"0".to_vec(),
        };
        nothing(ctx, &next);
        return Ok(());
    }
    let is_one = by_slot.or(by_match).is_some();
    let mut names = Names::default();
    let next = walk(ctx, cluster, stand, &options, is_one, &mut names);
    let next = next.map_or_else(|| b"0".to_vec(), |stand| stand.write(print));
    ctx.reply.array(2);
    ctx.reply.bulk(&next);
    names.write(&mut ctx.reply);
    Ok(())
}

/// Walks on over slots that one node serves, or over one alone, and says where to go on.
fn walk(
    ctx: &mut Ctx<'_, '_>,
    cluster: &Cluster,
    mut stand: Stand,
    options: &Options<'_>,
    is_one: bool,
    names: &mut Names,
) -> Option<Stand> {
    let owner = |slot: u16| cluster.state().owner(slot);
    let of = owner(stand.slot);
    let mut left = options.count();
    let mut slots_left = options.count().saturating_mul(10);
    loop {
        let next = options.walk_slot(ctx, stand.slot, stand.within, &mut left, names);
        slots_left = slots_left.saturating_sub(1);
        match next {
            Some(within) => stand.within = within,
            None if is_one || stand.slot + 1 == hash::SLOTS => return None,
            None => {
                stand = Stand {
                    slot: stand.slot + 1,
                    within: 0,
                };
                if owner(stand.slot) != of {
                    return Some(stand);
                }
            }
        }
        if left == 0 || slots_left == 0 {
            return Some(stand);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_tag_for_every_slot() {
        for slot in [0, 1, 749, 12182, 16383] {
            assert_eq!(hash::slot(tag_of(slot)), slot);
            let cursor = Stand { slot, within: 7 }.write("abcdef");
            let read = Stand::parse(&cursor, "abcdef").expect("a cursor");
            assert_eq!((read.slot, read.within), (slot, 7));
            // Cursors go to the node that serves the slot.
            assert_eq!(hash::slot(&cursor), slot);
            let read = Stand::parse(&cursor, "other!").expect("a cursor");
            assert_eq!((read.slot, read.within), (slot, 0));
        }
    }
}
