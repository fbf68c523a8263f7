//! Whether one rule holds for one call: a restricting rule for one part that meets it, a
//! permitting rule for every command in the line, a rule on deeds for one deed.

use crate::Action;
use crate::evaluator::{About, Entry};
use crate::parts::{Kind, Part, Role};
use crate::patterns::Pattern;
use crate::rules::{Policy, Rule};
use crate::simple::ENDS_A_COMMAND;
use crate::verdict::{Evaluation, Found, Voice};
use crate::when::When;

/// One rule before one call.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) evaluation: &'a Evaluation<'a>,
    /// The rule's place in the order of evaluation.
    pub(crate) place: usize,
    pub(crate) entry: &'a Entry,
    pub(crate) policy: &'a Policy,
    pub(crate) rule: &'a Rule,
    pub(crate) when: &'a When,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(evaluation: &'a Evaluation<'a>, place: usize) -> Self {
        let entry = &evaluation.evaluator.rules[place];
        let policy = &evaluation.evaluator.checked.policies[entry.policy];
        let rule = &policy.rules[entry.rule];
        Self { evaluation, place, entry, policy, rule, when: &rule.when }
    }

    /// What makes the rule hold, if it does, and what its word is good for.
    pub(crate) fn holds(self) -> Option<(Found<'a>, Voice)> {
        // A path is named by many commands, and few do with it what the rule is about.
        let done = self.evaluation.parts.deeds();
        if self.entry.about == About::Deeds && !self.policy.verbs.meets(done) {
            return None;
        }
        if !self.is_in_force() {
            return None;
        }
        let found = match (self.entry.about, self.rule.action.restricts()) {
            (About::Deeds, _) => self.deeds(),
            (About::Commands, true) => self.restricts(),
            (About::Commands, false) => self.permits(),
        }?;
        let counted = |bounds| {
            let (policy, number) = (&self.policy.name, self.entry.rule + 1);
            self.evaluation.memory.is_counted(policy, number, bounds)
        };
        self.when.count.is_none_or(counted).then_some(found)
    }

    /// Whether it is in force for the call, whatever the command is.
    pub(crate) fn is_in_force(self) -> bool {
        let Self { evaluation, policy, rule, .. } = self;
        rule.expires_at.is_none_or(|end| evaluation.now() < end)
            && (!rule.once || !evaluation.memory.is_spent(policy, rule))
            && rule.when.fits(evaluation.call)
    }

    pub(crate) fn part(self, part: usize) -> &'a Part {
        self.evaluation.parts.part(part)
    }

    /// The parts of a kind, in order.
    fn of_kind(self, kind: Kind) -> impl Iterator<Item = usize> + Clone {
        (0..self.evaluation.parts.len()).filter(move |part| self.part(*part).kind == kind)
    }

    /// The parts around a part, the innermost first.
    pub(crate) fn around(self, part: usize) -> impl Iterator<Item = usize> {
        let around = move |part: &usize| self.part(*part).parent;
        std::iter::successors(around(&part), around)
    }

    /// Whether the rule's patterns leave out no command.
    fn is_about_all(self) -> bool {
        match (&self.when.matches, &self.when.contains) {
            (Some(patterns), _) => patterns.iter().any(|pattern| pattern.written.is_everything()),
            (None, contains) => contains.is_none(),
        }
    }

    /// A restricting rule holds if a part meets it that nothing excuses. Where a part and
    /// a part of that part meet it, the inner one has to be excused.
    #[inline(never)]
    fn restricts(self) -> Option<(Found<'a>, Voice)> {
        if self.is_about_all() && self.when.assigned.is_none() {
            let guesses = self.rule.action == Action::Ask && self.when.excludes_only;
            let voice = if guesses { Voice::Guesses } else { Voice::Decides };
            return self.restricts_all().map(|found| (found, voice));
        }
        let parts = self.evaluation.parts;
        // To ask is to permit what a person permits.
        let asks_to_permit = self.rule.action == Action::Ask;
        let conditions = self.entry.patterns.start..self.entry.texts.end;
        let mut met_inside = Vec::new();
        let mut guessed = None;
        // From the last to the first: what a part is made of comes before the part.
        for part in self.evaluation.worth.parts(&conditions, parts.len()).rev() {
            let Some(met) = self.met(part) else { continue };
            met_inside.resize(parts.len(), false);
            if self.part(part).kind != Kind::Foreign {
                for outer in self.around(part) {
                    if std::mem::replace(&mut met_inside[outer], true) {
                        break;
                    }
                }
            }
            if !met_inside[part] && !self.excused(part) {
                if !asks_to_permit || self.is_asked_about(part) {
                    return Some((met, Voice::Decides));
                }
                guessed.get_or_insert((met, Voice::Guesses));
            }
        }
        guessed
    }

    /// Whether a part is what the rule asks about as a permission would be about it: as it is
    /// written, and run by the line or by what only runs it.
    fn is_asked_about(self, part: usize) -> bool {
        let as_written = |part: usize| {
            // What only runs others is asked about where it is all of the line.
            let Part { kind, parent, .. } = self.part(part);
            let runs_others = match kind {
                Kind::Wrapper => true,
                Kind::Whole => parent.is_some(),
                _ => false,
            };
            let sent = self.evaluation.call.command;
            // What is only guessed at has no spelling that excuses.
            let is_known = self.spellings(part).any(|(.., faith)| faith.excuses);
            let is_in_it = |text: &str| is_known && sent.contains(text);
            let says = |pattern: &Pattern| {
                self.spellings(part).any(|(_, text, faith)| {
                    let is_written = faith.excuses || faith.permits || is_in_it(text);
                    let typed = text == sent.trim() || !runs_others && is_written;
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
            for outer in self.around(part) {
                let Part { kind, role, .. } = self.part(inner);
                if *role == Role::Substituted {
                    return true;
                }
                let is_run = *role != Role::Same && *kind != Kind::Text;
                if is_run && self.part(outer).kind == Kind::Command {
                    return false;
                }
                inner = outer;
            }
            true
        };
        std::iter::once(part)
            .chain(self.around(part))
            .any(|part| as_written(part) && by_the_line(part) && !self.is_elsewhere(part))
    }

    /// A rule about every command has every command to be excused, wrappers as well.
    fn restricts_all(self) -> Option<Found<'a>> {
        let is_command = |part: &usize| match self.part(*part).kind {
            Kind::Wrapper | Kind::Command => true,
            Kind::Text => self.is_typed_text(*part),
            _ => false,
        };
        let mut commands = (0..self.evaluation.parts.len()).filter(is_command).peekable();
        let excusable = !self.when.not_matches.is_empty() || self.entry.rule > 0;
        if commands.peek().is_some() && excusable {
            self.found(commands.find(|part| !self.excused(*part))?)
        } else {
            self.found(0)
        }
    }

    /// A permitting rule holds if it permits every command in the line that does something
    /// of its own.
    #[inline(never)]
    fn permits(self) -> Option<(Found<'a>, Voice)> {
        let found = |voice| self.found(0).map(|found| (found, voice));
        let all =
            self.is_about_all() && self.when.not_matches.is_empty() && self.when.assigned.is_none();
        if all || self.is_literally() {
            return found(Voice::Decides);
        }
        let has_commands = self.of_kind(Kind::Command).next().is_some();
        let own = if has_commands { Kind::Command } else { Kind::Wrapper };
        let mut commands = self.of_kind(own).filter(|part| !self.is_covered(*part));
        let count = commands.clone().count();
        let readable = self.evaluation.parts.unparsed.is_none() && count > 0;
        if readable && self.permits_together(count) {
            return found(Voice::Decides);
        }
        if self.of_kind(Kind::Wrapper).any(|part| self.leaves_out(part)) {
            return None;
        }
        let typed = self.of_kind(Kind::Text).filter(|part| self.is_typed_text(*part));
        let mut texts = typed.filter(|part| !self.is_elsewhere(*part));
        let permitted = |part| self.permitted(part);
        if readable && commands.all(permitted) && texts.all(permitted) {
            found(Voice::Decides)
        } else if self.rule.action == Action::Watch && self.policy.about_texts && self.marks(own) {
            found(Voice::Marks)
        } else {
            None
        }
    }

    /// Whether a pattern is about a line of so many commands, and this is one.
    fn permits_together(self, commands: usize) -> bool {
        let sent = self.evaluation.call.command.trim();
        let of = |pattern: &Pattern| pattern.commands == commands && pattern.matches(sent);
        commands > 1
            && self.patterns(0).any(of)
            && self.when.assigned.is_none()
            && !self.leaves_out_any()
    }

    /// Whether a part is a text that is as it was typed, and the policy is about such.
    fn is_typed_text(self, part: usize) -> bool {
        self.policy.about_texts && self.spellings(part).any(|(.., faith)| faith.permits)
    }

    /// Whether a command needs no permission but that of what runs it: a package's program, or what
    /// such a one does to one of its operands, and all that runs elsewhere.
    fn is_covered(self, part: usize) -> bool {
        let Part { role, parent, .. } = self.part(part);
        let is_packaged = |whole: usize| {
            let Part { kind, role, .. } = self.part(whole);
            *kind == Kind::Whole && *role == Role::Packaged
        };
        *role == Role::Packaged || parent.is_some_and(is_packaged) || self.is_elsewhere(part)
    }

    /// Whether a part runs where other files are, by itself or by what runs it.
    fn is_elsewhere(self, part: usize) -> bool {
        let mut all = std::iter::once(part).chain(self.around(part));
        all.any(|part| self.part(part).role == Role::Elsewhere)
    }

    /// Whether each command meets the rule, is run by one that does, or runs one: to mark what
    /// would be allowed unmarked permits nothing.
    fn marks(self, own: Kind) -> bool {
        let parts = self.evaluation.parts;
        let meets = |part| self.meets(part, |_| true);
        // A variable is marked wherever it is set.
        if self.when.assigned.is_some() && !self.when.is_about_words() {
            return (0..parts.len()).any(meets);
        }
        // A pattern that is about several commands is about the line.
        let sent = self.evaluation.call.command.trim();
        if self.patterns(0).any(|pattern| pattern.commands > 1 && pattern.matches(sent)) {
            return true;
        }
        // A line that no shell would take is one command where it holds no operator.
        if parts.unparsed.is_some() && !self.evaluation.call.command.contains(ENDS_A_COMMAND) {
            return self.of_kind(Kind::Whole).any(meets);
        }
        // What only runs another is marked by the variables alone that it sets.
        let meets = |part| match self.part(part).kind {
            Kind::Command => meets(part),
            Kind::Wrapper => self.when.assigned.is_some() && meets(part),
            _ => false,
        };
        let mut met: Vec<bool> = (0..parts.len()).map(meets).collect();
        let mut inner = met.clone();
        for part in 0..parts.len() {
            met[part] |= self.part(part).parent.is_some_and(|outer| met[outer]);
        }
        for part in (0..parts.len()).rev() {
            if let Some(outer) = self.part(part).parent.filter(|_| inner[part]) {
                inner[outer] = true;
            }
        }
        let mut commands = self.of_kind(own).peekable();
        commands.peek().is_some() && commands.all(|part| met[part] || inner[part])
    }

    /// A rule on deeds holds for a deed that meets it and that nothing excuses.
    #[inline(never)]
    fn deeds(self) -> Option<(Found<'a>, Voice)> {
        let Evaluation { parts, worth, .. } = self.evaluation;
        let voice = if self.evaluation.is_one_deed() { Voice::Decides } else { Voice::OfDeeds };
        worth.parts(&self.entry.patterns, parts.len()).find_map(|part| {
            let Kind::Deed(verb) = self.part(part).kind else { return None };
            if !self.policy.verbs.holds(verb) {
                return None;
            }
            let found = self.deed_met(part, verb)?;
            let holds = self.text_met_around(part) && !self.deed_excused(part, verb);
            holds.then_some((found, voice))
        })
    }
}
