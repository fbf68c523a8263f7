//! `rampart watch` as a person sees it.

use std::process::Stdio;

use crate::server::{Server, serve};
use crate::terminal::Terminal;
use crate::world::{World, finished, stderr, stdout, wait_until};

fn watch(world: &World, columns: u16, rows: u16) -> Terminal {
    let mut command = world.rampart(["watch"]);
    Terminal::start(command.env("TERM", "xterm-256color"), columns, rows)
}

/// Makes decisions, and waits for their lines.
fn decided(world: &World, server: &Server, commands: &[&str]) {
    let before = world.audit().len();
    for command in commands {
        server.ask(command);
    }
    world.audit_of(before + commands.len());
}

#[test]
fn decisions_are_shown_as_they_come_and_told_in_full() {
    let (world, server) = serve();
    decided(&world, &server, &["ls -l", "forbidden 1"]);
    let mut watch = watch(&world, 130, 30);
    watch.shows("forbidden 1");
    for words in ["ls -l", "2 asked", "1 denied", "guarded processes", "tester/s1"] {
        watch.shows(words);
    }
    watch.shows("deny by no-forbidden: Do something else");
    watch.shows("to allow it: a, or rampart allow 'forbidden 1'");
    watch.types("\r");
    watch.hides("── selected");
    watch.types("\r");
    watch.shows("── selected");
    decided(&world, &server, &["watched x"]);
    watch.shows("watched x");
    watch.shows("1 watched");
    watch.shows("watch by watch-it");

    watch.types("/forb");
    watch.hides("ls -l");
    watch.shows("1 asked");
    decided(&world, &server, &["forbidden 2", "brew tea"]);
    watch.shows("forbidden 2");
    assert!(!watch.text().contains("brew tea"), "{}", watch.text());
    watch.types("\r\x1b");
    watch.shows("brew tea");
    // Arrows, and a key without a meaning.
    watch.types("\x1b[A\x1b[A\x1b[20~");
    watch.shows("not the newest");
    watch.types("q");
    assert_eq!(watch.ended().code(), Some(0));
    watch.is_drained();
    assert!(!watch.screen().alternate_screen());
}

#[test]
fn a_rule_is_shown_before_it_is_written() {
    let (world, server) = serve();
    let policy = world.home().join("policy.yaml");
    let before = std::fs::read_to_string(&policy).unwrap();
    decided(&world, &server, &["forbidden 1", "ls"]);
    let mut watch = watch(&world, 100, 30);
    watch.shows("forbidden 1");
    watch.types("ka");
    watch.shows("would write to");
    watch.shows("command_matches: [\"forbidden 1\"]");
    watch.shows("y write");
    watch.types("n");
    watch.hides("would write to");
    assert_eq!(std::fs::read_to_string(&policy).unwrap(), before);

    watch.types("ah");
    watch.shows("It ends at 2");
    watch.types("o");
    watch.shows("for one command only");
    watch.types("ohy");
    watch.shows("Written");
    watch.types(" jd");
    watch.shows("command_matches: [\"ls\"]");
    watch.types("y");
    watch.shows("Written");
    watch.types(" q");
    watch.ended();
    assert_eq!(world.run(["test", "forbidden 1"]).status.code(), Some(0));
    assert_eq!(world.run(["test", "ls"]).status.code(), Some(1));
    assert_eq!(stdout(&world.run(["rules"])).lines().count(), 2);
}

#[test]
fn a_terminal_of_any_size_is_enough_and_may_change() {
    let (world, server) = serve();
    decided(&world, &server, &["forbidden 日本語 \u{1b}[31m and \u{202e} more"]);
    let mut watch = watch(&world, 40, 10);
    watch.shows("deny");
    assert!(!watch.text().contains("guarded processes"));
    watch.types("t");
    // Shown whatever else runs on this machine.
    watch.shows("guarded processes");
    watch.types("t");
    // Alone, and under a message, which appears a while after its key.
    for shown in ["deny", "any key goes on"] {
        watch.resize(160, 50);
        if shown != "deny" {
            watch.types("a");
        }
        for (columns, rows) in [(160, 50), (20, 5), (3, 2), (1, 1), (300, 4), (80, 24)] {
            watch.resize(columns, rows);
            if columns >= 20 && rows > 4 {
                watch.shows(shown);
            }
            // On a tiny screen nothing shows that it was drawn.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    watch.types("n");
    watch.hides("any key goes on");
    watch.shows("\\u{1b}[31m");
    watch.types("q");
    assert_eq!(watch.ended().code(), Some(0));
}

#[test]
fn the_tree_of_a_run_is_shown() {
    let world = World::with_library();
    let run = crate::embedded::Waiting::start_with(&world, &["--session", "the-tree"], &[]);
    // Other runs may be on the same machine.
    let watch = watch(&world, 120, 100);
    watch.shows("preload/the-tree");
    watch.shows("policy the built-in starter");
    watch.shows(" sh -c");
    run.end();
    watch.hides("preload/the-tree");
}

#[test]
fn without_colours_there_are_none() {
    let (world, server) = serve();
    decided(&world, &server, &["forbidden 1"]);
    for (variable, coloured) in [("NO_COLOR", false), ("SOME_COLOR", true)] {
        let mut command = world.rampart(["watch"]);
        let mut watch = Terminal::start(command.env("TERM", "xterm").env(variable, "1"), 100, 24);
        watch.shows("forbidden 1");
        let screen = watch.screen();
        let cells = (0..24).flat_map(|row| (0..100).map(move |column| (row, column)));
        let colours = cells.filter_map(|(row, column)| screen.cell(row, column));
        let found = colours.filter(|cell| cell.fgcolor() != vt100::Color::Default).count();
        assert_eq!(found > 0, coloured, "{variable}: {found}");
        watch.types("\x03");
        assert_eq!(watch.ended().code(), Some(0));
    }
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let world = World::new();
    let piped = world.run(["watch"]);
    assert_eq!(piped.status.code(), Some(2));
    assert!(stderr(&piped).contains("rampart log --follow"), "{}", stderr(&piped));
    assert_eq!(stdout(&piped), "");
    let mut closed = world.rampart(["watch"]);
    closed.stdin(Stdio::null());
    assert_eq!(finished(&mut closed).status.code(), Some(2));
    let mut dumb = world.rampart(["watch"]);
    let mut dumb = Terminal::start(dumb.env("TERM", "dumb"), 80, 24);
    dumb.shows("needs a terminal");
    assert_eq!(dumb.ended().code(), Some(2));
}

#[test]
fn what_ends_it_leaves_the_terminal_as_it_was() {
    let (world, server) = serve();
    decided(&world, &server, &["ls"]);
    let mut ended = watch(&world, 80, 24);
    ended.shows("1 asked");
    assert!(ended.screen().alternate_screen());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(ended.pid()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
    assert_eq!(ended.ended().code(), Some(0));
    wait_until("the screen from before", || !ended.screen().alternate_screen());

    // With its terminal it ends, rather than reading the end of that for ever.
    let mut closed = watch(&world, 80, 24);
    closed.shows("1 asked");
    closed.close();
    closed.ended();

    // Stopped and continued, as by a shell.
    let mut shell = world.command("bash");
    shell.args(["--norc", "-i"]).env("TERM", "xterm").env("PS1", "$ ");
    let mut stopped = Terminal::start(&mut shell, 80, 24);
    stopped.shows("$");
    let program = world.rampart(["watch"]).get_program().to_owned();
    stopped.types(&format!("{} watch\n", program.to_str().unwrap()));
    stopped.shows("1 asked");
    stopped.types("\x1a");
    stopped.shows("Stopped");
    assert!(!stopped.screen().alternate_screen());
    stopped.types("fg\n");
    stopped.shows("1 asked");
    stopped.types("q");
    stopped.hides("1 asked");
    stopped.types("exit\n");
    assert_eq!(stopped.ended().code(), Some(0));
}

#[test]
fn what_waits_is_read_and_answered() {
    let world = crate::ask::world();
    let mut runs = Vec::new();
    // Unique words: other runs on the same machine may have questions.
    let name = format!("w{}", std::process::id());
    let mut watch = watch(&world, 100, 30);
    watch.shows("rampart watch");
    for (number, keys, ran) in [(1, "wy", true), (2, "wn", false), (3, "way", true)] {
        let line = format!("publish {name}-{number}; echo $?");
        runs.push((crate::ask::run(&world, &["--ask=600"], &line), ran));
        watch.types(&format!("/{name}-{number}\r"));
        watch.shows(&format!("publish {name}-{number}"));
        for (key, words) in keys.chars().zip(["asks to run", "would write to", ""]) {
            watch.shows("w opens the first");
            watch.types(&key.to_string());
            if key != 'y' && key != 'n' {
                watch.shows(words);
            }
        }
        watch.hides("w opens the first");
        watch.types("\x1b");
        watch.hides("filter:");
    }
    for (run, ran) in runs {
        let ended = run.wait_with_output().unwrap();
        assert_eq!(stdout(&ended) == "0\n", ran, "{ended:?}");
    }
    assert!(stdout(&world.run(["rules"])).contains(&format!("publish {name}-3")));
    watch.types("q");
    assert_eq!(watch.ended().code(), Some(0));
}
