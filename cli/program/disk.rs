//! The file system for the coverage detection, and the steps it took.

use std::ffi::CStr;
#[cfg(target_os = "linux")]
use std::ffi::CString;
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rampart_core::coverage::{Coverage, Files, Kind, ReadAt, Seen, Status};

/// The files of this machine.
#[derive(Default)]
pub struct Disk {
    /// The files inspected, in order.
    pub steps: Vec<Step>,
}

/// A file on the way from a path to the program that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub path: PathBuf,
    pub what: FileKind,
}

/// The kind of such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    Program(Coverage),
    /// With its interpreter line.
    Script(String),
    Unknown,
}

/// An open file.
pub struct Opened(File);

impl ReadAt for Opened {
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize {
        self.0.read_at(room, offset).unwrap_or_default()
    }
}

impl Files for Disk {
    type File = Opened;
    type Error = io::Error;

    fn open(&mut self, path: &CStr) -> io::Result<(Opened, Status)> {
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        // Opening a FIFO may block, or wake up whoever waits at its other end.
        if !path.metadata()?.is_file() {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        Ok((Opened(file), status(path, &metadata)))
    }

    fn status(&mut self, path: &CStr, _why: &io::Error) -> Option<Status> {
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        Some(status(path, &path.metadata().ok()?))
    }

    fn saw(&mut self, seen: Seen<'_>) {
        let what = match seen.kind {
            Kind::Program(coverage) => FileKind::Program(coverage),
            Kind::Script(interpreter) => {
                let line = [interpreter.path, b" ", interpreter.argument].concat();
                FileKind::Script(String::from_utf8_lossy(line.trim_ascii()).into_owned())
            }
            Kind::Unknown => FileKind::Unknown,
        };
        let path = PathBuf::from(OsStr::from_bytes(seen.path.to_bytes()));
        self.steps.push(Step { path, what });
    }
}

fn status(path: &Path, metadata: &Metadata) -> Status {
    Status {
        mode: metadata.mode(),
        flags: flags(metadata),
        has_capabilities: has_capabilities(path),
    }
}

/// Whether a file has capabilities (xattr(7), the `security` namespace).
#[cfg(target_os = "linux")]
fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    let name = c"security.capability".as_ptr();
    // SAFETY: both are strings, and without room the call only tells the attribute's size.
    unsafe { libc::getxattr(path.as_ptr(), name, std::ptr::null_mut(), 0) > 0 }
}

/// Only Linux has them.
#[cfg(not(target_os = "linux"))]
fn has_capabilities(_path: &Path) -> bool {
    false
}

#[cfg(target_os = "macos")]
fn flags(metadata: &Metadata) -> u32 {
    use std::os::macos::fs::MetadataExt as _;
    metadata.st_flags()
}

#[cfg(not(target_os = "macos"))]
fn flags(_metadata: &Metadata) -> u32 {
    0
}
