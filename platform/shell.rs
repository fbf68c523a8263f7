//! The shell family: functions that pass a command line to `/bin/sh`. The hooks check the line and
//! call the original; nothing of these functions is reimplemented.

use core::ffi::{CStr, c_int};

use libc::FILE;

use crate::abi::CharPtr;
use crate::os::{Real, WRDE_CMDSUB, WordExp};
use crate::program::string;
use crate::readable::NOWHERE;
use crate::refusal::{self, Target};
use crate::{errno, gate, once};

/// The text of a line, `None` if it is NULL or cannot be read, and the line for the original. If that
/// could not be read, it cannot be later either: it must not run unasked.
///
/// # Safety
/// As for [`string`].
unsafe fn line<'t>(given: CharPtr) -> (Option<&'t [u8]>, CharPtr) {
    // SAFETY: the caller's promise.
    let line = unsafe { string(given) }.map(CStr::to_bytes);
    let is_unreadable = line.is_none() && !given.is_null();
    (line, if is_unreadable { NOWHERE as CharPtr } else { given })
}

/// `system(3)`; with NULL it only says whether there is a shell.
pub unsafe fn system(command: CharPtr) -> c_int {
    // SAFETY: here and below: the caller of the C function promises what its man page demands.
    unsafe {
        let (line, command) = line(command);
        let mut told = None;
        let mut show = |said: &CStr| {
            let system = once::state().and_then(|state| state.real.system());
            told = system.and_then(|system| {
                refusal::with_message_line(said, |line| system(line.as_ptr()))
                    .filter(|status| has_run(*status))
            });
            told.is_some()
        };
        let target = Target::Child { show: &mut show, actions: core::ptr::null() };
        let result = gate::start_shell(line, target, Real::system, |system| system(command));
        told.unwrap_or_else(|| result.unwrap_or_else(errno::fail))
    }
}

/// Whether a shell has run, by the result of `system(3)`: -1 if there was no child, status 127 if
/// the shell could not be executed. If SIGCHLD is ignored the result is -1 with `ECHILD`.
fn has_run(status: c_int) -> bool {
    const NO_SHELL: c_int = 127 << 8;
    if status == -1 { errno::get() == libc::ECHILD } else { status != NO_SHELL }
}

/// `popen(3)`
pub unsafe fn popen(command: CharPtr, mode: CharPtr) -> *mut FILE {
    // SAFETY: see `system`.
    unsafe {
        let (line, command) = line(command);
        let mut told = core::ptr::null_mut();
        let mut show = |said: &CStr| {
            let popen = once::state().and_then(|state| state.real.popen());
            let stream = popen.and_then(|popen| {
                refusal::with_message_line(said, |line| popen(line.as_ptr(), mode))
            });
            told = stream.unwrap_or(core::ptr::null_mut());
            !told.is_null()
        };
        let target = Target::Child { show: &mut show, actions: core::ptr::null() };
        let result = gate::start_shell(line, target, Real::popen, |popen| popen(command, mode));
        if !told.is_null() {
            return told;
        }
        result.unwrap_or_else(|errno| {
            errno::set(errno);
            core::ptr::null_mut()
        })
    }
}

/// The flag by which command substitution is an error (wordexp(3); the same value everywhere).
const WRDE_NOCMD: c_int = 4;

/// `wordexp(3)`, which runs a shell for `$(…)` and backquotes.
pub unsafe fn wordexp(words: CharPtr, result: *mut WordExp, flags: c_int) -> c_int {
    // SAFETY: see `system`.
    unsafe {
        let (line, words) = line(words);
        let line = line.filter(|line| flags & WRDE_NOCMD == 0 && has_command(line));
        gate::start_shell(line, Target::InLibc, Real::wordexp, |wordexp| {
            wordexp(words, result, flags)
        })
        .unwrap_or(WRDE_CMDSUB)
    }
}

fn has_command(words: &[u8]) -> bool {
    words.contains(&b'`') || words.windows(2).any(|pair| pair == b"$(")
}
