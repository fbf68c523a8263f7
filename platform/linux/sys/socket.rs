//! Sockets, and their addresses.

use core::ffi::{c_char, c_int};
use core::mem::{MaybeUninit, offset_of};
use core::net::SocketAddr;

use super::call::{call, register};
use super::deadline::Deadline;
use super::file::stat;
use super::numbers::opened;
use super::process::{getpid, now_us};
use crate::descriptor::Descriptor;
use crate::errno::Errno;

/// A socket address in the kernel's format.
#[derive(Clone, Copy)]
pub struct Address {
    bytes: libc::sockaddr_storage,
    is_loopback: bool,
    length: usize,
}

impl Address {
    /// The address of a TCP server.
    pub fn tcp(address: SocketAddr) -> Self {
        let is_loopback = address.ip().is_loopback();
        let address = match address {
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
        };
        Self { is_loopback, ..address }
    }

    /// The address of a Unix socket by its abstract name; `None` if that is too long.
    pub fn abstract_unix(name: &[u8]) -> Option<Self> {
        let mut address =
            libc::sockaddr_un { sun_family: family(libc::AF_UNIX), sun_path: [0; 108] };
        // The first byte is NUL, and the address ends with the name (unix(7)).
        let (_, room) = address.sun_path.split_first_mut()?;
        let room = room.get_mut(..name.len())?;
        room.iter_mut().zip(name).for_each(|(to, from)| *to = c_char::from_ne_bytes([*from]));
        let length = offset_of!(libc::sockaddr_un, sun_path).checked_add(1)?;
        let length = length.checked_add(name.len())?;
        Some(Self { length, ..Self::new(address) })
    }

    /// The address of a Unix socket by its path; `None` if that is too long.
    pub fn unix(path: &[u8]) -> Option<Self> {
        let mut address =
            libc::sockaddr_un { sun_family: family(libc::AF_UNIX), sun_path: [0; 108] };
        // The last byte remains NUL.
        let (_, room) = address.sun_path.split_last_mut()?;
        let room = room.get_mut(..path.len())?;
        room.iter_mut().zip(path).for_each(|(to, from)| *to = c_char::from_ne_bytes([*from]));
        Some(Self::new(address))
    }

    fn new<Kind>(address: Kind) -> Self {
        const { assert!(size_of::<Kind>() <= size_of::<libc::sockaddr_storage>()) };
        let mut bytes = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        // SAFETY: `sockaddr_storage` is large enough (checked above) and aligned for each kind of
        // address, and zeroed bytes are valid where the address does not overwrite them.
        unsafe {
            bytes.as_mut_ptr().cast::<Kind>().write(address);
            Self { bytes: bytes.assume_init(), is_loopback: false, length: size_of::<Kind>() }
        }
    }

    /// Whether it is that of a TCP server on this machine.
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    fn family(&self) -> c_int {
        c_int::from(self.bytes.ss_family)
    }
}

/// Whether `address` is a path that does not exist, so that nobody listens there.
pub fn is_missing(address: &Address) -> bool {
    // The address of an abstract name is shorter than one of a path.
    if address.family() != libc::AF_UNIX || address.length < size_of::<libc::sockaddr_un>() {
        return false;
    }
    let path = (&raw const address.bytes)
        .cast::<u8>()
        .wrapping_add(offset_of!(libc::sockaddr_un, sun_path));
    let arguments = [register(libc::AT_FDCWD), path as usize, register(libc::F_OK), 0, 0, 0];
    // SAFETY: a path in an address ends with NUL; see `Address::unix`.
    let found = unsafe { call(libc::SYS_faccessat, arguments) };
    found == Err(Errno(libc::ENOENT))
}

/// An address family in the type of the structures, into which each fits.
fn family(number: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

/// A new stream socket for `address`, non-blocking and close-on-exec.
pub fn socket(address: &Address) -> Result<Descriptor, Errno> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let arguments = [register(address.family()), register(kind), 0, 0, 0, 0];
    // SAFETY: takes no pointer.
    opened(unsafe { call(libc::SYS_socket, arguments) })
}

/// Connects; `EINPROGRESS` if that takes time.
pub fn connect(descriptor: &Descriptor, address: &Address) -> Result<(), Errno> {
    let pointer = &raw const address.bytes as usize;
    let arguments = [register(descriptor.number()), pointer, address.length, 0, 0, 0];
    // SAFETY: the pointer is to an address of that length.
    unsafe { call(libc::SYS_connect, arguments) }.map(|_| ())
}

/// Connects after [`connect`] has failed with `EAGAIN`: waits for a place in the queue of a Unix
/// socket. `EAGAIN` if a signal interrupted that, `ETIMEDOUT` if no time is left.
///
/// The kernel waits and wakes one process for each free place. Hundreds of processes that retried
/// every millisecond would take the processor from the server.
#[cold]
#[inline(never)]
pub fn connect_to_full_queue(
    descriptor: &Descriptor,
    address: &Address,
    deadline: &mut Deadline,
) -> Result<(), Errno> {
    let left = deadline.left().ok_or(Errno(libc::ETIMEDOUT))?;
    if block(descriptor, libc::SO_SNDTIMEO, &left).is_err() {
        return connect_by_retrying(descriptor, address, deadline);
    }
    let begun = now_us();
    let connected = connect(descriptor, address);
    deadline.spend_us(now_us().saturating_sub(begun).max(1));
    match connected {
        Err(Errno(libc::EAGAIN)) => Err(Errno(libc::ETIMEDOUT)),
        Err(Errno(libc::EINTR)) => Err(Errno(libc::EAGAIN)),
        connected => connected,
    }
}

/// The same in a sandbox that forbids to make the socket blocking: retries after longer and longer
/// pauses.
#[cold]
#[inline(never)]
fn connect_by_retrying(
    descriptor: &Descriptor,
    address: &Address,
    deadline: &mut Deadline,
) -> Result<(), Errno> {
    const LONGEST_PAUSE_MS: u32 = 64;
    let mut pause_ms = 1;
    loop {
        deadline.pause(pause_ms)?;
        match connect(descriptor, address) {
            Err(Errno(libc::EAGAIN)) => pause_ms = LONGEST_PAUSE_MS.min(2 * pause_ms),
            connected => return connected,
        }
    }
}

/// Disables Nagle's algorithm on TCP; other sockets have none.
pub fn set_no_delay(descriptor: &Descriptor) {
    let on: c_int = 1;
    // If it fails, sending is only slower.
    let _ = set_option(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on);
}

/// Makes [`receive_waiting`] block for up to `ms` milliseconds.
pub fn set_receive_timeout(descriptor: &Descriptor, ms: u32) -> Result<(), Errno> {
    let timeout = libc::timeval {
        tv_sec: libc::time_t::from(ms / 1000),
        tv_usec: libc::suseconds_t::from(ms % 1000) * 1000,
    };
    block(descriptor, libc::SO_RCVTIMEO, &timeout)
}

/// Makes a non-blocking socket block for up to `timeout`. If this fails it stays non-blocking.
fn block(descriptor: &Descriptor, option: c_int, timeout: &libc::timeval) -> Result<(), Errno> {
    // The timeout comes first: a blocking socket without it could block for ever.
    set_option(descriptor, libc::SOL_SOCKET, option, timeout)?;
    let (number, command) = (register(descriptor.number()), register(libc::F_SETFL));
    // SAFETY: takes no pointer. `O_NONBLOCK` was the socket's only flag.
    unsafe { call(libc::SYS_fcntl, [number, command, 0, 0, 0, 0]) }.map(|_| ())
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

/// Sends as much as is possible without blocking, and without SIGPIPE.
pub fn send(descriptor: &Descriptor, bytes: &[u8]) -> Result<usize, Errno> {
    let flags = register(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
    let arguments =
        [register(descriptor.number()), bytes.as_ptr() as usize, bytes.len(), flags, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { call(libc::SYS_sendto, arguments) }
}

/// Receives bytes that have arrived; 0 at the end of the connection.
pub fn receive(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive_as(descriptor, room, libc::MSG_DONTWAIT)
}

/// Receives bytes that have arrived or arrive within the [timeout](set_receive_timeout).
pub fn receive_waiting(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive_as(descriptor, room, 0)
}

fn receive_as(descriptor: &Descriptor, room: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    let flags = register(flags);
    let arguments =
        [register(descriptor.number()), room.as_mut_ptr() as usize, room.len(), flags, 0, 0];
    // SAFETY: the kernel writes to the slice only.
    unsafe { call(libc::SYS_recvfrom, arguments) }
}

/// Makes this process the owner of a connection (`F_SETOWN`, fcntl(2)). A forked child has a copy
/// of the descriptor, and in a PID namespace of its own may have the same process ID
/// (`pid_namespaces(7)`); the kernel tells them apart. An owner may be sent SIGURG, which is
/// ignored by default, and the server sends no out-of-band data.
pub fn set_owner(descriptor: &Descriptor) -> Result<(), Errno> {
    let (number, command) = (register(descriptor.number()), register(libc::F_SETOWN));
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, [number, command, register(getpid()), 0, 0, 0]) }.map(|_| ())
}

/// Whether this process is the owner of a connection (`F_GETOWN`, fcntl(2)). The kernel gives the
/// owner's ID in the caller's PID namespace, or 0 if it has none there.
pub fn is_owned(descriptor: &Descriptor) -> bool {
    let (number, command) = (register(descriptor.number()), register(libc::F_GETOWN));
    // SAFETY: takes no pointer.
    let owner = unsafe { call(libc::SYS_fcntl, [number, command, 0, 0, 0, 0]) };
    owner == Ok(register(getpid()))
}

/// Whether a connection is open and no bytes have arrived.
pub fn is_idle(descriptor: &Descriptor) -> bool {
    let found = receive_as(descriptor, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT);
    found == Err(Errno(libc::EAGAIN))
}

/// The identity by which [`socket_identity`] will recognise a socket.
pub fn mark_identity(socket: &Descriptor) -> Option<u64> {
    socket_identity(socket.number())
}

/// The identity of a socket: its inode number, which no other socket has while this one exists.
/// `None` if the descriptor is not an open socket.
pub fn socket_identity(number: c_int) -> Option<u64> {
    let status = stat(libc::SYS_fstat, |status| [register(number), status, 0, 0, 0, 0]).ok()?;
    (status.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(status.st_ino)
}
