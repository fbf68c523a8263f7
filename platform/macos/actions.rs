//! The file actions of `posix_spawn(3)`.

use libc::posix_spawn_file_actions_t;

/// Whether file actions leave the child the stderr of this process, as far as can be seen: their
/// list is the system's own.
pub fn keep_stderr(_: &posix_spawn_file_actions_t) -> bool {
    false
}
