//! The rules in force, compiled for evaluation: how those that may hold for a call are found.

use std::ops::Range;

use crate::conditions::Aspect;
use crate::glob::Glob;
use crate::index::Index;
use crate::memory::Memory;
use crate::parts::{Faith, Kind, Parts};
use crate::programs::Verb;
use crate::rules::{Checked, Policy, Rule};
use crate::verdict::{Evaluation, refused};
use crate::visit::Visitor;
use crate::{Action, Call, Decision};

/// What is said of a line that is too large for any judgement.
const TOO_LARGE: &str = "The command is too large to be judged; run it in smaller pieces";

/// All rules, and how to find those that are worth a look.
#[derive(Debug)]
pub(crate) struct Evaluator {
    pub(crate) checked: Checked,
    pub(crate) index: Index,
    /// For each condition the place in `rules` of the rule that it is of.
    pub(crate) owners: Vec<usize>,
    /// The rules in force, in the order of evaluation; a policy has all of its own here, or none.
    pub(crate) rules: Vec<Entry>,
    /// Whether any is about what commands do.
    deeds: bool,
    /// A path for each pattern on paths.
    named: Vec<String>,
    /// Whether any is about the texts in commands.
    texts: bool,
    /// The places of those that count calls.
    pub(crate) counting: Vec<usize>,
    /// Whether any holds once, those included that are not in force.
    pub(crate) once: bool,
}

/// A rule in force.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) policy: usize,
    pub(crate) rule: usize,
    pub(crate) about: About,
    /// The numbers of its conditions: its patterns on the text or on the deed, and then ...
    pub(crate) patterns: Range<usize>,
    /// ... the texts of `command_contains`; a rule without either has one of its own that is
    /// always worth a look.
    pub(crate) texts: Range<usize>,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Commands,
    Deeds,
}

impl Evaluator {
    pub(crate) fn new(checked: Checked) -> Self {
        let mut rules = Vec::new();
        let mut conditions = Vec::new();
        let mut owners = Vec::new();
        let is_in_force = |(_, policy): &(usize, &Policy)| policy.enabled && policy.is_reached();
        for (policy_index, policy) in checked.policies.iter().enumerate().filter(is_in_force) {
            for (rule_index, rule) in policy.rules.iter().enumerate() {
                let about = about(policy, rule);
                let first = conditions.len();
                let on_deed = rule.when.deeds.iter().find(|on| !on.not);
                let (patterns, texts) = match about {
                    About::Commands => {
                        (rule.when.matches.as_deref(), rule.when.contains.as_deref())
                    }
                    About::Deeds => (on_deed.map(|on| &*on.patterns), None),
                };
                // A host is a piece of what is spelled.
                let whole = on_deed.is_none_or(|on| on.of != Aspect::Domain);
                let needed = |glob: &Glob| small_literals(glob, whole);
                conditions.extend(
                    patterns.into_iter().flatten().map(|it| it.globs().map(needed).collect()),
                );
                let middle = conditions.len();
                let texts = texts.into_iter().flatten();
                conditions.extend(texts.map(|text| vec![vec![text.lower.to_ascii_lowercase()]]));
                let end = conditions.len();
                if first == end {
                    conditions.push(vec![Vec::new()]);
                }
                owners.resize(conditions.len(), rules.len());
                rules.push(Entry {
                    policy: policy_index,
                    rule: rule_index,
                    about,
                    patterns: first..middle,
                    texts: middle..end,
                });
            }
        }
        let index = Index::new(&conditions);
        let deeds = rules.iter().any(|entry| entry.about == About::Deeds);
        let named = named(&checked.policies);
        let texts = rules.iter().any(|entry| {
            entry.about == About::Commands && checked.policies[entry.policy].about_texts
        });
        let once = checked.policies.iter().flat_map(|policy| &policy.rules).any(|rule| rule.once);
        let counts =
            |entry: &Entry| checked.policies[entry.policy].rules[entry.rule].when.count.is_some();
        let counting = (0..rules.len()).filter(|place| counts(&rules[*place])).collect();
        Self { checked, index, owners, rules, deeds, named, texts, counting, once }
    }

    /// The verdict on one call.
    pub(crate) fn evaluate(&self, call: &Call<'_>, memory: &Memory) -> Decision {
        let decision = self.evaluate_sent(call, memory, true);
        match visible(call.command) {
            // What a terminal does not show may be nothing to what reads the command.
            Some(command) if decision.action < Action::Deny => {
                let visible =
                    self.evaluate_sent(&Call { command: &command, ..*call }, memory, false);
                if visible.action > decision.action { visible } else { decision }
            }
            _ => decision,
        }
    }

    /// The same for the command as it is; `counted` where it is a call of its own.
    fn evaluate_sent(&self, call: &Call<'_>, memory: &Memory, counted: bool) -> Decision {
        let mut visitor = Visitor::new(call.command, call.cwd, call.home, self.deeds, self.texts);
        visitor.named = &self.named;
        visitor.line(call.command, call.form, call.argv0);
        if visitor.overflow {
            return Decision { unparsed: Some("too large".to_string()), ..refused(TOO_LARGE) };
        }
        let evaluation = Evaluation::new(self, call, &visitor.parts, memory);
        if counted {
            evaluation.count();
        }
        evaluation.decide()
    }

    /// The verdict on one deed that is asked about by itself, as the tests of a file do.
    pub(crate) fn evaluate_deed(
        &self,
        call: &Call<'_>,
        verb: Verb,
        target: &str,
        memory: &Memory,
    ) -> Decision {
        let mut parts = Parts::with_capacity(target.len());
        parts.begin(None, Kind::Deed(verb));
        parts.spell(Faith::FULL, &[target]);
        for place in crate::spelling::places(target, call.cwd, call.home).iter() {
            parts.spell(Faith::FULL, &[place]);
        }
        let evaluation = Evaluation::new(self, call, &parts, memory);
        evaluation.count();
        evaluation.decide()
    }
}

/// What a rule of a policy that commands reach is about.
fn about(policy: &Policy, rule: &Rule) -> About {
    let on_deeds = !rule.when.deeds.is_empty() || !policy.about_commands;
    if on_deeds { About::Deeds } else { About::Commands }
}

/// A path for each pattern that restricts paths, such as `~/.ssh/id_` for `~/.ssh/id_*`.
fn named(policies: &[Policy]) -> Vec<String> {
    let rules = policies.iter().filter(|policy| policy.enabled).flat_map(|policy| &policy.rules);
    let on_paths = rules.filter(|rule| rule.action.restricts()).flat_map(|rule| &rule.when.deeds);
    let patterns =
        on_paths.filter(|on| on.of == Aspect::Path && !on.not).flat_map(|on| &on.patterns);
    let mut named: Vec<String> = patterns
        .filter(|pattern| pattern.source.starts_with(['/', '~']) && !pattern.source.contains('['))
        .map(|pattern| pattern.source.replace(['*', '?'], "").trim_end_matches('/').to_string())
        .filter(|path| path.len() > 1)
        .collect();
    named.sort_unstable();
    named.dedup();
    named
}

/// The literals of a pattern as the search looks for them, in small letters: with what stands
/// between spellings where the pattern is compared with `whole` ones.
fn small_literals(glob: &Glob, whole: bool) -> Vec<String> {
    let small = |literal: &String| match literal.to_ascii_lowercase() {
        literal if whole => literal,
        literal => literal.trim_matches('\0').to_string(),
    };
    glob.literals().iter().map(small).collect()
}

/// The text without control characters and what they tell a terminal, and with blanks for those
/// that only look like some, where there are any.
fn visible(text: &str) -> Option<String> {
    let is_hidden = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n');
    let looks_blank = |c: char| !c.is_ascii() && c.is_whitespace();
    // To look at every byte is faster than to look where to stop.
    let of = |(hidden, all): (bool, u8), byte: u8| (hidden | is_hidden(byte), all | byte);
    let (any_hidden, all) = text.bytes().fold((false, 0), of);
    if !any_hidden && (all.is_ascii() || !text.contains(looks_blank)) {
        return None;
    }
    let mut visible = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = rest.strip_prefix("\x1b[").and_then(|behind| {
            let numbers = behind.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            numbers.strip_prefix(|c: char| c.is_ascii_alphabetic())
        });
        rest = colour.unwrap_or(&rest[c.len_utf8()..]);
        if colour.is_none() && !(c.is_ascii() && is_hidden(c as u8)) {
            visible.push(if looks_blank(c) { ' ' } else { c });
        }
    }
    Some(visible)
}
