//! A command as it was read: its words, what is assigned, read and written around it.

use std::borrow::Cow;

use brush_parser::ast;

use crate::feed::Feed;
use crate::shell::is_assignment;

/// A simple command, its words read.
#[derive(Debug, Default)]
pub(crate) struct Command<'a> {
    pub(crate) assignments: Vec<Cow<'a, str>>,
    pub(crate) words: Vec<Cow<'a, str>>,
    pub(crate) redirections: Vec<Redirection>,
    /// The scripts in its words, such as `$(…)`.
    pub(crate) scripts: Vec<String>,
    pub(crate) input: Feed,
    /// The texts that it is given in the line itself: here-documents and -strings.
    pub(crate) documents: Vec<String>,
    /// Whether a word is a guess, such as the value of a variable.
    pub(crate) guessed: bool,
    /// Whether it has no words because it is what is around others, such as a loop.
    pub(crate) around: bool,
}

impl<'a> Command<'a> {
    /// A command by its words, of which those in front may be assignments.
    pub(crate) fn of_words(mut words: Vec<Cow<'a, str>>) -> Self {
        let assignments = words.iter().take_while(|word| is_assignment(word)).count();
        let rest = words.split_off(assignments);
        Self { assignments: words, words: rest, ..Self::default() }
    }
}

/// A file that a command reads or writes.
#[derive(Debug, Clone)]
pub(crate) struct Redirection {
    pub(crate) operator: &'static str,
    pub(crate) target: String,
}

/// One command of a pipeline, as far as it is read.
pub(crate) enum Stage<'a> {
    Simple(Box<Command<'a>>, Vec<(String, &'a ast::CompoundList)>),
    Other(&'a ast::Command),
}
