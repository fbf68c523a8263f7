//! Whether one rule holds for one command.
//!
//! A restricting rule holds if one part of the line meets it, a permitting rule if it
//! permits every command in the line; see the crate's documentation for the whole of it.

use std::ops::Range;

use crate::Action;
use crate::Call;
use crate::conditions::{Contained, Pattern, When};
use crate::index::Bits;
use crate::parts::{Faith, Kind, Parts};
use crate::rules::Rule;

/// The conditions that are worth a look.
pub(crate) struct Candidates {
    pub(crate) line: Bits,
    /// For each part by itself, where there are many.
    pub(crate) parts: Option<Vec<Bits>>,
}

impl Candidates {
    fn of(&self, part: usize) -> &Bits {
        self.parts.as_ref().map_or(&self.line, |parts| &parts[part])
    }
}

/// What made a rule hold.
pub(crate) struct Found<'a> {
    pub(crate) pattern: &'a str,
    pub(crate) text: &'a str,
}

/// One rule before one command.
pub(crate) struct Judge<'a> {
    pub(crate) when: &'a When,
    /// The rules before it in its policy.
    pub(crate) earlier: &'a [Rule],
    /// The conditions that are worth a look, and which of them are this rule's.
    pub(crate) worth: &'a Candidates,
    pub(crate) patterns: Range<usize>,
    pub(crate) texts: Range<usize>,
    pub(crate) call: &'a Call<'a>,
    pub(crate) parts: &'a Parts,
}

impl<'a> Judge<'a> {
    pub(crate) fn holds(&self, action: Action) -> Option<Found<'a>> {
        if !self.when.fits(self.call) {
            return None;
        }
        let hopeless = |conditions: &Range<usize>| {
            !conditions.is_empty() && self.worth.line.within(conditions.clone()).next().is_none()
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
        let all =
            self.is_about_all() && self.when.not_matches.is_empty() && self.when.contains.is_none();
        if all || self.is_literally() {
            return found();
        }
        let mut commands = self.commands().peekable();
        let readable = self.parts.unparsed.is_none() && commands.peek().is_some();
        if readable && commands.all(|part| permitted(self.when, self.parts, part)) {
            found()
        } else {
            None
        }
    }

    fn commands(&self) -> impl Iterator<Item = usize> {
        (0..self.parts.len()).filter(|part| self.parts.part(*part).kind == Kind::Command)
    }

    /// Whether the rule's patterns leave out no command.
    fn is_about_all(&self) -> bool {
        let patterns = self.when.matches.as_deref();
        patterns
            .is_none_or(|patterns| patterns.iter().any(|pattern| pattern.written.is_everything()))
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
        let Some(patterns) = &self.when.matches else {
            return contained;
        };
        self.worth.of(part).within(self.patterns.clone()).find_map(|condition| {
            let pattern = &patterns[condition - self.patterns.start];
            let mut spellings = self.parts.spellings(part);
            let (text, _) = spellings.find(|(text, _)| pattern.matches(text))?;
            Some(Found { pattern: &pattern.source, text })
        })
    }

    fn contained(&self, texts: &'a [Contained], part: usize) -> Option<Found<'a>> {
        self.worth.of(part).within(self.texts.clone()).find_map(|condition| {
            let text = &texts[condition - self.texts.start];
            let (spelling, _) =
                self.parts.spellings(part).find(|(spelling, _)| text.is_in(spelling))?;
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
                    && rule.when.fits(self.call)
                    && permitted(&rule.when, self.parts, part)
            })
    }
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
    let excluded =
        |(text, _): (&str, Faith)| when.not_matches.iter().any(|pattern| pattern.matches(text));
    let meets = |(text, faith): (&str, Faith)| {
        let matches =
            |patterns: &Vec<Pattern>| patterns.iter().any(|pattern| pattern.matches(text));
        let contains = |texts: &Vec<Contained>| texts.iter().any(|contained| contained.is_in(text));
        faith.permits
            && when.matches.as_ref().is_none_or(matches)
            && when.contains.as_ref().is_none_or(contains)
    };
    !parts.spellings(part).any(excluded) && parts.spellings(part).any(meets)
}
