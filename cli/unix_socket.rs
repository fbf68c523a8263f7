//! Connections to Unix sockets that do not wait forever: where the queue of a socket is full, for
//! its server was stopped, `connect(2)` waits for room.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

#[cfg(target_os = "linux")]
use nix::sys::socket::UnixAddr;

/// Connects to the socket at a path within `limit`, which is not zero.
///
/// # Errors
/// As `connect(2)`; `WouldBlock` if the time is over.
#[cfg(target_os = "linux")]
pub fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    connect_to(&UnixAddr::new(path)?, limit)
}

/// Connects to the socket at a path. A full queue is an error at once here.
///
/// # Errors
/// As `connect(2)`.
#[cfg(not(target_os = "linux"))]
pub fn connect(path: &Path, _limit: Duration) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

/// The same for a name in the abstract namespace.
///
/// # Errors
/// As [`connect`].
#[cfg(target_os = "linux")]
pub fn connect_abstract(name: &[u8], limit: Duration) -> io::Result<UnixStream> {
    connect_to(&UnixAddr::new_abstract(name)?, limit)
}

#[cfg(target_os = "linux")]
fn connect_to(address: &UnixAddr, limit: Duration) -> io::Result<UnixStream> {
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, connect, socket};

    let flags = SockFlag::SOCK_CLOEXEC;
    let stream = UnixStream::from(socket(AddressFamily::Unix, SockType::Stream, flags, None)?);
    // The time for writing is that for connecting as well (socket(7), `SO_SNDTIMEO`).
    stream.set_write_timeout(Some(limit))?;
    connect(stream.as_raw_fd(), address)?;
    Ok(stream)
}
