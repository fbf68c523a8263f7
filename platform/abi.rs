//! The types of the C functions that are intercepted.

use core::ffi::c_char;

/// A string.
pub type CharPtr = *const c_char;
/// An array of strings that ends with NULL: `argv`, `envp`.
pub type Strings = *const *const c_char;
/// [`Strings`] as `posix_spawn(3)` and `execveat(2)` declare them. They are not
/// written to either.
pub type MutStrings = *const *mut c_char;
