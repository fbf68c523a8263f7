//! The shell that prints the message of a refusal: neither the message nor the caller changes what it
//! does.

use std::os::fd::AsRawFd;
use std::process::Stdio;

use scripted_server::{Server, Transport, json_answer};

use crate::refusals::{ENDED_WITH_126, text, told};
use crate::support::{Compiler, Run, Sandbox, installed, probe};

/// Calls whose refusal is reported by a message shell.
const TOLD_BY_A_SHELL: [&[&str]; 3] =
    [&["posix_spawn", "/bin/sh", "sh", "-c", "rm x"], &["system", "rm x"], &["popen", "rm x"]];

fn told_by_a_shell<'w>(start: &'w str, words: &[&'w str]) -> Vec<&'w str> {
    [&[start][..], words].concat()
}

#[test]
fn a_message_is_never_run_as_code() {
    let sandbox = Sandbox::new();
    let start = probe("start", Compiler::System);
    let start = start.to_str().expect("text");
    let message = "it's '; rm x; ' \\\\n $(rm y) `rm z` $HOME %s%n \\\" && rm \\u00e9";
    let shown = "it's '; rm x; ' \\n $(rm y) `rm z` $HOME %s%n \" && rm é";
    let body = format!(r#"{{"allowed":false,"message":"{message}"}}"#);
    for words in TOLD_BY_A_SHELL {
        let body = body.clone();
        let server = Server::scripted(Transport::Unix, move |exchange| {
            exchange.answer_all(|_| json_answer(&body));
        });
        let finished = Run::guarded(&sandbox, &server.url, &told_by_a_shell(start, words))
            .env("RAMPART_REFUSAL", "shell")
            .finish()
            .success();
        let said = format!("rampart: blocked this shell command: {shown}\n");
        assert!(finished.stderr.starts_with(&said), "{finished:#?}");
        assert_eq!(told(&finished), 1, "{finished:#?}");
        assert_eq!(server.take_requests().len(), 1, "the message shell is not asked about");
    }
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn the_callers_environment_does_not_affect_the_message_shell() {
    let sandbox = Sandbox::new();
    let server = Server::denying_any_with("rm x");
    let start = probe("start", Compiler::System);
    let start = start.to_str().expect("text");
    let hostile = format!("#!/bin/sh\necho hostile >>{}\n", sandbox.text("marks"));
    for name in ["printf", "sh", "trap", "profile"] {
        sandbox.file(&format!("hostile/{name}"), &hostile);
    }
    let mark = format!("() {{ echo hostile >>{}; }}", sandbox.text("marks"));
    for words in TOLD_BY_A_SHELL {
        let finished = Run::guarded(&sandbox, &server.url, &told_by_a_shell(start, words))
            .env("RAMPART_REFUSAL", "shell")
            .env("PATH", sandbox.path("hostile"))
            .env("ENV", sandbox.path("hostile/profile"))
            .env("BASH_ENV", sandbox.path("hostile/profile"))
            .env("BASH_FUNC_printf%%", &mark)
            .env("IFS", "p")
            .finish()
            .success();
        assert_eq!(finished.stderr, text("this shell command"), "{words:?}");
        assert_eq!(sandbox.take_marks(), [""; 0], "{words:?}");
    }
    let spawned = told_by_a_shell(start, TOLD_BY_A_SHELL[0]);
    let finished = Run::guarded(&sandbox, &server.url, &spawned)
        .env("RAMPART_REFUSAL", "shell")
        .env("RAMPART_DEBUG", "1")
        .finish();
    let loaded = finished.stderr.matches("[rampart] loaded ").count();
    assert_eq!(
        (loaded, told(&finished)),
        (1, 1),
        "the message shell has no library: {finished:#?}"
    );
}

#[test]
fn without_notices_only_the_status_shows_a_refusal() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let start = probe("start", Compiler::System);
    let start = start.to_str().expect("text");
    let exec: &[&str] = &["--in=vfork", "execv", "/bin/sh", "sh", "-c", "rm x"];
    for words in TOLD_BY_A_SHELL.into_iter().chain([exec]) {
        let finished = Run::guarded(&sandbox, &server.url, &told_by_a_shell(start, words))
            .env("RAMPART_REFUSAL", "shell")
            .env("RAMPART_NOTICE", "0")
            .finish()
            .success();
        let has_status = finished.stdout.contains(&ENDED_WITH_126.to_string());
        assert!(has_status && finished.stderr.is_empty(), "{finished:#?}");
        assert_eq!(server.take_requests().len(), 1);
    }
}

#[test]
fn a_full_or_broken_stderr_does_not_block_the_parent_of_a_vfork_child() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let start = probe("start", Compiler::System);
    let start = start.to_str().expect("text");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    // SAFETY: takes no pointer; the descriptor is ours.
    let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
    let filling = vec![b'x'; usize::try_from(size).expect("a size")];
    std::io::Write::write_all(&mut &writer, &filling).expect("it fits");
    let words = [start, "--in=vfork", "execv", "/bin/sh", "sh", "-c", "rm x"];
    let status = format!("1x returned -1000 errno -1000 status {ENDED_WITH_126}\n");
    let run = |stderr: Stdio| {
        Run::guarded(&sandbox, &server.url, &words)
            .env("RAMPART_REFUSAL", "shell")
            .stderr(stderr)
            .finish()
    };
    // First full, then without a reader.
    assert_eq!(run(writer.try_clone().expect("another").into()).stdout, status);
    drop(reader);
    assert_eq!(run(writer.into()).stdout, status);
    assert_eq!(server.take_requests().len(), 2);
}

#[test]
fn a_stderr_that_is_closed_on_exec_gets_no_message() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let script = "import os, sys\n\
        kept = os.dup(2)\n\
        os.set_inheritable(2, sys.argv[1] == 'kept')\n\
        pid = os.fork()\n\
        if pid == 0: os.execv('/bin/sh', ['sh', '-c', 'rm x'])\n\
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n\
        print(status)\n";
    if installed("python3").is_none() {
        println!("skipped: python3 is not installed");
        return;
    }
    for (how, said) in [("kept", text("this shell command")), ("closed", String::new())] {
        let words = ["python3", "-c", script, how];
        let finished =
            Run::guarded(&sandbox, &server.url, &words).env("RAMPART_REFUSAL", "shell").finish();
        assert_eq!(finished.seen(), (0, "126\n", &*said), "{how}");
        assert_eq!(server.take_requests().len(), 1);
    }
}
