//! Edits policy files without touching what a person wrote: rules are inserted and removed as
//! lines, at places that the YAML parser gives, and the rest stays byte for byte.
//!
//! Rules written by `rampart allow` and `rampart block` are marked by a comment on their first
//! line, and only those are removed again. Callers compile the new text before they keep it.

use std::fmt::Write as _;
use std::ops::Range;

use granit_parser::{Event, Parser, StructureStyle};

/// The policy for rules that belong to no other policy.
pub const OWN_POLICY: &str = "by-hand";
/// The comment that marks a written rule, on its first line.
const MARK: &str = "  # rampart ";

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Block,
}

impl Effect {
    /// The command that writes such rules.
    pub fn command(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "deny",
        }
    }
}

/// A rule to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    pub effect: Effect,
    pub pattern: String,
    /// Now, such as `2026-01-31T12:00:00Z`.
    pub added: String,
    pub message: Option<String>,
    /// Whether it holds for one command only.
    pub once: bool,
    /// When it ends, such as `2026-01-31T13:00:00Z`.
    pub until: Option<String>,
}

impl Draft {
    /// The rule's lines, without indentation.
    pub fn lines(&self) -> Vec<String> {
        let Self { effect, added, .. } = self;
        let day = added.split('T').next().unwrap_or_default();
        let mut lines = vec![
            format!("- action: {}{MARK}{}, {day}", effect.action(), effect.command()),
            "  when:".to_owned(),
            format!("    command_matches: [{}]", quoted(&self.pattern)),
        ];
        if let Some(message) = &self.message {
            lines.push(format!("  message: {}", quoted(message)));
        }
        if self.once {
            lines.push("  once: true".to_owned());
        }
        if let Some(until) = &self.until {
            lines.push(format!("  expires_at: {until}"));
        }
        // Makes the rule unique: a spent rule must not spend the same one written again later.
        if self.once || self.until.is_some() {
            lines.push(format!("  added: {added}"));
        }
        lines
    }

    /// The same rule without a limit.
    pub fn lasting(&self) -> Self {
        Self { once: false, until: None, ..self.clone() }
    }
}

/// A string of YAML.
fn quoted(text: &str) -> String {
    // A JSON string is a YAML string. Serialising a string cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// A rule that was written by `rampart allow` or `rampart block`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub policy: String,
    /// `allow` or `block`.
    pub command: String,
    pub day: String,
    pub pattern: String,
    /// What else it says, such as `once: true`.
    pub more: Vec<String>,
    lines: Range<usize>,
}

impl Written {
    /// Line of the file that it begins in, from 1.
    pub fn line(&self) -> u64 {
        self.lines.start as u64 + 1
    }
}

/// Where a list begins: the line after its key, counted from 0, and the column of its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ListPosition {
    line: usize,
    column: usize,
    flow: bool,
}

/// The parts of a policy file that edits need.
#[derive(Debug, Default)]
struct Outline {
    /// The list of policies.
    policies: Option<ListPosition>,
    /// The name of each, and its list of rules.
    rules: Vec<(String, ListPosition)>,
}

/// Inserts a rule in front of the others of a policy, or into [`OWN_POLICY`] if none is named.
/// Returns the new text.
///
/// # Errors
/// The list is not in block style, so lines cannot be inserted.
pub fn insert(source: &str, policy: Option<&str>, draft: &Draft) -> Result<String, String> {
    let outline = outline(source)?;
    let policy = policy.unwrap_or(OWN_POLICY);
    let there = outline.rules.iter().find(|(name, _)| name == policy);
    if let (Some(empty), true) = (empty_list(source, &outline), policy == OWN_POLICY) {
        let list = format!("policies:\n{}", indented(2, &own_policy(draft)));
        return Ok(replaced(source, empty, &list));
    }
    let lines = match (there, outline.policies) {
        (Some((_, place)), _) => at(*place, &draft.lines()),
        (None, Some(place)) if policy == OWN_POLICY => at(place, &own_policy(draft)),
        (None, None) if policy == OWN_POLICY => {
            let mut text = source.trim_end().to_owned();
            let _ = write!(text, "\npolicies:\n{}", indented(2, &own_policy(draft)));
            return Ok(text);
        }
        _ => Err(()),
    };
    let (line, block) = lines.map_err(|()| {
        format!("the rules of the policy {policy} are not written as lines of their own")
    })?;
    let mut text = String::with_capacity(source.len() + block.len());
    for (number, each) in source.split_inclusive('\n').enumerate() {
        if number == line {
            text.push_str(&block);
        }
        text.push_str(each);
    }
    Ok(text)
}

/// The line, counted from 0, that says that there are no policies.
fn empty_list(source: &str, outline: &Outline) -> Option<usize> {
    let has_some = outline.policies.is_some_and(|place| !place.flow);
    let says_so = |line: &str| matches!(line.trim_end(), "policies:" | "policies: []");
    source.lines().position(says_so).filter(|_| !has_some)
}

/// The text with one line replaced.
fn replaced(source: &str, line: usize, new: &str) -> String {
    let lines = source.split_inclusive('\n').enumerate();
    lines.map(|(number, each)| if number == line { new } else { each }).collect()
}

/// The line to insert at, and the lines to insert.
fn at(place: ListPosition, lines: &[String]) -> Result<(usize, String), ()> {
    if place.flow { Err(()) } else { Ok((place.line, indented(place.column, lines))) }
}

fn indented(columns: usize, lines: &[String]) -> String {
    let blanks = " ".repeat(columns);
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{blanks}{line}");
        text
    })
}

fn own_policy(draft: &Draft) -> Vec<String> {
    let head = [
        &*format!("- name: {OWN_POLICY}"),
        "  description: Written by rampart allow and rampart block",
        "  priority: 1",
        "  match: {tool: exec}",
        "  rules:",
    ];
    let rule = draft.lines().into_iter().map(|line| format!("    {line}"));
    head.into_iter().map(str::to_owned).chain(rule).collect()
}

/// The marked rules, in the order of the file.
pub fn written(source: &str) -> Vec<Written> {
    let rules = outline(source).unwrap_or_default().rules;
    let lines: Vec<&str> = source.lines().collect();
    let marked = |line: &&str| line.trim_start().starts_with("- action: ") && line.contains(MARK);
    let found = lines.iter().enumerate().filter(|(_, line)| marked(line));
    found
        .filter_map(|(first, line)| {
            let indent = blanks(line);
            let inside = |line: &&&str| blanks(line) > indent && !line.trim().is_empty();
            let count = lines[first + 1..].iter().take_while(inside).count();
            let body = &lines[first + 1..=first + count];
            let (_, mark) = line.split_once(MARK)?;
            let (command, day) = mark.split_once(", ")?;
            let pattern = body.iter().find_map(|line| {
                let list = line.trim().strip_prefix("command_matches: [")?.strip_suffix(']')?;
                serde_json::from_str(list).ok()
            })?;
            let more = body.iter().map(|line| line.trim()).filter(|line| {
                ["expires_at", "once", "message"].iter().any(|key| line.starts_with(key))
            });
            let policy = rules.iter().rev().find(|(_, place)| place.line <= first)?;
            Some(Written {
                policy: policy.0.clone(),
                command: command.to_owned(),
                day: day.trim_end().to_owned(),
                pattern,
                more: more.map(str::to_owned).collect(),
                lines: first..first + 1 + count,
            })
        })
        .collect()
}

fn blanks(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The text without a marked rule. Also removes [`OWN_POLICY`] if that was its only rule.
pub fn remove(source: &str, rule: &Written) -> String {
    let mut lines = rule.lines.clone();
    let of_policy = written(source).iter().filter(|other| other.policy == rule.policy).count();
    if rule.policy == OWN_POLICY && of_policy == 1 {
        let head = format!("- name: {OWN_POLICY}");
        let before: Vec<&str> = source.lines().take(lines.start).collect();
        if let Some(first) = before.iter().rposition(|line| line.trim() == head) {
            let rest = source.lines().skip(lines.end).find(|line| !line.trim().is_empty());
            // A person may have added rules to it.
            if rest.is_none_or(|next| blanks(next) <= blanks(before[first])) {
                lines.start = first;
            }
        }
    }
    let kept = source.split_inclusive('\n').enumerate().filter(|(line, _)| !lines.contains(line));
    let kept: String = kept.map(|(_, line)| line).collect();
    // A key without a value would not be a list.
    match outline(&kept).ok().and_then(|outline| empty_list(&kept, &outline)) {
        Some(empty) => replaced(&kept, empty, "policies: []\n"),
        None => kept,
    }
}

/// A collection that the parser is inside.
struct OpenCollection {
    mapping: bool,
    /// In a mapping, the key whose value comes next.
    key: Option<String>,
    /// The line after that key.
    line: usize,
}

fn outline(source: &str) -> Result<Outline, String> {
    let mut outline = Outline::default();
    let mut levels: Vec<OpenCollection> = Vec::new();
    let mut name = None;
    let mut rules = None;
    for event in Parser::new_from_str(source) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let place = |style: StructureStyle| {
            let line = levels.last().map_or(0, |level| level.line);
            let is_content =
                |line: &&str| !matches!(line.trim_start().chars().next(), None | Some('#'));
            let first = source.lines().skip(line).find(is_content).unwrap_or_default();
            ListPosition { line, column: blanks(first), flow: style == StructureStyle::Flow }
        };
        match event {
            Event::Scalar(text, ..) => {
                if levels.last().is_some_and(|level| level.mapping && level.key.is_none()) {
                    if let Some(level) = levels.last_mut() {
                        level.key = Some(text.into_owned());
                        level.line = span.start.line();
                    }
                    continue;
                }
                if path(&levels) == ["policies", "-", "name"] {
                    name = Some(text.into_owned());
                }
                value_ended(&mut levels);
            }
            Event::SequenceStart(style, ..) => {
                match path(&levels)[..] {
                    ["policies"] => outline.policies = Some(place(style)),
                    ["policies", "-", "rules"] => rules = Some(place(style)),
                    _ => {}
                }
                levels.push(OpenCollection { mapping: false, key: None, line: 0 });
            }
            Event::MappingStart(..) => {
                levels.push(OpenCollection { mapping: true, key: None, line: 0 });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                levels.pop();
                if path(&levels) == ["policies", "-"]
                    && let (Some(name), Some(rules)) = (name.take(), rules.take())
                {
                    outline.rules.push((name, rules));
                }
                value_ended(&mut levels);
            }
            Event::Alias(..) => value_ended(&mut levels),
            _ => {}
        }
    }
    Ok(outline)
}

/// The current path: keys, and `-` for a list element.
fn path(levels: &[OpenCollection]) -> Vec<&str> {
    levels.iter().map(|level| level.key.as_deref().unwrap_or("-")).collect()
}

fn value_ended(levels: &mut [OpenCollection]) {
    if let Some(level) = levels.last_mut()
        && level.mapping
    {
        level.key = None;
    }
}

#[cfg(test)]
mod tests {
    use rampart_policy::{PolicySet, STARTER};

    use super::{Draft, Effect, OWN_POLICY, insert, remove, written};

    fn draft(effect: Effect, pattern: &str) -> Draft {
        Draft {
            effect,
            pattern: pattern.into(),
            added: "2026-01-31T12:00:00Z".into(),
            message: None,
            once: false,
            until: None,
        }
    }

    /// The lines in `after` that are not in `before`.
    fn added(before: &str, after: &str) -> Vec<String> {
        let mut rest = before.lines().peekable();
        let new = after.lines().filter(|line| rest.next_if_eq(line).is_none());
        let new = new.map(str::to_owned).collect();
        assert_eq!(rest.next(), None, "a line is lost");
        new
    }

    #[test]
    fn a_rule_goes_in_front_of_the_others_of_its_policy_and_out_again_without_a_trace() {
        for policy in PolicySet::starter().policies() {
            let changed =
                insert(STARTER, Some(&policy.name), &draft(Effect::Allow, "rm -rf \"a\" *"))
                    .unwrap();
            let lines = added(STARTER, &changed);
            assert_eq!(lines.len(), 3, "{lines:?}");
            let set = PolicySet::parse(&changed, "x").unwrap();
            let same = set.policies().iter().find(|each| each.name == policy.name).unwrap();
            assert_eq!(same.rules.len(), policy.rules.len() + 1);
            let rule = &written(&changed)[0];
            assert_eq!(rule.policy, policy.name);
            assert_eq!((&*rule.pattern, &*rule.day), ("rm -rf \"a\" *", "2026-01-31"));
            assert_eq!(remove(&changed, rule), STARTER);
        }
    }

    #[test]
    fn what_no_policy_is_about_gets_a_policy_of_its_own() {
        for source in [
            STARTER,
            "version: \"1\"\ndefault_action: deny\n",
            "version: \"1\"\ndefault_action: deny\npolicies: []\ntests: []\n",
            "# mine\nversion: \"1\"\ndefault_action: allow\npolicies:\n# first\n- name: a\n  rules:\n  - action: deny # why\n    when:\n      command_matches: [x]\n",
        ] {
            let changed = insert(source, None, &draft(Effect::Block, "npm publish*")).unwrap();
            if !source.contains("[]") {
                added(source, &changed);
            }
            let set = PolicySet::parse(&changed, "x").unwrap();
            assert!(set.policies().iter().any(|policy| policy.name == OWN_POLICY));
            let twice = insert(&changed, None, &draft(Effect::Block, "yarn publish")).unwrap();
            let rules = written(&twice);
            let patterns: Vec<_> = rules.iter().map(|rule| &*rule.pattern).collect();
            assert_eq!(patterns, ["yarn publish", "npm publish*"]);
            assert!(rules.iter().all(|rule| rule.policy == OWN_POLICY && rule.command == "block"));
            let once = remove(&twice, &rules[0]);
            assert_eq!(once, changed);
            let none = remove(&once, &written(&once)[0]);
            if source.contains("policies:") {
                assert_eq!(none, source);
            }
        }
    }

    #[test]
    fn a_rule_that_ends_says_so_and_is_taken_out_whole() {
        let ends = Draft {
            once: true,
            until: Some("2026-01-31T13:00:00Z".into()),
            message: Some("Why".into()),
            ..draft(Effect::Block, "ls")
        };
        let changed = insert(STARTER, None, &ends).unwrap();
        assert!(PolicySet::parse(&changed, "x").is_ok(), "{changed}");
        let rule = &written(&changed)[0];
        assert_eq!(
            rule.more,
            ["message: \"Why\"", "once: true", "expires_at: 2026-01-31T13:00:00Z"]
        );
        assert_eq!(remove(&changed, rule), STARTER);
        assert_eq!(ends.lasting().lines().len(), ends.lines().len() - 3);
    }

    #[test]
    fn what_is_not_written_as_lines_is_left_alone() {
        let flow = "version: \"1\"\npolicies: [{name: a, rules: [{action: deny}]}]\n";
        assert!(insert(flow, Some("a"), &draft(Effect::Allow, "ls")).is_err());
        assert!(insert(flow, None, &draft(Effect::Block, "ls")).is_err());
        assert!(insert("policies: [", None, &draft(Effect::Block, "ls")).is_err());
        assert!(insert(STARTER, Some("no such"), &draft(Effect::Allow, "ls")).is_err());
    }
}
