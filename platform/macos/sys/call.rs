//! Calls of libSystem that leave `errno` unchanged.

use core::ffi::c_int;

use crate::errno::{self, Errno};

/// The result of a function that returns a negative number and sets `errno` on failure.
pub fn call<Number>(function: impl FnOnce() -> Number) -> Result<usize, Errno>
where
    usize: TryFrom<Number>,
{
    let saved = errno::Saved::new();
    let result = usize::try_from(function()).map_err(|_| Errno(errno::get()));
    saved.restore();
    result
}

/// Closes a descriptor of the library's. An error cannot be reported to anybody.
pub fn close(number: c_int) {
    // SAFETY: takes no pointer.
    let _ = call(|| unsafe { libc::close(number) });
}
