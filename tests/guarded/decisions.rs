//! A person's decision: after `102 Processing` the library waits for the answer longer than a check
//! may take.

use std::thread;
use std::time::Duration;

use scripted_server::{ALLOWED, DENIED, Exchange, Server, Transport, json_answer};

use crate::support::{Compiler, Run, Sandbox, probe};

/// What a server does with a connection.
type Script = fn(&mut Exchange);

const HELD: &str = "HTTP/1.1 102 Processing\r\n\r\n";
/// The time limit of a check: `HELD` has to arrive within it, on a busy machine too.
const CHECK_MS: u32 = 3_000;
/// How long a decision takes. It has to be longer than `CHECK_MS`, which is why these tests take
/// seconds; their runs sleep at the same time.
const DECISION: Duration = Duration::from_millis(3_500);
/// The time for a decision: longer than a run may take.
const ENOUGH_MS: u32 = 120_000;

fn start(sandbox: &Sandbox, how: &[&str]) -> Vec<String> {
    let start = probe("start", Compiler::System).to_str().expect("text").to_owned();
    let how = how.iter().map(|word| (*word).to_owned());
    std::iter::once(start).chain(how).chain([sandbox.text("bin/rm"), "rm".to_owned()]).collect()
}

/// Starts the stand-in for rm in this way, with fail-open; whether it ran, and the time.
fn runs(server: &Server, how: &[&str], ask_ms: Option<u32>, mode: &str) -> (bool, Duration) {
    let sandbox = Sandbox::new();
    let finished = Run::guarded(&sandbox, &server.url, &start(&sandbox, how))
        .env("RAMPART_SESSION", "decisions")
        .env("RAMPART_FAIL_OPEN", "1")
        .env("RAMPART_MODE", mode)
        .env("RAMPART_TIMEOUT_MS", CHECK_MS.to_string())
        .env("RAMPART_ASK_MS", ask_ms.map_or_else(String::new, |ms| ms.to_string()))
        .finish();
    (!sandbox.take_marks().is_empty(), finished.took)
}

/// What the questions of [`runs`] say about waiting. Another process may ask this server too, if it
/// had a server at the same port before.
fn asked_ms(server: &Server) -> Vec<Option<u64>> {
    let questions = server.take_requests().into_iter().map(|question| question.json());
    let ours = questions.filter(|question| question["session"] == "decisions");
    ours.map(|question| question["ask_ms"].as_u64()).collect()
}

/// Holds each question as long as a decision takes, and answers it then.
fn deciding(transport: Transport, answer: &'static str) -> Server {
    Server::scripted(transport, move |exchange| {
        while exchange.read().is_some() {
            exchange.send(HELD);
            thread::sleep(DECISION);
            exchange.send(json_answer(answer));
        }
    })
}

#[test]
fn a_decision_is_waited_for_longer_than_a_check_wherever_it_is_asked_for() {
    const WAYS: [&[&str]; 6] = [
        &["execve"],
        &["--in=fork", "execve"],
        &["--in=vfork", "execv"],
        &["--in=thread", "posix_spawn"],
        &["posix_spawnp"],
        // The second one over the kept connection.
        &["--times=2", "posix_spawn"],
    ];
    thread::scope(|scope| {
        for (answer, allowed) in [(ALLOWED, true), (DENIED, false)] {
            for transport in Transport::BOTH {
                scope.spawn(move || {
                    let server = deciding(transport, answer);
                    let runs = |how| runs(&server, how, Some(ENOUGH_MS), "enforce");
                    thread::scope(|scope| {
                        let all = WAYS.map(|how| (how, scope.spawn(move || runs(how))));
                        for (how, ran) in all {
                            let (ran, took) = ran.join().expect("a run");
                            assert!(took >= DECISION, "{how:?}: {took:?}");
                            assert_eq!(ran, allowed, "{how:?} ({transport:?})");
                        }
                    });
                    let asked = asked_ms(&server);
                    assert_eq!(asked, [Some(ENOUGH_MS.into()); WAYS.len() + 1], "{transport:?}");
                });
            }
        }
    });
}

#[test]
fn without_a_decision_the_program_does_not_run_whatever_the_server_does() {
    const BEHAVIOURS: [(&str, Script); 6] = [
        ("dies", |_| {}),
        ("resets", Exchange::reset_on_close),
        ("is silent", Exchange::hang),
        ("says nothing but that it holds", |exchange| {
            // For longer than a run may take.
            for _ in 0..2_000 {
                exchange.send(HELD);
                thread::sleep(Duration::from_millis(50));
            }
        }),
        ("fails", |exchange| {
            exchange.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }),
        ("stops in the answer", |exchange| {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{");
        }),
    ];
    thread::scope(|scope| {
        for (name, script) in BEHAVIOURS {
            for how in [&["execve"][..], &["--in=vfork", "execv"]] {
                scope.spawn(move || {
                    let server = Server::scripted(Transport::Unix, move |exchange| {
                        exchange.read();
                        exchange.send(HELD);
                        // So that the library receives it apart from what follows.
                        thread::sleep(Duration::from_millis(50));
                        script(exchange);
                    });
                    assert!(!runs(&server, how, Some(800), "enforce").0, "{name}: {how:?}");
                    assert_eq!(server.connections(), 1, "{name}");
                });
            }
        }
    });
}

#[test]
fn a_client_that_does_not_wait_says_so_and_times_out() {
    thread::scope(|scope| {
        for (ask_ms, mode) in
            [(None, "enforce"), (Some(0), "enforce"), (Some(ENOUGH_MS), "monitor")]
        {
            scope.spawn(move || {
                // The server's answer, which is too late, denies.
                let server = deciding(Transport::Unix, DENIED);
                let (ran, _) = runs(&server, &["execve"], ask_ms, mode);
                assert!(ran, "{ask_ms:?} {mode}: fail-open decides");
                assert_eq!(asked_ms(&server), [None], "{ask_ms:?} {mode}");
            });
        }
    });
}

#[test]
fn without_102_processing_the_usual_time_limit_holds() {
    let server = Server::scripted(Transport::Unix, |exchange| {
        exchange.read();
        exchange.hang();
    });
    assert!(runs(&server, &["execve"], Some(ENOUGH_MS), "enforce").0, "fail-open decides");
}

#[test]
fn a_waiting_child_dies_of_a_signal_but_runs_no_handler() {
    let held = probe("held", Compiler::System).to_str().expect("text").to_owned();
    for kind in ["fork", "vfork"] {
        let sandbox = Sandbox::new();
        let asked = sandbox.path("asked");
        let words = [&*held, kind, &sandbox.text("asked"), &sandbox.text("bin/rm"), "rm"];
        let server = Server::scripted(Transport::Unix, move |exchange| {
            exchange.read();
            std::fs::write(&asked, "").expect("a file");
            exchange.send(HELD);
            exchange.hang();
        });
        let finished = Run::guarded(&sandbox, &server.url, &words)
            .env("RAMPART_ASK_MS", ENOUGH_MS.to_string())
            .finish();
        assert_eq!(finished.stdout, "signal 15, handled 0\n", "{kind}: {finished:?}");
        assert!(sandbox.take_marks().is_empty(), "{kind}");
    }
}
