//! The processes that have asked, with the time. Whatever such a process does to its environment
//! later, it belongs to the tree for as long as it lives.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use nix::unistd::Pid;

use crate::processes;

/// How many are remembered before those that are gone are dropped.
const FEW: usize = 1024;

/// The processes that have asked.
pub struct Askers {
    moments: RefCell<HashMap<i32, u64>>,
    /// At how many to drop those that are gone.
    many: Cell<usize>,
}

impl Askers {
    pub fn new() -> Self {
        Self { moments: RefCell::default(), many: Cell::new(FEW) }
    }

    /// Records that a process asks.
    pub fn note(&self, process: i32) {
        let mut moments = self.moments.borrow_mut();
        moments.insert(process, processes::now());
        if moments.len() > self.many.get() {
            moments.retain(|process, moment| {
                let process = Pid::from_raw(*process);
                // Most are gone, and to see that takes a fraction of the time.
                processes::is_there(process)
                    && processes::started(process).is_some_and(|start| start <= *moment)
            });
            self.many.set(FEW.max(2 * moments.len()));
        }
    }

    /// Whether this process has asked, rather than an earlier one with the same ID.
    pub fn has(&self, process: i32) -> bool {
        let moment = self.moments.borrow().get(&process).copied();
        moment.is_some_and(|moment| {
            processes::started(Pid::from_raw(process)).is_some_and(|start| start <= moment)
        })
    }

    /// One that still lives and was started at `since` or later: an older process that asks with
    /// the tree's token is not part of the tree. Drops all that do not qualify.
    pub fn living(&self, since: u64) -> Option<Pid> {
        let mut moments = self.moments.borrow_mut();
        moments.retain(|process, moment| {
            let start = processes::started(Pid::from_raw(*process));
            // What cannot be looked up is not gone: another user's process may be hidden, and
            // something may have been mounted over /proc.
            start.is_some_and(|start| {
                start == processes::UNKNOWN || (since..=*moment).contains(&start)
            })
        });
        moments.keys().next().copied().map(Pid::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Askers, processes};

    #[test]
    fn who_asked_is_remembered_while_it_lives() {
        let askers = Askers::new();
        assert_eq!(askers.living(0), None);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        askers.note(pid);
        assert_eq!(askers.living(0).map(nix::unistd::Pid::as_raw), Some(pid));
        assert_eq!(askers.living(processes::now() + 1), None);
        askers.note(pid);
        // A zombie: ended, and not waited for.
        child.kill().unwrap();
        while processes::started(nix::unistd::Pid::from_raw(pid)).is_some() {
            std::thread::yield_now();
        }
        assert_eq!(askers.living(0), None);
        child.wait().unwrap();
        // As if an earlier process with this one's ID had asked.
        let own = i32::try_from(std::process::id()).unwrap();
        askers.moments.borrow_mut().insert(own, 0);
        assert_eq!(askers.living(0), None);
        for process in 0..10_000 {
            askers.note(1_000_000_000 + process);
        }
        assert!(askers.moments.borrow().len() <= super::FEW + 1);
    }
}
