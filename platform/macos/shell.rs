//! The shell that the C library starts for `system(3)` and its kin.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

use rampart_core::coverage::Coverage;
use rampart_core::environ::Guard;

use crate::environment::{self, NoMemory};

/// The error of wordexp(3) for a command substitution that is not allowed (`wordexp.h`).
pub const WRDE_CMDSUB: c_int = 3;

/// How much will be seen of the shell that `system(3)` and its kin start: it is Apple's.
pub const SHELL_COVERAGE: Option<Coverage> = Some(Coverage::Sip);

/// Whether libSystem's own `posix_spawn` of a shell has come to the hook; if one has, all do.
pub static ARE_SEEN: AtomicBool = AtomicBool::new(false);

/// Calls `run`, which starts a shell for `system` and its kin in this process's own environment.
///
/// If their `posix_spawn` comes to the hook, the environment is repaired there. If it does not,
/// before macOS 13, this process's own environment is changed for the duration of the call.
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
    // Put the library back into the preload list, which the shell must not have, for later execs.
    let _ = environment::repair_own(guard, None);
    Ok(result)
}
