//! From what a policy file says to the policies in force: checked, compiled and in order.

use std::collections::HashSet;
use std::sync::Arc;

use serde_saphyr::{Location, Spanned};

use crate::Action;
use crate::conditions::COVERAGES;
use crate::error::{PolicyError, Problem};
use crate::format::{self, ActionEntry, Document, PolicyEntry, RuleEntry, TestEntry};
use crate::glob::Glob;
use crate::notify::Notify;
use crate::programs::{Verb, Verbs};
use crate::rules::{Checked, Policy, Rule};
use crate::time;
use crate::value::{Findings, each};
use crate::when::When;

/// The tools that calls are about here, and what each is of what a command does.
pub(crate) const TOOLS: &[(&str, &[Verb])] = &[
    ("exec", &[]),
    ("command", &[]),
    ("read", &[Verb::Read]),
    ("write", &[Verb::Write, Verb::Delete]),
    ("edit", &[Verb::Write, Verb::Delete]),
    ("delete", &[Verb::Delete]),
    ("send", &[Verb::Send]),
    ("fetch", &[Verb::Fetch]),
    ("run", &[Verb::Run]),
];
/// Priority of a policy that names none, or 0.
const DEFAULT_PRIORITY: i64 = 100;
/// What a `webhook` rule says where it has no message.
const WEBHOOK_MESSAGE: &str = "A person has to approve this, and its webhook is told";

/// Checks and compiles a document.
pub(crate) fn check(document: Document, origin: &str) -> Result<Checked, PolicyError> {
    let mut checker = Checker { file: origin.into(), ..Checker::default() };
    let is_other = |version: &Spanned<String>| !matches!(version.value.trim(), "" | "1");
    if let Some(version) = document.version.filter(is_other) {
        let text = format!("version `{}` is not known here; write \"1\"", version.value);
        checker.found.problem(version.referenced, text);
    }
    let default_action = document.default_action.filter(|word| !word.value.trim().is_empty());
    if default_action.is_none() {
        let text =
            "there is no `default_action`, so what no rule is about is denied; say which you mean";
        checker.found.warnings.push(Problem { line: 1, column: 1, text: text.to_string() });
    }
    let notify = document.notify.as_ref();
    let notify = notify.and_then(|notify| Notify::read(notify, &mut checker.found.warnings));
    let mut names = HashSet::new();
    if document.policies.is_none() {
        // Half a file, while it is written, is no policy.
        let (found, text) = if default_action.is_some() {
            let text = "there are no `policies`, so that every command gets the `default_action`";
            (&mut checker.found.warnings, text)
        } else {
            (&mut checker.found.problems, "the key `policies` is missing; add it")
        };
        found.push(Problem { line: 1, column: 1, text: text.to_string() });
    }
    let entries = document.policies.unwrap_or_default();
    let mut policies = Vec::with_capacity(entries.len());
    for entry in entries {
        if !names.insert(entry.name.value.clone()) {
            let text = format!("there are two policies named `{}`; rename one", entry.name.value);
            checker.found.problem(entry.name.referenced, text);
        }
        policies.push(checker.policy(entry));
    }
    let says_default = default_action.is_some();
    let default_action = default_action.map(|word| checker.action(&word).action());
    let default_action = default_action.unwrap_or(Action::Deny);
    let mut tests = document.tests.unwrap_or_default();
    for test in &tests {
        checker.test(test);
    }
    tests.retain(|test| test.expect.is_some());
    let Findings { problems, warnings } = checker.found;
    if !problems.is_empty() {
        return Err(PolicyError::new(origin, problems));
    }
    policies.sort_by_key(|policy| policy.priority);
    Ok(Checked { default_action, says_default, policies, notify, warnings, tests })
}

#[derive(Default)]
struct Checker {
    file: Arc<str>,
    found: Findings,
}

impl Checker {
    fn policy(&mut self, entry: PolicyEntry) -> Policy {
        if entry.name.value.trim().is_empty() {
            let text = "the name of this policy is empty; give it one";
            self.found.problem(entry.name.referenced, text);
        }
        let applies = entry.applies.unwrap_or_default();
        let tools = applies.tool.as_ref().filter(|tools| self.found.has_any(tools));
        let tools = tools.map(|tools| self.found.compiled(tools, Glob::new));
        let is_about = |name: &str| {
            tools.as_ref().is_none_or(|tools| tools.iter().any(|tool| tool.matches(name)))
        };
        let about_commands = is_about("exec") || is_about("command");
        let about_texts = tools.is_some() && is_about("exec");
        let mut verbs: Verbs = TOOLS
            .iter()
            .filter(|(name, _)| is_about(name))
            .flat_map(|(_, verbs)| verbs.iter().copied())
            .collect();
        // Rules about files in a policy about commands are about what these do.
        let only_commands = about_commands && verbs.is_empty();
        if only_commands {
            verbs = TOOLS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        }
        let agent = self.scope(applies.agent.as_ref(), entry.name.referenced);
        let session = self.scope(applies.session.as_ref(), entry.name.referenced);
        let written = entry.rules.unwrap_or_default();
        if written.is_empty() {
            let text = "this policy has no rules; add one or remove it";
            self.found.warning(entry.name.referenced, text);
        }
        let rules = written.into_iter().map(|rule| self.rule(rule)).collect();
        Policy {
            file: Arc::clone(&self.file),
            name: entry.name.value,
            description: entry.description.unwrap_or_default(),
            priority: entry.priority.filter(|priority| *priority != 0).unwrap_or(DEFAULT_PRIORITY),
            enabled: entry.enabled.unwrap_or(true),
            about_commands,
            about_texts,
            verbs,
            agent,
            session,
            rules,
            at: entry.name.referenced,
        }
    }

    /// Checks what would make a test pass for nothing.
    fn test(&mut self, entry: &TestEntry) {
        if let Some(expected) = &entry.expect {
            self.action(expected);
        } else {
            let what = "this test expects nothing and is not run; add `expect: deny` or the like";
            self.found.warning(entry.at(), what);
        }
        if let Some(commands) = entry.params.command.as_ref().filter(|it| each(it).is_empty()) {
            let what = "this list is empty; add a command or remove the key";
            self.found.problem(commands.referenced, what);
        }
        let call = entry.call("", None);
        let known = call.coverage.is_none_or(|word| COVERAGES.contains(&word));
        if !known {
            let what = format!("the coverage is none that is known: `{}`", COVERAGES.join("`, `"));
            self.found.problem(entry.at(), what);
        }
    }

    /// What a word for an action says.
    fn action(&mut self, word: &Spanned<String>) -> ActionEntry {
        format::action(word.value.trim()).unwrap_or_else(|what| {
            self.found.problem(word.referenced, what);
            ActionEntry::Deny
        })
    }

    /// The glob of an agent or a session; an empty one is as none.
    fn scope(&mut self, written: Option<&Spanned<String>>, at: Location) -> Glob {
        let written = written.filter(|written| !written.value.is_empty());
        let pattern = written.map_or("*", |written| &written.value);
        let at = written.map_or(at, |written| written.referenced);
        self.found.glob(pattern, at, Glob::new).unwrap_or_else(Glob::nothing)
    }

    fn rule(&mut self, entry: RuleEntry) -> Rule {
        let written = self.action(&entry.action);
        let action = written.action();
        let fallback = if written == ActionEntry::Webhook { WEBHOOK_MESSAGE } else { "" };
        let at = entry.action.referenced;
        let url = entry.webhook.and_then(|webhook| webhook.url).unwrap_or_default();
        let has_url = !url.trim().is_empty();
        let webhook = Notify::of_rule(&url);
        if has_url && webhook.is_none() {
            let text = "`webhook` tells nobody: its `url` is not http://HOST… or https://HOST…, without a user's name";
            self.found.warning(at, text);
        }
        if written == ActionEntry::Webhook && !has_url {
            let text =
                "`action: webhook` needs to say whom to ask; write `webhook: {url: \"https://…\"}`";
            self.found.problem(at, text);
        }
        let expires_at = entry.expires_at.and_then(|written| {
            let time = time::read(&written.value);
            if time.is_none() && !written.value.is_empty() {
                let text = format!(
                    "`{}` is no time; write one such as 2026-12-01T00:00:00Z",
                    written.value
                );
                self.found.problem(written.referenced, text);
            }
            time
        });
        let when = entry.when.map_or_else(When::default, |when| {
            let entry = when.value.unwrap_or_default();
            When::compile(&entry, when.referenced, action, &mut self.found)
        });
        let message = entry.message.unwrap_or_else(|| fallback.to_string());
        let (once, added) = (entry.once.unwrap_or_default(), entry.added);
        Rule { action, message, when, once, expires_at, added, webhook, at }
    }
}
