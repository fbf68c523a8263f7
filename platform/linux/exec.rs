//! The exec family on Linux: the shared functions, and those that only Linux has.

use core::ffi::{CStr, c_int, c_long};

use rampart_core::arena::{Decimal, Full, TextBuffer};

use super::originals::{Execveat, Real};
use super::sys::{self, Link};
use crate::abi::{CharPtr, MutStrings, Strings};
use crate::environment::Envp;
use crate::errno::{self, Errno};
use crate::gate;
use crate::program::{Program, string};
use crate::refusal::Target;

pub use crate::exec::*;

/// The longest name of a program that is given by a descriptor, in bytes.
const LONGEST_OPENED_PATH: usize = 448;

/// `execvpe(3)`
pub unsafe fn execvpe(file: CharPtr, argv: Strings, envp: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe { named(file, argv, Envp::Given(envp)) }
}

/// `execvp(3)`
pub unsafe fn execvp(file: CharPtr, argv: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe { named(file, argv, Envp::Own) }
}

unsafe fn named(file: CharPtr, argv: Strings, envp: Envp) -> c_int {
    // SAFETY: see `execve`.
    unsafe {
        let program = || Program::named(file, argv);
        gate::start(program, envp, Target::ThisProcess, Real::execvpe, |execvpe, envp| {
            execvpe(file, argv, envp)
        })
        .unwrap_or_else(errno::fail)
    }
}

/// `fexecve(3)`
pub unsafe fn fexecve(descriptor: c_int, argv: Strings, envp: Strings) -> c_int {
    // SAFETY: see `execve`.
    unsafe {
        opened(descriptor, c"", argv, envp, Real::fexecve, |fexecve, envp| {
            fexecve(descriptor, argv, envp)
        })
    }
}

/// `execveat(2)`
pub unsafe fn execveat(
    directory: c_int,
    path: CharPtr,
    argv: MutStrings,
    envp: MutStrings,
    flags: c_int,
) -> c_int {
    let (argv, envp) = (argv.cast::<CharPtr>(), envp.cast::<CharPtr>());
    // SAFETY: see `execve`.
    unsafe {
        let find = |real: &Real| Some(real.execveat().unwrap_or(call_execveat));
        let run = |execveat: Execveat, envp: Strings| {
            execveat(directory, path, argv.cast(), envp.cast(), flags)
        };
        if directory != libc::AT_FDCWD
            && let Some(relative) = string(path).filter(|path| !path.to_bytes().starts_with(b"/"))
        {
            return opened(directory, relative, argv, envp, find, run);
        }
        // Flags may select another file (`AT_SYMLINK_NOFOLLOW`, `AT_EMPTY_PATH`).
        let program = || Some(Program { is_certain: flags == 0, ..Program::at(path, argv)? });
        gate::start(program, Envp::Given(envp), Target::ThisProcess, find, run)
            .unwrap_or_else(errno::fail)
    }
}

/// Starts the program at `path` relative to an open directory, or the open file itself if `path` is
/// empty. The name comes from the kernel, which also names a memfd and a deleted file.
#[inline(never)]
unsafe fn opened<Function: Copy>(
    descriptor: c_int,
    path: &CStr,
    argv: Strings,
    envp: Strings,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl Fn(Function, Strings) -> c_int,
) -> c_int {
    let mut room = [0; LONGEST_OPENED_PATH];
    let name = match name_of(descriptor, path.to_bytes(), &mut room) {
        Ok(name) => name.as_ptr(),
        // A negative number is never a descriptor; the original fails.
        Err(libc::EBADF) if descriptor < 0 => core::ptr::null(),
        Err(errno) => return errno::fail(errno),
    };
    // SAFETY: see `execve`.
    unsafe {
        // The name may not lead to the file (chroot, deleted).
        let program = || Some(Program { is_certain: false, ..Program::at(name, argv)? });
        gate::start(program, Envp::Given(envp), Target::ThisProcess, find, run)
            .unwrap_or_else(errno::fail)
    }
}

/// The name of an open file, followed by `path`; `EBADF` if it is not open, `EPERM` if the name
/// does not fit: without a name the server cannot be asked.
fn name_of<'r>(descriptor: c_int, path: &[u8], room: &'r mut [u8]) -> Result<&'r CStr, c_int> {
    if !sys::is_open(descriptor) {
        return Err(libc::EBADF);
    }
    let mut buffer = [0; 32];
    let link = descriptor_link(descriptor, &mut buffer).ok_or(libc::EPERM)?;
    let length = match sys::read_link(link, room) {
        Link::To(target) => target.len(),
        Link::TooLong => return Err(libc::EPERM),
        // Without /proc the link is the only name.
        Link::Missing => {
            let room = room.get_mut(..link.count_bytes()).ok_or(libc::EPERM)?;
            room.copy_from_slice(link.to_bytes());
            link.count_bytes()
        }
    };
    let mut rest = TextBuffer::new(room.get_mut(length..).ok_or(libc::EPERM)?);
    let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
    for piece in [separator, path, b"\0"] {
        rest.push(piece).map_err(|Full| libc::EPERM)?;
    }
    CStr::from_bytes_until_nul(room).map_err(|_| libc::EPERM)
}

/// `/proc/self/fd/N`
fn descriptor_link(descriptor: c_int, buffer: &mut [u8]) -> Option<&CStr> {
    let number = Decimal::new(u64::from(descriptor.unsigned_abs()));
    let mut link = TextBuffer::new(buffer);
    for piece in [b"/proc/self/fd/", number.as_bytes(), b"\0"] {
        link.push(piece).ok()?;
    }
    CStr::from_bytes_until_nul(buffer).ok()
}

/// `syscall(2)` with `SYS_execve`
pub unsafe extern "C" fn syscall_execve(path: CharPtr, argv: Strings, envp: Strings) -> c_long {
    // SAFETY: see `execve`.
    c_long::from(unsafe { execve(path, argv, envp) })
}

/// `syscall(2)` with `SYS_execveat`
pub unsafe extern "C" fn syscall_execveat(
    directory: c_int,
    path: CharPtr,
    argv: MutStrings,
    envp: MutStrings,
    flags: c_int,
) -> c_long {
    // SAFETY: see `execve`.
    c_long::from(unsafe { execveat(directory, path, argv, envp, flags) })
}

/// `execveat(2)` if the C library has no function for it, for programs that use `syscall(2)`.
unsafe extern "C" fn call_execveat(
    directory: c_int,
    path: CharPtr,
    argv: MutStrings,
    envp: MutStrings,
    flags: c_int,
) -> c_int {
    let (directory, flags) = (sys::register(directory), sys::register(flags));
    let arguments = [directory, path as usize, argv as usize, envp as usize, flags, 0];
    // SAFETY: the arguments are those of `execveat(2)`, valid by the caller's promise.
    match unsafe { sys::call(libc::SYS_execveat, arguments) } {
        Ok(_) => 0,
        Err(Errno(errno)) => errno::fail(errno),
    }
}
