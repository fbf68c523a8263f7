//! The library for Apple silicon in emulated programs: variadic functions get their arguments
//! otherwise than on x86-64.

use scripted_server::Server;

use crate::hooks;
use crate::support::{
    Compiler, EMULATOR, Run, Sandbox, System, is_for_macos_alone, is_left_out, probe, started,
};

/// Whether the tests are to be left out, because programs for Apple silicon are not emulated here.
fn is_not_here() -> bool {
    if *System::here() == System::Mac {
        return is_left_out("a Mac", "the other tests do the same there");
    }
    if is_for_macos_alone() {
        return true;
    }
    assert!(std::path::Path::new(EMULATOR).exists(), "qemu-user is needed (ci/macos-run)");
    false
}

#[test]
fn an_allowed_program_runs_exactly_as_it_does_without_the_library() {
    if !is_not_here() {
        hooks::allowed_programs_run_as_they_do_without_the_library(Compiler::Arm64);
    }
}

#[test]
fn a_denied_program_does_not_run_and_its_function_fails_by_its_own_contract() {
    if !is_not_here() {
        hooks::denied_programs_do_not_run(Compiler::Arm64);
    }
}

#[test]
fn a_variadic_call_with_any_number_of_arguments_keeps_them_all() {
    if is_not_here() {
        return;
    }
    let sandbox = Sandbox::new();
    let variadic = probe("variadic", Compiler::Arm64);
    for allowed in [true, false] {
        let server = if allowed { Server::allowing() } else { Server::denying() };
        for count in (1..=70usize).chain([400, 5000]) {
            let function = ["execl", "execlp", "execle"][count % 3];
            let mut words = started(variadic.to_str().expect("text"), Compiler::Arm64);
            words.extend([function.to_owned(), count.to_string(), sandbox.text("bin/rm")]);
            let finished = Run::guarded(&sandbox, &server.url, &words).finish();
            let mut line = "rm".to_owned();
            for number in 1..count {
                line.extend([" ", &(number % 10).to_string()]);
            }
            let asked = server.take_commands();
            assert!(asked == [&*line], "{function} {count}: {finished:#?}");
            let marks = sandbox.take_marks();
            assert_eq!(marks.len(), usize::from(allowed), "{function} {count}: {finished:#?}");
            // The mark of a longer line is cut.
            if allowed && count <= 70 {
                assert_eq!(marks, [line], "{function}");
            }
        }
    }
}
