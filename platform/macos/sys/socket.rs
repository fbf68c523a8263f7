//! Sockets, and their addresses.

use core::ffi::{c_char, c_int};
use core::mem::{MaybeUninit, offset_of};
use core::net::SocketAddr;

use super::call::call;
use super::deadline::Deadline;
use super::numbers::opened;
use super::process::now_us;
use crate::descriptor::Descriptor;
use crate::errno::Errno;

/// A socket address in the kernel's format.
#[derive(Clone, Copy)]
pub struct Address {
    bytes: libc::sockaddr_storage,
    is_loopback: bool,
    length: u8,
}

impl Address {
    /// The address of a TCP server.
    pub fn tcp(address: SocketAddr) -> Self {
        let is_loopback = address.ip().is_loopback();
        let address = match address {
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
        };
        Self { is_loopback, ..address }
    }

    /// The address of a Unix socket by its path; `None` if that is too long.
    pub fn unix(path: &[u8]) -> Option<Self> {
        let mut sun_path = [0; 104];
        // The last byte remains NUL.
        let (_, room) = sun_path.split_last_mut()?;
        let room = room.get_mut(..path.len())?;
        room.iter_mut().zip(path).for_each(|(to, from)| *to = c_char::from_ne_bytes([*from]));
        let sun_family = family(libc::AF_UNIX);
        Some(Self::new(|sun_len| libc::sockaddr_un { sun_len, sun_family, sun_path }))
    }

    /// `None`: macOS has no abstract names.
    pub fn abstract_unix(_name: &[u8]) -> Option<Self> {
        None
    }

    /// An address; `make` is given its length, which is one of its fields.
    fn new<Kind>(make: impl FnOnce(u8) -> Kind) -> Self {
        const { assert!(size_of::<Kind>() <= size_of::<libc::sockaddr_storage>()) };
        // It fits: a `sockaddr_storage` has 128 bytes.
        let length = u8::try_from(size_of::<Kind>()).unwrap_or_default();
        let mut bytes = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        // SAFETY: `sockaddr_storage` is large enough (checked above) and aligned for each kind of
        // address, and zeroed bytes are valid where the address does not overwrite them.
        unsafe {
            bytes.as_mut_ptr().cast::<Kind>().write(make(length));
            Self { bytes: bytes.assume_init(), is_loopback: false, length }
        }
    }

    /// Whether it is that of a TCP server on this machine.
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    fn family(&self) -> c_int {
        c_int::from(self.bytes.ss_family)
    }

    fn is_unix(&self) -> bool {
        self.family() == libc::AF_UNIX
    }
}

/// Whether `address` is a path that does not exist, so that nobody listens there.
pub fn is_missing(address: &Address) -> bool {
    if !address.is_unix() {
        return false;
    }
    let start = (&raw const address.bytes).cast::<c_char>();
    let path = start.wrapping_add(offset_of!(libc::sockaddr_un, sun_path));
    // SAFETY: a path in an address ends with NUL; see `Address::unix`.
    call(|| unsafe { libc::access(path, libc::F_OK) }) == Err(Errno(libc::ENOENT))
}

/// An address family in the type of the structures, into which each fits.
fn family(number: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

/// A new stream socket for `address`, non-blocking, close-on-exec, and without SIGPIPE.
///
/// macOS cannot create it close-on-exec. A program that another thread starts before that is set
/// inherits the descriptor, which does no harm.
pub fn socket(address: &Address) -> Result<Descriptor, Errno> {
    // SAFETY: takes no pointer.
    let socket = opened(call(|| unsafe { libc::socket(address.family(), libc::SOCK_STREAM, 0) }))?;
    close_on_exec(&socket)?;
    // SAFETY: takes no pointer.
    call(|| unsafe { libc::fcntl(socket.number(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    set(&socket, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, &ON)?;
    Ok(socket)
}

fn close_on_exec(socket: &Descriptor) -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    call(|| unsafe { libc::fcntl(socket.number(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(())
}

const ON: c_int = 1;

fn set<Value>(
    socket: &Descriptor,
    level: c_int,
    option: c_int,
    value: &Value,
) -> Result<(), Errno> {
    // It fits: the value is a number or a `timeval`.
    let size = libc::socklen_t::try_from(size_of::<Value>()).unwrap_or_default();
    let value = core::ptr::from_ref(value).cast();
    // SAFETY: the pointer is to a live value of that size, which the kernel reads only.
    call(|| unsafe { libc::setsockopt(socket.number(), level, option, value, size) })?;
    Ok(())
}

/// Connects; `EINPROGRESS` if that takes time, `EAGAIN` if the queue of a Unix socket is full.
///
/// XNU's own error for a full queue is `ECONNREFUSED`, as if nobody listened
/// (bsd/kern/uipc_usrreq.c, `unp_connect`).
pub fn connect(descriptor: &Descriptor, address: &Address) -> Result<(), Errno> {
    match connect_to(descriptor, address) {
        Err(Errno(libc::ECONNREFUSED)) if address.is_unix() && has_owner(address)? => {
            Err(Errno(libc::EAGAIN))
        }
        result => result,
    }
}

/// Connects after [`connect`] has failed with `EAGAIN`, after a pause: macOS has no way to wait for
/// a place in the queue of a Unix socket.
pub fn connect_to_full_queue(
    descriptor: &Descriptor,
    address: &Address,
    deadline: &mut Deadline,
) -> Result<(), Errno> {
    deadline.pause(1)?;
    connect(descriptor, address)
}

/// Whether a process listens on the socket at a path. A datagram socket fails with `EPROTOTYPE`
/// there only if the socket has an owner, whether or not its queue is full.
fn has_owner(address: &Address) -> Result<bool, Errno> {
    // SAFETY: takes no pointer.
    let probe = opened(call(|| unsafe { libc::socket(address.family(), libc::SOCK_DGRAM, 0) }))?;
    close_on_exec(&probe)?;
    Ok(connect_to(&probe, address) == Err(Errno(libc::EPROTOTYPE)))
}

fn connect_to(descriptor: &Descriptor, address: &Address) -> Result<(), Errno> {
    let length = libc::socklen_t::from(address.length);
    let pointer = (&raw const address.bytes).cast();
    // SAFETY: the pointer is to an address of that length.
    call(|| unsafe { libc::connect(descriptor.number(), pointer, length) })?;
    Ok(())
}

/// Disables Nagle's algorithm on TCP; other sockets have none.
pub fn set_no_delay(descriptor: &Descriptor) {
    // If it fails, sending is only slower.
    let _ = set(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY, &ON);
}

/// Sends as much as is possible without blocking; `EAGAIN` if that is nothing.
pub fn send(descriptor: &Descriptor, bytes: &[u8]) -> Result<usize, Errno> {
    let (pointer, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the kernel reads the slice only.
    let sent = call(|| unsafe { libc::send(descriptor.number(), pointer, length, 0) });
    match sent {
        // The connection is in progress. If it fails, the socket becomes writable, and sending
        // fails with another error.
        Err(Errno(libc::ENOTCONN)) => Err(Errno(libc::EAGAIN)),
        sent => sent,
    }
}

/// Receives bytes that have arrived; 0 at the end of the connection.
pub fn receive(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive_with(descriptor, room, libc::MSG_DONTWAIT)
}

fn receive_with(descriptor: &Descriptor, room: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    let (pointer, length) = (room.as_mut_ptr().cast(), room.len());
    // SAFETY: the kernel writes to the slice only.
    call(|| unsafe { libc::recv(descriptor.number(), pointer, length, flags) })
}

/// Receives bytes that have arrived; it does not block, see [`set_receive_timeout`].
pub fn receive_waiting(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive(descriptor, room)
}

/// Does nothing: the socket would have to be blocking, and then a send would block without a limit,
/// because macOS ignores `MSG_DONTWAIT` there.
pub fn set_receive_timeout(_descriptor: &Descriptor, _ms: u32) -> Result<(), Errno> {
    Ok(())
}

/// Does nothing: without PID namespaces no two processes have the same ID.
pub fn set_owner(_descriptor: &Descriptor) -> Result<(), Errno> {
    Ok(())
}

/// See [`set_owner`].
pub fn is_owned(_descriptor: &Descriptor) -> bool {
    true
}

/// Whether a connection is open and no bytes have arrived.
pub fn is_idle(descriptor: &Descriptor) -> bool {
    let found = receive_with(descriptor, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT);
    found == Err(Errno(libc::EAGAIN))
}

/// Gives a socket an identity by which [`socket_identity`] recognises it; `None` if it is closed.
///
/// A TCP socket has no inode number (bsd/kern/sys_socket.c, `soo_stat`), and no peer address after
/// a reset. So the identity is stored in the socket's receive timeout: the current time in
/// microseconds, as a number of seconds. The timeout has no effect on a non-blocking socket, and no
/// program sets such a long one.
pub fn mark_identity(socket: &Descriptor) -> Option<u64> {
    let identity = now_us();
    let time = libc::timeval { tv_sec: libc::time_t::try_from(identity).ok()?, tv_usec: 0 };
    set(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &time).ok()?;
    Some(identity)
}

/// The identity of a socket that has [got one](mark_identity); `None` for other descriptors.
pub fn socket_identity(number: c_int) -> Option<u64> {
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut size = libc::socklen_t::try_from(size_of::<libc::timeval>()).ok()?;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_RCVTIMEO);
    // SAFETY: the kernel writes at most `size` bytes, the size of the value.
    call(|| unsafe {
        libc::getsockopt(number, level, option, (&raw mut time).cast(), &raw mut size)
    })
    .ok()?;
    u64::try_from(time.tv_sec).ok().filter(|seconds| *seconds != 0)
}
