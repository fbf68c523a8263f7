//! Answers questions about very long commands on a thread of its own: they may take
//! seconds, and those who ask about short ones must not wait for that.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;

use mio::{Registry, Token as Slot, Waker};
use rampart_policy::PolicySet;

use super::answer::{Case, failed};
use super::buffer::Buffer;
use crate::audit::Lines;
use crate::mode::Mode;

/// A longer question is a large one. Its answer takes longer than to hand it over and back.
pub const LARGE_BYTES: usize = 4 * 1024;
/// So many large questions wait; more are refused. They are not told that the server is
/// not available: a client may let everything run then.
const WAITING: usize = 16;

/// Tells a connection from all others that there are and have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub index: usize,
    pub serial: u64,
}

/// A large question.
pub struct Job {
    pub ticket: Ticket,
    pub input: Buffer,
    /// Where the question is in the input, which goes there and back.
    pub body: Range<usize>,
    pub pid: Option<i32>,
    pub policies: PolicySet,
    pub mode: Mode,
    pub id: String,
}

/// The answer to a large question.
pub struct Answered {
    pub ticket: Ticket,
    pub input: Buffer,
    pub status: u16,
    pub body: Vec<u8>,
    /// What the audit is to have.
    pub lines: Vec<u8>,
}

/// The way to the thread and back.
pub struct Large {
    waker: Arc<Waker>,
    /// There once a large question was asked.
    thread: Option<(SyncSender<Job>, Receiver<Answered>)>,
}

impl Large {
    /// The poller gets an event in this slot when there are answers.
    ///
    /// # Errors
    /// As the system says.
    pub fn new(registry: &Registry, slot: Slot) -> io::Result<Self> {
        Ok(Self { waker: Arc::new(Waker::new(registry, slot)?), thread: None })
    }

    /// Hands a question over. It comes back if too many wait, or no thread can be had.
    pub fn take(&mut self, job: Job) -> Result<(), Box<Job>> {
        if self.thread.is_none() {
            self.thread = start(Arc::clone(&self.waker)).ok();
        }
        match &self.thread {
            Some((jobs, _)) => match jobs.try_send(job) {
                Ok(()) => Ok(()),
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    Err(Box::new(job))
                }
            },
            None => Err(Box::new(job)),
        }
    }

    /// The next answer that is ready.
    pub fn answered(&mut self) -> Option<Answered> {
        self.thread.as_ref()?.1.try_recv().ok()
    }
}

fn start(waker: Arc<Waker>) -> io::Result<(SyncSender<Job>, Receiver<Answered>)> {
    let (job_sender, jobs) = sync_channel::<Job>(WAITING);
    let (sender, answers) = channel();
    thread::Builder::new().name("large-commands".into()).spawn(move || {
        for job in jobs {
            if sender.send(answer(job)).is_err() || waker.wake().is_err() {
                return;
            }
        }
    })?;
    Ok((job_sender, answers))
}

fn answer(job: Job) -> Answered {
    let Job { ticket, input, body, pid, policies, mode, id } = job;
    let case = Case { policies: &policies, mode, pid, id: &id };
    let (mut answer, mut lines) = (Vec::new(), Lines::default());
    let question = &input.filled()[body];
    let status = catch_unwind(AssertUnwindSafe(|| case.answer(question, &mut answer, &mut lines)));
    let status = status.unwrap_or_else(|_| failed(&mut answer));
    Answered { ticket, input, status, body: answer, lines: lines.take() }
}
