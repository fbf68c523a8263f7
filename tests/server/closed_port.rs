//! A port that refuses connections as long as a test needs it.

use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket,
};

/// A port of 127.0.0.1 that is bound, so that nobody else can use it, but not listened on.
pub struct ClosedPort {
    socket: OwnedFd,
    /// Its number.
    pub number: u16,
}

impl ClosedPort {
    /// Binds a free port.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn new() -> Self {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None);
        let socket = socket.expect("a socket");
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("its flag");
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a port");
        let address = getsockname::<SockaddrIn>(socket.as_raw_fd()).expect("its address");
        Self { socket, number: address.port() }
    }

    /// The value for `RAMPART_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.number)
    }

    /// Listens on the port.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn open(self) -> TcpListener {
        listen(&self.socket, Backlog::MAXCONN).expect("a listening socket");
        self.socket.into()
    }
}

impl Default for ClosedPort {
    fn default() -> Self {
        Self::new()
    }
}
