//! System calls as hooks need them. macOS promises nothing about their numbers, so they go
//! through libSystem, which sets `errno`: [`call`] puts it back.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::{MaybeUninit, offset_of};
use core::net::SocketAddr;

use rampart_core::coverage::Status;

use crate::descriptor::{Descriptor, Errno, Event, FileStatus, moment};
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

/// A socket's address as the kernel takes it.
#[derive(Clone, Copy)]
pub struct Address {
    bytes: libc::sockaddr_storage,
    length: u8,
}

impl Address {
    /// Of a TCP server.
    pub fn tcp(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::new(|length| libc::sockaddr_in {
                sin_len: length,
                sin_family: family(libc::AF_INET),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::new(|length| libc::sockaddr_in6 {
                sin6_len: length,
                sin6_family: family(libc::AF_INET6),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
        }
    }

    /// Of a Unix socket; `None` if the path is too long.
    pub fn unix(path: &[u8]) -> Option<Self> {
        let mut sun_path = [0; 104];
        // The last byte stays NUL.
        let (_, room) = sun_path.split_last_mut()?;
        let room = room.get_mut(..path.len())?;
        room.iter_mut().zip(path).for_each(|(to, from)| *to = c_char::from_ne_bytes([*from]));
        let sun_family = family(libc::AF_UNIX);
        Some(Self::new(|sun_len| libc::sockaddr_un { sun_len, sun_family, sun_path }))
    }

    /// An address, which holds its own length.
    fn new<Kind>(make: impl FnOnce(u8) -> Kind) -> Self {
        const { assert!(size_of::<Kind>() <= size_of::<libc::sockaddr_storage>()) };
        // A storage is 128 bytes.
        let length = u8::try_from(size_of::<Kind>()).unwrap_or_default();
        let mut bytes = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        // SAFETY: the storage is large enough (checked above) and aligned for every
        // kind of address; all-zero is a valid value of what is not overwritten.
        unsafe {
            bytes.as_mut_ptr().cast::<Kind>().write(make(length));
            Self { bytes: bytes.assume_init(), length }
        }
    }

    fn family(&self) -> c_int {
        c_int::from(self.bytes.ss_family)
    }
}

/// Whether `address` is a path where nothing is, so that nobody can listen.
pub fn is_missing(address: &Address) -> bool {
    if address.family() != libc::AF_UNIX {
        return false;
    }
    let start = (&raw const address.bytes).cast::<c_char>();
    let path = start.wrapping_add(offset_of!(libc::sockaddr_un, sun_path));
    // SAFETY: the path of a Unix address ends with NUL; see `Address::unix`.
    call(|| unsafe { libc::access(path, libc::F_OK) }) == Err(Errno(libc::ENOENT))
}

/// An address family as the structures hold it; all of them fit.
fn family(number: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

/// A stream socket for `address`, non-blocking, close-on-exec, and without SIGPIPE.
///
/// It becomes close-on-exec only after its birth. A program that another thread starts in
/// between inherits a connection on which nothing is ever said.
pub fn socket(address: &Address) -> Result<Descriptor, Errno> {
    // SAFETY: takes no pointer.
    let socket = opened(call(|| unsafe { libc::socket(address.family(), libc::SOCK_STREAM, 0) }))?;
    for (command, flags) in [(libc::F_SETFD, libc::FD_CLOEXEC), (libc::F_SETFL, libc::O_NONBLOCK)] {
        // SAFETY: takes no pointer.
        call(|| unsafe { libc::fcntl(socket.number(), command, flags) })?;
    }
    set_on(&socket, libc::SOL_SOCKET, libc::SO_NOSIGPIPE)?;
    Ok(socket)
}

fn set_on(socket: &Descriptor, level: c_int, option: c_int) -> Result<(), Errno> {
    let on: c_int = 1;
    let size = LENGTH_OF_INT;
    // SAFETY: the pointer is to a live int.
    call(|| unsafe {
        libc::setsockopt(socket.number(), level, option, (&raw const on).cast(), size)
    })?;
    Ok(())
}

const LENGTH_OF_INT: libc::socklen_t = 4;

/// Takes `number` if it is free, with a directory, which can be neither written nor read like
/// a file. The numbers below it must be taken.
pub fn occupy(number: c_int) -> Option<Descriptor> {
    // SAFETY: takes no pointer.
    let is_open = call(|| unsafe { libc::fcntl(number, libc::F_GETFD) }).is_ok();
    if is_open { None } else { open_to_read(c"/").ok() }
}

/// A second descriptor for the same thing, numbered `lowest` or above.
pub fn duplicate(descriptor: &Descriptor, lowest: c_int) -> Result<Descriptor, Errno> {
    // SAFETY: takes no pointer.
    opened(call(|| unsafe { libc::fcntl(descriptor.number(), libc::F_DUPFD_CLOEXEC, lowest) }))
}

fn opened(result: Result<usize, Errno>) -> Result<Descriptor, Errno> {
    result.map(|number| Descriptor::from_number(c_int::try_from(number).unwrap_or(-1)))
}

/// Begins to connect, or connects; `EINPROGRESS` for the former.
pub fn connect(descriptor: &Descriptor, address: &Address) -> Result<(), Errno> {
    let length = libc::socklen_t::from(address.length);
    let pointer = (&raw const address.bytes).cast();
    // SAFETY: an address of that length stands at the pointer.
    call(|| unsafe { libc::connect(descriptor.number(), pointer, length) })?;
    Ok(())
}

/// Lets small pieces go out at once on TCP.
pub fn set_no_delay(descriptor: &Descriptor) {
    // Without the option it is merely slower.
    let _ = set_on(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY);
}

/// Sends what the socket takes at once; `EAGAIN` if that is nothing.
pub fn send(descriptor: &Descriptor, bytes: &[u8]) -> Result<usize, Errno> {
    let (pointer, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the kernel reads the slice only.
    let sent = call(|| unsafe { libc::send(descriptor.number(), pointer, length, 0) });
    match sent {
        // It is being connected. If that fails, it can be written to all the same, with an
        // error of its own.
        Err(Errno(libc::ENOTCONN)) => Err(Errno(libc::EAGAIN)),
        sent => sent,
    }
}

/// Receives what is there; 0 at the end of the connection.
pub fn receive(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive_with(descriptor, room, libc::MSG_DONTWAIT)
}

fn receive_with(descriptor: &Descriptor, room: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    let (pointer, length) = (room.as_mut_ptr().cast(), room.len());
    // SAFETY: the kernel writes to the slice only.
    call(|| unsafe { libc::recv(descriptor.number(), pointer, length, flags) })
}

/// Receives what is there. See [`dwell`].
pub fn receive_dwelling(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive(descriptor, room)
}

/// Changes nothing: a socket that waits in a receive waits in a send as well, for there macOS
/// takes no notice of `MSG_DONTWAIT`, and without end.
pub fn dwell(_descriptor: &Descriptor, _ms: u32) -> Result<(), Errno> {
    Ok(())
}

/// Whether a connection is open and nothing has come that was not received yet.
pub fn is_quiet(descriptor: &Descriptor) -> bool {
    let found = receive_with(descriptor, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT);
    found == Err(Errno(libc::EAGAIN))
}

/// Time that is left for waiting.
pub struct Patience {
    /// When it ends, on the clock of [`now_us`].
    end_us: u64,
}

impl Patience {
    /// So many milliseconds.
    pub fn new(ms: u32) -> Self {
        Self { end_us: now_us().saturating_add(u64::from(ms) * 1000) }
    }

    /// Waits until the event; whether there is something to receive, or
    /// `ETIMEDOUT`.
    pub fn wait(&mut self, descriptor: &Descriptor, event: Event) -> Result<bool, Errno> {
        let (fd, events) = (descriptor.number(), event.bits());
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        loop {
            // SAFETY: the pointer is to one pollfd.
            match call(|| unsafe { libc::poll(&raw mut poll, 1, self.left_ms()) }) {
                Ok(0) | Err(Errno(libc::EINTR)) if self.left_ms() > 0 => {}
                Ok(0) | Err(Errno(libc::EINTR)) => return Err(Errno(libc::ETIMEDOUT)),
                Ok(_) => return Ok(poll.revents & libc::POLLIN != 0),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Lets `ms` milliseconds pass, or what is left.
    pub fn pause(&mut self, ms: u32) -> Result<(), Errno> {
        let nap_ms = c_int::try_from(ms).unwrap_or(c_int::MAX);
        if self.left_ms() <= nap_ms {
            return Err(Errno(libc::ETIMEDOUT));
        }
        // SAFETY: no pollfd is no pollfd. A signal may end the nap before its time.
        let _ = call(|| unsafe { libc::poll(core::ptr::null_mut(), 0, nap_ms) });
        Ok(())
    }

    /// Takes off what was waited elsewhere: the clock has done so already.
    pub fn spend(&mut self, _ms: u32) {}

    /// Rounded up: to wait for no time at all while some is left would be to spin.
    fn left_ms(&self) -> c_int {
        let left_us = self.end_us.saturating_sub(now_us());
        c_int::try_from(left_us.div_ceil(1000)).unwrap_or(c_int::MAX)
    }
}

/// Whether `number` can be written to at once; false also if it is not open. `poll(2)` does
/// not know every device.
pub fn is_writable(number: c_int) -> bool {
    const WORD_BITS: c_int = 32;
    const { assert!(size_of::<libc::fd_set>() == size_of::<[u32; 32]>()) };
    let mut set = [0u32; 32];
    let Some(word) = usize::try_from(number / WORD_BITS).ok().and_then(|it| set.get_mut(it)) else {
        return false;
    };
    *word = 1 << (number % WORD_BITS);
    let (writable, none) = ((&raw mut set).cast(), core::ptr::null_mut());
    let mut at_once = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let count = number.saturating_add(1);
    // SAFETY: the pointers are to a set, of the size that the kernel knows, and to a time.
    call(|| unsafe { libc::select(count, none, writable, none, &raw mut at_once) }) == Ok(1)
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

/// This process.
pub fn getpid() -> c_int {
    // SAFETY: takes no pointer, and cannot fail.
    unsafe { libc::getpid() }
}

/// Which socket a descriptor stands for; `None` if it is closed or no socket.
///
/// A Unix socket has an inode number of its own. One of TCP has none, and is told by its two
/// ports: while it lives no other has both, and the one on this side is not given again soon.
pub fn socket_identity(number: c_int) -> Option<u64> {
    // SAFETY: the kernel writes a stat to the pointer, or fails.
    let status = stat(|status| unsafe { libc::fstat(number, status) }).ok()?;
    if status.st_mode & libc::S_IFMT != libc::S_IFSOCK {
        return None;
    }
    match status.st_ino {
        0 => Some(
            u64::from(port(number, libc::getsockname)?) << 16
                | u64::from(port(number, libc::getpeername)?),
        ),
        inode => Some(inode),
    }
}

type NameOfSocket = unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> c_int;

/// A port of a TCP socket, on the side that `name` tells of.
fn port(number: c_int, name: NameOfSocket) -> Option<u16> {
    let mut address = MaybeUninit::<libc::sockaddr_in6>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_in6>()).ok()?;
    // SAFETY: the kernel writes no more than that length.
    call(|| unsafe { name(number, address.as_mut_ptr().cast(), &raw mut length) }).ok()?;
    // SAFETY: all-zero is a valid value of what was not written. The port stands at the same
    // place in the addresses of both kinds.
    Some(unsafe { address.assume_init() }.sin6_port)
}

/// The working directory; `None` if its name does not fit or cannot be had.
///
/// Not by `getcwd(3)`, which allocates when it has to look for the name.
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

/// Opens a file to look at it, which waits for nothing and makes no terminal ours.
pub fn open_to_read(path: &CStr) -> Result<Descriptor, Errno> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: the kernel reads a string.
    opened(call(|| unsafe { libc::open(path.as_ptr(), flags) }))
}

/// Reads what stands at `offset`; how many bytes that was.
pub fn read_at(file: &Descriptor, offset: u64, room: &mut [u8]) -> usize {
    let (pointer, length) = (room.as_mut_ptr().cast(), room.len());
    let Ok(offset) = libc::off_t::try_from(offset) else { return 0 };
    // SAFETY: the kernel writes to the slice only.
    call(|| unsafe { libc::pread(file.number(), pointer, length, offset) }).unwrap_or(0)
}

fn file_status(status: &libc::stat) -> FileStatus {
    FileStatus {
        rights: Status { mode: status.st_mode.into(), flags: status.st_flags },
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
    // SAFETY: it did not fail.
    Ok(unsafe { status.assume_init() })
}

/// New memory, zeroed; never given back.
pub fn map(length: usize) -> Option<*mut c_void> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
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

/// A signal mask as the kernel has it.
#[derive(Debug, Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Every signal that can be blocked.
    pub const ALL: Self = Self(libc::sigset_t::MAX);

    /// Blocks these signals in the calling thread; the mask that was in force.
    pub fn block(self) -> Self {
        self.change(libc::SIG_BLOCK)
    }

    /// Makes this the mask of the calling thread.
    pub fn restore(self) {
        self.change(libc::SIG_SETMASK);
    }

    fn change(self, how: c_int) -> Self {
        let mut old = Self(0);
        // SAFETY: both pointers are to masks. It cannot fail then, and sets no errno.
        unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut old.0) };
        old
    }
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
