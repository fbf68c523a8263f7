//! One simple command: its spellings, and what it runs in turn.

use std::borrow::Cow;

use crate::parts::{Faith, Kind, Parts};
use crate::spelling::{self, absolute_word, base_name, normal_word};
use crate::word::{self, Variables};
use crate::wrappers::{self, Inner};

/// How deep scripts may be nested in scripts.
const MAX_DEPTH: usize = 12;
/// How many wrappers below that are followed to the command in the end.
const MAX_WRAPPERS: usize = 200;
/// How large the spellings of one line may grow, in bytes.
pub(crate) const MAX_TEXT: usize = 64 << 20;

/// A simple command, its words read.
#[derive(Debug, Default)]
pub(crate) struct Command<'a> {
    pub(crate) assignments: Vec<Cow<'a, str>>,
    pub(crate) words: Vec<Cow<'a, str>>,
    pub(crate) redirections: Vec<Redirection>,
    /// The scripts in its words, such as `$(…)`.
    pub(crate) scripts: Vec<String>,
    /// What it is given on its standard input, as far as the line says.
    pub(crate) input: Option<String>,
    /// Whether a word is a guess, such as the value of a variable.
    pub(crate) guessed: bool,
}

/// A file that a command reads or writes.
#[derive(Debug)]
pub(crate) struct Redirection {
    pub(crate) operator: &'static str,
    pub(crate) target: String,
}

/// Takes lines apart.
pub(crate) struct Taker<'c> {
    pub(crate) parts: Parts,
    /// The working directory at the point that was read up to, where it is known.
    pub(crate) cwd: Option<Cow<'c, str>>,
    pub(crate) variables: Variables,
    /// Whether there was more than can be judged.
    pub(crate) overflow: bool,
}

/// Where a command was found.
#[derive(Clone, Copy)]
pub(crate) struct Place<'s> {
    /// The part that it is a part of.
    pub(crate) parent: Option<usize>,
    pub(crate) depth: usize,
    /// The line as sent, if the command is all of it.
    pub(crate) sent: Option<&'s str>,
}

impl Place<'_> {
    pub(crate) fn inside(part: usize, depth: usize) -> Self {
        Self { parent: Some(part), depth, sent: None }
    }
}

impl Taker<'_> {
    /// Adds a simple command and all that it runs.
    pub(crate) fn command(&mut self, command: &Command<'_>, place: Place<'_>) {
        if self.parts.text().len() > MAX_TEXT {
            self.overflow = true;
            return;
        }
        let mut place = place;
        if !command.assignments.is_empty() || !command.redirections.is_empty() {
            let part = self.clothed(command, place);
            place = Place::inside(part, place.depth);
        }
        let words: Vec<&str> = command.words.iter().map(AsRef::as_ref).collect();
        if !words.is_empty() {
            let part = self.bare(&words, command.guessed, place);
            place = Place::inside(part, place.depth);
            self.runs(&words, command, place);
            self.change_directory(&words);
        }
        for script in &command.scripts {
            self.nested(script, place);
        }
        if words.is_empty() {
            for assignment in &command.assignments {
                if let Some((name, value)) = assignment.split_once('=') {
                    self.variables.insert(name.to_string(), value.to_string());
                }
            }
        }
    }

    /// Adds what the command runs in turn.
    fn runs(&mut self, words: &[&str], command: &Command<'_>, place: Place<'_>) {
        let mut inner = wrappers::unwrap(words);
        if base_name(words[0]).ends_with("xargs")
            && let Some(input) = &command.input
        {
            for inner in &mut inner {
                if let Inner::Words(words) = inner {
                    words.extend(input.split_whitespace());
                }
            }
        }
        if place.depth >= MAX_DEPTH && !inner.is_empty() {
            self.too_deep(inner, place);
            return;
        }
        for inner in inner {
            match inner {
                Inner::Words(words) => {
                    let command = Command {
                        words: words.into_iter().map(Cow::Borrowed).collect(),
                        input: command.input.clone(),
                        guessed: command.guessed,
                        ..Command::default()
                    };
                    self.command(&command, Place { depth: place.depth + 1, sent: None, ..place });
                }
                Inner::Script(text, _) if words[0] == "eval" => {
                    self.script(&text, Place { depth: place.depth + 1, sent: None, ..place });
                }
                Inner::Script(text, arguments) => self.apart(|taker| {
                    for (index, argument) in arguments.iter().enumerate().take(10) {
                        taker.variables.insert(index.to_string(), (*argument).to_string());
                    }
                    let all = word::several(arguments.get(1..).unwrap_or_default());
                    taker.variables.insert("@".to_string(), all.clone());
                    taker.variables.insert("*".to_string(), all);
                    taker.nested(&text, place);
                }),
                Inner::Input => {
                    if let Some(input) = &command.input {
                        self.nested(input, place);
                    }
                }
            }
        }
    }

    /// Adds a script that another shell runs.
    fn nested(&mut self, script: &str, place: Place<'_>) {
        if place.depth >= MAX_DEPTH {
            self.parts
                .unparsed
                .get_or_insert_with(|| format!("nested deeper than {MAX_DEPTH} levels"));
            if place.depth == MAX_DEPTH {
                self.crude(script, place);
            }
            return;
        }
        // A rule that would hold for the line by itself holds for it in here too.
        let whole = self.parts.begin(place.parent, Kind::Whole);
        self.parts.spell(Faith::WIDE, [script]);
        self.apart(|taker| taker.script(script, Place::inside(whole, place.depth + 1)));
    }

    /// Follows wrappers to what they run in the end.
    fn too_deep(&mut self, inner: Vec<Inner<'_>>, place: Place<'_>) {
        self.parts.unparsed.get_or_insert_with(|| format!("nested deeper than {MAX_DEPTH} levels"));
        let mut waiting = inner;
        for _ in 0..MAX_WRAPPERS {
            match waiting.pop() {
                Some(Inner::Words(words)) => {
                    let deeper = wrappers::unwrap(&words);
                    if deeper.is_empty() && !words.is_empty() {
                        self.bare(&words, true, place);
                    }
                    waiting.extend(deeper);
                }
                Some(Inner::Script(text, _)) => self.nested(&text, place),
                Some(Inner::Input) => {}
                None => return,
            }
        }
        self.overflow = true;
    }

    /// Follows `cd`, so that later relative paths are known.
    fn change_directory(&mut self, words: &[&str]) {
        if !matches!(words[0], "cd" | "pushd") {
            return;
        }
        let target =
            words[1..].iter().find(|word| !spelling::is_option(word)).copied().unwrap_or("~");
        let target = normal_word(target);
        self.cwd = if target.starts_with(['/', '~']) {
            Some(Cow::Owned(target.into_owned()))
        } else {
            let cwd = self.cwd.as_deref();
            cwd.and_then(|cwd| absolute_word(&target, cwd, Some(true))).map(Cow::Owned)
        };
    }
}
