//! Finds an agent's daemon that was started unguarded. It would do the work of a guarded run
//! without the policy being asked.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::agents::{self, Agent, Daemon};
use crate::failure::{Failure, say};
use crate::mode::Mode;
use crate::processes;

/// Refuses a command that would use an unguarded daemon. Only warns in monitor mode, or if the
/// command does not use the daemon.
///
/// # Errors
/// [`Failure::usage`], which says how to go on.
pub fn check(command: &[OsString], mode: Mode) -> Result<(), Failure> {
    let Some(agent) = agents::started_by(command) else { return Ok(()) };
    let Some(told) = unguarded(agent) else { return Ok(()) };
    if agent.leaves_work_to_daemon(command) && mode == Mode::Enforce {
        return Err(Failure::usage(format!("{told}; nothing was run")));
    }
    say(told);
    Ok(())
}

/// The warning about an agent's unguarded daemon, if one runs.
pub fn unguarded(agent: &Agent) -> Option<String> {
    let process = find(agent)?;
    let Agent { name, daemon: Daemon { name: daemon, way_out, .. }, .. } = agent;
    Some(format!(
        "{name}'s {daemon} (process {process}) is not guarded, so what it does is not checked: \
         {way_out}"
    ))
}

/// The process ID of an agent's unguarded daemon with the same `HOME` as this process.
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
