//! What a command runs in turn, and what is put into that.

use std::borrow::Cow;
use std::mem;
use std::rc::Rc;

use crate::Form;
use crate::code;
use crate::command;
use crate::feed::Feed;
use crate::find;
use crate::invocation::{Inner, Invocation};
use crate::parts::{Faith, Kind, Role};
use crate::scope::Arguments;
use crate::stage::Command;
use crate::visit::{Place, Visitor};

/// For how many bytes more than it has a value counts that is put in words.
const VALUE: usize = 16;

/// How deep scripts may be nested in scripts.
pub(crate) const MAX_DEPTH: usize = 12;

/// How many wrappers below that are followed to the command in the end.
const MAX_WRAPPERS: usize = 200;

impl Visitor<'_> {
    /// Adds what the command runs in turn; gives what that writes.
    #[inline(never)]
    pub(crate) fn runs(
        &mut self,
        invocation: Invocation<'_, '_>,
        inner: Vec<Inner<'_>>,
        command: &Command<'_>,
        origins: &[(String, Feed)],
        place: Place<'_>,
    ) -> Feed {
        let words = invocation.words;
        if place.depth < MAX_DEPTH
            && let Some(feed) = self
                .defined(words, command, place)
                .or_else(|| self.made_here(words, command, origins, place.deeper()))
        {
            return feed;
        }
        if inner.is_empty() {
            return Feed::default();
        }
        if place.depth >= MAX_DEPTH {
            self.too_deep(inner, place);
            return Feed::default();
        }
        let line = invocation.line();
        let elsewhere = line.is_some_and(|line| line.elsewhere);
        let here = elsewhere.then(|| (mem::take(&mut self.deeds), self.cwd.take()));
        let values = Values::of(invocation, &inner, command);
        let mut written = Feed::default();
        for inner in inner {
            let role = match (&inner, line) {
                (_, Some(line)) if line.elsewhere => Role::Elsewhere,
                (Inner::Words(_), Some(line)) if line.packages => Role::Packaged,
                (Inner::Setting(_), _) => Role::Packaged,
                _ => Role::Piece,
            };
            let part = self.parts.len();
            let feed = self.runs_one(inner, invocation, &values, command, origins, place);
            if role != Role::Piece {
                self.parts.is(part, role);
            }
            written = written.and(feed);
        }
        let Some(here) = here else { return written };
        (self.deeds, self.cwd) = here;
        written.without_files()
    }

    /// Adds one of the things that the command runs; gives what it writes.
    fn runs_one(
        &mut self,
        inner: Inner<'_>,
        invocation: Invocation<'_, '_>,
        values: &Values<'_>,
        command: &Command<'_>,
        origins: &[(String, Feed)],
        place: Place<'_>,
    ) -> Feed {
        match inner {
            _ if self.overflow => Feed::default(),
            Inner::Words(inner) => {
                let own = invocation.program.is_none_or(|it| !it.transparent);
                self.runs_words(&inner, values, command, own, origins, place.deeper())
            }
            Inner::Here(text) => self.script(&with_output(text, origins), place.deeper()),
            Inner::Script(text, arguments) => {
                let parallel = invocation.name == "parallel";
                self.runs_script(text, &arguments, parallel, command, origins, place)
            }
            Inner::Setting(text) => self.nested(&text, place),
            // A file of the line's own, such as `source /dev/stdin <<E`.
            Inner::File("/dev/stdin") => {
                let text = command.input.text();
                text.map_or_else(Feed::default, |text| self.script(text, place.deeper()))
            }
            Inner::Input { shell: true } => {
                let text = command.input.text();
                text.map_or_else(Feed::default, |text| self.nested(text, place))
            }
            Inner::File(file) => {
                let written = origins.iter().find(|(source, _)| source == file);
                match written.and_then(|(_, feed)| feed.text()) {
                    Some(text) => self.nested(text, place),
                    None => self.made_script(file, place),
                }
            }
            Inner::Input { shell: false } => {
                self.scripts_of(command.input.text().unwrap_or_default(), place)
            }
            Inner::Code(code) if code::is_code(code) => self.scripts_of(code, place),
            Inner::Code(_) => Feed::default(),
        }
    }

    /// Adds what a function or an alias of the line stands for, if the command is one.
    #[inline(never)]
    fn defined(&mut self, words: &[&str], command: &Command<'_>, place: Place<'_>) -> Option<Feed> {
        if let Some(function) = self.scope.functions.map().get(words[0]).cloned() {
            // A function that calls itself is not followed.
            let name = words[0].to_string();
            self.scope.functions.remove(&name);
            self.called.insert(name.clone(), ());
            let feed = self.call(&function, Some(&words[1..]), place, &command.input);
            if !self.scope.functions.map().contains_key(&name) {
                self.scope.functions.insert(name, function);
            }
            return Some(feed);
        }
        let alias = self.scope.aliases.map().get(words[0]);
        let alias = alias.filter(|alias| !alias.starts_with(words[0]))?.clone();
        let line = std::iter::once(alias.as_str()).chain(words[1..].iter().copied());
        let line = line.collect::<Vec<_>>().join(" ");
        Some(self.script(&line, place.deeper()))
    }

    /// Adds a script that a command is given; gives what it writes.
    #[inline(never)]
    fn runs_script(
        &mut self,
        text: String,
        arguments: &[&str],
        parallel: bool,
        command: &Command<'_>,
        origins: &[(String, Feed)],
        place: Place<'_>,
    ) -> Feed {
        if parallel {
            let values = command.input.text().unwrap_or_default();
            let line = if text.contains("{}") {
                text.replace("{}", values)
            } else {
                format!("{text} {values}")
            };
            return self.nested(&line, place);
        }
        // `sh -c a b`, of which nobody knows whether there were quotes once.
        if self.form == Form::Line
            && !arguments.is_empty()
            && !text.contains(' ')
            && (text.contains('/') || !text.contains('$'))
        {
            let words = std::iter::once(text.as_str()).chain(arguments.iter().copied());
            return self.nested(&words.collect::<Vec<_>>().join(" "), place);
        }
        if self.texts
            && let Some(part) = place.parent
        {
            self.comments(&text, part);
        }
        self.apart(|visitor| {
            let name = arguments.first().copied().unwrap_or("sh");
            let given = arguments.get(1..).unwrap_or_default();
            visitor.arguments = Some(Rc::new(Arguments::new(name, given)));
            visitor.stdin = command.input.clone();
            visitor.nested(&with_output(text, origins), place)
        })
    }

    /// Adds a command that another runs, with what that puts in; gives what it writes.
    fn runs_words(
        &mut self,
        inner: &[&str],
        values: &Values<'_>,
        by: &Command<'_>,
        own: bool,
        origins: &[(String, Feed)],
        deeper: Place<'_>,
    ) -> Feed {
        self.counts(values.size_in(inner));
        if self.overflow {
            return Feed::default();
        }
        // What a wrapper reads and writes is what the command does that it runs.
        let redirections = if own { Vec::new() } else { by.redirections.clone() };
        let command = Command {
            words: values.put_in(inner),
            redirections,
            input: by.input.clone(),
            guessed: by.guessed,
            typed: typed_of(by, inner, own),
            ..Command::default()
        };
        let processes = origins
            .iter()
            .filter(|(source, _)| inner.iter().any(|word| word.contains(source)))
            .cloned()
            .chain(values.mark.map(|mark| (mark.to_string(), by.input.untold())))
            .collect();
        let fed = self.command_with(&command, deeper, processes);
        self.heard(&command, deeper).and(fed)
    }

    /// Adds the shell scripts in a program in another language.
    fn scripts_of(&mut self, program: &str, place: Place<'_>) -> Feed {
        for script in code::look_through(program).scripts {
            self.nested(&script, place);
        }
        Feed::default()
    }

    /// Whether a program may be one that the line itself makes.
    pub(crate) fn may_be_made_here(&self, program: &str) -> bool {
        program.starts_with(['$', '`'])
            || !(self.copies.is_empty() && self.made.is_empty() && self.scope.defines_nothing())
    }

    /// Adds what a command runs whose program the line itself makes: by what it prints, as a
    /// script, as a copy. `None` where it does not.
    #[inline(never)]
    fn made_here(
        &mut self,
        words: &[&str],
        command: &Command<'_>,
        origins: &[(String, Feed)],
        deeper: Place<'_>,
    ) -> Option<Feed> {
        if words[0].starts_with(['$', '`']) {
            let line = with_output(words.join(" "), origins);
            return (!line.starts_with(['$', '`'])).then(|| self.script(&line, deeper));
        }
        if !words[0].contains('/') || (self.copies.is_empty() && self.made.is_empty()) {
            return None;
        }
        let file = self.place(words[0]);
        if let Some(program) = self.copies.remove(&file) {
            let mut words = command.words.clone();
            words[0] = Cow::Owned(program);
            let command = Command { words, input: command.input.clone(), ..Command::default() };
            return Some(self.command_with(&command, deeper, Vec::new()));
        }
        self.made(words[0])?.text()?;
        Some(self.made_script(words[0], deeper))
    }

    /// Adds the script in a file that the line has made.
    fn made_script(&mut self, file: &str, place: Place<'_>) -> Feed {
        let script = self.made(file).cloned().unwrap_or_default();
        let Some(text) = script.text() else { return Feed::default() };
        // A script that runs itself is not followed.
        let made = mem::take(&mut self.made);
        let feed = self.nested(text, place);
        self.made = made;
        feed
    }

    /// Adds a script that another shell runs; gives what it writes.
    pub(crate) fn nested(&mut self, script: &str, place: Place<'_>) -> Feed {
        if place.depth >= MAX_DEPTH {
            self.parts
                .unparsed
                .get_or_insert_with(|| format!("nested deeper than {MAX_DEPTH} levels"));
            if place.depth == MAX_DEPTH {
                self.crude(script, place);
            }
            return Feed::default();
        }
        // A rule that would hold for the line by itself holds for it in here too.
        let whole = self.parts.begin(place.parent, Kind::Whole);
        self.parts.spell(Faith::WIDE, &[script]);
        self.apart(|visitor| visitor.script(script, place.inside(whole).deeper()))
    }

    /// Follows wrappers to what they run in the end.
    #[cold]
    fn too_deep(&mut self, inner: Vec<Inner<'_>>, place: Place<'_>) {
        self.parts.unparsed.get_or_insert_with(|| format!("nested deeper than {MAX_DEPTH} levels"));
        let mut waiting = inner;
        for _ in 0..MAX_WRAPPERS {
            match waiting.pop() {
                Some(Inner::Words(words)) => {
                    let Some(invocation) = Invocation::of(&words) else { continue };
                    let deeper = command::inner(invocation);
                    if deeper.is_empty() {
                        self.bare(invocation, Some(""), Kind::Command, place);
                    }
                    waiting.extend(deeper);
                }
                Some(Inner::Script(text, _) | Inner::Setting(text) | Inner::Here(text)) => {
                    drop(self.nested(&text, place));
                }
                Some(Inner::Input { .. } | Inner::Code(_) | Inner::File(_)) => {}
                None => return,
            }
        }
        self.overflow = true;
    }
}

/// What was typed of the words that a command runs, where these are its last ones and those
/// before them are no guess.
fn typed_of(by: &Command<'_>, inner: &[&str], own: bool) -> Option<[String; 2]> {
    let [words, redirections] = by.typed.as_ref()?;
    let before = by.words.get(..by.words.len().checked_sub(inner.len())?)?;
    let typed = before.iter().try_fold(words.as_str(), |typed, word| {
        typed.strip_prefix(word.as_ref())?.strip_prefix(' ')
    })?;
    let redirections = if own { String::new() } else { redirections.clone() };
    typed.starts_with(inner.first()?).then(|| [typed.to_string(), redirections])
}

/// What is put into the words of commands that another runs: what `find` finds, what `xargs`
/// reads.
struct Values<'m> {
    values: Vec<String>,
    /// Where they are put; behind all words where there is none.
    mark: Option<&'m str>,
}

impl<'m> Values<'m> {
    /// What the command `words` puts in what it runs.
    fn of(invocation: Invocation<'_, 'm>, inner: &[Inner<'_>], command: &Command<'_>) -> Self {
        let Invocation { words, name, .. } = invocation;
        if !inner.iter().any(|inner| matches!(inner, Inner::Words(_))) {
            return Self { values: Vec::new(), mark: None };
        }
        if name.ends_with("find") {
            return Self { values: find::found(&words[1..]), mark: Some("{}") };
        }
        if !name.ends_with("xargs") && name != "parallel" {
            return Self { values: Vec::new(), mark: None };
        }
        let input = command.input.text().unwrap_or_default();
        let given = words.iter().position(|word| *word == "-I");
        let given = given.and_then(|at| words.get(at + 1)).copied();
        let placed = name == "parallel" && words.iter().any(|word| word.contains("{}"));
        let mark = given
            .or_else(|| placed.then_some("{}"))
            .or_else(|| words.iter().find_map(|word| word.strip_prefix("-I")))
            .filter(|mark| !mark.is_empty())
            .or_else(|| words.contains(&"-i").then_some("{}"));
        let values = input.split(|c: char| c.is_whitespace() || c == '\0');
        let values = values.filter(|value| !value.is_empty()).map(str::to_string).collect();
        Self { values, mark }
    }

    /// How much text they are where they are put in more than once.
    fn size_in(&self, words: &[&str]) -> usize {
        let Some(mark) = self.mark else { return 0 };
        let marks = words.iter().filter(|word| word.contains(mark)).count();
        let size: usize = self.values.iter().map(|value| value.len() + VALUE).sum();
        marks.saturating_sub(1) * size
    }

    /// The words of a command with the values put in.
    fn put_in<'w>(&self, words: &[&'w str]) -> Vec<Cow<'w, str>> {
        let values = || self.values.iter().cloned().map(Cow::Owned);
        // What is not known stays the mark.
        let Some(mark) = self.mark.filter(|_| !self.values.is_empty()) else {
            return words.iter().map(|word| Cow::Borrowed(*word)).chain(values()).collect();
        };
        let mut filled: Vec<Cow<'w, str>> = Vec::with_capacity(words.len());
        for word in words {
            match &self.values[..] {
                _ if *word == mark => filled.extend(values()),
                [only] if word.contains(mark) => filled.push(Cow::Owned(word.replace(mark, only))),
                _ => filled.push(Cow::Borrowed(word)),
            }
        }
        filled
    }
}

/// A text with what the scripts in it write in their place, where that is known.
fn with_output(mut text: String, origins: &[(String, Feed)]) -> String {
    for (source, feed) in origins {
        if let Some(output) = feed.text().filter(|_| text.contains(source.as_str())) {
            let output = output.trim_end_matches('\n');
            for written in [format!("$({source})"), format!("`{source}`")] {
                text = text.replace(&written, output);
            }
        }
    }
    text
}
