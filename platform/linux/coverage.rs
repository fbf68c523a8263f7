//! How much of a program will be seen.

use core::ffi::CStr;

use rampart_core::coverage::Coverage;

use crate::errno::Errno;
use crate::look::look;

/// How much of a program will be seen, or why its file cannot be opened. A program whose path is
/// not certain, such as one that is searched in PATH, is not looked at.
pub fn coverage_of(path: &CStr, is_certain: bool, is_own: bool) -> Result<Option<Coverage>, Errno> {
    if is_certain { look(path, is_own) } else { Ok(None) }
}
