//! Walks the tree of a line and meets its commands, with what is known where each runs: the
//! directory, the variables, the functions and their arguments, the aliases.

use std::borrow::Cow;
use std::rc::Rc;

use brush_parser::ast::{self, CompoundListItem};

use crate::Form;
use crate::command;
use crate::feed::{Feed, Known};
use crate::parts::{Faith, Kind, MAX_TEXT, Parts};
use crate::programs::Verb;
use crate::scope::{Arguments, Rare, Scope};
use crate::shell;
use crate::simple::{ENDS_A_COMMAND, assigned};
use crate::stage::{Command, Stage};

/// How long a line may be whose commands are spelled one behind the other as well, in bytes.
const MAX_LINE_OF_TEXTS: usize = 8192;
/// How many commands of any line are looked at, ...
const COMMANDS: usize = 10_000;
/// ... how many more for each byte of it, ...
const COMMANDS_A_BYTE: usize = 2;
/// ... and how many at most.
const MAX_COMMANDS: usize = 200_000;

/// How much text is made of any line, in bytes, ...
const TEXT: usize = 1 << 20;
/// ... and how much more for each byte of it, so that the work grows as the line does.
const TEXT_A_BYTE: usize = 64;
/// How many spellings of a word may begin with the directory or the home.
const TEXTS_IN_PLACE: usize = 4;
/// For how many bytes a source counts of what a command is given.
pub(crate) const SOURCE: usize = 256;

/// What makes commands alike in what can be said of what they are given.
type Like = (Verb, bool, Option<String>, (Option<usize>, String));

/// Takes lines apart.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(crate) struct Visitor<'c> {
    pub(crate) parts: Parts,
    /// Whether what commands do is of interest.
    pub(crate) deeds: bool,
    /// Paths that rules name, for what a wildcard in a command may stand for.
    pub(crate) named: &'c [String],
    /// Whether texts in commands are of interest that may be meant for a shell.
    pub(crate) texts: bool,
    /// Whether a backslash hides an operator in them: in double quotes the Go server undoes it.
    pub(crate) escapes: bool,
    /// What the call is given as.
    pub(crate) form: Form,
    pub(crate) home: Option<&'c str>,
    /// The working directory at the point that was read up to, where it is known.
    pub(crate) cwd: Option<Cow<'c, str>>,
    /// Where the call is made.
    pub(crate) began: Option<&'c str>,
    pub(crate) scope: Scope,
    /// `$0`, `$1` and so on, where they are known.
    pub(crate) arguments: Option<Rc<Arguments>>,
    /// Files that the line has made, each with what is in it.
    pub(crate) made: Rare<String, Feed>,
    /// Programs that the line has copied, each with what it is a copy of.
    pub(crate) copies: Rare<String, String>,
    /// What the script is given to read, if it is a script of its own.
    pub(crate) stdin: Feed,
    /// Variables, as `$name`, whose values were read, and where from.
    pub(crate) tainted: Rare<String, Feed>,
    /// What was told of where something comes from, for commands that are alike.
    pub(crate) known: Rare<Like, Known>,
    /// How much text may be made of the line, in bytes, ...
    pub(crate) most: usize,
    /// ... and of values, and of what commands hand on, may still be.
    pub(crate) left: usize,
    /// Functions that were called.
    pub(crate) called: Rare<String, ()>,
    pub(crate) commands: usize,
    /// How many commands are looked at.
    pub(crate) most_commands: usize,
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
    /// Whether anybody reads what the command writes.
    pub(crate) heard: bool,
}

impl Place<'_> {
    /// The same inside of a part.
    pub(crate) fn inside(self, part: usize) -> Self {
        Self { parent: Some(part), sent: None, ..self }
    }

    /// The same in what runs there.
    pub(crate) fn deeper(self) -> Self {
        Self { depth: self.depth.saturating_add(1), sent: None, ..self }
    }
}

impl<'c> Visitor<'c> {
    pub(crate) fn new(
        line: &str,
        cwd: Option<&'c str>,
        home: Option<&'c str>,
        deeds: bool,
        texts: bool,
    ) -> Self {
        let home = home.filter(|home| home.starts_with('/'));
        let cwd = cwd.filter(|cwd| cwd.starts_with('/'));
        // Each word may be spelled as a path there.
        let places = [cwd, home].into_iter().flatten().map(str::len).sum::<usize>();
        let most = MAX_TEXT.min(TEXT + line.len() * (TEXT_A_BYTE + TEXTS_IN_PLACE * places));
        Self {
            parts: Parts::with_capacity(line.len()),
            escapes: texts && !line.contains('"'),
            deeds,
            named: &[],
            texts,
            form: Form::Line,
            home,
            cwd: cwd.map(Cow::Borrowed),
            began: cwd,
            scope: Scope::default(),
            arguments: None,
            made: Rare::default(),
            copies: Rare::default(),
            stdin: Feed::default(),
            tainted: Rare::default(),
            known: Rare::default(),
            most,
            left: most,
            called: Rare::default(),
            commands: 0,
            most_commands: MAX_COMMANDS.min(COMMANDS + line.len() * COMMANDS_A_BYTE),
            overflow: false,
        }
    }

    /// Takes the line apart. `argv0` is what a program is called that is more than one.
    pub(crate) fn line(&mut self, line: &str, form: Form, argv0: Option<&str>) {
        self.line_of_this_shell(line, form, argv0);
        if self.texts && form == Form::Line && !self.overflow {
            self.comments(line, 0);
            self.line_of_other_shells(line);
        }
    }

    /// Adds the comments of a script as texts of a part.
    pub(crate) fn comments(&mut self, script: &str, part: usize) {
        for (comment, begins) in shell::comments(script) {
            // What is behind a command is as an argument to it.
            let first = if begins { Faith::FULL } else { Faith::WIDE };
            self.text(comment, [first, Faith::FULL], part);
        }
    }

    fn line_of_this_shell(&mut self, line: &str, form: Form, argv0: Option<&str>) {
        let place = Place { parent: None, depth: 0, sent: Some(line), heard: false };
        self.form = form;
        let words = match form {
            Form::Arguments => shell::argument_list(line).filter(|words| !words.is_empty()),
            Form::Line => shell::plain_line(line),
        };
        let Some(words) = words else {
            let root = self.parts.begin(None, Kind::Whole);
            self.parts.spell(Faith::WIDE, &[line]);
            // What follows a command is as an argument to it, whatever stands between them.
            if self.texts && form == Form::Line && line.len() <= MAX_LINE_OF_TEXTS {
                let pieces = line.split(ENDS_A_COMMAND).map(str::trim);
                let pieces: Vec<&str> = pieces.filter(|piece| !piece.is_empty()).collect();
                let joined = pieces.join(" && ");
                self.parts.spell(Faith::WIDE, &[shell::behind_openers(&joined)]);
            }
            self.script(line, place.inside(root));
            return;
        };
        let mut command = match form {
            Form::Arguments => Command { words, ..Command::default() },
            Form::Line => Command::of_words(words),
        };
        if let (Some(name), Some(program)) = (argv0, command.words.first_mut())
            && command::is_multi_call(program)
        {
            *program = Cow::Owned(name.to_string());
            command.assignments.clear();
            let root = self.parts.begin(None, Kind::Whole);
            self.parts.spell(Faith::WIDE, &[line]);
            self.command(&command, place.inside(root));
        } else {
            self.command(&command, place);
        }
    }

    /// Counts work that a line may cause more of than it is long.
    pub(crate) fn counts(&mut self, bytes: usize) {
        self.overflow |= bytes > self.left || self.parts.text().len() > self.most;
        self.left = self.left.saturating_sub(bytes);
    }

    /// Adds all commands of a script; gives what it writes, as far as that is seen.
    pub(crate) fn script(&mut self, text: &str, place: Place<'_>) -> Feed {
        let input = self.stdin.clone();
        if let Some(words) = shell::plain_script(text) {
            let command = Command { input, ..Command::of_words(words) };
            let written = self.command_with(&command, place, Vec::new());
            return self.heard(&command, place).and(written);
        }
        match shell::parse(text) {
            Ok(program) => {
                let mut feed = Feed::default();
                for list in &program.complete_commands {
                    feed = feed.and(self.list(list, place, &input));
                }
                if place.depth == 0 {
                    self.never_called(place);
                }
                feed
            }
            Err(why) => {
                self.parts.unparsed.get_or_insert(why);
                self.crude(text, place);
                Feed::default()
            }
        }
    }

    /// Adds a script whose changes of directory and variables end with it.
    pub(crate) fn apart<T>(&mut self, add: impl FnOnce(&mut Self) -> T) -> T {
        let (cwd, arguments, stdin) =
            (self.cwd.clone(), self.arguments.clone(), self.stdin.clone());
        let mark = self.scope.mark();
        let result = add(self);
        self.scope.undo(mark);
        (self.cwd, self.arguments, self.stdin) = (cwd, arguments, stdin);
        result
    }

    /// Adds what a script that cannot be parsed may run.
    #[cold]
    pub(crate) fn crude(&mut self, text: &str, place: Place<'_>) {
        let read = |words: Vec<String>| Command {
            words: words.into_iter().map(Cow::Owned).collect(),
            guessed: true,
            ..Command::default()
        };
        let part = self.parts.begin(place.parent, Kind::Whole);
        let undone = text.replace(['\'', '"', '\\'], "");
        for piece in undone.split(ENDS_A_COMMAND) {
            let names = piece.split_whitespace().take_while(|word| shell::is_assignment(word));
            for (name, _) in names.filter_map(assigned) {
                self.parts.assigns(part, name);
            }
        }
        self.parts.spell(Faith::WIDE, &[&*undone]);
        self.parts.spell(Faith::WIDE, &[shell::behind_openers(&undone)]);
        for piece in shell::crude_pieces(&text.replace("{}", shell::MARK)) {
            let mut commands: Vec<Command<'_>> = piece.into_iter().map(read).collect();
            match &mut commands[..] {
                [command] => self.command(command, Place { depth: usize::MAX, ..place }),
                stages => {
                    let words: Vec<Vec<&str>> =
                        stages.iter().map(|stage| Self::short(stage)).collect();
                    let part = self.parts.begin(place.parent, Kind::Whole);
                    self.parts.spell(Faith::WIDE, &words.join(&"|"));
                    let mut feed = Feed::default();
                    for stage in stages.iter_mut().filter(|stage| !stage.words.is_empty()) {
                        stage.input = std::mem::take(&mut feed);
                        self.command(stage, Place { depth: usize::MAX, ..place.inside(part) });
                        feed = self.output(stage);
                    }
                }
            }
        }
    }

    pub(crate) fn list(
        &mut self,
        list: &ast::CompoundList,
        place: Place<'_>,
        input: &Feed,
    ) -> Feed {
        let mut feed = Feed::default();
        for CompoundListItem(and_or, _) in &list.0 {
            for (_, pipeline) in and_or {
                if self.overflow {
                    return Feed::default();
                }
                feed = feed.and(self.pipeline(pipeline, place, input));
            }
        }
        feed
    }

    fn pipeline(&mut self, pipeline: &ast::Pipeline, place: Place<'_>, input: &Feed) -> Feed {
        let stages: Vec<Stage<'_>> =
            pipeline.seq.iter().map(|command| self.stage(command)).collect();
        let mut place = place;
        if stages.len() > 1 {
            place = place.inside(self.pipe(&stages, place));
        }
        let mut feed = input.clone();
        let last = stages.len().saturating_sub(1);
        for (number, stage) in stages.into_iter().enumerate() {
            let place = Place { heard: place.heard || number < last, ..place };
            feed = match stage {
                Stage::Simple(mut command, substitutions) => {
                    if command.input.is_nothing() {
                        command.input = feed;
                    }
                    let written = self.simple(&command, &substitutions, place);
                    self.heard(&command, place).and(written)
                }
                Stage::Other(command) => self.other(command, place, &feed),
            };
        }
        feed
    }

    /// Adds a command with the processes in its words; gives what these let it write.
    pub(crate) fn simple(
        &mut self,
        command: &Command<'_>,
        substitutions: &[(String, &ast::CompoundList)],
        place: Place<'_>,
    ) -> Feed {
        let mut processes = Vec::new();
        for (source, list) in substitutions {
            // A part of the command in what it runs; in the tree, of what the command is in.
            // What is written into it is what the command writes.
            let input =
                if source.starts_with('>') { self.output(command) } else { Feed::default() };
            let place = Place { heard: true, ..place };
            let feed = self.apart(|visitor| visitor.list(list, place, &input));
            processes.push((source.clone(), feed));
        }
        self.command_with(command, place, processes)
    }

    /// What a list writes, and where that comes from; nothing is added to the parts.
    pub(crate) fn origins(&mut self, list: &ast::CompoundList) -> Feed {
        let mut aside = Visitor::new("", None, self.home, self.deeds, false);
        aside.cwd.clone_from(&self.cwd);
        aside.commands = self.commands;
        (aside.most, aside.left, aside.most_commands) = (self.most, self.left, self.most_commands);
        aside.arguments.clone_from(&self.arguments);
        std::mem::swap(&mut aside.scope, &mut self.scope);
        let mark = aside.scope.mark();
        let place = Place { parent: None, depth: 1, sent: None, heard: true };
        let feed = aside.list(list, place, &Feed::default());
        aside.scope.undo(mark);
        std::mem::swap(&mut aside.scope, &mut self.scope);
        self.commands = aside.commands;
        self.left = aside.left;
        self.overflow |= aside.overflow;
        feed
    }

    /// Adds the bodies of functions that nothing in the line calls.
    fn never_called(&mut self, place: Place<'_>) {
        for (name, function) in self.scope.functions.take() {
            if !self.called.contains_key(&name) {
                self.apart(|visitor| visitor.call(&function, None, place, &Feed::default()));
            }
        }
    }
}
