//! The exported symbols: the hooks under the C library's names.

use core::ffi::{c_int, c_long};

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::originals::WordExp;
use super::table::table;
use super::{exec, variadic};
use crate::abi::{CharPtr, MutStrings, Strings};
use crate::variadic::collect;
use crate::{shell, spawn};

type Actions = *const posix_spawn_file_actions_t;
type Attributes = *const posix_spawnattr_t;

/// Exports hooks under the C library's names.
macro_rules! exported {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path;)*) => {$(
        // SAFETY: the loader resolves the C library's symbol to this one, which has the same
        // signature (checked below) and contract.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            // SAFETY: the hook demands of its caller what the C function does.
            unsafe { $hook($($argument),*) }
        }
    )*};
}

/// Checks signatures against those that the `libc` crate declares.
macro_rules! checked {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path;)*) => {$(
        const _: unsafe extern "C" fn($($type),*) -> $result = libc::$name;
    )*};
}

/// Exports the variadic functions. Their originals are never called: the arguments have become an
/// array, for which `execve` and `execvpe` serve.
macro_rules! collected {
    ($(fn $name:ident($($argument:tt)*) = $hook:path;)*) => {
        collect! {$(
            // SAFETY: the loader resolves the C library's symbol to this one, which has the same
            // calling convention and contract.
            #[unsafe(no_mangle)]
            fn $name($($argument)*) = $hook;
        )*}
    };
}

/// Passes the parts of the table to the macros above.
macro_rules! exports {
    (
        called { $($called:tt)* }
        called, unknown to the libc crate { $($unknown:tt)* }
        forwarded to one of those { $($forwarded:tt)* }
        variadic { $($variadic:tt)* }
        variadic, handed on as it is { $($passed:tt)* }
    ) => {
        exported! { $($called)* $($unknown)* $($forwarded)* }
        checked! { $($called)* $($forwarded)* }
        collected! { $($variadic)* }
        variadic::pass_through! { $($passed)* }
    };
}

table!(exports);

const _: unsafe extern "C" fn(CharPtr, CharPtr, ...) -> c_int = libc::execl;
const _: unsafe extern "C" fn(CharPtr, CharPtr, ...) -> c_int = libc::execlp;
const _: unsafe extern "C" fn(CharPtr, CharPtr, ...) -> c_int = libc::execle;
const _: unsafe extern "C" fn(c_long, ...) -> c_long = libc::syscall;
