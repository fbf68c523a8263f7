//! The file system for the coverage detection, and the steps it took.

use std::ffi::CStr;
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
        let status = Status { mode: metadata.mode(), flags: flags(&metadata) };
        Ok((Opened(file), status))
    }

    fn status(&mut self, path: &CStr, _why: &io::Error) -> Option<Status> {
        let metadata = Path::new(OsStr::from_bytes(path.to_bytes())).metadata().ok()?;
        Some(Status { mode: metadata.mode(), flags: flags(&metadata) })
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

#[cfg(target_os = "macos")]
fn flags(metadata: &Metadata) -> u32 {
    use std::os::macos::fs::MetadataExt as _;
    metadata.st_flags()
}

#[cfg(not(target_os = "macos"))]
fn flags(_metadata: &Metadata) -> u32 {
    0
}
