//! Sockets, and their addresses.

use core::ffi::{c_char, c_int};
use core::mem::{MaybeUninit, offset_of};
use core::net::SocketAddr;

use super::file::stat;
use super::{call, opened};
use crate::descriptor::{Descriptor, Errno};

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

    /// None: macOS has no such names.
    pub fn abstract_unix(_name: &[u8]) -> Option<Self> {
        None
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
