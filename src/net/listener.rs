//! Listening sockets: where clients come in, and who is sent away at the door.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::unistd::Group;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, UnixListener};

use super::stream::Accepted;
use super::worker::{Delivery, Handle};
use crate::base::listen;
use crate::config::param;
use crate::exec::engine::Engine;
use crate::exec::session::Arrival;
use crate::protocol::error::Error;
use crate::{verbose, warning};

/// How long to wait when the process has no descriptor left.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);

/// A socket that listens.
pub enum Listener {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener, PathBuf),
}

/// Opens a listening socket on each address of a `bind` directive ([`listen::tcp`]).
///
/// # Errors
/// An address that is not there or is taken: its text, and what the system says.
pub fn bind_tcp(
    addresses: &[Arc<[u8]>],
    port: u16,
    backlog: i32,
) -> Result<Vec<Listener>, (String, io::Error)> {
    let sockets = listen::tcp(addresses, port, backlog)?.into_iter();
    let open = |socket| TcpListener::from_std(socket).map(Listener::Tcp);
    let listeners: io::Result<Vec<Listener>> = sockets.map(open).collect();
    listeners.map_err(|error| (format!("port {port}"), error))
}

/// Opens a listening socket in the file system, in the place of an old one.
/// `mode` is its permission; 0 leaves the system's. `group` is its group's name or number;
/// empty leaves the process's. Removing it in the end is the caller's.
///
/// # Errors
/// What the system says; there is no such group.
pub fn bind_unix(path: &Path, mode: u32, group: &str) -> io::Result<Listener> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    if !group.is_empty() {
        std::os::unix::fs::chown(path, None, Some(group_id(group)?))?;
    }
    if mode != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(Listener::Unix(listener, path.to_owned()))
}

fn group_id(group: &str) -> io::Result<u32> {
    let found = Group::from_name(group)?.map(|group| group.gid.as_raw());
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no group '{group}'"));
    found.or_else(|| group.parse().ok()).ok_or_else(unknown)
}

/// Gives who comes to the worker that serves the fewest; runs until it is dropped.
pub async fn accept(listener: Listener, engine: Arc<Engine>, workers: Arc<[Handle]>) {
    loop {
        match next(&listener).await {
            Ok((stream, mut from)) => {
                if let Some(refusal) = refuse(&engine, &from) {
                    engine
                        .counters
                        .rejected_connections
                        .fetch_add(1, Ordering::Relaxed);
                    turn_away(stream, &refusal);
                    continue;
                }
                engine.counters.connections.fetch_add(1, Ordering::Relaxed);
                if let Accepted::Tcp(s) = &stream {
                    let seconds = engine.settings.int(param::TCP_KEEPALIVE);
                    tune(&SockRef::from(s), seconds);
                }
                from.worker = least_busy(&engine);
                let authenticated = !engine.access.asks_for_proof();
                verbose!("Accepted {}", from.addr);
                let worker = &workers[from.worker];
                // Known from now on, though its worker has not seen it yet.
                let client = engine.clients.add(from);
                client.set_authenticated(authenticated);
                let delivery = Delivery {
                    stream,
                    client,
                    authenticated,
                };
                worker.give(&engine, delivery);
            }
            Err(error) => {
                warning!("Error accepting a client connection: {error}");
                // Most likely no descriptor is left: whoever is connected goes on.
                tokio::time::sleep(NO_DESCRIPTOR_PAUSE).await;
            }
        }
    }
}

async fn next(listener: &Listener) -> io::Result<(Accepted, Arrival)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            let stream = stream.into_std()?;
            let local = stream
                .local_addr()
                .map_or_else(|_| String::new(), |a| a.to_string());
            let from = Arrival {
                addr: peer.to_string(),
                local_addr: local,
                is_local: is_loopback(peer.ip()),
                is_unix: false,
                fd: stream.as_raw_fd(),
                worker: 0,
            };
            Ok((Accepted::Tcp(stream), from))
        }
        Listener::Unix(listener, path) => {
            let (stream, _) = listener.accept().await?;
            let stream = stream.into_std()?;
            let name = format!("{}:0", path.display());
            let from = Arrival {
                addr: name.clone(),
                local_addr: name,
                is_local: true,
                is_unix: true,
                fd: stream.as_raw_fd(),
                worker: 0,
            };
            Ok((Accepted::Unix(stream), from))
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    }
}

/// Why a client may not come in.
fn refuse(engine: &Engine, from: &Arrival) -> Option<Error> {
    let settings = &engine.settings;
    if engine.total(|w| &w.connections) >= settings.int(param::MAXCLIENTS) as u64 {
        return Some(Error::MAX_CLIENTS);
    }
    let open = !settings.flag(param::PROTECTED_MODE) || !engine.access.is_open() || from.is_local;
    (!open).then(|| {
        Error::new(
            "DENIED Larder is running in protected mode because protected mode is enabled and \
             no password is set for the default user. In this mode connections are only accepted \
             from the loopback interface. To connect from elsewhere, set a password for the \
             default user (requirepass), or, where the network around this server is trusted, \
             send CONFIG SET protected-mode no from the loopback interface, or set it in the \
             configuration file and restart.",
        )
    })
}

fn turn_away(stream: Accepted, why: &Error) {
    let line = [b"-", why.as_bytes(), b"\r\n"].concat();
    // One attempt: the socket is new and takes a line, or its client is gone.
    let _ = match stream {
        Accepted::Tcp(mut s) => s.write(&line),
        Accepted::Unix(mut s) => s.write(&line),
    };
}

/// Small replies go at once; a peer that vanished is noticed.
fn tune(socket: &SockRef<'_>, keepalive_seconds: i64) {
    let _ = socket.set_tcp_nodelay(true);
    if keepalive_seconds > 0 {
        let idle = Duration::from_secs(keepalive_seconds as u64);
        let keepalive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval((idle / 3).max(Duration::from_secs(1)))
            .with_retries(3);
        let _ = socket.set_tcp_keepalive(&keepalive);
    }
}

fn least_busy(engine: &Engine) -> usize {
    let load = |i: &usize| engine.workers[*i].connections.load(Ordering::Relaxed);
    (0..engine.workers.len()).min_by_key(load).unwrap_or(0)
}
