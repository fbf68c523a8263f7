//! The search for programs, and the errors of those that cannot run: as without the library, and
//! the server is not asked about programs that do not exist.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use scripted_server::Server;

use crate::support::{
    Compiler, Finished, Run, Sandbox, assert_guarded, copy_program, is_for_linux_alone, probe,
};
use crate::ways::had;

fn start(rest: &[&str]) -> Vec<String> {
    let mut words = vec![probe("start", Compiler::System).to_str().expect("text").to_owned()];
    words.extend(rest.iter().map(|word| (*word).to_owned()));
    words
}

/// Functions that take a path, and those that search.
const BY_PATH: [&str; 7] =
    ["execve", "execv", "execl", "execle", "execveat", "syscall_execve", "posix_spawn"];
const BY_NAME: [&str; 5] = ["execvp", "execvpe", "execvP", "execlp", "posix_spawnp"];

fn by_path_and_name() -> Vec<&'static str> {
    had(&[&BY_PATH[..], &BY_NAME].concat())
}

#[test]
fn a_program_that_is_not_there_fails_with_its_own_error_and_asks_nobody() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    symlink("loop", sandbox.path("loop")).expect("a loop");
    sandbox.file("plain", "text");
    let long = format!("/tmp/{}", "x".repeat(300));
    let very_long = format!("/tmp{}", "/x".repeat(3000));
    for path in [
        &sandbox.text("nothing"),
        &sandbox.text("plain/below"),
        &sandbox.text("loop"),
        "./nothing",
        "../plain/below",
        &long,
        &very_long,
    ] {
        for function in by_path_and_name() {
            let words = start(&[function, path, "x", "y"]);
            let bare = Run::bare(&sandbox, &words).finish();
            let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
            // posix_spawn(3) does not specify errno.
            let told = |run: &Finished| match run.stdout.split_once(" errno") {
                Some((result, _)) if function.starts_with("posix_spawn") => result.to_owned(),
                _ => run.stdout.clone(),
            };
            let (with, without) = (told(&guarded), told(&bare));
            assert_eq!(with, without, "{words:?}");
            assert!(without.starts_with("1x returned "), "{words:?}");
            assert_eq!(server.take_commands(), [""; 0], "{words:?}");
        }
    }
    assert_guarded(&sandbox, &server);
}

#[test]
fn a_descriptor_that_is_not_open_is_certainly_no_program() {
    if is_for_linux_alone("macOS starts nothing by its descriptor") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let descriptors = probe("descriptors", Compiler::System);
    let bare = Run::bare(&sandbox, &[&descriptors]).finish().success();
    let guarded = Run::guarded(&sandbox, &server.url, &[&descriptors]).finish();
    assert_eq!(guarded.seen(), bare.seen());
    assert_eq!(server.take_commands(), [""; 0]);
    assert_guarded(&sandbox, &server);
}

#[test]
fn a_relative_program_that_a_file_action_may_bring_into_reach_is_asked_about() {
    let sandbox = Sandbox::new();
    let relative = sandbox.text("bin/rm").trim_start_matches('/').to_owned();
    for (function, allowed) in
        [("posix_spawn", true), ("posix_spawnp", true), ("posix_spawn", false)]
    {
        let server = if allowed { Server::allowing() } else { Server::denying() };
        let words = start(&["--chdir-action", function, &relative, "rm", "x"]);
        let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!(server.take_commands(), ["rm x"], "{guarded:?}");
        assert_eq!(sandbox.take_marks().len(), usize::from(allowed), "{guarded:?}");
    }
}

#[test]
fn a_program_without_permission_or_format_fails_as_it_does_without_the_library() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    sandbox.file("bin/data", "no program\n");
    let script = sandbox.file("bin/script", "tool from-script \"$@\"\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("permissions");
    sandbox.file("bin/orphan", "#!/nonexistent/interpreter\n");
    sandbox.file("bin/shebang", "#!/bin/sh\nexec tool from-shebang \"$@\"\n");
    fs::create_dir(sandbox.path("bin/directory")).expect("a directory");
    for program in ["data", "script", "orphan", "shebang", "directory"] {
        let path = sandbox.text(&format!("bin/{program}"));
        let by_path = by_path_and_name().into_iter().map(|function| (function, &*path));
        let by_name = had(&BY_NAME).into_iter().map(|function| (function, program));
        for (function, given) in by_path.chain(by_name) {
            let words = start(&[function, given, program, "x"]);
            let bare = Run::bare(&sandbox, &words).finish();
            let marks = sandbox.take_marks();
            let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
            assert_eq!(guarded.seen(), bare.seen(), "{words:?}");
            assert_eq!(sandbox.take_marks(), marks, "{words:?}");
            let asked = server.take_commands();
            assert_eq!(asked[0], format!("{program} x"), "{words:?}");
        }
    }
}

#[test]
fn path_is_searched_as_without_the_library() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    sandbox.file("first/tool", "not executable");
    let witness = sandbox.text("bin/tool");
    copy_program(&witness, sandbox.path("home/tool"));
    let bin = sandbox.text("bin");
    let first = sandbox.text("first");
    let file = sandbox.text("bin/tool");
    for path in [
        bin.clone(),
        format!("{first}:{bin}"),
        format!("/nonexistent:{file}:{bin}"),
        // An empty entry is the working directory.
        ":/nonexistent".to_owned(),
        "/nonexistent::/nowhere".to_owned(),
        "/nonexistent:".to_owned(),
        String::new(),
        "/nonexistent".to_owned(),
        first,
        format!("{}:{bin}", "/x".repeat(3000)),
        format!("{}:{bin}", "y".repeat(300)),
    ] {
        for function in had(&BY_NAME) {
            let words = start(&[function, "tool", "tool", "x"]);
            let bare = Run::bare(&sandbox, &words).env("PATH", &path).finish();
            let marks = sandbox.take_marks();
            let guarded = Run::guarded(&sandbox, &server.url, &words).env("PATH", &path).finish();
            assert_eq!(guarded.seen(), bare.seen(), "{function} in PATH={path}");
            assert_eq!(sandbox.take_marks(), marks, "{function} in PATH={path}");
            assert_eq!(server.take_commands(), ["tool x"], "{function} in PATH={path}");
        }
    }
}

#[test]
fn without_path_the_default_one_is_searched() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    for function in had(&BY_NAME) {
        for (program, code) in [("true", 0), ("tool", 0)] {
            let words = start(&[function, program, program]);
            let bare = Run::bare(&sandbox, &words).without("PATH").finish();
            let guarded = Run::guarded(&sandbox, &server.url, &words).without("PATH").finish();
            assert_eq!((guarded.seen(), guarded.code()), (bare.seen(), code), "{words:?}");
            assert_eq!(server.take_commands(), [program], "{words:?}");
        }
    }
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn a_denied_name_is_not_looked_for_elsewhere() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    copy_program(sandbox.text("bin/tool"), sandbox.path("home/tool"));
    let path = format!("{}:{}", sandbox.text("bin"), sandbox.text("home"));
    for function in had(&BY_NAME) {
        let words = start(&[function, "tool", "tool"]);
        Run::guarded(&sandbox, &server.url, &words).env("PATH", &path).finish();
        assert_eq!(server.take_commands(), ["tool"], "{function}");
        assert_eq!(sandbox.take_marks(), [""; 0], "{function}");
    }
}

#[test]
fn a_pipe_that_is_no_program_is_not_opened() {
    // A writer of the FIFO blocks until somebody opens it for reading.
    let script = "import os, sys, threading, time
pipe = sys.argv[1]
os.mkfifo(pipe)
opened = threading.Event()
def write():
    os.open(pipe, os.O_WRONLY)
    opened.set()
writer = threading.Thread(target=write, daemon=True)
writer.start()
stat = '/proc/self/task/%d/stat' % writer.native_id
while open(stat).read().rsplit(')')[1].split()[0] != 'S':
    time.sleep(0.001)
for script in ([pipe], [sys.argv[2]]):
    try:
        os.waitpid(os.posix_spawn(script[0], script, os.environ), 0)
    except PermissionError:
        print('refused by the kernel')
    print('opened' if opened.wait(0.1) else 'still waiting')
os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
print('opened' if opened.wait(10) else 'still waiting')
";
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    for (round, is_guarded) in [false, true].into_iter().enumerate() {
        let pipe = sandbox.text(&format!("pipe{round}"));
        let run_by_it = sandbox.file(&format!("run-by-pipe{round}"), format!("#!{pipe}\n"));
        let words = ["python3", "-c", script, &pipe, run_by_it.to_str().expect("text")];
        let run = if is_guarded {
            Run::guarded(&sandbox, &server.url, &words)
        } else {
            Run::bare(&sandbox, &words)
        };
        let said = "refused by the kernel\nstill waiting\n".repeat(2) + "opened\n";
        assert_eq!(run.finish().success().stdout, said, "guarded: {is_guarded}");
    }
    assert_eq!(server.take_commands().len(), 2);
}
