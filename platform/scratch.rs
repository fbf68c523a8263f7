//! Memory for an environment that is too large for the stack.
//!
//! A vfork child that execs never comes back to free anything, and its memory is its
//! parent's. So regions are kept, each for the thread that it was made for: a child has the
//! thread pointer of the thread that waits for it, and when that thread runs again, the
//! child is done. Only a signal handler can find its thread's region in use.

use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use crate::os::{sys, thread_pointer};

/// The first of all regions; they are never given back.
static REGIONS: AtomicPtr<Region> = AtomicPtr::new(core::ptr::null_mut());

/// Stands at the start of its memory.
struct Region {
    next: *mut Region,
    /// The thread pointer that it is for.
    thread: usize,
    /// The process that uses it, a vfork child having its own number.
    user: AtomicI32,
    /// With this header, in bytes.
    length: usize,
}

const NOBODY: i32 = 0;

/// A region in use; free again when dropped.
pub struct Scratch(*mut Region);

impl Scratch {
    /// So many bytes; `None` if there is no memory.
    pub fn claim(bytes: usize) -> Option<Self> {
        let length = bytes.checked_add(size_of::<Region>())?;
        let (thread, process) = (thread_pointer(), sys::getpid());
        let mut place = REGIONS.load(Ordering::Acquire);
        // SAFETY: what stands in the list was written before it came there and stays.
        while let Some(region) = unsafe { place.as_ref() } {
            // Another process's claim is that of a vfork child which is done, as this thread
            // runs again.
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
        // Sizes of few kinds, so that an environment that grows leaves few behind.
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

    /// Room for so many pointers, and the rest as text.
    pub fn split(&mut self, pointers: usize) -> Option<(&mut [*const c_char], &mut [u8])> {
        let bytes = pointers.checked_mul(size_of::<*const c_char>())?;
        // SAFETY: the region that was claimed stays for ever.
        let length = unsafe { (*self.0).length };
        let rest = length.checked_sub(size_of::<Region>())?.checked_sub(bytes)?;
        // SAFETY: both parts lie behind the header, whose size is a multiple of a pointer's;
        // the kernel has initialised them, and they are this user's alone.
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
