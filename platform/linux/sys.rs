//! System calls as hooks need them: raw, so that they touch neither `errno` nor
//! thread cancellation nor another library's hooks.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::mem::{MaybeUninit, offset_of};
use core::net::SocketAddr;

use rampart_core::coverage::Status;

use crate::descriptor::{Descriptor, Errno, Event, FileStatus, moment};

/// One system call.
///
/// # Safety
/// As for the call: pointers must be what the kernel takes them for.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: c_long;
    // SAFETY: syscall(2), "Architecture calling conventions": these registers hold the
    // arguments, and the kernel changes rax, rcx and r11 only.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first, in("rsi") second, in("rdx") third,
            in("r10") fourth, in("r8") fifth, in("r9") sixth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack, preserves_flags)
        );
    }
    checked(result)
}

/// One system call.
///
/// # Safety
/// As for the call: pointers must be what the kernel takes them for.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: c_long;
    // SAFETY: syscall(2), "Architecture calling conventions": these registers hold the
    // arguments, and the kernel changes x0 only.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => result,
            in("x1") second, in("x2") third, in("x3") fourth, in("x4") fifth, in("x5") sixth,
            options(nostack, preserves_flags)
        );
    }
    checked(result)
}

/// The kernel reports an error as its number negated, 4095 being the largest.
fn checked(result: c_long) -> Result<usize, Errno> {
    const LARGEST_ERRNO: c_long = 4095;
    if (-LARGEST_ERRNO..0).contains(&result) {
        Err(Errno(c_int::try_from(result.wrapping_neg()).unwrap_or(libc::EIO)))
    } else {
        Ok(usize::try_from(result.cast_unsigned()).unwrap_or(0))
    }
}

/// A descriptor or another small number as a register wants it.
pub fn register(number: c_int) -> usize {
    (number as isize).cast_unsigned()
}

/// Closes a descriptor of ours. Nobody can be told of an error.
pub fn close(number: c_int) {
    // SAFETY: takes no pointer. That the number is closed is the point.
    let _ = unsafe { call(libc::SYS_close, [register(number), 0, 0, 0, 0, 0]) };
}

/// A socket's address as the kernel takes it.
#[derive(Clone, Copy)]
pub struct Address {
    bytes: libc::sockaddr_storage,
    length: usize,
}

impl Address {
    /// Of a TCP server.
    pub fn tcp(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::new(libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::new(libc::sockaddr_in6 {
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
        let mut address =
            libc::sockaddr_un { sun_family: family(libc::AF_UNIX), sun_path: [0; 108] };
        // The last byte stays NUL.
        let (_, room) = address.sun_path.split_last_mut()?;
        let room = room.get_mut(..path.len())?;
        room.iter_mut().zip(path).for_each(|(to, from)| *to = c_char::from_ne_bytes([*from]));
        Some(Self::new(address))
    }

    fn new<Kind>(address: Kind) -> Self {
        const { assert!(size_of::<Kind>() <= size_of::<libc::sockaddr_storage>()) };
        let mut bytes = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        // SAFETY: the storage is large enough (checked above) and aligned for every
        // kind of address; all-zero is a valid value of what is not overwritten.
        unsafe {
            bytes.as_mut_ptr().cast::<Kind>().write(address);
            Self { bytes: bytes.assume_init(), length: size_of::<Kind>() }
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
    let path = (&raw const address.bytes)
        .cast::<u8>()
        .wrapping_add(offset_of!(libc::sockaddr_un, sun_path));
    let arguments = [register(libc::AT_FDCWD), path as usize, register(libc::F_OK), 0, 0, 0];
    // SAFETY: the path of a Unix address ends with NUL; see `Address::unix`.
    let found = unsafe { call(libc::SYS_faccessat, arguments) };
    found == Err(Errno(libc::ENOENT))
}

/// An address family as the structures hold it; all of them fit.
fn family(number: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

/// A stream socket for `address`, non-blocking and close-on-exec from birth.
pub fn socket(address: &Address) -> Result<Descriptor, Errno> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let arguments = [register(address.family()), register(kind), 0, 0, 0, 0];
    // SAFETY: takes no pointer.
    opened(unsafe { call(libc::SYS_socket, arguments) })
}

/// A second descriptor for the same thing, numbered `lowest` or above.
pub fn duplicate(descriptor: &Descriptor, lowest: c_int) -> Result<Descriptor, Errno> {
    let command = register(libc::F_DUPFD_CLOEXEC);
    let arguments = [register(descriptor.number()), command, register(lowest), 0, 0, 0];
    // SAFETY: takes no pointer.
    opened(unsafe { call(libc::SYS_fcntl, arguments) })
}

fn opened(result: Result<usize, Errno>) -> Result<Descriptor, Errno> {
    result.map(|number| Descriptor::from_number(c_int::try_from(number).unwrap_or(-1)))
}

/// Takes `number` if it is free, with what can be neither read nor written (`O_PATH`, open(2)):
/// to whoever tries, it is as good as closed. The numbers below it must be taken.
pub fn occupy(number: c_int) -> Option<Descriptor> {
    if is_open(number) {
        return None;
    }
    let flags = register(libc::O_PATH | libc::O_CLOEXEC);
    let arguments = [register(libc::AT_FDCWD), c"/".as_ptr() as usize, flags, 0, 0, 0];
    // SAFETY: the kernel reads a string.
    opened(unsafe { call(libc::SYS_openat, arguments) }).ok()
}

/// Begins to connect, or connects; `EINPROGRESS` for the former.
pub fn connect(descriptor: &Descriptor, address: &Address) -> Result<(), Errno> {
    let pointer = &raw const address.bytes as usize;
    let arguments = [register(descriptor.number()), pointer, address.length, 0, 0, 0];
    // SAFETY: an address of that length stands at the pointer.
    unsafe { call(libc::SYS_connect, arguments) }.map(|_| ())
}

/// Lets small pieces go out at once on TCP; another socket does so anyway.
pub fn set_no_delay(descriptor: &Descriptor) {
    let on: c_int = 1;
    // Without the option it is merely slower.
    let _ = set_option(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on);
}

/// Lets [`receive_dwelling`] wait for up to `ms` milliseconds.
pub fn dwell(descriptor: &Descriptor, ms: u32) -> Result<(), Errno> {
    // SAFETY: takes no pointer. The socket has no other flags.
    unsafe {
        call(libc::SYS_fcntl, [register(descriptor.number()), register(libc::F_SETFL), 0, 0, 0, 0])
    }?;
    let timeout = libc::timeval {
        tv_sec: libc::time_t::from(ms / 1000),
        tv_usec: libc::suseconds_t::from(ms % 1000) * 1000,
    };
    set_option(descriptor, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)
}

fn set_option<Value>(
    descriptor: &Descriptor,
    level: c_int,
    option: c_int,
    value: &Value,
) -> Result<(), Errno> {
    let value = core::ptr::from_ref(value) as usize;
    let size = size_of::<Value>();
    let arguments =
        [register(descriptor.number()), register(level), register(option), value, size, 0];
    // SAFETY: the pointer is to a live value of that size, which the kernel reads only.
    unsafe { call(libc::SYS_setsockopt, arguments) }.map(|_| ())
}

/// Sends what the socket takes at once, never with SIGPIPE.
pub fn send(descriptor: &Descriptor, bytes: &[u8]) -> Result<usize, Errno> {
    let flags = register(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
    let arguments =
        [register(descriptor.number()), bytes.as_ptr() as usize, bytes.len(), flags, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { call(libc::SYS_sendto, arguments) }
}

/// Receives what is there; 0 at the end of the connection.
pub fn receive(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive_as(descriptor, room, libc::MSG_DONTWAIT)
}

/// Receives what is there or comes while the socket [dwells](dwell).
pub fn receive_dwelling(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive_as(descriptor, room, 0)
}

fn receive_as(descriptor: &Descriptor, room: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    let flags = register(flags);
    let arguments =
        [register(descriptor.number()), room.as_mut_ptr() as usize, room.len(), flags, 0, 0];
    // SAFETY: the kernel writes to the slice only.
    unsafe { call(libc::SYS_recvfrom, arguments) }
}

/// Whether a connection is open and nothing has come that was not received yet.
pub fn is_quiet(descriptor: &Descriptor) -> bool {
    let found = receive_as(descriptor, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT);
    found == Err(Errno(libc::EAGAIN))
}

/// Time that is left for waiting.
///
/// The kernel itself takes off what was waited (ppoll(2), "C library/kernel
/// differences"), over signals too, so that no clock need be read.
pub struct Patience(libc::timespec);

impl Patience {
    /// So many milliseconds.
    pub fn new(ms: u32) -> Self {
        Self(libc::timespec {
            tv_sec: libc::time_t::from(ms / 1000),
            tv_nsec: libc::c_long::from(ms % 1000) * 1_000_000,
        })
    }

    /// Waits until the event; whether there is something to receive, or
    /// `ETIMEDOUT`.
    pub fn wait(&mut self, descriptor: &Descriptor, event: Event) -> Result<bool, Errno> {
        let (fd, events) = (descriptor.number(), event.bits());
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        match self.poll(Some(&mut poll))? {
            0 => Err(Errno(libc::ETIMEDOUT)),
            _ => Ok(poll.revents & libc::POLLIN != 0),
        }
    }

    /// Lets `ms` milliseconds pass, or what is left.
    pub fn pause(&mut self, ms: u32) -> Result<(), Errno> {
        let mut nap = Self::new(ms);
        let before = (self.0.tv_sec, self.0.tv_nsec);
        if before <= (nap.0.tv_sec, nap.0.tv_nsec) {
            return Err(Errno(libc::ETIMEDOUT));
        }
        nap.poll(None)?;
        self.spend(ms);
        Ok(())
    }

    /// Takes off `ms` milliseconds that were waited elsewhere.
    pub fn spend(&mut self, ms: u32) {
        let spent = Self::new(ms);
        self.0.tv_sec -= spent.0.tv_sec;
        self.0.tv_nsec -= spent.0.tv_nsec;
        if self.0.tv_nsec < 0 {
            self.0.tv_sec -= 1;
            self.0.tv_nsec += 1_000_000_000;
        }
        if self.0.tv_sec < 0 {
            *self = Self::new(0);
        }
    }

    fn poll(&mut self, descriptor: Option<&mut libc::pollfd>) -> Result<usize, Errno> {
        let count = usize::from(descriptor.is_some());
        let pointer = descriptor.map_or(0, |poll| core::ptr::from_mut(poll) as usize);
        loop {
            let arguments = [pointer, count, &raw mut self.0 as usize, 0, 0, 0];
            // SAFETY: `pointer` is to `count` pollfd, and the timespec is ours to write.
            match unsafe { call(libc::SYS_ppoll, arguments) } {
                Err(Errno(libc::EINTR)) => {}
                result => return result,
            }
        }
    }
}

/// Whether `number` can be written to at once; false also if it is not open.
pub fn is_writable(number: c_int) -> bool {
    let mut poll = libc::pollfd { fd: number, events: libc::POLLOUT, revents: 0 };
    let ready = Patience::new(0).poll(Some(&mut poll));
    ready == Ok(1) && poll.revents == libc::POLLOUT
}

/// Writes; how many bytes were taken.
pub fn write(number: c_int, bytes: &[u8]) -> Result<usize, Errno> {
    let arguments = [register(number), bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { call(libc::SYS_write, arguments) }
}

/// This process.
pub fn getpid() -> c_int {
    // SAFETY: takes no pointer.
    let pid = unsafe { call(libc::SYS_getpid, [0; 6]) };
    pid.ok().and_then(|pid| c_int::try_from(pid).ok()).unwrap_or(0)
}

/// Which socket a descriptor stands for: the number of its inode, which no other
/// socket has as long as this one lives. `None` if it is closed or no socket.
pub fn socket_identity(number: c_int) -> Option<u64> {
    let status = stat(libc::SYS_fstat, |status| [register(number), status, 0, 0, 0, 0]).ok()?;
    (status.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(status.st_ino)
}

/// Whether a number stands for an open descriptor.
pub fn is_open(number: c_int) -> bool {
    let arguments = [register(number), register(libc::F_GETFD), 0, 0, 0, 0];
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, arguments) }.is_ok()
}

/// Opens a file to be read. It waits for nothing and makes no terminal ours.
pub fn open_to_read(path: &CStr) -> Result<Descriptor, Errno> {
    let flags = register(libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY);
    let arguments = [register(libc::AT_FDCWD), path.as_ptr() as usize, flags, 0, 0, 0];
    // SAFETY: the kernel reads a string.
    opened(unsafe { call(libc::SYS_openat, arguments) })
}

/// Reads what stands at `offset`; how many bytes that was.
pub fn read_at(file: &Descriptor, offset: u64, room: &mut [u8]) -> usize {
    let Ok(offset) = usize::try_from(offset) else { return 0 };
    let arguments = [register(file.number()), room.as_mut_ptr() as usize, room.len(), offset, 0, 0];
    // SAFETY: the kernel writes to the slice only.
    unsafe { call(libc::SYS_pread64, arguments) }.unwrap_or(0)
}

fn file_status(status: &libc::stat) -> FileStatus {
    FileStatus {
        rights: Status { mode: status.st_mode, flags: 0 },
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

/// Makes one of the calls that fill a `stat`, with the arguments for its address.
fn stat(number: c_long, arguments: impl FnOnce(usize) -> [usize; 6]) -> Result<libc::stat, Errno> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    let arguments = arguments(status.as_mut_ptr() as usize);
    // SAFETY: the kernel writes a stat to the pointer, or fails; the other arguments are a
    // descriptor or a string.
    unsafe { call(number, arguments) }?;
    // SAFETY: it did not fail.
    Ok(unsafe { status.assume_init() })
}

/// What a symbolic link points to.
pub enum Link<'r> {
    To(&'r [u8]),
    /// There is no such link.
    Missing,
    /// It may not fit.
    TooLong,
}

/// Reads a symbolic link.
pub fn read_link<'r>(path: &CStr, room: &'r mut [u8]) -> Link<'r> {
    let directory = register(libc::AT_FDCWD);
    let arguments =
        [directory, path.as_ptr() as usize, room.as_mut_ptr() as usize, room.len(), 0, 0];
    // SAFETY: the kernel reads a string and writes to the slice only.
    match unsafe { call(libc::SYS_readlinkat, arguments) } {
        // A link that fills the room may have been cut.
        Ok(length) if length < room.len() => room.get(..length).map_or(Link::TooLong, Link::To),
        Ok(_) => Link::TooLong,
        Err(_) => Link::Missing,
    }
}

/// The working directory; `None` if it does not fit or cannot be reached.
pub fn working_directory(room: &mut [u8]) -> Option<&[u8]> {
    let arguments = [room.as_mut_ptr() as usize, room.len(), 0, 0, 0, 0];
    // SAFETY: the kernel writes to the slice only.
    let length = unsafe { call(libc::SYS_getcwd, arguments) }.ok()?;
    // The kernel counts the NUL. Outside of the root it begins with "(unreachable)".
    room.get(..length)?.strip_suffix(b"\0").filter(|path| path.starts_with(b"/"))
}

/// New memory, zeroed; `None` if there is none to be had.
pub fn map(length: usize) -> Option<*mut c_void> {
    let arguments = [
        0,
        length,
        register(libc::PROT_READ | libc::PROT_WRITE),
        register(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
        usize::MAX,
        0,
    ];
    // SAFETY: a new mapping where the kernel likes changes no other memory.
    let start = unsafe { call(libc::SYS_mmap, arguments) }.ok()?;
    Some(start as *mut c_void)
}

/// Makes memory read-only, where the system lets us.
///
/// # Safety
/// It must be whole pages that nobody writes to any more.
pub unsafe fn make_read_only(start: *const c_void, length: usize) {
    let arguments = [start as usize, length, register(libc::PROT_READ), 0, 0, 0];
    // SAFETY: the caller's promise. A system that forbids it leaves a weaker guard.
    let _ = unsafe { call(libc::SYS_mprotect, arguments) };
}

/// A signal mask as the kernel has it.
#[derive(Debug, Clone, Copy)]
pub struct SignalMask(u64);

impl SignalMask {
    /// Every signal that can be blocked.
    pub const ALL: Self = Self(u64::MAX);
    /// SIGPIPE alone.
    pub const PIPE: Self = Self(1 << (libc::SIGPIPE - 1));

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
        let arguments = [
            register(how),
            &raw const self.0 as usize,
            &raw mut old.0 as usize,
            size_of::<u64>(),
            0,
            0,
        ];
        // SAFETY: both pointers are to masks of the size given. It cannot fail then.
        let _ = unsafe { call(libc::SYS_rt_sigprocmask, arguments) };
        old
    }

    /// Whether it holds all signals of `other`.
    pub fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Takes back one of these signals that is pending in the calling thread.
    pub fn discard_pending(self) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let arguments =
            [&raw const self.0 as usize, 0, &raw const at_once as usize, size_of::<u64>(), 0, 0];
        // SAFETY: the pointers are to a mask and a timespec. That none is pending is fine.
        let _ = unsafe { call(libc::SYS_rt_sigtimedwait, arguments) };
    }
}

/// Whether one of `signals` waits to be delivered.
pub fn is_pending(signals: SignalMask) -> bool {
    let mut pending = SignalMask(0);
    let arguments = [&raw mut pending.0 as usize, size_of::<u64>(), 0, 0, 0, 0];
    // SAFETY: the pointer is to a mask of the size given.
    let _ = unsafe { call(libc::SYS_rt_sigpending, arguments) };
    pending.holds(signals)
}

/// A moment on the monotonic clock, in microseconds.
pub fn now_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let arguments = [register(libc::CLOCK_MONOTONIC), &raw mut time as usize, 0, 0, 0, 0];
    // SAFETY: the pointer is to a timespec.
    let _ = unsafe { call(libc::SYS_clock_gettime, arguments) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// Ends the process without running anything of it.
pub fn exit(status: c_int) -> ! {
    loop {
        // SAFETY: takes no pointer, and does not return.
        let _ = unsafe { call(libc::SYS_exit_group, [register(status), 0, 0, 0, 0, 0]) };
    }
}
