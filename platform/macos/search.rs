//! Searches for a program and starts it, as libSystem's `execvP(3)` and `posix_spawnp(3)` do (Libc,
//! gen/FreeBSD/exec.c and sys/posix_spawn.c).
//!
//! Those cannot be called: `execvP` takes no environment, and `posix_spawnp` calls the hook of
//! `posix_spawn` for each directory, so that one call of the program would be many questions.

use core::ffi::{CStr, c_char, c_int};

use rampart_core::arena::{Full, TextBuffer};

use super::shell::SHELL_COVERAGE;
use super::sys;
use crate::abi::Strings;
use crate::environment;
use crate::once;
use crate::program::string;
use crate::scratch::Scratch;

/// `_PATH_BSHELL` (`paths.h`)
const SHELL: &CStr = c"/bin/sh";
/// `MAXPATHLEN`
const LONGEST_PATH: usize = 1024;
/// Argument lists of up to this many pointers are made on the stack.
const POINTERS_ON_STACK: usize = 64;

/// What to do if the path in a directory is too long: the error number with which the search ends,
/// or `None` if it goes on.
pub type TooLong = fn(&[u8]) -> Option<c_int>;

/// As `execvP(3)`: prints a message and goes on.
pub fn say_too_long(directory: &[u8]) -> Option<c_int> {
    for piece in [b"execvP: ", directory, b": path too long\n"] {
        let _ = sys::write(libc::STDERR_FILENO, piece);
    }
    None
}

/// As `posix_spawnp(3)`: gives up.
pub fn give_up(_directory: &[u8]) -> Option<c_int> {
    Some(libc::ENAMETOOLONG)
}

/// Tries to start the program in each directory of `search`, by a shell if the file has no
/// executable format. `attempt` is called with path, arguments and environment, and returns an
/// error number. Returns the error number of the search, 0 if the program was started.
///
/// # Safety
/// `argv` and `envp` are NULL or arrays of strings that end with NULL.
pub unsafe fn start(
    file: &CStr,
    search: &[u8],
    (argv, envp): (Strings, Strings),
    too_long: TooLong,
    mut attempt: impl FnMut(&CStr, Strings, Strings) -> c_int,
) -> c_int {
    let mut one = |path: &CStr| {
        let error = attempt(path, argv, envp);
        if error == libc::ENOEXEC {
            // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's
            // promise).
            return Attempt::Ended(unsafe { by_shell(path, argv, envp, &mut attempt) });
        }
        judged(path, error)
    };
    let name = file.to_bytes();
    if name.contains(&b'/') {
        return match one(file) {
            Attempt::Ended(error) | Attempt::Missing(error) => error,
            Attempt::Forbidden => libc::EACCES,
        };
    }
    if name.is_empty() {
        return libc::ENOENT;
    }
    let mut is_forbidden = false;
    for directory in search.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() { b"." } else { directory };
        let mut room = [0; LONGEST_PATH];
        let Ok(path) = joined(directory, name, &mut room) else {
            if let Some(error) = too_long(directory) {
                return error;
            }
            continue;
        };
        match one(path) {
            Attempt::Ended(error) => return error,
            Attempt::Missing(_) => {}
            Attempt::Forbidden => is_forbidden = true,
        }
    }
    if is_forbidden { libc::EACCES } else { libc::ENOENT }
}

enum Attempt {
    /// The search ends with this error number.
    Ended(c_int),
    /// The program is not in this directory.
    Missing(c_int),
    /// The program is there and may not be executed.
    Forbidden,
}

fn judged(path: &CStr, error: c_int) -> Attempt {
    match error {
        0 | libc::E2BIG | libc::ENOMEM | libc::ETXTBSY => Attempt::Ended(error),
        libc::ELOOP | libc::ENAMETOOLONG | libc::ENOENT | libc::ENOTDIR => Attempt::Missing(error),
        // The directory may not be accessible: then the search goes on.
        _ if sys::status_at(path).is_err() => Attempt::Missing(error),
        libc::EACCES => Attempt::Forbidden,
        _ => Attempt::Ended(error),
    }
}

fn joined<'r>(directory: &[u8], name: &[u8], room: &'r mut [u8]) -> Result<&'r CStr, Full> {
    let mut text = TextBuffer::new(room);
    for piece in [directory, b"/", name, b"\0"] {
        text.push(piece)?;
    }
    CStr::from_bytes_until_nul(room).map_err(|_| Full)
}

/// Starts a shell that reads the file at `path` as a script.
///
/// # Safety
/// As for [`start`].
#[inline(never)]
unsafe fn by_shell(
    path: &CStr,
    argv: Strings,
    envp: Strings,
    attempt: &mut impl FnMut(&CStr, Strings, Strings) -> c_int,
) -> c_int {
    // SAFETY: `argv` is NULL or ends with NULL (the caller's promise), where the count ends.
    let count = unsafe {
        (0..).take_while(|at| !argv.is_null() && string(*argv.add(*at)).is_some()).count()
    };
    // The shell's name, the path, what follows the program's name, and NULL.
    let length = count.max(1).saturating_add(2);
    let mut few = [core::ptr::null(); POINTERS_ON_STACK];
    let mut many;
    let list = if let Some(list) = few.get_mut(..length) {
        list
    } else {
        many = Scratch::claim(length.saturating_mul(size_of::<*const c_char>()));
        match many.as_mut().and_then(|many| many.split(length)) {
            Some((list, _)) => list,
            None => return libc::ENOMEM,
        }
    };
    for (at, word) in list.iter_mut().enumerate() {
        // SAFETY: `argv` has `count` strings, and no index here is `count` or more.
        *word = match at {
            0 if count == 0 => c"sh".as_ptr(),
            0 => unsafe { *argv },
            1 => path.as_ptr(),
            _ if at > count => core::ptr::null(),
            _ => unsafe { *argv.add(at - 1) },
        };
    }
    let list = list.as_ptr();
    let Some((state, client)) =
        once::state().and_then(|state| Some((state, state.client.as_ref().ok()?)))
    else {
        return attempt(SHELL, list, envp);
    };
    let repairs = || state.repairs_after(0);
    let run = |envp| attempt(SHELL, list, envp);
    // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
    unsafe { environment::with(&client.guard, envp, SHELL_COVERAGE, repairs, run) }
        .unwrap_or(libc::ENOMEM)
}
