//! Policies as they are in force.

use std::sync::Arc;
use std::time::SystemTime;

use serde_saphyr::Location;

use crate::Action;
use crate::error::Problem;
use crate::format::TestEntry;
use crate::glob::Glob;
use crate::notify::Notify;
use crate::programs::Verbs;
use crate::when::When;

/// One policy.
#[derive(Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The name that its file was read by.
    pub file: Arc<str>,
    /// Its name.
    pub name: String,
    /// What its author says about it; may be empty.
    pub description: String,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// Its place in the order; the lowest comes first.
    pub(crate) priority: i64,
    pub(crate) enabled: bool,
    /// Whether it is about commands at all.
    pub(crate) about_commands: bool,
    /// Whether it is about the texts in commands as well.
    pub(crate) about_texts: bool,
    /// What of what commands do it is about.
    pub(crate) verbs: Verbs,
    pub(crate) agent: Glob,
    pub(crate) session: Glob,
    pub(crate) at: Location,
}

impl Policy {
    /// Whether it is about a tool that a command is here.
    pub(crate) fn is_reached(&self) -> bool {
        self.about_commands || !self.verbs.is_empty()
    }
}

/// One rule of a policy.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rule {
    /// What it wants done.
    pub action: Action,
    /// What it says to the agent; may be empty.
    pub message: String,
    pub(crate) when: When,
    /// Whether it holds for one call, then never again.
    pub(crate) once: bool,
    pub(crate) expires_at: Option<SystemTime>,
    /// When it was written, in its author's words.
    pub(crate) added: Option<String>,
    /// Who is told where it asks.
    pub(crate) webhook: Option<Notify>,
    pub(crate) at: Location,
}

impl Rule {
    /// Line of the file that it begins in, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.at.line()
    }
}

/// What a policy file says.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) default_action: Action,
    /// Whether the file says so.
    pub(crate) says_default: bool,
    /// In the order of evaluation.
    pub(crate) policies: Vec<Policy>,
    /// Who is told of decisions.
    pub(crate) notify: Option<Notify>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) tests: Vec<TestEntry>,
}

impl Checked {
    /// The policies of another file behind these. What is there by the same name stays; what
    /// is done where no rule holds is what the first file says that does.
    pub(crate) fn and(mut self, other: Self) -> Self {
        if !self.says_default {
            (self.default_action, self.says_default) = (other.default_action, other.says_default);
        }
        self.notify = self.notify.or(other.notify);
        let file =
            other.policies.first().map_or_else(String::new, |policy| policy.file.to_string());
        self.warnings.extend(
            other.warnings.into_iter().map(|warning| Problem {
                text: format!("{} (in {file})", warning.text),
                ..warning
            }),
        );
        for policy in other.policies {
            if let Some(own) = self.policies.iter().find(|own| own.name == policy.name) {
                let text = format!(
                    "the policy `{}` is in {} as well, which is the one in force; rename one (in {})",
                    policy.name, own.file, policy.file
                );
                self.warnings.push(Problem::new(policy.at, text));
            } else {
                self.policies.push(policy);
            }
        }
        self.policies.sort_by_key(|policy| policy.priority);
        self.tests.extend(other.tests);
        self
    }
}
