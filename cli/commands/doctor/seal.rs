//! Checks whether a run can be sealed here, and whether an agent needs that.

use std::ffi::OsStr;

use rampart_core::host::Os;
use serde::Serialize;

use super::Check;
use crate::agents;
use crate::failure::Failure;
use crate::output;
use crate::run::daemons;
use crate::run::sealing::{Sealing, is_in_sealed_run, try_out};

/// Whether this user can seal runs on this kernel; `None` on systems without seals.
pub fn check() -> Option<Check> {
    (Os::HERE == Os::Linux).then(|| match try_out() {
        Ok(sealing) => Check::ok("seal", price(sealing)),
        Err(_) if is_in_sealed_run() => Check::ok("seal", AROUND),
        Err(why) => Check::warning(
            "seal",
            format!("a run cannot be sealed here: {why}"),
            "what the library cannot see runs unchecked: static programs, sandboxes",
        ),
    })
}

const AROUND: &str = "a sealed run is around this process, and checks all that it starts";

fn price(sealing: Sealing) -> &'static str {
    if sealing.no_new_privs {
        "a run can be sealed; sudo and other set-user-ID programs gain no rights in it then"
    } else {
        "a run can be sealed, without side effects"
    }
}

#[derive(Serialize)]
struct Report<'r> {
    agent: &'r str,
    known: bool,
    why: Option<&'r str>,
    /// The warning about an unguarded daemon, if one runs.
    daemon: Option<&'r str>,
    seal: &'r str,
    ok: bool,
}

/// Writes what a run of this agent needs; returns whether it is available.
///
/// # Errors
/// Stdout cannot be written.
pub fn of_agent(name: &OsStr, json: bool) -> Result<bool, Failure> {
    let found = agents::named(name);
    let why = found.and_then(|agent| agent.why);
    let daemon = found.and_then(daemons::unguarded);
    let tried = try_out();
    let (is_sealed, seal) = match &tried {
        Ok(sealing) => (true, price(*sealing)),
        Err(_) if is_in_sealed_run() => (true, AROUND),
        Err(why) => (false, why.as_str()),
    };
    let ok = daemon.is_none() && (why.is_none() || is_sealed);
    let shown = name.to_string_lossy();
    if json {
        output::json(&Report {
            agent: &shown,
            known: found.is_some(),
            why,
            daemon: daemon.as_deref(),
            seal,
            ok,
        })?;
        return Ok(ok);
    }
    match why {
        Some(why) => {
            output::line(format_args!("{shown}: {why}"))?;
            let so = match tried {
                Ok(_) => "`rampart preload` seals its runs",
                Err(_) if is_sealed => "its runs here are sealed already",
                Err(_) => "it would run unseen",
            };
            output::line(format_args!("  so       {so}"))?;
            output::line(format_args!("  seal     {seal}"))?;
        }
        None => output::line(format_args!(
            "{shown}: not known to need more than the library; `rampart doctor -- PROGRAM` tells \
             what is seen of a program"
        ))?,
    }
    if let Some(daemon) = daemon {
        output::line(format_args!("  daemon   {daemon}"))?;
    }
    Ok(ok)
}
