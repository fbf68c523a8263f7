//! The socket of a client, without TLS.
//!
//! A socket is registered with the poller only once there is something to wait for: most clients
//! have sent their question when they are accepted, and many are done after one. A task that polls
//! a Unix socket for writing would be woken whenever the other end reads, so after each answer, for
//! nothing. Hence writability is polled only while the socket is full.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::write;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Registers a descriptor with the runtime for these events.
///
/// # Errors
/// As the system says.
pub fn watch(descriptor: OwnedFd, events: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: it owns its descriptor, which stays the same and open until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, events) }?)
}

/// Reads into room that nothing was put into yet: to fill it with zeros first would take longer
/// than to read a question. Gives how many bytes came.
fn read(socket: RawFd, room: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: nothing but what `recv` writes is put there.
    let free = unsafe { room.unfilled_mut() };
    // SAFETY: there are as many bytes.
    let count = unsafe { libc::recv(socket, free.as_mut_ptr().cast(), free.len(), 0) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: so many bytes were put there.
    unsafe { room.assume_init(count) };
    room.advance(count);
    Ok(count)
}

/// A connected socket that does not block.
pub struct Local {
    /// Its registration for reading, once it was waited for. Before the socket, which is to outlive
    /// it: fields are dropped in their order.
    readable: Option<AsyncFd<RawFd>>,
    /// A duplicate that is polled for writing, while the socket is full.
    full: Option<AsyncFd<OwnedFd>>,
    socket: OwnedFd,
    /// The first read was tried.
    is_tried: bool,
}

impl Local {
    /// Takes an accepted socket that does not block.
    pub fn new(socket: OwnedFd) -> Self {
        Self { readable: None, full: None, socket, is_tried: false }
    }

    fn readable(&mut self) -> io::Result<&mut AsyncFd<RawFd>> {
        if self.readable.is_none() {
            let socket = self.socket.as_raw_fd();
            // SAFETY: `socket` owns the descriptor and is dropped after this.
            let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
            self.readable = Some(watched?);
        }
        self.readable.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Waits until the socket may take more.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let full = if let Some(full) = &mut self.full {
            full
        } else {
            let again = self.socket.try_clone()?;
            self.full.insert(watch(again, Interest::WRITABLE)?)
        };
        ready!(full.poll_write_ready(context))?.clear_ready();
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Local {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for Local {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.socket.as_raw_fd();
        // Once only: whoever sends without end is to wait for its turn.
        if !std::mem::replace(&mut self.is_tried, true) && read(socket, room).is_ok() {
            return Poll::Ready(Ok(()));
        }
        let readable = self.readable()?;
        loop {
            let mut ready = ready!(readable.poll_read_ready(context))?;
            let free = room.remaining();
            match read(socket, room) {
                Ok(count) => {
                    // A short read means that the socket is empty (epoll(7), "Questions and
                    // answers").
                    if 0 < count && count < free {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Local {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            // A client that is gone gives an error: Rust's runtime ignores `SIGPIPE`.
            match write(&self.socket, bytes).map_err(io::Error::from) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.poll_room(context))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => {
                    self.full = None;
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.socket.as_raw_fd(), Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    use std::thread;

    use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

    use super::Local;
    use crate::server::runtime;

    fn local(server: UnixStream) -> Local {
        server.set_nonblocking(true).unwrap();
        Local::new(server.into())
    }

    #[test]
    fn what_has_no_room_waits_for_it_and_what_comes_meanwhile_is_read() {
        // More than the kernel buffers.
        const BYTES: usize = 4 * 1024 * 1024;
        let (mut client, server) = UnixStream::pair().unwrap();
        let client = thread::spawn(move || {
            std::io::Write::write_all(&mut client, b"ask").unwrap();
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all
        });
        runtime().unwrap().block_on(async {
            let mut local = local(server);
            for _ in 0..2 {
                local.write_all(&vec![7; BYTES]).await.unwrap();
                assert!(local.full.is_none(), "it is woken for nothing again");
            }
            let mut asked = [0; 3];
            local.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"ask");
            local.shutdown().await.unwrap();
        });
        assert_eq!(client.join().unwrap(), vec![7; 2 * BYTES]);
    }

    #[test]
    fn what_has_come_is_read_at_once_and_what_comes_later_is_waited_for() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let entered = runtime().unwrap();
        let _entered = entered.enter();
        client.write_all(b"ask").unwrap();
        let mut local = local(server);
        let mut room = [0; 2];
        let mut read = || {
            let mut room = ReadBuf::new(&mut room);
            let mut context = Context::from_waker(Waker::noop());
            let read = Pin::new(&mut local).poll_read(&mut context, &mut room);
            read.map(|read| read.map(|()| String::from_utf8_lossy(room.filled()).into_owned()))
        };
        assert!(matches!(read(), Poll::Ready(Ok(text)) if text == "as"));
        // Whoever sends without end has its turn after the others.
        assert!(read().is_pending());
        entered.block_on(async {
            assert_eq!(local.read_u8().await.unwrap(), b'k');
            client.write_all(b"more").unwrap();
            let mut more = [0; 4];
            local.read_exact(&mut more).await.unwrap();
            assert_eq!(&more, b"more");
            drop(client);
            assert_eq!(local.read(&mut more).await.unwrap(), 0);
        });
    }
}
