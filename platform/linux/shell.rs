//! The shell that the C library starts for `system(3)` and its kin.

use core::ffi::c_int;

use rampart_core::coverage::Coverage;
use rampart_core::environ::Guard;

use crate::environment::{NoMemory, repair_own};

/// There was a command although they are not to be run (wordexp(3); the same number in glibc
/// and musl).
pub const WRDE_CMDSUB: c_int = 4;

/// What can be followed of the shell that `system(3)` and its kin start: it is not looked at.
pub const SHELL_COVERAGE: Option<Coverage> = None;

/// Calls `run`, which starts a shell in this process's own environment, after putting that
/// right.
pub fn in_own_environment<R>(
    guard: &Guard<'_>,
    coverage: Option<Coverage>,
    run: impl FnOnce() -> R,
) -> Result<R, NoMemory> {
    repair_own(guard, coverage)?;
    Ok(run())
}
