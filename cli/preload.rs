//! `rampart preload`: becomes a command that is guarded, with all its descendants.

use std::ffi::{CString, OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use nix::errno::Errno;
use nix::unistd::execvp;

use crate::embedded;
use crate::endpoint::{DEFAULT_URL, Endpoint};
use crate::environment::{Guard, URL};
use crate::failure::{Failure, say};
use crate::home::Home;
use crate::inherited;
use crate::library;
use crate::mode::Mode;
use crate::policy_file::InForce;
use crate::server::Durability;
use crate::token::Token;

const EXAMPLES: &str = "\
Examples:
  rampart preload -- python my_agent.py
  rampart preload --mode monitor -- risky_tool
  rampart preload --policy strict.yaml --agent claude -- claude
  rampart preload --url unix:///run/rampart.sock --fail-open=false -- make

Which server is asked: with --policy or --audit-sync one of this run's own; with
--url, --port, --token or RAMPART_URL that one; else the one at http://127.0.0.1:19090 if it
answers; else one of this run's own, with ~/.rampart/policy.yaml or the built-in
starter policy. A server of this run's own ends after the last guarded process.

COMMAND takes the place of rampart: same process, terminal, signals and exit
status. It is not asked about itself, for it was you who typed it; what it starts
is. The status is 127 if COMMAND is not found, 126 if it cannot be run, 2 if the
command line, the policy or the library is not usable, 1 if something else fails.";

/// Run a command, and ask a policy before each program that it starts
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "rampart preload [OPTIONS] -- COMMAND [ARGS]..."
)]
pub struct Arguments {
    /// What a verdict leads to
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

    /// Name of the agent, for the policy and the audit
    #[arg(long, value_name = "NAME", default_value = "preload", help_heading = "Names")]
    agent: OsString,
    /// Name of this run, for the policy and the audit [default: preload-<pid>]
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
    /// Use a server of this run's own, which has each decision on the disk before the
    /// command may run; otherwise a crash may lose the audit's last moment
    #[arg(long, conflicts_with_all = ["port", "url", "token"], help_heading = "Server")]
    audit_sync: bool,
    #[arg(
        long,
        value_name = "URL",
        help = "Use this server: http://HOST[:PORT] or unix:///PATH",
        help_heading = "Server"
    )]
    url: Option<String>,
    #[arg(
        long,
        value_name = "T",
        help = "Token to show to the server; others can see it in the list of processes, \
            which they cannot with RAMPART_TOKEN",
        help_heading = "Server"
    )]
    token: Option<String>,

    /// Have the library say on stderr what it does
    #[arg(long, help_heading = "Diagnosis")]
    debug: bool,

    /// The command to guard, with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Becomes the command.
///
/// # Errors
/// The command could not be run, or not be guarded.
pub fn run(arguments: &Arguments) -> Result<std::convert::Infallible, Failure> {
    let home = Home::locate()?;
    let library = library::find(&home)?;
    let server = if arguments.mode == Mode::Disabled {
        Server::unasked(library)?
    } else {
        match external(arguments)? {
            Some(endpoint) => Server::external(&endpoint, arguments, &home, library)?,
            None => Server::embedded(arguments, &home, &library)?,
        }
    };
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
    }
    .enter();
    replace_process(&arguments.command)
}

/// The server that was decided for.
struct Server {
    url: Option<String>,
    token: Option<Token>,
    address: Option<SocketAddr>,
    library: PathBuf,
}

impl Server {
    fn unasked(library: PathBuf) -> Result<Self, Failure> {
        Ok(Self { url: None, token: None, address: None, library: listable(library)? })
    }

    fn external(
        endpoint: &Endpoint,
        arguments: &Arguments,
        home: &Home,
        library: PathBuf,
    ) -> Result<Self, Failure> {
        let library = listable(library)?;
        let address = endpoint.resolve()?;
        let token = match named_token(arguments)? {
            Some(token) => Some(token),
            // Only a server that is this user's own may see this user's token.
            None if is_own(arguments, endpoint) => Token::read_if_there(&home.token())?,
            None => None,
        };
        if !endpoint.is_reachable(address) {
            let consequence = if arguments.fail_open {
                "everything runs unchecked"
            } else {
                "everything is refused"
            };
            say(format!("no server answers at {}: until one does, {consequence}", endpoint.url()));
        }
        Ok(Self { url: Some(endpoint.url().to_owned()), token, address, library })
    }

    fn embedded(arguments: &Arguments, home: &Home, library: &Path) -> Result<Self, Failure> {
        let policy = InForce::load(arguments.policy.as_deref(), home)?;
        let durability = Durability::synced(arguments.audit_sync);
        let embedded = embedded::start(policy, arguments.mode, &home.audit(), durability, library)?;
        Ok(Self {
            url: Some(embedded.url),
            token: Some(embedded.token),
            address: None,
            library: embedded.library,
        })
    }
}

/// The server that is there already, if one is to be used.
fn external(arguments: &Arguments) -> Result<Option<Endpoint>, Failure> {
    if arguments.policy.is_some() || arguments.audit_sync {
        return Ok(None);
    }
    if let Some(port) = arguments.port {
        return Ok(Some(Endpoint::local(port)));
    }
    if let Some(url) = &arguments.url {
        return Endpoint::parse(url).map(Some);
    }
    if let Some(url) = variable(URL)? {
        return Endpoint::parse(&url).map(Some);
    }
    let default = Endpoint::parse(DEFAULT_URL)?;
    Ok((arguments.token.is_some() || default.is_well()).then_some(default))
}

fn named_token(arguments: &Arguments) -> Result<Option<Token>, Failure> {
    match &arguments.token {
        Some(token) => Token::new(token).map(Some),
        None => variable("RAMPART_TOKEN")?.map(|token| Token::new(&token)).transpose(),
    }
}

fn is_own(arguments: &Arguments, endpoint: &Endpoint) -> bool {
    arguments.port.is_some() || endpoint.url() == DEFAULT_URL
}

/// A variable; an empty one is as good as none.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(OsString::into_string)
        .transpose()
        .map_err(|_| Failure::usage(format!("{name} is not UTF-8")))
}

/// Refuses a path that the loader would misread. Only a run with a directory of
/// its own can have a link to it.
fn listable(library: PathBuf) -> Result<PathBuf, Failure> {
    if library::can_be_listed(&library) {
        return Ok(library);
    }
    Err(Failure::usage(format!(
        "the loader cannot be given the library {}, whose path has a blank, a colon or a dollar \
         sign: put it elsewhere and name that in RAMPART_LIBRARY; nothing was run",
        library.display()
    )))
}

/// Runs the command in this process. Returns only if that fails.
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
