//! Descriptors, the library's and the program's.

use core::ffi::c_int;

use super::call::call;
use crate::descriptor::Descriptor;
use crate::errno::Errno;

/// Duplicates a descriptor to a number that is `lowest` or above.
pub fn duplicate(descriptor: &Descriptor, lowest: c_int) -> Result<Descriptor, Errno> {
    // SAFETY: takes no pointer.
    opened(call(|| unsafe { libc::fcntl(descriptor.number(), libc::F_DUPFD_CLOEXEC, lowest) }))
}

pub(super) fn opened(result: Result<usize, Errno>) -> Result<Descriptor, Errno> {
    result.map(|number| Descriptor::from_number(c_int::try_from(number).unwrap_or(-1)))
}

/// Sets whether a write to descriptor `number` may raise SIGPIPE; returns whether it could before.
/// The setting belongs to the open file, which other processes may share.
pub fn set_raises_sigpipe(number: c_int, raises: bool) -> bool {
    // SAFETY: takes no pointer.
    let ignored = call(|| unsafe { libc::fcntl(number, libc::F_GETNOSIGPIPE) });
    let ignore = c_int::from(!raises);
    // SAFETY: takes no pointer. Files without the setting raise no SIGPIPE.
    let _ = call(|| unsafe { libc::fcntl(number, libc::F_SETNOSIGPIPE, ignore) });
    ignored == Ok(0)
}

/// Writes; returns how many bytes were written.
pub fn write(number: c_int, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the slice only.
    call(|| unsafe { libc::write(number, bytes.as_ptr().cast(), bytes.len()) })
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
    c_int::try_from(call(|| unsafe { libc::fcntl(number, command) }).ok()?).ok()
}
