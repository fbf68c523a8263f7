//! Each kind of answer, or of missing answer, in each mode, with and without fail-open, over TCP
//! and a Unix socket.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use scripted_server::{ALLOWED, ClosedPort, DENIED, Exchange, Server, Transport, json_answer};

use crate::support::{Compiler, Finished, Run, Sandbox, probe};

/// The consequence of an answer in enforce mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Runs,
    Refused,
    /// `RAMPART_FAIL_OPEN` decides.
    FailOpen,
}
use Meaning::{FailOpen, Refused, Runs};

const MODES: [&str; 3] = ["enforce", "monitor", "disabled"];

/// Starts the stand-in for rm; returns whether it ran.
fn starts(sandbox: &Sandbox, url: &str, mode: &str, fail_open: &str) -> (bool, Finished) {
    let start = probe("start", Compiler::System);
    let rm = sandbox.text("bin/rm");
    let words = [start.to_str().expect("text"), "posix_spawn", &rm, "rm", "x"];
    let finished = Run::guarded(sandbox, url, &words)
        .env("RAMPART_MODE", mode)
        .env("RAMPART_FAIL_OPEN", fail_open)
        .finish();
    let ran = sandbox.take_marks();
    let outcome = if ran.is_empty() {
        "1x returned 1 errno 77 status -1000\n"
    } else {
        "ran rm\n1x returned 0 errno 77 status 0\n"
    };
    assert_eq!(finished.stdout, outcome);
    (!ran.is_empty(), finished)
}

/// Tries all modes with the server at `url`; `check` is told whether the server should have been
/// asked.
fn all_modes(name: &str, url: &str, meaning: Meaning, check: impl Fn(&str, bool)) {
    let sandbox = Sandbox::new();
    for mode in MODES {
        for fail_open in ["0", "1"] {
            let case = format!("{name}, {mode}, fail-open {fail_open}, {url}");
            let (ran, finished) = starts(&sandbox, url, mode, fail_open);
            let runs = match meaning {
                _ if mode != "enforce" => true,
                Runs => true,
                Refused => false,
                FailOpen => fail_open == "1",
            };
            assert_eq!(ran, runs, "{case}: {finished:#?}");
            if runs {
                assert_eq!(finished.stderr, "", "{case}");
            } else {
                let notice = finished.stderr.strip_prefix("rampart: blocked rm: ");
                let lines = notice.map(|it| it.matches('\n').count());
                assert_eq!(lines, Some(1), "{case}: {:?}", finished.stderr);
            }
            check(&case, mode != "disabled");
        }
    }
}

type Script = fn(&mut Exchange);

/// Runs one row on both transports. The server must have been asked once, over one connection: no
/// answer leads to a second try.
fn row(name: &str, meaning: Meaning, script: Script) {
    for transport in Transport::BOTH {
        let server = Server::scripted(transport, script);
        let seen = std::cell::Cell::new(0);
        all_modes(name, &server.url, meaning, |case, asked| {
            let connections = server.connections();
            assert_eq!(connections - seen.replace(connections), usize::from(asked), "{case}");
            assert!(server.take_requests().len() <= 1, "{case}");
        });
    }
}

fn rows(rows: &[(&str, Meaning, Script)]) {
    for (name, meaning, script) in rows {
        row(name, *meaning, *script);
    }
}

/// Reads the question, sends these bytes, and closes the connection.
macro_rules! says {
    ($($bytes:expr),*) => {
        |exchange| {
            exchange.read();
            $(exchange.send($bytes);)*
        }
    };
}

/// The same with a 200 and this JSON.
macro_rules! says_json {
    ($body:expr) => {
        says!(json_answer($body))
    };
}

#[test]
fn whole_answers_decide() {
    rows(&[
        ("allowed", Runs, says_json!(ALLOWED)),
        ("denied", Refused, says_json!(DENIED)),
        ("spaces and more keys", Runs, says_json!("\r\n { \"a\" : [{}], \"allowed\" : true }\t\n")),
        ("allowed within", Refused, says_json!(r#"{"x":{"allowed":true},"allowed":false}"#)),
        ("an escaped key", Runs, says_json!(r#"{"allow\u0065d":true}"#)),
        ("ask", Refused, says_json!(r#"{"allowed":false,"decision":"ask"}"#)),
        (
            "chunked",
            Runs,
            says!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10;x=y\r\n",
                ALLOWED,
                "\r\n0\r\nT: r\r\n\r\n"
            ),
        ),
        (
            "in many chunks",
            Refused,
            says!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1\r\n{\r\n0010\r\n\"allowed\" : fals\r\n2\r\ne}\r\n0\r\n\r\n"
            ),
        ),
        ("100-continue", Runs, says!("HTTP/1.1 100 Continue\r\n\r\n", json_answer(ALLOWED))),
        (
            "early hints",
            Refused,
            says!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", json_answer(DENIED)),
        ),
        ("until close", Runs, says!("HTTP/1.0 200 OK\r\n\r\n", ALLOWED)),
        ("until close, denied", Refused, says!("HTTP/1.1 200 OK\r\n\r\n", DENIED)),
        (
            "close announced",
            Runs,
            says!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 16\r\n\r\n", ALLOWED),
        ),
        ("bare line feeds", Runs, says!("HTTP/1.1 200\nContent-Length: 16\n\n", ALLOWED)),
        (
            "many long headers",
            Runs,
            says!(
                "HTTP/1.1 200 OK\r\n",
                format!("X-Y: {}\r\n", "z".repeat(2000)).repeat(10),
                "Content-Length: 16\r\n\r\n",
                ALLOWED
            ),
        ),
        ("byte by byte", Runs, |exchange| {
            exchange.read();
            exchange.drip(&json_answer(ALLOWED), Duration::from_millis(1));
        }),
    ]);
}

#[test]
fn other_statuses_are_failures_or_refusals() {
    rows(&[
        ("500", FailOpen, says!("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")),
        (
            "503 that allows",
            FailOpen,
            says!("HTTP/1.1 503 Busy\r\nContent-Length: 16\r\n\r\n", ALLOWED),
        ),
        ("401", Refused, says!("HTTP/1.1 401 Unauthorized\r\nContent-Length: 16\r\n\r\n", ALLOWED)),
        ("403", Refused, says!("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")),
        ("404", Refused, says!("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")),
        ("201", Refused, says!("HTTP/1.1 201 Created\r\nContent-Length: 16\r\n\r\n", ALLOWED)),
        ("204", Refused, says!("HTTP/1.1 204 No Content\r\n\r\n")),
        ("101", Refused, says!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")),
        ("429", Refused, says!("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")),
    ]);
}

#[test]
fn a_redirect_is_not_followed() {
    let target = Server::allowing();
    let elsewhere = Server::judging(Transport::Tcp, |_| true);
    let location = elsewhere.url.clone();
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let server = Server::scripted(Transport::Tcp, move |exchange| {
            exchange.read();
            let line =
                format!("HTTP/1.1 {status} Over There\r\nLocation: {location}/v1/preflight/exec");
            exchange.send(line + "\r\nContent-Length: 0\r\n\r\n");
            exchange.hang();
        });
        all_modes("redirect", &server.url, Refused, |_, _| {});
        // Four of the six runs ask, each once.
        assert_eq!((server.connections(), server.take_requests().len()), (4, 4), "{status}");
    }
    assert_eq!((elsewhere.connections(), target.connections()), (0, 0));
}

#[test]
fn an_incomplete_answer_is_a_failure() {
    rows(&[
        ("closed at once", FailOpen, |_| {}),
        ("closed after the question", FailOpen, |exchange| drop(exchange.read())),
        ("half a status line", FailOpen, says!("HTTP/1.")),
        ("half a head", FailOpen, says!("HTTP/1.1 200 OK\r\nContent-Le")),
        ("no body", FailOpen, says!("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n")),
        (
            "half a body",
            FailOpen,
            says!("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"allowed\":"),
        ),
        (
            "one byte short",
            FailOpen,
            says!("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n", ALLOWED),
        ),
        (
            "no last chunk",
            FailOpen,
            says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n", ALLOWED, "\r\n"),
        ),
        ("only 100-continue", FailOpen, says!("HTTP/1.1 100 Continue\r\n\r\n")),
        ("reset", FailOpen, |exchange| {
            exchange.reset_on_close();
            exchange.read();
        }),
        ("reset in the body", FailOpen, |exchange| {
            exchange.reset_on_close();
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{");
        }),
    ]);
}

#[test]
fn an_answer_that_is_no_verdict_refuses() {
    rows(&[
        ("not HTTP", Refused, says!("220 mail.example.org ESMTP\r\n")),
        ("HTTP/2", Refused, says!("\0\0\x12\x04\0\0\0\0\0")),
        ("another version", Refused, says!("HTTP/2 200 OK\r\nContent-Length: 16\r\n\r\n", ALLOWED)),
        ("no body at all", Refused, says!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
        ("no allowed", Refused, says_json!("{}")),
        ("a string", Refused, says_json!(r#"{"allowed":"true"}"#)),
        ("a number", Refused, says_json!(r#"{"allowed":1}"#)),
        ("null", Refused, says_json!(r#"{"allowed":null}"#)),
        ("another case", Refused, says_json!(r#"{"Allowed":true}"#)),
        ("twice", Refused, says_json!(r#"{"allowed":true,"allowed":true}"#)),
        ("twice, escaped", Refused, says_json!(r#"{"allowed":true,"\u0061llowed":false}"#)),
        ("data after", Refused, says_json!(r#"{"allowed":true} {}"#)),
        ("an array", Refused, says_json!(r#"[{"allowed":true}]"#)),
        ("no JSON", Refused, says_json!("allowed")),
        ("a cut object", Refused, says_json!(r#"{"allowed":true"#)),
        ("not UTF-8", Refused, |exchange| {
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"a\":\"");
            exchange.send([0xff]);
            exchange.send("\",\"allowed\":true}");
        }),
        ("64 KiB and one", Refused, |exchange| {
            exchange.read();
            let filler = " ".repeat(64 * 1024 + 1 - ALLOWED.len());
            exchange.send(json_answer(&(filler + ALLOWED)));
        }),
        ("an endless body", Refused, |exchange| {
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\n\r\n");
            (0..40).for_each(|_| exchange.send(" ".repeat(8 * 1024)));
        }),
        ("an endless head", Refused, |exchange| {
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\n");
            (0..40).for_each(|_| exchange.send("X: y\r\n".repeat(1000)));
        }),
        (
            "two lengths",
            Refused,
            says!("HTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Length: 16\r\n\r\n", ALLOWED),
        ),
        (
            "length and chunks",
            Refused,
            says!(
                "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n",
                ALLOWED,
                "\r\n0\r\n\r\n"
            ),
        ),
        (
            "another coding",
            Refused,
            says!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n10\r\n",
                ALLOWED,
                "\r\n0\r\n\r\n"
            ),
        ),
        (
            "a bad chunk size",
            Refused,
            says!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-10\r\n", ALLOWED),
        ),
        (
            "a chunk without an end",
            Refused,
            says!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n",
                ALLOWED,
                "0\r\n\r\n"
            ),
        ),
        (
            "a negative length",
            Refused,
            says!("HTTP/1.1 200 OK\r\nContent-Length: -16\r\n\r\n", ALLOWED),
        ),
    ]);
    // Exactly 64 KiB are allowed.
    row("64 KiB", Runs, |exchange| {
        exchange.read();
        let filler = " ".repeat(64 * 1024 - ALLOWED.len());
        exchange.send(json_answer(&(filler + ALLOWED)));
    });
}

#[test]
fn nobody_listening_is_a_failure() {
    let closed = ClosedPort::new();
    let sandbox = Sandbox::new();
    // A socket file without a listener.
    drop(UnixListener::bind(sandbox.path("dead.sock")).expect("a socket"));
    fs::write(sandbox.path("file"), "").expect("a file");
    for url in [
        closed.url(),
        format!("unix://{}", sandbox.text("missing.sock")),
        format!("unix://{}", sandbox.text("dead.sock")),
        format!("unix://{}", sandbox.text("file")),
        format!("unix://{}", sandbox.text("no/such/directory.sock")),
        // A link-local address without a zone is not reachable.
        "http://[fe80::1]:9".to_owned(),
    ] {
        all_modes("nobody", &url, FailOpen, |_, _| {});
    }
}
