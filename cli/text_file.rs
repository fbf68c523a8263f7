//! Reads files that somebody else may have put in their place, a guarded process included: neither
//! a pipe that nobody writes to nor a file without an end may hold up a server.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The longest text, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Opens a regular file, and does not wait: neither for a writer (fifo(7)) nor for the holder of a
/// lease (`F_SETLEASE` in fcntl(2)).
///
/// # Errors
/// As the system says, or it is something else than a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let is_regular = file.metadata()?.is_file();
    is_regular.then_some(file).ok_or_else(|| io::Error::other("it is not a regular file"))
}

/// The text of a regular file.
///
/// # Errors
/// As for [`open`], or it is longer than 16 MiB or not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    whole(open(path)?)
}

/// The text of a file that a person has named on the command line. It may be a pipe, which is
/// waited for.
///
/// # Errors
/// As for [`read`].
pub fn read_named(path: &Path) -> io::Result<String> {
    whole(File::open(path)?)
}

/// The rest of an open file.
///
/// # Errors
/// As for [`read`].
pub fn whole(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("it is longer than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::{LONGEST, read};

    #[test]
    fn only_a_regular_file_of_some_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let [text, pipe, endless, vast] =
            ["text", "pipe", "endless", "vast"].map(|name| folder.path().join(name));
        fs::write(&text, "some text\n").unwrap();
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        File::create(&vast).unwrap().set_len(LONGEST + 1).unwrap();
        assert_eq!(read(&text).unwrap(), "some text\n");
        for (file, why) in [
            (&pipe, "not a regular file"),
            (&endless, "not a regular file"),
            (&folder.path().to_path_buf(), "not a regular file"),
            (&vast, "longer than 16 MiB"),
        ] {
            assert!(read(file).unwrap_err().to_string().contains(why), "{}", file.display());
        }
    }
}
