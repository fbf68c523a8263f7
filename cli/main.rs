//! The `rampart` command: runs an agent under a policy, serves policies, and
//! explains what they say.

mod approvals;
mod audit;
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
mod server;
mod spent_rules;
mod terminal;
mod token;
mod trust;
mod whole_file;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

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

#[derive(Debug, Subcommand)]
enum Command {
    Preload(preload::Arguments),
    Serve(serve::Arguments),
    Test(test::Arguments),
    Policy(policy::Arguments),
    Allow(rules::Allow),
    Block(rules::Block),
    Rules(rules::Arguments),
    Pending(pending::Pending),
    Approve(pending::Approve),
    Deny(pending::Deny),
    Log(log::Arguments),
    Audit(audit_command::Arguments),
    Status(status::Arguments),
    Watch(watch::Arguments),
    Doctor(doctor::Arguments),
    Setup(setup::Arguments),
    #[command(hide = true)]
    Init(suggest::Init),
    Completions(manual::Completions),
    #[command(name = "man")]
    Manual(manual::Manual),
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|fault| {
        say(format!("a fault of rampart itself, please report it: {fault}"));
    }));
    run(&Cli::parse().command).unwrap_or_else(|failure| failure.report())
}

fn run(command: &Command) -> Result<ExitCode, Failure> {
    let status = |good: bool| {
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    };
    match command {
        Command::Preload(arguments) => match preload::run(arguments)? {},
        Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Test(arguments) => test::run(arguments).map(status),
        Command::Policy(arguments) => policy::run(arguments).map(status),
        Command::Allow(arguments) => rules::allow(arguments).map(|()| ExitCode::SUCCESS),
        Command::Block(arguments) => rules::block(arguments).map(|()| ExitCode::SUCCESS),
        Command::Rules(arguments) => rules::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Pending(arguments) => pending::pending(arguments).map(|()| ExitCode::SUCCESS),
        Command::Approve(arguments) => pending::approve(arguments).map(|()| ExitCode::SUCCESS),
        Command::Deny(arguments) => pending::deny(arguments).map(|()| ExitCode::SUCCESS),
        Command::Log(arguments) => log::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Audit(arguments) => audit_command::run(arguments).map(status),
        Command::Status(arguments) => status::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Watch(arguments) => watch::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Init(arguments) => suggest::init(arguments).map(|()| ExitCode::SUCCESS),
        Command::Completions(arguments) => {
            manual::completions(arguments, Cli::command()).map(|()| ExitCode::SUCCESS)
        }
        Command::Manual(arguments) => {
            manual::manual(arguments, Cli::command()).map(|()| ExitCode::SUCCESS)
        }
        Command::Doctor(arguments) => doctor::run(arguments).map(status),
        Command::Setup(arguments) => setup::run(arguments).map(|()| ExitCode::SUCCESS),
    }
}
