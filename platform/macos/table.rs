//! Every function that is intercepted on macOS, one line each.
//!
//! A line names the function, its signature, the function of ours that is called instead,
//! and the original. What follows from it: a tuple for dyld, which is the check of the
//! signature against the `libc` crate's too, and the way to the original.

use core::ffi::{c_int, c_void};

use libc::{FILE, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::inner::TextRange;
use super::{exec, inner, spawn};
use crate::abi::{MutStrings, Strings, Text};
use crate::shell;
use crate::variadic::collect;

type Actions = *const posix_spawn_file_actions_t;
type Attributes = *const posix_spawnattr_t;
/// `wordexp_t`, which is only handed through.
pub type WordExp = c_void;

/// What dyld reads of a function: whose calls come where.
#[repr(C)]
struct Tuple<Replacement, Replacee> {
    replacement: Replacement,
    replacee: Replacee,
}

/// The functions that the hooks stand in front of.
#[derive(Clone, Copy)]
pub struct Real {
    /// The text of the C library, by which its own calls are told from the program's.
    pub libc_text: TextRange,
}

impl Real {
    /// They need not be looked for: they stand in the table.
    pub fn find() -> Self {
        let mut real = Self { libc_text: TextRange::NONE };
        if let Some(popen) = real.popen() {
            real.libc_text = TextRange::around(popen as *const c_void);
        }
        real
    }
}

/// Makes the tuple of one function.
macro_rules! tuple {
    (fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path, for $original:path) => {
        type Function = unsafe extern "C" fn($($type),*) -> $result;
        unsafe extern "C" fn hook($($argument: $type),*) -> $result {
            // SAFETY: the caller's promise to the C library is the hook's.
            unsafe { $hook($($argument),*) }
        }
        tuple! { Function, hook; Function, $original }
    };
    ($Replacement:ty, $replacement:expr; $Replacee:ty, $replacee:expr) => {
        // SAFETY: the section holds such tuples (`mach-o/dyld-interposing.h`).
        #[used]
        #[unsafe(link_section = "__DATA,__interpose")]
        static TUPLE: Tuple<$Replacement, $Replacee> =
            Tuple { replacement: $replacement, replacee: $replacee };
    };
}

/// Makes tuples, and finds the originals in them: dyld does not put hooks in the place of
/// what their own image refers to, while it does for `dlsym(RTLD_NEXT)`.
macro_rules! called {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path, for $original:path;)*) => {
        impl Real {$(
            /// The original; there is no macOS without.
            pub fn $name(&self) -> Option<unsafe extern "C" fn($($type),*) -> $result> {
                tuple! { fn $name($($argument: $type),*) -> $result = $hook, for $original }
                // SAFETY: dyld has filled it in before any code of this library runs.
                Some(unsafe { (&raw const TUPLE.replacee).read_volatile() })
            }
        )*}
    };
}

/// Makes tuples of functions whose originals are never called.
macro_rules! forwarded {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $hook:path, for $original:path;)*) => {$(
        const _: () = {
            tuple! { fn $name($($argument: $type),*) -> $result = $hook, for $original }
        };
    )*};
}

/// Takes the table apart.
macro_rules! hooks {
    (
        called { $($called:tt)* }
        forwarded to one of those { $($forwarded:tt)* }
    ) => {
        called! { $($called)* }
        forwarded! { $($forwarded)* }
    };
}

/// Makes tuples for variadic functions. Their originals are never called: the arguments are
/// an array by then, so `execve` and `execvp` serve.
macro_rules! variadic {
    ($(fn $name:ident($($argument:tt)*) = $hook:path, for $original:path;)*) => {
        collect! { $(fn $name($($argument)*) = $hook;)* }
        $(const _: () = {
            tuple! {
                unsafe extern "C" fn(), $name;
                unsafe extern "C" fn(Text, Text, ...) -> c_int, $original
            }
        };)*
    };
}

unsafe extern "C" {
    fn wordexp(words: Text, result: *mut WordExp, flags: c_int) -> c_int;
    /// What `stdio.h` gives to a program that asks for no standard: it does the same as `popen`.
    #[link_name = "popen$DARWIN_EXTSN"]
    fn popen_DARWIN_EXTSN(command: Text, mode: Text) -> *mut FILE;
    /// `system` that is no cancellation point.
    #[link_name = "system$NOCANCEL"]
    fn system_NOCANCEL(command: Text) -> c_int;
}

/// The hook of `system$NOCANCEL`.
unsafe fn uncancelled_system(command: Text) -> c_int {
    // SAFETY: the caller's promise to the C library.
    super::uncancelled(|| unsafe { shell::system(command) })
}

#[rustfmt::skip]
hooks! {
    called {
        fn execve(path: Text, argv: Strings, envp: Strings) -> c_int = exec::execve, for libc::execve;
        fn posix_spawn(pid: *mut pid_t, path: Text, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = inner::posix_spawn, for libc::posix_spawn;
        fn system(command: Text) -> c_int = shell::system, for libc::system;
        fn popen(command: Text, mode: Text) -> *mut FILE = shell::popen, for libc::popen;
        fn wordexp(words: Text, result: *mut WordExp, flags: c_int) -> c_int = shell::wordexp, for wordexp;
    }
    forwarded to one of those {
        fn execv(path: Text, argv: Strings) -> c_int = exec::execv, for libc::execv;
        fn execvp(file: Text, argv: Strings) -> c_int = exec::execvp, for libc::execvp;
        fn execvP(file: Text, path: Text, argv: MutStrings) -> c_int = exec::execv_in, for libc::execvP;
        fn posix_spawnp(pid: *mut pid_t, file: Text, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::posix_spawnp, for libc::posix_spawnp;
        fn system_NOCANCEL(command: Text) -> c_int = uncancelled_system, for system_NOCANCEL;
        fn popen_DARWIN_EXTSN(command: Text, mode: Text) -> *mut FILE = shell::popen, for popen_DARWIN_EXTSN;
    }
}

#[rustfmt::skip]
variadic! {
    fn execl(path, ...) = exec::execl, for libc::execl;
    fn execlp(file, ...) = exec::execlp, for libc::execlp;
    fn execle(path, ..., envp) = exec::execle, for libc::execle;
}
