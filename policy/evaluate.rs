//! The verdict: which rules hold for a command, and which of them decides.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};

use crate::glob::Glob;
use crate::parts::{Faith, Kind, Parts};
use crate::rules::{Checked, Pattern, Rule, When};
use crate::shell::{Taken, take_apart};
use crate::{Action, Because, Call, Decision};

/// Up to how many literals the search is built for speed at the cost of memory.
const FAST_LITERALS: usize = 1_000;
/// What is said of a line that is too large for any judgement.
const TOO_LARGE: &str = "The command is too large to be judged; run it in smaller pieces";

/// All rules, and which texts make one worth a look.
#[derive(Debug)]
pub(crate) struct Evaluator {
    pub(crate) checked: Checked,
    /// Policy and rule, in the order of evaluation.
    order: Vec<(usize, usize)>,
    search: Option<AhoCorasick>,
    /// For each literal the rules that have it, as places in `order`.
    users: Vec<Vec<usize>>,
    /// Rules that need no literal, as bits.
    always: Vec<u64>,
}

impl Evaluator {
    pub(crate) fn new(checked: Checked) -> Self {
        let mut order = Vec::new();
        let mut literals: Vec<String> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut users: Vec<Vec<usize>> = Vec::new();
        let mut always = Vec::new();
        for (policy_index, policy) in checked.policies.iter().enumerate() {
            if !policy.enabled || !policy.about_commands {
                continue;
            }
            for (rule_index, rule) in policy.rules.iter().enumerate() {
                let place = order.len();
                order.push((policy_index, rule_index));
                always.resize(place / 64 + 1, 0_u64);
                let needed = needed_literals(&rule.when);
                let Some(needed) = needed else {
                    always[place / 64] |= 1 << (place % 64);
                    continue;
                };
                for literal in needed {
                    let id = *places.entry(literal.clone()).or_insert_with(|| {
                        literals.push(literal);
                        users.push(Vec::new());
                        literals.len() - 1
                    });
                    users[id].push(place);
                }
            }
        }
        let kind = if literals.len() <= FAST_LITERALS {
            AhoCorasickKind::DFA
        } else {
            AhoCorasickKind::ContiguousNFA
        };
        let search = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .kind(Some(kind))
            .build(&literals)
            .ok();
        if search.is_none() {
            // Without the search every rule is looked at, which is slow and right.
            always.fill(u64::MAX);
        }
        Self {
            checked,
            order,
            search,
            users,
            always,
        }
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
        let mut worth = self.always.clone();
        if let Some(search) = &self.search {
            for found in search.find_overlapping_iter(parts.text()) {
                for &place in &self.users[found.pattern()] {
                    worth[place / 64] |= 1 << (place % 64);
                }
            }
        }
        self.decide(call, parts, &worth)
    }

    fn decide(&self, call: &Call<'_>, parts: Parts, worth: &[u64]) -> Decision {
        let mut decided = usize::MAX;
        let mut holding: Vec<(usize, usize, Found<'_>)> = Vec::new();
        for place in bits(worth).take_while(|place| *place < self.order.len()) {
            let (policy_index, rule_index) = self.order[place];
            let policy = &self.checked.policies[policy_index];
            if decided == policy_index || !policy.agent.matches(call.agent) {
                continue;
            }
            let rule = &policy.rules[rule_index];
            let earlier = &policy.rules[..rule_index];
            if let Some(found) = holds(rule, earlier, call, &parts) {
                decided = policy_index;
                holding.push((policy_index, rule_index, found));
            }
        }
        // The strictest decides; of several, the first in the order of evaluation.
        let action_of = |&(policy, rule, _): &(usize, usize, Found<'_>)| {
            self.checked.policies[policy].rules[rule].action
        };
        let strictest = holding.iter().map(action_of).max();
        let Some(action) = strictest else {
            let action = self.checked.default_action;
            let message = if action == Action::Deny {
                "No rule allows this command"
            } else {
                ""
            };
            return Decision {
                action,
                message: message.to_string(),
                matched: Vec::new(),
                because: None,
                unparsed: parts.unparsed,
            };
        };
        let first = holding
            .iter()
            .position(|held| action_of(held) == action)
            .unwrap_or(0);
        holding[..=first].rotate_right(1);
        let (policy_index, rule_index, found) = &holding[0];
        let policy = &self.checked.policies[*policy_index];
        let because = Because {
            policy: policy.name.clone(),
            rule: rule_index + 1,
            action,
            pattern: found.pattern.to_string(),
            part: found.text.to_string(),
        };
        let message = policy.rules[*rule_index].message.clone();
        let matched = holding
            .iter()
            .map(|(policy, ..)| self.checked.policies[*policy].name.clone())
            .collect();
        Decision {
            action,
            message,
            matched,
            because: Some(because),
            unparsed: parts.unparsed,
        }
    }
}

/// The literals of which a command must hold one if the rule is to hold; `None` if it
/// may hold without.
fn needed_literals(when: &When) -> Option<Vec<String>> {
    let literals: Vec<String> = match (&when.matches, &when.contains) {
        (Some(patterns), _) => patterns
            .iter()
            .flat_map(Pattern::globs)
            .filter(|glob| !glob.is_nothing())
            .map(Glob::longest_literal)
            .collect(),
        (None, Some(texts)) => texts.iter().map(|text| text.lower.clone()).collect(),
        (None, None) => return None,
    };
    // The search folds the case of ASCII alone.
    let usable = |literal: &String| !literal.is_empty() && literal.is_ascii();
    literals.iter().all(usable).then_some(literals)
}

/// The places of the bits that are set, ascending.
fn bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(index, &word)| {
        let mut left = word;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros() as usize;
            (left != 0).then(|| {
                left &= left - 1;
                index * 64 + bit
            })
        })
    })
}

/// What made a rule hold.
struct Found<'a> {
    pattern: &'a str,
    text: &'a str,
}

/// Whether `rule` holds; `earlier` are the rules before it in its policy.
fn holds<'a>(
    rule: &'a Rule,
    earlier: &[Rule],
    call: &Call<'a>,
    parts: &'a Parts,
) -> Option<Found<'a>> {
    let when = &rule.when;
    if when.foreign || !holds_for_session(when, call.session) {
        return None;
    }
    if when.matches.is_none() && when.contains.is_none() && when.not_matches.is_empty() {
        return Some(Found {
            pattern: "*",
            text: call.command,
        });
    }
    if matches!(rule.action, Action::Deny | Action::Ask) {
        restricts(when, earlier, call.session, parts)
    } else {
        permits(when, parts).then(|| Found {
            pattern: first_pattern(when),
            text: call.command,
        })
    }
}

fn holds_for_session(when: &When, session: &str) -> bool {
    let any = |patterns: &[Pattern]| {
        patterns
            .iter()
            .any(|pattern| pattern.written.matches(session))
    };
    when.sessions.as_deref().is_none_or(any) && !any(&when.not_sessions)
}

fn first_pattern(when: &When) -> &str {
    match (&when.matches, &when.contains) {
        (Some(patterns), _) => patterns.first().map_or("*", |pattern| &pattern.source),
        (None, Some(texts)) => texts.first().map_or("*", |text| &text.source),
        (None, None) => "*",
    }
}

/// A restricting rule holds if a part meets it that no exclusion excuses. What has to be
/// excused is the innermost part that meets it.
fn restricts<'a>(
    when: &'a When,
    earlier: &[Rule],
    session: &str,
    parts: &'a Parts,
) -> Option<Found<'a>> {
    let catch_all = when.matches.as_ref().is_none_or(|patterns| {
        patterns
            .iter()
            .any(|pattern| pattern.written.is_everything())
    }) && when.contains.is_none();
    let mut met_inside = vec![false; parts.len()];
    // From the last to the first: what a part is made of comes before the part.
    for part in (0..parts.len()).rev() {
        if catch_all && parts.part(part).kind == Kind::Whole {
            continue;
        }
        let met = met(when, parts, part);
        if let Some(parent) = parts.part(part).parent {
            met_inside[parent] |= met_inside[part] || met.is_some();
        }
        let Some(found) = met else { continue };
        if (met_inside[part] && !catch_all) || excused(when, earlier, session, parts, part) {
            continue;
        }
        return Some(found);
    }
    None
}

/// Whether a part, in any spelling, meets the conditions on commands.
fn met<'a>(when: &'a When, parts: &'a Parts, part: usize) -> Option<Found<'a>> {
    let contains = when.contains.as_ref().map(|texts| {
        texts.iter().find_map(|text| {
            parts
                .spellings(part)
                .find(|(spelling, _)| text.is_in(spelling))
                .map(|(spelling, _)| Found {
                    pattern: &text.source,
                    text: spelling,
                })
        })
    });
    if matches!(contains, Some(None)) {
        return None;
    }
    let Some(patterns) = &when.matches else {
        return contains.flatten().or_else(|| {
            parts
                .spellings(part)
                .next()
                .map(|(text, _)| Found { pattern: "*", text })
        });
    };
    patterns.iter().find_map(|pattern| {
        let mut spellings = parts.spellings(part);
        spellings
            .find(|(text, _)| pattern.matches(text))
            .map(|(text, _)| Found {
                pattern: &pattern.source,
                text,
            })
    })
}

/// Whether an exclusion, or a permitting rule that comes before, excuses the part.
fn excused(when: &When, earlier: &[Rule], session: &str, parts: &Parts, part: usize) -> bool {
    let by_exclusion = |(text, faith): (&str, Faith)| {
        faith.excuses && when.not_matches.iter().any(|pattern| pattern.matches(text))
    };
    parts.spellings(part).any(by_exclusion)
        || earlier.iter().any(|rule| {
            matches!(rule.action, Action::Allow | Action::Watch)
                && !rule.when.foreign
                && holds_for_session(&rule.when, session)
                && permitted(&rule.when, parts, part)
        })
}

/// A permitting rule holds if every command in the line is permitted by it.
fn permits(when: &When, parts: &Parts) -> bool {
    let everything = |patterns: &[Pattern]| {
        patterns
            .iter()
            .any(|pattern| pattern.written.is_everything())
    };
    if when.not_matches.is_empty()
        && when.contains.is_none()
        && when.matches.as_deref().is_some_and(everything)
    {
        return true;
    }
    if parts.unparsed.is_some() {
        return false;
    }
    let mut commands = (0..parts.len())
        .filter(|part| parts.part(*part).kind == Kind::Command)
        .peekable();
    commands.peek().is_some() && commands.all(|part| permitted(when, parts, part))
        || literally(when, parts)
}

/// Whether a pattern without wildcards is the line as sent.
fn literally(when: &When, parts: &Parts) -> bool {
    let sent = parts.spellings(0).next().map(|(text, _)| text);
    let literal = |pattern: &Pattern| {
        pattern
            .written
            .as_literal()
            .is_some_and(|text| Some(text) == sent)
    };
    when.contains.is_none()
        && when.not_matches.is_empty()
        && when.matches.iter().flatten().any(literal)
}

/// Whether a part is permitted: as it will run it meets the conditions, and in no
/// spelling of it or of what it is made of the exclusions.
fn permitted(when: &When, parts: &Parts, part: usize) -> bool {
    let excluded =
        |(text, _): (&str, Faith)| when.not_matches.iter().any(|pattern| pattern.matches(text));
    if parts.spellings(part).any(excluded) {
        return false;
    }
    let meets = |(text, faith): (&str, Faith)| {
        faith.permits
            && when
                .matches
                .as_ref()
                .is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(text)))
            && when
                .contains
                .as_ref()
                .is_none_or(|texts| texts.iter().any(|contained| contained.is_in(text)))
    };
    parts.spellings(part).any(meets)
}
