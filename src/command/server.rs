//! The server as a whole: its time, its end, and its picture.

use crate::base::{clock, num};
use crate::cluster::Cluster;
use crate::exec::context::Ctx;
use crate::exec::shutdown::Farewell;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, flag::*};
use crate::exec::waiting::Completed;
use crate::persist::save;
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("time", 1, time)
        .flags(LOADING | STALE | FAST)
        .tips(&["nondeterministic_output"])
        .doc(Group::Server, "2.6.0", "O(1)", "Returns the server's time."),
    Spec::new("monitor", 1, monitor)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .doc(
            Group::Server,
            "1.0.0",
            "",
            "Has the client sent every command that the server runs.",
        ),
    Spec::new("shutdown", -1, shutdown)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY)
        .scope(Scope::All)
        .doc(
            Group::Server,
            "1.0.0",
            "O(N) when saving, where N is the total number of keys in all \
             databases when saving data, otherwise O(1)",
            "Ends the server in good order.",
        )
        .history(&[
            ("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers."),
            ("9.0.0", "Added the `SAFE` and `FAILOVER` modifiers."),
        ])
        .args(&[Arg::one_of(
            "abort-selector",
            &[
                Arg::block(
                    "save-selector-block",
                    &[
                        Arg::one_of(
                            "save-selector",
                            &[Arg::word("nosave", "NOSAVE"), Arg::word("save", "SAVE")],
                        )
                        .optional(),
                        Arg::word("now", "NOW").since("7.0.0").optional(),
                        Arg::word("force", "FORCE").since("7.0.0").optional(),
                        Arg::word("safe", "SAFE").since("9.0.0").optional(),
                        Arg::word("failover", "FAILOVER").since("9.0.0").optional(),
                    ],
                ),
                Arg::word("abort", "ABORT").since("7.0.0"),
            ],
        )
        .optional()]),
    Spec::new("lolwut", -1, lolwut)
        .flags(READONLY | FAST)
        .doc(
            Group::Server,
            "5.0.0",
            "",
            "Draws a picture and tells the version.",
        )
        .args(&[Arg::new("version", ArgKind::Integer)
            .token("VERSION")
            .optional()]),
];

fn monitor(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    // It would be sent its lines between the replies of EXEC.
    if ctx.session.in_exec {
        return Err(Error::MONITOR_IN_EXEC);
    }
    // As in Valkey, whoever does already is not answered.
    if !ctx.session.monitor {
        ctx.engine.monitors.add(ctx.session);
        ctx.reply.ok();
    }
    Ok(())
}

fn time(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let us = clock::unix_us();
    ctx.reply.array(2);
    ctx.reply.bulk_int((us / 1_000_000) as i64);
    ctx.reply.bulk_int((us % 1_000_000) as i64);
    Ok(())
}

const REFUSED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

/// Answers nothing where it succeeds: the connection ends with the server.
fn shutdown(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (mut save, mut no_save, mut abort, mut failover, mut force, mut safe, mut now) =
        Default::default();
    for word in ctx.args.rest() {
        let flag: &mut bool = match &word.to_ascii_lowercase()[..] {
            b"save" => &mut save,
            b"nosave" => &mut no_save,
            b"abort" => &mut abort,
            b"failover" => &mut failover,
            b"force" => &mut force,
            b"safe" => &mut safe,
            b"now" => &mut now,
            _ => return Err(Error::SYNTAX),
        };
        *flag = true;
    }
    let other = save || no_save || failover || force || safe || now;
    if (abort && other) || (save && no_save) {
        return Err(Error::SYNTAX);
    }
    let shutdown = &ctx.engine.shutdown;
    let refusals = shutdown.refusals();
    if abort && shutdown.abort() {
        crate::notice!("Shutdown manually aborted.");
        ctx.reply.ok();
        return Ok(());
    }
    if abort {
        return Err(Error::new("ERR No shutdown in progress."));
    }
    let is_clustered = ctx.engine.routing.is_some();
    if safe && is_clustered && ctx.engine.service::<Cluster>().state().me().votes() {
        let warning = "This is a voting primary. Shutting down may cause the cluster to go down.";
        if !force {
            crate::warning!("{warning} Can't exit.");
            return Err(Error::new(REFUSED));
        }
        crate::warning!("{warning} Exit anyway.");
    }
    if failover && is_clustered {
        crate::notice!("Unable to find a replica to perform the auto failover on shutdown.");
    } else if failover {
        return Err(Error::new(
            "ERR SHUTDOWN FAILOVER is only supported in cluster mode.",
        ));
    }
    let save = match (save, no_save) {
        // What is there is not all: nothing is saved in the place of it.
        _ if ctx.engine.is_loading() => Some(false),
        (false, false) => None,
        (wish, _) => Some(wish),
    };
    let mut farewell = Farewell {
        save,
        is_forced: force,
        is_saved: false,
        is_urgent: now,
        is_safe: safe,
    };
    if shutdown.is_requested() {
        hear_of_refusal(ctx, refusals);
        return Ok(());
    }
    if !now && ctx.engine.leading.is_anybody_behind() {
        // It saves when they have everything.
        shutdown.request_with(farewell);
        hear_of_refusal(ctx, refusals);
        return Ok(());
    }
    let is_wanted = save.unwrap_or_else(|| !ctx.engine.settings.save_points().is_empty());
    // Where one is being taken, the end waits for it, and takes another.
    if is_wanted && let Some(turn) = ctx.engine.saving.begin(false) {
        farewell.is_saved = save::within(ctx.engine, ctx.txn, turn).is_ok();
        if !farewell.is_saved && !force {
            return Err(Error::new(REFUSED));
        }
    }
    shutdown.request_with(farewell);
    hear_of_refusal(ctx, refusals);
    Ok(())
}

/// Waits, either for the end or for a refusal beyond those that there were `before`.
fn hear_of_refusal(ctx: &mut Ctx<'_, '_>, before: u64) {
    ctx.start(Box::new(move |engine, waiter| {
        Box::pin(async move {
            engine.shutdown.refused(before).await;
            waiter.complete(&engine, &[], 0, |_, _| {
                Completed::Over::<()>(Err(Error::new(REFUSED)))
            });
        })
    }));
}

/// LOLWUT [VERSION n] [jars [shelves]].
fn lolwut(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if ctx.args.option("VERSION") {
        // There is one picture, whatever version is asked for.
        num::parse_i64(ctx.args.bytes()?).ok_or(Error::NOT_INTEGER)?;
    }
    let mut size = |default: i64, most: i64| match ctx.args.peek() {
        None => Ok(default),
        Some(_) => ctx.args.int().map(|n| n.clamp(1, most)),
    };
    let (jars, shelves) = (size(8, 24)?, size(3, 12)?);
    let text = larder(jars as usize, shelves as usize)
        + "\nA larder, and what is left in it. Redis ver. 7.2.4, Larder ver. "
        + env!("CARGO_PKG_VERSION")
        + "\n";
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Shelves of jars, each filled by chance.
fn larder(jars: usize, shelves: usize) -> String {
    const INSIDE: usize = 3;
    const CONTENTS: [&str; 6] = ["####", "oooo", "::::", "%%%%", "~~~~", "****"];
    let mut text = String::new();
    let board = "=".repeat(jars * 8 + 2);
    for _ in 0..shelves {
        let row: Vec<(usize, &str)> = (0..jars)
            .map(|_| {
                let level = clock::random_below(INSIDE as u64 + 1) as usize;
                let contents = clock::random_below(CONTENTS.len() as u64) as usize;
                (level, CONTENTS[contents])
            })
            .collect();
        let mut line = |jar: &dyn Fn(usize, &str) -> String| {
            let all: String = row.iter().map(|(level, what)| jar(*level, what)).collect();
            text += all.trim_end();
            text.push('\n');
        };
        line(&|_, _| "  .____.".into());
        for height in (1..=INSIDE).rev() {
            line(&|level, what| match height <= level {
                true => format!("  |{what}|"),
                false => "  |    |".into(),
            });
        }
        line(&|_, _| "  '----'".into());
        text += &board;
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;
    use super::*;

    #[test]
    fn time_is_seconds_and_microseconds() {
        let reply = Kit::new().run("time");
        let words: Vec<&str> = reply.split("\r\n").collect();
        assert_eq!(words[0], "*2");
        let (seconds, us): (u64, u64) =
            (words[2].parse().expect("s"), words[4].parse().expect("us"));
        assert!(clock::unix_us() / 1_000_000 - seconds < 60 && us < 1_000_000);
    }

    #[test]
    fn monitor_does_not_begin_within_exec() {
        let mut kit = Kit::new();
        kit.run("multi");
        assert_eq!(kit.run("monitor"), "+QUEUED\r\n");
        kit.run("ping");
        let refused = "-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n";
        assert_eq!(kit.run("exec"), format!("*2\r\n{refused}+PONG\r\n"));
        assert!(!kit.session.monitor);
    }

    #[test]
    fn shutdown_asks_for_the_end_unless_it_makes_no_sense() {
        let mut kit = Kit::new();
        for (line, error) in [
            ("shutdown x", "syntax error"),
            ("shutdown save nosave", "syntax error"),
            ("shutdown abort now", "syntax error"),
            ("shutdown abort", "No shutdown in progress."),
            (
                "shutdown failover",
                "SHUTDOWN FAILOVER is only supported in cluster mode.",
            ),
        ] {
            assert_eq!(kit.run(line), format!("-ERR {error}\r\n"));
            assert!(!kit.engine.shutdown.is_requested());
        }
        let mut lost = Kit::with(&["--dir", "/proc"]);
        let error = "-ERR Errors trying to SHUTDOWN. Check logs.\r\n";
        assert_eq!(lost.run("shutdown save"), error);
        assert!(!lost.engine.shutdown.is_requested());
        assert_eq!(kit.run("shutdown nosave now force"), "");
        assert!(kit.engine.shutdown.is_requested());
    }

    #[test]
    fn the_picture_is_as_large_as_wanted() {
        let mut kit = Kit::new();
        let reply = kit.run("lolwut version 5 2 1");
        assert_eq!(reply.lines().filter(|l| l.starts_with("=====")).count(), 1);
        assert!(reply.contains(&"=".repeat(18)) && reply.contains("Redis ver. 7.2.4"));
        assert!(
            kit.run("lolwut version x")
                .starts_with("-ERR value is not an integer")
        );
    }
}
