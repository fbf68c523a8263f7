//! The spawn family: functions that return an error number and do not set `errno`.

use core::ffi::{CStr, c_int};

use libc::{pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use crate::abi::{CharPtr, MutStrings, Strings};
use crate::environment::Envp;
use crate::os::Real;
use crate::program::Program;
use crate::refusal::{self, Target};
use crate::{gate, once};

/// Starts a program by `run`, or, if it is refused, perhaps a message shell by `tell`. Both get the
/// original function.
///
/// # Safety
/// `envp` is NULL or an array of strings that ends with NULL.
pub unsafe fn start<'p, Function: Copy>(
    program: impl FnOnce() -> Option<Program<'p>>,
    actions: *const posix_spawn_file_actions_t,
    envp: MutStrings,
    find: impl Fn(&Real) -> Option<Function>,
    tell: impl Fn(Function, CharPtr, MutStrings, MutStrings) -> c_int,
    run: impl Fn(Function, MutStrings) -> c_int,
) -> c_int {
    // A file action may change the directory; their content is private to the C library.
    let program = || program().map(|it| if actions.is_null() { it } else { it.elsewhere() });
    let mut is_told = false;
    let mut show = |said: &CStr| {
        let original = once::state().and_then(|state| find(&state.real));
        is_told = original.is_some_and(|original| {
            refusal::with_message_shell(said, |shell, argv, envp| {
                tell(original, shell.as_ptr(), argv, envp)
            }) == 0
        });
        is_told
    };
    let target = Target::Child { show: &mut show, actions };
    // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
    let result = unsafe {
        gate::start(program, Envp::Given(envp.cast()), target, &find, |original, envp: Strings| {
            run(original, envp.cast())
        })
    };
    if is_told { 0 } else { result.unwrap_or_else(|errno| errno) }
}

/// Defines functions that differ in the handle of the child and in the search for the program.
macro_rules! spawn {
    ($($(#[$doc:meta])* $name:ident($child:ident: $handle:ty, $program:path);)*) => {$(
        $(#[$doc])*
        pub unsafe fn $name(
            $child: *mut $handle,
            path: CharPtr,
            actions: *const posix_spawn_file_actions_t,
            attributes: *const posix_spawnattr_t,
            argv: MutStrings,
            envp: MutStrings,
        ) -> c_int {
            // SAFETY: the caller promises what `posix_spawn(3)` demands.
            unsafe {
                start(
                    || $program(path, argv.cast()),
                    actions,
                    envp,
                    Real::$name,
                    |original, shell, argv, envp| {
                        original($child, shell, actions, attributes, argv, envp)
                    },
                    |original, envp| original($child, path, actions, attributes, argv, envp),
                )
            }
        }
    )*};
}

spawn! {
    /// `posix_spawn(3)`
    posix_spawn(pid: pid_t, Program::at);
}

#[cfg(target_os = "linux")]
spawn! {
    /// `posix_spawnp(3)`
    posix_spawnp(pid: pid_t, Program::named);
    /// `pidfd_spawn(3)`
    pidfd_spawn(pidfd: c_int, Program::at);
    /// `pidfd_spawnp(3)`
    pidfd_spawnp(pidfd: c_int, Program::named);
}
