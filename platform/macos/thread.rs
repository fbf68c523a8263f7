//! The thread that a hook runs in.

use core::ffi::c_int;

/// Does what must not be broken off by the cancellation of the thread: nearly every function
/// that makes a system call is a cancellation point, and the descriptor that it was about
/// would stay open. (Those that are none, `…$NOCANCEL`, are private.)
pub fn uncancelled<R>(work: impl FnOnce() -> R) -> R {
    /// `PTHREAD_CANCEL_DISABLE` (`pthread.h`)
    const DISABLE: c_int = 0;
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    }
    let mut old = DISABLE;
    // SAFETY: the pointer is to a live int. It cannot fail with such a state.
    unsafe { pthread_setcancelstate(DISABLE, &raw mut old) };
    let result = work();
    // SAFETY: NULL is permitted: nobody wants to know.
    unsafe { pthread_setcancelstate(old, core::ptr::null_mut()) };
    result
}

/// The thread's own number: one value for each thread, and a child has that of the thread
/// that it was made by.
pub fn thread_pointer() -> usize {
    // SAFETY: takes no pointer; it reads a register and cannot fail.
    unsafe { libc::pthread_self() }
}
