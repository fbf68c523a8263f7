//! The functions that are intercepted on macOS, one line each.
//!
//! A line names the function, its signature, its hook, and the original. From it come a tuple for
//! dyld, which also checks the signature against the `libc` crate's (`exports.rs`), and the pointer
//! to the original (`originals.rs`).

use core::ffi::{c_int, c_void};

use libc::FILE;

use crate::abi::CharPtr;

/// `wordexp_t`, which is only passed on.
pub type WordExp = c_void;

unsafe extern "C" {
    pub fn wordexp(words: CharPtr, result: *mut WordExp, flags: c_int) -> c_int;
    /// The `popen` of programs that are compiled for no particular standard (`stdio.h`).
    #[link_name = "popen$DARWIN_EXTSN"]
    pub fn popen_DARWIN_EXTSN(command: CharPtr, mode: CharPtr) -> *mut FILE;
    /// The `system` that is not a cancellation point.
    #[link_name = "system$NOCANCEL"]
    pub fn system_NOCANCEL(command: CharPtr) -> c_int;
}

/// Passes the table to a macro.
#[rustfmt::skip]
macro_rules! table {
    ($macro:ident) => {
        $macro! {
            called {
                fn execve(path: CharPtr, argv: Strings, envp: Strings) -> c_int = exec::execve, for libc::execve;
                fn posix_spawn(pid: *mut pid_t, path: CharPtr, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = inner::posix_spawn, for libc::posix_spawn;
                fn system(command: CharPtr) -> c_int = shell::system, for libc::system;
                fn popen(command: CharPtr, mode: CharPtr) -> *mut FILE = shell::popen, for libc::popen;
                fn wordexp(words: CharPtr, result: *mut WordExp, flags: c_int) -> c_int = shell::wordexp, for wordexp;
            }
            forwarded to one of those {
                fn execv(path: CharPtr, argv: Strings) -> c_int = exec::execv, for libc::execv;
                fn execvp(file: CharPtr, argv: Strings) -> c_int = exec::execvp, for libc::execvp;
                fn execvP(file: CharPtr, path: CharPtr, argv: MutStrings) -> c_int = exec::execv_in, for libc::execvP;
                fn posix_spawnp(pid: *mut pid_t, file: CharPtr, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::posix_spawnp, for libc::posix_spawnp;
                fn system_NOCANCEL(command: CharPtr) -> c_int = uncancelled_system, for system_NOCANCEL;
                fn popen_DARWIN_EXTSN(command: CharPtr, mode: CharPtr) -> *mut FILE = shell::popen, for popen_DARWIN_EXTSN;
            }
            variadic {
                fn execl(path, ...) = exec::execl, for libc::execl;
                fn execlp(file, ...) = exec::execlp, for libc::execlp;
                fn execle(path, ..., envp) = exec::execle, for libc::execle;
            }
        }
    };
}

pub(super) use table;
