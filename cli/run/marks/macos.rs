//! By their environment. macOS only tells about this user's processes that it does not protect.

use nix::unistd::Pid;

use crate::processes;

/// The marks of a tree.
pub struct Marks {
    /// An entry in the environment of all its processes.
    entry: Vec<u8>,
    /// When the root was started.
    pub since: u64,
}

impl Marks {
    /// The marks of the tree with this root.
    pub fn new(root: Pid, entry: Vec<u8>) -> Self {
        Self { entry, since: processes::started(root).unwrap_or(0) }
    }

    /// A process of the tree other than this one.
    pub fn find(&self) -> Option<Pid> {
        let own = Pid::this().as_raw();
        let mut found = None;
        processes::each_environment(|process, environment| {
            if process != own && environment.contains(&self.entry.as_slice()) {
                found = Some(Pid::from_raw(process));
            }
        });
        found
    }
}
