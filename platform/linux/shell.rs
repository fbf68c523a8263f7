//! The shell that the C library starts for `system(3)` and its kin.

use core::ffi::c_int;

use rampart_core::coverage::Coverage;
use rampart_core::environ::Guard;

use crate::environment::{NoMemory, repair_own};

/// The error of wordexp(3) for a command substitution that is not allowed; the same value in glibc
/// and musl.
pub const WRDE_CMDSUB: c_int = 4;

/// How much will be seen of the shell that `system(3)` and its kin start: it is not looked at.
pub const SHELL_COVERAGE: Option<Coverage> = None;

/// Repairs this process's own environment and calls `run`, which starts a shell in it.
pub fn in_own_environment<R>(
    guard: &Guard<'_>,
    coverage: Option<Coverage>,
    run: impl FnOnce() -> R,
) -> Result<R, NoMemory> {
    repair_own(guard, coverage)?;
    Ok(run())
}
