//! The parameter table: every directive of redis.conf, and nothing about one
//! elsewhere.
//!
//! A row is `HANDLE: Kind("name", "default", …)` with what is special about it
//! behind; a default is text, read as a file's would be. Everything else comes
//! from here: the file, the command line, CONFIG GET, SET and REWRITE, and the
//! test that holds `conf/larder.conf` to it. To add a parameter, add its row.
//!
//! Names, ranges and defaults are those of Valkey 9.1.2; where Larder differs
//! (`bind`, `io-threads`, `maxmemory-policy`, `syslog-ident`), or has more
//! (`rate-limit`), a test says so.

use std::thread;

use super::check;
use super::kind::{Form, Kind};
use super::names;
use super::table::Param;

pub use super::names::at_end;
pub use super::table::{Access, Bits, Choice, Flag, Int, Structured, Text, find};

const I32_MIN: i128 = i32::MIN as i128;
const I32_MAX: i128 = i32::MAX as i128;
const U32_MAX: i128 = u32::MAX as i128;
const I64_MAX: i128 = i64::MAX as i128;
const U64_MAX: i128 = u64::MAX as i128;
const MIB: i128 = 1 << 20;

/// As many workers as the machine has cores, where nobody says how many.
fn cores_for_zero(workers: i128) -> i128 {
    match workers {
        0 => thread::available_parallelism().map_or(1, |n| n.get().min(256) as i128),
        _ => workers,
    }
}

/// Writes the table from its rows, with one handle for each.
macro_rules! params {
    ($(
        $(#[$doc:meta])*
        $handle:ident: $kind:ident($name:literal $(, $arg:expr)*)
            $(.$with:ident($($value:expr),*))*;
    )*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Row {
            $($handle,)*
        }

        $(
            #[doc = concat!("`", $name, "`")]
            ///
            $(#[$doc])*
            pub const $handle: $kind = $kind::at(Row::$handle as u16);
        )*

        pub(super) static TABLE: [Param; [$(Row::$handle),*].len()] = [
            $($kind::param($name $(, $arg)*)$(.$with($($value),*))*,)*
        ];
    };
}

params! {
    // Addresses, connections and clients.

    /// Addresses to listen on; `-` before one lets it be missing, `*` and `::*` are all.
    BIND: Structured("bind", "127.0.0.1 -::1", Kind::Addresses).in_force();
    /// TCP port; 0 for none.
    PORT: Int("port", "6379", 0..=65535).in_force();
    /// TCP port of the HTTP endpoint with the server's figures and health; 0 for none.
    HTTP_PORT: Int("http-port", "8379", 0..=65535).in_force();
    /// Addresses of it, as `bind` takes them.
    HTTP_BIND: Structured("http-bind", "127.0.0.1 -::1", Kind::Addresses).in_force();
    /// Path of a UNIX socket to listen on; empty for none.
    UNIXSOCKET: Text("unixsocket", "").immutable().in_force();
    /// Mode of the UNIX socket; 0 for what the process's mask gives.
    UNIXSOCKETPERM: Int("unixsocketperm", "0", 0..=0o777).immutable().form(Form::Octal).in_force();
    /// Group of the UNIX socket; empty for the process's own.
    UNIXSOCKETGROUP: Text("unixsocketgroup", "").immutable().in_force();
    /// Connections that the kernel queues before they are accepted.
    TCP_BACKLOG: Int("tcp-backlog", "511", 0..=I32_MAX).immutable().in_force();
    /// Seconds between probes of a silent connection; 0 for none.
    TCP_KEEPALIVE: Int("tcp-keepalive", "300", 0..=I32_MAX).in_force();
    /// Seconds after which an idle client is dropped; 0 for never.
    TIMEOUT: Int("timeout", "0", 0..=I32_MAX).in_force();
    /// Most clients at a time.
    MAXCLIENTS: Int("maxclients", "10000", 1..=U32_MAX).in_force();
    /// Whether only local clients are served while no password is set.
    PROTECTED_MODE: Flag("protected-mode", "yes").in_force();
    MPTCP: Flag("mptcp", "no").immutable();
    /// From which address this server connects to the one that it follows.
    BIND_SOURCE_ADDR: Text("bind-source-addr", "").in_force();
    SOCKET_MARK_ID: Int("socket-mark-id", "0", 0..=U32_MAX).immutable();
    /// Worker threads. 0 in a file stands for the number of cores, and reads as that number.
    IO_THREADS: Int("io-threads", "0", 0..=256).adjust(cores_for_zero).in_force();
    IO_THREADS_ALWAYS_ACTIVE: Flag("io-threads-always-active", "no").hidden();
    MIN_IO_THREADS_AVOID_COPY_REPLY: Int("min-io-threads-avoid-copy-reply", "7", 0..=I32_MAX)
        .hidden();
    /// Bytes.
    MIN_STRING_SIZE_AVOID_COPY_REPLY: Int("min-string-size-avoid-copy-reply", "16384", 0..=I32_MAX)
        .hidden()
        .in_force();
    /// Bytes.
    MIN_STRING_SIZE_AVOID_COPY_REPLY_THREADED: Int(
        "min-string-size-avoid-copy-reply-threaded",
        "65536",
        0..=I32_MAX
    )
        .hidden();
    PREFETCH_BATCH_MAX_SIZE: Int("prefetch-batch-max-size", "16", 0..=128);
    MAX_NEW_CONNECTIONS_PER_CYCLE: Int("max-new-connections-per-cycle", "10", 1..=1000);
    MAX_NEW_TLS_CONNECTIONS_PER_CYCLE: Int("max-new-tls-connections-per-cycle", "1", 1..=1000);
    /// Most bytes of a request that is not complete yet.
    CLIENT_QUERY_BUFFER_LIMIT: Int("client-query-buffer-limit", "1gb", MIB..=I64_MAX)
        .form(Form::Bytes)
        .in_force();
    /// What a client may owe, by class.
    CLIENT_OUTPUT_BUFFER_LIMIT: Structured(
        "client-output-buffer-limit",
        "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
        Kind::OutputLimits
    )
        .in_force();
    /// Most requests in a time, by user or address.
    RATE_LIMIT: Structured("rate-limit", "", Kind::RateLimits).in_force();
    /// Most bytes of one argument.
    PROTO_MAX_BULK_LEN: Int("proto-max-bulk-len", "512mb", MIB..=I64_MAX)
        .form(Form::Bytes)
        .in_force();
    RDMA_BIND: Structured("rdma-bind", "", Kind::Addresses);
    RDMA_PORT: Int("rdma-port", "0", 0..=65535);
    /// Bytes.
    RDMA_RX_SIZE: Int("rdma-rx-size", "1048576", 64 * 1024..=16 * MIB).immutable();
    RDMA_COMPLETION_VECTOR: Int("rdma-completion-vector", "-1", -1..=1024).immutable();

    // The process and its log.

    /// Whether the process goes to the background.
    DAEMONIZE: Flag("daemonize", "no").immutable().in_force();
    /// File for the process's number; empty for none.
    PIDFILE: Text("pidfile", "").immutable().in_force();
    /// Who started the process and wants to hear when it is ready.
    SUPERVISED: Choice("supervised", "no", names::SUPERVISED).immutable().in_force();
    /// The folder that relative paths start from.
    DIR: Text("dir", "").protected().refused_while_loading().kept_as(Kind::Folder).in_force();
    /// Rounds of background work in a second, from 1 to 500.
    HZ: Int("hz", "10", 0..=I32_MAX).adjust(|hz| hz.clamp(1, 500)).in_force();
    /// Seconds that a shutdown waits for followers.
    SHUTDOWN_TIMEOUT: Int("shutdown-timeout", "10", 0..=I32_MAX).in_force();
    /// What SIGINT wants done before the end.
    SHUTDOWN_ON_SIGINT: Bits(
        "shutdown-on-sigint",
        "default",
        names::SHUTDOWN,
        names::SAVE_OR_NOT
    ).in_force();
    /// What SIGTERM wants done before the end.
    SHUTDOWN_ON_SIGTERM: Bits(
        "shutdown-on-sigterm",
        "default",
        names::SHUTDOWN,
        names::SAVE_OR_NOT
    ).in_force();
    /// The least severe message that is logged.
    LOGLEVEL: Choice("loglevel", "notice", names::LOG_LEVELS).in_force();
    /// The log; empty for standard output.
    LOGFILE: Text("logfile", "").immutable().in_force();
    /// How a message is written.
    LOG_FORMAT: Choice("log-format", "legacy", names::LOG_FORMATS).in_force();
    /// How its time is written.
    LOG_TIMESTAMP_FORMAT: Choice("log-timestamp-format", "legacy", names::LOG_TIMES).in_force();
    /// Whether the system's log is told, too.
    SYSLOG_ENABLED: Flag("syslog-enabled", "no").immutable().in_force();
    /// The name that it is told.
    SYSLOG_IDENT: Text("syslog-ident", "larder").immutable().in_force();
    /// The facility that it is told.
    SYSLOG_FACILITY: Choice("syslog-facility", "local0", names::FACILITIES).immutable().in_force();
    /// Whether a logo is printed at start even where nobody looks.
    ALWAYS_SHOW_LOGO: Flag("always-show-logo", "no").immutable().in_force();
    /// Whether what clients sent stays out of the log.
    HIDE_USER_DATA_FROM_LOG: Flag("hide-user-data-from-log", "yes").in_force();
    /// Whether `ps` shows a title.
    SET_PROC_TITLE: Flag("set-proc-title", "yes").immutable().in_force();
    /// That title, with variables in braces.
    PROC_TITLE_TEMPLATE: Text("proc-title-template", "{title} {listen-addr} {server-mode}")
        .check(check::proc_title_template)
        .in_force();
    IGNORE_WARNINGS: Text("ignore-warnings", "");
    LOCALE_COLLATE: Text("locale-collate", "");
    /// Processors for the workers, as `taskset -c` takes them; empty for all.
    SERVER_CPULIST: Text("server-cpulist", "")
        .alias("server_cpulist")
        .immutable()
        .in_force();
    BIO_CPULIST: Text("bio-cpulist", "").alias("bio_cpulist").immutable();
    AOF_REWRITE_CPULIST: Text("aof-rewrite-cpulist", "").alias("aof_rewrite_cpulist").immutable();
    BGSAVE_CPULIST: Text("bgsave-cpulist", "").alias("bgsave_cpulist").immutable();
    OOM_SCORE_ADJ: Choice("oom-score-adj", "no", names::OOM_SCORE_ADJ).in_force();
    OOM_SCORE_ADJ_VALUES: Structured("oom-score-adj-values", "0 200 800", Kind::OomScores).in_force();
    DISABLE_THP: Flag("disable-thp", "yes").immutable();
    /// Whether the log tells of the state in which the server crashed.
    CRASH_LOG_ENABLED: Flag("crash-log-enabled", "yes").in_force();
    CRASH_MEMCHECK_ENABLED: Flag("crash-memcheck-enabled", "yes");

    // Who may do what.

    /// The default user's password; empty for none.
    REQUIREPASS: Text("requirepass", "").sensitive().in_force();
    /// The file of users; empty for none.
    ACLFILE: Text("aclfile", "").immutable().in_force();
    /// Most entries of ACL LOG.
    ACLLOG_MAX_LEN: Int("acllog-max-len", "128", 0..=I64_MAX).in_force();
    /// Which channels new users begin with.
    ACL_PUBSUB_DEFAULT: Choice("acl-pubsub-default", "resetchannels", names::PUBSUB_DEFAULT)
        .in_force();
    /// Who may change protected parameters.
    ENABLE_PROTECTED_CONFIGS: Choice("enable-protected-configs", "no", names::WHO)
        .immutable()
        .in_force();
    /// Who may call DEBUG.
    ENABLE_DEBUG_COMMAND: Choice("enable-debug-command", "no", names::WHO)
        .immutable()
        .in_force();
    /// Who may call what MODULE would load modules by.
    ENABLE_MODULE_COMMAND: Choice("enable-module-command", "no", names::WHO)
        .immutable()
        .in_force();

    /// The file of policies; empty for none.
    POLICYFILE: Text("policyfile", "").protected().in_force();

    // The keyspace and its memory.

    /// Number of databases.
    DATABASES: Int("databases", "16", 1..=I32_MAX).immutable().in_force();
    /// Bytes of memory; 0 for no limit.
    MAXMEMORY: Int("maxmemory", "0", 0..=U64_MAX).form(Form::Bytes).in_force();
    /// Bytes of remembered absences.
    NULL_MAX: Int("null-max", "0", 0..=I64_MAX).form(Form::Bytes).in_force();
    /// The stream on which keys are announced that are to be refilled; empty for none.
    REFRESH_STREAM: Text("refresh-stream", "larder:refresh").in_force();
    /// The database that it is in.
    REFRESH_STREAM_DB: Int("refresh-stream-db", "0", 0..=I32_MAX).in_force();
    /// Entries that are kept of it, about.
    REFRESH_STREAM_MAX: Int("refresh-stream-max", "10000", 1..=I64_MAX).in_force();
    /// The file that the hottest keys are saved in; empty for none.
    WARM_FILE: Text("warm-file", "").protected().in_force();
    /// Most keys that it names.
    WARM_KEYS: Int("warm-keys", "10000", 1..=1_000_000).in_force();
    /// Seconds from one save to the next; 0: at the end alone.
    WARM_SAVE_PERIOD: Int("warm-save-period", "60", 0..=I32_MAX).in_force();
    /// Whether the saved keys are announced at start.
    WARM_ON_START: Flag("warm-on-start", "yes").in_force();
    /// When hot keys are announced, as cron writes it; empty for never.
    WARM_SCHEDULE: Text("warm-schedule", "").check(check::schedule).in_force();
    /// Reads that a key must have had to be announced then.
    WARM_MIN_READS: Int("warm-min-reads", "1", 0..=65535).in_force();
    /// Percent of its policy's reads that must have hit, likewise.
    WARM_MIN_HIT_RATIO: Int("warm-min-hit-ratio", "0", 0..=100).in_force();
    /// What is evicted when memory is full; `larder` is the native policy.
    MAXMEMORY_POLICY: Choice("maxmemory-policy", "larder", names::POLICIES).in_force();
    /// Entries that an eviction by sampling looks at.
    MAXMEMORY_SAMPLES: Int("maxmemory-samples", "5", 1..=64).in_force();
    MAXMEMORY_EVICTION_TENACITY: Int("maxmemory-eviction-tenacity", "10", 0..=100);
    /// Bytes for all clients together, or where negative, percent of maxmemory; 0 for no limit.
    MAXMEMORY_CLIENTS: Int("maxmemory-clients", "0", -100..=I64_MAX).form(Form::BytesOrPercent).in_force();
    /// How slowly the access frequency of a key grows with its accesses.
    LFU_LOG_FACTOR: Int("lfu-log-factor", "10", 0..=I32_MAX).in_force();
    /// Minutes after which the access frequency of an idle key falls by one.
    LFU_DECAY_TIME: Int("lfu-decay-time", "1", 0..=I32_MAX).in_force();
    /// Whether evicted values are freed in the background.
    LAZYFREE_LAZY_EVICTION: Flag("lazyfree-lazy-eviction", "yes").in_force();
    /// Whether expired values are freed in the background.
    LAZYFREE_LAZY_EXPIRE: Flag("lazyfree-lazy-expire", "yes").in_force();
    /// Whether overwritten values are freed in the background.
    LAZYFREE_LAZY_SERVER_DEL: Flag("lazyfree-lazy-server-del", "yes").in_force();
    /// Whether DEL frees in the background, as UNLINK does.
    LAZYFREE_LAZY_USER_DEL: Flag("lazyfree-lazy-user-del", "yes").in_force();
    /// Whether FLUSHDB and FLUSHALL free in the background by default.
    LAZYFREE_LAZY_USER_FLUSH: Flag("lazyfree-lazy-user-flush", "yes").in_force();
    ACTIVE_EXPIRE_EFFORT: Int("active-expire-effort", "1", 1..=10);
    ACTIVEREHASHING: Flag("activerehashing", "yes");
    HASH_SEED: Text("hash-seed", "").immutable().check(check::hash_seed);
    /// Whether data is brought in from another server: nothing expires or is evicted.
    IMPORT_MODE: Flag("import-mode", "no").in_force();
    JEMALLOC_BG_THREAD: Flag("jemalloc-bg-thread", "yes");
    ACTIVEDEFRAG: Flag("activedefrag", "no");
    /// Bytes of waste below which nothing is moved.
    ACTIVE_DEFRAG_IGNORE_BYTES: Int("active-defrag-ignore-bytes", "100mb", 1..=I64_MAX)
        .form(Form::Bytes);
    /// Percent of waste.
    ACTIVE_DEFRAG_THRESHOLD_LOWER: Int("active-defrag-threshold-lower", "10", 0..=1000);
    /// Percent of waste.
    ACTIVE_DEFRAG_THRESHOLD_UPPER: Int("active-defrag-threshold-upper", "100", 0..=1000);
    /// Percent of a core.
    ACTIVE_DEFRAG_CYCLE_MIN: Int("active-defrag-cycle-min", "1", 1..=99);
    /// Percent of a core.
    ACTIVE_DEFRAG_CYCLE_MAX: Int("active-defrag-cycle-max", "25", 1..=99);
    /// Microseconds.
    ACTIVE_DEFRAG_CYCLE_US: Int("active-defrag-cycle-us", "500", 0..=100000);
    ACTIVE_DEFRAG_MAX_SCAN_FIELDS: Int("active-defrag-max-scan-fields", "1000", 1..=I64_MAX);

    // How values are packed.

    HASH_MAX_LISTPACK_ENTRIES: Int("hash-max-listpack-entries", "512", 0..=I64_MAX)
        .alias("hash-max-ziplist-entries")
        .in_force();
    /// Bytes.
    HASH_MAX_LISTPACK_VALUE: Int("hash-max-listpack-value", "64", 0..=I64_MAX)
        .alias("hash-max-ziplist-value")
        .form(Form::Bytes)
        .in_force();
    /// Elements of a node; from -1 to -5, a node of 4 to 64 KiB.
    LIST_MAX_LISTPACK_SIZE: Int("list-max-listpack-size", "-2", I32_MIN..=I32_MAX)
        .alias("list-max-ziplist-size")
        .in_force();
    LIST_COMPRESS_DEPTH: Int("list-compress-depth", "0", 0..=I32_MAX).in_force();
    SET_MAX_INTSET_ENTRIES: Int("set-max-intset-entries", "512", 0..=I64_MAX).in_force();
    SET_MAX_LISTPACK_ENTRIES: Int("set-max-listpack-entries", "128", 0..=I64_MAX).in_force();
    /// Bytes.
    SET_MAX_LISTPACK_VALUE: Int("set-max-listpack-value", "64", 0..=I64_MAX).in_force();
    ZSET_MAX_LISTPACK_ENTRIES: Int("zset-max-listpack-entries", "128", 0..=I64_MAX)
        .alias("zset-max-ziplist-entries")
        .in_force();
    /// Bytes.
    ZSET_MAX_LISTPACK_VALUE: Int("zset-max-listpack-value", "64", 0..=I64_MAX)
        .alias("zset-max-ziplist-value")
        .form(Form::Bytes)
        .in_force();
    /// Bytes.
    HLL_SPARSE_MAX_BYTES: Int("hll-sparse-max-bytes", "3000", 0..=I64_MAX)
        .form(Form::Bytes)
        .in_force();
    /// Bytes.
    STREAM_NODE_MAX_BYTES: Int("stream-node-max-bytes", "4kb", 0..=I64_MAX).form(Form::Bytes).in_force();
    STREAM_NODE_MAX_ENTRIES: Int("stream-node-max-entries", "100", 0..=I64_MAX).in_force();

    // Scripts, events and tracking.

    /// Milliseconds.
    BUSY_REPLY_THRESHOLD: Int("busy-reply-threshold", "5000", 0..=I64_MAX)
        .alias("lua-time-limit")
        .in_force();
    LUA_ENABLE_INSECURE_API: Flag("lua-enable-insecure-api", "no")
        .alias("lua-enable-deprecated-api")
        .protected()
        .hidden();
    NOTIFY_KEYSPACE_EVENTS: Bits("notify-keyspace-events", "", &[], names::NO_CONFLICT).in_force()
        .kept_as(Kind::Events);
    TRACKING_TABLE_MAX_KEYS: Int("tracking-table-max-keys", "1000000", 0..=I64_MAX).in_force();
    EXTENDED_REDIS_COMPATIBILITY: Flag("extended-redis-compatibility", "no");

    // What operators watch.

    /// Microseconds; -1 for no log.
    COMMANDLOG_EXECUTION_SLOWER_THAN: Int("commandlog-execution-slower-than", "10000", -1..=I64_MAX)
        .alias("slowlog-log-slower-than")
        .in_force();
    COMMANDLOG_SLOW_EXECUTION_MAX_LEN: Int("commandlog-slow-execution-max-len", "128", 0..=I64_MAX)
        .alias("slowlog-max-len")
        .in_force();
    /// Bytes; -1 for no log.
    COMMANDLOG_REQUEST_LARGER_THAN: Int("commandlog-request-larger-than", "1048576", -1..=I64_MAX).in_force();
    COMMANDLOG_LARGE_REQUEST_MAX_LEN: Int("commandlog-large-request-max-len", "128", 0..=I64_MAX).in_force();
    /// Bytes; -1 for no log.
    COMMANDLOG_REPLY_LARGER_THAN: Int("commandlog-reply-larger-than", "1048576", -1..=I64_MAX).in_force();
    COMMANDLOG_LARGE_REPLY_MAX_LEN: Int("commandlog-large-reply-max-len", "128", 0..=I64_MAX).in_force();
    /// Milliseconds; 0 for no monitor.
    LATENCY_MONITOR_THRESHOLD: Int("latency-monitor-threshold", "0", 0..=I64_MAX).in_force();
    LATENCY_TRACKING: Flag("latency-tracking", "yes").in_force();
    LATENCY_TRACKING_INFO_PERCENTILES: Structured(
        "latency-tracking-info-percentiles",
        "50 99 99.9",
        Kind::Percentiles
    )
        .in_force();
    /// Milliseconds; 0 for none.
    WATCHDOG_PERIOD: Int("watchdog-period", "0", 0..=I32_MAX).hidden().in_force();

    // Snapshots and the append-only file.

    SAVE: Structured("save", "3600 1 300 100 60 10000", Kind::Save).in_force();
    DBFILENAME: Text("dbfilename", "dump.rdb").protected().check(check::dbfilename).in_force();
    RDBCOMPRESSION: Flag("rdbcompression", "yes").in_force();
    RDBCHECKSUM: Flag("rdbchecksum", "yes").immutable().in_force();
    RDB_VERSION_CHECK: Choice("rdb-version-check", "strict", names::RDB_VERSIONS).in_force();
    RDB_SAVE_INCREMENTAL_FSYNC: Flag("rdb-save-incremental-fsync", "yes");
    RDB_DEL_SYNC_FILES: Flag("rdb-del-sync-files", "no");
    STOP_WRITES_ON_BGSAVE_ERROR: Flag("stop-writes-on-bgsave-error", "yes").in_force();
    APPENDONLY: Flag("appendonly", "no").refused_while_loading();
    APPENDFILENAME: Text("appendfilename", "appendonly.aof")
        .immutable()
        .check(check::appendfilename);
    APPENDDIRNAME: Text("appenddirname", "appendonlydir").immutable().check(check::appenddirname);
    APPENDFSYNC: Choice("appendfsync", "everysec", names::FSYNC);
    NO_APPENDFSYNC_ON_REWRITE: Flag("no-appendfsync-on-rewrite", "no");
    /// Percent of growth; 0 for never.
    AUTO_AOF_REWRITE_PERCENTAGE: Int("auto-aof-rewrite-percentage", "100", 0..=I32_MAX);
    /// Bytes.
    AUTO_AOF_REWRITE_MIN_SIZE: Int("auto-aof-rewrite-min-size", "64mb", 0..=I64_MAX)
        .form(Form::Bytes);
    AOF_LOAD_TRUNCATED: Flag("aof-load-truncated", "yes");
    AOF_USE_RDB_PREAMBLE: Flag("aof-use-rdb-preamble", "yes");
    AOF_TIMESTAMP_ENABLED: Flag("aof-timestamp-enabled", "no");
    AOF_REWRITE_INCREMENTAL_FSYNC: Flag("aof-rewrite-incremental-fsync", "yes");

    // Replication.

    REPLICAOF: Structured("replicaof", "", Kind::Primary).alias("slaveof").immutable()
        .in_force();
    PRIMARYAUTH: Text("primaryauth", "").alias("masterauth").sensitive()
        .in_force();
    PRIMARYUSER: Text("primaryuser", "").alias("masteruser").sensitive()
        .in_force();
    REPLICA_SERVE_STALE_DATA: Flag("replica-serve-stale-data", "yes")
        .alias("slave-serve-stale-data")
        .in_force();
    REPLICA_READ_ONLY: Flag("replica-read-only", "yes").alias("slave-read-only")
        .in_force();
    REPLICA_PRIORITY: Int("replica-priority", "100", 0..=I32_MAX).alias("slave-priority")
        .in_force();
    REPLICA_ANNOUNCED: Flag("replica-announced", "yes")
        .in_force();
    REPLICA_ANNOUNCE_IP: Text("replica-announce-ip", "").alias("slave-announce-ip")
        .in_force();
    REPLICA_ANNOUNCE_PORT: Int("replica-announce-port", "0", 0..=65535)
        .alias("slave-announce-port")
        .in_force();
    REPLICA_IGNORE_MAXMEMORY: Flag("replica-ignore-maxmemory", "yes")
        .alias("slave-ignore-maxmemory")
        .in_force();
    REPLICA_IGNORE_DISK_WRITE_ERRORS: Flag("replica-ignore-disk-write-errors", "no");
    REPLICA_LAZY_FLUSH: Flag("replica-lazy-flush", "yes").alias("slave-lazy-flush")
        .in_force();
    MIN_REPLICAS_TO_WRITE: Int("min-replicas-to-write", "0", 0..=I32_MAX)
        .alias("min-slaves-to-write")
        .in_force();
    /// Seconds.
    MIN_REPLICAS_MAX_LAG: Int("min-replicas-max-lag", "10", 0..=I32_MAX)
        .alias("min-slaves-max-lag")
        .in_force();
    /// Seconds.
    REPL_PING_REPLICA_PERIOD: Int("repl-ping-replica-period", "10", 1..=I32_MAX)
        .alias("repl-ping-slave-period")
        .in_force();
    /// Seconds.
    REPL_TIMEOUT: Int("repl-timeout", "60", 1..=I32_MAX).in_force();
    /// Bytes.
    REPL_BACKLOG_SIZE: Int("repl-backlog-size", "10mb", 1..=I64_MAX)
        .form(Form::Bytes)
        .adjust(|size| size.max(16 * 1024))
        .in_force();
    /// Seconds; 0 for ever.
    REPL_BACKLOG_TTL: Int("repl-backlog-ttl", "3600", 0..=I64_MAX).in_force();
    REPL_DISABLE_TCP_NODELAY: Flag("repl-disable-tcp-nodelay", "no");
    REPL_MPTCP: Flag("repl-mptcp", "no").immutable();
    REPL_DISKLESS_SYNC: Flag("repl-diskless-sync", "yes");
    /// Seconds.
    REPL_DISKLESS_SYNC_DELAY: Int("repl-diskless-sync-delay", "5", 0..=I32_MAX);
    REPL_DISKLESS_SYNC_MAX_REPLICAS: Int("repl-diskless-sync-max-replicas", "0", 0..=I32_MAX);
    REPL_DISKLESS_LOAD: Choice("repl-diskless-load", "disabled", names::DISKLESS_LOAD)
        .refused_while_loading()
        .in_force();
    DUAL_CHANNEL_REPLICATION_ENABLED: Flag("dual-channel-replication-enabled", "no");
    PROPAGATION_ERROR_BEHAVIOR: Choice(
        "propagation-error-behavior",
        "ignore",
        names::ON_PROPAGATION_ERROR
    );

    // Cluster.

    CLUSTER_ALLOW_PUBSUBSHARD_WHEN_DOWN: Flag("cluster-allow-pubsubshard-when-down", "yes").in_force();
    CLUSTER_ALLOW_READS_WHEN_DOWN: Flag("cluster-allow-reads-when-down", "no").in_force();
    CLUSTER_ALLOW_REPLICA_MIGRATION: Flag("cluster-allow-replica-migration", "yes");
    CLUSTER_ANNOUNCE_BUS_PORT: Int("cluster-announce-bus-port", "0", 0..=65535).in_force();
    CLUSTER_ANNOUNCE_CLIENT_IPV4: Text("cluster-announce-client-ipv4", "").check(check::ipv4).in_force();
    CLUSTER_ANNOUNCE_CLIENT_IPV6: Text("cluster-announce-client-ipv6", "").check(check::ipv6).in_force();
    CLUSTER_ANNOUNCE_CLIENT_PORT: Int("cluster-announce-client-port", "0", 0..=65535).in_force();
    CLUSTER_ANNOUNCE_CLIENT_TLS_PORT: Int("cluster-announce-client-tls-port", "0", 0..=65535).in_force();
    CLUSTER_ANNOUNCE_HOSTNAME: Text("cluster-announce-hostname", "")
        .check(check::announced_hostname).in_force();
    CLUSTER_ANNOUNCE_HUMAN_NODENAME: Text("cluster-announce-human-nodename", "")
        .check(check::announced_nodename).in_force();
    CLUSTER_ANNOUNCE_IP: Text("cluster-announce-ip", "").check(check::announced_ip).in_force();
    CLUSTER_ANNOUNCE_PORT: Int("cluster-announce-port", "0", 0..=65535).in_force();
    CLUSTER_ANNOUNCE_TLS_PORT: Int("cluster-announce-tls-port", "0", 0..=65535).in_force();
    /// Seconds.
    CLUSTER_BLACKLIST_TTL: Int("cluster-blacklist-ttl", "60", 0..=U64_MAX).in_force();
    CLUSTER_CONFIG_FILE: Text("cluster-config-file", "nodes.conf")
        .immutable()
        .check(check::cluster_config_file).in_force();
    CLUSTER_CONFIG_SAVE_BEHAVIOR: Choice("cluster-config-save-behavior", "sync", names::NODES_FILE).in_force();
    CLUSTER_DATABASES: Int("cluster-databases", "1", 1..=I32_MAX).immutable().in_force();
    CLUSTER_ENABLED: Flag("cluster-enabled", "no").immutable().in_force();
    /// Bytes; 0 for no limit.
    CLUSTER_LINK_SENDBUF_LIMIT: Int("cluster-link-sendbuf-limit", "0", 0..=U64_MAX)
        .form(Form::Bytes);
    /// Milliseconds.
    CLUSTER_MANUAL_FAILOVER_TIMEOUT: Int("cluster-manual-failover-timeout", "5000", 1..=I32_MAX);
    /// Percent of the nodes.
    CLUSTER_MESSAGE_GOSSIP_PERC: Int("cluster-message-gossip-perc", "10", 1..=100).hidden();
    CLUSTER_MIGRATION_BARRIER: Int("cluster-migration-barrier", "1", 0..=I32_MAX);
    /// Milliseconds.
    CLUSTER_NODE_TIMEOUT: Int("cluster-node-timeout", "15000", 0..=I64_MAX).in_force();
    /// Milliseconds.
    CLUSTER_PING_INTERVAL: Int("cluster-ping-interval", "0", 0..=I64_MAX).hidden();
    CLUSTER_PORT: Int("cluster-port", "0", 0..=65535).immutable().in_force();
    CLUSTER_PREFERRED_ENDPOINT_TYPE: Choice(
        "cluster-preferred-endpoint-type",
        "ip",
        names::ENDPOINTS
    ).in_force();
    CLUSTER_REPLICA_NO_FAILOVER: Flag("cluster-replica-no-failover", "no")
        .alias("cluster-slave-no-failover");
    CLUSTER_REPLICA_VALIDITY_FACTOR: Int("cluster-replica-validity-factor", "10", 0..=I32_MAX)
        .alias("cluster-slave-validity-factor");
    CLUSTER_REQUIRE_FULL_COVERAGE: Flag("cluster-require-full-coverage", "yes").in_force();
    CLUSTER_SLOT_MIGRATION_LOG_MAX_LEN: Int(
        "cluster-slot-migration-log-max-len",
        "1000",
        0..=I64_MAX
    );
    CLUSTER_SLOT_STATS_ENABLED: Flag("cluster-slot-stats-enabled", "no");
    AVAILABILITY_ZONE: Text("availability-zone", "").in_force();
    /// Bytes; -1 for no limit.
    SLOT_MIGRATION_MAX_FAILOVER_REPL_BYTES: Int(
        "slot-migration-max-failover-repl-bytes",
        "0",
        -1..=I64_MAX
    )
        .form(Form::BytesOrNegative);

    // TLS.

    TLS_PORT: Int("tls-port", "0", 0..=65535);
    TLS_SESSION_CACHE_SIZE: Int("tls-session-cache-size", "20480", 0..=I32_MAX);
    /// Seconds.
    TLS_SESSION_CACHE_TIMEOUT: Int("tls-session-cache-timeout", "300", 0..=I32_MAX);
    /// Seconds; 0 for never.
    TLS_AUTO_RELOAD_INTERVAL: Int("tls-auto-reload-interval", "0", 0..=I32_MAX);
    TLS_CLUSTER: Flag("tls-cluster", "no");
    TLS_REPLICATION: Flag("tls-replication", "no");
    TLS_AUTH_CLIENTS: Choice("tls-auth-clients", "yes", names::TLS_CLIENTS);
    TLS_AUTH_CLIENTS_USER: Choice("tls-auth-clients-user", "off", names::TLS_USERS);
    TLS_PREFER_SERVER_CIPHERS: Flag("tls-prefer-server-ciphers", "no");
    TLS_SESSION_CACHING: Flag("tls-session-caching", "yes");
    TLS_CERT_FILE: Text("tls-cert-file", "");
    TLS_KEY_FILE: Text("tls-key-file", "");
    TLS_KEY_FILE_PASS: Text("tls-key-file-pass", "").sensitive();
    TLS_CLIENT_CERT_FILE: Text("tls-client-cert-file", "");
    TLS_CLIENT_KEY_FILE: Text("tls-client-key-file", "");
    TLS_CLIENT_KEY_FILE_PASS: Text("tls-client-key-file-pass", "").sensitive();
    TLS_DH_PARAMS_FILE: Text("tls-dh-params-file", "");
    TLS_CA_CERT_FILE: Text("tls-ca-cert-file", "");
    TLS_CA_CERT_DIR: Text("tls-ca-cert-dir", "");
    TLS_PROTOCOLS: Text("tls-protocols", "");
    TLS_CIPHERS: Text("tls-ciphers", "");
    TLS_CIPHERSUITES: Text("tls-ciphersuites", "");

    // For tests and debugging.

    USE_EXIT_ON_PANIC: Flag("use-exit-on-panic", "no").hidden();
    ENABLE_DEBUG_ASSERT: Flag("enable-debug-assert", "no").immutable().hidden();
    DEBUG_CONTEXT: Text("debug-context", "").hidden();
    AOF_DISABLE_AUTO_GC: Flag("aof-disable-auto-gc", "no").hidden();
    /// Microseconds.
    RDB_KEY_SAVE_DELAY: Int("rdb-key-save-delay", "0", I32_MIN..=I32_MAX).hidden();
    /// Microseconds.
    KEY_LOAD_DELAY: Int("key-load-delay", "0", I32_MIN..=I32_MAX).hidden().in_force();
    /// Bytes.
    LOADING_PROCESS_EVENTS_INTERVAL_BYTES: Int(
        "loading-process-events-interval-bytes",
        "2097152",
        1024..=I32_MAX
    )
        .hidden();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_parameters_share_a_name() {
        let mut seen = BTreeSet::new();
        for name in TABLE.iter().flat_map(Param::names) {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn every_default_is_a_value_that_shows_and_reads_back() {
        for param in &TABLE {
            let value = param.default_value();
            let shown = param.kind().show(&value);
            let words = param.kind().words(&shown);
            assert_eq!(
                param.kind().read(&words, None).as_ref(),
                Ok(&value),
                "{}",
                param.name()
            );
        }
    }

    #[test]
    fn a_handle_names_its_own_row() {
        assert_eq!(PORT.name(), "port");
        assert_eq!(LATENCY_TRACKING.name(), "latency-tracking");
        let (name, param) = find(b"SLAVE-priority").expect("an alias");
        assert_eq!(
            (name, param.name()),
            ("slave-priority", REPLICA_PRIORITY.name())
        );
        assert!(find(b"no-such-parameter").is_none());
    }
}
