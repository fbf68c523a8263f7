//! The audit file: one JSON object a line for each decision, and for each event
//! that a reader of the decisions has to know of.
//!
//! A line is one `write(2)` at the end of the file, made before the answer is
//! sent. A line that cannot be written is said so on stderr, once, and the server
//! keeps answering: a full disk must not stop an agent that the policy allows, nor
//! allow what it denies.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::mask::mask;
use crate::failure::say;
use crate::home;

/// The room for a line that stays allocated between two lines.
const LINE_BYTES_KEPT: usize = 64 * 1024;

/// One decision, as it is written.
#[derive(Serialize)]
pub struct Record<'a> {
    /// The same as in the answer.
    pub id: &'a str,
    pub agent: &'a str,
    pub session: &'a str,
    /// The process that asked, where the system tells it.
    pub pid: Option<i32>,
    /// The command line. Secrets in it are masked when it is written.
    #[serde(serialize_with = "masked")]
    pub command: &'a str,
    pub cwd: Option<&'a str>,
    pub verdict: &'a str,
    /// The policy that decided, if one did.
    pub policy: Option<&'a str>,
    pub message: &'a str,
    pub mode: &'a str,
}

/// Something that is not a decision.
#[derive(Serialize)]
struct Event<'a> {
    event: &'a str,
    message: &'a str,
}

/// A line of either kind.
#[derive(Serialize)]
struct Line<T> {
    time: Time,
    #[serde(flatten)]
    what: T,
}

struct Time(SystemTime);

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

fn masked<S: serde::Serializer>(command: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&mask(command))
}

/// The open audit file.
pub struct Audit {
    path: PathBuf,
    file: Option<File>,
    line: Vec<u8>,
    /// A line was cut short, so the next one has to begin on a line of its own.
    torn: bool,
    complained: bool,
}

impl Audit {
    /// Opens the file, and makes it and its directory for their owner only where
    /// they are missing.
    pub fn open(path: &Path) -> Self {
        if let Some(directory) = path.parent() {
            // What is wrong with it shows when the file is opened.
            let _ = home::make_private_directory(directory);
        }
        let mut audit = Self {
            path: path.to_path_buf(),
            file: None,
            line: Vec::new(),
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

    /// Writes a decision.
    pub fn record(&mut self, record: &Record<'_>) {
        self.write(record);
    }

    /// Writes an event, and says it on stderr.
    pub fn event(&mut self, event: &str, message: &str) {
        say(message);
        self.write(&Event { event, message });
    }

    /// Follows a file that was moved or removed, as log rotation does.
    pub fn follow(&mut self) {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let open = self.file.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        let named = std::fs::metadata(&self.path).ok().map(identity);
        if open.is_none() || open != named {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        match open_for_append(&self.path) {
            Ok(file) => self.file = Some(file),
            Err(error) => self.complain(&error),
        }
    }

    fn write(&mut self, what: &impl Serialize) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        self.line.clear();
        if self.torn {
            self.line.push(b'\n');
        }
        let line = Line { time: Time(SystemTime::now()), what };
        if serde_json::to_writer(&mut self.line, &line).is_err() {
            return;
        }
        self.line.push(b'\n');
        let written = loop {
            match file.write(&self.line) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written,
            }
        };
        let length = self.line.len();
        self.line.clear();
        self.line.shrink_to(LINE_BYTES_KEPT);
        match written {
            Ok(count) if count == length => {
                self.torn = false;
                self.complained = false;
            }
            Ok(_) => {
                self.torn = true;
                self.complain(&io::Error::from(io::ErrorKind::StorageFull));
            }
            Err(error) => self.complain(&error),
        }
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

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        // Not to wait where it is a pipe that nobody reads.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}
