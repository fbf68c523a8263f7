//! The conditions of a rule, compiled.

use crate::Call;
use crate::glob::{Glob, collapse_blanks};
use crate::spelling::normal_pattern;

/// The conditions of a rule; an absent one holds.
#[derive(Debug, Default)]
pub(crate) struct When {
    pub(crate) matches: Option<Vec<Pattern>>,
    pub(crate) not_matches: Vec<Pattern>,
    pub(crate) contains: Option<Vec<Contained>>,
    pub(crate) sessions: Choice,
    pub(crate) coverages: Choice,
    /// Whether a condition belongs to another tool, so that no command can meet it.
    pub(crate) foreign: bool,
}

impl When {
    /// Whether the conditions hold that are not about the command.
    pub(crate) fn fits(&self, call: &Call<'_>) -> bool {
        !self.foreign
            && self.sessions.admits(Some(call.session))
            && self.coverages.admits(call.coverage)
    }
}

/// The conditions on one word of a call.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) matches: Option<Vec<Pattern>>,
    pub(crate) not_matches: Vec<Pattern>,
}

impl Choice {
    /// Whether they hold for this word. No pattern matches a word that is not known.
    fn admits(&self, word: Option<&str>) -> bool {
        let any = |patterns: &[Pattern]| {
            word.is_some_and(|word| patterns.iter().any(|pattern| pattern.written.matches(word)))
        };
        self.matches.as_deref().is_none_or(any) && !any(&self.not_matches)
    }

    /// Whether they hold for every word, known or not.
    pub(crate) fn is_absent(&self) -> bool {
        self.matches.is_none() && self.not_matches.is_empty()
    }
}

/// A pattern, as written and in normal spelling.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) source: String,
    pub(crate) written: Glob,
    pub(crate) normal: Option<Glob>,
}

impl Pattern {
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        let written = Glob::new(source)?;
        let normal = normal_pattern(source).and_then(|normal| Glob::new(&normal).ok());
        Ok(Self { source: source.to_string(), written, normal })
    }

    pub(crate) fn globs(&self) -> impl Iterator<Item = &Glob> {
        std::iter::once(&self.written).chain(&self.normal)
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.globs().any(|glob| glob.matches(text))
    }
}

/// A text to be found in a command, whatever the case of its letters.
#[derive(Debug)]
pub(crate) struct Contained {
    pub(crate) source: String,
    pub(crate) lower: String,
}

impl Contained {
    pub(crate) fn new(source: &str) -> Self {
        let mut lower = source.to_lowercase();
        collapse_blanks(&mut lower, 0);
        Self { source: source.to_string(), lower }
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        let (needle, bytes) = (self.lower.as_bytes(), text.as_bytes());
        if needle.is_empty() {
            return false;
        }
        if self.lower.is_ascii() && text.is_ascii() {
            return bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle));
        }
        text.to_lowercase().contains(&self.lower)
    }
}
