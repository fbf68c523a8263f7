//! `rampart doctor`: checks the installation, and tells how much the guard will see of a program.

mod fix;
mod homebrew;
mod places;
mod program;
mod seal;
mod server;
mod trial;

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;

use crate::command_line::named;
use crate::failure::Failure;
use crate::home::Home;
use crate::output;
use crate::terminal::{Colour, Screen};

const EXAMPLES: &str = "\
Examples:
  rampart doctor
  rampart doctor -- node server.js
  rampart doctor --agent codex
  rampart doctor --json | jq '.checks[] | select(.level == \"problem\")'

The status is 0 if all is in place, or if the guard sees everything that PROGRAM
does; 1 if not; 127 if there is no such program. Nothing is changed without --fix, and
PROGRAM is not started.";

/// Check that everything is in place, or what the guard sees of a program
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = "\
rampart doctor [OPTIONS]
       rampart doctor [OPTIONS] -- PROGRAM [ARGS...]")]
pub struct Arguments {
    /// A program; its arguments matter if it is a launcher such as `env`
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
    /// Say what a run of this agent needs
    #[arg(long, value_name = "NAME", value_parser = named(), conflicts_with = "program")]
    agent: Option<OsString>,
    /// First fix what needs no decision: rights that are too wide, missing files
    #[arg(long, conflicts_with_all = ["program", "agent", "json"])]
    fix: bool,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Writes the findings; returns whether all is well.
///
/// # Errors
/// There is no such program, or the home is not known.
pub fn run(arguments: &Arguments) -> Result<bool, Failure> {
    match (arguments.program.first(), &arguments.agent) {
        (Some(name), _) => program::run(name, &arguments.program, arguments.json),
        (None, Some(name)) => seal::of_agent(name, arguments.json),
        (None, None) => check(arguments),
    }
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Problem,
}

/// A finding.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    about: &'static str,
    level: Level,
    text: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Check {
    fn ok(about: &'static str, text: impl Into<String>) -> Self {
        Self { about, level: Level::Ok, text: text.into(), advice: None }
    }

    fn warning(about: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, level: Level::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    fn problem(about: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, level: Level::Problem, text: text.into(), advice: Some(advice.into()) }
    }

    /// A problem whose message already says what to do.
    fn failure(about: &'static str, failure: &Failure) -> Self {
        let text = failure.sentence().to_owned();
        Self { about, level: Level::Problem, text, advice: None }
    }
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

fn check(arguments: &Arguments) -> Result<bool, Failure> {
    let home = Home::locate()?;
    if arguments.fix {
        fix::run(&home)?;
    }
    let mut checks = places::checks(&home);
    checks.extend(trial::check(&home));
    checks.extend(seal::check());
    checks.push(server::check(&home));
    let ok = checks.iter().all(|check| check.level != Level::Problem);
    if arguments.json {
        output::json(&Report { ok, checks })?;
        return Ok(ok);
    }
    let screen = Screen::of_stdout();
    for Check { about, level, text, advice } in &checks {
        let level = screen.paint_cell(&match level {
            Level::Ok => (None, "ok      ".to_owned()),
            Level::Warning => (Some(Colour::Yellow), "warning ".to_owned()),
            Level::Problem => (Some(Colour::Red), "problem ".to_owned()),
        });
        output::line(format_args!("{level} {about:<8} {text}"))?;
        if let Some(advice) = advice {
            output::line(format_args!("{:18}{advice}", ""))?;
        }
    }
    Ok(ok)
}
