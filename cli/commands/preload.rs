//! `rampart preload`: runs a command under the library, with all its descendants.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
#[cfg(target_os = "linux")]
use std::sync::Arc;

use clap::{ArgAction, Args, ValueEnum};
use nix::errno::Errno;
use nix::unistd::execvp;
use rampart_core::host::Os;
use rampart_core::settings::Refusal;

#[cfg(target_os = "linux")]
use crate::audit::Audit;
use crate::command_line::command_line;
use crate::failure::Failure;
use crate::home::Home;
use crate::library;
use crate::mode::Mode;
use crate::program::coverage_of;
#[cfg(target_os = "linux")]
use crate::relay::check_timeout;
use crate::run::daemons;
use crate::run::environment::Guard;
use crate::run::inherited;
#[cfg(target_os = "linux")]
use crate::run::seal::{self, Judge, Manner, Plan, PolicyClient};
use crate::run::sealing::{self, Seal, Sealing};
#[cfg(target_os = "linux")]
use crate::server::InProcess;

mod server;

use server::Server;

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
    mode: Mode,
    /// Whether programs may start while the server cannot be reached
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        help_heading = "Verdicts"
    )]
    fail_open: bool,

    /// How a refusal looks to the program that is refused
    #[arg(long, value_enum, default_value = "shell", help_heading = "Verdicts")]
    refusal: RefusalStyle,

    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "300",
        value_parser = clap::value_parser!(u32).range(1..=86_400),
        help = "If a rule says `ask`, wait so long for a person's answer [without a number: \
            300]; `rampart pending` lists the questions",
        help_heading = "Verdicts"
    )]
    ask: Option<u32>,

    /// Name of the agent, for the policy and the audit
    #[arg(long, value_name = "NAME", default_value = "preload", help_heading = "Names")]
    agent: OsString,
    /// Name of this run, for the policy and the audit [default: preload-PID]
    #[arg(long, value_name = "ID", help_heading = "Names")]
    session: Option<OsString>,

    /// Use a server of this run's own, with this policy
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["port", "url", "token"],
        help_heading = "Server"
    )]
    policy: Option<PathBuf>,
    /// Use the server at this port of this machine
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        conflicts_with = "url",
        help_heading = "Server"
    )]
    port: Option<u16>,
    /// Use a server of this run's own that writes each decision to the disk before the command may
    /// run; otherwise a crash may lose the last entries of the audit
    #[arg(long, conflicts_with_all = ["port", "url", "token"], help_heading = "Server")]
    audit_sync: bool,
    #[arg(
        long,
        value_name = "URL",
        help = "Use this server: http://HOST[:PORT], https://HOST[:PORT] or unix:///PATH",
        help_heading = "Server"
    )]
    url: Option<String>,
    #[arg(
        long,
        value_name = "T",
        help = "Token for the server; visible in the list of processes, unlike one in \
            RAMPART_TOKEN",
        help_heading = "Server"
    )]
    token: Option<String>,
    /// Trust only https:// servers with a CA in this file (PEM)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "port"], help_heading = "Server")]
    ca: Option<PathBuf>,
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = ["policy", "port"],
        help = "Reach an https:// server through this proxy: http://HOST[:PORT]",
        help_heading = "Server"
    )]
    proxy: Option<String>,

    /// Let the kernel check what the library cannot see (Linux) [default: auto]
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on",
        help_heading = "Seal"
    )]
    seal: Option<Seal>,

    /// Let the library report on stderr what it does
    #[arg(long, help_heading = "Diagnosis")]
    debug: bool,

    /// The command to guard, with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How a refusal looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RefusalStyle {
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

/// Replaces this process with the command, or waits for it in a sealed run.
///
/// # Errors
/// The command cannot be run, or cannot be guarded.
pub fn run(arguments: &Arguments) -> Result<std::convert::Infallible, Failure> {
    let home = Home::locate()?;
    let library = library::find(&home).map_err(|failure| failure.and("nothing was run"))?;
    if let (Os::MacOs, Some(program)) = (Os::HERE, arguments.command.first())
        && arguments.mode != Mode::Disabled
    {
        check_takes_library(program)?;
    }
    if arguments.mode != Mode::Disabled {
        daemons::check(&arguments.command, arguments.mode)?;
    }
    let sealing = sealing::decide(arguments.seal, arguments.mode, &arguments.command)?;
    let server = Server::choose(arguments, &home, library, sealing.is_some())?;
    let session = arguments
        .session
        .clone()
        .unwrap_or_else(|| format!("preload-{}", std::process::id()).into());
    Guard {
        library: &server.library,
        url: server.url.as_deref(),
        token: server.token.as_ref(),
        address: server.address,
        mode: arguments.mode,
        fail_open: arguments.fail_open,
        agent: &arguments.agent,
        session: &session,
        debug: arguments.debug,
        is_reached: server.is_reached,
        sealed: sealing.map(|sealing| sealing.mark),
        refusal: arguments.refusal.into(),
        ask_ms: arguments.ask.map(|seconds| seconds * 1000),
    }
    .enter();
    match sealing {
        Some(sealing) => run_sealed(sealing, &server, &session, arguments),
        None => replace_process(&arguments.command),
    }
}

/// Runs the command sealed, and waits for it.
#[cfg(target_os = "linux")]
fn run_sealed(
    sealing: Sealing,
    server: &Server,
    session: &OsStr,
    arguments: &Arguments,
) -> Result<std::convert::Infallible, Failure> {
    let text = |name: &OsStr| name.to_string_lossy().into_owned();
    let judge = || -> Result<Arc<dyn Judge>, Failure> {
        let in_process = server.own.as_ref().map(|own| {
            let audit = Audit::open(&own.audit, own.durability);
            InProcess::new(arguments.mode, own.policies.clone(), audit, &own.home)
        });
        Ok(Arc::new(PolicyClient::new(seal::ClientOptions {
            url: server.url.as_deref().unwrap_or_default(),
            address: server.address,
            token: server.token.as_ref(),
            agent: text(&arguments.agent),
            session: text(session),
            in_process: in_process.transpose()?,
            enforces: arguments.mode == Mode::Enforce,
            manner: Manner::new(arguments.refusal.into(), crate::run::environment::is_silent()),
            timeout: check_timeout(),
            ask_ms: arguments.ask.map(|seconds| seconds * 1000),
        })?))
    };
    let Sealing { no_new_privs, mark } = sealing;
    let plan = Plan { judge: Box::new(judge), no_new_privs, mark };
    seal::run(plan, || {
        let Err(failure) = replace_process(&arguments.command);
        failure
    })
}

/// Never called: there is no seal on this system.
#[cfg(not(target_os = "linux"))]
fn run_sealed(
    _: Sealing,
    _: &Server,
    _: &OsStr,
    arguments: &Arguments,
) -> Result<std::convert::Infallible, Failure> {
    replace_process(&arguments.command)
}

/// Refuses a command that macOS keeps the library out of: nothing that it starts would be seen. (On
/// Linux the children of such a program still get the variable.)
fn check_takes_library(program: &OsStr) -> Result<(), Failure> {
    match coverage_of(program) {
        Some(coverage) if coverage.withholds_library(Os::MacOs) => {
            let program = command_line(&[program.to_owned()]);
            Err(Failure::cannot_run(format!(
                "{program} cannot be guarded, because macOS keeps the library out of it; \
                 `rampart doctor -- {program}` says what to start instead; nothing was run"
            )))
        }
        _ => Ok(()),
    }
}

/// Executes the command in this process. Returns only on failure.
fn replace_process(command: &[OsString]) -> Result<std::convert::Infallible, Failure> {
    let program = command.first().map_or(OsStr::new(""), OsString::as_os_str);
    let words: Result<Vec<CString>, _> =
        command.iter().map(|word| CString::new(word.clone().into_vec())).collect();
    let words = words.map_err(|_| Failure::usage("an argument has a NUL byte in it"))?;
    let name = CString::new(program.as_bytes())
        .map_err(|_| Failure::usage("the command has a NUL byte in it"))?;
    inherited::restore();
    let Err(error) = execvp(&name, &words);
    let sentence = format!("cannot run {}: {}", program.display(), error.desc());
    Err(match error {
        Errno::ENOENT | Errno::ENOTDIR => Failure::not_found(sentence),
        _ => Failure::cannot_run(sentence),
    })
}
