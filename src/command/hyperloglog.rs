//! HyperLogLogs: strings that estimate how many different elements there were.

use super::bitmap::find_all;
use super::string::{edit, string};
use crate::base::clock;
use crate::config::param;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{
    Arg, ArgKind, Group, KeySpec, Spec, category::HYPERLOGLOG, flag::*, key, key_flag::*, keys,
};
use crate::exec::txn::{Deadline, Found};
use crate::protocol::error::Error;
use crate::store::entry::{Entry, Value};
use crate::types::hyperloglog::{self as hll, Corrupt, Encoding, REGISTERS, Registers, Run};

const PFADD: Event = Event::string("pfadd");

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Error {
        Error::HLL_CORRUPT
    }
}

/// The HyperLogLog that an entry holds; an error where it holds something else.
fn hyperloglog(entry: Entry<'_>) -> Result<(&[u8], Encoding), Error> {
    let bytes = match string(entry)? {
        Value::Str(bytes) => bytes,
        Value::Blob(blob) => blob,
        Value::Int(_) | Value::Object(_) => return Err(Error::HLL_TYPE),
    };
    let encoding = hll::encoding(bytes).ok_or(Error::HLL_TYPE)?;
    Ok((bytes, encoding))
}

fn sparse_max(ctx: &Ctx<'_, '_>) -> usize {
    let bytes = ctx.engine.settings.int(param::HLL_SPARSE_MAX_BYTES);
    usize::try_from(bytes).unwrap_or(0)
}

/// PFADD key [element …]
fn pfadd(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let elements = ctx.args.rest().iter().copied();
    let found = ctx.txn.find(&key);
    let mut is_changed = found.is_none();
    let mut bytes = match found {
        Some(found) => match hyperloglog(ctx.txn.entry(found))? {
            (_, Encoding::Dense) => {
                let add = |bytes: &mut [u8]| {
                    is_changed = hll::add_to_dense(bytes, elements.clone());
                    is_changed
                };
                edit::change(ctx.txn, &key, Some(found), 0, add, PFADD);
                ctx.reply.flag(is_changed);
                return Ok(());
            }
            (bytes, Encoding::Sparse) => bytes.to_vec(),
        },
        None => hll::empty(),
    };
    is_changed |= hll::add(&mut bytes, elements, sparse_max(ctx))?;
    if is_changed {
        hll::forget_count(&mut bytes);
        edit::replace(ctx.txn, &key, found, bytes, Deadline::Keep, PFADD);
    }
    ctx.reply.flag(is_changed);
    Ok(())
}

/// PFCOUNT key [key …]
fn pfcount(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let count = match ctx.args.left() {
        1 => count_one(ctx)?,
        _ => {
            let (registers, _) = merged(ctx)?;
            hll::count_of(&registers)
        }
    };
    ctx.reply.int(count as i64);
    Ok(())
}

fn count_one(ctx: &mut Ctx<'_, '_>) -> Result<u64, Error> {
    let key = ctx.args.key()?;
    let Some(found) = ctx.txn.look_up(&key) else {
        return Ok(0);
    };
    let (bytes, _) = hyperloglog(ctx.txn.entry(found))?;
    if let Some(count) = hll::cached_count(bytes) {
        return Ok(count);
    }
    let count = hll::count(bytes)?;
    let keep = |bytes: &mut [u8]| {
        hll::cache_count(bytes, count);
        true
    };
    edit::change(ctx.txn, &key, Some(found), 0, keep, Event::UNNAMED);
    Ok(count)
}

/// The highest registers of all keys that are left, and whether any of them is
/// dense.
fn merged(ctx: &mut Ctx<'_, '_>) -> Result<(Box<Registers>, bool), Error> {
    let mut registers = Box::new([0; REGISTERS]);
    let mut any_dense = false;
    for found in find_all(ctx, |entry| hyperloglog(entry).map(|_| ()))? {
        let Some(found) = found else { continue };
        let (bytes, encoding) = hyperloglog(ctx.txn.entry(found))?;
        any_dense |= encoding == Encoding::Dense;
        hll::merge(&mut registers, bytes)?;
    }
    Ok((registers, any_dense))
}

/// PFMERGE destination [source …]
fn pfmerge(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    // The destination is one of its own sources.
    let destination = ctx.args.clone().key()?;
    let (registers, any_dense) = merged(ctx)?;
    let found = ctx.txn.find(&destination);
    let mut bytes = match found {
        Some(found) => hyperloglog(ctx.txn.entry(found))?.0.to_vec(),
        None => hll::empty(),
    };
    match any_dense {
        true => bytes = hll::dense_of(&registers, &bytes),
        false => hll::raise_all(&mut bytes, &registers, sparse_max(ctx))?,
    }
    hll::forget_count(&mut bytes);
    edit::replace(ctx.txn, &destination, found, bytes, Deadline::Keep, PFADD);
    ctx.reply.ok();
    Ok(())
}

/// PFDEBUG GETREG | DECODE | ENCODING | TODENSE key, and SIMD ON | OFF
fn pfdebug(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let name = ctx.args.bytes()?;
    let key = ctx.args.key()?;
    let lower = name.to_ascii_lowercase();
    if lower == b"simd" {
        // There is nothing to switch: which instructions are used is the
        // compiler's choice.
        return match &key.bytes.to_ascii_lowercase()[..] {
            b"on" | b"off" => {
                ctx.reply.simple("disabled");
                Ok(())
            }
            _ => Err(Error::new("ERR Argument must be ON or OFF")),
        };
    }
    let Some(found) = ctx.txn.find_used(ctx.txn.db, &key) else {
        return Err(Error::new("ERR The specified key does not exist"));
    };
    let (bytes, encoding) = hyperloglog(ctx.txn.entry(found))?;
    match &lower[..] {
        b"getreg" => {
            let mut registers = Box::new([0; REGISTERS]);
            hll::merge(&mut registers, bytes)?;
            make_dense(ctx, &key, found)?;
            ctx.reply.array(REGISTERS);
            registers.iter().for_each(|&r| ctx.reply.int(r.into()));
        }
        b"decode" if encoding == Encoding::Dense => {
            return Err(Error::new("ERR HLL encoding is not sparse"));
        }
        b"decode" => {
            let text = |run| match run {
                Run::Zeros(n) => format!("z:{n}"),
                Run::ManyZeros(n) => format!("Z:{n}"),
                Run::Of(rank, n) => format!("v:{rank},{n}"),
            };
            let texts: Vec<String> = hll::runs(bytes).map(text).collect();
            ctx.reply.bulk(texts.join(" ").as_bytes());
        }
        b"encoding" => ctx.reply.simple(match encoding {
            Encoding::Dense => "dense",
            Encoding::Sparse => "sparse",
        }),
        b"todense" => {
            let is_changed = make_dense(ctx, &key, found)?;
            ctx.reply.flag(is_changed);
        }
        _ => {
            return Err(Error::quoting(
                "ERR Unknown PFDEBUG subcommand '",
                name,
                "'",
            ));
        }
    }
    Ok(())
}

fn make_dense(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, found: Found) -> Result<bool, Error> {
    let (bytes, encoding) = hyperloglog(ctx.txn.entry(found))?;
    if encoding == Encoding::Dense {
        return Ok(false);
    }
    let mut bytes = bytes.to_vec();
    hll::make_dense(&mut bytes)?;
    edit::replace(
        ctx.txn,
        key,
        Some(found),
        bytes,
        Deadline::Keep,
        Event::UNNAMED,
    );
    Ok(true)
}

/// PFSELFTEST: whether both forms agree with each other, and with the truth
/// within what is to be expected.
fn pfselftest(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    const STANDARD_ERROR: f64 = 1.04 / 128.0;
    const ELEMENTS: u64 = 1_000_000;
    let failed = |what: &str| Error::new(format!("TESTFAILED {what}"));
    let sparse_max = sparse_max(ctx);
    let seed = clock::random();
    let (mut bytes, mut dense) = (hll::empty(), hll::empty());
    hll::make_dense(&mut dense)?;
    let mut checked = 1;
    for n in 1..=ELEMENTS {
        let element = (n ^ seed).to_le_bytes();
        hll::add(&mut bytes, [&element[..]].into_iter(), sparse_max)?;
        hll::add_to_dense(&mut dense, [&element[..]].into_iter());
        if n != checked {
            continue;
        }
        let is_small = n < sparse_max as u64 / 2;
        if is_small && hll::encoding(&bytes) != Some(Encoding::Sparse) {
            return Err(failed("sparse encoding not used"));
        }
        let count = hll::count(&dense)?;
        if hll::count(&bytes)? != count {
            return Err(failed("dense/sparse disagree"));
        }
        // Two in ten may share a register now and then.
        let error_max = match n {
            10 => 1,
            _ => (STANDARD_ERROR * 6.0 * n as f64).ceil() as u64,
        };
        let error = count.abs_diff(n);
        if error > error_max {
            let what = format!("Too big error. card:{n} abserr:{error}");
            return Err(failed(&what));
        }
        checked *= 10;
    }
    ctx.reply.ok();
    Ok(())
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");

const fn row(
    name: &'static str,
    arity: i16,
    handler: crate::exec::spec::Handler,
    flags: u32,
    keys: &'static [KeySpec],
) -> Spec {
    Spec::new(name, arity, handler)
        .flags(flags)
        .category(HYPERLOGLOG)
        .keys(keys)
}

/// The family.
pub const SPECS: &[Spec] = &[
    row("pfadd", -2, pfadd, WRITE | DENYOOM | FAST, &[key(1, RW | INSERT)])
        .doc(
            Group::HyperLogLog,
            "2.8.9",
            "O(1) to add every element.",
            "Adds elements to a HyperLogLog, or begins one.",
        )
        .args(&[
            KEY,
            Arg::new("element", ArgKind::String).optional().multiple(),
        ]),
    row(
        "pfcount",
        -2,
        pfcount,
        READONLY | MAY_REPLICATE,
        &[keys(1, -1, 1, RW | ACCESS).notes(
            "RW because it may change the internal representation of the key, and propagate to replicas",
        )],
    )
    .doc(
        Group::HyperLogLog,
        "2.8.9",
        "O(1) with a very small average constant time when called with a single key. O(N) with N being the number of keys, and much bigger constant times, when called with multiple keys.",
        "Estimates how many different elements HyperLogLogs saw, together.",
    )
    .args(&[KEY.multiple()]),
    row(
        "pfmerge",
        -2,
        pfmerge,
        WRITE | DENYOOM,
        &[
            key(1, RW | ACCESS | INSERT),
            keys(2, -1, 1, RO | ACCESS),
        ],
    )
    .doc(
        Group::HyperLogLog,
        "2.8.9",
        "O(N) to merge N HyperLogLogs, but with high constant times.",
        "Adds to a HyperLogLog whatever others saw.",
    )
    .args(&[
        Arg::key("destkey"),
        Arg::new("sourcekey", ArgKind::Key(1)).optional().multiple(),
    ]),
    row(
        "pfdebug",
        3,
        pfdebug,
        WRITE | DENYOOM | ADMIN,
        &[key(2, RW | ACCESS)],
    )
    .doc(
        Group::HyperLogLog,
        "2.8.9",
        "N/A",
        "Shows how a HyperLogLog lies in its string.",
    )
    .system()
    .args(&[Arg::new("subcommand", ArgKind::String), KEY]),
    row("pfselftest", 1, pfselftest, ADMIN, &[])
        .doc(
            Group::HyperLogLog,
            "2.8.9",
            "N/A",
            "Tests the estimates of HyperLogLogs.",
        )
        .system(),
];

#[cfg(test)]
mod tests {
    use crate::command::testkit::{Kit, check, recorded};

    const WRONG: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";

    #[test]
    fn elements_are_counted_once() {
        let (mut kit, recorder) = recorded();
        check(
            &mut kit,
            &[
                ("pfadd h", ":1"),
                ("pfadd h", ":0"),
                ("pfadd h a b c", ":1"),
                ("pfadd h a c", ":0"),
                ("pfcount h", ":3"),
                ("pfcount h", ":3"),
                ("pfcount none", ":0"),
                ("pfadd g c d", ":1"),
                ("pfcount h g none", ":4"),
                ("pfmerge m h g", "+OK"),
                ("pfcount m", ":4"),
                ("pfmerge n", "+OK"),
                ("pfcount n", ":0"),
                ("pfdebug encoding m", "+sparse"),
                ("object encoding m", "$3 raw"),
            ],
        );
        let commands = recorder.commands();
        let expected = [
            "pfadd h",
            "pfadd h a b c",
            "pfcount h",
            "pfadd g c d",
            "pfmerge m h g",
            "pfcount m",
            "pfmerge n",
            "pfcount n",
        ];
        assert_eq!(commands, expected);
        kit.run("pfadd h x");
        kit.run("pfcount h");
        assert_eq!(recorder.events(), ["pfadd", ""]);
    }

    #[test]
    fn both_forms_tell_the_same_and_are_told_apart() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("pfadd h a b c", ":1"),
                (
                    "pfdebug decode h",
                    "$44 Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603",
                ),
                ("pfdebug todense h", ":1"),
                ("pfdebug todense h", ":0"),
                ("pfdebug encoding h", "+dense"),
                ("pfdebug decode h", "-ERR HLL encoding is not sparse"),
                ("pfcount h", ":3"),
                ("pfadd h a b c", ":0"),
                ("pfadd h d", ":1"),
                ("pfcount h", ":4"),
                ("pfadd s x", ":1"),
                ("pfmerge s h", "+OK"),
                ("pfdebug encoding s", "+dense"),
                ("pfcount s", ":5"),
                ("pfdebug simd on", "+disabled"),
                ("pfdebug simd maybe", "-ERR Argument must be ON or OFF"),
                (
                    "pfdebug nosuch h",
                    "-ERR Unknown PFDEBUG subcommand 'nosuch'",
                ),
                (
                    "pfdebug getreg none",
                    "-ERR The specified key does not exist",
                ),
            ],
        );
        kit.run("pfadd r x");
        assert!(kit.run("pfdebug getreg r").starts_with("*16384\r\n:0\r\n"));
        assert_eq!(kit.run("pfdebug encoding r"), "+dense\r\n");
    }

    #[test]
    fn a_limit_decides_when_one_becomes_dense() {
        let mut kit = Kit::with(&["--hll-sparse-max-bytes", "30"]);
        for i in 0..20 {
            kit.run(&format!("pfadd h {i}"));
        }
        assert_eq!(kit.run("pfdebug encoding h"), "+dense\r\n");
        assert_eq!(kit.run("strlen h"), ":12304\r\n");
    }

    #[test]
    fn what_is_no_hyperloglog_is_refused() {
        let mut kit = Kit::new();
        kit.run("set n 12");
        kit.run("set s \"HYLL\"");
        kit.run("pfadd h a");
        kit.run("append h more");
        let corrupt = "-INVALIDOBJ Corrupted HLL object detected";
        check(
            &mut kit,
            &[
                ("pfadd n a", WRONG),
                ("pfcount s", WRONG),
                ("pfmerge h s", WRONG),
                ("pfdebug getreg n", WRONG),
                ("pfcount h", corrupt),
                ("pfcount h h", corrupt),
                ("pfmerge d h", corrupt),
                ("pfdebug todense h", corrupt),
                ("exists d", ":0"),
            ],
        );
    }

    #[test]
    fn the_estimates_pass_their_own_test() {
        assert_eq!(Kit::new().run("pfselftest"), "+OK\r\n");
    }
}
