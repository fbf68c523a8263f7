//! The descriptors of the program, which the library must leave alone.

use scripted_server::{Server, Transport};

use crate::connections::{YES, start};
use crate::support::{Compiler, Run, Sandbox, is_for_linux_alone, is_left_out, probe};
use crate::ways::had;

#[test]
fn a_program_that_takes_our_descriptor_keeps_what_it_put_there() {
    for transport in Transport::BOTH {
        let server = Server::judging(transport, |_| true);
        let sandbox = Sandbox::new();
        let takes = probe("takes_descriptors", Compiler::System);
        for way in ["close", "close_range", "dup2", "socket", "owned"] {
            let words = [takes.to_str().expect("text"), way, &sandbox.text("bin/rm")];
            let finished = Run::guarded(&sandbox, &server.url, &words).finish();
            let told = finished.stdout.replace("ran rm\n", "");
            assert_eq!((finished.code(), &*told), (0, "untouched\n"), "{way}: {finished:#?}");
            assert_eq!(sandbox.take_marks().len(), 4, "{way}");
            assert_eq!(server.take_requests().len(), 4, "{way}");
        }
    }
}

#[test]
fn descriptors_mask_and_dispositions_are_as_before_but_for_the_kept_connection() {
    let kept = "kept socket close-on-exec\n";
    for (function, place, left) in [
        ("posix_spawn", "direct", kept),
        ("posix_spawnp", "thread", kept),
        ("system", "direct", kept),
        ("popen", "direct", kept),
        ("execve", "fork", ""),
        ("execvp", "vfork", ""),
        ("execl", "clone", ""),
        ("fexecve", "vfork", ""),
        ("execvP", "vfork", ""),
    ] {
        if had(&[function]).is_empty() {
            continue;
        }
        for allowed in [true, false] {
            let server = Server::judging(Transport::Unix, move |_| allowed);
            let sandbox = Sandbox::new();
            let place = format!("--in={place}");
            let words = start(&sandbox, &["--audit", &place, "--times=3"], function);
            let finished =
                Run::guarded(&sandbox, &server.url, &words).env("RAMPART_NOTICE", "0").finish();
            let audit = finished.stdout.split_once("descriptors").expect("an audit").1;
            let audit = format!("descriptors{audit}");
            let expected = format!(
                "descriptors same\n{left}mask same\ndispositions same\nmappings +0\nresident flat\n"
            );
            assert_eq!(audit, expected, "{function} {place}");
            assert!(server.take_requests().len() >= 4);
            assert_eq!(sandbox.take_marks().len(), if allowed { 4 } else { 0 });
        }
    }
}

#[test]
fn what_a_program_writes_to_its_closed_streams_does_not_reach_the_server() {
    let scribbles = probe("scribbles", Compiler::System);
    for transport in Transport::BOTH {
        // Two questions on a connection: the first on a new one, the second on a kept one.
        let server = Server::scripted(transport, |exchange| {
            for _ in 0..2 {
                let Some(question) = exchange.read() else { return };
                assert!(question.head.starts_with("POST "), "{}", question.head);
                // Gives the scribbling thread time to write to the connection, if it can.
                std::thread::sleep(std::time::Duration::from_millis(30));
                exchange.send(YES);
            }
        });
        let sandbox = Sandbox::new();
        let words = [scribbles.to_str().expect("text"), &sandbox.text("bin/rm")];
        let finished =
            Run::guarded(&sandbox, &server.url, &words).env("RAMPART_FAIL_OPEN", "0").finish();
        assert_eq!(finished.status.code(), Some(3), "{finished:#?}");
        assert_eq!(sandbox.take_marks().len(), 3);
        for question in server.take_requests() {
            assert_eq!(question.command(), "rm scribbled", "{transport:?}");
        }
    }
}

#[test]
fn what_a_program_opens_meanwhile_gets_the_number_of_the_stream_that_it_has_closed() {
    if is_for_linux_alone("its calls can be held up") {
        return;
    }
    let streams = probe("streams", Compiler::System);
    for transport in Transport::BOTH {
        let server = Server::judging(transport, |_| true);
        let sandbox = Sandbox::new();
        let words = [streams.to_str().expect("text"), &sandbox.text("bin/tool")];
        let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
        if finished.stdout == "no seccomp\n"
            && is_left_out("this machine", "nobody may hold up system calls here")
        {
            return;
        }
        let said = finished.stdout.lines().last();
        assert_eq!(said, Some("looked and wrong 0"), "{transport:?}: {finished:#?}");
        assert_eq!(sandbox.take_marks().len(), 3, "{transport:?}");
        assert_eq!(server.take_commands().len(), 3, "{transport:?}");
    }
}

#[test]
fn a_new_pid_namespace_is_begun_by_the_program_and_not_by_a_check() {
    if is_for_linux_alone("there are no namespaces") {
        return;
    }
    let server = Server::allowing();
    let sandbox = Sandbox::new();
    // The first child becomes the init of the namespace, which ends with it.
    let script = "import ctypes, os, sys
os.close(0)
assert ctypes.CDLL(None).unshare(0x20000000) == 0
child = os.posix_spawn(sys.argv[1], ['sh', '-c', 'echo $$'], os.environ)
assert os.waitpid(child, 0)[1] == 0
";
    let shell = sandbox.text("tools/sh");
    let finished = Run::guarded(&sandbox, &server.url, &["python3", "-c", script, &shell]).finish();
    if finished.stderr.contains("AssertionError") && is_left_out("this machine", "no namespaces") {
        return;
    }
    assert_eq!(finished.seen(), (0, "1\n", ""));
    assert!(server.take_commands().contains(&"sh -c 'echo $$'".to_owned()));
}
