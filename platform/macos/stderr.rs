//! Lines for a person, on descriptor 2.

use core::ffi::c_int;

use super::sys;
use crate::standard_error::StandardError;

/// The number.
pub const STDERR: c_int = 2;

/// Writes a line if that is possible at once: it is not worth a hang or a signal.
pub fn write_line(at_load: &StandardError, line: &[u8]) {
    if !at_load.is_here() || !sys::is_writable(STDERR) {
        return;
    }
    // The reader of a pipe may go away between the look and the write. SIGPIPE would go to
    // any thread of the process, so it is no use to block it in this one.
    let raises = sys::set_raises_sigpipe(STDERR, false);
    let _ = sys::write(STDERR, line);
    if raises {
        sys::set_raises_sigpipe(STDERR, true);
    }
}
