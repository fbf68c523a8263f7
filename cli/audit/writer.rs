//! Appends entries to the audit file. Several servers may write the same file, in one chain.
//!
//! The file is locked while lines are appended. The holder of the lock checks whether another
//! server has written, and continues from the hash of the last line. A writer that was killed
//! leaves a torn line, which is removed and kept in an event. A lock that is not released (by a
//! stopped server, or by an agent that wants no audit) is waited for only a while; then lines are
//! written anyway, and if the chain broke by that, `rampart audit verify` shows it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::batch::Batch;
use super::event::Host;
use super::files::{self, Tail, is_disk_full};
use super::record::Parents;
use crate::failure::say_at_once;
use crate::run_terminal::Terminal;

/// How long to wait for the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// The first and the longest pause between attempts to lock.
const LOCK_PAUSES: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(10)];
/// How long to wait before writing to a full disk again.
pub const RETRY: Duration = Duration::from_secs(1);
/// How much is kept while the disk is full. Beyond that the oldest entries are dropped.
const BACKLOG_BYTES: usize = 4 * 1024 * 1024;
/// Roughly the length of a line without the strings of its record.
const FRAME_BYTES: usize = 384;
/// After a fault was told, how long others that come and go are not.
const QUIET: Duration = Duration::from_secs(60);
/// How many of those who asked last are looked at for a terminal.
const ASKERS: usize = 16;
/// How much of a torn line is kept.
const TORN_BYTES: usize = 4 * 1024;

/// When the file is rotated.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub bytes: u64,
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, age: Duration::from_secs(30 * 24 * 60 * 60) }
    }
}

/// The file, and the entries not written yet.
pub struct Writer {
    path: PathBuf,
    file: Option<Open>,
    limits: Limits,
    host: Host,
    /// The hash of the last line that this writer knows.
    head: String,
    backlog: VecDeque<Batch>,
    /// How many entries were dropped.
    lost: u64,
    /// When writing last failed.
    failed: Option<Instant>,
    /// The last line to a pipe or device was cut short.
    torn: bool,
    complaint: Option<Complaint>,
    /// When the last one was made.
    complained: Option<Instant>,
}

/// What a person was told of a file that cannot be written.
struct Complaint {
    sentence: String,
    /// A terminal has shown it, too.
    is_shown: bool,
}

/// The open file.
struct Open {
    file: File,
    /// Only regular files are locked, shared, truncated and rotated.
    regular: bool,
    /// The end of the last known line; `None` if not read yet.
    end: Option<u64>,
    begun: Option<SystemTime>,
}

impl Writer {
    /// Opens the file, and reports an error.
    pub fn new(path: &Path, limits: Limits) -> Self {
        let mut writer = Self::closed(path, limits);
        match writer.open() {
            Ok(()) => writer.report_full_disk(),
            Err(error) => writer.complain_at_start(&error),
        }
        writer
    }

    /// The writer of a file that is yet to be opened.
    fn closed(path: &Path, limits: Limits) -> Self {
        Self {
            path: path.to_path_buf(),
            file: None,
            limits,
            host: host(),
            head: String::new(),
            backlog: VecDeque::new(),
            lost: 0,
            failed: None,
            torn: false,
            complaint: None,
            complained: None,
        }
    }

    /// Opens the file.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn opened(path: &Path, limits: Limits) -> io::Result<Self> {
        let mut writer = Self::closed(path, limits);
        writer.open()?;
        writer.report_full_disk();
        Ok(writer)
    }

    /// Reports now what the first line will meet: by then the server of a run has no stderr.
    fn report_full_disk(&mut self) {
        if is_disk_full(&self.path) {
            self.complain_at_start(&io::ErrorKind::StorageFull.into());
        }
    }

    /// Whoever starts the server still sees its stderr.
    fn complain_at_start(&mut self, error: &io::Error) {
        self.complain(error);
        if let Some(complaint) = &mut self.complaint {
            complaint.is_shown = true;
        }
    }

    /// The file, if it could be opened.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref().map(|open| &open.file)
    }

    /// Whether entries wait to be written.
    pub fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Writes entries after those that wait. Right after a failure they only wait, too.
    pub fn write(&mut self, entries: Batch) {
        if !entries.is_empty() {
            self.backlog.push_back(entries);
        }
        if self.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            self.give_up_oldest();
        } else {
            self.write_all();
        }
    }

    /// Writes all waiting entries.
    pub fn write_all(&mut self) {
        if self.backlog.is_empty() {
            return;
        }
        let lost = self.lost;
        match self.attempt() {
            Ok(()) => {
                self.tell_of_end(lost);
                self.backlog.clear();
                self.failed = None;
            }
            Err(error) => {
                self.complain(&error);
                self.give_up_oldest();
                self.failed = Some(Instant::now());
            }
        }
    }

    /// Syncs the file to the disk.
    pub fn sync(&mut self) {
        let synced = self.file().map_or(Ok(()), File::sync_data);
        // A pipe or a terminal cannot be synced, and need not.
        if let Err(error) = synced
            && error.kind() != io::ErrorKind::InvalidInput
        {
            self.complain(&error);
        }
    }

    /// Reopens the file if it was moved or removed, as log rotation does.
    pub fn follow(&mut self) {
        if self.named_size().is_none()
            && let Err(error) = self.open()
        {
            self.complain(&error);
        }
    }

    fn attempt(&mut self) -> io::Result<()> {
        if !self.file.as_ref().is_some_and(|open| open.regular) {
            self.follow();
        }
        loop {
            let Some(open) = &self.file else {
                return Err(io::ErrorKind::NotFound.into());
            };
            if !open.regular {
                return self.stream();
            }
            let locked = lock(&open.file);
            // It may have been moved or removed, by the previous holder of the lock, too.
            let Some(size) = self.named_size() else {
                self.open()?;
                continue;
            };
            let added = self.catch_up(size, locked).and_then(|()| {
                let put_away = locked && self.is_full() && self.put_away();
                if put_away { Ok(false) } else { self.add(locked).map(|()| true) }
            });
            if let Some(open) = &self.file
                && locked
            {
                unlock(&open.file);
            }
            match added {
                Ok(true) => return Ok(()),
                Ok(false) => self.open()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the last line if another server has written, and removes a torn one. `size` is the
    /// file's.
    fn catch_up(&mut self, size: u64, locked: bool) -> io::Result<()> {
        let Some(open) = &mut self.file else { return Ok(()) };
        if open.end == Some(size) {
            return Ok(());
        }
        if size == 0 {
            if let Some(last) = files::earlier(&self.path).last() {
                let size = std::fs::metadata(last)?.len();
                self.head = Tail::read(last, size)?.hash();
            }
            open.end = Some(0);
            return Ok(());
        }
        let tail = Tail::read(&self.path, size)?;
        self.head = tail.hash();
        open.begun = files::begun(&self.path);
        open.end = Some(size);
        // Without the lock, somebody may be writing that line right now.
        if locked && !tail.torn.is_empty() {
            let whole = size - tail.torn.len() as u64;
            if open.file.set_len(whole).is_ok() {
                open.end = Some(whole);
            } else {
                // An append-only file (chattr(1)): end the torn line.
                (&open.file).write_all(b"\n")?;
                open.end = Some(size + 1);
            }
            let kept = &tail.torn[..tail.torn.len().min(TORN_BYTES)];
            let message = format!(
                "a line was cut short, because its writer was killed or its disk was full: {}",
                String::from_utf8_lossy(kept)
            );
            self.backlog.push_front(Batch::of_event("torn-line", &message));
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let Some(open) = &self.file else { return false };
        let age = open.begun.and_then(|begun| SystemTime::now().duration_since(begun).ok());
        open.end.is_some_and(|end| end >= self.limits.bytes)
            || age.is_some_and(|age| age >= self.limits.age)
    }

    /// Rotates the locked file; returns whether it did.
    fn put_away(&mut self) -> bool {
        let target = files::put_away(&self.path, SystemTime::now());
        !target.exists() && std::fs::rename(&self.path, target).is_ok()
    }

    /// Appends all lines in one call.
    fn add(&mut self, locked: bool) -> io::Result<()> {
        let (bytes, head) = self.lines();
        let Some(open) = &mut self.file else { return Ok(()) };
        let end = open.end.unwrap_or(0);
        let written = write_at_once(&open.file, &bytes);
        if let Ok(count) = written
            && count == bytes.len()
        {
            open.end = Some(end + bytes.len() as u64);
            open.begun.get_or_insert_with(SystemTime::now);
            self.head = head;
            self.lost = 0;
            return Ok(());
        }
        // Remove what was written of them.
        if !locked || open.file.set_len(end).is_err() {
            open.end = None;
        }
        Err(written.err().unwrap_or_else(|| io::ErrorKind::StorageFull.into()))
    }

    /// Writes lines to a pipe, a terminal or a device.
    fn stream(&mut self) -> io::Result<()> {
        let (mut bytes, head) = self.lines();
        if self.torn {
            bytes.insert(0, b'\n');
        }
        let Some(open) = &self.file else { return Ok(()) };
        let count = write_at_once(&open.file, &bytes)?;
        self.torn = count < bytes.len();
        self.head = head;
        self.lost = 0;
        if self.torn { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// All waiting entries as lines, and the hash of the last one.
    fn lines(&self) -> (Vec<u8>, String) {
        let (mut bytes, mut head) = (Vec::new(), self.head.clone());
        let mut parents = Parents::default();
        let gap = (self.lost > 0).then(|| {
            let message = format!("{} decisions could not be written and are lost", self.lost);
            Batch::of_event("lost", &message)
        });
        let batches = || gap.iter().chain(&self.backlog);
        bytes.reserve(batches().map(|batch| batch.bytes() + batch.len() * FRAME_BYTES).sum());
        for batch in batches() {
            for at in 0..batch.len() {
                let write = |previous: &str, bytes: &mut Vec<u8>| {
                    batch.get(at).write(&self.host, &mut parents, previous, bytes)
                };
                chain(write, &mut head, &mut bytes);
            }
        }
        (bytes, head)
    }

    fn give_up_oldest(&mut self) {
        let mut bytes: usize = self.backlog.iter().map(Batch::bytes).sum();
        // The newest batch stays, whatever its size.
        while bytes > BACKLOG_BYTES && self.backlog.len() > 1 {
            let Some(oldest) = self.backlog.pop_front() else { return };
            bytes -= oldest.bytes();
            self.lost += oldest.len() as u64;
        }
    }

    /// The size of the open file; `None` if the path is not its name any more.
    fn named_size(&self) -> Option<u64> {
        let identity = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
        let open = self.file()?.metadata().ok()?;
        let named = std::fs::metadata(&self.path).ok()?;
        (identity(&open) == identity(&named)).then_some(open.len())
    }

    fn open(&mut self) -> io::Result<()> {
        self.file = None;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            // Do not block on a pipe that nobody reads.
            .custom_flags(libc::O_NONBLOCK)
            .open(&self.path)?;
        let kind = file.metadata()?.file_type();
        let regular = kind.is_file() && !kind.is_fifo();
        self.file = Some(Open { file, regular, end: None, begun: None });
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        if self.complaint.is_none() && self.complained.is_none_or(|at| at.elapsed() >= QUIET) {
            let path = self.path.display();
            let sentence = format!(
                "cannot write the audit file {path}: {error}; the decisions stand, and are not recorded"
            );
            say_at_once(&sentence);
            self.complained = Some(Instant::now());
            self.complaint = Some(Complaint { sentence, is_shown: false });
        }
        if let Some(complaint) = &mut self.complaint {
            complaint.is_shown = complaint.is_shown || show(&self.backlog, &complaint.sentence);
        }
    }

    /// Says that the file can be written again, and how many entries are lost, where that it cannot
    /// was told.
    fn tell_of_end(&mut self, lost: u64) {
        let Some(complaint) = self.complaint.take() else { return };
        let path = self.path.display();
        let lost =
            if lost == 0 { "nothing is".to_owned() } else { format!("{lost} decisions are") };
        let sentence = format!("the audit file {path} can be written again; {lost} lost");
        say_at_once(&sentence);
        if complaint.is_shown {
            show(&self.backlog, &sentence);
        }
    }
}

/// Shows a sentence on the terminal of the run that asked last, for its server has no stderr. Returns
/// whether there is one that can show it now.
fn show(backlog: &VecDeque<Batch>, sentence: &str) -> bool {
    let mut askers = backlog.iter().rev().flat_map(Batch::askers).take(ASKERS);
    let terminal = askers.find_map(Terminal::of_run);
    terminal.map(|mut terminal| terminal.tell(&format!("rampart: {sentence}"))).is_some()
}

/// Has `write` append a line after the one with the hash `head`. If it panics, an event that says so
/// takes its place, and the next line is unaffected.
pub fn chain(
    write: impl FnOnce(&str, &mut Vec<u8>) -> String,
    head: &mut String,
    bytes: &mut Vec<u8>,
) {
    let end = bytes.len();
    let written = catch_unwind(AssertUnwindSafe(|| write(head, bytes)));
    *head = written.unwrap_or_else(|_| {
        bytes.truncate(end);
        let message = "a decision could not be written, because of a bug in rampart";
        let fault = Batch::of_event("fault", message);
        fault.get(0).write(&Host::default(), &mut Parents::default(), head, bytes)
    });
}

/// Takes the lock; returns whether that succeeded in time. On a file system without locks it counts
/// as success.
fn lock(file: &File) -> bool {
    let end = Instant::now() + LOCK_PATIENCE;
    let mut pause = LOCK_PAUSES[0];
    loop {
        match file.try_lock() {
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => return true,
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() >= end => return false,
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(LOCK_PAUSES[1]);
    }
}

fn unlock(file: &File) {
    // If this fails, closing the descriptor releases it.
    let _ = file.unlock();
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

fn host() -> Host {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let os = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Host {
        hostname: name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".into()),
        os: os.into(),
        arch: arch.into(),
    }
}
