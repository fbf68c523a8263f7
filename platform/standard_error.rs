//! Whether descriptor 2 is the standard error stream: if that was closed, the number may belong to
//! any file that the program opened since.

use core::mem::ManuallyDrop;

use crate::descriptor::{Descriptor, FileStatus};
use crate::os::sys;

const STDOUT: i32 = 1;
const STDERR: i32 = 2;

/// Descriptor 2 as it was at load.
pub struct StandardError {
    /// Device and inode; zeros if it was closed.
    file: [u64; 2],
    /// The process that loaded the library.
    loaded_by: i32,
}

impl StandardError {
    /// Descriptor 2 as it is now, in the process `pid`.
    pub fn here(pid: i32) -> Self {
        Self { file: status(STDERR).map_or([0, 0], |status| file(&status)), loaded_by: pid }
    }

    /// Whether a line may be written there. It may if it is what it was at load. Otherwise it may
    /// only if it looks like the redirected stderr of the program that is about to start: if it is
    /// inheritable, and is not a regular file, or is the same file as stdout, or is open for
    /// writing only in a forked child.
    pub fn is_here(&self) -> bool {
        let Some(found) = status(STDERR) else { return false };
        if file(&found) == self.file {
            return true;
        }
        if !sys::is_inherited(STDERR) {
            return false;
        }
        let is_stdout = || status(STDOUT).is_some_and(|stdout| file(&stdout) == file(&found));
        let is_redirected = || sys::getpid() != self.loaded_by && sys::is_write_only(STDERR);
        !found.rights.is_regular() || is_stdout() || is_redirected()
    }
}

fn status(number: i32) -> Option<FileStatus> {
    // Not the library's descriptor, so it must not be closed.
    sys::status(&ManuallyDrop::new(Descriptor::from_number(number))).ok()
}

/// Device and inode.
fn file(status: &FileStatus) -> [u64; 2] {
    let [device, inode, ..] = status.identity;
    [device, inode]
}
