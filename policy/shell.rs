//! Takes a shell line apart into the simple commands in it.
//!
//! The grammar is that of `brush-parser`; what a word becomes and what a command runs in
//! turn is known here.

use std::borrow::Cow;

use brush_parser::ast::{self, CompoundCommand, CompoundListItem};

use crate::command::{Command, Place, Taker};
use crate::line;
use crate::parts::{Faith, Kind, Parts};
use crate::pipe::{output, stage_spelling};
use crate::simple::Stage;
use crate::word::{self, Reading, Variables};

/// How every function that pipes itself into itself is spelled.
const FORK_BOMB: &str = ":(){ :|:& };:";

/// A line taken apart.
pub(crate) struct Taken {
    pub(crate) parts: Parts,
    /// Whether there was more than can be judged.
    pub(crate) overflow: bool,
}

/// Takes `line` apart, in the directory `cwd`.
pub(crate) fn take_apart(line: &str, cwd: Option<&str>) -> Taken {
    let mut taker = Taker {
        parts: Parts::with_capacity(line.len()),
        cwd: cwd.filter(|cwd| cwd.starts_with('/')).map(Cow::Borrowed),
        variables: Variables::new(),
        overflow: false,
    };
    if let Some(command) = quick_command(line) {
        taker.command(&command, Place { parent: None, depth: 0, sent: Some(line) });
    } else {
        let root = taker.parts.begin(None, Kind::Whole);
        taker.parts.spell(Faith::WIDE, [line]);
        taker.script(line, Place::inside(root, 0));
    }
    Taken { parts: taker.parts, overflow: taker.overflow }
}

fn crude_command(piece: &str) -> Command<'_> {
    let words = piece.split_whitespace().skip_while(|word| line::is_no_command(word));
    Command { words: words.map(Cow::Borrowed).collect(), guessed: true, ..Command::default() }
}

fn quick_command(line: &str) -> Option<Command<'_>> {
    let mut words = line::quick_words(line)?;
    let assignments = words.iter().take_while(|word| line::is_assignment(word)).count();
    if assignments == 0 {
        return Some(Command { words, ..Command::default() });
    }
    let rest = words.split_off(assignments);
    Some(Command { assignments: words, words: rest, ..Command::default() })
}

impl Taker<'_> {
    /// Adds all commands of a script.
    pub(crate) fn script(&mut self, text: &str, place: Place<'_>) {
        if let Some(command) = quick_command(text) {
            self.command(&command, place);
            return;
        }
        match line::parse(text) {
            Ok(program) => {
                for list in &program.complete_commands {
                    self.list(list, place, None);
                }
            }
            Err(why) => {
                self.parts.unparsed.get_or_insert(why);
                self.crude(text, place);
            }
        }
    }

    /// Adds a script whose changes of directory and variables end with it.
    pub(crate) fn apart(&mut self, add: impl FnOnce(&mut Self)) {
        let (cwd, variables) = (self.cwd.clone(), self.variables.clone());
        add(self);
        (self.cwd, self.variables) = (cwd, variables);
    }

    /// Adds what a script that cannot be parsed may run.
    pub(crate) fn crude(&mut self, text: &str, place: Place<'_>) {
        for piece in line::crude_pieces(text) {
            let command = crude_command(&piece);
            if !command.words.is_empty() {
                self.command(&command, Place { depth: usize::MAX, ..place });
            }
        }
        for pipeline in line::crude_pipelines(text) {
            let stages = pipeline.split('|').map(|stage| stage_spelling(&crude_command(stage)));
            let words: Vec<String> = stages.collect::<Vec<_>>().join(&"|".to_string());
            self.parts.begin(place.parent, Kind::Whole);
            self.parts.spell(Faith::WIDE, words.iter().map(String::as_str));
        }
    }

    fn list(&mut self, list: &ast::CompoundList, place: Place<'_>, input: Option<&str>) {
        for CompoundListItem(and_or, _) in &list.0 {
            for (_, pipeline) in and_or {
                self.pipeline(pipeline, place, input);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &ast::Pipeline, place: Place<'_>, input: Option<&str>) {
        let stages: Vec<Stage<'_>> =
            pipeline.seq.iter().map(|command| self.stage(command)).collect();
        let mut place = place;
        if stages.len() > 1 {
            place = Place::inside(self.joined(&stages, place), place.depth);
        }
        let mut fed = input.map(str::to_string);
        for stage in stages {
            match stage {
                Stage::Simple(mut command, substitutions) => {
                    if command.input.is_none() {
                        command.input = fed.take();
                    }
                    fed = output(&command);
                    self.command(&command, place);
                    for list in substitutions {
                        self.apart(|taker| taker.list(list, place, None));
                    }
                }
                Stage::Other(command) => {
                    self.other(command, place, fed.as_deref());
                    fed = None;
                }
            }
        }
    }

    /// Adds a pipeline as one part.
    fn joined(&mut self, stages: &[Stage<'_>], place: Place<'_>) -> usize {
        let part = self.parts.begin(place.parent, Kind::Whole);
        let spelled = |read: &dyn Fn(&Command<'_>) -> Vec<String>| {
            let mut words = Vec::new();
            for (index, stage) in stages.iter().enumerate() {
                if index > 0 {
                    words.push("|".to_string());
                }
                match stage {
                    Stage::Simple(command, _) => words.extend(read(command)),
                    Stage::Other(command) => words.push(command.to_string()),
                }
            }
            words
        };
        let own = |word: &Cow<'_, str>| word.to_string();
        let plain = spelled(&|command| command.words.iter().map(own).collect());
        let normal = spelled(&|command| stage_spelling(command));
        self.parts.spell(Faith::FULL, plain.iter().map(String::as_str));
        self.parts.spell(Faith::EXCUSES, normal.iter().map(String::as_str));
        part
    }

    /// Adds a command that is not a simple one.
    fn other(&mut self, command: &ast::Command, place: Place<'_>, input: Option<&str>) {
        match command {
            ast::Command::Simple(_) => {}
            ast::Command::Compound(compound, redirects) => {
                let own = self.redirects(redirects.as_ref(), place);
                self.compound(compound, place, own.as_deref().or(input));
            }
            ast::Command::Function(function) => {
                let name = &function.fname.value;
                let body: String = function.body.0.to_string().split_whitespace().collect();
                if body.contains(&format!("{name}|{name}")) {
                    self.parts.begin(place.parent, Kind::Command);
                    self.parts.spell(Faith::WIDE, [FORK_BOMB]);
                }
                let own = self.redirects(function.body.1.as_ref(), place);
                self.apart(|taker| taker.compound(&function.body.0, place, own.as_deref()));
            }
            ast::Command::ExtendedTest(test, redirects) => {
                self.redirects(redirects.as_ref(), place);
                self.expression(&test.to_string(), place);
            }
        }
    }

    /// Adds the redirections of a compound command; returns what it is given to read.
    fn redirects(
        &mut self,
        redirects: Option<&ast::RedirectList>,
        place: Place<'_>,
    ) -> Option<String> {
        let mut read = Command::default();
        let mut substitutions = Vec::new();
        for redirect in redirects.iter().flat_map(|list| &list.0) {
            self.redirect(redirect, &mut read, &mut substitutions);
        }
        self.command(&read, place);
        for list in substitutions {
            self.apart(|taker| taker.list(list, place, None));
        }
        read.input
    }

    fn compound(&mut self, compound: &CompoundCommand, place: Place<'_>, input: Option<&str>) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => {
                let text = &arithmetic.expr.value;
                self.expression(text, place);
                // A shell that knows no arithmetic commands takes `((` for two subshells, and
                // so does every shell where a blank stands between, which the parser does not
                // mind.
                if let Ok(program) = line::parse(text) {
                    self.apart(|taker| {
                        for list in &program.complete_commands {
                            taker.list(list, place, input);
                        }
                    });
                }
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                for part in
                    [&clause.initializer, &clause.condition, &clause.updater].into_iter().flatten()
                {
                    self.expression(&part.value, place);
                }
                self.list(&clause.body.list, place, input);
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list, place, input),
            CompoundCommand::Subshell(group) => {
                self.apart(|taker| taker.list(&group.list, place, input));
            }
            CompoundCommand::ForClause(clause) => {
                let mut read = Command::default();
                let words = clause.values.iter().flatten();
                let values: Vec<String> =
                    words.flat_map(|word| self.read(&word.value, &mut read)).collect();
                self.command(&Command { scripts: read.scripts, ..Command::default() }, place);
                self.variables.insert(clause.variable_name.clone(), word::several(&values));
                self.list(&clause.body.list, place, input);
            }
            CompoundCommand::CaseClause(clause) => {
                self.expression(&clause.value.value, place);
                for case in &clause.cases {
                    for pattern in &case.patterns {
                        self.expression(&pattern.value, place);
                    }
                    if let Some(list) = &case.cmd {
                        self.list(list, place, input);
                    }
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition, place, input);
                self.list(&clause.then, place, input);
                for part in clause.elses.iter().flatten() {
                    if let Some(condition) = &part.condition {
                        self.list(condition, place, input);
                    }
                    self.list(&part.body, place, input);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.list(&clause.0, place, input);
                self.list(&clause.1.list, place, input);
            }
            CompoundCommand::Coprocess(process) => match &*process.body {
                simple @ ast::Command::Simple(_) => {
                    if let Stage::Simple(command, substitutions) = self.stage(simple) {
                        self.command(&command, place);
                        for list in substitutions {
                            self.list(list, place, None);
                        }
                    }
                }
                other => self.other(other, place, input),
            },
        }
    }

    /// Adds the scripts in a text that runs nothing itself.
    fn expression(&mut self, text: &str, place: Place<'_>) {
        let Reading { scripts, .. } = word::read(text, &self.variables);
        self.command(&Command { scripts, ..Command::default() }, place);
    }
}
