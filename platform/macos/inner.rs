//! The calls that libSystem makes within its own functions.
//!
//! From macOS 13 on dyld puts hooks in their place too (dyld, Loader.cpp,
//! `applyInterposingToDyldCache`): `system`, `popen` and `wordexp` start their shell by a
//! `posix_spawn` that comes here. One call of the program is one question, so theirs is told
//! from the program's by what it is given: the path of the shell and the first of its
//! arguments are literals of the C library, and lie in its text (Libc, stdlib/FreeBSD/system.c,
//! gen/FreeBSD/popen.c and wordexp.c). A program's own "/bin/sh" lies elsewhere.
//!
//! Nothing is remembered over a call, so nothing can be left set by a child that shares
//! memory, by a signal handler, by a jump out of a call or by a crash.

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
    // SAFETY: the caller's promises to the C library.
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

/// Whether this is the start of a shell within libSystem.
///
/// # Safety
/// `argv` is NULL or an array of strings that ends with NULL.
unsafe fn is_of_shell(libc_text: TextRange, path: CharPtr, argv: Strings) -> bool {
    // The path alone would not do: getusershell(3) hands out such literals.
    // SAFETY: the second is looked at only if the first is not NULL.
    libc_text.holds(path)
        && !argv.is_null()
        && unsafe { libc_text.holds(*argv) && libc_text.holds(*argv.add(1)) }
}
