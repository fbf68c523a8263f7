//! The verdict: one pass finds the rules that may hold, and the rules decide.
//!
//! A restricting rule holds if one part of the line meets it, a permitting rule if it permits
//! every command in the line; see the crate's documentation for the whole of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::time::SystemTime;

use crate::conditions::Aspect;
use crate::glob::Glob;
use crate::index::{Bits, Groups, Index};
use crate::memory::Memory;
use crate::parts::{By, Faith, Kind, Part, Parts, Role};
use crate::patterns::{Contained, Pattern};
use crate::programs::Verb;
use crate::rules::{Checked, Policy, Rule};
use crate::simple::ENDS_A_COMMAND;
use crate::visit::Visitor;
use crate::when::{OnDeed, When};
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
    /// Whether any is about what commands do.
    deeds: bool,
    /// A path for each pattern on paths.
    named: Vec<String>,
    /// Whether any is about the texts in commands.
    texts: bool,
    /// Whether any holds once, those included that are not in force.
    pub(crate) once: bool,
}

#[derive(Debug)]
struct Entry {
    policy: usize,
    rule: usize,
    about: About,
    /// The numbers of its conditions: its patterns on the text or on the deed, and then ...
    patterns: Range<usize>,
    /// ... the texts of `command_contains`; a rule without either has one of its own that is
    /// always worth a look.
    texts: Range<usize>,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Commands,
    Deeds,
}

impl Evaluator {
    pub(crate) fn new(checked: Checked) -> Self {
        let mut rules = Vec::new();
        let mut conditions = Vec::new();
        let mut owners = Vec::new();
        for (policy_index, policy) in
            checked.policies.iter().enumerate().filter(|(_, policy)| policy.enabled)
        {
            for (rule_index, rule) in policy.rules.iter().enumerate() {
                let Some(about) = about(policy, rule) else { continue };
                let first = conditions.len();
                let When { matches, contains, deeds, .. } = &rule.when;
                let on_deed = deeds.iter().find(|on| !on.not);
                let patterns = match about {
                    About::Commands => matches.as_deref().unwrap_or_default(),
                    About::Deeds => on_deed.map_or(&[][..], |on| &on.patterns),
                };
                // A host is a piece of what is spelled.
                let whole = on_deed.is_none_or(|on| on.of != Aspect::Domain);
                let needed = |glob: &Glob| small_literals(glob, whole);
                conditions.extend(
                    patterns.iter().map(|pattern| pattern.globs().map(needed).collect::<Vec<_>>()),
                );
                let middle = conditions.len();
                if about == About::Commands {
                    conditions.extend(
                        contains
                            .iter()
                            .flatten()
                            .map(|text| vec![vec![text.lower.to_ascii_lowercase()]]),
                    );
                }
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
        Self { checked, index, owners, rules, deeds, named, texts, once }
    }

    /// The verdict on one call.
    pub(crate) fn evaluate(&self, call: &Call<'_>, memory: &Memory) -> Decision {
        let decision = self.evaluate_sent(call, memory);
        match visible(call.command) {
            // What a terminal does not show may be nothing to what reads the command.
            Some(command) if decision.action < Action::Deny => {
                let visible = self.evaluate_sent(&Call { command: &command, ..*call }, memory);
                if visible.action > decision.action { visible } else { decision }
            }
            _ => decision,
        }
    }

    fn evaluate_sent(&self, call: &Call<'_>, memory: &Memory) -> Decision {
        let mut visitor = Visitor::new(call.command, call.cwd, call.home, self.deeds, self.texts);
        visitor.named = &self.named;
        visitor.line(call.command, call.form, call.argv0);
        if visitor.overflow {
            return Decision { unparsed: Some("too large".to_string()), ..refused(TOO_LARGE) };
        }
        self.judge(call, &visitor.parts, memory)
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
        parts.spell(Faith::FULL, [target]);
        for place in crate::spelling::places(target, call.cwd, call.home) {
            parts.spell(Faith::FULL, [place.as_str()]);
        }
        self.judge(call, &parts, memory)
    }

    fn judge(&self, call: &Call<'_>, parts: &Parts, memory: &Memory) -> Decision {
        let lower = parts.lower();
        let worth = if parts.len() > MANY_PARTS {
            Candidates::Each(self.index.candidates_of_each(&lower, &parts.ends()))
        } else {
            Candidates::Line(self.index.candidates(&lower))
        };
        let evaluation =
            Evaluation { evaluator: self, call, parts, lower: &lower, worth: &worth, memory };
        let holding = evaluation.holding();
        let decision = self.decide(&holding, parts);
        // What holds once is spent by the call that it decides.
        if let Some(because) = &decision.because
            && let Some(held) = holding
                .iter()
                .find(|held| held.policy.name == because.policy && held.number == because.rule)
            && held.rule.once
        {
            memory.spend(held.policy, held.rule);
        }
        decision
    }

    /// The strictest decides; of several, the first in the order of evaluation.
    fn decide(&self, holding: &[Holding<'_>], parts: &Parts) -> Decision {
        let of = |on_deeds: bool| holding.iter().filter(move |held| held.on_deeds == on_deeds);
        // To ask by a guess is no looser than what is done where nobody asks.
        let said = || of(false).filter(|held| !held.mark);
        let guess = said().any(|held| held.guess) && said().all(|held| held.guess);
        let default = self.checked.default_action;
        let on_text = said().map(|held| held.rule.action).max();
        let on_text = if guess { on_text.max(Some(default)) } else { on_text };
        // What only marks changes nothing but what is allowed without it.
        let marked = of(false).any(|held| held.mark) && on_text.unwrap_or(default) == Action::Allow;
        let on_text = if marked { Some(Action::Watch) } else { on_text };
        // What a rule says of a command's deeds makes the verdict no looser.
        let on_deeds = of(true).map(|held| held.rule.action).max();
        let action = on_text.unwrap_or(default).max(on_deeds.unwrap_or(Action::Allow));
        let decider = holding.iter().position(|held| {
            held.rule.action == action && (!held.on_deeds || Some(action) == on_deeds)
        });
        let decider = decider.filter(|_| on_text == Some(action) || on_deeds == Some(action));
        let unparsed = parts.unparsed.clone();
        let Some(at) = decider else {
            let message = if action >= Action::Ask { NO_RULE } else { "" };
            let matched = Vec::new();
            return Decision {
                action,
                message: message.to_string(),
                matched,
                because: None,
                unparsed,
            };
        };
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
                file: decider.policy.file.to_string(),
                of_project: false,
            }),
            unparsed,
        }
    }
}

/// The text without control characters and what they tell a terminal, where there are any.
fn visible(text: &str) -> Option<String> {
    let is_hidden = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n');
    // To look at every byte is faster than to look where to stop.
    if !text.bytes().fold(false, |found, byte| found | is_hidden(byte)) {
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
            visible.push(c);
        }
    }
    Some(visible)
}

/// A path for each pattern that restricts paths, such as `~/.ssh/id_` for `~/.ssh/id_*`.
fn named(policies: &[Policy]) -> Vec<String> {
    let rules = policies.iter().filter(|policy| policy.enabled).flat_map(|policy| &policy.rules);
    let on_paths =
        rules.filter(|rule| rule.action >= Action::Ask).flat_map(|rule| &rule.when.deeds);
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

/// The decision that no rule makes, to refuse.
pub(crate) fn refused(message: &str) -> Decision {
    Decision {
        action: Action::Deny,
        message: message.to_string(),
        matched: Vec::new(),
        because: None,
        unparsed: None,
    }
}

/// What a rule is about; `None` if nothing here ever meets it.
fn about(policy: &Policy, rule: &Rule) -> Option<About> {
    let on_deeds = !rule.when.deeds.is_empty();
    match (policy.about_commands, policy.verbs.is_empty()) {
        (true, _) if !on_deeds => Some(About::Commands),
        (_, false) if on_deeds || !policy.about_commands => Some(About::Deeds),
        _ => None,
    }
}

/// The conditions that are worth a look.
enum Candidates {
    /// Those of the line.
    Line(Bits),
    /// Those of each part by itself, where there are many.
    Each(Groups),
}

impl Candidates {
    fn line(&self) -> &Bits {
        match self {
            Self::Line(bits) => bits,
            Self::Each(groups) => &groups.line,
        }
    }

    fn of(&self, part: usize) -> &Bits {
        match self {
            Self::Line(bits) => bits,
            Self::Each(groups) => groups.of(part),
        }
    }

    /// The parts, of so many, that may meet one of the `conditions`, ascending; all of them
    /// where there are no conditions.
    fn parts(
        &self,
        conditions: &Range<usize>,
        len: usize,
    ) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let (some, all) = match self {
            Self::Each(groups) if !conditions.is_empty() => (groups.meeting(conditions), 0..0),
            _ => (Vec::new(), 0..len),
        };
        some.into_iter().chain(all)
    }
}

/// A rule that holds.
struct Holding<'a> {
    policy: &'a Policy,
    rule: &'a Rule,
    /// Whether it asks by a guess, which is no looser than what is done without it.
    guess: bool,
    /// Whether it only marks what is allowed without it.
    mark: bool,
    number: usize,
    found: Found<'a>,
    /// Whether it is about what the command does.
    on_deeds: bool,
}

/// What made a rule hold.
struct Found<'a> {
    pattern: &'a str,
    text: &'a str,
    /// Whether it holds by what is known to run, not by what may be meant, and, of a rule that
    /// permits, for all of the line.
    sure: bool,
}

/// One call before the rules.
struct Evaluation<'a> {
    evaluator: &'a Evaluator,
    call: &'a Call<'a>,
    parts: &'a Parts,
    lower: &'a str,
    worth: &'a Candidates,
    memory: &'a Memory,
}

impl<'a> Evaluation<'a> {
    /// The first rule of each policy that holds, in the order of evaluation.
    fn holding(&self) -> Vec<Holding<'a>> {
        let mut holding: Vec<Holding<'a>> = Vec::new();
        let mut settled = usize::MAX;
        let mut seen = usize::MAX;
        let evaluator = self.evaluator;
        let done = self.parts.deeds();
        for condition in self.worth.line().within(0..evaluator.owners.len()) {
            let place = evaluator.owners[condition];
            let entry = &evaluator.rules[place];
            if place == seen || entry.policy == settled {
                continue;
            }
            seen = place;
            let policy = &evaluator.checked.policies[entry.policy];
            // A path is named by many commands, and few do with it what the rule is about.
            if entry.about == About::Deeds && !policy.verbs.meets(done) {
                continue;
            }
            if !policy.agent.matches(self.call.agent) || !policy.session.matches(self.call.session)
            {
                continue;
            }
            let rule = &policy.rules[entry.rule];
            let judge = Judge {
                evaluation: self,
                policy,
                rule,
                when: &rule.when,
                earlier: &policy.rules[..entry.rule],
                entry,
                met_around: RefCell::default(),
                permits_part: RefCell::default(),
            };
            if let Some(found) = judge.holds() {
                let on_deeds = entry.about == About::Deeds && !self.is_one_deed();
                if on_deeds && rule.action == Action::Allow {
                    continue;
                }
                let default = evaluator.checked.default_action;
                // What only marks, or asks by a guess, leaves the policy's other rules to be
                // looked at.
                let guess = rule.action == Action::Ask && default > Action::Ask && !found.sure;
                let mark = rule.action == Action::Watch && !found.sure;
                let goes_on = guess || mark || (on_deeds && rule.action == Action::Watch);
                settled = if goes_on { settled } else { entry.policy };
                let number = entry.rule + 1;
                holding.push(Holding { policy, rule, guess, mark, number, found, on_deeds });
            }
        }
        holding
    }

    /// When the call is made; the clock is asked only where a rule asks.
    fn now(&self) -> SystemTime {
        self.call.now.unwrap_or_else(SystemTime::now)
    }

    /// Whether the call is about one deed by itself.
    fn is_one_deed(&self) -> bool {
        matches!(self.parts.part(0).kind, Kind::Deed(_))
    }

    /// Whether a rule is in force for the call, whatever the command is.
    fn is_in_force(&self, rule: &Rule, policy: &Policy) -> bool {
        rule.expires_at.is_none_or(|end| self.now() < end)
            && (!rule.once || !self.memory.is_spent(policy, rule))
            && rule.when.fits(self.call)
    }

    fn spellings(&self, part: usize) -> impl Iterator<Item = (&'a str, &'a str, Faith)> {
        self.parts.lower_of(self.lower, part)
    }
}

/// One rule before one call.
struct Judge<'b, 'a> {
    evaluation: &'b Evaluation<'a>,
    policy: &'a Policy,
    rule: &'a Rule,
    when: &'a When,
    /// The rules before it in its policy.
    earlier: &'a [Rule],
    entry: &'a Entry,
    /// What was found of the commands around deeds, of which many are around several: whether
    /// one meets the conditions on the text, ...
    met_around: RefCell<HashMap<usize, bool>>,
    /// ... and whether an earlier rule, by its place, permits it.
    permits_part: RefCell<HashMap<(usize, usize), bool>>,
}

impl<'a> Judge<'_, 'a> {
    fn holds(&self) -> Option<Found<'a>> {
        if !self.evaluation.is_in_force(self.rule, self.policy) {
            return None;
        }
        let found = match (self.entry.about, self.rule.action >= Action::Ask) {
            (About::Deeds, restricts) => self.deeds(restricts),
            (About::Commands, true) => self.restricts(),
            (About::Commands, false) => self.permits(),
        }?;
        // A rule that counts holds from its bound on, for what it would hold for.
        let counted = |bounds| {
            self.evaluation.memory.count(
                &self.policy.name,
                self.earlier.len() + 1,
                bounds,
                self.evaluation.now(),
            )
        };
        self.when.count.is_none_or(counted).then_some(found)
    }

    /// A restricting rule holds if a part meets it that nothing excuses. Where a part and
    /// a part of that part meet it, the inner one has to be excused.
    fn restricts(&self) -> Option<Found<'a>> {
        let parts = self.evaluation.parts;
        if self.is_about_all() && self.when.assigned.is_none() {
            return self.restricts_all();
        }
        let conditions = self.entry.patterns.start..self.entry.texts.end;
        let mut met_inside = vec![false; parts.len()];
        let mut guessed = None;
        // From the last to the first: what a part is made of comes before the part.
        for part in self.evaluation.worth.parts(&conditions, parts.len()).rev() {
            let Some(met) = self.met(part) else { continue };
            let Part { parent, kind, .. } = parts.part(part);
            let mut around = parent.filter(|_| *kind != Kind::Foreign);
            while let Some(outer) = around.filter(|outer| !met_inside[*outer]) {
                met_inside[outer] = true;
                around = parts.part(outer).parent;
            }
            if !met_inside[part] && !self.excused(part) {
                if !self.asks_where_the_default_denies() {
                    return Some(met);
                }
                if self.is_asked_about(part) {
                    return Some(Found { sure: true, ..met });
                }
                guessed.get_or_insert(Found { sure: false, ..met });
            }
        }
        guessed
    }

    fn asks_where_the_default_denies(&self) -> bool {
        self.rule.action == Action::Ask
            && self.evaluation.evaluator.checked.default_action > Action::Ask
    }

    /// Whether a part is what the rule asks about as a permission would be about it: as it is
    /// written, and run by the line or by what only runs it. To ask is to permit what a person
    /// permits, where the default denies.
    fn is_asked_about(&self, part: usize) -> bool {
        let parts = self.evaluation.parts;
        let around = |part: &usize| parts.part(*part).parent;
        let as_written = |part: usize| {
            // What only runs others is asked about where it is all of the line.
            let Part { kind, parent, .. } = parts.part(part);
            let runs_others = match kind {
                Kind::Wrapper => true,
                Kind::Whole => parent.is_some(),
                _ => false,
            };
            let sent = self.evaluation.call.command;
            // What is only guessed at has no spelling that excuses.
            let is_known = self.evaluation.spellings(part).any(|(.., faith)| faith.excuses);
            let is_in_it = |text: &str| is_known && sent.contains(text);
            let says = |pattern: &Pattern| {
                self.evaluation.spellings(part).any(|(_, text, faith)| {
                    let typed =
                        text == sent.trim() || !runs_others && (faith.excuses || is_in_it(text));
                    typed && pattern.matches(text)
                })
            };
            self.met(part).is_some()
                && (self.when.as_written.iter().any(says)
                    || self.when.matches.is_none()
                    || self.contained(part).is_some())
        };
        let by_the_line = |part: usize| {
            let mut inner = part;
            while let Some(outer) = parts.part(inner).parent {
                let Part { kind, role, .. } = parts.part(inner);
                if *role == Role::Substituted {
                    return true;
                }
                let is_run = *role == Role::Piece && *kind != Kind::Text;
                if is_run && parts.part(outer).kind == Kind::Command {
                    return false;
                }
                inner = outer;
            }
            true
        };
        std::iter::successors(Some(part), around).any(|part| as_written(part) && by_the_line(part))
    }

    /// A rule about every command has every command to be excused, wrappers as well.
    fn restricts_all(&self) -> Option<Found<'a>> {
        let of_commands = |part: &usize| {
            matches!(self.evaluation.parts.part(*part).kind, Kind::Command | Kind::Wrapper)
        };
        let mut commands = (0..self.evaluation.parts.len()).filter(of_commands).peekable();
        let excusable = !self.when.not_matches.is_empty() || !self.earlier.is_empty();
        let part = if commands.peek().is_some() && excusable {
            commands.find(|part| !self.excused(*part))?
        } else {
            0
        };
        let (_, text, _) = self.evaluation.spellings(part).next()?;
        Some(Found { pattern: first_pattern(self.when), text, sure: true })
    }

    /// A permitting rule holds if it permits every command in the line that does something
    /// of its own.
    fn permits(&self) -> Option<Found<'a>> {
        let parts = self.evaluation.parts;
        let found = || {
            let (_, text, _) = self.evaluation.spellings(0).next()?;
            Some(Found { pattern: first_pattern(self.when), text, sure: true })
        };
        let all =
            self.is_about_all() && self.when.not_matches.is_empty() && self.when.assigned.is_none();
        if all || self.evaluation.is_literally(self.when) {
            return found();
        }
        let commands =
            |kind: Kind| (0..parts.len()).filter(move |part| parts.part(*part).kind == kind);
        let own =
            if commands(Kind::Command).next().is_some() { Kind::Command } else { Kind::Wrapper };
        let readable = parts.unparsed.is_none() && commands(own).next().is_some();
        let as_written =
            |part: &usize| self.evaluation.spellings(*part).any(|(.., faith)| faith.permits);
        let mut texts = commands(Kind::Text)
            .filter(|_| self.policy.about_texts && self.rule.action == Action::Allow)
            .filter(as_written);
        let permitted = |part| {
            let says = |text: &str, faith: Faith| faith.permits && self.says(part, text);
            self.evaluation.meets(self.when, part, says)
        };
        if readable && commands(own).all(permitted) && texts.all(permitted) {
            found()
        } else if self.rule.action == Action::Watch && self.policy.about_texts && self.marks(own) {
            found().map(|found| Found { sure: false, ..found })
        } else {
            None
        }
    }

    /// Whether each command meets the rule, is run by one that does, or runs one: to mark what
    /// would be allowed unmarked permits nothing.
    fn marks(&self, own: Kind) -> bool {
        let parts = self.evaluation.parts;
        // What only runs another is marked by the variables alone that it sets.
        let runs = |part| match parts.part(part).kind {
            Kind::Command => true,
            Kind::Wrapper => self.when.assigned.is_some(),
            _ => false,
        };
        let meets = |part| self.evaluation.meets(self.when, part, |text, _| self.says(part, text));
        // A variable is marked wherever it is set.
        if self.when.assigned.is_some() && !self.when.is_about_words() {
            return (0..parts.len()).any(meets);
        }
        // A line that no shell would take is one command where it holds no operator.
        if parts.unparsed.is_some() && !self.evaluation.call.command.contains(ENDS_A_COMMAND) {
            let whole = |part: &usize| parts.part(*part).kind == Kind::Whole;
            return (0..parts.len()).filter(whole).any(meets);
        }
        let meets = |part| runs(part) && meets(part);
        let mut met: Vec<bool> = (0..parts.len()).map(meets).collect();
        let mut inner = met.clone();
        for part in 0..parts.len() {
            let outer = parts.part(part).parent.is_some_and(|outer| met[outer]);
            met[part] |= outer;
        }
        for part in (0..parts.len()).rev() {
            if let Some(outer) = parts.part(part).parent.filter(|_| inner[part]) {
                inner[outer] = true;
            }
        }
        let mut commands = (0..parts.len()).filter(|part| parts.part(*part).kind == own).peekable();
        commands.peek().is_some() && commands.all(|part| met[part] || inner[part])
    }

    /// Whether a deed meets the rule that nothing excuses.
    fn deeds(&self, restricts: bool) -> Option<Found<'a>> {
        let parts = self.evaluation.parts;
        let worth = self.evaluation.worth.parts(&self.entry.patterns, parts.len());
        worth.into_iter().find_map(|part| {
            let Kind::Deed(verb) = parts.part(part).kind else { return None };
            if !self.policy.verbs.holds(verb) {
                return None;
            }
            let worth = self.evaluation.worth.of(part).within(self.entry.patterns.clone());
            let worth: Vec<usize> =
                worth.map(|number| number - self.entry.patterns.start).collect();
            let found =
                self.evaluation.deed_met(&self.when.deeds, verb, part, restricts, Some(&worth))?;
            if !self.text_met_around(part) {
                return None;
            }
            let excused = restricts
                && self.earlier.iter().enumerate().any(|(place, rule)| {
                    rule.action < Action::Ask
                        && self.evaluation.is_in_force(rule, self.policy)
                        && rule.when.count.is_none()
                        && (!rule.when.is_about_text() || self.permitted_around(place, part))
                        && self
                            .evaluation
                            .deed_met(&rule.when.deeds, verb, part, false, None)
                            .is_some()
                });
            (!excused).then_some(found)
        })
    }

    /// Whether the command that does something meets the conditions on its text.
    fn text_met_around(&self, part: usize) -> bool {
        if !self.when.is_about_text() {
            return true;
        }
        let unconditional = !self.when.is_about_words() && self.when.assigned.is_none();
        let parent = |part: &usize| self.evaluation.parts.part(*part).parent;
        let (mut met, mut looked_at) = (false, Vec::new());
        // The innermost that meets them decides, as it does where there are no deeds.
        for part in std::iter::successors(parent(&part), parent) {
            if let Some(known) = self.met_around.borrow().get(&part) {
                met = *known;
                break;
            }
            looked_at.push(part);
            if unconditional || self.met(part).is_some() {
                met = !self.excused(part) && !self.excused_in_pieces(part);
                break;
            }
        }
        self.met_around.borrow_mut().extend(looked_at.into_iter().map(|part| (part, met)));
        met
    }

    /// Whether the command that does something is permitted by the rule at the `place`, and
    /// what it is run by, or the line as it is.
    fn permitted_around(&self, place: usize, part: usize) -> bool {
        let parts = self.evaluation.parts;
        let when = &self.earlier[place].when;
        let permitted = |part: usize| {
            let known = self.permits_part.borrow().get(&(place, part)).copied();
            known.unwrap_or_else(|| {
                let permitted = self.evaluation.permitted(when, part);
                self.permits_part.borrow_mut().insert((place, part), permitted);
                permitted
            })
        };
        let around = |part: &usize| parts.part(*part).parent;
        let mut commands = std::iter::successors(around(&part), around)
            .filter(|part| parts.part(*part).kind == Kind::Command)
            .peekable();
        commands.peek().is_some() && commands.all(permitted) || self.evaluation.is_literally(when)
    }

    /// Whether a command with several operands is excused with each of them.
    fn excused_in_pieces(&self, part: usize) -> bool {
        let parts = self.evaluation.parts;
        if parts.part(part).kind != Kind::Whole || self.when.not_matches.is_empty() {
            return false;
        }
        // What it is made of stands behind it, together.
        let mut pieces = (part + 1..parts.len())
            .take_while(|piece| parts.part(*piece).parent.is_some_and(|parent| parent >= part))
            .filter(|piece| parts.part(*piece).parent == Some(part))
            .filter(|piece| matches!(parts.part(*piece).kind, Kind::Command | Kind::Wrapper))
            .peekable();
        pieces.peek().is_some() && pieces.all(|piece| self.excused(piece))
    }

    /// Whether the rule's patterns leave out no command.
    fn is_about_all(&self) -> bool {
        match (&self.when.matches, &self.when.contains) {
            (Some(patterns), _) => patterns.iter().any(|pattern| pattern.written.is_everything()),
            (None, contains) => contains.is_none(),
        }
    }

    /// Whether a part, in any spelling, meets the conditions on commands: one of the patterns
    /// or of the texts, and the variables.
    fn met(&self, part: usize) -> Option<Found<'a>> {
        let kind = self.evaluation.parts.part(part).kind;
        let is_text = matches!(kind, Kind::Text | Kind::Foreign);
        if matches!(kind, Kind::Deed(_)) || is_text && !self.policy.about_texts {
            return None;
        }
        let assigned = self.when.assigned.as_ref().map(|names| {
            let of = |name: &&str| names.iter().any(|pattern| pattern.matches(name));
            let around = self.evaluation.parts.part(part).parent;
            self.evaluation
                .parts
                .assigned(part)
                .find(of)
                .or_else(|| self.evaluation.parts.assigned(around?).find(of))
        });
        let name = match assigned {
            Some(None) => return None,
            Some(Some(name)) => Some(name),
            None => None,
        };
        if !self.when.is_about_words() {
            let (_, text, _) = self.evaluation.spellings(part).next()?;
            return name.map(|_| Found { pattern: first_pattern(self.when), text, sure: true });
        }
        self.pattern_met(part).or_else(|| self.contained(part))
    }

    fn pattern_met(&self, part: usize) -> Option<Found<'a>> {
        self.patterns(part).find_map(|pattern| {
            let (_, text, faith) = self
                .said(part)
                .find(|(lower, text, _)| pattern.matches(self.cased(lower, text)))?;
            Some(Found {
                pattern: &pattern.source,
                text,
                sure: faith.excuses || text == self.evaluation.call.command,
            })
        })
    }

    fn contained(&self, part: usize) -> Option<Found<'a>> {
        if self.evaluation.parts.part(part).kind == Kind::Foreign {
            return None;
        }
        self.texts(part).find_map(|text| {
            let (_, spelling, _) = self.said(part).find(|(_, spelling, _)| text.is_in(spelling))?;
            Some(Found { pattern: &text.source, text: spelling, sure: true })
        })
    }

    /// Whether a text of the part meets a pattern or holds a text of the rule, if it has any.
    fn says(&self, part: usize, text: &str) -> bool {
        self.patterns(part).any(|pattern| pattern.matches(text))
            || self.texts(part).any(|contained| contained.is_in(text))
            || !self.when.is_about_words()
    }

    /// The rule's patterns that the part may meet.
    fn patterns(&self, part: usize) -> impl Iterator<Item = &'a Pattern> {
        self.worth(part, self.when.matches.as_deref(), &self.entry.patterns)
    }

    /// The rule's texts that the part may hold.
    fn texts(&self, part: usize) -> impl Iterator<Item = &'a Contained> {
        self.worth(part, self.when.contains.as_deref(), &self.entry.texts)
    }

    /// Of `all`, which have these `numbers` as conditions if the rule is about commands, those
    /// that are worth a look.
    fn worth<T>(
        &self,
        part: usize,
        all: Option<&'a [T]>,
        numbers: &Range<usize>,
    ) -> impl Iterator<Item = &'a T> {
        let all = all.unwrap_or_default();
        let (numbers, others) = match self.entry.about {
            About::Commands => (numbers.clone(), &[][..]),
            About::Deeds => (0..0, all),
        };
        let first = numbers.start;
        let worth = self.evaluation.worth.of(part).within(numbers);
        worth.map(move |number| &all[number - first]).chain(others)
    }

    /// The spellings that the policy is about. One that is about texts has patterns that were
    /// written for what is typed, and not for what a relative path is where the call is made:
    /// `rm -rf ~/**` is no word about `rm -rf node_modules` in a project at home.
    fn said(&self, part: usize) -> impl Iterator<Item = (&'a str, &'a str, Faith)> {
        let about_texts = self.policy.about_texts;
        self.evaluation
            .spellings(part)
            .filter(move |(.., faith)| !(about_texts && faith.by == By::Call))
    }

    /// The spelling that the rule's own patterns are compared with.
    fn cased<'t>(&self, lower: &'t str, text: &'t str) -> &'t str {
        if self.rule.action >= Action::Ask { lower } else { text }
    }

    /// Whether a part meets the patterns by what was written alone, of a policy that is about that.
    fn is_met_as_written(&self, part: usize) -> bool {
        let meets = |(lower, text, faith): (&str, &str, Faith)| {
            let mut patterns = self.patterns(part);
            faith.by == By::Itself && patterns.any(|it| it.matches(self.cased(lower, text)))
        };
        self.policy.about_texts && self.evaluation.spellings(part).any(meets)
    }

    /// Whether an exclusion, or a permitting rule that comes before, excuses the part.
    fn excused(&self, part: usize) -> bool {
        // What excuses the line excuses another reading of it.
        let Part { parent, kind, .. } = self.evaluation.parts.part(part);
        if let (Kind::Foreign, Some(line)) = (kind, parent)
            && self.excused(*line)
        {
            return true;
        }
        // The star of an exclusion for one command does not reach over a pipe.
        let whole = self.evaluation.parts.part(part).kind == Kind::Whole;
        let exclusions = self.when.not_matches.iter();
        let mut exclusions = exclusions.filter(|pattern| !whole || pattern.source.contains('|'));
        let as_it_runs = || self.evaluation.spellings(part).filter(|(_, _, faith)| faith.excuses);
        // What is refused as it was written is not excused by where the line has gone to.
        let counts = |by| by == By::Itself || !self.is_met_as_written(part);
        exclusions.any(|pattern| {
            as_it_runs().any(|(_, text, faith)| pattern.matches(text) && counts(faith.by))
        }) || self.earlier.iter().any(|rule| {
            rule.action < Action::Ask
                && rule.when.deeds.is_empty()
                && rule.when.count.is_none()
                && self.evaluation.is_in_force(rule, self.policy)
                && self.evaluation.permitted(&rule.when, part)
        })
    }
}

impl<'a> Evaluation<'a> {
    /// Whether a pattern without wildcards is the line as sent, whatever is in it.
    fn is_literally(&self, when: &When) -> bool {
        let sent = self.spellings(0).next().map(|(_, text, _)| text);
        let literal = |pattern: &Pattern| sent.is_some() && pattern.written.as_literal() == sent;
        when.contains.is_none()
            && when.not_matches.is_empty()
            && when.assigned.is_none()
            && when.matches.iter().flatten().any(literal)
    }

    /// Whether a part is permitted: as it will run it meets the conditions, and in no
    /// spelling an exclusion.
    fn permitted(&self, when: &When, part: usize) -> bool {
        self.meets(when, part, |text, faith| {
            faith.permits
                && (when.matches.iter().flatten().any(|pattern| pattern.matches(text))
                    || when.contains.iter().flatten().any(|contained| contained.is_in(text))
                    || !when.is_about_words())
        })
    }

    /// The same where a spelling has to be what `says` tells.
    fn meets(&self, when: &When, part: usize, says: impl Fn(&str, Faith) -> bool) -> bool {
        let excluded = |(lower, _, _): (&str, &str, Faith)| {
            when.not_matches.iter().any(|pattern| pattern.matches(lower))
        };
        let named = |names: &Vec<Glob>| {
            self.parts.assigned(part).any(|name| names.iter().any(|pattern| pattern.matches(name)))
        };
        when.assigned.as_ref().is_none_or(named)
            && !self.spellings(part).any(excluded)
            && self.spellings(part).any(|(_, text, faith)| says(text, faith))
    }

    /// Whether a deed meets conditions on deeds. To restrict, one meaning of it is enough, and
    /// only what is sure excuses it; to permit it is the other way round. `worth` has the
    /// patterns of the first condition that are worth a look, where that is known.
    fn deed_met(
        &self,
        conditions: &'a [OnDeed],
        verb: Verb,
        part: usize,
        restricts: bool,
        mut worth: Option<&[usize]>,
    ) -> Option<Found<'a>> {
        let (_, text, _) = self.spellings(part).next()?;
        let mut found = Found { pattern: "*", text, sure: true };
        for OnDeed { of, not, patterns } in conditions {
            let is_url = matches!(verb, Verb::Fetch | Verb::Run);
            if !not && (*of == Aspect::Path) == is_url {
                return None;
            }
            let worth = if *not { None } else { worth.take() };
            let met = self.spellings(part).find_map(|(lower, text, faith)| {
                if restricts == *not && !faith.excuses {
                    return None;
                }
                // Patterns that restrict are in small letters.
                let text = if restricts == *not { text } else { lower };
                let compared = if *of == Aspect::Domain { domain(text) } else { text };
                let pattern = match worth {
                    Some(worth) => worth
                        .iter()
                        .map(|number| &patterns[*number])
                        .find(|pattern| pattern.matches(compared)),
                    None => patterns.iter().find(|pattern| pattern.matches(compared)),
                };
                pattern.map(|pattern| (pattern, text))
            });
            match (met, not) {
                (Some((pattern, _)), false) => found.pattern = &pattern.source,
                (None, true) => {}
                _ => return None,
            }
        }
        Some(found)
    }
}

/// The host of a URL.
fn domain(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let end = host.rfind(':').filter(|at| {
        host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(']')
    });
    &host[..end.unwrap_or(host.len())]
}

fn first_pattern(when: &When) -> &str {
    match (&when.matches, &when.contains) {
        (Some(patterns), _) => patterns.first().map_or("*", |pattern| &pattern.source),
        (None, Some(texts)) => texts.first().map_or("*", |text| &text.source),
        (None, None) => "*",
    }
}
