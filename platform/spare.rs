//! The run's copy of this library, for children, if the library's own file is gone: they would start
//! without it, and so unguarded.

use core::ffi::CStr;

use rampart_core::arena::TextBuffer;
use rampart_core::environ::{Guard, write_preload};

use crate::os;
use crate::os::sys;

/// A longer preload list is given up, but for the library.
const LONGEST_LIST: usize = 512;

/// The copy, if children need it.
pub fn needed<'m>(guard: &Guard<'m>) -> Option<&'m CStr> {
    let spare = guard.spare?;
    // A relative path need not lead anywhere from here.
    let own = os::library_file().filter(|path| path.to_bytes().starts_with(b"/"))?;
    (sys::status_at(own).is_err() && sys::status_at(spare).is_ok()).then_some(spare)
}

/// Calls `run` with a guard that names the copy in place of the library.
#[cold]
#[inline(never)]
pub fn with(guard: &Guard<'_>, spare: &CStr, run: &mut dyn FnMut(&Guard<'_>)) {
    let mut room = [0; LONGEST_LIST];
    let library = spare.to_bytes();
    let name = guard.os.preload_variable().count_bytes().saturating_add(1);
    let list = guard.preload.to_bytes().get(name..).unwrap_or_default();
    for list in [list, b""] {
        let mut text = TextBuffer::new(&mut room);
        if write_preload(guard.os, list, library, guard.library, &mut text).is_ok() {
            break;
        }
    }
    let preload = CStr::from_bytes_until_nul(&room).unwrap_or(guard.preload);
    run(&Guard { preload, library, library_as_given: guard.library, ..*guard });
}
