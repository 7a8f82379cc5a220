//! The link's socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::Trouble;
use crate::config::Primary;
use crate::protocol::request;

/// What one read takes at most.
const READ_BYTES: usize = 64 * 1024;
/// The longest line that is no part of a snapshot or a change.
const LINE_MAX: usize = 64 * 1024;
/// After how much silence the system asks whether the leader is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// See the head of this file.
pub struct Wire {
    stream: TcpStream,
    /// What has come and is not taken yet stands from `at` on.
    buffer: Vec<u8>,
    at: usize,
}

/// Connects to the first address of a host that can be reached from one of this machine.
async fn connect_from(source: IpAddr, host: String, port: u16) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in lookup_host((host, port)).await? {
        if address.is_ipv4() != source.is_ipv4() {
            continue;
        }
        let socket = match address.is_ipv4() {
            true => TcpSocket::new_v4()?,
            false => TcpSocket::new_v6()?,
        };
        socket.bind(SocketAddr::new(source, 0))?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Wire {
    /// Connects, from an address of this machine where `source` is one that will do.
    pub async fn connect(primary: &Primary, source: Option<IpAddr>) -> io::Result<Wire> {
        let host = String::from_utf8_lossy(&primary.host).into_owned();
        let bound = match source {
            Some(source) => connect_from(source, host.clone(), primary.port).await.ok(),
            None => None,
        };
        let stream = match bound {
            Some(stream) => stream,
            None => TcpStream::connect((host, primary.port)).await?,
        };
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        // The link does without where the system has none.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        Ok(Wire {
            stream,
            buffer: Vec::new(),
            at: 0,
        })
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What has come and is not taken yet.
    pub fn input(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Takes so many bytes of it.
    pub fn take(&mut self, bytes: usize) {
        self.at += bytes;
        debug_assert!(self.at <= self.buffer.len());
    }

    /// Reads more; says how much.
    ///
    /// # Errors
    /// The leader is gone.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * READ_BYTES {
            self.buffer = Vec::new();
        }
        let before = self.buffer.len();
        loop {
            self.stream.readable().await?;
            self.buffer.resize(before + READ_BYTES, 0);
            let read = self.stream.try_read(&mut self.buffer[before..]);
            self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Sends bytes.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a command.
    pub async fn say(&self, words: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        request::write(&mut bytes, words);
        self.send(&bytes).await
    }

    /// Takes a line, without its end.
    pub async fn line(&mut self) -> Result<String, Trouble> {
        loop {
            if let Some(end) = self.input().iter().position(|&b| b == b'\n') {
                let line = String::from_utf8_lossy(&self.input()[..end]);
                let line = line.trim_end_matches('\r').to_string();
                self.take(end + 1);
                return Ok(line);
            }
            if self.input().len() > LINE_MAX {
                return Err(Trouble("a line without an end".into()));
            }
            self.fill().await?;
        }
    }

    /// Sends a command and takes the line that answers it.
    pub async fn ask(&mut self, words: &[&[u8]]) -> Result<String, Trouble> {
        self.say(words).await?;
        self.line().await
    }
}
