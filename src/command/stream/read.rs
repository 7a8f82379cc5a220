//! Commands that read entries, for oneself or as one of a group.

use super::{
    CREATE_CONSUMER, Words, claim_words, consumer_words, enter, ids, look_up, no_group,
    position_words, update_quietly, write_entries, write_entry, write_id,
};
use crate::command::timeout;
use crate::exec::args::{Args, Key};
use crate::exec::context::Ctx;
use crate::exec::effect::Events;
use crate::exec::spec::KeyError;
use crate::exec::waiting::{Wait, holds};
use crate::protocol::error::Error;
use crate::protocol::reply::{Opened, Reply};
use crate::store::entry::Value;
use crate::types::stream::{Group, Id, Log, Pending, Stream};

/// XLEN key
pub(super) fn xlen(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let length = match ctx.txn.read_as::<Stream>(&key)? {
        Some(stream) => stream.log().len(),
        None => 0,
    };
    ctx.reply.int(length as i64);
    Ok(())
}

/// XRANGE key start end [COUNT n]
pub(super) fn xrange(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (start, end) = (ctx.args.bytes()?, ctx.args.bytes()?);
    range(ctx, &key, start, end, false)
}

/// XREVRANGE key end start [COUNT n]
pub(super) fn xrevrange(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (end, start) = (ctx.args.bytes()?, ctx.args.bytes()?);
    range(ctx, &key, start, end, true)
}

fn range(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    start: &[u8],
    end: &[u8],
    is_backwards: bool,
) -> Result<(), Error> {
    let (start, end) = (ids::parse_start(start)?, ids::parse_end(end)?);
    let mut count = usize::MAX;
    while !ctx.args.is_empty() {
        if !ctx.args.option("COUNT") {
            return Err(Error::SYNTAX);
        }
        count = usize::try_from(ctx.args.int()?).unwrap_or(0);
    }
    let Some(stream) = ctx.txn.read_as::<Stream>(key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    match (count, is_backwards) {
        (0, _) => ctx.reply.null_array(),
        (_, false) => write_entries(&mut ctx.reply, stream.log().range(start, end).take(count)),
        (_, true) => write_entries(
            &mut ctx.reply,
            stream.log().range_back(start, end).take(count),
        ),
    }
    Ok(())
}

// ----- XREAD and XREADGROUP ---------------------------------------------------

/// What stands before the keys.
struct Options<'a> {
    /// At most so many entries of each stream.
    count: usize,
    /// Whether to wait for one, and until when: in Unix milliseconds, or for ever.
    until_ms: Option<Option<u64>>,
    /// A group and a consumer of it.
    member: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
}

impl<'a> Options<'a> {
    /// Reads as far as the keys.
    fn parse(args: &mut Args<'a>, now_ms: u64, is_group: bool) -> Result<Options<'a>, Error> {
        let mut options = Options {
            count: usize::MAX,
            until_ms: None,
            member: None,
            no_ack: false,
        };
        loop {
            if args.option("BLOCK") {
                options.until_ms = Some(timeout::in_milliseconds(args.bytes()?, now_ms)?);
            } else if args.option("COUNT") {
                options.count = match args.int()? {
                    n if n <= 0 => usize::MAX,
                    n => n as usize,
                };
            } else if args.option("STREAMS") {
                break;
            } else if args.left() >= 3 && args.flag("GROUP") {
                if !is_group {
                    return Err(Error::XREAD_GROUP);
                }
                options.member = Some((args.bytes()?, args.bytes()?));
            } else if args.flag("NOACK") {
                if !is_group {
                    return Err(Error::XREAD_NOACK);
                }
                options.no_ack = true;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// Where the keys are, which no key spec can tell: a group may be named STREAMS.
pub(super) fn find_keys(argv: &[&[u8]], visit: &mut dyn FnMut(usize)) -> Result<(), KeyError> {
    let mut at = 1;
    loop {
        let word = argv.get(at).ok_or(KeyError)?;
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        at += match () {
            () if is("BLOCK") || is("COUNT") => 2,
            () if is("GROUP") => 3,
            () if is("NOACK") => 1,
            () if is("STREAMS") => break,
            () => return Err(KeyError),
        };
    }
    let first = at + 1;
    let rest = argv.len() - first;
    if rest == 0 || rest % 2 == 1 {
        return Err(KeyError);
    }
    (first..first + rest / 2).for_each(visit);
    Ok(())
}

/// The keys, and as many ids.
fn streams<'a>(args: &mut Args<'a>, name: &str, symbol: char) -> Result<Streams<'a>, Error> {
    if args.left() % 2 == 1 {
        return Err(Error::new(format!(
            "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' \
             must be specified."
        )));
    }
    let keys = (0..args.left() / 2).map(|_| args.key());
    let keys: Vec<Key<'a>> = keys.collect::<Result<_, Error>>()?;
    Ok(keys.into_iter().zip(args.rest().iter().copied()).collect())
}

type Streams<'a> = Vec<(Key<'a>, &'a [u8])>;

/// The streams of a reply, as many as there turn out to be.
#[derive(Default)]
struct Served {
    opened: Option<Opened>,
    count: usize,
}

impl Served {
    /// Begins the next one; its entries follow.
    fn begin(&mut self, reply: &mut Reply<'_>, key: &Key<'_>) {
        self.opened.get_or_insert_with(|| reply.open());
        self.count += 1;
        if !reply.is_resp3() {
            reply.array(2);
        }
        reply.bulk(key.bytes);
    }

    /// Ends the reply; false where there is none.
    fn end(self, reply: &mut Reply<'_>) -> bool {
        let Some(opened) = self.opened else {
            return false;
        };
        match reply.is_resp3() {
            true => reply.close_map(opened, self.count),
            false => reply.close_array(opened, self.count),
        }
        true
    }
}

/// XREAD [COUNT n] [BLOCK ms] STREAMS key [key …] id [id …]
pub(super) fn xread(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let options = Options::parse(&mut ctx.args, ctx.txn.now_ms, false)?;
    let streams = streams(&mut ctx.args, ctx.spec.name, '$')?;
    let mut served = Served::default();
    // What waits for what comes from now on must know later when that was.
    let all = ctx.args.all();
    let first_id = all.len() - streams.len();
    let mut words = options.until_ms.map(|_| super::words(all));
    for (at, (key, text)) in streams.iter().enumerate() {
        let stream = ctx.txn.read_as::<Stream>(key)?;
        let log = stream.as_ref().map(|stream| stream.log());
        let after = match (*text, log) {
            (b"$", log) => {
                let last = log.map_or(Id::MIN, Log::last_id);
                if let Some(words) = &mut words {
                    words[first_id + at] = last.text().as_bytes().to_vec();
                }
                last
            }
            (b"+", log) => {
                let last = log.filter(|log| !log.is_empty()).map(Log::last_id);
                last.and_then(Id::previous).unwrap_or(Id::MIN)
            }
            (b">", _) => return Err(Error::XREAD_NEW),
            (text, _) => ids::parse(text, 0)?,
        };
        let (Some(log), Some(from)) = (log, after.next()) else {
            continue;
        };
        if log.last_entry_id() > Some(after) {
            served.begin(&mut ctx.reply, key);
            write_entries(&mut ctx.reply, log.range(from, Id::MAX).take(options.count));
        }
    }
    if !served.end(&mut ctx.reply) {
        wait(ctx, &options, holds::<Stream>, words);
    }
    Ok(())
}

/// Waits for an entry, if the client wants to.
fn wait(
    ctx: &mut Ctx<'_, '_>,
    options: &Options<'_>,
    is_ready: fn(Option<Value<'_>>) -> bool,
    words: Option<Words>,
) {
    match options.until_ms {
        None => ctx.reply.null_array(),
        Some(until_ms) => ctx.wait(Wait {
            until_ms,
            is_ready,
            timed_out: Box::new(|reply| reply.null_array()),
            until: None,
            words,
        }),
    }
}

/// Which entries a consumer wants.
#[derive(Clone, Copy)]
enum Wanted {
    /// Those that nobody has got yet.
    New,
    /// Its own from this id on, that it has not acknowledged.
    History(Id),
}

impl Wanted {
    fn parse(text: &[u8]) -> Result<Wanted, Error> {
        Ok(match text {
            b">" => Wanted::New,
            b"$" => return Err(Error::XREADGROUP_LAST_ID),
            b"+" => return Err(Error::XREADGROUP_LAST_ENTRY),
            // Behind the greatest id only what is new can come.
            _ => ids::parse(text, 0)?
                .next()
                .map_or(Wanted::New, Wanted::History),
        })
    }
}

/// XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [NOACK] STREAMS key [key …] id [id …]
pub(super) fn xreadgroup(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let options = Options::parse(&mut ctx.args, ctx.txn.now_ms, true)?;
    let streams = streams(&mut ctx.args, ctx.spec.name, '>')?;
    let (group, consumer) = options.member.ok_or(Error::XREADGROUP_WITHOUT_GROUP)?;
    let mut wanted = Vec::with_capacity(streams.len());
    for (key, text) in &streams {
        let found = look_up(ctx.txn, key)?;
        let has_group = |&found: &_| ctx.txn.view::<Stream>(found).group(group).is_some();
        if !found.as_ref().is_some_and(has_group) {
            return Err(no_group(key, group, "' in XREADGROUP with GROUP option"));
        }
        wanted.push(Wanted::parse(text)?);
    }
    let mut served = Served::default();
    let mut commands = Vec::new();
    let (now_ms, is_heard) = (ctx.txn.now_ms as i64, ctx.txn.is_heard());
    for ((key, _), wanted) in streams.iter().zip(wanted) {
        let Some(found) = ctx.txn.find_as::<Stream>(key)? else {
            continue;
        };
        let mut reading = Reading {
            reply: &mut ctx.reply,
            served: &mut served,
            key,
            names: (group, consumer),
            count: options.count,
            no_ack: options.no_ack,
            now_ms,
            commands: is_heard.then_some(&mut commands),
        };
        let before = reading.served.count;
        update_quietly(ctx.txn, key, found, |stream, events| {
            stream.change_group(group, |log, group| reading.run(log, group, wanted, events))
        });
        ctx.txn
            .count_changes_of(key, (served.count - before) as u64);
    }
    ctx.txn.rewrite_as(commands);
    if !served.end(&mut ctx.reply) {
        // Where the key goes, or the group, there is an error to tell.
        wait(ctx, &options, |_| true, None);
    }
    Ok(())
}

/// One stream's part of XREADGROUP.
struct Reading<'a, 'r> {
    reply: &'a mut Reply<'r>,
    served: &'a mut Served,
    key: &'a Key<'a>,
    /// Of the group and of the consumer.
    names: (&'a [u8], &'a [u8]),
    count: usize,
    no_ack: bool,
    now_ms: i64,
    /// What followers are to do.
    commands: Option<&'a mut Vec<Words>>,
}

impl Reading<'_, '_> {
    fn run(&mut self, log: &Log, group: &mut Group, wanted: Wanted, events: &mut Events) {
        let consumer = enter(group, self.names.1, self.now_ms, events);
        let is_new = events.contains(&CREATE_CONSUMER);
        let place = (self.key, self.names.0);
        let first = self.commands.as_ref().map_or(0, |commands| commands.len());
        match wanted {
            Wanted::History(from) => self.history(log, group, from, consumer),
            Wanted::New => self.deliver(log, group, consumer),
        }
        // A delivery makes the consumer for followers, too.
        if let Some(commands) = &mut self.commands
            && is_new
            && (self.no_ack || commands.len() == first)
        {
            commands.insert(first, consumer_words(place, self.names.1));
        }
    }

    /// What the consumer has not acknowledged yet.
    fn history(&mut self, log: &Log, group: &mut Group, from: Id, consumer: u32) {
        self.served.begin(self.reply, self.key);
        let own = group.pending_range(from, Id::MAX, Some(consumer));
        let own: Vec<(Id, Pending)> = own.take(self.count).collect();
        self.reply.array(own.len());
        for (id, mut pending) in own {
            let Some(entry) = log.get(id) else {
                self.reply.array(2);
                write_id(self.reply, id);
                self.reply.null_array();
                continue;
            };
            write_entry(self.reply, entry);
            pending.delivered_ms = self.now_ms;
            pending.deliveries = pending.deliveries.wrapping_add(1);
            group.deliver(id, pending);
        }
    }

    /// What the group has delivered to nobody yet.
    fn deliver(&mut self, log: &Log, group: &mut Group, consumer: u32) {
        let after = group.last_id;
        let Some(from) = after.next().filter(|_| log.last_entry_id() > Some(after)) else {
            return;
        };
        self.served.begin(self.reply, self.key);
        let place = (self.key, self.names.0);
        let opened = self.reply.open();
        let mut count = 0;
        for entry in log.range(from, Id::MAX).take(self.count) {
            let id = entry.id;
            group.entries_read = log.entries_read(group.entries_read, group.last_id, id);
            group.last_id = id;
            write_entry(self.reply, entry);
            count += 1;
            if self.no_ack {
                continue;
            }
            let pending = Pending {
                delivered_ms: self.now_ms,
                deliveries: 1,
                consumer,
            };
            group.deliver(id, pending);
            if let Some(commands) = &mut self.commands {
                commands.push(claim_words(place, self.names.1, id, pending, id));
            }
        }
        self.reply.close_array(opened, count);
        if !self.no_ack {
            group.consumer_mut(consumer).active_ms = self.now_ms;
        }
        if let Some(commands) = &mut self.commands {
            commands.push(position_words(place, group));
        }
    }
}
