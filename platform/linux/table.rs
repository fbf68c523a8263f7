//! Every function that is intercepted on Linux, one line each.
//!
//! A line names the function, its signature, and the function of ours that is called
//! instead. What follows from it: the exported symbol, a check of the signature
//! against the `libc` crate's, and the pointer to the original.

use core::ffi::{c_int, c_long, c_void};

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::{exec, variadic};
use crate::abi::{MutStrings, Strings, Text};
use crate::variadic::collect;
use crate::{shell, spawn};

type Actions = *const posix_spawn_file_actions_t;
type Attributes = *const posix_spawnattr_t;
/// `wordexp_t`, which is only handed through.
pub type WordExp = c_void;

/// The type of `execveat(2)`.
pub type Execveat = unsafe extern "C" fn(c_int, Text, MutStrings, MutStrings, c_int) -> c_int;

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

/// Finds originals at load: a hook may run where the loader should not be asked, such as
/// a vfork child, or the forked child of a program that was loading a library in another
/// thread.
macro_rules! found_at_load {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path;)*) => {
        /// The functions that the hooks stand in front of.
        #[derive(Clone, Copy)]
        pub struct Real {
            $($name: Option<unsafe extern "C" fn($($type),*) -> $result>,)*
        }

        impl Real {
            /// None found yet: each is looked for when it is called.
            pub const UNKNOWN: Self = Self { $($name: None,)* };

            /// Finds those that are called where the loader should not be asked.
            pub fn find() -> Self {
                // SAFETY: each pointer is given the type that the function has.
                unsafe { Self { $($name: next(concat!(stringify!($name), "\0")),)* } }
            }

            $(
                /// The original; `None` if the C library has none.
                pub fn $name(&self) -> Option<unsafe extern "C" fn($($type),*) -> $result> {
                    // SAFETY: the pointer is given the type that the function has.
                    self.$name.or_else(|| unsafe { next(concat!(stringify!($name), "\0")) })
                }
            )*
        }
    };
}

/// Finds originals when they are called. Their callers are ordinary code, and all of them
/// at load would cost each process more (4 µs) than reading its environment does.
macro_rules! found_at_call {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path;)*) => {
        impl Real {
            $(
                /// The original; `None` if the C library has none.
                pub fn $name(&self) -> Option<unsafe extern "C" fn($($type),*) -> $result> {
                    // SAFETY: the pointer is given the type that the function has.
                    unsafe { next(concat!(stringify!($name), "\0")) }
                }
            )*
        }
    };
}

/// Takes the table apart.
macro_rules! hooks {
    (
        found at load { $($at_load:tt)* }
        found at call { $($at_call:tt)* }
        found at call, unknown to the libc crate { $($unknown:tt)* }
        forwarded to one of those { $($forwarded:tt)* }
    ) => {
        exported! { $($at_load)* $($at_call)* $($unknown)* $($forwarded)* }
        checked! { $($at_load)* $($at_call)* $($forwarded)* }
        found_at_load! { $($at_load)* }
        found_at_call! { $($at_call)* $($unknown)* }
    };
}

#[rustfmt::skip]
hooks! {
    found at load {
        fn execve(path: Text, argv: Strings, envp: Strings) -> c_int = exec::execve;
        fn execvpe(file: Text, argv: Strings, envp: Strings) -> c_int = exec::execvpe;
    }
    found at call {
        fn fexecve(fd: c_int, argv: Strings, envp: Strings) -> c_int = exec::fexecve;
        fn execveat(dir: c_int, path: Text, argv: MutStrings, envp: MutStrings, flags: c_int) -> c_int = exec::execveat;
        fn posix_spawn(pid: *mut pid_t, path: Text, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::posix_spawn;
        fn posix_spawnp(pid: *mut pid_t, file: Text, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::posix_spawnp;
        fn system(command: Text) -> c_int = shell::system;
        fn popen(command: Text, mode: Text) -> *mut FILE = shell::popen;
    }
    found at call, unknown to the libc crate {
        fn pidfd_spawn(pidfd: *mut c_int, path: Text, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::pidfd_spawn;
        fn pidfd_spawnp(pidfd: *mut c_int, file: Text, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::pidfd_spawnp;
        fn wordexp(words: Text, result: *mut WordExp, flags: c_int) -> c_int = shell::wordexp;
    }
    forwarded to one of those {
        fn execv(path: Text, argv: Strings) -> c_int = exec::execv;
        fn execvp(file: Text, argv: Strings) -> c_int = exec::execvp;
    }
}

// The variadic ones. Their originals are never called: the arguments are an array by
// then, so `execve` and `execvpe` serve. `syscall` calls on by itself.
#[rustfmt::skip]
collect! {
    // SAFETY: the symbols have the C library's names and calling convention.
    #[unsafe(no_mangle)]
    fn execl(path, ...) = exec::execl;
    #[unsafe(no_mangle)]
    fn execlp(file, ...) = exec::execlp;
    #[unsafe(no_mangle)]
    fn execle(path, ..., envp) = exec::execle;
}
#[rustfmt::skip]
variadic::pass_through! {
    fn syscall(number, ...) = exec::syscall_execve, exec::syscall_execveat;
}
const _: unsafe extern "C" fn(Text, Text, ...) -> c_int = libc::execl;
const _: unsafe extern "C" fn(Text, Text, ...) -> c_int = libc::execlp;
const _: unsafe extern "C" fn(Text, Text, ...) -> c_int = libc::execle;
const _: unsafe extern "C" fn(c_long, ...) -> c_long = libc::syscall;

/// The next definition of a function behind this library's.
///
/// # Safety
/// `Function` must be the type of the function of that name.
pub unsafe fn next<Function: Copy>(name: &'static str) -> Option<Function> {
    const { assert!(size_of::<Function>() == size_of::<*mut c_void>()) };
    // SAFETY: every name is a literal that ends with NUL.
    let pointer = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast()) };
    if pointer.is_null() {
        // Else the program's own next dlerror(3) would tell of it.
        // SAFETY: takes and keeps no pointer.
        unsafe { libc::dlerror() };
    }
    // SAFETY: a pointer from dlsym is the function's (dlsym(3)); the sizes are alike.
    (!pointer.is_null()).then(|| unsafe { core::mem::transmute_copy(&pointer) })
}
