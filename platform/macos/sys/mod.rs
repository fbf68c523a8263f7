//! System calls as hooks need them. macOS promises nothing about their numbers, so they go
//! through libSystem, which sets `errno`: [`call`] puts it back.

mod file;
mod patience;
mod signal;
mod socket;

pub use file::{
    apart, lacks_stream, occupy, open_to_read, pipe, read_at, status, status_at, working_directory,
};
pub use patience::{Patience, is_writable};
pub use signal::SignalMask;
pub use socket::{
    Address, connect, dwell, is_missing, is_owned, is_quiet, make_known, own, receive,
    receive_dwelling, send, set_no_delay, socket, socket_identity,
};

use core::ffi::{c_int, c_void};

use crate::descriptor::{Descriptor, Errno};
use crate::errno;

/// What a function gives that sets `errno` when it gives a negative number.
fn call<Number>(function: impl FnOnce() -> Number) -> Result<usize, Errno>
where
    usize: TryFrom<Number>,
{
    let saved = errno::Saved::new();
    let result = usize::try_from(function()).map_err(|_| Errno(errno::get()));
    saved.restore();
    result
}

/// Closes a descriptor of ours. Nobody can be told of an error.
pub fn close(number: c_int) {
    // SAFETY: takes no pointer. That the number is closed is the point.
    let _ = call(|| unsafe { libc::close(number) });
}

/// A second descriptor for the same thing, numbered `lowest` or above.
pub fn duplicate(descriptor: &Descriptor, lowest: c_int) -> Result<Descriptor, Errno> {
    // SAFETY: takes no pointer.
    opened(call(|| unsafe { libc::fcntl(descriptor.number(), libc::F_DUPFD_CLOEXEC, lowest) }))
}

fn opened(result: Result<usize, Errno>) -> Result<Descriptor, Errno> {
    result.map(|number| Descriptor::from_number(c_int::try_from(number).unwrap_or(-1)))
}

/// Sets whether to write to `number` raises SIGPIPE when nobody reads any more; whether it
/// did before. That is kept with the opened file, which other processes may have as well.
pub fn set_raises_sigpipe(number: c_int, raises: bool) -> bool {
    // SAFETY: takes no pointer.
    let ignored = call(|| unsafe { libc::fcntl(number, libc::F_GETNOSIGPIPE) });
    let ignore = c_int::from(!raises);
    // SAFETY: takes no pointer. What has no such setting raises none.
    let _ = call(|| unsafe { libc::fcntl(number, libc::F_SETNOSIGPIPE, ignore) });
    ignored == Ok(0)
}

/// Writes; how many bytes were taken.
pub fn write(number: c_int, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the slice only.
    call(|| unsafe { libc::write(number, bytes.as_ptr().cast(), bytes.len()) })
}

/// Nothing is sealed on this system.
pub fn is_sealed(_mark: u64) -> bool {
    false
}

/// Whether other processes of this user cannot read this one: only a sealed run asks.
pub fn is_hidden() -> bool {
    false
}

/// This process.
pub fn getpid() -> c_int {
    // SAFETY: takes no pointer, and cannot fail.
    unsafe { libc::getpid() }
}

/// Whether a number stands for a descriptor that programs inherit.
pub fn is_inherited(number: c_int) -> bool {
    flags(number, libc::F_GETFD).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0)
}

/// Whether a number stands for a descriptor that can be written to and not read.
pub fn is_write_only(number: c_int) -> bool {
    flags(number, libc::F_GETFL).is_some_and(|flags| flags & libc::O_ACCMODE == libc::O_WRONLY)
}

fn flags(number: c_int, command: c_int) -> Option<c_int> {
    // SAFETY: takes no pointer.
    c_int::try_from(call(|| unsafe { libc::fcntl(number, command) }).ok()?).ok()
}

/// New memory, zeroed; never given back.
pub fn map(length: usize) -> Option<*mut c_void> {
    map_as(length, libc::MAP_PRIVATE)
}

/// The same, shared with those who are forked.
pub fn map_shared(length: usize) -> Option<*mut c_void> {
    map_as(length, libc::MAP_SHARED)
}

fn map_as(length: usize, kind: c_int) -> Option<*mut c_void> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, kind | libc::MAP_ANON);
    let saved = errno::Saved::new();
    // SAFETY: a new mapping where the kernel likes changes no other memory.
    let start = unsafe { libc::mmap(core::ptr::null_mut(), length, access, kind, -1, 0) };
    saved.restore();
    (start != libc::MAP_FAILED).then_some(start)
}

/// Makes memory read-only, where the system lets us.
///
/// # Safety
/// It must be whole pages that nobody writes to any more.
pub unsafe fn make_read_only(start: *const c_void, length: usize) {
    // SAFETY: the caller's promise. A system that forbids it leaves a weaker guard.
    let _ = call(|| unsafe { libc::mprotect(start.cast_mut(), length, libc::PROT_READ) });
}

/// A moment on a clock that is never set and stands still while the machine sleeps, in
/// microseconds.
pub fn now_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec. With such a clock it cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_UPTIME_RAW, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// Ends the process without running anything of it.
pub fn exit(status: c_int) -> ! {
    // SAFETY: takes no pointer, and does not return.
    unsafe { libc::_exit(status) }
}
