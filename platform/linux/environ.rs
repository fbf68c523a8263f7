//! The environment of this process.

use crate::abi::Strings;

/// The environment of this process, as it is now.
pub fn environment() -> Strings {
    unsafe extern "C" {
        static environ: Strings;
    }
    // SAFETY: the C library's variable, which programs write to; it is read once.
    unsafe { (&raw const environ).read_volatile() }
}

/// Makes another array the environment of this process.
///
/// # Safety
/// It is an array of strings that ends with NULL, and stays.
pub unsafe fn set_environment(list: Strings) {
    unsafe extern "C" {
        static mut environ: Strings;
    }
    // SAFETY: the C library's variable, which programs write to as well; it is written at once.
    unsafe { (&raw mut environ).write_volatile(list) }
}
