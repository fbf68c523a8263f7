//! What is typed behind `rampart preload`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use rampart_core::settings::Refusal;

use crate::command_line::{named, number};
use crate::mode::Mode;
use crate::run::sealing::Seal;

const EXAMPLES: &str = "\
Examples:
  rampart preload -- python my_agent.py
  rampart preload --mode monitor -- risky_tool
  rampart preload --policy strict.yaml --agent claude -- claude
  rampart preload --url unix:///run/rampart.sock --fail-open=false -- make
  RAMPART_TOKEN=… rampart preload --url https://policy.example -- python my_agent.py

The policy server of a run is the first of these that applies:
  1. with --policy or --audit-sync, a server of this run's own;
  2. the one that --url, --port or RAMPART_URL names;
  3. one that runs already and is yours or root's: `rampart serve` at ~/.rampart/serve.sock,
     the one in config.yaml or serve.state in ~/.rampart, or http://127.0.0.1:19090;
  4. a server of this run's own, with ~/.rampart/policy.yaml or the built-in policy.
Other users' servers are not asked. A server of the run's own keeps the policy that it began
with, and ends after the last guarded process.

An https:// server is asked through a relay of this run's own. Its certificate has to be from a
CA that this machine trusts, or from the one in --ca (or RAMPART_CA). While the server cannot be
reached, --fail-open decides; if what answers does not prove to be the server, everything is
refused. The token stays in the relay: the command gets one that is good for this run only. A
proxy is used only with --proxy, not by variables like HTTPS_PROXY; redirects are not followed.

COMMAND replaces rampart: same process, terminal, signals and exit status. In a sealed run
rampart waits for it in the same terminal and process group, passes signals and stops on, and
ends as it does; RAMPART_SEAL stands for the flag. COMMAND itself is not asked about, because
you typed it; what it starts is. On macOS it may not be a program that the system protects, such
as /bin/sh: `rampart doctor -- COMMAND` tells. The status is 127 if COMMAND is not found, 126 if
it cannot be run, 2 if the command line, the policy or the library is not usable, 1 if something
else fails.";

/// Run a command, and ask a policy before each program that it starts
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "rampart preload [OPTIONS] -- COMMAND [ARGS]..."
)]
pub struct Arguments {
    /// Whether verdicts are enforced
    #[arg(long, value_enum, default_value = "enforce", help_heading = "Verdicts")]
    pub mode: Mode,
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = fail_open(),
        default_missing_value = "true",
        hide_default_value = true,
        help = "Whether programs may start while the server cannot be reached [default: \
            RAMPART_FAIL_OPEN, else true]",
        help_heading = "Verdicts"
    )]
    pub fail_open: bool,

    /// How a refusal looks to the program that is refused
    #[arg(long, value_enum, default_value = "shell", help_heading = "Verdicts")]
    pub refusal: RefusalStyle,

    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "300",
        value_parser = number(1..=86_400_u32),
        help = "If a rule says `ask`, wait so long for a person's answer [without a number: \
            300]; `rampart pending` lists the questions",
        help_heading = "Verdicts"
    )]
    pub ask: Option<u32>,

    /// Name of the agent, for the policy and the audit
    #[arg(
        long,
        value_name = "NAME",
        default_value = "preload",
        value_parser = named(),
        help_heading = "Names"
    )]
    pub agent: OsString,
    /// Name of this run, for the policy and the audit [default: preload-PID]
    #[arg(long, value_name = "ID", value_parser = named(), help_heading = "Names")]
    pub session: Option<OsString>,

    /// Use a server of this run's own, with this policy
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["port", "url", "token"],
        help_heading = "Server"
    )]
    pub policy: Option<PathBuf>,
    /// Use the server at this port of this machine
    #[arg(
        long,
        value_name = "N",
        value_parser = number(1..=u16::MAX),
        conflicts_with = "url",
        help_heading = "Server"
    )]
    pub port: Option<u16>,
    /// Use a server of this run's own that writes each decision to the disk before the command may
    /// run; otherwise a crash may lose the last entries of the audit
    #[arg(long, conflicts_with_all = ["port", "url", "token"], help_heading = "Server")]
    pub audit_sync: bool,
    #[arg(
        long,
        value_name = "URL",
        help = "Use this server: http://HOST[:PORT], https://HOST[:PORT] or unix:///PATH",
        help_heading = "Server"
    )]
    pub url: Option<String>,
    #[arg(
        long,
        value_name = "T",
        help = "Token for the server; visible in the list of processes, unlike one in \
            RAMPART_TOKEN",
        help_heading = "Server"
    )]
    pub token: Option<String>,
    /// Trust only https:// servers with a CA in this file (PEM)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "port"], help_heading = "Server")]
    pub ca: Option<PathBuf>,
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = ["policy", "port"],
        help = "Reach an https:// server through this proxy: http://HOST[:PORT]",
        help_heading = "Server"
    )]
    pub proxy: Option<String>,

    /// Let the kernel check what the library cannot see (Linux) [default: auto]
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on",
        help_heading = "Seal"
    )]
    pub seal: Option<Seal>,

    /// Let the library report on stderr what it does
    #[arg(long, help_heading = "Diagnosis")]
    pub debug: bool,

    /// The command to guard, with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What `RAMPART_FAIL_OPEN` says, by the library's rules: only `1` is true.
fn fail_open() -> &'static str {
    let value = std::env::var_os("RAMPART_FAIL_OPEN").filter(|value| !value.is_empty());
    if value.is_none_or(|value| value == "1") { "true" } else { "false" }
}

/// How a refusal looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RefusalStyle {
    /// The function fails with EPERM
    Errno,
    /// A shell line (`sh -c LINE`, `system`, `popen`) becomes a command that says why on stderr and
    /// exits with 126; other calls fail with EPERM
    Shell,
    /// Every refused program becomes a command that says why on stderr and exits with 126
    Message,
}

impl From<RefusalStyle> for Refusal {
    fn from(style: RefusalStyle) -> Self {
        match style {
            RefusalStyle::Errno => Self::Errno,
            RefusalStyle::Shell => Self::Shell,
            RefusalStyle::Message => Self::Message,
        }
    }
}
