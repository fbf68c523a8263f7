//! Signals between the processes of a sealed run.

use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

/// All signals that can be blocked, except those that a process causes by its own fault.
pub fn passed_on() -> SigSet {
    let mut set = SigSet::all();
    for own in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGSYS,
        Signal::SIGABRT,
    ] {
        set.remove(own);
    }
    set
}

/// Sends a signal by pidfd, so that it cannot reach another process that reuses the ID.
pub fn send(process: &OwnedFd, signal: i32) {
    let (raw, nothing) = (process.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: pidfd_send_signal(2) takes numbers, and NULL for the signal's details.
    let _ = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, raw, signal, nothing, 0) };
}

/// Whether this process was sent a signal that it blocks and has not received yet.
pub fn is_pending(signal: i32) -> bool {
    // SAFETY: a set of numbers, for which zeros are valid; sigpending(2) writes one.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut set) == 0 && libc::sigismember(&raw const set, signal) == 1
    }
}

/// Whether a process was stopped by a signal.
pub fn is_stopped(process: Pid) -> bool {
    field(process, 0).is_some_and(|state| state == "T")
}

/// Whether a process is this one or one of its descendants.
pub fn is_below(mut process: i32, ancestor: Pid) -> bool {
    while process > 1 {
        if process == ancestor.as_raw() {
            return true;
        }
        let parent = field(Pid::from_raw(process), 1).and_then(|parent| parent.parse().ok());
        process = parent.unwrap_or(0);
    }
    false
}

/// A field of `/proc/PID/stat`, counted from the first after the name: 0 is the state, 1 the
/// parent.
fn field(process: Pid, index: usize) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = status.rsplit_once(") ")?;
    fields.split(' ').nth(index).map(str::to_owned)
}
