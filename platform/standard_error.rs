//! Whether descriptor 2 is what a person reads: the number of a stream that was closed goes to
//! whatever the program opens next, such as its data.

use core::mem::ManuallyDrop;

use crate::descriptor::{Descriptor, FileStatus};
use crate::os::sys;

const STDOUT: i32 = 1;
const STDERR: i32 = 2;

/// What descriptor 2 was at load.
pub struct StandardError {
    /// Device and inode; zeros if it was closed.
    file: [u64; 2],
    /// The process that loaded the library.
    loaded_by: i32,
}

impl StandardError {
    /// What descriptor 2 is, in the process `pid`.
    pub fn here(pid: i32) -> Self {
        Self { file: status(STDERR).map_or([0, 0], |status| file(&status)), loaded_by: pid }
    }

    /// Whether a line may be written there. What it was at load may be written to. Something else
    /// was put there by who redirects a program that it is about to become or to start, if it is
    /// inherited and no file, or the file that stdout goes to, or one that only a child writes to.
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
    // It is not ours to close.
    sys::status(&ManuallyDrop::new(Descriptor::from_number(number))).ok()
}

/// Device and inode.
fn file(status: &FileStatus) -> [u64; 2] {
    let [device, inode, ..] = status.identity;
    [device, inode]
}
