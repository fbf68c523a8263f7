//! What conditions hold against a command: globs, in two spellings, and texts to be found in it.

use crate::glob::{Glob, collapse_blanks};
use crate::simple::ENDS_A_COMMAND;
use crate::spelling::normal_pattern;

/// A pattern, as written and in normal spelling.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) source: String,
    pub(crate) written: Glob,
    pub(crate) normal: Option<Glob>,
    /// Of how many commands a line is that it is about; 0 if it is not about commands.
    pub(crate) commands: usize,
}

impl Pattern {
    /// A pattern on commands; `any_case` compares to texts in small letters.
    pub(crate) fn command(source: &str, any_case: bool) -> Result<Self, String> {
        let written = Glob::new(&cased(source, any_case))?;
        let normal =
            normal_pattern(source).and_then(|normal| Glob::new(&cased(&normal, any_case)).ok());
        let commands = source.split(ENDS_A_COMMAND).filter(|piece| !piece.trim().is_empty());
        Ok(Self { source: source.to_string(), written, normal, commands: commands.count() })
    }

    /// A pattern on what is as it is written, such as a path.
    pub(crate) fn plain(source: &str, any_case: bool) -> Result<Self, String> {
        let written = Glob::new(&cased(source, any_case))?;
        Ok(Self { source: source.to_string(), written, normal: None, commands: 0 })
    }

    pub(crate) fn globs(&self) -> impl Iterator<Item = &Glob> {
        std::iter::once(&self.written).chain(&self.normal)
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.globs().any(|glob| glob.matches(text))
    }
}

fn cased(text: &str, any_case: bool) -> String {
    if any_case { text.to_ascii_lowercase() } else { text.to_string() }
}

/// A text to be found in a command, for a rule that restricts whatever the case of its letters.
#[derive(Debug)]
pub(crate) struct Contained {
    pub(crate) source: String,
    pub(crate) lower: String,
    /// As written, where the case counts.
    exact: Option<String>,
}

impl Contained {
    pub(crate) fn new(source: &str, any_case: bool) -> Self {
        let mut exact = source.to_string();
        collapse_blanks(&mut exact, 0);
        let lower = exact.to_lowercase();
        Self { source: source.to_string(), lower, exact: (!any_case).then_some(exact) }
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        let (needle, bytes) = (self.lower.as_bytes(), text.as_bytes());
        if needle.is_empty() {
            return false;
        }
        if let Some(exact) = &self.exact {
            return text.contains(exact.as_str());
        }
        if self.lower.is_ascii() && text.is_ascii() {
            return bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle));
        }
        text.to_lowercase().contains(&self.lower)
    }
}
