//! Memory of this process.

use core::ffi::{c_int, c_void};

use super::call::{call, register};
use super::process::getpid;

/// Copies a value from an address that need not be valid; whether it is.
///
/// # Safety
/// Any bytes must be a valid `T`.
pub unsafe fn peek<T>(from: *const T, to: &mut T) -> bool {
    let bytes = size_of::<T>();
    let local = libc::iovec { iov_base: core::ptr::from_mut(to).cast(), iov_len: bytes };
    let remote = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: bytes };
    let this = register(getpid());
    let arguments = [this, &raw const local as usize, 1, &raw const remote as usize, 1, 0];
    // SAFETY: the kernel writes to `to` only, and fails with `EFAULT` if `from` is not readable.
    let copied = unsafe { call(libc::SYS_process_vm_readv, arguments) };
    copied == Ok(bytes)
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
