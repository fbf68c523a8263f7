//! The functions that the hooks stand in front of. dyld does not put hooks in the place of what
//! their own image refers to, while it does for `dlsym(RTLD_NEXT)`.

use core::ffi::{c_int, c_void};

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::table::{WordExp, table, wordexp};
use super::text_range::TextRange;
use crate::abi::{CharPtr, MutStrings, Strings};

type Actions = *const posix_spawn_file_actions_t;
type Attributes = *const posix_spawnattr_t;

/// The functions that the hooks stand in front of.
#[derive(Clone, Copy)]
pub struct Real {
    /// The text of the C library, by which its own calls are told from the program's.
    pub libc_text: TextRange,
}

impl Real {
    /// They need not be looked for: this image refers to them.
    pub fn find() -> Self {
        let mut real = Self { libc_text: TextRange::NONE };
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
            /// The original; there is no macOS without.
            pub fn $name(&self) -> Option<unsafe extern "C" fn($($type),*) -> $result> {
                /// Read as it is, so that no compiler takes another way to it.
                static ORIGINAL: unsafe extern "C" fn($($type),*) -> $result = $original;
                // SAFETY: dyld has filled it in before any code of this library runs.
                Some(unsafe { (&raw const ORIGINAL).read_volatile() })
            }
        )*}
    };
}

/// Takes those of the table that are called.
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
