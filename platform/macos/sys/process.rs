//! This process, and its clock.

use core::ffi::c_int;

/// Nothing is sealed on this system.
pub fn is_sealed(_mark: u64) -> bool {
    false
}

/// Whether other processes of this user cannot read this one: only a sealed run asks.
pub fn is_hidden() -> bool {
    false
}

/// This process.
pub fn getpid() -> c_int {
    // SAFETY: takes no pointer, and cannot fail.
    unsafe { libc::getpid() }
}

/// A moment on a clock that is never set and stands still while the machine sleeps, in
/// microseconds.
pub fn now_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec. With such a clock it cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_UPTIME_RAW, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// Ends the process without running anything of it.
pub fn exit(status: c_int) -> ! {
    // SAFETY: takes no pointer, and does not return.
    unsafe { libc::_exit(status) }
}
