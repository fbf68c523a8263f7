//! The spawn family: functions that give an error number and leave `errno` alone.

use core::ffi::c_int;

use libc::{pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use crate::abi::{MutStrings, Strings, Text};
use crate::environment::Given;
use crate::gate;
use crate::os::Real;
use crate::program::{Program, string};

/// Defines functions that differ in what they give of the child, and in where they look
/// for the program.
macro_rules! spawn {
    ($($(#[$doc:meta])* $name:ident($child:ident: $handle:ty, $program:path);)*) => {$(
        $(#[$doc])*
        pub unsafe fn $name(
            $child: *mut $handle,
            path: Text,
            actions: *const posix_spawn_file_actions_t,
            attributes: *const posix_spawnattr_t,
            argv: MutStrings,
            envp: MutStrings,
        ) -> c_int {
            // SAFETY: the caller's promises to the C library.
            unsafe {
                let program = string(path).map(|path| $program(path, argv.cast()));
                // A file action may change the directory; what is in them cannot be seen.
                let program = program
                    .map(|it| if actions.is_null() { it } else { it.elsewhere() });
                gate::start(program, Given::List(envp.cast()), Real::$name, |original, envp: Strings| {
                    original($child, path, actions, attributes, argv, envp.cast())
                })
                .unwrap_or_else(|errno| errno)
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
