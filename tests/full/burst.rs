//! Hundreds of programs that start at the same moment, while the server's queue is short.

use scripted_server::Server;

use crate::soak::answer;
use crate::support::{Compiler, Run, Sandbox, probe};

const CHILDREN: &str = "600";
/// The length of the server's queue: long the usual limit (`listen(2)`, `SOMAXCONN`).
const QUEUE: i32 = 128;
/// Long enough that no check times out on a slow machine.
const TIMEOUT_MS: &str = "60000";

#[test]
#[ignore = "belongs to make test-full"]
fn of_hundreds_that_start_at_one_moment_none_runs_unchecked() {
    let sandbox = Sandbox::new();
    let burst = probe("burst", Compiler::System);
    let record = sandbox.text("record");
    let server = Server::at_socket(&sandbox.path("policy.sock"), Some(QUEUE), move |exchange| {
        answer(exchange, &record);
    });
    for _ in 0..5 {
        let words = [burst.to_str().expect("text"), CHILDREN, &sandbox.text("bin/rm")];
        let finished = Run::guarded(&sandbox, &server.url, &words)
            .env("RAMPART_FAIL_OPEN", "1")
            .env("RAMPART_TIMEOUT_MS", TIMEOUT_MS)
            .env("RAMPART_NOTICE", "0")
            .finish();
        let (refused, _) = finished.stdout.trim().split_once(' ').expect("two numbers");
        assert_eq!((refused, sandbox.take_marks().len()), (CHILDREN, 0), "{}", finished.stderr);
    }
}
