//! The verdict of the starter policy on command lines.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rampart_policy::{Action, Call, Decision, PolicySet};

fuzz_target!(|line: &[u8]| check(line));

static STARTER: LazyLock<PolicySet> = LazyLock::new(PolicySet::starter);

/// Words that begin something else than a program with arguments: a prefix in front of
/// them does not run what they would have run.
const NO_PROGRAMS: &[&str] = &[
    ".", "alias", "builtin", "case", "cd", "command", "coproc", "declare", "do", "done", "elif",
    "else", "esac", "eval", "exec", "export", "fi", "for", "function", "hash", "if", "in", "let",
    "local", "read", "readonly", "select", "set", "source", "then", "time", "trap", "typeset",
    "until", "while",
];

/// What is refused stays refused in any wrapping that still runs it.
fn check(line: &[u8]) {
    let Ok(line) = std::str::from_utf8(line) else { return };
    let decision = verdict(line);
    assert!(!decision.message.is_empty() || decision.action == Action::Allow, "{decision:?}");
    if decision.allowed() || line.contains('\0') {
        return;
    }
    let quoted = line.replace('\'', r"'\''");
    stays_refused(line, format!("sh -c '{quoted}'"));
    stays_refused(line, format!("/bin/bash -ec '{quoted}'"));
    stays_refused(line, format!("true; {line}"));
    if decision.unparsed.is_some() {
        return;
    }
    // Where a line ends in a comment, an operator or a document, nothing can follow on it.
    let followed = format!("{line} && true");
    if verdict(&followed).unparsed.is_none() {
        stays_refused(line, followed);
    }
    if begins_with_program(line) {
        for prefix in ["env A=1", "nice", "nice -n 5", "nohup", "timeout 5"] {
            stays_refused(line, format!("{prefix} {line}"));
        }
    }
}

fn stays_refused(line: &str, wrapped: String) {
    let decision = verdict(&wrapped);
    assert!(!decision.allowed(), "{line:?} is refused, and {wrapped:?} is not");
}

fn verdict(command: &str) -> Decision {
    STARTER.evaluate(&Call { agent: "a", session: "s", command, cwd: Some("/work") })
}

fn begins_with_program(line: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let word = line.split(' ').next().unwrap_or_default();
    !word.is_empty()
        && !word.starts_with('-')
        && word.chars().all(plain)
        && !NO_PROGRAMS.contains(&word)
}
