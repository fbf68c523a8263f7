//! The programs of this machine: where one is, and how much the guard will see of it.

mod disk;

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use rampart_core::coverage::{Coverage, follow};
use rampart_core::host::{Host, Os};

use crate::failure::Failure;
use disk::Disk;

pub use disk::{FileKind, Step};

/// What was found out about a program.
pub struct Inspection {
    /// How much the guard will see of it, where that is known.
    pub coverage: Option<Coverage>,
    /// The files on the way to what runs in the end.
    pub steps: Vec<Step>,
}

/// How much will be seen of the program of this name or path, where that is known.
pub fn coverage_of(name: &OsStr) -> Option<Coverage> {
    find(name).ok().and_then(|path| look(&path).ok()).and_then(|seen| seen.coverage)
}

/// The program of this name or path, as a shell would find it.
///
/// # Errors
/// There is none, or it cannot be executed.
pub fn find(name: &OsStr) -> Result<PathBuf, Failure> {
    let shown = name.display();
    let can_run = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match path.symlink_metadata() {
            Err(_) => Err(Failure::not_found(format!("there is no {shown}"))),
            Ok(_) if can_run(&path) => Ok(path),
            Ok(_) => Err(Failure::cannot_run(format!("{shown} is nothing that you can execute"))),
        };
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&search)
        .map(|directory| directory.join(name))
        .find(|path| !name.is_empty() && can_run(path))
        .ok_or_else(|| Failure::not_found(format!("there is no program {shown} in your PATH")))
}

/// Looks at the program of this path, and at what runs it.
///
/// # Errors
/// It cannot be read.
pub fn look(path: &Path) -> io::Result<Inspection> {
    let mut disk = Disk::default();
    let path = CString::new(path.as_os_str().as_bytes())?;
    let search = std::env::var_os("PATH").unwrap_or_default();
    // On macOS what `env` starts is not followed, for the system protects `env` itself.
    let around_env = (Os::HERE == Os::Linux).then(|| search.as_bytes());
    let coverage = follow(&mut disk, Host::HERE, &path, around_env)?;
    Ok(Inspection { coverage, steps: disk.steps })
}
