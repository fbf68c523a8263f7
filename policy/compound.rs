//! Commands that are made of others: groups, loops, conditions, functions.

use std::rc::Rc;

use brush_parser::ast::{self, CompoundCommand};

use crate::feed::Feed;
use crate::parts::{Faith, Kind};
use crate::scope::Arguments;
use crate::shell;
use crate::stage::{Command, Stage};
use crate::visit::{Place, Visitor};

/// How every function that pipes itself into itself is spelled.
const FORK_BOMB: &str = ":(){ :|:& };:";
/// How often the body of a loop is walked, each time with another value.
const MAX_ROUNDS: usize = 16;
/// From how many on a loop is walked once only.
const MANY_COMMANDS: usize = 1_000;

impl Visitor<'_> {
    /// Adds a command that is not a simple one.
    pub(crate) fn other(&mut self, command: &ast::Command, place: Place<'_>, input: &Feed) -> Feed {
        match command {
            ast::Command::Simple(_) => Feed::default(),
            ast::Command::Compound(compound, redirects) => {
                let own = self.redirects(redirects.as_ref(), place);
                self.compound(compound, place, own.as_ref().unwrap_or(input))
            }
            ast::Command::Function(function) => {
                let name = &function.fname.value;
                let body: String = function.body.0.to_string().split_whitespace().collect();
                if body.contains(&format!("{name}|{name}")) {
                    self.parts.begin(place.parent, Kind::Command);
                    self.parts.spell(Faith::WIDE, &[FORK_BOMB]);
                }
                self.scope.functions.insert(name.clone(), Rc::new(function.clone()));
                Feed::default()
            }
            ast::Command::ExtendedTest(test, redirects) => {
                self.redirects(redirects.as_ref(), place);
                self.expression(&test.to_string(), place);
                Feed::default()
            }
        }
    }

    /// Calls a function with its arguments; `None` where these are not known.
    pub(crate) fn call(
        &mut self,
        function: &ast::FunctionDefinition,
        arguments: Option<&[&str]>,
        place: Place<'_>,
        input: &Feed,
    ) -> Feed {
        let own = self.redirects(function.body.1.as_ref(), place);
        let before = self.arguments.take();
        let name = before.as_ref().map_or("sh", |before| before.name());
        self.arguments = arguments.map(|arguments| Rc::new(Arguments::new(name, arguments)));
        let feed = self.compound(&function.body.0, place.deeper(), own.as_ref().unwrap_or(input));
        self.arguments = before;
        feed
    }

    /// Adds the redirections of a compound command; returns what it is given to read.
    fn redirects(
        &mut self,
        redirects: Option<&ast::RedirectList>,
        place: Place<'_>,
    ) -> Option<Feed> {
        let redirects = redirects.filter(|list| !list.0.is_empty())?;
        let mut read = Command { around: true, ..Command::default() };
        let mut substitutions = Vec::new();
        for redirect in &redirects.0 {
            self.redirect(redirect, &mut read, &mut substitutions);
        }
        self.simple(&read, &substitutions, place);
        (!read.input.is_nothing()).then_some(read.input)
    }

    fn compound(&mut self, compound: &CompoundCommand, place: Place<'_>, input: &Feed) -> Feed {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => {
                self.arithmetic(&arithmetic.expr.value, place, input);
                Feed::default()
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                for part in
                    [&clause.initializer, &clause.condition, &clause.updater].into_iter().flatten()
                {
                    self.expression(&part.value, place);
                }
                self.list(&clause.body.list, place, input)
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list, place, input),
            CompoundCommand::Subshell(group) => {
                self.apart(|visitor| visitor.list(&group.list, place, input))
            }
            CompoundCommand::ForClause(clause) => self.rounds(clause, place, input),
            CompoundCommand::CaseClause(clause) => {
                self.expression(&clause.value.value, place);
                clause.cases.iter().fold(Feed::default(), |feed, case| {
                    for pattern in &case.patterns {
                        self.expression(&pattern.value, place);
                    }
                    let list = case.cmd.as_ref().map(|list| self.list(list, place, input));
                    feed.and(list.unwrap_or_default())
                })
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition, place, input);
                let feed = self.list(&clause.then, place, input);
                clause.elses.iter().flatten().fold(feed, |feed, part| {
                    if let Some(condition) = &part.condition {
                        self.list(condition, place, input);
                    }
                    feed.and(self.list(&part.body, place, input))
                })
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.list(&clause.0, place, input);
                self.list(&clause.1.list, place, input)
            }
            CompoundCommand::Coprocess(process) => match &*process.body {
                simple @ ast::Command::Simple(_) => {
                    if let Stage::Simple(command, substitutions) = self.stage(simple) {
                        self.simple(&command, &substitutions, place);
                    }
                    Feed::default()
                }
                other => self.other(other, place, input),
            },
        }
    }

    /// A shell that knows no arithmetic commands takes `((` for two subshells, and so does every
    /// shell where a blank stands between, which the parser does not mind.
    fn arithmetic(&mut self, text: &str, place: Place<'_>, input: &Feed) {
        self.expression(text, place);
        if let Ok(program) = shell::parse(text) {
            self.apart(|visitor| {
                for list in &program.complete_commands {
                    visitor.list(list, place, input);
                }
            });
        }
    }

    /// The body of a `for`, once with each value where these are few.
    fn rounds(&mut self, clause: &ast::ForClauseCommand, place: Place<'_>, input: &Feed) -> Feed {
        let mut read = Command::default();
        let name = &clause.variable_name;
        let values = match &clause.values {
            Some(words) => {
                words.iter().flat_map(|word| self.read(&word.value, &mut read)).collect()
            }
            None => self.arguments.as_ref().map(|given| given.all()).unwrap_or_default(),
        };
        self.command(&Command { scripts: read.scripts, ..Command::default() }, place);
        let known = !values.is_empty() && values.iter().all(|value| !value.contains(['$', '`']));
        let mut feed = Feed::default();
        if known && values.len() <= MAX_ROUNDS && self.commands < MANY_COMMANDS {
            for value in values {
                self.scope.variables.set(name, Some(vec![value]));
                feed = feed.and(self.list(&clause.body.list, place, input));
            }
            return feed;
        }
        self.scope.variables.set(name, (!values.is_empty()).then_some(values));
        self.list(&clause.body.list, place, input)
    }

    /// Adds the scripts in a text that runs nothing itself.
    fn expression(&mut self, text: &str, place: Place<'_>) {
        let mut read = Command::default();
        self.reading(&mut read, |reader| reader.expression(text));
        self.command(&Command { scripts: read.scripts, ..Command::default() }, place);
    }
}
