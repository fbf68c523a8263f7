//! Files, and the working directory.

use core::ffi::{CStr, c_int, c_long};
use core::mem::MaybeUninit;
use core::num::NonZeroU64;

use rampart_core::coverage::Status;

use super::call::{call, register};
use super::numbers::{is_inherited, is_open, opened};
use crate::descriptor::{Descriptor, FileStatus, moment};
use crate::errno::Errno;

/// Occupies descriptor `number` if it is free, by a file that cannot be read or written (`O_PATH`,
/// open(2)): reads and writes fail with `EBADF`, as if it were closed. Lower numbers must be in
/// use.
pub fn occupy(number: c_int) -> Option<Descriptor> {
    if is_open(number) {
        return None;
    }
    let flags = register(libc::O_PATH | libc::O_CLOEXEC);
    let arguments = [register(libc::AT_FDCWD), c"/".as_ptr() as usize, flags, 0, 0, 0];
    // SAFETY: the kernel reads a string.
    opened(unsafe { call(libc::SYS_openat, arguments) }).ok()
}

/// Opens a file for reading, without blocking and without getting a controlling terminal.
pub fn open_to_read(path: &CStr) -> Result<Descriptor, Errno> {
    let flags = register(libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY);
    let arguments = [register(libc::AT_FDCWD), path.as_ptr() as usize, flags, 0, 0, 0];
    // SAFETY: the kernel reads a string.
    opened(unsafe { call(libc::SYS_openat, arguments) })
}

/// Reads bytes at `offset`; returns how many, 0 on an error.
pub fn read_at(file: &Descriptor, offset: u64, room: &mut [u8]) -> usize {
    let Ok(offset) = usize::try_from(offset) else { return 0 };
    let arguments = [register(file.number()), room.as_mut_ptr() as usize, room.len(), offset, 0, 0];
    // SAFETY: the kernel writes to the slice only.
    unsafe { call(libc::SYS_pread64, arguments) }.unwrap_or(0)
}

fn file_status(status: &libc::stat) -> FileStatus {
    FileStatus {
        rights: Status { mode: status.st_mode, flags: 0, ..Status::default() },
        identity: [
            status.st_dev,
            status.st_ino,
            u64::from(status.st_mode),
            status.st_size.cast_unsigned(),
            moment(status.st_mtime, status.st_mtime_nsec),
            moment(status.st_ctime, status.st_ctime_nsec),
        ],
    }
}

/// The status of an open file.
pub fn status(file: &Descriptor) -> Result<FileStatus, Errno> {
    stat(libc::SYS_fstat, |status| [register(file.number()), status, 0, 0, 0, 0])
        .map(|status| file_status(&status))
}

/// The status of the file at `path`.
pub fn status_at(path: &CStr) -> Result<FileStatus, Errno> {
    let directory = register(libc::AT_FDCWD);
    stat(libc::SYS_newfstatat, |status| [directory, path.as_ptr() as usize, status, 0, 0, 0])
        .map(|status| file_status(&status))
}

/// The inode number of a descriptor that is a pipe and inherited by programs.
#[inline(never)]
pub fn pipe(number: c_int) -> Option<NonZeroU64> {
    let status = stat(libc::SYS_fstat, |status| [register(number), status, 0, 0, 0, 0]).ok()?;
    let is_pipe = status.st_mode & libc::S_IFMT == libc::S_IFIFO;
    NonZeroU64::new(status.st_ino).filter(|_| is_pipe && is_inherited(number))
}

/// Makes a system call that fills a `stat`; `arguments` gives its arguments for the address of
/// that.
pub(super) fn stat(
    number: c_long,
    arguments: impl FnOnce(usize) -> [usize; 6],
) -> Result<libc::stat, Errno> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    let arguments = arguments(status.as_mut_ptr() as usize);
    // SAFETY: the kernel writes a `stat` to the pointer, or fails; the other arguments are a
    // descriptor and perhaps a string.
    unsafe { call(number, arguments) }?;
    // SAFETY: the call succeeded, so the kernel has written it.
    Ok(unsafe { status.assume_init() })
}

/// The target of a symbolic link.
pub enum Link<'r> {
    To(&'r [u8]),
    /// There is no such link.
    Missing,
    /// The target does not fit.
    TooLong,
}

/// Reads a symbolic link.
pub fn read_link<'r>(path: &CStr, room: &'r mut [u8]) -> Link<'r> {
    let directory = register(libc::AT_FDCWD);
    let arguments =
        [directory, path.as_ptr() as usize, room.as_mut_ptr() as usize, room.len(), 0, 0];
    // SAFETY: the kernel reads a string and writes to the slice only.
    match unsafe { call(libc::SYS_readlinkat, arguments) } {
        // If the target fills the room it may have been cut (readlink(2)).
        Ok(length) if length < room.len() => room.get(..length).map_or(Link::TooLong, Link::To),
        Ok(_) => Link::TooLong,
        Err(_) => Link::Missing,
    }
}

/// The working directory; `None` if it does not fit or is not reachable.
pub fn working_directory(room: &mut [u8]) -> Option<&[u8]> {
    let arguments = [room.as_mut_ptr() as usize, room.len(), 0, 0, 0, 0];
    // SAFETY: the kernel writes to the slice only.
    let length = unsafe { call(libc::SYS_getcwd, arguments) }.ok()?;
    // The kernel counts the NUL. The path of a directory outside of the root begins with
    // "(unreachable)" (getcwd(3)).
    room.get(..length)?.strip_suffix(b"\0").filter(|path| path.starts_with(b"/"))
}
