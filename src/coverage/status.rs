//! What the system says of a file.

use crate::host::Os;

/// `st_mode` (`inode(7)`).
const TYPE_MASK: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const ANYBODY_MAY_EXECUTE: u32 = 0o111;
const GROUP_MAY_EXECUTE: u32 = 0o010;

/// What `stat(2)` says of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// `st_mode`.
    pub mode: u32,
    /// `st_flags`, which only macOS has.
    pub flags: u32,
}

impl Status {
    /// Whether it is a file that somebody may execute.
    #[must_use]
    pub const fn is_program(self) -> bool {
        self.is_regular() && self.mode & ANYBODY_MAY_EXECUTE != 0
    }

    /// Whether it is a file that holds bytes, and no pipe, device or directory.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        self.mode & TYPE_MASK == REGULAR_FILE
    }

    /// Whether a program runs with other rights than its caller's, so that its loader ignores
    /// the preload variable (`ld.so(8)`, secure-execution mode; dyld alike).
    ///
    /// Who calls does not count, though the loader is not so strict with a caller who is that
    /// user already (root, in a container): a policy should not depend on it, and there the
    /// library is loaded all the same. File capabilities are not looked at, for they are
    /// no part of the status.
    #[must_use]
    pub const fn is_privileged(self, os: Os) -> bool {
        let group = match os {
            // Without the right to execute it is the mark of mandatory locking.
            Os::Linux => SET_GROUP_ID | GROUP_MAY_EXECUTE,
            Os::MacOs => SET_GROUP_ID,
        };
        self.is_regular() && (self.mode & SET_USER_ID != 0 || self.mode & group == group)
    }
}
