//! This process, and its clock.

use core::ffi::c_int;

use rampart_core::request::Process;

/// Whether this is a sealed run: macOS has none.
pub fn is_sealed(_mark: u64) -> bool {
    false
}

/// Whether other processes of this user cannot read this one: it matters in a sealed run only.
pub fn is_hidden() -> bool {
    false
}

/// Not told: the server looks the parent up itself.
pub fn process(_pid: c_int) -> Process {
    Process::default()
}

/// The process ID.
pub fn getpid() -> c_int {
    // SAFETY: takes no pointer, and cannot fail.
    unsafe { libc::getpid() }
}

/// The time on a clock that is never set and stops while the machine sleeps, in microseconds.
pub fn now_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec. With a valid clock the call does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_UPTIME_RAW, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// Ends the process without running any of its exit handlers.
pub fn exit(status: c_int) -> ! {
    // SAFETY: takes no pointer.
    unsafe { libc::_exit(status) }
}
