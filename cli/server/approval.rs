//! A question that waits for a person, and the reply, as they are on the wire: `GET /v1/approvals`
//! lists each as [`Waiting`], and `POST /v1/approvals/ID/resolve` with a [`Reply`] answers one.
//! [`crate::approvals`] is the client of both, for all servers of this user.

use serde::{Deserialize, Serialize};

/// A waiting question, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Unique among all servers of this user.
    pub id: String,
    pub command: String,
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
