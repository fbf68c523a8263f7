//! Memory of this process.

use core::ffi::{c_int, c_void};

use super::call::call;
use crate::errno;

/// Whether the kernel can read at an address: not known, as none of its calls tells that cheaply.
pub fn is_readable(_address: usize) -> bool {
    true
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
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, kind | libc::MAP_ANON);
    let saved = errno::Saved::new();
    // SAFETY: without `MAP_FIXED` a new mapping replaces no other.
    let start = unsafe { libc::mmap(core::ptr::null_mut(), length, access, kind, -1, 0) };
    saved.restore();
    (start != libc::MAP_FAILED).then_some(start)
}

/// Makes memory read-only, if the system allows it.
///
/// # Safety
/// The memory must be whole pages to which nothing writes any more.
pub unsafe fn make_read_only(start: *const c_void, length: usize) {
    // SAFETY: nothing writes to these pages (the caller's promise). If the call fails, the memory
    // stays writable.
    let _ = call(|| unsafe { libc::mprotect(start.cast_mut(), length, libc::PROT_READ) });
}
