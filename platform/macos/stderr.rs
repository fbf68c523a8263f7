//! Lines for a person, on descriptor 2.

use core::ffi::c_int;

use super::sys;
use crate::standard_error::StandardError;

/// Its descriptor.
pub const STDERR: c_int = 2;

/// Writes a line if that is possible without blocking; a line is not worth a hang or a SIGPIPE.
pub fn write_line(at_load: &StandardError, line: &[u8]) {
    if !at_load.is_here() || !sys::is_writable(STDERR) {
        return;
    }
    // The reader of a pipe may go away after the check. SIGPIPE may go to any thread of the
    // process, so blocking it in this one is not enough.
    let raises = sys::set_raises_sigpipe(STDERR, false);
    let _ = sys::write(STDERR, line);
    if raises {
        sys::set_raises_sigpipe(STDERR, true);
    }
}
