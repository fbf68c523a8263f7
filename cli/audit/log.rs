//! Passes decisions and events from the server to the thread that writes the audit.
//!
//! The thread takes what has come every 10 ms, and is woken only after it had nothing to do for a
//! while: to wake it for each answer would take the processor from the clients. A crash of the
//! server may lose what came in the last moment. In a run that is process 1, with which the kernel
//! kills the server, each entry is written before its answer is sent, with `--audit-sync` to the
//! disk.
//!
//! Write errors are reported on stderr, once, and the server keeps answering: a full disk must
//! neither stop what the policy allows nor allow what it denies.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::batch::Batch;
use super::mask;
use super::writer::{Limits, RETRY, Writer};
use crate::background::gives_way;
use crate::failure::{Failure, say_at_once};
use crate::home;

/// How much may pile up while the thread is busy, before the server waits for it.
const AHEAD_BYTES: usize = 4 * 1024 * 1024;
/// How long entries are collected.
const DELAY: Duration = Duration::from_millis(10);
/// After so many pauses with nothing to write, the thread sleeps until it is woken.
const IDLE_PAUSES: u32 = 3;

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
    shared: Arc<Shared>,
    /// [`Self::wake`] has something to do.
    is_news: AtomicBool,
}

/// What the thread shares with those that answer.
struct Shared {
    state: Mutex<State>,
    /// There is something for the thread to do.
    news: Condvar,
    /// The thread has taken what there was.
    taken: Condvar,
    /// Held by the thread for as long as there is one.
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct State {
    lines: Batch,
    writing: Writing,
    /// The thread waits to be woken.
    sleeps: bool,
    /// Somebody waits for the thread to take what there is.
    is_awaited: bool,
    /// The file may have been moved or removed.
    follows: bool,
}

/// Who writes.
#[derive(Default)]
enum Writing {
    /// Whoever adds lines: a server that will fork has no thread before that, and there may be none
    /// to be had (`ulimit -u`).
    #[default]
    Here,
    /// It ends once this is another.
    Thread(JoinHandle<()>),
    Nobody,
}

/// The unwritten lines, to which more are added. Call [`Audit::wake`] once the answers are sent.
pub struct Lines<'a> {
    audit: &'a Audit,
    state: MutexGuard<'a, State>,
}

impl AsMut<Batch> for Lines<'_> {
    fn as_mut(&mut self) -> &mut Batch {
        &mut self.state.lines
    }
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        let Self { audit, state } = self;
        if audit.durability != Durability::Soon {
            audit.write_here(state);
        } else if state.sleeps || !state.has_thread() {
            audit.is_news.store(true, Ordering::Relaxed);
        }
    }
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
        let (news, taken) = (Condvar::new(), Condvar::new());
        let shared = Shared { state: Mutex::default(), news, taken, writer: Mutex::new(writer) };
        Self { durability, shared: Arc::new(shared), is_news: AtomicBool::new(false) }
    }

    /// The unwritten lines. Waits if the thread is far behind.
    pub fn lines(&self) -> Lines<'_> {
        let mut state = self.shared.state();
        while state.is_far_ahead() {
            state.is_awaited = true;
            self.shared.news.notify_one();
            state = wait(&self.shared.taken, state, DELAY, |state| state.is_far_ahead());
        }
        Lines { audit: self, state }
    }

    /// Adds an event, and reports it on stderr.
    pub fn event(&self, event: &str, message: &str) {
        say_at_once(message);
        self.lines().as_mut().event(event, message);
        self.wake();
    }

    /// Whether [`Self::wake`] has something to do.
    pub fn is_news(&self) -> bool {
        self.is_news.load(Ordering::Relaxed)
    }

    /// Sees to it that new lines are written. Called after the answer is given, because waking a
    /// thread costs as much as much of an answer.
    pub fn wake(&self) {
        if !self.is_news.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut state = self.shared.state();
        if matches!(state.writing, Writing::Here) {
            self.start(&mut state, || {});
        }
        match state.writing {
            Writing::Here => self.write_here(&mut state),
            Writing::Thread(_) => self.shared.news.notify_one(),
            Writing::Nobody => state.lines = Batch::default(),
        }
    }

    /// Starts the writing thread, if there is to be one, which the first line would do otherwise.
    /// What else is to be prepared is done there before.
    pub fn begin(&self, prepare: impl FnOnce() + Send + 'static) {
        if self.durability == Durability::Soon {
            self.start(&mut self.shared.state(), prepare);
        } else {
            prepare();
        }
    }

    /// Without a thread to be had, whoever adds lines writes them, and the next one tries again.
    fn start(&self, state: &mut State, prepare: impl FnOnce() + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            prepare();
            mask::prepare();
            gives_way();
            if catch_unwind(AssertUnwindSafe(|| shared.write_on())).is_err() {
                say_at_once("the audit's thread ended; the decisions stand, and are not recorded");
                shared.state().writing = Writing::Nobody;
            }
        };
        if let Ok(thread) = Builder::new().name("audit".into()).spawn(work) {
            state.writing = Writing::Thread(thread);
        }
    }

    fn write_here(&self, state: &mut State) {
        let mut writer = self.shared.writer();
        writer.write(std::mem::take(&mut state.lines));
        if self.durability == Durability::Synced {
            writer.sync();
        }
    }

    /// Follows a file that was moved or removed, as log rotation does.
    pub fn follow(&self) {
        let mut state = self.shared.state();
        if state.has_thread() {
            state.follows = true;
            self.shared.news.notify_one();
        } else {
            self.shared.writer().follow();
        }
    }

    /// Writes everything, before the server ends.
    pub fn finish(&self) {
        let mut state = self.shared.state();
        match std::mem::replace(&mut state.writing, Writing::Nobody) {
            Writing::Here => {
                self.write_here(&mut state);
                self.shared.writer().write_all();
            }
            Writing::Thread(thread) => {
                drop(state);
                self.shared.news.notify_one();
                let _ = thread.join();
            }
            Writing::Nobody => {}
        }
    }
}

impl State {
    fn has_thread(&self) -> bool {
        matches!(self.writing, Writing::Thread(_))
    }

    fn is_far_ahead(&self) -> bool {
        self.has_thread() && self.lines.bytes() >= AHEAD_BYTES
    }

    /// Whether there is nothing for the thread to do.
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && !self.follows && self.has_thread()
    }
}

impl Shared {
    /// What the thread does.
    fn write_on(&self) {
        let mut writer = self.writer();
        let mut pauses = IDLE_PAUSES;
        loop {
            let mut state = self.state();
            if pauses == IDLE_PAUSES {
                let pause = if writer.is_behind() { RETRY } else { Duration::MAX };
                state.sleeps = true;
                state = wait(&self.news, state, pause, |state| state.is_idle());
                state.sleeps = false;
            }
            let collects = |state: &mut State| state.has_thread() && !state.is_awaited;
            state = wait(&self.news, state, DELAY, collects);
            let lines = std::mem::take(&mut state.lines);
            let (follows, is_over) = (std::mem::take(&mut state.follows), !state.has_thread());
            if std::mem::take(&mut state.is_awaited) {
                self.taken.notify_all();
            }
            drop(state);
            pauses = if lines.is_empty() { IDLE_PAUSES.min(pauses + 1) } else { 0 };
            if follows {
                writer.follow();
            }
            writer.write(lines);
            if is_over {
                return writer.write_all();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits so long, or until it is no more so.
fn wait<'s>(
    news: &Condvar,
    state: MutexGuard<'s, State>,
    pause: Duration,
    is_so: impl FnMut(&mut State) -> bool,
) -> MutexGuard<'s, State> {
    news.wait_timeout_while(state, pause, is_so).unwrap_or_else(PoisonError::into_inner).0
}

/// Makes the directory of a file. An error shows when the file is opened.
fn make_directory(file: &Path) {
    if let Some(directory) = file.parent() {
        let _ = home::make_private_directory(directory);
    }
}
