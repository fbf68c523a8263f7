//! The same library in programs that are linked with musl.

use scripted_server::{Server, Transport};

use crate::support::{Compiler, Run, Sandbox, installed, is_for_linux_alone, probe};
use crate::{arguments, hooks, syscalls};

/// Whether musl is installed; if not, says so.
pub fn is_here() -> bool {
    if is_for_linux_alone("the C library of macOS is libSystem") {
        return false;
    }
    let here = installed("musl-gcc").is_some();
    if !here {
        println!("skipped, for musl-gcc is not installed (Debian: musl-tools)");
    }
    here
}

#[test]
fn an_allowed_program_of_musl_runs_exactly_as_it_does_without_the_library() {
    if is_here() {
        hooks::allowed_programs_run_as_they_do_without_the_library(Compiler::Musl);
    }
}

#[test]
fn a_denied_program_of_musl_does_not_run() {
    if is_here() {
        hooks::denied_programs_do_not_run(Compiler::Musl);
    }
}

#[test]
fn what_cannot_be_read_fails_as_without_the_library_in_musl_too() {
    if is_here() {
        arguments::bad_pointers_fail_as_without_the_library(Compiler::Musl);
    }
}

#[test]
fn system_calls_by_number_are_left_alone_in_musl_too() {
    if is_here() {
        syscalls::system_calls_by_number_are_left_alone(Compiler::Musl);
    }
}

#[test]
fn a_tree_of_both_libraries_is_guarded_throughout() {
    if !is_here() {
        return;
    }
    let start = |compiler| probe("start", compiler).to_str().expect("text").to_owned();
    for (parent, child) in [(Compiler::System, Compiler::Musl), (Compiler::Musl, Compiler::System)]
    {
        let sandbox = Sandbox::with_stand_ins(parent);
        let (outer, inner, rm) = (start(parent), start(child), sandbox.text("bin/rm"));
        let words = [
            &*outer,
            "--env=empty",
            "posix_spawn",
            &inner,
            &inner,
            "--in=vfork",
            "execve",
            &rm,
            "rm",
            "x",
        ];
        for allowed in [true, false] {
            let server =
                Server::judging(Transport::Unix, move |command| allowed || command != "rm x");
            let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
            let questions = server.take_commands();
            assert_eq!(questions.len(), 2, "{parent:?}: {finished:#?}");
            assert_eq!(questions[1], "rm x", "{parent:?}: {finished:#?}");
            let marks = if allowed { vec!["rm x".to_owned()] } else { Vec::new() };
            assert_eq!(sandbox.take_marks(), marks, "{parent:?}: {finished:#?}");
        }
    }
}
