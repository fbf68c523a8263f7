//! `rampart allow`, `rampart block` and `rampart rules`: the rules that a person writes by typing
//! a pattern.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use rampart_policy::{Call, Decision, PolicySet, STARTER};
use serde::Serialize;

use super::log::place;
use crate::audit::{Event, Trail};
use crate::command_line::command_line;
use crate::failure::{Failure, say};
use crate::home::Home;
use crate::output;
use crate::policy_edit::{Draft, Effect, Written, insert, remove, written};
use crate::policy_file::{compile, replace};
use crate::run::environment::is_guarded;
use crate::terminal::{Screen, cut, harmless};

const EXAMPLES: &str = "\
Examples:
  rampart allow 'npm publish'                  this command, word for word
  rampart block --dry-run 'docker *'           only show what it would have changed

The rule goes into ~/.rampart/policy.yaml, whose other lines stay as they are; where there is
none yet, it begins as the starter policy. An allow goes in front of the rules that refuse the
command now, in their own policies. What it would have changed among the last 1,000 logged
commands is shown. A `rampart serve` takes it over at once; a run that is under way keeps the
policy that it began with. It is for a person: a guarded process cannot do it.";

/// So many logged commands are tried.
const TRIED: usize = 1_000;
/// So many of those that change are shown.
const SHOWN: usize = 8;
/// So many policies may refuse a command, one after another.
const POLICIES: usize = 64;

/// Allow a command that the policy refuses
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Allow {
    #[command(flatten)]
    rule: Rule,
}

/// Refuse a command that the policy allows
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Block {
    #[command(flatten)]
    rule: Rule,
    /// What the agent is told
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
}

#[derive(Debug, Args)]
struct Rule {
    /// The command, or a pattern for commands, in quotes
    pattern: String,
    /// Only show the rule and what it would have changed
    #[arg(long)]
    dry_run: bool,
}

/// List the rules that allow and block have written, or take one out
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take the rule with this number out again
    Remove {
        /// As `rampart rules` lists it
        number: usize,
    },
}

/// Writes a rule that allows.
///
/// # Errors
/// The rule cannot be written, or would not do what it is for.
pub fn allow(arguments: &Allow) -> Result<(), Failure> {
    add(Effect::Allow, &arguments.rule, None)
}

/// Writes a rule that refuses.
///
/// # Errors
/// As [`allow`].
pub fn block(arguments: &Block) -> Result<(), Failure> {
    add(Effect::Block, &arguments.rule, arguments.message.as_deref())
}

fn add(effect: Effect, rule: &Rule, message: Option<&str>) -> Result<(), Failure> {
    if !rule.dry_run {
        refuse_guarded(effect.command())?;
    }
    let file = UserFile::load()?;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let draft = Draft {
        effect,
        pattern: rule.pattern.clone(),
        added: now,
        message: message.map(str::to_owned),
    };
    let probe = Probe::new(&draft)?;
    let logged = logged()?;
    let matched: Vec<&Event> = logged.iter().filter(|event| probe.matches(event)).collect();
    let planned = match effect {
        Effect::Allow => plan_allow(&file, &draft, &matched)?,
        Effect::Block => Plan {
            text: insert(&file.text, None, &draft).map_err(|why| by_hand(&why, &draft))?,
            policies: vec![crate::policy_edit::OWN_POLICY.to_owned()],
        },
    };
    if planned.policies.is_empty() {
        return output::line(format_args!(
            "{} is allowed already; nothing was written",
            quoted(&rule.pattern)
        ));
    }
    let before = file.compiled()?;
    let after = compile(&planned.text, &file.path).map_err(|why| {
        by_hand(&format!("the policy would not be usable with it: {why}"), &draft)
    })?;
    show(&file, &draft, &planned, rule.dry_run)?;
    show_changes(&logged, &before, &after, matched.len())?;
    if rule.dry_run {
        return output::line("Nothing was written.");
    }
    file.write(&planned.text)?;
    output::line("Start the command again: a run keeps the policy that it began with.")
}

/// What is to be written.
struct Plan {
    text: String,
    /// The policies that got the rule.
    policies: Vec<String>,
}

/// Puts the rule into each policy that refuses what it is to allow, until nothing does.
fn plan_allow(file: &UserFile, draft: &Draft, matched: &[&Event]) -> Result<Plan, Failure> {
    let example = Event::of_command(&example(&draft.pattern));
    let wanted: Vec<&Event> = std::iter::once(&example).chain(matched.iter().copied()).collect();
    let mut plan = Plan { text: file.text.clone(), policies: Vec::new() };
    for _ in 0..POLICIES {
        let policies = compile(&plan.text, &file.path).map_err(Failure::usage)?;
        let refused = wanted.iter().find_map(|event| {
            let decision = verdict(&policies, event);
            (!decision.allowed()).then_some((event, decision))
        });
        let Some((event, decision)) = refused else { break };
        let policy = decision
            .because
            .as_ref()
            .map_or(crate::policy_edit::OWN_POLICY, |because| &because.policy);
        if plan.policies.iter().any(|done| done == policy) {
            return Err(Failure::usage(format!(
                "{} would still be refused, by the policy {policy}: a rule that allows has to match \
                 every command in a line; nothing was written",
                quoted(event.command())
            )));
        }
        let named = decision.because.as_ref().map(|_| policy);
        plan.text = insert(&plan.text, named, draft).map_err(|why| by_hand(&why, draft))?;
        plan.policies.push(policy.to_owned());
    }
    Ok(plan)
}

/// A command that a pattern matches.
fn example(pattern: &str) -> String {
    pattern.replace("**", "x").replace(['*', '?'], "x")
}

fn show(file: &UserFile, draft: &Draft, plan: &Plan, dry_run: bool) -> Result<(), Failure> {
    let would = if dry_run { "would write" } else { "writes" };
    let begun = if file.is_new { ", a copy of the starter policy," } else { "" };
    output::line(format_args!(
        "{would} to {}{begun} in front of the rules of {}:",
        file.path.display(),
        plan.policies.join(", ")
    ))?;
    for line in draft.lines() {
        output::line(format_args!("    {line}"))?;
    }
    Ok(())
}

fn show_changes(
    logged: &[Event],
    before: &PolicySet,
    after: &PolicySet,
    matched: usize,
) -> Result<(), Failure> {
    let is_other =
        |event: &&Event| verdict(before, event).allowed() != verdict(after, event).allowed();
    let changed: Vec<&Event> = logged.iter().filter(is_other).collect();
    output::line(format_args!(
        "Of the last {} logged commands it matches {matched} and would have changed {}.",
        logged.len(),
        changed.len(),
    ))?;
    let screen = Screen::of_stdout();
    let mut seen: Vec<&str> = changed.iter().map(|event| event.command()).collect();
    seen.sort_unstable();
    seen.dedup();
    for command in seen.iter().take(SHOWN) {
        let command = harmless(command);
        let columns = screen.width.unwrap_or(usize::MAX).saturating_sub(4);
        output::line(format_args!("    {}", cut(&command, columns)))?;
    }
    if seen.len() > SHOWN {
        output::line(format_args!("    and {} others", seen.len() - SHOWN))?;
    }
    Ok(())
}

/// Lists the rules, or takes one out.
///
/// # Errors
/// The file cannot be read or written, or has no such rule.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = UserFile::load()?;
    let rules = if file.is_new { Vec::new() } else { written(&file.text) };
    match &arguments.action {
        None => list(&file, &rules, arguments.json),
        Some(Action::Remove { number }) => {
            refuse_guarded("rules remove")?;
            let rule =
                number.checked_sub(1).and_then(|index| rules.get(index)).ok_or_else(|| {
                    Failure::usage(format!("there is no rule {number}: `rampart rules` lists them"))
                })?;
            let text = remove(&file.text, rule);
            compile(&text, &file.path).map_err(|why| {
                Failure::new(format!("without it the policy is not usable: {why}"))
            })?;
            file.write(&text)?;
            output::line(format_args!("removed: {}", told(rule)))
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    number: usize,
    command: &'a str,
    pattern: &'a str,
    policy: &'a str,
    added: &'a str,
    more: &'a [String],
}

fn list(file: &UserFile, rules: &[Written], json: bool) -> Result<(), Failure> {
    if json {
        let listed = rules.iter().enumerate().map(|(index, rule)| Listed {
            number: index + 1,
            command: &rule.command,
            pattern: &rule.pattern,
            policy: &rule.policy,
            added: &rule.day,
            more: &rule.more,
        });
        return output::json(&listed.collect::<Vec<_>>());
    }
    if rules.is_empty() {
        say(format!("no rule in {} is by rampart allow or block", file.path.display()));
    }
    for (index, rule) in rules.iter().enumerate() {
        output::line(format_args!("{:>3}  {}", index + 1, told(rule)))?;
    }
    Ok(())
}

fn told(rule: &Written) -> String {
    let more = rule.more.iter().fold(String::new(), |text, more| text + ", " + more);
    let Written { command, day, policy, .. } = rule;
    harmless(&format!("{command:<5}  {}  ({day}, in {policy}{more})", quoted(&rule.pattern)))
}

/// A pattern or a command, fit for a shell.
fn quoted(text: &str) -> String {
    command_line(&[text.into()])
}

/// The policy file of this user.
struct UserFile {
    path: PathBuf,
    text: String,
    /// Not there yet; the text is the starter's.
    is_new: bool,
}

impl UserFile {
    fn load() -> Result<Self, Failure> {
        let path = Home::locate()?.policy();
        // A link leads to where a person keeps it.
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text, is_new: false }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { path, text: STARTER.to_owned(), is_new: true })
            }
            Err(error) => {
                Err(Failure::usage(format!("cannot read the policy {}: {error}", path.display())))
            }
        }
    }

    fn compiled(&self) -> Result<PolicySet, Failure> {
        compile(&self.text, &self.path).map_err(Failure::usage)
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        replace(&self.path, text).map_err(|error| {
            Failure::new(format!(
                "cannot write the policy {}: {error}; it is as it was",
                self.path.display()
            ))
        })
    }
}

/// Tells which commands a pattern is about, as the rule will.
struct Probe {
    effect: Effect,
    policies: PolicySet,
}

impl Probe {
    fn new(draft: &Draft) -> Result<Self, Failure> {
        let default = match draft.effect {
            Effect::Allow => "deny",
            Effect::Block => "allow",
        };
        let source = format!("version: \"1\"\ndefault_action: {default}\n");
        let source = insert(&source, None, draft).map_err(Failure::usage)?;
        let policies = PolicySet::parse(&source, "the pattern").map_err(|error| {
            let why =
                error.problems().first().map_or_else(String::new, |problem| problem.text.clone());
            Failure::usage(format!("{} is no usable pattern: {why}", quoted(&draft.pattern)))
        })?;
        Ok(Self { effect: draft.effect, policies })
    }

    fn matches(&self, event: &Event) -> bool {
        verdict(&self.policies, event).allowed() == (self.effect == Effect::Allow)
    }
}

fn verdict(policies: &PolicySet, event: &Event) -> Decision {
    policies.evaluate(&Call {
        agent: &event.agent,
        session: &event.session,
        command: event.command(),
        cwd: event.asked("cwd"),
        coverage: event.asked("coverage"),
        ..Call::default()
    })
}

fn logged() -> Result<Vec<Event>, Failure> {
    Trail::of(&place(None)?).last(TRIED, |event| !event.command().is_empty())
}

fn by_hand(why: &str, draft: &Draft) -> Failure {
    Failure::usage(format!(
        "{why}; nothing was written. To write it yourself, the rule is:\n{}",
        draft.lines().join("\n")
    ))
}

/// A model that is refused something must not allow it to itself.
fn refuse_guarded(what: &str) -> Result<(), Failure> {
    if is_guarded() {
        return Err(Failure::cannot_run(format!(
            "`rampart {what}` is for the person at the keyboard, and this process is guarded"
        )));
    }
    Ok(())
}
