//! Signals between the processes of a sealed run.

use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpid};

use crate::processes;

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

/// The signals that stop a process and can be blocked.
pub const STOPS: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// The one of [`STOPS`] with this number.
pub fn stop(number: i32) -> Option<Signal> {
    STOPS.into_iter().find(|signal| *signal as i32 == number)
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

/// Takes one pending signal with this number; whether there was one.
pub fn take_pending(number: i32) -> bool {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a set of numbers, for which zeros are valid, is emptied and filled; then it and the
    // time are read, and nothing is written for NULL.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, number);
        libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const now) == number
    }
}

/// Whether a process was stopped by a signal, or by who traces it.
pub fn is_stopped(process: Pid) -> bool {
    field(process, 0).is_some_and(|state| matches!(&*state, "T" | "t"))
}

/// Whether this process's group is its terminal's foreground group.
pub fn is_in_front() -> bool {
    const GROUP: usize = 2;
    const FOREGROUND: usize = 5;
    let of_own = |index| field(getpid(), index);
    of_own(GROUP).is_some_and(|group| of_own(FOREGROUND) == Some(group))
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
    let status = processes::status(process.as_raw()).ok()?;
    let (_, fields) = status.rsplit_once(") ")?;
    fields.split(' ').nth(index).map(str::to_owned)
}
