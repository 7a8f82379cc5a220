//! COMMANDLOG, and SLOWLOG, which is its first log under an older name.

use super::help;
use crate::base::num;
use crate::exec::command_log::Kind;
use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Spec, flag::*};
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("commandlog", -2, help_of_commandlog)
        .doc(
            Group::Server,
            "8.1.0",
            "Depends on subcommand.",
            "A container for commands about the command log.",
        )
        .subcommands(COMMANDLOG),
    Spec::new("slowlog", -2, help_of_slowlog)
        .doc(
            Group::Server,
            "2.2.12",
            "Depends on subcommand.",
            "A container for commands about the slow log.",
        )
        .subcommands(SLOWLOG),
];

const FLAGS: u32 = ADMIN | LOADING | STALE;
const GET_COST: &str = "O(N) where N is the number of entries returned";
const RESET_COST: &str = "O(N) where N is the number of entries in the commandlog";
const GET_TIPS: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const LEN_TIPS: &[&str] = &[
    "request_policy:all_nodes",
    "response_policy:agg_sum",
    "nondeterministic_output",
];
const RESET_TIPS: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const TYPE: Arg = Arg::one_of(
    "type",
    &[
        Arg::word("slow", "SLOW"),
        Arg::word("large-request", "LARGE-REQUEST"),
        Arg::word("large-reply", "LARGE-REPLY"),
    ],
);

const COMMANDLOG: &[Spec] = &[
    Spec::new("get", 4, get)
        .flags(FLAGS)
        .tips(GET_TIPS)
        .doc(
            Group::Server,
            "8.1.0",
            GET_COST,
            "Returns the newest entries of a log.",
        )
        .args(&[Arg::new("count", ArgKind::Integer), TYPE]),
    Spec::new("len", 3, len)
        .flags(FLAGS)
        .tips(LEN_TIPS)
        .doc(
            Group::Server,
            "8.1.0",
            "O(1)",
            "Returns the number of entries of a log.",
        )
        .args(&[TYPE]),
    Spec::new("reset", 3, reset)
        .flags(FLAGS)
        .tips(RESET_TIPS)
        .doc(
            Group::Server,
            "8.1.0",
            RESET_COST,
            "Removes all entries of a log.",
        )
        .args(&[TYPE]),
    Spec::new("help", 2, help_of_commandlog)
        .flags(LOADING | STALE)
        .doc(
            Group::Server,
            "8.1.0",
            "O(1)",
            "Returns a text that explains the subcommands.",
        ),
];

const SLOWLOG: &[Spec] = &[
    Spec::new("get", -2, slow_get)
        .flags(FLAGS)
        .tips(GET_TIPS)
        .doc(
            Group::Server,
            "2.2.12",
            GET_COST,
            "Returns the newest entries of the slow log.",
        )
        .history(&[(
            "4.0.0",
            "Added client IP address, port and name to the reply.",
        )])
        .args(&[Arg::new("count", ArgKind::Integer).optional()]),
    Spec::new("len", 2, slow_len)
        .flags(FLAGS)
        .tips(LEN_TIPS)
        .doc(
            Group::Server,
            "2.2.12",
            "O(1)",
            "Returns the number of entries of the slow log.",
        ),
    Spec::new("reset", 2, slow_reset)
        .flags(FLAGS)
        .tips(RESET_TIPS)
        .doc(
            Group::Server,
            "2.2.12",
            "O(N) where N is the number of entries in the slowlog",
            "Removes all entries of the slow log.",
        ),
    Spec::new("help", 2, help_of_slowlog)
        .flags(LOADING | STALE)
        .doc(
            Group::Server,
            "6.2.0",
            "O(1)",
            "Returns a text that explains the subcommands.",
        ),
];

/// Entries of SLOWLOG GET where nobody says how many.
const COUNT: usize = 10;

fn help_of_commandlog(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "GET <count> <type>",
            "    Return the newest <count> entries of a log, or with -1 all of them. <type> is slow,",
            "    large-request or large-reply. An entry is an id, the Unix time, microseconds (slow)",
            "    or bytes, the command's words, the client's address and its name.",
            "LEN <type>",
            "    Return the number of entries of a log.",
            "RESET <type>",
            "    Remove all entries of a log.",
        ],
    );
    Ok(())
}

fn help_of_slowlog(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "GET [<count>]",
            "    Return the newest <count> entries (default: 10), or with -1 all of them. An entry",
            "    is an id, the Unix time, microseconds, the command's words, the client's address",
            "    and its name.",
            "LEN",
            "    Return the number of entries.",
            "RESET",
            "    Remove all entries.",
        ],
    );
    Ok(())
}

fn get(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let count = count(ctx)?;
    let kind = kind(ctx)?;
    show(ctx, kind, count);
    Ok(())
}

fn slow_get(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let name = ctx.args.all()[1];
    let count = match ctx.args.left() {
        0 => COUNT,
        1 => count(ctx)?,
        _ => return Err(Error::unknown_subcommand_or_arity("slowlog", name)),
    };
    show(ctx, Kind::Slow, count);
    Ok(())
}

/// How many entries: -1 stands for all.
fn count(ctx: &mut Ctx<'_, '_>) -> Result<usize, Error> {
    match num::parse_i64(ctx.args.bytes()?) {
        Some(-1) => Ok(usize::MAX),
        Some(n @ 0..) => Ok(n as usize),
        _ => Err(Error::new(
            "ERR count should be greater than or equal to -1",
        )),
    }
}

fn kind(ctx: &mut Ctx<'_, '_>) -> Result<Kind, Error> {
    let word = ctx.args.bytes()?;
    let is_named = |kind: &Kind| word.eq_ignore_ascii_case(kind.name().as_bytes());
    Kind::ALL.into_iter().find(is_named).ok_or(Error::new(
        "ERR type should be one of the following: slow, large-request, large-reply",
    ))
}

fn show(ctx: &mut Ctx<'_, '_>, kind: Kind, count: usize) {
    let entries = ctx.engine.command_log.newest(kind, count);
    let reply = &mut ctx.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.int(entry.id as i64);
        reply.int(entry.at_s as i64);
        reply.int(entry.value as i64);
        reply.array(entry.argv.len());
        entry.argv.iter().for_each(|word| reply.bulk(word));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
}

fn len(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let kind = kind(ctx)?;
    ctx.reply.size(ctx.engine.command_log.len(kind));
    Ok(())
}

fn slow_len(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.size(ctx.engine.command_log.len(Kind::Slow));
    Ok(())
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let kind = kind(ctx)?;
    ctx.engine.command_log.reset(kind);
    ctx.reply.ok();
    Ok(())
}

fn slow_reset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.engine.command_log.reset(Kind::Slow);
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{Kit, check};
    use crate::base::clock;
    use crate::exec::command_log::Kind;

    /// The words of the entries of a log, the newest first.
    fn logged(kit: &Kit, kind: Kind) -> Vec<String> {
        let entries = kit.engine.command_log.newest(kind, usize::MAX);
        let line = |words: &[Vec<u8>]| String::from_utf8_lossy(&words.join(&b' ')).into_owned();
        entries.iter().map(|e| line(&e.argv)).collect()
    }

    #[test]
    fn with_a_threshold_of_0_every_command_that_ran_is_kept() {
        let mut kit = Kit::with(&["--slowlog-log-slower-than", "0"]);
        let batch: &[&[&str]] = &[
            &["slowlog", "reset"],
            &["set", "k", "v"],
            &["get", "k"],
            &["get", "k"],
            &["get"],
            &["nosuch"],
        ];
        kit.pipeline(batch);
        assert_eq!(
            logged(&kit, Kind::Slow),
            ["get k", "get k", "set k v", "slowlog reset"]
        );
        for line in ["slowlog reset", "multi", "get k", "exec", "slowlog help"] {
            kit.run(line);
        }
        assert_eq!(
            logged(&kit, Kind::Slow),
            ["slowlog help", "get k", "multi", "slowlog reset"]
        );
    }

    #[test]
    fn what_is_slow_is_found_among_what_is_not() {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        let batch: &[&[&str]] = &[&["get", "k"], &["debug", "sleep", "0.02"], &["get", "k"]];
        kit.pipeline(batch);
        assert_eq!(logged(&kit, Kind::Slow), ["debug sleep 0.02"]);
        let reply = kit.run("slowlog get");
        assert!(reply.starts_with("*1\r\n*6\r\n:0\r\n:"), "{reply}");
        assert!(reply.ends_with(
            "*3\r\n$5\r\ndebug\r\n$5\r\nsleep\r\n$4\r\n0.02\r\n$11\r\n127.0.0.1:1\r\n$0\r\n\r\n"
        ));
        kit.run("config set slowlog-log-slower-than -1");
        kit.run("debug sleep 0.02");
        check(&mut kit, &[("slowlog len", ":1"), ("slowlog reset", "+OK")]);
        check(&mut kit, &[("slowlog len", ":0"), ("slowlog get -1", "*0")]);
    }

    #[test]
    fn waiting_for_somebody_else_is_not_being_slow() {
        let mut kit = Kit::with(&[
            "--enable-debug-command",
            "yes",
            "--slowlog-log-slower-than",
            "300000",
        ]);
        let mut other = kit.another();
        let waited = std::thread::scope(|scope| {
            scope.spawn(|| other.run("debug sleep 0.5"));
            while kit.engine.keyspace.is_free() {
                std::thread::yield_now();
            }
            let began_ns = clock::mono_ns();
            kit.run("get k");
            clock::mono_ns() - began_ns
        });
        assert!(waited > 20_000_000, "{waited}");
        assert_eq!(logged(&kit, Kind::Slow), ["debug sleep 0.5"]);
    }

    #[test]
    fn large_requests_and_replies_are_kept_with_their_bytes() {
        let mut kit = Kit::with(&[
            "--commandlog-request-larger-than",
            "1024",
            "--commandlog-reply-larger-than",
            "1024",
        ]);
        kit.run("client setname me");
        let value = [b'a'; 1000];
        kit.pipeline(&[
            &[&b"set"[..], b"k", &value][..],
            &[b"get", b"k"],
            &[b"ping"],
            &[b"mget", b"k", b"k"],
        ]);
        assert_eq!(logged(&kit, Kind::LargeReply), ["mget k k"]);
        let requests = kit.engine.command_log.newest(Kind::LargeRequest, 9);
        assert_eq!(requests.len(), 1);
        let entry = &requests[0];
        // *3 $3 set $1 k $1000 …
        assert_eq!(entry.value, 4 + 4 + 5 + 4 + 3 + 7 + 1002);
        assert_eq!(entry.name, b"me");
        assert!(entry.argv[2].ends_with(b"aa... (872 more bytes)"));
    }

    #[test]
    fn secrets_are_not_kept() {
        let mut kit = Kit::with(&["--slowlog-log-slower-than", "0"]);
        for line in [
            "slowlog reset",
            "auth secret",
            "auth me secret",
            "hello 2 auth me secret setname x",
            "config set maxmemory 0 primaryauth secret",
        ] {
            kit.run(line);
        }
        assert_eq!(
            logged(&kit, Kind::Slow),
            [
                "config set maxmemory 0 primaryauth (redacted)",
                "hello 2 auth (redacted) (redacted) setname x",
                "auth (redacted) (redacted)",
                "auth (redacted)",
                "slowlog reset",
            ]
        );
    }

    #[test]
    fn a_log_is_as_long_as_it_may_be() {
        let mut kit = Kit::with(&["--slowlog-log-slower-than", "0", "--slowlog-max-len", "3"]);
        for _ in 0..5 {
            kit.run("ping");
        }
        check(
            &mut kit,
            &[
                ("commandlog len slow", ":3"),
                ("config set slowlog-max-len 2", "+OK"),
                ("commandlog len slow", ":2"),
                ("config set slowlog-max-len 0", "+OK"),
                ("slowlog len", ":2"),
                ("commandlog len large-reply", ":0"),
                ("commandlog reset large-request", "+OK"),
                ("commandlog get -1 large-reply", "*0"),
            ],
        );
    }

    #[test]
    fn errors_are_those_of_valkey() {
        let mut kit = Kit::new();
        let least = "-ERR count should be greater than or equal to -1";
        let kind = "-ERR type should be one of the following: slow, large-request, large-reply";
        check(
            &mut kit,
            &[
                ("slowlog get -2", least),
                ("slowlog get x", least),
                (
                    "slowlog get 1 2",
                    "-ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.",
                ),
                ("commandlog get -2 slow", least),
                ("commandlog get 1 fast", kind),
                ("commandlog len fast", kind),
                ("commandlog reset fast", kind),
            ],
        );
        assert!(kit.run("commandlog help").contains("+LEN <type>\r\n"));
        assert!(kit.run("slowlog help").contains("+GET [<count>]\r\n"));
    }
}
