//! The lines on stderr that say why a command was refused or runs unchecked
//! (`docs/environment.md`, `RAMPART_NOTICE` and `RAMPART_REFUSAL`).

use crate::arena::{Decimal, TextBuffer};
use crate::json::Answer;
use crate::verdict::Outcome;

/// A longer program name is cut, in bytes.
const LONGEST_PROGRAM: usize = 120;

/// What was refused, as the message names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<'r> {
    /// A program of this name.
    Program(&'r [u8]),
    /// The command line of a shell. The shell is not named: the policy is about the line.
    Line,
}

/// The most that [`write_refusal`] writes, in bytes.
pub const LONGEST_REFUSAL: usize = 832;

/// Writes `rampart: blocked PROGRAM: MESSAGE [POLICY]`, cut if it does not fit. Control characters
/// are replaced, so that a message cannot move a terminal's cursor.
pub fn write_blocked(program: &[u8], outcome: Outcome, answer: &Answer, text: &mut TextBuffer<'_>) {
    text.push_lossy(b"rampart: blocked ");
    push_program(program, text);
    push_why(outcome, answer, text);
}

/// Writes that line and a second one for the model or person that reads it: what to do now, and
/// how the command could be allowed.
pub fn write_refusal(
    refused: Refused<'_>,
    outcome: Outcome,
    answer: &Answer,
    text: &mut TextBuffer<'_>,
) {
    match refused {
        Refused::Program(name) => write_blocked(name, outcome, answer, text),
        Refused::Line => {
            text.push_lossy(b"rampart: blocked this shell command");
            push_why(outcome, answer, text);
        }
    }
    text.push_lossy(b"rampart: It did not run. ");
    let (policy, suggestion) = (answer.policy.as_bytes(), answer.suggestion.as_bytes());
    match outcome {
        Outcome::Allowed | Outcome::Denied => {
            text.push_lossy(
                b"Do not try it again or get round it; if it is needed, ask the user, ",
            );
            text.push_lossy(b"who can allow it: ");
            if !suggestion.is_empty() {
                push_printable(suggestion, text);
            } else if policy.is_empty() {
                text.push_lossy(b"in the policy that the server has");
            } else {
                text.push_lossy(b"in policy ");
                push_printable(policy, text);
                text.push_lossy(b" that the server has");
            }
        }
        Outcome::Unreachable(_) => text.push_lossy(
            b"The user can start the policy server, or have commands run without it \
            (RAMPART_FAIL_OPEN=1, if it is not sealed)",
        ),
        Outcome::Status(_) | Outcome::Garbled(_) | Outcome::Fault(_) => {
            text.push_lossy(b"That is for the user to mend");
        }
    }
    text.push_lossy(b".\n");
}

/// Writes `: MESSAGE [POLICY]` and ends the line.
fn push_why(outcome: Outcome, answer: &Answer, text: &mut TextBuffer<'_>) {
    text.push_lossy(b": ");
    match outcome {
        Outcome::Denied if !answer.message.as_bytes().is_empty() => {
            push_printable(answer.message.as_bytes(), text);
        }
        _ => text.push_lossy(outcome.reason().as_bytes()),
    }
    push_status(outcome, text);
    if outcome == Outcome::Denied && !answer.policy.as_bytes().is_empty() {
        text.push_lossy(b" [");
        push_printable(answer.policy.as_bytes(), text);
        text.push_lossy(b"]");
    }
    text.push_lossy(b"\n");
}

/// Writes `rampart: PROGRAM runs unchecked: WHY`, cut if it does not fit.
pub fn write_unchecked(program: &[u8], outcome: Outcome, text: &mut TextBuffer<'_>) {
    text.push_lossy(b"rampart: ");
    push_program(program, text);
    text.push_lossy(b" runs unchecked: ");
    text.push_lossy(outcome.reason().as_bytes());
    push_status(outcome, text);
    text.push_lossy(b"\n");
}

/// Writes that the library gives up on a program that re-executes itself until its environment is
/// clean, cut if it does not fit.
pub fn write_unguarded(program: &[u8], text: &mut TextBuffer<'_>) {
    text.push_lossy(b"rampart: ");
    push_program(program, text);
    text.push_lossy(
        b" starts itself anew until its environment is clean: it goes on without the guard, and \
        what it starts is not seen\n",
    );
}

fn push_program(program: &[u8], text: &mut TextBuffer<'_>) {
    push_printable(program.get(..LONGEST_PROGRAM).unwrap_or(program), text);
}

fn push_status(outcome: Outcome, text: &mut TextBuffer<'_>) {
    if let Some(status) = outcome.status() {
        text.push_lossy(b" (HTTP ");
        text.push_lossy(Decimal::new(u64::from(status)).as_bytes());
        text.push_lossy(b")");
    }
}

fn push_printable(bytes: &[u8], text: &mut TextBuffer<'_>) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let shown = if moves_text(character) { '?' } else { character };
            text.push_lossy(shown.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if !chunk.invalid().is_empty() {
            text.push_lossy(b"?");
        }
    }
}

/// Whether a character moves the cursor or changes the direction of writing: control characters,
/// and those of Unicode TR 9, "Directional Formatting Characters".
fn moves_text(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Reader;
    use crate::verdict::Unreachable;

    fn line(program: &[u8], outcome: Outcome, body: &str) -> String {
        let mut reader = Reader::default();
        reader.feed(body.as_bytes()).expect("JSON");
        let mut buffer = [0; 512];
        let mut text = TextBuffer::new(&mut buffer);
        write_blocked(program, outcome, reader.answer(), &mut text);
        String::from_utf8(text.as_bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_refusal_is_one_line() {
        let said =
            r#"{"allowed":false,"message":"no\u001b[2J way","matched_policies":["p\n1","q"]}"#;
        let unreachable = Outcome::Unreachable(Unreachable::ServerError(503));
        for (program, outcome, body, expected) in [
            (&b"rm"[..], Outcome::Denied, said, "rampart: blocked rm: no?[2J way [p?1]\n"),
            (
                b"r\xffm\r",
                Outcome::Denied,
                r#"{"allowed":false}"#,
                "rampart: blocked r?m?: the policy does not allow it\n",
            ),
            (
                b"ls",
                unreachable,
                said,
                "rampart: blocked ls: the policy server failed (HTTP 503)\n",
            ),
            ("a\u{202e}b".as_bytes(), Outcome::Fault("why"), said, "rampart: blocked a?b: why\n"),
            (b"ls", Outcome::Fault("why"), said, "rampart: blocked ls: why\n"),
        ] {
            assert_eq!(line(program, outcome, body), expected);
        }
    }

    #[test]
    fn an_unchecked_program_is_one_line() {
        for (why, said) in [
            (Unreachable::NoServer, "the policy server cannot be reached"),
            (Unreachable::ServerError(500), "the policy server failed (HTTP 500)"),
        ] {
            let mut buffer = [0; 512];
            let mut text = TextBuffer::new(&mut buffer);
            write_unchecked(b"l\ns", Outcome::Unreachable(why), &mut text);
            let expected = format!("rampart: l?s runs unchecked: {said}\n");
            assert_eq!(text.as_bytes(), expected.as_bytes());
        }
    }

    fn lines(refused: Refused<'_>, outcome: Outcome, body: &str) -> String {
        let mut reader = Reader::default();
        reader.feed(body.as_bytes()).expect("JSON");
        let mut buffer = [0; LONGEST_REFUSAL];
        let mut text = TextBuffer::new(&mut buffer);
        write_refusal(refused, outcome, reader.answer(), &mut text);
        String::from_utf8(text.as_bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_second_line_says_how_a_person_would_allow_it() {
        let unreachable = Outcome::Unreachable(Unreachable::NoServer);
        let plain = r#"{"allowed":false,"message":"no"}"#;
        let named = r#"{"allowed":false,"message":"no","matched_policies":["p\u001b"]}"#;
        let full = r#"{"suggestions":["do\nthis"],"allowed":false,"message":"no","matched_policies":["p"]}"#;
        let go_on =
            "Do not try it again or get round it; if it is needed, ask the user, who can allow it:";
        for (refused, outcome, body, expected) in [
            (
                Refused::Line,
                Outcome::Denied,
                full,
                format!(
                    "rampart: blocked this shell command: no [p]\nrampart: It did not run. {go_on} do?this.\n"
                ),
            ),
            (
                Refused::Program(b"rm"),
                Outcome::Denied,
                named,
                format!(
                    "rampart: blocked rm: no [p?]\nrampart: It did not run. {go_on} in policy p? that the server has.\n"
                ),
            ),
            (
                Refused::Program(b"rm"),
                Outcome::Denied,
                plain,
                format!(
                    "rampart: blocked rm: no\nrampart: It did not run. {go_on} in the policy that the server has.\n"
                ),
            ),
            (
                Refused::Line,
                unreachable,
                full,
                "rampart: blocked this shell command: the policy server cannot be reached\n\
                 rampart: It did not run. The user can start the policy server, or have commands \
                 run without it (RAMPART_FAIL_OPEN=1, if it is not sealed).\n"
                    .to_owned(),
            ),
            (
                Refused::Program(b"ls"),
                Outcome::Fault("why"),
                full,
                "rampart: blocked ls: why\n\
                 rampart: It did not run. That is for the user to mend.\n"
                    .to_owned(),
            ),
        ] {
            assert_eq!(lines(refused, outcome, body), expected);
        }
    }

    #[test]
    fn the_longest_refusal_is_not_cut() {
        let long = "m".repeat(300);
        let body = format!(
            r#"{{"allowed":false,"message":"{long}","matched_policies":["{long}"],"suggestions":["{long}"]}}"#
        );
        let text = lines(Refused::Program(&[b'n'; 300]), Outcome::Denied, &body);
        assert!(text.ends_with("m.\n") && text.len() < LONGEST_REFUSAL, "{}", text.len());
    }
}
