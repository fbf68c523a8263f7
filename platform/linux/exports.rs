//! What the library exports: the hooks, under the C library's names.

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
        // SAFETY: the symbol has the C library's name and signature; the hook keeps its
        // contract.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            // SAFETY: the caller's promise to the C library is the hook's.
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

/// Exports the variadic ones. Their originals are never called: the arguments are an array by
/// then, so `execve` and `execvpe` serve. `syscall` is the instruction itself.
macro_rules! collected {
    ($(fn $name:ident($($argument:tt)*) = $hook:path;)*) => {
        collect! {$(
            // SAFETY: the symbols have the C library's names and calling convention.
            #[unsafe(no_mangle)]
            fn $name($($argument)*) = $hook;
        )*}
    };
}

/// Takes the table apart.
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
