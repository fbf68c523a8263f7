//! A process of an agent that was started before, unguarded, and would do the work of a guarded
//! run: nothing of that work is asked about.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::agents::{self, Agent, Daemon};
use crate::failure::{Failure, say};
use crate::mode::Mode;
use crate::processes;

/// Refuses a command that would leave its work to a daemon that is not guarded, or tells of it
/// where verdicts lead to nothing. A daemon that the command does not use is told of, too.
///
/// # Errors
/// [`Failure::usage`], with the way out.
pub fn check(command: &[OsString], mode: Mode) -> Result<(), Failure> {
    let Some(agent) = agents::started_by(command) else { return Ok(()) };
    let Some(told) = unguarded(agent) else { return Ok(()) };
    if agent.leaves_work_to_daemon(command) && mode == Mode::Enforce {
        return Err(Failure::usage(format!("{told}; nothing was run")));
    }
    say(told);
    Ok(())
}

/// Tells of an agent's daemon that no run has, if there is one.
pub fn unguarded(agent: &Agent) -> Option<String> {
    let process = find(agent)?;
    let Agent { name, daemon: Daemon { name: daemon, way_out, .. }, .. } = agent;
    Some(format!(
        "{name}'s {daemon} (process {process}) is not guarded, and what is left to it is not asked \
         about: {way_out}"
    ))
}

/// The process of an agent's daemon that no run has, and that keeps house where this process
/// does.
fn find(agent: &Agent) -> Option<i32> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let mut found = None;
    processes::each_environment(|process, environment| {
        let value = |name: &[u8]| {
            environment.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
        };
        let is_here = value(b"HOME").is_none_or(|its| OsStr::from_bytes(its) == home);
        if found.is_none() && is_here {
            let words = processes::words(process);
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            if agent.has_daemon(&words) && !processes::is_guarded(process, &environment) {
                found = Some(process);
            }
        }
    });
    found
}
