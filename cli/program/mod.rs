//! Finds programs, and how much the guard will see of them.

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

/// The findings about a program.
pub struct Inspection {
    /// How much the guard will see of it, if known.
    pub coverage: Option<Coverage>,
    /// The files on the way to the program that finally runs.
    pub steps: Vec<Step>,
}

/// How much will be seen of the program with this name or path, if known.
pub fn coverage_of(name: &OsStr) -> Option<Coverage> {
    find(name).ok().and_then(|path| look(&path).ok()).and_then(|seen| seen.coverage)
}

/// The program with this name or path, as a shell would find it.
///
/// # Errors
/// It does not exist, or cannot be executed.
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

/// Inspects the program at this path and its interpreters.
///
/// # Errors
/// It cannot be read.
pub fn look(path: &Path) -> io::Result<Inspection> {
    let mut disk = Disk::default();
    let path = CString::new(path.as_os_str().as_bytes())?;
    let search = std::env::var_os("PATH").unwrap_or_default();
    // Not followed through `env` on macOS, where `env` itself is protected.
    let around_env = (Os::HERE == Os::Linux).then(|| search.as_bytes());
    let coverage = follow(&mut disk, Host::HERE, &path, around_env)?;
    Ok(Inspection { coverage, steps: disk.steps })
}
