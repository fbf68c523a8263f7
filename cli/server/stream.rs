//! A client's socket, of whichever kind. What passes through it is noted, so that
//! everybody sees what the connection is about.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::crowd::{Phase, Visit};

/// A connected socket.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// The process at the other end, where the system tells it.
    pub fn peer(&self) -> Option<i32> {
        match self {
            Self::Tcp(_) => None,
            // A process outside of this pid namespace is shown as 0.
            Self::Unix(stream) => stream.peer_cred().ok()?.pid().filter(|pid| *pid > 0),
        }
    }
}

/// A socket, and the visit that it is.
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
        ready!(match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, room),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, room),
        })?;
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
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    /// Whoever flushes has nothing more to write.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.visit.phase() == Phase::Sending {
            self.visit.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
