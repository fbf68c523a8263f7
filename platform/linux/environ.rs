//! The environment of this process.

use crate::abi::Strings;

/// The environment of this process, as it is now.
pub fn environment() -> Strings {
    unsafe extern "C" {
        static environ: Strings;
    }
    // SAFETY: the C library defines the variable. The program may write to it; a volatile read of
    // one aligned word sees the old or the new value.
    unsafe { (&raw const environ).read_volatile() }
}

/// Makes another array the environment of this process.
///
/// # Safety
/// `list` is an array of strings that ends with NULL and stays valid for the life of the process.
pub unsafe fn set_environment(list: Strings) {
    unsafe extern "C" {
        static mut environ: Strings;
    }
    // SAFETY: the C library defines the variable. Others see the old or the new value of the word.
    unsafe { (&raw mut environ).write_volatile(list) }
}
