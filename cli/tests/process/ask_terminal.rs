//! What a run with `--ask` writes to the terminal that it was started in, and when it writes
//! nothing.

use std::fs;
use std::process::Command;

use crate::ask::{answer, ran, waiting, world};
use crate::server::Server;
use crate::team::library;
use crate::terminal::Terminal;
use crate::world::{World, wait_until};

const TOLD: &str = "rampart: waiting for a person: ";

/// A shell line that starts a guarded run of another shell line.
fn guarded(world: &World, flags: &str, line: &str) -> String {
    let policy = world.home().join("policy.yaml");
    let policy = if flags.contains("--url") {
        String::new()
    } else {
        format!("--policy {}", policy.display())
    };
    format!("rampart preload {flags} {policy} -- sh -c '{line}'")
}

/// A program of this world in a terminal.
fn start(world: &World, words: &[&str], columns: u16) -> Terminal {
    let mut command: Command = world.command(words[0]);
    let rampart = std::path::Path::new(env!("CARGO_BIN_EXE_rampart")).parent().unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", world.path("bin").display(), rampart.display());
    command.args(&words[1..]).env("PATH", path).env("TERM", "xterm");
    command.env("RAMPART_LIBRARY", library()).env("RAMPART_TIMEOUT_MS", "30000");
    Terminal::start(&mut command, columns, 24)
}

#[test]
fn a_run_says_what_waits_on_its_own_terminal_and_how_to_answer() {
    let world = world();
    for seal in ["--seal=off", "--seal=on"] {
        let flags = format!("--ask=600 {seal}");
        let line = guarded(&world, &flags, "publish one && echo is done");
        let mut terminal = start(&world, &["sh", "-c", &line], 110);
        let id = waiting(&world);
        let told = format!("{TOLD}publish one; in another terminal: rampart approve {id} (");
        terminal.shows(&told);
        assert_eq!(ran(&world), "");
        answer(&world, &["approve", &id]);
        terminal.shows("is done");
        assert_eq!(ran(&world), "one\n");
        assert!(terminal.ended().success());
        let begins = |line: &str| line.starts_with(TOLD);
        assert_eq!(terminal.text().lines().filter(|line| begins(line)).count(), 1);
    }
}

/// Nobody should approve a command that they cannot read completely.
#[test]
fn a_command_that_does_not_fit_is_cut_and_its_whole_is_asked_for() {
    let world = world();
    let line = format!("publish {}", "x".repeat(200));
    let mut terminal = start(&world, &["sh", "-c", &guarded(&world, "--ask=600", &line)], 90);
    let id = waiting(&world);
    terminal.shows("…; in another terminal: rampart pending (");
    assert!(!terminal.text().contains("rampart approve"), "{}", terminal.text());
    answer(&world, &["deny", &id]);
    terminal.ended();
    assert_eq!(ran(&world), "");
}

#[test]
fn a_screen_that_a_program_has_drawn_is_left_alone() {
    let world = world();
    let line = "stty raw -echo; publish one; stty sane; publish two";
    let mut terminal = start(&world, &["sh", "-c", &guarded(&world, "--ask=600", line)], 110);
    let id = waiting(&world);
    answer(&world, &["approve", &id]);
    // Messages are in order, so the first one would have been shown by now.
    terminal.shows(&format!("{TOLD}publish two"));
    assert!(!terminal.text().contains("publish one"), "{}", terminal.text());
    let id = waiting(&world);
    answer(&world, &["approve", &id]);
    assert!(terminal.ended().success());
    assert_eq!(ran(&world), "one\ntwo\n");
}

#[test]
fn a_run_behind_a_prompt_is_answered_in_the_same_terminal() {
    let world = world();
    let shell = ["env", "PS1=ready> ", "bash", "--norc", "--noprofile", "-i"];
    let mut terminal = start(&world, &shell, 110);
    terminal.shows("ready>");
    terminal
        .types(&format!("{} &\r", guarded(&world, "--ask=600", "publish one; echo is d\"\"one")));
    let id = waiting(&world);
    terminal.shows(&format!("{TOLD}publish one; rampart approve {id} ("));
    terminal.types(&format!("rampart approve {id}\r"));
    terminal.shows("approved once: publish one");
    wait_until("what was approved", || world.path("ran").exists());
    terminal.shows("is done");
    assert_eq!(ran(&world), "one\n");
    terminal.types("exit\r");
    terminal.ended();
}

/// The server is shared with another run; one thread writes to both terminals, in order.
#[test]
fn nothing_is_said_where_that_is_wished_or_where_stderr_is_no_terminal_or_another_one() {
    let world = world();
    let server = Server::start(&world, &[]);
    let flags = format!("--ask=600 --url unix://{} --token the-token", server.unix.display());
    // In a terminal made by the agent, a message would look like the program's output.
    world.write(
        "inner.py",
        "import pty, os\nout = open('inner', 'wb')\n\
         def read(fd):\n  data = os.read(fd, 1024)\n  out.write(data); out.flush()\n  return b''\n\
         pid, fd = pty.fork()\n\
         if not pid: os.execvp('publish', ['publish', 'four'])\n\
         try:\n  while True: read(fd)\n\
         except OSError: pass\n",
    );
    let lines = [
        format!("RAMPART_NOTICE=0 {}", guarded(&world, &flags, "publish one")),
        format!("{} 2> err", guarded(&world, &flags, "publish two")),
        guarded(&world, &flags, "(publish three; true) 2> inner.err; true"),
        guarded(&world, &flags, "python3 inner.py"),
    ];
    let script = lines.join("\n");
    let mut terminal = start(&world, &["sh", "-c", &script], 110);
    for (number, is_told) in [("one", false), ("two", false), ("three", true), ("four", true)] {
        let mut id = String::new();
        wait_until("the question", || {
            id = crate::ask::id_in(&world, &format!("publish {number}"));
            !id.is_empty()
        });
        if is_told {
            terminal.shows(&format!("{TOLD}publish {number}"));
        }
        answer(&world, &["approve", &id]);
    }
    assert!(terminal.ended().success());
    let text = terminal.text();
    assert!(!text.contains("publish one") && !text.contains("publish two"), "{text}");
    assert_eq!(ran(&world), "one\ntwo\nthree\nfour\n");
    for file in ["err", "inner.err", "inner"] {
        assert_eq!(fs::read_to_string(world.path(file)).unwrap(), "", "{file}");
    }
}

#[test]
fn a_refusal_by_a_rule_that_asks_tells_of_the_flag_that_would_wait() {
    let world = world();
    let hint = "who can allow it: with `rampart preload --ask`, which waits for a person, or ";
    for seal in ["--seal=off", "--seal=on"] {
        let line = guarded(&world, seal, "publish one; true");
        let mut terminal = start(&world, &["sh", "-c", &line], 250);
        terminal.shows(hint);
        terminal.ended();
        assert_eq!(ran(&world), "");
    }
    // After a person was asked, the hint is not needed.
    let line = guarded(&world, "--ask=1", "publish one; true");
    let mut terminal = start(&world, &["sh", "-c", &line], 250);
    terminal.shows("Nobody answered within 1 s");
    terminal.shows("who can allow it: ");
    assert!(!terminal.text().contains(hint), "{}", terminal.text());
    terminal.ended();
    assert_eq!(ran(&world), "");
}
