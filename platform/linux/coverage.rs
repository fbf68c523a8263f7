//! What can be followed of a program.

use core::ffi::CStr;

use rampart_core::coverage::Coverage;

use crate::errno::Errno;
use crate::look::look;

/// What can be followed of a program, or why its file cannot be opened. One that may not be
/// what its path says is not looked at, nor is one that stands anywhere in PATH.
pub fn coverage_of(path: &CStr, is_certain: bool, is_own: bool) -> Result<Option<Coverage>, Errno> {
    if is_certain { look(path, is_own) } else { Ok(None) }
}
