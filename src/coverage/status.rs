//! The status of a file.

use crate::host::Os;

/// `st_mode` (`inode(7)`).
const TYPE_MASK: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const ANYBODY_MAY_EXECUTE: u32 = 0o111;
const GROUP_MAY_EXECUTE: u32 = 0o010;

/// The part of `stat(2)`'s result that matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// `st_mode`.
    pub mode: u32,
    /// `st_flags`, which only macOS has.
    pub flags: u32,
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

    /// Whether it is a set-user-ID or set-group-ID program, whose loader ignores the preload
    /// variable (`ld.so(8)`, secure-execution mode; dyld does the same).
    ///
    /// The loader makes an exception if the caller is that user already (root, in a container).
    /// That is not considered here: a policy should not depend on it, and it only makes the library
    /// see more. File capabilities are not considered either; `stat(2)` does not show them.
    #[must_use]
    pub const fn is_privileged(self, os: Os) -> bool {
        let group = match os {
            // Without group execution the bit means mandatory locking (`inode(7)`).
            Os::Linux => SET_GROUP_ID | GROUP_MAY_EXECUTE,
            Os::MacOs => SET_GROUP_ID,
        };
        self.is_regular() && (self.mode & SET_USER_ID != 0 || self.mode & group == group)
    }
}
