//! The spawn family on macOS: the member that looks for its program.

use core::ffi::c_int;

use libc::{pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::Real;
use super::search::{self, search_path};
use crate::abi::{MutStrings, Strings, Text};
use crate::environment::Given;
use crate::gate;
use crate::program::{Program, string};

/// `posix_spawnp(3)`
pub unsafe fn posix_spawnp(
    pid: *mut pid_t,
    file: Text,
    actions: *const posix_spawn_file_actions_t,
    attributes: *const posix_spawnattr_t,
    argv: MutStrings,
    envp: MutStrings,
) -> c_int {
    // SAFETY: the caller's promises to the C library.
    unsafe {
        let Some(name) = string(file) else { return libc::EFAULT };
        let program = Program::named(name, argv.cast());
        // A file action may change the directory; what is in them cannot be seen.
        let program = if actions.is_null() { program } else { program.elsewhere() };
        let given = Given::List(envp.cast());
        gate::start(Some(program), given, Real::posix_spawn, |posix_spawn, envp: Strings| {
            let lists = (argv.cast(), envp);
            search::start(name, search_path(), lists, search::give_up, |path, argv, envp| {
                posix_spawn(pid, path.as_ptr(), actions, attributes, argv.cast(), envp.cast())
            })
        })
        .unwrap_or_else(|errno| errno)
    }
}
