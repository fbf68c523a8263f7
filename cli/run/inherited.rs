//! Restores what Rust's runtime changed before `main`, so that the guarded command starts with what
//! this process was given.
//!
//! The runtime ignores `SIGPIPE` and opens `/dev/null` for a closed standard stream. A shell cannot
//! reset a signal that was ignored when it started (POSIX, `trap`).

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use nix::sys::signal::{SigHandler, Signal, signal};

static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);
/// One bit for each standard stream, set if it was closed.
static CLOSED_STREAMS: AtomicU8 = AtomicU8::new(0);

ctor::declarative::ctor! {
    /// Runs before the runtime does.
    #[ctor(unsafe)]
    fn observe() {
        // SAFETY: an all-zero `sigaction` is a valid one, and with no new action
        // the call only fills it in.
        let handler = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut action);
            action.sa_sigaction
        };
        SIGPIPE_WAS_IGNORED.store(handler == libc::SIG_IGN, Ordering::Relaxed);
        for stream in 0..3 {
            // SAFETY: asks about a descriptor by number and touches no memory.
            if unsafe { libc::fcntl(stream, libc::F_GETFD) } < 0 {
                CLOSED_STREAMS.fetch_or(1 << stream, Ordering::Relaxed);
            }
        }
    }
}

/// Restores everything, right before the exec.
pub fn restore() {
    if !SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed) {
        // SAFETY: the default action is no handler of ours.
        let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    }
    let closed = CLOSED_STREAMS.load(Ordering::Relaxed);
    for stream in (0..3).filter(|stream| closed & (1 << stream) != 0) {
        // SAFETY: nothing in this process reads or writes the stream after this.
        unsafe { libc::close(stream) };
    }
}
