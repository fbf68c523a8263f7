//! The thread in which a hook runs.

use core::ffi::c_int;

/// Does work during which the thread must not be cancelled: nearly every function that makes a
/// system call is a cancellation point, and a cancelled thread would leave its descriptors open.
/// (The functions that are not, `…$NOCANCEL`, are private.)
pub fn uncancelled<R>(work: impl FnOnce() -> R) -> R {
    /// `PTHREAD_CANCEL_DISABLE` (`pthread.h`)
    const DISABLE: c_int = 0;
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    }
    let mut old = DISABLE;
    // SAFETY: the pointer is to an int. With a valid state the call does not fail.
    unsafe { pthread_setcancelstate(DISABLE, &raw mut old) };
    let result = work();
    // SAFETY: NULL is permitted for the old state.
    unsafe { pthread_setcancelstate(old, core::ptr::null_mut()) };
    result
}

/// The thread's ID: different in each thread; a vfork child has that of the thread that made it.
pub fn thread_pointer() -> usize {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { libc::pthread_self() }
}
