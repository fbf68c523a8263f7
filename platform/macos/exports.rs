//! The table that dyld reads: each hook with the function that it replaces.

use core::ffi::c_int;

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::table::{WordExp, popen_DARWIN_EXTSN, system_NOCANCEL, table, wordexp};
use super::{exec, inner, spawn};
use crate::abi::{CharPtr, MutStrings, Strings};
use crate::shell;
use crate::variadic::collect;

type Actions = *const posix_spawn_file_actions_t;
type Attributes = *const posix_spawnattr_t;

/// An entry of that table (`mach-o/dyld-interposing.h`).
#[repr(C)]
struct Tuple<Replacement, Replacee> {
    replacement: Replacement,
    replacee: Replacee,
}

/// Makes the tuple of one function.
macro_rules! tuple {
    (fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path, for $original:path) => {
        type Function = unsafe extern "C" fn($($type),*) -> $result;
        unsafe extern "C" fn hook($($argument: $type),*) -> $result {
            // SAFETY: the hook demands of its caller what the C function does.
            unsafe { $hook($($argument),*) }
        }
        tuple! { Function, hook; Function, $original }
    };
    ($Replacement:ty, $replacement:expr; $Replacee:ty, $replacee:expr) => {
        // SAFETY: the section consists of such tuples (`mach-o/dyld-interposing.h`).
        #[used]
        #[unsafe(link_section = "__DATA,__interpose")]
        static TUPLE: Tuple<$Replacement, $Replacee> =
            Tuple { replacement: $replacement, replacee: $replacee };
    };
}

/// Makes the tuples of functions.
macro_rules! tuples {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path, for $original:path;)*) => {$(
        const _: () = {
            tuple! { fn $name($($argument: $type),*) -> $result = $hook, for $original }
        };
    )*};
}

/// Passes the parts of the table to the macros.
macro_rules! exports {
    (
        called { $($called:tt)* }
        forwarded to one of those { $($forwarded:tt)* }
        variadic { $($variadic:tt)* }
    ) => {
        tuples! { $($called)* $($forwarded)* }
        collected! { $($variadic)* }
    };
}

/// Makes tuples for variadic functions. Their originals are never called: the arguments have become
/// an array, for which `execve` and `execvp` serve.
macro_rules! collected {
    ($(fn $name:ident($($argument:tt)*) = $hook:path, for $original:path;)*) => {
        collect! { $(fn $name($($argument)*) = $hook;)* }
        $(const _: () = {
            tuple! {
                unsafe extern "C" fn(), $name;
                unsafe extern "C" fn(CharPtr, CharPtr, ...) -> c_int, $original
            }
        };)*
    };
}

/// The hook of `system$NOCANCEL`.
unsafe fn uncancelled_system(command: CharPtr) -> c_int {
    // SAFETY: the caller promises what `system(3)` demands.
    super::thread::uncancelled(|| unsafe { shell::system(command) })
}

table!(exports);
