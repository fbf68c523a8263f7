//! The verdict on one call: the rules that hold, and the decision that they make together.

use std::cell::RefCell;
use std::time::SystemTime;

use crate::evaluator::{About, Entry, Evaluator};
use crate::index::Candidates;
use crate::judge::Judge;
use crate::memory::Memory;
use crate::parts::{Faith, Kind, Parts};
use crate::scope::Rare;
use crate::{Action, Because, Call, Decision};

/// What is said where no rule matches and the default is to refuse.
const NO_RULE: &str = "No rule of the policy allows this command; ask the user to add one";

/// A rule that holds.
struct Holding<'a> {
    rule: Judge<'a>,
    found: Found<'a>,
    voice: Voice,
}

/// What made a rule hold.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) pattern: &'a str,
    pub(crate) text: &'a str,
    /// The part that it was found in.
    pub(crate) part: usize,
}

/// What the word of a rule that holds is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// It decides.
    Decides,
    /// It asks by a guess, which is no looser than what is done where nobody asks.
    Guesses,
    /// It only marks what is allowed without it.
    Marks,
    /// It is about what the command does, and makes the verdict no looser.
    OfDeeds,
}

/// Something that is asked of one rule and one part again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// Whether a part, or one around it, meets the rule's conditions on text.
    IsMet,
    /// Whether the rule permits a part.
    IsPermitted,
}

/// One call before the rules.
pub(crate) struct Evaluation<'a> {
    pub(crate) evaluator: &'a Evaluator,
    pub(crate) call: &'a Call<'a>,
    pub(crate) parts: &'a Parts,
    lower: String,
    pub(crate) worth: Candidates,
    pub(crate) memory: &'a Memory,
    /// What was found of the commands around deeds, of which many are around several.
    known: RefCell<Rare<(Question, usize, usize), bool>>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(
        evaluator: &'a Evaluator,
        call: &'a Call<'a>,
        parts: &'a Parts,
        memory: &'a Memory,
    ) -> Self {
        let lower = parts.lower();
        let worth = evaluator.index.candidates(&lower, parts);
        Self { evaluator, call, parts, lower, worth, memory, known: RefCell::default() }
    }

    /// The strictest rule decides; of several, the first in the order of evaluation.
    pub(crate) fn decide(&self) -> Decision {
        let holding = self.holding();
        let default = self.evaluator.checked.default_action;
        if holding.is_empty() {
            return self.by_default(default);
        }
        let most = |voice| {
            let of = holding.iter().filter(move |held| held.voice == voice);
            of.map(|held| held.rule.rule.action).max()
        };
        // Guesses alone make nothing looser.
        let guessed = most(Voice::Guesses);
        let on_text = most(Voice::Decides).or(guessed.map(|_| default)).max(guessed);
        let marks = on_text.unwrap_or(default) == Action::Allow;
        let on_text = on_text.max(most(Voice::Marks).filter(|_| marks));
        let said = on_text.max(most(Voice::OfDeeds));
        let action = on_text.unwrap_or(default).max(said.unwrap_or(Action::Allow));
        // Where the default is stricter than all that is said, no rule decides.
        let decides = |held: &Holding<'_>| said == Some(action) && held.rule.rule.action == action;
        let Some(at) = holding.iter().position(decides) else {
            return self.by_default(action);
        };
        let Holding { rule: Judge { policy, rule, entry, .. }, found, .. } = &holding[at];
        // A permission for once is spent by the call that it decides.
        if rule.once && action == Action::Allow {
            self.memory.spend(policy, rule);
        }
        let mut matched: Vec<String> =
            holding.iter().map(|held| held.rule.policy.name.clone()).collect();
        matched[..=at].rotate_right(1);
        Decision {
            action,
            message: rule.message.clone(),
            matched,
            because: Some(Because {
                policy: policy.name.clone(),
                rule: entry.rule + 1,
                action,
                pattern: found.pattern.to_string(),
                part: found.text.to_string(),
                command: self.command_of(found.part),
                file: policy.file.to_string(),
                of_project: false,
            }),
            unparsed: self.parts.unparsed.clone(),
        }
    }

    /// The command that a part is or belongs to, if that is not the line as it was sent.
    fn command_of(&self, part: usize) -> Option<String> {
        // What a command does is permitted by who permits the whole line.
        if matches!(self.parts.part(part).kind, Kind::Deed(_)) {
            return None;
        }
        let runs = |part: &usize| {
            matches!(self.parts.part(*part).kind, Kind::Command | Kind::Wrapper | Kind::Whole)
        };
        let around = |part: &usize| self.parts.part(*part).parent;
        let command = std::iter::successors(Some(part), around).find(runs)?;
        let (_, text, _) = self.spellings(command).next()?;
        let unquoted = |text: &str| text.replace(['\'', '"', '\\'], "");
        (unquoted(text) != unquoted(self.call.command.trim())).then(|| text.to_owned())
    }

    /// What no rule decides.
    fn by_default(&self, action: Action) -> Decision {
        let message = if action.restricts() { NO_RULE } else { "" };
        Decision { action, unparsed: self.parts.unparsed.clone(), ..refused(message) }
    }

    /// The first rule of each policy that holds, in the order of evaluation.
    fn holding(&self) -> Vec<Holding<'_>> {
        let mut holding = Vec::new();
        let (mut settled, mut settled_deeds) = (usize::MAX, usize::MAX);
        let mut seen = usize::MAX;
        for condition in self.worth.line.within(0..self.evaluator.owners.len()) {
            let place = self.evaluator.owners[condition];
            if place == seen || self.evaluator.rules[place].policy == settled {
                continue;
            }
            seen = place;
            let rule = Judge::new(self, place);
            let Judge { policy, entry, .. } = rule;
            if entry.about == About::Deeds && entry.policy == settled_deeds {
                continue;
            }
            if !policy.agent.matches(self.call.agent) || !policy.session.matches(self.call.session)
            {
                continue;
            }
            if let Some((found, voice)) = rule.holds() {
                let action = rule.rule.action;
                if voice == Voice::OfDeeds && action == Action::Allow {
                    continue;
                }
                // Behind what does not decide the policy's other rules are looked at; behind what
                // is said of deeds those on what the command says.
                match voice {
                    Voice::Decides => settled = entry.policy,
                    Voice::OfDeeds if action.restricts() => settled_deeds = entry.policy,
                    _ => {}
                }
                holding.push(Holding { rule, found, voice });
            }
        }
        holding
    }

    /// Counts the call for each rule that counts those of its tools, whoever makes them.
    pub(crate) fn count(&self) {
        let done = self.parts.deeds();
        let Evaluator { counting, rules, checked, .. } = self.evaluator;
        for Entry { policy, rule, about, .. } in counting.iter().map(|place| &rules[*place]) {
            let policy = &checked.policies[*policy];
            let is_one = match about {
                About::Commands => !self.is_one_deed(),
                About::Deeds => policy.verbs.meets(done),
            };
            if let Some(bounds) = policy.rules[*rule].when.count.filter(|_| is_one) {
                self.memory.count(&policy.name, rule + 1, bounds, self.now());
            }
        }
    }

    /// When the call is made; the clock is asked only where a rule asks.
    pub(crate) fn now(&self) -> SystemTime {
        self.call.now.unwrap_or_else(SystemTime::now)
    }

    /// Whether the call is about one deed by itself.
    pub(crate) fn is_one_deed(&self) -> bool {
        matches!(self.parts.part(0).kind, Kind::Deed(_))
    }

    /// The spellings of a part: in small letters, as they are, and how each may be used.
    pub(crate) fn spellings(&self, part: usize) -> impl Iterator<Item = (&str, &str, Faith)> {
        self.parts.lower_of(&self.lower, part)
    }

    /// The answer to a question about a rule, by its place, and a part, found once.
    pub(crate) fn known(
        &self,
        question: Question,
        rule: usize,
        part: usize,
        find: impl FnOnce() -> bool,
    ) -> bool {
        let key = (question, rule, part);
        let known = self.known.borrow().get(&key).copied();
        known.unwrap_or_else(|| {
            let found = find();
            self.known.borrow_mut().insert(key, found);
            found
        })
    }
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
