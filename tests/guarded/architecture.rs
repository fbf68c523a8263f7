//! How much will be seen of a program goes with the question. A program for another
//! architecture cannot load the library, and is not told to, so that its loader has nothing
//! to complain of.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Compiler, Run, Sandbox, Server, assert_guarded, probe};

/// A 32-bit program that writes its environment; `None` where none can be made or run.
fn foreign_program(sandbox: &Sandbox) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guarded/probes/i386.c");
    let program = sandbox.path("i386");
    let mut cc = Command::new("cc");
    cc.args(["-m32", "-nostdlib", "-static", "-O1", "-fno-stack-protector", "-o"]);
    let built = cc.arg(&program).arg(source).output().is_ok_and(|output| output.status.success());
    let runs = built && Command::new(&program).output().is_ok_and(|output| output.status.success());
    runs.then_some(program)
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
        let preloads = entries.iter().any(|entry| entry.starts_with("LD_PRELOAD="));
        assert!(!preloads, "{function}: {finished:#?}");
        assert_eq!(finished.stderr, "", "{function}");
        let questions = server.take_questions();
        let coverages: Vec<_> = questions
            .iter()
            .map(|question| question.json()["params"]["coverage"].clone())
            .collect();
        assert_eq!(coverages, ["other-arch"], "{function}");
    }
}

/// A 64-bit program without a loader that ends at once; `None` where none can be made.
fn static_program(sandbox: &Sandbox) -> Option<PathBuf> {
    let source = sandbox.path("static.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").expect("a file");
    let program = sandbox.path("static");
    let built = Command::new("cc").arg("-static").arg("-o").arg(&program).arg(source).output();
    built.is_ok_and(|output| output.status.success()).then_some(program)
}

#[test]
fn how_much_will_be_seen_of_a_program_goes_with_the_question() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    assert_guarded(&sandbox, &server);
    let start = probe("start", Compiler::System);
    let start = start.to_str().expect("text");
    let coverage = |program: &Path| {
        let program = program.to_str().expect("text");
        let finished =
            Run::guarded(&sandbox, &server.url, &[start, "execve", program, "x"]).finish();
        assert_eq!(finished.stderr, "", "{program}");
        let questions = server.take_questions();
        assert_eq!(questions.len(), 1, "{program}");
        questions[0].json()["params"]["coverage"].as_str().map(str::to_owned)
    };
    assert_eq!(coverage(Path::new("/bin/true")).as_deref(), Some("full"));
    match static_program(&sandbox) {
        Some(program) => assert_eq!(coverage(&program).as_deref(), Some("static")),
        None => eprintln!("skipped in part: no static program can be made here"),
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
