//! The program that a hook is to start: a view of the caller's arguments.

use core::ffi::{CStr, c_int};

use rampart_core::command::truthful_name;
use rampart_core::coverage::Coverage;
use rampart_core::request::{Command, Pipes, Process, Question};
use rampart_core::shell_line;

use crate::abi::{CharPtr, Strings};
use crate::errno::Errno;
use crate::os;
use crate::os::sys;
use crate::state::State;

/// A program to start.
pub struct Program<'p> {
    /// Its path, or its name if PATH is searched.
    pub path: &'p CStr,
    /// Its arguments.
    pub argv: Strings,
    /// Whether this process sees the same file at `path` as the kernel will run.
    pub is_certain: bool,
    /// Whether it starts in the working directory of this process.
    pub starts_here: bool,
}

impl<'p> Program<'p> {
    /// The program at a path.
    pub fn at(path: &'p CStr, argv: Strings) -> Self {
        Self { path, argv, is_certain: true, starts_here: true }
    }

    /// The program of this name, for which PATH is searched if it has no slash.
    pub fn named(file: &'p CStr, argv: Strings) -> Self {
        Self { is_certain: file.to_bytes().contains(&b'/'), ..Self::at(file, argv) }
    }

    /// The same program started in an unknown directory.
    pub fn elsewhere(self) -> Self {
        let is_certain = self.is_certain && self.path.to_bytes().starts_with(b"/");
        Self { is_certain, starts_here: false, ..self }
    }

    /// Looks at the file: its coverage, or the error if it certainly does not exist. Then the
    /// kernel would fail with the same error, and the server need not be asked: `CPython` tries
    /// every entry of PATH.
    ///
    /// Other errors are left to the kernel, which may use another user ID, and which can read files
    /// that may only be executed. All are if the original is wrapped by another library, which may
    /// find the program elsewhere.
    #[inline(never)]
    pub fn look(&self, state: &State, is_own: bool) -> Result<Option<Coverage>, c_int> {
        match os::coverage_of(self.path, self.is_certain, is_own) {
            Err(Errno(
                errno @ (libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG),
            )) if !state.real.is_wrapped => Err(errno),
            found => Ok(found.ok().flatten()),
        }
    }

    /// The question about it. `room` is for the working directory, which is left out if it does not
    /// fit.
    pub fn question<'q>(
        &'q self,
        coverage: Option<Coverage>,
        room: &'q mut [u8],
    ) -> Question<'q, Arguments<'q>> {
        let cwd = if self.starts_here { sys::working_directory(room) } else { None };
        let mut arguments = self.arguments();
        let argv0 = arguments.next();
        let name = truthful_name(self.path.to_bytes(), argv0);
        let other_name = argv0.filter(|argv0| *argv0 != name && !argv0.is_empty());
        let command = Command::Program { name, other_name, arguments };
        Question {
            command,
            cwd,
            coverage,
            missed: 0,
            pipes: Pipes::default(),
            process: Process::default(),
        }
    }

    /// A hash of path and arguments.
    pub fn digest(&self) -> u64 {
        self.arguments().fold(mix(BEGIN, self.path.to_bytes()), mix)
    }

    /// Whether it is a shell with a command line to run.
    pub fn is_shell_line(&self) -> bool {
        shell_line::is_shell_line(self.path.to_bytes(), self.arguments())
    }

    fn arguments(&self) -> Arguments<'p> {
        Arguments { next: self.argv, list: core::marker::PhantomData }
    }
}

/// The initial value for [`mix`] (FNV-1a, offset basis).
pub const BEGIN: u64 = 0xcbf2_9ce4_8422_2325;

/// Adds a string to a hash (FNV-1a, with a NUL after each string).
pub fn mix(sum: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().chain(&[0]).fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// The string at a pointer; `None` for NULL.
///
/// # Safety
/// `text` is NULL or a string that is unchanged for the lifetime `'t`.
pub unsafe fn string<'t>(text: CharPtr) -> Option<&'t CStr> {
    // SAFETY: the pointer is not NULL, and so a string (the caller's promise).
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// An iterator over the strings of an argument list.
#[derive(Clone)]
pub struct Arguments<'q> {
    next: Strings,
    list: core::marker::PhantomData<&'q CStr>,
}

impl<'q> Iterator for Arguments<'q> {
    type Item = &'q [u8];

    fn next(&mut self) -> Option<&'q [u8]> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: the list of a `Program` is NULL or an array of strings that ends with NULL
        // (execve(2)), and this walk stops there.
        unsafe {
            let argument = string(*self.next)?;
            self.next = self.next.add(1);
            Some(argument.to_bytes())
        }
    }
}
