//! Policies in YAML, and the verdict that they give on a command.
//!
//! ```
//! use rampart_policy::{Action, Call, PolicySet};
//!
//! let policies = PolicySet::starter();
//! let call = Call { agent: "preload", session: "s", command: "ls", cwd: None };
//! assert_eq!(policies.evaluate(&call).action, Action::Allow);
//! ```
#![forbid(unsafe_code)]

mod command;
mod error;
mod evaluate;
mod format;
mod glob;
mod index;
mod line;
mod parts;
mod rules;
mod shell;
mod spelling;
mod word;
mod wrappers;

use std::sync::Arc;

pub use error::{PolicyError, Problem};
pub use rules::{Policy, Rule};

use evaluate::Evaluator;

/// The policy that is in force where the user has written none.
pub const STARTER: &str = include_str!("starter.yaml");

/// One command that an agent wants to run, as the policy server was asked.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Name of the agent, from the request.
    pub agent: &'a str,
    /// Session of the agent, from the request.
    pub session: &'a str,
    /// The command line, as sent.
    pub command: &'a str,
    /// Working directory of the caller where it is known.
    pub cwd: Option<&'a str>,
}

/// What a policy wants done with a command, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Run it.
    Allow,
    /// Run it, and mark it in the audit.
    Watch,
    /// Refuse it until a human has approved.
    Ask,
    /// Refuse it.
    Deny,
}

/// The verdict of a [`PolicySet`] on one [`Call`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done.
    pub action: Action,
    /// Why, in the words of the rule that decided; empty where no rule did.
    pub message: String,
    /// Names of the policies that had a matching rule, the deciding one first.
    pub matched: Vec<String>,
    /// The rule that decided, if one did.
    pub because: Option<Because>,
    /// Why the line, or something in it, could not be taken apart, if it could not.
    pub unparsed: Option<String>,
}

impl Decision {
    /// Whether the command may run.
    #[must_use]
    pub fn allowed(&self) -> bool {
        matches!(self.action, Action::Allow | Action::Watch)
    }
}

/// The rule that decided, and what made it hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    /// Name of the policy.
    pub policy: String,
    /// Number of the rule in the policy, from 1.
    pub rule: usize,
    /// What the rule wants done.
    pub action: Action,
    /// The pattern that matched; `*` where the rule holds for every command.
    pub pattern: String,
    /// The part of the command line that it matched, in the spelling that it matched.
    pub part: String,
}

/// A policy file, read, checked and compiled.
#[derive(Debug, Clone)]
pub struct PolicySet {
    evaluator: Arc<Evaluator>,
}

impl PolicySet {
    /// Reads a policy file's text; `origin` is its name in error messages.
    ///
    /// # Errors
    /// Whatever is wrong with the text, with line and column.
    pub fn parse(source: &str, origin: &str) -> Result<Self, PolicyError> {
        let checked = rules::check(format::read(source, origin)?, origin)?;
        Ok(Self {
            evaluator: Arc::new(Evaluator::new(checked)),
        })
    }

    /// The built-in policy.
    ///
    /// # Panics
    /// Never: a test reads [`STARTER`].
    #[must_use]
    pub fn starter() -> Self {
        Self::parse(STARTER, "starter.yaml").expect("the starter policy is tested to be right")
    }

    /// The verdict on one call.
    #[must_use]
    pub fn evaluate(&self, call: &Call<'_>) -> Decision {
        self.evaluator.evaluate(call)
    }

    /// All policies in the order of evaluation, those that are not in force included.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.evaluator.checked.policies
    }

    /// What is done where no rule matches.
    #[must_use]
    pub fn default_action(&self) -> Action {
        self.evaluator.checked.default_action
    }

    /// What looks wrong in the file and is no error, in the order of the file.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.evaluator.checked.warnings
    }
}
