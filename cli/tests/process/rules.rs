//! Rules by hand: from a refused command to an allowed one and back, as the output says.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::server::{Server, head};
use crate::world::{POLICY, World, mode_of, stderr, stdout};

fn verdict(world: &World, command: &str) -> Option<i32> {
    world.run(["test", command]).status.code()
}

#[test]
fn a_refused_command_is_allowed_and_all_else_in_the_file_stays() {
    let world = World::new();
    let policy = world.write(".rampart/policy.yaml", &format!("# mine\n{POLICY}# the end\n"));
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::read_to_string(&policy).unwrap();
    let mut server = Server::start(&world, &[]);
    server.ask("forbidden 1");
    server.ask("forbidden 2");
    server.ask("ls");
    server.signal("-TERM");
    server.ended();

    let dry = world.run(["allow", "--dry-run", "forbidden 1"]);
    assert_eq!(dry.status.code(), Some(0), "{}", stderr(&dry));
    assert_eq!(fs::read_to_string(&policy).unwrap(), before);
    let said = stdout(&dry);
    assert!(said.contains("in front of the rules of no-forbidden"), "{said}");
    assert!(said.contains("Of the last 3 logged commands it matches 1 and would have changed 1."));
    assert!(
        said.contains("    forbidden 1\n") && said.ends_with("Nothing was written.\n"),
        "{said}"
    );
    assert_eq!(verdict(&world, "forbidden 1"), Some(1));

    assert_eq!(world.run(["allow", "forbidden 1"]).status.code(), Some(0));
    assert_eq!(verdict(&world, "forbidden 1"), Some(0));
    assert_eq!(verdict(&world, "forbidden 2"), Some(1));
    assert_eq!(mode_of(&policy), 0o640);
    let after = fs::read_to_string(&policy).unwrap();
    let mut rest = after.lines().peekable();
    assert!(before.lines().all(|line| rest.any(|each| each == line)), "{after}");

    let again = world.run(["allow", "forbidden 1"]);
    assert!(stdout(&again).contains("is allowed already"), "{}", stdout(&again));
    let listed = stdout(&world.run(["rules"]));
    assert!(listed.starts_with("  1  allow  'forbidden 1'  ("), "{listed}");
    assert_eq!(world.run(["rules", "remove", "2"]).status.code(), Some(2));
    assert_eq!(world.run(["rules", "remove", "1"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&policy).unwrap(), before);
    assert_eq!(verdict(&world, "forbidden 1"), Some(1));
}

#[test]
fn without_a_file_the_starter_policy_becomes_one_with_the_rule() {
    let world = World::new();
    assert_eq!(verdict(&world, "npm publish"), Some(0));
    let blocked = world.run(["block", "npm publish*", "--message", "Ask \"me\" first"]);
    assert_eq!(blocked.status.code(), Some(0), "{}", stderr(&blocked));
    assert!(stdout(&blocked).contains("a copy of the starter policy"), "{}", stdout(&blocked));
    assert_eq!(verdict(&world, "npm publish"), Some(1));
    assert_eq!(verdict(&world, "rm -rf /"), Some(1));
    let why = stdout(&world.run(["test", "cd x && npm publish --tag beta"]));
    assert!(why.contains("Ask \"me\" first") && why.contains("by-hand"), "{why}");
    assert_eq!(mode_of(&world.home().join("policy.yaml")), 0o600);
    assert_eq!(world.run(["policy", "check", ".rampart/policy.yaml"]).status.code(), Some(0));

    // An allow goes into every policy that refuses.
    assert_eq!(world.run(["allow", "npm publish"]).status.code(), Some(0));
    assert_eq!(verdict(&world, "npm publish"), Some(0));
    assert_eq!(verdict(&world, "npm publish --tag beta"), Some(1));
    let rules = world.run(["rules", "--json"]);
    let rules: serde_json::Value = serde_json::from_slice(&rules.stdout).unwrap();
    assert_eq!(rules[0]["pattern"], "npm publish");
    assert_eq!(rules[1]["command"], "block");
}

#[test]
fn a_rule_that_cannot_be_written_changes_nothing_and_says_what_to_do() {
    let world = World::new();
    let flow = "version: \"1\"\npolicies: [{name: a, rules: [{action: deny}]}]\n";
    let policy = world.write(".rampart/policy.yaml", flow);
    let refused = world.run(["allow", "ls"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("command_matches: [\"ls\"]"), "{}", stderr(&refused));
    assert_eq!(fs::read_to_string(&policy).unwrap(), flow);
    for command in ["allow", "block"] {
        let empty = world.run([command, " "]);
        assert_eq!(empty.status.code(), Some(2));
        assert!(stderr(&empty).contains("matches no command"), "{}", stderr(&empty));
    }
    let bad = world.run(["block", "a[b"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(stderr(&bad).contains("is not a usable pattern"), "{}", stderr(&bad));
    fs::write(&policy, "version: [").unwrap();
    assert_eq!(world.run(["allow", "ls"]).status.code(), Some(2));
    assert_eq!(fs::read_to_string(&policy).unwrap(), "version: [");
}

#[test]
fn what_another_file_refuses_is_named_and_an_own_file_beside_others_holds_only_its_rules() {
    let world = World::new();
    let other = world.write(".rampart/policies/team.yaml", POLICY);
    let own = world.home().join("policy.yaml");
    // The output does not suggest a command that would be refused.
    let told = stdout(&world.run(["test", "forbidden 1"]));
    assert!(told.contains("team.yaml") && !told.contains("rampart allow"), "{told}");
    let refused = world.run(["allow", "forbidden 1"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = stderr(&refused);
    assert!(
        said.contains("rule 1 of the policy no-forbidden") && said.contains("team.yaml"),
        "{said}"
    );
    assert!(said.contains("command_matches: [\"forbidden 1\"]"), "{said}");
    assert!(!own.exists());
    assert_eq!(fs::read_to_string(&other).unwrap(), POLICY);

    assert_eq!(world.run(["block", "npm publish"]).status.code(), Some(0));
    // What is written is nothing that the lint complains of.
    let checked = stdout(&world.run(["policy", "check", ".rampart/policy.yaml"]));
    assert!(!checked.contains("has no message"), "{checked}");
    let told = stdout(&world.run(["test", "npm publish"]));
    assert!(told.contains("The user has blocked this"), "{told}");
    assert_eq!(verdict(&world, "npm publish"), Some(1));
    // The new file has neither a default action nor the built-in policy.
    assert_eq!(verdict(&world, "ls"), Some(0));
    assert!(!fs::read_to_string(&own).unwrap().contains("default_action"));
    assert_eq!(world.run(["allow", "npm publish"]).status.code(), Some(0));
    assert_eq!(verdict(&world, "npm publish"), Some(0));
}

#[test]
fn a_rule_may_hold_once_or_for_a_time() {
    let world = World::new();
    let policy = world.write(".rampart/policy.yaml", POLICY);
    for words in [&["--for", "soon"][..], &["--for", "0s"], &["--for", "20years"]] {
        let refused = world.run(["allow", "forbidden 1"].iter().chain(words));
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        assert!(stderr(&refused).contains("--for"), "{}", stderr(&refused));
    }
    assert_eq!(fs::read_to_string(&policy).unwrap(), POLICY);

    let once = world.run(["allow", "--once", "forbidden 1"]);
    assert_eq!(once.status.code(), Some(0), "{}", stderr(&once));
    assert!(stdout(&once).contains("for one command only"), "{}", stdout(&once));
    let mut server = Server::start(&world, &[]);
    let answers =
        ["forbidden 1", "forbidden 1"].map(|command| server.ask(command)["allowed"] == true);
    assert_eq!(answers, [true, false]);
    server.signal("-TERM");
    server.ended();
    let rules = stdout(&world.run(["rules", "--json"]));
    let rules: serde_json::Value = serde_json::from_str(&rules).unwrap();
    assert_eq!(rules[0]["state"], "spent");

    let hour = world.run(["allow", "--for", "1h", "forbidden 2"]);
    assert!(stdout(&hour).contains("It ends at 2"), "{}", stdout(&hour));
    assert_eq!(verdict(&world, "forbidden 2"), Some(0));
    let text = fs::read_to_string(&policy).unwrap();
    let (before, after) = text.split_once("expires_at: 20").unwrap();
    let past = format!("{before}expires_at: 1999{}", &after[2..]);
    world.write(".rampart/policy.yaml", &past);
    assert_eq!(verdict(&world, "forbidden 2"), Some(1));
    let listed = stdout(&world.run(["rules"]));
    assert!(listed.lines().next().unwrap().contains("expired"), "{listed}");
    assert!(listed.lines().nth(1).unwrap().contains("once: true, spent"), "{listed}");
}

#[test]
fn a_projects_rule_stands_in_its_own_file_and_only_restricts() {
    let world = World::new();
    let own = world.write(".rampart/policy.yaml", POLICY);
    let inside = world.path("project/src");
    fs::create_dir_all(&inside).unwrap();
    fs::create_dir(world.path("project/.git")).unwrap();
    let run = |words: &[&str]| crate::world::finished(world.rampart(words).current_dir(&inside));
    let mut server = Server::start(&world, &[]);
    for cwd in ["/elsewhere", inside.to_str().unwrap()] {
        let body = serde_json::json!({
            "agent": "tester", "session": "s1", "enforce": true, "cwd": cwd,
            "params": { "command": "deploy now" },
        });
        let body = body.to_string();
        let mut client = server.over_unix();
        client.send(format!("{}Content-Length: {}\r\n\r\n{body}", head(), body.len()));
        assert_eq!(client.answer().status, 200);
    }
    server.signal("-TERM");
    server.ended();

    let blocked = run(&["block", "--project", "deploy *", "--message", "Not from here"]);
    assert_eq!(blocked.status.code(), Some(0), "{}", stderr(&blocked));
    let said = stdout(&blocked);
    let file = world.path("project/.rampart/policy.yaml");
    assert!(said.contains(&format!("writes to {}, new,", file.display())), "{said}");
    assert!(
        said.contains(
            "last 1 logged commands that may be of this project it matches 1 and would have changed 1"
        ),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&own).unwrap(), POLICY);
    let tested = |command| run(&["test", "--policy", file.to_str().unwrap(), command]);
    assert_eq!(tested("deploy now").status.code(), Some(1));
    assert_eq!(tested("ls").status.code(), Some(0));

    // A project cannot allow what the user's own policy refuses.
    let refused = run(&["allow", "--project", "forbidden 1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("may only restrict"), "{}", stderr(&refused));
    // A project may allow again what the project itself refuses.
    assert_eq!(run(&["allow", "--project", "deploy test"]).status.code(), Some(0));
    assert_eq!(tested("deploy test").status.code(), Some(0));
    assert!(stdout(&run(&["rules", "--project"])).lines().count() == 2);
    assert_eq!(stdout(&run(&["rules"])), "");
    for _ in 0..2 {
        assert_eq!(run(&["rules", "remove", "1", "--project"]).status.code(), Some(0));
    }
    assert!(fs::read_to_string(&file).unwrap().ends_with("policies: []\n"));
    assert_eq!(run(&["policy", "check", file.to_str().unwrap()]).status.code(), Some(0));
}

#[test]
fn a_persons_own_policy_is_no_projects() {
    let world = World::new();
    let others = world.path("other-home");
    fs::create_dir(&others).unwrap();
    // A home with two paths, as where /home is a link: the kernel says the other one.
    let link = world.path("link");
    symlink(world.path(""), &link).unwrap();
    // Dotfiles in Git do not make the home a project.
    fs::create_dir(world.path(".git")).unwrap();
    let nothing: [(&str, &str); 0] = [];
    let moved = [("RAMPART_HOME", others.to_str().unwrap())];
    for variables in [&nothing[..], &[("HOME", link.to_str().unwrap())], &moved] {
        let run = |words: &[&str]| {
            let mut rampart = world.rampart(words);
            crate::world::finished(rampart.envs(variables.iter().copied()))
        };
        // Neither where it has begun nor before.
        let _ = fs::remove_dir_all(world.home());
        for effect in ["block", "allow"] {
            let refused = run(&[effect, "--project", "deploy *"]);
            assert_eq!(refused.status.code(), Some(2), "{effect} {variables:?}");
            assert!(stderr(&refused).contains("leave --project out"), "{}", stderr(&refused));
        }
        assert_eq!(run(&["rules", "--project"]).status.code(), Some(2), "{variables:?}");
        // The built-in policy is still in force.
        assert!(!world.home().join("policy.yaml").exists(), "{variables:?}");
        assert_eq!(run(&["test", "rm -rf /"]).status.code(), Some(1), "{variables:?}");
        // Nor is one's own policy read as a project's: it would be in force twice.
        let file = world.write(".rampart/policy.yaml", POLICY);
        let lax = world.write("lax.yaml", "version: \"1\"\ndefault_action: allow\npolicies: []\n");
        let told = run(&["test", "--policy", lax.to_str().unwrap(), "forbidden 1"]);
        assert_eq!(told.status.code(), Some(0), "{variables:?}: {}", stdout(&told));
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn rules_that_are_written_at_once_are_all_there() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    let children: Vec<_> = (0..10)
        .map(|number| {
            world
                .rampart(["block", &format!("tool-{number}")])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(stdout(&world.run(["rules"])).lines().count(), 10);
    for number in 0..10 {
        assert_eq!(verdict(&world, &format!("tool-{number}")), Some(1));
    }
}

#[test]
fn a_guarded_process_writes_no_rules() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    for words in [&["allow", "forbidden"][..], &["block", "ls"], &["rules", "remove", "1"]] {
        let mut command = world.rampart(words);
        // As in a guarded process. The loader only warns that the library is missing.
        command.env("LD_PRELOAD", "/nowhere/librampart.so");
        let refused = crate::world::finished(&mut command);
        assert_eq!(refused.status.code(), Some(126), "{words:?}");
        assert!(stderr(&refused).contains("for the person"), "{}", stderr(&refused));
        for command in ["rampart allow x", "sh -c 'sudo /usr/bin/rampart approve 1 --always'"] {
            let starter = World::new();
            assert_eq!(verdict(&starter, command), Some(1), "{command}");
        }
    }
    assert_eq!(fs::read_to_string(world.home().join("policy.yaml")).unwrap(), POLICY);
}

#[test]
fn a_policy_is_suggested_from_what_was_asked_and_allows_just_that() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    let mut server = Server::start(&world, &[]);
    for command in ["cc -c a.c", "cc -c b.c", "cc -c c.c", "ls -l", "ls -l", "forbidden"] {
        server.ask(command);
    }
    server.signal("-TERM");
    server.ended();
    let suggested = world.run(["policy", "suggest", "--session", "s1"]);
    assert_eq!(suggested.status.code(), Some(0), "{}", stderr(&suggested));
    let text = stdout(&suggested);
    assert!(text.contains("command_matches: [\"cc -c *.c\"]"), "{text}");
    assert!(
        text.contains("# 2 times, last 2") && text.contains("no-forbidden refused it"),
        "{text}"
    );
    world.write("agent.yaml", &text);
    for (command, status) in [("cc -c d.c", 0), ("ls -l", 0), ("ls", 1), ("forbidden", 1)] {
        let tested = world.run(["test", "--policy", "agent.yaml", command]);
        assert_eq!(tested.status.code(), Some(status), "{command}");
    }
}
