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

use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

use libc::{pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};
use rampart_core::coverage::Coverage;
use rampart_core::environ::Guard;

use super::SHELL_COVERAGE;
use crate::abi::{MutStrings, Strings, Text};
use crate::environment::{self, NoMemory};
use crate::gate::again_of_shell;
use crate::state;

/// Where an image's text lies.
#[derive(Clone, Copy)]
pub struct TextRange {
    start: usize,
    length: usize,
}

impl TextRange {
    /// Nothing lies in it.
    pub const NONE: Self = Self { start: 0, length: 0 };

    /// The text of the image that `function` is of; empty if that cannot be had, so that
    /// every call is the program's.
    pub fn around(function: *const c_void) -> Self {
        unsafe extern "C" {
            /// `mach-o/getsect.h`
            fn getsegmentdata(
                header: *const c_void,
                segment: *const c_char,
                size: *mut c_ulong,
            ) -> *const u8;
        }
        let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
        let mut size = 0;
        // SAFETY: the structure is dladdr's to write, all-zero is a valid value of it, and on
        // success it holds the image's header, which stays as long as libSystem does.
        let start = unsafe {
            if libc::dladdr(function, info.as_mut_ptr()) == 0 {
                core::ptr::null()
            } else {
                getsegmentdata(info.assume_init().dli_fbase, c"__TEXT".as_ptr(), &raw mut size)
            }
        };
        let length = if start.is_null() { 0 } else { usize::try_from(size).unwrap_or(0) };
        Self { start: start as usize, length }
    }

    fn holds(self, literal: Text) -> bool {
        (literal as usize).wrapping_sub(self.start) < self.length
    }
}

/// Whether a `posix_spawn` of a shell within libSystem has come by here: then all of them do.
static ARE_SEEN: AtomicBool = AtomicBool::new(false);

/// `posix_spawn(3)`, by the program or by libSystem.
pub unsafe fn posix_spawn(
    pid: *mut pid_t,
    path: Text,
    actions: *const posix_spawn_file_actions_t,
    attributes: *const posix_spawnattr_t,
    argv: MutStrings,
    envp: MutStrings,
) -> c_int {
    let Some(state) = state::get() else { return libc::EPERM };
    // SAFETY: the caller's promises to the C library.
    unsafe {
        if !is_of_shell(state.real.libc_text, path, argv.cast()) {
            return crate::spawn::posix_spawn(pid, path, actions, attributes, argv, envp);
        }
        ARE_SEEN.store(true, Ordering::Relaxed);
        let Some(original) = state.real.posix_spawn() else { return libc::ENOSYS };
        let run = |envp: Strings| original(pid, path, actions, attributes, argv, envp.cast());
        match &state.equipment {
            Ok(equipment) => {
                let again = || again_of_shell(state);
                environment::with(&equipment.guard, envp.cast(), SHELL_COVERAGE, again, run)
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
unsafe fn is_of_shell(libc_text: TextRange, path: Text, argv: Strings) -> bool {
    // The path alone would not do: getusershell(3) hands out such literals.
    // SAFETY: the second is looked at only if the first is not NULL.
    libc_text.holds(path)
        && !argv.is_null()
        && unsafe { libc_text.holds(*argv) && libc_text.holds(*argv.add(1)) }
}

/// Calls `run`, which starts a shell for `system` and its kin in this process's own
/// environment.
///
/// Where their `posix_spawn` comes by here, the environment is put right on the way. Where it
/// does not, before macOS 13, this process's own is changed for the time of the call.
pub fn in_own_environment<R>(
    guard: &Guard<'_>,
    coverage: Option<Coverage>,
    run: impl FnOnce() -> R,
) -> Result<R, NoMemory> {
    if ARE_SEEN.load(Ordering::Relaxed) {
        return Ok(run());
    }
    environment::repair_own(guard, coverage)?;
    let result = run();
    // What the shell was not to have: without it every later exec would have to be given it.
    let _ = environment::repair_own(guard, None);
    Ok(result)
}
