//! How long a server lives: until it is told to end, or as long as one process of
//! the tree that it guards.
//!
//! A process is one of a tree if it has asked, or if it has an entry in its environment that
//! all of them are started with, or if it cannot be told from such a one. One of them is
//! watched at a time, at first the root. When that one is gone, the next one that can be
//! found is watched; when none can be found for a while, the tree is gone.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::processes::{self, Marks, of_tree};
use crate::server::Connections;

/// How long to wait before each look for another process of the tree. Between
/// `fork` and `exec`, and during an `exec`, a process cannot be recognised.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(60),
    Duration::from_millis(200),
    Duration::from_millis(500),
];
/// How often to look where the system does not tell that a process is gone.
const POLL_PAUSE: Duration = Duration::from_secs(1);

/// What is done when a signal asks the process to end: `SIGTERM` or `SIGINT`, which do not
/// end it at once from now on. Needs a runtime.
///
/// # Errors
/// As the system says.
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

/// A tree of processes, by the one that is watched.
pub struct Tree {
    marks: Marks,
    watched: Watched,
}

enum Watched {
    /// The system tells when it is gone.
    Handle(OwnedFd),
    /// It has to be looked for.
    Number(Pid),
}

impl Tree {
    /// The tree of a process, whose descendants have this entry in their
    /// environment.
    pub fn new(root: Pid, entry: Vec<u8>) -> Self {
        Self { marks: Marks::new(root, entry), watched: Watched::new(root) }
    }

    /// The descriptor that has to stay open where the server goes on in another
    /// process.
    pub fn descriptor(&self) -> Option<&OwnedFd> {
        match &self.watched {
            Watched::Handle(handle) => Some(handle),
            Watched::Number(_) => None,
        }
    }

    /// Waits until there is no process of it left, and nobody connected: who is
    /// connected may be one that could not be recognised.
    pub async fn gone(self, connections: &Connections) {
        let mut watched = Some(self.watched);
        loop {
            if let Some(watched) = watched.take() {
                watched.gone().await;
            }
            let asker = || connections.askers.living(self.marks.since);
            let look = |is_certain: bool| {
                if is_certain {
                    self.marks.forget_elders();
                }
                asker().or_else(|| of_tree(&self.marks))
            };
            watched = find(look).await;
            if watched.is_none() && connections.is_empty() {
                return;
            }
        }
    }
}

/// Another process of the tree, if one is found in time. The first look and the last are to
/// leave nobody out; between them a process that was there before the tree is the same still.
async fn find(look: impl Fn(bool) -> Option<Pid>) -> Option<Watched> {
    for (index, pause) in PAUSES.into_iter().enumerate() {
        sleep(pause).await;
        if let Some(process) = look([0, PAUSES.len() - 1].contains(&index)) {
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
                // A descriptor that cannot be watched is as good as a process that is gone:
                // the next look finds it again.
                // SAFETY: the descriptor is the handle's own, and stays what it is while that is.
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
