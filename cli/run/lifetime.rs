//! How long a server lives: until it is told to end, or as long as one process of
//! the tree that it guards.
//!
//! A tree is known by an entry that all its processes have in their environment.
//! One of them is watched at a time, at first its root. When that one is gone, the
//! next one that can be found is watched; when none can be found for a while, the
//! tree is gone.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token as Slot};
use nix::unistd::Pid;

use super::processes;

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

/// How long a server lives.
pub enum Lifetime {
    /// Until it is told to end.
    Endless,
    /// As long as a tree of processes.
    Tree(Tree),
}

/// A tree of processes, by the one that is watched.
pub struct Tree {
    entry: Vec<u8>,
    watched: Watched,
}

enum Watched {
    /// The poller tells when it is gone.
    Handle(OwnedFd),
    /// It has to be looked for.
    Number(Pid, Instant),
    /// None; so many looks have been in vain, and the next one is due then.
    Nobody(usize, Instant),
}

impl Tree {
    /// The tree of a process, whose descendants have this entry in their
    /// environment.
    pub fn new(root: Pid, entry: Vec<u8>, now: Instant) -> Self {
        Self { entry, watched: Watched::new(root, now) }
    }

    /// The descriptor that has to stay open where the server goes on in another
    /// process.
    pub fn descriptor(&self) -> Option<&OwnedFd> {
        match &self.watched {
            Watched::Handle(handle) => Some(handle),
            _ => None,
        }
    }

    /// Has the poller tell when the watched process is gone.
    ///
    /// # Errors
    /// As the system says.
    pub fn register(&self, registry: &Registry, slot: Slot) -> io::Result<()> {
        let Watched::Handle(handle) = &self.watched else {
            return Ok(());
        };
        registry.register(&mut SourceFd(&handle.as_raw_fd()), slot, Interest::READABLE)
    }

    /// Notes that the watched process is gone.
    pub fn note_gone(&mut self, now: Instant) {
        self.watched = Watched::Nobody(0, now + PAUSES[0]);
    }

    /// When to look next, where the poller does not tell.
    pub fn next_look(&self) -> Option<Instant> {
        match &self.watched {
            Watched::Handle(_) => None,
            Watched::Number(_, due) | Watched::Nobody(_, due) => Some(*due),
        }
    }

    /// Looks after the tree if that is due. `false`: there is no process of it left.
    pub fn look(&mut self, now: Instant, registry: &Registry, slot: Slot) -> bool {
        match self.watched {
            Watched::Number(process, due) if now >= due => {
                if processes::is_there(process) {
                    self.watched = Watched::Number(process, now + POLL_PAUSE);
                } else {
                    self.note_gone(now);
                }
                true
            }
            Watched::Nobody(looks, due) if now >= due => {
                if let Some(process) = processes::started_with(&self.entry) {
                    self.watched = Watched::new(process, now);
                    return self.register(registry, slot).is_ok();
                }
                let pause = PAUSES.get(looks + 1);
                let next = now + *pause.unwrap_or(&POLL_PAUSE);
                self.watched = Watched::Nobody(looks + 1, next);
                pause.is_some()
            }
            _ => true,
        }
    }
}

impl Watched {
    fn new(process: Pid, now: Instant) -> Self {
        processes::handle(process)
            .map_or_else(|| Self::Number(process, now + POLL_PAUSE), Self::Handle)
    }
}
