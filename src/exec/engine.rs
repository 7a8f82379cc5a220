//! The server, as a command sees it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::effect::Effects;
use super::session::Clients;
use super::spec::CommandTable;
use super::totals::{Rates, Totals};
use crate::base::clock;
use crate::config::{Refusal, Settings};
use crate::store::keyspace::Keyspace;
use crate::store::memory;
use crate::store::table::Table;

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
    /// Who hears of changes.
    pub effects: Effects,
    /// Counters, one set for each worker.
    pub workers: Box<[Worker]>,
    /// Counters that are rarely touched.
    pub counters: Arc<Counters>,
    /// What the workers had counted at the last CONFIG RESETSTAT.
    pub baseline: Mutex<Totals>,
    /// What happens in a second.
    pub rates: Mutex<Rates>,
    /// How many errors of each code were answered.
    pub errors: Mutex<BTreeMap<Vec<u8>, u64>>,
    /// Ends the process in good order.
    pub shutdown: Shutdown,
    /// Makes changed parameters take effect that are about the process: where it
    /// listens, how many files it may open. Set once, by the wiring.
    pub reconfigure: OnceLock<Reconfigure>,
    /// Whether keys are removed when their time is over, without being asked for
    /// (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expiry: AtomicBool,
    /// Whether the work that comes by the clock rests (DEBUG PAUSE-CRON).
    pub cron_paused: AtomicBool,
    /// 40 hexadecimal digits, drawn at start.
    pub run_id: String,
    /// The history of changes that this server's data stands for, likewise.
    pub replication_id: String,
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
    /// Bytes read.
    pub net_in: AtomicU64,
    /// Bytes written.
    pub net_out: AtomicU64,
    /// Batches: reads that brought at least one command.
    pub batches: AtomicU64,
    /// Errors answered.
    pub errors: AtomicU64,
    /// Connections served now; written by the acceptor too.
    pub connections: AtomicU64,
    /// Writes to sockets.
    pub writes: AtomicU64,
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
    /// Clients dropped because their query was too large.
    pub query_limit_drops: AtomicU64,
    /// Commands refused because memory was full.
    pub oom_refusals: AtomicU64,
    /// Entries that a thread of its own is to free ([`Engine::reclaim`]).
    pub reclaim_pending: AtomicU64,
    /// Entries that it has freed.
    pub reclaimed: AtomicU64,
    /// AUTH and HELLO with a wrong password.
    pub auth_failures: AtomicU64,
}

/// What [`Engine::reconfigure`] holds: given the names of changed parameters,
/// applies them or says which it cannot.
pub type Reconfigure = Box<dyn Fn(&[&'static str]) -> Result<(), Refusal> + Send + Sync>;

/// A wish to end the process.
#[derive(Default)]
pub struct Shutdown {
    wanted: AtomicBool,
    done: AtomicBool,
    notify: Notify,
}

impl Shutdown {
    /// Asks for the end.
    pub fn request(&self) {
        self.wanted.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Waits for that.
    pub async fn requested(&self) {
        self.until(&self.wanted).await;
    }

    /// Says that all is written: the workers may let their connections go.
    pub fn end(&self) {
        self.done.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Waits for that.
    pub async fn ended(&self) {
        self.until(&self.done).await;
    }

    async fn until(&self, flag: &AtomicBool) {
        loop {
            // Registered before the flag is looked at, so that no call is missed.
            let notified = self.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if flag.load(Ordering::Acquire) {
                return;
            }
            notified.await;
        }
    }
}

impl Engine {
    /// A server without data, for `workers` workers.
    pub fn new(settings: Arc<Settings>, commands: CommandTable, workers: usize) -> Engine {
        let numbers = commands.counters();
        let keyspace = Keyspace::new((workers * 16).max(16));
        super::room::configure(keyspace.evictor(), &settings);
        Engine {
            keyspace,
            settings,
            clients: Clients::default(),
            effects: Effects::default(),
            workers: (0..workers).map(|_| Worker::new(numbers)).collect(),
            counters: Arc::default(),
            baseline: Mutex::default(),
            rates: Mutex::default(),
            errors: Mutex::default(),
            shutdown: Shutdown::default(),
            reconfigure: OnceLock::new(),
            active_expiry: AtomicBool::new(true),
            cron_paused: AtomicBool::new(false),
            run_id: clock::random_hex(40),
            replication_id: clock::random_hex(40),
            started_ms: clock::unix_ms(),
            startup_bytes: memory::used_bytes(),
            commands,
        }
    }

    /// Sums a counter over the workers.
    pub fn total(&self, counter: impl Fn(&Worker) -> &AtomicU64) -> u64 {
        self.workers
            .iter()
            .map(|w| counter(w).load(Ordering::Relaxed))
            .sum()
    }

    /// Frees what was in these tables: here, or, `later`, on a thread of its own,
    /// so that nobody waits for it.
    pub fn reclaim(&self, tables: Vec<Box<Table>>, later: bool) {
        let entries: u64 = tables.iter().map(|t| t.len() as u64).sum();
        let free = move || {
            drop(tables);
            crate::store::slab::purge_beyond(0);
        };
        if later {
            let counters = self.counters.clone();
            counters
                .reclaim_pending
                .fetch_add(entries, Ordering::Relaxed);
            let free = move || {
                free();
                counters
                    .reclaim_pending
                    .fetch_sub(entries, Ordering::Relaxed);
                counters.reclaimed.fetch_add(entries, Ordering::Relaxed);
            };
            // Without a thread to be had, it is done at once.
            let held = Arc::new(Mutex::new(Some(free)));
            let there = held.clone();
            let run = move || {
                if let Some(free) = there.lock().take() {
                    free();
                }
            };
            if std::thread::Builder::new()
                .name("reclaim".into())
                .spawn(run)
                .is_ok()
            {
                return;
            }
            if let Some(free) = held.lock().take() {
                free();
            }
        } else {
            free();
        }
    }

    /// Notes that an error was answered.
    #[cold]
    pub fn count_error(&self, worker: usize, code: &[u8]) {
        add(&self.workers[worker].errors, 1);
        let mut errors = self.errors.lock();
        if let Some(n) = errors.get_mut(code) {
            *n += 1;
        } else if errors.len() < 128 {
            // Codes that applications make up must not grow this without bound.
            errors.insert(code.to_vec(), 1);
        }
    }
}

impl Worker {
    fn new(commands: usize) -> Worker {
        Worker {
            commands: AtomicU64::new(0),
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            calls: (0..commands).map(|_| Calls::default()).collect(),
        }
    }
}
