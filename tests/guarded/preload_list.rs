//! The library in the preload list: always the first, at no moment missing, and not in lists that a
//! loader only prints.

use scripted_server::{Server, Transport};

use crate::support::{Compiler, Run, Sandbox, installed, is_for_linux_alone, probe};

fn text(name: &str, compiler: Compiler) -> String {
    probe(name, compiler).to_str().expect("text").to_owned()
}

#[test]
fn a_library_in_front_that_calls_the_c_library_by_handle_hides_nothing() {
    if is_for_linux_alone("it is about LD_PRELOAD") {
        return;
    }
    let sandbox = Sandbox::new();
    let [by_handle, start] = ["by_handle.so", "start"].map(|name| text(name, Compiler::System));
    let script = format!("LD_PRELOAD={by_handle}:$LD_PRELOAD exec {start} execvp tool tool x");
    let words = ["sh", "-c", &script];
    Run::bare(&sandbox, &words).finish().success();
    assert_eq!(sandbox.take_marks(), ["tool x"]);
    let server = Server::judging(Transport::Unix, |command| command != "tool x");
    Run::guarded(&sandbox, &server.url, &words).finish();
    assert!(server.take_commands().contains(&"tool x".to_owned()));
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn torsocks_hides_nothing() {
    if is_for_linux_alone("it is about LD_PRELOAD") {
        return;
    }
    let Some(torsocks) = installed("torsocks") else {
        println!("skipped, for torsocks is not installed");
        return;
    };
    let sandbox = Sandbox::new();
    let server = Server::judging(Transport::Unix, |command| command != "tool x");
    let script = sandbox.file("home/script", "#!/bin/sh\ntool x\n");
    let words = [torsocks, script];
    Run::bare(&sandbox, &words).finish();
    assert_eq!(sandbox.take_marks(), ["tool x"]);
    Run::guarded(&sandbox, &server.url, &words).finish();
    assert!(server.take_commands().contains(&"tool x".to_owned()));
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn a_loader_lists_the_same_libraries_as_without_the_library() {
    if is_for_linux_alone("it is about LD_PRELOAD") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let start = text("start", Compiler::System);
    let ldd = installed("ldd").expect("libc-bin has it");
    let tool = sandbox.text("bin/tool");
    let traced = format!("LD_TRACE_LOADED_OBJECTS=1 exec {tool} x");
    let by_system = ["env", "LD_TRACE_LOADED_OBJECTS=1", &start, "posix_spawn", &tool, "tool"];
    for words in
        [&["bash", ldd.to_str().expect("text"), &tool][..], &["sh", "-c", &traced], &by_system]
    {
        let listed = |run: Run| {
            let stdout = run.finish().success().stdout;
            let names = stdout.lines().filter_map(|line| line.split_whitespace().next());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let bare = listed(Run::bare(&sandbox, words));
        assert!(bare.contains(&"libc.so.6".to_owned()), "{bare:?}");
        assert_eq!(listed(Run::guarded(&sandbox, &server.url, words)), bare, "{words:?}");
        assert!(!server.take_commands().is_empty(), "{words:?}");
        assert_eq!(sandbox.take_marks(), [""; 0], "{words:?}");
    }
}

#[test]
fn a_program_of_musl_cannot_be_asked_for_a_list_and_stays_guarded() {
    if is_for_linux_alone("it is about LD_PRELOAD") {
        return;
    }
    if installed("musl-gcc").is_none() {
        println!("skipped, for musl-gcc is not installed (Debian: musl-tools)");
        return;
    }
    let sandbox = Sandbox::with_stand_ins(Compiler::Musl);
    let server = Server::judging(Transport::Unix, |command| command != "rm x");
    let start = text("start", Compiler::Musl);
    let rm = sandbox.text("bin/rm");
    let words = [&*start, "execve", &start, "start", "execve", &rm, "rm", "x"];
    Run::guarded(&sandbox, &server.url, &words).env("LD_TRACE_LOADED_OBJECTS", "1").finish();
    assert_eq!(server.take_commands().last().map(String::as_str), Some("rm x"));
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn while_the_environment_is_put_right_the_list_is_never_missing() {
    if is_for_linux_alone("it is about LD_PRELOAD") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let moments = [text("moments", Compiler::System)];
    let finished = Run::guarded(&sandbox, &server.url, &moments).finish();
    assert_eq!(finished.stdout, "looked 1 missed 0 changed 0 repeated 0\n", "{finished:#?}");
    assert_eq!(server.take_commands(), ["exit 3"; 101]);
}
