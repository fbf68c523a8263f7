//! Memory of this process.

use core::ffi::{c_int, c_void};

use super::call::call;
use crate::errno;

/// New memory, zeroed; never given back.
pub fn map(length: usize) -> Option<*mut c_void> {
    map_as(length, libc::MAP_PRIVATE)
}

/// The same, shared with those who are forked.
pub fn map_shared(length: usize) -> Option<*mut c_void> {
    map_as(length, libc::MAP_SHARED)
}

fn map_as(length: usize, kind: c_int) -> Option<*mut c_void> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, kind | libc::MAP_ANON);
    let saved = errno::Saved::new();
    // SAFETY: a new mapping where the kernel likes changes no other memory.
    let start = unsafe { libc::mmap(core::ptr::null_mut(), length, access, kind, -1, 0) };
    saved.restore();
    (start != libc::MAP_FAILED).then_some(start)
}

/// Makes memory read-only, where the system lets us.
///
/// # Safety
/// It must be whole pages that nobody writes to any more.
pub unsafe fn make_read_only(start: *const c_void, length: usize) {
    // SAFETY: the caller's promise. A system that forbids it leaves a weaker guard.
    let _ = call(|| unsafe { libc::mprotect(start.cast_mut(), length, libc::PROT_READ) });
}
