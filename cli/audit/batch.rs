//! Records as they come from the server. Masking and hashing is left to the writing thread, so that
//! answers do not wait for it.
//!
//! All strings of a batch share one buffer: allocating each of them, and freeing it on the other
//! thread, took longer than an answer.

use std::ops::Range;
use std::time::SystemTime;

use super::record::{ADDED, Record, Said};

/// Roughly the size of a record without its strings.
const RECORD_BYTES: usize = 256;

/// The place of a string in the buffer.
type Span = Range<usize>;

/// Records to be written.
#[derive(Default)]
pub struct Batch {
    text: String,
    entries: Vec<Entry>,
    policies: Vec<Span>,
    fields: Vec<(&'static str, Field)>,
}

/// One record; the strings are in the buffer.
struct Entry {
    time: SystemTime,
    tool: &'static str,
    id: Span,
    agent: Span,
    session: Span,
    pid: Option<i32>,
    command: Option<Span>,
    part: Option<Span>,
    /// Which of the batch's fields are its own.
    fields: Range<usize>,
    verdict: &'static str,
    /// Which of the batch's policies are its own.
    policies: Range<usize>,
    evaluation_us: u64,
    message: Span,
}

enum Field {
    Text(Span),
    Number(i64),
}

impl Batch {
    /// A batch with one event of the server's own.
    pub fn of_event(event: &str, message: &str) -> Self {
        let mut batch = Self::default();
        batch.event(event, message);
        batch
    }

    /// Adds an event that is not a decision.
    pub fn event(&mut self, event: &str, message: &str) {
        self.record(Record::notice(&unique(event), event, message));
    }

    /// Adds that `count` programs of a session ran unchecked.
    pub fn missed(&mut self, agent: &str, session: &str, count: u32, message: &str) {
        let event = "checks-missed";
        let id = unique(event);
        let mut record = Record { agent, session, ..Record::notice(&id, event, message) };
        record.fields.push(("missed", Said::Number(count.into())));
        self.record(record);
    }

    /// Adds a record.
    pub fn record(&mut self, record: Record<'_>) {
        // A batch of one record allocates once.
        self.text.reserve(length(&record));
        let (first_field, first_policy) = (self.fields.len(), self.policies.len());
        for (name, said) in record.fields {
            let field = match said {
                Said::Text(text) => Field::Text(self.put(text)),
                Said::Number(number) => Field::Number(number),
            };
            self.fields.push((name, field));
        }
        for policy in record.policies {
            let policy = self.put(policy);
            self.policies.push(policy);
        }
        let entry = Entry {
            time: record.time,
            tool: record.tool,
            id: self.put(record.id),
            agent: self.put(record.agent),
            session: self.put(record.session),
            pid: record.pid,
            command: record.command.map(|command| self.put(command)),
            part: record.part.map(|part| self.put(part)),
            fields: first_field..self.fields.len(),
            verdict: record.verdict,
            policies: first_policy..self.policies.len(),
            evaluation_us: record.evaluation_us,
            message: self.put(record.message),
        };
        self.entries.push(entry);
    }

    /// The processes that asked, the last one first.
    pub fn askers(&self) -> impl Iterator<Item = i32> {
        self.entries.iter().rev().filter_map(|entry| entry.pid)
    }

    /// Adds all records of another.
    pub fn append(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
        } else {
            for at in 0..other.len() {
                self.record(other.get(at));
            }
        }
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Roughly the memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.entries.len() * RECORD_BYTES
    }

    /// The record with this index.
    pub fn get(&self, at: usize) -> Record<'_> {
        let entry = &self.entries[at];
        let text = |span: &Span| &self.text[span.clone()];
        let mut fields = Vec::with_capacity(entry.fields.len() + ADDED);
        fields.extend(self.fields[entry.fields.clone()].iter().map(|(name, field)| {
            let said = match field {
                Field::Text(span) => Said::Text(text(span)),
                Field::Number(number) => Said::Number(*number),
            };
            (*name, said)
        }));
        Record {
            time: entry.time,
            tool: entry.tool,
            id: text(&entry.id),
            agent: text(&entry.agent),
            session: text(&entry.session),
            pid: entry.pid,
            command: entry.command.as_ref().map(text),
            part: entry.part.as_ref().map(text),
            fields,
            verdict: entry.verdict,
            policies: self.policies[entry.policies.clone()].iter().map(text).collect(),
            evaluation_us: entry.evaluation_us,
            message: text(&entry.message),
        }
    }

    fn put(&mut self, text: &str) -> Span {
        let begin = self.text.len();
        self.text.push_str(text);
        begin..self.text.len()
    }
}

impl AsMut<Self> for Batch {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// The length of all strings of a record, in bytes.
fn length(record: &Record<'_>) -> usize {
    let fields = record.fields.iter().map(|(_, said)| match said {
        Said::Text(text) => text.len(),
        Said::Number(_) => 0,
    });
    let policies = record.policies.iter().map(|policy| policy.len());
    let others = [
        record.id,
        record.agent,
        record.session,
        record.message,
        record.command.unwrap_or(""),
        record.part.unwrap_or(""),
    ];
    fields.chain(policies).sum::<usize>() + others.map(str::len).iter().sum::<usize>()
}

/// A random ID that begins with the name of an event.
fn unique(event: &str) -> String {
    let mut id = [0; 8];
    // Without randomness IDs are not unique, which does no harm.
    let _ = getrandom::fill(&mut id);
    format!("{event}-{:016x}", u64::from_ne_bytes(id))
}
