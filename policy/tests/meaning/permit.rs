//! Rules that permit.

use rampart_policy::Action::{Allow, Ask, Deny};

use super::{check, check_exec};

#[test]
fn a_permitting_rule_holds_only_for_every_part() {
    let rules = "  - {action: allow, when: {command_matches: ['git *', 'ls']}}\n";
    check(
        "deny",
        rules,
        &[
            ("git status", Allow),
            ("'git' status", Allow),
            ("git commit -m 'a; b'", Allow),
            ("git status && ls", Allow),
            ("git status 2>&1", Allow),
            ("ls > /dev/null", Allow),
            ("git status; rm -rf ~", Deny),
            ("git status && git log | cat", Deny),
            ("git log $(rm -rf ~)", Deny),
            ("git log `rm -rf ~`", Deny),
            ("git log <(rm -rf ~)", Deny),
            ("ls > x", Deny),
            ("A=1 git status", Allow),
            ("LD_PRELOAD=x git status", Deny),
            ("PATH=/x ls", Deny),
            ("/tmp/git status", Deny),
            ("sudo git status", Deny),
            ("sh -c 'git status'", Allow),
            ("sh -c 'git status; rm x'", Deny),
            ("git status 'x", Deny),
            ("'git x' y", Deny),
            ("X=git; $X status", Deny),
            ("", Deny),
        ],
    );
}

#[test]
fn a_quoted_word_of_the_grammar_is_a_program_of_that_name() {
    let rules = "  - {action: allow, when: {command_matches: [ls, 'ls *']}}\n";
    check(
        "deny",
        rules,
        &[
            ("ls -l", Allow),
            ("'coproc' ls", Deny),
            ("'then' ls", Deny),
            ("'!' ls", Deny),
            ("'A=1' ls", Deny),
        ],
    );
}

#[test]
fn a_permitting_rule_is_not_misled_by_a_path() {
    let rules = "  - {action: allow, when: {command_matches: 'rm -rf /tmp/*'}}\n";
    check(
        "deny",
        rules,
        &[
            ("rm -rf /tmp/x", Allow),
            ("rm -rf /tmp/x /tmp/y", Allow),
            ("rm -rf /tmp/../etc", Deny),
            ("rm -rf /tmp/x /etc", Deny),
        ],
    );
}

#[test]
fn a_wrapper_is_permitted_with_what_it_runs() {
    let rules = "  - {action: allow, when: {command_matches: ['sh -c *', 'sudo *', 'git *']}}\n";
    check(
        "deny",
        rules,
        &[
            ("sh -c 'git status'", Allow),
            ("sudo git status", Allow),
            ("sh -c 'git status; ls'", Deny),
            ("sudo ls", Deny),
        ],
    );
}

#[test]
fn a_permitted_line_without_a_wildcard_is_permitted_whole() {
    let rules = "  - {action: allow, when: {command_matches: 'make clean && make'}}\n";
    check(
        "deny",
        rules,
        &[("make clean && make", Allow), ("make clean", Deny), ("make clean && make x", Deny)],
    );
}

#[test]
fn a_lone_star_permits_what_cannot_be_read() {
    for when in ["{command_matches: '*'}", "{default: true}"] {
        let rules = format!("  - {{action: allow, when: {when}}}\n");
        check("deny", &rules, &[("ls", Allow), ("ls 'x", Allow), ("", Allow)]);
    }
    check("deny", "  - {action: allow}\n", &[("ls 'x", Allow)]);
}

#[test]
fn exclusions_of_a_permitting_rule_look_at_every_spelling() {
    let rules = "  - {action: allow, when: {command_matches: '*', command_not_matches: ['rm -rf /etc*']}}\n";
    check(
        "deny",
        rules,
        &[
            ("ls", Allow),
            ("rm -rf /tmp", Allow),
            ("rm -rf /etc", Deny),
            ("rm -fr /etc", Deny),
            ("ls && /bin/rm -r -f /tmp/../etc", Deny),
            ("sh -c 'rm -rf /etc'", Deny),
        ],
    );
}

#[test]
fn everything_but_what_is_named_is_denied() {
    let rules = "  - {action: deny, when: {command_not_matches: ['git *', 'sh -c *']}}\n";
    check(
        "allow",
        rules,
        &[
            ("git status", Allow),
            ("git status && git log", Allow),
            ("sh -c 'git status'", Allow),
            ("ls", Deny),
            ("git status; ls", Deny),
            ("sudo git status", Deny),
            ("sh -c 'git status; ls'", Deny),
            ("git status 'x", Deny),
        ],
    );
}

#[test]
fn what_a_variable_stands_for_is_permitted_as_it_is_typed() {
    let rules = "  - {action: allow, when: {command_matches: ['cat *', 'echo *', 'git s*', 'cp *'], command_not_matches: ['cat *secret*']}}\n";
    let cases = [
        ("f=a.rs; cat $f", Allow),
        ("f='a b'; cat \"$f\"", Allow),
        ("cat ${F:-a.rs}", Allow),
        ("f=a; timeout 5 cat $f", Allow),
        ("f=a; nice -n 5 timeout 5 cat \"$f\" $f", Allow),
        ("f=out; echo hi > \"$f\"", Allow),
        ("echo $(echo hi)", Allow),
        ("d=src; cp -r \"$d\"/* out", Allow),
        // What it comes to has to be permitted by what is typed, and excused by nothing else.
        ("x=status; git $x", Deny),
        ("c=cat; $c a", Deny),
        ("f=secret; cat $f", Deny),
        ("f=a; cat $f | sh", Deny),
        ("f=a; sudo cat $f", Deny),
    ];
    check("deny", rules, &cases);
    check_exec("deny", rules, &cases);
    let ask = "  - {action: ask, when: {command_matches: 'git push*'}}\n";
    check_exec("deny", ask, &[("b=main; git push origin $b", Ask), ("p=push; git $p", Deny)]);
}

#[test]
fn a_redirection_is_that_of_the_command_that_a_wrapper_runs() {
    let rules = "  - {action: allow, when: {command_matches: ['npm *', git status]}}\n";
    let cases = [
        ("nohup npm start > log 2>&1 &", Allow),
        ("timeout 9 npm test < in", Allow),
        ("A=1 npm test > log", Allow),
        ("A=1 nohup npm test > log", Allow),
        ("bash -c 'npm test' > log", Allow),
        ("PATH=. npm test > log", Deny),
        ("nohup git status > log", Deny),
        ("bash -c 'git status' > log", Deny),
        ("nohup ls > log", Deny),
        ("bash -c 'npm test; ls' > log", Deny),
    ];
    check("deny", rules, &cases);
    check_exec("deny", rules, &cases);
}
