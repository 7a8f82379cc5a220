//! The wiring: starts what the layers below offer, and ends it in good order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::base::{clock, log, units};
use crate::config::{Caller, Refusal, Settings, param};
use crate::exec::engine::Engine;
use crate::exec::sweep;
use crate::net::listener::{self, Listener};
use crate::net::worker::{self, Handle};
use crate::store::{memory, slab};
use crate::{command, notice, warning};

/// How often deadlines are looked after: with the wheel's tick of 32 ms this
/// keeps a key's removal within 100 ms of its deadline.
const SWEEP_EVERY: Duration = Duration::from_millis(20);
/// How long a sweep may hold the worker before connections get their turn.
const SWEEP_SLICE: Duration = Duration::from_micros(500);
/// Free slab pages that are not worth giving back, in bytes.
const PAGES_KEPT: usize = 64 * 1024 * 1024;

/// How long closing a listening socket may take.
const CLOSING_MAX: Duration = Duration::from_millis(200);

/// Why the server ended, as an exit code for the shell.
pub type ExitCode = i32;

/// Runs the server until it is told to stop.
pub fn run(settings: Settings, from_file: Option<PathBuf>) -> ExitCode {
    let settings = Arc::new(settings);
    if let Err(message) = prepare(&settings) {
        eprintln!("{message}");
        return 1;
    }
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
        Ok(runtime) => runtime.block_on(serve(settings, from_file)),
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
    if settings.flag(param::DAEMONIZE) {
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
    log::set_level(log::Level::named(settings.choice_name(param::LOGLEVEL)));
    Ok(())
}

/// Descriptors that are for ourselves, not for clients.
const OWN_FILES: u64 = 32;

/// Raises the limit of open files to what `clients` need, and says how many
/// clients it allows now.
fn room_for_clients(clients: u64) -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted = clients + OWN_FILES;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return clients;
    };
    if soft >= wanted {
        return clients;
    }
    let raised = wanted.min(hard);
    let is_raised = raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok();
    let limit = if is_raised { raised } else { soft };
    limit.saturating_sub(OWN_FILES).min(clients)
}

/// Fits `maxclients` to what the system allows.
fn fit_maxclients(settings: &Settings) -> Result<(), String> {
    let wanted = settings.int(param::MAXCLIENTS) as u64;
    let allowed = room_for_clients(wanted);
    if allowed == wanted {
        return Ok(());
    }
    if allowed == 0 {
        return Err("The limit of open files leaves none for clients, exiting.".into());
    }
    warning!(
        "maxclients {wanted} wants {} open files, which the system does not allow: it is {allowed} \
         now. For more, raise the limit ('ulimit -n').",
        wanted + OWN_FILES
    );
    let caller = Caller {
        is_local: true,
        is_loading: false,
    };
    let text = allowed.to_string();
    settings
        .set(&[(b"maxclients", text.as_bytes())], caller, &mut |_| Ok(()))
        .map_err(|e| e.to_string())
}

async fn serve(settings: Arc<Settings>, from_file: Option<PathBuf>) -> ExitCode {
    let opened = fit_maxclients(&settings).and_then(|()| {
        let tcp = open_tcp(&settings)?;
        let unix = open_unix(&settings)?;
        match tcp.is_empty() && unix.is_none() {
            true => Err("Configured to not listen anywhere, exiting.".into()),
            false => Ok((tcp, unix)),
        }
    });
    let (tcp, unix) = match opened {
        Ok(opened) => opened,
        Err(message) => {
            warning!("{message}");
            return 1;
        }
    };
    let count = settings.int(param::IO_THREADS).max(1) as usize;
    let engine = Arc::new(Engine::new(settings.clone(), command::table(), count));
    let mut handles = Vec::new();
    for index in 0..count {
        // The threads end with the process.
        match worker::start(engine.clone(), index, cron) {
            Ok((handle, _thread)) => handles.push(handle),
            Err(error) => {
                warning!("Worker {index} could not be started: {error}");
                return 1;
            }
        }
    }
    let pid_file = write_pid_file(&settings);
    banner(&settings, from_file.as_deref(), count);
    notice!("Server initialized");
    let doors = Arc::new(Doors {
        engine: engine.clone(),
        workers: handles.into(),
        runtime: tokio::runtime::Handle::current(),
        tcp: Mutex::default(),
    });
    let socket = unix.map(|(listener, path)| {
        tokio::spawn(doors.clone().accept(listener));
        notice!("Ready to accept connections unix");
        path
    });
    if !tcp.is_empty() {
        doors.open_tcp(tcp);
        notice!("Ready to accept connections tcp");
    }
    let reconfigured = doors.clone();
    let _ = engine
        .reconfigure
        .set(Box::new(move |changed| reconfigured.reconfigure(changed)));
    wait_for_the_end(&engine).await;
    notice!("User requested shutdown...");
    doors.tcp.lock().drain(..).for_each(|door| door.abort());
    engine.shutdown.end();
    if let Some(path) = pid_file {
        notice!("Removing the pid file.");
        let _ = fs::remove_file(path);
    }
    if let Some(path) = socket {
        notice!("Removing the unix socket file.");
        let _ = fs::remove_file(path);
    }
    warning!("Larder is now ready to exit, bye bye...");
    0
}

/// Where clients come in.
struct Doors {
    engine: Arc<Engine>,
    workers: Arc<[Handle]>,
    runtime: tokio::runtime::Handle,
    tcp: Mutex<Vec<JoinHandle<()>>>,
}

impl Doors {
    async fn accept(self: Arc<Doors>, listener: Listener) {
        listener::accept(listener, self.engine.clone(), self.workers.clone()).await;
    }

    /// Listens on these and no others; who is connected stays.
    fn open_tcp(self: &Arc<Doors>, listeners: Vec<Listener>) {
        let tasks = listeners
            .into_iter()
            .map(|l| self.runtime.spawn(self.clone().accept(l)))
            .collect();
        let old = std::mem::replace(&mut *self.tcp.lock(), tasks);
        old.iter().for_each(JoinHandle::abort);
        // Their ports are free when the tasks are gone, which another thread
        // sees to; on that thread itself there is nothing to wait for.
        let began = Instant::now();
        while !old.iter().all(JoinHandle::is_finished) && began.elapsed() < CLOSING_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// See [`Engine::reconfigure`].
    fn reconfigure(self: &Arc<Doors>, changed: &[&'static str]) -> Result<(), Refusal> {
        let settings = &self.engine.settings;
        let refuse = |name: &'static str, reason: String| Err(Refusal { name, reason });
        if changed.contains(&param::MAXCLIENTS.name()) {
            let wanted = settings.int(param::MAXCLIENTS) as u64;
            let allowed = room_for_clients(wanted);
            if allowed < wanted {
                let reason = format!(
                    "The operating system is not able to handle the specified number of clients, \
                     try with {allowed}"
                );
                return refuse(param::MAXCLIENTS.name(), reason);
            }
        }
        let moved = [param::PORT.name(), param::BIND.name()];
        let Some(name) = moved.into_iter().find(|n| changed.contains(n)) else {
            return Ok(());
        };
        // Opening a socket needs the runtime that will serve it.
        let _context = self.runtime.enter();
        // The old ones go first: a new address may overlap an old one.
        self.open_tcp(Vec::new());
        match open_tcp(settings) {
            Ok(listeners) => {
                self.open_tcp(listeners);
                Ok(())
            }
            Err(message) => {
                warning!("{message}");
                let reason = match name {
                    "port" => "Unable to listen on this port. Check server logs.",
                    _ => "Failed to bind to specified addresses.",
                };
                refuse(name, reason.into())
            }
        }
    }
}

/// A signal, or SHUTDOWN.
async fn wait_for_the_end(engine: &Engine) {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        engine.shutdown.requested().await;
        return;
    };
    // The terminal that started us may go.
    let _hangup = signal(SignalKind::hangup());
    tokio::select! {
        _ = term.recv() => notice!("Received SIGTERM scheduling shutdown..."),
        _ = int.recv() => notice!("Received SIGINT scheduling shutdown..."),
        () = engine.shutdown.requested() => {}
    }
    engine.shutdown.request();
}

fn open_tcp(settings: &Settings) -> Result<Vec<Listener>, String> {
    let port = settings.int(param::PORT);
    if port == 0 {
        return Ok(Vec::new());
    }
    let port = u16::try_from(port).map_err(|_| format!("Port {port} is none"))?;
    let backlog = settings.int(param::TCP_BACKLOG) as i32;
    listener::bind_tcp(&settings.bind(), port, backlog).map_err(|(address, error)| {
        let error = match error.kind() {
            io::ErrorKind::AddrInUse => "Address already in use".to_string(),
            _ => error.to_string(),
        };
        format!("Could not create server TCP listening socket {address}: bind: {error}")
    })
}

fn open_unix(settings: &Settings) -> Result<Option<(Listener, PathBuf)>, String> {
    let path = settings.text(param::UNIXSOCKET);
    if path.is_empty() {
        return Ok(None);
    }
    let path = PathBuf::from(String::from_utf8_lossy(&path).into_owned());
    let mode = settings.int(param::UNIXSOCKETPERM) as u32;
    match listener::bind_unix(&path, mode) {
        Ok(listener) => Ok(Some((listener, path))),
        Err(error) => Err(format!(
            "Failed opening Unix socket {}: bind: {error}",
            path.display()
        )),
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
    let mut second = Instant::now();
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if worker == 0 {
            engine.sample_rates();
        }
        if engine.cron_paused.load(Ordering::Relaxed) {
            continue;
        }
        let mut slice_began = Instant::now();
        for shard in (worker..engine.keyspace.len()).step_by(workers) {
            while sweep::slice(&engine, shard) {
                if slice_began.elapsed() > SWEEP_SLICE {
                    tokio::task::yield_now().await;
                    slice_began = Instant::now();
                }
            }
        }
        if worker == 0 && second.elapsed() > Duration::from_secs(1) {
            second = Instant::now();
            every_second(&engine);
        }
    }
}

fn every_second(engine: &Engine) {
    // Reading the figure keeps the peak true.
    memory::used_bytes();
    engine.keyspace.evictor().note_moment();
    slab::purge_beyond(PAGES_KEPT);
    close_idle(engine);
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
        if now.saturating_sub(active) > seconds as u64 * 1000 {
            crate::verbose!("Closing idle client id={}", client.id);
            client.kill();
        }
    }
}
