//! `syscall(2)` with any other number than those of exec is none of our business.

use crate::support::{Compiler, Run, Sandbox, Server, probe};

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
}

#[test]
fn system_calls_by_number_keep_all_their_arguments_and_their_errno() {
    system_calls_by_number_are_left_alone(Compiler::System);
}
