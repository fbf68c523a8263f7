//! Reads a simple command of the grammar: its words, assignments and redirections.

use std::borrow::Cow;

use brush_parser::ast::{
    self, CommandPrefixOrSuffixItem as Item, IoFileRedirectKind, IoFileRedirectTarget, IoRedirect,
};

use crate::command::{Command, Redirection, Taker};
use crate::word::{self, Reading};

/// What is written into these is lost or shown, and changes nothing.
const SINKS: &[&str] = &["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"];

/// One command of a pipeline, as far as it is read.
pub(crate) enum Stage<'a> {
    Simple(Command<'static>, Vec<&'a ast::CompoundList>),
    Other(&'a ast::Command),
}

impl Taker<'_> {
    pub(crate) fn stage<'a>(&mut self, command: &'a ast::Command) -> Stage<'a> {
        let ast::Command::Simple(simple) = command else {
            return Stage::Other(command);
        };
        let mut read = Command::default();
        let mut substitutions = Vec::new();
        for item in simple.prefix.iter().flat_map(|prefix| &prefix.0) {
            match item {
                Item::AssignmentWord(_, word) => {
                    let texts = self.read(&word.value, &mut read);
                    read.assignments.extend(texts.into_iter().map(Cow::Owned));
                }
                other => self.item(other, &mut read, &mut substitutions),
            }
        }
        if let Some(name) = &simple.word_or_name {
            let texts = self.read(&name.value, &mut read);
            read.words.extend(texts.into_iter().map(Cow::Owned));
        }
        for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
            self.item(item, &mut read, &mut substitutions);
        }
        Stage::Simple(read, substitutions)
    }

    fn item<'a>(
        &mut self,
        item: &'a Item,
        read: &mut Command<'static>,
        substitutions: &mut Vec<&'a ast::CompoundList>,
    ) {
        match item {
            Item::Word(word) | Item::AssignmentWord(_, word) => {
                let texts = self.read(&word.value, read);
                read.words.extend(texts.into_iter().map(Cow::Owned));
            }
            Item::IoRedirect(redirect) => self.redirect(redirect, read, substitutions),
            Item::ProcessSubstitution(kind, inner) => {
                read.words.push(Cow::Owned(format!("{kind}({})", inner.list)));
                substitutions.push(&inner.list);
            }
        }
    }

    /// Reads a word of `command`, and notes what is in it.
    pub(crate) fn read(&self, raw: &str, command: &mut Command<'_>) -> Vec<String> {
        let Reading { texts, scripts, guessed } = word::read(raw, &self.variables);
        command.scripts.extend(scripts);
        command.guessed |= guessed;
        texts
    }

    pub(crate) fn redirect<'a>(
        &mut self,
        redirect: &'a IoRedirect,
        read: &mut Command<'static>,
        substitutions: &mut Vec<&'a ast::CompoundList>,
    ) {
        let (operator, raw) = match redirect {
            IoRedirect::File(_, kind, target) => {
                let operator = match kind {
                    IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput => "<",
                    IoFileRedirectKind::Append => ">>",
                    IoFileRedirectKind::Write
                    | IoFileRedirectKind::ReadAndWrite
                    | IoFileRedirectKind::Clobber
                    | IoFileRedirectKind::DuplicateOutput => ">",
                };
                match target {
                    IoFileRedirectTarget::Filename(word) => (operator, &word.value),
                    // `>&file` names a file, `2>&1` and `>&-` do not.
                    IoFileRedirectTarget::Duplicate(word)
                        if !word.value.starts_with(|c: char| c.is_ascii_digit() || c == '-') =>
                    {
                        (operator, &word.value)
                    }
                    IoFileRedirectTarget::ProcessSubstitution(_, inner) => {
                        substitutions.push(&inner.list);
                        return;
                    }
                    IoFileRedirectTarget::Fd(_) | IoFileRedirectTarget::Duplicate(_) => return,
                }
            }
            IoRedirect::OutputAndError(word, _) => (">", &word.value),
            IoRedirect::HereString(_, word) => {
                let text = self.read(&word.value, read).join(" ");
                read.input = Some(text.clone());
                read.redirections.push(Redirection { operator: "<<<", target: text });
                return;
            }
            // Rewritten before the line is parsed.
            IoRedirect::HereDocument(..) => return,
        };
        for target in self.read(raw, read) {
            if !SINKS.contains(&target.as_str()) {
                read.redirections.push(Redirection { operator, target });
            }
        }
    }
}
