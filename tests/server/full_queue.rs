//! Servers whose queue is full when they are asked.

use std::collections::HashSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::{DENIED, Listening, Server, Transport, json_answer, verdict};

/// Where Linux lists TCP's sockets (`proc_pid_net(5)`).
const SOCKETS: &str = "/proc/net/tcp";

impl Server {
    /// Denies everything, but takes no connection until more than so many clients' were begun, or
    /// where that cannot be seen, for 400 ms. Until then two wait to be taken, and no more can.
    #[must_use]
    pub fn denying_after(clients: usize, transport: Transport) -> Self {
        let door = Listening::new(transport, Some(1));
        let port = door.url.strip_prefix("http://127.0.0.1:").and_then(|port| port.parse().ok());
        let hold = move || {
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
        };
        Self::start(door, hold, |exchange| exchange.answer_all(|_| json_answer(DENIED)))
    }

    /// As [`Self::judging`] at a Unix socket, but whose queue is short, and full for the first
    /// half second.
    ///
    /// # Panics
    /// The system gives no socket.
    pub fn busy_at_first(judge: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        const BUSY: Duration = Duration::from_millis(500);
        let door = Listening::new(Transport::Unix, Some(1));
        let path = door.url.strip_prefix("unix://").expect("a Unix socket").to_owned();
        for _ in 0..4 {
            let path = path.clone();
            // It waits until it is let in, or is refused: the queue is full either way.
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

/// The ports from which connections to a port of this machine are begun and not there yet.
fn begun_to(port: u16) -> Vec<String> {
    const SYN_SENT: &str = "02";
    let list = fs::read_to_string(SOCKETS).unwrap_or_default();
    let fields = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let there = format!("0100007F:{port:04X}");
    let begun = fields.filter(|it| it.len() > 3 && it[2] == there && it[3] == SYN_SENT);
    begun.map(|it| it[1].to_owned()).collect()
}
