//! Command lines that are wrong, or nearly: each is told what is wrong with it, and nothing is done.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::server::Server;
use crate::terminal::Terminal;
use crate::world::{POLICY, World, finished, stderr, stdout};

#[test]
fn a_mistake_is_told_in_words_and_is_no_silent_default() {
    let world = World::with_library();
    world.write("notes.txt", "no audit\n");
    world.write(
        "cases.yaml",
        "policies: []\ntests:\n- {name: t, params: {command: ls}, expect: allow}\n",
    );
    for (words, said) in [
        (&["preload", "--agent", "", "--", "true"][..], "--agent <NAME>': it is empty"),
        (&["preload", "--session=", "--", "true"], "--session <ID>': it is empty"),
        (&["preload", "--ask=soon", "--", "true"], "a number from 1 to 86400"),
        (&["preload", "--ask=0", "--", "true"], "a number from 1 to 86400"),
        (&["preload", "--port=x", "--", "true"], "a number from 1 to 65535"),
        (&["serve", "--port", "x"], "a number from 0 to 65535"),
        (&["log", "-n", "-1"], "'--lines <N>': write a number"),
        (&["log", "--audit", "notes.txt"], "notes.txt is no audit"),
        (&["audit", "stats", "--audit", "notes.txt"], "notes.txt is no audit"),
        (&["audit", "search", "no", "--audit", "notes.txt"], "notes.txt is no audit"),
        (&["policy", "suggest", "--audit", "notes.txt"], "notes.txt is no audit"),
        (&["rules", "remove", "x"], "'<NUMBER>': write a number"),
        (&["doctor", "--agent", ""], "--agent <NAME>': it is empty"),
        (&["block", "x", "--message", ""], "--message <TEXT>"),
        (&["deny", "1-1", "--message", ""], "--message <TEXT>"),
        (&["test", "--agent", "a", "cases.yaml"], "--agent is for a command"),
        (&["test", "--cwd", "/", "cases.yaml"], "--cwd is for a command"),
        (&["test", "--cwd", "", "ls"], "--cwd <DIR>"),
    ] {
        let told = world.run(words);
        assert_eq!(told.status.code(), Some(2), "{words:?}: {}", stderr(&told));
        assert!(stderr(&told).contains(said), "{words:?}: {}", stderr(&told));
        assert_eq!(stdout(&told), "", "{words:?}");
    }
    // A value that is not joined to its option is taken for the command.
    let told = world.run(["preload", "--ask", "60", "--", "true"]);
    assert_eq!(told.status.code(), Some(127));
    assert!(stderr(&told).contains("joined to it by `=`"), "{}", stderr(&told));
    let told = world.run(["preload", "--", ""]);
    assert_eq!(told.status.code(), Some(127));
    assert!(stderr(&told).contains("cannot run '': "), "{}", stderr(&told));
}

#[test]
fn what_was_exported_to_refuse_without_a_server_holds_in_a_run() {
    let world = World::with_library();
    for (exported, flag, holds) in [
        (None, None, "1"),
        (Some("1"), None, "1"),
        (Some(""), None, "1"),
        (Some("0"), None, "0"),
        (Some("no"), None, "0"),
        (Some("0"), Some("--fail-open"), "1"),
        (Some("0"), Some("--fail-open=true"), "1"),
        (None, Some("--fail-open=false"), "0"),
    ] {
        let script = "echo $RAMPART_FAIL_OPEN";
        let words = ["preload"].into_iter().chain(flag).chain(["--", "sh", "-c", script]);
        let mut command = world.rampart(words);
        command.envs(exported.map(|value| ("RAMPART_FAIL_OPEN", value)));
        let told = finished(&mut command);
        assert_eq!(stdout(&told).trim(), holds, "{exported:?} {flag:?}: {}", stderr(&told));
    }
}

#[test]
fn tests_of_a_file_can_be_read_by_a_program() {
    let world = World::new();
    let tests = "tests:\n- {name: t, params: {command: forbidden}, expect: deny}\n- {name: u, params: {command: ls}, expect: deny}\n";
    world.write("p.yaml", &format!("{POLICY}{tests}"));
    for words in [&["test", "--json", "p.yaml"][..], &["policy", "test", "p.yaml", "--json"]] {
        let told = world.run(words);
        assert_eq!(told.status.code(), Some(1), "{}", stderr(&told));
        let report: serde_json::Value = serde_json::from_str(&stdout(&told)).unwrap();
        assert_eq!((&report["tests"], &report["failed"]), (&2.into(), &1.into()));
        assert_eq!(report["outcomes"][0]["outcome"], "passed");
        let failed = &report["outcomes"][1];
        assert_eq!((&failed["name"], &failed["expected"]), (&"u".into(), &"deny".into()));
        assert_eq!((&failed["outcome"], &failed["decision"]), (&"failed".into(), &"allow".into()));
    }
    let told = stdout(&world.run(["test", "p.yaml"]));
    assert!(told.contains("expected deny, but it is allow\n2 tests, 1 failed\n"), "{told}");
}

#[test]
fn what_is_shown_of_a_command_does_nothing_on_a_terminal() {
    let world = World::new();
    for words in [&["test"][..], &["policy", "explain"]] {
        let told = world.run(words.iter().chain(&["ls \u{1b}]0;x\u{7}\nnext"]));
        assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
        assert!(
            stdout(&told).starts_with("allow: ls \\u{1b}]0;x\\u{7}\\nnext\n"),
            "{}",
            stdout(&told)
        );
        assert!(!stdout(&told).contains('\u{1b}'));
    }
}

#[test]
fn what_is_asked_of_a_person_counts_as_refused_and_nothing_is_suggested_from_nothing() {
    let world = World::new();
    let nothing = world.run(["policy", "suggest"]);
    assert_eq!((nothing.status.code(), stdout(&nothing).as_str()), (Some(1), ""));
    assert!(stderr(&nothing).contains("nothing to suggest"), "{}", stderr(&nothing));
    let asks = POLICY.replace("action: watch", "action: ask");
    world.write(".rampart/policy.yaml", &asks);
    let mut server = Server::start(&world, &[]);
    for command in ["forbidden", "watched", "ls"] {
        server.ask(command);
    }
    server.signal("-TERM");
    server.ended();
    assert_eq!(stdout(&world.run(["log", "--denied"])).lines().count(), 2);
    let tree = stdout(&world.run(["log", "--tree"]));
    assert!(tree.starts_with("tester/s1: 3 asked, 2 denied\n"), "{tree}");
    let stats = stdout(&world.run(["audit", "stats"]));
    assert!(stats.contains("       1  no-forbidden\n       1  watch-it\n"), "{stats}");
}

#[test]
fn doctor_says_once_that_a_warning_is_one() {
    let world = World::with_library();
    let policy = POLICY.replace("        message: \"Do something else\"\n", "");
    world.write(".rampart/policy.yaml", &policy);
    let told = stdout(&world.run(["doctor"]));
    let line = told.lines().find(|line| line.contains("has no message")).unwrap();
    assert!(line.starts_with("warning  policy") && line.matches("warning").count() == 1, "{line}");
}

#[test]
fn every_page_of_the_manual_is_of_a_command_that_help_lists() {
    let world = World::new();
    assert_eq!(world.run(["man", "--dir", "man"]).status.code(), Some(0));
    let mut pages: Vec<String> = fs::read_dir(world.path("man"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert!(pages.len() > 25 && !pages.contains(&"rampart-init.1".to_owned()), "{pages:?}");
    for page in pages {
        let words = page.strip_suffix(".1").unwrap().split('-').skip(1);
        let help = world.run(words.chain(["--help"]));
        assert_eq!(help.status.code(), Some(0), "{page}");
        let help = stdout(&help);
        let lines: Vec<&str> = help.lines().collect();
        for pair in lines.windows(2) {
            // Broken where it was too long, and again where it was to end.
            let is_broken = pair[0].len() > 80
                && !pair[0].starts_with(' ')
                && (1..20).contains(&pair[1].len())
                && !pair[1].ends_with('.');
            assert!(!is_broken, "{page}: {pair:?}");
        }
    }
}

#[test]
fn a_command_about_a_policy_file_is_no_policy_file() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    world.write("my tests.yaml", &format!("{POLICY}tests: []\n"));
    for (line, status, verdict) in [
        ("ls a.yaml", 0, "allow: ls a.yaml\n"),
        ("forbidden ./a.yml", 1, "deny: forbidden ./a.yml\n"),
        ("my tests.yaml", 0, "0 tests, 0 failed\n"),
    ] {
        let told = world.run(["test", line]);
        assert_eq!(told.status.code(), Some(status), "{line}: {}", stderr(&told));
        assert!(stdout(&told).starts_with(verdict), "{line}: {}", stdout(&told));
    }
    let told = world.run(["test", "nowhere.yaml"]);
    assert_eq!(told.status.code(), Some(2));
    assert!(stderr(&told).contains("nowhere.yaml: No such file"), "{}", stderr(&told));
}

#[test]
fn a_guarded_process_neither_answers_nor_changes_what_is_installed() {
    let world = World::with_library();
    let policy = world.write(".rampart/policy.yaml", POLICY);
    let library = world.home().join("lib/librampart.so");
    let before = fs::read(&library).unwrap();
    let other = world.path("other.so");
    world.compile_library(&other);
    let list = if cfg!(target_os = "macos") { "DYLD_INSERT_LIBRARIES" } else { "LD_PRELOAD" };
    for words in [
        &["approve", "1-1"][..],
        &["deny", "1-1"],
        &["doctor", "--fix"],
        &["setup"],
        &["setup", "--remove"],
        &["setup", "--agent", "codex", "--shell", "bash", "--yes"],
    ] {
        let mut command = world.rampart(words);
        let told = finished(command.env(list, &library).env("RAMPART_LIBRARY", &other));
        assert_eq!(told.status.code(), Some(126), "{words:?}: {}", stderr(&told));
        assert!(stderr(&told).contains("this process is guarded"), "{words:?}: {}", stderr(&told));
        assert_eq!(fs::read_to_string(&policy).unwrap(), POLICY);
        assert!(fs::read(&library).unwrap() == before && !world.path(".bashrc").exists());
    }
}

#[test]
fn setup_waits_for_no_pipe_that_stands_in_the_place_of_a_file() {
    let world = World::new();
    fs::create_dir_all(world.home().join("lib")).unwrap();
    let library = world.path("other.so");
    world.compile_library(&library);
    let pipe = |name: &str| mkfifo(&world.path(name), Mode::S_IRWXU).unwrap();
    pipe(".rampart/policy.yaml");
    pipe(".rampart/lib/librampart.so");
    let installed = finished(world.rampart(["setup"]).env("RAMPART_LIBRARY", &library));
    assert_eq!(installed.status.code(), Some(0), "{}", stderr(&installed));
    assert!(stdout(&installed).contains("installed the library"), "{}", stdout(&installed));
    assert!(stdout(&installed).contains("kept the policy"), "{}", stdout(&installed));
    let removed = world.run(["setup", "--remove"]);
    assert_eq!(removed.status.code(), Some(0), "{}", stderr(&removed));
    assert!(stdout(&removed).contains("kept the policy"), "{}", stdout(&removed));
    pipe(".bashrc");
    let alias = world.run(["setup", "--agent", "codex", "--shell", "bash", "--yes"]);
    assert_eq!(alias.status.code(), Some(1), "{}", stdout(&alias));
    assert!(stderr(&alias).contains("not a regular file"), "{}", stderr(&alias));
}

#[test]
fn what_a_project_refuses_is_allowed_where_it_is_refused() {
    let world = World::new();
    let project = world.write("p/.rampart/policy.yaml", POLICY);
    let run = |words: &[&str]| finished(world.rampart(words).current_dir(world.path("p")));
    // The built-in policy is in force, which `rampart allow` would copy.
    let told = stdout(&run(&["test", "forbidden 1"]));
    assert!(told.starts_with("deny: ") && !told.contains("rampart allow"), "{told}");
    let told = run(&["allow", "forbidden 1"]);
    assert_eq!(told.status.code(), Some(2), "{}", stdout(&told));
    let said = stderr(&told);
    assert!(said.contains(project.to_str().unwrap()), "{said}");
    assert!(said.contains("`rampart allow --project 'forbidden 1'`"), "{said}");
    assert_eq!(run(&["allow", "--project", "forbidden 1"]).status.code(), Some(0));
    assert_eq!(run(&["test", "forbidden 1"]).status.code(), Some(0));
    assert_eq!(run(&["test", "forbidden 2"]).status.code(), Some(1));
}

#[test]
fn what_is_offered_for_a_command_with_stars_and_brackets_allows_it_and_no_other() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    for command in ["forbidden x[1]", "forbidden 'a*b'", "forbidden '?'"] {
        let told = stdout(&world.run(["test", command]));
        let offered = told.lines().find_map(|line| line.strip_prefix("  to allow ")).unwrap();
        let offered =
            offered.replacen("rampart ", &format!("{} ", env!("CARGO_BIN_EXE_rampart")), 1);
        let written = finished(world.command("sh").args(["-c", &offered]));
        assert_eq!(written.status.code(), Some(0), "{offered}: {}", stderr(&written));
        assert_eq!(world.run(["test", command]).status.code(), Some(0), "{command}");
    }
    for command in ["forbidden x1", "forbidden axb", "forbidden x"] {
        assert_eq!(world.run(["test", command]).status.code(), Some(1), "{command}");
    }
}

#[test]
fn a_directory_may_be_relative_to_this_one() {
    let world = World::new();
    fs::create_dir_all(world.path("a/b")).unwrap();
    let policy = format!(
        "default_action: allow\npolicies:\n- name: p\n  match: {{tool: read}}\n  rules:\n  - action: deny\n    \
         when: {{path_matches: '{}'}}\n    message: no\n",
        world.path("a/secret").display()
    );
    world.write(".rampart/policy.yaml", &policy);
    for (cwd, status) in [("a", 1), ("./a/b/..", 1), ("a/b", 0), (".", 0)] {
        let told = world.run(["test", "--cwd", cwd, "cat secret"]);
        assert_eq!(told.status.code(), Some(status), "{cwd}: {}", stdout(&told));
    }
}

#[test]
fn a_rule_that_held_once_is_spent_for_test_and_allow_as_well() {
    let world = World::new();
    // As who keeps the file among others of the kind has it: servers know it by the link's path.
    let kept = world.write("dotfiles/policy.yaml", POLICY);
    fs::create_dir_all(world.home()).unwrap();
    symlink(kept, world.home().join("policy.yaml")).unwrap();
    let test = || world.run(["test", "forbidden 1"]).status.code();
    let spent = || stdout(&world.run(["rules"])).matches(", spent)").count();
    for count in 0..2 {
        assert_eq!(spent(), count);
        let allowed = stdout(&world.run(["allow", "--once", "forbidden 1"]));
        assert!(allowed.contains("once: true"), "{allowed}");
        assert_eq!(test(), Some(0), "what is only tested spends nothing");
        assert_eq!(test(), Some(0));
        let mut server = Server::start(&world, &[]);
        assert_eq!(server.ask("forbidden 1")["allowed"], true);
        assert_eq!(server.ask("forbidden 1")["allowed"], false);
        server.signal("-TERM");
        server.ended();
        assert_eq!(test(), Some(1));
        let mut terminal = Terminal::start(&mut world.rampart(["log"]), 120, 24);
        terminal.ended();
        terminal.is_drained();
        assert!(terminal.text().contains("why: rampart test"), "{}", terminal.text());
    }
    assert_eq!(spent(), 2);
}

#[test]
fn a_socket_whose_path_is_in_no_url_is_told() {
    let world = World::new();
    let server = Server::start_plain(&world, &["--unix", "a b.sock"]);
    assert!(server.says("runs cannot ask at that socket").contains("white space"));
    server.says("serving on");
}
