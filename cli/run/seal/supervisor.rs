//! Answers the kernel (`seccomp_unotify(2)`): reads what a process wants to start, has it
//! decided, lets it go on or refuses it.
//!
//! One thread waits for the next question while the others answer theirs. Whoever takes a
//! question up lets the next thread wait, and starts one if there is none, so that a slow
//! answer delays nobody else's.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{
    SECCOMP_IOCTL_NOTIF_ID_VALID, SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND,
    SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FLAG_CONTINUE, seccomp_notif,
    seccomp_notif_resp,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::filter::{Abi, Call};
use super::telling::{self, Telling};
use super::tracee::{Fault, Program, Waiting};

/// Threads that wait for their turn when nothing is asked; more end.
const SPARE_THREADS: usize = 2;
/// More questions at once wait in the kernel.
const THREADS_LIMIT: usize = 4096;
/// Memory for a thread's stack; the policy engine has its own bounds.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (linux/seccomp.h, since Linux 6.6): who waits for an
/// answer runs on the processor of who gives it.
const SYNC_WAKE_UP: u64 = 1;

/// What was decided about a program.
pub enum Verdict {
    Allowed,
    /// With what is told of it, where somebody can be told.
    Refused(Option<Telling>),
}

/// Decides about programs.
pub trait Judge: Send + Sync {
    /// Whether this thread may start this program. It may take its time: other questions are
    /// decided meanwhile, on other threads.
    fn judge(&self, thread: Pid, program: &Program) -> Verdict;

    /// Whether a program may start that cannot be read, for this reason.
    fn judge_unreadable(&self, thread: Pid, why: Errno) -> Verdict;

    /// Does all that has to be done before this process ends.
    fn finish(&self);
}

/// Whether the command itself still has to be started, which is not asked about.
pub trait Start: Send + Sync {
    /// Whether this thread is the one that is about to become the command.
    fn is_starting(&self, thread: Pid) -> bool;
}

/// What answers the kernel.
pub struct Supervisor {
    listener: OwnedFd,
    judge: Arc<dyn Judge>,
    start: Box<dyn Start>,
    /// Who holds it waits for the next question.
    turn: Mutex<()>,
    /// Threads that wait for a question or for their turn.
    idle: AtomicUsize,
    threads: AtomicUsize,
    ended: AtomicBool,
}

/// What is answered.
enum Answer {
    GoesOn,
    Fails(Errno),
    /// Its process ends, and has said this.
    Ends(&'static Abi, Vec<u8>),
}

impl Supervisor {
    pub fn new(listener: OwnedFd, judge: Arc<dyn Judge>, start: Box<dyn Start>) -> Arc<Self> {
        // An older kernel does without.
        // SAFETY: the request takes a number.
        let _ = unsafe {
            libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SET_FLAGS as _, SYNC_WAKE_UP)
        };
        Arc::new(Self {
            listener,
            judge,
            start,
            turn: Mutex::new(()),
            idle: AtomicUsize::new(0),
            threads: AtomicUsize::new(1),
            ended: AtomicBool::new(false),
        })
    }

    /// Answers until the last process that could ask is gone.
    pub fn run(self: &Arc<Self>) {
        self.idle.fetch_add(1, Ordering::SeqCst);
        self.take_turns(true);
    }

    fn take_turns(self: &Arc<Self>, is_first: bool) {
        while let Some(request) = self.next() {
            if self.idle.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.add_thread();
            }
            self.answer(&request);
            let idle = self.idle.fetch_add(1, Ordering::SeqCst);
            if idle >= SPARE_THREADS && !is_first {
                break;
            }
        }
        self.idle.fetch_sub(1, Ordering::SeqCst);
        self.threads.fetch_sub(1, Ordering::SeqCst);
    }

    /// Without another thread the next question waits for this one's answer.
    fn add_thread(self: &Arc<Self>) {
        if self.threads.fetch_add(1, Ordering::SeqCst) >= THREADS_LIMIT {
            self.threads.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        self.idle.fetch_add(1, Ordering::SeqCst);
        let own = Arc::clone(self);
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        if thread.spawn(move || own.take_turns(false)).is_err() {
            self.idle.fetch_sub(1, Ordering::SeqCst);
            self.threads.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The next question; `None` once nobody is left to ask.
    fn next(&self) -> Option<seccomp_notif> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.ended.load(Ordering::SeqCst) {
                return None;
            }
            let mut waited = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => {
                    self.ended.store(true, Ordering::SeqCst);
                    continue;
                }
            }
            let events = waited[0].revents().unwrap_or(PollFlags::POLLERR);
            if events.contains(PollFlags::POLLIN) {
                match self.receive() {
                    Ok(request) => return Some(request),
                    // Who asked is gone by now, or was interrupted.
                    Err(Errno::ENOENT | Errno::EINTR) => {}
                    Err(_) => self.ended.store(true, Ordering::SeqCst),
                }
            } else if !events.is_empty() {
                self.ended.store(true, Ordering::SeqCst);
            }
        }
    }

    fn receive(&self) -> Result<seccomp_notif, Errno> {
        // SAFETY: numbers only, of which zero is one; the kernel wants them to be zero.
        let mut request: seccomp_notif = unsafe { std::mem::zeroed() };
        let listener = self.listener.as_raw_fd();
        // SAFETY: the kernel writes one `seccomp_notif`, which this is.
        let received =
            unsafe { libc::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut request) };
        Errno::result(received).map(|_| request)
    }

    fn answer(&self, request: &seccomp_notif) {
        let data = &request.data;
        let waiting = Waiting {
            thread: Pid::from_raw(request.pid.cast_signed()),
            arch: data.arch,
            number: data.nr,
            arguments: data.args,
        };
        let decide = AssertUnwindSafe(|| self.decide(request.id, &waiting));
        // A fault of our own refuses.
        let answer = catch_unwind(decide).unwrap_or(Some(Answer::Fails(Errno::EPERM)));
        match answer {
            None => {}
            Some(Answer::GoesOn) => self.send(request.id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE),
            Some(Answer::Fails(errno)) => self.send(request.id, -(errno as i32), 0),
            Some(Answer::Ends(abi, said)) => telling::end(waiting.thread, abi, &said, || {
                self.send(request.id, -(Errno::EPERM as i32), 0);
            }),
        }
    }

    fn send(&self, id: u64, error: i32, flags: libc::c_ulong) {
        let flags = u32::try_from(flags).unwrap_or_default();
        let response = seccomp_notif_resp { id, val: 0, error, flags };
        let listener = self.listener.as_raw_fd();
        // SAFETY: the kernel reads one `seccomp_notif_resp`, which this is. Who asked may be
        // gone, and needs no answer then.
        let _ =
            unsafe { libc::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND as _, &raw const response) };
    }

    /// `None`: nobody waits for the answer any more.
    fn decide(&self, id: u64, waiting: &Waiting) -> Option<Answer> {
        let thread = waiting.thread;
        // The filter stops nothing else.
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
        if self.start.is_starting(thread) {
            return Some(Answer::GoesOn);
        }
        let program = waiting.program(abi, call);
        // What was read is its own only if it still waits: its number may be another's by now.
        if !self.is_valid(id) {
            return None;
        }
        let verdict = match program {
            Ok(program) => self.judge.judge(thread, &program),
            Err(Fault::Fails(errno)) => return Some(Answer::Fails(errno)),
            Err(Fault::Unreadable(why)) => self.judge.judge_unreadable(thread, why),
        };
        Some(match verdict {
            Verdict::Allowed => Answer::GoesOn,
            Verdict::Refused(Some(Telling { said, ends: true })) => Answer::Ends(abi, said),
            Verdict::Refused(telling) => {
                if let Some(Telling { said, .. }) = telling {
                    telling::say(thread, &said, || self.is_valid(id));
                }
                Answer::Fails(Errno::EPERM)
            }
        })
    }

    fn is_valid(&self, id: u64) -> bool {
        let listener = self.listener.as_raw_fd();
        // SAFETY: the kernel reads one number.
        let valid =
            unsafe { libc::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID as _, &raw const id) };
        valid == 0
    }
}
