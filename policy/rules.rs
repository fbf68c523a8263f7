//! Policies as they are in force: checked, compiled and in order.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use serde_saphyr::{Location, Spanned};

use crate::Action;
use crate::conditions::{Bounds, Contained, KEYS, Key, OnDeed, Pattern, When};
use crate::error::{PolicyError, Problem, unknown_key, unknown_word};
use crate::format::{
    self, ACTIONS, ActionEntry, Document, LimitsEntry, PolicyEntry, RuleEntry, TestEntry, Texts,
    Value, WhenEntry,
};
use crate::glob::Glob;
use crate::notify::Notify;
use crate::programs::Verb;

/// The tools that calls are about here, and what each is of what a command does.
const TOOLS: &[(&str, &[Verb])] = &[
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
/// Priority of a policy that names none.
const DEFAULT_PRIORITY: i64 = 100;
/// What a `webhook` rule says where it has no message.
const WEBHOOK_MESSAGE: &str = "A person has to approve this, and its webhook is told";

/// One policy.
#[derive(Debug)]
pub struct Policy {
    pub(crate) file: Arc<str>,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) enabled: bool,
    /// Whether it is about commands at all.
    pub(crate) about_commands: bool,
    /// Whether it is about the texts in commands as well.
    pub(crate) about_texts: bool,
    /// What of what commands do it is about.
    pub(crate) verbs: Vec<Verb>,
    pub(crate) agent: Glob,
    pub(crate) agent_pattern: String,
    pub(crate) session: Glob,
    pub(crate) rules: Vec<Rule>,
    pub(crate) at: Location,
}

impl Policy {
    /// The name that its file was read by.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its author says about it; may be empty.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Its place in the order; the lowest comes first.
    #[must_use]
    pub fn priority(&self) -> i64 {
        self.priority
    }

    /// Whether it is in force.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it is about commands; others are loaded and never reached.
    #[must_use]
    pub fn about_commands(&self) -> bool {
        self.about_commands
    }

    /// The agents that it is about, as a glob.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent_pattern
    }

    /// Its rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

/// One rule of a policy.
#[derive(Debug)]
pub struct Rule {
    pub(crate) action: Action,
    pub(crate) message: String,
    pub(crate) when: When,
    /// Whether it holds for one call, then never again.
    pub(crate) once: bool,
    pub(crate) expires_at: Option<SystemTime>,
    /// When it was written, in its author's words.
    pub(crate) added: Option<String>,
    /// Who is told where it asks.
    pub(crate) webhook: Option<Notify>,
    pub(crate) at: Location,
}

impl Rule {
    /// What it wants done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Line of the file that it begins in, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.at.line()
    }

    /// Whether it holds for one call, and then never again.
    #[must_use]
    pub fn once(&self) -> bool {
        self.once
    }

    /// What it says to the agent; may be empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Its conditions, as key and pattern; none if it always holds.
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.when.written.iter().map(|(key, pattern)| (*key, pattern.as_str()))
    }
}

/// What a policy file says.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) default_action: Action,
    /// Whether the file says so.
    says_default: bool,
    /// In the order of evaluation.
    pub(crate) policies: Vec<Policy>,
    /// Who is told of decisions.
    pub(crate) notify: Option<Notify>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) tests: Vec<TestEntry>,
}

/// Checks and compiles a document.
pub(crate) fn check(document: Document, origin: &str) -> Result<Checked, PolicyError> {
    let mut checker = Checker { file: origin.into(), ..Checker::default() };
    if let Some(version) = document.version.filter(|version| version.value != "1") {
        let text = format!("version `{}` is not known here; write \"1\"", version.value);
        checker.problems.push(Problem::new(version.referenced, text));
    }
    if document.default_action.is_none() {
        let text =
            "there is no `default_action`, so what no rule is about is denied; say which you mean";
        checker.warnings.push(Problem { line: 1, column: 1, text: text.to_string() });
    }
    let notify = document.notify.as_ref();
    let notify = notify.and_then(|notify| Notify::read(notify, &mut checker.warnings));
    let mut names = HashSet::new();
    let mut policies = Vec::with_capacity(document.policies.len());
    for entry in document.policies {
        if !names.insert(entry.name.value.clone()) {
            let text = format!("there are two policies named `{}`; rename one", entry.name.value);
            checker.problems.push(Problem::new(entry.name.referenced, text));
        }
        policies.push(checker.policy(entry));
    }
    let says_default = document.default_action.is_some();
    let default_action = match document.default_action.map(|word| checker.action(&word)) {
        Some(ActionEntry::Allow) => Action::Allow,
        Some(ActionEntry::Watch) => Action::Watch,
        Some(ActionEntry::Ask | ActionEntry::Webhook) => Action::Ask,
        Some(ActionEntry::Deny) | None => Action::Deny,
    };
    for test in &document.tests {
        checker.action(&test.expect);
    }
    if !checker.problems.is_empty() {
        return Err(PolicyError::new(origin, checker.problems));
    }
    policies.sort_by_key(|policy| policy.priority);
    let (warnings, tests) = (checker.warnings, document.tests);
    Ok(Checked { default_action, says_default, policies, notify, warnings, tests })
}

impl Checked {
    /// The policies of another file behind these. What is there by the same name stays; what
    /// is done where no rule holds is what the first file says that does.
    pub(crate) fn and(mut self, other: Self) -> Self {
        if !self.says_default {
            (self.default_action, self.says_default) = (other.default_action, other.says_default);
        }
        self.notify = self.notify.or(other.notify);
        let file =
            other.policies.first().map_or_else(String::new, |policy| policy.file.to_string());
        self.warnings.extend(
            other.warnings.into_iter().map(|warning| Problem {
                text: format!("{} (in {file})", warning.text),
                ..warning
            }),
        );
        for policy in other.policies {
            if let Some(own) = self.policies.iter().find(|own| own.name == policy.name) {
                let text = format!(
                    "the policy `{}` is in {} as well, which is the one in force; rename one (in {})",
                    policy.name, own.file, policy.file
                );
                self.warnings.push(Problem::new(policy.at, text));
            } else {
                self.policies.push(policy);
            }
        }
        self.policies.sort_by_key(|policy| policy.priority);
        self.tests.extend(other.tests);
        self
    }
}

#[derive(Default)]
struct Checker {
    file: Arc<str>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Checker {
    fn policy(&mut self, entry: PolicyEntry) -> Policy {
        if entry.name.value.trim().is_empty() {
            let text = "the name of this policy is empty; give it one";
            self.problems.push(Problem::new(entry.name.referenced, text));
        }
        let applies = entry.applies.unwrap_or_default();
        let tools = applies.tool.as_ref().map(|tools| self.globs(tools));
        let is_about = |name: &str| {
            tools.as_ref().is_none_or(|tools| tools.iter().any(|tool| tool.matches(name)))
        };
        let about_commands = is_about("exec") || is_about("command");
        let about_texts = tools.is_some() && is_about("exec");
        let mut verbs: Vec<Verb> = TOOLS
            .iter()
            .filter(|(name, _)| is_about(name))
            .flat_map(|(_, verbs)| verbs.iter().copied())
            .collect();
        // Rules about files in a policy about commands are about what these do.
        let only_commands = about_commands && verbs.is_empty();
        if only_commands {
            verbs = TOOLS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        }
        let (agent_pattern, agent) = self.scope(applies.agent.as_ref(), entry.name.referenced);
        let (_, session) = self.scope(applies.session.as_ref(), entry.name.referenced);
        let mut rules = Vec::with_capacity(entry.rules.value.len());
        for rule in entry.rules.value {
            rules.push(self.rule(rule));
        }
        if rules.is_empty() {
            let text = "this policy has no rules; add one or remove it";
            self.problems.push(Problem::new(entry.rules.referenced, text));
        }
        Policy {
            file: Arc::clone(&self.file),
            name: entry.name.value,
            description: entry.description.unwrap_or_default(),
            priority: entry.priority.unwrap_or(DEFAULT_PRIORITY),
            enabled: entry.enabled.unwrap_or(true),
            about_commands,
            about_texts,
            verbs,
            agent,
            agent_pattern,
            session,
            rules,
            at: entry.name.referenced,
        }
    }

    /// What a word for an action says.
    fn action(&mut self, word: &Spanned<String>) -> ActionEntry {
        format::action(&word.value).unwrap_or_else(|| {
            let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            self.problems.push(Problem::new(word.referenced, unknown_word(&word.value, &names)));
            ActionEntry::Deny
        })
    }

    /// The glob of an agent or a session.
    fn scope(&mut self, written: Option<&Spanned<String>>, at: Location) -> (String, Glob) {
        let pattern = written.map_or("*", |written| &written.value).to_string();
        let glob = self.glob(&pattern, written.map_or(at, |written| written.referenced), Glob::new);
        (pattern, glob.unwrap_or_else(Glob::nothing))
    }

    fn rule(&mut self, entry: RuleEntry) -> Rule {
        let written = self.action(&entry.action);
        let (action, fallback) = match written {
            ActionEntry::Deny => (Action::Deny, ""),
            ActionEntry::Allow => (Action::Allow, ""),
            ActionEntry::Watch => (Action::Watch, ""),
            ActionEntry::Ask => (Action::Ask, ""),
            ActionEntry::Webhook => (Action::Ask, WEBHOOK_MESSAGE),
        };
        let at = entry.action.referenced;
        let url = entry.webhook.and_then(|webhook| webhook.url).unwrap_or_default();
        let has_url = !url.trim().is_empty();
        let webhook = Notify::of_rule(&url);
        if has_url && webhook.is_none() {
            let text = "`webhook` tells nobody: its `url` is not http://HOST… or https://HOST…, without a user's name";
            self.warnings.push(Problem::new(at, text));
        }
        if written == ActionEntry::Webhook && !has_url {
            let text =
                "`action: webhook` needs to say whom to ask; write `webhook: {url: \"https://…\"}`";
            self.problems.push(Problem::new(at, text));
        }
        let expires_at = entry.expires_at.and_then(|written| {
            let time = humantime::parse_rfc3339(&written.value).ok();
            if time.is_none() {
                let text = format!(
                    "`{}` is no time; write one such as 2026-12-01T00:00:00Z",
                    written.value
                );
                self.problems.push(Problem::new(written.referenced, text));
            }
            time
        });
        let when = match entry.when.as_ref().map(|when| (&when.value, when.referenced)) {
            None => When::default(),
            Some((Some(entry), at)) => self.when(entry, at, action),
            Some((None, at)) => {
                self.empty_when(at);
                When::default()
            }
        };
        let message = entry.message.unwrap_or_else(|| fallback.to_string());
        let (once, added) = (entry.once, entry.added);
        Rule { action, message, when, once, expires_at, added, webhook, at }
    }

    fn empty_when(&mut self, at: Location) {
        let text = "this `when` has no condition; remove it or write `default: true` if the rule is to hold always";
        self.problems.push(Problem::new(at, text));
    }

    fn when(&mut self, entry: &WhenEntry, at: Location, action: Action) -> When {
        let names: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
        for key in &entry.unknown {
            self.problems.push(Problem::new(key.referenced, unknown_key(&key.value, &names)));
        }
        let mut when = When::default();
        let restricts = action >= Action::Ask;
        let (mut conditions, mut always) = (entry.unknown.len(), false);
        for (key, name, value) in &entry.keys {
            let kind = KEYS.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind);
            conditions += 1;
            if let Value::Texts(texts) = value {
                self.not_empty(texts);
                let written =
                    format::each(texts).into_iter().map(|(text, _)| (*name, text.to_string()));
                when.written.extend(written);
            }
            match (kind, value) {
                (Some(Key::Commands { not: false }), Value::Texts(texts)) => {
                    when.matches =
                        Some(self.patterns(texts, |text| Pattern::command(text, restricts)));
                }
                // What excuses is no looser than what permits; what keeps a permission from
                // holding restricts.
                (Some(Key::Commands { not: true }), Value::Texts(texts)) => {
                    when.not_matches =
                        self.patterns(texts, |text| Pattern::command(text, !restricts));
                }
                (Some(Key::Contains), Value::Texts(texts)) => {
                    when.contains = Some(
                        format::each(texts)
                            .into_iter()
                            .map(|(text, _)| Contained::new(text))
                            .collect(),
                    );
                }
                (Some(Key::Assigned), Value::Texts(texts)) => {
                    when.assigned = Some(self.patterns(texts, Glob::new));
                }
                (Some(Key::Deeds { of, not }), Value::Texts(texts)) => {
                    let patterns =
                        self.patterns(texts, |text| Pattern::plain(text, restricts != not));
                    when.deeds.push(OnDeed { of, not, patterns });
                }
                (Some(Key::Field { get, not, words }), Value::Texts(texts)) => {
                    self.known_words(texts, words);
                    let patterns = self.patterns(texts, Glob::new);
                    when.field(get, not, patterns);
                }
                (Some(Key::Depth), Value::Limits(limits)) => {
                    when.set_depth(self.bounds(&limits.value, limits.referenced));
                }
                (Some(Key::Count), Value::Limits(limits)) => {
                    when.count = Some(self.bounds(&limits.value, limits.referenced));
                }
                (Some(Key::Always), Value::Flag(flag)) => {
                    always |= flag;
                    conditions -= usize::from(!flag);
                }
                _ => when.never = true,
            }
            let _ = key;
        }
        if conditions == 0 {
            self.empty_when(at);
        }
        // A restricting rule that is to hold always does.
        if always && restricts && !when.never {
            (when.matches, when.contains, when.assigned) = (None, None, None);
        }
        when
    }

    fn bounds(&mut self, written: &LimitsEntry, at: Location) -> Bounds {
        let window = written.window.as_ref().and_then(|text| {
            let window = humantime::parse_duration(text).ok();
            if window.is_none() {
                self.problems.push(Problem::new(
                    at,
                    format!("`{text}` is no duration; write one such as 1h"),
                ));
            }
            window.map(|window| window.as_secs())
        });
        let at_least =
            written.gte.or(written.gt.map(|number| number.saturating_add(1))).or(written.eq);
        let at_most =
            written.lte.or(written.lt.map(|number| number.saturating_sub(1))).or(written.eq);
        if at_least.is_none() && at_most.is_none() {
            self.problems.push(Problem::new(at, "there is no bound; write one such as `gte: 10`"));
        }
        Bounds { at_least: at_least.unwrap_or(0), at_most, window }
    }

    /// Refuses patterns that no word matches of those that there are.
    fn known_words(&mut self, texts: &Texts, words: &[&str]) {
        for (text, at) in format::each(texts).into_iter().filter(|_| !words.is_empty()) {
            let Ok(glob) = Glob::new(text) else { continue };
            if !words.iter().any(|word| glob.matches(word)) {
                let words = words.join("`, `");
                let text = format!("no coverage matches `{text}`; the words are `{words}`");
                self.problems.push(Problem::new(at, text));
            }
        }
    }

    fn globs(&mut self, texts: &Texts) -> Vec<Glob> {
        self.not_empty(texts);
        self.patterns(texts, Glob::new)
    }

    /// Compiles every pattern of a key.
    fn patterns<T>(
        &mut self,
        texts: &Texts,
        compile: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let each = format::each(texts);
        each.into_iter().filter_map(|(text, at)| self.glob(text, at, &compile)).collect()
    }

    fn not_empty(&mut self, texts: &Texts) {
        if format::each(texts).is_empty() {
            let text = "this list is empty; add a pattern or remove the key";
            self.problems.push(Problem::new(texts.referenced, text));
        }
    }

    fn glob<T>(
        &mut self,
        text: &str,
        at: Location,
        compile: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if text.is_empty() {
            self.warnings.push(Problem::new(
                at,
                "this pattern is empty and matches nothing; remove it or use `*`",
            ));
        }
        match compile(text) {
            Ok(compiled) => Some(compiled),
            Err(why) => {
                self.problems.push(Problem::new(at, format!("the pattern `{text}` {why}")));
                None
            }
        }
    }
}
