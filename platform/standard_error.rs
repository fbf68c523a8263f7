//! Whether descriptor 2 is what a person reads: the number of a stream that was closed goes to
//! whatever the program opens next, such as its data.

use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::descriptor::{Descriptor, FileStatus};
use crate::os::sys;

const STDOUT: i32 = 1;
const STDERR: i32 = 2;

/// What descriptor 2 was at load; zeros if it was closed.
static AT_LOAD: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// The process that loaded the library. Until then it is no zero, so that it stands in the
/// library's file, and what is zero stands behind it in the same page: in a page of their own
/// they would cost a mapping and a page fault more at each start.
static LOADED_BY: AtomicI32 = AtomicI32::new(-1);

/// Remembers what descriptor 2 is.
pub fn remember() {
    let [device, inode] = status(STDERR).map_or([0, 0], |status| file(&status));
    let [at_device, at_inode] = &AT_LOAD;
    at_device.store(device, Ordering::Relaxed);
    at_inode.store(inode, Ordering::Relaxed);
    LOADED_BY.store(sys::getpid(), Ordering::Relaxed);
}

/// Whether a line may be written there. What it was at load may be written to. Something else
/// was put there by who redirects a program that it is about to become or to start, if it is
/// inherited and no file, or the file that stdout goes to, or one that only a child writes to.
pub fn is_stderr() -> bool {
    let Some(found) = status(STDERR) else { return false };
    if file(&found) == [&AT_LOAD[0], &AT_LOAD[1]].map(|it| it.load(Ordering::Relaxed)) {
        return true;
    }
    if !sys::is_inherited(STDERR) {
        return false;
    }
    let is_stdout = || status(STDOUT).is_some_and(|stdout| file(&stdout) == file(&found));
    let is_redirected =
        || sys::getpid() != LOADED_BY.load(Ordering::Relaxed) && sys::is_write_only(STDERR);
    !found.rights.is_regular() || is_stdout() || is_redirected()
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
