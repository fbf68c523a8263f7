//! Policy servers that do what a test says, and remember what they were asked.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub const ALLOWED: &str = r#"{"allowed":true}"#;
pub const DENIED: &str =
    r#"{"allowed":false,"message":"not here","matched_policies":["test-policy"]}"#;

/// A 200 with this JSON.
pub fn json_answer(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What a server listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Unix,
    /// A Unix socket by an abstract name.
    #[cfg(target_os = "linux")]
    Abstract,
}

impl Transport {
    pub const BOTH: [Self; 2] = [Self::Tcp, Self::Unix];
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Question {
    /// The number of its connection, from 0.
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
}

impl Question {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| {
            panic!("not JSON ({why}): {}", String::from_utf8_lossy(&self.body))
        })
    }

    /// What was asked about.
    pub fn command(&self) -> String {
        self.json()["params"]["command"].as_str().expect("a command").to_owned()
    }
}

trait Stream: Read + Write + AsRawFd + Send {}

impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// A connection in the hands of a test's script. It is closed when the script ends.
pub struct Exchange {
    /// Its number, from 0.
    pub number: usize,
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    log: Arc<Log>,
}

impl Exchange {
    /// Reads a whole request and remembers it; `None` if the client is gone.
    pub fn read(&mut self) -> Option<Question> {
        let head_end = self.read_until(|bytes| {
            bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
        })?;
        let head = String::from_utf8(self.unread.drain(..head_end).collect()).expect("ASCII");
        if head.starts_with("GET ") {
            // `rampart status`, of a test beside this one, finds every server that is asked.
            self.log.lock().connections -= 1;
            return None;
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .unwrap_or_else(|| panic!("no length: {head:?}"))
            .parse::<usize>()
            .expect("a number");
        self.read_until(|bytes| (bytes.len() >= length).then_some(length))?;
        let body = self.unread.drain(..length).collect();
        let question = Question { connection: self.number, head, body };
        self.log.lock().questions.push(question.clone());
        Some(question)
    }

    fn read_until(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(end) = end(&self.unread) {
                return Some(end);
            }
            let mut buffer = [0; 8 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Reads some bytes of a request, no more than one `read` gives; whether there were any.
    pub fn read_some(&mut self) -> bool {
        let mut buffer = [0; 1024];
        matches!(self.stream.read(&mut buffer), Ok(count) if count > 0)
    }

    /// Sends; the client may be gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
        let _ = self.stream.flush();
    }

    /// Sends `bytes` one by one with a pause after each.
    pub fn drip(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            self.send([*byte]);
            thread::sleep(pause);
        }
    }

    /// Keeps the connection open, silently, until the client closes it.
    pub fn hang(&mut self) {
        while self.read_some() {}
    }

    /// Reads no more, which the client is told of by its next send (Unix sockets).
    pub fn stop_reading(&self) {
        // SAFETY: takes no pointer.
        let status = unsafe { libc::shutdown(self.stream.as_raw_fd(), libc::SHUT_RD) };
        assert_eq!(status, 0, "{}", io::Error::last_os_error());
    }

    /// Makes the end of the connection a reset (TCP).
    pub fn reset_on_close(&mut self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let size = libc::socklen_t::try_from(size_of::<libc::linger>()).expect("a small size");
        let descriptor = self.stream.as_raw_fd();
        // SAFETY: the pointer is to a live structure of that size.
        let status = unsafe {
            let pointer = (&raw const linger).cast();
            libc::setsockopt(descriptor, libc::SOL_SOCKET, libc::SO_LINGER, pointer, size)
        };
        assert_eq!(status, 0, "{}", io::Error::last_os_error());
    }

    /// Answers every request on the connection.
    pub fn answer_all(&mut self, answer: impl Fn(&Question) -> Vec<u8>) {
        while let Some(question) = self.read() {
            let answer = answer(&question);
            self.send(answer);
        }
    }
}

#[derive(Default)]
struct Entries {
    connections: usize,
    questions: Vec<Question>,
}

#[derive(Default)]
struct Log(Mutex<Entries>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server waits for before it takes connections, given its URL.
type Hold = Box<dyn FnOnce(&str) + Send>;

/// Where Linux lists TCP's sockets (`proc_pid_net(5)`).
const SOCKETS: &str = "/proc/net/tcp";

/// The ports from which connections to a port of this machine are begun and not there yet.
fn begun_to(port: u16) -> Vec<String> {
    const SYN_SENT: &str = "02";
    let list = fs::read_to_string(SOCKETS).unwrap_or_default();
    let fields = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let there = format!("0100007F:{port:04X}");
    let begun = fields.filter(|it| it.len() > 3 && it[2] == there && it[3] == SYN_SENT);
    begun.map(|it| it[1].to_owned()).collect()
}

type Script = dyn Fn(&mut Exchange) + Send + Sync;

/// A server, until it is dropped.
pub struct Server {
    /// For `RAMPART_URL`.
    pub url: String,
    log: Arc<Log>,
    wake: Box<dyn Fn() + Send + Sync>,
    stopped: Arc<AtomicBool>,
    _directory: Option<TempDir>,
}

impl Server {
    /// Gives every connection to `script`, in a thread of its own.
    pub fn scripted(
        transport: Transport,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self::listening(transport, None, script)
    }

    /// Denies everything, but takes no connection until more than so many clients' were begun, or
    /// where that cannot be seen, for 400 ms. Until then two wait to be taken, and no more can.
    pub fn denying_after(clients: usize, transport: Transport) -> Self {
        let hold: Hold = Box::new(move |url| {
            let port = url.strip_prefix("http://127.0.0.1:").and_then(|port| port.parse().ok());
            let (Some(port), true) = (port, Path::new(SOCKETS).exists()) else {
                thread::sleep(Duration::from_millis(400));
                return;
            };
            // Whoever waits for the kernel to try again keeps its port, and gives up in the end.
            let (mut ports, began) = (HashSet::new(), Instant::now());
            while ports.len() <= clients && began.elapsed() < Duration::from_secs(25) {
                ports.extend(begun_to(port));
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self::listening(transport, Some(hold), |exchange| {
            exchange.answer_all(|_| json_answer(DENIED));
        })
    }

    fn listening(
        transport: Transport,
        hold: Option<Hold>,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        let narrow = |listener: &dyn AsRawFd| {
            // SAFETY: takes no pointer.
            let status =
                hold.as_ref().map_or(0, |_| unsafe { libc::listen(listener.as_raw_fd(), 1) });
            assert_eq!(status, 0, "{}", io::Error::last_os_error());
        };
        match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                narrow(&listener);
                let address = listener.local_addr().expect("an address");
                let wake = move || drop(TcpStream::connect(address));
                let accept = move || {
                    let (stream, _) = listener.accept()?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn Stream>)
                };
                Self::start(format!("http://{address}"), None, hold, accept, wake, script)
            }
            Transport::Unix => {
                let directory = TempDir::new().expect("a temporary directory");
                let path = directory.path().join("policy.sock");
                let listener = UnixListener::bind(&path).expect("a socket");
                narrow(&listener);
                let url = format!("unix://{}", path.display());
                let wake = move || drop(UnixStream::connect(&path));
                let accept = move || Ok(Box::new(listener.accept()?.0) as Box<dyn Stream>);
                Self::start(url, Some(directory), hold, accept, wake, script)
            }
            #[cfg(target_os = "linux")]
            Transport::Abstract => {
                use std::os::linux::net::SocketAddrExt;
                use std::os::unix::net::SocketAddr;

                let directory = TempDir::new().expect("a temporary directory");
                // As nobody else has this directory, nobody has its name.
                let name = format!("test{}", directory.path().display());
                let address = SocketAddr::from_abstract_name(&name).expect("a name");
                let listener = UnixListener::bind_addr(&address).expect("a socket");
                narrow(&listener);
                let wake = move || drop(UnixStream::connect_addr(&address));
                let accept = move || Ok(Box::new(listener.accept()?.0) as Box<dyn Stream>);
                Self::start(format!("unix:@{name}"), Some(directory), hold, accept, wake, script)
            }
        }
    }

    fn start(
        url: String,
        directory: Option<TempDir>,
        hold: Option<Hold>,
        accept: impl Fn() -> io::Result<Box<dyn Stream>> + Send + 'static,
        wake: impl Fn() + Send + Sync + 'static,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        let log = Arc::new(Log::default());
        let stopped = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (their_log, their_stopped) = (Arc::clone(&log), Arc::clone(&stopped));
        let their_url = url.clone();
        thread::spawn(move || {
            if let Some(hold) = hold {
                hold(&their_url);
            }
            while let Ok(stream) = accept() {
                if their_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = {
                    let mut entries = their_log.lock();
                    entries.connections += 1;
                    entries.connections - 1
                };
                let mut exchange =
                    Exchange { number, stream, unread: Vec::new(), log: Arc::clone(&their_log) };
                let script = Arc::clone(&script);
                thread::spawn(move || script(&mut exchange));
            }
        });
        Self { url, log, wake: Box::new(wake), stopped, _directory: directory }
    }

    /// Answers 200 with what `judge` says of each command: whether it may run.
    pub fn judging(
        transport: Transport,
        judge: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::scripted(transport, move |exchange| {
            exchange.answer_all(|question| {
                json_answer(if judge(&question.command()) { ALLOWED } else { DENIED })
            });
        })
    }

    /// As [`Self::judging`] at a Unix socket, but whose queue is short, and full for the first
    /// half second.
    pub fn busy_at_first(judge: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        const BUSY: Duration = Duration::from_millis(500);
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("policy.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        // SAFETY: takes no pointer.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 1) }, 0);
        for _ in 0..4 {
            let path = path.clone();
            // It waits until it is let in, or is refused: the queue is full either way.
            thread::spawn(move || drop(UnixStream::connect(path).map(|_| thread::sleep(BUSY * 2))));
        }
        thread::sleep(BUSY / 5);
        let url = format!("unix://{}", path.display());
        let wake = move || drop(UnixStream::connect(&path));
        let begun = Instant::now();
        let accept = move || {
            thread::sleep(BUSY.saturating_sub(begun.elapsed()));
            Ok(Box::new(listener.accept()?.0) as Box<dyn Stream>)
        };
        Self::start(url, Some(directory), None, accept, wake, move |exchange| {
            exchange.answer_all(|question| {
                json_answer(if judge(&question.command()) { ALLOWED } else { DENIED })
            });
        })
    }

    /// Allows everything.
    pub fn allowing() -> Self {
        Self::judging(Transport::Unix, |_| true)
    }

    /// Denies everything.
    pub fn denying() -> Self {
        Self::judging(Transport::Unix, |_| false)
    }

    /// Denies every command that has `part` in it.
    pub fn denying_any_with(part: &'static str) -> Self {
        Self::judging(Transport::Unix, move |command| !command.contains(part))
    }

    /// What was asked since this was last called.
    pub fn take_questions(&self) -> Vec<Question> {
        std::mem::take(&mut self.log.lock().questions)
    }

    /// The commands asked about since this was last called.
    pub fn take_commands(&self) -> Vec<String> {
        self.take_questions().iter().map(Question::command).collect()
    }

    /// How many connections there were so far.
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
