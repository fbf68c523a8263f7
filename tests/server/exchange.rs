//! One connection, in the hands of a test's script.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::socket::sockopt::Linger;
use nix::sys::socket::{self, setsockopt};
use serde_json::Value;

use crate::Log;

/// What carries the bytes of an exchange.
pub trait Carrier: Read + Write + Send {
    /// The socket beneath.
    fn socket(&self) -> BorrowedFd<'_>;

    /// Tells the client that nothing more comes, where that takes more than closing the socket.
    fn end(&mut self) {}
}

impl Carrier for TcpStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Carrier for UnixStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The number of its connection, from 0.
    pub connection: usize,
    /// The request line and the fields, with the empty line that ends them.
    pub head: String,
    /// As many bytes as the head says.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| {
            panic!("not JSON ({why}): {}", String::from_utf8_lossy(&self.body))
        })
    }

    /// What was asked about.
    ///
    /// # Panics
    /// The body is no question.
    #[must_use]
    pub fn command(&self) -> String {
        self.json()["params"]["command"].as_str().expect("a command").to_owned()
    }

    /// Head and body as they came.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.head, String::from_utf8_lossy(&self.body))
    }
}

/// A connection. It is closed when the script ends.
pub struct Exchange {
    /// Its number, from 0.
    pub number: usize,
    pub(crate) carrier: Box<dyn Carrier>,
    pub(crate) unread: Vec<u8>,
    pub(crate) log: Arc<Log>,
}

impl Exchange {
    /// Reads a whole question and remembers it; `None` if the client is gone.
    pub fn read(&mut self) -> Option<Request> {
        let request = self.request()?;
        if request.head.starts_with("GET ") {
            // `rampart status`, of a test beside this one, finds every server that is asked.
            self.log.lock().connections -= 1;
            return None;
        }
        self.remember(&request);
        Some(request)
    }

    /// Reads a whole request of any kind; `None` if the client is gone.
    ///
    /// # Panics
    /// It has a body and does not say how long that is, or a head that is no text.
    pub fn request(&mut self) -> Option<Request> {
        let end_of_head = |bytes: &[u8]| {
            bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|place| place + 4)
        };
        let length = self.read_until(end_of_head)?;
        let head = String::from_utf8(self.unread.drain(..length).collect()).expect("ASCII");
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, length)| length.parse::<usize>().expect("a number"));
        let length = length.unwrap_or_else(|| {
            assert!(!head.starts_with("POST "), "no length: {head:?}");
            0
        });
        self.read_until(|bytes| (bytes.len() >= length).then_some(length))?;
        let body = self.unread.drain(..length).collect();
        Some(Request { connection: self.number, head, body })
    }

    /// Adds a request to what the server was asked.
    pub fn remember(&self, request: &Request) {
        self.log.lock().requests.push(request.clone());
    }

    fn read_until(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(end) = end(&self.unread) {
                return Some(end);
            }
            let mut buffer = [0; 8 * 1024];
            match self.carrier.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Reads some bytes of a request, no more than one `read` gives; whether there were any.
    pub fn read_some(&mut self) -> bool {
        let mut buffer = [0; 1024];
        matches!(self.carrier.read(&mut buffer), Ok(count) if count > 0)
    }

    /// Sends; the client may be gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.carrier.write_all(bytes.as_ref());
        let _ = self.carrier.flush();
    }

    /// Sends `bytes` one by one with a pause after each.
    pub fn drip(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            self.send([*byte]);
            thread::sleep(pause);
        }
    }

    /// Answers every question on the connection.
    pub fn answer_all(&mut self, answer: impl Fn(&Request) -> Vec<u8>) {
        while let Some(question) = self.read() {
            self.send(answer(&question));
        }
    }

    /// Keeps the connection open, silently, until the client closes it.
    pub fn hang(&mut self) {
        while self.read_some() {}
    }

    /// Keeps the connection open for ever, without reading.
    pub fn stand_still(&mut self) {
        loop {
            thread::park();
        }
    }

    /// Tells the client that nothing more comes.
    pub fn end(&mut self) {
        self.carrier.end();
    }

    /// The same connection (TCP), for bytes that are no more requests.
    ///
    /// # Panics
    /// The process may have no more descriptors.
    #[must_use]
    pub fn tunnel(&self) -> TcpStream {
        self.carrier.socket().try_clone_to_owned().expect("a descriptor").into()
    }

    /// Reads no more, which the client is told of by its next send (Unix sockets).
    ///
    /// # Panics
    /// The client is gone.
    pub fn stop_reading(&self) {
        let socket = self.carrier.socket().as_raw_fd();
        socket::shutdown(socket, socket::Shutdown::Read).expect("a connection");
    }

    /// Ends the connection in both directions, whoever else holds it.
    pub fn break_off(&self) {
        let _ = socket::shutdown(self.carrier.socket().as_raw_fd(), socket::Shutdown::Both);
    }

    /// Makes the end of the connection a reset (TCP).
    ///
    /// # Panics
    /// The client is gone.
    pub fn reset_on_close(&mut self) {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.carrier.socket(), Linger, &at_once).expect("a connection");
    }
}
