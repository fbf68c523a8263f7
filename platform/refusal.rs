//! Reports a refusal as `RAMPART_REFUSAL` says: by an error, or by a shell that prints the reason
//! where the program would have run.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

use libc::posix_spawn_file_actions_t;
use rampart_core::arena::TextBuffer;
use rampart_core::command::last_component;
use rampart_core::json::Answer;
use rampart_core::message_shell;
use rampart_core::notice::{self, LONGEST_REFUSAL, Refused};
use rampart_core::request::{Command, Question};
use rampart_core::settings::{Notice, Refusal};
use rampart_core::verdict::Outcome;

use crate::abi::MutStrings;
use crate::errno;
use crate::os::sys::{self, SignalMask};
use crate::os::{self, stderr};
use crate::program::{BEGIN, mix};
use crate::state::State;

/// What was refused, and why.
pub struct Reason<'r> {
    /// The program, or the first word of a line.
    pub name: &'r [u8],
    /// Whether it is a shell's command line: `sh -c LINE`, `system`, `popen`.
    pub is_line: bool,
    /// A hash of the attempt, to recognise its repetition.
    pub attempt: u64,
    /// How the check ended.
    pub outcome: Outcome,
    /// The server's answer.
    pub answer: &'r Answer,
}

/// Starts a shell that prints a message and exits with [`message_shell::STATUS`]; whether it could
/// be started.
pub type ShowMessage<'t> = &'t mut dyn FnMut(&CStr) -> bool;

/// The process in which the program would have run.
pub enum Target<'t> {
    /// This process: the call is an exec.
    ThisProcess,
    /// A child, in which a message shell can run instead.
    Child {
        /// Starts the message shell.
        show: ShowMessage<'t>,
        /// What `posix_spawn(3)` does to the child's descriptors; NULL: nothing.
        actions: *const posix_spawn_file_actions_t,
    },
    /// A child inside the C library, whose output the caller does not see: `wordexp(3)`.
    InLibc,
}

impl Target<'_> {
    /// Whether the program would have had the stderr of this process, as far as is known.
    pub fn shares_stderr(&self) -> bool {
        match self {
            Self::Child { actions, .. } => actions.is_null() || os::keep_stderr(*actions),
            Self::ThisProcess | Self::InLibc => true,
        }
    }
}

/// Reports a refusal. Does not return if this process is to print the message instead of running
/// the refused program.
#[cold]
#[inline(never)]
pub fn tell(state: &State, reason: &Reason<'_>, target: &mut Target<'_>) {
    if state.refusal == Refusal::Errno {
        if state.notice != Notice::Nothing {
            blocked(state, reason);
        }
        return;
    }
    let mut room = [0; LONGEST_REFUSAL + 1];
    let is_silent = state.notice == Notice::Nothing;
    let said = if is_silent { c"" } else { words(reason, &mut room) };
    let by_program = reason.is_line || state.refusal == Refusal::Message;
    let errno = errno::Saved::new();
    let is_told = match target {
        Target::ThisProcess if by_program => end(state, said),
        Target::ThisProcess => is_retry(reason.attempt),
        Target::Child { show, .. } => by_program && show(said),
        Target::InLibc => false,
    };
    if is_told {
        return;
    }
    errno.restore();
    if target.shares_stderr() {
        stderr::write_line(&state.stderr, said.to_bytes());
    }
}

/// Prints the one line that goes with `EPERM`.
#[inline(never)]
fn blocked(state: &State, reason: &Reason<'_>) {
    let mut buffer = [0; 512];
    let mut text = TextBuffer::new(&mut buffer);
    notice::write_blocked(reason.name, reason.outcome, reason.answer, &mut text);
    stderr::write_line(&state.stderr, text.as_bytes());
}

fn words<'r>(reason: &Reason<'_>, room: &'r mut [u8; LONGEST_REFUSAL + 1]) -> &'r CStr {
    let (text, _) = room.split_at_mut_checked(LONGEST_REFUSAL).unwrap_or_default();
    let mut text = TextBuffer::new(text);
    let refused = if reason.is_line { Refused::Line } else { Refused::Program(reason.name) };
    notice::write_refusal(refused, reason.outcome, reason.answer, &mut text);
    CStr::from_bytes_until_nul(room).unwrap_or(c"")
}

/// Prints the message and exits, as a message shell would. This may be a vfork child, which shares
/// its parent's memory, so that no code of the program may run: no signal handler, no `atexit(3)`.
fn end(state: &State, said: &CStr) -> ! {
    SignalMask::ALL.block();
    if sys::is_inherited(stderr::STDERR) {
        stderr::write_line(&state.stderr, said.to_bytes());
    }
    sys::exit(message_shell::STATUS)
}

/// Calls `start` with path, arguments and environment of a shell that prints `said`. The
/// environment is empty: the caller's could change what the shell does.
pub fn with_message_shell<R>(
    said: &CStr,
    start: impl FnOnce(&'static CStr, MutStrings, MutStrings) -> R,
) -> R {
    let [name, option, script, zeroth] = message_shell::ARGUMENTS.map(CStr::as_ptr);
    let arguments = [name, option, script, zeroth, said.as_ptr(), core::ptr::null()];
    start(message_shell::SHELL, arguments.as_ptr().cast(), NOTHING.0.as_ptr().cast())
}

/// Calls `start` with a command line that prints `said`; `None` if it does not fit.
#[inline(never)]
pub fn with_message_line<R>(said: &CStr, start: impl FnOnce(&CStr) -> R) -> Option<R> {
    let mut room = [0; 2048];
    message_shell::write_line(said.to_bytes(), &mut room).ok()?;
    CStr::from_bytes_until_nul(&room).ok().map(start)
}

/// An empty environment.
static NOTHING: Empty = Empty([core::ptr::null()]);

/// An array that holds only the final NULL.
struct Empty([*const core::ffi::c_char; 1]);

// SAFETY: it is never written to, and a null pointer points to nothing that threads could share.
unsafe impl Sync for Empty {}

/// A hash of what a question is about, to recognise a repetition within [`RETRY_SPAN`].
pub fn attempt<'q>(question: &Question<'q, impl Iterator<Item = &'q [u8]> + Clone>) -> u64 {
    let pid = u64::from(sys::getpid().unsigned_abs());
    match &question.command {
        Command::Program { name, arguments, .. } => {
            let named = mix(BEGIN ^ pid, last_component(name));
            arguments.clone().fold(named, mix)
        }
        Command::Line(line) => mix(BEGIN ^ pid, line),
    }
}

/// Hash and time of the last refused exec of this process.
static LAST: AtomicU64 = AtomicU64::new(0);
/// The bits of [`LAST`] that hold the time, in units of 2^20 microseconds.
const TIME_BITS: u64 = 0xff_ffff;
/// A repetition within this time is not reported again, in the same units.
const RETRY_SPAN: u64 = 1;

/// Whether this process made the same attempt a moment ago: it tries the directories of PATH one by
/// one, or retries.
fn is_retry(attempt: u64) -> bool {
    let now = sys::now_us() >> 20 & TIME_BITS;
    let last = LAST.swap(attempt & !TIME_BITS | now, Ordering::Relaxed);
    let span = now.wrapping_sub(last & TIME_BITS) & TIME_BITS;
    last & !TIME_BITS == attempt & !TIME_BITS && span <= RETRY_SPAN
}
