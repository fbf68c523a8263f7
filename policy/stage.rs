//! One command of a pipeline, read: its words, what is assigned, read and written around it.

use std::borrow::Cow;

use brush_parser::ast::{
    self, CommandPrefixOrSuffixItem as Item, CompoundListItem, IoFileRedirectKind,
    IoFileRedirectTarget, IoRedirect,
};

use crate::feed::Feed;
use crate::invocation::Invocation;
use crate::shell::{self, is_assignment};
use crate::visit::Visitor;
use crate::word::{self, Reader, Reading};
use crate::writes;

/// The words of a command and its redirections, by whose names alone a permission knows it where
/// their values are a guess; `None` where the program is one.
fn typed(simple: &ast::SimpleCommand) -> Option<[String; 2]> {
    let mut words = word::plain(&simple.word_or_name.as_ref()?.value)?.into_owned();
    let mut redirections = String::new();
    for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
        let (to, text) = match item {
            Item::IoRedirect(IoRedirect::HereDocument(..)) => continue,
            Item::IoRedirect(redirect) => (&mut redirections, redirect.to_string()),
            Item::Word(word) | Item::AssignmentWord(_, word) => (&mut words, word.value.clone()),
            Item::ProcessSubstitution(kind, inner) => {
                (&mut words, format!("{kind}({})", inner.list))
            }
        };
        to.push(' ');
        to.push_str(&text.replace('"', ""));
    }
    Some([words, redirections])
}

/// What is written into these is lost or shown, and changes nothing.
const SINKS: &[&str] = &["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"];

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
    /// Where one is and the program is none, the words and the redirections as they are typed.
    pub(crate) typed: Option<[String; 2]>,
    /// Whether it has no words because it is what is around others, such as a loop.
    pub(crate) around: bool,
}

impl<'a> Command<'a> {
    /// A command by its words, of which those in front may be assignments.
    pub(crate) fn of_words(mut words: Vec<Cow<'a, str>>) -> Self {
        let assignments = words.iter().take_while(|word| is_assignment(word)).count();
        let assignments = words.drain(..assignments).collect();
        Self { assignments, words, ..Self::default() }
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

impl Visitor<'_> {
    pub(crate) fn stage<'a>(&mut self, command: &'a ast::Command) -> Stage<'a> {
        let ast::Command::Simple(simple) = command else {
            return Stage::Other(command);
        };
        let mut read = Command::default();
        let mut substitutions = Vec::new();
        for item in simple.prefix.iter().flat_map(|prefix| &prefix.0) {
            match item {
                Item::AssignmentWord(_, word) => {
                    let texts = self.read(&word.value, &mut read).join(" ");
                    read.assignments.push(Cow::Owned(texts));
                }
                other => self.item(other, &mut read, &mut substitutions),
            }
        }
        if let Some(name) = &simple.word_or_name {
            self.words(&name.value, &mut read);
        }
        for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
            self.item(item, &mut read, &mut substitutions);
        }
        // What a command wrote is not what is typed.
        if read.guessed && !read.words.iter().any(|word| word.contains("$(")) {
            read.typed = typed(simple);
        }
        Stage::Simple(Box::new(read), substitutions)
    }

    fn item<'a>(
        &mut self,
        item: &'a Item,
        read: &mut Command<'a>,
        substitutions: &mut Vec<(String, &'a ast::CompoundList)>,
    ) {
        match item {
            Item::Word(word) | Item::AssignmentWord(_, word) => {
                self.words(&word.value, read);
            }
            Item::IoRedirect(redirect) => self.redirect(redirect, read, substitutions),
            Item::ProcessSubstitution(kind, inner) => {
                let source = format!("{kind}({})", inner.list);
                read.words.push(Cow::Owned(source.clone()));
                substitutions.push((source, &inner.list));
            }
        }
    }

    /// Adds the words that `raw` stands for to those of `command`.
    fn words<'a>(&mut self, raw: &'a str, command: &mut Command<'a>) {
        if let Some(word) = word::plain(raw) {
            command.words.push(word);
        } else {
            // The name of a program that is written so is known to nobody who permits it.
            let is_made = || raw.contains("$'") || raw.contains('{') && !raw.contains("${");
            command.guessed |= command.words.is_empty() && is_made();
            let texts = self.read(raw, command);
            command.words.extend(texts.into_iter().map(Cow::Owned));
        }
    }

    /// Reads words of `command`, and notes what is in them.
    pub(crate) fn reading<T>(
        &mut self,
        command: &mut Command<'_>,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> T {
        let printed = |script: &str| printed(script);
        let mut reader = Reader {
            variables: Some(&self.scope.variables),
            arguments: self.arguments.as_deref(),
            prints: &printed,
            reading: Reading::default(),
        };
        let result = read(&mut reader);
        let Reading { scripts, guessed, unread, put_in, .. } = reader.reading;
        self.counts(put_in);
        command.scripts.extend(scripts);
        command.guessed |= guessed;
        if let Some(why) = unread {
            self.parts.unparsed.get_or_insert(why);
        }
        result
    }

    pub(crate) fn read(&mut self, raw: &str, command: &mut Command<'_>) -> Vec<String> {
        self.reading(command, |reader| {
            reader.word(raw);
            std::mem::take(&mut reader.reading.texts)
        })
    }

    pub(crate) fn redirect<'a>(
        &mut self,
        redirect: &'a IoRedirect,
        read: &mut Command<'_>,
        substitutions: &mut Vec<(String, &'a ast::CompoundList)>,
    ) {
        let (operator, raw) = match redirect {
            IoRedirect::File(_, kind, target) => {
                let operator = match kind {
                    IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput => "<",
                    IoFileRedirectKind::Append => ">>",
                    _ => ">",
                };
                match target {
                    IoFileRedirectTarget::Filename(word) => (operator, &word.value),
                    // `>&file` names a file, `2>&1` and `>&-` do not.
                    IoFileRedirectTarget::Duplicate(word)
                        if !word.value.starts_with(|c: char| c.is_ascii_digit() || c == '-') =>
                    {
                        (operator, &word.value)
                    }
                    IoFileRedirectTarget::ProcessSubstitution(kind, inner) => {
                        substitutions.push((format!("{kind}({})", inner.list), &inner.list));
                        if operator == "<" {
                            // What it writes is read instead of a file.
                            let own = std::mem::take(&mut read.input);
                            read.input = own.and(self.origins(&inner.list));
                        }
                        return;
                    }
                    IoFileRedirectTarget::Fd(_) | IoFileRedirectTarget::Duplicate(_) => return,
                }
            }
            IoRedirect::OutputAndError(word, _) => (">", &word.value),
            IoRedirect::HereString(_, word) => {
                let text = self.read(&word.value, read).join(" ");
                read.input = self.text_from(text.clone(), read);
                read.documents.push(text.clone());
                read.redirections.push(Redirection { operator: "<<<", target: text });
                return;
            }
            IoRedirect::HereDocument(_, document) => {
                let body = &document.doc.value;
                let text = if document.requires_expansion {
                    self.reading(read, |reader| reader.document(body))
                } else {
                    body.clone()
                };
                // The line that ends it stands in the text as the others do.
                read.documents.push(format!("{text}{}", document.here_end.value));
                read.input = self.text_from(text, read);
                return;
            }
        };
        for target in self.read(raw, read) {
            if !SINKS.contains(&target.as_str()) {
                read.redirections.push(Redirection { operator, target });
            }
        }
    }

    /// A text that a command is given, and where it came from.
    fn text_from(&mut self, text: String, read: &Command<'_>) -> Feed {
        let mut feed = Feed::default();
        for script in &read.scripts {
            if text.contains(script.as_str())
                && let Ok(program) = shell::parse(script)
            {
                for list in &program.complete_commands {
                    feed = feed.and(self.origins(list));
                }
            }
        }
        feed.told(text)
    }
}

/// What a script prints, where it is nothing but an `echo`, a `printf`, or asks for a
/// program's path.
fn printed(script: &str) -> Option<String> {
    let script = script.trim();
    // `$(which sh)` and `$(command -v sh)` are the program.
    if let Some(name) = ["which ", "command -v ", "type -P "]
        .iter()
        .find_map(|by| script.strip_prefix(by))
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        return Some(name.to_string());
    }
    // `$(cd FOLDER && pwd)` is the folder.
    if let Some((folder, "pwd" | "pwd -P")) = script
        .strip_prefix("cd ")
        .and_then(|rest| rest.split_once([';', '&']))
        .map(|(folder, rest)| (folder.trim(), rest.trim_start_matches('&').trim()))
    {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/~._-+@".contains(&byte);
        return folder.bytes().all(is_plain).then(|| folder.to_string());
    }
    if !["echo ", "printf ", "realpath ", "readlink "].iter().any(|by| script.starts_with(by)) {
        return None;
    }
    let program = shell::parse(script).ok()?;
    let [list] = &program.complete_commands[..] else { return None };
    let [CompoundListItem(and_or, _)] = &list.0[..] else { return None };
    let mut pipelines = and_or.into_iter();
    let (Some((_, pipeline)), None) = (pipelines.next(), pipelines.next()) else { return None };
    let [ast::Command::Simple(simple)] = &pipeline.seq[..] else { return None };
    if simple.prefix.is_some() {
        return None;
    }
    let mut reader =
        Reader { variables: None, arguments: None, prints: &|_| None, reading: Reading::default() };
    reader.word(&simple.word_or_name.as_ref()?.value);
    for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
        match item {
            Item::Word(word) | Item::AssignmentWord(_, word) => reader.word(&word.value),
            _ => return None,
        }
    }
    let Reading { mut texts, scripts, unread, .. } = reader.reading;
    for text in &mut texts {
        if let Some(rest) = text.strip_prefix("$HOME") {
            *text = format!("~{rest}");
        }
    }
    if !scripts.is_empty() || unread.is_some() || texts.iter().any(|text| text.contains(['$', '`']))
    {
        return None;
    }
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    Invocation::of(&words).and_then(writes::written)
}
