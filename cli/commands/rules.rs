//! `rampart allow`, `rampart block` and `rampart rules`: rules that a person writes by typing a
//! pattern.

use std::time::{Duration, SystemTime};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use rampart_policy::PolicySet;
use serde::Serialize;

use crate::command_line::{count, literal};
use crate::failure::{Failure, say};
use crate::output;
use crate::policy_edit::{Effect, Written, remove, written};
use crate::policy_file::compile;
use crate::rule_file::RuleFile;
use crate::rule_plan::{Plan, RuleRequest, quoted, refusing_project};
use crate::run::environment::refuse_guarded;
use crate::terminal::{Screen, harmless};

const EXAMPLES: &str = "\
Examples:
  rampart allow 'npm publish'                  this command, word for word
  rampart allow --once 'terraform apply'       for one command only
  rampart allow --for 1h 'git push *'          for an hour
  rampart block --project 'npm publish*'       for all who work in this project
  rampart block --dry-run 'docker *'           only show what it would have changed

The rule goes into ~/.rampart/policy.yaml, whose other lines stay as they are; a missing file
begins as a copy of the starter policy. An allow goes in front of the rules that refuse the
command now, in their policies. The output shows what it would have changed among the last 1,000
logged commands. `rampart serve` reloads the file at once; a run that is under way keeps the
policy that it began with. A guarded process cannot do this.

A project's file is .rampart/policy.yaml in this directory or the nearest one above it,
otherwise at the root of the Git work tree. It can only restrict: it cannot allow what your own
policy refuses.";

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
    /// Message to the agent
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    message: Option<String>,
}

#[derive(Debug, Args)]
struct Rule {
    /// The command, or a pattern for commands, in quotes
    #[arg(value_parser = pattern)]
    pattern: String,
    /// For one command only
    #[arg(long)]
    once: bool,
    /// For so long: 90s, 1h, 2days
    #[arg(long = "for", value_name = "TIME", value_parser = lasts)]
    lasts: Option<Duration>,
    /// In the project's .rampart/policy.yaml, which can only restrict
    #[arg(long)]
    project: bool,
    /// Only show the rule and what it would have changed
    #[arg(long)]
    dry_run: bool,
}

/// # Errors
/// It is empty.
fn pattern(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it matches no command: write one in quotes, or * for all".to_owned());
    }
    Ok(text.to_owned())
}

/// The longest duration; anything longer is meant to last forever.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Parses how long a rule holds.
///
/// # Errors
/// It is not a duration, or zero.
fn lasts(text: &str) -> Result<Duration, String> {
    let lasts = humantime::parse_duration(text).map_err(|_| "write 90s, 1h or 2days".to_owned())?;
    match lasts {
        Duration::ZERO => Err("a rule cannot end at once".to_owned()),
        _ if lasts > LONGEST => Err("leave --for out for a rule without an end".to_owned()),
        _ => Ok(lasts),
    }
}

/// List or remove the rules that allow and block have written
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// The rules in the project's file
    #[arg(long, global = true)]
    project: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Remove a rule
    Remove {
        /// Its number in `rampart rules`
        #[arg(value_parser = count)]
        number: usize,
    },
}

/// Writes a rule that allows.
///
/// # Errors
/// The rule cannot be written, or would not do what it is for.
pub fn allow(arguments: &Allow) -> Result<(), Failure> {
    if add(Effect::Allow, &arguments.rule, None)? {
        output::line("Start the command again: a run keeps the policy that it began with.")?;
    }
    Ok(())
}

/// Writes a rule that allows this command and no other.
///
/// # Errors
/// As [`allow`].
pub fn allow_exactly(command: &str) -> Result<(), Failure> {
    let pattern = literal(command);
    let rule = Rule { pattern, once: false, lasts: None, project: false, dry_run: false };
    add(Effect::Allow, &rule, None).map(drop)
}

/// Writes a rule that refuses.
///
/// # Errors
/// As [`allow`].
pub fn block(arguments: &Block) -> Result<(), Failure> {
    if add(Effect::Block, &arguments.rule, arguments.message.as_deref())? {
        output::line("A run that is under way keeps the policy that it began with.")?;
    }
    Ok(())
}

/// Plans a rule, writes and shows it; returns whether it was written.
fn add(effect: Effect, rule: &Rule, message: Option<&str>) -> Result<bool, Failure> {
    if !rule.dry_run {
        refuse_guarded(effect.command())?;
    }
    let request = RuleRequest {
        effect,
        pattern: rule.pattern.clone(),
        message: message.map(str::to_owned),
        once: rule.once,
        lasts: rule.lasts,
        project: rule.project,
    };
    let plan = loop {
        let Some(plan) = Plan::new(&request)? else {
            if !rule.project
                && let Some(file) = refusing_project(&rule.pattern)?
            {
                return Err(Failure::usage(format!(
                    "your own policy allows {pattern}, and the project's {file} refuses it: \
                     `rampart allow --project {pattern}` writes the rule there; nothing was written",
                    pattern = quoted(&rule.pattern)
                )));
            }
            let pattern = quoted(&rule.pattern);
            output::line(format_args!("{pattern} is allowed already; nothing was written"))?;
            return Ok(false);
        };
        // If another writer was faster, plan again.
        if rule.dry_run || plan.write()? {
            break plan;
        }
    };
    for line in plan.told(rule.dry_run, Screen::of_stdout().width) {
        output::line(line)?;
    }
    if rule.dry_run {
        output::line("Nothing was written.")?;
    }
    Ok(!rule.dry_run)
}

/// Lists the rules, or takes one out.
///
/// # Errors
/// The file cannot be read or written, or has no such rule.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = RuleFile::load(arguments.project)?;
    let rules = written(&file.text);
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
            if !file.write(&text)? {
                return Err(Failure::new(format!(
                    "{} was changed meanwhile; nothing was removed: run `rampart rules` again",
                    file.path.display()
                )));
            }
            output::line(format_args!("removed: {}", told(rule, State::of(rule, &spent(&file)))))
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
    state: State,
}

/// Whether a rule still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Holds,
    Expired,
    /// It held once.
    Spent,
}

impl State {
    /// `spent` are the lines of spent rules.
    fn of(rule: &Written, spent: &[u64]) -> Self {
        let until = rule.more.iter().find_map(|more| more.strip_prefix("expires_at: "));
        let until = until.and_then(|until| humantime::parse_rfc3339(until).ok());
        match until {
            _ if spent.contains(&rule.line()) => Self::Spent,
            Some(until) if until <= SystemTime::now() => Self::Expired,
            _ => Self::Holds,
        }
    }
}

/// The lines of the rules that are spent; none if the file is not usable.
fn spent(file: &RuleFile) -> Vec<u64> {
    let policies = file.compiled_as(&file.text);
    policies.iter().flat_map(PolicySet::spent).map(rampart_policy::Rule::line).collect()
}

fn list(file: &RuleFile, rules: &[Written], json: bool) -> Result<(), Failure> {
    let spent = spent(file);
    if json {
        let listed = rules.iter().enumerate().map(|(index, rule)| Listed {
            number: index + 1,
            command: &rule.command,
            pattern: &rule.pattern,
            policy: &rule.policy,
            added: &rule.day,
            more: &rule.more,
            state: State::of(rule, &spent),
        });
        return output::json(&listed.collect::<Vec<_>>());
    }
    if rules.is_empty() {
        say(format!("{} has no rules written by rampart allow or block", file.path.display()));
    }
    for (index, rule) in rules.iter().enumerate() {
        output::line(format_args!("{:>3}  {}", index + 1, told(rule, State::of(rule, &spent))))?;
    }
    Ok(())
}

fn told(rule: &Written, state: State) -> String {
    let more = rule.more.iter().fold(String::new(), |text, more| text + ", " + more);
    let state = match state {
        State::Holds => "",
        State::Expired => ", expired",
        State::Spent => ", spent",
    };
    let Written { command, day, policy, .. } = rule;
    let text =
        format!("{command:<5}  {}  ({day}, in {policy}{more}{state})", quoted(&rule.pattern));
    harmless(&text)
}
