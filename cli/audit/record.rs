//! One record: what it says, and how it becomes a line.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use nix::unistd::Pid;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::event::{Compaction, Event, Host, Verdict, fingerprint, timestamp};
use super::mask::mask;
use crate::processes;

/// The longest command that is kept whole: the Go command reads no line above 2 MiB.
const COMMAND_BYTES: usize = 1024 * 1024;
/// How much of a longer one is kept.
const BEGINNING_BYTES: usize = 64 * 1024;

/// How many fields [`Record::write`] adds at most.
pub const ADDED: usize = 4;

/// A decision, or an event of the server's own. It borrows its strings.
pub struct Record<'a> {
    pub time: SystemTime,
    /// `exec` for a decision about a command, `server` for an event of the server's own.
    pub tool: &'static str,
    /// The ID in the answer.
    pub id: &'a str,
    pub agent: &'a str,
    pub session: &'a str,
    /// The process that asked, if known.
    pub pid: Option<i32>,
    /// The command line. Secrets are masked later, when it is written.
    pub command: Option<&'a str>,
    /// The command in that line that was refused, if the line has others.
    pub part: Option<&'a str>,
    /// Other fields of the question that are kept.
    pub fields: Vec<(&'static str, Said<'a>)>,
    pub verdict: &'static str,
    /// The policies that had a matching rule, the deciding one first.
    pub policies: Vec<&'a str>,
    /// How long the policy took, in microseconds.
    pub evaluation_us: u64,
    /// Masked as the command is: it may name a command.
    pub message: &'a str,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Said<'a> {
    Text(&'a str),
    Number(i64),
}

impl<'a> Record<'a> {
    /// An event of the server's own. `id` should begin with the event's name.
    pub fn notice(id: &'a str, name: &'a str, message: &'a str) -> Self {
        Self {
            time: SystemTime::now(),
            tool: "server",
            id,
            agent: "",
            session: "",
            pid: None,
            command: None,
            part: None,
            fields: vec![("event", Said::Text(name))],
            verdict: "log",
            policies: Vec::new(),
            evaluation_us: 0,
            message,
        }
    }

    /// Appends its line to `out`, after the line with the hash `previous`: with secrets masked, and
    /// with the parent of the process if that is known or it still runs. Returns the line's hash.
    pub fn write(
        self,
        host: &Host,
        parents: &mut Parents,
        previous: &str,
        out: &mut Vec<u8>,
    ) -> String {
        let mut request = self.fields;
        if let Some(pid) = self.pid {
            request.push(("pid", Said::Number(pid.into())));
            let is_told = request.iter().any(|(name, _)| *name == "parent");
            if !is_told && let Some(parent) = parents.of(pid) {
                request.push(("parent", Said::Number(parent.into())));
            }
        }
        let masked = self.command.map(mask);
        let mut compacted_fields = BTreeMap::new();
        if let Some(masked) = &masked {
            let kept = shortened(masked);
            if kept.len() < masked.len() {
                let whole = Value::from(masked.as_ref()).to_string();
                let compaction = Compaction {
                    original_json_bytes: whole.len(),
                    sha256: fingerprint(whole.as_bytes()),
                    disposition: "truncated".into(),
                };
                compacted_fields.insert("request.command".into(), compaction);
            }
            request.push(("command", Said::Text(kept)));
        }
        let part = self.part.map(mask);
        if let Some(part) = &part {
            request.push(("part", Said::Text(part)));
        }
        request.sort_unstable_by_key(|(name, _)| *name);
        let host = Host { hostname: &*host.hostname, os: &*host.os, arch: &*host.arch };
        let decision = Verdict {
            action: self.verdict,
            matched_policies: self.policies,
            evaluation_time_us: self.evaluation_us,
            message: &*mask(self.message),
        };
        let event = Event {
            id: self.id,
            timestamp: &*timestamp(self.time),
            agent: self.agent,
            session: self.session,
            host: Some(host),
            tool: self.tool,
            request: Request(request),
            decision,
            compacted_fields,
            ..Event::default()
        };
        event.chain(previous, out)
    }
}

/// The request, sorted by name.
#[derive(Default)]
struct Request<'a>(Vec<(&'static str, Said<'a>)>);

impl Serialize for Request<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// The parents of those who ask, each looked up once for all records of a moment.
#[derive(Default)]
pub struct Parents(HashMap<i32, Option<i32>>);

impl Parents {
    fn of(&mut self, process: i32) -> Option<i32> {
        *self.0.entry(process).or_insert_with(|| {
            // Most are gone, and to see that takes a fraction of the time.
            processes::is_there(Pid::from_raw(process)).then(|| processes::parent(process))?
        })
    }
}

fn shortened(command: &str) -> &str {
    if command.len() <= COMMAND_BYTES {
        return command;
    }
    let end = (0..=BEGINNING_BYTES).rev().find(|at| command.is_char_boundary(*at));
    &command[..end.unwrap_or(0)]
}
