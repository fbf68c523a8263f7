//! The exec family: functions that return only if they fail, with -1 and `errno`.

use core::ffi::c_int;

use crate::abi::{Strings, Text};
use crate::environment::Given;
use crate::os::Real;
use crate::os::exec::execvp;
use crate::program::{Program, string};
use crate::refusal::Place;
use crate::{errno, gate};

/// `execve(2)`
pub unsafe fn execve(path: Text, argv: Strings, envp: Strings) -> c_int {
    // SAFETY: the caller's promises to the C library, here and in all that follow.
    unsafe { exec(path, argv, Given::List(envp)) }
}

/// `execv(3)`
pub unsafe fn execv(path: Text, argv: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe { exec(path, argv, Given::Own) }
}

unsafe fn exec(path: Text, argv: Strings, given: Given) -> c_int {
    // SAFETY: see `execve`.
    unsafe {
        let program = string(path).map(|path| Program::at(path, argv));
        gate::start(program, given, Place::Here, Real::execve, |execve, envp| {
            execve(path, argv, envp)
        })
        .unwrap_or_else(errno::fail)
    }
}

/// `execl(3)`, its arguments collected.
pub unsafe extern "C" fn execl(path: Text, argv: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe { execv(path, argv) }
}

/// `execlp(3)`, its arguments collected.
pub unsafe extern "C" fn execlp(file: Text, argv: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe { execvp(file, argv) }
}

/// `execle(3)`, its arguments collected: `envp` stands behind their NULL.
pub unsafe extern "C" fn execle(path: Text, argv: Strings) -> c_int {
    // SAFETY: see `execve`; there is an argument behind the NULL (exec(3)).
    unsafe {
        let mut end = argv;
        while !(*end).is_null() {
            end = end.add(1);
        }
        execve(path, argv, end.add(1).cast::<Strings>().read())
    }
}
