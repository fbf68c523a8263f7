//! Calls of `posix_spawn` inside libSystem.
//!
//! From macOS 13 on dyld redirects libSystem's own calls too (dyld, Loader.cpp,
//! `applyInterposingToDyldCache`): `system`, `popen` and `wordexp` start their shell by a
//! `posix_spawn` that comes here. The line was checked already, so these calls must not be checked
//! again. They are recognised by their arguments: the shell's path and its first two arguments are
//! literals of the C library, in its text segment (Libc, stdlib/FreeBSD/system.c,
//! gen/FreeBSD/popen.c and wordexp.c). A program's own "/bin/sh" is elsewhere.
//!
//! A flag that is set during the outer call would be simpler, but a child that shares memory, a
//! signal handler or a `longjmp(3)` could leave it set.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use libc::{pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};

use super::shell::{ARE_SEEN, SHELL_COVERAGE};
use super::text_range::TextRange;
use crate::abi::{CharPtr, MutStrings, Strings};
use crate::{environment, once};

/// `posix_spawn(3)`, by the program or by libSystem.
pub unsafe fn posix_spawn(
    pid: *mut pid_t,
    path: CharPtr,
    actions: *const posix_spawn_file_actions_t,
    attributes: *const posix_spawnattr_t,
    argv: MutStrings,
    envp: MutStrings,
) -> c_int {
    let Some(state) = once::state() else { return libc::EPERM };
    // SAFETY: the caller promises what `posix_spawn(3)` demands.
    unsafe {
        if !is_of_shell(state.real.libc_text, path, argv.cast()) {
            return crate::spawn::posix_spawn(pid, path, actions, attributes, argv, envp);
        }
        ARE_SEEN.store(true, Ordering::Relaxed);
        let Some(original) = state.real.posix_spawn() else { return libc::ENOSYS };
        let run = |envp: Strings| original(pid, path, actions, attributes, argv, envp.cast());
        match &state.client {
            Ok(client) => {
                let repairs = || state.repairs_after(0);
                environment::with(&client.guard, envp.cast(), SHELL_COVERAGE, repairs, run)
                    .unwrap_or(libc::ENOMEM)
            }
            Err(_) => run(envp.cast()),
        }
    }
}

/// Whether libSystem itself makes this call, to start a shell.
///
/// # Safety
/// `argv` is NULL or an array of strings that ends with NULL.
unsafe fn is_of_shell(libc_text: TextRange, path: CharPtr, argv: Strings) -> bool {
    // The path alone is not enough: getusershell(3) returns such literals to programs.
    // SAFETY: the second argument is read only if the first is not the final NULL.
    libc_text.holds(path)
        && !argv.is_null()
        && unsafe { libc_text.holds(*argv) && libc_text.holds(*argv.add(1)) }
}
