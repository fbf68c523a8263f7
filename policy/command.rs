//! One simple command: its spellings, and what it runs in turn.

use std::borrow::Cow;

use crate::parts::{Faith, Kind, Parts};
use crate::spelling::{self, Operands, Tool, absolute_word, base_name, normal_word};
use crate::word::{self, Variables};
use crate::wrappers::{self, Inner};

/// How deep scripts may be nested in scripts.
const MAX_DEPTH: usize = 12;
/// How large the spellings of one line may grow, in bytes.
const MAX_TEXT: usize = 64 << 20;

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
        Self {
            parent: Some(part),
            depth,
            sent: None,
        }
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

    /// The command with its assignments and redirections.
    fn clothed(&mut self, command: &Command<'_>, place: Place<'_>) -> usize {
        let part = self.parts.begin(place.parent, Kind::Command);
        if let Some(sent) = place.sent {
            self.parts.spell(Faith::WIDE, [sent]);
        }
        let faith = if command.guessed {
            Faith::WIDE
        } else {
            Faith::FULL
        };
        let clothes = |normal: bool, cwd: Option<&str>| {
            let read = |word: &str| match cwd.and_then(|cwd| absolute_word(word, cwd, Some(true))) {
                Some(absolute) => absolute,
                None if normal => normal_word(word).into_owned(),
                None => word.to_string(),
            };
            let mut words: Vec<String> = command
                .assignments
                .iter()
                .map(ToString::to_string)
                .collect();
            words.extend(
                command
                    .words
                    .iter()
                    .enumerate()
                    .map(|(index, word)| match index {
                        0 if normal => base_name(word).to_string(),
                        0 => word.to_string(),
                        _ if normal => normal_word(word).into_owned(),
                        _ => word.to_string(),
                    }),
            );
            for Redirection { operator, target } in &command.redirections {
                let writes = normal && operator.contains('>');
                words.push(if writes { ">" } else { operator }.to_string());
                words.push(read(target));
            }
            words
        };
        let plain = clothes(false, None);
        let normal = clothes(true, None);
        let faithful = command
            .redirections
            .iter()
            .all(|to| normal_word(&to.target) == to.target);
        self.parts.spell(
            if faithful { faith } else { Faith::WIDE },
            plain.iter().map(String::as_str),
        );
        self.parts.spell(
            Faith {
                permits: false,
                ..faith
            },
            normal.iter().map(String::as_str),
        );
        if let Some(cwd) = self.cwd.as_deref() {
            let absolute = clothes(true, Some(cwd));
            self.parts.spell(
                Faith {
                    permits: false,
                    ..faith
                },
                absolute.iter().map(String::as_str),
            );
        }
        let alone = command.redirections.len() == 1 && !command.guessed;
        let faith = if alone { Faith::EXCUSES } else { Faith::WIDE };
        for Redirection { operator, target } in &command.redirections {
            let operator = if operator.contains('>') {
                ">"
            } else {
                operator
            };
            self.parts.spell(faith, [operator, &normal_word(target)]);
            if let Some(absolute) = self
                .cwd
                .as_deref()
                .and_then(|cwd| absolute_word(target, cwd, Some(true)))
            {
                self.parts.spell(faith, [operator, &absolute]);
            }
        }
        part
    }

    /// The command by its words alone.
    fn bare(&mut self, words: &[&str], guessed: bool, place: Place<'_>) -> usize {
        let name = base_name(words[0]);
        let Some(tool) = spelling::tool(name) else {
            let part = self.parts.begin(place.parent, Kind::Command);
            let normal: Vec<Cow<'_, str>> =
                words[1..].iter().map(|word| normal_word(word)).collect();
            self.spell(words, &normal, guessed, None, place.sent);
            return part;
        };
        let arguments = tool.arguments(&words[1..]);
        let deeds = deeds(tool, &arguments.operands);
        if let [only] = deeds.as_slice() {
            let part = self.parts.begin(place.parent, Kind::Command);
            let normal = normal_arguments(tool, &arguments.options, only);
            self.spell(words, &normal, guessed, Some(tool), place.sent);
            return part;
        }
        let part = self.parts.begin(place.parent, Kind::Whole);
        if let Some(sent) = place.sent {
            self.parts.spell(Faith::WIDE, [sent]);
        }
        self.parts.spell(Faith::WIDE, words.iter().copied());
        let all = normal_arguments(tool, &arguments.options, &arguments.operands);
        self.parts.spell(
            Faith::WIDE,
            std::iter::once(name).chain(all.iter().map(AsRef::as_ref)),
        );
        for deed in deeds {
            self.parts.begin(Some(part), Kind::Command);
            let mut plain = vec![words[0]];
            let before = tool.operands == Operands::EachBeforeOptions;
            if before {
                plain.extend(&deed);
            }
            plain.extend(&arguments.written);
            if !before {
                plain.extend(&deed);
            }
            let normal = normal_arguments(tool, &arguments.options, &deed);
            self.spell(&plain, &normal, guessed, Some(tool), None);
        }
        part
    }

    /// Spells the part begun last: `plain` is all its words, `normal` those behind the
    /// program in normal spelling.
    fn spell(
        &mut self,
        plain: &[&str],
        normal: &[Cow<'_, str>],
        guessed: bool,
        tool: Option<&Tool>,
        sent: Option<&str>,
    ) {
        let program = plain[0];
        let name = base_name(program);
        let faith = if guessed { Faith::WIDE } else { Faith::FULL };
        let excuses = Faith {
            permits: false,
            ..faith
        };
        let resolved = plain[1..]
            .iter()
            .all(|word| matches!(normal_word(word), Cow::Borrowed(_)));
        // A program's name with a blank in it reads like a program and an argument.
        let as_written = if resolved && !program.contains(' ') {
            faith
        } else {
            Faith::WIDE
        };
        if let Some(sent) = sent {
            self.parts.spell(as_written, [sent]);
        }
        self.parts.spell(as_written, plain.iter().copied());
        let same = plain[1..]
            .iter()
            .copied()
            .eq(normal.iter().map(AsRef::as_ref));
        if !same || name.len() != program.len() {
            let words = |first| std::iter::once(first).chain(normal.iter().map(AsRef::as_ref));
            self.parts.spell(
                if program.contains(' ') {
                    excuses
                } else {
                    faith
                },
                words(program),
            );
            self.parts.spell(excuses, words(name));
        }
        if name.len() != program.len() {
            self.parts.spell(
                Faith::WIDE,
                std::iter::once(name).chain(plain[1..].iter().copied()),
            );
        }
        let Some(cwd) = self.cwd.as_deref() else {
            return;
        };
        let is_path = |index| tool.map(|tool| tool.is_path(index, normal.len()));
        let made_absolute = |(index, word): (usize, &Cow<'_, str>)| absolute_word(word, cwd, is_path(index));
        let absolute: Vec<Option<String>> = normal.iter().enumerate().map(made_absolute).collect();
        if absolute.iter().any(Option::is_some) {
            let words = absolute
                .iter()
                .zip(normal)
                .map(|(absolute, normal)| match absolute {
                    Some(absolute) => absolute.as_str(),
                    None => normal.as_ref(),
                });
            self.parts
                .spell(excuses, std::iter::once(name).chain(words));
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
                    self.command(
                        &command,
                        Place {
                            depth: place.depth + 1,
                            sent: None,
                            ..place
                        },
                    );
                }
                Inner::Script(text, _) if words[0] == "eval" => {
                    self.script(
                        &text,
                        Place {
                            depth: place.depth + 1,
                            sent: None,
                            ..place
                        },
                    );
                }
                Inner::Script(text, arguments) => self.apart(|taker| {
                    for (index, argument) in arguments.iter().enumerate().take(10) {
                        taker
                            .variables
                            .insert(index.to_string(), (*argument).to_string());
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
        self.apart(|taker| {
            taker.script(
                script,
                Place {
                    depth: place.depth + 1,
                    sent: None,
                    ..place
                },
            )
        });
    }

    /// Follows wrappers to what they run in the end.
    fn too_deep(&mut self, inner: Vec<Inner<'_>>, place: Place<'_>) {
        self.parts
            .unparsed
            .get_or_insert_with(|| format!("nested deeper than {MAX_DEPTH} levels"));
        let mut waiting = inner;
        while let Some(inner) = waiting.pop() {
            match inner {
                Inner::Words(words) => {
                    let deeper = wrappers::unwrap(&words);
                    if deeper.is_empty() {
                        self.bare(&words, true, place);
                    }
                    waiting.extend(deeper);
                }
                Inner::Script(text, _) => self.nested(&text, place),
                Inner::Input => {}
            }
        }
    }

    /// Follows `cd`, so that later relative paths are known.
    fn change_directory(&mut self, words: &[&str]) {
        if !matches!(words[0], "cd" | "pushd") {
            return;
        }
        let target = words[1..]
            .iter()
            .find(|word| !spelling::is_option(word))
            .copied()
            .unwrap_or("~");
        let target = normal_word(target);
        self.cwd = if target.starts_with(['/', '~']) {
            Some(Cow::Owned(target.into_owned()))
        } else {
            let cwd = self.cwd.as_deref();
            cwd.and_then(|cwd| absolute_word(&target, cwd, Some(true)))
                .map(Cow::Owned)
        };
    }
}

/// The operands of each thing that the command does.
fn deeds<'a>(tool: &Tool, operands: &[&'a str]) -> Vec<Vec<&'a str>> {
    match (tool.operands, operands) {
        (Operands::Each | Operands::EachBeforeOptions, [_, _, ..]) => {
            operands.iter().map(|operand| vec![*operand]).collect()
        }
        (Operands::EachAfterFirst, [first, rest @ ..]) if rest.len() > 1 => {
            rest.iter().map(|operand| vec![*first, *operand]).collect()
        }
        (Operands::EachBeforeLast, [rest @ .., last]) if rest.len() > 1 => {
            rest.iter().map(|operand| vec![*operand, *last]).collect()
        }
        _ => vec![operands.to_vec()],
    }
}

fn normal_arguments<'a>(
    tool: &Tool,
    options: &'a [String],
    operands: &[&'a str],
) -> Vec<Cow<'a, str>> {
    let options = options.iter().map(|option| normal_word(option));
    let operands = operands.iter().map(|operand| normal_word(operand));
    if tool.operands == Operands::EachBeforeOptions {
        operands.chain(options).collect()
    } else {
        options.chain(operands).collect()
    }
}
