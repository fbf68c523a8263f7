//! A person's decision: after `102 Processing` the library waits for the answer longer than a check
//! may take.

use std::time::Duration;

use scripted_server::{ALLOWED, DENIED, Exchange, Server, Transport, json_answer};

use crate::support::{Compiler, Run, Sandbox, probe};

const HELD: &str = "HTTP/1.1 102 Processing\r\n\r\n";
/// For a whole check.
const CHECK_MS: u32 = 500;
/// How long the person of these tests takes: so much longer than a check may that no machine takes
/// the one for the other.
const THOUGHT: Duration = Duration::from_millis(1_500);
/// For a person: longer than a run has before it counts as wedged.
const ENOUGH_MS: u32 = 120_000;

fn start(sandbox: &Sandbox, how: &[&str]) -> Vec<String> {
    let start = probe("start", Compiler::System).to_str().expect("text").to_owned();
    let how = how.iter().map(|word| (*word).to_owned());
    std::iter::once(start).chain(how).chain([sandbox.text("bin/rm"), "rm".to_owned()]).collect()
}

fn run(sandbox: &Sandbox, server: &Server, words: &[String], ask_ms: Option<u32>) -> Duration {
    let run = Run::guarded(sandbox, &server.url, words)
        .env("RAMPART_FAIL_OPEN", "1")
        .env("RAMPART_TIMEOUT_MS", CHECK_MS.to_string());
    let run = match ask_ms {
        Some(ms) => run.env("RAMPART_ASK_MS", ms.to_string()),
        None => run,
    };
    run.finish().took
}

/// Holds each question as long as a person thinks, and answers then.
fn deciding(transport: Transport, answer: &'static str) -> Server {
    Server::scripted(transport, move |exchange| {
        while exchange.read().is_some() {
            exchange.send(HELD);
            std::thread::sleep(THOUGHT);
            exchange.send(json_answer(answer));
        }
    })
}

#[test]
fn a_decision_is_waited_for_longer_than_a_check_wherever_it_is_asked_for() {
    for (answer, runs) in [(ALLOWED, true), (DENIED, false)] {
        for transport in Transport::BOTH {
            let server = deciding(transport, answer);
            for how in [
                &["execve"][..],
                &["--in=fork", "execve"],
                &["--in=vfork", "execv"],
                &["--in=thread", "posix_spawn"],
                &["posix_spawnp"],
                // The second one over the kept connection.
                &["--times=2", "posix_spawn"],
            ] {
                let sandbox = Sandbox::new();
                let took = run(&sandbox, &server, &start(&sandbox, how), Some(ENOUGH_MS));
                assert!(took >= THOUGHT, "{how:?}: {took:?}");
                assert_eq!(!sandbox.take_marks().is_empty(), runs, "{how:?} ({transport:?})");
            }
            let questions = server.take_requests();
            assert!(questions.iter().all(|question| question.json()["ask_ms"] == ENOUGH_MS));
        }
    }
}

#[test]
fn without_a_decision_the_program_does_not_run_whatever_the_server_does() {
    for (name, script) in [
        ("dies", (|_| {}) as fn(&mut Exchange)),
        ("resets", Exchange::reset_on_close),
        ("is silent", Exchange::hang),
        ("says nothing but that it holds", |exchange| {
            // For longer than a run has.
            for _ in 0..2_000 {
                exchange.send(HELD);
                std::thread::sleep(Duration::from_millis(50));
            }
        }),
        ("fails", |exchange| {
            exchange.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }),
        ("stops in the answer", |exchange| {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{");
        }),
    ] {
        let server = Server::scripted(Transport::Tcp, move |exchange| {
            exchange.read();
            exchange.send(HELD);
            // Apart from what follows.
            std::thread::sleep(Duration::from_millis(50));
            script(exchange);
        });
        for how in [&["execve"][..], &["--in=vfork", "execv"]] {
            let sandbox = Sandbox::new();
            run(&sandbox, &server, &start(&sandbox, how), Some(800));
            assert!(sandbox.take_marks().is_empty(), "{name}: {how:?}");
        }
        assert_eq!(server.connections(), 2, "{name}");
    }
}

#[test]
fn a_client_that_does_not_wait_says_so_and_times_out() {
    let server = deciding(Transport::Unix, DENIED);
    for (ask_ms, mode) in [(None, "enforce"), (Some(0), "enforce"), (Some(ENOUGH_MS), "monitor")] {
        let sandbox = Sandbox::new();
        let words = start(&sandbox, &["execve"]);
        let run = Run::guarded(&sandbox, &server.url, &words)
            .env("RAMPART_FAIL_OPEN", "1")
            .env("RAMPART_MODE", mode)
            .env("RAMPART_ASK_MS", ask_ms.map_or_else(String::new, |ms: u32| ms.to_string()))
            .env("RAMPART_TIMEOUT_MS", CHECK_MS.to_string());
        run.finish();
        // What the server says in the end would be a no.
        assert!(!sandbox.take_marks().is_empty(), "{ask_ms:?} {mode}: fail-open decides");
    }
    let questions = server.take_requests();
    assert_eq!(questions.len(), 3);
    assert!(questions.iter().all(|question| question.json().get("ask_ms").is_none()));
}

#[test]
fn without_102_processing_the_usual_time_limit_holds() {
    let server = Server::scripted(Transport::Unix, |exchange| {
        exchange.read();
        exchange.hang();
    });
    let sandbox = Sandbox::new();
    run(&sandbox, &server, &start(&sandbox, &["execve"]), Some(ENOUGH_MS));
    assert!(!sandbox.take_marks().is_empty(), "fail-open decides");
}

#[test]
fn a_waiting_child_dies_of_a_signal_but_runs_no_handler() {
    let held = probe("held", Compiler::System).to_str().expect("text").to_owned();
    let server = Server::scripted(Transport::Unix, |exchange| {
        exchange.read();
        exchange.send(HELD);
        exchange.hang();
    });
    for kind in ["fork", "vfork"] {
        let sandbox = Sandbox::new();
        let words =
            [held.clone(), kind.to_owned(), sandbox.text("bin/rm"), "rm".to_owned()].to_vec();
        let finished = Run::guarded(&sandbox, &server.url, &words)
            .env("RAMPART_ASK_MS", ENOUGH_MS.to_string())
            .finish();
        assert_eq!(finished.stdout, "signal 15, handled 0\n", "{kind}: {finished:?}");
        assert!(sandbox.take_marks().is_empty(), "{kind}");
    }
}
