//! The status of a file.

use crate::host::Os;

/// `st_mode` (`inode(7)`).
const TYPE_MASK: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const ANYBODY_MAY_EXECUTE: u32 = 0o111;
const GROUP_MAY_EXECUTE: u32 = 0o010;

/// What matters here of a file's status: a part of `stat(2)`'s result, and its capabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// `st_mode`.
    pub mode: u32,
    /// `st_flags`, which only macOS has.
    pub flags: u32,
    /// Whether it has file capabilities (`capabilities(7)`). The library does not look for them: that
    /// would cost each check a system call.
    pub has_capabilities: bool,
}

impl Status {
    /// Whether it is a regular file that somebody may execute.
    #[must_use]
    pub const fn is_program(self) -> bool {
        self.is_regular() && self.mode & ANYBODY_MAY_EXECUTE != 0
    }

    /// Whether it is a regular file: no pipe, device or directory.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        self.mode & TYPE_MASK == REGULAR_FILE
    }

    /// Whether it is a set-user-ID or set-group-ID program or has capabilities, so that its loader
    /// ignores the preload variable (`ld.so(8)`, secure-execution mode; dyld does the same).
    ///
    /// The loader makes an exception if the caller is that user already (root, in a container).
    /// That is not considered here: a policy should not depend on it, and it only makes the library
    /// see more.
    #[must_use]
    pub const fn is_privileged(self, os: Os) -> bool {
        let group = match os {
            // Without group execution the bit means mandatory locking (`inode(7)`).
            Os::Linux => SET_GROUP_ID | GROUP_MAY_EXECUTE,
            Os::MacOs => SET_GROUP_ID,
        };
        let has_rights = self.mode & SET_USER_ID != 0 || self.mode & group == group;
        self.is_regular() && (has_rights || self.has_capabilities)
    }
}
