//! What is wrong with a policy file is said with its place.

use rampart_policy::{Action, Call, PolicySet};

/// A file, the place of the first problem, and a word of what is said.
const WRONG: &[(&str, u64, u64, &str)] = &[
    ("", 1, 1, "`policies`"),
    ("version: \"1\"\n", 1, 1, "`policies` is missing"),
    ("version: \"2\"\npolicies: []\n", 1, 10, "version `2`"),
    ("version: [1]\npolicies: []\n", 1, 10, "a text"),
    ("polices: []\n", 1, 1, "`polices` is not known"),
    ("policies: []\nextra: 1\n", 2, 1, "`extra` is not known"),
    ("policies: []\npolicies: []\n", 2, 1, "twice"),
    ("policies: 5\n", 1, 11, "a list"),
    ("policies:\n", 1, 9, "a list"),
    ("- a\n", 1, 1, "a mapping"),
    ("default_action: maybe\npolicies: []\n", 1, 17, "`maybe`"),
    ("policies:\n  - rules: [{action: deny}]\n", 2, 5, "`name` is missing"),
    ("policies:\n  - name: a\n", 2, 5, "`rules` is missing"),
    ("policies:\n  - name: a\n    rules: []\n", 3, 12, "no rules"),
    ("policies:\n  - name: ''\n    rules: [{action: deny}]\n", 2, 11, "empty"),
    ("policies:\n  - name: [a]\n    rules: []\n", 2, 11, "a text"),
    ("policies:\n  - name:\n    rules: []\n", 2, 9, "nothing"),
    ("policies:\n  - name: a\n    name: b\n    rules: []\n", 3, 5, "twice"),
    ("policies:\n  - name: a\n    priorty: 1\n    rules: []\n", 3, 5, "`priorty`"),
    ("policies:\n  - name: a\n    priority: high\n    rules: []\n", 3, 15, "whole number"),
    ("policies:\n  - name: a\n    enabled: no\n    rules: []\n", 3, 14, "boolean"),
    ("policies:\n  - name: a\n    enabled: 1\n    rules: []\n", 3, 14, "boolean"),
    ("policies:\n  - name: a\n    rules: {action: deny}\n", 3, 12, "a list"),
    ("policies:\n  - name: a\n    rules:\n      - action: forbid\n", 4, 17, "`forbid`"),
    ("policies:\n  - name: a\n    rules:\n      - action: webhook\n", 4, 17, "whom to ask"),
    (
        "policies:\n  - name: a\n    rules:\n      - {action: deny, expires_at: soon}\n",
        4,
        36,
        "no time",
    ),
    ("policies: []\ntests:\n  - {name: t, expect: maybe}\n", 3, 23, "`maybe`"),
    ("policies: []\ntests:\n  - {name: t, sesion: s, expect: deny}\n", 3, 15, "`sesion`"),
    ("policies: []\ntests:\n- {name: t, params: {command: []}, expect: deny}\n", 3, 31, "empty"),
    (
        "policies: []\ntests:\n- {name: t, params: {coverage: full?}, expect: deny}\n",
        3,
        10,
        "coverage",
    ),
    ("policies:\n  - name: a\n    rules:\n      - message: x\n", 4, 9, "`action` is missing"),
    (
        "policies:\n  - name: a\n    rules:\n      - action: deny\n        mesage: x\n",
        5,
        9,
        "`mesage`",
    ),
    ("policies:\n  - name: a\n    match: {tools: exec}\n    rules: []\n", 3, 13, "`tools`"),
    (
        "policies:\n  - name: a\n    match: {tool: []}\n    rules: [{action: deny}]\n",
        3,
        19,
        "empty",
    ),
    (
        "policies:\n  - name: a\n    match: {agent: 'a[b'}\n    rules: [{action: deny}]\n",
        3,
        20,
        "class",
    ),
    (
        "policies:\n  - name: a\n    rules: [{action: deny}]\n  - name: a\n    rules: [{action: deny}]\n",
        4,
        11,
        "two policies",
    ),
    ("a: [b\n", 1, 1, "`a` is not known"),
    ("policies: [\n", 1, 11, "YAML"),
    ("policies: []\n---\npolicies: []\n", 3, 1, "second document"),
    ("policies:\n - name: a\n\tenabled: true\n", 2, 10, "YAML"),
    ("policies: &a [*a]\n", 1, 15, "YAML"),
    ("policies: \"\\xff\n", 2, 1, "YAML"),
];

/// The value of a `when`, the column of its problem, and a word of what is said. The value
/// stands in line 5 from column 16 on.
const WRONG_WHEN: &[(&str, u64, &str)] = &[
    ("", 14, "no condition"),
    ("{}", 16, "no condition"),
    ("{default: false}", 16, "no condition"),
    ("{default: yes}", 26, "boolean"),
    ("[a]", 16, "a mapping"),
    ("{command_match: a}", 17, "`command_match` is not known"),
    ("{call_count: {}}", 29, "no bound"),
    ("{call_count: {gte: 1, window: soon}}", 29, "no duration"),
    ("{command_matches: a, command_matches: b}", 37, "twice"),
    ("{command_matches: []}", 34, "empty"),
    ("{command_matches: }", 17, "text or a list"),
    ("{command_matches: {a: b}}", 34, "text or a list"),
    ("{command_matches: [[a]]}", 35, "a text"),
    ("{command_matches: [a, null]}", 38, "nothing"),
    ("{command_matches: [a, '**b**c**']}", 38, "more than 2"),
    ("{command_matches: '**b**c**'}", 34, "more than 2"),
    ("{command_matches: 'a***'}", 34, "three stars"),
    ("{command_matches: ['rm [a']}", 35, "not closed"),
    ("{command_matches: ['rm [z-a]']}", 35, "wrong way round"),
    ("{command_not_matches: '[]'}", 38, "not closed"),
    ("{session_matches: '[^'}", 34, "not closed"),
    ("{command_contains: []}", 35, "empty"),
    ("{coverage_matches: [static, statik]}", 44, "no coverage matches `statik`"),
    ("{coverage_not_matches: Full}", 39, "the words are `full`, `sip`"),
    ("{coverage_matches: ''}", 35, "no coverage"),
    ("{coverage_matches: '[a'}", 35, "not closed"),
    ("{coverage_matches: []}", 35, "empty"),
    ("{command_matches: [*rm]}", 35, "quotes"),
];

fn in_rule(when: &str) -> String {
    let head = "policies:\n  - name: a\n    match: {tool: exec}\n    rules:\n";
    format!("{head}      - {{when: {when}\n, action: deny}}\n")
}

/// What is not as expected of the first error in `source`.
fn unexpected(source: &str, place: (u64, u64), said: &str) -> Option<String> {
    match PolicySet::parse(source, "p.yaml") {
        Ok(_) => Some(format!("{source:?} has no error")),
        Err(error) => {
            let text = error.to_string();
            let start = format!("p.yaml:{}:{}: ", place.0, place.1);
            let right = (error.line(), error.column()) == place
                && text.starts_with(&start)
                && text.contains(said);
            (!right).then(|| format!("{source:?}: {place:?} {said:?} expected, is {text}"))
        }
    }
}

#[test]
fn every_error_names_file_line_and_column() {
    let wrong = WRONG
        .iter()
        .filter_map(|(source, line, column, said)| unexpected(source, (*line, *column), said));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_error_in_a_condition_names_its_place() {
    let wrong = WRONG_WHEN
        .iter()
        .filter_map(|(when, column, said)| unexpected(&in_rule(when), (5, *column), said));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn several_errors_are_told_at_once_in_the_order_of_the_file() {
    let source = "policies:\n  - name: a\n    rules:\n      - action: deny\n        when:\n          \
                  command_matches: ['[a', 'ok', '**a**b**']\n  - name: a\n    rules: []\n";
    let error = PolicySet::parse(source, "p.yaml").expect_err("three errors");
    let places: Vec<_> = error.problems().iter().map(|p| (p.line, p.column)).collect();
    assert_eq!(places, [(6, 29), (6, 41), (7, 11), (8, 12)]);
    assert_eq!(error.to_string().lines().count(), 4);
}

#[test]
fn a_file_that_grows_by_its_aliases_is_refused_quickly() {
    let mut source = "policies:\n".to_string();
    let mut last = "a0".to_string();
    source.push_str("- &a0 {name: x, rules: [{action: deny}]}\n");
    for level in 1..30 {
        let name = format!("a{level}");
        source.extend([format!("- &{name} [*{last}, *{last}, *{last}]\n")]);
        last = name;
    }
    let start = std::time::Instant::now();
    assert!(PolicySet::parse(&source, "p.yaml").is_err());
    assert!(start.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn rules_of_other_tools_load_and_those_that_nothing_reaches_are_warned_about() {
    let source = "default_action: allow\npolicies:\n- name: files\n  match: {tool: [read, write]}\n  rules:\n  \
                  - {action: deny, when: {path_matches: ['/srv/**']}, message: m}\n- name: mcp\n  match: {tool: mcp}\n  rules:\n  \
                  - {action: deny, when: {tool_param_matches: {a: b}}}\n- name: both\n  \
                  match: {tool: [exec, read]}\n  rules:\n  - {action: deny, when: {response_matches: ['x+']}, message: m}\n";
    let policies = PolicySet::parse(source, "p.yaml").expect("a right file");
    for (command, action) in [("cat /etc/passwd", Action::Allow), ("cat /srv/x", Action::Deny)] {
        let call = Call { agent: "a", session: "s", command, ..Call::default() };
        assert_eq!(policies.evaluate(&call).action, action);
    }
    let warned: Vec<_> = policies.warnings().iter().map(|p| (p.line, p.column)).collect();
    assert_eq!(warned, [(7, 9), (14, 14)]);
}

#[test]
fn what_is_hardly_meant_is_warned_about() {
    let source = "policies:\n- name: a\n  enabled: false\n  rules: [{action: deny}]\n- name: b\n  rules:\n  \
                  - {action: allow}\n  - {action: deny, message: m}\n- name: c\n  rules:\n  \
                  - {action: deny, when: {command_matches: ''}}\n";
    let policies = PolicySet::parse(source, "p.yaml").expect("a right file");
    let warned: Vec<_> = policies.warnings().iter().map(|p| (p.line, p.text.as_str())).collect();
    let lines: Vec<u64> = warned.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 8, 11, 11], "{warned:#?}");
}
