//! The conditions of a rule, compiled.

use crate::glob::{Glob, collapse_blanks};
use crate::spelling::normal_pattern;

/// The conditions of a rule; an absent one holds.
#[derive(Debug, Default)]
pub(crate) struct When {
    pub(crate) matches: Option<Vec<Pattern>>,
    pub(crate) not_matches: Vec<Pattern>,
    pub(crate) contains: Option<Vec<Contained>>,
    pub(crate) sessions: Option<Vec<Pattern>>,
    pub(crate) not_sessions: Vec<Pattern>,
    /// Whether a condition belongs to another tool, so that no command can meet it.
    pub(crate) foreign: bool,
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
