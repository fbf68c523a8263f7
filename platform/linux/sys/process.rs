//! This process, and its clock.

use core::ffi::c_int;

use rampart_core::request::Process;
use rampart_core::settings::SEALED_CALL;

use super::call::{call, register};
use crate::errno::Errno;

/// The process ID.
pub fn getpid() -> c_int {
    // SAFETY: takes no pointer.
    let pid = unsafe { call(libc::SYS_getpid, [0; 6]) };
    pid.ok().and_then(|pid| c_int::try_from(pid).ok()).unwrap_or(0)
}

/// This process and its parent.
pub fn process(pid: c_int) -> Process {
    // SAFETY: takes no pointer.
    let parent = unsafe { call(libc::SYS_getppid, [0; 6]) };
    let parent = parent.ok().and_then(|parent| u32::try_from(parent).ok()).unwrap_or(0);
    Process { id: pid.unsigned_abs(), parent }
}

/// Whether this process is in the sealed run with this mark.
pub fn is_sealed(mark: u64) -> bool {
    let call_of_seal = usize::try_from(SEALED_CALL).unwrap_or(0);
    // SAFETY: takes no pointer.
    let answer = unsafe { call(libc::SYS_prctl, [call_of_seal, 0, 0, 0, 0, 0]) };
    answer.is_err_and(|Errno(number)| number != libc::EINVAL && u64::try_from(number) == Ok(mark))
}

/// Whether other processes of this user cannot read this one (`PR_GET_DUMPABLE` in prctl(2)).
pub fn is_hidden() -> bool {
    let dumpable = usize::try_from(libc::PR_GET_DUMPABLE).unwrap_or(0);
    // SAFETY: takes no pointer.
    let answer = unsafe { call(libc::SYS_prctl, [dumpable, 0, 0, 0, 0, 0]) };
    answer != Ok(1)
}

/// The time on the monotonic clock, in microseconds.
pub fn now_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let arguments = [register(libc::CLOCK_MONOTONIC), &raw mut time as usize, 0, 0, 0, 0];
    // SAFETY: the kernel writes a timespec to the pointer.
    let _ = unsafe { call(libc::SYS_clock_gettime, arguments) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// Ends the process without running any of its exit handlers.
pub fn exit(status: c_int) -> ! {
    loop {
        // SAFETY: takes no pointer, and does not return.
        let _ = unsafe { call(libc::SYS_exit_group, [register(status), 0, 0, 0, 0, 0]) };
    }
}
