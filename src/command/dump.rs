//! DUMP and RESTORE: values as bytes that other servers take, too.

use std::sync::atomic::Ordering;

use super::list;
use crate::exec::context::Ctx;
use crate::exec::effect::{Event, Removal};
use crate::exec::spec::{
    Arg, ArgKind, Group, Spec, category::DANGEROUS, category::KEYSPACE, flag::*, key, key_flag::*,
};
use crate::exec::txn::Deadline;
use crate::persist::rdb::{self, PayloadError, Rules};
use crate::protocol::error::Error;
use crate::store::entry::BLOB_MIN;

const RESTORE: Event = Event::generic("restore");

/// DUMP key
fn dump(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let rules = Rules::of(&ctx.engine.settings);
    match ctx.txn.read(&key) {
        Some(entry) => {
            let payload = rdb::payload(entry.value(), &rules);
            match payload.len() {
                0..BLOB_MIN => ctx.reply.bulk(&payload),
                _ => ctx.reply.blob(payload.into()),
            }
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

/// By which values are read.
pub(super) fn rules(ctx: &Ctx<'_, '_>) -> Rules {
    Rules {
        list: list::limits(ctx),
        ..Rules::of(&ctx.engine.settings)
    }
}

/// What RESTORE is told beside the value.
#[derive(Default)]
struct Options {
    replaces: bool,
    is_absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    /// All that is left of the arguments.
    fn of(ctx: &mut Ctx<'_, '_>) -> Result<Options, Error> {
        let mut options = Options::default();
        while !ctx.args.is_empty() {
            if ctx.args.flag("REPLACE") {
                options.replaces = true;
            } else if ctx.args.flag("ABSTTL") {
                options.is_absolute = true;
            } else if options.frequency.is_none() && ctx.args.option("IDLETIME") {
                let seconds = u64::try_from(ctx.args.int()?);
                options.idle_seconds = Some(seconds.map_err(|_| Error::RESTORE_IDLETIME)?);
            } else if options.idle_seconds.is_none() && ctx.args.option("FREQ") {
                let frequency = u8::try_from(ctx.args.int()?);
                options.frequency = Some(frequency.map_err(|_| Error::RESTORE_FREQ)?);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]
fn restore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (ttl, payload) = (ctx.args.bytes()?, ctx.args.bytes()?);
    let options = Options::of(ctx)?;
    let found = ctx.txn.find(&key);
    if found.is_some() && !options.replaces {
        return Err(Error::BUSY_KEY);
    }
    let ttl = crate::base::num::parse_i64(ttl).ok_or(Error::NOT_INTEGER)?;
    let ttl = u64::try_from(ttl).map_err(|_| Error::RESTORE_TTL)?;
    let rules = Rules {
        checks_sums: !ctx.engine.checksums_skipped.load(Ordering::Relaxed),
        ..rules(ctx)
    };
    let loaded = rdb::value_of(payload, &rules)?;
    let deadline = match ttl {
        0 => None,
        at if options.is_absolute => Some(at),
        ms => Some(ms.saturating_add(ctx.txn.now_ms)),
    };
    ctx.reply.ok();
    if deadline.is_some_and(|ms| ctx.txn.is_past(ms)) {
        if let Some(found) = found {
            ctx.txn.remove(&key, found, Event::DEL);
            let word = ctx.engine.effects.removal_word(Removal::Replacement);
            ctx.txn.rewrite(|| vec![word.into(), key.bytes.to_vec()]);
        }
        return Ok(());
    }
    if found.is_some() {
        // To listeners what was there is gone without a word.
        ctx.txn.also(&key, Event::NEW);
    }
    let at = deadline.map_or(Deadline::Never, Deadline::At);
    loaded.with_new_value(|value| ctx.txn.put(&key, found, value, at, RESTORE));
    let evictor = ctx.txn.evictor();
    let access = match (evictor.is_lfu(), options.frequency, options.idle_seconds) {
        (true, Some(frequency), _) => Some(evictor.record_of_frequency(frequency)),
        (false, _, Some(seconds)) => Some(evictor.record_of_idle(seconds)),
        _ => None,
    };
    if let (Some(access), Some(found)) = (access, ctx.txn.find(&key)) {
        ctx.txn.set_access(found, access);
    }
    if let (Some(ms), false) = (deadline, options.is_absolute) {
        let all = ctx.args.all();
        ctx.txn.rewrite(|| {
            let mut words: Vec<Vec<u8>> = all.iter().map(|word| word.to_vec()).collect();
            words[2] = ms.to_string().into_bytes();
            words.push(b"ABSTTL".to_vec());
            words
        });
    }
    Ok(())
}

impl From<PayloadError> for Error {
    fn from(error: PayloadError) -> Error {
        match error {
            PayloadError::Footer => Error::RESTORE_FOOTER,
            PayloadError::ForeignType(kind) => {
                Error::new(format!("ERR Unsupported foreign data type: {kind}"))
            }
            PayloadError::Value(error) => {
                crate::verbose!("RESTORE refused a payload: {error}");
                Error::RESTORE_FORMAT
            }
        }
    }
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("dump", 2, dump)
        .flags(READONLY)
        .category(KEYSPACE)
        .keys(&[key(1, RO | ACCESS)])
        .tips(&["nondeterministic_output"])
        .doc(
            Group::Generic,
            "2.6.0",
            "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).",
            "Gives the value of a key as bytes that RESTORE takes.",
        )
        .args(&[KEY]),
    Spec::new("restore", -4, restore)
        .flags(WRITE | DENYOOM)
        .category(KEYSPACE | DANGEROUS)
        .keys(&[key(1, OW | UPDATE)])
        .doc(
            Group::Generic,
            "2.6.0",
            "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is the number of objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).",
            "Stores a value that DUMP gave under a key.",
        )
        .history(&[
            ("3.0.0", "Added the `REPLACE` modifier."),
            ("5.0.0", "Added the `ABSTTL` modifier."),
            ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
        ])
        .args(&[
            KEY,
            Arg::new("ttl", ArgKind::Integer),
            Arg::new("serialized-value", ArgKind::String),
            Arg::word("replace", "REPLACE").optional().since("3.0.0"),
            Arg::word("absttl", "ABSTTL").optional().since("5.0.0"),
            Arg::new("seconds", ArgKind::Integer)
                .token("IDLETIME")
                .optional()
                .since("5.0.0"),
            Arg::new("frequency", ArgKind::Integer)
                .token("FREQ")
                .optional()
                .since("5.0.0"),
        ]),
];

#[cfg(test)]
mod tests {
    use crate::base::clock;
    use crate::command::testkit::{Kit, check, recorded};

    /// What DUMP gives, without the protocol around it.
    fn dumped(kit: &mut Kit, key: &str) -> Vec<u8> {
        let reply = kit.call(&[b"dump", key.as_bytes()]);
        let start = reply
            .iter()
            .position(|&b| b == b'\n')
            .expect("a bulk string")
            + 1;
        reply[start..reply.len() - 2].to_vec()
    }

    #[test]
    fn a_value_is_given_and_taken() {
        let (mut kit, recorder) = recorded();
        kit.run("set k v");
        let payload = dumped(&mut kit, "k");
        recorder.take();
        assert_eq!(kit.call(&[b"restore", b"k", b"0", &payload]), BUSY);
        assert_eq!(kit.call(&[b"restore", b"n", b"0", &payload]), b"+OK\r\n");
        assert_eq!(recorder.events(), ["new", "restore"]);
        let replace = kit.call(&[b"restore", b"n", b"0", &payload, b"replace"]);
        assert_eq!(replace, b"+OK\r\n");
        assert_eq!(recorder.events(), ["new", "restore"]);
        check(&mut kit, &[("get n", "$1 v"), ("dump none", "$-1")]);
    }

    const BUSY: &[u8] = b"-BUSYKEY Target key name already exists.\r\n";

    #[test]
    fn followers_are_told_when_a_key_ends_not_how_long_it_lasts() {
        clock::freeze(1_800_000_000_000);
        let (mut kit, recorder) = recorded();
        kit.run("set k v");
        let payload = dumped(&mut kit, "k");
        recorder.take();
        kit.call(&[b"restore", b"a", b"1000", &payload]);
        kit.call(&[b"restore", b"b", b"1800000001000", &payload, b"absttl"]);
        let heads = |words: &Vec<Vec<u8>>| [words[2].clone(), words.last().unwrap().clone()];
        let effects = recorder.take();
        let told: Vec<_> = effects.iter().flat_map(|e| e.commands.told()).collect();
        assert_eq!(heads(&told[0].1), [&b"1800000001000"[..], b"ABSTTL"]);
        assert_eq!(heads(&told[1].1), [&b"1800000001000"[..], b"absttl"]);
        check(&mut kit, &[("pttl a", ":1000"), ("pttl b", ":1000")]);
        // What is over already replaces by nothing.
        let past = [&b"restore"[..], b"a", b"1", &payload, b"absttl", b"replace"];
        assert_eq!(kit.call(&past), b"+OK\r\n");
        assert_eq!(recorder.commands(), ["UNLINK a"]);
        clock::freeze(0);
    }

    #[test]
    fn a_long_string_is_taken_whole() {
        let mut kit = Kit::new();
        kit.run("setrange k 100000 x");
        let payload = dumped(&mut kit, "k");
        assert!(payload.len() < 2_000, "it is compressed");
        assert_eq!(kit.call(&[b"restore", b"n", b"0", &payload]), b"+OK\r\n");
        check(
            &mut kit,
            &[("strlen n", ":100001"), ("getrange n 100000 -1", "$1 x")],
        );
    }
}
