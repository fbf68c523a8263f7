//! The coverage of this machine's programs, by the project's own code.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rampart_core::coverage::{Coverage, Files, ReadAt, Status, follow};
use rampart_core::host::Host;

struct Disk;

struct Opened(File);

impl ReadAt for Opened {
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize {
        self.0.read_at(room, offset).unwrap_or_default()
    }
}

impl Files for Disk {
    type File = Opened;
    type Error = io::Error;

    fn open(&mut self, path: &CStr) -> io::Result<(Opened, Status)> {
        let file = File::open(OsStr::from_bytes(path.to_bytes()))?;
        let mode = file.metadata()?.mode();
        Ok((Opened(file), Status { mode, ..Status::default() }))
    }
}

/// How much will be seen of the program at a path.
pub fn coverage_of(path: &Path) -> Option<Coverage> {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    follow(&mut Disk, Host::HERE, &path, None).expect("a file")
}
