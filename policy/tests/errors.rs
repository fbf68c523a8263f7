//! What is wrong with a policy file is said with its place.

use rampart_policy::{Action, Call, PolicySet};

use Action::{Allow, Deny};

/// A file, the place of the first problem, and a word of what is said.
const WRONG: &[(&str, u64, u64, &str)] = &[
    ("", 1, 1, "`policies` is missing"),
    ("version: \"1\"\n", 1, 1, "`policies` is missing"),
    ("policies:\n", 1, 1, "`policies` is missing"),
    ("version: \"2\"\npolicies: []\n", 1, 10, "version `2`"),
    ("version: [1]\npolicies: []\n", 1, 10, "a text"),
    ("polices: []\n", 1, 1, "`polices` is not known"),
    ("policies: []\nextra: 1\n", 2, 1, "`extra` is not known"),
    ("policies: []\npolicies: []\n", 2, 1, "twice"),
    ("policies: 5\n", 1, 11, "a list"),
    ("- a\n", 1, 1, "a mapping"),
    ("default_action: maybe\npolicies: []\n", 1, 17, "`maybe`"),
    ("policies:\n  - rules: [{action: deny}]\n", 2, 5, "`name` is missing"),
    ("policies:\n  - name: ''\n    rules: [{action: deny}]\n", 2, 11, "empty"),
    ("policies:\n  - name: [a]\n    rules: []\n", 2, 11, "a text"),
    ("policies:\n  - name:\n    rules: []\n", 2, 9, "nothing"),
    ("policies:\n  - name: a\n    name: b\n    rules: []\n", 3, 5, "twice"),
    ("policies:\n  - name: a\n    priorty: 1\n    rules: []\n", 3, 5, "`priorty`"),
    ("policies:\n  - name: a\n    priority: high\n    rules: []\n", 3, 15, "whole number"),
    ("policies:\n  - name: a\n    enabled: 2\n    rules: []\n", 3, 14, "boolean"),
    ("policies:\n  - name: a\n    rules: {action: deny}\n", 3, 12, "a list"),
    ("policies:\n  - name: a\n    rules:\n      - action: forbid\n", 4, 17, "`forbid`"),
    ("policies:\n  - name: a\n    enabled: maybe\n    rules: []\n", 3, 14, "boolean"),
    ("policies:\n  - name: a\n    rules:\n      - action: webhook\n", 4, 17, "whom to ask"),
    (
        "policies:\n  - name: a\n    rules:\n      - {action: deny, expires_at: soon}\n",
        4,
        36,
        "no time",
    ),
    ("policies: []\ntests:\n  - {name: t, expect: maybe}\n", 3, 23, "`maybe`"),
    ("policies: []\ntests:\n  - {name: t, sessions: s, expect: deny}\n", 3, 15, "`sessions`"),
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
    ("[a]", 16, "a mapping"),
    ("{default: maybe}", 26, "boolean"),
    ("{command_match: a}", 17, "`command_match` is not known"),
    ("{call_count: {gte: 1, window: soon}}", 29, "no duration"),
    ("{command_matches: a, command_matches: b}", 37, "twice"),
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
    ("{coverage_matches: [static, statik]}", 44, "no coverage matches `statik`"),
    ("{coverage_not_matches: Full}", 39, "the words are `full`, `sip`"),
    ("{coverage_matches: ''}", 35, "no coverage"),
    ("{coverage_matches: '[a'}", 35, "not closed"),
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
            let right = text.starts_with(&start) && text.contains(said);
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
                  command_matches: ['[a', 'ok', '**a**b**']\n  - name: a\n    rules: [{action: drop}]\n";
    let error = PolicySet::parse(source, "p.yaml").expect_err("three errors");
    let places: Vec<_> = error.problems.iter().map(|p| (p.line, p.column)).collect();
    assert_eq!(places, [(6, 29), (6, 41), (7, 11), (8, 22)]);
    assert_eq!(error.to_string().lines().count(), 4);
}

#[test]
fn a_file_that_grows_by_its_aliases_is_refused_before_it_has() {
    let mut source = "policies:\n".to_string();
    let mut last = "a0".to_string();
    source.push_str("- &a0 {name: x, rules: [{action: deny}]}\n");
    for level in 1..30 {
        let name = format!("a{level}");
        source.extend([format!("- &{name} [*{last}, *{last}, *{last}]\n")]);
        last = name;
    }
    // Read whole, it would be 3 to the power of 29 policies.
    assert!(PolicySet::parse(&source, "p.yaml").is_err());
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

/// What else the other server reads: a policy, what is said about it, and what it decides on
/// `rm x` and on `ls`.
const READ: &[(&str, &str, [Action; 2])] = &[
    ("version: ''\ndefault_action: ' allow '\ntests:\n", "no `policies`", [Allow, Allow]),
    ("default_action: ''\npolicies: [{name: p}]\n", "no rules", [Deny, Deny]),
    ("default_action: allow\npolicies: [{name: p, rules: []}]\n", "no rules", [Allow, Allow]),
    (
        "default_action: allow\npolicies: [{name: p, enabled: off, rules: [{action: deny}]}]\n",
        "switched off",
        [Allow, Allow],
    ),
    (
        "default_action: allow\npolicies: [{name: p, rules: [{action: deny}]}]\ntests: [{params: {command: ls}, expect: deny}]\n",
        "",
        [Deny, Deny],
    ),
    (
        "default_action: allow\npolicies: [{name: p, enabled: yes, rules: [{action: deny, once: }]}]\n",
        "",
        [Deny, Deny],
    ),
    (
        "default_action: allow\npolicies: [{name: p, rules: [{action: deny}]}]\ntests: [{name: t, params: {command: ls}}]\n",
        "expects nothing",
        [Deny, Deny],
    ),
    // A number in eights, as YAML had it once.
    (
        "default_action: allow\npolicies: [{name: p, priority: 010, rules: [{action: deny}]}]\n",
        "",
        [Deny, Deny],
    ),
    (
        "default_action: allow\npolicies: [{name: p, match: {tool: [], agent: '', session: ''}, rules: [{action: deny}]}]\n",
        "this list is empty",
        [Deny, Deny],
    ),
    (
        "default_action: allow\npolicies: [{name: p, rules: [{action: deny, expires_at: 2020-01-01}]}]\n",
        "",
        [Allow, Allow],
    ),
    (
        "default_action: allow\npolicies: [{name: p, rules: [{action: deny, expires_at: '2120-01-01T00:00:00+02:00'}]}]\n",
        "",
        [Deny, Deny],
    ),
    (
        "default_action: allow\npolicies: [{name: p, rules: [{action: deny, expires_at: }]}]\n",
        "",
        [Deny, Deny],
    ),
];

/// The same of a `when`, in a rule that refuses and in one that allows what is refused else.
const READ_WHEN: &[(&str, &str, [Action; 2], [Action; 2])] = &[
    ("", "no condition", [Deny, Deny], [Allow, Allow]),
    ("{}", "no condition", [Deny, Deny], [Allow, Allow]),
    ("{default: false}", "no condition", [Deny, Deny], [Allow, Allow]),
    ("{default: on}", "", [Deny, Deny], [Allow, Allow]),
    ("{command_matches: []}", "this list is empty", [Deny, Deny], [Allow, Allow]),
    (
        "{command_matches: , command_contains: rm}",
        "this list is empty",
        [Deny, Allow],
        [Allow, Deny],
    ),
    (
        "{response_matches: [], command_contains: rm}",
        "this list is empty",
        [Deny, Allow],
        [Allow, Deny],
    ),
    ("{tool_param_matches: {}, command_contains: rm}", "", [Deny, Allow], [Allow, Deny]),
    (
        "{tool_param_matches: {a: b}, command_contains: rm}",
        "met by no command",
        [Allow, Allow],
        [Deny, Deny],
    ),
    ("{response_matches: [a]}", "met by no command", [Allow, Allow], [Deny, Deny]),
    ("{response_matches: [a], command_contains: rm}", "", [Deny, Allow], [Allow, Deny]),
    ("{call_count: {}, command_contains: rm}", "no bound", [Deny, Allow], [Allow, Deny]),
    ("{call_count: , agent_depth: , command_contains: rm}", "", [Deny, Allow], [Allow, Deny]),
    ("{call_count: {tool: exec, gte: 1, window: 1h}}", "", [Deny, Deny], [Allow, Allow]),
    (
        "{call_count: {tool: fetch, gte: 1, window: 1h}}",
        "another tool",
        [Allow, Allow],
        [Deny, Deny],
    ),
    ("{agent_depth: {gte: 0, eq: 3}}", "", [Allow, Allow], [Deny, Deny]),
    // What excludes alone permits nothing, and restricts all else.
    ("{command_not_matches: 'ls*'}", "only what it is not for", [Deny, Allow], [Deny, Deny]),
    ("{session_not_matches: x}", "only what it is not for", [Deny, Deny], [Deny, Deny]),
    ("{command_contains: RM}", "", [Deny, Allow], [Deny, Deny]),
    (
        "{command_matches: 'rm *', path_not_matches: '/**'}",
        "says nothing here",
        [Deny, Allow],
        [Deny, Deny],
    ),
    ("{default: true, command_not_matches: 'ls*'}", "hold always", [Deny, Deny], [Allow, Deny]),
    ("{default: true, session_matches: x}", "hold always", [Deny, Deny], [Deny, Deny]),
];

#[test]
fn what_the_other_server_reads_is_read_and_means_the_same_or_less() {
    let check = |source: &str, said: &str, wanted: [Action; 2]| {
        let policies = PolicySet::parse(source, "p.yaml").unwrap_or_else(|error| panic!("{error}"));
        let verdicts = ["rm x", "ls"].map(|command| {
            policies.evaluate(&Call { agent: "a", session: "s", command, ..Call::default() }).action
        });
        assert_eq!(verdicts, wanted, "{source}");
        let warned: Vec<_> = policies.warnings().iter().map(|it| it.text.as_str()).collect();
        assert!(
            warned.iter().any(|text| text.contains(said)) || said.is_empty(),
            "{source}{warned:#?}"
        );
    };
    for (source, said, wanted) in READ {
        check(source, said, *wanted);
    }
    for (when, said, denies, allows) in READ_WHEN {
        let rule = |default, action| {
            format!(
                "default_action: {default}\npolicies:\n- name: p\n  rules:\n  - action: {action}\n    when: {when}\n"
            )
        };
        check(&rule("allow", "deny"), if said.starts_with("only") { "" } else { said }, *denies);
        let restricts_alone = said.starts_with("hold") || said.starts_with("says");
        check(&rule("deny", "allow"), if restricts_alone { "" } else { said }, *allows);
    }
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
