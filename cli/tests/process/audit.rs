//! The audit as a person sees it: written by several servers at once, verified, listed, followed.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::embedded::Waiting;
use crate::server::{Client, Server};
use crate::world::{POLICY, World, stderr, stdout, wait_until};

/// A home whose audit has decisions on these commands, by a server that has ended.
fn decided(commands: &[&str]) -> World {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    let mut server = Server::start(&world, &[]);
    for command in commands {
        server.ask(command);
    }
    server.signal("-TERM");
    server.ended();
    world
}

#[test]
fn ten_runs_at_once_write_one_chain() {
    let world = World::with_library();
    let runs: Vec<Waiting> = (0..10).map(|_| Waiting::start_with(&world, &[], &[])).collect();
    std::thread::scope(|scope| {
        for run in &runs {
            scope.spawn(|| {
                for _ in 0..20 {
                    run.ask("ls", &run.token);
                }
            });
        }
    });
    world.audit_of(200);
    runs.into_iter().for_each(Waiting::end);
    let verified = world.run(["audit", "verify"]);
    assert_eq!(stdout(&verified), "the chain holds: 200 records in 1 file\n");
    assert_eq!(verified.status.code(), Some(0));
}

#[test]
fn a_writer_that_is_killed_in_the_middle_of_a_line_loses_nothing_else() {
    let world = decided(&["ls 1", "ls 2"]);
    let mut server = Server::start(&world, &[]);
    server.ask("ls 3");
    world.audit_of(3);
    server.signal("-KILL");
    server.ended();
    let audit = world.home().join("audit.jsonl");
    let half = b"{\"schema_version\":\"ramp";
    OpenOptions::new().append(true).open(&audit).unwrap().write_all(half).unwrap();
    let server = Server::start(&world, &[]);
    server.ask("ls 4");
    // The event with the torn line, and the new decision.
    world.audit_of(5);
    assert_eq!(world.run(["audit", "verify"]).status.code(), Some(0));
}

#[test]
fn verify_names_the_line_that_was_changed() {
    let world = decided(&["ls 1", "ls 2", "ls 3"]);
    let audit = world.home().join("audit.jsonl");
    let text = std::fs::read_to_string(&audit).unwrap();
    std::fs::write(&audit, text.replace("ls 2", "ls 9")).unwrap();
    let verified = world.run(["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(1));
    let said = stdout(&verified);
    assert!(said.starts_with(&format!("{}:2: the record was changed", audit.display())), "{said}");
    assert!(said.ends_with("the 1 record before it hold\n"), "{said}");
}

#[test]
fn the_log_shows_what_is_asked_for_and_nothing_that_acts_on_a_terminal() {
    let world = decided(&["ls \u{1b}]0;x\u{7}", "forbidden a\nb", "watched", &"x".repeat(3_000)]);
    let log = |arguments: &[&str]| {
        let output = world.run([&["log"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let all = log(&[]);
    assert_eq!(all.lines().count(), 4, "{all}");
    assert!(all.contains("ls \\u{1b}]0;x\\u{7}") && !all.contains('\u{1b}'), "{all}");
    assert!(all.contains(&"x".repeat(3_000)));
    let denied = log(&["--denied"]);
    assert!(denied.contains("  deny    tester/s1  forbidden a\\nb  no-forbidden\n"), "{denied}");
    assert_eq!(denied.lines().count(), 1);
    assert_eq!(log(&["-n", "2"]).lines().count(), 2);
    assert_eq!(log(&["--since", "1h", "--session", "s1"]).lines().count(), 4);
    assert_eq!(log(&["--since", "2100-01-01"]), "");
    assert_eq!(log(&["--session", "other"]), "");
    assert!(log(&["--tree"]).starts_with("tester/s1: 4 asked, 1 denied\n"), "{}", log(&["--tree"]));
    let json = log(&["--json", "--denied"]);
    let event: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(event["request"]["command"], "forbidden a\nb");
    let found = world.run(["audit", "search", "SOMETHING else"]);
    assert_eq!(stdout(&found).lines().count(), 1, "{}", stdout(&found));
    assert_eq!(world.run(["audit", "search", "not there"]).status.code(), Some(1));
    let stats = stdout(&world.run(["audit", "stats"]));
    assert!(stats.contains("4 asked") && stats.contains("       1  no-forbidden"), "{stats}");
}

#[test]
fn without_an_audit_the_log_says_so_and_a_bad_moment_is_a_mistake() {
    let world = World::new();
    let empty = world.run(["log"]);
    assert_eq!((empty.status.code(), stdout(&empty).as_str()), (Some(0), ""));
    assert!(stderr(&empty).contains("nothing is recorded yet"), "{}", stderr(&empty));
    assert_eq!(world.run(["audit", "verify"]).status.code(), Some(1));
    assert_eq!(world.run(["log", "--since", "yesterday"]).status.code(), Some(2));
    let missing = world.run(["log", "--audit", "nowhere.jsonl"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("nowhere.jsonl"), "{}", stderr(&missing));
    // What a guarded process may have put in its place is not waited for.
    std::fs::create_dir_all(world.home()).unwrap();
    mkfifo(&world.home().join("audit.jsonl"), Mode::S_IRWXU).unwrap();
    for words in [&["log"][..], &["log", "--follow"], &["audit", "verify"], &["audit", "stats"]] {
        let told = world.run(words);
        assert_eq!(told.status.code(), Some(2), "{words:?}");
        assert!(stderr(&told).contains("not a regular file"), "{words:?} {}", stderr(&told));
    }
}

#[test]
fn following_shows_decisions_as_they_come_and_ends_with_its_reader() {
    let world = decided(&["ls before"]);
    let mut follower =
        world.rampart(["log", "--follow", "--denied"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let server = Server::start(&world, &[]);
    let socket = server.unix.clone();
    // The follower may start only after the first ones.
    let ended = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                Client::over_unix(&socket).ask("ls");
                Client::over_unix(&socket).ask("forbidden now");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let seen = lines.next().unwrap().unwrap();
        ended.store(true, Ordering::Relaxed);
        seen
    });
    assert!(seen.contains("deny") && seen.contains("forbidden now"), "{seen}");
    drop(lines);
    wait_until("the follower's end", || follower.try_wait().unwrap().is_some());
}
