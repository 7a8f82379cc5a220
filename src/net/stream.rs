//! A connected socket of either kind.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// See the head of this file.
pub enum Stream {
    /// By TCP.
    Tcp(TcpStream),
    /// By a socket in the file system.
    Unix(UnixStream),
}

/// A socket on its way to its worker, which registers it with its own reactor.
pub enum Accepted {
    /// By TCP.
    Tcp(std::net::TcpStream),
    /// By a socket in the file system.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// The socket, served by the runtime of this thread.
    pub fn register(self) -> io::Result<Stream> {
        Ok(match self {
            Accepted::Tcp(s) => Stream::Tcp(TcpStream::from_std(s)?),
            Accepted::Unix(s) => Stream::Unix(UnixStream::from_std(s)?),
        })
    }
}

impl Stream {
    /// Reads into `buffer`. A read that does not fill it tells the reactor that
    /// the socket is empty, which saves asking once more.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Stream::Tcp(s) => Pin::new(s).poll_read(cx, &mut buffer),
            Stream::Unix(s) => Pin::new(s).poll_read(cx, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }

    /// Writes from one slice.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(s) => Pin::new(s).poll_write(cx, bytes),
            Stream::Unix(s) => Pin::new(s).poll_write(cx, bytes),
        }
    }

    /// Writes from several slices.
    pub fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(s) => Pin::new(s).poll_write_vectored(cx, slices),
            Stream::Unix(s) => Pin::new(s).poll_write_vectored(cx, slices),
        }
    }
}
