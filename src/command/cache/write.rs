//! CACHE.SET, CACHE.FILL, CACHE.FILLNULL, CACHE.NULL.

use crate::base::num;
use crate::command::options::{Condition, Expiry, Options, Takes};
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::hint;
use crate::exec::txn::{Deadline, Filled};
use crate::protocol::error::Error;
use crate::store::entry::{NewValue, TAGS_MAX};
use crate::store::invalidation::TAG_MAX;

const SET: Event = Event::string("set");

/// CACHE.SET key value [NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] [TAGS n tag …]
pub(super) fn set(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let value = ctx.args.value()?;
    let (words, tags) = split_tags(ctx.args.rest())?;
    let options = Options::parse(Takes::MsetEx, words)?;
    let found = ctx.txn.find(&key);
    let holds = match options.condition {
        Condition::Absent => found.is_none(),
        Condition::Present => found.is_some(),
        Condition::Always | Condition::Equal(_) => true,
    };
    if !holds {
        ctx.reply.null();
        return Ok(());
    }
    store(ctx, &key, value, options, tags)
}

/// CACHE.FILL key token value [EX s | PX ms | EXAT s | PXAT ms] [TAGS n tag …]
pub(super) fn fill(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let token = token(ctx)?;
    let value = ctx.args.value()?;
    let (words, tags) = split_tags(ctx.args.rest())?;
    let options = Options::parse(Takes::GetEx, words)?;
    if options.expiry == Expiry::Persist {
        return Err(Error::SYNTAX);
    }
    check_tags(tags)?;
    options.expiry.deadline(ctx.spec.name, ctx.txn.now_ms, 1)?;
    if !ctx.txn.holds_lease(&key, token) {
        return Err(NO_LEASE.into_error());
    }
    store(ctx, &key, value, options, tags)
}

/// CACHE.FILLNULL key token [EX s | PX ms | EXAT s | PXAT ms]
pub(super) fn fill_null(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let token = token(ctx)?;
    let until_ms = until(ctx)?;
    if !ctx.txn.holds_lease(&key, token) {
        return Err(NO_LEASE.into_error());
    }
    remember_absence(ctx, &key, until_ms, true)
}

/// CACHE.NULL key [EX s | PX ms | EXAT s | PXAT ms]
pub(super) fn null(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let until_ms = until(ctx)?;
    remember_absence(ctx, &key, until_ms, false)
}

struct Text(&'static str);

const NO_LEASE: Text = Text(
    "NOLEASE The token is not good: the lease was filled, removed or abandoned, its time \
     is over, or it was never given",
);

impl Text {
    fn into_error(self) -> Error {
        Error::new(self.0)
    }
}

fn token(ctx: &mut Ctx<'_, '_>) -> Result<u64, Error> {
    num::parse_i64(ctx.args.bytes()?)
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| NO_LEASE.into_error())
}

fn until(ctx: &mut Ctx<'_, '_>) -> Result<Option<u64>, Error> {
    let options = Options::parse(Takes::GetEx, ctx.args.rest())?;
    if options.expiry == Expiry::Persist {
        return Err(Error::SYNTAX);
    }
    options.expiry.deadline(ctx.spec.name, ctx.txn.now_ms, 1)
}

type Words<'a> = &'a [&'a [u8]];

/// What stands before TAGS, and the tags.
fn split_tags<'a>(words: Words<'a>) -> Result<(Words<'a>, Words<'a>), Error> {
    let is_tags = |word: &&[u8]| word.eq_ignore_ascii_case(b"TAGS");
    let Some(at) = words.iter().position(is_tags) else {
        return Ok((words, &[]));
    };
    let (before, tags) = (&words[..at], &words[at + 1..]);
    let [number, tags @ ..] = tags else {
        return Err(Error::SYNTAX);
    };
    let number = num::parse_i64(number)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or(Error::NOT_INTEGER)?;
    if number != tags.len() {
        return Err(Error::new(
            "ERR the number of tags does not match the tags that follow it",
        ));
    }
    Ok((before, tags))
}

fn check_tags(tags: &[&[u8]]) -> Result<(), Error> {
    if tags.len() > TAGS_MAX {
        return Err(Error::new(format!("ERR a key has {TAGS_MAX} tags at most")));
    }
    if tags.iter().any(|tag| tag.is_empty() || tag.len() > TAG_MAX) {
        return Err(Error::new(format!("ERR a tag has 1 to {TAG_MAX} bytes")));
    }
    Ok(())
}

fn store(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    value: NewValue<'_>,
    options: Options<'_>,
    tags: &[&[u8]],
) -> Result<(), Error> {
    check_tags(tags)?;
    let at = options.expiry.deadline(ctx.spec.name, ctx.txn.now_ms, 1)?;
    let found = ctx.txn.find(key);
    let deadline = match (at, options.expiry) {
        (Some(ms), _) if ctx.txn.is_past(ms) => {
            if let Some(found) = found {
                ctx.txn.remove_expired(key, found);
            }
            ctx.reply.ok();
            return Ok(());
        }
        (Some(ms), _) => Deadline::At(ms),
        (None, Expiry::Keep) => Deadline::Keep,
        (None, _) => Deadline::Never,
    };
    let (names, tags) = (tags, ctx.txn.tag_digests(tags));
    let keeps = deadline == Deadline::Keep && found.is_some() && tags.is_empty();
    let text = ctx.args.all()[if ctx.spec.name == "cache.fill" { 3 } else { 2 }];
    let filled = match options.condition {
        Condition::Always => ctx.txn.fill_tagged(key, found, value, deadline, SET, &tags),
        _ => ctx.txn.put_tagged(key, found, value, deadline, SET, &tags),
    };
    if let Filled::Stored(deadline) = filled {
        if deadline.is_some() {
            ctx.txn.also(key, Event::EXPIRE);
        }
        // Others know neither leases nor tags.
        ctx.txn.rewrite(|| {
            let ms = deadline.map(|ms| ms.to_string());
            let mut words = vec![b"SET", key.bytes, text];
            match &ms {
                // Those that it had stay with it, and so do its tags.
                _ if keeps => words.push(b"KEEPTTL"),
                Some(ms) => words.extend([b"PXAT", ms.as_bytes()]),
                None => {}
            }
            words.iter().map(|word| word.to_vec()).collect()
        });
        if !tags.is_empty() {
            ctx.txn.rewrite(|| tagged(key, names));
        }
    }
    ctx.reply.ok();
    Ok(())
}

/// CACHE.TAG key [tag …]
pub(super) fn tag(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let names = ctx.args.rest();
    check_tags(names)?;
    let Some(found) = ctx.txn.find(&key) else {
        ctx.reply.flag(false);
        return Ok(());
    };
    let tags = ctx.txn.tag_digests(names);
    ctx.txn.retag(&key, found, &tags);
    ctx.txn.rewrite(|| tagged(&key, names));
    ctx.reply.flag(true);
    Ok(())
}

/// How Larder's followers are told of a key's tags.
fn tagged(key: &Key<'_>, names: &[&[u8]]) -> Vec<Vec<u8>> {
    hint::wrap(&[&[b"CACHE.TAG", key.bytes], names].concat())
}

fn remember_absence(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    until_ms: Option<u64>,
    answers: bool,
) -> Result<(), Error> {
    let Some(until_ms) = ctx.txn.fill_null(key, until_ms, answers) else {
        return Err(Error::new(
            "ERR the key is larger than the share of memory for absences (null-max)",
        ));
    };
    // To others, there is simply no such key.
    ctx.txn
        .rewrite(|| vec![b"DEL".to_vec(), key.bytes.to_vec()]);
    ctx.txn.rewrite(|| {
        let ms = until_ms.to_string();
        hint::wrap(&[b"CACHE.NULL", key.bytes, b"PXAT", ms.as_bytes()])
    });
    ctx.reply.ok();
    Ok(())
}
