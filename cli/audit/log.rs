//! The audit file: one JSON object a line for each decision, and for each event
//! that a reader of the decisions has to know of.
//!
//! Lines are written a moment after their answers, many at once if many are asked for:
//! before the server waits for anybody, and at the latest when they are 64 KiB or 10 ms
//! old. What a crash of the server may lose are the lines of that moment. Who cannot
//! have that has each line on the disk before its answer is sent.
//!
//! All lines of one moment are one `write(2)` at the end of the file. Lines that cannot be
//! written are said so on stderr, once, and the server keeps answering: a full disk must
//! not stop an agent that the policy allows, nor allow what it denies.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use super::mask::mask;
use super::stamp::Stamp;
use crate::failure::say;
use crate::home;

/// So many bytes do not wait for more.
const ENOUGH_BYTES: usize = 64 * 1024;
/// The room that stays allocated for the next lines.
const BYTES_KEPT: usize = 2 * ENOUGH_BYTES;
/// How long a line may wait for others while there is something to answer.
const DELAY: Duration = Duration::from_millis(10);

/// When lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A moment after their answers.
    Soon,
    /// Before their answers, and then they are on the disk.
    Synced,
}

/// One decision, as it is written.
#[derive(Serialize)]
pub struct Record<'a> {
    /// The same as in the answer.
    pub id: &'a str,
    pub agent: &'a str,
    pub session: &'a str,
    /// The process that asked, where the system tells it.
    pub pid: Option<i32>,
    /// Who asked on behalf of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'a str>,
    /// The command line. Secrets in it are masked when it is written.
    #[serde(serialize_with = "masked")]
    pub command: &'a str,
    pub cwd: Option<&'a str>,
    /// How much will be seen of the program, where it is known.
    pub coverage: Option<&'a str>,
    pub verdict: &'a str,
    /// The policy that decided, if one did.
    pub policy: Option<&'a str>,
    pub message: &'a str,
    pub mode: &'a str,
}

impl Durability {
    /// As `--audit-sync` has it.
    pub fn synced(synced: bool) -> Self {
        if synced { Self::Synced } else { Self::Soon }
    }
}

/// Lines that are to be written.
#[derive(Default)]
pub struct Lines {
    bytes: Vec<u8>,
    stamp: Stamp,
}

/// A line is this and what it tells.
#[derive(Serialize)]
struct Timed<'a, T> {
    time: &'a str,
    #[serde(flatten)]
    told: T,
}

/// Something that is not a decision.
#[derive(Serialize)]
struct Event<'a> {
    event: &'a str,
    message: &'a str,
}

impl Lines {
    /// Adds a decision.
    pub fn record(&mut self, record: &Record<'_>) {
        self.add(record);
    }

    /// Adds something that is not a decision.
    pub fn event(&mut self, event: &str, message: &str) {
        self.add(Event { event, message });
    }

    fn add(&mut self, told: impl Serialize) {
        let line = Timed { time: self.stamp.now(), told };
        let mut whole = Whole { end: self.bytes.len(), bytes: &mut self.bytes };
        // A vector takes every byte, and only maps with strange keys do not serialise.
        let _ = serde_json::to_writer(&mut *whole.bytes, &line);
        whole.bytes.push(b'\n');
        whole.end = whole.bytes.len();
    }
}

/// Lines of which each is whole: what comes after the end of the last one goes, as where a
/// fault ended the writing of it. The next one is another client's.
struct Whole<'l> {
    bytes: &'l mut Vec<u8>,
    end: usize,
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.end);
    }
}

fn masked<S: Serializer>(command: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&mask(command))
}

/// The open audit file.
pub struct Audit {
    path: PathBuf,
    file: Option<File>,
    durability: Durability,
    lines: Lines,
    /// A line was cut short, so the next one has to begin on a line of its own.
    torn: bool,
    complained: bool,
}

impl Audit {
    /// Opens the file, and makes it and its directory for their owner only where
    /// they are missing.
    pub fn open(path: &Path, durability: Durability) -> Self {
        if let Some(directory) = path.parent() {
            // What is wrong with it shows when the file is opened.
            let _ = home::make_private_directory(directory);
        }
        let mut audit = Self {
            path: path.to_path_buf(),
            file: None,
            durability,
            lines: Lines::default(),
            torn: false,
            complained: false,
        };
        audit.reopen();
        audit
    }

    /// The file, where it could be opened: a server that goes on in another
    /// process has to keep it.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Where decisions are added; `settle` has to come before their answers are sent.
    pub fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// Adds lines that were put together elsewhere.
    pub fn append(&mut self, lines: &Lines) {
        self.lines.bytes.extend_from_slice(&lines.bytes);
    }

    /// Has the lines of answers on the disk before those are sent, where that was asked for.
    pub fn settle(&mut self) {
        if self.durability == Durability::Synced {
            self.write();
            let synced = self.file.as_ref().map_or(Ok(()), File::sync_data);
            // A pipe or a terminal cannot be synced, and need not.
            if let Err(error) = synced
                && error.kind() != io::ErrorKind::InvalidInput
            {
                self.complain(&error);
            }
        }
    }

    /// Adds an event, and says it on stderr.
    pub fn event(&mut self, event: &str, message: &str) {
        say(message);
        self.lines.event(event, message);
        self.settle();
    }

    /// How many bytes wait to be written.
    pub fn waiting(&self) -> usize {
        self.lines.bytes.len()
    }

    /// Whether so many bytes that have waited since then should not wait for more.
    pub fn is_due(waiting: usize, begun: Instant) -> bool {
        waiting >= ENOUGH_BYTES || begun.elapsed() >= DELAY
    }

    /// Follows a file that was moved or removed, as log rotation does.
    pub fn follow(&mut self) {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let open = self.file.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        let named = std::fs::metadata(&self.path).ok().map(identity);
        if open.is_none() || open != named {
            self.write();
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        match open_for_append(&self.path) {
            Ok(file) => self.file = Some(file),
            Err(error) => self.complain(&error),
        }
    }

    /// Writes all lines.
    pub fn write(&mut self) {
        if self.lines.bytes.is_empty() {
            return;
        }
        if self.torn {
            self.lines.bytes.insert(0, b'\n');
        }
        let written = match &self.file {
            Some(file) => write_at_once(file, &self.lines.bytes),
            None => Ok(self.lines.bytes.len()),
        };
        match written {
            Ok(count) if count == self.lines.bytes.len() => {
                self.torn = false;
                self.complained &= self.file.is_none();
            }
            Ok(count) => {
                let last = self.lines.bytes[..count].last();
                self.torn = last.map_or(self.torn, |last| *last != b'\n');
                self.complain(&io::Error::from(io::ErrorKind::StorageFull));
            }
            Err(error) => self.complain(&error),
        }
        self.lines.bytes.clear();
        self.lines.bytes.shrink_to(BYTES_KEPT);
    }

    fn complain(&mut self, error: &io::Error) {
        if !self.complained {
            self.complained = true;
            say(format!(
                "cannot write the audit file {}: {error}; the decisions stand, and are not recorded",
                self.path.display()
            ));
        }
    }
}

/// One call, so that the lines of several servers do not mix.
fn write_at_once(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match file.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        // Not to wait where it is a pipe that nobody reads.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use serde::{Serialize, Serializer};

    use super::Lines;

    /// Fails after half of itself.
    #[derive(Serialize)]
    struct Faulty {
        first: &'static str,
        #[serde(serialize_with = "fail")]
        second: (),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    fn fail<S: Serializer>(_: &(), _: S) -> Result<S::Ok, S::Error> {
        panic!("a fault")
    }

    #[test]
    fn a_fault_in_a_line_leaves_nothing_to_the_next_one() {
        let mut lines = Lines::default();
        lines.event("one", "whole");
        let faulty = Faulty { first: "half a line", second: () };
        assert!(catch_unwind(AssertUnwindSafe(|| lines.add(faulty))).is_err());
        lines.event("two", "whole");
        let text = String::from_utf8(lines.bytes).unwrap();
        let events: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| line["event"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(events, ["one", "two"]);
    }
}
