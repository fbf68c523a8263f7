//! The coverage of a program is part of the question. A program for another architecture is not
//! told to load the library, about which its loader would complain.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use scripted_server::Server;

use crate::support::{
    Compiler, Run, Sandbox, System, assert_guarded, is_for_linux_alone, needs_linux_beneath,
    preload_variable, probe,
};

/// A 32-bit program that prints its environment; `None` if none can be made or run here.
fn foreign_program(sandbox: &Sandbox) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guarded/probes/i386.c");
    let program = sandbox.path("i386");
    let mut cc = Command::new("cc");
    cc.args(["-m32", "-nostdlib", "-static", "-O1", "-fno-stack-protector", "-o"]);
    let built = cc.arg(&program).arg(source).output().is_ok_and(|output| output.status.success());
    let runs = built && Command::new(&program).output().is_ok_and(|output| output.status.success());
    runs.then_some(program)
}

fn coverages(server: &Server) -> Vec<serde_json::Value> {
    let questions = server.take_requests();
    questions.iter().map(|question| question.json()["params"]["coverage"].clone()).collect()
}

/// A dynamic and a static program that do nothing, and one with the note of Go's linker.
fn idle_programs(sandbox: &Sandbox) -> [String; 3] {
    let source = sandbox.text("idle.c");
    let text = r#"
        #ifdef GO
        __asm__(".section .note.go.buildid, \"a\", @note\n.long 4, 4, 4\n.asciz \"Go\"\n.byte 0\n.long 7\n.text");
        #endif
        int main(void) { return 0; }
    "#;
    std::fs::write(&source, text).expect("a file");
    [("dynamic", "-fPIE"), ("static", "-static"), ("go", "-DGO")].map(|(name, kind)| {
        let program = sandbox.text(name);
        let built = Command::new("cc").args([kind, "-o", &program, &source]).status();
        assert!(built.expect("a C compiler").success(), "{name}");
        program
    })
}

#[test]
fn the_coverage_is_part_of_the_question() {
    if needs_linux_beneath("no program is static there") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let [dynamic, fixed, go] = idle_programs(&sandbox);
    let script = sandbox.text("script");
    std::fs::write(&script, format!("#!{fixed}\n")).expect("a file");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("a mode");
    let start = probe("start", Compiler::System);
    let start = start.to_str().expect("text");
    for (program, coverage) in
        [(&dynamic, "full"), (&fixed, "static"), (&script, "static"), (&go, "go")]
    {
        if coverage == "go" && System::is_macos() {
            continue; // On macOS Go programs call libSystem.
        }
        for (function, times) in [("execve", 1), ("posix_spawn", 3)] {
            let often = format!("--times={times}");
            let words = [start, &often, function, program, "idle"];
            Run::guarded(&sandbox, &server.url, &words).finish();
            assert_eq!(coverages(&server), vec![coverage; times], "{program} {function}");
        }
    }
}

#[test]
fn a_program_that_was_changed_meanwhile_is_looked_at_again() {
    if needs_linux_beneath("no program is static there") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let [dynamic, fixed, _] = idle_programs(&sandbox);
    let script = "import os, shutil, sys
path, dynamic, fixed = sys.argv[1:]
def spawn():
    os.waitpid(os.posix_spawn(path, [path], os.environ), 0)
shutil.copy(dynamic, path)
spawn(); spawn()
os.chmod(path, 0o4755)
spawn(); spawn()
os.chmod(path, 0o2755)
spawn()
with open(fixed, 'rb') as source, open(path, 'wb') as target:
    shutil.copyfileobj(source, target)
os.chmod(path, 0o755)
spawn()
os.rename(dynamic, path)
spawn()
os.unlink(path)
try:
    spawn()
except FileNotFoundError:
    print('missing')
";
    let path = sandbox.text("changing");
    let words = ["python3", "-c", script, &path, &dynamic, &fixed];
    let finished = Run::guarded(&sandbox, &server.url, &words).finish();
    assert_eq!(finished.stdout, "missing\n", "{finished:#?}");
    assert_eq!(
        coverages(&server),
        ["full", "full", "setuid", "setuid", "setuid", "static", "full"]
    );
}

#[test]
fn a_32_bit_program_is_asked_about_as_such_and_not_told_to_load_the_library() {
    let sandbox = Sandbox::new();
    let Some(program) = foreign_program(&sandbox) else {
        eprintln!("skipped: no 32-bit program can be made or run here");
        return;
    };
    let server = Server::allowing();
    assert_guarded(&sandbox, &server);
    let start = probe("start", Compiler::System);
    let (start, program) = (start.to_str().expect("text"), program.to_str().expect("text"));
    for function in ["execve", "execv", "execl", "posix_spawn"] {
        let finished =
            Run::guarded(&sandbox, &server.url, &[start, function, program, "i386"]).finish();
        let entries: Vec<&str> = finished.stdout.lines().collect();
        assert!(entries.contains(&"RAMPART_MODE=enforce"), "{function}: {finished:#?}");
        let preloads = entries.iter().any(|entry| entry.starts_with(preload_variable()));
        assert!(!preloads, "{function}: {finished:#?}");
        assert_eq!(finished.stderr, "", "{function}");
        assert_eq!(coverages(&server), ["other-arch"], "{function}");
    }
}

#[test]
fn a_32_bit_program_that_is_denied_does_not_run() {
    let sandbox = Sandbox::new();
    let Some(program) = foreign_program(&sandbox) else {
        eprintln!("skipped: no 32-bit program can be made or run here");
        return;
    };
    let server = Server::denying();
    let start = probe("start", Compiler::System);
    let (start, program) = (start.to_str().expect("text"), program.to_str().expect("text"));
    let finished =
        Run::guarded(&sandbox, &server.url, &[start, "execve", program, "i386"]).finish();
    assert!(!finished.stdout.contains("RAMPART_MODE"), "{finished:#?}");
    assert_eq!(server.take_commands().len(), 1);
}

#[test]
fn a_program_of_gos_linker_is_recognised() {
    if is_for_linux_alone("on macOS Go programs call libSystem") {
        return;
    }
    let sandbox = Sandbox::new();
    // Go is often installed outside of the sandbox's directories.
    if Command::new("go").arg("version").output().is_err() {
        println!("skipped, for go is not installed");
        return;
    }
    let source = sandbox.path("home/main.go");
    let text = "package main\nimport \"C\"\nfunc main() { println(\"ran\") }\n";
    std::fs::write(&source, text).expect("a file");
    let program = sandbox.text("home/program");
    for (mode, coverage) in [
        ("-linkmode=internal", "go"),
        ("-linkmode=external", "go"),
        ("-linkmode=external -extldflags=-static", "static"),
    ] {
        let mut go = Command::new("go");
        go.args(["build", "-o", &program, "-ldflags", mode]).arg(&source);
        go.env("CGO_ENABLED", "1").env("GOCACHE", sandbox.path("tmp"));
        let built = go.output().expect("go");
        assert!(built.status.success(), "{mode}: {built:?}");
        let server = Server::allowing();
        let start = probe("start", Compiler::System);
        let words = [start.to_str().expect("text"), "posix_spawn", &program, "program"];
        let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
        assert!(finished.stderr.contains("ran"), "{finished:#?}");
        assert_eq!(coverages(&server), [coverage], "{mode}");
    }
}
