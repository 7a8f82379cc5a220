//! The wiring: starts what the layers below offer, and ends it in good order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::acl::{Acl, Users};
use crate::base::{clock, log, supervisor, units};
use crate::cache::{refresh, run};
use crate::cluster::Cluster;
use crate::config::{Settings, param};
use crate::exec::effect::Removal;
use crate::exec::engine::{Engine, add};
use crate::exec::loading::Counted;
use crate::exec::pause::Purpose;
use crate::exec::shutdown::Farewell;
use crate::exec::spec::CommandTable;
use crate::exec::txn::Txn;
use crate::exec::{client_eviction, files, latency, logging, room, saving, sweep};
use crate::net::acceptors::Acceptors;
use crate::net::listener::{self, Listener};
use crate::net::stand_in;
use crate::net::worker::{self, Handle};
use crate::observe::http;
use crate::persist::rdb;
use crate::persist::save;
use crate::persist::snapshot::{self, Present};
use crate::replication::Leader;
use crate::replication::link::{self, Loaded};
use crate::store::rules::Rules;
use crate::store::{memory, slab};
use crate::title::Title;
use crate::{command, crash, notice, warning, watchdog};

/// How often deadlines are looked after: with the wheel's tick of 32 ms this
/// keeps a key's removal within 100 ms of its deadline.
const SWEEP_EVERY: Duration = Duration::from_millis(20);
/// How long work that comes by the clock waits for a script.
const SCRIPT_PATIENCE: Duration = Duration::from_millis(5);
/// How long a sweep may hold the worker before connections get their turn.
const SWEEP_SLICE: Duration = Duration::from_micros(500);
/// How long a worker sees to what policies leave to be done, and how long it then rests.
const KEEP_UP_SLICE: Duration = Duration::from_micros(300);
const KEEP_UP_REST: Duration = Duration::from_millis(1);
/// Free slab pages that are not worth giving back, in bytes.
const PAGES_KEPT: usize = 64 * 1024 * 1024;

/// Clients whose buffers are looked at together, at least.
const LOOKED_AT_MIN: usize = 100;

/// Why the server ended, as an exit code for the shell.
pub type ExitCode = i32;

/// Runs the server until it is told to stop.
pub fn run(settings: Settings, from_file: Option<PathBuf>) -> ExitCode {
    let settings = Arc::new(settings);
    if let Err(message) = prepare(&settings) {
        eprintln!("{message}");
        return 1;
    }
    let commands = match command::table_for(&settings) {
        Ok(commands) => commands,
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    let rules = match command::policies_for(&settings) {
        Ok(rules) => rules,
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    let users = match command::users_for(&settings, &commands) {
        Ok(users) => users,
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    // Before there is another thread.
    let is_wanted = settings.flag(param::SET_PROC_TITLE);
    let title = is_wanted.then(Title::take).and_then(Result::ok);
    let pid = std::process::id();
    notice!("oO0OoO0OoO0Oo Larder is starting oO0OoO0OoO0Oo");
    notice!(
        "Larder version={}, bits={}, pid={pid}, just started",
        env!("CARGO_PKG_VERSION"),
        usize::BITS
    );
    match &from_file {
        Some(file) => notice!("Configuration loaded from {}", file.display()),
        None => notice!("No config file: the defaults and the command line are in force"),
    }
    for name in settings.not_in_force() {
        warning!("The directive '{name}' is accepted, but what it configures is not there yet");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            runtime.block_on(serve(settings, commands, (rules, users), from_file, title))
        }
        Err(error) => {
            warning!("No event loop to be had: {error}");
            1
        }
    }
}

/// Makes the settings that are about the process itself take effect.
fn prepare(settings: &Settings) -> Result<(), String> {
    let text = |handle| String::from_utf8_lossy(&settings.text(handle)).into_owned();
    let dir = text(param::DIR);
    std::env::set_current_dir(&dir).map_err(|e| format!("Can't chdir to '{dir}': {e}"))?;
    // Whoever supervises it does not want it to go to the background.
    let is_supervised = supervisor::find(settings.choice_name(param::SUPERVISED));
    if settings.flag(param::DAEMONIZE) && !is_supervised {
        nix::unistd::daemon(true, false).map_err(|e| format!("Can't daemonize: {e}"))?;
    }
    let file = text(param::LOGFILE);
    if !file.is_empty() {
        let path = std::path::absolute(&file).unwrap_or_else(|_| file.clone().into());
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| format!("Can't open the log file: {e}"))?;
        log::set_file(Some(path));
    }
    logging::configure(settings);
    logging::open_syslog(settings);
    Ok(())
}

/// Shows the process's title, and again whenever what it is made of changes.
fn entitle(engine: &Arc<Engine>, title: Title) {
    let settings = engine.settings.clone();
    let show = move || {
        if let Err(error) = title.show(&settings) {
            warning!("The process's title could not be set: {error}");
        }
    };
    show();
    // Set once, here.
    let _ = engine.retitle.set(Box::new(show));
}

async fn serve(
    settings: Arc<Settings>,
    commands: CommandTable,
    (rules, users): (Rules, Users),
    from_file: Option<PathBuf>,
    title: Option<Title>,
) -> ExitCode {
    let opened = files::fit_maxclients(&settings).and_then(|()| open_listeners(&settings));
    let listeners = match opened {
        Ok(listeners) => listeners,
        Err(message) => {
            warning!("{message}");
            return 1;
        }
    };
    let count = settings.int(param::IO_THREADS).max(1) as usize;
    let engine = Arc::new(Engine::new(settings.clone(), commands, count));
    crash::watch(engine.clone());
    tokio::spawn(watchdog::watch(engine.clone()));
    tend_memory();
    if let Some(title) = title {
        entitle(&engine, title);
    }
    command::configure(&engine);
    // Before anybody comes.
    engine.service::<Acl>().begin(users);
    if let Err(message) = engine.service::<Cluster>().start(&engine) {
        warning!("{message}");
        return 1;
    }
    // Before the data is there: whoever asks is told that it is not yet.
    http::start(&engine);
    // Before the data, which knows under which rules it lived.
    engine.keyspace.set_rules(rules);
    // Whoever comes meanwhile is told that the data is not there yet.
    engine.loading.set_on(true);
    engine.guard();
    // Refused, it is logged, and the server does without.
    let _ = engine.oom_score.configure(&settings);
    let mut threads = Vec::new();
    let mut handles = Vec::new();
    for index in 0..count {
        match worker::start(engine.clone(), index, cron) {
            Ok((handle, thread)) => {
                handles.push(handle);
                threads.push(thread);
            }
            Err(error) => {
                warning!("Worker {index} could not be started: {error}");
                return 1;
            }
        }
    }
    let handles: Arc<[Handle]> = handles.into();
    let pid_file = write_pid_file(&settings);
    banner(&settings, from_file.as_deref(), count);
    notice!("Server initialized");
    let (mut sockets, mut kinds) = (Vec::new(), Vec::new());
    let acceptors = Arc::new(Acceptors::new(&engine, handles));
    for listener in listeners {
        kinds.push(match &listener {
            Listener::Tcp(_) => "tcp",
            Listener::Unix(_, path) => {
                sockets.push(path.clone());
                "unix"
            }
        });
        acceptors.open(listener);
    }
    let rebinding = acceptors.clone();
    // Set once, here.
    let _ = engine.rebind.set(Box::new(move || rebinding.rebind()));
    let mut loaded = std::pin::pin!(load(&engine));
    let mut signals = Signals::take();
    let farewell = loop {
        let end = tokio::select! {
            loaded = &mut loaded, if engine.loading.is_on() => {
                if let Err(message) = loaded {
                    remove_files(pid_file, sockets);
                    // The last that it says is why.
                    warning!("{message}");
                    return 1;
                }
                begin_to_serve(&engine);
                for kind in &kinds {
                    notice!("Ready to accept connections {kind}");
                }
                supervisor::tell(match engine.following.is_on() {
                    true => "READY=1\nSTATUS=Ready to accept connections in read-only mode\n",
                    false => "READY=1\nSTATUS=Ready to accept connections\n",
                });
                continue;
            }
            end = signals.the_end(&engine) => end,
        };
        if end.is_ok() {
            notice!("User requested shutdown...");
            supervisor::tell("STOPPING=1\n");
        }
        let is_time = match end {
            Ok(()) => let_followers_catch_up(&engine, &mut signals).await,
            Err(Impatient) => Err(Impatient),
        };
        match is_time {
            Ok(true) => {}
            Ok(false) => continue,
            Err(Impatient) => {
                warning!("You insist... exiting now.");
                snapshot::remove_begun(&engine.settings);
                return 1;
            }
        }
        let mut farewell = engine.shutdown.farewell();
        if engine.is_loading() {
            // What is there is not all: nothing is saved in the place of it.
            farewell.save = Some(false);
        }
        let saved = tokio::select! {
            saved = save_at_the_end(&engine, farewell) => saved,
            () = signals.more(&engine) => {
                warning!("You insist... exiting now.");
                snapshot::remove_begun(&engine.settings);
                return 1;
            }
        };
        match saved {
            Ok(()) => break farewell,
            Err(why) => {
                warning!("{why}");
                warning!(
                    "Errors trying to shut down the server. Check the logs for more information."
                );
                supervisor::tell(&format!("STATUS={why}\n"));
                engine.shutdown.refuse();
                let_writers_go_on(&engine);
            }
        }
    };
    acceptors.close();
    if engine.routing.is_some() {
        notice!("Saving the cluster configuration file before exiting.");
        engine.service::<Cluster>().save();
    }
    // Who wants nothing saved may have lost what made keys hot.
    if farewell.save != Some(false) && !engine.loading.is_on() {
        run::save_now(&engine);
    }
    engine.shutdown.end();
    snapshot::remove_begun(&engine.settings);
    remove_files(pid_file, sockets);
    warning!("Larder is now ready to exit, bye bye...");
    0
}

/// Who interrupts twice does not want to wait.
struct Impatient;

/// Has followers take what they lack, where the configuration and whoever wants the end
/// let them have the time; nobody may write meanwhile. False where the end was aborted.
async fn let_followers_catch_up(
    engine: &Arc<Engine>,
    signals: &mut Signals,
) -> Result<bool, Impatient> {
    let (shutdown, leading) = (&engine.shutdown, &engine.leading);
    let timeout_ms = engine.settings.int(param::SHUTDOWN_TIMEOUT) as u64 * 1000;
    if !shutdown.farewell().is_urgent && timeout_ms > 0 && leading.is_anybody_behind() {
        let until_ms = clock::unix_ms() + timeout_ms;
        engine
            .effects
            .pause
            .begin(Purpose::Shutdown, u64::MAX, false);
        shutdown.wait_for_followers(until_ms);
        notice!("Waiting for replicas before shutting down.");
        engine.service::<Leader>().ask();
        while leading.is_anybody_behind() && shutdown.left_ms().is_some_and(|ms| ms > 0) {
            tokio::select! {
                () = signals.more(engine) => return Err(Impatient),
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
        }
        if !shutdown.end_waiting() {
            let_writers_go_on(engine);
            return Ok(false);
        }
    }
    let followers = leading.followers();
    let behind = followers.iter().filter(|f| leading.is_behind(f));
    let mut in_sync = followers.len();
    for follower in behind {
        in_sync -= 1;
        let acked = follower.acked.load(Ordering::Relaxed);
        notice!(
            "Lagging replica {}:{} reported offset {} behind master, lag={}, state={}.",
            follower.ip(),
            follower.port,
            leading.offset.load(Ordering::Relaxed).saturating_sub(acked),
            follower.lag_s(),
            follower.progress().name()
        );
    }
    if !followers.is_empty() {
        let all = followers.len();
        notice!("{in_sync} of {all} replicas are in sync when shutting down.");
    }
    Ok(true)
}

/// The end was put off: whoever wanted to write goes on.
fn let_writers_go_on(engine: &Engine) {
    engine.effects.pause.end(Purpose::Shutdown);
    for client in engine.clients.all() {
        client.wake();
    }
}

/// What is there to be kept is kept, by a thread of its own: the disk may take its time.
/// `Err` says why the process can't end.
async fn save_at_the_end(engine: &Arc<Engine>, farewell: Farewell) -> Result<(), &'static str> {
    if farewell.is_safe
        && !farewell.is_forced
        && engine.routing.is_some()
        && engine.service::<Cluster>().state().me().votes()
    {
        return Err(
            "This is a voting primary. Shutting down may cause the cluster to go down. Can't exit.",
        );
    }
    const FAILED: &str = "Error trying to save the DB, can't exit.";
    let (sender, receiver) = oneshot::channel();
    let own = engine.clone();
    let save = move || {
        // Nobody waits for it where the process ends meanwhile.
        let _ = sender.send(save::at_the_end(&own, farewell));
    };
    let thread = thread::Builder::new().name("save".into());
    if thread.spawn(save).is_err() {
        return Err(FAILED);
    }
    match receiver.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(FAILED),
    }
}

/// Removes what told others where the server is.
fn remove_files(pid_file: Option<PathBuf>, sockets: Vec<PathBuf>) {
    if let Some(path) = pid_file {
        notice!("Removing the pid file.");
        let _ = fs::remove_file(path);
    }
    for path in sockets {
        notice!("Removing the unix socket file.");
        let _ = fs::remove_file(path);
    }
}

/// The data is there: begins with what depends on it.
fn begin_to_serve(engine: &Arc<Engine>) {
    stand_in::provide(engine);
    settle_cluster(engine);
    if let Some(primary) = engine.settings.replica_of() {
        let _held = engine.keyspace.lock_all();
        let leader = engine.service::<Leader>();
        leader.follow(engine, 0, primary, false);
    }
    let saver = Arc::downgrade(engine);
    // Set once, here.
    let _ = engine.save_in_background.set(Box::new(move || {
        let Some(engine) = saver.upgrade() else {
            return;
        };
        let threads = thread::Builder::new().name("save".into());
        let own = engine.clone();
        if let Err(error) = threads.spawn(move || save::in_background(&own)) {
            warning!("Can't save in background: {error}");
            drop(engine.saving.take_up(true));
        }
    }));
    engine.loading.set_on(false);
    engine.guard();
    run::at_start(engine);
    http::note_serving(engine);
}

/// Reads the snapshot that the configuration names, where there is one, on a thread of
/// its own.
async fn load(engine: &Arc<Engine>) -> Result<(), String> {
    let path = snapshot::path(&engine.settings);
    if let Err(error) = fs::metadata(&path)
        && error.kind() == io::ErrorKind::NotFound
    {
        return Ok(());
    }
    let (sender, receiver) = oneshot::channel();
    let own = engine.clone();
    let read = move || {
        // Nobody waits for it where the server ends meanwhile.
        let _ = sender.send(read_snapshot(&own, &path));
    };
    let thread = thread::Builder::new().name("load".into());
    let thread = thread.spawn(read);
    let thread = thread.map_err(|error| format!("No thread to load the DB: {error}"))?;
    let crashed = || "Fatal error loading the DB: its thread has ended. Exiting.".into();
    let result = receiver.await.unwrap_or_else(|_| Err(crashed()));
    // It has said all that it had to say.
    let _ = thread.join();
    result
}

fn read_snapshot(engine: &Engine, path: &Path) -> Result<(), String> {
    let settings = &engine.settings;
    let (rules, began) = (rdb::Rules::of(settings), Instant::now());
    let now_ms = clock::unix_ms();
    // No shard is held for longer than a key takes: some commands run meanwhile.
    let mut txn = Txn::one_by_one(&engine.keyspace, &engine.effects, 0, now_ms);
    let databases = engine.databases();
    let progress = Some(&engine.loading);
    let present = Present::Refused;
    match snapshot::read_file_watched(&mut txn, path, &rules, databases, present, progress) {
        Ok(summary) => {
            notice!(
                "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
                summary.keys,
                summary.expired,
                summary.empty
            );
            if summary.nulls > 0 {
                notice!("Absences remembered: {}.", summary.nulls);
            }
            notice!(
                "DB loaded from disk: {:.3} seconds",
                began.elapsed().as_secs_f64()
            );
            let saving = &engine.saving;
            saving.loaded.store(summary.keys, Ordering::Relaxed);
            saving
                .expired_at_load
                .store(summary.expired, Ordering::Relaxed);
            saving.note_loaded(saving::changes(&mut txn));
            // The data is not there for anybody yet: nobody hears of it.
            let garbage = txn.commit().garbage;
            engine.reclaimer.free(garbage, false);
            Ok(())
        }
        Err(refusal) => {
            warning!("{refusal}");
            if refusal.is_damage() {
                warning!("Terminating server after rdb file reading failure.");
            }
            let path = path.display();
            Err(format!(
                "Fatal error loading the DB {path}: {refusal}. Exiting."
            ))
        }
    }
}

/// Brings what was loaded and what is known of the cluster's slots together.
fn settle_cluster(engine: &Engine) {
    if engine.routing.is_none() {
        return;
    }
    let (keyspace, databases) = (&engine.keyspace, engine.databases());
    let count = |slot| {
        let shard = keyspace.lock(keyspace.shard_of_slot(slot));
        (0..databases).map(|db| shard.len_of_slot(db, slot)).sum()
    };
    let cluster = engine.service::<Cluster>();
    let others = cluster.settle_with_data(engine, 0, count);
    if others.is_empty() {
        return;
    }
    let now_ms = clock::unix_ms();
    let mut txn = Txn::one_by_one(keyspace, &engine.effects, 0, now_ms);
    for slot in others {
        command::drop_slot(&mut txn, slot, databases);
    }
    let outcome = txn.commit();
    engine.reclaimer.free(outcome.garbage, true);
}

/// Reads the snapshot of the server that is followed. The keyspace is empty; no shard is
/// held for longer than a key takes.
fn load_from_leader(engine: &Engine, source: Box<dyn io::Read + Send>) -> Result<Loaded, String> {
    let settings = &engine.settings;
    let rules = rdb::Rules {
        // What a newer server writes is read as far as it is known.
        is_strict: false,
        ..rdb::Rules::of(settings)
    };
    let now_ms = clock::unix_ms();
    let mut txn = Txn::one_by_one(&engine.keyspace, &engine.effects, 0, now_ms);
    let databases = engine.databases();
    let total = engine.following.transfer.total.load(Ordering::Relaxed);
    engine.loading.begin(total);
    let progress = &engine.loading;
    let source = Counted::new(source, progress);
    let present = Present::Refused;
    let result =
        snapshot::read_watched(&mut txn, source, &rules, databases, present, Some(progress));
    let outcome = txn.commit();
    let later = engine.effects.is_lazy(Removal::Replacement);
    engine.reclaimer.free(outcome.garbage, later);
    let summary = result.map_err(|refusal| refusal.to_string())?;
    notice!(
        "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
        summary.keys,
        summary.expired,
        summary.empty
    );
    Ok(Loaded {
        keys: summary.keys,
        stream_db: summary.stream_db,
    })
}

/// The signals that end the process; none of those that the system refuses to tell of.
struct Signals {
    term: Option<Signal>,
    int: Option<Signal>,
    /// The terminal that started us may go.
    _hangup: Option<Signal>,
}

impl Signals {
    fn take() -> Signals {
        let take = |kind| signal(kind).ok();
        Signals {
            term: take(SignalKind::terminate()),
            int: take(SignalKind::interrupt()),
            _hangup: take(SignalKind::hangup()),
        }
    }

    /// One of them, or SHUTDOWN. A signal takes effect with the next tick of the clock.
    async fn the_end(&mut self, engine: &Engine) -> Result<(), Impatient> {
        tokio::select! {
            () = self.more(engine) => Err(Impatient),
            () = engine.shutdown.requested() => Ok(()),
        }
    }

    /// Notes what comes; returns when SIGINT has come and the end is on its way already.
    async fn more(&mut self, engine: &Engine) {
        let wish = |directive| Farewell::of(&engine.settings, directive);
        loop {
            tokio::select! {
                () = next(&mut self.term) => {
                    notice!("Received SIGTERM scheduling shutdown...");
                    engine.shutdown.schedule(wish(param::SHUTDOWN_ON_SIGTERM));
                }
                () = next(&mut self.int) => {
                    if !engine.shutdown.schedule(wish(param::SHUTDOWN_ON_SIGINT)) {
                        return;
                    }
                    notice!("Received SIGINT scheduling shutdown...");
                }
            }
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

fn open_listeners(settings: &Settings) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    let port = settings.int(param::PORT);
    let backlog = settings.int(param::TCP_BACKLOG) as i32;
    if port != 0 {
        let port = u16::try_from(port).map_err(|_| format!("Port {port} is none"))?;
        let bound = listener::bind_tcp(&settings.bind(), port, backlog);
        listeners.extend(bound.map_err(|(address, error)| {
            let error = match error.kind() {
                io::ErrorKind::AddrInUse => "Address already in use".to_string(),
                _ => error.to_string(),
            };
            warning!("Could not create server TCP listening socket {address}: bind: {error}");
            format!("Failed listening on port {port} (tcp), aborting.")
        })?);
    }
    let path = settings.text(param::UNIXSOCKET);
    if !path.is_empty() {
        let path = PathBuf::from(String::from_utf8_lossy(&path).into_owned());
        let mode = settings.int(param::UNIXSOCKETPERM) as u32;
        let group = settings.text(param::UNIXSOCKETGROUP);
        let group = String::from_utf8_lossy(&group);
        listeners
            .push(listener::bind_unix(&path, mode, &group).map_err(|e| {
                format!("Failed opening Unix socket {}: bind: {e}", path.display())
            })?);
    }
    match listeners.is_empty() {
        true => Err("Configured to not listen anywhere, exiting.".into()),
        false => Ok(listeners),
    }
}

fn write_pid_file(settings: &Settings) -> Option<PathBuf> {
    let mut path = String::from_utf8_lossy(&settings.text(param::PIDFILE)).into_owned();
    if path.is_empty() && settings.flag(param::DAEMONIZE) {
        path = "/var/run/larder.pid".into();
    }
    if path.is_empty() {
        return None;
    }
    let path = PathBuf::from(path);
    match fs::write(&path, format!("{}\n", std::process::id())) {
        Ok(()) => Some(path),
        Err(error) => {
            warning!("Failed to write the pid file {}: {error}", path.display());
            None
        }
    }
}

/// What an operator wants to see first.
fn banner(settings: &Settings, from_file: Option<&Path>, workers: usize) {
    let addresses: Vec<String> = settings
        .bind()
        .iter()
        .map(|a| String::from_utf8_lossy(a).into_owned())
        .collect();
    let maxmemory = match settings.int(param::MAXMEMORY) {
        0 => "no limit (maxmemory is not set)".to_string(),
        n => units::show_bytes(n as u64),
    };
    let text = format!(
        "\n  Larder {} · {workers} worker{}\n  Port: {} on {}\n  PID: {}\n  Configuration: {}\n  Memory: {maxmemory}\n\n",
        env!("CARGO_PKG_VERSION"),
        if workers == 1 { "" } else { "s" },
        settings.int(param::PORT),
        addresses.join(", "),
        std::process::id(),
        from_file.map_or_else(|| "defaults".into(), |f| f.display().to_string()),
    );
    if log::is_on(log::Level::Notice) {
        log::write_raw(text.as_bytes());
    }
}

/// What a worker does beside its connections: looks after its shards.
async fn cron(engine: Arc<Engine>, worker: usize) {
    let workers = engine.workers.len();
    tokio::spawn(keep_up(engine.clone(), worker));
    if worker == 0 {
        tokio::spawn(link::run(engine.clone(), worker, load_from_leader));
    }
    let (mut tenth, mut second) = (Instant::now(), Instant::now());
    // The last client whose buffers were looked at.
    let mut looked_at = 0;
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        add(&engine.workers[worker].ticks, 1);
        if worker == 0 {
            engine.sample_rates();
        }
        if engine.cron_paused.load(Ordering::Relaxed) {
            continue;
        }
        if worker == 0 {
            engine.shutdown.keep_schedule();
        }
        if worker == 0 {
            client_eviction::hold(&engine);
        }
        if engine.loading.is_on() || !can_have_shards(&engine) {
            // What is there is not all.
            continue;
        }
        let began = Instant::now();
        let mut slice_began = began;
        for shard in (worker..engine.keyspace.len()).step_by(workers) {
            while !engine.busy.is_running() && sweep_slice(&engine, worker, shard) {
                if slice_began.elapsed() > SWEEP_SLICE {
                    tokio::task::yield_now().await;
                    slice_began = Instant::now();
                }
            }
        }
        while worker == 0 && refresh::slice(&engine) {
            if slice_began.elapsed() > SWEEP_SLICE {
                tokio::task::yield_now().await;
                slice_began = Instant::now();
            }
        }
        if worker == 0 {
            warm_a_little(&engine);
        }
        while worker == 0 && room::slice(&engine) {
            if slice_began.elapsed() > SWEEP_SLICE {
                tokio::task::yield_now().await;
                slice_began = Instant::now();
            }
        }
        if worker == 0 && tenth.elapsed() > Duration::from_millis(100) {
            tenth = Instant::now();
            trim_buffers(&engine, &mut looked_at);
            sweep::own_keys(&engine, worker);
            let leader = engine.service::<Leader>();
            leader.look_at_failover(&engine, worker);
            if engine.routing.is_some() {
                engine.service::<Cluster>().tick(&engine, worker);
            }
            let clients = &engine.clients;
            clients.owed().drop_debtors(|| clients.all());
        }
        if worker == 0 && second.elapsed() > Duration::from_secs(1) {
            second = Instant::now();
            every_second(&engine);
        }
        add(
            &engine.workers[worker].cron_ns,
            began.elapsed().as_nanos() as u64,
        );
    }
}

/// Carries out what policies and invalidations leave to be done: nobody waits for it, so
/// a worker that has much of it to do rests longer than it works.
async fn keep_up(engine: Arc<Engine>, worker: usize) {
    let workers = engine.workers.len();
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if engine.cron_paused.load(Ordering::Relaxed) || engine.loading.is_on() {
            continue;
        }
        let mut began = Instant::now();
        for shard in (worker..engine.keyspace.len()).step_by(workers) {
            while !engine.busy.is_running() && sweep::keep_up(&engine, worker, shard) {
                if began.elapsed() > KEEP_UP_SLICE {
                    tokio::time::sleep(KEEP_UP_REST).await;
                    began = Instant::now();
                }
            }
        }
        if worker == 0 && !engine.busy.is_running() {
            sweep::conclude(&engine);
        }
    }
}

/// Whether no script has the keyspace, or it ends within a moment. Who waited for one that
/// does not would leave his worker's connections without an answer.
fn can_have_shards(engine: &Engine) -> bool {
    !engine.busy.is_running() || engine.keyspace.is_free_within(0, SCRIPT_PATIENCE)
}

/// One slice of the look for keys whose time is over; true where there is more.
fn sweep_slice(engine: &Engine, worker: usize, shard: usize) -> bool {
    let began_ns = clock::work_ns();
    let more = sweep::expire(engine, worker, shard);
    let took_ns = clock::work_ns() - began_ns;
    add(&engine.workers[worker].expiry_ns, took_ns);
    let event = latency::Event::ExpireCycle;
    engine.latency.note(&engine.settings, event, took_ns);
    more
}

/// What warming may take of one round: nobody is in a hurry.
fn warm_a_little(engine: &Engine) {
    let began = Instant::now();
    while run::slice(engine) && began.elapsed() < SWEEP_SLICE {}
}

/// Asks connections for memory that they hold and may not need, a tenth of them each
/// time.
fn trim_buffers(engine: &Engine, looked_at: &mut u64) {
    if engine.total(|w| &w.buffers) == 0 {
        return;
    }
    let (clients, now_ms) = (&engine.clients, clock::unix_ms());
    let most = (clients.len() / 10).max(LOOKED_AT_MIN);
    let some = clients.some(*looked_at, most);
    // From the first one again, when it comes to the last.
    let is_end = some.len() < most;
    *looked_at = some.last().map_or(0, |c| if is_end { 0 } else { c.id });
    for client in some {
        if client.is_wasteful(&engine.replies, now_ms) {
            client.trim();
        }
    }
}

/// Has memory for keys ready before they come, and gives back what is free for long, on a
/// thread of its own.
fn tend_memory() {
    let thread = thread::Builder::new().name("memory".into());
    if let Err(error) = thread.spawn(slab::tend) {
        // The server is as good without, if a little slower and larger.
        crate::verbose!("No thread to tend the memory: {error}");
    }
}

fn every_second(engine: &Engine) {
    // Reading the figure keeps the peak true.
    memory::used_bytes();
    engine.keyspace.evictor().note_moment();
    slab::release_unused(PAGES_KEPT);
    close_idle(engine);
    command::drop_idle_links(engine);
    engine.service::<Leader>().tick(engine);
    save_if_due(engine);
    run::tick(engine);
}

/// `save`: enough has changed for long enough.
fn save_if_due(engine: &Engine) {
    let keyspace = &engine.keyspace;
    let of_shard = |i| keyspace.lock(i).stats.changes;
    let changes = (0..keyspace.len()).map(of_shard).sum();
    if engine.saving.is_due(&engine.settings, changes)
        && let Some(save) = engine.save_in_background.get()
        && engine.saving.reserve()
    {
        notice!("{} changes. Saving...", engine.saving.unsaved(changes));
        save();
    }
}

/// `timeout`: clients that have been silent for too long.
fn close_idle(engine: &Engine) {
    let seconds = engine.settings.int(param::TIMEOUT);
    if seconds <= 0 {
        return;
    }
    let now = clock::unix_ms();
    for client in engine.clients.all() {
        let active = client.active_ms.load(Ordering::Relaxed);
        // Who listens has nothing to say.
        let listens = client.is_subscriber() || client.monitor.load(Ordering::Relaxed);
        let is_exempt =
            client.is_waiting() || client.is_follower() || client.is_leader() || listens;
        if now.saturating_sub(active) > seconds as u64 * 1000 && !is_exempt {
            crate::verbose!("Closing idle client id={}", client.id);
            client.kill();
        }
    }
}
