//! Bitmaps: commands that see a string as a row of bits.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::string::{edit, string};
use crate::base::num;
use crate::config::param;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{
    Arg, ArgKind, Group, KeySpec, Spec, category::BITMAP, flag::*, key, key_flag::*, keys,
};
use crate::exec::txn::{Deadline, Found};
use crate::protocol::error::Error;
use crate::store::entry::{Entry, Value};
use crate::types::bitmap::{self, Field, Operation, Overflow};

const SETBIT: Event = Event::string("setbit");
const SET: Event = Event::string("set");

/// An offset in bits; of a field, as a multiple of its width where `#` stands
/// before it.
fn offset(ctx: &Ctx<'_, '_>, text: &[u8], field: Option<Field>) -> Result<u64, Error> {
    let (text, step) = match (text, field) {
        ([b'#', number @ ..], Some(field)) => (number, field.bits()),
        _ => (text, 1),
    };
    let limit = ctx.engine.settings.int(param::PROTO_MAX_BULK_LEN);
    num::parse_i64(text)
        .and_then(|n| n.checked_mul(step.into()))
        .filter(|n| n / 8 < limit)
        .and_then(|n| u64::try_from(n).ok())
        .ok_or(Error::BIT_OFFSET)
}

/// SETBIT key offset value
fn setbit(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let text = ctx.args.bytes()?;
    let offset = offset(ctx, text, None)?;
    let on = match num::parse_i64(ctx.args.bytes()?) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(Error::BIT_VALUE),
    };
    let length_min = (offset / 8) as usize + 1;
    let found = ctx.txn.find(&key);
    let (old, is_within) = match found {
        Some(found) => string(ctx.txn.entry(found))?
            .with_bytes(|bytes| (bitmap::get(bytes, offset), length_min <= bytes.len())),
        None => (false, false),
    };
    if old != on || !is_within {
        let write = |bytes: &mut [u8]| bitmap::set(bytes, offset, on);
        edit::change(ctx.txn, &key, found, length_min, write, SETBIT);
    }
    ctx.reply.flag(old);
    Ok(())
}

/// GETBIT key offset
fn getbit(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let text = ctx.args.bytes()?;
    let offset = offset(ctx, text, None)?;
    let on = match ctx.txn.read(&key) {
        Some(entry) => string(entry)?.with_bytes(|bytes| bitmap::get(bytes, offset)),
        None => false,
    };
    ctx.reply.flag(on);
    Ok(())
}

/// What part of a string a client means: `start [end [BYTE | BIT]]`, both ends
/// belonging to it, and counted from the string's end where negative.
#[derive(Default)]
struct Part {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl Part {
    /// All that is left of the arguments.
    fn of(ctx: &mut Ctx<'_, '_>) -> Result<Part, Error> {
        let integer = |text: &[u8]| num::parse_i64(text).ok_or(Error::NOT_INTEGER);
        let rest = ctx.args.rest();
        let (start, end, unit) = match *rest {
            [] => return Ok(Part::default()),
            [start] => (start, None, None),
            [start, end] => (start, Some(end), None),
            [start, end, unit] => (start, Some(end), Some(unit)),
            _ => return Err(Error::SYNTAX),
        };
        let start = integer(start)?;
        let in_bits = match unit {
            Some(unit) if unit.eq_ignore_ascii_case(b"BIT") => true,
            Some(unit) if !unit.eq_ignore_ascii_case(b"BYTE") => return Err(Error::SYNTAX),
            _ => false,
        };
        Ok(Part {
            start,
            end: end.map(integer).transpose()?,
            in_bits,
        })
    }

    /// The bits of a string that it is; none where it ends before it begins.
    fn bits(&self, bytes: &[u8]) -> Range<u64> {
        let unit = if self.in_bits { 1 } else { 8 };
        let total = (bytes.len() * 8 / unit) as i64;
        let place = |n: i64| if n < 0 { (total + n).max(0) } else { n };
        let start = place(self.start);
        let end = self.end.map_or(total - 1, place).min(total - 1);
        match start <= end {
            true => start as u64 * unit as u64..(end + 1) as u64 * unit as u64,
            false => 0..0,
        }
    }
}

/// BITCOUNT key [start [end [BYTE | BIT]]]
fn bitcount(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let part = Part::of(ctx)?;
    // Both before the beginning and in the wrong order: not the first byte.
    let is_backwards = part
        .end
        .is_some_and(|end| part.start < 0 && end < 0 && part.start > end);
    let count = match ctx.txn.read(&key) {
        Some(entry) => string(entry)?.with_bytes(|bytes| match is_backwards {
            true => 0,
            false => bitmap::count(bytes, part.bits(bytes)),
        }),
        None => 0,
    };
    ctx.reply.int(count as i64);
    Ok(())
}

/// BITPOS key bit [start [end [BYTE | BIT]]]
fn bitpos(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let on = match ctx.args.int()? {
        0 => false,
        1 => true,
        _ => return Err(Error::BIT_WANTED),
    };
    let part = Part::of(ctx)?;
    let at = match ctx.txn.read(&key) {
        Some(entry) => string(entry)?.with_bytes(|bytes| {
            let bits = part.bits(bytes);
            // A string goes on with zeros, unless its end was given.
            let behind = !on && part.end.is_none() && !bits.is_empty();
            bitmap::find(bytes, on, bits).or(behind.then_some(bytes.len() as u64 * 8))
        }),
        None => (!on).then_some(0),
    };
    ctx.reply.int(at.map_or(-1, |at| at as i64));
    Ok(())
}

/// BITOP operation destination key [key …]
fn bitop(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let name = ctx.args.bytes()?.to_ascii_uppercase();
    let destination = ctx.args.key()?;
    let operation = match &name[..] {
        b"AND" => Operation::And,
        b"OR" => Operation::Or,
        b"XOR" => Operation::Xor,
        b"NOT" if ctx.args.left() > 1 => return Err(Error::BITOP_NOT),
        b"NOT" => Operation::Not,
        b"DIFF" => Operation::Diff,
        b"DIFF1" => Operation::Diff1,
        b"ANDOR" => Operation::AndOr,
        b"ONE" => Operation::One,
        _ => return Err(Error::SYNTAX),
    };
    let needs_two = matches!(
        operation,
        Operation::Diff | Operation::Diff1 | Operation::AndOr
    );
    if needs_two && ctx.args.left() < 2 {
        let name = String::from_utf8_lossy(&name);
        return Err(Error::new(format!(
            "ERR BITOP {name} must be called with at least two source keys."
        )));
    }
    let result = {
        let sources = sources(ctx)?;
        let sources: SmallVec<[&[u8]; 8]> = sources.iter().map(|s| &s[..]).collect();
        bitmap::combine(operation, &sources)
    };
    let length = result.len();
    let found = ctx.txn.find(&destination);
    if length > 0 {
        edit::replace(ctx.txn, &destination, found, result, Deadline::Never, SET);
    } else if let Some(found) = found {
        ctx.txn.remove(&destination, found, Event::DEL);
    }
    ctx.reply.size(length);
    Ok(())
}

/// The strings of all keys that are left; empty where there is none.
fn sources<'a>(ctx: &'a mut Ctx<'_, '_>) -> Result<SmallVec<[Cow<'a, [u8]>; 8]>, Error> {
    let found = find_all(ctx, |entry| string(entry).map(|_| ()))?;
    let txn = &*ctx.txn;
    let bytes = |found: Option<Found>| match found.map(|found| txn.entry(found).value()) {
        Some(Value::Str(bytes)) => Cow::Borrowed(bytes),
        Some(Value::Blob(blob)) => Cow::Borrowed(&blob[..]),
        Some(int) => Cow::Owned(int.to_vec()),
        None => Cow::Borrowed(&b""[..]),
    };
    Ok(found.into_iter().map(bytes).collect())
}

/// Looks up all keys that are left, and holds each to `check`.
pub(super) fn find_all(
    ctx: &mut Ctx<'_, '_>,
    check: impl Fn(Entry<'_>) -> Result<(), Error>,
) -> Result<SmallVec<[Option<Found>; 8]>, Error> {
    let mut keys = ctx.args.clone();
    // Looking for one key may remove it and move the others: first see that
    // there are only those whose time is not over.
    while !keys.is_empty() {
        ctx.txn.find(&keys.key()?);
    }
    let mut all = SmallVec::new();
    while !ctx.args.is_empty() {
        let found = ctx.txn.look_up(&ctx.args.key()?);
        if let Some(found) = found {
            check(ctx.txn.entry(found))?;
        }
        all.push(found);
    }
    Ok(all)
}

/// One part of BITFIELD.
#[derive(Clone, Copy)]
struct Step {
    field: Field,
    offset: u64,
    what: Action,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

impl Step {
    /// All steps that the arguments tell of.
    fn all(ctx: &mut Ctx<'_, '_>) -> Result<SmallVec<[Step; 4]>, Error> {
        let mut steps = SmallVec::new();
        let mut overflow = Overflow::Wrap;
        while !ctx.args.is_empty() {
            let word = ctx.args.bytes()?.to_ascii_uppercase();
            let wants = match &word[..] {
                b"OVERFLOW" => 1,
                b"GET" => 2,
                b"SET" | b"INCRBY" => 3,
                _ => return Err(Error::SYNTAX),
            };
            if ctx.args.left() < wants {
                return Err(Error::SYNTAX);
            }
            if wants == 1 {
                overflow = match &ctx.args.bytes()?.to_ascii_uppercase()[..] {
                    b"WRAP" => Overflow::Wrap,
                    b"SAT" => Overflow::Saturate,
                    b"FAIL" => Overflow::Fail,
                    _ => return Err(Error::BITFIELD_OVERFLOW),
                };
                continue;
            }
            let field = field(ctx.args.bytes()?).ok_or(Error::BITFIELD_TYPE)?;
            let text = ctx.args.bytes()?;
            let offset = offset(ctx, text, Some(field))?;
            let what = match &word[..] {
                b"GET" => Action::Get,
                b"SET" => Action::Set(ctx.args.int()?, overflow),
                _ => Action::Add(ctx.args.int()?, overflow),
            };
            steps.push(Step {
                field,
                offset,
                what,
            });
        }
        Ok(steps)
    }

    fn read(&self, bytes: &[u8]) -> i64 {
        self.field.read(bytes, self.offset)
    }

    /// The reply to a step that may write, and whether it wrote something else
    /// than was there.
    fn run(&self, bytes: &mut [u8]) -> (Option<i64>, bool) {
        let old = self.read(bytes);
        let (new, replies_old) = match self.what {
            Action::Get => return (Some(old), false),
            Action::Set(n, overflow) => (self.field.fit(self.field.meant(n), overflow), true),
            Action::Add(n, overflow) => {
                let sum = i128::from(old) + i128::from(n);
                (self.field.fit(sum, overflow), false)
            }
        };
        let Some(new) = new else {
            return (None, false);
        };
        self.field.write(bytes, self.offset, new);
        (Some(if replies_old { old } else { new }), new != old)
    }
}

/// A field's kind: `i` or `u`, and its width.
fn field(text: &[u8]) -> Option<Field> {
    let (sign, width) = text.split_first()?;
    let is_signed = match sign {
        b'i' => true,
        b'u' => false,
        _ => return None,
    };
    Field::new(is_signed, num::parse_i64(width)?)
}

/// BITFIELD key [GET type offset | [OVERFLOW WRAP | SAT | FAIL] (SET type offset
/// value | INCRBY type offset increment)] …
fn bitfield(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let steps = Step::all(ctx)?;
    let is_write = |step: &&Step| !matches!(step.what, Action::Get);
    let ends = steps.iter().filter(is_write);
    let Some(length_min) = ends.map(|step| step.field.end(step.offset)).max() else {
        let value = ctx.txn.read(&key).map(string).transpose()?;
        ctx.reply.array(steps.len());
        value.unwrap_or(Value::Str(b"")).with_bytes(|bytes| {
            steps.iter().for_each(|s| ctx.reply.int(s.read(bytes)));
        });
        return Ok(());
    };
    if ctx.spec.has(READONLY) {
        return Err(Error::BITFIELD_READ_ONLY);
    }
    let found = ctx.txn.find(&key);
    if let Some(found) = found {
        string(ctx.txn.entry(found))?;
    }
    ctx.reply.array(steps.len());
    let reply = &mut ctx.reply;
    let run = |bytes: &mut [u8]| {
        let mut is_changed = false;
        for step in &steps {
            let (n, differs) = step.run(bytes);
            match n {
                Some(n) => reply.int(n),
                None => reply.null(),
            }
            is_changed |= differs;
        }
        is_changed
    };
    edit::change(ctx.txn, &key, found, length_min as usize, run, SETBIT);
    Ok(())
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");
const OFFSET: Arg = Arg::new("offset", ArgKind::Integer);
const ENCODING: Arg = Arg::new("encoding", ArgKind::String);
const VALUE: Arg = Arg::new("value", ArgKind::Integer);

const RANGE: Arg = Arg::block(
    "range",
    &[
        Arg::new("start", ArgKind::Integer),
        Arg::block(
            "end-unit-block",
            &[
                Arg::new("end", ArgKind::Integer),
                Arg::one_of(
                    "unit",
                    &[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")],
                )
                .optional()
                .since("7.0.0"),
            ],
        )
        .optional(),
    ],
)
.optional();

const GET: Arg = Arg::block("get-block", &[ENCODING, OFFSET]).token("GET");

const STEP: Arg = Arg::one_of(
    "operation",
    &[
        GET,
        Arg::block(
            "write",
            &[
                Arg::one_of(
                    "overflow-block",
                    &[
                        Arg::word("wrap", "WRAP"),
                        Arg::word("sat", "SAT"),
                        Arg::word("fail", "FAIL"),
                    ],
                )
                .token("OVERFLOW")
                .optional(),
                Arg::one_of(
                    "write-operation",
                    &[
                        Arg::block("set-block", &[ENCODING, OFFSET, VALUE]).token("SET"),
                        Arg::block(
                            "incrby-block",
                            &[ENCODING, OFFSET, Arg::new("increment", ArgKind::Integer)],
                        )
                        .token("INCRBY"),
                    ],
                ),
            ],
        ),
    ],
)
.multiple()
.optional();

const OPERATION: Arg = Arg::one_of(
    "operation",
    &[
        Arg::word("and", "AND"),
        Arg::word("or", "OR"),
        Arg::word("xor", "XOR"),
        Arg::word("not", "NOT"),
        Arg::word("diff", "DIFF").since("8.2.0"),
        Arg::word("diff1", "DIFF1").since("8.2.0"),
        Arg::word("andor", "ANDOR").since("8.2.0"),
        Arg::word("one", "ONE").since("8.2.0"),
    ],
);

const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];

const fn row(
    name: &'static str,
    arity: i16,
    handler: crate::exec::spec::Handler,
    flags: u32,
    keys: &'static [KeySpec],
) -> Spec {
    Spec::new(name, arity, handler)
        .flags(flags)
        .category(BITMAP)
        .keys(keys)
}

/// The family.
pub const SPECS: &[Spec] = &[
    row(
        "setbit",
        4,
        setbit,
        WRITE | DENYOOM,
        &[key(1, RW | ACCESS | UPDATE)],
    )
    .doc(
        Group::Bitmap,
        "2.2.0",
        "O(1)",
        "Writes one bit of a string, which grows up to there, and gives the old one.",
    )
    .args(&[KEY, OFFSET, VALUE]),
    row("getbit", 3, getbit, READONLY | FAST, READ_KEY)
        .doc(
            Group::Bitmap,
            "2.2.0",
            "O(1)",
            "Gives one bit of a string.",
        )
        .args(&[KEY, OFFSET]),
    row("bitcount", -2, bitcount, READONLY, READ_KEY)
        .doc(
            Group::Bitmap,
            "2.6.0",
            "O(N)",
            "Counts the bits of a string, or of a part of it, that are 1.",
        )
        .history(&[
            ("7.0.0", "Added the `BYTE|BIT` option."),
            (
                "8.0.0",
                "`end` made optional; when called without argument the command reports the last BYTE.",
            ),
        ])
        .args(&[KEY, RANGE]),
    row("bitpos", -3, bitpos, READONLY, READ_KEY)
        .doc(
            Group::Bitmap,
            "2.8.7",
            "O(N)",
            "Finds the first bit of a string, or of a part of it, that is 1 or that is 0.",
        )
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")])
        .args(&[KEY, Arg::new("bit", ArgKind::Integer), RANGE]),
    row(
        "bitop",
        -4,
        bitop,
        WRITE | DENYOOM,
        &[key(2, OW | UPDATE), keys(3, -1, 1, RO | ACCESS)],
    )
    .doc(
        Group::Bitmap,
        "2.6.0",
        "O(N)",
        "Combines strings bit by bit, and stores the result.",
    )
    .args(&[
        OPERATION,
        Arg::key("destkey"),
        Arg::new("key", ArgKind::Key(1)).multiple(),
    ]),
    row(
        "bitfield",
        -2,
        bitfield,
        WRITE | DENYOOM,
        &[key(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS)
            .notes("This command allows both access and modification of the key")],
    )
    .key_use(use_of_bitfield)
    .doc(
        Group::Bitmap,
        "3.2.0",
        "O(1) for each subcommand specified",
        "Reads and writes integers of any width among the bits of a string.",
    )
    .args(&[KEY, STEP]),
    row("bitfield_ro", -2, bitfield, READONLY | FAST, READ_KEY)
        .doc(
            Group::Bitmap,
            "6.0.0",
            "O(1) for each subcommand specified",
            "Reads integers of any width among the bits of a string.",
        )
        .args(&[KEY, GET.optional().multiple().multiple_token()]),
];

/// Whether all steps of BITFIELD only read. What it does not take is to be on the safe
/// side.
fn use_of_bitfield(argv: &[&[u8]]) -> u16 {
    let mut at = 2;
    while at < argv.len() {
        let is = |word: &str| argv[at].eq_ignore_ascii_case(word.as_bytes());
        let left = argv.len() - at - 1;
        at += match () {
            () if is("get") && left >= 2 => 3,
            () if is("overflow") && left >= 1 => 2,
            () => return RW | ACCESS | UPDATE,
        };
    }
    RO | ACCESS
}

#[cfg(test)]
mod tests {
    use crate::command::testkit::{Kit, check, recorded};
    use crate::store::entry::BLOB_MIN;

    #[test]
    fn a_bit_is_written_where_the_string_reaches_or_beyond() {
        let (mut kit, recorder) = recorded();
        check(
            &mut kit,
            &[
                ("setbit k 9 1", ":0"),
                ("get k", "$2 \0@"),
                ("setbit k 9 1", ":1"),
                ("getbit k 9", ":1"),
                ("getbit k 8", ":0"),
                ("getbit k 1000", ":0"),
                ("getbit none 0", ":0"),
                ("set n 12", "+OK"),
                ("setbit n 1 1", ":0"),
                ("get n", "$2 q2"),
            ],
        );
        let words = ["setbit k 9 1", "set n 12", "setbit n 1 1"];
        assert_eq!(recorder.commands(), words);
        kit.run("setbit new 0 0");
        kit.run("setbit new 1 0");
        assert_eq!(recorder.events(), ["new", "setbit"]);
        let offset = "-ERR bit offset is not an integer or out of range";
        let value = "-ERR bit is not an integer or out of range";
        check(
            &mut kit,
            &[
                ("setbit k -1 1", offset),
                ("setbit k #1 1", offset),
                ("getbit k 4294967296", offset),
                ("setbit k 4294967295 2", value),
                ("setbit k 0 x", value),
            ],
        );
    }

    #[test]
    fn a_large_string_is_changed_where_it_lies() {
        let mut kit = Kit::new();
        let last = BLOB_MIN * 16 - 1;
        kit.run(&format!("setbit k {last} 1"));
        let before = kit.run("memory usage k");
        assert_eq!(kit.run("setbit k 3 1"), ":0\r\n");
        assert_eq!(kit.run("memory usage k"), before);
        assert_eq!(kit.run("bitcount k"), ":2\r\n");
        assert_eq!(kit.run("bitpos k 1 1"), format!(":{last}\r\n"));
        assert_eq!(kit.run("object encoding k"), "$3\r\nraw\r\n");
    }

    #[test]
    fn parts_are_told_in_bytes_or_bits_from_either_end() {
        let mut kit = Kit::new();
        kit.call(&[b"set", b"k", b"\xff\xf0\x00"]);
        kit.call(&[b"set", b"ones", b"\xff\xff"]);
        check(
            &mut kit,
            &[
                ("bitcount k", ":12"),
                ("bitcount k 1", ":4"),
                ("bitcount k 0 0", ":8"),
                ("bitcount k 5 30 bit", ":7"),
                ("bitcount k -20 -9 BIT", ":8"),
                ("bitcount k -1 -2", ":0"),
                ("bitcount k -100 -50", ":8"),
                (
                    "bitcount none 0 x",
                    "-ERR value is not an integer or out of range",
                ),
                ("bitcount k 0 1 nibble", "-ERR syntax error"),
                ("bitcount k 0 1 bit bit", "-ERR syntax error"),
                ("bitpos k 0", ":12"),
                ("bitpos k 1 2", ":-1"),
                ("bitpos ones 0", ":16"),
                ("bitpos ones 0 1", ":16"),
                ("bitpos ones 0 0 -1", ":-1"),
                ("bitpos ones 0 7", ":-1"),
                ("bitpos k 0 9 11 bit", ":-1"),
                ("bitpos k 1 13 -1 BIT", ":-1"),
                ("bitpos none 0 5 6", ":0"),
                ("bitpos none 1", ":-1"),
                ("bitpos k 2", "-ERR The bit argument must be 1 or 0."),
            ],
        );
    }

    #[test]
    fn combined_strings_replace_the_destination_or_remove_it() {
        let (mut kit, recorder) = recorded();
        kit.call(&[b"set", b"a", b"\xf0\x0f", b"ex", b"100"]);
        kit.call(&[b"set", b"b", b"\x33"]);
        recorder.take();
        for (operation, expected) in [
            ("and", &b"\x30\x00"[..]),
            ("OR", b"\xf3\x0f"),
            ("xor", b"\xc3\x0f"),
            ("diff", b"\xc0\x0f"),
            ("diff1", b"\x03\x00"),
            ("andor", b"\x30\x00"),
            ("one", b"\xc3\x0f"),
        ] {
            assert_eq!(kit.run(&format!("bitop {operation} d a b")), ":2\r\n");
            let reply = [b"$2\r\n", expected, b"\r\n"].concat();
            assert_eq!(kit.call(&[b"get", b"d"]), reply, "{operation}");
        }
        recorder.take();
        check(
            &mut kit,
            &[
                ("bitop not a a", ":2"),
                ("ttl a", ":-1"),
                ("bitop or a none none", ":0"),
                ("exists a", ":0"),
                ("bitop or a none", ":0"),
                ("bitop nor d a b", "-ERR syntax error"),
                (
                    "bitop not d a b",
                    "-ERR BITOP NOT must be called with a single source key.",
                ),
                (
                    "bitop diff d a",
                    "-ERR BITOP DIFF must be called with at least two source keys.",
                ),
            ],
        );
        let events = recorder.events();
        let missed = ["keymiss"; 2];
        assert_eq!(events[..4], ["set", "keymiss", "keymiss", "del"]);
        assert_eq!(events[4..], missed, "EXISTS and the source");
    }

    #[test]
    fn fields_are_read_and_written_in_order() {
        let (mut kit, recorder) = recorded();
        check(
            &mut kit,
            &[
                (
                    "bitfield k set u8 0 255 get u8 0 incrby i8 #1 -1",
                    "*3 :0 :255 :-1",
                ),
                ("bitfield k incrby u8 0 1", "*1 :0"),
                (
                    "bitfield k overflow sat incrby i8 8 -128 incrby i8 8 -1",
                    "*2 :-128 :-128",
                ),
                (
                    "bitfield k overflow fail incrby i8 8 -1 overflow wrap incrby i8 8 -1",
                    "*2 $-1 :127",
                ),
                ("bitfield k set u4 0 -1", "*1 :0"),
                ("bitfield_ro k get u4 0 get i4 0", "*2 :15 :-1"),
                ("bitfield k", "*0"),
                ("bitfield none get u63 100", "*1 :0"),
                (
                    "bitfield_ro k set u8 0 1",
                    "-ERR BITFIELD_RO only supports the GET subcommand",
                ),
                ("bitfield k get u8", "-ERR syntax error"),
                ("bitfield k overflow", "-ERR syntax error"),
                (
                    "bitfield k overflow never",
                    "-ERR Invalid OVERFLOW type specified",
                ),
                (
                    "bitfield k get u8 #-1",
                    "-ERR bit offset is not an integer or out of range",
                ),
                (
                    "bitfield k get u8 #1152921504606846976",
                    "-ERR bit offset is not an integer or out of range",
                ),
                (
                    "bitfield k set u8 0 x",
                    "-ERR value is not an integer or out of range",
                ),
            ],
        );
        for kind in ["u64", "i65", "i0", "x8", "\"\"", "u"] {
            let reply = kit.run(&format!("bitfield k get {kind} 0"));
            assert!(reply.starts_with("-ERR Invalid bitfield type."), "{kind}");
        }
        recorder.take();
        kit.run("bitfield k set u8 0 7 get u8 0");
        kit.run("bitfield k set u8 0 7 get u8 0");
        assert_eq!(recorder.commands(), ["bitfield k set u8 0 7 get u8 0"]);
        kit.session.resp3 = true;
        check(&mut kit, &[("bitfield k overflow fail set u1 0 2", "*1 _")]);
    }
}
