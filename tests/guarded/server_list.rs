//! Several addresses of one server: losing one loses no check, and if all are lost, what runs
//! unchecked is reported.

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::OnceLock;

use scripted_server::{ALLOWED, ClosedPort, DENIED, Exchange, Server, Transport, json_answer};

use crate::support::{Compiler, Run, Sandbox, System, probe};

/// An abstract socket, if the system has those.
fn another() -> Transport {
    if System::is_macos() { Transport::Unix } else { Transport::Abstract }
}

/// Whether this system has sockets of this kind.
fn is_url(url: &str) -> bool {
    !(url.contains('@') && System::is_macos())
}

/// Runs `rm x` in a forked child of a shell, and `rm y` twice from one process.
fn words(sandbox: &Sandbox) -> [String; 3] {
    let start = probe("start", Compiler::System);
    let rm = sandbox.text("bin/rm");
    let script = format!("rm x; exec {} --times=2 posix_spawn {rm} rm y", start.display());
    ["sh".to_owned(), "-c".to_owned(), script]
}

#[test]
fn an_unreachable_address_in_the_list_costs_no_check() {
    let sandbox = Sandbox::new();
    drop(UnixListener::bind(sandbox.path("dead.sock")).expect("a socket"));
    sandbox.file("plain", "");
    let unix = |name: &str| format!("unix://{}", sandbox.text(name));
    let closed = ClosedPort::new();
    let lost = [
        unix("none"),
        unix("no/directory"),
        unix("dead.sock"),
        unix("plain"),
        unix("plain/below"),
        closed.url(),
        "unix:@rampart-test-nobody".to_owned(),
    ];
    for transport in [Transport::Unix, Transport::Tcp, another()] {
        let server = Server::judging(transport, |command| !command.starts_with("rm"));
        for lost in lost.iter().filter(|it| is_url(it)) {
            for list in [
                format!("{lost},{}", server.url),
                format!("{lost},{lost},{}", server.url),
                format!("{},{lost}", server.url),
            ] {
                let run = Run::guarded(&sandbox, &list, &words(&sandbox));
                let finished = run.env("RAMPART_NOTICE", "1").finish();
                assert_eq!(sandbox.take_marks(), [""; 0], "{list}");
                let asked: Vec<String> = server.take_commands();
                let rm = asked.iter().filter(|command| command.starts_with("rm"));
                assert_eq!(rm.count(), 3, "{list}: {asked:?}");
                assert_eq!(finished.stderr.matches("blocked rm").count(), 3, "{finished:#?}");
                assert!(!finished.stderr.contains("unchecked"), "{finished:#?}");
            }
        }
    }
}

#[test]
fn a_process_that_loses_one_address_goes_on_with_the_other() {
    let sandbox = Sandbox::new();
    let judge = |command: &str| if command.starts_with("rm") { DENIED } else { ALLOWED };
    // Each connection serves one question, so that the next needs a new one.
    let answer_one = move |exchange: &mut Exchange| {
        if let Some(question) = exchange.read() {
            exchange.send(json_answer(judge(&question.command())));
        }
    };
    let by_name = Server::scripted(another(), answer_one);
    let socket: &'static OnceLock<String> = Box::leak(Box::default());
    let by_path = Server::scripted(Transport::Unix, move |exchange| {
        let path = socket.get().and_then(|url| url.strip_prefix("unix://")).expect("a path");
        fs::remove_file(path).expect("the socket");
        answer_one(exchange);
    });
    socket.set(by_path.url.clone()).expect("set once");
    let url = format!("{},{}", by_path.url, by_name.url);
    let finished = Run::guarded(&sandbox, &url, &words(&sandbox)).finish();
    assert_eq!(sandbox.take_marks(), [""; 0], "{finished:#?}");
    assert_eq!(by_path.take_commands(), ["rm x"]);
    let asked = by_name.take_commands();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[1..], ["rm y", "rm y"]);
}

#[test]
fn what_runs_unchecked_is_reported_if_a_server_was_named() {
    let sandbox = Sandbox::new();
    let closed = ClosedPort::new();
    let urls = [
        format!("unix://{},unix:@rampart-test-nobody", sandbox.text("none")),
        closed.url(),
        format!("unix://{}", sandbox.text("none")),
    ];
    let said = "rampart: rm runs unchecked: the policy server cannot be reached\n";
    for url in urls.iter().filter(|it| is_url(it)) {
        for (notice, mode, fail_open, told, ran) in [
            ("1", "enforce", "1", 3, 3),
            ("1", "monitor", "1", 3, 3),
            ("1", "monitor", "0", 3, 3),
            ("0", "enforce", "1", 0, 3),
            // The default: no server was named.
            ("", "enforce", "1", 0, 3),
            ("1", "enforce", "0", 0, 0),
            ("1", "disabled", "1", 0, 3),
        ] {
            let finished = Run::guarded(&sandbox, url, &words(&sandbox))
                .env("RAMPART_NOTICE", notice)
                .env("RAMPART_MODE", mode)
                .env("RAMPART_FAIL_OPEN", fail_open)
                .finish();
            let case = format!("{url} {notice:?} {mode} {fail_open}: {finished:#?}");
            assert_eq!(sandbox.take_marks().len(), ran, "{case}");
            assert_eq!(finished.stderr.matches(said).count(), told, "{case}");
            let lines = finished.stderr.lines().filter(|line| line.contains("unchecked"));
            // The probe itself is reported too.
            assert_eq!(lines.count(), told + usize::from(told > 0), "{case}");
        }
    }
}

#[test]
fn the_server_is_told_how_many_checks_it_missed() {
    let sandbox = Sandbox::new();
    // A question about `rm` gets no answer.
    let server = Server::scripted(Transport::Unix, |exchange| {
        while let Some(question) = exchange.read() {
            if question.command().starts_with("rm") {
                return;
            }
            exchange.send(json_answer(ALLOWED));
        }
    });
    let script = "rm a; expr 7; rm b; rm c; rm d; expr 7; expr 7";
    let run = |notice: &str, fail_open: &str| {
        let finished = Run::guarded(&sandbox, &server.url, &["sh", "-c", script])
            .env("RAMPART_NOTICE", notice)
            .env("RAMPART_FAIL_OPEN", fail_open)
            .finish();
        assert_eq!(finished.stdout.matches("7\n").count(), 3, "{finished:#?}");
        let questions = server.take_requests();
        let lists = questions.iter().filter(|question| question.command().starts_with("expr"));
        let missed: Vec<Option<u64>> =
            lists.map(|question| question.json()["missed"].as_u64()).collect();
        (sandbox.take_marks().len(), missed)
    };
    assert_eq!(run("1", "1"), (4, vec![Some(1), Some(3), None]));
    // A refused program was not missed. By default missed checks are not counted.
    assert_eq!(run("1", "0"), (0, vec![None; 3]));
    assert_eq!(run("", "1"), (4, vec![None; 3]));
}
