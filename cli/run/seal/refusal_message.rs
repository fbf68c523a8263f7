//! Reports a refusal on the stderr that the refused program would have had. This works from outside
//! the process, so also for static programs and in sandboxes.
//!
//! A process that is to end like a failed command first has its `execve(2)` refused as usual, so
//! the program does not run even if the rest fails. Before the process returns from that call it is
//! stopped (`ptrace(2)`), and its registers are changed so that it calls `exit_group(2)`. Its
//! memory is not touched: a vfork child shares it with its parent.

use std::collections::VecDeque;
use std::fs::read_to_string;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope, sleep};
use std::time::{Duration, Instant};

use libc::user_regs_struct as Registers;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::ptrace;
use nix::unistd::{Pid, write};
use rampart_core::arena::TextBuffer;
use rampart_core::json::Answer;
use rampart_core::message_shell::STATUS;
use rampart_core::notice::{LONGEST_REFUSAL, Refused, write_blocked, write_refusal};
use rampart_core::settings::Refusal;
use rampart_core::verdict::Outcome;

use super::filter::Abi;
use super::tracee::Program;
use crate::processes;

/// How long to wait for a thread to stop: usually microseconds, longer on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause between two checks for that, and the longest.
const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);
/// The same attempt within this time is a retry, such as the next directory of PATH, and not
/// reported again.
const RETRY_SPAN: Duration = Duration::from_secs(1);
/// How many attempts are remembered.
const ATTEMPTS: usize = 64;

/// What happens to a process that was refused a program.
#[derive(Debug, PartialEq, Eq)]
pub struct RefusalMessage {
    /// What is written to its stderr; may be empty.
    pub said: Vec<u8>,
    /// Whether it ends as a command that cannot be run does; otherwise its call fails.
    pub ends: bool,
}

/// How refusals are reported.
pub struct Manner {
    refusal: Refusal,
    is_silent: bool,
    /// What was reported a moment ago, the latest last.
    told: Mutex<VecDeque<(u64, Instant)>>,
}

impl Manner {
    pub fn new(refusal: Refusal, is_silent: bool) -> Self {
        Self { refusal, is_silent, told: Mutex::default() }
    }

    /// The message that this thread may not start this program.
    pub fn telling(
        &self,
        thread: Pid,
        program: &Program,
        outcome: Outcome,
        answer: &Answer,
    ) -> RefusalMessage {
        use std::os::unix::ffi::OsStrExt as _;

        let ends = match self.refusal {
            Refusal::Errno => false,
            Refusal::Shell => program.is_shell_line,
            Refusal::Message => true,
        };
        let is_errno = self.refusal == Refusal::Errno;
        if self.is_silent || !ends && !is_errno && self.is_retry(thread, program) {
            return RefusalMessage { said: Vec::new(), ends };
        }
        let mut room = [0; LONGEST_REFUSAL];
        let mut text = TextBuffer::new(&mut room);
        let name = program.words.first().map(|name| name.as_bytes()).unwrap_or_default();
        if is_errno {
            write_blocked(name, outcome, answer, &mut text);
        } else {
            let is_line = program.is_shell_line;
            let refused = if is_line { Refused::Line } else { Refused::Program(name) };
            write_refusal(refused, outcome, answer, &mut text);
        }
        RefusalMessage { said: text.as_bytes().to_vec(), ends }
    }

    fn is_retry(&self, thread: Pid, program: &Program) -> bool {
        let mut hasher = DefaultHasher::new();
        thread.as_raw().hash(&mut hasher);
        let name = program.words.first().map(std::path::Path::new);
        name.and_then(std::path::Path::file_name).hash(&mut hasher);
        program.words.get(1..).hash(&mut hasher);
        let (attempt, now) = (hasher.finish(), Instant::now());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(_, at)| now.duration_since(*at) < RETRY_SPAN);
        let is_retry = told.iter().any(|(each, _)| *each == attempt);
        told.retain(|(each, _)| *each != attempt);
        if told.len() == ATTEMPTS {
            told.pop_front();
        }
        told.push_back((attempt, now));
        is_retry
    }
}

/// Writes to the stderr that a program started by this thread would have. `still_waits` tells
/// whether the thread ID still means the same thread. If stderr is full, waits at most `patience`.
pub fn say(thread: Pid, said: &[u8], patience: PollTimeout, still_waits: impl FnOnce() -> bool) {
    if said.is_empty() {
        return;
    }
    let Some(stderr) = inherited_stderr(thread).filter(|_| still_waits()) else { return };
    // A write to a full pipe would block this thread.
    let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut room, patience) == Ok(1)
        && room[0].revents().is_some_and(|it| it.contains(PollFlags::POLLOUT))
    {
        let _ = write(&stderr, said);
    }
}

/// Descriptor 2 of a thread; `None` if it is close-on-exec.
fn inherited_stderr(thread: Pid) -> Option<OwnedFd> {
    let about = read_to_string(format!("/proc/{thread}/fdinfo/2")).ok()?;
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
    if flags & libc::O_CLOEXEC != 0 {
        return None;
    }
    let process: i32 = processes::status_value(thread.as_raw(), "Tgid")?.parse().ok()?;
    // SAFETY: pidfd_open(2) takes numbers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) })?;
    let (raw, stderr) = (process.as_raw_fd(), libc::STDERR_FILENO);
    // SAFETY: pidfd_getfd(2) takes numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, raw, stderr, 0) })
}

fn owned(descriptor: libc::c_long) -> Option<OwnedFd> {
    let descriptor = i32::try_from(Errno::result(descriptor).ok()?).ok()?;
    // SAFETY: the kernel has just made this descriptor for us.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Makes the process of a waiting thread exit as a command that cannot be run does. `refuse`
/// answers that the call has failed; it is called in any case.
pub fn end(thread: Pid, abi: &Abi, said: &[u8], refuse: impl Fn() + Send + Sync) {
    let refuse = &refuse;
    let refuse_and_end = || {
        let is_held = ptrace::seize(thread, ptrace::Options::empty())
            .and_then(|()| ptrace::interrupt(thread));
        if is_held.is_err() {
            // It is traced already, or this process may not trace it.
            say(thread, said, PollTimeout::ZERO, || true);
            return refuse();
        }
        refuse();
        if let Some(registers) = stopped(thread) {
            say(thread, said, PollTimeout::ZERO, || true);
            // No signal handler is to run before the exit.
            let _ = block_signals(thread);
            let _ = instead(abi, registers).map(|ends| ptrace::setregs(thread, ends));
            let _ = ptrace::detach(thread, None);
        }
    };
    // On a thread of its own: if it panics, its end detaches the traced thread.
    let is_done = scope(|scope| {
        Builder::new().spawn_scoped(scope, refuse_and_end).map(|it| it.join().is_ok())
    });
    if is_done.is_err() {
        // There is no thread to be had (`ulimit -u`): the call fails, and the reason is told.
        say(thread, said, PollTimeout::ZERO, || true);
    }
    if !is_done.unwrap_or(false) {
        refuse();
    }
}

/// Waits until a thread has stopped, and returns its registers; `None` if it is gone.
fn stopped(thread: Pid) -> Option<Registers> {
    let (begun, mut pause) = (Instant::now(), SHORTEST_PAUSE);
    loop {
        // Polls, because the keeper's `waitpid` may consume the notice of the stop.
        match ptrace::getregs(thread) {
            Ok(registers) => return Some(registers),
            Err(_) if begun.elapsed() > TIMEOUT || !is_there(thread) => return None,
            Err(_) => sleep(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn is_there(thread: Pid) -> bool {
    let state = processes::status(thread.as_raw());
    state
        .is_ok_and(|it| it.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

fn block_signals(thread: Pid) -> Result<(), Errno> {
    /// `PTRACE_SETSIGMASK` (linux/ptrace.h)
    const SET_MASK: libc::c_uint = 0x420b;
    let all = u64::MAX;
    // SAFETY: the kernel reads a mask of the given size.
    let set =
        unsafe { libc::ptrace(SET_MASK as _, thread.as_raw(), size_of_val(&all), &raw const all) };
    Errno::result(set).map(drop)
}

/// The registers of a thread that makes another call again in the place of the one that it is
/// back from. `None`: it cannot be told how.
#[cfg(target_arch = "x86_64")]
fn instead(abi: &Abi, mut registers: Registers) -> Option<Registers> {
    /// The length of `syscall` and of `int 0x80`, in bytes.
    const INSTRUCTION: u64 = 2;
    let status = STATUS.unsigned_abs().into();
    registers.rip = registers.rip.checked_sub(INSTRUCTION)?;
    registers.rax = abi.exit_group?.into();
    if abi.is_i386() {
        registers.rbx = status;
    } else {
        registers.rdi = status;
    }
    // -1 so that the kernel restarts no interrupted call.
    registers.orig_rax = u64::MAX;
    Some(registers)
}

/// The registers of a thread that makes another call again in the place of the one that it is
/// back from. `None`: it cannot be told how.
#[cfg(target_arch = "aarch64")]
fn instead(abi: &Abi, mut registers: Registers) -> Option<Registers> {
    const INSTRUCTION: u64 = 4;
    registers.pc = registers.pc.checked_sub(INSTRUCTION)?;
    registers.regs[8] = abi.exit_group?.into();
    registers.regs[0] = STATUS.unsigned_abs().into();
    Some(registers)
}
