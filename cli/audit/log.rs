//! Passes decisions and events from the server to the thread that writes the audit.
//!
//! Entries are handed over in batches, 10 ms after the first answer or once they take 64 KiB:
//! waking the thread for each would take the processor from the clients. A crash of the server may
//! lose the last batch. In a run that is process 1, with which the kernel kills the server, each
//! entry is written before its answer is sent, with `--audit-sync` to the disk.
//!
//! Write errors are reported on stderr, once, and the server keeps answering: a full disk must
//! neither stop what the policy allows nor allow what it denies.

use std::path::Path;
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SendError, SyncSender, TrySendError, sync_channel,
};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::batch::Batch;
use super::writer::{Limits, RETRY, Writer};
use crate::background::gives_way;
use crate::failure::{Failure, say_at_once};
use crate::home;

/// A batch of this size is handed over at once.
const ENOUGH_BYTES: usize = 64 * 1024;
/// How much may pile up while the thread is busy, before the server waits for it.
const AHEAD_BYTES: usize = 4 * 1024 * 1024;
/// How many messages the thread's queue holds.
const MESSAGES: usize = 16;
/// How long a batch is collected.
pub const DELAY: Duration = Duration::from_millis(10);

/// When entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A moment after their answers are sent.
    Soon,
    /// Before their answers are sent: the server may be killed at any time.
    Written,
    /// On the disk before their answers are sent.
    Synced,
}

impl Durability {
    /// By the flag `--audit-sync`.
    pub fn synced(synced: bool) -> Self {
        if synced { Self::Synced } else { Self::Soon }
    }

    /// By the same flag, for the server of the run that this process is about to become. The kernel
    /// kills every process with process 1 of a container (`pid_namespaces(7)`).
    pub fn of_run(synced: bool) -> Self {
        if std::process::id() == 1 && !synced { Self::Written } else { Self::synced(synced) }
    }
}

/// The audit of one server.
pub struct Audit {
    durability: Durability,
    lines: Batch,
    writer: WriterState,
}

/// Where the writer is. A server that will fork has no thread before that, and there may be none to
/// be had (`ulimit -u`).
enum WriterState {
    Here(Box<Writer>),
    Thread(SyncSender<Message>, JoinHandle<()>),
    Nowhere,
}

enum Message {
    Write(Batch),
    Follow,
}

impl Audit {
    /// Opens the file, and reports an error. A missing file or directory is created for its owner
    /// only.
    pub fn open(path: &Path, durability: Durability) -> Self {
        make_directory(path);
        Self::new(Writer::new(path, Limits::default()), durability)
    }

    /// Opens the file of an audit that a flag asks for.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn asked_for(path: &Path, durability: Durability) -> Result<Self, Failure> {
        make_directory(path);
        let writer = Writer::opened(path, Limits::default()).map_err(|error| {
            Failure::usage(format!("cannot write the audit file {}: {error}", path.display()))
        });
        writer.map(|writer| Self::new(writer, durability))
    }

    fn new(writer: Writer, durability: Durability) -> Self {
        let writer = WriterState::Here(Box::new(writer));
        Self { durability, lines: Batch::default(), writer }
    }

    /// The current batch. Call `settle` before the answers are sent.
    pub fn lines(&mut self) -> &mut Batch {
        &mut self.lines
    }

    /// Adds a batch from another thread.
    pub fn append(&mut self, lines: Batch) {
        self.lines.append(lines);
    }

    /// Writes the batch, if it is to be written before the answers.
    pub fn settle(&mut self) {
        if self.durability != Durability::Soon
            && let WriterState::Here(writer) = &mut self.writer
        {
            writer.write(std::mem::take(&mut self.lines));
            if self.durability == Durability::Synced {
                writer.sync();
            }
        }
    }

    /// Adds an event, and reports it on stderr.
    pub fn event(&mut self, event: &str, message: &str) {
        say_at_once(message);
        self.lines.event(event, message);
        self.settle();
    }

    /// Whether the batch should be handed over now.
    pub fn has_enough(&self) -> bool {
        self.lines.bytes() >= ENOUGH_BYTES
    }

    /// Follows a file that was moved or removed, as log rotation does.
    pub fn follow(&mut self) {
        // A busy thread may have left a batch here.
        self.write();
        match &mut self.writer {
            WriterState::Here(writer) => writer.follow(),
            WriterState::Thread(messages, _) => {
                // A busy thread checks the file by itself.
                let _ = messages.try_send(Message::Follow);
            }
            WriterState::Nowhere => {}
        }
    }

    /// Starts the writing thread, which the first batch would do otherwise.
    pub fn begin(&mut self) {
        if self.durability == Durability::Soon {
            self.writer = match std::mem::replace(&mut self.writer, WriterState::Nowhere) {
                WriterState::Here(writer) => start(writer),
                elsewhere => elsewhere,
            };
        }
    }

    /// Hands the batch over.
    pub fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if self.durability != Durability::Soon {
            return self.settle();
        }
        self.begin();
        let lines = std::mem::take(&mut self.lines);
        let is_too_much = lines.bytes() >= AHEAD_BYTES;
        let messages = match &mut self.writer {
            WriterState::Thread(messages, _) => messages,
            WriterState::Here(writer) => return writer.write(lines),
            WriterState::Nowhere => return,
        };
        match messages.try_send(Message::Write(lines)) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) if is_too_much => {
                let _ = messages.send(message);
            }
            Err(TrySendError::Full(Message::Write(lines))) => self.lines = lines,
            Err(_) => {
                say_at_once("the audit's thread ended; the decisions stand, and are not recorded");
                self.writer = WriterState::Nowhere;
            }
        }
    }

    /// Writes everything, before the server ends.
    pub fn finish(&mut self) {
        self.write();
        match std::mem::replace(&mut self.writer, WriterState::Nowhere) {
            WriterState::Thread(messages, thread) => {
                if !self.lines.is_empty() {
                    let _ = messages.send(Message::Write(std::mem::take(&mut self.lines)));
                }
                drop(messages);
                let _ = thread.join();
            }
            WriterState::Here(mut writer) => writer.write_all(),
            WriterState::Nowhere => {}
        }
    }
}

/// Makes the directory of a file. An error shows when the file is opened.
fn make_directory(file: &Path) {
    if let Some(directory) = file.parent() {
        let _ = home::make_private_directory(directory);
    }
}

/// The state in which a thread has the writer, or as before if there is no thread to be had; the
/// next batch tries again.
fn start(writer: Box<Writer>) -> WriterState {
    let (sender, messages) = sync_channel(MESSAGES);
    let (hand, handed) = sync_channel::<Box<Writer>>(1);
    let work = move || {
        gives_way();
        if let Ok(writer) = handed.recv() {
            work(*writer, &messages);
        }
    };
    match thread::Builder::new().name("audit".into()).spawn(work) {
        Ok(thread) => match hand.send(writer) {
            Ok(()) => WriterState::Thread(sender, thread),
            Err(SendError(writer)) => WriterState::Here(writer),
        },
        Err(_) => WriterState::Here(writer),
    }
}

fn work(mut writer: Writer, messages: &Receiver<Message>) {
    loop {
        let message = if writer.is_behind() {
            messages.recv_timeout(RETRY)
        } else {
            messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match message {
            Ok(Message::Write(lines)) => writer.write(lines),
            Ok(Message::Follow) => writer.follow(),
            Err(RecvTimeoutError::Timeout) => writer.write_all(),
            Err(RecvTimeoutError::Disconnected) => return writer.write_all(),
        }
    }
}
