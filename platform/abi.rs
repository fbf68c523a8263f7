//! The C types in the signatures of the intercepted functions.

use core::ffi::c_char;

/// A C string; NULL is possible.
pub type CharPtr = *const c_char;
/// An array of strings that ends with NULL: `argv`, `envp`.
pub type Strings = *const *const c_char;
/// [`Strings`] as `posix_spawn(3)` and `execveat(2)` declare them, which do not write to them
/// either.
pub type MutStrings = *const *mut c_char;
