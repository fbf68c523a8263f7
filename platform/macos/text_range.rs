//! The text segment of an image, by which the calls of the image itself are recognised.

use core::ffi::{c_char, c_ulong, c_void};
use core::mem::MaybeUninit;

use crate::abi::CharPtr;

/// The address range of a text segment.
#[derive(Clone, Copy)]
pub struct TextRange {
    start: usize,
    length: usize,
}

impl TextRange {
    /// An empty range.
    pub const NONE: Self = Self { start: 0, length: 0 };

    /// The text segment of the image that holds `function`; empty if it cannot be found, so that
    /// every call counts as the program's.
    pub fn around(function: *const c_void) -> Self {
        unsafe extern "C" {
            /// `mach-o/getsect.h`
            fn getsegmentdata(
                header: *const c_void,
                segment: *const c_char,
                size: *mut c_ulong,
            ) -> *const u8;
        }
        let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
        let mut size = 0;
        // SAFETY: zeroed pointers are a valid structure, which dladdr(3) fills in; on success it
        // holds the address of the image's header, which stays mapped: libSystem is never unloaded.
        let start = unsafe {
            if libc::dladdr(function, info.as_mut_ptr()) == 0 {
                core::ptr::null()
            } else {
                getsegmentdata(info.assume_init().dli_fbase, c"__TEXT".as_ptr(), &raw mut size)
            }
        };
        let length = if start.is_null() { 0 } else { usize::try_from(size).unwrap_or(0) };
        Self { start: start as usize, length }
    }

    /// Whether a string is in the range.
    pub fn holds(self, literal: CharPtr) -> bool {
        (literal as usize).wrapping_sub(self.start) < self.length
    }
}
