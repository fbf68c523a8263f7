//! How long a server lives: until a signal ends it, or until the last process of the tree that it
//! guards is gone.
//!
//! A process belongs to the tree if it has asked the server, if its environment has the run's
//! entry, or if neither can be ruled out. One process is watched at a time, first the root. When it
//! is gone, another one is looked for; when none is found for a while, the tree is gone.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::marks::Marks;
use crate::processes;
use crate::server::Connections;

/// Pauses before each search for another process of the tree. A process cannot be recognised
/// between `fork` and `exec`, or during an `exec`.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(60),
    Duration::from_millis(200),
    Duration::from_millis(500),
];
/// How often to check on a process where the system gives no notice of its end.
const POLL_PAUSE: Duration = Duration::from_secs(1);

/// A future that ends when `SIGTERM` or `SIGINT` arrives. From this call on these signals no longer
/// end the process. Call it inside a runtime.
///
/// # Errors
/// A signal handler cannot be installed.
pub fn ending_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}

/// A process tree, and the process of it that is watched.
pub struct Tree {
    marks: Marks,
    watched: Watched,
}

enum Watched {
    /// A descriptor that becomes readable when the process is gone.
    Handle(OwnedFd),
    /// A process ID to poll, where there is no such descriptor.
    Number(Pid),
}

impl Tree {
    /// The tree of `root`, whose descendants have `entry` in their environment.
    pub fn new(root: Pid, entry: Vec<u8>) -> Self {
        Self { marks: Marks::new(root, entry), watched: Watched::new(root) }
    }

    /// Waits until no process of the tree is left and nobody is connected: a client may be a
    /// process of the tree that could not be recognised.
    pub async fn gone(self, connections: &Connections) {
        let mut watched = Some(self.watched);
        loop {
            if let Some(watched) = watched.take() {
                watched.gone().await;
            }
            let asker = || connections.askers.living(self.marks.since);
            watched = find(|| asker().or_else(|| self.marks.find())).await;
            if watched.is_none() && connections.is_empty() {
                return;
            }
        }
    }
}

/// Another process of the tree, if one is found in time.
async fn find(look: impl Fn() -> Option<Pid>) -> Option<Watched> {
    for pause in PAUSES {
        sleep(pause).await;
        if let Some(process) = look() {
            return Some(Watched::new(process));
        }
    }
    None
}

impl Watched {
    fn new(process: Pid) -> Self {
        processes::handle(process).map_or_else(|| Self::Number(process), Self::Handle)
    }

    async fn gone(self) {
        match self {
            Self::Handle(handle) => {
                // If it cannot be watched, treat the process as gone: the next search finds it
                // again.
                // SAFETY: the handle owns the descriptor, and moves into the `AsyncFd`.
                let handle = unsafe { AsyncFd::register(handle) };
                if let Ok(handle) = handle {
                    let _ = handle.readable().await;
                }
            }
            Self::Number(process) => {
                while processes::is_there(process) {
                    sleep(POLL_PAUSE).await;
                }
            }
        }
    }
}
