//! Where policies come from: the user's folder and the project; and what outlives a server.

use std::fs;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::server::{Server, head};
use crate::world::{POLICY, World, stderr, stdout};

fn deny(name: &str, command: &str) -> String {
    format!(
        "version: \"1\"\npolicies:\n  - name: {name}\n    match: {{ tool: exec }}\n    rules:\n      - action: deny\n        when: {{ command_matches: [\"{command}\"] }}\n        message: no {command}\n"
    )
}

#[test]
fn all_of_the_users_policies_are_one() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    world.write(".rampart/policies/10-a.yaml", &deny("a", "first"));
    world.write(".rampart/policies/20-b.yml", &deny("b", "second"));
    world.write(".rampart/policies/notes.txt", "no policy");
    for command in ["forbidden", "first", "second"] {
        let told = world.run(["test", command]);
        assert_eq!(told.status.code(), Some(1), "{command}: {}", stderr(&told));
    }
    assert_eq!(world.run(["test", "third"]).status.code(), Some(0));
    let server = Server::start(&world, &[]);
    assert_eq!(server.ask("second")["allowed"], false);
    world.write(".rampart/policies/30-c.yaml", &deny("c", "third"));
    server.says("was reloaded");
    assert_eq!(server.ask("third")["allowed"], false);
    fs::remove_file(world.path(".rampart/policies/30-c.yaml")).unwrap();
    server.says("is gone; the old one stays");
    assert_eq!(server.ask("third")["allowed"], false);

    world.write(".rampart/policies/30-c.yaml", "policies: [{naem: x}]\n");
    let wrong = world.run(["test", "ls"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("30-c.yaml:1:"), "{}", stderr(&wrong));
}

#[test]
fn what_is_no_policy_file_is_told_once_and_keeps_no_later_change_out() {
    let world = World::new();
    let policy = world.write(".rampart/policy.yaml", POLICY);
    world.write(".rampart/policies/a.yaml", &deny("a", "a*"));
    let server = Server::start(&world, &[]);
    let (pipe, link) =
        (world.home().join("policies/b.yaml"), world.home().join("policies/.#a.yaml"));
    // As an editor marks a file that it has open.
    std::os::unix::fs::symlink("me@here.1", &link).unwrap();
    assert!(server.says("not taken").contains(".#a.yaml"));
    fs::remove_file(&link).unwrap();
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    assert!(server.says("not taken").contains("b.yaml is not a regular file"));
    fs::write(&policy, POLICY.replace("forbidden*", "banned*")).unwrap();
    assert_eq!(server.ask("forbidden")["allowed"], false);
    fs::remove_file(&pipe).unwrap();
    server.says("was reloaded");
    assert_eq!(server.ask("forbidden")["allowed"], true);
    assert_eq!(server.ask("banned")["allowed"], false);
    assert!(server.is_silent());
}

#[test]
fn without_a_main_file_the_folder_is_the_policy_and_not_the_starter() {
    let world = World::new();
    let open = deny("a", "first").replace("policies:", "default_action: allow\npolicies:");
    world.write(".rampart/policies/a.yaml", &open);
    assert_eq!(world.run(["test", "first"]).status.code(), Some(1));
    assert_eq!(world.run(["test", "rm -rf /"]).status.code(), Some(0));
}

#[test]
fn tests_may_stand_in_a_file_of_their_own() {
    let world = World::new();
    world.write(".rampart/policy.yaml", &deny("a", "first"));
    let other = world.write("other.yaml", &deny("b", "second"));
    let tests = "policies: []\ntests:\n- {name: t, params: {command: [first, second]}, expect: deny, expect_message: first}\n";
    let tests = world.write("tests.yaml", tests);
    let (tests, other) = (tests.to_str().unwrap(), other.to_str().unwrap());
    for words in [&["test", tests][..], &["policy", "test", tests]] {
        let told = world.run(words);
        assert_eq!(told.status.code(), Some(1), "{}", stderr(&told));
        assert!(
            stdout(&told).starts_with("ok      t: first\nFAILED  t: second"),
            "{}",
            stdout(&told)
        );
    }
    for words in
        [&["test", "--policy", other, tests][..], &["policy", "test", tests, "--policy", other]]
    {
        let told = stdout(&world.run(words));
        assert!(
            told.starts_with("FAILED  t: first") && told.ends_with("2 tests, 2 failed\n"),
            "{told}"
        );
    }
}

#[test]
fn a_project_may_restrict_and_not_allow() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    let rules = deny("p", "build*")
        + "      - action: allow\n        when: { command_matches: [\"forbidden*\"] }\n";
    let file = world.write("work/p/.rampart/policy.yaml", &rules);
    fs::create_dir_all(world.path("work/p/deep/er")).unwrap();
    let inside = world.path("work/p/deep/er");
    let test = |command: &str, flags: &[&str]| {
        let mut rampart = world.rampart(["test"].iter().chain(flags).chain(&[command]));
        rampart.current_dir(&inside).output().unwrap()
    };
    let told = test("build it", &[]);
    assert_eq!(told.status.code(), Some(1));
    assert!(stdout(&told).contains("[Project Policy] no build*"), "{}", stdout(&told));
    assert!(stdout(&told).contains("work/p/.rampart/policy.yaml"), "{}", stdout(&told));
    assert_eq!(test("forbidden", &[]).status.code(), Some(1));
    assert_eq!(test("ls", &[]).status.code(), Some(0));
    assert_eq!(world.run(["test", "build it"]).status.code(), Some(0), "outside of the project");

    let server = Server::start(&world, &[]);
    let at = |folder: &str, command: &str| {
        let body = serde_json::json!({
            "cwd": world.path(folder).to_str().unwrap(), "params": {"command": command}
        });
        let mut client = server.over_unix();
        let body = body.to_string();
        client.send(format!("{}Content-Length: {}\r\n\r\n{body}", head(), body.len()));
        let answer: serde_json::Value = serde_json::from_str(&client.answer().body).unwrap();
        (answer["allowed"].as_bool().unwrap(), answer["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(at("work/p/deep", "build x"), (false, "[Project Policy] no build*".to_owned()));
    assert!(at("work", "build x").0);

    // An unreadable one allows nothing until it is fixed.
    fs::write(&file, "policies: 1\n").unwrap();
    let told = test("ls", &[]);
    assert_eq!(told.status.code(), Some(1));
    assert!(stdout(&told).contains("[Project Policy]"), "{}", stdout(&told));
    fs::remove_file(&file).unwrap();
    assert_eq!(test("ls", &[]).status.code(), Some(0));

    // Nobody waits for whoever may write to a pipe.
    fs::create_dir_all(world.path("work/q/.rampart")).unwrap();
    mkfifo(&world.path("work/q/.rampart/policy.yaml"), Mode::S_IRWXU).unwrap();
    let (is_allowed, why) = at("work/q", "ls");
    assert!(!is_allowed && why.contains("not a regular file"), "{why}");
    assert!(at("work", "build x").0);
}

#[test]
fn a_rule_that_holds_once_has_held_after_a_restart() {
    let world = World::new();
    let rules = "version: \"1\"\ndefault_action: deny\npolicies:\n  - name: once\n    rules:\n      - { action: allow, once: true, added: 2026-01-01T00:00:00Z, when: { command_matches: [\"ls*\"] } }\n";
    world.write(".rampart/policy.yaml", rules);
    let allowed = |times: usize| {
        let mut server = Server::start(&world, &[]);
        let answers: Vec<bool> =
            (0..times).map(|_| server.ask("ls")["allowed"].as_bool().unwrap()).collect();
        server.signal("-TERM");
        server.ended();
        answers
    };
    assert_eq!(allowed(2), [true, false]);
    assert_eq!(allowed(1), [false]);
    assert_eq!(crate::world::mode_of(&world.path(".rampart/spent")), 0o600);
    // Written again it is another rule.
    world.write(".rampart/policy.yaml", &rules.replace("2026-01-01", "2026-01-02"));
    assert_eq!(allowed(2), [true, false]);
}
