//! What a rule means, by policies of a few lines and the commands they are about.

mod exec;
mod permit;
mod restrict;

use rampart_policy::{Action, Call, Decision, Platform, PolicySet};

use Action::{Allow, Ask, Deny, Watch};

fn policy(default: &str, rules: &str) -> PolicySet {
    policy_about("{}", default, rules)
}

/// The same about some tools only, as `match` has them.
fn policy_about(tools: &str, default: &str, rules: &str) -> PolicySet {
    let source = format!(
        "default_action: {default}\npolicies:\n- name: p\n  match: {tools}\n  rules:\n{rules}"
    );
    PolicySet::parse(&source, "p.yaml").unwrap_or_else(|error| panic!("{error}\n{source}"))
}

fn decide(policies: &PolicySet, command: &str) -> Decision {
    policies.evaluate(&Call { agent: "a", session: "s", command, ..Call::default() })
}

/// Checks what `rules` say of each command.
#[track_caller]
fn check(default: &str, rules: &str, cases: &[(&str, Action)]) {
    check_by(&policy(default, rules), cases);
}

/// Checks what a policy for the tool `exec`, as the other server has them, says of each command.
#[track_caller]
fn check_exec(default: &str, rules: &str, cases: &[(&str, Action)]) {
    check_by(&policy_about("{tool: exec}", default, rules), cases);
}

#[track_caller]
fn check_by(policies: &PolicySet, cases: &[(&str, Action)]) {
    for (command, action) in cases {
        let decision = decide(policies, command);
        assert_eq!(decision.action, *action, "{command}\n{decision:#?}");
    }
}

#[test]
fn the_first_rule_that_holds_decides_and_permits_only_its_parts() {
    let rules = "  - {action: allow, when: {command_matches: ['git *', 'rm /tmp/*']}}\n  \
                 - {action: deny, when: {command_matches: ['rm *', '*secret*']}}\n";
    check(
        "allow",
        rules,
        &[
            ("git status && rm x", Deny),
            ("rm /tmp/x", Allow),
            ("cd /w && rm /tmp/x", Allow),
            ("rm /tmp/x; rm /w/x", Deny),
            ("rm /tmp/../x", Deny),
            ("git log secret", Allow),
            ("cat secret", Deny),
        ],
    );
}

#[test]
fn contained_texts_are_found_in_any_case_and_any_spelling() {
    let rules = "  - {action: deny, when: {command_contains: ['/etc/Shadow', 'ÄB']}}\n";
    check(
        "allow",
        rules,
        &[
            ("cat /etc/shadow", Deny),
            ("cat /ETC/SHADOW", Deny),
            ("cat /etc/sha''dow", Deny),
            ("cat /etc/x/../shadow", Deny),
            ("sh -c 'cat /etc/sh\\adow'", Deny),
            ("echo äb", Deny),
            ("cat /etc/hosts", Allow),
        ],
    );
}

#[test]
fn a_pattern_or_a_text_is_enough_and_the_other_keys_hold_as_well() {
    let rules = "  - {action: deny, when: {command_matches: 'git push*', command_contains: '--force', \
                 command_env_assignments: ['A*'], session_matches: s}}\n";
    check(
        "allow",
        rules,
        &[
            ("A=1 git push --force", Deny),
            ("A=1 git push", Deny),
            ("AB=1 rm --force x", Deny),
            ("env A=1 git push", Deny),
            ("export A=--force", Deny),
            ("A=1 git pull", Allow),
            ("B=1 git push", Allow),
            ("git push --force", Allow),
        ],
    );
    let rules = "  - {action: allow, when: {command_matches: ls, command_contains: status}}\n";
    check("deny", rules, &[("ls", Allow), ("git status; ls", Allow), ("git log", Deny)]);
}

#[test]
fn over_all_policies_the_strictest_wins_and_is_named_first() {
    let one = |name: &str, priority: u8, action: &str| {
        format!(
            "- name: {name}\n  priority: {priority}\n  rules:\n  - {{action: {action}, message: m-{name}}}\n"
        )
    };
    let source = format!(
        "default_action: deny\npolicies:\n{}{}{}{}{}",
        one("allows", 1, "allow"),
        one("logs", 2, "log"),
        one("denies-late", 9, "deny"),
        one("denies", 5, "deny"),
        one("asks", 3, "ask"),
    );
    let policies = PolicySet::parse(&source, "p.yaml").expect("a right file");
    let decision = decide(&policies, "ls");
    assert_eq!((decision.action, decision.message.as_str()), (Deny, "m-denies"));
    assert_eq!(decision.matched, ["denies", "allows", "logs", "asks", "denies-late"]);
    let because = decision.because.expect("a rule decided");
    assert_eq!((because.policy.as_str(), because.rule, because.action), ("denies", 1, Deny));
}

#[test]
fn actions_have_their_meaning() {
    for (action, meant, allowed) in [
        ("allow", Allow, true),
        ("watch", Watch, true),
        ("log", Watch, true),
        ("ask", Ask, false),
        ("webhook", Ask, false),
        ("deny", Deny, false),
    ] {
        let asked = if action == "webhook" { ", webhook: {url: 'https://x'}" } else { "" };
        let policies = policy("allow", &format!("  - {{action: {action}{asked}}}\n"));
        let decision = decide(&policies, "ls");
        assert_eq!((decision.action, decision.allowed()), (meant, allowed), "{action}");
    }
}

#[test]
fn agents_sessions_tools_and_switches_choose_the_policies() {
    let source = "default_action: allow\npolicies:\n\
        - {name: agent, match: {agent: 'claude-*'}, rules: [{action: deny}]}\n\
        - {name: off, enabled: false, rules: [{action: deny}]}\n\
        - {name: tool, match: {tool: read}, rules: [{action: deny}]}\n\
        - {name: session, rules: [{action: deny, when: {session_matches: 'ci-*', session_not_matches: 'ci-ok*'}}]}\n";
    let policies = PolicySet::parse(source, "p.yaml").expect("a right file");
    for (agent, session, action) in
        [("x", "s", Allow), ("claude-1", "s", Deny), ("x", "ci-1", Deny), ("x", "ci-ok-1", Allow)]
    {
        let decision =
            policies.evaluate(&Call { agent, session, command: "ls", ..Call::default() });
        assert_eq!(decision.action, action, "{agent} {session}");
    }
}

#[test]
fn how_much_will_be_seen_of_a_program_may_be_a_condition() {
    for (when, held, not_held) in [
        ("coverage_matches: static", &[Some("static")][..], &[Some("full"), None][..]),
        (
            "coverage_matches: [arm64e, 's*']",
            &[Some("arm64e"), Some("sip"), Some("static")],
            &[Some("full"), Some("other-arch"), None],
        ),
        (
            "coverage_not_matches: full",
            &[Some("static"), Some("of a later version"), None],
            &[Some("full")],
        ),
        (
            "coverage_matches: '*', coverage_not_matches: full",
            &[Some("sip")],
            &[Some("full"), None],
        ),
        ("coverage_matches: sip, command_matches: ls", &[Some("sip")], &[Some("full"), None]),
        ("coverage_matches: sip, command_matches: mv", &[], &[Some("sip"), Some("full"), None]),
        ("coverage_matches: sip, session_matches: ci-*", &[], &[Some("sip"), Some("full"), None]),
    ] {
        let policies = policy("allow", &format!("  - {{action: deny, when: {{{when}}}}}\n"));
        let action = |coverage| {
            let call =
                Call { agent: "a", session: "s", command: "ls", coverage, ..Call::default() };
            policies.evaluate(&call).action
        };
        assert!(held.iter().all(|coverage| action(*coverage) == Deny), "{when}");
        assert!(not_held.iter().all(|coverage| action(*coverage) == Allow), "{when}");
    }
}

#[test]
fn a_permitting_rule_about_coverage_permits_that_coverage_only() {
    let rules = "  - {action: allow, when: {coverage_matches: full}}\n  - {action: deny}\n";
    let policies = policy("deny", rules);
    for (coverage, action) in [(Some("full"), Allow), (Some("static"), Deny), (None, Deny)] {
        let call = Call { agent: "a", session: "s", command: "ls", coverage, ..Call::default() };
        assert_eq!(policies.evaluate(&call).action, action, "{coverage:?}");
    }
}

#[test]
fn where_nothing_matched_the_default_stands_and_without_one_everything_is_denied() {
    let rules = "  - {action: deny, when: {command_matches: x}}\n";
    check("allow", rules, &[("ls", Allow)]);
    check("deny", rules, &[("ls", Deny)]);
    let policies = PolicySet::parse("policies: []", "p.yaml").expect("a right file");
    assert_eq!(decide(&policies, "ls").action, Deny);
    assert_eq!(policies.warnings().len(), 1);
}

#[test]
fn the_part_and_the_pattern_that_decided_are_told() {
    let policies =
        policy("allow", "  - {action: deny, when: {command_matches: ['ls', 'rm -rf /e*']}}\n");
    let because = decide(&policies, "cd x && sudo rm -r -f /etc").because.expect("a rule decided");
    assert_eq!(
        (because.rule, because.pattern.as_str(), because.part.as_str()),
        (1, "rm -rf /e*", "rm -fr /etc")
    );
}

#[test]
fn the_command_in_a_line_that_a_rule_is_about_is_told() {
    let rules = "  - {action: deny, when: {command_matches: ['rm -rf /e*', 'a * | sh']}}\n";
    let (texts, starter) = (policy("allow", rules), PolicySet::starter());
    for (policies, line, command) in [
        (&texts, "rm -rf /etc", None),
        (&texts, "rm -r -f '/etc'", None),
        (&texts, "cd x && sudo rm -r -f /etc", Some("rm -r -f /etc")),
        (&texts, "bash -c 'true && eval \"rm -rf /etc\" < /dev/null'", Some("rm -rf /etc")),
        (&texts, "rm -rf /etc > log; ls", Some("rm -rf /etc")),
        (&texts, "ls; a b | sh", Some("a b | sh")),
        (&starter, "true; cat /home/u/.ssh/id_rsa | base64", None),
        (&starter, "true; terraform destroy", Some("terraform destroy")),
    ] {
        let because = decide(policies, line).because.expect("a rule decided");
        assert_eq!(because.command.as_deref(), command, "{line}");
        // Who permits it permits the line.
        let permits = |command| {
            let allow =
                format!("  - {{action: allow, when: {{command_matches: ['{command}']}}}}\n");
            policy("allow", &(allow + rules))
        };
        if let Some(command) = command {
            assert!(decide(&permits(command), line).allowed(), "{line}");
        }
    }
}

#[test]
fn globs_match_as_they_are_written_down() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("''", &[], &["", "x"]),
        ("'*'", &["x", "a/b c"], &[]),
        ("x*", &["x", "xa", "xa/b | c"], &["ax"]),
        ("'a * b*'", &["a x b", "a x y bc/d"], &["a x/y b", "a b"]),
        ("'curl * | sh'", &["curl x | sh"], &["curl https://a/b | sh"]),
        ("'*curl*|*sh*'", &["curl https://a/b | sh", "x; curl | ssh"], &["sh | curl"]),
        ("'*curl'", &["curl", "xcurl", "curl x"], &["cur"]),
        ("'a**b'", &["ab", "a/x/b", "a x b"], &["a/x/bc"]),
        ("'a**b**c'", &["abc", "a/b/c"], &["a/c"]),
        ("'a?c'", &["abc", "aéc"], &["a/c", "ac", "abbc"]),
        ("'a[b-d]e'", &["abe", "ade"], &["aae", "aee"]),
        ("'a[^b-d]e'", &["aae"], &["abe"]),
        ("'a[]]e'", &["a]e"], &["ae"]),
        ("'a{b,c}'", &[], &["ab", "ac"]),
        ("'A b'", &["A b", "A   b", "A\tb"], &["a b", "A b c"]),
        ("'*a[0-9]b*'", &["xa1by", "a1b"], &["ab", "axb"]),
        ("'a*/b'", &["a/b", "ax/b"], &["a/x/b", "ab"]),
        ("'**/b'", &["b", "/b", "a/x/b"], &["b/", "a/bc", "ab"]),
        ("'**/*.b'", &["x.b", "a/x.b", "a/.b"], &["x.bc", "a.b/c"]),
        ("'**b'", &["b", "a/b"], &["bc", "b/c"]),
        ("'**/b*'", &["b", "a/bc/d"], &["ab"]),
        ("'**/b/**'", &["a/b/", "b/c", "a/b/c/d"], &["a/b", "ab/c"]),
        ("'**/a*/b**'", &["ax/b", "c/a/bc/d"], &["a/x/b"]),
    ];
    for (pattern, matching, others) in table {
        let policies = policy(
            "allow",
            &format!("  - {{action: deny, when: {{session_matches: {pattern}}}}}\n"),
        );
        let matches = |session: &str| {
            policies
                .evaluate(&Call { agent: "a", session, command: "ls", ..Call::default() })
                .action
                == Deny
        };
        // A session is no command, in which alone runs of blanks are one.
        for text in matching.iter().filter(|text| !text.contains("  ") && !text.contains('\t')) {
            assert!(matches(text), "{pattern} does not match {text:?}");
        }
        for text in *others {
            assert!(!matches(text), "{pattern} matches {text:?}");
        }
    }
    check(
        "allow",
        "  - {action: deny, when: {command_matches: 'A b'}}\n",
        &[("A   b", Deny), ("A\tb", Deny)],
    );
}

#[test]
fn a_line_that_cannot_be_read_says_why() {
    let policies = policy("allow", "  - {action: deny, when: {command_matches: 'rm *'}}\n");
    assert!(
        decide(&policies, "ls 'x").unparsed.is_some_and(|why| why.contains("not a shell line"))
    );
    assert!(decide(&policies, "ls").unparsed.is_none());
}

#[test]
fn here_documents_are_read_as_what_they_are() {
    let rules = "  - {action: deny, when: {command_matches: 'rm -rf /'}}\n";
    let policies = policy("allow", rules);
    for (line, action) in [
        (
            "git commit -m \"$(cat <<'EOF'\nnever rm -rf /\n\nit's \"bad\" $(rm -rf /)\nEOF\n)\"",
            Allow,
        ),
        ("cat > x <<EOF\nrm -rf /\n\"quoted\" \\\"and\\\" <<x\nEOF\nls", Allow),
        ("cat <<A <<'B'\nx\nA\n$(rm -rf /)\nB\n", Allow),
        ("echo $((1 << 2)); echo '<<EOF'; # <<EOF", Allow),
        ("cat <<-EOF\n\trm -rf /\n\tEOF\nls", Allow),
        ("cat <<-EOF\n\tx\n\tEOF\nrm -rf /", Deny),
        ("cat <<EOF\nx\nEOF\nrm -rf /", Deny),
        ("cat <<EOF; rm -rf /\nx\nEOF\n", Deny),
        ("cat <<EOF\n$(rm -rf /)\nEOF", Deny),
        ("cat <<EOF\n\"$(echo \"$(rm -rf /)\")\"\nEOF", Deny),
        ("cat <<EOF\n`rm -rf /`\nEOF", Deny),
        ("bash <<'EOF'\nls\nrm -rf /\nEOF", Deny),
        ("bash <<EOF\nls\nrm -rf /", Deny),
        ("(bash <<EOF\nrm -rf /\nEOF\n)", Deny),
        ("\"$(bash <<EOF\nrm -rf /\nEOF\n)\"", Deny),
    ] {
        let decision = decide(&policies, line);
        assert_eq!(decision.action, action, "{line}\n{decision:#?}");
        assert_eq!(decision.unparsed, None, "{line}");
    }
}

#[test]
fn who_is_told_is_what_the_first_file_says_and_never_what_a_project_does() {
    let file = |notify: &str| format!("default_action: allow\nnotify: {notify}\npolicies: []\n");
    let read = |notify: &str| PolicySet::parse(&file(notify), "p").unwrap();
    for (notify, url, platform, on) in [
        ("{url: 'https://h/x'}", "https://h/x", Platform::Generic, [Deny, Ask].as_slice()),
        ("{url: ' http://h '}", "http://h", Platform::Generic, &[Deny, Ask]),
        (
            "{url: 'https://hooks.slack.com/s', platform: auto}",
            "https://hooks.slack.com/s",
            Platform::Slack,
            &[Deny, Ask],
        ),
        (
            "{url: 'https://h', platform: Discord, on: [log]}",
            "https://h",
            Platform::Discord,
            &[Watch],
        ),
        (
            "{url: 'https://h', on: [require_approval, ALLOW]}",
            "https://h",
            Platform::Generic,
            &[Ask, Allow],
        ),
    ] {
        let policies = read(notify);
        assert!(policies.warnings().is_empty(), "{notify}: {:?}", policies.warnings());
        let told = policies.notify().unwrap();
        assert_eq!((told.url.as_str(), told.platform), (url, platform), "{notify}");
        for action in [Allow, Watch, Ask, Deny] {
            assert_eq!(told.is_for(action), on.contains(&action), "{notify}: {action:?}");
        }
    }
    for notify in [
        "{}",
        "{url: ''}",
        "{url: 'ftp://h'}",
        "{url: 'https://'}",
        "{url: 'https://me:pw@h'}",
        "{url: 'http://a b'}",
    ] {
        let policies = read(notify);
        assert_eq!(policies.notify(), None, "{notify}");
        assert!(policies.warnings()[0].text.contains("tells nobody"), "{notify}");
    }
    let unknown = read("{url: 'https://h', platform: pigeon, on: [denied]}");
    let texts: Vec<&str> = unknown.warnings().iter().map(|it| it.text.as_str()).collect();
    assert!(
        texts.iter().any(|it| it.contains("pigeon"))
            && texts.iter().any(|it| it.contains("denied")),
        "{texts:?}"
    );

    let two = [(file("{url: 'https://one'}"), "a"), (file("{url: 'https://two'}"), "b")];
    let two: Vec<(&str, &str)> = two.iter().map(|(text, name)| (text.as_str(), *name)).collect();
    let policies = PolicySet::parse_all(&two).unwrap();
    assert_eq!(policies.notify().unwrap().url, "https://one");

    let rule = "default_action: allow\npolicies:\n- {name: p, rules: [{action: ask, webhook: {url: 'https://rule'}}]}\n";
    let rule = PolicySet::parse(rule, "p").unwrap();
    let told = |policies: &PolicySet| {
        policies.webhook(&decide(policies, "ls")).map(|it| (it.url.clone(), it.is_for(Deny)))
    };
    assert_eq!(told(&rule), Some(("https://rule".to_owned(), false)));
    let all = PolicySet::parse("default_action: allow\npolicies: []\n", "p").unwrap();
    let restricted = all.restricted_by(&rule).restricted_by(&read("{url: 'https://project'}"));
    assert_eq!(decide(&restricted, "ls").action, Ask);
    assert_eq!((told(&restricted), restricted.notify()), (None, None));
}
