//! Answers the kernel (`seccomp_unotify(2)`): reads what a process wants to start, gets a decision,
//! lets it go on or refuses it.
//!
//! It runs on [`Workers`], so that a slow answer delays no other.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock};

use libc::{
    SECCOMP_IOCTL_NOTIF_ID_VALID, SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND,
    SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FLAG_CONTINUE, seccomp_notif,
    seccomp_notif_resp,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::aftermath::is_traced;
use super::filter::{Abi, Call};
use super::judge::{Judge, Verdict};
use super::refusal_message::{self, RefusalMessage};
use super::review::Review;
use super::tracee::{Fault, Program, Started, Waiting};
use super::workers::{Work, Workers};

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (linux/seccomp.h, since Linux 6.6): the caller wakes up on
/// the processor of the thread that answers it.
const SYNC_WAKE_UP: u64 = 1;

/// Recognises the start of the command itself, which is not asked about.
pub trait Start: Send + Sync {
    /// Whether this thread is the one that is about to become the command.
    fn is_starting(&self, thread: Pid) -> bool;
}

/// Answers the kernel.
pub struct Supervisor {
    /// Set once the filter is installed.
    listener: OnceLock<OwnedFd>,
    judge: Arc<dyn Judge>,
    start: Box<dyn Start>,
    review: Arc<Review>,
    /// A process of the tree may have another root or other mounts, so paths have to be looked up
    /// as each process sees them.
    has_moved: AtomicBool,
}

/// What is answered.
enum Answer {
    GoesOn,
    /// It starts this.
    Starts(Option<Started>),
    Fails(Errno),
    /// Its process ends, and has said this.
    Ends(&'static Abi, Vec<u8>),
}

impl Supervisor {
    /// A supervisor and its threads, which wait for [`Self::begin`].
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn prepare(judge: Arc<dyn Judge>, start: Box<dyn Start>) -> io::Result<Arc<Workers<Self>>> {
        let review = Review::new(Arc::clone(&judge));
        let own = Self {
            listener: OnceLock::new(),
            judge,
            start,
            review: Arc::clone(&review),
            has_moved: AtomicBool::new(false),
        };
        let workers = Workers::new(own);
        workers.prepare()?;
        std::thread::Builder::new().spawn(move || review.watch())?;
        Ok(workers)
    }

    /// Answers, on the workers' threads, until the last process with the filter is gone.
    pub fn begin(workers: &Arc<Workers<Self>>, listener: OwnedFd) {
        // Older kernels refuse this, and work without it.
        // SAFETY: the request takes a number.
        let _ = unsafe {
            libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SET_FLAGS as _, SYNC_WAKE_UP)
        };
        let _ = workers.work().listener.set(listener);
        workers.begin();
    }

    /// Waits until all findings have been reported. Called when no process is left that could ask.
    pub fn finish(&self) {
        self.review.finish();
    }

    /// -1 if there is no listener yet.
    fn listener(&self) -> RawFd {
        self.listener.get().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Whether no process is left that could ask.
    fn is_over(&self) -> bool {
        let Some(listener) = self.listener.get() else { return true };
        let mut waited = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut waited, PollTimeout::ZERO).is_ok_and(|_| {
            let over = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
            waited[0].revents().is_none_or(|events| events.intersects(over))
        })
    }

    fn receive(&self) -> Result<seccomp_notif, Errno> {
        // SAFETY: it has only numbers, for which zeros are valid; the kernel requires zeros.
        let mut request: seccomp_notif = unsafe { std::mem::zeroed() };
        let listener = self.listener();
        // SAFETY: the kernel writes one `seccomp_notif`, which this is.
        let received =
            unsafe { libc::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut request) };
        Errno::result(received).map(|_| request)
    }

    fn give(&self, request: &seccomp_notif, slow: &dyn Fn()) {
        let data = &request.data;
        let waiting = Waiting {
            thread: Pid::from_raw(request.pid.cast_signed()),
            arch: data.arch,
            number: data.nr,
            arguments: data.args,
        };
        let decide = AssertUnwindSafe(|| self.decide(request.id, &waiting, slow));
        // A panic refuses.
        let answer = catch_unwind(decide).unwrap_or(Some(Answer::Fails(Errno::EPERM)));
        match answer {
            None => {}
            Some(Answer::GoesOn) => self.send(request.id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE),
            Some(Answer::Starts(started)) => {
                let is_news = self.review.note(waiting.thread, started);
                self.send(request.id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
                if is_news {
                    self.review.tell();
                }
            }
            Some(Answer::Fails(errno)) => self.send(request.id, -(errno as i32), 0),
            Some(Answer::Ends(abi, said)) => {
                slow();
                refusal_message::end(waiting.thread, abi, &said, || {
                    self.send(request.id, -(Errno::EPERM as i32), 0);
                });
            }
        }
    }

    fn send(&self, id: u64, error: i32, flags: libc::c_ulong) {
        let flags = u32::try_from(flags).unwrap_or_default();
        let response = seccomp_notif_resp { id, val: 0, error, flags };
        let listener = self.listener();
        // SAFETY: the kernel reads one `seccomp_notif_resp`, which this is. An error means that the
        // caller is gone, and needs no answer.
        let _ =
            unsafe { libc::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND as _, &raw const response) };
    }

    /// `None` if nobody waits for the answer any more.
    fn decide(&self, id: u64, waiting: &Waiting, slow: &dyn Fn()) -> Option<Answer> {
        let thread = waiting.thread;
        // The filter stops no other calls.
        let Some((abi, call)) = waiting.call() else { return Some(Answer::Fails(Errno::ENOSYS)) };
        if call == Call::Aimed {
            let is_meant = waiting.shares_processes();
            if !self.is_valid(id) {
                return None;
            }
            if !is_meant {
                return Some(Answer::GoesOn);
            }
            return Some(Answer::Fails(Errno::EPERM));
        }
        if call == Call::Moves {
            self.has_moved.store(true, SeqCst);
            return Some(Answer::GoesOn);
        }
        if self.start.is_starting(thread) {
            // The command itself is reviewed like every later program.
            let has_moved = self.has_moved.load(SeqCst);
            let command = waiting.program(abi, call, has_moved).ok();
            return Some(Answer::Starts(command.and_then(|program| program.started)));
        }
        let program = waiting.program(abi, call, self.has_moved.load(SeqCst));
        // What was read counts only if the thread still waits: its ID may mean another thread by
        // now.
        if !self.is_valid(id) {
            return None;
        }
        let mut started = None;
        let verdict = match program {
            Ok(mut program) => {
                started = program.started.take();
                match self.judge.judge(thread, &program, slow) {
                    Verdict::Allowed => self.judge_called(thread, program, slow),
                    refused @ Verdict::Refused(_) => refused,
                }
            }
            Err(Fault::Fails(errno)) => return Some(Answer::Fails(errno)),
            Err(Fault::Unreadable(why)) => self.judge.judge_unreadable(thread, why, slow),
        };
        Some(match verdict {
            Verdict::Allowed => Answer::Starts(started),
            Verdict::Refused(Some(RefusalMessage { said, ends: true })) => Answer::Ends(abi, said),
            Verdict::Refused(telling) => {
                if let Some(RefusalMessage { said, .. }) = telling {
                    refusal_message::say(thread, &said, PollTimeout::ZERO, || self.is_valid(id));
                }
                Answer::Fails(Errno::EPERM)
            }
        })
    }

    /// Judges a program by what it is called as well if a tracer may have put its own in place of it.
    fn judge_called(&self, thread: Pid, program: Program, slow: &dyn Fn()) -> Verdict {
        let is_replaced = program.other_name.is_some() && is_traced(thread.as_raw());
        let called = if is_replaced { program.called() } else { Vec::new() };
        let mut verdicts = called.iter().map(|program| self.judge.judge(thread, program, slow));
        verdicts.find(|it| !matches!(it, Verdict::Allowed)).unwrap_or(Verdict::Allowed)
    }

    fn is_valid(&self, id: u64) -> bool {
        let listener = self.listener();
        // SAFETY: the kernel reads one number.
        let valid =
            unsafe { libc::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID as _, &raw const id) };
        valid == 0
    }
}

impl Work for Supervisor {
    type Question = seccomp_notif;

    fn next(&self) -> Option<seccomp_notif> {
        loop {
            match self.receive() {
                Ok(request) => return Some(request),
                // The caller is gone, or (since Linux 6.11) all processes with the filter are.
                Err(Errno::ENOENT) if self.is_over() => return None,
                Err(Errno::ENOENT | Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
    }

    fn answer(&self, request: &seccomp_notif, slow: &dyn Fn()) {
        self.give(request, slow);
        self.judge.answered();
    }
}
