//! The `rampart` command: runs agents under a policy, serves policies, and explains their verdicts.

mod agents;
mod approvals;
mod audit;
mod background;
mod command_line;
mod commands;
mod endpoint;
mod failure;
mod home;
mod library;
mod mode;
mod output;
mod owner;
mod policy_edit;
mod policy_file;
mod processes;
mod program;
mod project_policy;
mod relay;
mod rule_file;
mod rule_plan;
mod run;
mod run_terminal;
mod server;
mod spent_rules;
mod terminal;
mod text_file;
mod token;
mod trust;
mod unix_socket;
mod whole_file;

use std::convert::Infallible;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit};

use commands::{
    audit as audit_command, doctor, log, manual, pending, policy, preload, rules, serve, setup,
    status, suggest, test, watch,
};
use failure::{Failure, say};

const AFTER_HELP: &str = "\
Start here:
  rampart setup                        install the library, a token, a starter policy
  rampart preload -- python agent.py   run an agent under the policy
  rampart test 'rm -rf /'              see what the policy says, and why
  rampart doctor                       see whether everything is in place

Files are in ~/.rampart, or where RAMPART_HOME says: policy.yaml, token,
audit.jsonl, lib/.";

/// Runs agents under a policy that is asked before every program starts
#[derive(Debug, Parser)]
#[command(name = "rampart", version, after_help = AFTER_HELP, max_term_width = 96)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Generates clap's enum of the subcommands and the function that runs them from one table.
macro_rules! commands {
    ($($(#[$attribute:meta])* $name:ident($arguments:path) => $run:expr;)*) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($(#[$attribute])* $name($arguments),)*
        }

        fn run(command: &Command) -> Result<ExitCode, Failure> {
            match command {
                $(Command::$name(arguments) => ($run)(arguments).map(Status::code),)*
            }
        }
    };
}

commands! {
    Preload(preload::Arguments) => preload::run;
    Serve(serve::Arguments) => serve::run;
    Test(test::Arguments) => test::run;
    Policy(policy::Arguments) => policy::run;
    Allow(rules::Allow) => rules::allow;
    Block(rules::Block) => rules::block;
    Rules(rules::Arguments) => rules::run;
    Pending(pending::Pending) => pending::pending;
    Approve(pending::Approve) => pending::approve;
    Deny(pending::Deny) => pending::deny;
    Log(log::Arguments) => log::run;
    Audit(audit_command::Arguments) => audit_command::run;
    Status(status::Arguments) => status::run;
    Watch(watch::Arguments) => watch::run;
    Doctor(doctor::Arguments) => doctor::run;
    Setup(setup::Arguments) => setup::run;
    #[command(hide = true)]
    Init(suggest::Init) => suggest::init;
    Completions(manual::Completions) => |it| manual::completions(it, &Cli::command());
    #[command(name = "man")]
    Manual(manual::Manual) => |it| manual::manual(it, Cli::command());
}

/// The exit code of a subcommand that did not fail.
trait Status {
    fn code(self) -> ExitCode;
}

impl Status for () {
    fn code(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

/// Whether all is well.
impl Status for bool {
    fn code(self) -> ExitCode {
        if self { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Never returned: another program has replaced this one.
impl Status for Infallible {
    fn code(self) -> ExitCode {
        match self {}
    }
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|fault| {
        say(format!("a bug in rampart, please report it: {fault}"));
    }));
    on_a_large_stack(|| run(&Cli::parse().command).unwrap_or_else(|failure| failure.report()))
}

/// How much stack the deepest command line needs and more, in bytes; what most systems grant.
const STACK_BYTES: usize = 8 << 20;

/// Runs `work` on this thread, on a stack that no `ulimit -s` has made small: an overflow would end
/// a run's server, and what its tree starts would run unchecked. Not on another thread, because the
/// run forks.
fn on_a_large_stack<T>(work: impl FnOnce() -> T) -> T {
    match getrlimit(Resource::RLIMIT_STACK) {
        Ok((soft, _)) if soft < STACK_BYTES as u64 => stacker::grow(STACK_BYTES, work),
        _ => work(),
    }
}
