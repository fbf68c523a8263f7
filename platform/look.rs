//! Reads the file of a program before it starts, and remembers the result for programs that are
//! started many times.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rampart_core::coverage::{Coverage, Files, ReadAt, Status, follow};
use rampart_core::host::Host;

use crate::descriptor::{Descriptor, FileStatus};
use crate::errno::Errno;
use crate::os::sys;

/// How much will be seen of the program at `path`; `None` if that is not known. A forked child does
/// not remember the result: writing would copy a page that its exec discards.
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
    // The coverage of a script depends on other files, which may change.
    if let (true, Some(coverage), Some(file), 1) = (remembers, coverage, opened.first, opened.count)
    {
        remember(&file, coverage);
    }
    Ok(coverage)
}

/// The files that were opened: the first one's status, and how many.
#[derive(Default)]
pub struct Opened {
    first: Option<FileStatus>,
    count: usize,
}

impl Files for Opened {
    type File = Descriptor;
    type Error = Errno;

    fn open(&mut self, path: &CStr) -> Result<(Descriptor, Status), Errno> {
        // Opening a FIFO would wake its writer, and opening a device may do anything. The kernel
        // executes neither and fails with the same error.
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

/// The results for some files. Each word holds the [`digest`] of a file and its coverage.
static FILES: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
/// Whether any result is remembered.
static ANY: AtomicBool = AtomicBool::new(false);

const COVERAGE_BITS: u64 = 0b1111;
const _: () = assert!(Coverage::ALL.len() as u64 <= COVERAGE_BITS);

/// The remembered coverage of the file at `path`, if the file is unchanged.
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

/// A hash of a file's identity and timestamps, which changes with the file (`st_ctime`, inode(7)).
/// The bits for the coverage are zero.
fn digest(file: &FileStatus) -> u64 {
    // The fraction of the golden ratio: an odd number without a pattern.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = file.identity.iter().fold(0u64, |sum, number| {
        let sum = (sum ^ number).wrapping_mul(SPREAD);
        sum ^ (sum >> 29)
    });
    mixed & !COVERAGE_BITS
}
