//! The file actions of `posix_spawn(3)`.

use libc::posix_spawn_file_actions_t;

/// Whether file actions leave the child the stderr of this process: not known, as their layout is
/// private to the system.
pub fn keep_stderr(_: *const posix_spawn_file_actions_t) -> bool {
    false
}
