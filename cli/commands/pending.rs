//! `rampart pending`, `rampart approve` and `rampart deny`: questions that wait for a person.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::log::name;
use super::rules;
use crate::approvals::{Question, Reply, Scope, Waits, all, find};
use crate::failure::{Failure, say};
use crate::home::Home;
use crate::output;
use crate::run::environment::refuse_guarded;
use crate::terminal::{Screen, cut, harmless};

const EXAMPLES: &str = "\
Examples:
  rampart preload --ask -- claude     questions of `ask` rules wait for five minutes
  rampart pending
  rampart approve 9c1e-3 --session    this command may run again, in this session
  rampart deny 9c1e-3 --message 'Use the staging branch'

Only the person who started the agent can answer: the server sees which process answers, and
refuses guarded ones whatever token they show. Only the first answer counts, and a question ends
with the process that asked it.

For --session a line is the same only if all of it is. claude's shell adds words to each
command that are others the next time, so there --session covers what this line starts, and
--always holds from the next run on.";

/// List the questions that wait for a person
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Pending {
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Allow a waiting command to run
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Approve {
    /// The question, as `rampart pending` lists it
    id: String,
    /// Only this time (the default)
    #[arg(long)]
    once: bool,
    /// This command for the rest of its session
    #[arg(long, conflicts_with = "once")]
    session: bool,
    /// From now on, also in later runs, by a rule as `rampart allow` writes it
    #[arg(long, conflicts_with_all = ["once", "session"])]
    always: bool,
}

/// Refuse a waiting command
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Deny {
    /// The question, as `rampart pending` lists it
    id: String,
    /// Message to the agent
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    message: Option<String>,
}

/// Lists the waiting questions.
///
/// # Errors
/// The home is not known, stdout cannot be written, or a server does not say what waits there.
pub fn pending(arguments: &Pending) -> Result<(), Failure> {
    let Waits { questions, silent } = all(&Home::locate()?);
    if arguments.json {
        let waiting: Vec<_> = questions.iter().map(|question| &question.waiting).collect();
        output::json(&waiting)?;
    } else {
        let screen = Screen::of_stdout();
        for question in &questions {
            output::line(told(question, screen.width.unwrap_or(usize::MAX)))?;
        }
        if questions.is_empty() && silent.is_empty() {
            say("no question waits");
        }
    }
    let silent: Vec<String> = silent.iter().map(ToString::to_string).collect();
    if silent.is_empty() { Ok(()) } else { Err(Failure::new(silent.join("\n"))) }
}

/// Lets the command run.
///
/// # Errors
/// It no longer waits, or this process may not answer it.
pub fn approve(arguments: &Approve) -> Result<(), Failure> {
    refuse_guarded("approve")?;
    let question = find(&Home::locate()?, &arguments.id)?;
    let scope = if arguments.session || arguments.always { Scope::Session } else { Scope::Once };
    if arguments.always {
        // First, so that nothing is approved if the rule cannot be written.
        rules::allow_exactly(question.waiting.asked())?;
    }
    question.resolve(&Reply { approved: true, scope, message: None })?;
    let how = match (arguments.always, scope) {
        (true, _) => "approved, from now on",
        (false, Scope::Session) => "approved for this session",
        (false, Scope::Once) => "approved once",
    };
    output::line(format_args!("{how}: {}", question.waiting.shown()))
}

/// Refuses the command.
///
/// # Errors
/// As [`approve`].
pub fn deny(arguments: &Deny) -> Result<(), Failure> {
    refuse_guarded("deny")?;
    let question = find(&Home::locate()?, &arguments.id)?;
    let message = arguments.message.clone();
    question.resolve(&Reply { approved: false, scope: Scope::Once, message })?;
    output::line(format_args!("denied: {}", question.waiting.shown()))
}

/// A question on a few lines, with the whole command: nobody should approve what they cannot read.
fn told(question: &Question, columns: usize) -> String {
    let waiting = &question.waiting;
    let seconds = |ms| humantime::format_duration(Duration::from_secs(ms / 1000));
    let (waited, left) = (seconds(waiting.waited_ms), seconds(waiting.left_ms));
    let process = waiting.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
    let place = waiting.cwd.as_deref().map_or_else(String::new, |cwd| format!(" in {cwd}"));
    let who = format!("{}{process}{place}", name(&waiting.agent, &waiting.session));
    let policy = waiting.policy.as_deref().map_or_else(String::new, |name| format!(" [{name}]"));
    let why = if waiting.message.is_empty() { "a rule asks a person" } else { &waiting.message };
    let around = waiting.around().map_or_else(String::new, |line| format!("\n    in {line}"));
    let lines = [
        format!("{}  {}{around}", waiting.id, harmless(waiting.asked())),
        cut(&harmless(&format!("    {who}; waited {waited}, {left} left")), columns),
        cut(&harmless(&format!("    {why}{policy}")), columns),
    ];
    lines.join("\n")
}
