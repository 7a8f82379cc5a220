//! The names that choices and sets of names take, with the values that code
//! knows them by.
//!
//! The values of a choice count from 0 in the order of its names.

use super::kind::Names;

pub(super) const POLICIES: Names = &[
    ("volatile-lru", 0),
    ("volatile-lfu", 1),
    ("volatile-random", 2),
    ("volatile-ttl", 3),
    ("allkeys-lru", 4),
    ("allkeys-lfu", 5),
    ("allkeys-random", 6),
    ("noeviction", 7),
    ("larder", 8),
];

pub(super) const LOG_LEVELS: Names = &[
    ("debug", 0),
    ("verbose", 1),
    ("notice", 2),
    ("warning", 3),
    ("nothing", 4),
];

pub(super) const FACILITIES: Names = &[
    ("user", 0),
    ("local0", 1),
    ("local1", 2),
    ("local2", 3),
    ("local3", 4),
    ("local4", 5),
    ("local5", 6),
    ("local6", 7),
    ("local7", 8),
];

/// What a signal wants done before the end.
pub mod at_end {
    /// Take a snapshot.
    pub const SAVE: u64 = 1 << 0;
    /// Take none.
    pub const NOSAVE: u64 = 1 << 1;
    /// Wait for nobody.
    pub const NOW: u64 = 1 << 2;
    /// End even where the snapshot fails.
    pub const FORCE: u64 = 1 << 3;
    /// Not where a cluster may go down with it.
    pub const SAFE: u64 = 1 << 4;
    /// Have another node of the cluster take over.
    pub const FAILOVER: u64 = 1 << 5;
}

pub(super) const SHUTDOWN: Names = &[
    ("default", 0),
    ("save", at_end::SAVE),
    ("nosave", at_end::NOSAVE),
    ("now", at_end::NOW),
    ("force", at_end::FORCE),
    ("safe", at_end::SAFE),
    ("failover", at_end::FAILOVER),
];
pub(super) const SAVE_OR_NOT: (u64, &str) = (
    at_end::SAVE | at_end::NOSAVE,
    "shutdown options SAVE and NOSAVE can't be used simultaneously",
);
pub(super) const NO_CONFLICT: (u64, &str) = (0, "");

pub(super) const DISKLESS_LOAD: Names = &[
    ("disabled", 0),
    ("on-empty-db", 1),
    ("swapdb", 2),
    ("flush-before-load", 3),
];

/// Who may use what is dangerous: nobody, everybody, or a local client.
pub(super) const WHO: Names = &[("no", 0), ("yes", 1), ("local", 2)];
pub(super) const SUPERVISED: Names = &[("upstart", 0), ("systemd", 1), ("auto", 2), ("no", 3)];
pub(super) const FSYNC: Names = &[("everysec", 0), ("always", 1), ("no", 2)];
pub(super) const TLS_CLIENTS: Names = &[("no", 0), ("yes", 1), ("optional", 2)];
pub(super) const TLS_USERS: Names = &[("CN", 0), ("URI", 1), ("off", 2)];
pub(super) const OOM_SCORE_ADJ: Names = &[("no", 0), ("yes", 1), ("relative", 1), ("absolute", 2)];
pub(super) const PUBSUB_DEFAULT: Names = &[("allchannels", 0), ("resetchannels", 1)];
pub(super) const ENDPOINTS: Names = &[("ip", 0), ("hostname", 1), ("unknown-endpoint", 2)];
pub(super) const NODES_FILE: Names = &[("sync", 0), ("best-effort", 1)];
pub(super) const ON_PROPAGATION_ERROR: Names =
    &[("ignore", 0), ("panic", 1), ("panic-on-replicas", 2)];
pub(super) const LOG_FORMATS: Names = &[("legacy", 0), ("logfmt", 1), ("json", 2)];
pub(super) const LOG_TIMES: Names = &[("legacy", 0), ("iso8601", 1), ("milliseconds", 2)];
pub(super) const RDB_VERSIONS: Names = &[("strict", 0), ("relaxed", 1)];
