//! A program that a hook was asked to start, read in place.

use core::ffi::{CStr, c_int};

use rampart_core::command::truthful_name;
use rampart_core::coverage::Coverage;
use rampart_core::request::{Command, Pipes, Question};
use rampart_core::shell_line;

use crate::abi::{CharPtr, Strings};
use crate::errno::Errno;
use crate::os;
use crate::os::sys;

/// A program as a function is told to start it.
pub struct Program<'p> {
    /// Its path, or its name if it is looked for in PATH.
    pub path: &'p CStr,
    /// Its arguments.
    pub argv: Strings,
    /// Whether `path`, seen from here, is what will be run, so that a program that is not
    /// there is certainly not there.
    pub is_certain: bool,
    /// Whether it starts in the working directory of this process.
    pub starts_here: bool,
}

impl<'p> Program<'p> {
    /// The program at a path.
    pub fn at(path: &'p CStr, argv: Strings) -> Self {
        Self { path, argv, is_certain: true, starts_here: true }
    }

    /// The program that is looked for in PATH if its name has no slash.
    pub fn named(file: &'p CStr, argv: Strings) -> Self {
        Self { is_certain: file.to_bytes().contains(&b'/'), ..Self::at(file, argv) }
    }

    /// The program, if it is started in a directory that is not known.
    pub fn elsewhere(self) -> Self {
        let is_certain = self.is_certain && self.path.to_bytes().starts_with(b"/");
        Self { is_certain, starts_here: false, ..self }
    }

    /// Looks at the file: what can be followed of it, or the error of a program that is
    /// certainly not there. The kernel would find the same, and nobody need be asked:
    /// `CPython` tries every entry of PATH.
    ///
    /// Other errors are left to the kernel, which may look with another user id, and reads
    /// what can only be executed.
    #[inline(never)]
    pub fn look(&self, is_own: bool) -> Result<Option<Coverage>, c_int> {
        match os::coverage_of(self.path, self.is_certain, is_own) {
            Err(Errno(
                errno @ (libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG),
            )) => Err(errno),
            found => Ok(found.ok().flatten()),
        }
    }

    /// The question about it. `room` is for its working directory, which is not told if
    /// it is longer.
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
        Question { command, cwd, coverage, missed: 0, pipes: Pipes::default() }
    }

    /// A number for it and its arguments.
    pub fn digest(&self) -> u64 {
        self.arguments().fold(mix(BEGIN, self.path.to_bytes()), mix)
    }

    /// Whether it is a shell that is handed a line.
    pub fn is_shell_line(&self) -> bool {
        shell_line::is_shell_line(self.path.to_bytes(), self.arguments())
    }

    fn arguments(&self) -> Arguments<'p> {
        Arguments { next: self.argv, list: core::marker::PhantomData }
    }
}

/// What a number for strings begins with.
pub const BEGIN: u64 = 0xcbf2_9ce4_8422_2325;

/// The number for some strings and one more (FNV-1a, with a NUL after each).
pub fn mix(sum: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().chain(&[0]).fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// The string at a pointer that a program gave; `None` for NULL.
///
/// # Safety
/// `text` is NULL or a string that lives as long as what is given.
pub unsafe fn string<'t>(text: CharPtr) -> Option<&'t CStr> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// The strings of an argument list, as far as they were not taken yet.
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
