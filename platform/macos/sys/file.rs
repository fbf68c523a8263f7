//! Files, and the working directory.

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::num::NonZeroU64;

use rampart_core::coverage::Status;

use super::call::call;
use super::numbers::opened;
use crate::descriptor::{Descriptor, FileStatus, moment};
use crate::errno::Errno;

/// Occupies descriptor `number` if it is free, by a directory, which cannot be read or written like
/// a file. Lower numbers must be in use.
pub fn occupy(number: c_int) -> Option<Descriptor> {
    // SAFETY: takes no pointer.
    let is_open = call(|| unsafe { libc::fcntl(number, libc::F_GETFD) }).is_ok();
    if is_open { None } else { open_to_read(c"/").ok() }
}

/// Whether work is to be done [with an unshared table](with_unshared_table) because a standard
/// stream is closed. macOS has no such child, which shares memory but not descriptors.
pub fn has_closed_stream() -> bool {
    false
}

/// Does `work` in this process.
pub fn with_unshared_table(work: impl FnOnce()) {
    work();
}

/// The working directory; `None` if it does not fit or cannot be found.
///
/// Not by `getcwd(3)`, which may allocate.
#[inline(never)]
pub fn working_directory(room: &mut [u8]) -> Option<&[u8]> {
    let here = open_to_read(c".").ok()?;
    let mut name = [0u8; LONGEST_PATH];
    // SAFETY: the kernel writes a string of at most that length (`F_GETPATH`, fcntl(2)).
    call(|| unsafe { libc::fcntl(here.number(), libc::F_GETPATH, name.as_mut_ptr()) }).ok()?;
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_bytes();
    let room = room.get_mut(..name.len())?;
    room.copy_from_slice(name);
    Some(room)
}

/// `MAXPATHLEN`
const LONGEST_PATH: usize = 1024;

/// Opens a file for reading, without blocking and without getting a controlling terminal.
pub fn open_to_read(path: &CStr) -> Result<Descriptor, Errno> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: the kernel reads a string.
    opened(call(|| unsafe { libc::open(path.as_ptr(), flags) }))
}

/// Reads bytes at `offset`; returns how many, 0 on an error.
pub fn read_at(file: &Descriptor, offset: u64, room: &mut [u8]) -> usize {
    let (pointer, length) = (room.as_mut_ptr().cast(), room.len());
    let Ok(offset) = libc::off_t::try_from(offset) else { return 0 };
    // SAFETY: the kernel writes to the slice only.
    call(|| unsafe { libc::pread(file.number(), pointer, length, offset) }).unwrap_or(0)
}

fn file_status(status: &libc::stat) -> FileStatus {
    FileStatus {
        rights: Status { mode: status.st_mode.into(), flags: status.st_flags, ..Status::default() },
        identity: [
            u64::from(status.st_dev.cast_unsigned()),
            status.st_ino,
            u64::from(status.st_mode) << 32 | u64::from(status.st_flags),
            status.st_size.cast_unsigned(),
            moment(status.st_mtime, status.st_mtime_nsec),
            moment(status.st_ctime, status.st_ctime_nsec),
        ],
    }
}

/// The inode number of a pipe: not on macOS, where the server cannot compare it with other
/// processes' descriptors.
pub fn pipe(_number: c_int) -> Option<NonZeroU64> {
    None
}

/// The status of an open file.
pub fn status(file: &Descriptor) -> Result<FileStatus, Errno> {
    // SAFETY: the kernel writes a stat to the pointer, or fails.
    stat(|status| unsafe { libc::fstat(file.number(), status) }).map(|status| file_status(&status))
}

/// The status of the file at `path`.
pub fn status_at(path: &CStr) -> Result<FileStatus, Errno> {
    // SAFETY: the kernel reads a string, and writes a stat to the pointer or fails.
    stat(|status| unsafe { libc::stat(path.as_ptr(), status) }).map(|status| file_status(&status))
}

/// Makes a call that fills a `stat` or fails.
fn stat(fill: impl FnOnce(*mut libc::stat) -> c_int) -> Result<libc::stat, Errno> {
    let mut status = MaybeUninit::uninit();
    call(|| fill(status.as_mut_ptr()))?;
    // SAFETY: the call succeeded, so the kernel has written it.
    Ok(unsafe { status.assume_init() })
}
