//! The original functions, which the hooks replace.

use core::ffi::{c_int, c_void};

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::loaded::{Name, behind_this, function};
use super::table::table;
use crate::abi::{CharPtr, MutStrings, Strings};

type Actions = *const posix_spawn_file_actions_t;
type Attributes = *const posix_spawnattr_t;
/// `wordexp_t`, which is only passed on.
pub type WordExp = c_void;

/// The type of `pthread_atfork(3)`'s handlers.
type Handler = Option<extern "C" fn()>;
/// The type of glibc's `__register_atfork`.
type Register = unsafe extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;

/// The type of `execveat(2)`.
pub type Execveat = unsafe extern "C" fn(c_int, CharPtr, MutStrings, MutStrings, c_int) -> c_int;

/// Finds all originals at load: a hook may run in a vfork child, or while another thread loads a
/// library.
macro_rules! found_at_load {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path;)*) => {
        /// The original functions.
        #[derive(Clone, Copy)]
        pub struct Real {
            $($name: Option<unsafe extern "C" fn($($type),*) -> $result>,)*
            register_atfork: Option<Register>,
            /// Whether some of them are not the C library's but another preloaded library's, which
            /// may map paths (`fakechroot(1)`).
            pub is_wrapped: bool,
        }

        impl Real {
            /// Finds them.
            pub fn find() -> Self {
                const AT_FORK: &str = "__register_atfork\0";
                let names = const {
                    [$(Name::new(concat!(stringify!($name), "\0")),)* Name::new(AT_FORK)]
                };
                let ([$($name,)* register_atfork], objects) = behind_this(&names);
                let is_wrapped = objects > 1;
                // SAFETY: the types are those of the table, which `exports.rs` checks against the
                // `libc` crate's where that has the function, and glibc's of `__register_atfork`.
                unsafe {
                    Self {
                        $($name: function($name),)*
                        register_atfork: function(register_atfork),
                        is_wrapped,
                    }
                }
            }

            $(
                /// The original; `None` if the C library has none.
                pub fn $name(&self) -> Option<unsafe extern "C" fn($($type),*) -> $result> {
                    self.$name
                }
            )*

            /// `__register_atfork`, which only glibc has.
            pub fn register_atfork(&self) -> Option<Register> {
                self.register_atfork
            }
        }
    };
}

/// Picks the functions of the table that the hooks call.
macro_rules! originals {
    (
        called { $($called:tt)* }
        called, unknown to the libc crate { $($unknown:tt)* }
        forwarded to one of those { $($forwarded:tt)* }
        variadic { $($variadic:tt)* }
        variadic, handed on as it is { $($passed:tt)* }
    ) => {
        found_at_load! { $($called)* $($unknown)* }
    };
}

table!(originals);
