//! The shell that the C library starts for `system(3)` and its kin.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

use rampart_core::coverage::Coverage;
use rampart_core::environ::Guard;

use crate::environment::{self, NoMemory};

/// There was a command although they are not to be run (`wordexp.h`).
pub const WRDE_CMDSUB: c_int = 3;

/// What can be followed of the shell that `system(3)` and its kin start: it is Apple's.
pub const SHELL_COVERAGE: Option<Coverage> = Some(Coverage::Sip);

/// Whether a `posix_spawn` of a shell within libSystem has come by here: then all of them do.
pub static ARE_SEEN: AtomicBool = AtomicBool::new(false);

/// Calls `run`, which starts a shell for `system` and its kin in this process's own
/// environment.
///
/// Where their `posix_spawn` comes by here, the environment is put right on the way. Where it
/// does not, before macOS 13, this process's own is changed for the time of the call.
pub fn in_own_environment<R>(
    guard: &Guard<'_>,
    coverage: Option<Coverage>,
    run: impl FnOnce() -> R,
) -> Result<R, NoMemory> {
    if ARE_SEEN.load(Ordering::Relaxed) {
        return Ok(run());
    }
    environment::repair_own(guard, coverage)?;
    let result = run();
    // What the shell was not to have: without it every later exec would have to be given it.
    let _ = environment::repair_own(guard, None);
    Ok(result)
}
