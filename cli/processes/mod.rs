//! Processes of this machine: which there are, what the system tells about them, when one ends.

#[cfg(any(test, target_os = "macos"))]
mod argument_area;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use nix::unistd::Pid;
use rampart_core::host::Os;

#[cfg(target_os = "linux")]
use linux::has_loaded;
#[cfg(target_os = "linux")]
pub use linux::{
    each_environment, environment, handle, is_sealed, now, parent, short, started, status,
    status_value, words,
};
#[cfg(target_os = "macos")]
use macos::has_loaded;
#[cfg(target_os = "macos")]
pub use macos::{
    each_environment, environment, facts, handle, is_sealed, now, parent, started, words,
};

/// The start time of a process that is there, where the system does not tell it.
pub const UNKNOWN: u64 = 0;

/// The library's file name, without its suffix.
const LIBRARY: &[u8] = b"librampart.";

/// Whether there is a process with this ID.
pub fn is_there(process: Pid) -> bool {
    nix::sys::signal::kill(process, None) != Err(nix::errno::Errno::ESRCH)
}

/// Whether a process was started with such an entry in its environment, as far as this user may see
/// that.
pub fn has_entry(process: i32, is_it: impl FnMut(&[u8]) -> bool) -> bool {
    environment(process).is_some_and(|all| all.split(|byte| *byte == 0).any(is_it))
}

/// Whether the library is in a process: by its environment or, as programs may overwrite that to
/// set their title, by its mappings.
pub fn has_library(process: i32) -> bool {
    has_entry(process, names_library) || has_loaded(process)
}

/// Whether a process with this environment is of a guarded run.
pub fn is_guarded(process: i32, environment: &[&[u8]]) -> bool {
    environment.iter().copied().any(names_library) || is_sealed(process)
}

/// Whether this entry is a preload list with the library in it.
fn names_library(entry: &[u8]) -> bool {
    let name = Os::HERE.preload_variable().to_bytes();
    let list = entry.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"="));
    list.is_some_and(|list| list.windows(LIBRARY.len()).any(|part| part == LIBRARY))
}
