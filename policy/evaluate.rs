//! The verdict: which rules hold for a command, and which of them decides.

use std::ops::Range;

use crate::conditions::{Pattern, When};
use crate::glob::Glob;
use crate::index::Index;
use crate::judge::{Candidates, Found, Judge};
use crate::parts::Parts;
use crate::rules::{Checked, Policy, Rule};
use crate::shell::{Taken, take_apart};
use crate::{Action, Because, Call, Decision};

/// From how many parts on the search is run for each part by itself.
const MANY_PARTS: usize = 16;
/// What is said of a line that is too large for any judgement.
const TOO_LARGE: &str = "The command is too large to be judged; run it in smaller pieces";
/// What is said where no rule matches and the default is to refuse.
const NO_RULE: &str = "No rule of the policy allows this command; ask the user to add one";

/// All rules, and how to find those that are worth a look.
#[derive(Debug)]
pub(crate) struct Evaluator {
    pub(crate) checked: Checked,
    index: Index,
    /// For each condition the place in `rules` of the rule that it is of.
    owners: Vec<usize>,
    /// The rules in force, in the order of evaluation.
    rules: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    policy: usize,
    rule: usize,
    /// The numbers of its conditions: the patterns of `command_matches`, ...
    patterns: Range<usize>,
    /// ... and the texts of `command_contains`; a rule without either has one of its own
    /// that is always worth a look.
    texts: Range<usize>,
}

impl Evaluator {
    pub(crate) fn new(checked: Checked) -> Self {
        let mut rules = Vec::new();
        let mut conditions = Vec::new();
        let mut owners = Vec::new();
        for (policy_index, policy) in checked.policies.iter().enumerate() {
            if !policy.enabled || !policy.about_commands {
                continue;
            }
            for (rule_index, rule) in policy.rules.iter().enumerate() {
                let first = conditions.len();
                let When { matches, contains, .. } = &rule.when;
                let of_globs = |pattern: &Pattern| pattern.globs().map(Glob::literals).collect();
                conditions.extend(matches.iter().flatten().map(of_globs));
                let middle = conditions.len();
                conditions
                    .extend(contains.iter().flatten().map(|text| vec![vec![text.lower.clone()]]));
                let end = conditions.len();
                if matches.is_none() && contains.is_none() {
                    conditions.push(vec![Vec::new()]);
                }
                owners.resize(conditions.len(), rules.len());
                rules.push(Entry {
                    policy: policy_index,
                    rule: rule_index,
                    patterns: first..middle,
                    texts: middle..end,
                });
            }
        }
        let index = Index::new(&conditions);
        Self { checked, index, owners, rules }
    }

    /// The verdict on one call.
    pub(crate) fn evaluate(&self, call: &Call<'_>) -> Decision {
        let Taken { parts, overflow } = take_apart(call.command, call.cwd);
        if overflow {
            return Decision {
                action: Action::Deny,
                message: TOO_LARGE.to_string(),
                matched: Vec::new(),
                because: None,
                unparsed: Some("too large".to_string()),
            };
        }
        let candidates = Candidates {
            line: self.index.candidates(parts.text()),
            parts: (parts.len() > MANY_PARTS).then(|| {
                (0..parts.len()).map(|part| self.index.candidates(parts.text_of(part))).collect()
            }),
        };
        let holding = self.holding(call, &parts, &candidates);
        self.decide(&holding, parts.unparsed.clone())
    }

    /// The first rule of each policy that holds, in the order of evaluation.
    fn holding<'a>(
        &'a self,
        call: &'a Call<'a>,
        parts: &'a Parts,
        candidates: &'a Candidates,
    ) -> Vec<Holding<'a>> {
        let mut holding: Vec<Holding<'a>> = Vec::new();
        let mut settled = usize::MAX;
        let mut seen = usize::MAX;
        for condition in candidates.line.within(0..self.owners.len()) {
            let place = self.owners[condition];
            let Entry { policy: policy_index, rule: rule_index, .. } = self.rules[place];
            if place == seen || policy_index == settled {
                continue;
            }
            seen = place;
            let policy = &self.checked.policies[policy_index];
            if !policy.agent.matches(call.agent) {
                continue;
            }
            let rule = &policy.rules[rule_index];
            let judge = Judge {
                when: &rule.when,
                earlier: &policy.rules[..rule_index],
                worth: candidates,
                patterns: self.rules[place].patterns.clone(),
                texts: self.rules[place].texts.clone(),
                call,
                parts,
            };
            if let Some(found) = judge.holds(rule.action) {
                settled = policy_index;
                holding.push(Holding { policy, rule, number: rule_index + 1, found });
            }
        }
        holding
    }

    /// The strictest decides; of several, the first in the order of evaluation.
    fn decide(&self, holding: &[Holding<'_>], unparsed: Option<String>) -> Decision {
        let Some(action) = holding.iter().map(|held| held.rule.action).max() else {
            let action = self.checked.default_action;
            let message = if action == Action::Deny { NO_RULE } else { "" };
            return Decision {
                action,
                message: message.to_string(),
                matched: Vec::new(),
                because: None,
                unparsed,
            };
        };
        let at = holding.iter().position(|held| held.rule.action == action).unwrap_or(0);
        let decider = &holding[at];
        let others = holding[..at].iter().chain(&holding[at + 1..]);
        let matched = std::iter::once(decider).chain(others);
        Decision {
            action,
            message: decider.rule.message.clone(),
            matched: matched.map(|held| held.policy.name.clone()).collect(),
            because: Some(Because {
                policy: decider.policy.name.clone(),
                rule: decider.number,
                action,
                pattern: decider.found.pattern.to_string(),
                part: decider.found.text.to_string(),
            }),
            unparsed,
        }
    }
}

/// A rule that holds.
struct Holding<'a> {
    policy: &'a Policy,
    rule: &'a Rule,
    number: usize,
    found: Found<'a>,
}
