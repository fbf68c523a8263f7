//! What a command is taken apart into, for people to see.

use crate::Call;
use crate::parts::Kind;
use crate::programs::Verb;
use crate::visit::Visitor;

/// What a call was taken apart into: all that rules are held against, whatever they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The parts, each before those that it is made of.
    pub parts: Vec<Part>,
    /// Why the line, or something in it, could not be taken apart, if it could not.
    pub unparsed: Option<String>,
}

/// A command, what it runs, or what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How deep it lies in others: 0 for the line itself, 1 for what the line is made of.
    pub depth: usize,
    /// What it is.
    pub what: What,
    /// Its spellings, as written first; a rule that restricts holds if one meets it. Those of
    /// a deed are the paths or the URL.
    pub spellings: Vec<String>,
}

/// What a [`Part`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// A line, a script or a pipeline, or a command with several operands: made of parts.
    Whole,
    /// A command that does something of its own.
    Command,
    /// A command that only runs others, and needs no permission of its own.
    Wrapper,
    /// A piece of a text in the command, between two operators: nothing runs it, and still
    /// policies about `exec` are held against it.
    Text,
    /// A file that is read.
    Reads,
    /// A file that is written.
    Writes,
    /// A file or folder that is deleted.
    Deletes,
    /// A URL that is fetched, or that something is sent to.
    Fetches,
    /// A file that is sent to another machine, or `env:`, the environment.
    Sends,
    /// Where code comes from that is run unread.
    RunsFrom,
}

/// Takes a call apart as every verdict on it does.
#[must_use]
pub fn explain(call: &Call<'_>) -> Explanation {
    let mut visitor = Visitor::new(call.command, call.cwd, call.home, true, true);
    visitor.line(call.command, call.form, call.argv0);
    let found = visitor.parts;
    let mut parts: Vec<Part> = Vec::with_capacity(found.len());
    for number in 0..found.len() {
        let part = found.part(number);
        parts.push(Part {
            depth: part.parent.map_or(0, |parent| parts[parent].depth + 1),
            what: match part.kind {
                Kind::Whole => What::Whole,
                Kind::Command => What::Command,
                Kind::Wrapper => What::Wrapper,
                Kind::Text | Kind::Foreign => What::Text,
                Kind::Deed(Verb::Read) => What::Reads,
                Kind::Deed(Verb::Write) => What::Writes,
                Kind::Deed(Verb::Delete) => What::Deletes,
                Kind::Deed(Verb::Fetch) => What::Fetches,
                Kind::Deed(Verb::Send) => What::Sends,
                Kind::Deed(Verb::Run) => What::RunsFrom,
            },
            spellings: found
                .lower_of(found.text(), number)
                .map(|(text, ..)| text.to_string())
                .collect(),
        });
    }
    let unparsed =
        if visitor.overflow { Some("too large".to_string()) } else { found.unparsed.clone() };
    Explanation { parts, unparsed }
}
