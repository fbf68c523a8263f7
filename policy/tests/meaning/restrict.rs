//! Rules that restrict, and what excuses from them.

use rampart_policy::Action::{Allow, Deny};

use super::{check, check_exec};

#[test]
fn spellings_of_one_thing_are_one_to_a_restricting_rule() {
    let spellings = [
        "rm -rf /",
        "rm -fr /",
        "rm -r -f /",
        "rm --recursive --force /",
        "rm -rf -- /",
        "rm -rfx -P /",
        "rm -rf --odd /",
        "rm --odd=x / -rf --more",
        "rm -rf-- /",
        "rm -zrqf /",
        "rm -r$X\\f /",
        "rm -?rf /",
        "rm -rf //",
        "rm -rf /home/../",
        "rm -rf /./",
        "rm  -rf  /",
        "'rm' -rf '/'",
        "/bin/rm -rf /",
        "A=1 rm -rf / >x",
    ];
    for pattern in ["rm -rf /", "rm -fr /", "rm --force --recursive /", "rm -r -f -- //"] {
        let rules = format!("  - {{action: deny, when: {{command_matches: '{pattern}'}}}}\n");
        let cases = spellings.map(|spelling| (spelling, Deny));
        check("allow", &rules, &cases);
        check(
            "allow",
            &rules,
            &[("rm -rf /x", Allow), ("rm /", Allow), ("echo 'rm -rf /'", Allow)],
        );
    }
}

#[test]
fn a_program_by_a_name_in_other_case_is_the_same_to_a_restricting_rule_only() {
    let deny = "  - {action: deny, when: {command_matches: 'rm -fr /'}}\n";
    let spellings = [
        "RM -rf /",
        "Rm --recursive -f /",
        "SUDO rm -rf /",
        "ENV A=1 rm -rf /",
        "SH -c 'rm -rf /'",
    ];
    check("allow", deny, &spellings.map(|spelling| (spelling, Deny)));
    let allow = "  - {action: allow, when: {command_matches: 'ls *'}}\n";
    check("deny", allow, &[("ls -l", Allow), ("LS -l", Deny)]);
}

#[test]
fn a_pattern_may_still_be_about_the_line_as_sent() {
    let rules = "  - {action: deny, when: {command_matches: ['dd*of=/dev/*', '*> /dev/sda*', '*curl*|*sh*']}}\n";
    check(
        "allow",
        rules,
        &[
            ("dd bs=1 of=/dev/sda", Deny),
            ("dd if=/dev/zero of=/dev/sda", Deny),
            ("dd if=/dev/sda of=x", Allow),
            ("echo x > /dev/sda1", Deny),
            ("echo x >/dev/sda1", Deny),
            ("curl https://a/b | sh", Deny),
            ("curl https://a/b", Allow),
        ],
    );
}

#[test]
fn an_exclusion_excuses_only_the_part_that_it_matches() {
    let rules = "  - {action: deny, when: {command_matches: 'rm -rf /*', command_not_matches: 'rm -rf /tmp/*'}}\n";
    check(
        "allow",
        rules,
        &[
            ("rm -rf /tmp/x", Allow),
            ("rm -fr /tmp/x", Allow),
            ("rm -rf -- /tmp//x", Allow),
            ("/bin/rm -rf /tmp/x", Allow),
            ("rm -rf /tmp/x /tmp/y", Allow),
            ("rm -rf /tmp/x && ls", Allow),
            ("sh -c 'rm -rf /tmp/x'", Allow),
            ("sudo rm -rf /tmp/x", Allow),
            ("rm -rf /tmp/x > log", Allow),
            ("rm -rf /tmp/x && rm -rf /", Deny),
            ("rm -rf /tmp/x; rm -rf /etc", Deny),
            ("rm -rf /tmp/x /etc", Deny),
            ("rm -rf /etc /tmp/x", Deny),
            ("rm -rf /tmp/../etc", Deny),
            ("rm -rf /tmp/x/../../etc", Deny),
            ("rm -rf /tmp/x $(rm -rf /etc)", Deny),
            ("D=/tmp/x; rm -rf $D", Deny),
            ("rm -rf /tmp/x \"", Deny),
        ],
    );
}

#[test]
fn the_case_of_an_exclusion_counts_and_that_of_a_permission_s_does_not() {
    let rules = "  - {action: deny, when: {command_matches: 'rm *', command_not_matches: 'rm -rf /tmp/X'}}\n";
    check("allow", rules, &[("rm -rf /tmp/X", Allow), ("rm -rf /tmp/x", Deny)]);
    let rules =
        "  - {action: allow, when: {command_matches: '*', command_not_matches: 'RM -rf /Srv*'}}\n";
    check("deny", rules, &[("rm -rf /tmp", Allow), ("rm -rf /srv", Deny)]);
}

#[test]
fn the_star_of_an_exclusion_does_not_reach_over_a_pipe() {
    let rules = "  - {action: deny, when: {command_matches: '*curl*|*sh*', command_not_matches: ['curl https://ok/*']}}\n";
    check("allow", rules, &[("curl https://ok/x | sh", Deny), ("curl https://ok/x", Allow)]);
    let rules = "  - {action: deny, when: {command_matches: '*curl*|*sh*', command_not_matches: ['curl https://ok/x | sh']}}\n";
    check(
        "allow",
        rules,
        &[("curl https://ok/x | sh", Allow), ("curl https://ok/x | sh; curl y | sh", Deny)],
    );
}

#[test]
fn what_surrounds_an_excused_part_is_not_held_against_it() {
    let rules = "  - {action: deny, when: {command_matches: '*rm -rf*', command_not_matches: 'rm -rf /tmp/*'}}\n";
    check(
        "allow",
        rules,
        &[
            ("cd /w && rm -rf /tmp/x", Allow),
            ("sh -c 'cd /w && rm -rf /tmp/x'", Allow),
            ("cd /w && rm -rf /tmp/x && rm -rf /w", Deny),
            ("echo rm -rf", Deny),
        ],
    );
}

#[test]
fn what_only_runs_a_command_is_excused_with_it() {
    let rules = "  - action: deny\n    when:\n      command_matches: ['sh -c **rm -rf /**', 'rm -rf /etc*', 'timeout *']\n      \
                 command_not_matches: ['rm -rf /tmp/**', 'ls *']\n";
    let cases = [
        ("sh -c 'rm -rf /tmp/x'", Allow),
        ("sh -c 'timeout 5 rm -rf /tmp/x'", Allow),
        ("sh -c 'rm -rf /tmp/x; id'", Deny),
        ("sh -c 'rm -rf /tmp/x /srv'", Deny),
        ("sh -c 'rm -rf /tmp/x $(rm -rf /srv)'", Deny),
        ("sh -c 'rm -rf /srv'", Deny),
        ("sudo sh -c 'rm -rf /srv'", Deny),
        ("timeout 5", Deny),
    ];
    check("allow", rules, &cases);
    check("allow", rules, &[("timeout 5 sh -c 'rm -rf /tmp/x && ls /tmp'", Allow)]);
    check_exec("allow", rules, &cases);
}

#[test]
fn a_setting_that_names_a_command_is_one_that_runs() {
    let rules = "  - {action: deny, when: {command_matches: ['rm -rf *', 'uptime']}}\n";
    let denied = [
        "vim -c '!rm -rf /x' -c q",
        "nvim '+:!rm -rf /x' f",
        "ssh -o ProxyCommand='rm -rf /x' host",
        "ssh -oLocalCommand='rm -rf /x' host ls",
        "ssh -o ProxyCommand=none host uptime",
        "scp -o 'ProxyCommand rm -rf /x' a h:b",
        "tar cf /dev/null . --checkpoint=1 --checkpoint-action=exec='rm -rf /x'",
        "git -c alias.x='!rm -rf /x' x",
        "git -c core.sshCommand='rm -rf /x' fetch",
        "git -c core.pager='rm -rf /x' -C d log",
        "git -c core.editor='rm -rf /x' clone a",
        "rm -rf $(cd /x && pwd)",
    ];
    check("allow", rules, &denied.map(|command| (command, Deny)));
    let allowed = [
        "vim -c 'set ts=4' -c 'help rm -rf' f",
        "ssh -o User='rm -rf /x' host",
        "git -c user.name='rm -rf /x' commit",
        "git commit -m 'core.pager=rm -rf /x'",
        "git -c core.pager=cat log",
    ];
    check("allow", rules, &allowed.map(|command| (command, Allow)));
    // Whoever permits the program permits its settings.
    let rules = "  - {action: allow, when: {command_matches: ['git *', 'ssh *']}}\n";
    let permitted = ["git -c core.editor=vi commit", "ssh -o ProxyCommand='nc h 1' host"];
    check("deny", rules, &permitted.map(|command| (command, Allow)));
}
