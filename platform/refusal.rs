//! What becomes of a refusal, as `RAMPART_REFUSAL` says. To tell is apart from to ask: whoever
//! has a reason can have it told.

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

/// Why something was refused.
pub struct Reason<'r> {
    /// The program, or what a line begins with.
    pub name: &'r [u8],
    /// Whether it is a line for a shell: `sh -c LINE`, `system`, `popen`.
    pub is_line: bool,
    /// Tells one attempt to start a program from others.
    pub attempt: u64,
    /// How the check ended.
    pub outcome: Outcome,
    /// What the server said.
    pub answer: &'r Answer,
}

/// Starts a program that says a text and ends with [`message_shell::STATUS`]; whether that is done.
pub type ShowMessage<'t> = &'t mut dyn FnMut(&CStr) -> bool;

/// Where the refused program would have run.
pub enum Target<'t> {
    /// In this process, which the program would have taken over.
    ThisProcess,
    /// In a child, which a shell can be instead.
    Child {
        /// Starts that.
        show: ShowMessage<'t>,
        /// What is done to the child's descriptors before.
        actions: Option<&'t posix_spawn_file_actions_t>,
    },
    /// Out of sight.
    InLibc,
}

impl Target<'_> {
    /// Whether the stderr of this process is what the program would have, as far as is known.
    pub fn shares_stderr(&self) -> bool {
        match self {
            Self::Child { actions: Some(actions), .. } => os::keep_stderr(actions),
            _ => true,
        }
    }
}

/// Tells of a refusal. Where a program in the place of the refused one does it, and that is this
/// process, this does not return.
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

/// The one line of a process whose callers are to see no difference but `EPERM`.
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

/// Does what a program in the place of the refused one would: says why, and ends. In a vfork
/// child too: the memory is the parent's, so nothing of it may run any more, not even a
/// handler of a signal.
fn end(state: &State, said: &CStr) -> ! {
    SignalMask::ALL.block();
    if sys::is_inherited(stderr::STDERR) {
        stderr::write_line(&state.stderr, said.to_bytes());
    }
    sys::exit(message_shell::STATUS)
}

/// Calls `start` with path, arguments and environment of a shell that says `said`. Nothing in
/// the caller's environment is to have a part in it.
pub fn with_message_shell<R>(
    said: &CStr,
    start: impl FnOnce(&'static CStr, MutStrings, MutStrings) -> R,
) -> R {
    let [name, option, script, zeroth] = message_shell::ARGUMENTS.map(CStr::as_ptr);
    let arguments = [name, option, script, zeroth, said.as_ptr(), core::ptr::null()];
    start(message_shell::SHELL, arguments.as_ptr().cast(), NOTHING.0.as_ptr().cast())
}

/// Calls `start` with a line that says `said`; `None` if it cannot be written.
#[inline(never)]
pub fn with_message_line<R>(said: &CStr, start: impl FnOnce(&CStr) -> R) -> Option<R> {
    let mut room = [0; 2048];
    message_shell::write_line(said.to_bytes(), &mut room).ok()?;
    CStr::from_bytes_until_nul(&room).ok().map(start)
}

/// An environment without anything in it.
static NOTHING: Empty = Empty([core::ptr::null()]);

/// An array of strings that ends where it begins.
struct Empty([*const core::ffi::c_char; 1]);

// SAFETY: a null pointer, which is never written to.
unsafe impl Sync for Empty {}

/// What a question is about, as a number: the same again is so within [`RETRY_SPAN`].
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

/// The last attempt of this process to become a program that was refused, and when.
static LAST: AtomicU64 = AtomicU64::new(0);
/// What the time has of [`LAST`].
const TIME_BITS: u64 = 0xff_ffff;
/// The same attempt within this span is no new one, in units of 2^20 microseconds.
const RETRY_SPAN: u64 = 1;

/// Whether this process made the same attempt a moment ago: it goes along PATH by itself, or tries
/// again.
fn is_retry(attempt: u64) -> bool {
    let now = sys::now_us() >> 20 & TIME_BITS;
    let last = LAST.swap(attempt & !TIME_BITS | now, Ordering::Relaxed);
    let span = now.wrapping_sub(last & TIME_BITS) & TIME_BITS;
    last & !TIME_BITS == attempt & !TIME_BITS && span <= RETRY_SPAN
}
