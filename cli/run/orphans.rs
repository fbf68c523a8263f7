//! A command that is given the orphans of its tree, as process 1 of a container or as a subreaper
//! (`PR_SET_CHILD_SUBREAPER`, which an `execve` keeps), would be given its own server. If it waits for
//! all its children, it would wait for the server, which waits for the tree to end.

use nix::errno::Errno;
use nix::unistd::ForkResult;

/// Whether orphaned descendants become children of this process.
pub fn come_to_this_process() -> bool {
    std::process::id() == 1 || is_subreaper()
}

#[cfg(target_os = "linux")]
fn is_subreaper() -> bool {
    nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Only Linux has them.
#[cfg(not(target_os = "linux"))]
fn is_subreaper() -> bool {
    false
}

/// Forks a child that sends its parent no signal at its end. `wait(2)` and its like pass over such
/// children, unless they are told otherwise (`__WALL`).
///
/// # Errors
/// As `clone(2)`.
///
/// # Safety
/// This process must have a single thread. The child must soon end or fork again: the C library
/// takes it for its parent.
#[cfg(target_os = "linux")]
pub unsafe fn fork_unawaited() -> Result<ForkResult, Errno> {
    // Neither flags nor a signal, a stack or other pointers.
    // SAFETY: the child has a copy of this process's memory (the caller's promises).
    let child =
        unsafe { libc::syscall(libc::SYS_clone, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize) };
    Ok(match Errno::result(child)? {
        0 => ForkResult::Child,
        child => {
            let child = i32::try_from(child).unwrap_or_default();
            ForkResult::Parent { child: nix::unistd::Pid::from_raw(child) }
        }
    })
}

/// As `fork(2)`: this system knows no other children.
///
/// # Errors
/// As `fork(2)`.
///
/// # Safety
/// As for `fork(2)`.
#[cfg(not(target_os = "linux"))]
pub unsafe fn fork_unawaited() -> Result<ForkResult, Errno> {
    // SAFETY: the caller's promise.
    unsafe { nix::unistd::fork() }
}
