//! Tells that an agent starts that the library alone does not cover, in a run that is not sealed:
//! one that was typed into a guarded shell, or that a script started.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::sync::{Mutex, PoisonError};

use rampart_core::host::Os;
use rampart_core::settings::KNOWN_OPEN;

use super::question::Question;
use crate::agents;
use crate::audit::Batch;
use crate::processes;
use crate::run_terminal::Terminal;

/// The event in the audit.
const EVENT: &str = "unsealed-agent";
/// How many agents of sessions are remembered; then all are forgotten.
const REMEMBERED: usize = 1024;

/// The agents of which it was told, with their sessions.
#[derive(Default)]
pub struct Unsealed(Mutex<HashSet<(&'static str, String)>>);

impl Unsealed {
    /// Tells of the program that `asker` is about to start, if it is such an agent and the first one in
    /// its session: in the audit, and, before it can draw a screen, on the run's terminal.
    pub fn look(&self, question: &Question<'_>, asker: Option<i32>, audit: &mut Batch) {
        let call = question.call();
        let Some(agent) = agents::named(program(call.command)) else { return };
        let Some(why) = agent.why.filter(|_| Os::HERE == Os::Linux) else { return };
        let is_known = question.by.is_some() || asker.is_some_and(is_known);
        if is_known {
            return;
        }
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() == REMEMBERED {
            told.clear();
        }
        if !told.insert((agent.name, call.session.to_owned())) {
            return;
        }
        let name = agent.name;
        let message = format!(
            "this run is not sealed, and {why}: what it starts there runs unchecked; instead, type \
             `rampart preload -- {name}`, or seal the run with --seal"
        );
        audit.event(EVENT, &message);
        if let Some(mut terminal) = asker.and_then(Terminal::of_run) {
            terminal.tell(&format!("rampart: {message}"));
        }
    }
}

/// The first word of a command.
fn program(command: &str) -> &OsStr {
    let (text, end) = command.strip_prefix('\'').map_or((command, ' '), |text| (text, '\''));
    OsStr::new(text.split(end).next().unwrap_or_default())
}

/// Whether a process is in a sealed run, or in one whose owner knows that it is not, or is `rampart
/// preload`, which says itself what there is to say.
fn is_known(process: i32) -> bool {
    let is_entry =
        |entry: &[u8]| entry.strip_prefix(b"RAMPART_SEALED=") == Some(KNOWN_OPEN.as_bytes());
    processes::has_entry(process, is_entry)
        || processes::words(process).first().is_some_and(|name| name.ends_with(b"rampart"))
        || processes::is_sealed(process)
}
