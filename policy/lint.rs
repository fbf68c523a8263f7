//! What is no error in a policy file, and still hardly what its author meant.

use crate::error::Problem;
use crate::rules::{Checked, Policy, Rule};

/// The same policies, with a warning of each such thing among those that there are.
pub(crate) fn linted(mut checked: Checked) -> Checked {
    // They are in the order of evaluation.
    checked.warnings.extend(checked.policies.iter().flat_map(about));
    checked.warnings.sort_by_key(|warning| (warning.line, warning.column));
    checked
}

fn about(policy: &Policy) -> Vec<Problem> {
    let warn = |text: &str| Problem::new(policy.at, format!("the policy `{}` {text}", policy.name));
    if !policy.enabled {
        return vec![warn(
            "is switched off, so that no rule of it holds; remove `enabled: false` to use it",
        )];
    }
    if !policy.is_reached() {
        return vec![warn("is about tools that no command is here, so that nothing reaches it")];
    }
    let mut found = Vec::new();
    let mut always: Option<usize> = None;
    for (index, rule) in policy.rules.iter().enumerate() {
        let number = index + 1;
        if let Some(first) = always {
            let text = format!(
                "rule {number} of `{}` is never reached, because rule {first} always holds; move it up",
                policy.name
            );
            found.push(Problem::new(rule.at, text));
        } else if let Some(why) = &rule.when.never {
            let text = format!("rule {number} of `{}` is met by no command: {why}", policy.name);
            found.push(Problem::new(rule.at, text));
        } else if rule.always_holds() {
            always = Some(number);
        }
        if rule.action.restricts() && rule.message.is_empty() {
            let text = format!(
                "rule {number} of `{}` has no message; say what to do instead, so that an agent does not try again",
                policy.name
            );
            found.push(Problem::new(rule.at, text));
        }
    }
    found
}

impl Rule {
    fn always_holds(&self) -> bool {
        self.when.is_absent() && !self.once && self.expires_at.is_none()
    }
}
