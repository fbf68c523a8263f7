//! Reads the audit: its existing files, and lines as they are added.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::event::Event;
use super::files::{self, Lines};
use crate::failure::Failure;
use crate::home::Home;
use crate::text_file;

/// The named audit, otherwise this command's own, otherwise the Go command's.
///
/// # Errors
/// The named one cannot be read, this command's own is no file, or the home directory is not known.
pub fn place(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return match std::fs::metadata(named) {
            Ok(_) => Ok(named.to_path_buf()),
            Err(error) => {
                Err(Failure::usage(format!("cannot read the audit {}: {error}", named.display())))
            }
        };
    }
    let home = Home::locate()?;
    let of_go = home.directory().join("audit");
    let own = home.audit();
    if own.exists() && !own.is_file() {
        let own = own.display();
        return Err(Failure::usage(format!(
            "{own} is not a regular file, and so no audit: remove it"
        )));
    }
    Ok(if !own.exists() && of_go.is_dir() { of_go } else { own })
}

/// An audit to be read.
pub struct Trail {
    path: PathBuf,
    /// Whether a person has named it.
    is_named: bool,
}

impl Trail {
    /// The audit in this file and those rotated from it, or in a directory of the Go command.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_path_buf(), is_named: false }
    }

    /// The audit at its [`place`]. A named file without a record is refused when it is read, rather
    /// than shown as an audit in which nothing happened.
    ///
    /// # Errors
    /// As [`place`].
    pub fn at(named: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self { path: place(named)?, is_named: named.is_some() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files, the oldest first.
    pub fn files(&self) -> Vec<PathBuf> {
        files::all(&self.path)
    }

    /// Calls `take` with each event, the oldest first.
    ///
    /// # Errors
    /// A file cannot be read, or is no audit.
    pub fn each(&self, mut take: impl FnMut(Event)) -> Result<(), Failure> {
        self.files().iter().try_for_each(|file| self.read(file, &mut take))
    }

    /// The last `limit` wanted events, the oldest first.
    ///
    /// # Errors
    /// As [`Self::each`].
    pub fn last(
        &self,
        limit: usize,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Vec<Event>, Failure> {
        let mut found = Vec::new();
        for file in self.files().iter().rev() {
            let mut events = Vec::new();
            self.read(file, |event| {
                if wanted(&event) {
                    events.push(event);
                }
            })?;
            events.append(&mut found);
            found = events;
            if found.len() >= limit {
                break;
            }
        }
        found.drain(..found.len().saturating_sub(limit));
        Ok(found)
    }

    /// Calls `take` with each event of a file. Other lines are skipped: `audit verify` reports those.
    fn read(&self, file: &Path, mut take: impl FnMut(Event)) -> Result<(), Failure> {
        let fault =
            |error| Failure::new(format!("cannot read the audit {}: {error}", file.display()));
        let mut lines = Lines::open(file).map_err(fault)?;
        let mut line = Vec::new();
        let (mut has_line, mut has_record) = (false, false);
        while lines.next(&mut line).map_err(fault)? {
            has_line = true;
            if let Some(event) = event(&line) {
                has_record = true;
                take(event);
            }
        }
        if self.is_named && file == self.path && has_line && !has_record {
            let file = file.display();
            return Err(Failure::usage(format!("{file} is no audit: no line of it is a record")));
        }
        Ok(())
    }
}

fn event(line: &[u8]) -> Option<Event> {
    serde_json::from_slice(line).ok().filter(|event: &Event| !event.id.is_empty())
}

/// Follows an audit from now on.
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    /// An incomplete line.
    begun: Vec<u8>,
}

impl Follower {
    /// Begins at the end of the file.
    pub fn new(path: &Path) -> Self {
        let file = text_file::open(path).ok();
        let at = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |facts| facts.len());
        Self { path: path.to_path_buf(), file, at, begun: Vec::new() }
    }

    /// The events added since the last call.
    pub fn added(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        // On an error, the next call tries again.
        let _ = self.read(&mut events);
        if !self.is_current() {
            // The file was rotated: the old one was just read to its end.
            self.file = text_file::open(&self.path).ok();
            self.at = 0;
            self.begun.clear();
            let _ = self.read(&mut events);
        }
        events
    }

    fn read(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let size = file.metadata()?.len();
        if size < self.at {
            // A torn line was removed.
            self.begun.clear();
            self.at = size;
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        // The rest is read the next time.
        self.at += file.take(files::LONGEST_LINE).read_to_end(&mut bytes)? as u64;
        if bytes.len() as u64 == files::LONGEST_LINE && !bytes.contains(&b'\n') {
            // No line of an audit.
            return Ok(());
        }
        self.begun.extend(bytes);
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = self.begun.split_off(whole);
        let lines = std::mem::replace(&mut self.begun, rest);
        events.extend(lines.split(|byte| *byte == b'\n').filter_map(event));
        Ok(())
    }

    fn is_current(&self) -> bool {
        let identity = |facts: std::fs::Metadata| (facts.dev(), facts.ino());
        let open = self.file.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        open == std::fs::metadata(&self.path).ok().map(identity)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::{Follower, Trail};

    fn line(id: &str) -> String {
        format!("{{\"id\":\"{id}\"}}\n")
    }

    #[test]
    fn following_goes_on_in_a_new_file_and_waits_for_the_end_of_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        fs::write(&path, line("before")).unwrap();
        let mut follower = Follower::new(&path);
        let mut added =
            || follower.added().iter().map(|event| event.id.clone()).collect::<Vec<_>>();
        assert!(added().is_empty());
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        let (begin, end) = (line("1"), line("2"));
        file.write_all(format!("{begin}{}", &end[..5]).as_bytes()).unwrap();
        assert_eq!(added(), ["1"]);
        file.write_all(&end.as_bytes()[5..]).unwrap();
        assert_eq!(added(), ["2"]);
        file.write_all(line("3").as_bytes()).unwrap();
        fs::rename(&path, directory.path().join("old")).unwrap();
        fs::write(&path, line("4")).unwrap();
        assert_eq!(added(), ["3", "4"]);
        fs::remove_file(&path).unwrap();
        assert!(added().is_empty());
        fs::write(&path, line("5")).unwrap();
        assert_eq!(added(), ["5"]);
    }

    #[test]
    fn the_last_ones_may_be_in_several_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let old = directory.path().join("audit.2026-01-02T03-04-05.678Z.jsonl");
        fs::write(&old, [line("1"), line("2"), "no record\n".into(), line("3")].concat()).unwrap();
        fs::write(&path, [line("4"), line("5")].concat()).unwrap();
        let last = |limit| {
            let events = Trail::of(&path).last(limit, |event| event.id != "5").unwrap();
            events.into_iter().map(|event| event.id).collect::<Vec<_>>()
        };
        assert_eq!(last(1), ["4"]);
        assert_eq!(last(3), ["2", "3", "4"]);
        assert_eq!(last(9), ["1", "2", "3", "4"]);
    }
}
