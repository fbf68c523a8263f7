//! `rampart test`: the policy's verdict on a command, and why.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rampart_core::coverage::Coverage;
use rampart_policy::{Because, COVERAGES, Call, Decision, Form, Outcome, Test};
use serde::Serialize;

use super::log::colour_of;
use crate::command_line::command_line;
use crate::failure::Failure;
use crate::home::{self, Home};
use crate::output;
use crate::policy_file::{InForce, Origin, by_typing, decide};
use crate::program::coverage_of;
use crate::project_policy;
use crate::server::verdict_name;
use crate::terminal::{Screen, harmless, plural};

const EXAMPLES: &str = "\
Examples:
  rampart test 'curl https://example.com | sh'
  rampart test -- rm -rf \"$DIR\"
  rampart test --policy team.yaml --agent claude --json 'git push'
  rampart test --coverage static -- ./installer
  rampart test team.yaml                     # the tests that the file brings along
  rampart test --policy team.yaml cases.yaml # those of a file without policies

Nothing is run and no server is asked. The status is 0 if the command may run,
1 if it is refused, 2 if the command line or the policy is not usable.";

/// Show the policy's verdict on a command, and why
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = "\
rampart test [OPTIONS] 'COMMAND LINE'
       rampart test [OPTIONS] -- ARGV...
       rampart test FILE.yaml")]
pub struct Arguments {
    #[command(flatten)]
    question: Question,
}

/// Show the policy's verdict on a command, the command's parts, and what they do
#[derive(Debug, Args)]
pub struct Question {
    /// A command line, as for `sh -c`
    #[arg(
        value_name = "COMMAND LINE",
        required_unless_present = "words",
        conflicts_with = "words"
    )]
    line: Option<String>,
    /// The argument list of a program
    #[arg(last = true, value_name = "ARGV")]
    words: Vec<OsString>,

    /// The policy [default: ~/.rampart/policy.yaml and policies/*.yaml, else the built-in starter]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Name of the agent [default: preload]
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Name of the session [default: test]
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Directory that the command runs in [default: this one]
    #[arg(long, value_name = "DIR", value_parser = directory)]
    cwd: Option<String>,
    /// How much the guard would see of the program [default: detected for ARGV]
    #[arg(long, value_name = "WORD", value_parser = COVERAGES)]
    coverage: Option<String>,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A directory, by its absolute path: without one no relative name in a command is known.
///
/// # Errors
/// It is empty.
fn directory(text: &str) -> Result<String, String> {
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    path.into_os_string().into_string().map_err(|_| "this directory is not UTF-8".to_owned())
}

/// The verdict, for a program to read.
#[derive(Serialize)]
pub struct Report<'a> {
    command: &'a str,
    coverage: Option<&'a str>,
    allowed: bool,
    decision: &'a str,
    message: &'a str,
    matched_policies: &'a [String],
    because: Option<Reason<'a>>,
    unparsed: Option<&'a str>,
    policy_file: &'a str,
}

/// The deciding rule.
#[derive(Serialize)]
struct Reason<'a> {
    policy: &'a str,
    rule: usize,
    /// In the policy file, counted from 1.
    line: Option<u64>,
    pattern: &'a str,
    part: &'a str,
}

/// Writes the verdict; returns whether the command may run.
///
/// # Errors
/// The policy is not usable.
pub fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let question = &arguments.question;
    if let Some(file) = question.line.as_deref().filter(|line| is_file(line)).map(Path::new) {
        question.is_for_file()?;
        return run_file(file, question.policy.as_deref(), question.json);
    }
    let asked = question.ask()?;
    let decision = asked.decide();
    if question.json {
        output::json(&asked.report(&decision))?;
    } else {
        output::text(&told(&asked, &decision))?;
    }
    Ok(decision.allowed())
}

impl Question {
    /// Fails if it says what only a command is asked about with: each test in a file says its own.
    fn is_for_file(&self) -> Result<(), Failure> {
        let given = [
            ("--agent", &self.agent),
            ("--session", &self.session),
            ("--cwd", &self.cwd),
            ("--coverage", &self.coverage),
        ];
        match given.into_iter().find(|(_, value)| value.is_some()) {
            Some((flag, _)) => Err(Failure::usage(format!(
                "{flag} is for a command: say it in the tests of the file"
            ))),
            None => Ok(()),
        }
    }

    /// The command and the policy.
    ///
    /// # Errors
    /// The policy is not usable.
    pub fn ask(&self) -> Result<Subject<'_>, Failure> {
        let home = Home::locate()?;
        let command = self.line.clone().unwrap_or_else(|| command_line(&self.words));
        let here = || std::env::current_dir().ok()?.into_os_string().into_string().ok();
        let cwd = self.cwd.clone().or_else(here);
        let found = || self.words.first().and_then(|name| coverage_of(name));
        let coverage = self.coverage.as_deref().or_else(|| found().map(Coverage::word));
        let here = cwd.as_deref().map(Path::new);
        let policy = project_policy::in_force(self.policy.as_deref(), here, &home)?;
        let origin = policy.origin.to_string();
        Ok(Subject { question: self, policy, origin, command, cwd, coverage })
    }
}

/// A command, and the policy to evaluate it by.
pub struct Subject<'q> {
    question: &'q Question,
    policy: InForce,
    origin: String,
    command: String,
    cwd: Option<String>,
    coverage: Option<&'q str>,
}

impl Subject<'_> {
    /// The command in the policy's terms.
    pub fn call(&self) -> Call<'_> {
        Call {
            agent: self.question.agent.as_deref().unwrap_or("preload"),
            session: self.question.session.as_deref().unwrap_or("test"),
            command: &self.command,
            form: if self.question.line.is_some() { Form::Line } else { Form::Arguments },
            cwd: self.cwd.as_deref(),
            home: home::of_user(),
            coverage: self.coverage,
            ..Call::default()
        }
    }

    /// The verdict.
    pub fn decide(&self) -> Decision {
        decide(&self.policy.policies, &self.call())
    }

    /// The deciding rule's file, or the policy's origin.
    fn file<'a>(&'a self, decision: &'a Decision) -> &'a str {
        match &decision.because {
            Some(because) if because.of_project || self.policy.origin != Origin::Starter => {
                &because.file
            }
            _ => &self.origin,
        }
    }

    /// The deciding rule's line in its file.
    fn line(&self, because: &Because) -> Option<u64> {
        let policies = self.policy.policies.policies().iter();
        let policy = policies
            .into_iter()
            .find(|policy| policy.name == because.policy && *policy.file == *because.file)?;
        Some(policy.rules.get(because.rule.checked_sub(1)?)?.line())
    }

    /// The verdict, for a program to read.
    pub fn report<'a>(&'a self, decision: &'a Decision) -> Report<'a> {
        Report {
            command: &self.command,
            coverage: self.coverage,
            allowed: decision.allowed(),
            decision: verdict_name(decision.action),
            message: &decision.message,
            matched_policies: &decision.matched,
            because: decision.because.as_ref().map(|because| Reason {
                policy: &because.policy,
                rule: because.rule,
                line: self.line(because),
                pattern: &because.pattern,
                part: &because.part,
            }),
            unparsed: decision.unparsed.as_deref(),
            policy_file: self.file(decision),
        }
    }
}

/// Whether a policy file is meant, and not a command about one, such as `cat policy.yaml`.
fn is_file(line: &str) -> bool {
    let path = Path::new(line);
    path.extension().is_some_and(|end| end == "yaml" || end == "yml")
        && (!line.contains(char::is_whitespace) || path.is_file())
}

/// Runs the tests in a policy file, on its own policies or, if it has none, on `policy` or the
/// policy in force; returns whether all passed.
///
/// # Errors
/// A policy is not usable.
pub fn run_file(file: &Path, policy: Option<&Path>, json: bool) -> Result<bool, Failure> {
    let home = Home::locate()?;
    let own = InForce::load(Some(file), &home)?.policies;
    let policies = match policy {
        None if !own.policies().is_empty() => own.clone(),
        named => InForce::load(named, &home)?.policies,
    };
    let tests: Vec<_> = own.tests().collect();
    let outcomes = tests.iter().map(|test| policies.run_test(test, home::of_user()));
    let outcomes: Vec<Outcome> = outcomes.collect();
    let told = tests.iter().zip(&outcomes).map(|(test, outcome)| Tested::new(test, outcome));
    let told: Vec<Tested<'_>> = told.collect();
    let failed = told.iter().filter(|test| test.outcome == FAILED).count();
    if json {
        output::json(&FileReport { tests: told.len(), failed, outcomes: &told })?;
        return Ok(failed == 0);
    }
    let mut text = told.iter().map(|test| test.text(file)).collect::<String>();
    let _ = writeln!(text, "{}, {failed} failed", plural(told.len() as u64, "test"));
    output::text(&text)?;
    Ok(failed == 0)
}

/// The word for a test that found another verdict.
const FAILED: &str = "failed";

/// The tests of a file, for a program to read.
#[derive(Serialize)]
struct FileReport<'t> {
    tests: usize,
    failed: usize,
    outcomes: &'t [Tested<'t>],
}

/// What became of a test.
#[derive(Serialize)]
struct Tested<'t> {
    name: Cow<'t, str>,
    /// In the file, counted from 1.
    line: u64,
    outcome: &'static str,
    expected: &'static str,
    /// The verdict, if it is another one.
    decision: Option<&'static str>,
    message: &'t str,
}

impl<'t> Tested<'t> {
    fn new(test: &Test<'t>, outcome: &'t Outcome) -> Self {
        let (outcome, decision) = match outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Skipped => ("skipped", None),
            Outcome::Failed(decision) => (FAILED, Some(decision)),
        };
        Self {
            name: test.name(),
            line: test.line(),
            outcome,
            expected: verdict_name(test.expected()),
            decision: decision.map(|decision| verdict_name(decision.action)),
            message: decision.map_or("", |decision| &decision.message),
        }
    }

    fn text(&self, file: &Path) -> String {
        let Self { name, line, outcome, expected, decision, message } = self;
        let name = harmless(name);
        match decision {
            Some(decision) => {
                let why = if message.is_empty() { "" } else { ": " };
                let place = format!("{}:{line}", file.display());
                format!(
                    "FAILED  {name} ({place}): expected {expected}, but it is {decision}{why}{message}\n"
                )
            }
            None if *outcome == "skipped" => {
                format!("skipped {name}: no command is of its tool\n")
            }
            None => format!("ok      {name}\n"),
        }
    }
}

/// The verdict as text.
pub fn told(asked: &Subject<'_>, decision: &Decision) -> String {
    let verdict = verdict_name(decision.action);
    let painted = colour_of(verdict)
        .map_or_else(|| verdict.to_owned(), |colour| Screen::of_stdout().paint(colour, verdict));
    let mut text = format!("{painted}: {}\n", harmless(&asked.command));
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<8} {}", harmless(value));
        }
    };
    row("message", &decision.message);
    let mut from = asked.file(decision).to_owned();
    match &decision.because {
        Some(because) => {
            row("policy", &format!("{}, rule {}", because.policy, because.rule));
            row("pattern", &because.pattern);
            row("matched", &because.part);
            if let Some(line) = asked.line(because) {
                let _ = write!(from, ", line {line}");
            }
        }
        None => row("policy", "no rule matches: the default action holds"),
    }
    let others = decision.matched.get(1..).unwrap_or_default();
    row("also", &others.join(", "));
    row("unparsed", decision.unparsed.as_deref().unwrap_or_default());
    row("from", &from);
    let how = by_typing(&asked.policy.policies, decision, &asked.command);
    row("to allow", how.as_deref().unwrap_or_default());
    text
}

#[cfg(test)]
mod tests {
    use super::{COVERAGES, Coverage};

    #[test]
    fn the_library_and_the_policies_have_the_same_words_for_coverage() {
        assert_eq!(Coverage::ALL.map(Coverage::word), COVERAGES);
    }
}
