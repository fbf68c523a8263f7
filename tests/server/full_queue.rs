//! Servers whose queue of connections is full at first.

use std::collections::HashSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::{DENIED, Listening, Server, Transport, json_answer, verdict};

/// Linux's list of TCP sockets (`proc_pid_net(5)`).
const SOCKETS: &str = "/proc/net/tcp";

impl Server {
    /// Denies everything, but accepts no connection before more than `clients` connections were
    /// attempted, or for 400 ms if attempts cannot be seen. Until then the queue, of two, is full.
    #[must_use]
    pub fn denying_after(clients: usize, transport: Transport) -> Self {
        let door = Listening::new(transport, Some(1));
        let port = door.url.strip_prefix("http://127.0.0.1:").and_then(|port| port.parse().ok());
        let hold = move || {
            let (Some(port), true) = (port, Path::new(SOCKETS).exists()) else {
                thread::sleep(Duration::from_millis(400));
                return;
            };
            // A client that leaves the retries to the kernel keeps its port: then the count is not
            // reached, and the clients time out.
            let (mut ports, began) = (HashSet::new(), Instant::now());
            while ports.len() <= clients && began.elapsed() < Duration::from_secs(25) {
                ports.extend(begun_to(port));
                thread::sleep(Duration::from_millis(1));
            }
        };
        Self::start(door, hold, |exchange| exchange.answer_all(|_| json_answer(DENIED)))
    }

    /// Like [`Self::judging`] on a Unix socket, with a short queue that is full for the first half
    /// second.
    ///
    /// # Panics
    /// If there can be no socket.
    pub fn busy_at_first(judge: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        const BUSY: Duration = Duration::from_millis(500);
        let door = Listening::new(Transport::Unix, Some(1));
        let path = door.url.strip_prefix("unix://").expect("a Unix socket").to_owned();
        for _ in 0..4 {
            let path = path.clone();
            // It blocks until it is accepted, or fails; either way the queue is full.
            thread::spawn(move || drop(UnixStream::connect(path).map(|_| thread::sleep(BUSY * 2))));
        }
        thread::sleep(BUSY / 5);
        Self::start(
            door,
            || thread::sleep(BUSY),
            move |exchange| exchange.answer_all(|question| verdict(judge(&question.command()))),
        )
    }
}

/// The local ports of connection attempts to a port of this machine that are in progress.
fn begun_to(port: u16) -> Vec<String> {
    const SYN_SENT: &str = "02";
    let list = fs::read_to_string(SOCKETS).unwrap_or_default();
    let fields = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let there = format!("0100007F:{port:04X}");
    let begun = fields.filter(|it| it.len() > 3 && it[2] == there && it[3] == SYN_SENT);
    begun.map(|it| it[1].to_owned()).collect()
}
