//! Looks at the file of a program before it starts, and remembers what it was: a program
//! that is started again and again is read once.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rampart_core::coverage::{Coverage, Files, ReadAt, Status, follow};
use rampart_core::host::Host;

use crate::descriptor::{Descriptor, FileStatus};
use crate::errno::Errno;
use crate::os::sys;

/// How much will be seen of the program at `path`; `None` where that is not known. A forked
/// child, in a process that is not the library's own, does not remember: it would copy a page of
/// memory for what its exec forgets.
pub fn look(path: &CStr, is_own: bool) -> Result<Option<Coverage>, Errno> {
    if let Some(coverage) = remembered(path)? {
        return Ok(Some(coverage));
    }
    let mut found = Ok(None);
    if is_own && sys::has_closed_stream() {
        sys::with_unshared_table(|| found = look_anew(path, true));
    } else {
        found = look_anew(path, is_own);
    }
    found
}

fn look_anew(path: &CStr, remembers: bool) -> Result<Option<Coverage>, Errno> {
    let mut opened = Opened::default();
    let coverage = follow(&mut opened, Host::HERE, path, None)?;
    // What a script is depends on other files.
    if let (true, Some(coverage), Some(file), 1) = (remembers, coverage, opened.first, opened.count)
    {
        remember(&file, coverage);
    }
    Ok(coverage)
}

/// Files that are looked at one after the other.
#[derive(Default)]
pub struct Opened {
    first: Option<FileStatus>,
    count: usize,
}

impl Files for Opened {
    type File = Descriptor;
    type Error = Errno;

    fn open(&mut self, path: &CStr) -> Result<(Descriptor, Status), Errno> {
        // To open a pipe lets whoever waits at its other end go on, and a device may do
        // anything. The kernel runs neither, and says this of them.
        if !sys::status_at(path)?.rights.is_regular() {
            return Err(Errno(libc::EACCES));
        }
        let file = sys::open_to_read(path)?;
        let status = sys::status(&file)?;
        self.first.get_or_insert(status);
        self.count = self.count.saturating_add(1);
        Ok((file, status.rights))
    }

    fn status(&mut self, path: &CStr, why: &Errno) -> Option<Status> {
        if *why == Errno(libc::EACCES) { Some(sys::status_at(path).ok()?.rights) } else { None }
    }
}

impl ReadAt for Descriptor {
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize {
        sys::read_at(self, offset, room)
    }
}

/// Each word stands for one file as it was, by [`digest`], and for what it is.
static FILES: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
/// Whether any is remembered.
static ANY: AtomicBool = AtomicBool::new(false);

const COVERAGE_BITS: u64 = 0b1111;
const _: () = assert!(Coverage::ALL.len() as u64 <= COVERAGE_BITS);

/// What the file at `path` was found to be, if it is still the same.
fn remembered(path: &CStr) -> Result<Option<Coverage>, Errno> {
    if !ANY.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let digest = digest(&sys::status_at(path)?);
    let word = place(digest).map_or(0, |place| place.load(Ordering::Relaxed));
    if word & !COVERAGE_BITS != digest {
        return Ok(None);
    }
    let found = (word & COVERAGE_BITS).checked_sub(1).and_then(|at| usize::try_from(at).ok());
    Ok(found.and_then(|at| Coverage::ALL.get(at)).copied())
}

fn remember(file: &FileStatus, coverage: Coverage) {
    let digest = digest(file);
    let at = Coverage::ALL.iter().position(|it| *it == coverage);
    let code = at.and_then(|at| u64::try_from(at).ok()).map_or(0, |at| at.saturating_add(1));
    if let Some(place) = place(digest) {
        place.store(digest | code & COVERAGE_BITS, Ordering::Relaxed);
        ANY.store(true, Ordering::Relaxed);
    }
}

fn place(digest: u64) -> Option<&'static AtomicU64> {
    let at = usize::try_from(digest >> 32).ok()? % FILES.len();
    FILES.get(at)
}

/// Tells a file, and each state that it was in, from all others: whoever changes it changes
/// the time of its change. The bits for the coverage are left free.
fn digest(file: &FileStatus) -> u64 {
    // An odd number without pattern, the fraction of the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = file.identity.iter().fold(0u64, |sum, number| {
        let sum = (sum ^ number).wrapping_mul(SPREAD);
        sum ^ (sum >> 29)
    });
    mixed & !COVERAGE_BITS
}
