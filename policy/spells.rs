//! A simple command as parts: its spellings, what it runs in turn, and what it does.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use crate::Form;
use crate::code;
use crate::command::{self, Inner, Invocation};
use crate::feed::{Feed, Source};
use crate::parts::{Faith, Kind};
use crate::programs::{self, Program, Runs, Verb, base_name, is_option};
use crate::scope::Arguments;
use crate::spelling::{absolute_word, by_home, has_wildcard, normal_word, places, stands_for};
use crate::visit::{Command, MAX_COMMANDS, Place, Redirection, Visitor};

/// How deep scripts may be nested in scripts.
const MAX_DEPTH: usize = 12;
/// How many wrappers below that are followed to the command in the end.
const MAX_WRAPPERS: usize = 200;
/// How many lines a variable stands for at most.
const MAX_LINES: usize = 16;
/// How many variables with values from elsewhere are told apart.
const MAX_TAINTED: usize = 64;
/// How large the spellings of one line may grow, in bytes.
const MAX_TEXT: usize = 64 << 20;
/// How large the options may grow that are repeated for each operand, in bytes.
const MAX_OPTIONS: usize = 16 << 20;

/// What ends a command wherever a shell reads it.
const ENDS_A_COMMAND: &[char] = &[';', '|', '&', '\n', '`'];

/// Variables that change what a command runs, or the start of their names.
const RISKY: &[&str] = &[
    "PATH",
    "LD_",
    "DYLD_",
    "BASH_",
    "ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "IFS",
    "PS4",
    "PROMPT_COMMAND",
    "PYTHON",
    "PERL",
    "RUBY",
    "NODE_",
    "GIT_",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "LESS",
    "BROWSER",
    "JAVA_",
    "_JAVA",
    "JDK_",
    "CLASSPATH",
    "GCONV_PATH",
    "HOME",
    "XDG_CONFIG",
    "SHELL",
    "RUSTC",
    "CC",
    "CXX",
    "LD",
    "AR",
    "CARGO_",
    "MAKE",
    "npm_config",
    "NPM_CONFIG",
    "PIP_",
    "ZDOTDIR",
    "FPATH",
    "CDPATH",
    "TAR_OPTIONS",
    "RSYNC_",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "PHP",
    "LUA_",
    "GEM_",
    "BUNDLE_",
    "DOCKER_",
    "KUBE",
    "AWS_CONFIG",
    "GOFLAGS",
    "GOENV",
    "TERM",
    "MAVEN_",
    "GRADLE_",
    "R_",
    "OPENSSL_CONF",
    "ANSIBLE_",
    "TF_CLI",
];

fn is_risky(name: &str) -> bool {
    RISKY.iter().any(|risky| {
        if risky.ends_with('_') || risky.len() > 4 {
            name.starts_with(risky)
        } else {
            name == *risky
        }
    })
}

/// Whether a wrapper's own words are such as are known, and change nothing about what runs.
fn changes_nothing(program: &Program, words: &[&str]) -> bool {
    let is_number = |word: &str| {
        word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'))
    };
    let is_quantity = |word: &str| {
        is_number(word)
            && (word == "L"
                || word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | 'S'))
                || word.bytes().all(|byte| byte.is_ascii_uppercase()))
    };
    let mut at = 0;
    while at < words.len() {
        let word = words[at];
        let Some(given) = program.option(&words[at..]) else {
            let risky = assigned(word).is_some_and(|(name, _)| is_risky(name));
            if risky || !(program.assignments || is_quantity(word) || word == "--" || word == "-") {
                return false;
            }
            at += 1;
            continue;
        };
        let nice = word[1..].bytes().all(|byte| byte.is_ascii_digit());
        let known = matches!(given.sign, Some('.'))
            || given.value.is_some_and(|value| program.assignments || is_quantity(value));
        if !known && !nice && word != "--" {
            return false;
        }
        at += given.words;
    }
    true
}

/// The name that an assignment is to.
fn assigned(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').map(|(name, value)| (name.strip_suffix('+').unwrap_or(name), value))
}

impl Visitor<'_> {
    /// Adds a simple command and all that it runs.
    pub(crate) fn command(&mut self, command: &Command<'_>, place: Place<'_>) {
        self.command_with(command, place, Vec::new());
    }

    /// The same, with the processes in its words and what they write; gives what the
    /// commands write that it runs.
    pub(crate) fn command_with(
        &mut self,
        command: &Command<'_>,
        place: Place<'_>,
        processes: Vec<(String, Feed)>,
    ) -> Feed {
        self.commands += 1;
        if self.parts.text().len() > MAX_TEXT || self.commands > MAX_COMMANDS {
            self.overflow = true;
            return Feed::default();
        }
        let mut place = place;
        let words: Vec<&str> = command.words.iter().map(AsRef::as_ref).collect();
        let invocation = Invocation::of(&words);
        if !command.assignments.is_empty() || !command.redirections.is_empty() {
            let part = self.clothed(command, place);
            place = place.inside(part);
            self.redirected(command, invocation, part);
        }
        let Some(invocation) = invocation else {
            self.scripts(command, place);
            for assignment in &command.assignments {
                if let Some((name, value)) = assignment.split_once('=') {
                    self.assign(name, value);
                }
            }
            return Feed::default();
        };
        let inner = command::inner(invocation);
        let kind = Self::kind(invocation, &inner);
        let part = self.bare(invocation, command.guessed, kind, place);
        self.also(invocation, &inner, part);
        // An argument list is no shell text.
        if self.texts && (self.form == Form::Line || place.depth > 0) {
            self.texts(command, &words, part);
        }
        place = place.inside(part);
        let mut origins = processes;
        origins.extend(self.scripts(command, Place { heard: true, ..place }));
        if words.iter().any(|word| word.contains('$')) {
            let known = self.tainted.iter().map(|(name, feed)| (name.clone(), feed.clone()));
            origins.extend(known);
        }
        if self.deeds {
            self.does(invocation, &inner, command, &origins, part);
        }
        let written = self.runs(invocation, inner, command, &origins, place);
        self.takes_effect(invocation, &command.input);
        written
    }

    /// What else a command is that is not in its words alone: a `find` that deletes is a
    /// removal, and `env` and `export` assign variables.
    fn also(&mut self, invocation: Invocation<'_, '_>, inner: &[Inner<'_>], part: usize) {
        for path in command::swept(invocation) {
            self.parts.begin(Some(part), Kind::Whole);
            self.parts.spell(Faith::WIDE, ["rm", "-fr", &normal_word(&path)]);
        }
        for path in command::swept_from(invocation).into_iter().filter(|_| self.texts) {
            self.parts.begin(Some(part), Kind::Text);
            self.parts.spell(Faith::WIDE, ["rm", "-fr", &normal_word(path)]);
        }
        let words = invocation.words;
        let assigns = matches!(words[0], "export" | "declare" | "typeset" | "local" | "readonly")
            || invocation.program.is_some_and(|program| program.assignments);
        if assigns {
            let own = match inner {
                [Inner::Words(inner)] => words.len() - inner.len(),
                _ => words.len(),
            };
            for (name, _) in words[1..own].iter().filter_map(|word| assigned(word)) {
                self.parts.assigns(part, name);
            }
        }
    }

    /// Adds the pieces of a command's text between the operators that are in its words, and of
    /// the texts that it is given.
    fn texts(&mut self, command: &Command<'_>, words: &[&str], part: usize) {
        let mut texts: Vec<Cow<'_, str>> = Vec::new();
        let holds = |word: &&str| {
            word.contains(ENDS_A_COMMAND) || word.contains("$(") || word.contains("<(")
        };
        if words.iter().any(|word| word.len() > 1 && holds(word)) {
            texts.push(Cow::Owned(words.join(" ")));
        }
        texts.extend(command.documents.iter().map(|text| Cow::Borrowed(text.as_str())));
        for mut text in texts {
            // What runs is known by itself.
            for script in &command.scripts {
                text = Cow::Owned(text.replace(script.as_str(), ""));
            }
            let pieces = text.split(ENDS_A_COMMAND).flat_map(|piece| {
                let inner = piece.split("$(").chain(piece.split("<(")).skip(1);
                let inner = inner.map(|inner| inner.split(')').next().unwrap_or_default());
                std::iter::once(piece).chain(inner)
            });
            for piece in pieces.map(str::trim).filter(|piece| !piece.is_empty()) {
                self.parts.begin(Some(part), Kind::Text);
                self.parts.spell(Faith::FULL, [piece]);
            }
        }
    }

    /// Adds the scripts in a command's words; gives what each writes.
    fn scripts(&mut self, command: &Command<'_>, place: Place<'_>) -> Vec<(String, Feed)> {
        command.scripts.iter().map(|script| (script.clone(), self.nested(script, place))).collect()
    }

    /// What kind of part a command is.
    fn kind(invocation: Invocation<'_, '_>, inner: &[Inner<'_>]) -> Kind {
        let Invocation { program: Some(program), words, name, .. } = invocation else {
            return Kind::Command;
        };
        let own = match inner {
            [Inner::Words(inner)] => {
                let before = &words[1..words.len().saturating_sub(inner.len()).max(1)];
                !changes_nothing(program, before)
            }
            [Inner::Script(..)] => {
                program.assignments
                    || words[1..].iter().any(|word| {
                        word.starts_with("--")
                            && !matches!(*word, "--login" | "--norc" | "--noprofile")
                    })
            }
            _ => true,
        };
        // A shell from elsewhere is not the shell, whatever it is called.
        let elsewhere = words[0].contains('/')
            && !["/bin/", "/usr/bin/", "/usr/local/bin/"]
                .iter()
                .any(|folder| words[0].strip_prefix(folder) == Some(name));
        if program.transparent && !own && !elsewhere { Kind::Wrapper } else { Kind::Command }
    }

    /// What a command changes for those behind it.
    fn takes_effect(&mut self, invocation: Invocation<'_, '_>, input: &Feed) {
        let words = invocation.words;
        match words[0] {
            "cd" | "pushd" => self.change_directory(words),
            "export" | "declare" | "local" | "readonly" | "typeset" => {
                for (name, value) in words[1..].iter().filter_map(|word| assigned(word)) {
                    self.assign(name, value);
                }
            }
            "unset" | "read" | "mapfile" | "readarray" => {
                let nothing = Feed::default();
                let input = if words[0] == "unset" { &nothing } else { input };
                for name in words[1..].iter().filter(|word| !is_option(word)) {
                    self.reads(name, input);
                }
            }
            "set" => {
                if let Some(at) = words.iter().position(|word| *word == "--") {
                    self.arguments = Some(Rc::new(Arguments::new("sh", &words[at + 1..])));
                }
            }
            "alias" => {
                for (name, value) in words[1..].iter().filter_map(|word| assigned(word)) {
                    self.scope.aliases.insert(name.to_string(), value.to_string());
                }
            }
            _ => {}
        }
        if self.deeds
            && let Some((file, url)) = command::download(invocation)
        {
            let file = self.place(&file);
            self.made.insert(file, Feed::of_sources(vec![Source::Url(url)]));
        }
        let rest = &words[1..];
        match (invocation.name, rest) {
            ("mv" | "cp" | "install" | "ln", [from @ .., to]) => {
                for from in from {
                    let made = self.made(from).cloned();
                    let to = self.place(to);
                    if let Some(feed) = made {
                        self.made.insert(to, feed);
                    } else if from.contains('/') && programs::find(base_name(from)).is_some() {
                        self.copies.insert(to, (*from).to_string());
                    }
                }
            }
            ("tee", _) if input.text().is_some() || input.is_foreign() => {
                for file in rest.iter().filter(|word| !is_option(word)) {
                    let file = self.place(file);
                    self.made.insert(file, input.clone());
                }
            }
            _ => {}
        }
    }

    /// What is in a file that the line has made.
    fn made(&self, file: &str) -> Option<&Feed> {
        if self.made.is_empty() {
            return None;
        }
        self.made.get(&self.place(file))
    }

    /// A variable is given a line of what is read.
    fn reads(&mut self, name: &str, input: &Feed) {
        let text = input.text().filter(|text| text.lines().count() <= MAX_LINES);
        let lines = text.map(|text| text.lines().map(str::to_string).collect());
        self.scope.variables.set(name, lines);
        if input.is_foreign() {
            let feed = input.untold();
            for mut name in [format!("${name}"), format!("${{{name}")] {
                // Of so many it is not known any more which they are.
                if self.tainted.len() >= MAX_TAINTED {
                    name.truncate(1);
                }
                let before = self.tainted.remove(&name).unwrap_or_default();
                self.tainted.insert(name, before.and(feed.clone()));
            }
        }
    }

    fn assign(&mut self, name: &str, value: &str) {
        let longer = name.strip_suffix('+').and_then(|name| self.scope.variables.get(name));
        let longer = longer.map(|before| format!("{}{value}", before.join(" ")));
        let (name, value) = (name.trim_end_matches('+'), longer.as_deref().unwrap_or(value));
        let list = value.strip_prefix('(').and_then(|value| value.strip_suffix(')'));
        let values = match list {
            Some(values) => values.split_whitespace().map(str::to_string).collect(),
            None => vec![value.to_string()],
        };
        self.scope.variables.set(name, Some(values));
    }

    /// A path by its first place.
    fn place(&self, path: &str) -> String {
        places(path, self.cwd.as_deref(), self.home).swap_remove(0)
    }

    /// Adds what the command runs in turn; gives what that writes.
    fn runs(
        &mut self,
        invocation: Invocation<'_, '_>,
        inner: Vec<Inner<'_>>,
        command: &Command<'_>,
        origins: &[(String, Feed)],
        place: Place<'_>,
    ) -> Feed {
        let words = invocation.words;
        let deeper = Place { depth: place.depth.saturating_add(1), sent: None, ..place };
        if place.depth < MAX_DEPTH {
            if let Some(function) = self.scope.functions.map().get(words[0]).cloned() {
                // A function that calls itself is not followed.
                let name = words[0].to_string();
                self.scope.functions.remove(&name);
                self.called.insert(name.clone());
                let feed = self.call(&function, Some(&words[1..]), place, &command.input);
                if !self.scope.functions.map().contains_key(&name) {
                    self.scope.functions.insert(name, function);
                }
                return feed;
            }
            let alias = self.scope.aliases.map().get(words[0]).cloned();
            if let Some(alias) = alias.filter(|alias| !alias.starts_with(words[0])) {
                let line = std::iter::once(alias.as_str()).chain(words[1..].iter().copied());
                let line = line.collect::<Vec<_>>().join(" ");
                return self.script(&line, deeper);
            }
            if let Some(feed) = self.elsewhere(words, command, origins, deeper) {
                return feed;
            }
        } else if !inner.is_empty() {
            self.too_deep(inner, place);
            return Feed::default();
        }
        let mut written = Feed::default();
        let values = Values::of(invocation, &inner, command);
        for inner in inner {
            if self.overflow {
                return Feed::default();
            }
            let feed = match inner {
                Inner::Words(inner) => {
                    let texts = values.put_in(&inner);
                    let command = Command {
                        words: texts,
                        input: command.input.clone(),
                        guessed: command.guessed,
                        ..Command::default()
                    };
                    let processes = origins
                        .iter()
                        .filter(|(source, _)| inner.iter().any(|word| word.contains(source)))
                        .cloned()
                        .collect();
                    let fed = self.command_with(&command, deeper, processes);
                    self.heard(&command, deeper).and(fed)
                }
                Inner::Here(text) => self.script(&with_output(text, origins), deeper),
                Inner::Script(text, _) if invocation.name == "parallel" => {
                    let values = command.input.text().unwrap_or_default();
                    let line = if text.contains("{}") {
                        text.replace("{}", values)
                    } else {
                        format!("{text} {values}")
                    };
                    self.nested(&line, place)
                }
                // `sh -c a b`, of which nobody knows whether there were quotes once.
                Inner::Script(text, arguments)
                    if self.form == Form::Line
                        && !arguments.is_empty()
                        && !text.contains([' ', '$']) =>
                {
                    let text = std::iter::once(text.as_str()).chain(arguments);
                    self.nested(&text.collect::<Vec<_>>().join(" "), place)
                }
                Inner::Script(text, arguments) => self.apart(|visitor| {
                    let name = arguments.first().copied().unwrap_or("sh");
                    let given = arguments.get(1..).unwrap_or_default();
                    visitor.arguments = Some(Rc::new(Arguments::new(name, given)));
                    visitor.stdin = command.input.clone();
                    visitor.nested(&with_output(text, origins), place)
                }),
                Inner::Input { shell: true } => match command.input.text() {
                    Some(text) => self.nested(text, place),
                    None => Feed::default(),
                },
                // A file of the line's own, such as `source /dev/stdin <<E`.
                Inner::File("/dev/stdin") => match command.input.text() {
                    Some(text) => self.script(text, deeper),
                    None => Feed::default(),
                },
                Inner::File(file) => match origins.iter().find(|(source, _)| source == file) {
                    Some((_, feed)) if feed.text().is_some() => {
                        self.nested(feed.text().unwrap_or_default(), place)
                    }
                    _ => self.made_script(file, place),
                },
                Inner::Input { shell: false } => {
                    self.scripts_of(command.input.text().unwrap_or_default(), place)
                }
                Inner::Code(code) if code::is_code(code) => self.scripts_of(code, place),
                Inner::Code(_) => Feed::default(),
            };
            written = written.and(feed);
        }
        written
    }

    /// Adds the shell scripts in a program in another language.
    fn scripts_of(&mut self, program: &str, place: Place<'_>) -> Feed {
        for script in code::look_through(program).scripts {
            self.nested(&script, place);
        }
        Feed::default()
    }

    /// Adds what a command runs whose program the line itself makes: by what it prints, as a
    /// script, as a copy. `None` where it does not.
    fn elsewhere(
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
        let made = std::mem::take(&mut self.made);
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
        self.parts.spell(Faith::WIDE, [script]);
        let inside = Place { depth: place.depth + 1, ..place.inside(whole) };
        self.apart(|visitor| visitor.script(script, inside))
    }

    /// Follows wrappers to what they run in the end.
    fn too_deep(&mut self, inner: Vec<Inner<'_>>, place: Place<'_>) {
        self.parts.unparsed.get_or_insert_with(|| format!("nested deeper than {MAX_DEPTH} levels"));
        let mut waiting = inner;
        for _ in 0..MAX_WRAPPERS {
            match waiting.pop() {
                Some(Inner::Words(words)) => {
                    let Some(invocation) = Invocation::of(&words) else { continue };
                    let deeper = command::inner(invocation);
                    if deeper.is_empty() {
                        self.bare(invocation, true, Kind::Command, place);
                    }
                    waiting.extend(deeper);
                }
                Some(Inner::Script(text, _) | Inner::Here(text)) => drop(self.nested(&text, place)),
                Some(Inner::Input { .. } | Inner::Code(_) | Inner::File(_)) => {}
                None => return,
            }
        }
        self.overflow = true;
    }

    /// What the command writes, where anybody reads that.
    pub(crate) fn heard(&self, command: &Command<'_>, place: Place<'_>) -> Feed {
        if place.heard { self.output(command) } else { Feed::default() }
    }

    /// What the command writes, as far as that is seen.
    pub(crate) fn output(&self, command: &Command<'_>) -> Feed {
        let words = innermost(command.words.iter().map(AsRef::as_ref).collect());
        let Some(invocation) = Invocation::of(&words) else { return Feed::default() };
        let name = invocation.name;
        if name == "tee" || name == "cat" && (words.len() == 1 || words[1..] == ["-"]) {
            return command.input.clone();
        }
        if let Some(text) = command::written(invocation) {
            return Feed::of_text(text);
        }
        let mut own = Vec::new();
        let read = command::deeds(invocation).into_iter().filter(|(verb, _)| *verb == Verb::Read);
        own.extend(read.map(|(_, file)| Source::File(self.place(&file))));
        let redirected = command.redirections.iter().filter(|to| to.operator == "<");
        own.extend(redirected.map(|from| Source::File(self.place(&from.target))));
        if command::tells_all_variables(invocation) {
            own.push(Source::File("env:".to_string()));
        }
        own.extend(command::fetched(invocation).into_iter().map(Source::Url));
        if command::decodes(invocation) {
            own.push(Source::Url("data:".to_string()));
        }
        let mut feed = command.input.untold().and(Feed::of_sources(own));
        if matches!(name, "cat" | "head" | "tail" | "sed" | "gunzip" | "zcat") {
            for made in words[1..].iter().filter_map(|word| self.made(word)) {
                feed = if feed.text().is_some() {
                    feed.and(made.untold())
                } else {
                    feed.and(made.clone())
                };
            }
        }
        feed
    }

    /// A command of a pipeline in short: a shell that reads its script is `sh -s`, whatever
    /// it is called, started by, or given as options.
    pub(crate) fn short<'w>(command: &'w Command<'_>) -> Vec<&'w str> {
        let mut words: Vec<&str> = command.words.iter().map(AsRef::as_ref).collect();
        let last = innermost(words.clone());
        let runs = Invocation::of(&last).map(command::inner);
        if matches!(runs.as_deref(), Some([Inner::Input { .. }])) {
            return vec!["sh", "-s"];
        }
        if let Some(program) = words.first_mut() {
            *program = base_name(program);
        }
        words
    }

    /// The command with its assignments and redirections.
    fn clothed(&mut self, command: &Command<'_>, place: Place<'_>) -> usize {
        let risky = command
            .assignments
            .iter()
            .any(|word| assigned(word).is_none_or(|(name, _)| is_risky(name)));
        let kind =
            if risky || !command.redirections.is_empty() { Kind::Command } else { Kind::Wrapper };
        let part = self.parts.begin(place.parent, kind);
        for (name, _) in command.assignments.iter().filter_map(|word| assigned(word)) {
            self.parts.assigns(part, name);
        }
        if let Some(sent) = place.sent {
            self.parts.spell(Faith::WIDE, [sent]);
        }
        let faith = if command.guessed { Faith::WIDE } else { Faith::FULL };
        let clothes = |normal: bool, cwd: Option<&str>| {
            let read = |word: &str| match cwd.and_then(|cwd| absolute_word(word, cwd, Some(true))) {
                Some(absolute) => absolute,
                None if normal => normal_word(word).into_owned(),
                None => word.to_string(),
            };
            let mut words: Vec<String> =
                command.assignments.iter().map(ToString::to_string).collect();
            words.extend(command.words.iter().enumerate().map(|(index, word)| match index {
                0 if normal => base_name(word).to_string(),
                0 => word.to_string(),
                _ if normal => normal_word(word).into_owned(),
                _ => word.to_string(),
            }));
            for Redirection { operator, target } in &command.redirections {
                let writes = normal && operator.contains('>');
                words.push(if writes { ">" } else { operator }.to_string());
                words.push(read(target));
            }
            words
        };
        let plain = clothes(false, None);
        let normal = clothes(true, None);
        let faithful = command.redirections.iter().all(|to| normal_word(&to.target) == to.target);
        self.parts
            .spell(if faithful { faith } else { Faith::WIDE }, plain.iter().map(String::as_str));
        self.parts.spell(Faith { permits: false, ..faith }, normal.iter().map(String::as_str));
        if let Some(cwd) = self.cwd.as_deref() {
            let absolute = clothes(true, Some(cwd));
            self.parts
                .spell(Faith { permits: false, ..faith }, absolute.iter().map(String::as_str));
        }
        let alone = command.redirections.len() == 1 && !command.guessed;
        let faith = if alone { Faith::EXCUSES } else { Faith::WIDE };
        for Redirection { operator, target } in &command.redirections {
            let operator = if operator.contains('>') { ">" } else { operator };
            self.parts.spell(faith, [operator, &normal_word(target)]);
            for place in if *operator == *"<<<" {
                Vec::new()
            } else {
                places(target, self.cwd.as_deref(), self.home)
            } {
                self.parts.spell(faith, [operator, &place]);
            }
        }
        part
    }

    /// Adds what redirections do.
    fn redirected(
        &mut self,
        command: &Command<'_>,
        invocation: Option<Invocation<'_, '_>>,
        part: usize,
    ) {
        let words = invocation.map_or(&[][..], |invocation| invocation.words);
        let program = invocation.and_then(|invocation| invocation.program);
        let writes = |to: &Redirection| to.operator.contains('>') || to.target.starts_with("/dev/");
        let some = command.redirections.iter().any(writes);
        let output = if some { self.output(command) } else { Feed::default() };
        for Redirection { operator, target } in &command.redirections {
            let network = target
                .strip_prefix("/dev/tcp/")
                .map(|to| ("tcp", to))
                .or_else(|| target.strip_prefix("/dev/udp/").map(|to| ("udp", to)));
            if let Some((scheme, to)) = network {
                let url = format!("{scheme}://{}", to.replace('/', ":"));
                self.deed(Verb::Fetch, &url, command.guessed, part);
                for file in output.files() {
                    self.deed(Verb::Send, &file, command.guessed, part);
                }
                // A shell that is given to another machine runs what that says.
                if program.is_some_and(|program| program.runs == Runs::Shell) {
                    self.deed(Verb::Run, &url, command.guessed, part);
                }
                continue;
            }
            let verb = if operator.contains('>') { Verb::Write } else { Verb::Read };
            if *operator != "<<<" {
                self.deed(verb, target, command.guessed, part);
            }
            // `> F` alone, and with nothing written.
            if *operator == ">" && !command.around && command::writes_nothing(words) {
                self.deed(Verb::Delete, target, command.guessed, part);
            }
            if *operator == "<" && program.is_some_and(|program| program.sends) {
                self.deed(Verb::Send, target, command.guessed, part);
            }
            let is_known = output.text().is_some() || output.is_foreign();
            if verb == Verb::Write && !words.is_empty() && is_known {
                self.made.insert(self.place(target), output.clone());
            }
        }
    }

    /// Adds a deed of the command that is `part`.
    fn deed(&mut self, verb: Verb, target: &str, guessed: bool, part: usize) {
        // What `{}` stands for is not known, nor is the file of a process or of no name.
        if !self.deeds
            || target.is_empty()
            || target.starts_with("{}")
            || target.starts_with("<(")
            || target.starts_with(">(")
        {
            return;
        }
        let faith =
            if guessed || target.contains(['$', '`']) { Faith::WIDE } else { Faith::EXCUSES };
        self.parts.begin(Some(part), Kind::Deed(verb));
        match verb {
            Verb::Fetch | Verb::Run => self.parts.spell(faith, [target]),
            Verb::Send if target.ends_with(':') => self.parts.spell(faith, [target]),
            _ => {
                let places = places(target, self.cwd.as_deref(), self.home);
                for place in &places {
                    self.parts.spell(faith, [place.as_str()]);
                }
                for place in places.iter().filter(|place| has_wildcard(place)) {
                    for named in stands_for(place, self.named) {
                        self.parts.spell(Faith::WIDE, [named]);
                    }
                }
            }
        }
    }

    /// Adds what the command does to files and with URLs, and the code from there that it runs.
    fn does(
        &mut self,
        invocation: Invocation<'_, '_>,
        inner: &[Inner<'_>],
        command: &Command<'_>,
        origins: &[(String, Feed)],
        part: usize,
    ) {
        let (words, guessed) = (invocation.words, command.guessed);
        let deeds = command::deeds(invocation);
        // What is done twice is done.
        let mut known = HashSet::new();
        for (verb, target) in &deeds {
            if deeds.len() == 1 || known.insert((verb, target)) {
                self.deed(*verb, target, guessed, part);
            }
        }
        let of = |text: &str| -> Vec<String> {
            let in_text = origins
                .iter()
                .filter(|(source, _)| !source.is_empty() && text.contains(source.as_str()));
            in_text.flat_map(|(_, feed)| feed.urls()).collect()
        };
        // `$(curl …)` as a command, and files that were fetched.
        let mut run = of(words[0]);
        let file =
            |visitor: &Self, file: &str| visitor.made(file).map(Feed::urls).unwrap_or_default();
        if words[0].contains('/') {
            run.extend(file(self, words[0]));
        }
        for inner in inner {
            match inner {
                Inner::Here(text) | Inner::Script(text, _) => run.extend(of(text)),
                Inner::Code(code) | Inner::File(code) => {
                    run.extend(of(code));
                    run.extend(file(self, code));
                    if code::is_code(code) {
                        run.extend(self.looks_through(code, part));
                    }
                    if *code == "/dev/stdin" {
                        run.extend(command.input.urls());
                    }
                }
                Inner::Input { shell } => {
                    run.extend(command.input.urls());
                    if let Some(text) = command.input.text().filter(|_| !shell) {
                        run.extend(self.looks_through(text, part));
                    }
                }
                Inner::Words(_) => {}
            }
        }
        if invocation.program.is_some_and(|program| program.fetches == Some(""))
            && gives_a_shell(invocation)
        {
            run.extend(command::fetched(invocation));
        }
        run.dedup();
        for url in run {
            self.deed(Verb::Run, &url, guessed, part);
        }
        if invocation.program.is_some_and(|program| program.sends) {
            self.sends(words, command, origins, &deeds, part);
        }
    }

    /// Adds what a program in another language does; gives where it gets code from.
    fn looks_through(&mut self, program: &str, part: usize) -> Vec<String> {
        let found = code::look_through(program);
        for (verb, path) in found.deeds {
            self.deed(verb, &path, true, part);
        }
        found.run
    }

    /// Adds what of files goes to another machine by the command.
    fn sends(
        &mut self,
        words: &[&str],
        command: &Command<'_>,
        origins: &[(String, Feed)],
        deeds: &[(Verb, String)],
        part: usize,
    ) {
        let read = deeds.iter().filter(|(verb, _)| *verb == Verb::Read);
        let mut files: Vec<String> = read.map(|(_, file)| file.clone()).collect();
        files.extend(command.input.files());
        let in_words = origins.iter().filter(|(source, _)| {
            !source.is_empty() && words.iter().any(|word| word.contains(source.as_str()))
        });
        files.extend(in_words.flat_map(|(_, feed)| feed.files()));
        // What socat opens, and what `ftp` and `sftp` are told to put.
        files.extend(words[1..].iter().filter_map(|word| {
            let (kind, rest) = word.split_once(':')?;
            matches!(&*kind.to_ascii_lowercase(), "file" | "open" | "gopen")
                .then(|| rest.split(',').next().unwrap_or(rest).to_string())
        }));
        let told = command.input.text().into_iter().flat_map(str::lines);
        files.extend(told.filter_map(|line| {
            let (verb, rest) = line.trim().split_once(' ')?;
            matches!(verb, "put" | "mput" | "send" | "append")
                .then(|| rest.split_whitespace().next().unwrap_or_default().to_string())
        }));
        for file in files {
            self.deed(Verb::Send, &file, command.guessed, part);
        }
    }

    /// The command by its words alone.
    fn bare(
        &mut self,
        invocation: Invocation<'_, '_>,
        guessed: bool,
        kind: Kind,
        place: Place<'_>,
    ) -> usize {
        let Invocation { words, name, .. } = invocation;
        if self.is_too_large(words.len(), 0) {
            return self.parts.begin(place.parent, kind);
        }
        let styled = |program: &&Program| program.style.is_some() && !invocation.is_subcommand();
        let Some(program) = invocation.program.filter(styled) else {
            let part = self.parts.begin(place.parent, kind);
            let normal: Vec<Cow<'_, str>> =
                words[1..].iter().map(|word| normal_word(word)).collect();
            self.spell(words, &normal, guessed, None, place.sent);
            if let Some((short, risky)) = invocation.without_globals() {
                let normal: Vec<Cow<'_, str>> =
                    short[1..].iter().map(|word| normal_word(word)).collect();
                self.spell(&short, &normal, guessed || risky, None, None);
            }
            return part;
        };
        let arguments = program.arguments(&words[1..]);
        let deeds = program.each(&arguments.operands);
        let options: usize = arguments.written.iter().map(|word| word.len() + 1).sum();
        if self.is_too_large(deeds.len(), options) {
            return self.parts.begin(place.parent, kind);
        }
        if let [only] = deeds.as_slice() {
            let part = self.parts.begin(place.parent, kind);
            let normal = normal_arguments(program, &arguments.options, only, true);
            self.spell(words, &normal, guessed, Some(program), place.sent);
            self.as_written(name, program, &arguments.options, only, guessed);
            return part;
        }
        let part = self.parts.begin(place.parent, Kind::Whole);
        if let Some(sent) = place.sent {
            self.parts.spell(Faith::WIDE, [sent]);
        }
        self.parts.spell(Faith::WIDE, words.iter().copied());
        let all = normal_arguments(program, &arguments.options, &arguments.operands, true);
        self.parts.spell(Faith::WIDE, std::iter::once(name).chain(all.iter().map(AsRef::as_ref)));
        // What is done twice is done.
        let mut known = HashSet::new();
        for deed in deeds.into_iter().filter(|deed| known.insert(deed.clone())) {
            self.parts.begin(Some(part), kind);
            let mut plain = vec![words[0]];
            let before = program.does == crate::programs::Operands::Find;
            if before {
                plain.extend(&deed);
            }
            plain.extend(&arguments.written);
            if !before {
                plain.extend(&deed);
            }
            let normal = normal_arguments(program, &arguments.options, &deed, true);
            self.spell(&plain, &normal, guessed, Some(program), None);
            self.as_written(name, program, &arguments.options, &deed, guessed);
        }
        part
    }

    /// Spells the part begun last with its options in normal spelling and its operands as
    /// they were written, where that differs: a pattern may be about `./…`.
    fn as_written(
        &mut self,
        name: &str,
        program: &Program,
        options: &[String],
        operands: &[&str],
        guessed: bool,
    ) {
        if operands.iter().any(|operand| operand.starts_with("./")) {
            let faith = if guessed { Faith::WIDE } else { Faith::EXCUSES };
            let words = normal_arguments(program, options, operands, false);
            self.parts.spell(faith, std::iter::once(name).chain(words.iter().map(AsRef::as_ref)));
        }
    }

    /// Whether so many spellings would be too large, each longer by `bytes` and the
    /// working directory.
    fn is_too_large(&mut self, count: usize, bytes: usize) -> bool {
        let cwd = self.cwd.as_ref().map_or(0, |cwd| cwd.len());
        self.overflow |=
            count.saturating_mul(bytes) > MAX_OPTIONS || count.saturating_mul(cwd) > MAX_TEXT;
        self.overflow
    }

    /// Spells the part begun last: `plain` is all its words, `normal` those behind the
    /// program in normal spelling.
    fn spell(
        &mut self,
        plain: &[&str],
        normal: &[Cow<'_, str>],
        guessed: bool,
        program: Option<&Program>,
        sent: Option<&str>,
    ) {
        let written = plain[0];
        let name = base_name(written);
        let faith = if guessed { Faith::WIDE } else { Faith::FULL };
        let excuses = Faith { permits: false, ..faith };
        let resolved = plain[1..].iter().all(|word| matches!(normal_word(word), Cow::Borrowed(_)));
        // A program's name with a blank in it reads like a program and an argument.
        let as_written = if resolved && !written.contains(' ') { faith } else { Faith::WIDE };
        if let Some(sent) = sent {
            self.parts.spell(as_written, [sent]);
        }
        self.parts.spell(as_written, plain.iter().copied());
        let same = plain[1..].iter().copied().eq(normal.iter().map(AsRef::as_ref));
        if !same || name.len() != written.len() {
            let words = |first| std::iter::once(first).chain(normal.iter().map(AsRef::as_ref));
            self.parts.spell(if written.contains(' ') { excuses } else { faith }, words(written));
            self.parts.spell(excuses, words(name));
        }
        if name.len() != written.len() {
            self.parts.spell(Faith::WIDE, std::iter::once(name).chain(plain[1..].iter().copied()));
        }
        let is_path = |index| program.map(|program| program.is_path(index, normal.len()));
        // By their index, the words that are spelled in another way as well.
        let mut absolute: Vec<(usize, String)> = Vec::new();
        if let Some(cwd) = self.cwd.as_deref() {
            let words = normal.iter().enumerate();
            absolute.extend(words.filter_map(|(index, word)| {
                Some((index, absolute_word(word, cwd, is_path(index))?))
            }));
        }
        let mut at_home: Vec<(usize, String)> = Vec::new();
        if self.home.is_some() {
            let words = changed(normal, &absolute).enumerate();
            at_home
                .extend(words.filter_map(|(index, word)| Some((index, by_home(word, self.home)?))));
        }
        for other in [absolute, at_home] {
            if !other.is_empty() {
                let words = changed(normal, &other);
                self.parts.spell(excuses, std::iter::once(name).chain(words));
            }
        }
    }
}

/// The words with some of them spelled in another way, which are given by their index.
fn changed<'w>(
    words: &'w [Cow<'w, str>],
    others: &'w [(usize, String)],
) -> impl Iterator<Item = &'w str> {
    let mut others = others.iter().peekable();
    words.iter().enumerate().map(move |(index, word)| {
        others.next_if(|(at, _)| *at == index).map_or(word.as_ref(), |(_, other)| other.as_str())
    })
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
            return Self { values: command::found(&words[1..]), mark: Some("{}") };
        }
        let Some(input) =
            command.input.text().filter(|_| name.ends_with("xargs") || name == "parallel")
        else {
            return Self { values: Vec::new(), mark: None };
        };
        let given = words.iter().position(|word| *word == "-I");
        let given = given.and_then(|at| words.get(at + 1)).copied();
        let placed = name == "parallel" && words.iter().any(|word| word.contains("{}"));
        let mark = given
            .or_else(|| placed.then_some("{}"))
            .or_else(|| words.iter().find_map(|word| word.strip_prefix("-I")))
            .filter(|mark| !mark.is_empty())
            .or_else(|| words.contains(&"-i").then_some("{}"));
        Self { values: input.split_whitespace().map(str::to_string).collect(), mark }
    }

    /// The words of a command with the values put in.
    fn put_in<'w>(&self, words: &[&'w str]) -> Vec<Cow<'w, str>> {
        let values = || self.values.iter().cloned().map(Cow::Owned);
        let Some(mark) = self.mark else {
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

/// Whether a command that talks to another machine gives it a shell.
fn gives_a_shell(invocation: Invocation<'_, '_>) -> bool {
    let socat = |word: &&&str| {
        let word = word.to_ascii_lowercase();
        word.starts_with("exec:") || word.starts_with("system:") || word.starts_with("shell:")
    };
    let Invocation { words, program, .. } = invocation;
    words[1..].iter().any(|word| socat(&word))
        || (1..words.len()).any(|at| {
            program
                .and_then(|program| program.option(&words[at..]))
                .is_some_and(|option| matches!(option.sign, Some('!' | '$')))
        })
}

/// What is run in the end by wrappers such as `env` and `nice`, as far as they are followed.
fn innermost(mut words: Vec<&str>) -> Vec<&str> {
    for _ in 0..MAX_DEPTH {
        let Some(invocation) = Invocation::of(&words) else { break };
        match command::inner(invocation).into_iter().next() {
            Some(Inner::Words(inner))
                if inner.len() < words.len() && !invocation.name.ends_with("find") =>
            {
                words = inner;
            }
            _ => break,
        }
    }
    words
}

fn normal_arguments<'a>(
    program: &Program,
    options: &'a [String],
    operands: &[&'a str],
    normal: bool,
) -> Vec<Cow<'a, str>> {
    let options = options.iter().map(|option| normal_word(option));
    let operands = operands
        .iter()
        .map(|operand| if normal { normal_word(operand) } else { Cow::Borrowed(*operand) });
    if program.does == crate::programs::Operands::Find {
        operands.chain(options).collect()
    } else {
        options.chain(operands).collect()
    }
}
