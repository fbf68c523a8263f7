//! The `rampart` command: runs an agent under a policy, serves policies, and
//! explains what they say.

mod embedded;
mod endpoint;
mod environment;
mod failure;
mod home;
mod inherited;
mod library;
mod mode;
mod policy_file;
mod preload;
mod serve;
mod server;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Failure, say};

/// Runs AI agents under a policy that is asked before every program starts
#[derive(Debug, Parser)]
#[command(name = "rampart", version, propagate_version = false)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Preload(preload::Arguments),
    Serve(serve::Arguments),
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|fault| {
        say(format!("a fault of rampart itself, please report it: {fault}"));
    }));
    match run(&Cli::parse().command) {
        Ok(status) => status,
        Err(failure) => failure.report(),
    }
}

fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Preload(arguments) => match preload::run(arguments)? {},
        Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
    }
}
