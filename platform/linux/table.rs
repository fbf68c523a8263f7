//! Every function that is intercepted on Linux, one line each.
//!
//! A line names the function, its signature, and the function of ours that is called
//! instead. What follows from it: the exported symbol, a check of the signature
//! against the `libc` crate's, and the pointer to the original.

use core::ffi::{c_int, c_long, c_void};

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::loaded::{Name, behind_this};
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

/// Finds the originals, all of them at load: a hook may run where the loader should not be
/// asked, such as a vfork child, or while another thread is loading a library.
macro_rules! found_at_load {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path;)*) => {
        /// The functions that the hooks stand in front of.
        #[derive(Clone, Copy)]
        pub struct Real {
            $($name: Option<unsafe extern "C" fn($($type),*) -> $result>,)*
        }

        impl Real {
            /// Finds them.
            pub fn find() -> Self {
                let names = const { [$(Name::new(concat!(stringify!($name), "\0"))),*] };
                let [$($name),*] = behind_this(&names);
                // SAFETY: each pointer is given the type that the function has.
                unsafe { Self { $($name: function($name),)* } }
            }

            $(
                /// The original; `None` if the C library has none.
                pub fn $name(&self) -> Option<unsafe extern "C" fn($($type),*) -> $result> {
                    self.$name
                }
            )*
        }
    };
}

/// Takes the table apart.
macro_rules! hooks {
    (
        called { $($called:tt)* }
        called, unknown to the libc crate { $($unknown:tt)* }
        forwarded to one of those { $($forwarded:tt)* }
    ) => {
        exported! { $($called)* $($unknown)* $($forwarded)* }
        checked! { $($called)* $($forwarded)* }
        found_at_load! { $($called)* $($unknown)* }
    };
}

#[rustfmt::skip]
hooks! {
    called {
        fn execve(path: Text, argv: Strings, envp: Strings) -> c_int = exec::execve;
        fn execvpe(file: Text, argv: Strings, envp: Strings) -> c_int = exec::execvpe;
        fn fexecve(fd: c_int, argv: Strings, envp: Strings) -> c_int = exec::fexecve;
        fn execveat(dir: c_int, path: Text, argv: MutStrings, envp: MutStrings, flags: c_int) -> c_int = exec::execveat;
        fn posix_spawn(pid: *mut pid_t, path: Text, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::posix_spawn;
        fn posix_spawnp(pid: *mut pid_t, file: Text, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::posix_spawnp;
        fn system(command: Text) -> c_int = shell::system;
        fn popen(command: Text, mode: Text) -> *mut FILE = shell::popen;
    }
    called, unknown to the libc crate {
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
// then, so `execve` and `execvpe` serve. `syscall` is the instruction itself.
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

/// The function at a pointer; `None` for NULL.
///
/// # Safety
/// `Function` must be the function's type.
pub(super) unsafe fn function<Function: Copy>(pointer: *const c_void) -> Option<Function> {
    const { assert!(size_of::<Function>() == size_of::<*const c_void>()) };
    // SAFETY: the caller's promise; the sizes are alike.
    (!pointer.is_null()).then(|| unsafe { core::mem::transmute_copy(&pointer) })
}
