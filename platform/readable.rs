//! Whether the caller's memory can be read: the kernel fails with `EFAULT` where the library would
//! crash.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::abi::{CharPtr, Strings};
use crate::os::sys;

/// Nothing can be read here, now or later: the end of the address space is the kernel's.
pub const NOWHERE: usize = usize::MAX - 7;

/// The smallest page of any processor: what can be read within one can be read to its end.
pub const PAGE_BYTES: usize = 4096;
/// How many pages are remembered.
const REMEMBERED: usize = 8;

/// Whether all pages are taken to be readable.
static NONE_IS_TRIED: AtomicBool = AtomicBool::new(false);

/// Tries no page: valgrind reports a system call that fails by an address as a fault of the program.
pub fn try_none() {
    NONE_IS_TRIED.store(true, Ordering::Relaxed);
}

/// Pages that can be read: each is tried once, as long as few others are read in between.
pub struct Pages([usize; REMEMBERED]);

impl Pages {
    /// Known is only the page of the stack that is in use: arguments often lie near by.
    pub fn new() -> Self {
        let mut pages = Self([usize::MAX; REMEMBERED]);
        let page = (&raw const pages).addr() / PAGE_BYTES;
        if let Some(known) = pages.0.get_mut(page % REMEMBERED) {
            *known = page;
        }
        pages
    }

    /// Whether a byte can be read.
    pub fn has(&mut self, address: usize) -> bool {
        let page = address / PAGE_BYTES;
        let Some(known) = self.0.get_mut(page % REMEMBERED) else { return false };
        let is_readable =
            *known == page || NONE_IS_TRIED.load(Ordering::Relaxed) || sys::is_readable(address);
        if is_readable {
            *known = page;
        }
        is_readable
    }

    /// A copy of a value that is smaller than a page and need not be aligned; `None` if it cannot be
    /// read.
    ///
    /// # Safety
    /// Any bytes must be a valid `T`.
    pub unsafe fn copy<T>(&mut self, from: *const T) -> Option<T> {
        const { assert!(size_of::<T>() <= PAGE_BYTES) };
        let last = (from as usize).wrapping_add(size_of::<T>() - 1);
        // SAFETY: all of it can be read, and is valid (the caller's promise).
        (self.has(from as usize) && self.has(last)).then(|| unsafe { from.read_unaligned() })
    }

    /// Whether a string can be read up to its NUL.
    pub fn have_string(&mut self, text: CharPtr) -> bool {
        let mut next = text;
        loop {
            if !self.has(next as usize) {
                return false;
            }
            let left = PAGE_BYTES - next as usize % PAGE_BYTES;
            // Byte by byte: what is behind the string may belong to nobody (valgrind(1), memory tags).
            for _ in 0..left {
                // SAFETY: the page can be read, and `next` has not reached its end.
                if unsafe { *next } == 0 {
                    return true;
                }
                next = next.wrapping_add(1);
            }
        }
    }

    /// Whether an array can be read up to its NULL, and each entry as `entry` says. NULL is an
    /// empty array.
    pub fn have_array(
        &mut self,
        list: Strings,
        mut entry: impl FnMut(&mut Self, CharPtr) -> bool,
    ) -> bool {
        let mut next = list;
        if next.is_null() {
            return true;
        }
        loop {
            // SAFETY: any bytes are a pointer.
            let Some(text) = (unsafe { self.copy(next) }) else { return false };
            if text.is_null() {
                return true;
            }
            if !entry(self, text) {
                return false;
            }
            next = next.wrapping_add(1);
        }
    }
}
