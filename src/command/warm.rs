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

#[cfg(test)]
mod tests {
    use super::super::testkit::{Kit, check};
    use crate::base::clock;
    use crate::cache::run;
    use crate::cache::warming::Figures;
    use std::sync::atomic::Ordering;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn kit(args: &[&str]) -> Kit {
        clock::freeze(NOW_MS);
        let mut kit = Kit::with(args);
        for line in [
            "low l:* ttl 100s priority low",
            "mid m:* ttl 100s refresh 50%",
            "high h:* ttl 100s priority high",
        ] {
            kit.policy(line);
        }
        kit
    }

    fn pass(ms: u64) {
        clock::freeze(clock::unix_ms() + ms);
    }

    /// Lets the run under way come to its end.
    fn finish(kit: &Kit) {
        while run::status(&kit.engine).phase == run::Phase::Running {
            run::slice(&kit.engine);
            std::thread::yield_now();
        }
    }

    /// A field of CACHE.WARM STATUS.
    fn status(kit: &mut Kit, name: &str) -> String {
        let reply = kit.run("cache.warm status");
        let lines: Vec<&str> = reply.split("\r\n").collect();
        let at = lines.iter().position(|l| *l == name).expect("it is named");
        match lines[at + 1].strip_prefix(':') {
            Some(number) => number.into(),
            None => lines[at + 2].into(),
        }
    }

    /// The keys on the stream, in their order, each with its policy and reason.
    fn announced(kit: &mut Kit) -> Vec<String> {
        let reply = kit.run("xrange larder:refresh - +");
        let words: Vec<&str> = reply
            .split("\r\n")
            .filter(|l| !l.starts_with(['*', '$']))
            .collect();
        let value = |at: usize, name: &str| {
            let from = words[at..]
                .iter()
                .position(|w| *w == name)
                .expect("a field");
            words[at + from + 1]
        };
        (0..words.len())
            .filter(|at| words[*at] == "key")
            .map(|at| {
                format!(
                    "{} {} {}",
                    words[at + 1],
                    value(at, "policy"),
                    value(at, "reason")
                )
            })
            .collect()
    }

    #[test]
    fn named_keys_are_announced_by_priority_unless_they_are_fresh_and_far_from_their_end() {
        let mut kit = kit(&[]);
        kit.run("set m:fresh v");
        kit.run("set plain v ex 1");
        kit.run("cache.null h:null");
        pass(40_000);
        kit.run("set m:new v");
        kit.run("cache.null h:null");
        pass(20_000);
        let line = "cache.warm start keys 7 l:1 none m:fresh m:new h:2 h:1 h:null";
        assert_eq!(kit.run(line), ":1\r\n");
        check(
            &mut kit,
            &[
                ("xlen larder:refresh", ":0"),
                (
                    "cache.warm start",
                    "-ERR Warming run 1 is under way: CACHE.WARM STOP ends it",
                ),
            ],
        );
        assert_eq!(status(&mut kit, "state"), "running");
        finish(&kit);
        assert_eq!(
            announced(&mut kit),
            [
                "h:2 high warm",
                "h:1 high warm",
                "none  warm",
                "m:fresh mid warm",
                "l:1 low warm"
            ]
        );
        for (name, value) in [
            ("state", "completed"),
            ("id", "1"),
            ("total", "7"),
            ("announced", "5"),
            ("skipped", "2"),
            ("failed", "0"),
            ("last_error", ""),
        ] {
            assert_eq!(status(&mut kit, name), value, "{name}");
        }
        assert_eq!(
            kit.run("cache.warm start force policy mid keys 2 m:new h:1"),
            ":2\r\n"
        );
        finish(&kit);
        assert_eq!(announced(&mut kit)[5..], ["m:new mid warm"]);
        let figures = kit.engine.service::<Figures>();
        let counts = [&figures.runs, &figures.announced, &figures.failures];
        assert_eq!(counts.map(|n| n.load(Ordering::Relaxed)), [2, 6, 0]);
    }

    #[test]
    fn hot_keys_are_those_that_are_read_and_near_their_end() {
        let mut kit = kit(&[]);
        for (key, reads) in [("m:1", 3), ("h:1", 1), ("h:2", 2), ("l:1", 9)] {
            kit.run(&format!("set {key} v"));
            (0..reads).for_each(|_| drop(kit.run(&format!("get {key}"))));
        }
        kit.run("set m:cold v");
        kit.run("cache.warm start hot");
        finish(&kit);
        assert_eq!(announced(&mut kit), Vec::<String>::new());
        assert_eq!(status(&mut kit, "skipped"), "4");
        pass(95_000);
        kit.run("cache.warm start");
        finish(&kit);
        let names = [
            "h:2 high warm",
            "h:1 high warm",
            "m:1 mid warm",
            "l:1 low warm",
        ];
        assert_eq!(announced(&mut kit), names);
        kit.run("del larder:refresh");
        kit.run("cache.warm start min-reads 2 min-hit-ratio 50% policy high low");
        finish(&kit);
        assert_eq!(announced(&mut kit), ["h:2 high warm", "l:1 low warm"]);
    }

    #[test]
    fn what_fails_is_counted_and_stops_nothing() {
        let mut kit = kit(&["--warm-file", "/"]);
        kit.run("set larder:refresh other");
        kit.run("cache.warm start keys 2 h:1 h:2");
        finish(&kit);
        assert_eq!(status(&mut kit, "state"), "completed");
        assert_eq!(status(&mut kit, "failed"), "2");
        assert!(status(&mut kit, "last_error").starts_with("WRONGTYPE"));
        kit.run("del larder:refresh");
        kit.run("set h:1 v");
        kit.run("get h:1");
        kit.run("cache.warm start force");
        finish(&kit);
        // The file cannot be read, and what is there is announced all the same.
        assert_eq!(announced(&mut kit), ["h:1 high warm"]);
        assert_eq!(status(&mut kit, "failed"), "1");
        let figures = kit.engine.service::<Figures>();
        assert_eq!(figures.failures.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_run_is_ended_by_stop() {
        let mut kit = kit(&[]);
        assert_eq!(
            kit.run("cache.warm stop"),
            "-ERR No warming run is under way\r\n"
        );
        let keys: Vec<String> = (0..100).map(|i| format!("h:{i}")).collect();
        kit.run(&format!("cache.warm start keys 100 {}", keys.join(" ")));
        (0..3).for_each(|_| {
            let _ = run::slice(&kit.engine);
        });
        assert_eq!(kit.run("cache.warm stop"), "+OK\r\n");
        let before = announced(&mut kit).len();
        assert!(before > 0 && before < 100, "{before}");
        assert!(!run::slice(&kit.engine));
        assert_eq!(announced(&mut kit).len(), before);
        assert_eq!(status(&mut kit, "state"), "stopped");
        assert_eq!(kit.run("cache.warm start keys 1 h:1"), ":2\r\n");
        finish(&kit);
        assert_eq!(announced(&mut kit).len(), before + 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut kit = kit(&[]);
        let both =
            "-ERR KEYS names the keys: HOT, MIN-READS and MIN-HIT-RATIO can't be said with it";
        check(
            &mut kit,
            &[
                ("cache.warm start keys 1 k hot", both),
                ("cache.warm start min-reads 1 keys 1 k", both),
                ("cache.warm start keys 0", "-ERR KEYS takes 1 to 10000 keys"),
                (
                    "cache.warm start keys 10001 k",
                    "-ERR KEYS takes 1 to 10000 keys",
                ),
                ("cache.warm start keys 2 k", "-ERR syntax error"),
                ("cache.warm start keys", "-ERR syntax error"),
                ("cache.warm start policy", "-ERR syntax error"),
                (
                    "cache.warm start policy none",
                    "-ERR There is no policy 'none'",
                ),
                (
                    "cache.warm start min-reads x",
                    "-ERR value is not an integer or out of range",
                ),
                (
                    "cache.warm start min-reads -1",
                    "-ERR MIN-READS can't be negative",
                ),
                (
                    "cache.warm start min-hit-ratio 101",
                    "-ERR MIN-HIT-RATIO is a number from 0 to 100",
                ),
                (
                    "cache.warm start min-hit-ratio nan",
                    "-ERR MIN-HIT-RATIO is a number from 0 to 100",
                ),
                ("cache.warm start now", "-ERR syntax error"),
                ("config set refresh-stream \"\"", "+OK"),
                (
                    "cache.warm start",
                    "-ERR There is no refresh-stream to announce keys on",
                ),
                (
                    "config set warm-schedule nonsense",
                    "-ERR CONFIG SET failed (possibly related to argument 'warm-schedule') - a schedule has five fields: minute, hour, day of the month, month, day of the week",
                ),
            ],
        );
        assert!(kit.run("cache.warm help").contains("STATUS"));
        assert_eq!(status(&mut kit, "state"), "none");
    }

    #[test]
    fn a_run_that_a_transaction_asks_for_begins_behind_it() {
        let mut kit = kit(&[]);
        for line in [
            "multi",
            "set m:1 v",
            "cache.warm start keys 2 m:1 h:1",
            "del m:1",
            "exec",
        ] {
            kit.run(line);
        }
        finish(&kit);
        assert_eq!(announced(&mut kit), ["h:1 high warm", "m:1 mid warm"]);
    }

    #[test]
    fn a_schedule_begins_runs_at_its_time() {
        let mut kit = kit(&["--warm-schedule", "*/5 * * * *", "--warm-min-reads", "2"]);
        for (key, reads) in [("h:1", 1), ("h:2", 2)] {
            kit.run(&format!("set {key} v"));
            (0..reads).for_each(|_| drop(kit.run(&format!("get {key}"))));
        }
        run::tick(&kit.engine);
        assert_eq!(status(&mut kit, "state"), "none");
        let mut waited_ms = 0;
        while status(&mut kit, "state") == "none" {
            pass(1_000);
            waited_ms += 1_000;
            run::tick(&kit.engine);
            assert!(waited_ms <= 300_000, "it comes round every five minutes");
        }
        finish(&kit);
        assert_eq!(announced(&mut kit), ["h:2 high schedule"]);
        assert_eq!(status(&mut kit, "id"), "1");
        // Not twice for one time, and nothing behind one that is under way.
        run::tick(&kit.engine);
        assert_eq!(status(&mut kit, "id"), "1");
        kit.run("cache.warm start");
        pass(300_000);
        run::tick(&kit.engine);
        assert_eq!(status(&mut kit, "id"), "2");
        finish(&kit);
        kit.run("config set warm-schedule \"0 0 30 2 *\"");
        pass(86_400_000);
        run::tick(&kit.engine);
        assert_eq!(status(&mut kit, "id"), "2", "there is no such day");
    }

    #[test]
    fn hot_keys_are_saved_in_time_and_announced_at_the_next_start() {
        let name = format!("larder-warm-{}", clock::random_hex(16));
        let path = std::env::temp_dir().join(name);
        let file = path.to_str().expect("text");
        let mut one = kit(&["--warm-file", file, "--warm-save-period", "10"]);
        for (key, reads) in [("l:1", 5), ("h:1", 1), ("h:2", 2)] {
            one.run(&format!("set {key} v"));
            (0..reads).for_each(|_| drop(one.run(&format!("get {key}"))));
        }
        run::tick(&one.engine);
        pass(10_000);
        run::tick(&one.engine);
        while !path.exists() {
            run::slice(&one.engine);
            std::thread::yield_now();
        }
        let text = std::fs::read_to_string(&path).expect("a file");
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["0 low 5 \"l:1\"", "0 high 2 \"h:2\"", "0 high 1 \"h:1\""]
        );
        let mut two = kit(&["--warm-file", file]);
        run::at_start(&two.engine);
        finish(&two);
        assert_eq!(
            announced(&mut two),
            ["h:2 high start", "h:1 high start", "l:1 low start"]
        );
        let mut three = kit(&["--warm-file", file, "--warm-on-start", "no"]);
        run::at_start(&three.engine);
        assert_eq!(status(&mut three, "state"), "none");
        std::fs::remove_file(&path).expect("it is there");
        run::save_now(&one.engine);
        assert!(path.exists(), "saved at the end as well");
        std::fs::remove_file(&path).expect("it is there");
    }
}
