//! The text of an image, by which calls within it are told from others.

use core::ffi::{c_char, c_ulong, c_void};
use core::mem::MaybeUninit;

use crate::abi::CharPtr;

/// Where an image's text lies.
#[derive(Clone, Copy)]
pub struct TextRange {
    start: usize,
    length: usize,
}

impl TextRange {
    /// Nothing lies in it.
    pub const NONE: Self = Self { start: 0, length: 0 };

    /// The text of the image that `function` is of; empty if that cannot be had, so that
    /// every call is the program's.
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
        // SAFETY: the structure is dladdr's to write, all-zero is a valid value of it, and on
        // success it holds the image's header, which stays as long as libSystem does.
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

    /// Whether a string lies in it.
    pub fn holds(self, literal: CharPtr) -> bool {
        (literal as usize).wrapping_sub(self.start) < self.length
    }
}
