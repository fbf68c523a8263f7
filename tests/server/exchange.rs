//! One connection, which a test's script handles.

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

/// The byte stream of an exchange.
pub trait Carrier: Read + Write + Send {
    /// The underlying socket.
    fn socket(&self) -> BorrowedFd<'_>;

    /// Tells the client that nothing more comes, if closing the socket is not enough.
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

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The number of its connection, from 0.
    pub connection: usize,
    /// The request line and the header fields, with the empty line at the end.
    pub head: String,
    /// The body, by its `Content-Length`.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| {
            panic!("not JSON ({why}): {}", String::from_utf8_lossy(&self.body))
        })
    }

    /// The command in the question.
    ///
    /// # Panics
    /// If the body is not a question.
    #[must_use]
    pub fn command(&self) -> String {
        self.json()["params"]["command"].as_str().expect("a command").to_owned()
    }

    /// Head and body.
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
    /// Reads a question and remembers it; `None` if the client has closed the connection.
    pub fn read(&mut self) -> Option<Request> {
        let request = self.request()?;
        if request.head.starts_with("GET ") {
            // `rampart status`, perhaps of another test, asks each server that it finds for its
            // version.
            self.log.lock().connections -= 1;
            return None;
        }
        self.remember(&request);
        Some(request)
    }

    /// Reads a request of any kind; `None` if the client has closed the connection.
    ///
    /// # Panics
    /// If the head is not text, or a POST has no `Content-Length`.
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

    /// Adds a request to those that the server has got.
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

    /// Makes one `read`; whether it returned any bytes.
    pub fn read_some(&mut self) -> bool {
        let mut buffer = [0; 1024];
        matches!(self.carrier.read(&mut buffer), Ok(count) if count > 0)
    }

    /// Sends; an error is ignored, as the client may have closed the connection.
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

    /// Keeps the connection open without an answer until the client closes it.
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

    /// The connection (TCP), for bytes that are not requests.
    ///
    /// # Panics
    /// If there is no free descriptor.
    #[must_use]
    pub fn tunnel(&self) -> TcpStream {
        self.carrier.socket().try_clone_to_owned().expect("a descriptor").into()
    }

    /// Stops reading, so that the client's next send fails (Unix sockets).
    ///
    /// # Panics
    /// If the client has closed the connection.
    pub fn stop_reading(&self) {
        let socket = self.carrier.socket().as_raw_fd();
        socket::shutdown(socket, socket::Shutdown::Read).expect("a connection");
    }

    /// Ends the connection in both directions, also if other processes have the descriptor.
    pub fn break_off(&self) {
        let _ = socket::shutdown(self.carrier.socket().as_raw_fd(), socket::Shutdown::Both);
    }

    /// Makes closing the connection a reset (TCP).
    ///
    /// # Panics
    /// If the client has closed the connection.
    pub fn reset_on_close(&mut self) {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.carrier.socket(), Linger, &at_once).expect("a connection");
    }
}
