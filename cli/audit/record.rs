//! Entries as they come from the server. Masking and hashing is left to the writing thread, so that
//! answers do not wait for it.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::Value;

use super::event::{Compaction, Event, Host, Verdict, fingerprint};
use super::mask::mask;
use crate::processes;

/// The longest command that is kept whole: the Go command reads no line above 2 MiB.
const COMMAND_BYTES: usize = 1024 * 1024;
/// How much of a longer one is kept.
const BEGINNING_BYTES: usize = 64 * 1024;
/// Roughly the size of an entry without its command.
const ENTRY_BYTES: usize = 256;

/// A decision.
pub struct Record<'a> {
    /// The ID in the answer.
    pub id: &'a str,
    pub agent: &'a str,
    pub session: &'a str,
    /// The process that asked, if known.
    pub pid: Option<i32>,
    /// The command line. Secrets are masked later, when it is written.
    pub command: &'a str,
    /// Other fields of the question that are kept.
    pub fields: Vec<(&'static str, Value)>,
    pub verdict: &'a str,
    /// The policies that had a matching rule, the deciding one first.
    pub policies: &'a [String],
    /// How long the policy took, in microseconds.
    pub evaluation_us: u64,
    pub message: &'a str,
    pub mode: &'a str,
}

/// An entry to be written.
pub struct Entry {
    event: Event,
    pid: Option<i32>,
    command: Option<String>,
}

impl Entry {
    /// A decision.
    pub fn decision(record: Record<'_>) -> Self {
        let mut event = Event::at(SystemTime::now());
        record.id.clone_into(&mut event.id);
        record.agent.clone_into(&mut event.agent);
        record.session.clone_into(&mut event.session);
        "exec".clone_into(&mut event.tool);
        event.decision = Verdict {
            action: record.verdict.to_owned(),
            matched_policies: record.policies.to_vec(),
            evaluation_time_us: record.evaluation_us,
            message: record.message.to_owned(),
        };
        let fields = record.fields.into_iter().chain([("mode", record.mode.into())]);
        event.request.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        Self { event, pid: record.pid, command: Some(record.command.to_owned()) }
    }

    /// An event of the server's own.
    pub fn notice(name: &str, message: &str) -> Self {
        let mut event = Event::at(SystemTime::now());
        let mut id = [0; 8];
        // Without randomness IDs are not unique, which does no harm.
        let _ = getrandom::fill(&mut id);
        event.id = format!("{name}-{:016x}", u64::from_ne_bytes(id));
        "server".clone_into(&mut event.tool);
        event.request.insert("event".into(), name.into());
        "log".clone_into(&mut event.decision.action);
        message.clone_into(&mut event.decision.message);
        Self { event, pid: None, command: None }
    }

    /// An event that `count` programs of a session ran unchecked.
    pub fn missed(agent: &str, session: &str, count: u32, message: &str) -> Self {
        let mut entry = Self::notice("checks-missed", message);
        agent.clone_into(&mut entry.event.agent);
        session.clone_into(&mut entry.event.session);
        entry.event.request.insert("missed".into(), count.into());
        entry
    }

    /// Roughly its size in memory.
    pub fn bytes(&self) -> usize {
        ENTRY_BYTES + self.command.as_ref().map_or(0, String::len)
    }

    /// The event to write, with secrets masked and with the process's parent, if that can still be
    /// looked up.
    pub fn event(&self, host: &Host, parents: &mut Parents) -> Event {
        let mut event = self.event.clone();
        event.host = Some(host.clone());
        if let Some(pid) = self.pid {
            event.request.insert("pid".into(), pid.into());
            if let Some(parent) = parents.of(pid) {
                event.request.insert("parent".into(), parent.into());
            }
        }
        if let Some(command) = &self.command {
            let masked = mask(command);
            let kept = shortened(&masked);
            if kept.len() < masked.len() {
                let whole = Value::from(masked.as_ref()).to_string();
                let compaction = Compaction {
                    original_json_bytes: whole.len(),
                    sha256: fingerprint(whole.as_bytes()),
                    disposition: "truncated".into(),
                };
                event.compacted_fields.insert("request.command".into(), compaction);
            }
            event.request.insert("command".into(), kept.into());
        }
        event
    }
}

/// The parents of asking processes, each looked up once for a batch.
#[derive(Default)]
pub struct Parents(HashMap<i32, Option<i32>>);

impl Parents {
    fn of(&mut self, process: i32) -> Option<i32> {
        *self.0.entry(process).or_insert_with(|| processes::parent(process))
    }
}

fn shortened(command: &str) -> &str {
    if command.len() <= COMMAND_BYTES {
        return command;
    }
    let end = (0..=BEGINNING_BYTES).rev().find(|at| command.is_char_boundary(*at));
    &command[..end.unwrap_or(0)]
}
