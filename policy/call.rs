//! A call that a policy is asked about, and the decision.

use std::time::SystemTime;

use crate::fields::Seen;

/// What a command is given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// A shell's text, which is parsed.
    #[default]
    Line,
    /// An argument list, written so that undoing the single quotes gives it back.
    Arguments,
}

impl Form {
    /// The form that the wire calls `word`; what it does not say is a line.
    #[must_use]
    pub fn from_word(word: Option<&str>) -> Self {
        if word == Some("argv") { Self::Arguments } else { Self::Line }
    }
}

impl<T: AsRef<str>> Seen<'_, T> for Form {
    fn of(field: Option<&T>) -> Self {
        Self::from_word(field.map(AsRef::as_ref))
    }
}

macro_rules! call {
    (
        body { $( $(#[$body_doc:meta])* $body:ident: $body_type:ident => $body_seen:ty $(, $body_use:ident)?; )* }
        params { $( $(#[$params_doc:meta])* $params:ident: $params_type:ident => $params_seen:ty $(, $params_use:ident)?; )* }
    ) => {
        /// One command that an agent wants to run, as the policy server was asked.
        #[derive(Debug, Clone, Copy, Default)]
        pub struct Call<'a> {
            /// The command line, as sent.
            pub command: &'a str,
            $( $(#[$body_doc])* pub $body: $body_seen, )*
            $( $(#[$params_doc])* pub $params: $params_seen, )*
            /// Home of whoever is guarded where it is known.
            pub home: Option<&'a str>,
            /// When; now where it is not said.
            pub now: Option<SystemTime>,
        }
    };
}

crate::fields!(call);

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

impl Action {
    /// Whether it keeps a command from running, and does not let it run.
    pub(crate) fn restricts(self) -> bool {
        self >= Self::Ask
    }
}

/// The verdict of a [`PolicySet`](crate::PolicySet) on one [`Call`].
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
        !self.action.restricts()
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
    /// The command in the line that this is or belongs to, as it was written but for quotes: who
    /// permits it in front of the rule permits the line, as far as the rule goes. `None` where it is
    /// the line itself, or the rule is about what commands do.
    pub command: Option<String>,
    /// The file that the policy is in, by the name that it was read by.
    pub file: String,
    /// Whether that is a project's own.
    pub of_project: bool,
}
