//! Policies in YAML, and the verdict that they give on a command.
//!
//! ```
//! use rampart_policy::{Action, Call, PolicySet};
//!
//! let policies = PolicySet::starter();
//! let verdict = |command| policies.evaluate(&Call { command, ..Call::default() }).action;
//! assert_eq!(verdict("ls"), Action::Allow);
//! assert_eq!(verdict("cd /tmp && sudo rm -fr //etc"), Action::Deny);
//! assert_eq!(verdict("git commit -m 'rm -rf / is bad'"), Action::Allow);
//! ```
//!
//! # How a verdict comes about
//!
//! ```
//! use rampart_policy::{Action, Call, Form, PolicySet, What, explain};
//!
//! // 1. The input: a line of a shell, or an argument list, and where it runs.
//! let command = "cd /srv; D=data; sudo rm --force -r $D/ # 'rm -rf /' is bad";
//! let line = Call { command, form: Form::Line, home: Some("/home/u"), ..Call::default() };
//!
//! // What becomes of it: parts, each with its depth, what it is, and the last of its spellings.
//! let parts = explain(&line).parts;
//! let part = |at: usize| (parts[at].depth, parts[at].what, parts[at].spellings.last().unwrap().as_str());
//! // 2. The line is a tree, of which the comment is no part.
//! assert_eq!((part(0).1, parts[0].spellings[0].as_str()), (What::Whole, command));
//! // 3. The tree is walked command by command, with what those before it have set.
//! assert_eq!(part(1), (1, What::Command, "cd /srv"));
//! assert_eq!(part(2), (1, What::Wrapper, "D=data"));
//! assert_eq!(part(3), (1, What::Command, "sudo rm --force -r data"));
//! // 4. What a command is and does says its line in the table: `sudo` runs its words, `rm` deletes
//! // its operands, and its options and paths have a normal spelling.
//! assert_eq!(part(4), (2, What::Command, "rm -fr /srv/data"));
//! assert_eq!(part(5), (3, What::Deletes, "/srv/data"));
//!
//! // 5. The verdict: the first rule that a part meets.
//! let rules = "default_action: allow
//! policies: [{name: p, match: {tool: delete}, rules: [{action: deny, when: {path_matches: /srv/*}}]}]";
//! let verdict = |call: &Call<'_>| PolicySet::parse(rules, "p.yaml").unwrap().evaluate(call).action;
//! assert_eq!(verdict(&line), Action::Deny);
//! // The words of an argument list are no shell's.
//! let list = Call { command: "echo ';' rm -rf /srv/data", form: Form::Arguments, ..line };
//! assert_eq!(verdict(&list), Action::Allow);
//! ```
//!
//! 1. **Input** ([`Call`]). An argument list is never parsed as shell text, a line once.
//! 2. **Line to tree** (`shell`, `word`, `parameter`): the grammar, the words and the braces are
//!    those of `brush-parser`, with a guard on size and depth, and one splitter for what no shell
//!    takes.
//! 3. **Tree to commands** (`visit`, `compound`, `stage`, `pipes`): one walk that knows where each
//!    command runs: directory, variables, functions and their arguments, aliases (`effects`), and
//!    what is piped to it.
//! 4. **Command to what it is and does**: by one table, a line a program (`programs`), which says
//!    what a command runs (`command`, `find`), does (`does`) and writes to its output (`writes`).
//!    Each command (`simple`) gets its spellings (`spells`: as sent, with quotes undone, by the
//!    program's last component, options and paths in normal form, relative paths made
//!    absolute), what it runs in turn (`runs`), and its deeds (`deeds`).
//! 5. **Verdict** (`evaluator`): one pass over all of them finds the patterns that may match
//!    (`index`), the rules that own those are looked at in the order of evaluation, whether each
//!    holds (`judge`) by a part that meets it (`met`) and that nothing excuses (`excuse`), and
//!    those that hold decide (`verdict`).
//!
//! # What a rule means
//!
//! - A **restricting** rule (`deny`, `ask`, `webhook`) holds, in any case of the letters, if
//!   one part in one of its spellings meets one of its patterns or texts, and its other
//!   conditions.
//! - An **exclusion** excuses the part that it matches, by a spelling that says what will
//!   run: `rm -rf /tmp/../etc` is `rm -rf /etc`. What has to be excused is the innermost
//!   part that meets the rule, so `cd x && rm -rf /tmp/y` is excused with its second
//!   command, and `rm -rf /tmp/y /etc` is not excused with its first operand. A star of
//!   an exclusion does not reach over a pipe, and nothing that rests on the value of a
//!   variable is excused.
//! - A **permitting** rule (`allow`, `watch`) holds if it matches every command in the line
//!   that does something of its own, as written, redirections included; what is sent to
//!   `/dev/null` or to another descriptor is no redirection. What only runs its words (`sh
//!   -c`, `timeout 5`, `env A=1`) needs no permission; a variable that changes what runs does. Who
//!   permits what runs things in a container or on another machine permits them, too.
//!   Its exclusions are restricting and look at every spelling. A pattern without a wildcard
//!   that is the line as sent permits all of it.
//! - In a policy the first rule that holds decides. A permitting rule that holds for a
//!   part of the line only, excuses that part from the restricting rules after it.
//! - A rule whose patterns are `*`, or that has none, is about every command: each has to
//!   be excused by itself, wrappers as well.
//! - `coverage_matches` and `coverage_not_matches` are about how much the guard will see of
//!   the program ([`COVERAGES`]): all of it (`full`), or only that it starts, because macOS
//!   protects it (`sip`), its signature keeps libraries out (`hardened`), it is for another
//!   machine (`other-arch`, `arm64e`), has no loader (`static`), calls the system itself (`go`),
//!   runs with rights of its own (`setuid`), or starts itself anew until its environment is clean
//!   (`reexec`). Like those on sessions they are globs, and hold together with the other conditions. No pattern matches where it is not known, as for a line that is
//!   given to a shell: `coverage_not_matches: full` is about that as well.
//! - `ask` and `webhook` are refused: whoever waits for a human does so outside. To ask is to
//!   permit what a human permits: where the default denies, it asks of what a permission would
//!   be about, in its case, run by the line or by what only runs it; what it holds for by a
//!   guess or behind another program gets the default, unless another rule permits it.
//! - `watch`, in a policy that names the tool `exec`, marks by one command of a chain of those
//!   that run one another where the default allows, for to mark permits nothing.
//! - Control characters are nothing to what may be behind a terminal: a line is judged without
//!   them as well.
//! - A rule with `once` holds for the call that it decides and never again, one with
//!   `expires_at` until then; `call_count` counts the calls of the rule's tools ([`Memory`]).
//! - Without a `default_action`, what no rule is about is denied.
//!
//! # Text
//!
//! What is said in quotes or stands in a here-document is data unless something runs it. A policy
//! that names the tool `exec` is the exception, for such files are written for a server that splits
//! the whole line at `;`, `|`, `&`, backquotes and line ends, quotes undone: its restricting rules
//! are held against those pieces as well, those of comments included, and its `allow` has to permit
//! each of them. So are they against what `cmd.exe` and PowerShell read otherwise (`dialects`):
//! escapes, slashes, variables. A relative path is to them what is typed, and not where the call is
//! made. The tool `command` is the same without the texts, and so is a policy that names no tool.
//! An argument list has no such pieces.
//!
//! # What a command does
//!
//! The policies whose `match.tool` is `read`, `write` (or `edit`), `delete`, `send`, `fetch` or
//! `run` decide the commands that do that, by `path_matches`, `url_matches`, `domain_matches` and
//! their `_not_` forms. They make a verdict stricter, never looser; an `allow` in such a policy
//! excuses from the rules after it, by what is done or by the command that does it. Paths are
//! absolute, and known by `~` as well wherever a home is. A delete is a write, and what is emptied
//! is deleted. `send` is what of a file goes to another machine, through pipes as well, and `env:`
//! the whole environment. A wildcard in a command is also each path that a rule names and that it
//! may stand for. What a program in another language does (`python3 -c …`) is known by the paths
//! that it quotes. `run` is code that came from elsewhere and is run unread, by its URL: from a
//! pipe, `$(…)`, `<(…)`, a file that the same line fetched; a shell that another machine speaks to
//! (`tcp://…`); what was decoded (`data:`).
//!
//! ```yaml
//! - {name: homes, match: {tool: delete}, rules: [{action: deny, when: {path_matches: ["~", "~/[*]*"]}}]}
//! - {name: keys, match: {tool: read}, rules: [{action: deny, when: {path_matches: "**/.ssh/id_*", path_not_matches: "**.pub"}}]}
//! - {name: unread, match: {tool: run}, rules: [{action: deny, when: {url_matches: "*"}}]}
//! - {name: shells, match: {tool: run}, rules: [{action: deny, when: {url_matches: "tcp://*"}}]}
//! ```
//!
//! # What cannot be read
//!
//! A line that no shell would take, that is nested too deep or that is longer than the
//! parser is given is not refused for that. It is split at every operator, with quotes
//! undone and at the quotes as well, and a restricting rule holds if a piece meets it; no
//! exclusion excuses such a piece, and only a rule about everything permits the line.
//! [`Decision::unparsed`] says why. A line of which much more would be made than it is long (its
//! spellings, the values in it, what a pipeline hands on) is denied. So a line may be of any size
//! and make: the work grows no faster than it does, the recursion is bounded, and
//! a parser that panics is one that cannot read the line.
#![forbid(unsafe_code)]

mod bits;
mod call;
mod code;
mod command;
mod compile;
mod compound;
mod conditions;
mod deeds;
mod dialects;
mod does;
mod effects;
mod error;
mod evaluator;
mod excuse;
mod explain;
mod feed;
mod fields;
mod file_tests;
mod find;
mod format;
mod glob;
mod index;
mod invocation;
mod judge;
mod lint;
mod memory;
mod met;
mod notify;
mod parameter;
mod parts;
mod patterns;
mod pipes;
mod programs;
mod rules;
mod runs;
mod scope;
mod shell;
mod simple;
mod spelling;
mod spells;
mod stage;
mod time;
mod value;
mod verdict;
mod visit;
mod when;
mod word;
mod writes;

use std::sync::{Arc, LazyLock};

pub use call::{Action, Because, Call, Decision, Form};
pub use conditions::{COVERAGES, conditions};
pub use error::{PolicyError, Problem};
pub use explain::{Explanation, Part, What, explain};
pub use fields::Seen;
pub use file_tests::{Outcome, Test};
pub use memory::Memory;
pub use notify::{Notify, Platform};
pub use rules::{Policy, Rule};

use evaluator::Evaluator;
use rules::Checked;

/// The policy that is in force where the user has written none.
pub const STARTER: &str = include_str!("starter.yaml");

/// How the messages of a project's own policy begin.
pub const OF_PROJECT: &str = "[Project Policy]";

/// Policies that were read and checked, compiled when the first verdict needs it: who starts a
/// server need not wait for that.
type Compiled = LazyLock<Evaluator, Box<dyn FnOnce() -> Evaluator + Send>>;

/// A policy file, read and checked, and compiled when it is first needed.
#[derive(Debug, Clone)]
pub struct PolicySet {
    evaluator: Arc<Compiled>,
    origin: Option<Arc<str>>,
    memory: Arc<Memory>,
    /// What projects say, who may only restrict; or why it is not known.
    projects: Vec<Result<Arc<Compiled>, Arc<str>>>,
}

impl PolicySet {
    /// Reads a policy file's text; `origin` is its name in error messages.
    ///
    /// # Errors
    /// Whatever is wrong with the text, with line and column.
    pub fn parse(source: &str, origin: &str) -> Result<Self, PolicyError> {
        Self::parse_all(&[(source, origin)])
    }

    /// Reads several files, each a text with its name, as one policy. What is said twice by
    /// one name is in force as it is said first, and so is `default_action`.
    ///
    /// # Errors
    /// Whatever is wrong with one of the texts, with its name, line and column.
    pub fn parse_all(files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        // A copy of the starter is right, whatever its name: it is not read before it is needed.
        if let [(STARTER, origin)] = files {
            let name = (*origin).to_owned();
            return Ok(Self::new(Some(origin), move || starter_in(&name)));
        }
        let mut all: Option<Checked> = None;
        for (source, origin) in files {
            let checked = checked(source, origin)?;
            all = Some(match all {
                Some(before) => before.and(checked),
                None => checked,
            });
        }
        let Some(checked) = all else { return Ok(Self::starter()) };
        Ok(Self::new(files.first().map(|(_, origin)| *origin), move || checked))
    }

    fn new(origin: Option<&str>, read: impl FnOnce() -> Checked + Send + 'static) -> Self {
        Self {
            evaluator: Arc::new(LazyLock::new(Box::new(move || Evaluator::new(read())))),
            origin: origin.map(Into::into),
            memory: Arc::default(),
            projects: Vec::new(),
        }
    }

    /// Compiles what the first verdict would have to wait for.
    pub fn compile(&self) {
        for evaluator in [&self.evaluator].into_iter().chain(self.projects.iter().flatten()) {
            LazyLock::force(evaluator);
        }
    }

    /// The same policies, and those of a project, which may only restrict: its rules make a
    /// verdict stricter or do not count, and its `default_action` does not. Its messages begin
    /// with [`OF_PROJECT`].
    #[must_use]
    pub fn restricted_by(mut self, project: &Self) -> Self {
        self.projects.push(Ok(Arc::clone(&project.evaluator)));
        self
    }

    /// The same policies, and nothing is allowed, because a project's policy cannot be read.
    #[must_use]
    pub fn refusing(mut self, why: &str) -> Self {
        self.projects.push(Err(why.into()));
        self
    }

    /// The same policies with what was remembered before.
    #[must_use]
    pub fn remembering(self, memory: Arc<Memory>) -> Self {
        Self { memory, ..self }
    }

    /// What is remembered from call to call.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The built-in policy.
    #[must_use]
    pub fn starter() -> Self {
        Self::new(None, || starter_in("starter.yaml"))
    }

    /// The name that the text was read by; `None` for the built-in policy.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Who is to be told of decisions. A project has no say in that: what it names would be told
    /// what is done in every other.
    #[must_use]
    pub fn notify(&self) -> Option<&Notify> {
        self.evaluator.checked.notify.as_ref()
    }

    /// Who is to be told that the rule which decided asks.
    #[must_use]
    pub fn webhook(&self, decision: &Decision) -> Option<&Notify> {
        let because = decision.because.as_ref().filter(|because| !because.of_project)?;
        let policy = self.policies().iter().find(|policy| policy.name == because.policy)?;
        policy.rules.get(because.rule.checked_sub(1)?)?.webhook.as_ref()
    }

    /// The verdict on one call.
    #[must_use]
    pub fn evaluate(&self, call: &Call<'_>) -> Decision {
        let mut decision = self.evaluator.evaluate(call, &self.memory);
        for project in &self.projects {
            let theirs = match project {
                Ok(project) => project.evaluate(call, &self.memory),
                Err(why) => verdict::refused(why),
            };
            // What no rule of theirs is about is not theirs to decide.
            let decides = theirs.because.is_some() || project.is_err();
            if decides && theirs.action > decision.action {
                decision = Decision {
                    message: format!("{OF_PROJECT} {}", theirs.message).trim_end().to_string(),
                    because: theirs.because.map(|rule| Because { of_project: true, ..rule }),
                    ..theirs
                };
            }
        }
        decision
    }

    /// All policies in the order of evaluation, those that are not in force included.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.evaluator.checked.policies
    }

    /// The rules that have held once and are spent.
    pub fn spent(&self) -> impl Iterator<Item = &Rule> {
        let is_spent = |policy, rule: &Rule| rule.once && self.memory.is_spent(policy, rule);
        let policies = self.policies().iter();
        policies
            .flat_map(move |policy| policy.rules.iter().filter(move |rule| is_spent(policy, rule)))
    }

    /// Whether any rule holds once and never again.
    #[must_use]
    pub fn holds_once(&self) -> bool {
        self.evaluator.once
    }

    /// What is done where no rule matches.
    #[must_use]
    pub fn default_action(&self) -> Action {
        self.evaluator.checked.default_action
    }

    /// What looks wrong in the file and is no error, in the order of the file.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.evaluator.checked.warnings
    }
}

fn checked(source: &str, origin: &str) -> Result<Checked, PolicyError> {
    compile::check(format::read(source, origin)?, origin).map(lint::linted)
}

/// The starter, as it stands in a file.
fn starter_in(origin: &str) -> Checked {
    checked(STARTER, origin).expect("the starter policy is tested to be right")
}
