//! The verdict: which rules hold for a command, and which of them decides.

use std::ops::Range;

use crate::glob::Glob;
use crate::index::{Bits, Index};
use crate::parts::{Faith, Kind, Parts};
use crate::rules::{Checked, Contained, Pattern, Policy, Rule, When};
use crate::shell::{Taken, take_apart};
use crate::{Action, Because, Call, Decision};

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
                conditions.extend(contains.iter().flatten().map(|text| vec![vec![text.lower.clone()]]));
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
        let candidates = self.index.candidates(parts.text());
        let holding = self.holding(call, &parts, &candidates);
        self.decide(&holding, parts.unparsed.clone())
    }

    /// The first rule of each policy that holds, in the order of evaluation.
    fn holding<'a>(&'a self, call: &Call<'a>, parts: &'a Parts, candidates: &'a Bits) -> Vec<Holding<'a>> {
        let mut holding: Vec<Holding<'a>> = Vec::new();
        let mut settled = usize::MAX;
        let mut seen = usize::MAX;
        for condition in candidates.within(0..self.owners.len()) {
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
                session: call.session,
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

/// What made a rule hold.
struct Found<'a> {
    pattern: &'a str,
    text: &'a str,
}

/// One rule before one command.
struct Judge<'a> {
    when: &'a When,
    /// The rules before it in its policy.
    earlier: &'a [Rule],
    /// The conditions that are worth a look, and which of them are this rule's.
    worth: &'a Bits,
    patterns: Range<usize>,
    texts: Range<usize>,
    session: &'a str,
    parts: &'a Parts,
}

impl<'a> Judge<'a> {
    fn holds(&self, action: Action) -> Option<Found<'a>> {
        if self.when.foreign || !fits_session(self.when, self.session) {
            return None;
        }
        let hopeless = |conditions: &Range<usize>| {
            !conditions.is_empty() && self.worth.within(conditions.clone()).next().is_none()
        };
        if hopeless(&self.patterns) || hopeless(&self.texts) {
            return None;
        }
        if matches!(action, Action::Deny | Action::Ask) { self.restricts() } else { self.permits() }
    }

    /// A restricting rule holds if a part meets it that nothing excuses. Where a part and
    /// a part of that part meet it, the inner one has to be excused.
    fn restricts(&self) -> Option<Found<'a>> {
        if self.is_about_all() && self.when.contains.is_none() {
            return self.restricts_all();
        }
        let mut met_inside = vec![false; self.parts.len()];
        // From the last to the first: what a part is made of comes before the part.
        for part in (0..self.parts.len()).rev() {
            let met = self.met(part);
            if let Some(parent) = self.parts.part(part).parent {
                met_inside[parent] |= met_inside[part] || met.is_some();
            }
            if met.is_some() && !met_inside[part] && !self.excused(part) {
                return met;
            }
        }
        None
    }

    /// A rule about every command has every command to be excused, wrappers as well.
    fn restricts_all(&self) -> Option<Found<'a>> {
        let mut commands = self.commands().peekable();
        let excusable = !self.when.not_matches.is_empty() || !self.earlier.is_empty();
        let part = if commands.peek().is_some() && excusable {
            commands.find(|part| !self.excused(*part))?
        } else {
            0
        };
        let (text, _) = self.parts.spellings(part).next()?;
        Some(Found { pattern: first_pattern(self.when), text })
    }

    /// A permitting rule holds if it permits every command in the line.
    fn permits(&self) -> Option<Found<'a>> {
        let found = || {
            let (text, _) = self.parts.spellings(0).next()?;
            Some(Found { pattern: first_pattern(self.when), text })
        };
        let all = self.is_about_all() && self.when.not_matches.is_empty() && self.when.contains.is_none();
        if all || self.is_literally() {
            return found();
        }
        let mut commands = self.commands().peekable();
        let readable = self.parts.unparsed.is_none() && commands.peek().is_some();
        if readable && commands.all(|part| permitted(self.when, self.parts, part)) { found() } else { None }
    }

    fn commands(&self) -> impl Iterator<Item = usize> {
        (0..self.parts.len()).filter(|part| self.parts.part(*part).kind == Kind::Command)
    }

    /// Whether the rule's patterns leave out no command.
    fn is_about_all(&self) -> bool {
        let patterns = self.when.matches.as_deref();
        patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.written.is_everything()))
    }

    /// Whether a pattern without wildcards is the line as sent, whatever is in it.
    fn is_literally(&self) -> bool {
        let sent = self.parts.spellings(0).next().map(|(text, _)| text);
        let literal = |pattern: &Pattern| sent.is_some() && pattern.written.as_literal() == sent;
        self.when.contains.is_none()
            && self.when.not_matches.is_empty()
            && self.when.matches.iter().flatten().any(literal)
    }

    /// Whether a part, in any spelling, meets the conditions on commands.
    fn met(&self, part: usize) -> Option<Found<'a>> {
        let contained = match &self.when.contains {
            Some(texts) => Some(self.contained(texts, part)?),
            None => None,
        };
        let Some(patterns) = &self.when.matches else { return contained };
        self.worth.within(self.patterns.clone()).find_map(|condition| {
            let pattern = &patterns[condition - self.patterns.start];
            let mut spellings = self.parts.spellings(part);
            let (text, _) = spellings.find(|(text, _)| pattern.matches(text))?;
            Some(Found { pattern: &pattern.source, text })
        })
    }

    fn contained(&self, texts: &'a [Contained], part: usize) -> Option<Found<'a>> {
        self.worth.within(self.texts.clone()).find_map(|condition| {
            let text = &texts[condition - self.texts.start];
            let (spelling, _) = self.parts.spellings(part).find(|(spelling, _)| text.is_in(spelling))?;
            Some(Found { pattern: &text.source, text: spelling })
        })
    }

    /// Whether an exclusion, or a permitting rule that comes before, excuses the part.
    fn excused(&self, part: usize) -> bool {
        // The star of an exclusion for one command does not reach over a pipe.
        let whole = self.parts.part(part).kind == Kind::Whole;
        let exclusions = self.when.not_matches.iter();
        let mut exclusions = exclusions.filter(|pattern| !whole || pattern.source.contains('|'));
        let as_it_runs = || self.parts.spellings(part).filter(|(_, faith)| faith.excuses);
        exclusions.any(|pattern| as_it_runs().any(|(text, _)| pattern.matches(text)))
            || self.earlier.iter().any(|rule| {
                matches!(rule.action, Action::Allow | Action::Watch)
                    && !rule.when.foreign
                    && fits_session(&rule.when, self.session)
                    && permitted(&rule.when, self.parts, part)
            })
    }
}

fn fits_session(when: &When, session: &str) -> bool {
    let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.written.matches(session));
    when.sessions.as_deref().is_none_or(any) && !any(&when.not_sessions)
}

fn first_pattern(when: &When) -> &str {
    match (&when.matches, &when.contains) {
        (Some(patterns), _) => patterns.first().map_or("*", |pattern| &pattern.source),
        (None, Some(texts)) => texts.first().map_or("*", |text| &text.source),
        (None, None) => "*",
    }
}

/// Whether a part is permitted: as it will run it meets the conditions, and in no
/// spelling an exclusion.
fn permitted(when: &When, parts: &Parts, part: usize) -> bool {
    let excluded = |(text, _): (&str, Faith)| when.not_matches.iter().any(|pattern| pattern.matches(text));
    let meets = |(text, faith): (&str, Faith)| {
        let matches = |patterns: &Vec<Pattern>| patterns.iter().any(|pattern| pattern.matches(text));
        let contains = |texts: &Vec<Contained>| texts.iter().any(|contained| contained.is_in(text));
        faith.permits
            && when.matches.as_ref().is_none_or(matches)
            && when.contains.as_ref().is_none_or(contains)
    };
    !parts.spellings(part).any(excluded) && parts.spellings(part).any(meets)
}
