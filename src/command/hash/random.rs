//! Commands that draw fields at random, and the walk over them.

use super::write_item;
use crate::command::scan::{Names, Options, Over, parse_cursor, write_walk};
use crate::exec::context::Ctx;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::types::hash::Hash;
use crate::types::listpack::Item;
use crate::types::object::Family;
use crate::types::sample::{self, DRAWS_MAX};

/// HRANDFIELD key [count [WITHVALUES]]
pub(super) fn hrandfield(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    if ctx.args.is_empty() {
        let hash = ctx.txn.read_as::<Hash>(&key)?;
        let drawn = hash.as_deref().and_then(|h| h.random(over_ms));
        write_item(&mut ctx.reply, drawn.map(|(field, _)| field));
        return Ok(());
    }
    let count = ctx.args.int()?;
    if count == i64::MIN {
        return Err(Error::NOT_LONG);
    }
    let with_values = ctx.args.flag("WITHVALUES");
    ctx.args.end()?;
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let most = ctx.reply_bytes_max();
    let hash = ctx.txn.read_as::<Hash>(&key)?;
    let mut drawn = Drawn {
        reply: &mut ctx.reply,
        with_values,
    };
    let Some(hash) = hash.filter(|h| h.live(over_ms) > 0) else {
        drawn.begin(0);
        return Ok(());
    };
    if let Ok(count) = usize::try_from(count) {
        draw_different(&hash, over_ms, count, &mut drawn);
        return Ok(());
    }
    let draws = count.unsigned_abs();
    if draws > DRAWS_MAX && most.is_none() {
        return Err(Error::OUT_OF_RANGE);
    }
    drawn.begin(draws as usize);
    for _ in 0..draws {
        if most.is_some_and(|most| drawn.reply.output().len() > most) {
            break;
        }
        if let Some((field, value)) = hash.random(over_ms) {
            drawn.write(field, value);
        }
    }
    Ok(())
}

/// Draws as many different fields as are wanted, or all.
fn draw_different(hash: &Hash, over_ms: u64, wanted: usize, drawn: &mut Drawn<'_, '_>) {
    let live = hash.live(over_ms);
    let ranks = sample::ranks(live, wanted);
    drawn.begin(ranks.len());
    if live == hash.len() {
        hash.at_ranks(&ranks, |field, value| drawn.write(field, value));
        return;
    }
    let (mut rank, mut ranks) = (0, ranks.into_iter().peekable());
    hash.each(over_ms, |field, value| {
        if ranks.next_if_eq(&rank).is_some() {
            drawn.write(field, value);
        }
        rank += 1;
    });
}

/// The reply to HRANDFIELD.
struct Drawn<'a, 'c> {
    reply: &'a mut Reply<'c>,
    with_values: bool,
}

impl Drawn<'_, '_> {
    fn begin(&mut self, fields: usize) {
        let flat = self.with_values && !self.reply.is_resp3();
        self.reply.array(fields * if flat { 2 } else { 1 });
    }

    fn write(&mut self, field: Item<'_>, value: Item<'_>) {
        if self.with_values && self.reply.is_resp3() {
            self.reply.array(2);
        }
        write_item(self.reply, Some(field));
        if self.with_values {
            write_item(self.reply, Some(value));
        }
    }
}

/// HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]
pub(super) fn hscan(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (key, over_ms) = (ctx.args.key()?, ctx.txn.over_ms);
    let cursor = parse_cursor(ctx.args.bytes()?).ok_or(Error::CURSOR)?;
    let mut names = Names::default();
    let Some(hash) = ctx.txn.read_as::<Hash>(&key)? else {
        write_walk(&mut ctx.reply, 0, &names);
        return Ok(());
    };
    let options = Options::parse(&mut ctx.args, Over::Hash)?;
    let next = options.walk(cursor, |cursor| {
        let mut met = 0;
        let next = hash.scan(cursor, over_ms, |field, value| {
            met += 1;
            if field.with_bytes(|name| options.pattern.matches(name)) {
                field.with_bytes(|name| names.push(name));
                if !options.names_only {
                    value.with_bytes(|value| names.push(value));
                }
            }
        });
        (met, next)
    });
    write_walk(&mut ctx.reply, next, &names);
    Ok(())
}
