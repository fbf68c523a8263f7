//! The files of a run's own server, in a directory of the run.

/// Its socket.
pub const SOCKET: &str = "s.sock";
/// Its copy of the library. Children are given this one if the file of the library that they would
/// load is gone: removed by a clean-up, moved, or out of another user's reach.
pub const SPARE_LIBRARY: &str =
    if cfg!(target_os = "macos") { "spare/librampart.dylib" } else { "spare/librampart.so" };

/// The directory of the run whose socket has this path, with the slash at its end; `None` if it is
/// no run's.
#[must_use]
pub fn directory(socket: &[u8]) -> Option<&[u8]> {
    socket.strip_suffix(SOCKET.as_bytes()).filter(|directory| directory.ends_with(b"/"))
}
