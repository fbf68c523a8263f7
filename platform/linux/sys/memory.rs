//! Memory of this process.

use core::ffi::{c_int, c_void};

use super::call::{call, register};
use crate::errno::Errno;
use crate::readable::PAGE_BYTES;

/// Whether the kernel can read at an address, and so in its page.
pub fn is_readable(address: usize) -> bool {
    let end_of_page = address | (PAGE_BYTES - 1);
    let mask = end_of_page - (size_of::<u64>() - 1);
    // No way to change the mask of signals: the kernel reads one and fails (sigprocmask(2)).
    let arguments = [register(-1), mask, 0, size_of::<u64>(), 0, 0];
    // SAFETY: the kernel reads the mask only, and fails with `EFAULT` if it cannot.
    let answer = unsafe { call(libc::SYS_rt_sigprocmask, arguments) };
    answer != Err(Errno(libc::EFAULT))
}

/// New zeroed memory; `None` if there is none.
pub fn map(length: usize) -> Option<*mut c_void> {
    map_as(length, libc::MAP_PRIVATE)
}

/// The same, shared with forked children.
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
    // SAFETY: without `MAP_FIXED` a new mapping replaces no other.
    let start = unsafe { call(libc::SYS_mmap, arguments) }.ok()?;
    Some(start as *mut c_void)
}

/// Makes memory read-only, if the system allows it.
///
/// # Safety
/// The memory must be whole pages to which nothing writes any more.
pub unsafe fn make_read_only(start: *const c_void, length: usize) {
    let arguments = [start as usize, length, register(libc::PROT_READ), 0, 0, 0];
    // SAFETY: nothing writes to these pages (the caller's promise). If the call fails, for example
    // under a seccomp filter, the memory stays writable.
    let _ = unsafe { call(libc::SYS_mprotect, arguments) };
}
