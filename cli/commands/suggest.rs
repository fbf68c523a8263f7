//! `rampart policy suggest`: a policy that allows just the commands in the audit, for a person to
//! review.
//!
//! Commands are taken literally. If three or more differ only in one word, in the same folder, a
//! star replaces what differs in that word, and never more. Commands that a rule refused are
//! included as comments.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rampart_policy::{Call, PolicySet};

use super::log::Filter;
use crate::audit::{Event, Trail};
use crate::command_line::literal;
use crate::failure::Failure;
use crate::output;
use crate::terminal::{harmless, plural};

const EXAMPLES: &str = "\
Examples:
  rampart preload --mode monitor --session trial -- python agent.py
  rampart policy suggest --session trial > agent.yaml
  rampart preload --policy agent.yaml -- python agent.py

Review it before you use it: what an agent did once is not what it should always do.";

/// How many commands have to differ in a word before a star replaces it.
const ALIKE: usize = 3;
/// How many of a rule's commands are shown.
const SHOWN: usize = 4;

/// Suggest a policy that allows the commands in the audit, and nothing else
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// The audit [default: ~/.rampart/audit.jsonl]; a directory is an audit of the Go command
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
}

/// The Go command's name for `policy suggest`
#[derive(Debug, Args)]
pub struct Init {
    /// Suggest a policy from this audit [default: ~/.rampart/audit.jsonl]
    #[arg(long, value_name = "FILE", required = true, num_args = 0..=1)]
    from_audit: Vec<PathBuf>,
    #[command(flatten)]
    filter: Filter,
}

/// Writes the policy.
///
/// # Errors
/// As [`run`].
pub fn init(arguments: &Init) -> Result<(), Failure> {
    suggest(arguments.from_audit.first().map(PathBuf::as_path), &arguments.filter)
}

/// A command in the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    command: String,
    times: usize,
    /// When it was last asked about.
    last: String,
    /// Why it is only suggested as a comment, if so.
    doubt: Option<String>,
}

/// A rule, and the commands it stands for.
#[derive(Debug, PartialEq, Eq)]
struct Suggestion<'a> {
    pattern: String,
    rests_on: Vec<&'a Candidate>,
}

/// Writes the policy.
///
/// # Errors
/// The audit cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    suggest(arguments.audit.as_deref(), &arguments.filter)
}

fn suggest(audit: Option<&Path>, filter: &Filter) -> Result<(), Failure> {
    let trail = Trail::at(audit)?;
    let mut asked = BTreeMap::new();
    let mut order = Vec::new();
    trail.each(|event| {
        if event.is_decision() && !event.command().is_empty() && filter.wants(&event) {
            note(&event, &mut asked, &mut order);
        }
    })?;
    if order.is_empty() {
        return Err(Failure::new(format!(
            "nothing of that kind is recorded in {}, so there is nothing to suggest",
            trail.path().display()
        )));
    }
    let asked: Vec<Candidate> =
        order.iter().filter_map(|command| asked.remove(command)).map(|it| it.0).collect();
    let count: usize = asked.iter().map(|each| each.times).sum();
    let count = plural(u64::try_from(count).unwrap_or(u64::MAX), "decision");
    let path = trail.path().display();
    let head = format!("# From {count} in {path}. Review it before you use it.\n");
    output::text(&(head + &policy(&asked))).map(drop)
}

/// Counts a decision. Beside each candidate stands whether a pattern matches it word for word, which
/// takes a hundred times as long to find out as to read a line.
fn note(event: &Event, asked: &mut BTreeMap<String, (Candidate, bool)>, order: &mut Vec<String>) {
    let command = event.command();
    let entry = asked.entry(command.to_owned()).or_insert_with(|| {
        order.push(command.to_owned());
        let new =
            Candidate { command: command.to_owned(), times: 0, last: String::new(), doubt: None };
        (new, allows(&literal(command), command))
    });
    let (entry, has_pattern) = (&mut entry.0, entry.1);
    entry.times += 1;
    event.timestamp.clone_into(&mut entry.last);
    let decision = &event.decision;
    entry.doubt = match decision.matched_policies.first() {
        Some(policy) if event.is_refusal() => {
            Some(format!("{policy} refused it: {}", decision.message))
        }
        _ if command.contains("***") => Some("a secret in it was masked".to_owned()),
        _ if !has_pattern => Some("no pattern matches it word for word".to_owned()),
        _ => None,
    };
}

fn policy(asked: &[Candidate]) -> String {
    let (doubtful, sure): (Vec<&Candidate>, Vec<&Candidate>) =
        asked.iter().partition(|each| each.doubt.is_some());
    let mut text = String::from("version: \"1\"\ndefault_action: deny\npolicies:\n");
    if !sure.is_empty() {
        text.push_str("  - name: suggested\n    match: {tool: exec}\n    rules:\n");
    }
    for Suggestion { pattern, rests_on } in suggestions(&sure) {
        for asked in rests_on.iter().take(SHOWN) {
            let _ = writeln!(text, "      # {}", told(asked));
        }
        if rests_on.len() > SHOWN {
            let _ = writeln!(text, "      # and {} others", rests_on.len() - SHOWN);
        }
        let _ = writeln!(text, "{}", rule(&pattern));
    }
    if sure.is_empty() {
        text.truncate(text.len() - 1);
        text.push_str(" []\n");
    }
    for asked in doubtful {
        let doubt = asked.doubt.as_deref().unwrap_or_default();
        let rule = rule(&literal(&asked.command)).replace('\n', "\n#");
        let _ = write!(text, "#\n# {}\n# {}\n#{rule}\n", told(asked), harmless(doubt));
    }
    text
}

fn rule(pattern: &str) -> String {
    // A string of JSON is one of YAML. A string always serialises.
    let pattern = serde_json::to_string(pattern).unwrap_or_default();
    format!("      - action: allow\n        when: {{command_matches: [{pattern}]}}")
}

fn told(Candidate { command, times, last, .. }: &Candidate) -> String {
    let times = if *times == 1 { "once".to_owned() } else { format!("{times} times") };
    format!("{times}, last {last}: {}", harmless(command))
}

/// Groups with stars where possible, the biggest first; the rest literally. In order of first
/// occurrence.
fn suggestions<'a>(asked: &[&'a Candidate]) -> Vec<Suggestion<'a>> {
    let mut groups: BTreeMap<(Vec<&str>, usize), Vec<usize>> = BTreeMap::new();
    for (number, each) in asked.iter().enumerate().filter(|(_, each)| is_plain(&each.command)) {
        let words: Vec<&str> = each.command.split(' ').collect();
        for place in 1..words.len() {
            let mut others = words.clone();
            others[place] = "";
            groups.entry((others, place)).or_default().push(number);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let mut patterns = Vec::new();
    for ((mut words, place), members) in groups {
        let members: Vec<usize> =
            members.into_iter().filter(|number| !taken.contains_key(number)).collect();
        let word =
            |number: &usize| asked[*number].command.split(' ').nth(place).unwrap_or_default();
        let different: Vec<&str> = members.iter().map(word).collect();
        let Some(star) = star(&different, place + 1 == words.len()) else { continue };
        words[place] = &star;
        let pattern = words.join(" ");
        if !members.iter().all(|number| allows(&pattern, &asked[*number].command)) {
            continue;
        }
        taken.extend(members.iter().map(|number| (*number, patterns.len())));
        patterns.push(pattern);
    }
    let mut made: BTreeMap<usize, usize> = BTreeMap::new();
    let mut suggestions: Vec<Suggestion<'a>> = Vec::new();
    for (number, each) in asked.iter().enumerate() {
        let place = taken.get(&number).map(|pattern| (*pattern, made.get(pattern).copied()));
        match place {
            Some((_, Some(there))) => suggestions[there].rests_on.push(each),
            Some((pattern, None)) => {
                made.insert(pattern, suggestions.len());
                let pattern = patterns[pattern].clone();
                suggestions.push(Suggestion { pattern, rests_on: vec![each] });
            }
            None => {
                suggestions
                    .push(Suggestion { pattern: literal(&each.command), rests_on: vec![each] });
            }
        }
    }
    suggestions
}

/// Whether the command can be split into words at blanks.
fn is_plain(command: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./- ".contains(c);
    command.chars().all(plain) && !command.contains("  ")
}

/// One word with a star for what differs, if all are in the same folder. At the end of a pattern a
/// star would match everything after it, so there it needs a common suffix.
fn star(words: &[&str], is_last: bool) -> Option<String> {
    if words.len() < ALIKE || words.iter().any(|word| word.starts_with('-')) {
        return None;
    }
    let split = |word: &'_ str| word.rfind('/').map_or(0, |slash| slash + 1);
    let folder = &words[0][..split(words[0])];
    let names: Option<Vec<&str>> = words
        .iter()
        .map(|word| (&word[..split(word)] == folder).then(|| &word[split(word)..]))
        .collect();
    let names = names?;
    let first = names[0].as_bytes();
    let same = |count: &usize, at: fn(&[u8], usize) -> Option<&u8>| {
        names.iter().all(|name| at(name.as_bytes(), *count) == at(first, *count))
    };
    let from_start: fn(&[u8], usize) -> Option<&u8> = |name, at| name.get(at);
    let from_end: fn(&[u8], usize) -> Option<&u8> = |name, at| name.iter().rev().nth(at);
    let shortest = names.iter().map(|name| name.len()).min()?;
    let begin = (0..shortest).take_while(|at| same(at, from_start)).count();
    let end = (0..shortest - begin).take_while(|at| same(at, from_end)).count();
    if names.iter().any(|name| name.is_empty() || *name == "." || *name == "..")
        || is_last && end == 0
    {
        return None;
    }
    Some(format!("{folder}{}*{}", &names[0][..begin], &names[0][names[0].len() - end..]))
}

/// Whether a rule with this pattern allows the command.
fn allows(pattern: &str, command: &str) -> bool {
    let source = format!(
        "version: \"1\"\ndefault_action: deny\npolicies:\n  - name: p\n    rules:\n{}\n",
        rule(pattern)
    );
    PolicySet::parse(&source, "p").is_ok_and(|policies| {
        let call = Call { agent: "a", session: "s", command, ..Call::default() };
        policies.evaluate(&call).allowed()
    })
}

#[cfg(test)]
mod tests {
    use rampart_policy::{Call, PolicySet};

    use super::{Candidate, policy, suggestions};

    fn asked(commands: &[&str]) -> Vec<Candidate> {
        let one = |command: &&str| Candidate {
            command: (*command).to_owned(),
            times: 1,
            last: "2026-01-31T12:00:00Z".into(),
            doubt: None,
        };
        commands.iter().map(one).collect()
    }

    #[test]
    fn a_star_stands_for_one_word_of_three_commands_that_are_the_same_but_for_it() {
        for (commands, patterns) in [
            (&["ls", "ls -l"][..], &["ls", "ls -l"][..]),
            (&["cc -c a.c", "cc -c b.c", "ls", "cc -c c.c"], &["cc -c *.c", "ls"]),
            (&["cc -c a.c", "cc -c b.c"], &["cc -c a.c", "cc -c b.c"]),
            // No star for a folder, an option, a program, or the end of a command.
            (&["cat a/x.c", "cat b/x.c", "cat c/x.c"], &["cat a/x.c", "cat b/x.c", "cat c/x.c"]),
            (&["ls -a", "ls -b", "ls -c"], &["ls -a", "ls -b", "ls -c"]),
            (&["a x", "b x", "c x"], &["a x", "b x", "c x"]),
            (&["git add a", "git add b", "git add c"], &["git add a", "git add b", "git add c"]),
            (&["rm .", "rm ..", "rm x"], &["rm .", "rm ..", "rm x"]),
            (&["cp src/a1 to", "cp src/b1 to", "cp src/c1 to"], &["cp src/*1 to"]),
            (
                &["echo 'a b'", "echo 'c b'", "echo 'd b'"],
                &["echo 'a b'", "echo 'c b'", "echo 'd b'"],
            ),
            (&["echo '*' [a]"], &["echo '[*]' [[]a]"]),
        ] {
            let asked = asked(commands);
            let found = suggestions(&asked.iter().collect::<Vec<_>>());
            let found: Vec<&str> = found.iter().map(|each| each.pattern.as_str()).collect();
            assert_eq!(found, patterns);
        }
    }

    #[test]
    fn the_policy_allows_what_it_rests_on_and_keeps_what_was_refused_as_a_comment() {
        let commands =
            ["ls -l", "echo \"a\" 'c'", "cc -c a.c", "cc -c b.c", "cc -c c.c", "x 'é\n'"];
        let mut all = asked(&commands);
        let mut refused = asked(&["rm -rf /"]);
        refused[0].doubt = Some("block-x refused it: because".into());
        all.extend(refused);
        let text = policy(&all);
        let policies = PolicySet::parse(&text, "suggested").unwrap();
        let allowed = |command| {
            let call = Call { agent: "a", session: "s", command, ..Call::default() };
            policies.evaluate(&call).allowed()
        };
        for command in commands {
            assert!(allowed(command), "{command}\n{text}");
        }
        for command in
            ["rm -rf /", "ls", "ls -la", "cc -c a.c -o /x.c", "cc -c ../x.c", "echo \"a\" 'b'"]
        {
            assert!(!allowed(command), "{command}\n{text}");
        }
        assert!(text.contains("# block-x refused it: because\n#      - action: allow"), "{text}");
        let nothing = policy(&[]);
        PolicySet::parse(&nothing, "suggested").unwrap();
    }
}
