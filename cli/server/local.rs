//! The socket of a client on this machine.
//!
//! A task that polls a Unix socket for writing is woken whenever the other end reads, so after each
//! answer, for nothing. Hence writability is polled only while the socket is full. And most clients
//! have sent their question when they are accepted, so it is read before anything is polled: epoll
//! does not tell of what was read meanwhile.

use std::io::{self, ErrorKind, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Registers a socket with the runtime for these events.
///
/// # Errors
/// As the system says.
pub fn watch<S: AsRawFd + Into<OwnedFd>>(socket: S, events: Interest) -> io::Result<AsyncFd<S>> {
    // SAFETY: a socket owns its descriptor, which stays the same and open until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(socket, events) }?)
}

/// Reads into room that nothing was put into yet: to fill it with zeros first would take longer
/// than to read a question. Gives how many bytes came.
fn read(socket: &UnixStream, room: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: nothing but what `recv` writes is put there.
    let free = unsafe { room.unfilled_mut() };
    // SAFETY: the socket keeps its descriptor open, and there are as many bytes.
    let count = unsafe { libc::recv(socket.as_raw_fd(), free.as_mut_ptr().cast(), free.len(), 0) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: so many bytes were put there.
    unsafe { room.assume_init(count) };
    room.advance(count);
    Ok(count)
}

/// A connected Unix socket.
pub struct Local {
    socket: AsyncFd<UnixStream>,
    /// A duplicate that is polled for writing, while the socket is full.
    full: Option<AsyncFd<UnixStream>>,
    /// The first read was tried.
    is_tried: bool,
}

impl Local {
    /// Takes an accepted socket.
    ///
    /// # Errors
    /// As the system says.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: watch(socket, Interest::READABLE)?, full: None, is_tried: false })
    }

    /// The socket.
    pub fn socket(&self) -> &UnixStream {
        self.socket.get_ref()
    }

    /// Waits until the socket may take more.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let full = if let Some(full) = &mut self.full {
            full
        } else {
            let again = self.socket().try_clone()?;
            self.full.insert(watch(again, Interest::WRITABLE)?)
        };
        ready!(full.poll_write_ready(context))?.clear_ready();
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Local {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl AsyncRead for Local {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Once only: whoever sends without end is to wait for its turn.
        if !std::mem::replace(&mut self.is_tried, true) && read(self.socket(), room).is_ok() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(context))?;
            let free = room.remaining();
            match read(ready.get_inner(), room) {
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
            match self.socket().write(bytes) {
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
        Poll::Ready(self.socket().shutdown(Shutdown::Write))
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
            let mut local = Local::new(server).unwrap();
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
        let mut local = Local::new(server).unwrap();
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
