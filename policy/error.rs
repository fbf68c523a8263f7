//! What is wrong with a policy file, where, and what to do about it.

use std::fmt;

use serde_saphyr::{Error as YamlError, Location};

/// One thing that is wrong with a policy file, or, as a warning, looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: u64,
    /// Column in the line, in characters, from 1.
    pub column: u64,
    /// What is wrong, and what to do.
    pub text: String,
}

impl Problem {
    pub(crate) fn new(at: Location, text: impl Into<String>) -> Self {
        Self { line: at.line(), column: at.column(), text: text.into() }
    }
}

/// Why a policy file was not taken: at least one [`Problem`], in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    /// Name of the file, as given to [`parse`](crate::PolicySet::parse).
    pub origin: String,
    /// All that is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

impl PolicyError {
    /// `problems` holds at least one.
    pub(crate) fn new(origin: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Self { origin: origin.to_string(), problems }
    }

    /// The errors of the reader, in the words of this crate.
    pub(crate) fn from_yaml(origin: &str, error: &YamlError) -> Self {
        // What has no place (a file that is not text, a limit) is about the whole.
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        Self::new(origin, vec![Problem { line, column, text: explain(error.without_snippet()) }])
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, column, text }) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{line}:{column}: {text}", self.origin)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

fn explain(error: &YamlError) -> String {
    let text = match error {
        YamlError::SerdeUnknownField { field, expected, .. } => {
            return unknown_key(field, expected);
        }
        YamlError::SerdeUnknownVariant { variant, expected, .. } => {
            return unknown_word(variant, expected);
        }
        YamlError::SerdeMissingField { field, .. } => {
            return format!("the key `{field}` is missing; add it");
        }
        YamlError::DuplicateMappingKey { key, .. } => {
            return format!("the key `{}` is there twice; keep one", key.as_deref().unwrap_or("?"));
        }
        YamlError::InvalidBooleanStrict { .. } => "this is not a boolean; write `true` or `false`",
        YamlError::InvalidScalar { ty, .. } => {
            let ty = ty.trim_start_matches(['i', 'u']);
            if !ty.starts_with(|c: char| c.is_ascii_digit()) {
                return format!("this is not a {ty}; correct the value");
            }
            "this is not a whole number; write one, such as 10"
        }
        YamlError::SerdeInvalidType { unexpected, expected, .. } => {
            return format!(
                "{expected} is expected, and this is of another type ({unexpected}); correct it"
            );
        }
        YamlError::Eof { .. } => {
            "the file ends before it is complete; it needs at least the key `policies`"
        }
        YamlError::NullIntoString { .. } => {
            "a text is expected, and this is nothing (an unquoted `~` is nothing, too); write the text in quotes"
        }
        YamlError::Unexpected { expected, .. } => {
            let expected = match *expected {
                "sequence start" => "a list (lines that start with `- `)",
                "mapping start" => "a mapping (lines of the form `key: value`)",
                "string scalar" => "a text",
                other => other,
            };
            return format!("this is of the wrong type; write {expected} here");
        }
        YamlError::MultipleDocuments { .. } => "the file goes on with a second document; keep one",
        YamlError::UnknownAnchor { .. } => {
            "this alias has no anchor (a text that starts with `*` needs quotes); put the text in quotes"
        }
        YamlError::Budget { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => {
            "the file is larger than any policy, or grows so by its aliases; write it out"
        }
        other => {
            let text = other.to_string();
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
            return format!("this is not YAML that can be read ({text}); correct it");
        }
    };
    text.to_string()
}

/// Says that `key` is not among `known`, and which was perhaps meant.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    format!("the key `{key}` is not known here; use one of {}", listed(known))
}

/// Says that `word` is not among `known`.
pub(crate) fn unknown_word(word: &str, known: &[&str]) -> String {
    format!("`{word}` is not a value that is known here; use one of {}", listed(known))
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
