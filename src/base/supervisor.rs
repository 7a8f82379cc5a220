//! Who started the process and wants to hear how it is: systemd, by its socket, or
//! upstart, by a stop.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, raise};

use crate::{notice, verbose, warning};

/// Where systemd listens, by the environment.
const SOCKET: &str = "NOTIFY_SOCKET";
/// What upstart calls the job, by the environment.
const JOB: &str = "UPSTART_JOB";

/// Who it is, where there is one that was found.
static SUPERVISOR: OnceLock<Supervisor> = OnceLock::new();

enum Supervisor {
    Upstart,
    Systemd(UnixDatagram, SocketAddr),
}

/// Finds who is named, `upstart`, `systemd` or `auto`; any other name is nobody's. Where
/// it is not there, the log says so, and there is none. Once, before there are threads.
pub fn find(name: &str) -> bool {
    let found = match name {
        "upstart" => stop(),
        "systemd" => open(),
        "auto" if env::var_os(JOB).is_some() => {
            verbose!("Upstart supervision detected.");
            stop()
        }
        "auto" if env::var_os(SOCKET).is_some() => {
            verbose!("Systemd supervision detected.");
            open()
        }
        _ => None,
    };
    if let Some(supervisor) = found {
        // Set once, here.
        let _ = SUPERVISOR.set(supervisor);
    }
    SUPERVISOR.get().is_some()
}

/// Its name, or `no`.
pub fn name() -> &'static str {
    match SUPERVISOR.get() {
        None => "no",
        Some(Supervisor::Upstart) => "upstart",
        Some(Supervisor::Systemd(..)) => "systemd",
    }
}

/// Tells systemd something, as sd_notify(3) words it, where it is the one.
pub fn tell(state: &str) {
    if let Some(Supervisor::Systemd(socket, address)) = SUPERVISOR.get()
        && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
    {
        warning!("systemd supervision error: {error}");
    }
}

/// Stops, which upstart takes for readiness.
fn stop() -> Option<Supervisor> {
    if env::var_os(JOB).is_none() {
        warning!("upstart supervision requested, but {JOB} not found!");
        return None;
    }
    notice!("supervised by upstart, will stop to signal readiness.");
    if let Err(error) = raise(Signal::SIGSTOP) {
        warning!("upstart supervision error: {error}");
        return None;
    }
    Some(Supervisor::Upstart)
}

fn open() -> Option<Supervisor> {
    let Some(path) = env::var_os(SOCKET).filter(|path| !path.is_empty()) else {
        warning!("systemd supervision error: {SOCKET} not found!");
        return None;
    };
    let connect = || -> io::Result<Supervisor> {
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.send_to_addr(b"STATUS=Larder is loading...\n", &address)?;
        Ok(Supervisor::Systemd(socket, address))
    };
    match connect() {
        Ok(supervisor) => {
            notice!(
                "Supervised by systemd. Please make sure you set appropriate values for \
                 TimeoutStartSec and TimeoutStopSec in your service unit."
            );
            Some(supervisor)
        }
        Err(error) => {
            warning!("systemd supervision error: {error}");
            None
        }
    }
}
