//! The policy server of the tests: it does what a test's script says, and remembers its requests.
//!
//! ```
//! use std::io::Write as _;
//! use std::net::TcpStream;
//!
//! use scripted_server::{DENIED, Server, Transport, json_answer};
//!
//! let server = Server::scripted(Transport::Tcp, |exchange| {
//!     exchange.read();
//!     exchange.send(&json_answer(DENIED)[..20]); // and the connection ends
//! });
//! let mut client = TcpStream::connect(server.url.strip_prefix("http://").unwrap())?;
//! let body = r#"{"params":{"command":"ls"}}"#;
//! write!(client, "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
//! assert_eq!(std::io::read_to_string(client)?, "HTTP/1.1 200 OK\r\nCon");
//! assert_eq!(server.take_commands(), ["ls"]);
//! # Ok::<_, std::io::Error>(())
//! ```

mod closed_port;
mod exchange;
mod full_queue;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::socket::{Backlog, listen};
use tempfile::TempDir;

pub use closed_port::ClosedPort;
pub use exchange::{Carrier, Exchange, Request};

/// The verdict for a program that may run.
pub const ALLOWED: &str = r#"{"allowed":true}"#;
/// The verdict for a program that may not run, with a reason.
pub const DENIED: &str =
    r#"{"allowed":false,"message":"not here","matched_policies":["test-policy"]}"#;

/// A response with status 200 and this JSON.
#[must_use]
pub fn json_answer(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A response with status 200 and a verdict.
#[must_use]
pub fn verdict(allowed: bool) -> Vec<u8> {
    json_answer(if allowed { ALLOWED } else { DENIED })
}

/// What a server listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A port of 127.0.0.1.
    Tcp,
    /// A Unix socket in a directory of its own.
    Unix,
    /// A Unix socket by an abstract name.
    #[cfg(target_os = "linux")]
    Abstract,
}

impl Transport {
    /// The transports that every system has.
    pub const BOTH: [Self; 2] = [Self::Tcp, Self::Unix];
}

#[derive(Default)]
struct Entries {
    connections: usize,
    requests: Vec<Request>,
}

#[derive(Default)]
struct Log(Mutex<Entries>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listening socket.
struct Listening {
    url: String,
    accept: Box<dyn Fn() -> io::Result<Box<dyn Carrier>> + Send>,
    /// Connects, so that a blocking `accept` returns after the server was dropped.
    wake: Box<dyn Fn() + Send + Sync>,
    directory: Option<TempDir>,
}

impl Listening {
    fn tcp(
        listener: TcpListener,
        carry: impl Fn(TcpStream) -> io::Result<Box<dyn Carrier>> + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("an address");
        Self {
            url: format!("http://{address}"),
            accept: Box::new(move || {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                carry(stream)
            }),
            wake: Box::new(move || drop(TcpStream::connect(address))),
            directory: None,
        }
    }

    fn unix(listener: UnixListener, url: String) -> Self {
        let address = listener.local_addr().expect("an address");
        Self {
            url,
            accept: Box::new(move || Ok(Box::new(listener.accept()?.0))),
            wake: Box::new(move || drop(UnixStream::connect_addr(&address))),
            directory: None,
        }
    }

    /// Listens, with a queue of this length or the default.
    fn new(transport: Transport, queue: Option<i32>) -> Self {
        match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                limit(&listener, queue);
                Self::tcp(listener, |stream| Ok(Box::new(stream)))
            }
            Transport::Unix => {
                let directory = TempDir::new().expect("a temporary directory");
                let path = directory.path().join("policy.sock");
                let listening = Self::at(&path, queue);
                Self { directory: Some(directory), ..listening }
            }
            #[cfg(target_os = "linux")]
            Transport::Abstract => {
                use std::os::linux::net::SocketAddrExt as _;
                use std::os::unix::net::SocketAddr;

                let directory = TempDir::new().expect("a temporary directory");
                // The name is unique, because the directory is.
                let name = format!("test{}", directory.path().display());
                let address = SocketAddr::from_abstract_name(&name).expect("a name");
                let listener = UnixListener::bind_addr(&address).expect("a socket");
                limit(&listener, queue);
                let listening = Self::unix(listener, format!("unix:@{name}"));
                Self { directory: Some(directory), ..listening }
            }
        }
    }

    fn at(socket: &Path, queue: Option<i32>) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        limit(&listener, queue);
        Self::unix(listener, format!("unix://{}", socket.display()))
    }
}

fn limit(listener: &impl AsFd, queue: Option<i32>) {
    if let Some(length) = queue {
        listen(listener, Backlog::new(length).expect("a length")).expect("a listening socket");
    }
}

/// A server, which runs until it is dropped.
pub struct Server {
    /// The value for `RAMPART_URL`.
    pub url: String,
    log: Arc<Log>,
    wake: Box<dyn Fn() + Send + Sync>,
    stopped: Arc<AtomicBool>,
    _directory: Option<TempDir>,
}

impl Server {
    /// Calls `script` for each connection, in a thread of its own.
    pub fn scripted(
        transport: Transport,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Listening::new(transport, None), || (), script)
    }

    /// The same on a Unix socket at this path, with a queue of this length or the default.
    ///
    /// # Panics
    /// If the path exists.
    pub fn at_socket(
        path: &Path,
        queue: Option<i32>,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Listening::at(path, queue), || (), script)
    }

    /// The same with a TCP listener; `carry` makes the byte stream of a connection.
    pub fn at_port(
        listener: TcpListener,
        carry: impl Fn(TcpStream) -> io::Result<Box<dyn Carrier>> + Send + 'static,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Listening::tcp(listener, carry), || (), script)
    }

    /// Accepts no connection before `hold` has returned.
    fn start(
        listening: Listening,
        hold: impl FnOnce() + Send + 'static,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        let log = Arc::new(Log::default());
        let stopped = Arc::new(AtomicBool::new(false));
        let script = Arc::new(script);
        let Listening { url, accept, wake, directory } = listening;
        let (their_log, their_stopped) = (Arc::clone(&log), Arc::clone(&stopped));
        thread::spawn(move || {
            hold();
            while !their_stopped.load(Ordering::SeqCst) {
                let Ok(carrier) = accept() else { continue };
                let number = {
                    let mut entries = their_log.lock();
                    entries.connections += 1;
                    entries.connections - 1
                };
                let mut exchange =
                    Exchange { number, carrier, unread: Vec::new(), log: Arc::clone(&their_log) };
                let script = Arc::clone(&script);
                thread::spawn(move || script(&mut exchange));
            }
        });
        Self { url, log, wake, stopped, _directory: directory }
    }

    /// Allows each command for which `judge` returns true, and denies the others.
    pub fn judging(
        transport: Transport,
        judge: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::scripted(transport, move |exchange| {
            exchange.answer_all(|question| verdict(judge(&question.command())));
        })
    }

    /// Allows everything.
    #[must_use]
    pub fn allowing() -> Self {
        Self::judging(Transport::Unix, |_| true)
    }

    /// Denies everything.
    #[must_use]
    pub fn denying() -> Self {
        Self::judging(Transport::Unix, |_| false)
    }

    /// Denies each command that contains `part`.
    #[must_use]
    pub fn denying_any_with(part: &'static str) -> Self {
        Self::judging(Transport::Unix, move |command| !command.contains(part))
    }

    /// The requests since they were last taken.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().requests.clone()
    }

    /// Takes the requests since this was last called.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.log.lock().requests)
    }

    /// Takes the requests since they were last taken; returns their commands.
    #[must_use]
    pub fn take_commands(&self) -> Vec<String> {
        self.take_requests().iter().map(Request::command).collect()
    }

    /// The number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.log.lock().connections
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        (self.wake)();
    }
}
