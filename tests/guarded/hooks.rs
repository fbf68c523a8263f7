//! Each function that starts a program: it is checked, the verdict is obeyed, and otherwise it
//! works as without the library.

use scripted_server::Server;

use crate::support::{Compiler, Finished, Run, Sandbox, is_for_linux_alone};
use crate::ways::{Given, functions};

/// Whether this C library lacks a function, by a run of the probe without the library.
pub fn is_missing(bare: &Finished) -> bool {
    bare.stdout.starts_with("1x returned -1000 errno 0 ")
}

pub fn allowed_programs_run_as_they_do_without_the_library(compiler: Compiler) {
    let sandbox = Sandbox::with_stand_ins(compiler);
    let server = Server::allowing();
    let mut missing = 0;
    for function in functions() {
        let words = function.words(&sandbox, compiler, &[]);
        let bare = Run::bare(&sandbox, &words).finish();
        let marks = sandbox.take_marks();
        if is_missing(&bare) {
            missing += 1;
            continue;
        }
        let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!(guarded.seen(), bare.seen(), "{}", function.name);
        assert!(marks.iter().any(|mark| mark == r"rm -rf a\x20b"), "{}: {marks:?}", function.name);
        assert_eq!(sandbox.take_marks(), marks, "{}", function.name);
        let mut questions = vec![function.question()];
        questions.extend(function.questions_of_the_shell());
        assert_eq!(server.take_commands(), questions, "{}", function.name);
    }
    assert!(missing <= 2, "only pidfd_spawn and pidfd_spawnp may be missing");
}

pub fn denied_programs_do_not_run(compiler: Compiler) {
    let sandbox = Sandbox::with_stand_ins(compiler);
    let server = Server::denying();
    for function in functions() {
        let words = function.words(&sandbox, compiler, &[]);
        if is_missing(&Run::bare(&sandbox, &words).finish()) {
            continue;
        }
        sandbox.take_marks();
        let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!(guarded.stdout, function.refusal(1), "{}", function.name);
        let named = match function.given {
            Given::Memory => "/memfd:copy (deleted)",
            Given::Line("$(rm -rf 'a b') `rm`") => "$(rm",
            _ => "rm",
        };
        let notice = format!("rampart: blocked {named}: not here [test-policy]\n");
        assert_eq!(guarded.stderr, notice, "{}", function.name);
        assert_eq!(server.take_commands(), [function.question()], "{}", function.name);
        assert_eq!(sandbox.take_marks(), [""; 0], "{}: the program ran", function.name);
    }
}

#[test]
fn an_allowed_program_runs_exactly_as_it_does_without_the_library() {
    allowed_programs_run_as_they_do_without_the_library(Compiler::System);
}

#[test]
fn a_denied_program_does_not_run_and_its_function_fails_by_its_own_contract() {
    denied_programs_do_not_run(Compiler::System);
}

#[cfg(target_os = "linux")]
#[test]
fn a_call_waits_for_no_library_that_another_thread_is_loading() {
    use crate::support::probe;

    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let slow = format!("--while-loading={}", probe("never_loaded.so", Compiler::System).display());
    // For these two the probe itself calls dlsym(3), which waits for the loader.
    for function in functions().iter().filter(|it| !it.name.starts_with("pidfd")) {
        for place in ["--in=direct", "--in=fork", "--in=vfork"] {
            let words = function.words(&sandbox, Compiler::System, &[&slow, place]);
            let bare = Run::bare(&sandbox, &words).finish();
            let marks = sandbox.take_marks();
            for (mode, asks) in [("enforce", true), ("disabled", false)] {
                let guarded =
                    Run::guarded(&sandbox, &server.url, &words).env("RAMPART_MODE", mode).finish();
                assert_eq!(guarded.seen(), bare.seen(), "{} {place} {mode}", function.name);
                assert_eq!(sandbox.take_marks(), marks, "{} {place} {mode}", function.name);
                assert_eq!(!server.take_commands().is_empty(), asks, "{} {mode}", function.name);
            }
        }
    }
}

#[test]
fn the_thousandth_call_of_a_process_is_checked_like_the_first() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    for (name, place) in [
        ("posix_spawn", "--in=direct"),
        ("system", "--in=direct"),
        ("popen", "--in=direct"),
        ("execve", "--in=direct"),
        ("execvp", "--in=vfork"),
        ("execv", "--in=fork"),
        ("posix_spawnp", "--in=thread"),
    ] {
        let function = functions().iter().find(|it| it.name == name).expect("in the table");
        let words = function.words(&sandbox, Compiler::System, &[place, "--times=1000"]);
        let guarded =
            Run::guarded(&sandbox, &server.url, &words).env("RAMPART_NOTICE", "0").finish();
        assert_eq!(guarded.seen(), (0, &*function.refusal(1000), ""), "{name}");
        assert_eq!(server.take_requests().len(), 1000, "{name}");
        assert_eq!(sandbox.take_marks(), [""; 0], "{name}");
    }
}

#[test]
fn a_call_that_is_denied_the_second_time_only_fails_then() {
    let sandbox = Sandbox::new();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::judging(scripted_server::Transport::Tcp, move |_| {
        asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst).is_multiple_of(2)
    });
    let posix_spawn = functions().iter().find(|it| it.name == "posix_spawn").expect("in the table");
    let words = posix_spawn.words(&sandbox, Compiler::System, &["--times=4"]);
    let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
    let (runs, refused) = ("1x returned 0 errno 77 status 0\n", posix_spawn.refusal(1));
    let spoken: String = guarded.stdout.replace("ran rm\n", "");
    assert_eq!(spoken, [runs, &refused, runs, &refused].concat());
    assert_eq!(sandbox.take_marks().len(), 2);
    assert_eq!(server.take_requests().len(), 4);
}

#[test]
fn a_function_that_this_libc_lacks_is_missing() {
    if is_for_linux_alone("every macOS has every function") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    for function in functions().iter().filter(|it| it.name.starts_with("pidfd")) {
        let words = function.words(&sandbox, Compiler::System, &[]);
        if is_missing(&Run::bare(&sandbox, &words).finish()) {
            let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
            let enosys = format!("1x returned {} errno 77 status -1000\n", libc::ENOSYS);
            assert_eq!(guarded.seen(), (0, &*enosys, ""), "{}", function.name);
            assert_eq!(sandbox.take_marks(), [""; 0], "{}", function.name);
        }
        sandbox.take_marks();
    }
}
