//! `rampart policy`: checks policy files, and shows the policy in force.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{explain, suggest, test};
use crate::failure::{Failure, say};
use crate::home::Home;
use crate::output;
use crate::policy_file::{InForce, Origin, compile, warnings};
use crate::text_file;

const CHECK_EXAMPLES: &str = "\
Examples:
  rampart policy check ~/.rampart/policy.yaml
  rampart policy check policies/*.yaml

Each problem is one line FILE:LINE:COLUMN: WHAT. The status is 0 if all files are
usable, otherwise 1.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  rampart policy explain 'cd /tmp && sudo rm -fr ./x'
  rampart policy explain --json -- cp a b | jq .reads

Nothing is run and no server is asked. Rules are matched against the parts of the
command that are listed, each in all its spellings. The status is 0 whatever the verdict.";

const TEST_EXAMPLES: &str = "\
Examples:
  rampart policy test team.yaml
  rampart policy test cases.yaml --policy team.yaml  # of a file without policies

The status is 0 if all tests pass, 1 if one fails, 2 if a file is not usable.";

const SHOW_EXAMPLES: &str = "\
Examples:
  rampart policy show
  rampart policy show > ~/.rampart/policy.yaml     # a copy to edit
  rampart policy show --json | jq -r .origin";

/// Check policy files, or show the policy in force
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check policy files, and say what is wrong where
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// Files to check
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Run the tests in a policy file
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        /// The file
        file: PathBuf,
        /// The policy that they are about [default: the file's own, else the policy in force]
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(test::Question),
    Suggest(suggest::Arguments),
    /// List the conditions that a rule may have, and when each holds
    Conditions,
    /// Show the policy that `serve`, `preload` and `test` use
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Show this policy file instead
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Write one JSON object with origin, file and source
        #[arg(long)]
        json: bool,
    },
}

/// The policy in force as JSON.
#[derive(Serialize)]
struct Report<'a> {
    origin: &'a str,
    file: Option<&'a Path>,
    source: &'a str,
}

/// Runs the subcommand; returns whether all is well.
///
/// # Errors
/// The policy in force is not usable.
pub fn run(arguments: &Arguments) -> Result<bool, Failure> {
    match &arguments.action {
        Action::Check { files } => check(files),
        Action::Test { file, policy, json } => test::run_file(file, policy.as_deref(), *json),
        Action::Explain(question) => explain::run(question).map(|()| true),
        Action::Suggest(arguments) => suggest::run(arguments).map(|()| true),
        Action::Conditions => conditions().map(|()| true),
        Action::Show { policy, json } => show(policy.as_deref(), *json).map(|()| true),
    }
}

fn check(files: &[PathBuf]) -> Result<bool, Failure> {
    let mut good = true;
    for file in files {
        let checked = text_file::read_named(file)
            .map_err(|error| format!("{}: {error}", file.display()))
            .and_then(|source| compile(&source, file));
        match checked {
            Ok(policies) => {
                for warning in warnings(&policies, file) {
                    output::line(warning)?;
                }
                output::line(format_args!("{}: ok", file.display()))?;
            }
            Err(faults) => {
                good = false;
                output::line(faults)?;
            }
        }
    }
    Ok(good)
}

fn conditions() -> Result<(), Failure> {
    for (key, holds) in rampart_policy::conditions() {
        output::line(format_args!("{key:<24}{holds}"))?;
    }
    Ok(())
}

fn show(named: Option<&Path>, json: bool) -> Result<(), Failure> {
    let policy = InForce::load(named, &Home::locate()?)?;
    let origin = policy.origin.to_string();
    if json {
        let file = match &policy.origin {
            Origin::File(path, _) => Some(path.as_path()),
            Origin::Starter => None,
        };
        return output::json(&Report { origin: &origin, file, source: &policy.source });
    }
    // On stderr, so that stdout has only the policy.
    say(format!("the policy in force is {origin}"));
    output::text(&policy.source).map(drop)
}
