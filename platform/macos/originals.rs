//! The original functions, which the hooks replace. dyld does not redirect the references of this
//! image, but it does redirect the results of `dlsym(RTLD_NEXT)`.

use core::ffi::{c_int, c_void};

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::table::{WordExp, table, wordexp};
use super::text_range::TextRange;
use crate::abi::{CharPtr, MutStrings, Strings};

type Actions = *const posix_spawn_file_actions_t;
type Attributes = *const posix_spawnattr_t;

/// The original functions.
#[derive(Clone, Copy)]
pub struct Real {
    /// The text segment of the C library, by which its own calls are recognised.
    pub libc_text: TextRange,
    /// Whether some of them are another library's, which may map paths. dyld does not tell.
    pub is_wrapped: bool,
}

impl Real {
    /// dyld has bound this image's references to them; only the text segment is to be found.
    pub fn find() -> Self {
        let mut real = Self { libc_text: TextRange::NONE, is_wrapped: false };
        if let Some(popen) = real.popen() {
            real.libc_text = TextRange::around(popen as *const c_void);
        }
        real
    }
}

/// Refers to the originals.
macro_rules! found_in_place {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path, for $original:path;)*) => {
        impl Real {$(
            /// The original, which every macOS has.
            pub fn $name(&self) -> Option<unsafe extern "C" fn($($type),*) -> $result> {
                /// Read by a volatile access, so that the compiler cannot call the function
                /// directly.
                static ORIGINAL: unsafe extern "C" fn($($type),*) -> $result = $original;
                // SAFETY: dyld binds it before any code of this library runs; it is never written
                // to afterwards.
                Some(unsafe { (&raw const ORIGINAL).read_volatile() })
            }
        )*}
    };
}

/// Picks the functions of the table that the hooks call.
macro_rules! originals {
    (
        called { $($called:tt)* }
        forwarded to one of those { $($forwarded:tt)* }
        variadic { $($variadic:tt)* }
    ) => {
        found_in_place! { $($called)* }
    };
}

table!(originals);
