//! CACHE.INVALIDATE and CACHE.INVALIDATIONS.

use std::sync::atomic::Ordering;

use crate::config::policy::Pattern;
use crate::exec::access::{self, Touch};
use crate::exec::context::Ctx;
use crate::exec::effect::Removal;
use crate::exec::hint;
use crate::exec::spec::KeyError;
use crate::protocol::error::Error;
use crate::store::invalidation::{
    Cause, Full, Logged, OUTSTANDING_TAGS_MAX, PATTERNS_MAX, TAG_MAX, Target,
};

/// Rows that are shown where nobody says how many.
const ROWS: usize = 20;
/// The longest reason, in bytes; what is beyond is cut off.
const REASON_MAX: usize = 256;

/// What a client asked for.
struct Wish<'a> {
    kind: &'a [u8],
    names: &'a [&'a [u8]],
    soft: bool,
    reason: &'a [u8],
}

impl<'a> Wish<'a> {
    /// Reads the words behind the command's name. Options stand at the end.
    fn parse(words: &'a [&'a [u8]]) -> Option<Wish<'a>> {
        let (kind, mut names) = words.split_first()?;
        let is = |word: &[u8], name: &[u8]| word.eq_ignore_ascii_case(name);
        let mut wish = Wish {
            kind,
            names,
            soft: false,
            reason: b"",
        };
        loop {
            match names {
                [rest @ .., word, reason] if is(word, b"REASON") && wish.reason.is_empty() => {
                    wish.reason = reason;
                    names = rest;
                }
                [rest @ .., word] if is(word, b"SOFT") && !wish.soft => {
                    wish.soft = true;
                    names = rest;
                }
                _ => break,
            }
        }
        wish.names = names;
        (!names.is_empty()).then_some(wish)
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }
}

/// Whether it is about more than keys that are named.
pub(super) fn is_about_a_group(argv: &[&[u8]]) -> bool {
    argv.get(1)
        .is_some_and(|kind| !kind.eq_ignore_ascii_case(b"KEY"))
}

/// The keys that are named.
pub(super) fn find_keys(argv: &[&[u8]], visit: &mut dyn FnMut(usize)) -> Result<(), KeyError> {
    if let Some(wish) = Wish::parse(argv.get(1..).unwrap_or_default())
        && wish.is("KEY")
    {
        (0..wish.names.len()).for_each(|i| visit(i + 2));
    }
    Ok(())
}

/// CACHE.INVALIDATE KEY key … | TAG tag … | PREFIX prefix | PATTERN pattern | POLICY name
/// [SOFT] [REASON text]
pub(super) fn invalidate(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let words = ctx.args.all();
    let wish = Wish::parse(&words[1..]).ok_or(Error::SYNTAX)?;
    // Nobody can tell which keys are in a group.
    if is_about_a_group(words)
        && !access::may_reach_everything(ctx.engine, ctx.session, words, Touch::Write)
    {
        let kind = wish.kind.to_ascii_uppercase();
        let after = " of CACHE.INVALIDATE denied due to insufficient ACL permissions.";
        return Err(Error::quoting("ERR ", &kind, after));
    }
    let target = target(ctx, &wish)?;
    let reason = &wish.reason[..wish.reason.len().min(REASON_MAX)];
    let reason = String::from_utf8_lossy(reason);
    let client = &ctx.session.client;
    let user = String::from_utf8_lossy(&client.names.lock().user).into_owned();
    let who = format!("{user}@{}", client.addr);
    let cause = Cause {
        db: ctx.txn.db,
        soft: wish.soft,
        reason: &reason,
        who: &who,
        now_ms: ctx.txn.now_ms,
    };
    // Whatever goes is freed by another thread.
    ctx.txn.removal = Removal::Unlink;
    let (id, entries) = if let Target::Keys(_) = target {
        ctx.args.bytes()?;
        let mut entries = 0;
        for _ in wish.names {
            let key = ctx.args.key()?;
            entries += u64::from(ctx.txn.invalidate_key(&key, wish.soft));
        }
        (ctx.txn.log_invalidation(&target, &cause, entries), entries)
    } else {
        ctx.txn.invalidate(&target, &cause).map_err(full)?
    };
    // To others, what goes is told key by key.
    ctx.txn.rewrite(|| hint::wrap(words));
    ctx.reply.map(2);
    ctx.reply.bulk(b"id");
    ctx.reply.int(id as i64);
    ctx.reply.bulk(b"entries");
    ctx.reply.int(entries as i64);
    Ok(())
}

fn full(why: Full) -> Error {
    Error::new(match why {
        Full::Patterns => format!(
            "ERR {PATTERNS_MAX} patterns are being invalidated already: try again in a moment"
        ),
        Full::Tags => format!(
            "ERR {OUTSTANDING_TAGS_MAX} tags are being invalidated already: try again in a moment"
        ),
    })
}

fn target(ctx: &mut Ctx<'_, '_>, wish: &Wish<'_>) -> Result<Target, Error> {
    let copied = || wish.names.iter().map(|n| n.to_vec()).collect();
    if wish.is("KEY") {
        return Ok(Target::Keys(copied()));
    }
    if wish.is("TAG") {
        if wish.names.iter().any(|t| t.is_empty() || t.len() > TAG_MAX) {
            return Err(Error::new(format!("ERR a tag has 1 to {TAG_MAX} bytes")));
        }
        return Ok(Target::Tags(copied()));
    }
    let [name] = wish.names else {
        return Err(Error::SYNTAX);
    };
    if wish.is("PREFIX") {
        return Ok(Target::Prefix(name.to_vec()));
    }
    if wish.is("PATTERN") {
        let pattern = Pattern::parse(name);
        return pattern
            .map(Target::Pattern)
            .map_err(|why| Error::new(format!("ERR {why}")));
    }
    if wish.is("POLICY") {
        let rules = ctx.txn.shard(0).rules.clone();
        return match rules.named(name) {
            Some((slot, policy)) => Ok(Target::Policy(slot, policy.name.clone())),
            None => Err(Error::quoting("ERR There is no policy '", name, "'")),
        };
    }
    Err(Error::SYNTAX)
}

/// CACHE.INVALIDATIONS [count] [ID id]
pub(super) fn invalidations(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (mut count, mut id) = (ROWS, None);
    while !ctx.args.is_empty() {
        if ctx.args.option("ID") {
            id = Some(ctx.args.int()?);
        } else {
            let n = ctx.args.int()?;
            count = usize::try_from(n)
                .map_err(|_| Error::new("ERR count should be greater than or equal to 0"))?;
        }
    }
    let all = ctx.engine.keyspace.invalidations().read();
    let is_wanted = |row: &&Logged| id.is_none_or(|id| i64::try_from(row.id) == Ok(id));
    let rows: Vec<&Logged> = all.log().filter(is_wanted).take(count).collect();
    ctx.reply.array(rows.len());
    for row in rows {
        let done_ms = row.done_ms.load(Ordering::Relaxed);
        let texts: [(&str, &str); 4] = [
            ("target", &row.target),
            ("reason", &row.reason),
            ("who", &row.who),
            ("status", if done_ms == 0 { "running" } else { "completed" }),
        ];
        ctx.reply.map(10);
        ctx.reply.bulk(b"id");
        ctx.reply.int(row.id as i64);
        ctx.reply.bulk(b"db");
        ctx.reply.int(row.db.into());
        for (name, text) in texts {
            ctx.reply.bulk(name.as_bytes());
            ctx.reply.bulk(text.as_bytes());
        }
        ctx.reply.bulk(b"soft");
        ctx.reply.boolean(row.soft);
        ctx.reply.bulk(b"triggered");
        ctx.reply.int(row.began_ms as i64);
        ctx.reply.bulk(b"completed");
        match done_ms {
            0 => ctx.reply.null(),
            ms => ctx.reply.int(ms as i64),
        }
        ctx.reply.bulk(b"entries");
        ctx.reply.int(row.entries.load(Ordering::Relaxed) as i64);
    }
    Ok(())
}
