//! Lines on stderr: invalid settings, unchecked programs, and in debug mode each load and check.

use rampart_core::arena::{Decimal, TextBuffer};
use rampart_core::notice;
use rampart_core::request::{Command, Question};
use rampart_core::settings::{Mode, Settings};
use rampart_core::verdict::{Outcome, Verdict};

use crate::os::{stderr, sys};
use crate::state::{ClientConfig, State};

/// Reports a command that runs although the server could not be asked.
#[cold]
#[inline(never)]
pub fn unchecked<A>(state: &State, question: &Question<'_, A>, outcome: Outcome) {
    let mut buffer = [0; 512];
    let mut text = TextBuffer::new(&mut buffer);
    notice::write_unchecked(program(question), outcome, &mut text);
    stderr::write_line(&state.stderr, text.as_bytes());
}

/// Reports a program that goes on unguarded because it is in a re-exec loop.
#[cold]
#[inline(never)]
pub fn unguarded(state: &State, program: &[u8]) {
    let mut buffer = [0; 320];
    let mut text = TextBuffer::new(&mut buffer);
    notice::write_unguarded(program, &mut text);
    stderr::write_line(&state.stderr, text.as_bytes());
}

/// What is to start, in one word: the program, or the first word of a line.
pub fn program<'q, A>(question: &Question<'q, A>) -> &'q [u8] {
    match question.command {
        Command::Program { name, .. } => name,
        Command::Line(line) => {
            let line = line.trim_ascii_start();
            line.split(u8::is_ascii_whitespace).next().unwrap_or(line)
        }
    }
}

/// Reports a check: kind, size, verdict and time, but never the command.
#[cold]
#[inline(never)]
pub fn check<'q>(
    state: &State,
    question: &Question<'q, impl Iterator<Item = &'q [u8]> + Clone>,
    outcome: Outcome,
    verdict: Verdict,
    begun_us: u64,
) {
    let kind: &[u8] = match question.command {
        Command::Program { .. } => b"program",
        Command::Line(_) => b"line",
    };
    let size = state.client.map_or(0, |client| question.body_length(&client.preamble));
    let result: &[u8] = match verdict {
        Verdict::Run => b"run",
        Verdict::Refuse => b"refuse",
    };
    write(
        state,
        &[
            b"check pid=",
            number(u64::from(sys::getpid().unsigned_abs())).as_bytes(),
            b" kind=",
            kind,
            b" bytes=",
            number(u64::try_from(size).unwrap_or(u64::MAX)).as_bytes(),
            b" answer=",
            outcome.kind().as_bytes(),
            b" verdict=",
            result,
            b" us=",
            number(sys::now_us().saturating_sub(begun_us)).as_bytes(),
        ],
    );
}

/// Reports invalid settings, and in debug mode what was read at load.
pub fn load(state: &State, settings: &Settings<'_>) {
    if state.mode != Mode::Disabled && settings.complaints.iter().any(Option::is_some) {
        complaints(state, settings);
    }
    if settings.debug {
        loaded(state, settings);
    }
}

#[cold]
#[inline(never)]
fn loaded(state: &State, settings: &Settings<'_>) {
    let (key, value): (&[u8], &[u8]) = match &state.client {
        Ok(ClientConfig { addresses: [None, ..], .. }) => (b" unresolved=", settings.url),
        Ok(_) => (b" server=", settings.url),
        Err(why) => (b" off=", why.as_bytes()),
    };
    write(
        state,
        &[
            b"loaded pid=",
            number(u64::from(sys::getpid().unsigned_abs())).as_bytes(),
            b" mode=",
            settings.mode.as_str().as_bytes(),
            b" fail_open=",
            if settings.fail_open { b"1" } else { b"0" },
            b" timeout_ms=",
            number(u64::from(settings.timeout_ms)).as_bytes(),
            key,
            value,
        ],
    );
}

/// Reports invalid settings. Children inherit the values that count instead, so that they are
/// reported once in a tree of processes.
#[cold]
#[inline(never)]
fn complaints(state: &State, settings: &Settings<'_>) {
    for complaint in settings.complaints.iter().flatten() {
        let mut buffer = [0; 160];
        let mut text = TextBuffer::new(&mut buffer);
        let (name, instead) = (complaint.variable.name().to_bytes(), complaint.instead.as_bytes());
        for piece in [b"rampart: ", name, b" ", instead, b"\n"] {
            text.push_lossy(piece);
        }
        stderr::write_line(&state.stderr, text.as_bytes());
    }
}

fn number(number: u64) -> Decimal {
    Decimal::new(number)
}

fn write(state: &State, pieces: &[&[u8]]) {
    let mut buffer = [0; 320];
    let mut text = TextBuffer::new(&mut buffer);
    for piece in [b"[rampart] "].into_iter().map(|it| &it[..]).chain(pieces.iter().copied()) {
        text.push_lossy(piece);
    }
    text.push_lossy(b"\n");
    stderr::write_line(&state.stderr, text.as_bytes());
}
