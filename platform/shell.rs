//! The shell family: functions that hand a line to `/bin/sh`. They are never written
//! again here; they are asked about and called.

use core::ffi::{CStr, c_int};

use libc::FILE;

use crate::abi::CharPtr;
use crate::os::{Real, WRDE_CMDSUB, WordExp};
use crate::program::string;
use crate::refusal::{self, Target};
use crate::{errno, gate, once};

/// `system(3)`; without a command it only says whether there is a shell.
pub unsafe fn system(command: CharPtr) -> c_int {
    // SAFETY: the caller's promises to the C library, here and below.
    unsafe {
        let line = string(command).map(CStr::to_bytes);
        let mut told = None;
        let mut show = |said: &CStr| {
            let system = once::state().and_then(|state| state.real.system());
            told = system.and_then(|system| {
                refusal::with_message_line(said, |line| system(line.as_ptr()))
                    .filter(|status| has_run(*status))
            });
            told.is_some()
        };
        let target = Target::Child { show: &mut show, actions: None };
        let result = gate::start_shell(line, target, Real::system, |system| system(command));
        told.unwrap_or_else(|| result.unwrap_or_else(errno::fail))
    }
}

/// Whether a shell has run, by what `system(3)` gave: a child that could not be made is -1, a
/// shell that could not be started is 127; where nobody waits for children, -1 is as good.
fn has_run(status: c_int) -> bool {
    const NO_SHELL: c_int = 127 << 8;
    if status == -1 { errno::get() == libc::ECHILD } else { status != NO_SHELL }
}

/// `popen(3)`
pub unsafe fn popen(command: CharPtr, mode: CharPtr) -> *mut FILE {
    // SAFETY: see `system`.
    unsafe {
        let line = string(command).map(CStr::to_bytes);
        let mut told = core::ptr::null_mut();
        let mut show = |said: &CStr| {
            let popen = once::state().and_then(|state| state.real.popen());
            let stream = popen.and_then(|popen| {
                refusal::with_message_line(said, |line| popen(line.as_ptr(), mode))
            });
            told = stream.unwrap_or(core::ptr::null_mut());
            !told.is_null()
        };
        let target = Target::Child { show: &mut show, actions: None };
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

/// Commands are not to be run: an error (wordexp(3); the same number everywhere).
const WRDE_NOCMD: c_int = 4;

/// `wordexp(3)`, which runs a shell for what stands in `$(…)` or backquotes.
pub unsafe fn wordexp(words: CharPtr, result: *mut WordExp, flags: c_int) -> c_int {
    // SAFETY: see `system`.
    unsafe {
        let line = string(words).map(CStr::to_bytes);
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
