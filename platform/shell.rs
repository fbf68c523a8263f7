//! The shell family: functions that hand a line to `/bin/sh`. They are never written
//! again here; they are asked about and called.

use core::ffi::{CStr, c_int};

use libc::FILE;

use crate::abi::Text;
use crate::os::{Real, WRDE_CMDSUB, WordExp};
use crate::program::string;
use crate::{errno, gate};

/// `system(3)`; without a command it only says whether there is a shell.
pub unsafe fn system(command: Text) -> c_int {
    // SAFETY: the caller's promises to the C library, here and below.
    unsafe {
        let line = string(command).map(CStr::to_bytes);
        gate::start_shell(line, Real::system, |system| system(command)).unwrap_or_else(errno::fail)
    }
}

/// `popen(3)`
pub unsafe fn popen(command: Text, mode: Text) -> *mut FILE {
    // SAFETY: see `system`.
    unsafe {
        let line = string(command).map(CStr::to_bytes);
        gate::start_shell(line, Real::popen, |popen| popen(command, mode)).unwrap_or_else(|errno| {
            errno::set(errno);
            core::ptr::null_mut()
        })
    }
}

/// Commands are not to be run: an error (wordexp(3); the same number everywhere).
const WRDE_NOCMD: c_int = 4;

/// `wordexp(3)`, which runs a shell for what stands in `$(…)` or backquotes.
pub unsafe fn wordexp(words: Text, result: *mut WordExp, flags: c_int) -> c_int {
    // SAFETY: see `system`.
    unsafe {
        let line = string(words).map(CStr::to_bytes);
        let line = line.filter(|line| flags & WRDE_NOCMD == 0 && has_command(line));
        gate::start_shell(line, Real::wordexp, |wordexp| wordexp(words, result, flags))
            .unwrap_or(WRDE_CMDSUB)
    }
}

fn has_command(words: &[u8]) -> bool {
    words.contains(&b'`') || words.windows(2).any(|pair| pair == b"$(")
}
