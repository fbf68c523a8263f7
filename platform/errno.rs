//! Error numbers, and the calling thread's `errno`.

use core::ffi::c_int;

use crate::os;

/// An error number (errno(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub c_int);

/// Sets `errno` and returns -1.
pub fn fail(errno: c_int) -> c_int {
    set(errno);
    -1
}

/// Sets `errno`.
pub fn set(errno: c_int) {
    // SAFETY: the C library returns a valid pointer to the calling thread's `errno`.
    unsafe { os::errno_location().write(errno) }
}

/// Reads `errno`.
pub fn get() -> c_int {
    // SAFETY: as in `set`.
    unsafe { os::errno_location().read() }
}

/// The value of `errno` before the library's work.
///
/// On Linux system calls are raw and do not set it. The few C functions that may (`getaddrinfo`,
/// `setenv`) are called between [`Saved::new`] and [`Saved::restore`].
#[derive(Clone, Copy)]
pub struct Saved(c_int);

impl Saved {
    /// Saves `errno`.
    pub fn new() -> Self {
        Self(get())
    }

    /// Restores `errno`.
    pub fn restore(self) {
        set(self.0);
    }
}
