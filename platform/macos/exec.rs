//! The exec family on macOS: the common members, and those that are given no environment
//! there and have no sibling that is.

use core::ffi::c_int;

use super::Real;
use crate::abi::{MutStrings, Strings, Text};
use crate::program::{Program, string};
use crate::state::State;
use crate::{errno, gate};

pub use crate::exec::{execl, execle, execlp, execv, execve};

/// `execvp(3)`
pub unsafe fn execvp(file: Text, argv: Strings) -> c_int {
    // SAFETY: the caller's promises to the C library, here and below.
    unsafe { named(file, argv, Real::execvp, |execvp| execvp(file, argv)) }
}

/// `execvP(3)`: looks for the program in a search path of its own.
pub unsafe fn execv_in(file: Text, path: Text, argv: MutStrings) -> c_int {
    // SAFETY: see `execvp`.
    unsafe { named(file, argv.cast(), Real::execvP, |execv_in| execv_in(file, path, argv)) }
}

unsafe fn named<Function>(
    file: Text,
    argv: Strings,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl FnOnce(Function) -> c_int,
) -> c_int {
    // SAFETY: see `execvp`.
    let program = unsafe { string(file) }.map(|file| Program::named(file, argv));
    let pass = program.map(|program| move |state: &State| gate::pass_program(state, &program));
    gate::start_in_own_environment(pass, find, run).unwrap_or_else(errno::fail)
}
