//! The files and ports that this process uses, as `fuser` and the like would find them.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrStorage, getsockname};

use crate::text_file;

/// How much is read of a file of process IDs.
const PAGE: u64 = 4096;

/// Whether a path is this process's program.
pub fn is_program(path: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let own = std::env::current_exe().ok().and_then(|own| identity(&own));
    own.is_some() && identity(path) == own
}

/// The beginning of a regular file: all that is read of a file of process IDs (`pkill -F`).
///
/// # Errors
/// As the system says, or it is something else: a pipe can be read only once.
pub fn beginning(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    text_file::open(path)?.take(PAGE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether one of its sockets is bound to a port.
pub fn listens_at(port: u16) -> bool {
    descriptors().filter_map(address).any(|name| {
        let v4 = name.as_sockaddr_in().map(SockaddrIn::port);
        v4.or_else(|| name.as_sockaddr_in6().map(SockaddrIn6::port)) == Some(port)
    })
}

/// Whether it uses a file or, with `whole`, its file system: as an open file, program, working
/// directory, root or socket path.
pub fn uses(path: &Path, whole: bool) -> bool {
    let Ok(wanted) = fs::metadata(path) else { return false };
    let is_it = |path: &Path| {
        fs::metadata(path)
            .is_ok_and(|file| file.dev() == wanted.dev() && (whole || file.ino() == wanted.ino()))
    };
    let own = ["/proc/self/exe", "/proc/self/cwd", "/proc/self/root"].map(PathBuf::from);
    let open = descriptors().map(|number| PathBuf::from(format!("/dev/fd/{number}")));
    own.into_iter().chain(open).any(|path| is_it(&path))
        || descriptors()
            .filter_map(address)
            .any(|name| name.as_unix_addr().and_then(|name| name.path()).is_some_and(is_it))
}

/// All open descriptors.
fn descriptors() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/dev/fd").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The address of a socket.
fn address(number: i32) -> Option<SockaddrStorage> {
    getsockname(number).ok()
}
