//! Decides whether a run is sealed, that is, whether the kernel asks about what the library cannot
//! see.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum;
use nix::unistd::geteuid;
use rampart_core::coverage::Coverage;
use rampart_core::host::Os;
use rampart_core::settings::KNOWN_OPEN;

use crate::agents;
use crate::failure::{Failure, say};
use crate::mode::Mode;
use crate::program::coverage_of;
use crate::run::environment::variable;

/// Error numbers that no system call returns: above the kernel's own, up to `MAX_ERRNO`
/// (linux/err.h).
#[cfg(target_os = "linux")]
pub const MARKS: std::ops::RangeInclusive<u16> = 1024..=4095;
/// The variable that sets `--seal`.
const SEAL: &str = "RAMPART_SEAL";

/// The choices of `--seal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Seal {
    /// If the command needs it: an agent with its own sandbox, a static program
    Auto,
    /// Always: if it cannot be sealed, nothing is run
    On,
    /// Never
    Off,
}

/// How a run will be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// Whether `no_new_privs` is set, so that set-user-ID programs gain no rights.
    pub no_new_privs: bool,
    /// The error number by which the library recognises the run's filter.
    pub mark: u16,
}

/// Whether a run is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Sealed(Sealing),
    /// It is not. Whoever started it did not ask for that, nor was told what it means.
    Open,
    /// It is not, and whoever started it knows.
    KnownOpen,
}

impl Choice {
    pub fn sealing(self) -> Option<Sealing> {
        match self {
            Self::Sealed(sealing) => Some(sealing),
            Self::Open | Self::KnownOpen => None,
        }
    }

    /// The value of `RAMPART_SEALED`.
    pub fn setting(self) -> Option<String> {
        match self {
            Self::Sealed(sealing) => Some(sealing.mark.to_string()),
            Self::Open => None,
            Self::KnownOpen => Some(KNOWN_OPEN.to_owned()),
        }
    }
}

/// How to seal the run of a command. Reports what was decided if the command needs the seal.
///
/// # Errors
/// It has to be sealed and cannot be, or the variable's value is unknown.
pub fn decide(flag: Option<Seal>, mode: Mode, command: &[OsString]) -> Result<Choice, Failure> {
    let wanted = match flag {
        Some(seal) => seal,
        None => variable(SEAL)?.map_or(Ok(Seal::Auto), |word| named(&word))?,
    };
    if mode == Mode::Disabled {
        return Ok(Choice::KnownOpen);
    }
    if wanted == Seal::Off {
        tell_of_own_rights(command);
        return Ok(Choice::KnownOpen);
    }
    if wanted == Seal::On {
        let cannot =
            |why| Failure::usage(format!("this run cannot be sealed: {why}; nothing was run"));
        return try_out().map(Choice::Sealed).map_err(cannot);
    }
    let Some(why) = need_of(command) else {
        tell_of_own_rights(command);
        return Ok(Choice::Open);
    };
    match try_out() {
        Ok(sealing) => {
            let price =
                if sealing.no_new_privs { "; sudo gains no rights in this run" } else { "" };
            say(format_args!("{why}, so this run is sealed{price} (--seal=off turns that off)"));
            Ok(Choice::Sealed(sealing))
        }
        Err(_) if is_in_sealed_run() => {
            say(format_args!("{why}; the sealed run around this one checks it, by its own policy"));
            Ok(Choice::KnownOpen)
        }
        Err(fault) => {
            say(format_args!("{why}, but this run cannot be sealed: {fault}"));
            Ok(Choice::KnownOpen)
        }
    }
}

/// Why the library alone does not cover a command, or what its launchers start. `None` also where
/// there is no seal.
pub fn need_of(command: &[OsString]) -> Option<&'static str> {
    let program = command.first()?.as_os_str();
    let launched = agents::launched(command).filter(|launched| *launched != program);
    need(program).or_else(|| launched.and_then(need))
}

fn need(program: &OsStr) -> Option<&'static str> {
    if Os::HERE != Os::Linux {
        return None;
    }
    if let Some(why) = agents::named(program).and_then(|agent| agent.why) {
        return Some(why);
    }
    match coverage_of(program) {
        Some(Coverage::Static) => Some("a static program loads no library"),
        Some(Coverage::OtherArchitecture) => {
            Some("a program for another architecture cannot load the library")
        }
        Some(Coverage::Go) => Some("a Go program starts others by system calls of its own"),
        _ => None,
    }
}

/// Says if the command, or what its launchers start, has rights of its own, so that its loader leaves
/// the library out and takes it from the environment, too. Such a run is not sealed by itself, for
/// that would take those rights away. Root has them anyway, and loses nothing by its loader.
fn tell_of_own_rights(command: &[OsString]) {
    let has_rights = |program: &OsStr| coverage_of(program) == Some(Coverage::Setuid);
    let programs = command.first().map(OsString::as_os_str).into_iter();
    let mut programs = programs.chain(agents::launched(command));
    if !geteuid().is_root()
        && Os::HERE == Os::Linux
        && !is_in_sealed_run()
        && let Some(program) = programs.find(|program| has_rights(program))
    {
        let program = program.display();
        say(format_args!(
            "{program} has rights of its own, so its loader leaves the library out: what it starts runs \
             unchecked. With --seal it is asked about, and {program} gains no rights"
        ));
    }
}

fn named(word: &str) -> Result<Seal, Failure> {
    Seal::from_str(word, false)
        .map_err(|_| Failure::usage(format!("{SEAL} is {word:?}: it has to be auto, on or off")))
}

/// How a run could be sealed here.
///
/// # Errors
/// Why it could not, for a person.
#[cfg(target_os = "linux")]
pub fn try_out() -> Result<Sealing, String> {
    use crate::run::seal::{Requirement, may_read_hidden, probe};

    let cost = probe()?;
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(|error| error.to_string())?;
    // One of the error numbers that the kernel itself never returns.
    let mark = MARKS.start() + u16::from_ne_bytes(random) % (MARKS.end() - MARKS.start());
    let mark = mark & !1 | u16::from(may_read_hidden());
    Ok(Sealing { no_new_privs: cost == Requirement::NoNewPrivs, mark })
}

/// Whether this process is in a sealed run, whose kernel asks about what it starts.
#[cfg(target_os = "linux")]
pub fn is_in_sealed_run() -> bool {
    crate::run::seal::is_in_sealed_run()
}

/// Whether this process is in a sealed run: never, on this system.
#[cfg(not(target_os = "linux"))]
pub fn is_in_sealed_run() -> bool {
    false
}

/// How a run could be sealed here.
///
/// # Errors
/// Why it could not, for a person.
#[cfg(not(target_os = "linux"))]
pub fn try_out() -> Result<Sealing, String> {
    Err("only Linux can seal a run".to_owned())
}
