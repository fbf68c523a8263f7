//! Error numbers, and the calling thread's `errno`.

use core::ffi::c_int;

use crate::os;

/// An error number of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub c_int);

/// Sets `errno` and gives the value with which functions report it.
pub fn fail(errno: c_int) -> c_int {
    set(errno);
    -1
}

/// Sets `errno`.
pub fn set(errno: c_int) {
    // SAFETY: the C library's pointer to this thread's errno is always valid.
    unsafe { os::errno_location().write(errno) }
}

/// Reads `errno`.
pub fn get() -> c_int {
    // SAFETY: as in `set`.
    unsafe { os::errno_location().read() }
}

/// `errno` as a hook found it.
///
/// Our own work goes by raw system calls, which do not touch it; the few C functions
/// that may (`getaddrinfo`, `setenv`) run between [`Saved::new`] and [`Saved::restore`].
#[derive(Clone, Copy)]
pub struct Saved(c_int);

impl Saved {
    /// Remembers `errno`.
    pub fn new() -> Self {
        Self(get())
    }

    /// Puts it back.
    pub fn restore(self) {
        set(self.0);
    }
}
