//! The environment of this process.

use rampart_core::environ;

use crate::abi::Strings;

/// `_PATH_DEFPATH` (`paths.h`)
const DEFAULT_SEARCH: &[u8] = b"/usr/bin:/bin";

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

/// The value of PATH in this process, or what stands for it.
pub fn search_path() -> &'static [u8] {
    // SAFETY: `environ` is NULL or an array of strings that ends with NULL (environ(7)).
    unsafe { environ::value_in(environment(), c"PATH") }.unwrap_or(DEFAULT_SEARCH)
}
