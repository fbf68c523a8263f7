//! The files of an audit: the current one, and those rotated away.
//!
//! `audit.jsonl` is rotated to `audit.2026-01-02T03-04-05.678Z.jsonl` beside it. Names sort by time
//! and before the current file, as the Go command expects.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::statvfs::statvfs;

use super::event::Event;
use crate::text_file;

/// How much of a file's tail is read at first.
const TAIL_BYTES: u64 = 64 * 1024;
/// The longest line that is read. No server writes a longer one: a question has 16 MiB.
pub const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// Whether the file system of a file has no room left.
pub fn is_disk_full(file: &Path) -> bool {
    // Some kinds tell no numbers at all.
    statvfs(file).is_ok_and(|disk| disk.blocks() > 0 && disk.blocks_available() == 0)
}

/// The name that a file is rotated to.
pub fn put_away(path: &Path, now: SystemTime) -> PathBuf {
    let time = humantime::format_rfc3339_millis(now).to_string().replace(':', "-");
    let (stem, end) = parts(path);
    path.with_file_name(format!("{stem}.{time}{end}"))
}

/// All existing files of an audit, the oldest first. A directory is an audit of the Go command,
/// with one or more files for each day.
pub fn all(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let named = entries.map(|entry| entry.path());
        let mut files: Vec<_> = named
            .filter(|file| file.extension().is_some_and(|end| end == "jsonl") && file.is_file())
            .collect();
        files.sort_by_cached_key(|file| day_and_number(file));
        return files;
    }
    let mut files = earlier(path);
    if path.exists() {
        files.push(path.to_path_buf());
    }
    files
}

/// The rotated files, the oldest first.
pub fn earlier(path: &Path) -> Vec<PathBuf> {
    let (stem, end) = parts(path);
    let is_one = |name: &str| {
        name.strip_prefix(&stem)
            .and_then(|rest| rest.strip_suffix(&end))
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|time| time.len() == 24 && time.as_bytes()[10] == b'T')
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let named = entries.map(|entry| entry.path());
    let mut files: Vec<PathBuf> = named
        .filter(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(is_one))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    files
}

/// The sort key of the Go command's `2026-01-02.p3.jsonl`.
fn day_and_number(file: &Path) -> (String, u32) {
    let (stem, _) = parts(file);
    match stem.rsplit_once(".p") {
        Some((day, number)) => (day.to_owned(), number.parse().unwrap_or(u32::MAX)),
        None => (stem, 0),
    }
}

/// The name without its extension, and the extension with its dot.
fn parts(path: &Path) -> (String, String) {
    let text =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let end = path.extension().map_or_else(String::new, |_| format!(".{}", text(path.extension())));
    (text(path.file_stem()), end)
}

/// The last complete line of a file, and what follows it: a torn line.
pub struct Tail {
    pub line: Vec<u8>,
    pub torn: Vec<u8>,
}

impl Tail {
    /// Reads it from a file of `size` bytes. Both are empty if the line has no end in sight.
    ///
    /// # Errors
    /// As the system says.
    pub fn read(path: &Path, size: u64) -> io::Result<Self> {
        let mut file = text_file::open(path)?;
        let mut room = TAIL_BYTES;
        loop {
            let begin = size.saturating_sub(room);
            file.seek(SeekFrom::Start(begin))?;
            let mut bytes = Vec::new();
            (&file).take(size - begin).read_to_end(&mut bytes)?;
            let torn = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let whole = &bytes[..torn.saturating_sub(1)];
            let line = whole.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
            // The line is complete, or begins with the file.
            if line.is_some() || begin == 0 {
                let line = whole[line.unwrap_or(0)..].to_vec();
                return Ok(Self { line, torn: bytes.split_off(torn) });
            }
            if room >= LONGEST_LINE {
                return Ok(Self { line: Vec::new(), torn: Vec::new() });
            }
            room *= 4;
        }
    }

    /// The hash of the last complete line; empty if there is none.
    pub fn hash(&self) -> String {
        serde_json::from_slice::<Event>(&self.line).unwrap_or_default().hash
    }
}

/// The lines of a file.
pub struct Lines(BufReader<File>);

impl Lines {
    /// # Errors
    /// As the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(BufReader::new).map(Self)
    }

    /// Reads the next one, with its end, in place of what `line` holds; `false` if there is none.
    ///
    /// # Errors
    /// As the system says, or the line is longer than 64 MiB.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        (&mut self.0).take(LONGEST_LINE + 1).read_until(b'\n', line)?;
        if line.len() as u64 > LONGEST_LINE {
            return Err(io::Error::other("a line is longer than 64 MiB"));
        }
        Ok(!line.is_empty())
    }
}

/// When the first line of a file was written.
pub fn begun(path: &Path) -> Option<SystemTime> {
    let mut beginning = [0; 512];
    let read = text_file::open(path).and_then(|mut file| file.read(&mut beginning)).ok()?;
    let text = String::from_utf8_lossy(&beginning[..read]);
    let (_, after) = text.split_once(r#""timestamp":""#)?;
    humantime::parse_rfc3339(after.split_once('"')?.0).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Lines, Tail, all, put_away};

    #[test]
    fn files_that_were_put_away_come_in_the_order_of_their_times_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let live = directory.path().join("audit.jsonl");
        let at = |seconds| put_away(&live, UNIX_EPOCH + Duration::from_secs(seconds));
        let expected = [at(5), at(4_000_000_000), live.clone()];
        let others = ["audit.txt", "audit.old.jsonl", "other.1970-01-01T00-00-05.000Z.jsonl"];
        for file in
            expected.iter().rev().cloned().chain(others.map(|name| directory.path().join(name)))
        {
            fs::write(file, "").unwrap();
        }
        assert_eq!(all(&live), expected);
        assert_eq!(
            put_away(Path::new("/x/audit.jsonl"), UNIX_EPOCH),
            Path::new("/x/audit.1970-01-01T00-00-00.000Z.jsonl")
        );
    }

    #[test]
    fn the_last_whole_line_is_found_however_long_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let long = "x".repeat(200_000);
        for (text, line, torn) in [
            ("", "", ""),
            ("a\n", "a", ""),
            ("a\nb\nc", "b", "c"),
            ("torn", "", "torn"),
            (&format!("a\n{long}\nend"), &long, "end"),
        ] {
            fs::write(&path, text).unwrap();
            let tail = Tail::read(&path, text.len() as u64).unwrap();
            assert_eq!(String::from_utf8(tail.line).unwrap(), line);
            assert_eq!(String::from_utf8(tail.torn).unwrap(), torn);
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_sought_in_the_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let size = 2 * super::LONGEST_LINE;
        fs::write(&path, "first\n").unwrap();
        File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
        let tail = Tail::read(&path, size).unwrap();
        assert!(tail.line.is_empty() && tail.torn.is_empty());
        let (mut lines, mut line) = (Lines::open(&path).unwrap(), Vec::new());
        assert!(lines.next(&mut line).unwrap() && line == b"first\n");
        assert!(lines.next(&mut line).unwrap_err().to_string().contains("longer than"));
    }
}
