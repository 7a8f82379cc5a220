//! The server's figures for Prometheus: those of the cache under `cache_`, and those
//! that every Redis has under the names that redis_exporter gives them, so that its
//! dashboards and alerts go on working.
//!
//! What a label can say is bounded: the policies, the commands that were called, the
//! databases that hold something, the error codes that `exec` tells apart, and the first
//! rules of `rate-limit`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cache::{self, Cache, Row, Warming};
use super::memory::{Data, Memory};
use super::process;
use super::prometheus::{Exposition, Kind};
use crate::base::{clock, hash};
use crate::config::param;
use crate::exec::command_log;
use crate::exec::engine::Engine;
use crate::exec::session::Client;
use crate::exec::totals::CallTotals;
use crate::exec::txn::Txn;
use crate::store::figures::{BUCKETS, Figures, REASON_NAMES, Spread};
use crate::store::memory;

/// All figures. Locks one shard after the other.
pub fn render(engine: &Engine) -> String {
    let now_ms = clock::unix_ms();
    // Before the answer itself takes memory.
    let used_bytes = memory::used_bytes();
    let mut txn = Txn::one_by_one(&engine.keyspace, &engine.effects, 0, now_ms);
    let data = Data::gather(&mut txn);
    let cache = Cache::gather(&mut txn);
    drop(txn);
    let mut out = Exposition::default();
    instance(engine, now_ms, &mut out);
    clients(engine, &mut out);
    memory_section(engine, &data, used_bytes, &mut out);
    stats(engine, &data, &mut out);
    commands(engine, &mut out);
    databases(&data, &mut out);
    requests(&cache, &mut out);
    holdings(&cache, &mut out);
    events(&cache, &mut out);
    spreads(&cache, &mut out);
    warming(engine, &mut out);
    limits(engine, &mut out);
    out.into_text()
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn instance(engine: &Engine, now_ms: u64, out: &mut Exposition) {
    let settings = &engine.settings;
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("{:016x}", hash::crc64(0, version.as_bytes()));
    let (port, pid) = (settings.int(param::PORT), std::process::id());
    out.family(
        "redis_instance_info",
        Kind::Gauge,
        "What this server is; always 1.",
    )
    .sample(
        &[
            (
                "role",
                if engine.following.is_on() {
                    "slave"
                } else {
                    "master"
                },
            ),
            ("redis_version", "7.2.4"),
            ("redis_build_id", &build),
            ("redis_mode", engine.mode()),
            ("os", &process::system()),
            (
                "maxmemory_policy",
                settings.choice_name(param::MAXMEMORY_POLICY),
            ),
            ("tcp_port", &port.to_string()),
            ("run_id", &engine.run_id),
            ("process_id", &pid.to_string()),
        ],
        1,
    );
    out.family("larder_info", Kind::Gauge, "The version; always 1.")
        .sample(&[("version", version)], 1);
    out.gauge("redis_up", "Whether the server is there; always 1.", 1);
    out.gauge(
        "redis_uptime_in_seconds",
        "Seconds since the start.",
        now_ms.saturating_sub(engine.started_ms) / 1000,
    );
    out.gauge(
        "redis_start_time_seconds",
        "When the server started, in Unix time.",
        engine.started_ms / 1000,
    );
    let seconds = |us: i64| us as f64 / 1e6;
    let (own, children) = (process::cpu(), process::cpu_of_children());
    for (name, help, us) in [
        (
            "redis_cpu_sys_seconds_total",
            "Processor time spent in the kernel.",
            own.system_us,
        ),
        (
            "redis_cpu_user_seconds_total",
            "Processor time spent outside the kernel.",
            own.user_us,
        ),
        (
            "redis_cpu_sys_children_seconds_total",
            "Processor time of ended children in the kernel.",
            children.system_us,
        ),
        (
            "redis_cpu_user_children_seconds_total",
            "Processor time of ended children outside the kernel.",
            children.user_us,
        ),
    ] {
        out.counter(name, help, seconds(us));
    }
}

fn clients(engine: &Engine, out: &mut Exposition) {
    let all = engine.clients.all();
    let most = |figure: fn(&Client) -> u64| all.iter().map(|c| figure(c)).max().unwrap_or(0);
    let stopped = engine.effects.pause.stopped.load(Ordering::Relaxed);
    out.gauge("redis_connected_clients", "Clients.", all.len());
    out.gauge(
        "redis_blocked_clients",
        "Clients that wait for a key, or for the end of a pause.",
        engine.waiters.len() + stopped,
    );
    out.gauge(
        "redis_tracking_clients",
        "Clients that are told when what they read changes.",
        engine.tracking.clients(),
    );
    out.gauge(
        "redis_pubsub_clients",
        "Clients that listen to channels.",
        all.iter().filter(|c| c.is_subscriber()).count(),
    );
    out.gauge(
        "redis_client_recent_max_input_buffer_bytes",
        "The largest input buffer of a client.",
        most(|c| c.query_held.load(Ordering::Relaxed)),
    );
    out.gauge(
        "redis_client_recent_max_output_buffer_bytes",
        "The most that is owed to a client.",
        most(Client::owed_held),
    );
    out.gauge(
        "redis_config_maxclients",
        "Most clients at a time.",
        engine.settings.int(param::MAXCLIENTS),
    );
    let counters = &engine.counters;
    out.gauge(
        "redis_pubsub_channels",
        "Channels that somebody listens to.",
        load(&counters.channels),
    );
    out.gauge(
        "redis_pubsub_patterns",
        "Patterns of channels that somebody listens to.",
        load(&counters.patterns),
    );
}

fn memory_section(engine: &Engine, data: &Data, used_bytes: usize, out: &mut Exposition) {
    let memory = Memory::gather(engine, data, used_bytes);
    for (name, help, bytes) in [
        (
            "redis_memory_used_bytes",
            "Memory in use, which maxmemory limits.",
            memory.used,
        ),
        (
            "redis_memory_used_rss_bytes",
            "The process in physical memory.",
            memory.resident,
        ),
        (
            "redis_memory_used_peak_bytes",
            "The most that was ever in use.",
            memory.peak,
        ),
        (
            "redis_memory_used_overhead_bytes",
            "Memory in use that is no data.",
            memory.overhead(),
        ),
        (
            "redis_memory_used_startup_bytes",
            "Memory in use before there was any data.",
            memory.startup,
        ),
        (
            "redis_memory_used_dataset_bytes",
            "Memory in use for the data.",
            memory.dataset(),
        ),
        (
            "redis_mem_clients_normal",
            "Memory of clients, in bytes.",
            memory.clients,
        ),
        (
            "redis_allocator_allocated_bytes",
            "What the allocator has given away.",
            memory.allocator.allocated,
        ),
        (
            "redis_allocator_active_bytes",
            "Pages of the allocator that hold something.",
            memory.allocator.active,
        ),
        (
            "redis_allocator_resident_bytes",
            "The allocator in physical memory.",
            memory.allocator.resident,
        ),
    ] {
        out.gauge(name, help, bytes);
    }
    let max = engine.settings.int(param::MAXMEMORY);
    out.gauge(
        "redis_memory_max_bytes",
        "The limit of memory in use, maxmemory; 0 for none.",
        max,
    );
    out.gauge(
        "redis_mem_fragmentation_ratio",
        "Physical memory of the process by memory in use.",
        memory.total().ratio,
    );
    out.gauge(
        "redis_total_system_memory_bytes",
        "Physical memory of the machine.",
        process::machine_bytes(),
    );
    let freeing = engine.reclaimer.counts();
    out.gauge(
        "redis_lazyfree_pending_objects",
        "Objects that wait to be freed.",
        freeing.pending.load(Ordering::Relaxed),
    );
}

fn stats(engine: &Engine, data: &Data, out: &mut Exposition) {
    let (totals, stats, counters) = (engine.totals(), data.stats, &engine.counters);
    for (name, help, count) in [
        (
            "redis_connections_received_total",
            "Connections ever taken.",
            load(&counters.connections),
        ),
        (
            "redis_rejected_connections_total",
            "Connections refused because of maxclients.",
            load(&counters.rejected_connections),
        ),
        (
            "redis_commands_processed_total",
            "Commands that ran.",
            totals.commands,
        ),
        (
            "redis_net_input_bytes_total",
            "Bytes read from clients.",
            totals.net_in,
        ),
        (
            "redis_net_output_bytes_total",
            "Bytes written to clients.",
            totals.net_out,
        ),
        (
            "redis_keyspace_hits_total",
            "Reads that found their key.",
            stats.hits,
        ),
        (
            "redis_keyspace_misses_total",
            "Reads that did not find their key.",
            stats.misses,
        ),
        (
            "redis_expired_keys_total",
            "Keys removed because their time was over.",
            stats.expired,
        ),
        (
            "redis_evicted_keys_total",
            "Keys removed to make room.",
            stats.evicted,
        ),
        (
            "redis_evicted_clients_total",
            "Clients dropped because all together took too much memory.",
            load(&counters.client_evictions),
        ),
    ] {
        out.counter(name, help, count);
    }
    let rate = engine.rates.lock().commands();
    out.gauge(
        "redis_instantaneous_ops_per_sec",
        "Commands in a second, of late.",
        rate,
    );
    out.gauge(
        "redis_rdb_changes_since_last_save",
        "Changes since the last snapshot.",
        stats.changes,
    );
    let slow = command_log::Kind::Slow;
    out.gauge(
        "redis_slowlog_length",
        "Commands in the slow log.",
        engine.command_log.len(slow),
    );
    let mut errors = out.family(
        "redis_errors_total",
        Kind::Counter,
        "Errors answered, by code.",
    );
    for (code, count) in engine.errors.lock().iter() {
        errors.sample(&[("err", &String::from_utf8_lossy(code))], count);
    }
}

fn commands(engine: &Engine, out: &mut Exposition) {
    let totals = engine.totals();
    let called: Vec<(String, CallTotals)> = totals
        .calls
        .iter()
        .enumerate()
        .filter(|(_, calls)| **calls != CallTotals::default())
        .map(|(counter, calls)| (engine.commands.name_of_counter(counter), *calls))
        .collect();
    let mut each = |name, help, of: fn(&CallTotals) -> f64| {
        let mut family = out.family(name, Kind::Counter, help);
        for (name, calls) in &called {
            family.sample(&[("cmd", name)], of(calls));
        }
    };
    each(
        "redis_commands_total",
        "Calls of each command that ran.",
        |c| c.calls as f64,
    );
    each(
        "redis_commands_duration_seconds_total",
        "How long the calls of each command ran.",
        |c| c.nanos as f64 / 1e9,
    );
    each(
        "redis_commands_rejected_calls_total",
        "Calls of each command that were refused before they ran.",
        |c| c.rejected as f64,
    );
    each(
        "redis_commands_failed_calls_total",
        "Calls of each command that answered an error.",
        |c| c.failed as f64,
    );
}

fn databases(data: &Data, out: &mut Exposition) {
    let mut keys = out.family("redis_db_keys", Kind::Gauge, "Keys of each database.");
    for (number, db) in &data.databases {
        keys.sample(&[("db", &format!("db{number}"))], db.keys);
    }
    let help = "Keys of each database that have a deadline.";
    let mut expiring = out.family("redis_db_keys_expiring", Kind::Gauge, help);
    for (number, db) in &data.databases {
        expiring.sample(&[("db", &format!("db{number}"))], db.volatile);
    }
    let help = "How long keys with a deadline still have, on average.";
    let mut ttl = out.family("redis_db_avg_ttl_seconds", Kind::Gauge, help);
    for (number, db) in &data.databases {
        let seconds = db.ttl_mean_ms as f64 / 1000.0;
        ttl.sample(&[("db", &format!("db{number}"))], seconds);
    }
}

fn requests(cache: &Cache, out: &mut Exposition) {
    out.gauge(
        "cache_policies",
        "Policies that are defined.",
        cache.policies(),
    );
    let mut requests = out.family(
        "cache_requests_total",
        Kind::Counter,
        "Reads of keys, by outcome: hit, null (a remembered absence), stale (an old value \
         while it is refilled), miss.",
    );
    for row in &cache.rows {
        let figures = &row.figures;
        for (status, count) in [
            ("hit", figures.hits),
            ("null", figures.null_hits),
            ("stale", figures.stale_hits),
            ("miss", row.missed()),
        ] {
            requests.sample(&[("policy", &row.name), ("status", status)], count);
        }
    }
    let mut misses = out.family(
        "cache_misses_total",
        Kind::Counter,
        "Reads that missed, by what the cache knows of the key; untold for keys without a policy.",
    );
    for row in &cache.rows {
        let reasons = REASON_NAMES.iter().copied().zip(row.figures.misses);
        let told = reasons.filter(|_| row.pattern.is_some());
        let untold = row.pattern.is_none().then_some(("untold", row.missed()));
        for (reason, count) in told.chain(untold) {
            misses.sample(&[("policy", &row.name), ("reason", reason)], count);
        }
    }
    type Rate = fn(&Row) -> Option<f64>;
    let rates: [(&'static str, &str, Rate); 2] = [
        (
            "cache_hit_rate",
            "Hits, nulls and stale values of all requests since CONFIG RESETSTAT, from 0 to 1; \
             absent before the first request.",
            Row::hit_rate,
        ),
        (
            "cache_penetration_rate",
            "Nulls of all requests since CONFIG RESETSTAT, from 0 to 1; absent before the first \
             request.",
            Row::penetration_rate,
        ),
    ];
    for (name, help, rate) in rates {
        let mut family = out.family(name, Kind::Gauge, help);
        for row in &cache.rows {
            if let Some(rate) = rate(row) {
                family.sample(&[("policy", &row.name)], rate);
            }
        }
    }
    let mut attempts = out.family(
        "cache_penetration_attempts_total",
        Kind::Counter,
        "Requests for what the origin does not have: nulls, and absences written.",
    );
    for row in &cache.rows {
        attempts.sample(&[("policy", &row.name)], row.penetration_attempts());
    }
}

fn holdings(cache: &Cache, out: &mut Exposition) {
    type Size = fn(&Row) -> usize;
    let sizes: [(&'static str, &str, Size); 7] = [
        ("cache_keys", "Keys.", |r| r.keys),
        (
            "cache_bytes",
            "Bytes of keys and values, and of the tables that hold them.",
            |r| r.bytes,
        ),
        ("cache_null_keys", "Remembered absences.", |r| r.nulls),
        ("cache_null_bytes", "Bytes of remembered absences.", |r| {
            r.null_bytes
        }),
        (
            "cache_departed_keys",
            "Keys that left and are remembered.",
            |r| r.departed,
        ),
        (
            "cache_departed_bytes",
            "Bytes of what is remembered of keys that left.",
            |r| r.departed_bytes,
        ),
        ("cache_leases_held", "Leases that are held.", |r| r.leases),
    ];
    for (name, help, size) in sizes {
        let mut family = out.family(name, Kind::Gauge, help);
        for row in &cache.rows {
            family.sample(&[("policy", &row.name)], size(row));
        }
    }
}

/// Counts that become one family each, by policy.
type Count = fn(&Figures) -> u64;
const COUNTS: &[(&str, &str, Count)] = &[
    (
        "cache_fence_drops_total",
        "Refills dropped because the key was removed since they began.",
        |f| f.fence_drops,
    ),
    (
        "cache_token_refusals_total",
        "Refills that showed a token that is no longer good.",
        |f| f.token_refusals,
    ),
    (
        "cache_lease_waits_total",
        "Reads that waited for another client's refill.",
        |f| f.lease_waits,
    ),
    (
        "cache_refreshes_total",
        "Keys announced for a refill before their end.",
        |f| f.refreshes,
    ),
    (
        "cache_idle_extensions_total",
        "Keys whose lifetime a read began anew.",
        |f| f.idle_extensions,
    ),
    (
        "cache_nulls_evicted_total",
        "Remembered absences that went to make room for others.",
        |f| f.nulls_evicted,
    ),
];

/// Counts that differ by one label of a family: its name, the label, and each value.
type Group = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, Count)],
);
const GROUPS: &[Group] = &[
    (
        "cache_leases_total",
        "Leases given to whoever is to refill a key, and how they ended.",
        "event",
        &[
            ("granted", |f| f.leases_granted),
            ("filled", |f| f.leases_filled),
            ("removed", |f| f.leases_removed),
            ("expired", |f| f.leases_expired),
            ("abandoned", |f| f.leases_abandoned),
        ],
    ),
    (
        "cache_fills_total",
        "Values and absences written.",
        "kind",
        &[("value", |f| f.fills), ("null", |f| f.null_fills)],
    ),
    (
        "cache_removals_total",
        "Keys removed, by why.",
        "reason",
        &[
            ("expired", |f| f.expired),
            ("evicted", |f| f.evicted),
            ("invalidated", |f| f.invalidated),
            ("deleted", |f| f.deleted),
        ],
    ),
    (
        "cache_ttl_decisions_total",
        "Lifetimes that the policy decided otherwise than the writer or the last time.",
        "decision",
        &[
            ("capped", |f| f.ttl_capped),
            ("grown", |f| f.ttl_grown),
            ("shrunk", |f| f.ttl_shrunk),
        ],
    ),
    (
        "cache_refills_total",
        "Refills whose value could be compared with the one before.",
        "value",
        &[
            ("same", |f| f.refills_same),
            ("changed", |f| f.refills_changed),
        ],
    ),
    (
        "cache_shadow_total",
        "What a policy in shadow mode kept from happening.",
        "effect",
        &[
            ("stale", |f| f.shadow_stale),
            ("lease", |f| f.shadow_leases),
            ("fence_drop", |f| f.shadow_fence_drops),
            ("ttl", |f| f.shadow_ttls),
            ("null", |f| f.shadow_nulls),
        ],
    ),
];

fn events(cache: &Cache, out: &mut Exposition) {
    let policies = || cache.rows.iter();
    for &(name, help, count) in COUNTS {
        let mut family = out.family(name, Kind::Counter, help);
        for row in policies() {
            family.sample(&[("policy", &row.name)], count(&row.figures));
        }
    }
    for &(name, help, label, counts) in GROUPS {
        let mut family = out.family(name, Kind::Counter, help);
        for row in policies() {
            for (value, count) in counts {
                family.sample(
                    &[("policy", &row.name), (label, value)],
                    count(&row.figures),
                );
            }
        }
    }
}

fn spreads(cache: &Cache, out: &mut Exposition) {
    type Of = fn(&Figures) -> &Spread;
    let all: [(&'static str, &str, f64, Of); 2] = [
        (
            "cache_eviction_age_seconds",
            "From the last write of a key to its eviction.",
            1.0,
            |f| &f.eviction_age_s,
        ),
        (
            "cache_load_seconds",
            "From a miss to the fill that answers it.",
            1000.0,
            |f| &f.load_ms,
        ),
    ];
    for (name, help, unit, of) in all {
        let mut family = out.family(name, Kind::Histogram, help);
        for row in &cache.rows {
            let spread = of(&row.figures);
            let mut below = 0;
            // The last one has no bound.
            let bounded = spread.buckets[..BUCKETS - 1].iter().enumerate();
            let buckets = bounded.map(|(i, n)| {
                below += n;
                ((1u64 << i) as f64 / unit, below)
            });
            let sum = spread.sum as f64 / unit;
            family.histogram(&[("policy", &row.name)], buckets, spread.count(), sum);
        }
    }
}

fn warming(engine: &Engine, out: &mut Exposition) {
    let warming = Warming::gather(engine);
    out.gauge(
        "cache_warming_in_progress",
        "Whether a warming run is under way.",
        u8::from(warming.is_running),
    );
    out.gauge(
        "cache_warming_duration_seconds",
        "How long the warming run under way has taken by now, or the last one took.",
        warming.duration_ms as f64 / 1000.0,
    );
    for (name, help, count) in [
        (
            "cache_warming_runs_total",
            "Warming runs that came to their end.",
            warming.runs,
        ),
        (
            "cache_warming_failures_total",
            "Warming runs, or parts of one, that failed.",
            warming.failures,
        ),
        (
            "cache_warming_keys_total",
            "Keys that warming announced for a refill.",
            warming.announced,
        ),
    ] {
        out.counter(name, help, count);
    }
}

fn limits(engine: &Engine, out: &mut Exposition) {
    let limits = cache::limits(engine);
    let mut family = out.family(
        "cache_rate_limit_requests_total",
        Kind::Counter,
        "Requests that a rule of rate-limit was asked about, by what it said.",
    );
    for rule in &limits.rules {
        for (result, count) in [("allowed", rule.allowed), ("refused", rule.refused)] {
            family.sample(&[("rule", &rule.rule), ("result", result)], count);
        }
    }
    out.gauge(
        "cache_rate_limit_addresses",
        "Addresses of which is known how many requests came from there.",
        limits.addresses,
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::command::testkit::Kit;

    #[test]
    fn every_line_is_a_comment_or_a_sample_of_the_family_above_it() {
        clock::freeze(1_800_000_000_000);
        let mut kit = Kit::new();
        kit.policy("a a:*");
        for line in ["get a:1", "set a:1 x", "get a:1", "nosuch"] {
            kit.run(line);
        }
        let text = render(&kit.engine);
        let (mut family, mut seen) = ("", BTreeSet::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().expect("a name");
                assert!(seen.insert(family), "{family} twice");
            } else if !line.starts_with("# HELP ") {
                assert!(line.starts_with(family), "{line} under {family}");
                let value = line.rsplit(' ').next().expect("a value");
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            }
        }
        for line in [
            "cache_requests_total{policy=\"a\",status=\"hit\"} 1",
            "cache_requests_total{policy=\"a\",status=\"miss\"} 1",
            "cache_misses_total{policy=\"a\",reason=\"never_seen\"} 1",
            "cache_misses_total{policy=\"(none)\",reason=\"untold\"} 0",
            "cache_hit_rate{policy=\"a\"} 0.5",
            "cache_keys{policy=\"a\"} 1",
            "cache_load_seconds_bucket{policy=\"a\",le=\"0.001\"} 1",
            "cache_load_seconds_count{policy=\"a\"} 1",
            "redis_commands_total{cmd=\"get\"} 2",
            "redis_db_keys{db=\"db0\"} 1",
            "redis_keyspace_misses_total 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("cache_hit_rate{policy=\"(none)\"}"));
    }

    #[test]
    fn rules_of_limits_are_told_one_by_one_up_to_a_bound() {
        let rules: Vec<String> = (0..60).map(|i| format!("user u{i} 5/d")).collect();
        let mut kit = Kit::new();
        let set = format!(
            "config set rate-limit \"anonymous 3/d {}\"",
            rules.join(" ")
        );
        assert_eq!(kit.run(&set), "+OK\r\n");
        for _ in 0..5 {
            kit.run("get k");
        }
        let line = |result: &str, n: u64| {
            let labels = format!("rule=\"anonymous 3/d\",result=\"{result}\"");
            format!("cache_rate_limit_requests_total{{{labels}}} {n}\n")
        };
        let text = render(&kit.engine);
        assert!(text.contains(&line("allowed", 3)), "{text}");
        assert!(text.contains(&line("refused", 2)), "{text}");
        assert!(text.contains("cache_rate_limit_addresses 1\n"));
        assert!(text.contains("{rule=\"user u48 5/d\",result=\"refused\"} 0\n"));
        assert!(text.contains("{rule=\"(others)\",result=\"refused\"} 0\n"));
        let told = text.matches("cache_rate_limit_requests_total{").count();
        assert_eq!(told, 2 * 51);
        // Whoever asks is a client, too.
        kit.engine.gate.open();
        let info = kit.run("info cache");
        assert!(info.contains("cache_rate_limit_allowed:3\r\ncache_rate_limit_refused:2\r\n"));
        let first = "cache_rate_limit_0:allowed=3,refused=2,rule=anonymous 3/d\r\n";
        assert!(info.contains(first), "{info}");
        kit.run("config resetstat");
        let info = kit.run("info cache");
        assert!(info.contains("cache_rate_limit_allowed:0\r\ncache_rate_limit_refused:0\r\n"));
    }
}
