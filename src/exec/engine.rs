//! The server, as a command sees it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::runtime::RuntimeMetrics;

use super::access::Access;
use super::busy::Busy;
use super::command_log::CommandLog;
use super::effect::Effects;
use super::following::Following;
use super::gate::Gate;
use super::latency::LatencyMonitor;
use super::leading::Leading;
use super::loading::Loading;
use super::mail::Bell;
use super::monitor::Monitors;
use super::oom_score::OomScore;
use super::owed::Owed;
use super::reclaim::Reclaimer;
use super::replies;
use super::routing::Routing;
use super::saving::Saving;
use super::services::Services;
use super::session::Clients;
use super::shutdown::Shutdown;
use super::spec::CommandTable;
use super::totals::{Rates, Totals};
use super::tracking::Tracking;
use super::waiting::Waiters;
use crate::base::histogram::{Counts, Histogram};
use crate::base::{clock, hash};
use crate::config::{Settings, param};
use crate::protocol::error::Error;
use crate::store::keyspace::Keyspace;
use crate::store::memory;

/// One instance for the process, shared by every worker.
pub struct Engine {
    /// The data.
    pub keyspace: Keyspace,
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The commands.
    pub commands: CommandTable,
    /// The connections.
    pub clients: Clients,
    /// What users may do.
    pub access: Arc<Access>,
    /// Who may stop a command before it runs.
    pub gate: Gate,
    /// What the layers above keep.
    pub services: Services,
    /// Who sees every command.
    pub monitors: Arc<Monitors>,
    /// Who hears of changes.
    pub effects: Effects,
    /// Where the slots of its cluster are, where it is a node of one.
    pub routing: Option<Routing>,
    /// Counters, one set for each worker.
    pub workers: Box<[Worker]>,
    /// Counters that are rarely touched.
    pub counters: Arc<Counters>,
    /// What the workers had counted at the last CONFIG RESETSTAT.
    pub baseline: Mutex<Totals>,
    /// Frees what takes long.
    pub reclaimer: Reclaimer,
    /// Who is told when what it read has changed.
    pub tracking: Arc<Tracking>,
    /// The commands that wait for a key.
    pub waiters: Waiters,
    /// What their latency histograms held then, by command.
    pub latency_baseline: Mutex<Vec<Counts>>,
    /// Commands that took long, asked much or answered much.
    pub command_log: CommandLog,
    /// Moments at which the server was slow.
    pub latency: LatencyMonitor,
    /// What happens in a second.
    pub rates: Mutex<Rates>,
    /// How many errors of each code were answered.
    pub errors: Mutex<BTreeMap<Vec<u8>, u64>>,
    /// Ends the process in good order.
    pub shutdown: Shutdown,
    /// Listens where the settings say; nothing to do where nobody listens.
    pub rebind: OnceLock<Rebind>,
    /// Gives the process the title that the settings describe; nothing to do where
    /// nobody can.
    pub retitle: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Takes keys that are to be refilled before their end; nobody, where nothing is done
    /// about them.
    pub announcer: OnceLock<Announcer>,
    /// Takes the snapshot that [`Saving::reserve`] has reserved on a thread of its
    /// own; nothing to do where there is none to be had.
    pub save_in_background: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// What is known of snapshots.
    pub saving: Saving,
    /// Whether a script runs too long.
    pub busy: Arc<Busy>,
    /// What the server knows as a leader.
    pub leading: Arc<Leading>,
    /// What it knows as a follower.
    pub following: Arc<Following>,
    /// The snapshot that is being read.
    pub loading: Loading,
    /// Whether commands may be refused: there must be followers for a write to be
    /// taken, the server follows another one, or the data is not there yet.
    is_guarded: AtomicBool,
    /// What the out-of-memory killer is told.
    pub oom_score: OomScore,
    /// Whether keys are removed when their time is over, without being asked for
    /// (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expiry: AtomicBool,
    /// Bytes from which on an element of a list has memory of its own; 0: as the
    /// configuration says (DEBUG QUICKLIST-PACKED-THRESHOLD).
    pub large_element_bytes: AtomicU64,
    /// Whether the work that comes by the clock rests (DEBUG PAUSE-CRON).
    pub cron_paused: AtomicBool,
    /// When clients give memory for replies back.
    pub replies: replies::Rules,
    /// RESTORE takes payloads whose checksum is wrong: set by DEBUG.
    pub checksums_skipped: AtomicBool,
    /// 40 hexadecimal digits, drawn at start.
    pub run_id: String,
    /// When the process started, in Unix milliseconds.
    pub started_ms: u64,
    /// Bytes in use before there was any data or client.
    pub startup_bytes: usize,
}

/// What one worker counts. Only the worker writes: no read-modify-write is atomic.
#[repr(align(128))]
pub struct Worker {
    /// Commands run.
    pub commands: AtomicU64,
    /// The client whose commands are running, by its id; 0 for none.
    pub client: AtomicU64,
    /// Bytes read.
    pub net_in: AtomicU64,
    /// Bytes written.
    pub net_out: AtomicU64,
    /// Batches: reads that brought at least one command.
    pub batches: AtomicU64,
    /// Batches whose keys were asked for before their commands ran.
    pub prefetches: AtomicU64,
    /// Those keys.
    pub prefetched: AtomicU64,
    /// Nanoseconds of commands within transactions, which count to EXEC as well.
    pub nested_ns: AtomicU64,
    /// Errors answered.
    pub errors: AtomicU64,
    /// Connections served now; written by the acceptor too.
    pub connections: AtomicU64,
    /// Those among them that hold an input buffer of their own.
    pub buffers: AtomicU64,
    /// Writes to sockets.
    pub writes: AtomicU64,
    /// Ticks of its clock.
    pub ticks: AtomicU64,
    /// Nanoseconds of work that came by the clock.
    pub cron_ns: AtomicU64,
    /// Nanoseconds of looking for keys whose time is over.
    pub expiry_ns: AtomicU64,
    /// The longest time that commands ran without a look at the clock.
    pub stretch_max_ns: AtomicU64,
    /// The most commands of one batch.
    pub batch_max: AtomicU64,
    /// Those of its connections that have mail.
    pub bell: Box<Bell>,
    /// Its event loop's own figures.
    pub runtime: OnceLock<RuntimeMetrics>,
    /// Calls of each command and subcommand, by [`CommandTable::counter`].
    pub calls: Box<[Calls]>,
}

/// What is counted of one command or subcommand.
#[derive(Default)]
pub struct Calls {
    /// It ran.
    pub calls: AtomicU64,
    /// It was refused before it ran.
    pub rejected: AtomicU64,
    /// It answered an error.
    pub failed: AtomicU64,
    /// How long it ran, in nanoseconds.
    pub nanos: AtomicU64,
    /// How long a call took, in nanoseconds; none before the first.
    pub latency: OnceLock<Box<Histogram>>,
}

/// Adds to a counter that only this thread writes.
#[inline]
pub fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

/// Counters that are rarely touched.
#[derive(Default)]
pub struct Counters {
    /// Connections ever taken.
    pub connections: AtomicU64,
    /// Connections refused because of `maxclients`.
    pub rejected_connections: AtomicU64,
    /// Clients dropped because their replies piled up.
    pub output_limit_drops: AtomicU64,
    /// Clients dropped because all together took too much memory.
    pub client_evictions: AtomicU64,
    /// Clients dropped because their query was too large.
    pub query_limit_drops: AtomicU64,
    /// Times that a client's own memory for replies grew.
    pub reply_buffer_expands: AtomicU64,
    /// Times that it was made smaller.
    pub reply_buffer_shrinks: AtomicU64,
    /// Commands refused because memory was full.
    pub oom_refusals: AtomicU64,
    /// Channels that somebody listens to.
    pub channels: Arc<AtomicU64>,
    /// Shard channels, likewise.
    pub shard_channels: Arc<AtomicU64>,
    /// Patterns, likewise.
    pub patterns: Arc<AtomicU64>,
    /// Nanoseconds of making room in memory.
    pub eviction_ns: AtomicU64,
    /// Connections that MIGRATE holds.
    pub migrate_links: AtomicU64,
    /// AUTH and HELLO with a wrong password.
    pub auth_failures: AtomicU64,
    /// Scripts and functions.
    pub scripts: ScriptFigures,
    /// What users had no right to, by [`super::access::Ground`].
    pub denials: [AtomicU64; 4],
}

/// What INFO says of scripts and functions.
#[derive(Default)]
pub struct ScriptFigures {
    /// Bytes that the interpreter of scripts holds.
    pub script_vm_bytes: AtomicU64,
    /// Bytes that the interpreter of functions holds.
    pub function_vm_bytes: AtomicU64,
    /// Bytes of the scripts that are known.
    pub script_bytes: AtomicU64,
    /// How many there are.
    pub scripts: AtomicU64,
    /// Bytes of the libraries.
    pub library_bytes: AtomicU64,
    /// How many there are.
    pub libraries: AtomicU64,
    /// Their functions.
    pub functions: AtomicU64,
    /// Scripts that went because there were too many.
    pub evicted: AtomicU64,
}

/// Closes all TCP listeners and opens those that the settings name.
pub type Rebind = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// See [`Engine::announcer`]. Called without any lock held.
pub type Announcer = Box<dyn Fn(&Engine, Vec<super::txn::Announced>) + Send + Sync>;

impl Engine {
    /// Makes the settings that are kept in another form take effect.
    pub fn configure(&self) {
        let settings = &self.settings;
        super::room::configure(self.keyspace.evictor(), settings);
        self.effects.configure(settings);
        let (null_max, is_promised) = super::room::null_bytes_max(settings);
        self.keyspace.set_null_bytes_max(null_max, is_promised);
        let tracked_max = settings.int(param::TRACKING_TABLE_MAX_KEYS) as usize;
        if tracked_max > 0 {
            self.tracking.hold_to(tracked_max);
        }
        self.command_log.configure(settings);
        self.clients.owed().configure();
        self.guard();
        super::client_eviction::configure(self);
    }

    /// A server without data, for `workers` workers.
    pub fn new(settings: Arc<Settings>, commands: CommandTable, workers: usize) -> Engine {
        let numbers = commands.counters();
        let is_clustered = settings.flag(param::CLUSTER_ENABLED);
        hash::place_by_slot(is_clustered);
        let keyspace = Keyspace::new((workers * 16).max(16));
        let counters: Arc<Counters> = Arc::default();
        let access: Arc<Access> = Arc::default();
        let owed = Owed::new(settings.clone(), counters.clone(), access.clone());
        let engine = Engine {
            keyspace,
            settings,
            clients: Clients::new(owed),
            access,
            gate: Gate::default(),
            services: Services::default(),
            monitors: Arc::default(),
            effects: Effects::default(),
            routing: is_clustered.then(Routing::default),
            workers: (0..workers).map(|_| Worker::new(numbers)).collect(),
            counters,
            reclaimer: Reclaimer::default(),
            tracking: Arc::default(),
            waiters: Waiters::default(),
            baseline: Mutex::default(),
            latency_baseline: Mutex::default(),
            command_log: CommandLog::default(),
            latency: LatencyMonitor::default(),
            rates: Mutex::default(),
            errors: Mutex::default(),
            shutdown: Shutdown::default(),
            rebind: OnceLock::new(),
            retitle: OnceLock::new(),
            announcer: OnceLock::new(),
            save_in_background: OnceLock::new(),
            saving: Saving::default(),
            busy: Arc::default(),
            leading: Arc::default(),
            following: Arc::default(),
            loading: Loading::default(),
            is_guarded: AtomicBool::new(false),
            oom_score: OomScore::default(),
            active_expiry: AtomicBool::new(true),
            large_element_bytes: AtomicU64::new(0),
            cron_paused: AtomicBool::new(false),
            replies: replies::Rules::default(),
            checksums_skipped: AtomicBool::new(false),
            run_id: clock::random_hex(40),
            started_ms: clock::unix_ms(),
            startup_bytes: memory::used_bytes(),
            commands,
        };
        engine.configure();
        engine
    }

    /// Whether it is a node of a cluster, as HELLO and INFO say it.
    pub fn mode(&self) -> &'static str {
        match self.routing {
            Some(_) => "cluster",
            None => "standalone",
        }
    }

    /// Databases that there are.
    pub fn databases(&self) -> u32 {
        let most = match self.routing {
            Some(_) => param::CLUSTER_DATABASES,
            None => param::DATABASES,
        };
        self.settings.int(most) as u32
    }

    /// Notes whether commands may be refused.
    pub fn guard(&self) {
        let wants_followers = self.settings.int(param::MIN_REPLICAS_TO_WRITE) > 0;
        let is_guarded = wants_followers || self.following.is_on() || self.loading.is_on();
        self.is_guarded.store(is_guarded, Ordering::Relaxed);
    }

    /// Whether it has to be asked if a command may run at this time.
    #[inline]
    pub fn is_guarded(&self) -> bool {
        !self.saving.is_well() || self.is_guarded.load(Ordering::Relaxed) || self.busy.is_on()
    }

    /// Whether a snapshot is read: the one of the start, or a followed server's.
    pub fn is_loading(&self) -> bool {
        self.loading.is_on() || self.following.is_loading()
    }

    /// Whether the data may be old, and is not to be served then.
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.following.is_on()
            && !self.following.is_linked()
            && !self.settings.flag(param::REPLICA_SERVE_STALE_DATA)
    }

    /// Whether eviction is the followed server's business alone.
    pub fn leaves_eviction(&self) -> bool {
        self.following.is_on() && self.settings.flag(param::REPLICA_IGNORE_MAXMEMORY)
    }

    /// An error where writes are refused: nothing could be kept of them, too few
    /// follow, or they are another server's business.
    #[cold]
    pub fn refuse_to_write(&self) -> Result<(), Error> {
        let settings = &self.settings;
        if self.saving.refuses_writes(settings) {
            return Err(Error::MISCONF);
        }
        if self.following.is_on() {
            return match settings.flag(param::REPLICA_READ_ONLY) {
                true => Err(Error::READONLY),
                false => Ok(()),
            };
        }
        let wanted = settings.int(param::MIN_REPLICAS_TO_WRITE) as u32;
        let lag_max_s = settings.int(param::MIN_REPLICAS_MAX_LAG);
        if lag_max_s > 0 && self.leading.good() < wanted {
            return Err(Error::NO_REPLICAS);
        }
        Ok(())
    }

    /// Says that this thread is a worker's from now on.
    pub fn be_worker(&self, index: usize) {
        crate::store::keyspace::be_worker(index);
    }

    /// Sums a counter over the workers.
    pub fn total(&self, counter: impl Fn(&Worker) -> &AtomicU64) -> u64 {
        self.workers
            .iter()
            .map(|w| counter(w).load(Ordering::Relaxed))
            .sum()
    }

    /// Notes that an error of one of the server's own codes was answered.
    #[cold]
    pub fn count_error(&self, worker: usize, code: &[u8]) {
        add(&self.workers[worker].errors, 1);
        let mut errors = self.errors.lock();
        match errors.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(errors.insert(code.to_vec(), 1)),
        }
    }

    /// As [`Engine::count_error`], for a code that a client made up: beyond 128
    /// codes, new ones are counted together.
    #[cold]
    pub fn count_custom_error(&self, worker: usize, code: &[u8]) {
        let is_one_too_many = {
            let errors = self.errors.lock();
            errors.len() >= ERROR_CODES_MAX && !errors.contains_key(code)
        };
        let code = if is_one_too_many { OTHER_ERRORS } else { code };
        self.count_error(worker, code);
    }
}

/// From so many codes on, new ones that clients make up are not told apart.
const ERROR_CODES_MAX: usize = 128;
/// What those are counted as.
const OTHER_ERRORS: &[u8] = b"ERRORSTATS_OVERFLOW";

impl Worker {
    /// How often its event loop had something to do: a batch, or a tick of its
    /// clock.
    pub fn cycles(&self) -> u64 {
        self.batches.load(Ordering::Relaxed) + self.ticks.load(Ordering::Relaxed)
    }

    /// How long its event loop was at work, in microseconds.
    pub fn active_us(&self) -> u64 {
        let active = self.runtime.get().map(|m| m.worker_total_busy_duration(0));
        active.map_or(0, |time| time.as_micros() as u64)
    }

    fn new(commands: usize) -> Worker {
        Worker {
            commands: AtomicU64::new(0),
            client: AtomicU64::new(0),
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            prefetches: AtomicU64::new(0),
            prefetched: AtomicU64::new(0),
            nested_ns: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            cron_ns: AtomicU64::new(0),
            expiry_ns: AtomicU64::new(0),
            stretch_max_ns: AtomicU64::new(0),
            batch_max: AtomicU64::new(0),
            bell: Box::default(),
            runtime: OnceLock::new(),
            connections: AtomicU64::new(0),
            buffers: AtomicU64::new(0),
            calls: (0..commands).map(|_| Calls::default()).collect(),
        }
    }
}
