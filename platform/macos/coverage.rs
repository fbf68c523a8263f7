//! How much of a program will be seen.

use core::ffi::CStr;

use rampart_core::coverage::{Coverage, locate};

use super::environ::search_path;
use crate::errno::Errno;
use crate::look::{Opened, look};

/// How much of a program will be seen, or why its file cannot be opened.
///
/// A program that is searched in PATH is searched here as well: dyld terminates a program that
/// cannot load the library, so the coverage must be known. Otherwise the result is not relied on.
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

/// Programs with longer paths are not looked at.
const LONGEST_PATH: usize = 512;
