//! The functions that the hooks stand in front of.

use core::ffi::{c_int, c_void};

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::loaded::{Name, behind_this, function};
use super::table::table;
use crate::abi::{CharPtr, MutStrings, Strings};

type Actions = *const posix_spawn_file_actions_t;
type Attributes = *const posix_spawnattr_t;
/// `wordexp_t`, which is only handed through.
pub type WordExp = c_void;

/// What `pthread_atfork(3)` is given.
type Handler = Option<extern "C" fn()>;
/// The type of glibc's `__register_atfork`.
type Register = unsafe extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;

/// The type of `execveat(2)`.
pub type Execveat = unsafe extern "C" fn(c_int, CharPtr, MutStrings, MutStrings, c_int) -> c_int;

/// Finds the originals, all of them at load: a hook may run where the loader should not be
/// asked, such as a vfork child, or while another thread is loading a library.
macro_rules! found_at_load {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path;)*) => {
        /// The functions that the hooks stand in front of.
        #[derive(Clone, Copy)]
        pub struct Real {
            $($name: Option<unsafe extern "C" fn($($type),*) -> $result>,)*
            register_atfork: Option<Register>,
        }

        impl Real {
            /// Finds them.
            pub fn find() -> Self {
                const AT_FORK: &str = "__register_atfork\0";
                let names = const {
                    [$(Name::new(concat!(stringify!($name), "\0")),)* Name::new(AT_FORK)]
                };
                let [$($name,)* register_atfork] = behind_this(&names);
                // SAFETY: each pointer is given the type that the function has.
                unsafe {
                    Self { $($name: function($name),)* register_atfork: function(register_atfork) }
                }
            }

            $(
                /// The original; `None` if the C library has none.
                pub fn $name(&self) -> Option<unsafe extern "C" fn($($type),*) -> $result> {
                    self.$name
                }
            )*

            /// What a handler of forks is registered with; glibc's alone.
            pub fn register_atfork(&self) -> Option<Register> {
                self.register_atfork
            }
        }
    };
}

/// Takes those of the table that are called.
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
