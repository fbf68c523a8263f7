//! The exec family: functions that return only on failure, with -1 and `errno`.

use core::ffi::c_int;

use crate::abi::{CharPtr, Strings};
use crate::environment::Envp;
use crate::os::Real;
use crate::os::exec::execvp;
use crate::program::Program;
use crate::refusal::Target;
use crate::{errno, gate};

/// `execve(2)`
pub unsafe fn execve(path: CharPtr, argv: Strings, envp: Strings) -> c_int {
    // SAFETY: here and in all functions of the family: the caller of the C function promises what
    // its man page demands, above all that strings and arrays are valid.
    unsafe { exec(path, argv, Envp::Given(envp)) }
}

/// `execv(3)`
pub unsafe fn execv(path: CharPtr, argv: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe { exec(path, argv, Envp::Own) }
}

unsafe fn exec(path: CharPtr, argv: Strings, envp: Envp) -> c_int {
    // SAFETY: see `execve`.
    unsafe {
        let program = || Program::at(path, argv);
        gate::start(program, envp, Target::ThisProcess, Real::execve, |execve, envp| {
            execve(path, argv, envp)
        })
        .unwrap_or_else(errno::fail)
    }
}

/// `execl(3)`, with its arguments collected into `argv`.
pub unsafe extern "C" fn execl(path: CharPtr, argv: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe { execv(path, argv) }
}

/// `execlp(3)`, with its arguments collected into `argv`.
pub unsafe extern "C" fn execlp(file: CharPtr, argv: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe { execvp(file, argv) }
}

/// `execle(3)`, with its arguments collected into `argv`: `envp` follows their NULL.
pub unsafe extern "C" fn execle(path: CharPtr, argv: Strings) -> c_int {
    // SAFETY: see `execve`; the NULL is followed by `envp` (exec(3)).
    unsafe {
        let mut end = argv;
        while !(*end).is_null() {
            end = end.add(1);
        }
        execve(path, argv, end.add(1).cast::<Strings>().read())
    }
}
