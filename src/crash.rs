//! The last words: a report in the log when a signal kills the process, or when a
//! thread panics, which ends the process as well. A broken invariant is no
//! state to go on from.
//!
//! The report is written on the thread that failed, the surest parts first. It
//! may need a lock that this very thread holds; so an alarm ends the process,
//! should it not have ended in ten seconds.
//!
//! **Unsafe:** installing a handler, and what the kernel hands to it. Sound since
//! the handlers are functions of the process's whole life, they read the
//! kernel's record only while it lasts, and whoever comes here does not go back
//! to what was interrupted.

#![allow(unsafe_code)]

use std::backtrace::Backtrace;
use std::fmt::Arguments;
use std::panic::PanicHookInfo;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::unistd::alarm;

use crate::base::{clock, log};
use crate::config::param;
use crate::exec::engine::Engine;
use crate::observe::{clients, info};
use crate::warning;

/// Signals that nobody survives.
const FATAL: [Signal; 5] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGABRT,
];
/// How long a report may take.
const REPORT_S: u32 = 10;

static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
static CRASHED: AtomicBool = AtomicBool::new(false);
static CRASHING: OnceLock<ThreadId> = OnceLock::new();

/// Reports on fatal signals and panics from now on.
pub fn watch(engine: Arc<Engine>) {
    if ENGINE.set(engine).is_err() {
        return;
    }
    std::panic::set_hook(Box::new(on_panic));
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_NODEFER;
    let action = SigAction::new(SigHandler::SigAction(on_signal), flags, SigSet::empty());
    for signal in FATAL {
        // SAFETY: the handler is a function that never returns.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// Lets a signal do what it does where nobody listens.
fn ignore(signal: Signal) {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed.
    let _ = unsafe { sigaction(signal, &action) };
}

fn die(signal: Signal) -> ! {
    ignore(signal);
    let _ = raise(signal);
    process::abort()
}

/// Begins a report; false where this thread has failed while it wrote one. Another
/// thread that fails meanwhile waits for the end.
fn begin() -> bool {
    if CRASHED.swap(true, Ordering::AcqRel) {
        if CRASHING.get() == Some(&thread::current().id()) {
            return false;
        }
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }
    let _ = CRASHING.set(thread::current().id());
    ignore(Signal::SIGALRM);
    alarm::set(REPORT_S);
    raw(format_args!(
        "\n\n=== LARDER BUG REPORT START: Cut & paste starting from here ===\n"
    ));
    true
}

fn raw(text: Arguments<'_>) {
    log::write_raw(text.to_string().as_bytes());
}

extern "C" fn on_signal(number: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let signal = Signal::try_from(number).unwrap_or(Signal::SIGABRT);
    let is_wanted = ENGINE
        .get()
        .is_some_and(|e| e.settings.flag(param::CRASH_LOG_ENABLED));
    if !is_wanted {
        die(signal);
    }
    if !begin() {
        warning!("Crashed running signal handler. The report ends here.");
        die(signal);
    }
    // SAFETY: the kernel's record of the signal lasts as long as the handler, and
    // it is read as what the signal and its code say it is.
    let (code, address, sender) = unsafe {
        let info = &*info;
        (info.si_code, info.si_addr(), (info.si_pid(), info.si_uid()))
    };
    let version = env!("CARGO_PKG_VERSION");
    warning!("Larder {version} crashed by signal: {number}, si_code: {code}");
    if matches!(signal, Signal::SIGSEGV | Signal::SIGBUS) {
        warning!("Accessing address: {address:p}");
    }
    if code == libc::SI_USER {
        let (pid, uid) = sender;
        warning!("Killed by PID: {pid}, UID: {uid}");
    }
    report();
    die(signal)
}

fn on_panic(panic: &PanicHookInfo<'_>) {
    if !begin() {
        warning!("Failed while reporting a failure: {panic}");
        die(Signal::SIGABRT);
    }
    let payload = panic.payload();
    let message = match payload.downcast_ref::<&str>() {
        Some(text) => text,
        None => payload.downcast_ref::<String>().map_or("no message", |s| s),
    };
    let place = panic.location().map_or("?".into(), ToString::to_string);
    match message.strip_prefix("assertion failed: ") {
        Some(condition) => {
            warning!("=== ASSERTION FAILED ===");
            warning!("==> {place} '{condition}' is not true");
        }
        None => {
            warning!("------------------------------------------------");
            warning!("!!! Software Failure. Press left mouse button to continue");
            warning!("Guru Meditation: {message} #{place}");
        }
    }
    let is_wanted = ENGINE
        .get()
        .is_some_and(|e| e.settings.flag(param::CRASH_LOG_ENABLED));
    match is_wanted {
        true => report(),
        false => raw(format_args!("{END}")),
    }
    die(Signal::SIGABRT)
}

const END: &str = "\n=== LARDER BUG REPORT END. Make sure to include from START to END. ===\n\n";

/// What is known of the process's state.
fn report() {
    raw(format_args!("\n------ STACK TRACE ------\n"));
    let thread = thread::current();
    let name = thread.name().unwrap_or("?");
    raw(format_args!(
        "thread {name}:\n{}\n------ STACK TRACE DONE ------\n",
        Backtrace::force_capture()
    ));
    if let Some(engine) = ENGINE.get() {
        raw(format_args!(
            "\n------ INFO OUTPUT ------\n{}",
            info::render_without_data(engine)
        ));
        report_clients(engine, name);
        let settings = &engine.settings;
        raw(format_args!(
            "\n------ CONFIG DEBUG OUTPUT ------\nio-threads {}\nmaxmemory {}\nmaxmemory-policy {}\n",
            settings.int(param::IO_THREADS),
            settings.int(param::MAXMEMORY),
            settings.choice_name(param::MAXMEMORY_POLICY),
        ));
    }
    raw(format_args!("{END}"));
}

/// All clients, and the one whose command ran on this thread.
fn report_clients(engine: &Engine, thread: &str) {
    let now_ms = clock::unix_ms();
    let running = thread
        .strip_prefix("worker-")
        .and_then(|n| engine.workers.get(n.parse::<usize>().ok()?))
        .map_or(0, |worker| worker.client.load(Ordering::Relaxed));
    raw(format_args!("\n------ CLIENT LIST OUTPUT ------\n"));
    let clients = engine.clients.all();
    let show = |line: Vec<u8>| raw(format_args!("{}\n", String::from_utf8_lossy(&line)));
    for client in &clients {
        show(clients::line_for_log(engine, client, now_ms));
    }
    if let Some(client) = clients.iter().find(|c| c.id == running) {
        raw(format_args!("\n------ CURRENT CLIENT INFO ------\n"));
        show(clients::line_for_log(engine, client, now_ms));
    }
}
