//! What can be followed of a program.

use core::ffi::CStr;

use rampart_core::coverage::{Coverage, locate};

use super::environ::search_path;
use crate::errno::Errno;
use crate::look::{Opened, look};

/// What can be followed of a program, or why its file cannot be opened.
///
/// One that is looked for in PATH is looked for here as well: dyld ends a program that it
/// cannot load the library into, so that not to know is not enough. What is found is not
/// taken for certain otherwise.
#[inline(never)]
pub fn coverage_of(path: &CStr, is_certain: bool, is_own: bool) -> Result<Option<Coverage>, Errno> {
    if is_certain {
        return look(path, is_own);
    }
    let name = path.to_bytes();
    if name.contains(&b'/') {
        return Ok(None);
    }
    let mut room = [0; LONGEST_PATH];
    let mut files = Opened::default();
    let path = locate(&mut files, search_path(), name, &mut room);
    Ok(path.and_then(|path| look(path, is_own).ok()?))
}

/// A program that was found by a longer path is not looked at.
const LONGEST_PATH: usize = 512;
