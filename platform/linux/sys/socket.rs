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

/// A socket's address as the kernel takes it.
#[derive(Clone, Copy)]
pub struct Address {
    bytes: libc::sockaddr_storage,
    is_loopback: bool,
    length: usize,
}

impl Address {
    /// Of a TCP server.
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

    /// Of a Unix socket of this name in the abstract namespace; `None` if it is too long.
    pub fn abstract_unix(name: &[u8]) -> Option<Self> {
        let mut address =
            libc::sockaddr_un { sun_family: family(libc::AF_UNIX), sun_path: [0; 108] };
        // The first byte stays NUL, and what follows the name is not part of it (unix(7)).
        let (_, room) = address.sun_path.split_first_mut()?;
        let room = room.get_mut(..name.len())?;
        room.iter_mut().zip(name).for_each(|(to, from)| *to = c_char::from_ne_bytes([*from]));
        let length = offset_of!(libc::sockaddr_un, sun_path).checked_add(1)?;
        let length = length.checked_add(name.len())?;
        Some(Self { length, ..Self::new(address) })
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
            Self { bytes: bytes.assume_init(), is_loopback: false, length: size_of::<Kind>() }
        }
    }

    /// Whether it is a TCP server's on this machine.
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    fn family(&self) -> c_int {
        c_int::from(self.bytes.ss_family)
    }
}

/// Whether `address` is a path where nothing is, so that nobody can listen.
pub fn is_missing(address: &Address) -> bool {
    // An abstract name is no path, and shorter than the room for one.
    if address.family() != libc::AF_UNIX || address.length < size_of::<libc::sockaddr_un>() {
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

/// Begins to connect, or connects; `EINPROGRESS` for the former.
pub fn connect(descriptor: &Descriptor, address: &Address) -> Result<(), Errno> {
    let pointer = &raw const address.bytes as usize;
    let arguments = [register(descriptor.number()), pointer, address.length, 0, 0, 0];
    // SAFETY: an address of that length stands at the pointer.
    unsafe { call(libc::SYS_connect, arguments) }.map(|_| ())
}

/// Connects after [`connect`] has said `EAGAIN`: waits for a place in the queue of a Unix socket.
/// `EAGAIN` if a signal ended that early, `ETIMEDOUT` if no time is left.
///
/// It is the kernel that waits, which wakes one when there is a place. Hundreds that try again every
/// millisecond would take the processor from the server that they wait for.
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

/// The same where a sandbox forbids to have the kernel wait: tries again, after longer and longer
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

/// Lets small pieces go out at once on TCP; another socket does so anyway.
pub fn set_no_delay(descriptor: &Descriptor) {
    let on: c_int = 1;
    // Without the option it is merely slower.
    let _ = set_option(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on);
}

/// Lets [`receive_waiting`] wait for up to `ms` milliseconds.
pub fn set_receive_timeout(descriptor: &Descriptor, ms: u32) -> Result<(), Errno> {
    let timeout = libc::timeval {
        tv_sec: libc::time_t::from(ms / 1000),
        tv_usec: libc::suseconds_t::from(ms % 1000) * 1000,
    };
    block(descriptor, libc::SO_RCVTIMEO, &timeout)
}

/// Has a socket wait for so long, which it does not from birth. If that fails it does not wait.
fn block(descriptor: &Descriptor, option: c_int, timeout: &libc::timeval) -> Result<(), Errno> {
    // First: one that waits without an end would wait for ever.
    set_option(descriptor, libc::SOL_SOCKET, option, timeout)?;
    let (number, command) = (register(descriptor.number()), register(libc::F_SETFL));
    // SAFETY: takes no pointer. The socket has no other flags.
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

/// Receives what is there or comes while the socket [waits](set_receive_timeout).
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

/// Marks a connection as this process's. A forked child has a copy, and in a pid namespace of
/// its own may have the same number (`pid_namespaces(7)`); the mark is the process itself. That
/// it would be sent SIGURG for what is out of band harms nobody: it is ignored by default.
pub fn set_owner(descriptor: &Descriptor) -> Result<(), Errno> {
    let (number, command) = (register(descriptor.number()), register(libc::F_SETOWN));
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, [number, command, register(getpid()), 0, 0, 0]) }.map(|_| ())
}

/// Whether a connection is marked as this process's (`F_GETOWN`, fcntl(2)): the kernel names the
/// owner as it is numbered for who asks, and by 0 where it has no number there.
pub fn is_owned(descriptor: &Descriptor) -> bool {
    let (number, command) = (register(descriptor.number()), register(libc::F_GETOWN));
    // SAFETY: takes no pointer.
    let owner = unsafe { call(libc::SYS_fcntl, [number, command, 0, 0, 0, 0]) };
    owner == Ok(register(getpid()))
}

/// Whether a connection is open and nothing has come that was not received yet.
pub fn is_idle(descriptor: &Descriptor) -> bool {
    let found = receive_as(descriptor, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT);
    found == Err(Errno(libc::EAGAIN))
}

/// What [`socket_identity`] will tell a socket by.
pub fn mark_identity(socket: &Descriptor) -> Option<u64> {
    socket_identity(socket.number())
}

/// Which socket a descriptor stands for: the number of its inode, which no other
/// socket has as long as this one lives. `None` if it is closed or no socket.
pub fn socket_identity(number: c_int) -> Option<u64> {
    let status = stat(libc::SYS_fstat, |status| [register(number), status, 0, 0, 0, 0]).ok()?;
    (status.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(status.st_ino)
}
