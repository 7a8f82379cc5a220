//! LATENCY: when the server was slow, and how long its commands take.

use super::help;
use crate::base::clock;
use crate::base::histogram::Counts;
use crate::exec::context::Ctx;
use crate::exec::latency::{Event, Series};
use crate::exec::spec::{Arg, ArgKind, Group, Spec, flag::*};
use crate::observe::latency;
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("latency", -2, help)
    .doc(
        Group::Server,
        "2.8.13",
        "Depends on subcommand.",
        "A container for commands about latency.",
    )
    .subcommands(SUBCOMMANDS)];

const FLAGS: u32 = ADMIN | NOSCRIPT | LOADING | STALE;
const TIPS: &[&str] = &[
    "nondeterministic_output",
    "request_policy:all_nodes",
    "response_policy:special",
];
const EVENT: Arg = Arg::new("event", ArgKind::String);

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("doctor", 2, doctor).flags(FLAGS).tips(TIPS).doc(
        Group::Server,
        "2.8.13",
        "O(1)",
        "Explains the latency events that happened, and advises.",
    ),
    Spec::new("graph", 3, graph)
        .flags(FLAGS)
        .tips(TIPS)
        .doc(
            Group::Server,
            "2.8.13",
            "O(1)",
            "Draws the samples of a latency event.",
        )
        .args(&[EVENT]),
    Spec::new("help", 2, help).flags(LOADING | STALE).doc(
        Group::Server,
        "2.8.13",
        "O(1)",
        "Returns a text that explains the subcommands.",
    ),
    Spec::new("histogram", -2, histogram)
        .flags(FLAGS)
        .tips(TIPS)
        .doc(
            Group::Server,
            "7.0.0",
            "O(N) where N is the number of commands with latency information being retrieved.",
            "Returns how the times of commands are distributed.",
        )
        .args(&[Arg::new("command", ArgKind::String).optional().multiple()]),
    Spec::new("history", 3, history)
        .flags(FLAGS)
        .tips(TIPS)
        .doc(
            Group::Server,
            "2.8.13",
            "O(1)",
            "Returns the samples of a latency event.",
        )
        .args(&[EVENT]),
    Spec::new("latest", 2, latest).flags(FLAGS).tips(TIPS).doc(
        Group::Server,
        "2.8.13",
        "O(1)",
        "Returns the latest sample of each latency event.",
    ),
    Spec::new("reset", -2, reset)
        .flags(FLAGS)
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
        .doc(
            Group::Server,
            "2.8.13",
            "O(1)",
            "Forgets the samples of latency events.",
        )
        .args(&[EVENT.optional().multiple()]),
];

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "DOCTOR",
            "    Explain the events that happened, and advise.",
            "GRAPH <event>",
            "    Draw the samples of an event.",
            "HISTORY <event>",
            "    Return the samples of an event: the worst of each second, in milliseconds.",
            "LATEST",
            "    Return of each event the time and length of the latest sample, the longest, the",
            "    sum and the count of all.",
            "RESET [<event> ...]",
            "    Forget events (default: all).",
            "HISTOGRAM [COMMAND ...]",
            "    Return for each command (default: all) how many calls took up to so many",
            "    microseconds.",
        ],
    );
    Ok(())
}

/// What happened of the event that the next argument names.
fn series(ctx: &mut Ctx<'_, '_>) -> Result<Option<(Event, Series)>, Error> {
    let name = ctx.args.bytes()?;
    let mut all = ctx.engine.latency.all().into_iter();
    Ok(all.find(|(event, _)| event.name().as_bytes() == name))
}

fn history(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let found = series(ctx)?;
    let samples = found.as_ref().map_or(&[][..], |(_, s)| s.samples());
    ctx.reply.array(samples.len());
    for sample in samples {
        ctx.reply.array(2);
        ctx.reply.int(sample.at_s as i64);
        ctx.reply.int(sample.ms as i64);
    }
    Ok(())
}

fn latest(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let all = ctx.engine.latency.all();
    ctx.reply.array(all.len());
    for (event, series) in all {
        ctx.reply.array(6);
        ctx.reply.bulk(event.name().as_bytes());
        let last = series.latest();
        for figure in [
            last.at_s,
            last.ms,
            series.max_ms,
            series.sum_ms,
            series.count,
        ] {
            ctx.reply.int(figure as i64);
        }
    }
    Ok(())
}

fn graph(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let Some((event, series)) = series(ctx)? else {
        let name = String::from_utf8_lossy(ctx.args.all()[2]);
        return Err(format!("ERR No samples available for event '{name}'").into());
    };
    let text = latency::graph(event, &series, clock::unix_ms() / 1000);
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn doctor(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let all = ctx.engine.latency.all();
    let text = latency::report(&ctx.engine.settings, &all, clock::unix_ms() / 1000);
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let names = ctx.args.rest();
    let is_chosen = |event: Event| {
        let name = event.name().as_bytes();
        names.is_empty() || names.iter().any(|n| n.eq_ignore_ascii_case(name))
    };
    let forgotten = ctx.engine.latency.reset(is_chosen);
    ctx.reply.size(forgotten);
    Ok(())
}

fn histogram(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let names = ctx.args.rest();
    let all = ctx.engine.latencies();
    let table = &ctx.engine.commands;
    let mut shown: Vec<(String, &Counts)> = Vec::new();
    let known = |counter: usize| all.iter().find(|(c, _)| *c == counter).map(|(_, n)| n);
    if names.is_empty() {
        shown.extend(all.iter().map(|(c, n)| (table.name_of_counter(*c), n)));
    }
    for counter in names.iter().flat_map(|name| table.counters_of(name)) {
        shown.extend(known(counter).map(|n| (table.name_of_counter(counter), n)));
    }
    ctx.reply.map(shown.len());
    for (name, counts) in shown {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"calls");
        ctx.reply.int(counts.total() as i64);
        ctx.reply.bulk(b"histogram_usec");
        let rows = counts.doublings();
        ctx.reply.map(rows.len());
        for (us, calls) in rows {
            ctx.reply.int(us as i64);
            ctx.reply.int(calls as i64);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{Kit, check};

    #[test]
    fn what_took_too_long_is_an_event() {
        let mut kit = Kit::with(&[
            "--enable-debug-command",
            "yes",
            "--latency-monitor-threshold",
            "15",
        ]);
        check(&mut kit, &[("latency latest", "*0")]);
        assert!(kit.run("latency doctor").contains("No latency event"));
        kit.run("debug sleep 0.02");
        kit.run("get k");
        let latest = kit.run("latency latest");
        assert!(
            latest.starts_with("*1\r\n*6\r\n$7\r\ncommand\r\n:"),
            "{latest}"
        );
        assert!(latest.ends_with(":1\r\n"), "{latest}");
        let history = kit.run("latency history command");
        assert!(history.starts_with("*1\r\n*2\r\n:"), "{history}");
        let graph = kit.run("latency graph command");
        assert!(graph.contains("command - high "), "{graph}");
        assert!(kit.run("latency doctor").contains("1. command: 1 "));
        check(
            &mut kit,
            &[
                ("latency history nothing", "*0"),
                (
                    "latency graph nothing",
                    "-ERR No samples available for event 'nothing'",
                ),
                ("latency reset nothing", ":0"),
                ("latency reset COMMAND nothing", ":1"),
                ("latency latest", "*0"),
            ],
        );
        assert!(
            kit.run("latency help")
                .contains("+HISTOGRAM [COMMAND ...]\r\n")
        );
    }

    #[test]
    fn each_event_of_a_time_without_a_threshold_is_none() {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        kit.run("debug sleep 0.02");
        check(&mut kit, &[("latency latest", "*0")]);
        assert!(
            kit.run("latency doctor")
                .contains("latency-monitor-threshold")
        );
    }

    #[test]
    fn a_histogram_counts_every_call() {
        let mut kit = Kit::new();
        let batch: Vec<[&str; 2]> = vec![["get", "k"]; 100];
        kit.pipeline(&batch);
        kit.run("client id");
        kit.run("client getname");
        let reply = kit.run("latency histogram get nosuch");
        assert!(
            reply.starts_with(
                "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:100\r\n$14\r\nhistogram_usec\r\n*"
            ),
            "{reply}"
        );
        assert!(reply.ends_with(":100\r\n"), "{reply}");
        let reply = kit.run("latency histogram client");
        assert!(reply.contains("client|id") && reply.contains("client|getname"));
        kit.run("config set latency-tracking no");
        kit.run("config resetstat");
        kit.run("get k");
        check(&mut kit, &[("latency histogram", "*0")]);
        kit.run("config set latency-tracking yes");
        assert!(
            kit.run("latency histogram")
                .starts_with("*2\r\n$10\r\nconfig|set\r\n")
        );
    }
}
