//! A check ends within its time limit, whatever the server does, and not long before. That it ends
//! is not measured: a slow server here never answers, or allows too late, so that a run without
//! the limit would end otherwise.

use std::thread;
use std::time::Duration;

use scripted_server::{ALLOWED, Exchange, Server, Transport, json_answer};

use crate::support::{Compiler, Run, Sandbox, probe, wait_until};

/// What a server does with a connection.
type Script = fn(&mut Exchange);

/// A limit that is to pass.
const SHORT_MS: u32 = 600;
/// A limit that is to pass after a first check that must not take so long, on a busy machine too.
const LONGER_MS: u32 = 3_000;
/// A server that does not answer is waited for at least so long.
const WAITED: Duration = Duration::from_millis(250);
/// A limit that is not to pass, on a busy machine either.
const AMPLE_MS: u32 = 20_000;

/// Number and size of arguments, made of quotes: less than the kernel's limit of 2 MiB, but a
/// request of 10 MB, which no socket buffer holds.
const LARGE: [&str; 3] = ["20", "100000", "'"];

fn words(sandbox: &Sandbox, large: bool) -> Vec<String> {
    let text = |name| probe(name, Compiler::System).to_str().expect("text").to_owned();
    let rm = sandbox.text("bin/rm");
    if large {
        [text("sizes"), rm].into_iter().chain(LARGE.map(str::to_owned)).collect()
    } else {
        vec![text("start"), "execve".into(), rm, "rm".into()]
    }
}

/// Runs with both values of fail-open; returns whether the program ran, and the longer time.
fn outcomes(large: bool, timeout_ms: u32, script: Script) -> Vec<(Transport, [bool; 2], Duration)> {
    let mut outcomes = Vec::new();
    for transport in Transport::BOTH {
        let server = Server::scripted(transport, script);
        let sandbox = Sandbox::new();
        Run::bare(&sandbox, &words(&sandbox, large)).finish();
        assert_eq!(sandbox.take_marks().len(), 1, "it can run");
        let mut longest = Duration::ZERO;
        let ran = ["0", "1"].map(|fail_open| {
            let finished = Run::guarded(&sandbox, &server.url, &words(&sandbox, large))
                .env("RAMPART_FAIL_OPEN", fail_open)
                .env("RAMPART_TIMEOUT_MS", timeout_ms.to_string())
                .finish();
            longest = longest.max(finished.took);
            !sandbox.take_marks().is_empty()
        });
        // More than two on a busy machine, where a connection attempt may be repeated.
        wait_until("asked each time", || server.connections() >= 2);
        outcomes.push((transport, ran, longest));
    }
    outcomes
}

#[test]
fn a_server_that_takes_too_long_is_one_that_cannot_be_reached() {
    let cases: [(&str, bool, Script); 9] = [
        ("never reads or answers", false, Exchange::stand_still),
        ("reads, never answers", false, Exchange::hang),
        ("never reads a large question", true, Exchange::stand_still),
        ("reads slowly", true, |exchange| {
            while exchange.read_some() {
                thread::sleep(Duration::from_millis(20));
            }
        }),
        ("answers in drops", false, |exchange| {
            exchange.read();
            exchange.drip(&json_answer(ALLOWED), Duration::from_millis(50));
        }),
        ("sends headers for ever", false, |exchange| {
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\n");
            exchange.drip(&b"X: y\r\n".repeat(100), Duration::from_millis(20));
        }),
        ("says 100 for ever", false, |exchange| {
            exchange.read();
            for _ in 0..100 {
                exchange.send("HTTP/1.1 100 Continue\r\n\r\n");
                thread::sleep(Duration::from_millis(40));
            }
        }),
        ("stops in the body", false, |exchange| {
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{");
            exchange.hang();
        }),
        ("answers everything but the last chunk", false, |exchange| {
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n");
            exchange.send(ALLOWED);
            exchange.send("\r\n");
            exchange.hang();
        }),
    ];
    // At the same time, as they only wait.
    thread::scope(|scope| {
        for (name, large, script) in cases {
            scope.spawn(move || {
                for (transport, ran, longest) in outcomes(large, SHORT_MS, script) {
                    assert_eq!(ran, [false, true], "{name} ({transport:?})");
                    assert!(longest >= WAITED, "{name} ({transport:?}): {longest:?}");
                }
            });
        }
    });
}

#[test]
fn an_early_refusal_of_a_large_question_counts() {
    let early = |exchange: &mut Exchange| {
        exchange.read_some();
        exchange.send(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        );
    };
    let early_and_reads_on = |exchange: &mut Exchange| {
        exchange.read_some();
        exchange.send(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        );
        exchange.hang();
    };
    for script in [early, early_and_reads_on] {
        for (transport, ran, _) in outcomes(true, AMPLE_MS, script) {
            assert_eq!(ran, [false, false], "{transport:?}");
        }
    }
}

#[test]
fn an_answer_to_half_a_question_does_not_allow() {
    let hasty = |exchange: &mut Exchange| {
        exchange.read_some();
        exchange.send(json_answer(ALLOWED));
        thread::sleep(Duration::from_millis(500));
    };
    for (transport, ran, _) in outcomes(true, AMPLE_MS, hasty) {
        assert_eq!(ran, [false, false], "{transport:?}");
    }
}

#[test]
fn the_time_limit_holds_for_the_whole_check_under_signals() {
    let storm = probe("storm", Compiler::System);
    for transport in Transport::BOTH {
        let words = [storm.to_str().expect("text"), "2"];
        let (ran, ..) = twice(transport, &words, LONGER_MS, Exchange::hang);
        assert_eq!(ran, 1, "the first of two");
    }
}

/// Spawns twice from one process; `end` answers the second question. Returns how often the program
/// ran, the number of connections, and the time.
fn twice(
    transport: Transport,
    program: &[&str],
    timeout_ms: u32,
    end: Script,
) -> (usize, usize, Duration) {
    let server = Server::scripted(transport, move |exchange| {
        exchange.read();
        exchange.send(json_answer(ALLOWED));
        exchange.read();
        end(exchange);
    });
    let sandbox = Sandbox::new();
    let rm = sandbox.text("bin/rm");
    let program = [program, &[&rm, "rm"]].concat();
    let finished = Run::guarded(&sandbox, &server.url, &program)
        .env("RAMPART_FAIL_OPEN", "0")
        .env("RAMPART_TIMEOUT_MS", timeout_ms.to_string())
        .finish();
    (sandbox.take_marks().len(), server.connections(), finished.took)
}

#[test]
fn a_kept_connection_is_waited_for_as_long_as_a_new_one() {
    let start = probe("start", Compiler::System);
    let start = [start.to_str().expect("text"), "--times=2", "posix_spawn"];
    let cases: [(&str, usize, Script); 5] = [
        ("at once", 2, |exchange| exchange.send(json_answer(ALLOWED))),
        ("late", 2, |exchange| {
            thread::sleep(Duration::from_millis(120));
            exchange.send(json_answer(ALLOWED));
        }),
        ("in three pieces", 2, |exchange| {
            for piece in json_answer(ALLOWED).chunks(30) {
                thread::sleep(Duration::from_millis(30));
                exchange.send(piece);
            }
        }),
        ("never", 1, Exchange::hang),
        ("in drops", 1, |exchange| {
            exchange.drip(&json_answer(ALLOWED), Duration::from_millis(100));
        }),
    ];
    // At the same time, as most of them only wait.
    thread::scope(|scope| {
        for transport in Transport::BOTH {
            for (name, runs, end) in cases {
                scope.spawn(move || {
                    let timeout_ms = if runs == 2 { AMPLE_MS } else { LONGER_MS };
                    let (ran, connections, took) = twice(transport, &start, timeout_ms, end);
                    assert_eq!((ran, connections), (runs, 1), "{name} ({transport:?})");
                    let shortest = if runs == 1 { WAITED } else { Duration::ZERO };
                    assert!(took >= shortest, "{name} ({transport:?}): {took:?}");
                });
            }
        }
    });
}

#[test]
fn a_full_queue_of_connections_is_waited_for_and_is_no_missing_server() {
    for transport in Transport::BOTH {
        let server = Server::denying_after(30, transport);
        let sandbox = Sandbox::new();
        let script = "i=0; while [ $i -lt 30 ]; do tool x & i=$((i+1)); done; wait";
        let finished = Run::guarded(&sandbox, &server.url, &["sh", "-c", script])
            .env("RAMPART_FAIL_OPEN", "1")
            .env("RAMPART_TIMEOUT_MS", "20000")
            .env("RAMPART_NOTICE", "0")
            .finish();
        assert_eq!(sandbox.take_marks(), [""; 0], "{transport:?}: {finished:#?}");
        assert_eq!(server.take_commands(), ["tool x"; 30], "{transport:?}");
        assert_eq!(finished.stderr.matches("Operation not permitted").count(), 30, "{finished:#?}");
    }
}
