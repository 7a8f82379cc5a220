//! CACHE.WARM: has keys announced for a refill before anybody asks for them.

use std::sync::atomic::Ordering;

use super::help;
use crate::base::num;
use crate::cache::hot::Wanted;
use crate::cache::refresh::Refresh;
use crate::cache::run::{self, KEYS_MAX, Order, Source, Unready};
use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, KeyError, Scope, Spec, flag::*, key_flag::*, keys};
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("cache.warm", -2, help)
    .doc(
        Group::Server,
        "1.0.0",
        "Depends on subcommand.",
        "A container for commands about warming.",
    )
    .subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("help", 2, help).flags(LOADING | STALE).doc(
        Group::Server,
        "1.0.0",
        "O(1)",
        "Returns a text that explains the subcommands.",
    ),
    Spec::new("start", -2, start)
        .flags(ADMIN | NOSCRIPT | NO_MANDATORY_KEYS)
        .scope(Scope::Each)
        .keys(&[keys(2, -1, 1, RO | INCOMPLETE).notes("those behind KEYS")])
        .key_finder(find_keys)
        .doc(
            Group::Server,
            "1.0.0",
            "O(N) where N is the number of keys that are named; the run itself takes place in the background",
            "Begins to announce keys on the refresh stream, those of urgent policies first: hot ones, or those that are named.",
        )
        .args(&[
            Arg::new("policy", ArgKind::String).token("POLICY").optional().multiple(),
            Arg::block(
                "keys",
                &[
                    Arg::new("numkeys", ArgKind::Integer).token("KEYS"),
                    Arg::key("key").multiple(),
                ],
            )
            .optional(),
            Arg::word("hot", "HOT")
                .optional()
                .summary("Hot keys, which is also what is meant where nothing is said."),
            Arg::new("reads", ArgKind::Integer)
                .token("MIN-READS")
                .optional()
                .summary("Leaves hot keys out that were read less often."),
            Arg::new("percent", ArgKind::Double)
                .token("MIN-HIT-RATIO")
                .optional()
                .summary("Leaves policies out less of whose reads hit, in percent."),
            Arg::word("force", "FORCE")
                .optional()
                .summary("Announces also what is fresh and far from its end."),
        ]),
    Spec::new("status", 2, status).flags(ADMIN | NOSCRIPT | LOADING | STALE).doc(
        Group::Server,
        "1.0.0",
        "O(1)",
        "Tells of the run under way, or of the last one.",
    ),
    Spec::new("stop", 2, stop).flags(ADMIN | NOSCRIPT | LOADING | STALE).doc(
        Group::Server,
        "1.0.0",
        "O(1)",
        "Ends the run under way.",
    ),
];

const OPTIONS: [&str; 6] = [
    "POLICY",
    "KEYS",
    "HOT",
    "MIN-READS",
    "MIN-HIT-RATIO",
    "FORCE",
];

fn is_option(word: &[u8]) -> bool {
    let is = |option: &&str| word.eq_ignore_ascii_case(option.as_bytes());
    OPTIONS.iter().any(is)
}

/// The keys behind KEYS; a policy may have its name.
fn find_keys(argv: &[&[u8]], visit: &mut dyn FnMut(usize)) -> Result<(), KeyError> {
    let mut at = 2;
    while let Some(word) = argv.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        if is("KEYS") {
            let count = argv.get(at + 1).and_then(|n| num::parse_u64(n));
            let left = argv.len().saturating_sub(at + 2);
            let count = count.and_then(|n| usize::try_from(n).ok());
            let count = count.filter(|n| *n <= left).ok_or(KeyError)?;
            (at + 2..at + 2 + count).for_each(&mut *visit);
            at += 2 + count;
        } else if is("POLICY") || is("MIN-READS") || is("MIN-HIT-RATIO") {
            at += 2;
        } else {
            at += 1;
        }
    }
    Ok(())
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "START [POLICY <name> ...] [KEYS <n> <key> ... | HOT [MIN-READS <n>]",
            "      [MIN-HIT-RATIO <percent>]] [FORCE]",
            "    Announce keys on the refresh stream, in the background.",
            "STATUS",
            "    Tell of the run under way, or of the last one.",
            "STOP",
            "    End the run under way.",
        ],
    );
    Ok(())
}

/// CACHE.WARM START [POLICY name …] [KEYS n key … | HOT [MIN-READS n] [MIN-HIT-RATIO p]]
/// [FORCE]
fn start(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let order = order(ctx)?;
    let rules = ctx.txn.shard(0).rules.clone();
    for name in &order.wanted.policies {
        if rules.named(name.as_bytes()).is_none() {
            return Err(Error::quoting(
                "ERR There is no policy '",
                name.as_bytes(),
                "'",
            ));
        }
    }
    let id = run::start(ctx.engine, order).map_err(|why| match why {
        Unready::Running(id) => Error::new(format!(
            "ERR Warming run {id} is under way: CACHE.WARM STOP ends it"
        )),
        Unready::NoStream => Error::new("ERR There is no refresh-stream to announce keys on"),
    })?;
    ctx.reply.int(id as i64);
    Ok(())
}

fn order(ctx: &mut Ctx<'_, '_>) -> Result<Order, Error> {
    let mut wanted = Wanted::default();
    let (mut named, mut is_hot, mut force) = (None, false, false);
    while !ctx.args.is_empty() {
        if ctx.args.option("POLICY") {
            // The first word behind it is a name whatever it is.
            loop {
                let name = ctx.args.bytes()?;
                wanted.policies.push(String::from_utf8_lossy(name).into());
                if ctx.args.peek().is_none_or(is_option) {
                    break;
                }
            }
        } else if ctx.args.option("KEYS") && named.is_none() {
            named = Some(keys_of(ctx)?);
        } else if ctx.args.flag("HOT") {
            is_hot = true;
        } else if ctx.args.option("MIN-READS") {
            is_hot = true;
            let reads = u64::try_from(ctx.args.int()?);
            wanted.reads_min = reads.map_err(|_| Error::new("ERR MIN-READS can't be negative"))?;
        } else if ctx.args.option("MIN-HIT-RATIO") {
            is_hot = true;
            wanted.hit_percent_min = percent(ctx.args.bytes()?)?;
        } else if ctx.args.flag("FORCE") {
            force = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let source = match named {
        Some(_) if is_hot => {
            return Err(Error::new(
                "ERR KEYS names the keys: HOT, MIN-READS and MIN-HIT-RATIO can't be said with it",
            ));
        }
        Some(keys) => Source::Keys(ctx.txn.db, keys),
        None => Source::Hot,
    };
    Ok(Order {
        source,
        wanted,
        force,
        why: "warm",
    })
}

fn keys_of(ctx: &mut Ctx<'_, '_>) -> Result<Vec<Box<[u8]>>, Error> {
    let count = usize::try_from(ctx.args.int()?).unwrap_or(0);
    if count == 0 || count > KEYS_MAX {
        return Err(Error::new(format!("ERR KEYS takes 1 to {KEYS_MAX} keys")));
    }
    if count > ctx.args.left() {
        return Err(Error::SYNTAX);
    }
    (0..count)
        .map(|_| Ok(ctx.args.key()?.bytes.into()))
        .collect()
}

fn percent(word: &[u8]) -> Result<f64, Error> {
    let number = num::parse_f64(word.strip_suffix(b"%").unwrap_or(word));
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| Error::new("ERR MIN-HIT-RATIO is a number from 0 to 100"))
}

/// CACHE.WARM STATUS
fn status(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let status = run::status(ctx.engine);
    let refresh = ctx.engine.service::<Refresh>();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let numbers = [
        ("id", status.id),
        ("total", status.total),
        ("announced", status.announced),
        ("skipped", status.skipped),
        ("failed", status.failed),
        ("started", status.started_ms),
        ("duration_ms", status.duration_ms()),
        ("stream_waiting", refresh.waiting() as u64),
        ("stream_appended", count(&refresh.counts.appended)),
        ("stream_dropped", count(&refresh.counts.dropped)),
        ("stream_failed", count(&refresh.counts.failed)),
    ];
    let texts = [
        ("state", status.phase.name()),
        ("last_error", &status.last_error),
    ];
    ctx.reply.map(numbers.len() + texts.len());
    for (name, text) in texts {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(text.as_bytes());
    }
    for (name, number) in numbers {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(number as i64);
    }
    Ok(())
}

/// CACHE.WARM STOP
fn stop(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    match run::stop(ctx.engine) {
        true => ctx.reply.ok(),
        false => return Err(Error::new("ERR No warming run is under way")),
    }
    Ok(())
}
