//! Whether a part meets a rule: by its text, by the variables it sets, by what it does.

use std::ops::Range;

use crate::conditions::Aspect;
use crate::evaluator::About;
use crate::glob::Glob;
use crate::judge::Judge;
use crate::parts::{By, Faith, Kind, Part};
use crate::patterns::{Contained, Pattern};
use crate::programs::Verb;
use crate::verdict::{Found, Question};

impl<'a> Judge<'a> {
    /// The rule's first pattern, which leaves out nothing where there is none, and a part.
    pub(crate) fn found(self, part: usize) -> Option<Found<'a>> {
        let (_, text, _) = self.spellings(part).next()?;
        let pattern = self.when.matches.iter().flatten().map(|pattern| &pattern.source);
        let texts = self.when.contains.iter().flatten().map(|text| &text.source);
        let pattern = pattern.chain(texts).next().map_or("*", String::as_str);
        Some(Found { pattern, text, part })
    }

    /// Whether a part, in any spelling, meets the conditions on commands: one of the patterns
    /// or of the texts, and the variables.
    pub(crate) fn met(self, part: usize) -> Option<Found<'a>> {
        match self.part(part).kind {
            Kind::Deed(_) => return None,
            Kind::Text | Kind::Foreign if !self.policy.about_texts => return None,
            _ => {}
        }
        let around = self.part(part).parent;
        if !self.assigns(part) && !around.is_some_and(|around| self.assigns(around)) {
            return None;
        }
        if self.when.is_about_words() {
            self.pattern_met(part).or_else(|| self.contained(part))
        } else {
            self.found(part).filter(|_| self.when.assigned.is_some())
        }
    }

    /// Whether a part sets one of the variables that the rule names, if it names any.
    fn assigns(self, part: usize) -> bool {
        let named = |names: &Vec<Glob>| {
            let mut assigned = self.evaluation.parts.assigned(part);
            assigned.any(|name| names.iter().any(|pattern| pattern.matches(name)))
        };
        self.when.assigned.as_ref().is_none_or(named)
    }

    fn pattern_met(self, part: usize) -> Option<Found<'a>> {
        self.patterns(part).find_map(|pattern| {
            let mut said = self.said(part);
            let says = |(lower, text, _): &(&'a str, &'a str, Faith)| {
                pattern.matches(self.cased(lower, text, false))
            };
            let (_, text, _) = said.find(says)?;
            Some(Found { pattern: &pattern.source, text, part })
        })
    }

    pub(crate) fn contained(self, part: usize) -> Option<Found<'a>> {
        let Part { kind, parent, .. } = self.part(part);
        // A line holds what was sent, and its commands what is undone in them.
        let is_line = *kind == Kind::Whole && parent.is_none() || *kind == Kind::Foreign;
        let spellings = if is_line { 1 } else { usize::MAX };
        self.texts(part).find_map(|contained| {
            let mut said = self.said(part).take(spellings);
            let (_, text, _) = said.find(|(_, text, _)| contained.is_in(text))?;
            Some(Found { pattern: &contained.source, text, part })
        })
    }

    /// Whether a part meets the conditions on commands by a spelling that is usable so, and in
    /// no spelling an exclusion.
    pub(crate) fn meets(self, part: usize, usable: impl Fn(Faith) -> bool) -> bool {
        // A variable that changes nothing about what runs is set around that.
        let around = self.part(part).parent;
        let around = around.filter(|outer| self.part(*outer).kind == Kind::Wrapper);
        let says = |text: &str| {
            self.patterns(part).any(|pattern| pattern.matches(text))
                || self.texts(part).any(|contained| contained.is_in(text))
                || !self.when.is_about_words()
        };
        (self.assigns(part) || around.is_some_and(|outer| self.assigns(outer)))
            && !self.leaves_out(part)
            && self.spellings(part).any(|(_, text, faith)| usable(faith) && says(text))
    }

    /// Whether a spelling of a part is one that the rule is not for.
    pub(crate) fn leaves_out(self, part: usize) -> bool {
        let excluded = |(lower, text, _): (&str, &str, Faith)| {
            let text = self.cased(lower, text, true);
            self.when.not_matches.iter().any(|pattern| pattern.matches(text))
        };
        !self.when.not_matches.is_empty() && self.spellings(part).any(excluded)
    }

    /// Whether the rule is not for some part of the line.
    pub(crate) fn leaves_out_any(self) -> bool {
        (0..self.evaluation.parts.len()).any(|part| self.leaves_out(part))
    }

    /// Whether a part meets the patterns by what was written alone, of a policy that is about that.
    pub(crate) fn is_met_as_written(self, part: usize) -> bool {
        let meets = |(lower, text, faith): (&str, &str, Faith)| {
            let text = self.cased(lower, text, false);
            faith.by == By::Itself && self.patterns(part).any(|pattern| pattern.matches(text))
        };
        self.policy.about_texts && self.spellings(part).any(meets)
    }

    /// Whether a pattern without wildcards is the line as sent, whatever is in it.
    pub(crate) fn is_literally(self) -> bool {
        let when = self.when;
        let sent = self.spellings(0).next().map(|(_, text, _)| text);
        let literal = |pattern: &Pattern| sent.is_some() && pattern.written.as_literal() == sent;
        when.contains.is_none()
            && when.assigned.is_none()
            && when.matches.iter().flatten().any(literal)
            && !self.leaves_out_any()
    }

    /// Whether a deed meets the conditions on deeds. To restrict, one meaning of it is enough,
    /// and only what is sure excuses it; to permit it is the other way round.
    pub(crate) fn deed_met(self, part: usize, verb: Verb) -> Option<Found<'a>> {
        let (_, text, _) = self.spellings(part).next()?;
        let mut found = Found { pattern: "*", text, part };
        // Which patterns of the first are worth a look is known.
        let mut numbers = Some(&self.entry.patterns);
        for on in &self.when.deeds {
            let is_url = matches!(verb, Verb::Fetch | Verb::Run);
            if !on.not && (on.of == Aspect::Path) == is_url {
                return None;
            }
            let numbers = if on.not { None } else { numbers.take() };
            let met = self.spellings(part).find_map(|(lower, text, faith)| {
                if self.rule.action.restricts() == on.not && !faith.excuses {
                    return None;
                }
                let text = self.cased(lower, text, on.not);
                let text = if on.of == Aspect::Domain { domain(text) } else { text };
                self.worth(part, &on.patterns, numbers).find(|pattern| pattern.matches(text))
            });
            match (met, on.not) {
                (Some(pattern), false) => found.pattern = &pattern.source,
                (None, true) => {}
                _ => return None,
            }
        }
        Some(found)
    }

    /// Whether the command that does something, or one around it, meets the conditions on text:
    /// the innermost that does decides, as it does where there are no deeds.
    pub(crate) fn text_met_around(self, part: usize) -> bool {
        let is_met = |part| {
            let unconditional = !self.when.is_about_words() && self.when.assigned.is_none();
            if unconditional || self.met(part).is_some() {
                !self.excused(part) && !self.excused_in_pieces(part)
            } else {
                self.text_met_around(part)
            }
        };
        let known =
            |part| self.evaluation.known(Question::IsMet, self.place, part, || is_met(part));
        !self.when.is_about_text() || self.part(part).parent.is_some_and(known)
    }

    /// The rule's patterns on commands that the part may meet.
    pub(crate) fn patterns(self, part: usize) -> impl Iterator<Item = &'a Pattern> {
        self.worth_of_text(part, self.when.matches.as_deref(), &self.entry.patterns)
    }

    /// The rule's texts that the part may hold.
    fn texts(self, part: usize) -> impl Iterator<Item = &'a Contained> {
        self.worth_of_text(part, self.when.contains.as_deref(), &self.entry.texts)
    }

    fn worth_of_text<T>(
        self,
        part: usize,
        all: Option<&'a [T]>,
        numbers: &Range<usize>,
    ) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let numbers = Some(numbers).filter(|_| self.entry.about == About::Commands);
        self.worth(part, all.unwrap_or_default(), numbers)
    }

    /// Of `all`, those that are worth a look, where their numbers as conditions say which.
    fn worth<T>(
        self,
        part: usize,
        all: &'a [T],
        numbers: Option<&Range<usize>>,
    ) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let (numbers, others) = match numbers {
            Some(numbers) => (numbers.clone(), &[][..]),
            None => (0..0, all),
        };
        let first = numbers.start;
        let worth = self.evaluation.worth.of(part).within(numbers);
        worth.map(move |number| &all[number - first]).chain(others)
    }

    pub(crate) fn spellings(self, part: usize) -> impl Iterator<Item = (&'a str, &'a str, Faith)> {
        self.evaluation.spellings(part)
    }

    /// The spellings that the policy is about. One that is about texts has patterns that were
    /// written for what is typed, and not for what a relative path is where the call is made:
    /// `rm -rf ~/**` is no word about `rm -rf node_modules` in a project at home.
    fn said(self, part: usize) -> impl Iterator<Item = (&'a str, &'a str, Faith)> {
        let about_texts = self.policy.about_texts;
        self.spellings(part).filter(move |(.., faith)| !(about_texts && faith.by == By::Call))
    }

    /// The spelling that the rule's patterns are compared with, or those that it is `not` for:
    /// what restricts does so in any case of the letters.
    fn cased<'t>(self, lower: &'t str, text: &'t str, not: bool) -> &'t str {
        if self.rule.action.restricts() == not { text } else { lower }
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
