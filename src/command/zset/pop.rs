//! Commands that take the lowest or the highest out.

use super::{write_elements_head, write_member};
use crate::base::num::{self, IntText};
use crate::command::timeout;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::txn::Found;
use crate::exec::waiting::{Wait, holds};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::types::object::Family;
use crate::types::zset::ZSet;

/// From which end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn event(self) -> Event {
        match self {
            End::Min => Event::zset("zpopmin"),
            End::Max => Event::zset("zpopmax"),
        }
    }

    /// The command that takes from this end of one key.
    fn command(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }
}

/// ZPOPMIN key [count]
pub(super) fn zpopmin(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    pop(ctx, End::Min)
}

/// ZPOPMAX key [count]
pub(super) fn zpopmax(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    pop(ctx, End::Max)
}

fn pop(ctx: &mut Ctx<'_, '_>, end: End) -> Result<(), Error> {
    let key = ctx.args.key()?;
    if ctx.args.left() > 1 {
        return Err(Error::SYNTAX);
    }
    let has_count = !ctx.args.is_empty();
    let count = match has_count {
        true => num::parse_i64(ctx.args.bytes()?)
            .and_then(|n| usize::try_from(n).ok())
            .ok_or(Error::NOT_POSITIVE)?,
        false => 1,
    };
    let found = ctx.txn.find_as::<ZSet>(&key)?;
    match found.filter(|_| count > 0) {
        None => ctx.reply.array(0),
        Some(found) => {
            take(ctx, &key, found, end, count, |reply, taken| {
                // One without a count is a flat pair in either protocol.
                match has_count {
                    true => write_elements_head(reply, taken, true),
                    false => reply.array(2),
                }
                has_count && reply.is_resp3()
            });
        }
    }
    Ok(())
}

/// What ZMPOP and BZMPOP are asked for; the next arguments are the keys.
struct Wish {
    keys: usize,
    end: End,
    count: usize,
}

impl Wish {
    fn parse(ctx: &mut Ctx<'_, '_>) -> Result<Wish, Error> {
        let positive = |text: &[u8]| num::parse_i64(text).filter(|&n| n > 0).map(|n| n as usize);
        let keys = positive(ctx.args.bytes()?).ok_or(Error::NUMKEYS_POSITIVE)?;
        if keys > ctx.args.left() {
            return Err(Error::SYNTAX);
        }
        let mut options = ctx.args.clone();
        for _ in 0..keys {
            options.bytes()?;
        }
        let end = match () {
            () if options.flag("MIN") => End::Min,
            () if options.flag("MAX") => End::Max,
            () => return Err(Error::SYNTAX),
        };
        let mut count = 1;
        if options.option("COUNT") {
            count = positive(options.bytes()?).ok_or(Error::COUNT_POSITIVE)?;
        }
        options.end()?;
        Ok(Wish { keys, end, count })
    }

    /// Takes from the first sorted set that is there, and writes its key and what
    /// was taken; false where none is.
    fn grant(&self, ctx: &mut Ctx<'_, '_>) -> Result<bool, Error> {
        for _ in 0..self.keys {
            let key = ctx.args.key()?;
            if let Some(found) = ctx.txn.find_as::<ZSet>(&key)? {
                let taken = take(ctx, &key, found, self.end, self.count, |reply, taken| {
                    reply.array(2);
                    reply.bulk(key.bytes);
                    reply.array(taken);
                    true
                });
                ctx.txn.rewrite(|| {
                    let taken = IntText::unsigned(taken as u64);
                    let words = [self.end.command(), key.bytes, taken.as_bytes()];
                    words.map(<[u8]>::to_vec).to_vec()
                });
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// ZMPOP numkeys key [key …] MIN|MAX [COUNT count]
pub(super) fn zmpop(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let wish = Wish::parse(ctx)?;
    if !wish.grant(ctx)? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// BZMPOP timeout numkeys key [key …] MIN|MAX [COUNT count]
pub(super) fn bzmpop(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let seconds = ctx.args.bytes()?;
    let wish = Wish::parse(ctx)?;
    let until_ms = timeout::in_seconds(seconds, ctx.txn.now_ms)?;
    if !wish.grant(ctx)? {
        wait(ctx, until_ms);
    }
    Ok(())
}

/// BZPOPMIN key [key …] timeout
pub(super) fn bzpopmin(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    blocking_pop(ctx, End::Min)
}

/// BZPOPMAX key [key …] timeout
pub(super) fn bzpopmax(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    blocking_pop(ctx, End::Max)
}

fn blocking_pop(ctx: &mut Ctx<'_, '_>, end: End) -> Result<(), Error> {
    let argv = ctx.args.all();
    let until_ms = timeout::in_seconds(argv[argv.len() - 1], ctx.txn.now_ms)?;
    while ctx.args.left() > 1 {
        let key = ctx.args.key()?;
        if let Some(found) = ctx.txn.find_as::<ZSet>(&key)? {
            take(ctx, &key, found, end, 1, |reply, _| {
                reply.array(3);
                reply.bulk(key.bytes);
                false
            });
            ctx.txn
                .rewrite(|| vec![end.command().to_vec(), key.bytes.to_vec()]);
            return Ok(());
        }
    }
    wait(ctx, until_ms);
    Ok(())
}

fn wait(ctx: &mut Ctx<'_, '_>, until_ms: Option<u64>) {
    ctx.wait(Wait {
        until_ms,
        is_ready: holds::<ZSet>,
        timed_out: Box::new(|reply| reply.null_array()),
        until: None,
        words: None,
    });
}

/// Takes up to `count`, which is not 0, writes them, and says how many they
/// were. `head` writes what comes before them, and says whether each is an array
/// of its own.
fn take(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    found: Found,
    end: End,
    count: usize,
    head: impl FnOnce(&mut Reply<'_>, usize) -> bool,
) -> usize {
    let reply = &mut ctx.reply;
    ctx.txn.update(key, found, |zset: &mut ZSet, events| {
        let len = zset.len();
        let count = count.min(len);
        let are_pairs = head(reply, count);
        let ranks = match end {
            End::Min => 0..count,
            End::Max => len - count..len,
        };
        let mut elements = zset.range(ranks.clone());
        while let Some((member, score)) = match end {
            End::Min => elements.next(),
            End::Max => elements.next_back(),
        } {
            if are_pairs {
                reply.array(2);
            }
            write_member(reply, member);
            reply.double(score);
        }
        zset.remove_ranks(ranks);
        events.push(end.event());
        count
    })
}
