//! A function of libSystem, called so that `errno` stays.

use core::ffi::c_int;

use crate::errno::{self, Errno};

/// What a function gives that sets `errno` when it gives a negative number.
pub fn call<Number>(function: impl FnOnce() -> Number) -> Result<usize, Errno>
where
    usize: TryFrom<Number>,
{
    let saved = errno::Saved::new();
    let result = usize::try_from(function()).map_err(|_| Errno(errno::get()));
    saved.restore();
    result
}

/// Closes a descriptor of ours. Nobody can be told of an error.
pub fn close(number: c_int) {
    // SAFETY: takes no pointer. That the number is closed is the point.
    let _ = call(|| unsafe { libc::close(number) });
}
