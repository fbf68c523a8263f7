//! `rampart policy explain`: the verdict on a command, and how the command was understood.

use std::fmt::Write as _;

use rampart_policy::{Explanation, Part, What, explain};
use serde::Serialize;

use super::test::{Question, Report, told};
use crate::failure::Failure;
use crate::output;
use crate::terminal::harmless;

/// How many parts are shown; `--json` has all.
const SHOWN: usize = 200;
/// How many spellings of a part are shown.
const SPELLINGS: usize = 12;

/// The verdict and its explanation as JSON.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    verdict: Report<'a>,
    parts: Vec<CommandReport<'a>>,
    reads: Vec<&'a str>,
    writes: Vec<&'a str>,
    deletes: Vec<&'a str>,
    sends: Vec<&'a str>,
    fetches: Vec<&'a str>,
    runs_from: Vec<&'a str>,
}

#[derive(Serialize)]
struct CommandReport<'a> {
    depth: usize,
    what: &'static str,
    spellings: &'a [String],
}

/// Writes the verdict and its explanation.
///
/// # Errors
/// The policy is not usable.
pub fn run(question: &Question) -> Result<(), Failure> {
    let asked = question.ask()?;
    let explanation = explain(&asked.call());
    let decision = asked.decide();
    let deeds = |what| deeds(&explanation, what);
    if question.json {
        let told = |part| {
            let Part { depth, what, spellings }: &Part = part;
            CommandReport { depth: *depth, what: word(*what), spellings }
        };
        return output::json(&Explained {
            verdict: asked.report(&decision),
            parts: explanation.parts.iter().map(told).collect(),
            reads: deeds(What::Reads),
            writes: deeds(What::Writes),
            deletes: deeds(What::Deletes),
            sends: deeds(What::Sends),
            fetches: deeds(What::Fetches),
            runs_from: deeds(What::RunsFrom),
        });
    }
    let mut text = told(&asked, &decision);
    text.push_str("taken apart into\n");
    for part in explanation.parts.iter().filter(|part| !DEEDS.contains(&part.what)).take(SHOWN) {
        write_part(part, &mut text);
    }
    let count = explanation.parts.len();
    if count > SHOWN {
        let _ = writeln!(text, "  and so on: --json has all {count} parts");
    }
    for what in DEEDS {
        for target in deeds(what).into_iter().take(SHOWN) {
            let _ = writeln!(text, "{:<8} {}", word(what), harmless(target));
        }
    }
    output::text(&text).map(drop)
}

fn write_part(part: &Part, out: &mut String) {
    let indent = "  ".repeat(part.depth.min(16) + 1);
    let mut spellings = part.spellings.iter();
    let first = spellings.next().map_or("", String::as_str);
    let _ = writeln!(out, "{indent}{:<8} {}", word(part.what), harmless(first));
    for spelling in spellings.take(SPELLINGS) {
        let _ = writeln!(out, "{indent}{:<8} {}", "also", harmless(spelling));
    }
}

/// What a command may do, in the order shown.
const DEEDS: [What; 6] =
    [What::Reads, What::Writes, What::Deletes, What::Sends, What::Fetches, What::RunsFrom];

fn word(what: What) -> &'static str {
    match what {
        What::Whole => "line",
        What::Command => "command",
        What::Wrapper => "wrapper",
        What::Text => "text",
        What::Reads => "reads",
        What::Writes => "writes",
        What::Deletes => "deletes",
        What::Sends => "sends",
        What::Fetches => "fetches",
        What::RunsFrom => "runs from",
    }
}

/// The targets of a deed without duplicates, by absolute path if known.
fn deeds(explanation: &Explanation, what: What) -> Vec<&str> {
    let mut targets: Vec<&str> = Vec::new();
    for Part { spellings, .. } in explanation.parts.iter().filter(|part| part.what == what) {
        let whole = spellings.iter().find(|spelling| spelling.starts_with('/'));
        if let Some(target) = whole.or(spellings.first())
            && !targets.contains(&target.as_str())
        {
            targets.push(target);
        }
    }
    targets
}
