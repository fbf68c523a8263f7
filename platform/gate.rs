//! The gate that every program passes: it asks the server, decides, reports refusals, and calls the
//! real function.

use core::ffi::c_int;

use rampart_core::answer::Reader;
use rampart_core::command::last_component;
use rampart_core::coverage::Coverage;
use rampart_core::environ::Survey;
use rampart_core::json::Answer;
use rampart_core::repair_count::RepairCount;
use rampart_core::request::{Pipes, Question};
use rampart_core::settings::{Mode, Notice, Refusal, reads_hidden};
use rampart_core::verdict::{Outcome, Verdict, verdict};

use crate::abi::Strings;
use crate::environment::{self, Envp, NoMemory};
use crate::once;
use crate::os::{self, Real, sys};
use crate::program::{Arguments, Program};
use crate::readable::NOWHERE;
use crate::refusal::{self, Reason, Target};
use crate::state::State;
use crate::{connection, errno, report};

const KEEPER_IS_GONE: &str = "the keeper of this sealed run is gone, and nothing starts without it";
const IS_HIDDEN: &str = "this process does not let itself be read, so that the keeper of this sealed run cannot see what it would start";

/// A longer working directory is not sent.
const LONGEST_DIRECTORY: usize = 384;

/// Starts a program, if it may run, by calling `run` with the original function and the program's
/// environment. Otherwise returns the error number with which the hook is to fail.
///
/// `program` gives `None` if the caller passed no program that can be read; then the original
/// reports the error. `target` is where the program would run. If an error is returned, a message
/// shell may run there instead.
///
/// # Safety
/// A given `envp` is NULL or an array of strings that ends with NULL.
pub unsafe fn start<'p, Function: Copy>(
    program: impl FnOnce() -> Option<Program<'p>>,
    envp: Envp,
    mut target: Target<'_>,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl Fn(Function, Strings) -> c_int,
) -> Result<c_int, c_int> {
    let state = once::state().ok_or(libc::EPERM)?;
    let run = |envp| {
        let original = find(&state.real).ok_or(libc::ENOSYS)?;
        loop {
            let result = Ok(run(original, envp));
            // Until the keeper has received the kernel's question, a signal handler without
            // `SA_RESTART` interrupts the call, which otherwise never fails so (execve(2)).
            if !state.is_sealed() || !has_failed(result, libc::EINTR) {
                return result;
            }
        }
    };
    if state.mode == Mode::Disabled {
        return run(envp.now());
    }
    let Some(program) = program() else {
        // The original does not get an environment either: what another thread makes readable
        // meanwhile must not run unasked.
        return if state.real.is_wrapped { Err(libc::EFAULT) } else { run(NOWHERE as Strings) };
    };
    // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
    let is_loop = unsafe { is_reexec_loop(state, &program, envp) };
    // What another library makes of a call is all that the kernel can ask about.
    let coverage = if state.is_sealed() && !state.real.is_wrapped {
        os::uncancelled(|| program.look(state, state.is_of(sys::getpid())))?
    } else {
        check_program(state, &program, is_loop, &mut target)?
    };
    let coverage = if is_loop { UNGUARDED } else { coverage };
    let Ok(client) = &state.client else {
        // In monitor mode; in enforce mode the check has refused.
        return run(envp.now());
    };
    if is_loop {
        tell_unguarded(state, &program, &target);
    }
    let repairs = || state.repairs_after(program.digest());
    // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
    let result = unsafe { environment::with(&client.guard, envp.now(), coverage, repairs, run) };
    let result = result.unwrap_or(Err(libc::EPERM));
    let is_unread = || state.is_sealed() && !reads_hidden(state.mark) && sys::is_hidden();
    if has_failed(result, libc::EPERM) && is_unread() {
        // The keeper reports the other refusals, those of processes that it can read.
        tell_refused_by_kernel(state, &program, IS_HIDDEN, &mut target);
        return Err(libc::EPERM);
    }
    if state.is_sealed() && has_failed(result, libc::ENOSYS) {
        // The kernel's error if the supervisor is gone (seccomp(2), SECCOMP_RET_USER_NOTIF).
        tell_refused_by_kernel(state, &program, KEEPER_IS_GONE, &mut target);
        return Err(libc::ENOSYS);
    }
    result
}

/// The coverage of a program in a re-exec loop, which gets no library.
const UNGUARDED: Option<Coverage> = Some(Coverage::Reexec);

/// Whether a program is in a loop of re-executing itself because its environment is repaired.
///
/// # Safety
/// As for [`start`].
#[inline(never)]
unsafe fn is_reexec_loop(state: &State, program: &Program<'_>, envp: Envp) -> bool {
    // Hardly ever true. Otherwise the arguments, which may be many, need not be hashed.
    if !state.repairs.as_ref().is_some_and(RepairCount::may_be_loop) {
        return false;
    }
    let Ok(client) = &state.client else { return false };
    state.is_reexec_loop(program.digest())
        // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
        && unsafe { environment::survey(&client.guard, envp.now(), None) } != Survey::Intact
}

/// Reports a program that goes on unguarded. In a sealed run the kernel still asks about it.
#[cold]
#[inline(never)]
fn tell_unguarded(state: &State, program: &Program<'_>, target: &Target<'_>) {
    if !state.is_sealed() && state.notice != Notice::Nothing && target.shares_stderr() {
        report::unguarded(state, last_component(program.path.to_bytes()));
    }
}

/// Reports a refusal by the kernel, of which the policy server does not know.
#[cold]
#[inline(never)]
fn tell_refused_by_kernel(
    state: &State,
    program: &Program<'_>,
    why: &'static str,
    target: &mut Target<'_>,
) {
    let question = program.question(None, &mut []);
    let outcome = Outcome::Fault(why);
    tell(state, &question, program.is_shell_line(), outcome, &Answer::EMPTY, target);
}

fn tell(
    state: &State,
    question: &Question<'_, Arguments<'_>>,
    is_line: bool,
    outcome: Outcome,
    answer: &Answer,
    target: &mut Target<'_>,
) {
    let (name, attempt) = (report::program(question), refusal::attempt(question));
    refusal::tell(state, &Reason { name, is_line, attempt, outcome, answer }, target);
}

/// Whether a function has failed with this error number, returned or in `errno`.
fn has_failed(result: Result<c_int, c_int>, errno: c_int) -> bool {
    result == Ok(errno) || result == Ok(-1) && errno::get() == errno
}

/// Starts a shell for `line`, if it may run, by calling `run` with the original function. `None`
/// needs no check.
pub fn start_shell<Function, R>(
    line: Option<&[u8]>,
    mut target: Target<'_>,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl FnOnce(Function) -> R,
) -> Result<R, c_int> {
    let check = line.map(|line| {
        |state: &State| {
            if state.is_sealed() && is_told_by_child(state, &target) {
                return Ok(os::SHELL_COVERAGE);
            }
            check_line(state, line, &mut target)
        }
    });
    start_in_own_environment(check, find, run)
}

/// Whether, in a sealed run, the refused shell itself prints the message, so that this process need
/// not ask about the line first.
fn is_told_by_child(state: &State, target: &Target<'_>) -> bool {
    state.refusal != Refusal::Errno && matches!(target, Target::Child { .. })
}

/// Starts a program by calling `run` with the original function, which takes no `envp`: the
/// environment of this process is repaired before. `check` is `None` if nothing need be checked.
pub fn start_in_own_environment<Function, R>(
    check: Option<impl FnOnce(&State) -> Result<Option<Coverage>, c_int>>,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl FnOnce(Function) -> R,
) -> Result<R, c_int> {
    let state = once::state().ok_or(libc::EPERM)?;
    let run = || Ok(run(find(&state.real).ok_or(libc::ENOSYS)?));
    let Some(check) = check.filter(|_| state.mode != Mode::Disabled) else { return run() };
    let coverage = check(state)?;
    let Ok(client) = &state.client else { return run() };
    os::in_own_environment(&client.guard, coverage, run).unwrap_or_else(|NoMemory| Err(libc::EPERM))
}

/// Checks a program. Returns its coverage if it may run, or the error number of the refusal.
#[inline(never)]
pub fn check_program(
    state: &State,
    program: &Program<'_>,
    is_loop: bool,
    target: &mut Target<'_>,
) -> Result<Option<Coverage>, c_int> {
    os::uncancelled(|| {
        let pid = sys::getpid();
        let coverage = program.look(state, state.is_of(pid))?;
        let coverage = if is_loop { UNGUARDED } else { coverage };
        check(state, pid, &Subject::Program(program), coverage, target)?;
        Ok(coverage)
    })
}

#[inline(never)]
fn check_line(
    state: &State,
    line: &[u8],
    target: &mut Target<'_>,
) -> Result<Option<Coverage>, c_int> {
    os::uncancelled(|| {
        let coverage = os::SHELL_COVERAGE;
        check(state, sys::getpid(), &Subject::Line(line), coverage, target)?;
        Ok(coverage)
    })
}

/// What is asked about.
enum Subject<'s> {
    Program(&'s Program<'s>),
    /// A command line that the C library passes to a shell.
    Line(&'s [u8]),
}

/// Not inlined, to keep the frame of [`Program::look`]'s caller small.
#[inline(never)]
fn check(
    state: &State,
    pid: i32,
    subject: &Subject<'_>,
    coverage: Option<Coverage>,
    target: &mut Target<'_>,
) -> Result<(), c_int> {
    let mut room = [0; LONGEST_DIRECTORY];
    let mut question = match subject {
        Subject::Program(program) => program.question(coverage, &mut room),
        Subject::Line(line) => {
            Question { coverage, ..Question::about_line(line, sys::working_directory(&mut room)) }
        }
    };
    if matches!(target, Target::ThisProcess) {
        // The program inherits them as they are: no file actions come between.
        question.pipes =
            Pipes { stdin: sys::pipe(libc::STDIN_FILENO), stdout: sys::pipe(libc::STDOUT_FILENO) };
    }
    question.missed = state.missed.take();
    question.process = sys::process(pid);
    let question = &question;
    let begun = if state.debug { sys::now_us() } else { 0 };
    let mut reader = Reader::default();
    let outcome = match &state.client {
        Ok(client) => connection::ask(state, client, state.is_of(pid), question, &mut reader),
        Err(why) => Outcome::Fault(why),
    };
    settle(state, subject, question, outcome, reader.answer(), begun, target)
}

/// Decides and reports. Not inlined, so that its frame is not on the stack while the server is
/// asked.
#[inline(never)]
fn settle(
    state: &State,
    subject: &Subject<'_>,
    question: &Question<'_, Arguments<'_>>,
    outcome: Outcome,
    answer: &Answer,
    begun: u64,
    target: &mut Target<'_>,
) -> Result<(), c_int> {
    // In a sealed run the kernel asks the keeper about the shell of a line, which can reach the
    // server even if this process cannot.
    let is_left = state.is_sealed() && matches!(outcome, Outcome::Unreachable(_));
    let outcome = if is_left { Outcome::Allowed } else { outcome };
    let verdict = verdict(state.mode, outcome, state.fail_open);
    let is_unchecked = verdict == Verdict::Run && matches!(outcome, Outcome::Unreachable(_));
    if is_unchecked || !matches!(outcome, Outcome::Allowed | Outcome::Denied) {
        state.missed.add(question.missed.saturating_add(u32::from(is_unchecked)));
    }
    let is_news = is_unchecked && state.notice == Notice::Everything;
    if is_news && (state.refusal == Refusal::Errno || target.shares_stderr()) {
        report::unchecked(state, question, outcome);
    }
    if state.debug {
        report::check(state, question, outcome, verdict, begun);
    }
    if verdict == Verdict::Run {
        return Ok(());
    }
    let is_shell_line = match subject {
        Subject::Program(program) => program.is_shell_line(),
        // The shell that `wordexp` runs is not the caller's child.
        Subject::Line(_) => !matches!(target, Target::InLibc),
    };
    tell(state, question, is_shell_line, outcome, answer, target);
    Err(libc::EPERM)
}
