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
use crate::readable::Pages;
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
    /// The program at a path; `None` if path or arguments cannot be read.
    ///
    /// # Safety
    /// What can be read of `path` and `argv` is a string, and NULL or an array of strings that ends
    /// with NULL; both are unchanged for the lifetime `'p`.
    pub unsafe fn at(path: CharPtr, argv: Strings) -> Option<Self> {
        if path.is_null() || !can_be_read(path, argv) {
            return None;
        }
        // SAFETY: the string can be read to its end.
        let path = unsafe { CStr::from_ptr(path) };
        Some(Self { path, argv, is_certain: true, starts_here: true })
    }

    /// The program of this name, for which PATH is searched if it has no slash.
    ///
    /// # Safety
    /// As for [`Self::at`].
    pub unsafe fn named(file: CharPtr, argv: Strings) -> Option<Self> {
        // SAFETY: the caller's promise.
        let program = unsafe { Self::at(file, argv) }?;
        Some(Self { is_certain: program.path.to_bytes().contains(&b'/'), ..program })
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

/// Not inlined, so that its frame is gone before the check.
#[inline(never)]
fn can_be_read(path: CharPtr, argv: Strings) -> bool {
    let mut pages = Pages::new();
    pages.have_string(path) && pages.have_array(argv, Pages::have_string)
}

/// The initial value for [`mix`] (FNV-1a, offset basis).
pub const BEGIN: u64 = 0xcbf2_9ce4_8422_2325;

/// Adds a string to a hash (FNV-1a, with a NUL after each string).
pub fn mix(sum: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().chain(&[0]).fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// The string at a pointer; `None` if it is NULL or cannot be read.
///
/// # Safety
/// What can be read there is a string that is unchanged for the lifetime `'t`.
pub unsafe fn string<'t>(text: CharPtr) -> Option<&'t CStr> {
    let is_string = !text.is_null() && Pages::new().have_string(text);
    // SAFETY: the string can be read to its end.
    is_string.then(|| unsafe { CStr::from_ptr(text) })
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
        // SAFETY: the list of a `Program` that can be read is an array of strings that ends with
        // NULL (execve(2)), and this walk stops there. The kernel demands no alignment.
        unsafe {
            let argument = self.next.read_unaligned();
            if argument.is_null() {
                return None;
            }
            self.next = self.next.add(1);
            Some(CStr::from_ptr(argument).to_bytes())
        }
    }
}
