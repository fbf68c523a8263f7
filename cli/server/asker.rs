//! The client that asks: who it is, whether it is still there, and the interim response that its
//! answer takes time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::rc::Rc;
use std::task::{Context, Waker};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::Pid;

use super::connections::Visit;
use super::pending::Hold;
use super::stream::{Peer, Stream};
use crate::processes;

/// The server has the whole request but has not completed it (RFC 2518, section 10.1).
const HELD: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// The client of a connection, while it waits for its answer.
#[derive(Clone)]
pub struct Asker {
    pub peer: Peer,
    stream: Rc<RefCell<Stream>>,
    visit: Rc<Visit>,
}

impl Asker {
    pub fn new(peer: Peer, stream: Rc<RefCell<Stream>>, visit: Rc<Visit>) -> Self {
        Self { peer, stream, visit }
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
    fn number(&self) -> i32 {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.socket().as_raw_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_raw_fd(),
        }
    }

    /// Whether the other end receives nothing more.
    fn is_closed(&self) -> bool {
        let descriptor = match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_fd(),
        };
        let mut look = [PollFd::new(descriptor, PollFlags::empty())];
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
            match recv(self.number(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => {}
                received => return received.is_ok_and(|count| count <= most),
            }
        }
    }
}
