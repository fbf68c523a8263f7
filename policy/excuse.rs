//! What permits a part, and what excuses it from a rule that it meets: an exclusion of the rule,
//! or a rule before it in the policy that permits.

use crate::judge::Judge;
use crate::parts::{By, Kind, Part};
use crate::programs::Verb;
use crate::verdict::Question;

/// Of how many parts at most a command is excused with those that it runs.
const MANY_PARTS: usize = 64;

impl<'a> Judge<'a> {
    /// The rules in force before this one in its policy that permit.
    fn permitting_before(self) -> impl Iterator<Item = Judge<'a>> {
        let before = self.place - self.entry.rule..self.place;
        before.map(move |place| Judge::new(self.evaluation, place)).filter(|before| {
            !before.rule.action.restricts() && before.when.count.is_none() && before.is_in_force()
        })
    }

    /// Whether the rule permits a part: as it will run it meets the conditions, and in no
    /// spelling an exclusion.
    pub(crate) fn permitted(self, part: usize) -> bool {
        self.meets(part, |faith| faith.permits)
    }

    /// Whether an exclusion, or a permitting rule that comes before, excuses the part.
    pub(crate) fn excused(self, part: usize) -> bool {
        // What excuses the line excuses another reading of it.
        let Part { parent, kind, .. } = self.part(part);
        if let (Kind::Foreign, Some(line)) = (kind, parent)
            && self.excused(*line)
        {
            return true;
        }
        // What only runs others is excused with each of them.
        if *kind == Kind::Wrapper && !self.when.not_matches.is_empty() && self.runs_excused(part) {
            return true;
        }
        // The star of an exclusion for one command does not reach over a pipe.
        let whole = *kind == Kind::Whole;
        let exclusions = self.when.not_matches.iter();
        let mut exclusions = exclusions.filter(|pattern| !whole || pattern.source.contains('|'));
        let as_it_runs = || self.spellings(part).filter(|(_, _, faith)| faith.excuses);
        // What is refused as it was written is not excused by where the line has gone to.
        let counts = |by| by == By::Itself || !self.is_met_as_written(part);
        exclusions.any(|pattern| {
            as_it_runs().any(|(_, text, faith)| pattern.matches(text) && counts(faith.by))
        }) || self
            .permitting_before()
            .any(|before| before.when.deeds.is_empty() && before.permitted(part))
    }

    /// Whether every command that a part runs is excused, of few, and there is one.
    fn runs_excused(self, part: usize) -> bool {
        // What a part is made of follows it.
        let inside = |inner: &usize| self.around(*inner).any(|outer| outer == part);
        let inner = (part + 1..self.evaluation.parts.len()).take_while(inside);
        let inner: Vec<usize> = inner.take(MANY_PARTS).collect();
        let mut run =
            inner.iter().filter(|inner| self.part(**inner).kind == Kind::Command).peekable();
        inner.len() < MANY_PARTS && run.peek().is_some() && run.all(|inner| self.excused(*inner))
    }

    /// Whether a command with several operands is excused with each of them.
    pub(crate) fn excused_in_pieces(self, part: usize) -> bool {
        let parts = self.evaluation.parts;
        if self.part(part).kind != Kind::Whole || self.when.not_matches.is_empty() {
            return false;
        }
        // What it is made of stands behind it, together.
        let mut pieces = (part + 1..parts.len())
            .take_while(|piece| self.part(*piece).parent.is_some_and(|parent| parent >= part))
            .filter(|piece| self.part(*piece).parent == Some(part))
            .filter(|piece| matches!(self.part(*piece).kind, Kind::Command | Kind::Wrapper))
            .peekable();
        pieces.peek().is_some() && pieces.all(|piece| self.excused(piece))
    }

    /// Whether a permitting rule that comes before excuses a deed: by what is done, and by the
    /// command that does it where it is about that as well.
    pub(crate) fn deed_excused(self, part: usize, verb: Verb) -> bool {
        self.rule.action.restricts()
            && self.permitting_before().any(|before| {
                (!before.when.is_about_text() || before.permitted_around(part))
                    && before.deed_met(part, verb).is_some()
            })
    }

    /// Whether the rule permits the command that does something, and what it is run by, or the
    /// line as it is.
    fn permitted_around(self, part: usize) -> bool {
        let permitted = |part| {
            let permitted = || self.permitted(part);
            self.evaluation.known(Question::IsPermitted, self.place, part, permitted)
        };
        let is_command = |part: &usize| self.part(*part).kind == Kind::Command;
        let mut commands = self.around(part).filter(is_command).peekable();
        commands.peek().is_some() && commands.all(permitted) || self.is_literally()
    }
}
