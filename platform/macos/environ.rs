//! The environment of this process.

use rampart_core::environ;

use crate::abi::Strings;

/// `_PATH_DEFPATH` (`paths.h`)
const DEFAULT_SEARCH: &[u8] = b"/usr/bin:/bin";

/// The environment of this process, as it is now.
pub fn environment() -> Strings {
    // SAFETY: `_NSGetEnviron` returns the address of the variable (environ(7)). The program may
    // write to it; a volatile read of one aligned word sees the old or the new value.
    unsafe { libc::_NSGetEnviron().cast::<Strings>().read_volatile() }
}

/// Makes another array the environment of this process.
///
/// # Safety
/// `list` is an array of strings that ends with NULL and stays valid for the life of the process.
pub unsafe fn set_environment(list: Strings) {
    // SAFETY: as in `environment`. Others see the old or the new value of the word.
    unsafe { libc::_NSGetEnviron().cast::<Strings>().write_volatile(list) }
}

/// The value of PATH in this process, or the default.
pub fn search_path() -> &'static [u8] {
    // SAFETY: `environ` is NULL or an array of strings that ends with NULL (environ(7)). Like the C
    // library's own search this relies on no other thread changing it meanwhile.
    unsafe { environ::value_in(environment(), c"PATH") }.unwrap_or(DEFAULT_SEARCH)
}
