//! Which process is at the other end of a Unix socket.

use mio::net::UnixStream;
use nix::sys::socket::getsockopt;

/// The process that connected, where the system tells it.
#[cfg(target_os = "linux")]
pub fn pid(stream: &UnixStream) -> Option<i32> {
    let credentials = getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    // A process outside of this pid namespace is shown as 0.
    Some(credentials.pid()).filter(|pid| *pid > 0)
}

/// The process that connected, where the system tells it.
#[cfg(target_os = "macos")]
pub fn pid(stream: &UnixStream) -> Option<i32> {
    getsockopt(stream, nix::sys::socket::sockopt::LocalPeerPid).ok()
}
