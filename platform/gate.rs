//! The one gate that every program passes: asks, decides, tells, and lets it through.

use core::ffi::c_int;

use rampart_core::answer::Reader;
use rampart_core::coverage::Coverage;
use rampart_core::request::Question;
use rampart_core::settings::Mode;
use rampart_core::verdict::{Outcome, Verdict, verdict};

use crate::abi::Strings;
use crate::os::{Real, sys};
use crate::program::Program;
use crate::state::{self, State};
use crate::{connection, environment, report};

/// A working directory that is longer is not told.
const LONGEST_DIRECTORY: usize = 384;

/// Starts a program by calling `run` with the original function and the environment that
/// the program is to have, if it may run; else gives the error number with which the hook
/// is to fail.
///
/// `program` is `None` if the function was given none, which the original answers.
///
/// # Safety
/// `envp` is NULL or an array of strings that ends with NULL.
pub unsafe fn start<Function>(
    program: Option<Program<'_>>,
    envp: Strings,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl FnOnce(Function, Strings) -> c_int,
) -> Result<c_int, c_int> {
    let state = state::get().ok_or(libc::EPERM)?;
    let run = |envp| Ok(run(find(&state.real).ok_or(libc::ENOSYS)?, envp));
    let Some(program) = program.filter(|_| state.mode != Mode::Disabled) else {
        return run(envp);
    };
    let coverage = program.look(state)?;
    if pass_program(state, &program, coverage) == Verdict::Refuse {
        return Err(libc::EPERM);
    }
    let Ok(equipment) = &state.equipment else {
        // In monitor mode; otherwise a fault is a refusal.
        return run(envp);
    };
    // SAFETY: the caller's promise.
    let result = unsafe { environment::with(&equipment.guard, envp, coverage, run) };
    result.unwrap_or(Err(libc::EPERM))
}

/// Calls `run` with the original function if a shell may run `line`, with this process's
/// own environment in order; `None` if it may not.
pub fn start_shell<Function, R>(
    line: Option<&[u8]>,
    find: impl FnOnce(&Real) -> Option<Function>,
    run: impl FnOnce(Function) -> R,
) -> Option<R> {
    let state = state::get()?;
    let run = || Some(run(find(&state.real)?));
    let Some(line) = line.filter(|_| state.mode != Mode::Disabled) else { return run() };
    if pass_line(state, line) == Verdict::Refuse {
        return None;
    }
    if let Ok(equipment) = &state.equipment {
        environment::repair_own(&equipment.guard).ok()?;
    }
    run()
}

#[inline(never)]
fn pass_program(state: &State, program: &Program<'_>, coverage: Option<Coverage>) -> Verdict {
    pass(state, &program.question(coverage, &mut [0; LONGEST_DIRECTORY]))
}

#[inline(never)]
fn pass_line(state: &State, line: &[u8]) -> Verdict {
    let mut room = [0; LONGEST_DIRECTORY];
    let cwd = sys::working_directory(&mut room);
    pass(state, &Question::about_line(line, cwd))
}

fn pass<'q>(
    state: &State,
    question: &Question<'q, impl Iterator<Item = &'q [u8]> + Clone>,
) -> Verdict {
    let begun = if state.debug { sys::now_us() } else { 0 };
    let mut reader = Reader::default();
    let outcome = match &state.equipment {
        Ok(equipment) => connection::ask(state, equipment, question, &mut reader),
        Err(why) => Outcome::Fault(why),
    };
    let verdict = verdict(state.mode, outcome, state.fail_open);
    if verdict == Verdict::Refuse && state.notice {
        report::refusal(question, outcome, reader.answer());
    }
    if state.debug {
        report::check(state, question, outcome, verdict, begun);
    }
    verdict
}
