//! Writes files completely or not at all, even if the disk is full, the machine crashes, or another
//! process writes the same file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::home::make_private_directory;

/// Replaces a file and keeps its mode, and its owner if it may; a new one gets `mode`. Processes that
/// have the old file open or mapped keep it intact.
///
/// # Errors
/// It cannot be written; the file stays as it was.
pub fn replace(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let put = |new: &File, temporary: &Path| {
        if let Ok(facts) = fs::metadata(file) {
            // Whose it was is to read it further on, also after root has replaced it (`sudo -E`).
            let _ = fchown(new, Some(facts.uid()), Some(facts.gid()));
            new.set_permissions(facts.permissions())?;
        }
        fs::rename(temporary, file)
    };
    by_way_of_another(file, bytes, mode, put)
}

/// Creates a file; returns `false` if it already exists.
///
/// # Errors
/// It cannot be written; no file is left.
pub fn create(file: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    if file.symlink_metadata().is_ok() {
        return Ok(false);
    }
    // `link` fails if the name is taken; `rename` would replace the file.
    let result = by_way_of_another(file, bytes, mode, |_, temporary| {
        fs::hard_link(temporary, file)?;
        fs::remove_file(temporary)
    });
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        result => result.map(|()| true),
    }
}

/// Writes the bytes to a temporary file beside `file`, which `put` then moves into place.
fn by_way_of_another(
    file: &Path,
    bytes: &[u8],
    mode: u32,
    put: impl FnOnce(&File, &Path) -> io::Result<()>,
) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        make_private_directory(directory)?;
    }
    let temporary = beside(file);
    let new = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let done =
        (&new).write_all(bytes).and_then(|()| new.sync_all()).and_then(|()| put(&new, &temporary));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// A name that nobody else uses.
fn beside(file: &Path) -> PathBuf {
    let mut number = [0; 8];
    // Without randomness the name may be taken, which is only an error.
    let _ = getrandom::fill(&mut number);
    file.with_extension(format!("new-{:016x}", u64::from_ne_bytes(number)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    use super::{create, replace};

    #[test]
    fn a_file_is_made_once_and_put_in_place_of_with_its_rights() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/file.txt");
        assert!(create(&file, b"a", 0o600).unwrap());
        assert!(!create(&file, b"b", 0o600).unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"a");
        assert_eq!(fs::metadata(&file).unwrap().nlink(), 1);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&file, b"c", 0o600).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"c");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        // A failed replace leaves no temporary file.
        assert!(replace(file.parent().unwrap(), b"d", 0o600).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_users_file_stays_theirs_when_root_replaces_it() {
        if !nix::unistd::geteuid().is_root() {
            println!("left out: only root may give a file away");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "a").unwrap();
        chown(&file, Some(65534), Some(65533)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&file, b"b", 0o600).unwrap();
        let facts = fs::metadata(&file).unwrap();
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o777), (65534, 65533, 0o640));
        assert_eq!(fs::read(&file).unwrap(), b"b");
    }

    #[test]
    fn of_many_that_make_a_file_at_once_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let made: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|number: u8| {
                    let file = &file;
                    scope.spawn(move || create(file, &[number; 4096], 0o600).unwrap())
                })
                .collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(made, 1);
        let bytes = fs::read(&file).unwrap();
        assert!(bytes.len() == 4096 && bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
