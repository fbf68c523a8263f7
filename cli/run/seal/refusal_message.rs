//! Tells of a refusal where the refused program would have run: on the stderr that it would have
//! had, whatever is in the process that wanted it. So a static program is told as well, and one
//! whose sandbox lets it connect to nobody.
//!
//! A process that is to end like a command that has failed is first refused its `execve(2)`, as
//! any other: nothing of it runs, also if all that follows fails. Then, before it is back from
//! that call, it is stopped (`ptrace(2)`), and goes on with `exit_group(2)` in its place. Its
//! memory is not touched, for a vfork child's is its parent's.

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
use rampart_core::arena::Text;
use rampart_core::json::Answer;
use rampart_core::notice::{LONGEST_REFUSAL, Refused, write_blocked, write_refusal};
use rampart_core::settings::Refusal;
use rampart_core::teller::STATUS;
use rampart_core::verdict::Outcome;

use super::filter::Abi;
use super::tracee::Program;

/// A refused call is over after a moment; it takes longer where nobody gives it a processor.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause between two looks at it, and the longest.
const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);
/// The same attempt within this is no new one: its process goes along PATH, or tries again.
const RETRY_SPAN: Duration = Duration::from_secs(1);
/// So many attempts are remembered.
const ATTEMPTS: usize = 64;

/// What becomes of the process that was refused a program.
#[derive(Debug, PartialEq, Eq)]
pub struct RefusalMessage {
    /// What is said on its stderr; maybe nothing.
    pub said: Vec<u8>,
    /// Whether it ends as a command does that could not be run; else its call fails.
    pub ends: bool,
}

/// How refusals are told.
pub struct Manner {
    refusal: Refusal,
    is_silent: bool,
    /// What was told a moment ago, the latest at the end.
    told: Mutex<VecDeque<(u64, Instant)>>,
}

impl Manner {
    pub fn new(refusal: Refusal, is_silent: bool) -> Self {
        Self { refusal, is_silent, told: Mutex::default() }
    }

    /// How it is told that this thread may not start this program.
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
        let mut text = Text::new(&mut room);
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

/// Says something on the stderr that a program of this thread's would have. `still_waits`: the
/// thread's number is still its own. Where that takes nothing now it is waited for as long as
/// `patience`.
pub fn say(thread: Pid, said: &[u8], patience: PollTimeout, still_waits: impl FnOnce() -> bool) {
    if said.is_empty() {
        return;
    }
    let Some(stderr) = inherited_stderr(thread).filter(|_| still_waits()) else { return };
    // One that takes nothing now would hold this thread.
    let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut room, patience) == Ok(1)
        && room[0].revents().is_some_and(|it| it.contains(PollFlags::POLLOUT))
    {
        let _ = write(&stderr, said);
    }
}

/// Descriptor 2 of a thread; `None` if a program that it starts would not have it.
fn inherited_stderr(thread: Pid) -> Option<OwnedFd> {
    let field = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).map(|it| it.trim().to_owned())
    };
    let about = |file: &str| read_to_string(format!("/proc/{thread}/{file}")).ok();
    let flags = i32::from_str_radix(&field(&about("fdinfo/2")?, "flags:")?, 8).ok()?;
    if flags & libc::O_CLOEXEC != 0 {
        return None;
    }
    let process: i32 = field(&about("status")?, "Tgid:")?.parse().ok()?;
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

/// Has a thread that waits for an answer end its process as a command does that could not be
/// run. `refuse` gives the answer that its call has failed, and is called in any case.
pub fn end(thread: Pid, abi: &Abi, said: &[u8], refuse: impl Fn() + Send + Sync) {
    let refuse = &refuse;
    let refuse_and_end = || {
        let is_held = ptrace::seize(thread, ptrace::Options::empty())
            .and_then(|()| ptrace::interrupt(thread));
        if is_held.is_err() {
            // Another traces it already, or this process may not.
            say(thread, said, PollTimeout::ZERO, || true);
            return refuse();
        }
        refuse();
        if let Some(registers) = stopped(thread) {
            say(thread, said, PollTimeout::ZERO, || true);
            // What a handler would run is of a process that is over.
            let _ = block_signals(thread);
            let _ = instead(abi, registers).map(|ends| ptrace::setregs(thread, ends));
            let _ = ptrace::detach(thread, None);
        }
    };
    // Whatever happens, the end of the thread that traces it lets it go.
    let is_done = scope(|scope| {
        Builder::new().spawn_scoped(scope, refuse_and_end).is_ok_and(|it| it.join().is_ok())
    });
    if !is_done {
        refuse();
    }
}

/// Waits until a thread has stopped, and gives its registers; `None`: it is gone.
fn stopped(thread: Pid) -> Option<Registers> {
    let (begun, mut pause) = (Instant::now(), SHORTEST_PAUSE);
    loop {
        // Whoever waits for this process's children may have been told of the stop instead.
        match ptrace::getregs(thread) {
            Ok(registers) => return Some(registers),
            Err(_) if begun.elapsed() > TIMEOUT || !is_there(thread) => return None,
            Err(_) => sleep(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn is_there(thread: Pid) -> bool {
    let state = read_to_string(format!("/proc/{thread}/stat"));
    state
        .is_ok_and(|it| it.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

fn block_signals(thread: Pid) -> Result<(), Errno> {
    /// `PTRACE_SETSIGMASK` (linux/ptrace.h)
    const SET_MASK: libc::c_uint = 0x420b;
    let all = u64::MAX;
    // SAFETY: the kernel reads the mask, which has as many bytes as is said.
    let set =
        unsafe { libc::ptrace(SET_MASK as _, thread.as_raw(), size_of_val(&all), &raw const all) };
    Errno::result(set).map(drop)
}

/// The registers of a thread that makes another call again in the place of the one that it is
/// back from. `None`: it cannot be told how.
#[cfg(target_arch = "x86_64")]
fn instead(abi: &Abi, mut registers: Registers) -> Option<Registers> {
    /// Of `syscall` and of `int 0x80`, in bytes.
    const INSTRUCTION: u64 = 2;
    let status = STATUS.unsigned_abs().into();
    registers.rip = registers.rip.checked_sub(INSTRUCTION)?;
    registers.rax = abi.exit_group?.into();
    if abi.is_i386() {
        registers.rbx = status;
    } else {
        registers.rdi = status;
    }
    // It is not back from a call that may have to be restarted.
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
