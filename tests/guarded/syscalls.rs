//! `syscall(2)`: the numbers of exec are checked, all others are passed on unchanged.

use scripted_server::Server;

use crate::support::{Compiler, Run, Sandbox, assert_guarded, is_for_linux_alone, probe};

pub fn system_calls_by_number_are_left_alone(compiler: Compiler) {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let syscalls = probe("syscalls", compiler);
    let bare = Run::bare(&sandbox, &[&syscalls]).finish().success();
    assert!(bare.stdout.contains("mmap: 1 77\n"), "{bare:#?}");
    assert!(bare.stdout.contains("copied!\n"), "{bare:#?}");
    let guarded = Run::guarded(&sandbox, &server.url, &[&syscalls]).finish();
    assert_eq!(guarded.seen(), bare.seen());
    assert_eq!(server.connections(), 0);
    assert_guarded(&sandbox, &server);
}

#[test]
fn system_calls_by_number_keep_all_their_arguments_and_their_errno() {
    if is_for_linux_alone("syscall(2) is not intercepted there") {
        return;
    }
    system_calls_by_number_are_left_alone(Compiler::System);
}

#[test]
fn an_exec_by_number_is_checked_whatever_the_upper_bits_of_the_number() {
    if is_for_linux_alone("syscall(2) is not intercepted there") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let wide = probe("wide_number", Compiler::System);
    for function in ["execve", "execveat"] {
        let words = [wide.to_str().expect("text"), function, &sandbox.text("bin/rm")];
        Run::bare(&sandbox, &words).finish().success();
        assert_eq!(sandbox.take_marks(), ["rm x"], "the kernel runs it");
        Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!(server.take_commands(), ["rm x"], "{function}");
        assert_eq!(sandbox.take_marks(), [""; 0], "{function}");
    }
}
