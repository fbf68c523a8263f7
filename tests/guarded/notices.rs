//! What the library writes to stderr, and that it never hangs or dies doing so.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use scripted_server::{Server, Transport, json_answer};

use crate::support::{Compiler, Run, Sandbox, System, is_for_linux_alone, probe};

/// Spawns `rm --password=hunter2` twice.
fn words(sandbox: &Sandbox) -> Vec<String> {
    let start = probe("start", Compiler::System).to_str().expect("text").to_owned();
    let rm = sandbox.text("bin/rm");
    let words = [&start, "--times=2", "posix_spawn", &rm, "rm", "--password=hunter2"];
    words.map(str::to_owned).to_vec()
}

fn answering(body: &'static str) -> Server {
    Server::scripted(Transport::Unix, move |exchange| {
        exchange.answer_all(|_| json_answer(body));
    })
}

#[test]
fn a_refusal_is_one_line_whatever_the_answer_holds() {
    let sandbox = Sandbox::new();
    let long = format!(r#"{{"allowed":false,"message":"{}"}}"#, "m".repeat(3000));
    let long: &'static str = Box::leak(long.into_boxed_str());
    for (body, said) in [
        (r#"{"allowed":false}"#, "the policy does not allow it".to_owned()),
        (r#"{"allowed":false,"message":""}"#, "the policy does not allow it".to_owned()),
        (r#"{"allowed":false,"message":"no"}"#, "no".to_owned()),
        (r#"{"message":"no","matched_policies":["a","b"],"allowed":false}"#, "no [a]".to_owned()),
        (r#"{"allowed":false,"message":"é☃"}"#, "é☃".to_owned()),
        (
            r#"{"allowed":false,"message":"a\nb\u001b[31mc\r\u0007\u009bd\u0000e","matched_policies":["p\n"]}"#,
            "a?b?[31mc???d?e [p?]".to_owned(),
        ),
        (long, "m".repeat(200)),
    ] {
        let server = answering(body);
        let finished = Run::guarded(&sandbox, &server.url, &words(&sandbox)).finish();
        assert_eq!(finished.stderr, format!("rampart: blocked rm: {said}\n").repeat(2));
        assert_eq!(server.take_requests().len(), 2);
    }
    let server = Server::denying();
    let finished =
        Run::guarded(&sandbox, &server.url, &words(&sandbox)).env("RAMPART_NOTICE", "0").finish();
    assert_eq!((finished.stderr.as_str(), server.take_requests().len()), ("", 2));
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn the_name_of_a_program_cannot_break_the_line_either() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let start = probe("start", Compiler::System);
    let long = "n".repeat(300);
    for (name, said) in [("a\nb\u{1b}[2J", "a?b?[2J"), (&*long, &long[..120])] {
        let words = [start.to_str().expect("text"), "execvp", name, name];
        let finished = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!(finished.stderr, format!("rampart: blocked {said}: not here [test-policy]\n"));
    }
}

#[test]
fn debug_tells_of_load_and_checks_but_never_of_arguments_or_token() {
    let sandbox = Sandbox::new();
    for server in [Server::allowing(), Server::denying()] {
        let finished = Run::guarded(&sandbox, &server.url, &words(&sandbox))
            .env("RAMPART_DEBUG", "1")
            .env("RAMPART_TOKEN", "s3cret-token")
            .env("RAMPART_NOTICE", "0")
            .finish();
        let lines: Vec<&str> = finished.stderr.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("[rampart] ")), "{finished:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains("check")).count(), 2);
        assert!(lines[0].starts_with("[rampart] loaded pid="), "{finished:#?}");
        for secret in ["hunter2", "password", "s3cret"] {
            assert!(!finished.stderr.contains(secret), "{finished:#?}");
        }
    }
    sandbox.take_marks();
}

#[test]
fn an_invalid_setting_is_reported_once_in_a_tree() {
    let sandbox = Sandbox::new();
    for (name, value, said, runs) in [
        ("RAMPART_MODE", "enforced", "rampart: RAMPART_MODE counts as enforce", false),
        ("RAMPART_MODE", "Monitor", "rampart: RAMPART_MODE counts as enforce", false),
        ("RAMPART_FAIL_OPEN", "yes", "rampart: RAMPART_FAIL_OPEN counts as 0", false),
        ("RAMPART_TIMEOUT_MS", "soon", "rampart: RAMPART_TIMEOUT_MS counts as 2000", false),
        ("RAMPART_TIMEOUT_MS", "0", "rampart: RAMPART_TIMEOUT_MS counts as 2000", false),
        ("RAMPART_REFUSAL", "loud", "rampart: RAMPART_REFUSAL counts as errno", false),
        ("RAMPART_MODE", "", "", false),
        ("RAMPART_MODE", "monitor", "", true),
    ] {
        let server = Server::denying_any_with("rm");
        let words = ["sh", "-c", "sh -c 'sh -c true; true'; rm x"];
        let finished = Run::guarded(&sandbox, &server.url, &words)
            .env("RAMPART_NOTICE", "0")
            .env(name, value)
            .finish();
        let ours: Vec<&str> =
            finished.stderr.lines().filter(|line| line.starts_with("rampart")).collect();
        let times = usize::from(!said.is_empty());
        assert_eq!(ours.len(), times, "{name}={value}: {finished:#?}");
        assert!(ours.iter().all(|line| line.starts_with(said)), "{name}={value}: {ours:?}");
        assert_eq!(sandbox.take_marks().len(), usize::from(runs), "{name}={value}");
        assert!(server.take_commands().contains(&"rm x".to_owned()));
    }
}

fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    (OwnedFd::from(reader).into(), writer.into())
}

/// Writes to a pipe until it takes no more.
fn fill(mut writer: &File) {
    let descriptor = writer.as_raw_fd();
    let set = |flags: i32| {
        // SAFETY: takes no pointer; the descriptor is ours.
        let status = unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) };
        assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    };
    set(libc::O_NONBLOCK);
    let full = loop {
        if let Err(full) = writer.write(b"x") {
            break full;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock, "{full}");
    set(0);
}

#[test]
fn a_full_or_broken_stderr_neither_blocks_nor_kills() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let refused = "2x returned 1 errno 77 status -1000\n";
    for kind in ["full", "broken", "dev-full"] {
        if kind == "dev-full" && *System::here() == System::Mac {
            continue; // A Mac has no such device.
        }
        let (mut reader, writer) = pipe();
        let stderr: OwnedFd = match kind {
            "full" => {
                let file = File::from(writer);
                fill(&file);
                file.into()
            }
            "broken" => {
                drop(std::mem::replace(&mut reader, File::open("/dev/null").expect("null")));
                writer
            }
            _ => {
                drop(writer);
                File::options().write(true).open("/dev/full").expect("a device").into()
            }
        };
        for debug in ["0", "1"] {
            let stderr = stderr.try_clone().expect("another descriptor");
            let finished = Run::guarded(&sandbox, &server.url, &words(&sandbox))
                .env("RAMPART_DEBUG", debug)
                .env("RAMPART_MODE", "enforce")
                .stderr(stderr)
                .finish();
            assert_eq!((finished.code(), &*finished.stdout), (0, refused), "{kind}");
            assert_eq!(server.take_requests().len(), 2, "{kind}");
        }
        drop(stderr);
        let mut left = Vec::new();
        reader.read_to_end(&mut left).expect("what is in the pipe");
        assert!(left.iter().all(|byte| *byte == b'x'), "{kind}: nothing was added");
    }
    // Without stderr, and nothing is written to a file that gets its number.
    let closed = ["sh", "-c", "exec 2>&-; rm x; exec 2>home-file; exec 2>&-; rm y; echo end"];
    let finished = Run::guarded(&sandbox, &server.url, &closed).finish();
    assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (0, "end\n", ""));
    assert_eq!(server.take_commands(), ["rm x", "rm y"]);
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn a_stderr_that_may_not_grow_gets_no_line_and_kills_nobody() {
    if is_for_linux_alone("a Mac cannot take back SIGXFSZ") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::judging(Transport::Unix, |command| !command.starts_with("rm"));
    let file = sandbox.path("errors");
    // Longer than the limit, which stdout does not reach.
    let long = [b'x'; 4096];
    std::fs::write(&file, long).expect("a file");
    let within = ["sh", "-c", "ulimit -f 1; exec \"$@\"", "sh"].map(str::to_owned);
    let words = [&within[..], &words(&sandbox)].concat();
    let stderr = File::options().append(true).open(&file).expect("a file");
    let finished = Run::guarded(&sandbox, &server.url, &words).stderr(stderr).finish();
    let refused = "2x returned 1 errno 77 status -1000\n";
    assert_eq!((finished.code(), &*finished.stdout), (0, refused));
    assert_eq!(std::fs::read(file).expect("a file"), long);
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn a_file_with_the_number_of_a_closed_stderr_is_not_written_to() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let taken = probe("stderr_taken", Compiler::System).to_str().expect("text").to_owned();
    let tool = sandbox.text("bin/tool");
    for (how, place) in [
        ("data", "here"),
        ("data", "child"),
        ("output", "here"),
        ("pipe", "here"),
        ("pipe", "child"),
    ] {
        let words = [&*taken, how, place, &tool];
        let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
        assert_eq!(finished.stdout, "returned 1\nholds mine\n", "{how} {place}");
        assert_eq!(server.take_commands(), ["tool x"], "{how} {place}");
        assert_eq!(sandbox.take_marks(), [""; 0]);
    }
}

#[test]
fn the_reason_goes_to_a_redirected_stderr() {
    let sandbox = Sandbox::new();
    let server = Server::judging(Transport::Unix, |command| command != "tool x");
    let notice = "rampart: blocked tool: not here [test-policy]\n";
    let python = "import subprocess
try: subprocess.run(['tool', 'x'], capture_output=True)
except PermissionError: pass
r, w = __import__('os').pipe()
subprocess.run(['sh', '-c', 'tool x'], stderr=w)
print(__import__('os').read(r, 1000).decode())";
    for words in [
        &["sh", "-c", "tool x"][..],
        &["sh", "-c", "exec tool x 2>&1"],
        &["bash", "-c", "tool x 2>&1"],
        &["bash", "-c", "tool x 2>&1 | cat"],
        &["bash", "-c", "tool x &>/dev/stdout"],
        &["bash", "-c", "tool x 2>err; cat err"],
        &["sh", "-c", "tool x 2>>err; cat err"],
        &["sh", "-c", "exec 2>&1; nohup tool x"],
        &["python3", "-c", python],
    ] {
        let finished = Run::guarded(&sandbox, &server.url, words).finish();
        let told = [&*finished.stdout, &*finished.stderr].concat();
        assert!(told.contains(notice), "{words:?}: {finished:#?}");
        assert!(server.take_commands().contains(&"tool x".to_owned()));
        assert_eq!(sandbox.take_marks(), [""; 0]);
    }
}
