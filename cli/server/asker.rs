//! The client that asks: who it is, whether it is still there, and the interim response that its
//! answer takes time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use hyper::body::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::Pid;
use tokio::io::ReadBuf;

use super::connections::Visit;
use super::pending::Hold;
use super::stream::{Peer, Stream, Wire};
use crate::processes;

/// The server has the whole request but has not completed it (RFC 2518, section 10.1).
const HELD: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// Few requests are longer, in bytes.
const COMMON_BYTES: usize = 4 * 1024;

/// The client of a connection, while it waits for its answer.
#[derive(Clone)]
pub struct Asker {
    pub peer: Peer,
    stream: Rc<RefCell<Stream>>,
    visit: Rc<Visit>,
}

impl Asker {
    pub fn new(stream: Stream, visit: Rc<Visit>) -> Self {
        Self { peer: stream.peer(), stream: Rc::new(RefCell::new(stream)), visit }
    }

    /// The connection, as hyper reads and writes it. `unread` has been received before.
    pub fn wire(&self, unread: Bytes) -> Wire {
        Wire::new(Rc::clone(&self.stream), Rc::clone(&self.visit), unread)
    }

    /// Waits for data, and reads the beginning of it; empty at the end of the data.
    pub fn poll_first(&self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut room = [MaybeUninit::uninit(); COMMON_BYTES];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(self.stream.borrow_mut().pinned().poll_read(context, &mut room))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(room.filled())))
    }

    /// Sends `102 Processing` ahead of the answer.
    async fn say(&self) -> io::Result<()> {
        let mut left = HELD;
        while !left.is_empty() {
            let write = |context: &mut Context<'_>| {
                self.stream.borrow_mut().pinned().poll_write(context, left)
            };
            match poll_fn(write).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => left = &left[count..],
            }
        }
        poll_fn(|context| self.stream.borrow_mut().pinned().poll_flush(context)).await
    }
}

impl Hold for Asker {
    /// Fails while an earlier answer is still being sent: the two would mix.
    async fn say_held(&self) -> bool {
        !self.visit.owes() && self.say().await.is_ok()
    }

    fn is_there(&self) -> bool {
        let is_running = |pid: i32| {
            processes::started(Pid::from_raw(pid)).is_some_and(|start| start <= self.peer.since)
        };
        let mut stream = self.stream.borrow_mut();
        if stream.is_closed() || !self.peer.pid.is_none_or(is_running) {
            return false;
        }
        // Over TCP, a client that is gone looks like one that has only shut down its sending side.
        // Sending it something makes the difference show at the next check.
        if stream.may_be_over() {
            let mut now = Context::from_waker(Waker::noop());
            let _ = stream.pinned().poll_write(&mut now, HELD);
            let _ = stream.pinned().poll_flush(&mut now);
        }
        true
    }
}

impl Stream {
    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) | Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_fd(),
        }
    }

    /// Whether the other end receives nothing more.
    fn is_closed(&self) -> bool {
        let mut look = [PollFd::new(self.descriptor(), PollFlags::empty())];
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        poll(&mut look, PollTimeout::ZERO).is_ok()
            && look[0].revents().is_some_and(|events| events.intersects(gone))
    }

    /// Whether the other end has shut down its sending side, which over TCP may mean that it is
    /// gone. With TLS, what arrives while a client waits is its `close_notify`.
    fn may_be_over(&self) -> bool {
        let most = match self {
            Self::Unix(_) => return false,
            Self::Tcp(_) => 0,
            Self::Tls(_) => 1,
        };
        loop {
            let (socket, flags) = (self.descriptor().as_raw_fd(), MsgFlags::MSG_PEEK);
            match recv(socket, &mut [0], flags | MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => {}
                received => return received.is_ok_and(|count| count <= most),
            }
        }
    }
}
