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
use crate::exec::txn::Hiding;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::entry::Entry;
use crate::store::rules::{Slot, TableId};
use crate::store::shard::Shard;
use crate::store::table::CURSOR_BITS;

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
pub(super) struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    pub(super) fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn write(&self, reply: &mut Reply<'_>) {
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
pub(super) enum Pattern<'a> {
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

    /// The slot in which all that matches lies, where that is but one.
    pub(super) fn slot(self) -> Option<u16> {
        match self {
            Pattern::Any => None,
            Pattern::Name(pattern) | Pattern::Glob(pattern) => hash::slot_of_pattern(pattern),
        }
    }

    /// The tables of a shard in which keys that match may be.
    fn tables(self, shard: &Shard) -> Wanted {
        let prefix = match self {
            Pattern::Any => return Wanted::All,
            Pattern::Name(name) => name,
            Pattern::Glob(pattern) => glob::literal_prefix(pattern),
        };
        match shard.settling {
            // What older rules say may be anywhere.
            Some(_) => Wanted::All,
            None => match shard.rules.slots_of_prefix(prefix) {
                Some(slots) => Wanted::Of(slots),
                None => Wanted::All,
            },
        }
    }

    pub(super) fn matches(self, name: &[u8]) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Name(wanted) => name == wanted,
            Pattern::Glob(pattern) => glob::matches(pattern, name, Case::Exact),
        }
    }
}

/// Which tables of a shard are walked.
enum Wanted {
    All,
    /// Those of these policies.
    Of(Vec<Slot>),
}

impl Wanted {
    fn has(&self, id: TableId) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Of(slots) => slots.contains(&id.slot()),
        }
    }
}

fn keys(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let pattern = Pattern::new(ctx.args.bytes()?);
    let (db, hiding) = (ctx.txn.db, ctx.txn.hiding());
    let mut names = Names::default();
    if let Pattern::Name(bytes) = pattern {
        let digest = hash::digest(bytes);
        if ctx.txn.find(&Key::new(bytes, digest)).is_some() {
            names.push(bytes);
        }
    } else if ctx.engine.routing.is_some()
        && let Some(slot) = pattern.slot()
    {
        let shard = ctx.txn.shard_of_slot(slot);
        shard.scan_slot(db, slot, 0, usize::MAX, |id, entry| {
            if pattern.matches(entry.key()) && !hiding.hides(shard, db, id, &entry) {
                names.push(entry.key());
            }
        });
    } else {
        for i in 0..ctx.txn.shards() {
            let shard = ctx.txn.shard(i);
            let wanted = pattern.tables(shard);
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                let is_wanted = |id| wanted.has(id);
                cursor = shard.scan(db, is_wanted, from, |id, entry| {
                    if pattern.matches(entry.key()) && !hiding.hides(shard, db, id, &entry) {
                        names.push(entry.key());
                    }
                });
            }
        }
    }
    names.write(&mut ctx.reply);
    Ok(())
}

/// Over what is walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// SCAN.
    Keys,
    /// CLUSTERSCAN.
    Cluster,
    /// SSCAN.
    Set,
    /// HSCAN.
    Hash,
    /// ZSCAN.
    ZSet,
}

/// What SCAN and its kin were asked for.
pub(super) struct Options<'a> {
    pub pattern: Pattern<'a>,
    count: u64,
    /// One of [`TYPES`].
    kind: Option<&'static str>,
    /// Without what belongs to them.
    pub names_only: bool,
    /// Only keys of this slot.
    pub slot: Option<u16>,
}

impl<'a> Options<'a> {
    pub(super) fn parse(args: &mut Args<'a>, over: Over) -> Result<Options<'a>, Error> {
        let mut options = Options {
            pattern: Pattern::Any,
            count: COUNT,
            kind: None,
            names_only: false,
            slot: None,
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
            } else if over == Over::Cluster && args.option("SLOT") {
                if options.slot.is_some() {
                    return Err(Error::new("ERR SLOT option can only be specified once"));
                }
                options.slot = Some(super::cluster::slot_of(args.bytes()?)?);
            } else if matches!(over, Over::Keys | Over::Cluster) && args.option("TYPE") {
                options.kind = Some(known_type(args.bytes()?)?);
            } else if args.flag("NOVALUES") {
                if over != Over::Hash {
                    return Err(Error::new("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.names_only = true;
            } else if args.flag("NOSCORES") {
                if over != Over::ZSet {
                    return Err(Error::new("ERR NOSCORES option can only be used in ZSCAN"));
                }
                options.names_only = true;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }

    /// How many elements a call looks at.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Walks on over the keys of a slot, `left` of them at most, of which those that it
    /// looks at are taken off; where to go on in it.
    pub(super) fn walk_slot(
        &self,
        ctx: &mut Ctx<'_, '_>,
        slot: u16,
        cursor: u64,
        left: &mut u64,
        names: &mut Names,
    ) -> Option<u64> {
        let (db, hiding) = (ctx.txn.db, ctx.txn.hiding());
        let mut visit = Visit {
            options: self,
            hiding,
            left: *left,
            lines_left: 1,
            names,
            over: Vec::new(),
        };
        let most = usize::try_from((*left).max(1)).unwrap_or(usize::MAX);
        let shard = ctx.txn.shard_of_slot(slot);
        let next = shard.scan_slot(db, slot, cursor, most, |id, entry| {
            visit.meet(shard, db, id, entry);
        });
        *left = visit.left;
        for name in visit.over {
            let digest = hash::digest(&name);
            ctx.txn.find(&Key::new(&name, digest));
        }
        next
    }

    /// Walks over the elements of a key's value: `step` walks on from a cursor,
    /// says how many elements it met, and where to go on. Returns where the next
    /// call goes on, 0 at the end.
    pub(super) fn walk(
        &self,
        mut cursor: u64,
        mut step: impl FnMut(u64) -> (u64, Option<u64>),
    ) -> u64 {
        let mut seen = 0;
        for _ in 0..self.count.saturating_mul(10) {
            let (met, next) = step(cursor);
            seen += met;
            match next {
                None => return 0,
                Some(next) => cursor = next,
            }
            if seen >= self.count {
                break;
            }
        }
        cursor
    }
}

/// Writes the reply of a walk.
pub(super) fn write_walk(reply: &mut Reply<'_>, next: u64, names: &Names) {
    reply.array(2);
    reply.bulk(IntText::unsigned(next).as_bytes());
    names.write(reply);
}

fn known_type(name: &[u8]) -> Result<&'static str, Error> {
    let same = |known: &&str| known.as_bytes().eq_ignore_ascii_case(name);
    let known = TYPES.into_iter().find(same);
    known.ok_or_else(|| Error::quoting("ERR unknown type name '", name, "'"))
}

/// Reads a cursor as C's `strtoull` does: spaces, a sign and zeros in front are
/// no harm, but a negative number in its usual form is none.
pub(super) fn parse_cursor(text: &[u8]) -> Option<u64> {
    if let Some(n) = num::parse_i64(text) {
        return u64::try_from(n).ok();
    }
    // To C, a text ends at its first zero byte.
    let text = text.split(|&b| b == 0).next().unwrap_or_default();
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
    let options = Options::parse(&mut ctx.args, Over::Keys)?;
    let mut names = Names::default();
    let slot = options.pattern.slot();
    let next = match slot.filter(|_| ctx.engine.routing.is_some()) {
        Some(slot) => {
            let mut left = options.count;
            let next = options.walk_slot(ctx, slot, cursor, &mut left, &mut names);
            next.unwrap_or(0)
        }
        None => walk(ctx, cursor, &options, &mut names),
    };
    write_walk(&mut ctx.reply, next, &names);
    Ok(())
}

/// Looks at `count` keys, or at ten times as many lines of the tables if there
/// are few keys in them, and returns where to go on. Keys whose time is over, and
/// that would have been named, go.
fn walk(ctx: &mut Ctx<'_, '_>, cursor: u64, options: &Options<'_>, names: &mut Names) -> u64 {
    let mut visit = Visit {
        options,
        hiding: ctx.txn.hiding(),
        left: options.count,
        lines_left: options.count.saturating_mul(10),
        names,
        over: Vec::new(),
    };
    let db = ctx.txn.db;
    let mut within = cursor & ((1 << CURSOR_BITS) - 1);
    let first = usize::try_from(cursor >> CURSOR_BITS).unwrap_or(usize::MAX);
    for i in first..ctx.txn.shards() {
        let next = visit.walk(ctx.txn.shard(i), db, within);
        for name in visit.over.drain(..) {
            let digest = hash::digest(&name);
            ctx.txn.find(&Key::new(&name, digest));
        }
        if let Some(next) = next {
            // Never at the very start: that would be the cursor of the end.
            return (i as u64) << CURSOR_BITS | next;
        }
        within = 0;
    }
    0
}

/// One call of SCAN.
struct Visit<'a> {
    options: &'a Options<'a>,
    hiding: Hiding<'a>,
    /// Keys still to be looked at.
    left: u64,
    lines_left: u64,
    names: &'a mut Names,
    /// The keys of the last table whose time is over.
    over: Vec<Vec<u8>>,
}

impl Visit<'_> {
    /// Walks over a shard, and says where to go on if it has not come to its end.
    fn walk(&mut self, shard: &Shard, db: u32, cursor: u64) -> Option<u64> {
        let wanted = self.options.pattern.tables(shard);
        if shard
            .tables_of(db)
            .all(|(id, t)| t.is_empty() || !wanted.has(id))
        {
            return None;
        }
        let mut next = Some(cursor);
        while let Some(from) = next {
            if self.left == 0 || self.lines_left == 0 {
                return Some(from);
            }
            self.lines_left -= 1;
            let is_wanted = |id| wanted.has(id);
            next = shard.scan(db, is_wanted, from, |id, entry| {
                self.meet(shard, db, id, entry);
            });
        }
        None
    }

    fn meet(&mut self, shard: &Shard, db: u32, id: TableId, entry: Entry<'_>) {
        self.left = self.left.saturating_sub(1);
        let kind = self.options.kind;
        if kind.is_some_and(|kind| entry.value().type_name() != kind)
            || !self.options.pattern.matches(entry.key())
        {
            return;
        }
        match self.hiding.hides(shard, db, id, &entry) {
            true => self.over.push(entry.key().to_vec()),
            false => self.names.push(entry.key()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Pattern, parse_cursor};
    use crate::command::testkit::{Kit, check, recorded};

    /// The strings of a reply that holds no others.
    fn bulks(reply: &str) -> Vec<String> {
        let mut lines = reply.split("\r\n");
        let mut all = Vec::new();
        while let Some(line) = lines.next() {
            if line.starts_with('$') {
                all.extend(lines.next().map(String::from));
            }
        }
        all
    }

    /// One call: the next cursor, and the keys.
    fn step(kit: &mut Kit, cursor: &str, options: &str) -> (String, Vec<String>) {
        let mut all = bulks(&kit.run(&format!("scan {cursor} {options}")));
        let next = all.remove(0);
        (next, all)
    }

    fn scan_all(kit: &mut Kit, options: &str) -> Vec<String> {
        let (mut cursor, mut all) = ("0".to_string(), Vec::new());
        for _ in 0..10_000 {
            let (next, keys) = step(kit, &cursor, options);
            all.extend(keys);
            if next == "0" {
                all.sort();
                return all;
            }
            cursor = next;
        }
        panic!("a scan that does not end");
    }

    fn filled(keys: usize) -> Kit {
        let mut kit = Kit::new();
        for n in 0..keys {
            kit.run(&format!("set key:{n} {n}"));
        }
        kit
    }

    fn keys(kit: &mut Kit, pattern: &str) -> Vec<String> {
        let mut all = bulks(&kit.run(&format!("keys {pattern}")));
        all.sort();
        all
    }

    #[test]
    fn keys_lists_what_matches() {
        let mut kit = filled(30);
        kit.call(&[b"set", b"", b"empty"]);
        assert_eq!(keys(&mut kit, "*").len(), 31);
        assert_eq!(keys(&mut kit, "key:1?").len(), 10);
        assert_eq!(keys(&mut kit, "key:2"), ["key:2"]);
        assert_eq!(keys(&mut kit, r"key:\2"), ["key:2"]);
        assert_eq!(keys(&mut kit, "key"), [""; 0]);
        assert_eq!(kit.run("keys nothing"), "*0\r\n");
        assert_eq!(kit.call(&[b"keys", b""]), b"*1\r\n$0\r\n\r\n");
        kit.let_time_be_over(0, "key:2");
        kit.let_time_be_over(0, "key:3");
        assert_eq!(keys(&mut kit, "key:2"), [""; 0]);
        assert_eq!(keys(&mut kit, "key:[23]"), [""; 0]);
        kit.run("select 1");
        assert_eq!(keys(&mut kit, "*"), [""; 0]);
    }

    #[test]
    fn a_scan_meets_every_key_once_while_nothing_changes() {
        let mut kit = filled(500);
        let everything = keys(&mut kit, "*");
        for options in [
            "",
            "count 1",
            "count 7",
            "count 1000000",
            "match *",
            "TYPE string",
        ] {
            assert_eq!(scan_all(&mut kit, options), everything, "{options}");
        }
        assert_eq!(scan_all(&mut kit, "match key:1? count 3").len(), 10);
        assert_eq!(scan_all(&mut kit, "match key:77"), ["key:77"]);
        assert_eq!(scan_all(&mut kit, "type list count 100"), [""; 0]);
        kit.let_time_be_over(0, "key:77");
        assert_eq!(scan_all(&mut kit, "").len(), 499);
    }

    #[test]
    fn a_call_looks_at_about_as_many_keys_as_it_was_asked_to() {
        let mut kit = filled(500);
        for count in [1, 10, 50] {
            let (next, found) = step(&mut kit, "0", &format!("count {count}"));
            assert_ne!(next, "0");
            // The last line looked at may hold more: its own, and those who spilled.
            assert!(
                (count..count + 20).contains(&found.len()),
                "{count}: {}",
                found.len()
            );
        }
        let (next, found) = step(&mut kit, "0", "count 9223372036854775807");
        assert_eq!((next.as_str(), found.len()), ("0", 500));
    }

    #[test]
    fn a_scan_removes_what_is_over_and_would_have_been_named() {
        let (mut kit, recorder) = recorded();
        for n in 0..100 {
            kit.run(&format!("set key:{n} {n}"));
        }
        for key in ["key:7", "key:77", "key:78"] {
            kit.let_time_be_over(0, key);
        }
        recorder.take();
        assert_eq!(scan_all(&mut kit, "match key:77"), [""; 0]);
        assert_eq!(kit.run("dbsize"), ":99\r\n");
        assert_eq!(scan_all(&mut kit, "type list"), [""; 0]);
        assert_eq!(kit.run("dbsize"), ":99\r\n");
        assert_eq!(scan_all(&mut kit, "").len(), 97);
        assert_eq!(kit.run("dbsize"), ":97\r\n");
        let effects = recorder.take();
        assert!(
            effects.iter().all(|effect| effect.commands.len() == 1),
            "each under its own lock"
        );
        let mut removed: Vec<_> = effects
            .iter()
            .map(|effect| effect.commands.told().remove(0).1)
            .collect();
        removed.sort();
        let words = |key: &str| vec![b"UNLINK".to_vec(), key.into()];
        assert_eq!(removed, [words("key:7"), words("key:77"), words("key:78")]);
    }

    #[test]
    fn an_empty_database_is_scanned_in_one_call() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("scan 0"), "*2\r\n$1\r\n0\r\n*0\r\n");
        kit.run("set k v");
        kit.run("del k");
        assert_eq!(kit.run("scan 0"), "*2\r\n$1\r\n0\r\n*0\r\n");
    }

    #[test]
    fn scans_errors_are_those_of_valkey() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("scan", "-ERR wrong number of arguments for 'scan' command"),
                ("scan x", "-ERR invalid cursor"),
                ("scan -1", "-ERR invalid cursor"),
                ("scan 18446744073709551616", "-ERR invalid cursor"),
                ("scan x count 0", "-ERR invalid cursor"),
                ("scan 0 count 0", "-ERR syntax error"),
                ("scan 0 count -5", "-ERR syntax error"),
                (
                    "scan 0 count x",
                    "-ERR value is not an integer or out of range",
                ),
                ("scan 0 count", "-ERR syntax error"),
                ("scan 0 foo bar", "-ERR syntax error"),
                ("scan 0 type Foo", "-ERR unknown type name 'Foo'"),
                ("scan 0 type ZSET", "*2 $1 0 *0"),
                (
                    "scan 0 novalues",
                    "-ERR NOVALUES option can only be used in HSCAN",
                ),
                (
                    "scan 0 noscores",
                    "-ERR NOSCORES option can only be used in ZSCAN",
                ),
                ("scan 18446744073709551615", "*2 $1 0 *0"),
            ],
        );
    }

    #[test]
    fn a_cursor_is_read_as_c_reads_it() {
        for (text, cursor) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("000", Some(0)),
            (" +12", Some(12)),
            ("18446744073709551615", Some(u64::MAX)),
            ("00018446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("", None),
            ("+", None),
            ("1x", None),
            ("1 ", None),
            ("1\0x", Some(1)),
            ("\0", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), cursor, "{text:?}");
        }
    }

    #[test]
    fn a_pattern_without_wildcards_is_a_name() {
        let is_name = |p: &'static [u8]| matches!(Pattern::new(p), Pattern::Name(_));
        assert!(is_name(b"key:1") && is_name(b""));
        assert!(!is_name(b"*") && !is_name(b"a?") && !is_name(b"[ab]") && !is_name(b"a\\b"));
    }

    #[test]
    fn a_scan_within_a_transaction_is_the_same() {
        let mut kit = filled(20);
        kit.run("multi");
        kit.run("scan 0 count 100");
        let mut found = bulks(&kit.run("exec"));
        assert_eq!(found.remove(0), "0");
        assert_eq!(found.len(), 20);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Between any two calls keys come and go, so that tables grow, split
        /// and merge; those that stay are met.
        #[test]
        fn who_stays_is_met_whatever_else_comes_and_goes(
            stay in prop::collection::btree_set(0u32..3_000, 0..150),
            counts in prop::collection::vec(1u32..60, 1..5),
            changes in prop::collection::vec((any::<bool>(), 0u32..3_000, 0u32..900), 1..30),
        ) {
            let mut kit = Kit::new();
            let name = |n: u32| format!("key:{n}");
            for n in &stay {
                kit.run(&format!("set {} 1", name(*n)));
            }
            let mut met = BTreeSet::new();
            let mut cursor = "0".to_string();
            let mut ended = false;
            for call in 0..5_000usize {
                let count = counts[call % counts.len()];
                let (next, found) = step(&mut kit, &cursor, &format!("count {count}"));
                met.extend(found);
                if next == "0" {
                    ended = true;
                    break;
                }
                cursor = next;
                // First a storm, then quiet, so that the walk gets on.
                let Some((grow, from, many)) = changes.get(call) else {
                    continue;
                };
                for n in (*from..from + many).filter(|n| !stay.contains(n)) {
                    match grow {
                        true => kit.run(&format!("set {} 1", name(n))),
                        false => kit.run(&format!("del {}", name(n))),
                    };
                }
            }
            prop_assert!(ended, "a scan that does not end");
            for n in &stay {
                prop_assert!(met.contains(&name(*n)), "{} was missed", name(*n));
            }
        }
    }
}
