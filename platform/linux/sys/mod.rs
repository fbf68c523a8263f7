//! System calls as hooks need them: raw, so that they touch neither `errno` nor
//! thread cancellation nor another library's hooks.

mod apart;
mod file;
mod patience;
mod signal;
mod socket;

pub use apart::{apart, lacks_stream};
pub use file::{
    Link, occupy, open_to_read, pipe, read_at, read_link, status, status_at, working_directory,
};
pub use patience::{Patience, is_writable};
pub use signal::{SignalMask, is_pending};
pub use socket::{
    Address, connect, dwell, is_missing, is_owned, is_quiet, make_known, own, receive,
    receive_dwelling, send, set_no_delay, socket, socket_identity,
};

use core::ffi::{c_int, c_long, c_void};

use rampart_core::settings::SEALED_CALL;

use crate::descriptor::{Descriptor, Errno};

/// One system call.
///
/// # Safety
/// As for the call: pointers must be what the kernel takes them for.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: c_long;
    // SAFETY: syscall(2), "Architecture calling conventions": these registers hold the
    // arguments, and the kernel changes rax, rcx and r11 only.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first, in("rsi") second, in("rdx") third,
            in("r10") fourth, in("r8") fifth, in("r9") sixth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack, preserves_flags)
        );
    }
    checked(result)
}

/// One system call.
///
/// # Safety
/// As for the call: pointers must be what the kernel takes them for.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: c_long;
    // SAFETY: syscall(2), "Architecture calling conventions": these registers hold the
    // arguments, and the kernel changes x0 only.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => result,
            in("x1") second, in("x2") third, in("x3") fourth, in("x4") fifth, in("x5") sixth,
            options(nostack, preserves_flags)
        );
    }
    checked(result)
}

/// The kernel reports an error as its number negated (`MAX_ERRNO`, `linux/err.h`).
pub const LARGEST_ERRNO: c_long = 4095;

fn checked(result: c_long) -> Result<usize, Errno> {
    if (-LARGEST_ERRNO..0).contains(&result) {
        Err(Errno(c_int::try_from(result.wrapping_neg()).unwrap_or(libc::EIO)))
    } else {
        Ok(usize::try_from(result.cast_unsigned()).unwrap_or(0))
    }
}

/// A descriptor or another small number as a register wants it.
pub fn register(number: c_int) -> usize {
    (number as isize).cast_unsigned()
}

/// Closes a descriptor of ours. Nobody can be told of an error.
pub fn close(number: c_int) {
    // SAFETY: takes no pointer. That the number is closed is the point.
    let _ = unsafe { call(libc::SYS_close, [register(number), 0, 0, 0, 0, 0]) };
}

/// A second descriptor for the same thing, numbered `lowest` or above.
pub fn duplicate(descriptor: &Descriptor, lowest: c_int) -> Result<Descriptor, Errno> {
    let command = register(libc::F_DUPFD_CLOEXEC);
    let arguments = [register(descriptor.number()), command, register(lowest), 0, 0, 0];
    // SAFETY: takes no pointer.
    opened(unsafe { call(libc::SYS_fcntl, arguments) })
}

fn opened(result: Result<usize, Errno>) -> Result<Descriptor, Errno> {
    result.map(|number| Descriptor::from_number(c_int::try_from(number).unwrap_or(-1)))
}

/// Writes; how many bytes were taken.
pub fn write(number: c_int, bytes: &[u8]) -> Result<usize, Errno> {
    let arguments = [register(number), bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { call(libc::SYS_write, arguments) }
}

/// This process.
pub fn getpid() -> c_int {
    // SAFETY: takes no pointer.
    let pid = unsafe { call(libc::SYS_getpid, [0; 6]) };
    pid.ok().and_then(|pid| c_int::try_from(pid).ok()).unwrap_or(0)
}

/// Whether this process is in the sealed run of this mark.
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
    // SAFETY: takes no pointer.
    let user = unsafe { call(libc::SYS_geteuid, [0; 6]) };
    answer != Ok(1) && user != Ok(0)
}

/// Whether a number stands for an open descriptor.
pub fn is_open(number: c_int) -> bool {
    let arguments = [register(number), register(libc::F_GETFD), 0, 0, 0, 0];
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, arguments) }.is_ok()
}

/// Whether a number stands for a descriptor that programs inherit.
pub fn is_inherited(number: c_int) -> bool {
    flags(number, libc::F_GETFD).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0)
}

/// Whether a number stands for a descriptor that can be written to and not read.
pub fn is_write_only(number: c_int) -> bool {
    flags(number, libc::F_GETFL).is_some_and(|flags| flags & libc::O_ACCMODE == libc::O_WRONLY)
}

fn flags(number: c_int, command: c_int) -> Option<c_int> {
    // SAFETY: takes no pointer.
    let flags = unsafe { call(libc::SYS_fcntl, [register(number), register(command), 0, 0, 0, 0]) };
    c_int::try_from(flags.ok()?).ok()
}

/// Copies what is at `from`, which need not be memory; whether it is.
///
/// # Safety
/// Any bytes are a `T`.
pub unsafe fn peek<T>(from: *const T, to: &mut T) -> bool {
    let bytes = size_of::<T>();
    let local = libc::iovec { iov_base: core::ptr::from_mut(to).cast(), iov_len: bytes };
    let remote = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: bytes };
    let this = register(getpid());
    let arguments = [this, &raw const local as usize, 1, &raw const remote as usize, 1, 0];
    // SAFETY: the kernel writes to `to` only, and looks by itself whether `from` is memory.
    let copied = unsafe { call(libc::SYS_process_vm_readv, arguments) };
    copied == Ok(bytes)
}

/// New memory, zeroed; `None` if there is none to be had.
pub fn map(length: usize) -> Option<*mut c_void> {
    map_as(length, libc::MAP_PRIVATE)
}

/// The same, shared with those who are forked.
pub fn map_shared(length: usize) -> Option<*mut c_void> {
    map_as(length, libc::MAP_SHARED)
}

fn map_as(length: usize, kind: c_int) -> Option<*mut c_void> {
    let arguments = [
        0,
        length,
        register(libc::PROT_READ | libc::PROT_WRITE),
        register(kind | libc::MAP_ANONYMOUS),
        usize::MAX,
        0,
    ];
    // SAFETY: a new mapping where the kernel likes changes no other memory.
    let start = unsafe { call(libc::SYS_mmap, arguments) }.ok()?;
    Some(start as *mut c_void)
}

/// Makes memory read-only, where the system lets us.
///
/// # Safety
/// It must be whole pages that nobody writes to any more.
pub unsafe fn make_read_only(start: *const c_void, length: usize) {
    let arguments = [start as usize, length, register(libc::PROT_READ), 0, 0, 0];
    // SAFETY: the caller's promise. A system that forbids it leaves a weaker guard.
    let _ = unsafe { call(libc::SYS_mprotect, arguments) };
}

/// A moment on the monotonic clock, in microseconds.
pub fn now_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let arguments = [register(libc::CLOCK_MONOTONIC), &raw mut time as usize, 0, 0, 0, 0];
    // SAFETY: the pointer is to a timespec.
    let _ = unsafe { call(libc::SYS_clock_gettime, arguments) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// Ends the process without running anything of it.
pub fn exit(status: c_int) -> ! {
    loop {
        // SAFETY: takes no pointer, and does not return.
        let _ = unsafe { call(libc::SYS_exit_group, [register(status), 0, 0, 0, 0, 0]) };
    }
}
