//! The addresses that a server listens at.

use std::fs::{Metadata, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};
use nix::sys::stat::{Mode, umask};

use tokio_rustls::TlsAcceptor;

use super::stream::{Arrival, Stream};
use crate::failure::Failure;

/// A listening socket of either kind.
pub struct Listener {
    socket: Socket,
    tls: Option<TlsAcceptor>,
}

enum Socket {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Takes a socket that is bound already, to a path or to an abstract name.
    ///
    /// # Errors
    /// As the system says.
    pub fn unix(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        listen(&listener, longest_queue())?;
        let socket = Socket::Unix(tokio::net::UnixListener::from_std(listener)?);
        Ok(Self { socket, tls: None })
    }

    /// Takes a socket that is bound already, and speaks TLS there if it can.
    ///
    /// # Errors
    /// As the system says.
    pub fn tcp(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        listen(&listener, longest_queue())?;
        // Accepted sockets have it from here on Linux; elsewhere it does no harm.
        setsockopt(&listener, sockopt::TcpNoDelay, &true)?;
        let socket = Socket::Tcp(tokio::net::TcpListener::from_std(listener)?);
        Ok(Self { socket, tls })
    }

    /// Waits for the next client.
    ///
    /// # Errors
    /// As the system says.
    pub(super) async fn accept(&self) -> io::Result<Arrival> {
        let stream = match &self.socket {
            Socket::Unix(listener) => Stream::Unix(listener.accept().await?.0),
            Socket::Tcp(listener) => match (listener.accept().await?.0, &self.tls) {
                (stream, None) => Stream::Tcp(stream),
                (stream, Some(tls)) => return Ok(Arrival::Shaking(Box::new(tls.accept(stream)))),
            },
        };
        Ok(Arrival::Plain(stream))
    }
}

/// A guarded tree may start thousands of programs at one moment. -1 is as long as the
/// system's own limit lets it be (`listen(2)`; `net.core.somaxconn`, `kern.ipc.somaxconn`).
fn longest_queue() -> Backlog {
    Backlog::new(-1).unwrap_or(Backlog::MAXCONN)
}

/// Binds a TCP address.
///
/// # Errors
/// The address is taken, or not of this machine.
pub fn bind_tcp(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        Failure::new(match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{address} is taken, perhaps by another `rampart serve`: \
                 stop that one, or choose another --port"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("{address} cannot be used: ports below 1024 are the system's")
            }
            _ => format!("cannot listen on {address}: {error}"),
        })
    })
}

/// The file of a Unix socket, removed with this value unless somebody else has
/// put another one there.
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

/// Binds a Unix socket that only its owner can use. A socket file that nobody
/// listens at is replaced.
///
/// # Errors
/// Somebody listens there, or something that is no socket is there, or the
/// directory cannot be written to.
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
            "{shown} is there and no socket: remove it, or choose another --unix path"
        )));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| {
                Failure::new(format!("cannot replace the stale socket {shown}: {error}"))
            })
        }
        Err(error) => Err(Failure::new(format!("cannot tell who is at {shown}: {error}"))),
        Ok(_) => Err(Failure::new(format!(
            "a server listens at {shown} already: stop that one, or choose another --unix path"
        ))),
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
