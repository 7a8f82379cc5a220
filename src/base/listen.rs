//! Opens listening sockets where a `bind` directive says.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};

use crate::verbose;

/// Opens a listening socket on each address of a `bind` directive. A `-` in
/// front of one lets it be absent; `*` and `::*` stand for all of a family.
/// None of them blocks.
///
/// # Errors
/// An address that is not there or is taken: its text, and what the system says.
pub fn tcp(
    addresses: &[Arc<[u8]>],
    port: u16,
    backlog: i32,
) -> Result<Vec<TcpListener>, (String, io::Error)> {
    let mut listeners = Vec::new();
    for address in addresses {
        let text = String::from_utf8_lossy(address);
        let (optional, host) = match text.strip_prefix('-') {
            Some(host) => (true, host),
            None => (false, &text[..]),
        };
        match listen_on(host, port, backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) if optional && is_absent(&error) => {
                verbose!("Not listening on {host}:{port}: {error}");
            }
            Err(error) => return Err((format!("{host}:{port}"), error)),
        }
    }
    Ok(listeners)
}

/// An address that this machine does not have, or of a family that it does not speak.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported | io::ErrorKind::NotFound
    ) || matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT)
    )
}

fn listen_on(host: &str, port: u16, backlog: i32) -> io::Result<TcpListener> {
    let address = match host {
        "*" => SocketAddr::from(([0, 0, 0, 0], port)),
        "::*" => SocketAddr::from(([0u16; 8], port)),
        _ => (host, port)
            .to_socket_addrs()?
            .next()
            .ok_or(io::ErrorKind::AddrNotAvailable)?,
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}
