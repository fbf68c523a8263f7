//! A simple command as parts: what it is, its words, what runs it, and what comes of it.

use std::borrow::Cow;

use crate::Form;
use crate::command;
use crate::feed::{Feed, Source};
use crate::find;
use crate::invocation::{Inner, Invocation};
use crate::parts::{Faith, Kind, Role};
use crate::programs::{self, Operands, Program, Runs, base_name};
use crate::shell::is_assignment;
use crate::spelling::normal_word;
use crate::spells::normal_arguments;
use crate::stage::Command;
use crate::visit::{Place, Visitor};

/// What ends a command wherever a shell reads it.
pub(crate) const ENDS_A_COMMAND: &[char] = &[';', '|', '&', '\n', '`'];

/// Commands that give variables their values.
pub(crate) const DECLARES: &[&str] = &["export", "declare", "typeset", "local", "readonly"];

/// How many operands of a command in a text are spelled by themselves.
const MAX_DEEDS_OF_TEXT: usize = 64;

/// Variables that change what a command runs, or the start of their names.
#[rustfmt::skip]
const RISKY: &[&str] = &[
    "PATH", "LD_", "DYLD_", "BASH_", "ENV", "SHELLOPTS", "BASHOPTS", "IFS", "PS4", "PROMPT_COMMAND",
    "PYTHON", "PERL", "RUBY", "NODE_", "GIT_", "EDITOR", "VISUAL", "PAGER", "MANPAGER", "LESS",
    "BROWSER", "JAVA_", "_JAVA", "JDK_", "CLASSPATH", "GCONV_PATH", "HOME", "XDG_CONFIG", "SHELL",
    "RUSTC", "CC", "CXX", "LD", "AR", "CARGO_", "MAKE", "npm_config", "NPM_CONFIG", "PIP_",
    "ZDOTDIR", "FPATH", "CDPATH", "TAR_OPTIONS", "RSYNC_", "SSH_ASKPASS", "SUDO_ASKPASS", "PHP",
    "LUA_", "GEM_", "BUNDLE_", "DOCKER_", "KUBE", "AWS_CONFIG", "GOFLAGS", "GOENV", "TERM",
    "MAVEN_", "GRADLE_", "R_", "OPENSSL_CONF", "ANSIBLE_", "TF_CLI",
];

/// Those of them that change how a program runs, and nothing about which.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "NODE_ENV", "NODE_NO_WARNINGS", "GIT_TERMINAL_PROMPT", "GIT_OPTIONAL_LOCKS", "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_DATE", "GIT_MERGE_AUTOEDIT", "CARGO_INCREMENTAL", "CARGO_TERM_COLOR", "CARGO_TARGET_DIR",
    "CARGO_BUILD_JOBS", "CARGO_NET_OFFLINE",
    "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONIOENCODING",
    "PYTHONUTF8", "PIP_NO_INPUT", "PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK",
    "DOCKER_BUILDKIT",
];
/// Pagers and editors that show and change nothing.
const NO_PROGRAMS: &[&str] = &["", "cat", "true", ":"];

/// Whether a character, and then the next, ends a command of a text whose quotes are undone: not
/// behind a backslash, and not behind a quote that is still there, such as an apostrophe.
fn separators(escapes: bool) -> impl FnMut(char) -> bool {
    let (mut quote, mut is_hidden) = (None, false);
    move |c| {
        match (c, quote) {
            _ if is_hidden => is_hidden = false,
            ('\\', None | Some('"')) if escapes => is_hidden = true,
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) => return c != '`' && ENDS_A_COMMAND.contains(&c),
            _ => {}
        }
        false
    }
}

/// Whether an assignment changes what a command runs.
pub(crate) fn is_risky(name: &str, value: &str) -> bool {
    let is_plain = PLAIN.contains(&name)
        || (name.ends_with("PAGER") || name.ends_with("EDITOR")) && NO_PROGRAMS.contains(&value);
    !is_plain
        && RISKY.iter().any(|risky| {
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
            let risky = assigned(word).is_some_and(|(name, value)| is_risky(name, value));
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
pub(crate) fn assigned(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').map(|(name, value)| (name.strip_suffix('+').unwrap_or(name), value))
}

impl Visitor<'_> {
    /// Adds a simple command and all that it runs.
    pub(crate) fn command(&mut self, command: &Command<'_>, place: Place<'_>) {
        self.command_with(command, place, Vec::new());
    }

    /// The same, with the processes in its words and what they write; gives what the
    /// commands write that it runs.
    ///
    /// Every command passes through here and needs few of the steps. So each step is a function
    /// by itself for the compiler as well, and what is passed through fits the processor's first
    /// cache.
    pub(crate) fn command_with(
        &mut self,
        command: &Command<'_>,
        place: Place<'_>,
        processes: Vec<(String, Feed)>,
    ) -> Feed {
        self.commands += 1;
        self.counts(0);
        self.overflow |= self.commands > self.most_commands;
        if self.overflow {
            return Feed::default();
        }
        // What a command changes for those behind it is nothing where it is all of the line.
        let is_all = place.sent.is_some();
        let mut place = place;
        let words: Vec<&str> = command.words.iter().map(AsRef::as_ref).collect();
        let invocation = Invocation::of(&words);
        let inner = invocation.map_or_else(Vec::new, command::inner);
        let kind = invocation.map_or(Kind::Command, |invocation| Self::kind(invocation, &inner));
        let is_clothed = !command.assignments.is_empty() || !command.redirections.is_empty();
        if is_clothed {
            let run = inner.first().filter(|_| kind == Kind::Wrapper);
            let part = self.clothed(command, run, place);
            place = place.inside(part);
            self.redirected(command, invocation, part);
        }
        let Some(invocation) = invocation else { return self.without_words(command, place) };
        let typed = command.typed.as_ref().map_or("", |[words, _]| words);
        let part = self.bare(invocation, command.guessed.then_some(typed), kind, place);
        if is_clothed {
            self.parts.is(part, Role::Same);
        }
        self.also(invocation, &inner, part);
        // An argument list is no shell text.
        if self.texts && (self.form == Form::Line || place.depth > 0) {
            self.texts(command, invocation, kind, part);
        }
        place = place.inside(part);
        let mut origins = processes;
        if !command.scripts.is_empty() {
            origins.extend(self.scripts(command, Place { heard: true, ..place }));
        }
        if !self.tainted.is_empty() && words.iter().any(|word| word.contains('$')) {
            let known = self.tainted.iter().map(|(name, feed)| (name.clone(), feed.clone()));
            origins.extend(known);
        }
        if self.deeds {
            self.does(invocation, &inner, command, &origins, part);
        }
        let written = if inner.is_empty() && !self.may_be_made_here(words[0]) {
            Feed::default()
        } else {
            self.runs(invocation, inner, command, &origins, place)
        };
        if !is_all {
            self.takes_effect(invocation, &command.input);
        }
        written
    }

    /// Adds what is assigned, and the scripts, where no command is; gives what `$(< FILE)` is.
    #[inline(never)]
    fn without_words(&mut self, command: &Command<'_>, place: Place<'_>) -> Feed {
        self.scripts(command, place);
        if let Some(part) = place.parent.filter(|_| self.texts) {
            for text in &command.documents {
                self.text(text, [Faith::FULL; 2], part);
            }
        }
        for (name, value) in command.assignments.iter().filter_map(|word| word.split_once('=')) {
            self.assign(name, value);
        }
        let read = command.redirections.iter().filter(|from| from.operator == "<");
        Feed::of_sources(read.map(|from| Source::File(self.place(&from.target))).collect())
    }

    /// What else a command is that is not in its words alone: a `find` deletes, and `env` and
    /// `export` assign variables.
    fn also(&mut self, invocation: Invocation<'_, '_>, inner: &[Inner<'_>], part: usize) {
        let Invocation { words, program, .. } = invocation;
        if program.is_some_and(|program| program.does == Operands::Find) {
            self.swept(invocation.arguments, part);
        }
        let assigns = || program.is_some_and(|program| program.assignments);
        if DECLARES.contains(&words[0]) || is_assignment(words[0]) || assigns() {
            let own = match inner {
                [Inner::Words(inner)] => words.len() - inner.len(),
                _ => words.len(),
            };
            for (name, _) in words[..own].iter().filter_map(|word| assigned(word)) {
                self.parts.assigns(part, name);
            }
        }
    }

    /// A `find` that deletes is a removal.
    #[inline(never)]
    fn swept(&mut self, arguments: &[&str], part: usize) {
        for path in find::swept(arguments) {
            self.parts.begin(Some(part), Kind::Whole);
            self.parts.spell(Faith::WIDE, &["rm", "-fr", &normal_word(&path)]);
        }
        for path in find::swept_from(arguments).into_iter().filter(|_| self.texts) {
            self.parts.begin(Some(part), Kind::Text);
            self.parts.spell(Faith::WIDE, &["rm", "-fr", &normal_word(path)]);
        }
    }

    /// Adds the pieces of a command's text between the operators that are in its words, and of
    /// the texts that it is given.
    #[inline(never)]
    fn texts(
        &mut self,
        command: &Command<'_>,
        invocation: Invocation<'_, '_>,
        kind: Kind,
        part: usize,
    ) {
        let words = invocation.words;
        let mut texts: Vec<(Cow<'_, str>, Faith)> = Vec::new();
        // What a wrapper runs is known by itself, and is what needs a permission.
        let faith = if kind == Kind::Wrapper { Faith::WIDE } else { Faith::FULL };
        let holds = |word: &&str| {
            word.contains(ENDS_A_COMMAND) || word.contains("$(") || word.contains("<(")
        };
        if words.iter().any(holds) {
            // `find` ends by a `;` what it runs, which is no text.
            let finds = invocation.program.is_some_and(|program| program.does == Operands::Find);
            let ends = finds && words.iter().filter(|word| holds(word)).all(|it| it.len() == 1);
            let faith = if ends { Faith::WIDE } else { faith };
            texts.push((Cow::Owned(words.join(" ")), faith));
        }
        // A shell runs what it is given.
        let is_shell = invocation.program.is_some_and(|program| program.runs == Runs::Shell);
        let strings =
            command.redirections.iter().filter(|from| from.operator == "<<<" && !is_shell);
        let documents = command.documents.iter();
        texts.extend(documents.map(|text| {
            // A here-string is as a word.
            let is_word = !holds(&text.as_str()) && strings.clone().any(|it| it.target == *text);
            (Cow::Borrowed(text.as_str()), if is_word { Faith::WIDE } else { Faith::FULL })
        }));
        for (mut text, faith) in texts {
            // What runs is known by itself.
            for script in &command.scripts {
                text = Cow::Owned(text.replace(script.as_str(), ""));
            }
            self.text(&text, [faith, faith], part);
        }
    }

    /// Adds the pieces of a text, with the faith of the first and that of the others.
    pub(crate) fn text(&mut self, text: &str, faith: [Faith; 2], part: usize) {
        let mut faith_of_next = faith[0];
        for whole in text.split(separators(self.escapes)) {
            let (mut in_backquotes, mut in_script) = (false, false);
            // What is only marked off in it needs its permission with the whole.
            let mut whole_of_next = Some(whole).filter(|whole| whole.contains(ENDS_A_COMMAND));
            let is_one = whole_of_next.is_none();
            for piece in whole.split_inclusive(ENDS_A_COMMAND) {
                let ended = piece.ends_with('`');
                let piece = piece.trim_end_matches(ENDS_A_COMMAND);
                let inner = piece.split("$(").skip(1).chain(piece.split("<(").skip(1));
                let inner = inner.map(|inner| inner.split(')').next().unwrap_or_default());
                for (number, piece) in std::iter::once(piece).chain(inner).enumerate() {
                    let own = std::mem::replace(&mut faith_of_next, faith[1]);
                    let piece = piece.trim();
                    if piece.is_empty() {
                        continue;
                    }
                    let needs_it = is_one || in_backquotes || in_script || number > 0;
                    self.parts.begin(Some(part), Kind::Text);
                    self.parts.spell(if needs_it { own } else { Faith::WIDE }, &[piece]);
                    if let Some(whole) = whole_of_next.take() {
                        self.parts.spell(own, &[whole.trim()]);
                    }
                    self.text_as_command(piece);
                }
                in_backquotes ^= ended;
                // A substitution goes on behind an operator.
                let opened = piece.rfind("$(").or_else(|| piece.rfind("<("));
                in_script = opened.map_or(in_script, |at| !piece[at..].contains(')'))
                    && (opened.is_some() || !piece.contains(')'));
            }
        }
    }

    /// Spells the text begun last as a command in it would be: by its program's name, and with
    /// its options in normal spelling before each operand.
    fn text_as_command(&mut self, text: &str) {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (written, rest) = text.split_at(end);
        let name = base_name(written);
        if name.len() < written.len() {
            self.parts.spell(Faith::WIDE, &[name, rest.trim_start()]);
        }
        let program = programs::find(name).filter(|program| program.style.is_some());
        let Some(program) = program else { return };
        let words: Vec<&str> = rest.split_whitespace().collect();
        if program.does == Operands::Find {
            for path in find::swept_from(&words) {
                self.parts.spell(Faith::WIDE, &["rm", "-fr", &normal_word(path)]);
            }
            return;
        }
        let arguments = program.arguments(&words);
        for deed in program.each(&arguments.operands).into_iter().take(MAX_DEEDS_OF_TEXT) {
            let normal = normal_arguments(program, &arguments.options, &deed, true);
            self.parts.spell_command(Faith::WIDE, name, &normal);
            self.without_unknown(name, program, &arguments.options, &deed);
        }
    }

    /// Adds the scripts in a command's words; gives what each writes.
    #[inline(never)]
    fn scripts(&mut self, command: &Command<'_>, place: Place<'_>) -> Vec<(String, Feed)> {
        let run = |script: &String| {
            let part = self.parts.len();
            let feed = self.nested(script, place);
            self.parts.is(part, Role::Substituted);
            (script.clone(), feed)
        };
        command.scripts.iter().map(run).collect()
    }

    /// What kind of part a command is.
    #[inline(never)]
    fn kind(invocation: Invocation<'_, '_>, inner: &[Inner<'_>]) -> Kind {
        let Invocation { words, name, .. } = invocation;
        let Some(program) = invocation.program.filter(|program| program.transparent) else {
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
            && !["/bin/", "/usr/bin/", "/usr/local/bin/", "/opt/homebrew/bin/"]
                .iter()
                .any(|folder| words[0].strip_prefix(folder) == Some(name));
        if own || elsewhere { Kind::Command } else { Kind::Wrapper }
    }
}
