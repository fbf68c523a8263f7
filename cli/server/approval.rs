//! A question that waits for a person, and the reply, as they are on the wire: `GET /v1/approvals`
//! lists each as [`Waiting`], and `POST /v1/approvals/ID/resolve` with a [`Reply`] answers one.
//! [`crate::approvals`] is the client of both, for all servers of this user.

use serde::{Deserialize, Serialize};

use crate::terminal::harmless;

/// A waiting question, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Unique among all servers of this user.
    pub id: String,
    pub command: String,
    /// The command in that line that the question is about, if the line has others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    #[serde(default)]
    pub agent: String,
    #[serde(default)]
    pub session: String,
    #[serde(default)]
    pub cwd: Option<String>,
    /// The process that asked.
    #[serde(default)]
    pub pid: Option<i32>,
    /// The reason, in the policy's words.
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub policy: Option<String>,
    /// How long it has waited, and how long it still will, in milliseconds.
    #[serde(default)]
    pub waited_ms: u64,
    #[serde(default)]
    pub left_ms: u64,
}

impl Waiting {
    /// What the question is about: what a person reads first, and what a rule is written for.
    pub fn asked(&self) -> &str {
        self.part.as_deref().unwrap_or(&self.command)
    }

    /// The line that this stands in, if that has others.
    pub fn around(&self) -> Option<String> {
        self.part.as_ref().map(|_| shortened(&harmless(&self.command)))
    }

    /// What the question is about, with a word about the line that it stands in.
    pub fn shown(&self) -> String {
        let more = if self.part.is_some() { " (in a longer line)" } else { "" };
        format!("{}{more}", harmless(self.asked()))
    }
}

/// How much of the line around a command is shown, in characters: of its beginning and of its end,
/// where codex has what its model asked for.
const BEGIN: usize = 300;
const END: usize = 1200;

/// A line, of which the middle is left out if it is very long.
fn shortened(line: &str) -> String {
    let mut chars = line.char_indices();
    let (Some((begin, _)), Some((end, _))) = (chars.nth(BEGIN), chars.nth_back(END)) else {
        return line.to_owned();
    };
    let count = line[begin..end].chars().count();
    format!(
        "{} … {count} characters more: rampart pending --json … {}",
        &line[..begin],
        &line[end..]
    )
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub approved: bool,
    /// For how long an approval holds.
    #[serde(default)]
    pub scope: Scope,
    /// What the agent is told if denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// For how long an approval holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// For this question, and for the commands in it when its shell starts them.
    #[default]
    Once,
    /// For this command in this session, until the server ends.
    Session,
}
