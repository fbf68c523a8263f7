//! Signal handlers of the parent, which must not run in a vfork child, as that shares its memory.

use scripted_server::{Server, Transport};
use tempfile::TempDir;

use crate::probes::{self, Linked};
use crate::support::{Compiler, Run, Sandbox, probe};
use crate::ways::dawdle;

const TIMES: usize = 40;

#[test]
#[ignore = "belongs to make test-full"]
fn a_check_in_a_vfork_child_is_not_interrupted_by_its_parents_handlers() {
    let built = TempDir::new().expect("a temporary directory");
    let compiled = |name, linked| {
        let path = probes::compiled(built.path(), name, Compiler::System, linked);
        path.to_str().expect("text").to_owned()
    };
    let signals = compiled("signals", Linked::Dynamically);
    let nothing = compiled("nothing", Linked::Statically);
    let sandbox = Sandbox::new();
    let server = Server::scripted(Transport::Unix, dawdle);
    let words = [signals, nothing, TIMES.to_string()];
    let run = Run::guarded(&sandbox, &server.url, &words).finish().success();
    let words: Vec<_> = run.stdout.split_whitespace().collect();
    let &["failures", "0", "in-children", count, "in-parent", "some"] = &words[..] else {
        panic!("{run:?}");
    };
    // Dozens of signals come during each check. While they are blocked they are merged into one,
    // which is delivered after the check; another may come before the exec, as without the library.
    let count: usize = count.parse().expect("a number");
    assert!(count <= 2 * TIMES, "{count} handlers ran during {TIMES} checks");
    println!("{count} handlers ran after {TIMES} checks");
}

#[test]
#[ignore = "belongs to make test-full"]
fn a_server_that_hangs_up_during_a_large_question_causes_no_sigpipe() {
    /// More than a socket takes at once.
    const PARTS: usize = 10;
    let sandbox = Sandbox::new();
    let start = probe("start", Compiler::System).to_str().expect("text").to_owned();
    let part = "x".repeat(100_000);
    for transport in Transport::BOTH {
        let server = Server::scripted(transport, |exchange| {
            exchange.read_some();
        });
        let tool = sandbox.text("bin/tool");
        let mut words = vec![&*start, "posix_spawn", &*tool, "tool"];
        words.extend([&*part; PARTS]);
        let run = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!((run.code(), &*run.stdout), (0, "1x returned 1 errno 77 status -1000\n"));
        assert_eq!(sandbox.take_marks(), [""; 0]);
    }
}
