//! `rampart audit`: checks the audit's chain, counts, and searches.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::log::{Filter, Rows};
use crate::audit::{Event, Trail, place, verify};
use crate::failure::{Failure, say};
use crate::output;
use crate::terminal::{harmless, plural};

const VERIFY_EXAMPLES: &str = "\
Examples:
  rampart audit verify
  rampart audit verify --audit ~/.rampart/audit      an audit of the Go command

Each record holds the hash of the one before it, so a record that was changed, removed, moved
or added is found. Not found are an end that was cut off, and an audit rewritten from its start.
The status is 0 if the chain holds, 1 if a line breaks it; that line is named.";

/// Check, count and search the audit
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check that no record was changed
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify {
        #[command(flatten)]
        source: Source,
    },
    /// Count decisions, by policy, session and program
    Stats {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        source: Source,
    },
    /// Show the records with a text in command, message or policy, ignoring case
    #[command(after_help = "The status is 0 if there are any, otherwise 1.")]
    Search {
        /// The text
        text: String,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Debug, Args)]
struct Source {
    /// The audit [default: ~/.rampart/audit.jsonl]; a directory is an audit of the Go command
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

impl Source {
    fn trail(&self) -> Result<Trail, Failure> {
        Trail::at(self.audit.as_deref())
    }
}

/// Runs the subcommand; returns whether all is well.
///
/// # Errors
/// The audit cannot be read.
pub fn run(arguments: &Arguments) -> Result<bool, Failure> {
    match &arguments.action {
        Action::Verify { source } => check(source),
        Action::Stats { filter, source } => count(filter, source).map(|()| true),
        Action::Search { text, filter, source } => search(text, filter, source),
    }
}

fn check(source: &Source) -> Result<bool, Failure> {
    let files = Trail::of(&place(source.audit.as_deref())?).files();
    if files.is_empty() {
        return Err(Failure::new(
            "there is no audit yet; `rampart preload` and `rampart serve` write it",
        ));
    }
    let finding = verify(&files)?;
    if source.json {
        output::json(&finding)?;
        return Ok(finding.broken.is_none());
    }
    for note in &finding.notes {
        say(note);
    }
    match &finding.broken {
        None => output::line(format_args!(
            "the chain holds: {} in {}",
            plural(finding.events, "record"),
            plural(finding.files as u64, "file"),
        ))?,
        Some(broken) => output::line(format_args!(
            "{}:{}: {}\nthe {} before it hold",
            broken.file.display(),
            broken.line,
            broken.why,
            plural(finding.events, "record"),
        ))?,
    }
    Ok(finding.broken.is_none())
}

fn search(text: &str, filter: &Filter, source: &Source) -> Result<bool, Failure> {
    let text = text.to_lowercase();
    let has = |field: &str| field.to_lowercase().contains(&text);
    let events = source.trail()?.last(usize::MAX, |event| {
        let decision = &event.decision;
        filter.wants(event)
            && (has(event.command())
                || has(&decision.message)
                || decision.matched_policies.iter().any(|policy| has(policy)))
    })?;
    Rows::new(&events, source.json).write(&events)?;
    if events.is_empty() {
        say("no record has that text");
    }
    Ok(!events.is_empty())
}

/// How many of each kind are listed.
const LISTED: usize = 8;

#[derive(Default, Serialize)]
struct Stats {
    asked: u64,
    first: Option<String>,
    last: Option<String>,
    decisions: HashMap<String, u64>,
    denied_by_policy: HashMap<String, u64>,
    denied_programs: HashMap<String, u64>,
    sessions: HashMap<String, u64>,
    programs: HashMap<String, u64>,
}

impl Stats {
    fn add(&mut self, event: &Event) {
        self.asked += 1;
        self.first.get_or_insert_with(|| event.timestamp.clone());
        self.last = Some(event.timestamp.clone());
        let program = program(event.command()).to_owned();
        let decision = &event.decision;
        *self.decisions.entry(decision.action.clone()).or_default() += 1;
        *self.sessions.entry(super::log::who(event)).or_default() += 1;
        if event.is_refusal() {
            let policy =
                decision.matched_policies.first().cloned().unwrap_or_else(|| "no rule".into());
            *self.denied_by_policy.entry(policy).or_default() += 1;
            *self.denied_programs.entry(program.clone()).or_default() += 1;
        }
        *self.programs.entry(program).or_default() += 1;
    }

    fn text(&self) -> String {
        let mut text = format!("{} asked", self.asked);
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            let _ = write!(text, ", from {first} to {last}");
        }
        text.push('\n');
        let lists = [
            ("decisions", &self.decisions),
            ("denied, by policy", &self.denied_by_policy),
            ("denied, by program", &self.denied_programs),
            ("by session", &self.sessions),
            ("by program", &self.programs),
        ];
        for (title, counts) in lists.into_iter().filter(|(_, counts)| !counts.is_empty()) {
            let _ = writeln!(text, "\n{title}");
            let mut counts: Vec<_> = counts.iter().collect();
            counts.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
            for (name, count) in counts.iter().take(LISTED) {
                let _ = writeln!(text, "{count:>8}  {}", harmless(name));
            }
            if counts.len() > LISTED {
                let rest: u64 = counts[LISTED..].iter().map(|(_, count)| **count).sum();
                let _ = writeln!(text, "{rest:>8}  {} others", counts.len() - LISTED);
            }
        }
        text
    }
}

/// The first word of a command, without its directory.
fn program(command: &str) -> &str {
    let word = command.split_ascii_whitespace().next().unwrap_or_default();
    word.rsplit('/').next().unwrap_or(word)
}

fn count(filter: &Filter, source: &Source) -> Result<(), Failure> {
    let mut stats = Stats::default();
    source.trail()?.each(|event| {
        if event.is_decision() && filter.wants(&event) {
            stats.add(&event);
        }
    })?;
    if source.json { output::json(&stats) } else { output::text(&stats.text()).map(drop) }
}
