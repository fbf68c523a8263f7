//! The `rampart` command: runs an agent under a policy, serves policies, and
//! explains what they say.

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
mod policy_file;
mod relay;
mod run;
mod server;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{doctor, policy, preload, serve, setup, test};
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
    Doctor(doctor::Arguments),
    Setup(setup::Arguments),
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
        Command::Doctor(arguments) => doctor::run(arguments).map(status),
        Command::Setup(arguments) => setup::run(arguments).map(|()| ExitCode::SUCCESS),
    }
}
