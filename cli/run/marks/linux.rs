//! By their environment, by the library among their mappings, and, where neither can be read, by
//! user and control groups.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirEntryExt as _;

use nix::unistd::{Pid, getpgid, getuid};

use crate::processes;

/// Enough for most environments.
const ENVIRONMENT_BYTES: usize = 16 * 1024;
/// What `/proc` gives in place of an inode when it lacks memory (`proc_fill_cache`, fs/proc/base.c).
const NO_INODE: u64 = 1;

/// The marks of a tree.
pub struct Marks {
    /// An entry in the environment of all its processes.
    entry: Vec<u8>,
    /// When the root was started.
    pub since: u64,
    /// The root's control groups, as in `/proc/PID/cgroup`.
    groups: Vec<u8>,
    /// Whether the root's process group is one of this PID namespace.
    is_grouped: bool,
    /// Processes known to be older than the tree, with the inode of their directory in `/proc`, which
    /// no later process has. Looking up a start time costs more than the rest of a search.
    elders: RefCell<HashSet<(i32, u64)>>,
}

impl Marks {
    /// The marks of the tree with this root.
    pub fn new(root: Pid, entry: Vec<u8>) -> Self {
        Self {
            entry,
            since: processes::started(root).unwrap_or(0),
            groups: fs::read(format!("/proc/{root}/cgroup")).unwrap_or_default(),
            is_grouped: is_grouped(root),
            elders: RefCell::default(),
        }
    }

    /// A process of the tree other than this one.
    pub fn find(&self) -> Option<Pid> {
        let own = Pid::this();
        let mut room = Vec::with_capacity(ENVIRONMENT_BYTES);
        let named = |directory: io::Result<DirEntry>| {
            let directory = directory.ok()?;
            let process = directory.file_name().to_str()?.parse().ok()?;
            Some((Pid::from_raw(process), directory.ino()))
        };
        fs::read_dir("/proc")
            .ok()?
            .filter_map(named)
            .filter(|(process, inode)| *process != own && self.may_be_of(*process, *inode))
            .map(|(process, _)| process)
            .find(|process| self.are_of(*process, &mut room))
    }

    /// Whether a process, whose directory in `/proc` has this inode, lives and is not older than the
    /// tree.
    fn may_be_of(&self, process: Pid, inode: u64) -> bool {
        // Groups are inherited, or are those of a process of the tree. Threads of the kernel have
        // none.
        if self.is_grouped && !is_grouped(process) {
            return false;
        }
        let mut elders = self.elders.borrow_mut();
        if elders.contains(&(process.as_raw(), inode)) {
            return false;
        }
        match processes::started(process) {
            Some(start) if start < self.since => {
                if inode != NO_INODE {
                    elders.insert((process.as_raw(), inode));
                }
                false
            }
            start => start.is_some(),
        }
    }

    fn are_of(&self, process: Pid, room: &mut Vec<u8>) -> bool {
        const ANY_RUN: &[u8] = b"RAMPART_URL=";
        let has = |environment: &[u8], is_it: &dyn Fn(&[u8]) -> bool| {
            environment.split(|byte| *byte == 0).any(is_it)
        };
        match read_whole(process, "environ", room) {
            Ok(environment) if has(environment, &|entry| entry == self.entry) => true,
            Ok(environment) if has(environment, &|entry| entry.starts_with(ANY_RUN)) => false,
            // It may have overwritten its environment to set a title.
            Ok(_) => read_whole(process, "maps", room)
                .is_ok_and(|maps| String::from_utf8_lossy(maps).contains("/librampart.so")),
            // It cannot be read (`PR_SET_DUMPABLE` in prctl(2)).
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let status = read_whole(process, "status", room).unwrap_or_default();
                let status = String::from_utf8_lossy(status);
                let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
                let user = user.and_then(|users| users.split_whitespace().next()?.parse().ok());
                user == Some(getuid().as_raw())
                    && read_whole(process, "cgroup", room).is_ok_and(|groups| groups == self.groups)
            }
            Err(_) => false,
        }
    }
}

/// Whether the process's group is one of this PID namespace, as far as can be told.
fn is_grouped(process: Pid) -> bool {
    getpgid(Some(process)) != Ok(Pid::from_raw(0))
}

/// A file that the system has about a process. `room` should have capacity: the standard library
/// would otherwise begin with reads of 32 bytes.
///
/// # Errors
/// As `open(2)` and `read(2)`.
fn read_whole<'r>(process: Pid, name: &str, room: &'r mut Vec<u8>) -> io::Result<&'r [u8]> {
    room.clear();
    File::open(format!("/proc/{process}/{name}"))?.read_to_end(room)?;
    Ok(room)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::process::Command;

    use nix::unistd::Pid;

    use super::Marks;

    #[test]
    fn who_has_the_id_of_an_older_process_is_not_taken_for_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Pid::from_raw(child.id().try_into().unwrap());
        let inode = fs::metadata(format!("/proc/{process}")).unwrap().ino();
        let marks = Marks::new(Pid::this(), Vec::new());
        // As if an earlier process with this ID had been seen.
        marks.elders.borrow_mut().insert((process.as_raw(), inode + 1));
        assert!(marks.may_be_of(process, inode));
        marks.elders.borrow_mut().insert((process.as_raw(), inode));
        assert!(!marks.may_be_of(process, inode));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
