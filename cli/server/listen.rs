//! The addresses that a server listens at.

use std::fs::{Metadata, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
#[cfg(target_os = "macos")]
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};
#[cfg(target_os = "linux")]
use nix::sys::socket::{SockFlag, accept4};
use nix::sys::stat::{Mode, umask};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_rustls::TlsAcceptor;

use super::local::{Local, watch};
use super::stream::{Arrival, Stream};
use crate::failure::Failure;

/// A listening socket.
pub struct Listener {
    socket: AsyncFd<OwnedFd>,
    kind: Kind,
}

enum Kind {
    Unix,
    Tcp(Option<TlsAcceptor>),
}

impl Listener {
    /// Takes a socket that is bound to a path or an abstract name.
    ///
    /// # Errors
    /// As the system says.
    pub fn unix(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        listen(&listener, longest_queue())?;
        Ok(Self { socket: watch(listener.into(), Interest::READABLE)?, kind: Kind::Unix })
    }

    /// Takes a bound socket, which speaks TLS if there is an acceptor.
    ///
    /// # Errors
    /// As the system says.
    pub fn tcp(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        listen(&listener, longest_queue())?;
        // On Linux, accepted sockets inherit this.
        setsockopt(&listener, sockopt::TcpNoDelay, &true)?;
        Ok(Self { socket: watch(listener.into(), Interest::READABLE)?, kind: Kind::Tcp(tls) })
    }

    /// Waits for the next client.
    ///
    /// # Errors
    /// As the system says.
    pub(super) async fn accept(&self) -> io::Result<Arrival> {
        let socket = self.socket.async_io(Interest::READABLE, accept).await?;
        Ok(Arrival::Plain(match &self.kind {
            Kind::Unix => Stream::Unix(Local::new(socket)),
            Kind::Tcp(None) => Stream::Tcp(Local::new(socket)),
            Kind::Tcp(Some(tls)) => {
                let stream = tokio::net::TcpStream::from_std(TcpStream::from(socket))?;
                return Ok(Arrival::Shaking(Box::new(tls.accept(stream))));
            }
        }))
    }
}

/// Accepts a client, with a socket that does not block and that no program inherits.
#[cfg(target_os = "linux")]
fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = accept4(listener.as_raw_fd(), flags)?;
    // SAFETY: the system has just given it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// The same, where this takes three calls.
#[cfg(target_os = "macos")]
fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let socket = nix::sys::socket::accept(listener.as_raw_fd())?;
    // SAFETY: the system has just given it, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(socket)
}

/// The system's own limit (-1), because a guarded tree may start thousands of programs at once
/// (`listen(2)`; `net.core.somaxconn`, `kern.ipc.somaxconn`).
fn longest_queue() -> Backlog {
    Backlog::new(-1).unwrap_or(Backlog::MAXCONN)
}

/// Binds a TCP address.
///
/// # Errors
/// The address is in use, or not on this machine.
pub fn bind_tcp(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        Failure::new(match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{address} is taken, perhaps by another `rampart serve`: \
                 stop that one, or choose another --port"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("{address} cannot be used: ports below 1024 need root")
            }
            _ => format!("cannot listen on {address}: {error}"),
        })
    })
}

/// The file of a Unix socket. Removed on drop, unless somebody has put another one there.
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let now = std::fs::symlink_metadata(&self.path);
        if now.is_ok_and(|metadata| identity(&metadata) == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds a Unix socket that only its owner can use. Replaces a socket file that nobody listens at.
///
/// # Errors
/// Somebody listens there, the file is not a socket, or the directory is not writable.
pub fn bind_unix(path: &Path) -> Result<(UnixListener, SocketFile), Failure> {
    make_way(path)?;
    let old = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    umask(old);
    bound
        .and_then(|listener| {
            std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
            let identity = identity(&std::fs::symlink_metadata(path)?);
            Ok((listener, SocketFile { path: path.to_path_buf(), identity }))
        })
        .map_err(|error| {
            Failure::new(format!("cannot make the socket {}: {error}", path.display()))
        })
}

fn make_way(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(Failure::new(format!(
            "{shown} exists and is not a socket: remove it, or choose another --unix path"
        )));
    }
    match has_owner(path) {
        Ok(false) => std::fs::remove_file(path).map_err(|error| {
            Failure::new(format!("cannot replace the stale socket {shown}: {error}"))
        }),
        Err(error) => Err(Failure::new(format!("cannot tell who is at {shown}: {error}"))),
        Ok(true) => Err(Failure::new(format!(
            "a server listens at {shown} already: stop that one, or choose another --unix path"
        ))),
    }
}

/// Whether a process listens at `path`. Connects with a datagram socket: if there is a listener the
/// system reports the wrong type (`EPROTOTYPE`). A stream connection would not do: if the
/// listener's queue is full, Linux waits and macOS refuses, as if nobody listened.
fn has_owner(path: &Path) -> io::Result<bool> {
    match UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if error.raw_os_error() != Some(Errno::EPROTOTYPE as i32) => Err(error),
        _ => Ok(true),
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_server_whose_queue_is_full_keeps_its_socket_and_a_dead_one_does_not() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("policy.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        listen(&listener, Backlog::new(0).expect("a queue of nobody")).expect("a shorter queue");
        for _ in 0..3 {
            let path = path.clone();
            // Waits in the queue, or is refused.
            thread::spawn(move || UnixStream::connect(path));
        }
        thread::sleep(Duration::from_millis(100));
        let (sender, answer) = mpsc::channel();
        let taken = path.clone();
        thread::spawn(move || {
            sender.send(bind_unix(&taken).map(drop).map_err(|it| format!("{it:?}")))
        });
        let answer = answer.recv_timeout(Duration::from_secs(10)).expect("it does not wait");
        let told = answer.expect_err("it is taken");
        assert!(told.contains("a server listens at"), "{told}");
        assert!(path.exists());
        drop(listener);
        bind_unix(&path).map(drop).expect("nobody is there any more");
    }
}
