//! Memory for an environment that is too large for the stack.
//!
//! A vfork child that execs never comes back to free anything, and its memory is its
//! parent's. So one region is kept for good and claimed by thread pointer: the child
//! has that of the thread that waits for it, and when that thread runs again, the
//! child is done with the region. Who finds it claimed by another maps memory of
//! its own.

use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::os::{sys, thread_pointer};

static OWNER: AtomicUsize = AtomicUsize::new(NOBODY);
static START: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);
const NOBODY: usize = 0;

/// A claimed region; given back when dropped.
pub struct Scratch {
    start: *mut c_void,
    length: usize,
    is_kept: bool,
}

impl Scratch {
    /// So many bytes, zeroed or not; `None` if there is no memory.
    pub fn claim(bytes: usize) -> Option<Self> {
        let me = thread_pointer();
        let owner = OWNER.compare_exchange(NOBODY, me, Ordering::Acquire, Ordering::Relaxed);
        if owner.is_err_and(|owner| owner != me) {
            let start = sys::map(bytes)?;
            return Some(Self { start, length: bytes, is_kept: false });
        }
        let (start, length) = (START.load(Ordering::Relaxed), LENGTH.load(Ordering::Relaxed));
        if length >= bytes {
            return Some(Self { start, length, is_kept: true });
        }
        let Some(larger) = sys::map(bytes) else {
            OWNER.store(NOBODY, Ordering::Release);
            return None;
        };
        START.store(larger, Ordering::Relaxed);
        LENGTH.store(bytes, Ordering::Relaxed);
        if length > 0 {
            // SAFETY: the region was this thread's, and it is not used any more.
            unsafe { sys::unmap(start, length) };
        }
        Some(Self { start: larger, length: bytes, is_kept: true })
    }

    /// Room for so many pointers, and the rest as text.
    pub fn split(&mut self, pointers: usize) -> Option<(&mut [*const c_char], &mut [u8])> {
        let bytes = pointers.checked_mul(size_of::<*const c_char>())?;
        let rest = self.length.checked_sub(bytes)?;
        // SAFETY: both parts lie in the region, which is page-aligned, initialised by the
        // kernel, and borrowed for as long as they are.
        unsafe {
            let text = self.start.cast::<u8>().add(bytes);
            Some((
                core::slice::from_raw_parts_mut(self.start.cast(), pointers),
                core::slice::from_raw_parts_mut(text, rest),
            ))
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.is_kept {
            OWNER.store(NOBODY, Ordering::Release);
        } else {
            // SAFETY: the mapping is this value's alone.
            unsafe { sys::unmap(self.start, self.length) };
        }
    }
}
