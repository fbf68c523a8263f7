//! The lines on stderr that tell why a command was refused, or runs unchecked (spec:
//! `environment.md`, `RAMPART_NOTICE`).

use crate::arena::{Decimal, Text};
use crate::json::Answer;
use crate::verdict::Outcome;

/// What is shown of a program's name, in bytes.
const LONGEST_PROGRAM: usize = 120;

/// Writes `rampart: blocked PROGRAM: MESSAGE [POLICY]`, cut where `text` is full.
/// Nothing in it can move a terminal's cursor.
pub fn write_blocked(program: &[u8], outcome: Outcome, answer: &Answer, text: &mut Text<'_>) {
    text.push_lossy(b"rampart: blocked ");
    push_program(program, text);
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

/// Writes `rampart: PROGRAM runs unchecked: WHY`, cut where `text` is full.
pub fn write_unchecked(program: &[u8], outcome: Outcome, text: &mut Text<'_>) {
    text.push_lossy(b"rampart: ");
    push_program(program, text);
    text.push_lossy(b" runs unchecked: ");
    text.push_lossy(outcome.reason().as_bytes());
    push_status(outcome, text);
    text.push_lossy(b"\n");
}

fn push_program(program: &[u8], text: &mut Text<'_>) {
    push_printable(program.get(..LONGEST_PROGRAM).unwrap_or(program), text);
}

fn push_status(outcome: Outcome, text: &mut Text<'_>) {
    if let Some(status) = outcome.status() {
        text.push_lossy(b" (HTTP ");
        text.push_lossy(Decimal::new(u64::from(status)).as_bytes());
        text.push_lossy(b")");
    }
}

fn push_printable(bytes: &[u8], text: &mut Text<'_>) {
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

/// Whether a character is not shown but acts: control characters, and those that turn
/// the direction of writing (Unicode TR 9, "Directional Formatting Characters").
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
        let mut text = Text::new(&mut buffer);
        write_blocked(program, outcome, reader.answer(), &mut text);
        String::from_utf8(text.as_bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_refusal_is_told_in_one_line() {
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
    fn what_runs_unchecked_is_told_in_one_line() {
        for (why, said) in [
            (Unreachable::NoServer, "the policy server cannot be reached"),
            (Unreachable::ServerError(500), "the policy server failed (HTTP 500)"),
        ] {
            let mut buffer = [0; 512];
            let mut text = Text::new(&mut buffer);
            write_unchecked(b"l\ns", Outcome::Unreachable(why), &mut text);
            let expected = format!("rampart: l?s runs unchecked: {said}\n");
            assert_eq!(text.as_bytes(), expected.as_bytes());
        }
    }
}
