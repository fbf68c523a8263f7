//! The resource limits that a server is started with: whoever starts it may have set them for other
//! work (`ulimit` in a shell, limits.conf(5)).

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};

/// Limits that end a process, or refuse it what it cannot do without.
const FATAL: [Resource; 4] =
    [Resource::RLIMIT_FSIZE, Resource::RLIMIT_CPU, Resource::RLIMIT_AS, Resource::RLIMIT_DATA];

/// Raises these limits as far as the system allows, and ignores the signals of two of them: an
/// audit that cannot grow is a fault to be told, not the end of the server.
pub fn outlast() {
    for limit in FATAL {
        let Ok((_, hard)) = getrlimit(limit) else { continue };
        // Only root may raise the hard limit.
        if setrlimit(limit, RLIM_INFINITY, RLIM_INFINITY).is_err() {
            let _ = setrlimit(limit, hard, hard);
        }
    }
    for ending in [Signal::SIGXFSZ, Signal::SIGXCPU] {
        // SAFETY: ignoring a signal installs no handler.
        let _ = unsafe { signal(ending, SigHandler::SigIgn) };
    }
}
