//! Plans a rule before it is written: which policies it goes into, and what it would have changed
//! among the logged commands.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rampart_policy::{Action, Call, Decision, PolicySet};

use crate::audit::{Event, Trail, place};
use crate::command_line::command_line;
use crate::failure::Failure;
use crate::home::{self, Home};
use crate::policy_edit::{Draft, Effect, OWN_POLICY, insert};
use crate::policy_file::{InForce, compile, compile_all};
use crate::project_policy::in_force;
use crate::rule_file::RuleFile;
use crate::terminal::{cut, harmless};

/// How many logged commands are tried.
const TRIED: usize = 1_000;
/// How many changed commands are shown.
const SHOWN: usize = 8;
/// How many policies may refuse a command, one after another.
const POLICIES: usize = 64;

/// What a rule that refuses tells an agent if the person says nothing else.
const BLOCKED: &str = "The user has blocked this. Ask them what to do instead";

/// What a person asked for.
#[derive(Debug, Clone)]
pub struct RuleRequest {
    pub effect: Effect,
    pub pattern: String,
    /// For an agent that is refused; `None`: that a person has blocked it.
    pub message: Option<String>,
    /// For one command only.
    pub once: bool,
    /// How long it is to hold.
    pub lasts: Option<Duration>,
    /// Whether it goes into the project's policy.
    pub project: bool,
}

/// A rule that may be written.
#[derive(Debug)]
pub struct Plan {
    file: RuleFile,
    draft: Draft,
    /// The policies that get the rule.
    policies: Vec<String>,
    /// The file with the rule in it.
    text: String,
    tried: usize,
    matched: usize,
    /// How many decisions it would have changed.
    count: usize,
    /// The commands of those decisions, without duplicates.
    changed: Vec<String>,
}

impl Plan {
    /// Plans what to write; `None` if the rule would change nothing.
    ///
    /// # Errors
    /// The rule cannot be written, or would not do what it is for.
    pub fn new(request: &RuleRequest) -> Result<Option<Self>, Failure> {
        let file = RuleFile::load(request.project)?;
        let draft = request.draft(SystemTime::now());
        let probe = Probe::new(&draft)?;
        let logged = logged(file.project.as_deref())?;
        let matched: Vec<&Event> = logged.iter().filter(|event| probe.matches(event)).collect();
        let before = file.compiled_as(&file.text).map_err(Failure::usage)?;
        // Tried without its limit: one evaluation would spend a rule that holds once.
        let lasting = draft.lasting();
        let policies = match draft.effect {
            Effect::Allow => policies_to_allow(&file, &lasting, &matched)?,
            Effect::Block => vec![OWN_POLICY.to_owned()],
        };
        if policies.is_empty() {
            return Ok(None);
        }
        let text_with = |draft: &Draft| {
            policies
                .iter()
                .try_fold(file.text.clone(), |text, policy| insert(&text, Some(policy), draft))
                .map_err(|why| by_hand(&why, draft))
        };
        let unusable = |why: String| {
            by_hand(&format!("the policy would not be usable with it: {why}"), &draft)
        };
        let text = text_with(&draft)?;
        compile(&text, &file.path).map_err(unusable)?;
        let after = file.compiled_as(&text_with(&lasting)?).map_err(unusable)?;
        let is_other =
            |event: &&Event| verdict(&before, event).allowed() != verdict(&after, event).allowed();
        let mut changed: Vec<String> =
            logged.iter().filter(is_other).map(|event| event.command().to_owned()).collect();
        let (tried, matched, count) = (logged.len(), matched.len(), changed.len());
        changed.sort_unstable();
        changed.dedup();
        Ok(Some(Self { file, draft, policies, text, tried, matched, count, changed }))
    }

    /// The description for a person.
    pub fn told(&self, only_shown: bool, columns: Option<usize>) -> Vec<String> {
        let would = if only_shown { "would write" } else { "writes" };
        let begun = self.file.begins_as.map(|as_what| format!(", {as_what},")).unwrap_or_default();
        let mut lines = vec![format!(
            "{would} to {}{begun} in front of the rules of {}:",
            self.file.path.display(),
            self.policies.join(", ")
        )];
        lines.extend(self.draft.lines().iter().map(|line| format!("    {line}")));
        let here = if self.file.project.is_some() { " that may be of this project" } else { "" };
        lines.push(format!(
            "Of the last {} logged commands{here} it matches {} and would have changed {}.",
            self.tried, self.matched, self.count,
        ));
        let columns = columns.unwrap_or(usize::MAX).saturating_sub(4);
        let shown = self.changed.iter().take(SHOWN);
        lines.extend(shown.map(|command| format!("    {}", cut(&harmless(command), columns))));
        if self.changed.len() > SHOWN {
            lines.push(format!("    and {} others", self.changed.len() - SHOWN));
        }
        if self.draft.once {
            lines.push("It holds for one command only.".to_owned());
        }
        if let Some(until) = &self.draft.until {
            lines.push(format!("It ends at {until}."));
        }
        lines
    }

    /// Writes it, unless the file has changed since; returns whether it did.
    ///
    /// # Errors
    /// The file cannot be written; it stays as it was.
    pub fn write(&self) -> Result<bool, Failure> {
        self.file.write(&self.text)
    }
}

impl RuleRequest {
    fn draft(&self, now: SystemTime) -> Draft {
        let written = |time| humantime::format_rfc3339_seconds(time).to_string();
        Draft {
            effect: self.effect,
            pattern: self.pattern.clone(),
            // Rules are told apart by it: two may be written in one second.
            added: humantime::format_rfc3339_millis(now).to_string(),
            message: match self.effect {
                Effect::Allow => None,
                Effect::Block => Some(self.message.clone().unwrap_or_else(|| BLOCKED.into())),
            },
            once: self.once,
            until: self.lasts.map(|lasts| written(now + lasts)),
        }
    }
}

/// The policies that have to get the rule until nothing in the file refuses the wanted commands.
fn policies_to_allow(
    file: &RuleFile,
    draft: &Draft,
    matched: &[&Event],
) -> Result<Vec<String>, Failure> {
    let example = Event::of_command(&example(&draft.pattern));
    let wanted: Vec<&Event> = std::iter::once(&example).chain(matched.iter().copied()).collect();
    if file.project.is_some() {
        may_only_restrict(&wanted, &draft.pattern)?;
    }
    let mut text = file.text.clone();
    let mut policies: Vec<String> = Vec::new();
    for _ in 0..POLICIES {
        let compiled = file.compiled_as(&text).map_err(Failure::usage)?;
        let refused = wanted.iter().find_map(|event| {
            let decision = verdict(&compiled, event);
            (!decision.allowed()).then_some((event, decision))
        });
        let Some((event, decision)) = refused else { break };
        let policy = decision.because.map_or_else(|| OWN_POLICY.to_owned(), |why| why.policy);
        if policies.contains(&policy) {
            return Err(Failure::usage(format!(
                "{} would still be refused, by the policy {policy}: a rule that allows has to match \
                 every command in a line; nothing was written",
                quoted(event.command())
            )));
        }
        text = insert(&text, Some(&policy), draft).map_err(|why| by_hand(&why, draft))?;
        policies.push(policy);
    }
    if file.project.is_none() {
        no_other_refuses(file, &text, &wanted, draft)?;
    }
    Ok(policies)
}

/// Fails if another policy file refuses: a rule in one file cannot override another file.
fn no_other_refuses(
    file: &RuleFile,
    text: &str,
    wanted: &[&Event],
    draft: &Draft,
) -> Result<(), Failure> {
    let others = RuleFile::beside(&Home::locate()?)?;
    if others.is_empty() {
        return Ok(());
    }
    let own = std::iter::once((text.to_owned(), file.path.clone()));
    let all = compile_all(&own.chain(others).collect::<Vec<_>>()).map_err(Failure::usage)?;
    let refused = wanted.iter().find_map(|event| {
        let decision = verdict(&all, event);
        decision.because.filter(|because| because.action >= Action::Ask).map(|why| (event, why))
    });
    refused.map_or(Ok(()), |(event, because)| {
        let why = format!(
            "{} is refused by rule {} of the policy {} in {}, which is not written to: put the \
             rule in front of that one",
            quoted(event.command()),
            because.rule,
            because.policy,
            because.file
        );
        Err(by_hand(&why, draft))
    })
}

/// Fails if the user's own policy refuses: a project's rule cannot override it.
fn may_only_restrict(wanted: &[&Event], pattern: &str) -> Result<(), Failure> {
    let own = InForce::load(None, &Home::locate()?)?;
    let refused = wanted.iter().find(|event| !verdict(&own.policies, event).allowed());
    refused.map_or(Ok(()), |event| {
        Err(Failure::usage(format!(
            "{} is refused by {}, and a project's policy may only restrict: \
             use `rampart allow {}` without --project; nothing was written",
            quoted(event.command()),
            own.origin,
            quoted(pattern)
        )))
    })
}

/// The project's policy file that refuses, here, what a pattern stands for, if one does.
///
/// # Errors
/// The policy in force is not usable.
pub fn refusing_project(pattern: &str) -> Result<Option<String>, Failure> {
    let home = Home::locate()?;
    let Ok(here) = std::env::current_dir() else { return Ok(None) };
    let policies = in_force(None, Some(&here), &home)?.policies;
    let decision = verdict(&policies, &Event::of_command(&example(pattern)));
    let because = decision.because.filter(|because| because.of_project);
    Ok(because.filter(|because| because.action >= Action::Ask).map(|because| because.file))
}

/// A command that the pattern matches.
fn example(pattern: &str) -> String {
    let mut example = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        example.push(match c {
            '*' => {
                while rest.next_if_eq(&'*').is_some() {}
                'x'
            }
            '?' => 'x',
            '[' => member(&rest.by_ref().take_while(|c| *c != ']').collect::<Vec<_>>()),
            c => c,
        });
    }
    example
}

/// A character of a class, which stands between its brackets.
fn member(class: &[char]) -> char {
    let Some(('^', others)) = class.split_first() else {
        return class.first().copied().unwrap_or('x');
    };
    let is_in = |c: char| {
        others.contains(&c)
            || others.windows(3).any(|of| of[1] == '-' && (of[0]..=of[2]).contains(&c))
    };
    ('a'..='z').chain('0'..='9').chain('A'..='Z').find(|c| !is_in(*c)).unwrap_or('x')
}

/// A pattern or command, quoted for a shell.
pub fn quoted(text: &str) -> String {
    command_line(&[text.into()])
}

/// Tells which commands the rule will match.
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
        let source = insert(&source, None, &draft.lasting()).map_err(Failure::usage)?;
        let policies = PolicySet::parse(&source, "the pattern").map_err(|error| {
            let why =
                error.problems.first().map_or_else(String::new, |problem| problem.text.clone());
            Failure::usage(format!("{} is not a usable pattern: {why}", quoted(&draft.pattern)))
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
        home: home::of_user(),
        coverage: event.asked("coverage"),
        ..Call::default()
    })
}

/// The last logged commands, for a project without those known to have run elsewhere.
fn logged(project: Option<&Path>) -> Result<Vec<Event>, Failure> {
    let is_inside = |event: &Event| {
        project.is_none_or(|folder| {
            event.asked("cwd").is_none_or(|cwd| Path::new(cwd).starts_with(folder))
        })
    };
    Trail::of(&place(None)?).last(TRIED, |event| !event.command().is_empty() && is_inside(event))
}

fn by_hand(why: &str, draft: &Draft) -> Failure {
    Failure::usage(format!(
        "{why}; nothing was written. To write it yourself, the rule is:\n{}",
        draft.lines().join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use rampart_policy::{Call, PolicySet};

    use super::example;

    #[test]
    fn an_example_is_matched_by_its_pattern() {
        for pattern in [
            "ls",
            "a *",
            "a **/b?",
            "a x[*]",
            "a [[]1]",
            "a [a-c]",
            "a [^a-z~]x",
            "**.pub",
            "a [^}-~]",
        ] {
            let source = format!(
                "default_action: deny\npolicies:\n- name: p\n  rules:\n  - action: allow\n    \
                 when: {{command_matches: ['{pattern}']}}\n"
            );
            let policies = PolicySet::parse(&source, "p").unwrap();
            let command = example(pattern);
            let call = Call { agent: "a", session: "s", command: &command, ..Call::default() };
            assert!(policies.evaluate(&call).allowed(), "{pattern}: {command}");
        }
    }
}
