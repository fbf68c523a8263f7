//! The way from the answers to the audit file: one JSON object a line for each decision, and for
//! each event that a reader of the decisions has to know of.
//!
//! Entries are handed to a thread 10 ms after their answers, or when they are 64 KiB, together with
//! what came meanwhile: one that is woken for each would take the core from who is answered.
//! What a crash of the server may lose are the entries of that moment. Who cannot have that has
//! each on the disk before its answer is sent.
//!
//! What cannot be written is said on stderr, once, and the server keeps answering: a full disk
//! must not stop an agent that the policy allows, nor allow what it denies.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::record::{Entry, Record};
use super::writer::{Limits, RETRY, Writer};
use crate::failure::say;
use crate::home;

/// So many bytes do not wait for more.
const ENOUGH_BYTES: usize = 64 * 1024;
/// So many bytes wait for a thread that is busy; then it is waited for.
const AHEAD_BYTES: usize = 4 * 1024 * 1024;
/// So many messages wait for the thread.
const MESSAGES: usize = 16;
/// How long an entry waits for others.
pub const DELAY: Duration = Duration::from_millis(10);

/// When entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A moment after their answers.
    Soon,
    /// Before their answers, and then they are on the disk.
    Synced,
}

impl Durability {
    /// As `--audit-sync` has it.
    pub fn synced(synced: bool) -> Self {
        if synced { Self::Synced } else { Self::Soon }
    }
}

/// Entries that are to be written.
#[derive(Default)]
pub struct Batch {
    entries: Vec<Entry>,
    bytes: usize,
}

impl Batch {
    /// Takes all entries out.
    fn take(&mut self) -> Vec<Entry> {
        self.bytes = 0;
        std::mem::take(&mut self.entries)
    }

    /// Adds a decision.
    pub fn record(&mut self, record: Record<'_>) {
        self.push(Entry::decision(record));
    }

    /// Adds something that is not a decision.
    pub fn event(&mut self, event: &str, message: &str) {
        self.push(Entry::notice(event, message));
    }

    /// Adds that so many programs of a session ran unchecked.
    pub fn missed(&mut self, agent: &str, session: &str, count: u32, message: &str) {
        self.push(Entry::missed(agent, session, count, message));
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push(entry);
    }
}

/// The audit of one server.
pub struct Audit {
    durability: Durability,
    lines: Batch,
    writer: WriterState,
}

/// Where the writer is: a server that goes on in another process has no thread before.
enum WriterState {
    Here(Box<Writer>),
    Thread(SyncSender<Message>, JoinHandle<()>),
    Nowhere,
}

enum Message {
    Write(Vec<Entry>),
    Follow,
}

impl Audit {
    /// Opens the file, and makes it and its directory for their owner only where
    /// they are missing.
    pub fn open(path: &Path, durability: Durability) -> Self {
        if let Some(directory) = path.parent() {
            // What is wrong with it shows when the file is opened.
            let _ = home::make_private_directory(directory);
        }
        let writer = WriterState::Here(Box::new(Writer::new(path, Limits::default())));
        Self { durability, lines: Batch::default(), writer }
    }

    /// The file, where it could be opened: a server that goes on in another
    /// process has to keep it.
    pub fn file(&self) -> Option<&File> {
        match &self.writer {
            WriterState::Here(writer) => writer.file(),
            WriterState::Thread(..) | WriterState::Nowhere => None,
        }
    }

    /// Where decisions are added; `settle` has to come before their answers are sent.
    pub fn lines(&mut self) -> &mut Batch {
        &mut self.lines
    }

    /// Adds entries that were put together elsewhere.
    pub fn append(&mut self, lines: Batch) {
        for entry in lines.entries {
            self.lines.push(entry);
        }
    }

    /// Has the lines of answers on the disk before those are sent, where that was asked for.
    pub fn settle(&mut self) {
        if self.durability == Durability::Synced
            && let WriterState::Here(writer) = &mut self.writer
        {
            writer.write(self.lines.take());
            writer.sync();
        }
    }

    /// Adds an event, and says it on stderr.
    pub fn event(&mut self, event: &str, message: &str) {
        say(message);
        self.lines.event(event, message);
        self.settle();
    }

    /// Whether so much waits that it should not wait for more.
    pub fn has_enough(&self) -> bool {
        self.lines.bytes >= ENOUGH_BYTES
    }

    /// Follows a file that was moved or removed, as log rotation does.
    pub fn follow(&mut self) {
        // A thread that was busy may have left some here.
        self.write();
        match &mut self.writer {
            WriterState::Here(writer) => writer.follow(),
            WriterState::Thread(messages, _) => {
                // One that is busy looks at the file by itself.
                let _ = messages.try_send(Message::Follow);
            }
            WriterState::Nowhere => {}
        }
    }

    /// Starts the thread that writes, which the first entries do otherwise.
    pub fn begin(&mut self) {
        if self.durability == Durability::Soon {
            self.writer = match std::mem::replace(&mut self.writer, WriterState::Nowhere) {
                WriterState::Here(writer) => start(*writer),
                elsewhere => elsewhere,
            };
        }
    }

    /// Hands all entries over.
    pub fn write(&mut self) {
        if self.lines.entries.is_empty() {
            return;
        }
        if self.durability == Durability::Synced {
            return self.settle();
        }
        self.begin();
        let bytes = self.lines.bytes;
        let entries = self.lines.take();
        let WriterState::Thread(messages, _) = &self.writer else { return };
        match messages.try_send(Message::Write(entries)) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) if bytes >= AHEAD_BYTES => {
                let _ = messages.send(message);
            }
            Err(TrySendError::Full(Message::Write(entries))) => {
                self.lines = Batch { entries, bytes };
            }
            Err(_) => {
                say("the audit's thread ended; the decisions stand, and are not recorded");
                self.writer = WriterState::Nowhere;
            }
        }
    }

    /// Has all that was decided written, and waits for it: the server ends.
    pub fn finish(&mut self) {
        self.write();
        if let WriterState::Thread(messages, thread) =
            std::mem::replace(&mut self.writer, WriterState::Nowhere)
        {
            if !self.lines.entries.is_empty() {
                let _ = messages.send(Message::Write(self.lines.take()));
            }
            drop(messages);
            let _ = thread.join();
        }
    }
}

fn start(writer: Writer) -> WriterState {
    let (sender, messages) = sync_channel(MESSAGES);
    let work = move || work(writer, &messages);
    match thread::Builder::new().name("audit".into()).spawn(work) {
        Ok(thread) => WriterState::Thread(sender, thread),
        Err(error) => {
            say(format!(
                "no thread for the audit: {error}; the decisions stand, and are not recorded"
            ));
            WriterState::Nowhere
        }
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
            Ok(Message::Write(entries)) => writer.write(entries),
            Ok(Message::Follow) => writer.follow(),
            Err(RecvTimeoutError::Timeout) => writer.write_all(),
            Err(RecvTimeoutError::Disconnected) => return writer.write_all(),
        }
    }
}
