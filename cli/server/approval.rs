//! A question that waits for a person, and the reply, for those who show them:
//! `GET /v1/approvals` lists each as [`Waiting`], and `POST /v1/approvals/ID/resolve` with a
//! [`Reply`] answers one. [`crate::approvals`] is the other end of both, for all servers of this
//! user at once.

use serde::{Deserialize, Serialize};

/// A question that waits, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// By which it is answered: no other question of any server of this user has it.
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
    /// Why it is asked, in the words of the policy.
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub policy: Option<String>,
    /// For how long it has waited, and will still, in milliseconds.
    #[serde(default)]
    pub waited_ms: u64,
    #[serde(default)]
    pub left_ms: u64,
}

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub approved: bool,
    /// For how long an approval holds.
    #[serde(default)]
    pub scope: Scope,
    /// What the agent is told where it is denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// For how long an approval holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// For this question, and what it starts by its own words.
    #[default]
    Once,
    /// For this command in this session, as long as the server runs.
    Session,
}
