//! A client's socket, of whichever kind. What passes through it is noted, so that
//! everybody sees what the connection is about.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;

use super::crowd::{Phase, Visit};

/// Somebody who has connected.
pub enum Arrival {
    Plain(Stream),
    /// The handshake of TLS is still to come.
    Shaking(Box<Accept<TcpStream>>),
}

impl Arrival {
    /// The connection, once it can be spoken through.
    ///
    /// # Errors
    /// The client does not speak TLS, or is gone.
    pub async fn ready(self) -> io::Result<Stream> {
        match self {
            Self::Plain(stream) => Ok(stream),
            Self::Shaking(shaking) => shaking.await.map(Box::new).map(Stream::Tls),
        }
    }
}

/// A connection.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Stream {
    /// The process at the other end, where the system tells it.
    pub fn peer(&self) -> Option<i32> {
        match self {
            Self::Tcp(_) | Self::Tls(_) => None,
            // A process outside of this pid namespace is shown as 0.
            Self::Unix(stream) => stream.peer_cred().ok()?.pid().filter(|pid| *pid > 0),
        }
    }

    fn pinned(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Unix(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream),
        }
    }
}

/// A connection, and the visit that it is.
pub struct Wire {
    stream: Stream,
    visit: Rc<Visit>,
    /// The client has said that it sends no more.
    is_over: bool,
}

impl Wire {
    pub fn new(stream: Stream, visit: Rc<Visit>) -> Self {
        Self { stream, visit, is_over: false }
    }

    /// Whether the client has said that it sends no more.
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
        ready!(self.stream.pinned().poll_read(context, room))?;
        if room.filled().len() == before {
            self.is_over = true;
        } else if matches!(self.visit.phase(), Phase::New | Phase::Idle) {
            self.visit.enter(Phase::Asking);
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
        self.stream.pinned().poll_write(context, bytes)
    }

    /// Whoever flushes has nothing more to write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.pinned().poll_flush(context))?;
        if self.visit.phase() == Phase::Sending {
            self.visit.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.pinned().poll_shutdown(context)
    }
}
