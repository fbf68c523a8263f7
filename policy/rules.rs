//! Policies as they are in force: checked, compiled and in order.

use std::collections::HashSet;

use serde_saphyr::Location;

use crate::Action;
use crate::conditions::{Choice, Contained, Pattern, When};
use crate::error::{PolicyError, Problem, unknown_key};
use crate::format::{
    self, ActionEntry, DefaultAction, Document, PolicyEntry, RuleEntry, Texts, WHEN_KEYS, WhenEntry,
};
use crate::glob::Glob;
use crate::lint;

/// The tool that an embedded server decides about.
const TOOL: &str = "exec";
/// How much can be seen of a program, in the words of the wire.
pub const COVERAGES: [&str; 8] =
    ["full", "sip", "hardened", "arm64e", "go", "static", "setuid", "other-arch"];
/// Priority of a policy that names none.
const DEFAULT_PRIORITY: i64 = 100;
/// What a `webhook` rule says where it has no message.
const WEBHOOK_MESSAGE: &str = "A webhook would have to approve this, and this server calls none";

/// One policy.
#[derive(Debug)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) enabled: bool,
    /// Whether it is about commands at all.
    pub(crate) about_commands: bool,
    pub(crate) agent: Glob,
    pub(crate) agent_pattern: String,
    pub(crate) rules: Vec<Rule>,
    pub(crate) at: Location,
}

impl Policy {
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
    pub(crate) at: Location,
}

impl Rule {
    /// What it wants done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// What it says to the agent; may be empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Its conditions, as key and pattern; none if it always holds.
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let When { matches, not_matches, contains, sessions, coverages, .. } = &self.when;
        let patterns = [
            ("command_matches", matches.as_deref().unwrap_or_default()),
            ("command_not_matches", not_matches),
            ("session_matches", sessions.matches.as_deref().unwrap_or_default()),
            ("session_not_matches", &sessions.not_matches),
            ("coverage_matches", coverages.matches.as_deref().unwrap_or_default()),
            ("coverage_not_matches", &coverages.not_matches),
        ];
        let patterns = patterns
            .into_iter()
            .flat_map(|(key, list)| list.iter().map(move |pattern| (key, &*pattern.source)));
        patterns.chain(contains.iter().flatten().map(|text| ("command_contains", &*text.source)))
    }
}

/// What a policy file says.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) default_action: Action,
    /// In the order of evaluation.
    pub(crate) policies: Vec<Policy>,
    pub(crate) warnings: Vec<Problem>,
}

/// Checks and compiles a document.
pub(crate) fn check(document: Document, origin: &str) -> Result<Checked, PolicyError> {
    let mut checker = Checker::default();
    if let Some(version) = document.version.filter(|version| version.value != "1") {
        let text = format!("version `{}` is not known here; write \"1\"", version.value);
        checker.problems.push(Problem::new(version.referenced, text));
    }
    if document.default_action.is_none() {
        let text =
            "there is no `default_action`, so what no rule is about is denied; say which you mean";
        checker.warnings.push(Problem { line: 1, column: 1, text: text.to_string() });
    }
    let mut names = HashSet::new();
    let mut policies = Vec::with_capacity(document.policies.len());
    for entry in document.policies {
        if !names.insert(entry.name.value.clone()) {
            let text = format!("there are two policies named `{}`; rename one", entry.name.value);
            checker.problems.push(Problem::new(entry.name.referenced, text));
        }
        policies.push(checker.policy(entry));
    }
    if !checker.problems.is_empty() {
        return Err(PolicyError::new(origin, checker.problems));
    }
    policies.sort_by_key(|policy| policy.priority);
    checker.warnings.extend(lint::warnings(&policies));
    checker.warnings.sort_by_key(|warning| (warning.line, warning.column));
    Ok(Checked {
        default_action: match document.default_action {
            Some(DefaultAction::Allow) => Action::Allow,
            Some(DefaultAction::Deny) | None => Action::Deny,
        },
        policies,
        warnings: checker.warnings,
    })
}

#[derive(Default)]
struct Checker {
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
        let tools = applies.tool.as_ref().map(|tools| self.patterns(tools)).unwrap_or_default();
        let about_commands = applies.tool.is_none() || tools.iter().any(|tool| tool.matches(TOOL));
        let only_commands = !tools.is_empty() && tools.iter().all(|tool| tool.source == TOOL);
        let agent_pattern = applies.agent.as_ref().map_or("*", |agent| &agent.value).to_string();
        let agent_at =
            applies.agent.as_ref().map_or(entry.name.referenced, |agent| agent.referenced);
        let agent = self.glob(&agent_pattern, agent_at, Glob::new);
        let mut rules = Vec::with_capacity(entry.rules.value.len());
        for rule in entry.rules.value {
            rules.push(self.rule(rule, about_commands, only_commands));
        }
        if rules.is_empty() {
            let text = "this policy has no rules; add one or remove it";
            self.problems.push(Problem::new(entry.rules.referenced, text));
        }
        Policy {
            name: entry.name.value,
            description: entry.description.unwrap_or_default(),
            priority: entry.priority.unwrap_or(DEFAULT_PRIORITY),
            enabled: entry.enabled.unwrap_or(true),
            about_commands,
            agent: agent.unwrap_or_else(Glob::nothing),
            agent_pattern,
            rules,
            at: entry.name.referenced,
        }
    }

    fn rule(&mut self, entry: RuleEntry, about_commands: bool, only_commands: bool) -> Rule {
        let (action, fallback) = match entry.action.value {
            ActionEntry::Deny => (Action::Deny, ""),
            ActionEntry::Allow => (Action::Allow, ""),
            ActionEntry::Watch => (Action::Watch, ""),
            ActionEntry::Ask => (Action::Ask, ""),
            ActionEntry::Webhook => (Action::Ask, WEBHOOK_MESSAGE),
        };
        let at = entry.action.referenced;
        let when = match entry.when.as_ref().map(|when| (&when.value, when.referenced)) {
            None => When::default(),
            Some((Some(entry), at)) => self.when(entry, at, about_commands, only_commands),
            Some((None, at)) => {
                self.empty_when(at);
                When::default()
            }
        };
        Rule { action, message: entry.message.unwrap_or_else(|| fallback.to_string()), when, at }
    }

    fn empty_when(&mut self, at: Location) {
        let text = "this `when` has no condition; remove it or write `default: true` if the rule is to hold always";
        self.problems.push(Problem::new(at, text));
    }

    fn when(
        &mut self,
        entry: &WhenEntry,
        at: Location,
        about_commands: bool,
        only_commands: bool,
    ) -> When {
        let foreign = !entry.others.is_empty();
        for key in &entry.others {
            if !about_commands {
                continue;
            }
            let other_tool = OTHER_TOOLS_KEYS.contains(&key.value.as_str());
            if !other_tool {
                self.problems
                    .push(Problem::new(key.referenced, unknown_key(&key.value, &WHEN_KEYS)));
            } else if only_commands {
                let text = format!(
                    "`{}` is no condition for commands; use one of `command_matches`, `command_contains`",
                    key.value
                );
                self.problems.push(Problem::new(key.referenced, text));
            }
        }
        let Choice { matches, not_matches } =
            self.choice(entry.command_matches.as_ref(), entry.command_not_matches.as_ref());
        let when = When {
            matches,
            not_matches,
            contains: entry.command_contains.as_ref().map(|texts| {
                self.not_empty(texts);
                format::each(texts).into_iter().map(|(text, _)| Contained::new(text)).collect()
            }),
            sessions: self
                .choice(entry.session_matches.as_ref(), entry.session_not_matches.as_ref()),
            coverages: self
                .choice(entry.coverage_matches.as_ref(), entry.coverage_not_matches.as_ref()),
            foreign,
        };
        let conditions = [
            &entry.command_matches,
            &entry.command_not_matches,
            &entry.command_contains,
            &entry.session_matches,
            &entry.session_not_matches,
            &entry.coverage_matches,
            &entry.coverage_not_matches,
        ];
        for texts in [&entry.coverage_matches, &entry.coverage_not_matches].into_iter().flatten() {
            self.known_coverages(texts);
        }
        if conditions.iter().all(|texts| texts.is_none()) && !foreign && entry.default != Some(true)
        {
            self.empty_when(at);
        }
        when
    }

    fn choice(&mut self, matches: Option<&Texts>, not_matches: Option<&Texts>) -> Choice {
        Choice {
            matches: matches.map(|texts| self.patterns(texts)),
            not_matches: not_matches.map(|texts| self.patterns(texts)).unwrap_or_default(),
        }
    }

    /// Refuses patterns that no word for the coverage of a program matches.
    fn known_coverages(&mut self, texts: &Texts) {
        for (text, at) in format::each(texts) {
            let Ok(glob) = Glob::new(text) else { continue };
            if !COVERAGES.iter().any(|word| glob.matches(word)) {
                let words = COVERAGES.join("`, `");
                let text = format!("no coverage matches `{text}`; the words are `{words}`");
                self.problems.push(Problem::new(at, text));
            }
        }
    }

    /// Compiles every pattern of a key.
    fn patterns(&mut self, texts: &Texts) -> Vec<Pattern> {
        self.not_empty(texts);
        let each = format::each(texts);
        each.into_iter().filter_map(|(text, at)| self.glob(text, at, Pattern::new)).collect()
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

/// Conditions of the tools that this server is not asked about.
const OTHER_TOOLS_KEYS: &[&str] = &[
    "path_matches",
    "path_not_matches",
    "url_matches",
    "url_not_matches",
    "domain_matches",
    "domain_not_matches",
    "response_matches",
    "response_not_matches",
    "tool_param_matches",
    "agent_depth",
    "call_count",
];
