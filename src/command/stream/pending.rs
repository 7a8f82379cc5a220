//! Commands about what groups have delivered, and have not heard of since.

use super::{
    CREATE_CONSUMER, Words, claim_words, consumer_words, enter, ids, look_up, no_group,
    position_words, update_quietly, write_entry, write_id,
};
use crate::base::num;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::txn::Found;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::types::stream::{Entry, Group, Id, Pending, Stream};

/// XAUTOCLAIM looks at so many for each that it may claim.
const LOOKS: i64 = 10;
/// What XAUTOCLAIM claims at most, where it is not told.
const CLAIMS: i64 = 100;
/// As Valkey bounds it, whose arrays must not overflow.
const CLAIMS_MAX: i64 = i64::MAX / 16;

/// XACK key group id [id …]
pub(super) fn xack(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let group = ctx.args.bytes()?;
    let Some(found) = find_group(ctx, &key, group)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let ids = ids::rest(&mut ctx.args)?;
    let acknowledged = update_quietly(ctx.txn, &key, found, |stream, _| {
        stream.change_group(group, |_, group| {
            let known = ids.iter().filter(|&&id| group.acknowledge(id).is_some());
            known.count()
        })
    });
    let acknowledged = acknowledged.unwrap_or(0);
    ctx.txn.count_changes_of(&key, acknowledged as u64);
    ctx.reply.size(acknowledged);
    Ok(())
}

/// Finds a stream that has this group.
fn find_group(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, group: &[u8]) -> Result<Option<Found>, Error> {
    let found = look_up(ctx.txn, key)?;
    Ok(found.filter(|&found| ctx.txn.view::<Stream>(found).group(group).is_some()))
}

// ----- XPENDING ---------------------------------------------------------------

/// XPENDING key group [[IDLE ms] start end count [consumer]]
pub(super) fn xpending(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let name = ctx.args.bytes()?;
    let filter = match ctx.args.left() {
        0 => None,
        3..=6 => Some(Filter::parse(ctx)?),
        _ => return Err(Error::SYNTAX),
    };
    let now_ms = ctx.txn.now_ms as i64;
    let stream = ctx.txn.read_as::<Stream>(&key)?;
    let group = stream.as_ref().and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_group(&key, name, "'"))?;
    match filter {
        None => write_summary(&mut ctx.reply, group),
        Some(filter) => filter.write(&mut ctx.reply, group, now_ms),
    }
    Ok(())
}

/// What of all that is pending is asked for.
struct Filter<'a> {
    idle_ms: i64,
    from: Id,
    to: Id,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn parse(ctx: &mut Ctx<'a, '_>) -> Result<Filter<'a>, Error> {
        let mut idle_ms = 0;
        if ctx.args.flag("IDLE") {
            idle_ms = ctx.args.int()?;
            if ctx.args.left() < 3 {
                return Err(Error::SYNTAX);
            }
        }
        let (from, to) = (ctx.args.bytes()?, ctx.args.bytes()?);
        let count = usize::try_from(ctx.args.int()?).unwrap_or(0);
        Ok(Filter {
            idle_ms,
            from: ids::parse_start(from)?,
            to: ids::parse_end(to)?,
            count,
            consumer: ctx.args.rest().first().copied(),
        })
    }

    fn write(&self, reply: &mut Reply<'_>, group: &Group, now_ms: i64) {
        let consumer = self.consumer.map(|name| group.find(name));
        if consumer == Some(None) {
            return reply.array(0);
        }
        let opened = reply.open();
        let mut count = 0;
        let all = group.pending_range(self.from, self.to, consumer.flatten());
        let idle = |pending: &Pending| now_ms.saturating_sub(pending.delivered_ms);
        for (id, pending) in all
            .filter(|(_, pending)| self.idle_ms == 0 || idle(pending) >= self.idle_ms)
            .take(self.count)
        {
            reply.array(4);
            write_id(reply, id);
            reply.bulk(group.consumer(pending.consumer).name());
            reply.int(idle(&pending).max(0));
            reply.int(pending.deliveries as i64);
            count += 1;
        }
        reply.close_array(opened, count);
    }
}

fn write_summary(reply: &mut Reply<'_>, group: &Group) {
    let pending = group.pending();
    reply.array(4);
    reply.size(pending.len());
    let (Some((first, _)), Some((last, _))) = (pending.first(), pending.last()) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    write_id(reply, first);
    write_id(reply, last);
    let busy = || group.consumers().filter(|c| !c.pending().is_empty());
    reply.array(busy().count());
    for consumer in busy() {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_int(consumer.pending().len() as i64);
    }
}

// ----- XCLAIM and XAUTOCLAIM --------------------------------------------------

/// How entries change hands.
struct Claim<'a> {
    key: &'a Key<'a>,
    /// Of the group and of the consumer who claims.
    names: (&'a [u8], &'a [u8]),
    now_ms: i64,
    /// Only what was delivered so long ago.
    idle_min_ms: i64,
    /// When it is taken to be delivered.
    delivered_ms: i64,
    /// How often it is taken to have been delivered.
    deliveries: Option<u64>,
    /// Whether also what is not pending.
    force: bool,
    just_id: bool,
    /// What followers are to do.
    commands: Option<&'a mut Vec<Words>>,
}

/// What became of an entry that was to change hands.
enum Claimed<'e> {
    Yes(Entry<'e>),
    /// It was not delivered long enough ago, or is not pending.
    No,
    /// It is no more: nor is it pending now.
    Gone,
}

impl Claim<'_> {
    /// Gives an entry to a consumer.
    fn run<'e>(
        &mut self,
        group: &mut Group,
        consumer: u32,
        id: Id,
        entry: Option<Entry<'e>>,
    ) -> Claimed<'e> {
        let known = group.pending().get(id).copied();
        let Some(entry) = entry else {
            return match known {
                None => Claimed::No,
                Some(pending) => {
                    self.say(group, id, pending);
                    group.acknowledge(id);
                    Claimed::Gone
                }
            };
        };
        let is_early = |p: &Pending| {
            self.idle_min_ms > 0 && self.now_ms.saturating_sub(p.delivered_ms) < self.idle_min_ms
        };
        let before = match known {
            Some(pending) if is_early(&pending) => return Claimed::No,
            Some(pending) => pending.deliveries,
            None if self.force => 1,
            None => return Claimed::No,
        };
        let pending = Pending {
            delivered_ms: self.delivered_ms,
            deliveries: match self.deliveries {
                Some(n) => n,
                None if self.just_id => before,
                None => before.wrapping_add(1),
            },
            consumer,
        };
        group.deliver(id, pending);
        group.consumer_mut(consumer).active_ms = self.now_ms;
        self.say(group, id, pending);
        Claimed::Yes(entry)
    }

    /// Replies what changed hands.
    fn write(&self, reply: &mut Reply<'_>, claimed: &[Entry<'_>]) {
        reply.array(claimed.len());
        for &entry in claimed {
            match self.just_id {
                true => write_id(reply, entry.id),
                false => write_entry(reply, entry),
            }
        }
    }

    fn say(&mut self, group: &Group, id: Id, pending: Pending) {
        if let Some(commands) = &mut self.commands {
            let owner = group.consumer(pending.consumer).name();
            let place = (self.key, self.names.0);
            commands.push(claim_words(place, owner, id, pending, group.last_id));
        }
    }
}

/// XCLAIM key group consumer min-idle-ms id [id …] [IDLE ms] [TIME unix-ms] [RETRYCOUNT n] [FORCE] [JUSTID] [LASTID id]
pub(super) fn xclaim(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let names = (ctx.args.bytes()?, ctx.args.bytes()?);
    let found = find_group(ctx, &key, names.0)?;
    let found = found.ok_or_else(|| no_group(&key, names.0, "'"))?;
    let mut commands = Vec::new();
    let now_ms = ctx.txn.now_ms as i64;
    let mut claim = Claim {
        key: &key,
        names,
        now_ms,
        idle_min_ms: num::parse_i64(ctx.args.bytes()?).ok_or(Error::XCLAIM_IDLE_MIN)?,
        delivered_ms: now_ms,
        deliveries: None,
        force: false,
        just_id: false,
        commands: ctx.txn.is_heard().then_some(&mut commands),
    };
    let mut ids = Vec::new();
    while let Some(Ok(id)) = ctx.args.peek().map(|text| ids::parse(text, 0)) {
        ids.push(id);
        ctx.args.bytes()?;
    }
    let mut last_id = Id::MIN;
    while !ctx.args.is_empty() {
        let mut number = |word, error| match ctx.args.option(word) {
            true => num::parse_i64(ctx.args.bytes()?).map(Some).ok_or(error),
            false => Ok(None),
        };
        if let Some(ms) = number("IDLE", Error::XCLAIM_IDLE)? {
            claim.delivered_ms = now_ms.wrapping_sub(ms);
        } else if let Some(ms) = number("TIME", Error::XCLAIM_TIME)? {
            claim.delivered_ms = ms;
        } else if let Some(n) = number("RETRYCOUNT", Error::XCLAIM_RETRYCOUNT)? {
            claim.deliveries = u64::try_from(n).ok();
        } else if ctx.args.option("LASTID") {
            last_id = ids::parse(ctx.args.bytes()?, 0)?;
        } else if ctx.args.flag("FORCE") {
            claim.force = true;
        } else if ctx.args.flag("JUSTID") {
            claim.just_id = true;
        } else {
            let word = ctx.args.bytes()?;
            return Err(Error::quoting(
                "ERR Unrecognized XCLAIM option '",
                word,
                "'",
            ));
        }
    }
    // A clock that is not ours may be ahead: that is no error.
    if !(0..=now_ms).contains(&claim.delivered_ms) {
        claim.delivered_ms = now_ms;
    }
    let reply = &mut ctx.reply;
    let changes = update_quietly(ctx.txn, &key, found, |stream, events| {
        stream.change_group(names.0, |log, group| {
            let has_moved = last_id > group.last_id;
            group.last_id = group.last_id.max(last_id);
            let consumer = enter(group, names.1, now_ms, events);
            let (mut claimed, mut gone) = (Vec::new(), 0);
            for &id in &ids {
                match claim.run(group, consumer, id, log.get(id)) {
                    Claimed::Yes(entry) => claimed.push(entry),
                    Claimed::Gone => gone += 1,
                    Claimed::No => {}
                }
            }
            claim.write(reply, &claimed);
            // Each claim says how far the group is, and who its consumer is.
            let changes = claimed.len() + gone;
            let place = (&key, names.0);
            if let Some(commands) = &mut claim.commands {
                if changes == 0 && has_moved {
                    commands.push(position_words(place, group));
                }
                if claimed.is_empty() && events.contains(&CREATE_CONSUMER) {
                    commands.push(consumer_words(place, names.1));
                }
            }
            changes.max(usize::from(has_moved))
        })
    });
    ctx.txn.count_changes_of(&key, changes.unwrap_or(0) as u64);
    ctx.txn.rewrite_as(commands);
    Ok(())
}

/// XAUTOCLAIM key group consumer min-idle-ms start [COUNT n] [JUSTID]
pub(super) fn xautoclaim(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let names = (ctx.args.bytes()?, ctx.args.bytes()?);
    let idle_min_ms = num::parse_i64(ctx.args.bytes()?).ok_or(Error::XAUTOCLAIM_IDLE_MIN)?;
    let start = ids::parse_start(ctx.args.bytes()?)?;
    let (mut count, mut just_id) = (CLAIMS, false);
    while !ctx.args.is_empty() {
        if ctx.args.option("COUNT") {
            let n = num::parse_i64(ctx.args.bytes()?);
            let n = n.filter(|n| (1..=CLAIMS_MAX).contains(n));
            count = n.ok_or(Error::XAUTOCLAIM_COUNT)?;
        } else if ctx.args.flag("JUSTID") {
            just_id = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let found = find_group(ctx, &key, names.0)?;
    let found = found.ok_or_else(|| no_group(&key, names.0, "'"))?;
    let mut commands = Vec::new();
    let now_ms = ctx.txn.now_ms as i64;
    let mut claim = Claim {
        key: &key,
        names,
        now_ms,
        idle_min_ms,
        delivered_ms: now_ms,
        deliveries: None,
        force: false,
        just_id,
        commands: ctx.txn.is_heard().then_some(&mut commands),
    };
    let reply = &mut ctx.reply;
    let changes = update_quietly(ctx.txn, &key, found, |stream, events| {
        stream.change_group(names.0, |log, group| {
            let consumer = enter(group, names.1, now_ms, events);
            let (mut claimed, mut gone) = (Vec::new(), Vec::new());
            let first_from = |group: &Group, id: Option<Id>| {
                let mut all = group.pending().range(id?, Id::MAX);
                all.next().map(|(id, _)| id)
            };
            let mut looks = count.saturating_mul(LOOKS);
            let mut next = first_from(group, Some(start));
            while let Some(id) = next
                && looks > 0
                && count > (claimed.len() + gone.len()) as i64
            {
                looks -= 1;
                match claim.run(group, consumer, id, log.get(id)) {
                    Claimed::Yes(entry) => claimed.push(entry),
                    Claimed::Gone => gone.push(id),
                    Claimed::No => {}
                }
                next = first_from(group, id.next());
            }
            reply.array(3);
            write_id(reply, next.unwrap_or(Id::MIN));
            claim.write(reply, &claimed);
            reply.array(gone.len());
            gone.iter().for_each(|&id| write_id(reply, id));
            if let Some(commands) = &mut claim.commands
                && claimed.is_empty()
                && events.contains(&CREATE_CONSUMER)
            {
                commands.push(consumer_words((&key, names.0), names.1));
            }
            claimed.len() + gone.len()
        })
    });
    ctx.txn.count_changes_of(&key, changes.unwrap_or(0) as u64);
    ctx.txn.rewrite_as(commands);
    Ok(())
}
