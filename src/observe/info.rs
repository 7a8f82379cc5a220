//! INFO: the server's figures, section by section.
//!
//! The fields are Valkey's, in its order, so that clients and exporters find
//! what they look for; where the feature behind one is still to come, it says
//! what a server says on which that feature rests.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::cache::{self as figures, Cache, Row, Warming};
use super::memory::{Data, Memory, Overshoot, show};
use super::process::{self, CpuTime};
use crate::base::{clock, hash, supervisor};
use crate::cache::limits::RuleStats;
use crate::config::{Primary, param};
use crate::exec::access::Ground;
use crate::exec::engine::{Engine, ScriptFigures, Worker};
use crate::exec::following::{Phase, seconds_since};
use crate::exec::pause::Purpose;
use crate::exec::session::Client;
use crate::exec::totals::{CallTotals, Totals};
use crate::exec::txn::Txn;
use crate::store::figures::REASON_NAMES;
use crate::store::memory;

/// What the sections are written from: one look at everything.
struct Source<'a> {
    used_bytes: usize,
    engine: &'a Engine,
    data: Data,
    cache: Cache,
    totals: Totals,
    now_ms: u64,
}

type Section = fn(&Source<'_>, &mut Lines);

/// A section: its name, its title, whether it comes unasked, and what writes it.
const SECTIONS: &[(&str, &str, bool, Section)] = &[
    ("server", "Server", true, server),
    ("tls", "TLS", false, tls),
    ("clients", "Clients", true, clients),
    ("memory", "Memory", true, memory_section),
    ("persistence", "Persistence", true, persistence),
    ("stats", "Stats", true, stats),
    ("replication", "Replication", true, replication),
    ("cpu", "CPU", true, cpu),
    ("modules", "Modules", true, |_, _| {}),
    ("commandstats", "Commandstats", false, command_stats),
    ("errorstats", "Errorstats", true, error_stats),
    ("latencystats", "Latencystats", false, latency_stats),
    ("cluster", "Cluster", true, cluster),
    ("cluster_info", "Cluster Info", false, cluster_info),
    ("cache", "Cache", true, cache),
    ("keyspace", "Keyspace", true, keyspace),
    (
        "scriptingengines",
        "Scripting Engines",
        false,
        scripting_engines,
    ),
    (DEBUG, "Debug", false, debug),
];

/// The section that comes only by its own name.
const DEBUG: &str = "debug";

/// The sections that words name, in INFO's own order; without a word those that
/// come unasked. A word that names none stands for nothing.
pub fn render(engine: &Engine, txn: &mut Txn<'_>, words: &[&[u8]]) -> String {
    let now_ms = txn.now_ms;
    let gather = || (Data::gather(txn), Cache::gather(txn));
    sections(engine, gather, now_ms, words)
}

/// All sections but for what the shards say, whose locks somebody may hold for ever.
pub fn render_without_data(engine: &Engine) -> String {
    sections(engine, Default::default, clock::unix_ms(), &[b"all"])
}

fn sections(
    engine: &Engine,
    gather: impl FnOnce() -> (Data, Cache),
    now_ms: u64,
    words: &[&[u8]],
) -> String {
    let says = |word: &str| {
        words
            .iter()
            .any(|w| w.eq_ignore_ascii_case(word.as_bytes()))
    };
    let all = says("all") || says("everything");
    let default = words.is_empty() || says("default");
    // Before the answer itself takes memory.
    let used_bytes = crate::store::memory::used_bytes();
    let (data, cache) = gather();
    let source = Source {
        engine,
        used_bytes,
        data,
        cache,
        totals: engine.totals(),
        now_ms,
    };
    let mut lines = Lines::default();
    for (name, title, unasked, write) in SECTIONS {
        let is_other_name = *name == "modules" && says("module_list");
        if !((all && *name != DEBUG) || (default && *unasked) || says(name) || is_other_name) {
            continue;
        }
        if !lines.0.is_empty() {
            lines.0.push_str("\r\n");
        }
        lines.0.push_str("# ");
        lines.0.push_str(title);
        lines.0.push_str("\r\n");
        write(&source, &mut lines);
    }
    lines.0
}

/// The text, line by line.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn put(&mut self, name: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    /// Fields that are 0.
    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.put(name, 0);
        }
    }

    fn bytes(&mut self, name: &str, bytes: u64) {
        self.put(name, bytes);
        self.put(&format!("{name}_human"), show(bytes));
    }

    fn ratio(&mut self, name: &str, value: f64) {
        self.put(name, format_args!("{value:.2}"));
    }

    fn overshoot(&mut self, ratio: &str, bytes: &str, of: Overshoot) {
        self.ratio(ratio, of.ratio);
        self.put(bytes, of.bytes);
    }

    fn cpu(&mut self, whose: &str, time: CpuTime) {
        for (kind, us) in [("sys", time.system_us), ("user", time.user_us)] {
            let (seconds, us) = (us / 1_000_000, us % 1_000_000);
            self.put(
                &format!("used_cpu_{kind}{whose}"),
                format_args!("{seconds}.{us:06}"),
            );
        }
    }
}

fn server(source: &Source<'_>, lines: &mut Lines) {
    let settings = &source.engine.settings;
    let now_us = clock::unix_us();
    let uptime_s = source.now_ms.saturating_sub(source.engine.started_ms) / 1000;
    lines.put("redis_version", "7.2.4");
    lines.put("server_name", "larder");
    lines.put("larder_version", env!("CARGO_PKG_VERSION"));
    lines.put("redis_git_sha1", "00000000");
    lines.put("redis_git_dirty", 0);
    let build = hash::crc64(0, env!("CARGO_PKG_VERSION").as_bytes());
    lines.put("redis_build_id", format_args!("{build:016x}"));
    let mode = source.engine.mode();
    lines.put("redis_mode", mode);
    lines.put("server_mode", mode);
    lines.put("os", process::system());
    lines.put("arch_bits", usize::BITS);
    lines.put("monotonic_clock", "POSIX clock_gettime");
    lines.put("multiplexing_api", "epoll");
    lines.put("gcc_version", "0.0.0");
    lines.put("process_id", std::process::id());
    lines.put("process_supervised", supervisor::name());
    lines.put("run_id", &source.engine.run_id);
    lines.put("tcp_port", settings.int(param::PORT));
    lines.put("server_time_usec", now_us);
    lines.put("uptime_in_seconds", uptime_s);
    lines.put("uptime_in_days", uptime_s / (24 * 3600));
    lines.put("hz", settings.int(param::HZ));
    lines.put("configured_hz", settings.int(param::HZ));
    lines.put("clients_hz", settings.int(param::HZ));
    lines.put("lru_clock", (now_us / 1_000_000) & 0xffff);
    lines.put("executable", process::executable());
    let file = settings.file().map(|f| f.display().to_string());
    lines.put("config_file", file.unwrap_or_default());
    let workers = source.engine.workers.len();
    lines.put("io_threads_active", u8::from(workers > 1));
    let zone = settings.text(param::AVAILABILITY_ZONE);
    lines.put("availability_zone", String::from_utf8_lossy(&zone));
    if let Some(left_ms) = source.engine.shutdown.left_ms() {
        lines.put("shutdown_in_milliseconds", left_ms);
    }
    listeners(source, lines);
}

fn listeners(source: &Source<'_>, lines: &mut Lines) {
    let settings = &source.engine.settings;
    let mut all = Vec::new();
    let port = settings.int(param::PORT);
    if port != 0 {
        let mut text = "name=tcp".to_string();
        for address in settings.bind() {
            text += &format!(",bind={}", String::from_utf8_lossy(&address));
        }
        all.push(format!("{text},port={port}"));
    }
    let path = settings.text(param::UNIXSOCKET);
    if !path.is_empty() {
        let path = String::from_utf8_lossy(&path);
        all.push(format!("name=unix,bind={path}"));
    }
    for (i, text) in all.iter().enumerate() {
        lines.put(&format!("listener{i}"), text);
    }
}

fn tls(_: &Source<'_>, lines: &mut Lines) {
    for whose in ["server", "client", "ca"] {
        lines.put(&format!("tls_{whose}_cert_serial"), "none");
        lines.put(&format!("tls_{whose}_cert_expires_in_seconds"), 0);
    }
}

fn scripting_engines(source: &Source<'_>, lines: &mut Lines) {
    let scripts = &source.engine.counters.scripts;
    let held = [&scripts.script_vm_bytes, &scripts.function_vm_bytes];
    let held: u64 = held.iter().map(|n| n.load(Ordering::Relaxed)).sum();
    lines.put("engines_count", 1);
    lines.put("engines_total_used_memory", held);
    lines.put("engines_total_memory_overhead", 0);
    let engine = format!("name=LUA,module=lua,abi_version=4,used_memory={held},memory_overhead=0");
    lines.put("engine_0", engine);
}

fn clients(source: &Source<'_>, lines: &mut Lines) {
    let all = source.engine.clients.all();
    let most = |figure: fn(&Client) -> u64| all.iter().map(|c| figure(c)).max().unwrap_or(0);
    let input = most(|c| c.query_held.load(Ordering::Relaxed));
    let output = most(Client::owed_held);
    let watching = |c: &&std::sync::Arc<Client>| c.watching.load(Ordering::Relaxed) > 0;
    let followers = all.iter().filter(|c| c.is_follower()).count();
    lines.put("connected_clients", all.len() - followers);
    lines.put("cluster_connections", 0);
    lines.put("maxclients", source.engine.settings.int(param::MAXCLIENTS));
    lines.put("client_recent_max_input_buffer", input);
    lines.put("client_recent_max_output_buffer", output);
    let pause = &source.engine.effects.pause;
    let stopped = pause.stopped.load(Ordering::Relaxed);
    lines.put("blocked_clients", source.engine.waiters.len() + stopped);
    lines.put("tracking_clients", source.engine.tracking.clients());
    let subscribers = all.iter().filter(|c| c.is_subscriber()).count();
    lines.put("pubsub_clients", subscribers);
    lines.put("watching_clients", all.iter().filter(watching).count());
    lines.put("clients_in_timeout_table", 0);
    lines.put("total_watched_keys", source.data.watched);
    lines.put("total_blocking_keys", source.data.awaited);
    lines.put(
        "total_blocking_keys_on_nokey",
        source.engine.waiters.keys_that_may_go(),
    );
    let left_ms = pause.left_ms();
    let purpose = pause.purpose();
    let actions = match (purpose, pause.is_for_all()) {
        (None, _) => "none",
        (_, true) => "all",
        (_, false) => "write",
    };
    lines.put("paused_reason", purpose.map_or("none", Purpose::name));
    lines.put("paused_actions", actions);
    lines.put("paused_timeout_milliseconds", left_ms);
}

/// What scripts and functions take: their interpreters, and what is known of them.
fn scripting_memory(lines: &mut Lines, scripts: &ScriptFigures) {
    let count = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let [of_scripts, of_functions] =
        [&scripts.script_vm_bytes, &scripts.function_vm_bytes].map(count);
    lines.put("used_memory_lua", of_scripts);
    lines.put("used_memory_vm_eval", of_scripts);
    lines.put("used_memory_lua_human", show(of_scripts));
    lines.put("used_memory_scripts_eval", count(&scripts.script_bytes));
    lines.put("number_of_cached_scripts", count(&scripts.scripts));
    lines.put("number_of_functions", count(&scripts.functions));
    lines.put("number_of_libraries", count(&scripts.libraries));
    lines.put("used_memory_vm_functions", of_functions);
    lines.bytes("used_memory_vm_total", of_scripts + of_functions);
    lines.put("used_memory_functions", count(&scripts.library_bytes));
    let known = count(&scripts.script_bytes) + count(&scripts.library_bytes);
    lines.bytes("used_memory_scripts", known);
}

fn memory_section(source: &Source<'_>, lines: &mut Lines) {
    let settings = &source.engine.settings;
    let memory = Memory::gather(source.engine, &source.data, source.used_bytes);
    lines.bytes("used_memory", memory.used as u64);
    lines.bytes("used_memory_rss", memory.resident as u64);
    lines.bytes("used_memory_peak", memory.peak as u64);
    lines.put(
        "used_memory_peak_perc",
        format_args!("{:.2}%", memory.peak_percent()),
    );
    lines.put("used_memory_overhead", memory.overhead());
    lines.put("used_memory_startup", memory.startup);
    lines.put("used_memory_dataset", memory.dataset());
    lines.put(
        "used_memory_dataset_perc",
        format_args!("{:.2}%", memory.dataset_percent()),
    );
    lines.put("allocator_allocated", memory.allocator.allocated);
    lines.put("allocator_active", memory.allocator.active);
    lines.put("allocator_resident", memory.allocator.resident);
    lines.put("allocator_muzzy", 0);
    lines.bytes("total_system_memory", process::machine_bytes());
    scripting_memory(lines, &source.engine.counters.scripts);
    lines.bytes("maxmemory", settings.int(param::MAXMEMORY) as u64);
    let policy = settings.choice_name(param::MAXMEMORY_POLICY);
    lines.put("maxmemory_policy", policy);
    lines.overshoot(
        "allocator_frag_ratio",
        "allocator_frag_bytes",
        memory.fragmentation(),
    );
    lines.overshoot(
        "allocator_rss_ratio",
        "allocator_rss_bytes",
        memory.allocator_resident(),
    );
    lines.overshoot(
        "rss_overhead_ratio",
        "rss_overhead_bytes",
        memory.process_resident(),
    );
    lines.overshoot(
        "mem_fragmentation_ratio",
        "mem_fragmentation_bytes",
        memory.total(),
    );
    let leading = &source.engine.leading;
    let backlog = leading.backlog_bytes.load(Ordering::Relaxed) as usize;
    let sent = leading.bytes_on_their_way();
    lines.put("mem_not_counted_for_evict", sent);
    lines.put("mem_replication_backlog", backlog);
    lines.put("mem_total_replication_buffers", backlog + sent);
    lines.put("mem_replicas_repl_buffer", sent);
    lines.put("mem_clients_slaves", sent);
    lines.put("mem_clients_normal", memory.clients.saturating_sub(sent));
    lines.zeros(&[
        "mem_cluster_links",
        "mem_cluster_slot_import",
        "mem_cluster_slot_export",
        "mem_aof_buffer",
    ]);
    lines.put("mem_allocator", memory::allocator_name());
    lines.zeros(&[
        "mem_overhead_db_hashtable_rehashing",
        "active_defrag_running",
    ]);
    let freeing = source.engine.reclaimer.counts();
    let pending = freeing.pending.load(Ordering::Relaxed);
    let reclaimed = freeing.freed.load(Ordering::Relaxed);
    lines.put("lazyfree_pending_objects", pending);
    lines.put("lazyfreed_objects", reclaimed);
}

fn persistence(source: &Source<'_>, lines: &mut Lines) {
    let is_loading = source.engine.is_loading();
    lines.put("loading", u8::from(is_loading));
    lines.zeros(&[
        "async_loading",
        "current_cow_peak",
        "current_cow_size",
        "current_cow_size_age",
    ]);
    lines.ratio("current_fork_perc", 0.0);
    lines.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
    let saving = &source.engine.saving;
    let state = |is_well: bool| if is_well { "ok" } else { "err" };
    lines.put(
        "rdb_changes_since_last_save",
        saving.unsaved(source.data.stats.changes),
    );
    lines.put("rdb_bgsave_in_progress", u8::from(saving.is_running()));
    lines.put("rdb_last_save_time", saving.last_s());
    lines.put("rdb_last_bgsave_status", state(saving.is_well()));
    lines.put("rdb_last_bgsave_time_sec", saving.took_s());
    lines.put("rdb_current_bgsave_time_sec", saving.running_s());
    lines.put("rdb_saves", saving.saves());
    lines.put("rdb_last_cow_size", 0);
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    lines.put("rdb_last_load_keys_expired", count(&saving.expired_at_load));
    lines.put("rdb_last_load_keys_loaded", count(&saving.loaded));
    lines.zeros(&[
        "aof_enabled",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
    ]);
    lines.put("aof_last_rewrite_time_sec", -1);
    lines.put("aof_current_rewrite_time_sec", -1);
    lines.put("aof_last_bgrewrite_status", "ok");
    lines.zeros(&["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    lines.put("aof_last_write_status", "ok");
    lines.zeros(&[
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
        "slot_migration_fork_in_progress",
    ]);
    if is_loading {
        let loading = &source.engine.loading;
        let (percent, left_s) = loading.progress(clock::unix_ms());
        lines.put("loading_start_time", count(&loading.since_ms) / 1000);
        lines.put("loading_total_bytes", count(&loading.total_bytes));
        lines.put("loading_rdb_used_mem", count(&loading.memory_bytes));
        lines.put("loading_loaded_bytes", count(&loading.loaded_bytes));
        lines.ratio("loading_loaded_perc", percent);
        lines.put("loading_eta_seconds", left_s.unwrap_or(1));
    }
}

fn stats(source: &Source<'_>, lines: &mut Lines) {
    let (totals, stats) = (&source.totals, &source.data.stats);
    let counters = &source.engine.counters;
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let (commands, net_in, net_out, cycles, cycle_us) = {
        let rates = source.engine.rates.lock();
        let (net_in, net_out) = (rates.net_in(), rates.net_out());
        (
            rates.commands(),
            net_in,
            net_out,
            rates.cycles(),
            rates.cycle_us(),
        )
    };
    lines.put("total_connections_received", count(&counters.connections));
    lines.put("total_commands_processed", totals.commands);
    lines.put("instantaneous_ops_per_sec", commands);
    lines.put("total_net_input_bytes", totals.net_in);
    lines.put("total_net_output_bytes", totals.net_out);
    let received = count(&source.engine.following.received);
    lines.put("total_net_repl_input_bytes", received);
    let leading = &source.engine.leading;
    lines.put("total_net_repl_output_bytes", count(&leading.sent));
    lines.zeros(&[
        "total_net_cluster_slot_import_bytes",
        "total_net_cluster_slot_export_bytes",
    ]);
    lines.ratio("instantaneous_input_kbps", net_in as f64 / 1024.0);
    lines.ratio("instantaneous_output_kbps", net_out as f64 / 1024.0);
    lines.ratio("instantaneous_input_repl_kbps", 0.0);
    lines.ratio("instantaneous_output_repl_kbps", 0.0);
    lines.put(
        "rejected_connections",
        count(&counters.rejected_connections),
    );
    lines.put("sync_full", count(&leading.full_syncs));
    lines.put("sync_partial_ok", count(&leading.partial_syncs));
    lines.put("sync_partial_err", count(&leading.partial_refusals));
    lines.put("expired_keys", stats.expired);
    lines.put("expired_fields", stats.expired_fields);
    lines.ratio("expired_stale_perc", 0.0);
    lines.ratio("expired_keys_with_volatile_items_stale_perc", 0.0);
    lines.put("expired_time_cap_reached_count", 0);
    lines.put(
        "expire_cycle_cpu_milliseconds",
        totals.expiry_ns / 1_000_000,
    );
    lines.put("evicted_keys", stats.evicted);
    lines.put("evicted_clients", count(&counters.client_evictions));
    lines.put("evicted_scripts", count(&counters.scripts.evicted));
    let eviction_ms = count(&counters.eviction_ns) / 1_000_000;
    lines.put("total_eviction_exceeded_time", eviction_ms);
    lines.put("current_eviction_exceeded_time", 0);
    lines.put("keyspace_hits", stats.hits);
    lines.put("keyspace_misses", stats.misses);
    lines.put("pubsub_channels", count(&counters.channels));
    lines.put("pubsub_patterns", count(&counters.patterns));
    lines.put("pubsubshard_channels", count(&counters.shard_channels));
    lines.zeros(&["latest_fork_usec", "total_forks"]);
    lines.put("migrate_cached_sockets", count(&counters.migrate_links));
    let own_keys = source.engine.following.own_keys();
    lines.put("slave_expires_tracked_keys", own_keys);
    lines.zeros(&[
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ]);
    let tracking = &source.engine.tracking;
    lines.put("tracking_total_keys", tracking.keys());
    lines.put("tracking_total_items", tracking.items());
    lines.put("tracking_total_prefixes", tracking.prefixes());
    lines.put("unexpected_error_replies", 0);
    lines.put("total_error_replies", totals.errors);
    lines.put("dump_payload_sanitizations", 0);
    lines.put("total_reads_processed", totals.batches);
    lines.put("total_writes_processed", totals.writes);
    // One thread alone does all by itself.
    let are_threads = source.engine.workers.len() > 1;
    let by_threads = |n| if are_threads { n } else { 0 };
    lines.put("io_threaded_reads_processed", by_threads(totals.batches));
    lines.put("io_threaded_writes_processed", by_threads(totals.writes));
    lines.zeros(&[
        "io_threaded_freed_objects",
        "io_threaded_accept_processed",
        "io_threaded_poll_processed",
    ]);
    lines.put("io_threaded_total_prefetch_batches", totals.prefetches);
    lines.put("io_threaded_total_prefetch_entries", totals.prefetched);
    lines.put(
        "client_query_buffer_limit_disconnections",
        count(&counters.query_limit_drops),
    );
    lines.put(
        "client_output_buffer_limit_disconnections",
        count(&counters.output_limit_drops),
    );
    lines.put(
        "reply_buffer_shrinks",
        count(&counters.reply_buffer_shrinks),
    );
    lines.put(
        "reply_buffer_expands",
        count(&counters.reply_buffer_expands),
    );
    lines.put("eventloop_cycles", totals.cycles);
    lines.put("eventloop_duration_sum", totals.active_us);
    let nanos: u64 = totals.calls.iter().map(|c| c.nanos).sum();
    let outermost = nanos.saturating_sub(totals.nested_ns);
    lines.put("eventloop_duration_cmd_sum", outermost / 1000);
    lines.put("instantaneous_eventloop_cycles_per_sec", cycles);
    lines.put("instantaneous_eventloop_duration_usec", cycle_us);
    lines.put("acl_access_denied_auth", count(&counters.auth_failures));
    let denied = |ground: Ground| count(&counters.denials[ground as usize]);
    lines.put("acl_access_denied_cmd", denied(Ground::Command));
    lines.put("acl_access_denied_key", denied(Ground::Key));
    lines.put("acl_access_denied_channel", denied(Ground::Channel));
    lines.zeros(&["acl_access_denied_tls_cert"]);
    lines.put("acl_access_denied_db", denied(Ground::Database));
}

/// What there is to say of the server that is followed.
fn follower(engine: &Engine, primary: &Primary, lines: &mut Lines) {
    let (following, settings) = (&engine.following, &engine.settings);
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    lines.put("role", "slave");
    lines.put("master_host", String::from_utf8_lossy(&primary.host));
    lines.put("master_port", primary.port);
    let phase = following.phase();
    let is_linked = phase == Phase::Connected;
    lines.put("master_link_status", if is_linked { "up" } else { "down" });
    lines.put("master_last_io_seconds_ago", following.silent_s());
    lines.put("master_sync_in_progress", u8::from(phase == Phase::Sync));
    let offset = count(&engine.leading.offset);
    let (read, carried_out) = match following.can_resume.load(Ordering::Relaxed) {
        true if is_linked => (count(&following.read_offset), offset),
        true => (offset, offset),
        false => (1, 1),
    };
    lines.put("slave_read_repl_offset", read);
    lines.put("slave_repl_offset", carried_out);
    lines.zeros(&["replicas_repl_buffer_size", "replicas_repl_buffer_peak"]);
    if phase == Phase::Sync {
        let transfer = &following.transfer;
        let (total, read) = (count(&transfer.total), count(&transfer.read));
        lines.put("master_sync_total_bytes", total);
        lines.put("master_sync_read_bytes", read);
        lines.put("master_sync_left_bytes", total as i64 - read as i64);
        let percent = match total {
            0 => 0.0,
            total => read as f64 / total as f64 * 100.0,
        };
        lines.put("master_sync_perc", format_args!("{percent:.2}"));
        let silent_s = seconds_since(&transfer.active_ms);
        lines.put("master_sync_last_io_seconds_ago", silent_s);
    }
    if !is_linked {
        let down_s = match count(&following.down_since_ms) {
            0 => -1,
            _ => seconds_since(&following.down_since_ms),
        };
        lines.put("master_link_down_since_seconds", down_s);
    }
    lines.put("slave_priority", settings.int(param::REPLICA_PRIORITY));
    let read_only = settings.flag(param::REPLICA_READ_ONLY);
    lines.put("slave_read_only", u8::from(read_only));
    let announced = settings.flag(param::REPLICA_ANNOUNCED);
    lines.put("replica_announced", u8::from(announced));
}

fn replication(source: &Source<'_>, lines: &mut Lines) {
    let (engine, leading) = (source.engine, &source.engine.leading);
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    match engine.following.leader() {
        Some(primary) => follower(engine, &primary, lines),
        None => lines.put("role", "master"),
    }
    let followers = leading.followers();
    lines.put("connected_slaves", followers.len());
    if engine.settings.int(param::MIN_REPLICAS_TO_WRITE) > 0 {
        lines.put("min_slaves_good_slaves", leading.good());
    }
    for (i, follower) in followers.iter().enumerate() {
        lines.put(
            &format!("slave{i}"),
            format_args!(
                "ip={},port={},state={},offset={},lag={},type=replica",
                follower.ip(),
                follower.port,
                follower.progress().name(),
                count(&follower.acked),
                follower.lag_s(),
            ),
        );
    }
    lines.put("replicas_waiting_psync", 0);
    lines.put("master_failover_state", leading.failover.stage().name());
    lines.put("master_replid", leading.id());
    let former = leading.former();
    let (former, end) = match former {
        Some((id, end)) => (id, end as i64),
        None => ("0".repeat(40), -1),
    };
    lines.put("master_replid2", former);
    let (offset, kept) = (count(&leading.offset), count(&leading.backlog_bytes));
    lines.put("master_repl_offset", offset);
    lines.put("second_repl_offset", end);
    let is_active = leading.has_backlog.load(Ordering::Relaxed);
    lines.put("repl_backlog_active", u8::from(is_active));
    let backlog = engine.settings.int(param::REPL_BACKLOG_SIZE);
    lines.put("repl_backlog_size", backlog);
    let first = if is_active { offset - kept + 1 } else { 0 };
    lines.put("repl_backlog_first_byte_offset", first);
    lines.put("repl_backlog_histlen", kept);
}

fn cpu(source: &Source<'_>, lines: &mut Lines) {
    lines.cpu("", process::cpu());
    lines.cpu("_children", process::cpu_of_children());
    lines.cpu("_main_thread", process::cpu_of_main_thread());
    for (i, worker) in source.engine.workers.iter().enumerate() {
        let whose = match i {
            0 => "main_thread".to_string(),
            i => format!("io_thread_{i}"),
        };
        let us = worker.active_us();
        lines.put(
            &format!("used_active_time_{whose}"),
            format_args!("{}.{:06}", us / 1_000_000, us % 1_000_000),
        );
    }
}

fn command_stats(source: &Source<'_>, lines: &mut Lines) {
    let table = &source.engine.commands;
    for (number, spec) in table.all().iter().enumerate() {
        let own = [None].into_iter();
        for sub in own.chain((0..spec.subcommands.len()).map(Some)) {
            let calls = source.totals.calls[table.counter(number, sub)];
            if calls != CallTotals::default() {
                let name = format!("cmdstat_{}", table.full_name(number, sub));
                lines.put(&name, show_calls(calls));
            }
        }
    }
}

fn show_calls(calls: CallTotals) -> String {
    let us = calls.nanos / 1000;
    let each = match calls.calls {
        0 => 0.0,
        n => calls.nanos as f64 / 1000.0 / n as f64,
    };
    format!(
        "calls={},usec={us},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
        calls.calls, calls.rejected, calls.failed
    )
}

fn latency_stats(source: &Source<'_>, lines: &mut Lines) {
    let percentiles = source.engine.settings.latency_percentiles();
    for (counter, counts) in source.engine.latencies() {
        let name = source.engine.commands.name_of_counter(counter);
        let figure = |percent: &f64| {
            let us = counts.percentile(*percent) as f64 / 1000.0;
            format!("p{percent}={us:.3}")
        };
        let figures: Vec<String> = percentiles.iter().map(figure).collect();
        let name = format!("latency_percentiles_usec_{name}");
        lines.put(&name, figures.join(","));
    }
}

fn error_stats(source: &Source<'_>, lines: &mut Lines) {
    for (code, count) in source.engine.errors.lock().iter() {
        let code = String::from_utf8_lossy(code).replace(['#', ':', '\n', '\r'], "_");
        lines.put(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn cluster(source: &Source<'_>, lines: &mut Lines) {
    let is_clustered = source.engine.routing.is_some();
    lines.put("cluster_enabled", u8::from(is_clustered));
}

fn cluster_info(source: &Source<'_>, lines: &mut Lines) {
    if let Some(routing) = &source.engine.routing {
        lines.0 += &routing.info();
    }
}

fn debug(source: &Source<'_>, lines: &mut Lines) {
    let workers = &source.engine.workers;
    let get = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
    let most = |of: fn(&Worker) -> &std::sync::atomic::AtomicU64| {
        workers.iter().map(|w| get(of(w))).max().unwrap_or(0)
    };
    lines.put("eventloop_duration_aof_sum", 0);
    let cron_ns = source.engine.total(|w| &w.cron_ns);
    lines.put("eventloop_duration_cron_sum", cron_ns / 1000);
    lines.put("eventloop_duration_max", most(|w| &w.stretch_max_ns) / 1000);
    lines.put("eventloop_cmd_per_cycle_max", most(|w| &w.batch_max));
    lines.zeros(&["io_threaded_reads_pending", "io_threaded_writes_pending"]);
}

fn cache(source: &Source<'_>, lines: &mut Lines) {
    let total = source.cache.total();
    lines.put("cache_policies", source.cache.policies());
    lines.put("cache_requests", total.requests());
    lines.put("cache_misses", total.missed());
    lines.put("cache_hit_rate", Rate(total.hit_rate()));
    lines.put("cache_penetration_rate", Rate(total.penetration_rate()));
    lines.put("cache_penetration_attempts", total.penetration_attempts());
    for (name, count) in total.figures.counts() {
        lines.put(&format!("cache_{name}"), count);
    }
    for (reason, count) in REASON_NAMES.iter().zip(total.figures.misses) {
        lines.put(&format!("cache_misses_{reason}"), count);
    }
    lines.put("cache_nulls", total.nulls);
    lines.put("cache_null_bytes", total.null_bytes);
    lines.put("cache_departed", total.departed);
    lines.put("cache_departed_bytes", total.departed_bytes);
    lines.put("cache_leases_held", total.leases);
    let warming = Warming::gather(source.engine);
    lines.put("cache_warming_in_progress", u8::from(warming.is_running));
    lines.put("cache_warming_runs", warming.runs);
    lines.put("cache_warming_failures", warming.failures);
    lines.put("cache_warming_announced", warming.announced);
    lines.put("cache_warming_duration_ms", warming.duration_ms);
    let limits = figures::limits(source.engine);
    let sum = |of: fn(&RuleStats) -> u64| limits.rules.iter().map(of).sum::<u64>();
    lines.put("cache_rate_limit_allowed", sum(|rule| rule.allowed));
    lines.put("cache_rate_limit_refused", sum(|rule| rule.refused));
    lines.put("cache_rate_limit_addresses", limits.addresses);
    for (i, rule) in limits.rules.iter().enumerate() {
        let RuleStats {
            rule,
            allowed,
            refused,
        } = rule;
        // The rule stands last: a user's name may have any character in it.
        let line = format!("allowed={allowed},refused={refused},rule={rule}");
        lines.put(&format!("cache_rate_limit_{i}"), line);
    }
    for row in source.cache.rows.iter().filter(|row| row.pattern.is_some()) {
        // What stands before the first colon is the field's name.
        let name = format!("cache_policy_{}", row.name.replace(':', "%3A"));
        lines.put(&name, show_policy(row));
    }
}

fn show_policy(row: &Row) -> String {
    let figures = &row.figures;
    format!(
        "keys={},bytes={},nulls={},null_bytes={},requests={},hits={},null_hits={},stale_hits={},\
         misses={},hit_rate={},penetration_rate={},fills={},null_fills={},fence_drops={},\
         leases_held={},evicted={},invalidated={}",
        row.keys,
        row.bytes,
        row.nulls,
        row.null_bytes,
        row.requests(),
        figures.hits,
        figures.null_hits,
        figures.stale_hits,
        row.missed(),
        Rate(row.hit_rate()),
        Rate(row.penetration_rate()),
        figures.fills,
        figures.null_fills,
        figures.fence_drops,
        row.leases,
        figures.evicted,
        figures.invalidated,
    )
}

/// A share of all requests; 0 where there was none.
struct Rate(Option<f64>);

impl Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.4}", self.0.unwrap_or(0.0))
    }
}

fn keyspace(source: &Source<'_>, lines: &mut Lines) {
    for (number, db) in &source.data.databases {
        lines.put(
            &format!("db{number}"),
            format_args!(
                "keys={},expires={},avg_ttl={},keys_with_volatile_items={}",
                db.keys, db.volatile, db.ttl_mean_ms, db.with_volatile_items
            ),
        );
    }
}
