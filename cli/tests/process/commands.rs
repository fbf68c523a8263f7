//! The commands that inspect policies and install files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::world::{POLICY, World, mode_of, stderr, stdout};

#[test]
fn every_command_explains_itself() {
    let world = World::new();
    for words in [
        &["--help"][..],
        &["preload", "--help"],
        &["serve", "--help"],
        &["test", "--help"],
        &["policy", "--help"],
        &["policy", "check", "--help"],
        &["policy", "show", "--help"],
        &["setup", "--help"],
        &["doctor", "--help"],
    ] {
        let output = world.run(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(stdout(&output).len() > 200, "{words:?}");
        assert!(stdout(&output).lines().all(|line| line.len() <= 100), "{}", stdout(&output));
    }
    assert!(stdout(&world.run(["--version"])).starts_with("rampart "));
    assert_eq!(world.run([] as [&str; 0]).status.code(), Some(2));
}

#[test]
fn test_tells_the_verdict_by_words_and_by_status() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    for (words, status, verdict) in [
        (&["ls"][..], 0, "allow"),
        (&["watched x"], 0, "watch"),
        (&["forbidden x"], 1, "deny"),
        (&["--", "forbidden", "x y"], 1, "deny"),
        (&["--", "echo", "forbidden"], 0, "allow"),
    ] {
        let output = world.run(["test"].iter().chain(words));
        assert_eq!(output.status.code(), Some(status), "{words:?}: {}", stderr(&output));
        assert!(stdout(&output).starts_with(verdict), "{}", stdout(&output));
        let json = world.run(["test", "--json"].iter().chain(words));
        assert_eq!(json.status.code(), Some(status));
        let report: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
        assert_eq!(report["decision"], verdict);
        assert_eq!(report["allowed"], status == 0);
    }
    let denied = stdout(&world.run(["test", "forbidden x"]));
    for words in ["Do something else", "no-forbidden", "policy.yaml"] {
        assert!(denied.contains(words), "{denied}");
    }
    for words in [&[][..], &["a", "--", "b"], &["--policy", "none.yaml", "a"]] {
        let output = world.run(["test"].iter().chain(words));
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn policy_check_names_every_fault_with_its_place() {
    let world = World::new();
    world.write("good.yaml", POLICY);
    world.write("bad.yaml", "version: \"1\"\npolicies:\n  - naem: x\n    rules: []\n");
    let good = world.run(["policy", "check", "good.yaml"]);
    assert_eq!(good.status.code(), Some(0), "{}", stdout(&good));
    let both = world.run(["policy", "check", "good.yaml", "bad.yaml", "none.yaml"]);
    assert_eq!(both.status.code(), Some(1));
    let said = stdout(&both);
    for words in ["good.yaml: ok", "bad.yaml:3:", "none.yaml: No such file"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(world.run(["policy", "check"]).status.code(), Some(2));
}

#[test]
fn policy_show_tells_what_is_in_force_and_where_it_is_from() {
    let world = World::new();
    let starter = world.run(["policy", "show"]);
    assert!(starter.status.success());
    assert!(stderr(&starter).contains("built-in starter"));
    world.write("again.yaml", &stdout(&starter));
    assert!(world.run(["policy", "check", "again.yaml"]).status.success());

    let file = world.write(".rampart/policy.yaml", POLICY);
    let own = world.run(["policy", "show"]);
    assert_eq!(stdout(&own), POLICY);
    assert!(stderr(&own).contains(file.to_str().unwrap()));
    let json = stdout(&world.run(["policy", "show", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["source"], POLICY);
    assert_eq!(report["file"], file.to_str().unwrap());
}

#[test]
fn setup_puts_everything_into_place_and_keeps_what_is_there() {
    let world = World::new();
    let library = world.path("librampart.so");
    world.compile_library(&library);
    let setup = || world.rampart(["setup"]).env("RAMPART_LIBRARY", &library).output().unwrap();
    let first = setup();
    assert!(first.status.success(), "{}", stderr(&first));
    let home = world.home();
    assert_eq!(mode_of(&home), 0o700);
    assert_eq!(mode_of(&home.join("token")), 0o600);
    assert_eq!(fs::read(home.join("lib/librampart.so")).unwrap(), fs::read(&library).unwrap());
    assert!(world.run(["policy", "check", ".rampart/policy.yaml"]).status.success());
    assert!(world.run(["preload", "--", "true"]).status.success());

    let token = fs::read(home.join("token")).unwrap();
    world.write(".rampart/policy.yaml", POLICY);
    let second = setup();
    assert!(second.status.success());
    assert!(stdout(&second).lines().filter(|line| line.starts_with("kept")).count() == 3);
    assert_eq!(fs::read(home.join("token")).unwrap(), token);
    assert_eq!(fs::read_to_string(home.join("policy.yaml")).unwrap(), POLICY);

    // The installed file is a new one, not the old one overwritten.
    let installed = home.join("lib/librampart.so");
    let mapped = fs::File::open(&installed).unwrap();
    let longer = [fs::read(&library).unwrap().as_slice(), &[0]].concat();
    fs::write(&library, &longer).unwrap();
    assert!(setup().status.success());
    assert_eq!(fs::read(&installed).unwrap(), longer);
    assert_eq!(mapped.metadata().unwrap().len(), longer.len() as u64 - 1);
    assert_eq!(fs::read_dir(home.join("lib")).unwrap().count(), 1);
}

#[test]
fn setup_is_content_with_the_library_that_is_installed() {
    let world = World::without_library();
    let installed = world.home().join("lib/librampart.so");
    fs::create_dir_all(installed.parent().unwrap()).unwrap();
    world.compile_library(&installed);
    let output = world.run(["setup"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("kept the library"), "{}", stdout(&output));
    assert!(world.home().join("token").exists());
}

#[test]
fn setup_writes_lines_for_a_shell_and_changes_nothing() {
    let world = World::without_library();
    for (shell, words) in
        [("bash", "export PATH="), ("zsh", "export PATH="), ("fish", "fish_add_path")]
    {
        let output = world.run(["setup", "--shell", shell]);
        assert!(stdout(&output).contains(words), "{}", stdout(&output));
    }
    assert!(!world.home().exists());
}

#[test]
fn setup_builds_the_library_where_none_came_with_the_program() {
    let world = World::without_library();
    let script = "#!/bin/sh\necho \"$@\" >\"$HOME/made\"\nexit 3\n";
    let make = world.write("bin/make", script);
    fs::set_permissions(&make, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", make.parent().unwrap().display());
    let failed = crate::world::finished(world.rampart(["setup"]).env("PATH", path));
    assert_eq!(failed.status.code(), Some(1));
    for words in ["there is no librampart.", "make could not build it", "RAMPART_LIBRARY"] {
        assert!(stderr(&failed).contains(words), "{}", stderr(&failed));
    }
    let asked = fs::read_to_string(world.path("made")).unwrap();
    assert!(asked.starts_with("-C /") && asked.ends_with(" library\n"), "{asked}");
    assert!(!world.home().join("lib").exists());
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let world = World::new();
    for words in [&["policy", "show"][..], &["test", "ls"], &["--help"]] {
        let mut child =
            world.rampart(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(!stderr(&output).contains("fault"), "{}", stderr(&output));
    }
}

#[test]
fn rampart_home_moves_all_files() {
    let world = World::new();
    world.write("elsewhere/policy.yaml", POLICY);
    let output =
        world.rampart(["test", "forbidden x"]).env("RAMPART_HOME", "elsewhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn completions_and_manual_are_of_every_command() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let written = world.run(["completions", shell]);
        assert_eq!(written.status.code(), Some(0), "{shell}");
        assert!(stdout(&written).contains("preload"), "{shell}");
        assert!(
            !stdout(&written).contains("from-audit"),
            "{shell}: a hidden subcommand is offered"
        );
    }
    let script = world.write("c.bash", &stdout(&world.run(["completions", "bash"])));
    let checked = std::process::Command::new("bash").arg("-n").arg(script).status().unwrap();
    assert!(checked.success());
    assert!(stdout(&world.run(["man"])).contains(".TH rampart 1"));
    assert_eq!(world.run(["man", "--dir", "man"]).status.code(), Some(0));
    for page in ["rampart.1", "rampart-preload.1", "rampart-policy-suggest.1"] {
        let text = std::fs::read_to_string(world.path("man").join(page)).unwrap();
        assert!(text.contains("NAME"), "{page}");
    }
    let failed = world.run(["man", "--dir", "/proc/nowhere"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr(&failed).contains("/proc/nowhere"), "{}", stderr(&failed));
}

#[test]
fn setup_remove_takes_back_what_setup_made_and_leaves_what_a_person_wrote() {
    let world = World::with_library();
    let library = world.home().join("lib/librampart.so");
    assert_eq!(world.run(["setup"]).status.code(), Some(0));
    let alias = ["setup", "--agent", "codex", "--shell", "zsh", "--yes"];
    assert_eq!(world.run(alias).status.code(), Some(0));
    // Runs that are over leave it empty.
    std::fs::create_dir(world.home().join("run")).unwrap();
    let removed = world.run(["setup", "--remove"]);
    assert_eq!(removed.status.code(), Some(0), "{}", stderr(&removed));
    assert!(!world.home().exists() && !world.path(".zshrc").exists());
    assert_eq!(world.run(["setup", "--remove"]).status.code(), Some(0));

    world.write(".rampart/policy.yaml", "# mine\nversion: \"1\"\n");
    world.write(".rampart/audit.jsonl", "");
    std::fs::create_dir_all(library.parent().unwrap()).unwrap();
    std::fs::write(&library, "").unwrap();
    let removed = stdout(&world.run(["setup", "--remove"]));
    assert!(
        removed.contains("which you have changed") && removed.contains("kept the audit"),
        "{removed}"
    );
    assert!(!library.exists() && world.home().join("policy.yaml").exists());
}

#[test]
fn status_shows_what_runs_and_whether_its_server_answers() {
    let world = World::with_library();
    let run = crate::embedded::Waiting::start_with(&world, &["--session", "evening"], &[]);
    let status = stdout(&world.run(["status"]));
    let line = status.lines().find(|line| line.contains("/evening")).unwrap();
    // Columns are as wide as those of other runs on this machine.
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..5], ["guarded", "preload/evening", "enforce", "1", "process"], "{status}");
    assert!(line.ends_with("0 asked, 0 denied, policy the built-in starter"), "{status}");
    // Decisions of another session do not count.
    for session in ["evening", "day"] {
        let mut client = crate::server::Client::over_unix(&run.socket);
        let body = format!(
            r#"{{"agent":"preload","session":"{session}","missed":3,"params":{{"command":"ls"}}}}"#
        );
        let head = crate::server::head().replace(crate::server::TOKEN, &run.token);
        client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(client.answer().status, 200);
    }
    world.audit_of(4);
    let status = stdout(&world.run(["status"]));
    assert!(status.contains("1 asked, 0 denied, 3 UNCHECKED, policy"), "{status}");
    let rows = u16::try_from(status.lines().count() * 4 + 60).unwrap();
    let mut watch = world.rampart(["watch"]);
    let watch = crate::terminal::Terminal::start(watch.env("TERM", "xterm"), 120, rows);
    watch.shows("6 UNCHECKED");
    run.end();
    let json = world.run(["status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let sessions = json["runs"].as_array().unwrap();
    assert!(sessions.iter().all(|run| run["session"] != "evening"), "{json}");
}

#[test]
fn explain_tells_the_rule_with_its_line_the_parts_and_what_the_command_does() {
    let world = World::new();
    let policy = world.write(".rampart/policy.yaml", POLICY);
    let line = "cd /srv && cp a b; forbidden x > /tmp/out; curl -T a https://example.org/ && \
                timeout 5 rm -r old";
    let explained = world.run(["policy", "explain", line]);
    assert_eq!(explained.status.code(), Some(0), "{}", stderr(&explained));
    let said = stdout(&explained);
    assert!(said.starts_with("deny: cd /srv"), "{said}");
    let place = format!("{}, line {}", policy.display(), line_of(POLICY, "action: deny"));
    for words in [
        place.as_str(),
        "no-forbidden, rule 1",
        "taken apart into",
        "command  forbidden x",
        "wrapper  timeout 5 rm -r old",
        "reads    /srv/a",
        "writes   /srv/b",
        "writes   /tmp/out",
        "deletes  /srv/old",
        "sends    /srv/a",
        "fetches  https://example.org/",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    let json = world.run(["policy", "explain", "--json", line]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["decision"], "deny");
    assert_eq!(json["because"]["line"], line_of(POLICY, "action: deny"));
    assert_eq!(json["deletes"], serde_json::json!(["/srv/old"]));
    assert_eq!(json["reads"], serde_json::json!(["/srv/a"]));
    assert!(json["parts"].as_array().unwrap().iter().any(|part| part["what"] == "wrapper"));

    // Arguments are not a shell line, and what is only mentioned is not done.
    let words = stdout(&world.run(["policy", "explain", "--", "echo", "a; rm -r /srv"]));
    assert!(!words.contains("deletes"), "{words}");
    let many = "true; ".repeat(1_000);
    assert!(stdout(&world.run(["policy", "explain", &many])).contains("--json has all"));
    let tested = stdout(&world.run(["test", "forbidden x"]));
    assert!(tested.contains(&place), "{tested}");
    for words in [&[][..], &["a", "--", "b"]] {
        let output = world.run(["policy", "explain"].iter().chain(words));
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

fn line_of(text: &str, words: &str) -> usize {
    text.lines().position(|line| line.contains(words)).unwrap() + 1
}

#[test]
fn init_from_audit_is_suggest() {
    let world = World::new();
    let mut server = crate::server::Server::start(&world, &[]);
    server.ask("make all");
    server.signal("-TERM");
    server.ended();
    let suggested = stdout(&world.run(["policy", "suggest"]));
    assert!(suggested.contains("make all"), "{suggested}");
    let audit = world.home().join("audit.jsonl");
    let audit = audit.to_str().unwrap();
    for words in [&["init", "--from-audit"][..], &["init", "--from-audit", audit]] {
        assert_eq!(stdout(&world.run(words)), suggested);
    }
    assert_eq!(world.run(["init"]).status.code(), Some(2));
}

#[test]
fn an_agents_alias_is_shown_then_written_and_taken_back_without_a_trace() {
    let world = World::with_library();
    let before = "# mine\nalias codex=other\nexport A=1";
    for (shell, file, alias) in [
        ("bash", ".bashrc", "alias codex='"),
        ("zsh", ".zshrc", "alias codex='"),
        ("fish", ".config/fish/config.fish", "alias codex '"),
    ] {
        let file = world.write(file, before);
        let setup = |words: &[&str]| {
            let done = world.run(["setup", "--shell", shell, "--agent"].iter().chain(words));
            assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
            stdout(&done)
        };
        // There is no terminal where somebody could say yes.
        let shown = setup(&["codex"]);
        assert!(shown.contains(alias) && shown.contains("Nothing was written"), "{shown}");
        assert!(shown.contains("in place of:\n    alias codex=other"), "{shown}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        setup(&["codex", "--yes"]);
        setup(&["claude", "--yes"]);
        let after = fs::read_to_string(&file).unwrap();
        assert!(after.starts_with(before) && after.lines().count() == 5, "{after}");
        assert!(after.contains("preload --agent codex -- codex'"), "{after}");
        assert!(setup(&["codex"]).contains("has it already"));
        assert_eq!(fs::read_to_string(&file).unwrap(), after);
    }
    // As an interactive shell does.
    world.write("bin/codex", "#!/bin/sh\necho \"codex $1 by $RAMPART_AGENT\"\n");
    fs::set_permissions(world.path("bin/codex"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    let mut shell = world.command("bash");
    shell.args(["--norc", "-ic", "shopt -s expand_aliases; . ~/.bashrc; eval 'codex exec'"]);
    let ran = crate::world::finished(shell.env("PATH", path).env("RAMPART_SEAL", "off"));
    assert_eq!(stdout(&ran), "codex exec by codex\n", "{}", stderr(&ran));

    let removed = stdout(&world.run(["setup", "--remove"]));
    assert_eq!(removed.matches("removed from ").count(), 6, "{removed}");
    for file in [".bashrc", ".zshrc", ".config/fish/config.fish"] {
        assert_eq!(fs::read_to_string(world.path(file)).unwrap(), format!("{before}\n"));
    }
    for name in ["", "a b", "-x", "a;b"] {
        assert_eq!(world.run(["setup", "--agent", name]).status.code(), Some(2), "{name}");
    }
    let unknown = world.run(["setup", "--agent", "codex"]);
    assert!(stderr(&unknown).contains("--shell bash"), "{}", stderr(&unknown));
    let mut guarded = world.rampart(["setup", "--agent", "codex", "--yes"]);
    guarded.env("LD_PRELOAD", "/nowhere/librampart.so").env("SHELL", "/bin/bash");
    assert_eq!(crate::world::finished(&mut guarded).status.code(), Some(126));
}
