//! Lines for a person, on descriptor 2.

use crate::errno::Errno;
use crate::os::sys::{self, SignalMask};
use crate::standard_error::StandardError;

/// Its descriptor.
pub const STDERR: i32 = 2;

/// Writes a line if that is possible without blocking; a line is not worth a hang or a SIGPIPE.
pub fn write_line(at_load: &StandardError, line: &[u8]) {
    if !at_load.is_here() || !sys::is_writable(STDERR) {
        return;
    }
    // The reader of a pipe may go away after the check: then the signal is taken back.
    let was_pending = sys::is_pending(SignalMask::PIPE);
    let mask = SignalMask::PIPE.block();
    if sys::write(STDERR, line) == Err(Errno(libc::EPIPE)) && !was_pending {
        SignalMask::PIPE.discard_pending();
    }
    mask.restore();
}
