//! Memory for environments that are too large for the stack.
//!
//! A vfork child that execs cannot free anything, and what it maps stays in its parent. So regions
//! are kept and reused, each by the thread that it was made for. A vfork child has the thread
//! pointer of the thread that waits for it, and by the time that thread runs again the child has
//! finished with the region. Only a signal handler may find its thread's region in use.

use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use crate::os::{sys, thread_pointer};

/// The list of regions, which are never unmapped.
static REGIONS: AtomicPtr<Region> = AtomicPtr::new(core::ptr::null_mut());

/// The header of a region, at the start of its memory.
struct Region {
    next: *mut Region,
    /// The thread pointer of its thread.
    thread: usize,
    /// The process that uses it: the thread's own or a vfork child.
    user: AtomicI32,
    /// The size in bytes, with this header.
    length: usize,
}

const NOBODY: i32 = 0;

/// A region in use; free again when dropped.
pub struct Scratch(*mut Region);

impl Scratch {
    /// A region with room for `bytes`; `None` if there is no memory.
    pub fn claim(bytes: usize) -> Option<Self> {
        let length = bytes.checked_add(size_of::<Region>())?;
        let (thread, process) = (thread_pointer(), sys::getpid());
        let mut place = REGIONS.load(Ordering::Acquire);
        // SAFETY: a region is initialised before it is put into the list, and never unmapped.
        while let Some(region) = unsafe { place.as_ref() } {
            // A claim of another process is that of a vfork child; since this thread runs again,
            // the child has finished.
            let is_free = region.user.load(Ordering::Relaxed) != process;
            if region.thread == thread && is_free && region.length >= length {
                region.user.store(process, Ordering::Relaxed);
                return Some(Self(place));
            }
            place = region.next;
        }
        Self::make(length, thread, process)
    }

    fn make(length: usize, thread: usize, process: i32) -> Option<Self> {
        // Powers of two, so that a growing environment leaves few regions behind.
        let length = length.checked_next_power_of_two()?;
        let place = sys::map(length)?.cast::<Region>();
        let mut first = REGIONS.load(Ordering::Acquire);
        loop {
            let region = Region { next: first, thread, user: AtomicI32::new(process), length };
            // SAFETY: the mapping is new, aligned, and larger than the header.
            unsafe { place.write(region) };
            let order = (Ordering::AcqRel, Ordering::Acquire);
            match REGIONS.compare_exchange(first, place, order.0, order.1) {
                Ok(_) => return Some(Self(place)),
                Err(other) => first = other,
            }
        }
    }

    /// The memory as an array of `pointers` pointers, and the rest as bytes.
    pub fn split(&mut self, pointers: usize) -> Option<(&mut [*const c_char], &mut [u8])> {
        let bytes = pointers.checked_mul(size_of::<*const c_char>())?;
        // SAFETY: a region is initialised and never unmapped.
        let length = unsafe { (*self.0).length };
        let rest = length.checked_sub(size_of::<Region>())?.checked_sub(bytes)?;
        // SAFETY: both parts lie within the region behind the header, whose size is a multiple of a
        // pointer's; the kernel has zeroed them; the claim makes them this user's alone.
        unsafe {
            let first: *mut c_void = self.0.add(1).cast();
            let text = first.cast::<u8>().add(bytes);
            Some((
                core::slice::from_raw_parts_mut(first.cast(), pointers),
                core::slice::from_raw_parts_mut(text, rest),
            ))
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: as in `split`.
        unsafe { &(*self.0).user }.store(NOBODY, Ordering::Relaxed);
    }
}
