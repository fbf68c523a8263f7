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

/// A socket's address as the kernel takes it.
#[derive(Clone, Copy)]
pub struct Address {
    bytes: libc::sockaddr_storage,
    is_loopback: bool,
    length: u8,
}

impl Address {
    /// Of a TCP server.
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
            Self { bytes: bytes.assume_init(), is_loopback: false, length }
        }
    }

    /// Whether it is a TCP server's on this machine.
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

/// Whether `address` is a path where nothing is, so that nobody can listen.
pub fn is_missing(address: &Address) -> bool {
    if !address.is_unix() {
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
    // A number or a time.
    let size = libc::socklen_t::try_from(size_of::<Value>()).unwrap_or_default();
    let value = core::ptr::from_ref(value).cast();
    // SAFETY: the pointer is to a live value of that size, which the kernel reads only.
    call(|| unsafe { libc::setsockopt(socket.number(), level, option, value, size) })?;
    Ok(())
}

/// Begins to connect, or connects; `EINPROGRESS` for the former, and `EAGAIN` where a Unix
/// socket's queue is full.
///
/// XNU says `ECONNREFUSED` for that as well as where nobody listens (bsd/kern/uipc_usrreq.c,
/// `unp_connect`).
pub fn connect(descriptor: &Descriptor, address: &Address) -> Result<(), Errno> {
    match connect_to(descriptor, address) {
        Err(Errno(libc::ECONNREFUSED)) if address.is_unix() && has_owner(address)? => {
            Err(Errno(libc::EAGAIN))
        }
        result => result,
    }
}

/// Connects after [`connect`] has said `EAGAIN`. There is nothing that waits for a place in the
/// queue of a Unix socket: it is tried again after a while.
pub fn connect_to_full_queue(
    descriptor: &Descriptor,
    address: &Address,
    deadline: &mut Deadline,
) -> Result<(), Errno> {
    deadline.pause(1)?;
    connect(descriptor, address)
}

/// Whether some process has the socket at a path. That it is of another kind is said of a
/// socket for datagrams before its queue is looked at, and after it was found to have an owner.
fn has_owner(address: &Address) -> Result<bool, Errno> {
    // SAFETY: takes no pointer.
    let probe = opened(call(|| unsafe { libc::socket(address.family(), libc::SOCK_DGRAM, 0) }))?;
    close_on_exec(&probe)?;
    Ok(connect_to(&probe, address) == Err(Errno(libc::EPROTOTYPE)))
}

fn connect_to(descriptor: &Descriptor, address: &Address) -> Result<(), Errno> {
    let length = libc::socklen_t::from(address.length);
    let pointer = (&raw const address.bytes).cast();
    // SAFETY: an address of that length stands at the pointer.
    call(|| unsafe { libc::connect(descriptor.number(), pointer, length) })?;
    Ok(())
}

/// Lets small pieces go out at once on TCP.
pub fn set_no_delay(descriptor: &Descriptor) {
    // Without the option it is merely slower.
    let _ = set(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY, &ON);
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

/// Receives what is there. See [`set_receive_timeout`].
pub fn receive_waiting(descriptor: &Descriptor, room: &mut [u8]) -> Result<usize, Errno> {
    receive(descriptor, room)
}

/// Changes nothing: a socket that waits in a receive waits in a send as well, for there macOS
/// takes no notice of `MSG_DONTWAIT`, and without end.
pub fn set_receive_timeout(_descriptor: &Descriptor, _ms: u32) -> Result<(), Errno> {
    Ok(())
}

/// Changes nothing: no two processes have the same number here.
pub fn set_owner(_descriptor: &Descriptor) -> Result<(), Errno> {
    Ok(())
}

/// See [`set_owner`].
pub fn is_owned(_descriptor: &Descriptor) -> bool {
    true
}

/// Whether a connection is open and nothing has come that was not received yet.
pub fn is_idle(descriptor: &Descriptor) -> bool {
    let found = receive_with(descriptor, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT);
    found == Err(Errno(libc::EAGAIN))
}

/// Makes a socket one that [`socket_identity`] tells from all others; its identity, or `None` if
/// it is closed by now.
///
/// A socket of TCP has no inode number (bsd/kern/sys_socket.c, `soo_stat`), and one that was
/// reset no address: it would be nobody's, and stay open. So it is given a mark, a time for
/// which it would wait in a receive: this moment in microseconds, as so many seconds. It never
/// waits, for it is non-blocking, and no program gives such a time to a socket of its own.
pub fn mark_identity(socket: &Descriptor) -> Option<u64> {
    let identity = now_us();
    let time = libc::timeval { tv_sec: libc::time_t::try_from(identity).ok()?, tv_usec: 0 };
    set(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &time).ok()?;
    Some(identity)
}

/// Which of the sockets that were [made known](mark_identity) a descriptor stands for; `None` if it
/// is closed or none of them.
pub fn socket_identity(number: c_int) -> Option<u64> {
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut size = libc::socklen_t::try_from(size_of::<libc::timeval>()).ok()?;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_RCVTIMEO);
    // SAFETY: the kernel writes no more than that size.
    call(|| unsafe {
        libc::getsockopt(number, level, option, (&raw mut time).cast(), &raw mut size)
    })
    .ok()?;
    u64::try_from(time.tv_sec).ok().filter(|seconds| *seconds != 0)
}
