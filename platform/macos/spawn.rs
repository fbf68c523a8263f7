//! The spawn family on macOS: the function that searches for the program.

use core::ffi::c_int;

use libc::{pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::environ::search_path;
use super::originals::Real;
use super::search;
use crate::abi::{CharPtr, MutStrings};
use crate::program::{Program, string};

/// `posix_spawnp(3)`
pub unsafe fn posix_spawnp(
    pid: *mut pid_t,
    file: CharPtr,
    actions: *const posix_spawn_file_actions_t,
    attributes: *const posix_spawnattr_t,
    argv: MutStrings,
    envp: MutStrings,
) -> c_int {
    // SAFETY: the caller promises what `posix_spawnp(3)` demands.
    unsafe {
        let Some(name) = string(file) else { return libc::EFAULT };
        crate::spawn::start(
            || Program::named(file, argv.cast()),
            actions,
            envp,
            Real::posix_spawn,
            |posix_spawn, shell, argv, envp| {
                posix_spawn(pid, shell, actions, attributes, argv, envp)
            },
            |posix_spawn, envp| {
                let lists = (argv.cast(), envp.cast());
                search::start(name, search_path(), lists, search::give_up, |path, argv, envp| {
                    posix_spawn(pid, path.as_ptr(), actions, attributes, argv.cast(), envp.cast())
                })
            },
        )
    }
}
