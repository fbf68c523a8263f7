//! Programs that re-execute themselves until their environment is clean do not loop, and no other
//! programs go unguarded.

use std::fs;

use scripted_server::{ALLOWED, DENIED, Server, Transport, json_answer};
use serde_json::Value;

use crate::support::{Compiler, Run, Sandbox, is_for_linux_alone, probe};

const ELSEWHERE: &str = "minidyld itself is in the list that the program removes";
const SAID: &str = "starts itself anew until its environment is clean";

/// The result of a run of the probe `anew`: its output, its number of starts, and the coverages in
/// the questions about it and `env`.
struct Seen {
    stdout: String,
    stderr: String,
    starts: usize,
    coverages: Vec<Value>,
    marks: usize,
}

/// Runs `anew`, which starts itself at most `most` times, and then `rm x`. The server refuses `rm
/// x` and each program with the coverage `refused`.
fn run(how: &str, most: &str, refused: &'static str) -> Seen {
    let sandbox = Sandbox::new();
    let (starts, rm) = (sandbox.text("starts"), sandbox.text("bin/rm"));
    let forbidden = rm.clone();
    let server = Server::scripted(Transport::Unix, move |exchange| {
        exchange.answer_all(|question| {
            let params = &question.json()["params"];
            let is_rm = question.command().starts_with(&forbidden);
            let is_refused = params["coverage"] == refused || is_rm;
            json_answer(if is_refused { DENIED } else { ALLOWED })
        });
    });
    let anew = probe("anew", Compiler::System);
    let words = [anew.to_str().expect("text"), how, &starts, most, &rm, "x"];
    let finished = Run::guarded(&sandbox, &server.url, &words).finish();
    let questions = server.take_requests();
    let about = questions.iter().filter(|it| !it.command().starts_with(&rm));
    Seen {
        starts: fs::read(&starts).expect("starts").len(),
        coverages: about.map(|it| it.json()["params"]["coverage"].clone()).collect(),
        marks: sandbox.take_marks().len(),
        stdout: finished.stdout,
        stderr: finished.stderr,
    }
}

#[test]
fn a_program_that_wants_a_clean_environment_has_it_in_the_end() {
    if is_for_linux_alone(ELSEWHERE) {
        return;
    }
    // In "turns" the program and `env` alternate.
    for (how, starts) in [("list", 6), ("all", 6), ("turns", 6), ("child", 26)] {
        let seen = run(how, "100", "");
        assert_eq!(seen.stdout, "clean\nran rm\n", "{how}: {}", seen.stderr);
        assert_eq!(seen.starts, starts, "{how}");
        assert_eq!(seen.stderr.matches(SAID).count(), 1, "{how}: {}", seen.stderr);
        let (last, others) = seen.coverages.split_last().expect("questions");
        assert_eq!(last, "reexec", "{how}");
        assert!(others.iter().all(|coverage| coverage != "reexec"), "{how}: {others:?}");
        let each = if how == "turns" { 2 } else { 1 };
        assert_eq!(others.len(), (starts - 2) * each, "{how}");
        // Unguarded, so that `rm` is not asked about.
        assert_eq!(seen.marks, 1, "{how}");
    }
}

#[test]
fn a_policy_can_refuse_a_program_that_would_go_unguarded() {
    if is_for_linux_alone(ELSEWHERE) {
        return;
    }
    for (how, starts) in [("list", 5), ("all", 5)] {
        let seen = run(how, "100", "reexec");
        assert_eq!((seen.starts, seen.marks, &*seen.stdout), (starts, 0, ""), "{how}");
        assert!(seen.stderr.contains("blocked") && !seen.stderr.contains(SAID), "{}", seen.stderr);
    }
}

#[test]
fn a_few_repairs_in_a_row_and_changing_programs_stay_guarded() {
    if is_for_linux_alone(ELSEWHERE) {
        return;
    }
    for (how, most) in
        [("list", "3"), ("all", "4"), ("turns", "3"), ("child", "9"), ("number", "30")]
    {
        let seen = run(how, most, "");
        assert_eq!(seen.stdout, "guarded\n", "{how}");
        assert_eq!(seen.starts, most.parse::<usize>().expect("a number") + 1, "{how}");
        assert!(seen.coverages.iter().all(|coverage| coverage != "reexec"), "{how}");
        assert_eq!(seen.marks, 0, "{how}: {}", seen.stderr);
        assert!(seen.stderr.contains("/bin/rm: not here"), "{how}: {}", seen.stderr);
        assert!(!seen.stderr.contains(SAID), "{how}: {}", seen.stderr);
    }
}

#[test]
fn many_children_with_clean_environments_are_no_loop() {
    let sandbox = Sandbox::new();
    let server = Server::judging(Transport::Unix, |command| !command.starts_with("rm "));
    // Each `env -i` is a repair in a process of its own.
    let script = "i=0; while [ $i -lt 40 ]; do env -i rm x; i=$((i + 1)); done; exec env -i env";
    let finished = Run::guarded(&sandbox, &server.url, &["bash", "-c", script]).finish();
    assert_eq!(sandbox.take_marks(), [""; 0], "{finished:#?}");
    assert_eq!(finished.stderr.matches("blocked rm").count(), 40, "{finished:#?}");
    assert!(!finished.stderr.contains(SAID), "{finished:#?}");
    if !crate::support::System::is_macos() {
        assert!(finished.stdout.contains("librampart"), "{finished:#?}");
    }
}
