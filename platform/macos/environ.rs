//! The environment of this process.

use crate::abi::Strings;

/// The environment of this process, as it is now.
pub fn environment() -> Strings {
    // SAFETY: the pointer to the C library's variable is always valid; it is read once.
    unsafe { libc::_NSGetEnviron().cast::<Strings>().read_volatile() }
}

/// Makes another array the environment of this process.
///
/// # Safety
/// It is an array of strings that ends with NULL, and stays.
pub unsafe fn set_environment(list: Strings) {
    // SAFETY: as in `environment`; programs write to it as well, and it is written at once.
    unsafe { libc::_NSGetEnviron().cast::<Strings>().write_volatile(list) }
}
