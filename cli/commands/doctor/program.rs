//! Tells how much the guard will see of a program, and why.

use std::ffi::{OsStr, OsString};
use std::fmt::{Display, Write as _};
use std::path::Path;

use rampart_core::coverage::Coverage;
use serde::Serialize;

use super::homebrew::{Workaround, instead};
use crate::command_line::command_line;
use crate::failure::Failure;
use crate::output;
use crate::program::{FileKind, Inspection, Step, find, look};
use crate::run::sealing::need_of;

/// Writes how much will be seen of the program that a command starts; returns whether that is
/// everything.
///
/// # Errors
/// There is no such program.
pub fn run(name: &OsStr, command: &[OsString], json: bool) -> Result<bool, Failure> {
    let path = find(name)?;
    let Inspection { coverage, steps } = look(&path).map_err(|error| {
        Failure::new(format!("cannot tell what {} is: {error}", path.display()))
    })?;
    let looked = Findings { coverage, need: need_of(command), steps };
    if json {
        output::json(&looked.report(&path))?;
    } else {
        output::text(&looked.explain(&path))?;
    }
    Ok(looked.is_whole())
}

/// The findings about a program, and what a run of it needs.
struct Findings {
    coverage: Option<Coverage>,
    /// Why the library alone does not cover it, or what it launches.
    need: Option<&'static str>,
    steps: Vec<Step>,
}

/// The findings as JSON.
#[derive(Serialize)]
struct Report<'l> {
    path: &'l Path,
    /// `null` if unknown.
    coverage: Option<&'static str>,
    ok: bool,
    steps: Vec<StepReport<'l>>,
    why: &'static str,
    consequence: &'static str,
    instead: Option<String>,
    /// Why the library alone does not cover it, if so.
    seal: Option<&'static str>,
}

#[derive(Serialize)]
struct StepReport<'l> {
    path: &'l Path,
    kind: &'static str,
    coverage: Option<&'static str>,
    interpreter: Option<&'l str>,
}

impl Findings {
    /// Whether the library sees everything.
    fn is_whole(&self) -> bool {
        self.coverage == Some(Coverage::Full) && self.need.is_none()
    }

    fn consequence(&self) -> &'static str {
        match self.coverage {
            Some(Coverage::Full) if self.need.is_some() => {
                "it is asked about when it starts, and so is what it launches; the library does \
                 not see what that starts itself"
            }
            Some(Coverage::Full) => {
                "it is asked about when it starts, and so is everything that it starts; not seen \
                 are programs started by a library that it loads with dlmopen or RTLD_DEEPBIND, or \
                 through a handle to the C library"
            }
            Some(_) => "it is asked about when it starts; what it starts itself is not seen",
            None => "it is asked about when it starts; whether what it starts is seen is not known",
        }
    }

    fn report<'l>(&'l self, path: &'l Path) -> Report<'l> {
        let step = |Step { path, what }: &'l Step| {
            let (kind, coverage, interpreter) = match what {
                FileKind::Program(coverage) => ("program", Some(coverage.word()), None),
                FileKind::Script(line) => ("script", None, Some(line.as_str())),
                FileKind::Unknown => ("unknown", None, None),
            };
            StepReport { path, kind, coverage, interpreter }
        };
        Report {
            path,
            coverage: self.coverage.map(Coverage::word),
            ok: self.is_whole(),
            steps: self.steps.iter().map(step).collect(),
            why: why(self.coverage),
            consequence: self.consequence(),
            instead: self.advice(path),
            seal: self.need,
        }
    }

    fn explain(&self, path: &Path) -> String {
        let word = self.coverage.map_or("unknown", Coverage::word);
        let mut text = format!("{word}: {}\n", path.display());
        let mut row = |name: &str, value: &dyn Display| {
            let _ = writeln!(text, "  {name:<8} {value}");
        };
        for Step { path, what } in &self.steps {
            if let FileKind::Script(line) = what {
                row("script", &format_args!("{} is run by {line}", path.display()));
            }
        }
        if let Some(Step { path: last, .. }) = self.steps.last().filter(|last| last.path != path) {
            row("runs", &last.display());
        }
        row("why", &why(self.coverage));
        row("so", &self.consequence());
        if let Some(why) = self.need {
            row("seal", &format_args!("{why}: `rampart preload` seals its runs"));
        }
        if let Some(advice) = self.advice(path) {
            row("instead", &advice);
        }
        text
    }

    /// What to start so that everything is seen.
    fn advice(&self, path: &Path) -> Option<String> {
        let protected = [Coverage::Sip, Coverage::Hardened, Coverage::Arm64e];
        if !self.coverage.is_some_and(|coverage| protected.contains(&coverage)) {
            return None;
        }
        let quoted = |path: &Path| command_line(&[path.as_os_str().to_owned()]);
        let last = self.steps.last()?;
        if last.path.file_name() == Some(OsStr::new("env")) && last.path != path {
            return Some(format!("start its interpreter yourself, with {} after it", quoted(path)));
        }
        let is_covered =
            |path: &Path| look(path).is_ok_and(|seen| seen.coverage == Some(Coverage::Full));
        Some(match instead(&last.path, is_covered)? {
            Workaround::Start(path) => format!("{} is seen in full", quoted(&path)),
            Workaround::Install(formula) => {
                format!("`brew install {formula}` has one that is seen in full")
            }
        })
    }
}

fn why(coverage: Option<Coverage>) -> &'static str {
    match coverage {
        Some(Coverage::Full) => "its loader loads the library",
        Some(Coverage::Sip) => "macOS protects it, and keeps the library out of it",
        Some(Coverage::Hardened) => "it is signed so that the library is kept out of it",
        Some(Coverage::Arm64e) => "it is an arm64e program, which loads only libraries of its kind",
        Some(Coverage::Go) => "it is a Go program, which starts others by system calls of its own",
        Some(Coverage::Static) => "it is linked statically, and has no loader that loads libraries",
        Some(Coverage::Setuid) => {
            "it runs with the rights of its owner or group, or has capabilities, so its loader \
             ignores the library"
        }
        Some(Coverage::OtherArchitecture) => {
            "it is built for another machine than the library, or another word size"
        }
        Some(Coverage::Reexec) => {
            "it restarts itself until its environment is clean, so the library stays out of it"
        }
        None => "it cannot be read, or is not a program",
    }
}
