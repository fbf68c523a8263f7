//! `rampart preload`: runs a command under the library, with all its descendants.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
#[cfg(target_os = "linux")]
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::execvp;
use rampart_core::host::Os;

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
use crate::run::memory_shortage::go_before_guard;
#[cfg(target_os = "linux")]
use crate::run::seal::{self, Judge, Manner, Plan, PolicyClient};
use crate::run::sealing::{self, Sealing};
#[cfg(target_os = "linux")]
use crate::server::InProcess;

mod arguments;
mod server;

pub use arguments::Arguments;
use server::Server;

/// Replaces this process with the command, or waits for it in a sealed run.
///
/// # Errors
/// The command cannot be run, or cannot be guarded.
pub fn run(arguments: &Arguments) -> Result<std::convert::Infallible, Failure> {
    let home = Home::locate()?;
    let library = library::find(&home).map_err(|failure| failure.and("nothing was run"))?;
    library::tell_of_other_writers(&library);
    if let (Os::MacOs, Some(program)) = (Os::HERE, arguments.command.first())
        && arguments.mode != Mode::Disabled
    {
        check_takes_library(program)?;
    }
    if arguments.mode != Mode::Disabled {
        daemons::check(&arguments.command, arguments.mode)?;
    }
    let choice = sealing::decide(arguments.seal, arguments.mode, &arguments.command)?;
    let sealing = choice.sealing();
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
        sealed: choice.setting(),
        refusal: arguments.refusal.into(),
        ask_ms: arguments.ask.map(|seconds| seconds * 1000),
    }
    .enter();
    if let Some(sealing) = sealing {
        return run_sealed(sealing, &server, &session, arguments);
    }
    #[cfg(target_os = "linux")]
    if server.is_of_run {
        go_before_guard();
    }
    replace_process(&arguments.command)
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
        go_before_guard();
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
    let shown = command_line(&[program.to_owned()]);
    let mut sentence = format!("cannot run {shown}: {}", error.desc());
    if command.get(1).is_some_and(|word| word == "--") {
        // As in `--ask 60 -- agent`.
        sentence
            .push_str("; an option's value is joined to it by `=`, and COMMAND stands after `--`");
    }
    Err(match error {
        Errno::ENOENT | Errno::ENOTDIR => Failure::not_found(sentence),
        _ => Failure::cannot_run(sentence),
    })
}
