//! Lines for a person, on descriptor 2.

use crate::errno::Errno;
use crate::os::sys::{self, SignalMask};
use crate::standard_error::StandardError;

/// Its descriptor.
pub const STDERR: i32 = 2;

/// Writes a line if that is possible without blocking; a line is not worth a hang or a signal.
pub fn write_line(at_load: &StandardError, line: &[u8]) {
    if !at_load.is_here() || !sys::is_writable(STDERR) {
        return;
    }
    // The reader of a pipe may go away after the check, and a file may be as long as it may get
    // (`RLIMIT_FSIZE`): then the signal is taken back.
    let before = SignalMask::pending();
    let mask = SignalMask::OF_WRITES.block();
    if let Err(Errno(libc::EPIPE | libc::EFBIG)) = sys::write(STDERR, line) {
        SignalMask::OF_WRITES.without(before).discard_pending();
    }
    mask.restore();
}
