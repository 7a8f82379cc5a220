//! Walking over the keys: SCAN, a little at a time, and KEYS, all at once.
//!
//! SCAN's cursor is the number of a shard and a cursor in its table:
//!
//! ```text
//!  ┌─ shard ─┬─ table's cursor: CURSOR_BITS ─┐
//!  └─────────┴───────────────────────────────┘
//! ```
//!
//! The shards are walked in order, and a table keeps SCAN's promise by itself,
//! so the whole keeps it: who is there from the first call to the last is met.

use crate::base::glob::{self, Case};
use crate::base::hash;
use crate::base::num::{self, IntText};
use crate::exec::args::{Args, Key};
use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, category, flag::*};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::table::CURSOR_BITS;

use super::keys::type_name;

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("keys", 2, keys)
        .flags(READONLY)
        .category(category::KEYSPACE | category::DANGEROUS)
        .scope(Scope::All)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length.",
            "Lists every key whose name matches a pattern.",
        )
        .args(&[Arg::new("pattern", ArgKind::Pattern)]),
    Spec::new("scan", -2, scan)
        .flags(READONLY)
        .category(category::KEYSPACE)
        .scope(Scope::Each)
        .tips(&[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ])
        .doc(
            Group::Generic,
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
            "Lists the keys of the database, some with each call.",
        )
        .history(&[("6.0.0", "Added the `TYPE` subcommand.")])
        .args(&[
            Arg::new("cursor", ArgKind::Integer),
            Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
            Arg::new("count", ArgKind::Integer).token("COUNT").optional(),
            Arg::new("type", ArgKind::String)
                .token("TYPE")
                .optional()
                .since("6.0.0"),
        ]),
];

/// Elements that a call looks at without COUNT.
const COUNT: u64 = 10;
/// The types that SCAN may choose by.
const TYPES: [&str; 6] = ["string", "list", "set", "zset", "hash", "stream"];

/// Names that are gathered before their number is known.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    fn write(&self, reply: &mut Reply<'_>) {
        reply.array(self.ends.len());
        let mut from = 0;
        for &end in &self.ends {
            reply.bulk(&self.bytes[from..end]);
            from = end;
        }
    }
}

/// Which names are wanted.
#[derive(Clone, Copy)]
enum Pattern<'a> {
    Any,
    /// Just this one.
    Name(&'a [u8]),
    Glob(&'a [u8]),
}

impl<'a> Pattern<'a> {
    fn new(pattern: &'a [u8]) -> Pattern<'a> {
        match pattern {
            b"*" => Pattern::Any,
            _ if glob::is_literal(pattern) && !pattern.contains(&b'\\') => Pattern::Name(pattern),
            _ => Pattern::Glob(pattern),
        }
    }

    fn matches(self, name: &[u8]) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Name(wanted) => name == wanted,
            Pattern::Glob(pattern) => glob::matches(pattern, name, Case::Exact),
        }
    }
}

fn keys(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let pattern = Pattern::new(ctx.args.bytes()?);
    let (db, now_ms) = (ctx.txn.db, ctx.txn.now_ms);
    let mut names = Names::default();
    if let Pattern::Name(bytes) = pattern {
        let digest = hash::digest(bytes);
        if ctx.txn.find(&Key { bytes, digest }).is_some() {
            names.push(bytes);
        }
    } else {
        for i in 0..ctx.txn.shards() {
            let Some(table) = ctx.txn.shard(i).table(db) else {
                continue;
            };
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                cursor = table.scan(from, |entry| {
                    let alive = entry.deadline().is_none_or(|ms| ms > now_ms);
                    if alive && pattern.matches(entry.key()) {
                        names.push(entry.key());
                    }
                });
            }
        }
    }
    names.write(&mut ctx.reply);
    Ok(())
}

/// What SCAN was asked for.
struct Options<'a> {
    pattern: Pattern<'a>,
    count: u64,
    /// One of [`TYPES`].
    kind: Option<&'static str>,
}

impl<'a> Options<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Options<'a>, Error> {
        let mut options = Options {
            pattern: Pattern::Any,
            count: COUNT,
            kind: None,
        };
        while !args.is_empty() {
            if args.option("COUNT") {
                let count = args.int()?;
                options.count = u64::try_from(count).map_err(|_| Error::SYNTAX)?;
                if count == 0 {
                    return Err(Error::SYNTAX);
                }
            } else if args.option("MATCH") {
                options.pattern = Pattern::new(args.bytes()?);
            } else if args.option("TYPE") {
                options.kind = Some(known_type(args.bytes()?)?);
            } else if args.flag("NOVALUES") {
                return Err(Error::new("ERR NOVALUES option can only be used in HSCAN"));
            } else if args.flag("NOSCORES") {
                return Err(Error::new("ERR NOSCORES option can only be used in ZSCAN"));
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }
}

fn known_type(name: &[u8]) -> Result<&'static str, Error> {
    let same = |known: &&str| known.as_bytes().eq_ignore_ascii_case(name);
    TYPES.into_iter().find(same).ok_or_else(|| {
        let text = [b"ERR unknown type name '".as_slice(), name, b"'"].concat();
        Error::new(text)
    })
}

/// Reads a cursor as C's `strtoull` does: spaces, a sign and zeros in front are
/// no harm, but a negative number in its usual form is none.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    if let Some(n) = num::parse_i64(text) {
        return u64::try_from(n).ok();
    }
    let (negative, digits) = match text.trim_ascii_start() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let zeros = digits.iter().take_while(|&&b| b == b'0').count();
    let n = match &digits[zeros..] {
        [] if zeros > 0 => 0,
        rest => num::parse_u64(rest)?,
    };
    Some(if negative { n.wrapping_neg() } else { n })
}

fn scan(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let cursor = parse_cursor(ctx.args.bytes()?).ok_or(Error::CURSOR)?;
    let options = Options::parse(&mut ctx.args)?;
    let mut names = Names::default();
    let next = walk(ctx, cursor, &options, &mut names);
    ctx.reply.array(2);
    ctx.reply.bulk(IntText::unsigned(next).as_bytes());
    names.write(&mut ctx.reply);
    Ok(())
}

/// Looks at `count` keys, or at ten times as many lines of the tables if there
/// are few keys in them, and returns where to go on.
fn walk(ctx: &mut Ctx<'_, '_>, cursor: u64, options: &Options<'_>, names: &mut Names) -> u64 {
    let (db, now_ms) = (ctx.txn.db, ctx.txn.now_ms);
    let mut lines = options.count.saturating_mul(10);
    let mut seen = 0;
    let mut within = cursor & ((1 << CURSOR_BITS) - 1);
    let first = usize::try_from(cursor >> CURSOR_BITS).unwrap_or(usize::MAX);
    for i in first..ctx.txn.shards() {
        let Some(table) = ctx.txn.shard(i).table(db).filter(|t| !t.is_empty()) else {
            within = 0;
            continue;
        };
        let at = |within: u64| (i as u64) << CURSOR_BITS | within;
        let mut next = Some(within);
        while let Some(from) = next {
            // Never at the very start: that would be the cursor of the end.
            if seen >= options.count || lines == 0 {
                return at(from);
            }
            lines -= 1;
            next = table.scan(from, |entry| {
                seen += 1;
                let wanted = options.kind.is_none_or(|k| type_name(&entry.value()) == k)
                    && options.pattern.matches(entry.key())
                    && entry.deadline().is_none_or(|ms| ms > now_ms);
                if wanted {
                    names.push(entry.key());
                }
            });
        }
        within = 0;
    }
    0
}
