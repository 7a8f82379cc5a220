//! MEMORY: where it goes.

use super::help;
use crate::base::num;
use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, flag::*, key, key_flag::*};
use crate::observe::memory::{Data, Memory, Overshoot};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::{memory, slab};

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("memory", -2, help)
    .doc(
        Group::Server,
        "4.0.0",
        "Depends on subcommand.",
        "A container for commands about memory.",
    )
    .subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("usage", -3, usage)
        .flags(READONLY)
        .keys(&[key(2, RO)])
        .doc(
            Group::Server,
            "4.0.0",
            "O(N) where N is the number of samples.",
            "Returns the bytes that a key takes.",
        )
        .args(&[
            Arg::key("key"),
            Arg::new("count", ArgKind::Integer)
                .token("SAMPLES")
                .optional(),
        ]),
    Spec::new("doctor", 2, doctor)
        .scope(Scope::Each)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .doc(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Looks for memory problems and says what it found.",
        ),
    Spec::new("stats", 2, stats)
        .scope(Scope::Each)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .doc(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Returns figures about memory.",
        ),
    Spec::new("purge", 2, purge)
        .flags(LOADING)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc(
            Group::Server,
            "4.0.0",
            "Depends on how much memory is allocated, could be slow",
            "Gives memory that nobody uses back to the system.",
        ),
    Spec::new("malloc-stats", 2, malloc_stats)
        .flags(LOADING)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .doc(
            Group::Server,
            "4.0.0",
            "Depends on how much memory is allocated, could be slow",
            "Returns the allocator's own figures.",
        ),
    Spec::new("help", 2, help).flags(LOADING | STALE).doc(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Returns a text that explains the subcommands.",
    ),
];

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "DOCTOR",
            "    Look for memory problems and say what was found.",
            "MALLOC-STATS",
            "    Return the allocator's own figures.",
            "PURGE",
            "    Give memory that nobody uses back to the system.",
            "STATS",
            "    Return figures about memory.",
            "USAGE <key> [SAMPLES <count>]",
            "    Return the bytes that <key> takes, with its value: all elements count, whatever",
            "    <count> is.",
        ],
    );
    Ok(())
}

fn usage(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    while !ctx.args.is_empty() {
        if !ctx.args.option("SAMPLES") {
            return Err(Error::SYNTAX);
        }
        // What all elements take is known: there is nothing to sample.
        let samples = num::parse_i64(ctx.args.bytes()?).ok_or(Error::NOT_INTEGER)?;
        if samples < 0 {
            return Err(Error::SYNTAX);
        }
    }
    match ctx.txn.find(&key) {
        Some(found) => {
            // As in Valkey, its place in the table is the table's.
            let bytes = ctx.txn.entry(found).bytes();
            ctx.reply.size(bytes);
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

fn purge(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    slab::purge_beyond(0);
    match memory::purge() {
        true => {
            ctx.reply.ok();
            Ok(())
        }
        false => Err(Error::new("ERR Error purging dirty pages")),
    }
}

fn malloc_stats(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.verbatim("txt", &memory::allocator_report());
    Ok(())
}

fn stats(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let data = Data::gather(ctx.txn);
    let memory = Memory::gather(ctx.engine, &data, memory::used_bytes());
    let reply = &mut ctx.reply;
    reply.map(34 + data.databases.len());
    size(reply, "peak.allocated", memory.peak);
    size(reply, "total.allocated", memory.used);
    size(reply, "startup.allocated", memory.startup);
    for name in [
        "replication.backlog",
        "replicas.repl.buffer",
        "clients.slaves",
    ] {
        size(reply, name, 0);
    }
    size(reply, "clients.normal", memory.clients);
    for name in [
        "cluster.links",
        "cluster.slot_import",
        "cluster.slot_export",
        "aof.buffer",
        "lua.caches",
        "functions.caches",
    ] {
        size(reply, name, 0);
    }
    for (number, db) in &data.databases {
        reply.bulk(format!("db.{number}").as_bytes());
        reply.map(2);
        size(reply, "overhead.hashtable.main", db.table_bytes);
        // Deadlines lie in the entries themselves.
        size(reply, "overhead.hashtable.expires", 0);
    }
    size(reply, "overhead.db.hashtable.lut", memory.tables);
    size(reply, "overhead.db.hashtable.rehashing", 0);
    size(reply, "overhead.total", memory.overhead());
    size(reply, "db.dict.rehashing.count", 0);
    size(reply, "keys.count", memory.keys);
    size(reply, "keys.bytes-per-key", memory.bytes_per_key());
    size(reply, "dataset.bytes", memory.dataset());
    ratio(reply, "dataset.percentage", memory.dataset_percent());
    ratio(reply, "peak.percentage", memory.peak_percent());
    size(reply, "allocator.allocated", memory.allocator.allocated);
    size(reply, "allocator.active", memory.allocator.active);
    size(reply, "allocator.resident", memory.allocator.resident);
    size(reply, "allocator.muzzy", 0);
    overshoot(
        reply,
        "allocator-fragmentation.ratio",
        "allocator-fragmentation.bytes",
        memory.fragmentation(),
    );
    overshoot(
        reply,
        "allocator-rss.ratio",
        "allocator-rss.bytes",
        memory.allocator_resident(),
    );
    overshoot(
        reply,
        "rss-overhead.ratio",
        "rss-overhead.bytes",
        memory.process_resident(),
    );
    overshoot(
        reply,
        "fragmentation",
        "fragmentation.bytes",
        memory.total(),
    );
    Ok(())
}

fn size(reply: &mut Reply<'_>, name: &str, bytes: usize) {
    reply.bulk(name.as_bytes());
    reply.size(bytes);
}

fn ratio(reply: &mut Reply<'_>, name: &str, value: f64) {
    reply.bulk(name.as_bytes());
    reply.double(value);
}

fn overshoot(reply: &mut Reply<'_>, name: &str, bytes: &str, of: Overshoot) {
    ratio(reply, name, of.ratio);
    reply.bulk(bytes.as_bytes());
    reply.int(of.bytes);
}

/// Below this much memory in use no ratio means anything, in bytes.
const DOCTOR_MIN: usize = 5 << 20;
/// Below this difference no ratio is worth a word, in bytes.
const OVERSHOOT_MIN: i64 = 10 << 20;
/// A client that takes more than this is large, in bytes.
const CLIENT_LARGE: usize = 200 << 10;

fn doctor(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let data = Data::gather(ctx.txn);
    let memory = Memory::gather(ctx.engine, &data, memory::used_bytes());
    let text = diagnosis(&memory, ctx.engine.clients.len());
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The thresholds are Valkey's.
fn diagnosis(memory: &Memory, clients: usize) -> String {
    if memory.used < DOCTOR_MIN {
        return "This server holds too little to say anything about its memory.\n".into();
    }
    let is_high = |of: Overshoot, most: f64| of.ratio > most && of.bytes > OVERSHOOT_MIN;
    let findings = [
        (
            memory.peak as f64 / memory.used as f64 > 1.5,
            "Peak: at some time more than one and a half times the memory of now was in use. \
             What was freed since may still be held for reuse, so the figures below can look \
             high without harm; MEMORY PURGE gives it back.",
        ),
        (
            is_high(memory.total(), 1.4),
            "Resident memory: the process takes more than 1.4 times the memory that is in use. \
             After a peak this is no concern; otherwise the other findings tell where it is.",
        ),
        (
            is_high(memory.fragmentation(), 1.1),
            "Fragmentation: pages of the allocator are filled to less than 90%, as after many \
             values were removed. New values will fill them.",
        ),
        (
            is_high(memory.allocator_resident(), 1.1),
            "Unused pages: the allocator holds more than 10% of pages with nothing in them. \
             MEMORY PURGE gives them back.",
        ),
        (
            is_high(memory.process_resident(), 1.1),
            "Outside the allocator: the process takes more than 10% beyond what the allocator \
             holds.",
        ),
        (
            memory.clients / clients.max(1) > CLIENT_LARGE,
            "Clients: their buffers take more than 200 KiB each on average. CLIENT LIST shows \
             whose (omem), and client-output-buffer-limit bounds them.",
        ),
    ];
    let mut text = String::new();
    for (_, finding) in findings.iter().filter(|(found, _)| *found) {
        text += &format!(" * {finding}\n\n");
    }
    match text.is_empty() {
        true => "No memory problem found.\n".into(),
        false => format!("What was found:\n\n{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;
    use super::*;

    #[test]
    fn a_key_takes_at_least_its_own_bytes() {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        kit.run("debug populate 1 k 100");
        let bytes: usize = kit.run("memory usage k:0 samples 0")[1..]
            .trim()
            .parse()
            .expect("a number");
        assert!((103..150).contains(&bytes), "{bytes}");
        assert_eq!(kit.run("memory usage nokey"), "$-1\r\n");
        for line in ["k:0 samples", "k:0 samples -1", "k:0 x"] {
            assert_eq!(
                kit.run(&format!("memory usage {line}")),
                "-ERR syntax error\r\n"
            );
        }
    }

    #[test]
    fn figures_come_as_a_map() {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        kit.run("debug populate 3");
        kit.run("hello 3");
        let stats = kit.run("memory stats");
        assert!(
            stats.starts_with("%35\r\n$14\r\npeak.allocated\r\n:"),
            "{stats}"
        );
        assert!(stats.contains("$4\r\ndb.0\r\n%2\r\n"));
        assert!(stats.contains("$10\r\nkeys.count\r\n:3\r\n"));
        assert_eq!(stats.matches("\r\n$").count(), 35 + 2);
    }

    #[test]
    fn the_doctor_says_what_is_wrong_and_nothing_else() {
        let healthy = Memory {
            used: 100 << 20,
            peak: 110 << 20,
            startup: 1 << 20,
            resident: 110 << 20,
            clients: 0,
            tables: 0,
            keys: 1,
            allocator: memory::AllocatorStats {
                allocated: 100 << 20,
                active: 101 << 20,
                resident: 105 << 20,
                retained: 0,
            },
        };
        assert_eq!(diagnosis(&healthy, 1), "No memory problem found.\n");
        let peak = Memory {
            peak: 200 << 20,
            ..healthy
        };
        assert!(diagnosis(&peak, 1).contains(" * Peak: "));
        let clients = Memory {
            clients: 1 << 20,
            ..healthy
        };
        assert!(diagnosis(&clients, 1).contains(" * Clients: "));
        assert!(!diagnosis(&clients, 100).contains("Clients"));
        let small = Memory {
            used: 1 << 20,
            ..healthy
        };
        assert!(diagnosis(&small, 1).contains("too little"));
    }

    #[test]
    fn the_rest_answers() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("memory purge"), "+OK\r\n");
        assert!(kit.run("memory malloc-stats").contains("jemalloc"));
        assert!(kit.run("memory doctor").starts_with('$'));
        assert!(kit.run("memory help").contains("+DOCTOR\r\n"));
    }
}
