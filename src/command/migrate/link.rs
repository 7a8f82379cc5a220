//! The way to the other server: what is said to it, and lines that come back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pool::Counted;
use crate::exec::engine::Counters;

/// What one read takes at most.
const READ_BYTES: usize = 16 * 1024;
/// What may lie there unread: a server that says more than it was asked is not
/// listened to.
const UNREAD_MAX: usize = 4 * 1024 * 1024;

/// A connection that rests: no event loop looks after it.
pub struct Rested {
    stream: std::net::TcpStream,
    counted: Counted,
}

impl Rested {
    /// The connection, on this thread's event loop; `None` where the other has closed
    /// it, or says what nobody has asked for.
    pub fn wake(self) -> Option<Link> {
        match self.stream.peek(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(Link {
                stream: TcpStream::from_std(self.stream).ok()?,
                silence_max: Duration::ZERO,
                came: Vec::new(),
                read: 0,
                counted: self.counted,
            }),
            _ => None,
        }
    }
}

/// A connection on which nobody is silent for longer than a given time.
pub struct Link {
    stream: TcpStream,
    silence_max: Duration,
    /// What came, and how much of it is read.
    came: Vec<u8>,
    read: usize,
    counted: Counted,
}

impl Link {
    /// Connects.
    pub async fn open(
        host: &str,
        port: u16,
        silence_max: Duration,
        counters: &Arc<Counters>,
    ) -> io::Result<Link> {
        let stream = timeout(silence_max, TcpStream::connect((host, port))).await??;
        stream.set_nodelay(true)?;
        Ok(Link {
            stream,
            silence_max,
            came: Vec::new(),
            read: 0,
            counted: Counted::new(counters),
        })
    }

    /// Nobody is silent for longer than this from now on.
    pub fn set_silence_max(&mut self, silence_max: Duration) {
        self.silence_max = silence_max;
    }

    /// Takes it from its event loop; `None` where something is left unread.
    pub fn rest(self) -> Option<Rested> {
        if self.read < self.came.len() {
            return None;
        }
        Some(Rested {
            stream: self.stream.into_std().ok()?,
            counted: self.counted,
        })
    }

    /// Says all of it; takes in meanwhile what comes back, so that neither side
    /// waits for the other to read.
    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let either = Interest::READABLE | Interest::WRITABLE;
            let ready = timeout(self.silence_max, self.stream.ready(either)).await??;
            if ready.is_readable() {
                self.take()?;
            }
            match self.stream.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut looked = self.read;
        loop {
            if let Some(end) = self.came[looked..].iter().position(|&b| b == b'\n') {
                let line = &self.came[self.read..looked + end];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.read = looked + end + 1;
                return Ok(line);
            }
            self.came.drain(..self.read);
            self.read = 0;
            looked = self.came.len();
            timeout(self.silence_max, self.stream.readable()).await??;
            self.take()?;
        }
    }

    /// Takes in what is there.
    fn take(&mut self) -> io::Result<()> {
        if self.came.len() > UNREAD_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let before = self.came.len();
        self.came.resize(before + READ_BYTES, 0);
        let read = self.stream.try_read(&mut self.came[before..]);
        self.came.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ => Ok(()),
        }
    }
}
