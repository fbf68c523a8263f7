//! The exec family on macOS: the shared functions, and those that search for the program.

use core::ffi::{CStr, c_int};

use super::environ::search_path;
use super::originals::Real;
use super::search;
use crate::abi::{CharPtr, MutStrings, Strings};
use crate::environment::Envp;
use crate::program::{Program, string};
use crate::refusal::Target;
use crate::{errno, gate};

pub use crate::exec::*;

/// `execvp(3)`
pub unsafe fn execvp(file: CharPtr, argv: Strings) -> c_int {
    // SAFETY: here and below: the caller of the C function promises what its man page demands.
    unsafe { found_in(file, search_path, argv) }
}

/// `execvP(3)`: searches the path that it is given.
pub unsafe fn execv_in(file: CharPtr, path: CharPtr, argv: MutStrings) -> c_int {
    // SAFETY: see `execvp`.
    unsafe { found_in(file, || string(path).map_or(&b""[..], CStr::to_bytes), argv.cast()) }
}

unsafe fn found_in<'s>(file: CharPtr, path: impl Fn() -> &'s [u8], argv: Strings) -> c_int {
    // SAFETY: see `execvp`.
    unsafe {
        let Some(name) = string(file) else { return errno::fail(libc::EFAULT) };
        let program = || Program::named(file, argv);
        gate::start(program, Envp::Own, Target::ThisProcess, Real::execve, |execve, envp| {
            let lists = (argv, envp);
            let error =
                search::start(name, path(), lists, search::say_too_long, |path, argv, envp| {
                    execve(path.as_ptr(), argv, envp);
                    errno::get()
                });
            errno::fail(error)
        })
        .unwrap_or_else(errno::fail)
    }
}
