//! The one gate that every program passes: asks, decides, tells, and lets it through.

use core::ffi::c_int;

use rampart_core::answer::Reader;
use rampart_core::coverage::Coverage;
use rampart_core::json::Answer;
use rampart_core::request::{Command, Question};
use rampart_core::settings::{Mode, Notice};
use rampart_core::verdict::{Outcome, Verdict, verdict};

use crate::abi::Strings;
use crate::environment::{self, Given, NoMemory};
use crate::os::{self, Real, sys};
use crate::program::Program;
use crate::state::{self, State};
use crate::{connection, errno, report};

const KEEPER_IS_GONE: &str = "the keeper of this sealed run is gone, and nothing starts without it";
const REFUSED_ELSEWHERE: &str = "the policy allows it, and the kernel does not: this process cannot be read, or another guard forbids it";
const REASON_IS_ELSEWHERE: &str =
    "the kernel refused it, and the reason cannot be had from in here: it is in the audit";

/// A working directory that is longer is not told.
const LONGEST_DIRECTORY: usize = 384;

/// Starts a program by calling `run` with the original function and the environment that
/// the program is to have, if it may run; else gives the error number with which the hook
/// is to fail.
///
/// `program` is `None` if the function was given none, which the original answers.
///
/// # Safety
/// A list that is `given` is NULL or an array of strings that ends with NULL.
pub unsafe fn start<Function>(
    program: Option<Program<'_>>,
    given: Given,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl FnOnce(Function, Strings) -> c_int,
) -> Result<c_int, c_int> {
    let state = state::get().ok_or(libc::EPERM)?;
    let run = |envp| Ok(run(find(&state.real).ok_or(libc::ENOSYS)?, envp));
    let Some(program) = program.filter(|_| state.mode != Mode::Disabled) else {
        return run(given.now());
    };
    let coverage = if state.is_sealed {
        os::uncancelled(|| program.look(state.is_own()))?
    } else {
        pass_program(state, &program)?
    };
    let Ok(equipment) = &state.equipment else {
        // In monitor mode; otherwise a fault is a refusal.
        return run(given.now());
    };
    // SAFETY: the caller's promise.
    let result = unsafe { environment::with(&equipment.guard, given.now(), coverage, run) };
    let result = result.unwrap_or(Err(libc::EPERM));
    if state.is_sealed && has_failed(result, libc::EPERM) {
        // The kernel has asked, and may have been told no: the same question has the reason.
        pass_program(state, &program)?;
        tell_refused_by_kernel(state, &program, REFUSED_ELSEWHERE);
        return Err(libc::EPERM);
    }
    if state.is_sealed && has_failed(result, libc::ENOSYS) {
        // The kernel's number for a filter whose supervisor is gone.
        tell_refused_by_kernel(state, &program, KEEPER_IS_GONE);
        return Err(libc::ENOSYS);
    }
    result
}

/// Tells of a refusal that the policy server does not know of.
#[cold]
#[inline(never)]
fn tell_refused_by_kernel(state: &State, program: &Program<'_>, why: &'static str) {
    if state.notice != Notice::Nothing {
        let question = program.question(None, &mut []);
        report::refusal(&question, Outcome::Fault(why), &Answer::EMPTY);
    }
}

/// What an answer means in a sealed run. Where the library can reach nobody the kernel still
/// can: it is asked about the shell of a line yet, and has been about a program.
fn sealed(outcome: Outcome, is_line: bool) -> Outcome {
    match outcome {
        Outcome::Unreachable(_) if is_line => Outcome::Allowed,
        Outcome::Unreachable(_) => Outcome::Fault(REASON_IS_ELSEWHERE),
        outcome => outcome,
    }
}

/// Whether a function has failed with this number, which it gives or leaves in `errno`.
fn has_failed(result: Result<c_int, c_int>, errno: c_int) -> bool {
    result == Ok(errno) || result == Ok(-1) && errno::get() == errno
}

/// Starts a shell for `line` by calling `run` with the original function, if it may run;
/// `None` is not asked about.
pub fn start_shell<Function, R>(
    line: Option<&[u8]>,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl FnOnce(Function) -> R,
) -> Result<R, c_int> {
    let pass = line.map(|line| move |state: &State| pass_line(state, line));
    start_in_own_environment(pass, find, run)
}

/// Starts a program by calling `run` with the original function, which takes no environment:
/// this process's own is put in order before. `pass` is the check, if there is something to
/// check.
pub fn start_in_own_environment<Function, R>(
    pass: Option<impl FnOnce(&State) -> Result<Option<Coverage>, c_int>>,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl FnOnce(Function) -> R,
) -> Result<R, c_int> {
    let state = state::get().ok_or(libc::EPERM)?;
    let run = || Ok(run(find(&state.real).ok_or(libc::ENOSYS)?));
    let Some(pass) = pass.filter(|_| state.mode != Mode::Disabled) else { return run() };
    let coverage = pass(state)?;
    let Ok(equipment) = &state.equipment else { return run() };
    os::in_own_environment(&equipment.guard, coverage, run)
        .unwrap_or_else(|NoMemory| Err(libc::EPERM))
}

/// Whether a program may run: its coverage, or the error number with which it may not.
#[inline(never)]
pub fn pass_program(state: &State, program: &Program<'_>) -> Result<Option<Coverage>, c_int> {
    os::uncancelled(|| {
        let is_own = state.is_own();
        let coverage = program.look(is_own)?;
        pass(state, is_own, program.question(coverage, &mut [0; LONGEST_DIRECTORY]))?;
        Ok(coverage)
    })
}

#[inline(never)]
fn pass_line(state: &State, line: &[u8]) -> Result<Option<Coverage>, c_int> {
    os::uncancelled(|| {
        let mut room = [0; LONGEST_DIRECTORY];
        let cwd = sys::working_directory(&mut room);
        let coverage = os::SHELL_COVERAGE;
        pass(state, state.is_own(), Question { coverage, ..Question::about_line(line, cwd) })?;
        Ok(coverage)
    })
}

fn pass<'q>(
    state: &State,
    is_own: bool,
    mut question: Question<'q, impl Iterator<Item = &'q [u8]> + Clone>,
) -> Result<(), c_int> {
    question.missed = state.missed.take();
    let question = &question;
    let begun = if state.debug { sys::now_us() } else { 0 };
    let mut reader = Reader::default();
    let outcome = match &state.equipment {
        Ok(equipment) => connection::ask(state, equipment, is_own, question, &mut reader),
        Err(why) => Outcome::Fault(why),
    };
    let is_line = matches!(question.command, Command::Line(_));
    let outcome = if state.is_sealed { sealed(outcome, is_line) } else { outcome };
    let verdict = verdict(state.mode, outcome, state.fail_open);
    let is_unchecked = verdict == Verdict::Run && matches!(outcome, Outcome::Unreachable(_));
    if is_unchecked || !matches!(outcome, Outcome::Allowed | Outcome::Denied) {
        state.missed.add(question.missed.saturating_add(u32::from(is_unchecked)));
    }
    match (verdict, outcome, state.notice) {
        (Verdict::Refuse, _, Notice::Refusals | Notice::Everything) => {
            report::refusal(question, outcome, reader.answer());
        }
        (Verdict::Run, _, Notice::Everything) if is_unchecked => {
            report::unchecked(question, outcome);
        }
        _ => {}
    }
    if state.debug {
        report::check(state, question, outcome, verdict, begun);
    }
    if verdict == Verdict::Refuse { Err(libc::EPERM) } else { Ok(()) }
}
