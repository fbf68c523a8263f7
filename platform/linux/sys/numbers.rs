//! Descriptors, the library's and the program's.

use core::ffi::c_int;

use super::call::{call, register};
use crate::descriptor::Descriptor;
use crate::errno::Errno;

/// Duplicates a descriptor to a number that is `lowest` or above.
pub fn duplicate(descriptor: &Descriptor, lowest: c_int) -> Result<Descriptor, Errno> {
    let command = register(libc::F_DUPFD_CLOEXEC);
    let arguments = [register(descriptor.number()), command, register(lowest), 0, 0, 0];
    // SAFETY: takes no pointer.
    opened(unsafe { call(libc::SYS_fcntl, arguments) })
}

pub(super) fn opened(result: Result<usize, Errno>) -> Result<Descriptor, Errno> {
    result.map(|number| Descriptor::from_number(c_int::try_from(number).unwrap_or(-1)))
}

/// Writes; returns how many bytes were written.
pub fn write(number: c_int, bytes: &[u8]) -> Result<usize, Errno> {
    let arguments = [register(number), bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { call(libc::SYS_write, arguments) }
}

/// Whether a number is an open descriptor.
pub fn is_open(number: c_int) -> bool {
    let arguments = [register(number), register(libc::F_GETFD), 0, 0, 0, 0];
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, arguments) }.is_ok()
}

/// Whether a number is a descriptor that programs inherit.
pub fn is_inherited(number: c_int) -> bool {
    flags(number, libc::F_GETFD).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0)
}

/// Whether a number is a descriptor that is open for writing only.
pub fn is_write_only(number: c_int) -> bool {
    flags(number, libc::F_GETFL).is_some_and(|flags| flags & libc::O_ACCMODE == libc::O_WRONLY)
}

fn flags(number: c_int, command: c_int) -> Option<c_int> {
    // SAFETY: takes no pointer.
    let flags = unsafe { call(libc::SYS_fcntl, [register(number), register(command), 0, 0, 0, 0]) };
    c_int::try_from(flags.ok()?).ok()
}
