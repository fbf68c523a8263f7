//! A client's socket of any kind, which updates the connection's state as data passes through.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;

use super::connections::Visit;
use super::local::Local;
use crate::owner;
use crate::processes;

/// A new connection.
pub enum Arrival {
    Plain(Stream),
    /// Before the TLS handshake.
    Shaking(Box<Accept<TcpStream>>),
}

/// A connection.
pub enum Stream {
    Tcp(Local),
    Unix(Local),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The process at the other end of a connection, as far as the system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// `None` in another PID namespace, and over TCP.
    pub pid: Option<i32>,
    /// `None` over TCP.
    pub user: Option<u32>,
    /// When it was seen, in the units of [`processes::started`]: a process that was started later
    /// only reuses its ID.
    pub since: u64,
}

impl Peer {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { pid: None, user: None, since: 0 };
}

pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Stream {
    /// The process at the other end, if the system tells.
    pub fn peer(&self) -> Peer {
        let Self::Unix(stream) = self else { return Peer::UNKNOWN };
        let Some((user, pid)) = owner::of_peer(stream) else { return Peer::UNKNOWN };
        // A process outside this PID namespace is shown as 0.
        let pid = pid.filter(|pid| *pid > 0);
        Peer { pid, user: Some(user.as_raw()), since: processes::now() }
    }

    pub fn pinned(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Self::Tcp(stream) | Self::Unix(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream),
        }
    }
}

/// A connection as hyper reads and writes it.
pub struct Wire {
    /// Shared with [`super::asker`], which may send an interim response.
    stream: Rc<RefCell<Stream>>,
    visit: Rc<Visit>,
    /// Data received but not parsed yet.
    unread: Bytes,
    /// The status of hyper's own, bodyless answer to a request that it cannot parse.
    verdict: Option<StatusCode>,
    /// The client has shut down its sending side.
    is_over: bool,
}

impl Wire {
    /// `unread` has been received and is to be read again.
    pub fn new(stream: Rc<RefCell<Stream>>, visit: Rc<Visit>, unread: Bytes) -> Self {
        Self { stream, visit, unread, verdict: None, is_over: false }
    }

    /// What hyper has not parsed, `read` of which it has read already.
    pub fn into_unread(self, read: &[u8]) -> Bytes {
        // A copy: a slice would keep the whole buffer alive.
        [read, &self.unread].concat().into()
    }

    /// The status for a request that could not be parsed.
    pub fn verdict(&self) -> Option<StatusCode> {
        self.verdict
    }

    /// Whether the client has shut down its sending side.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        if self.unread.is_empty() {
            ready!(self.stream.borrow_mut().pinned().poll_read(context, room))?;
        } else {
            let count = self.unread.len().min(room.remaining());
            room.put_slice(&self.unread.split_to(count));
        }
        if room.filled().len() == before {
            self.is_over = true;
        } else {
            self.visit.has_begun();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(status) = of_its_own(bytes).filter(|_| !self.visit.owes()) {
            self.verdict = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.stream.borrow_mut().pinned().poll_write(context, bytes)
    }

    /// Hyper flushes when it has nothing more to write.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.borrow_mut().pinned().poll_flush(context))?;
        self.visit.has_sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow_mut().pinned().poll_shutdown(context)
    }
}

/// The status, if this is an answer of hyper's own, which is always an error.
fn of_its_own(bytes: &[u8]) -> Option<StatusCode> {
    let digits = bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    StatusCode::from_bytes(digits).ok().filter(StatusCode::is_client_error)
}
