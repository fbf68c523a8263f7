//! The connection that a process keeps between its checks, and the descriptors of the program,
//! which the library must leave alone.

use scripted_server::{ALLOWED, DENIED, Exchange, Server, Transport, json_answer};

use crate::support::{Compiler, Run, Sandbox, installed, is_for_linux_alone, probe};

const SPAWNED: &str = "returned 0 errno 77 status 0\n";

pub fn start(sandbox: &Sandbox, options: &[&str], function: &str) -> Vec<String> {
    let mut words = vec![probe("start", Compiler::System).to_str().expect("text").to_owned()];
    words.extend(options.iter().map(|it| (*it).to_owned()));
    words.extend([function.to_owned(), sandbox.text("bin/rm"), "rm".to_owned()]);
    words
}

/// Spawns `times` times from one process; returns how many programs ran.
fn spawn(server: &Server, times: usize) -> usize {
    let sandbox = Sandbox::new();
    let words = start(&sandbox, &[&format!("--times={times}")], "posix_spawn");
    let finished = Run::guarded(&sandbox, &server.url, &words).env("RAMPART_NOTICE", "0").finish();
    let ran = sandbox.take_marks().len();
    if ran == times {
        assert!(finished.stdout.ends_with(&format!("{times}x {SPAWNED}")), "{finished:#?}");
    }
    ran
}

/// Answers `count` questions, then passes the connection to `end`.
fn answers_then(
    transport: Transport,
    count: usize,
    answer: &'static [u8],
    end: fn(&mut Exchange),
) -> Server {
    Server::scripted(transport, move |exchange| {
        for _ in 0..count {
            if exchange.read().is_none() {
                return;
            }
            exchange.send(answer);
        }
        end(exchange);
    })
}

pub const YES: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"allowed\":true}";

#[test]
fn all_checks_of_a_process_use_one_connection() {
    for transport in Transport::BOTH {
        let server = Server::judging(transport, |_| true);
        assert_eq!(spawn(&server, 100), 100);
        assert_eq!((server.connections(), server.take_requests().len()), (1, 100));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"allowed\":true}\r\n0\r\n\r\n";
        let server = answers_then(transport, usize::MAX, chunked, |_| {});
        assert_eq!((spawn(&server, 20), server.connections()), (20, 1));
    }
}

#[test]
fn a_connection_that_is_announced_or_found_to_end_is_replaced() {
    let closing =
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 16\r\n\r\n{\"allowed\":true}";
    let old = b"HTTP/1.0 200 OK\r\nContent-Length: 16\r\n\r\n{\"allowed\":true}";
    let endless = b"HTTP/1.1 200 OK\r\n\r\n{\"allowed\":true}";
    let chatty =
        b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"allowed\":true}HTTP/1.1 200 OK\r\n";
    for transport in Transport::BOTH {
        for (name, answer) in
            [("close", &closing[..]), ("1.0", old), ("until close", endless), ("more", chatty)]
        {
            let server = answers_then(transport, 1, answer, |_| {});
            assert_eq!(spawn(&server, 10), 10, "{name}");
            assert_eq!((server.connections(), server.take_requests().len()), (10, 10), "{name}");
        }
    }
}

#[test]
fn a_kept_connection_that_the_server_closed_meanwhile_is_no_failure() {
    for transport in Transport::BOTH {
        for (name, count, end) in [
            ("closes after the answer", 1, (|_| {}) as fn(&mut Exchange)),
            ("closes after three", 3, |_| {}),
            ("resets", 1, Exchange::reset_on_close),
            ("closes on the next question", 1, |exchange| {
                exchange.read_some();
            }),
        ] {
            if name == "resets" && transport == Transport::Unix {
                continue;
            }
            let server = answers_then(transport, count, YES, end);
            assert_eq!(spawn(&server, 12), 12, "{name} ({transport:?})");
            assert_eq!(server.connections(), 12 / count, "{name} ({transport:?})");
        }
    }
}

#[test]
fn a_kept_connection_that_was_reset_is_closed() {
    let server = answers_then(Transport::Tcp, 1, YES, |exchange| {
        // It is kept by then.
        std::thread::sleep(std::time::Duration::from_millis(20));
        exchange.reset_on_close();
    });
    let sandbox = Sandbox::new();
    let script = "import os, stat, time
def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False
for i in range(5):
    os.waitpid(os.posix_spawnp('rm', ['rm'], os.environ), 0)
    time.sleep(0.1)
print(sum(is_socket(number) for number in range(3, 256)))
";
    let finished = Run::guarded(&sandbox, &server.url, &["python3", "-c", script]).finish();
    // One socket is left: the last, which has not been used since its reset.
    assert_eq!(finished.stdout.replace("ran rm\n", ""), "1\n", "{finished:#?}");
    assert_eq!((sandbox.take_marks().len(), server.connections()), (5, 5));
}

#[test]
fn a_full_queue_is_waited_for_and_is_not_taken_for_no_server() {
    let sandbox = Sandbox::new();
    let server = Server::busy_at_first(|command| !command.starts_with("rm"));
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do rm x & done; wait";
    let finished = Run::guarded(&sandbox, &server.url, &["sh", "-c", script])
        .env("RAMPART_FAIL_OPEN", "1")
        .finish();
    assert_eq!(sandbox.take_marks(), [""; 0], "{finished:#?}");
    assert_eq!(server.take_commands(), ["rm x"; 10], "{finished:#?}");
}

/// Hundreds of clients that retried every millisecond would take the processor from the server.
#[cfg(target_os = "linux")]
#[test]
fn a_client_sleeps_while_the_queue_is_full() {
    if is_for_linux_alone("macOS has no way to wait for a place in the queue") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::busy_at_first(|_| false);
    let burst = probe("burst", Compiler::System);
    let words = [burst.to_str().expect("text"), "10", &sandbox.text("bin/rm")];
    let finished =
        Run::guarded(&sandbox, &server.url, &words).env("RAMPART_FAIL_OPEN", "1").finish();
    let (refused, sleeps) = finished.stdout.trim().split_once(' ').expect("two numbers");
    assert_eq!((refused, &sandbox.take_marks()[..]), ("10", &[][..]), "{finished:#?}");
    // A few for start, queue and answer, and for pages that must be read from disk.
    assert!(sleeps.parse::<u32>().expect("a number") < 100, "{finished:#?}");
}

#[test]
fn the_second_try_is_the_last_and_only_for_a_kept_connection_without_an_answer() {
    for transport in Transport::BOTH {
        // The first connection answers once; from then on every question is cut off.
        let server = Server::scripted(transport, |exchange| {
            if exchange.number == 0 {
                exchange.read();
                exchange.send(YES);
            }
            exchange.read();
        });
        assert_eq!(spawn(&server, 2), 1);
        assert_eq!((server.connections(), server.take_requests().len()), (2, 3));
        // Half an answer is no reason for a second try.
        let server = Server::scripted(transport, |exchange| {
            exchange.read();
            exchange.send(YES);
            exchange.read();
            exchange.send(&YES[..30]);
        });
        assert_eq!((spawn(&server, 2), server.connections()), (1, 1));
    }
}

#[test]
fn an_answer_that_came_before_its_question_does_not_count() {
    // A second answer arrives after the first was read, without a question.
    for transport in Transport::BOTH {
        let server = Server::scripted(transport, |exchange| {
            if exchange.number == 0 {
                exchange.read();
                exchange.send(YES);
                std::thread::sleep(std::time::Duration::from_millis(50));
                exchange.send(YES);
            }
            exchange.answer_all(|_| json_answer(DENIED));
        });
        let sandbox = Sandbox::new();
        let pause = probe("pause", Compiler::System);
        let words = [pause.to_str().expect("text"), &sandbox.text("bin/rm")];
        Run::guarded(&sandbox, &server.url, &words).finish().success();
        assert_eq!(sandbox.take_marks(), ["rm 1"], "{transport:?}");
    }
}

#[test]
fn children_open_connections_of_their_own_and_the_parents_stays() {
    for transport in Transport::BOTH {
        for place in ["fork", "vfork", "clone"] {
            let server = Server::judging(transport, |_| true);
            let sandbox = Sandbox::new();
            let words = start(&sandbox, &[&format!("--in={place}"), "--times=20"], "execv");
            let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
            assert!(finished.stdout.ends_with("20x returned -1000 errno -1000 status 0\n"));
            assert_eq!(sandbox.take_marks().len(), 20);
            let questions = server.take_requests();
            let numbers: Vec<usize> = questions.iter().map(|it| it.connection).collect();
            assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "{place}");
        }
    }
}

#[test]
fn threads_that_check_at_once_all_get_their_own_answer() {
    for transport in Transport::BOTH {
        let server = Server::scripted(transport, |exchange| {
            exchange.answer_all(|question| {
                let odd = question.command().ends_with(['1', '3', '5', '7', '9']);
                json_answer(if odd { DENIED } else { ALLOWED })
            });
        });
        let sandbox = Sandbox::new();
        let threads = probe("threads", Compiler::System);
        let words = [threads.to_str().expect("text"), "8", "50", &sandbox.text("bin/rm")];
        let finished = Run::guarded(&sandbox, &server.url, &words)
            .env("RAMPART_NOTICE", "0")
            .finish()
            .success();
        assert_eq!(finished.stdout.replace("ran rm\n", ""), "wrong: 0\n");
        let marks = sandbox.take_marks();
        assert_eq!(marks.len(), 8 * 25);
        assert!(marks.iter().all(|mark| mark.ends_with(['0', '2', '4', '6', '8'])), "{marks:?}");
        assert_eq!(server.take_requests().len(), 8 * 50);
        assert!(server.connections() < 8 * 50, "most of them were kept");
    }
}

#[test]
fn a_kept_connection_that_cannot_be_written_to_any_more_sends_nobody_a_sigpipe() {
    let server = Server::scripted(Transport::Unix, |exchange| {
        exchange.read();
        exchange.stop_reading();
        exchange.send(YES);
        // Kept open: a closed connection would be noticed before the next question.
        std::thread::sleep(std::time::Duration::from_millis(500));
    });
    assert_eq!((spawn(&server, 2), server.connections()), (2, 2));
}

#[test]
fn a_child_of_the_same_number_in_a_namespace_of_its_own_does_not_share_the_connection() {
    if is_for_linux_alone("there are no namespaces") {
        return;
    }
    let script = "import ctypes, os, sys
def spawn(word):
    os.waitpid(os.posix_spawn(sys.argv[1], ['tool', word], os.environ), 0)
CLONE_NEWPID = 0x20000000
number = os.getpid()
spawn('parent')
assert ctypes.CDLL(None).unshare(CLONE_NEWPID) == 0
(is_done, done), (may_end, end) = os.pipe(), os.pipe()
if os.fork() == 0:
    os.close(end)
    while os.getpid() != number:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            os.read(may_end, 1)
            os._exit(0)
    spawn('child')
    os.write(done, b'x')
    os.read(may_end, 1)
    os._exit(0)
os.read(is_done, 1)
spawn('again')
";
    let sandbox = Sandbox::new();
    let unshare = installed("unshare").unwrap_or_default();
    let unshare = unshare.to_str().expect("text");
    let tool = sandbox.text("bin/tool");
    // As the first process of a namespace, and as the second.
    for first in [
        &["/usr/bin/python3", "-c", script, &tool][..],
        &["/bin/sh", "-c", "python3 \"$@\"; exit $?", "sh", "-c", script, &tool],
    ] {
        let words = [&[unshare, "-pf"], first].concat();
        if unshare.is_empty() || Run::bare(&sandbox, &words).finish().code() != 0 {
            println!("skipped, for unshare -p is not permitted here");
            return;
        }
        sandbox.take_marks();
        let server = Server::allowing();
        Run::guarded(&sandbox, &server.url, &words).finish().success();
        assert_eq!(sandbox.take_marks(), ["tool parent", "tool child", "tool again"]);
        let questions = server.take_requests();
        let of = |word: &str| {
            let mut all = questions.iter();
            all.find(|it| it.command() == format!("tool {word}")).expect("a question").connection
        };
        assert_ne!(of("child"), of("parent"), "{words:?}");
        assert_eq!(of("again"), of("parent"), "{words:?}");
    }
}

#[test]
fn a_vforked_child_leaves_its_parents_connection_where_it_is() {
    if is_for_linux_alone("there Python forks") {
        return;
    }
    let server = Server::allowing();
    let sandbox = Sandbox::new();
    let script = "import os, subprocess, sys
for _ in range(3):
    os.waitpid(os.posix_spawn(sys.argv[1], ['tool', 'own'], os.environ), 0)
    subprocess.run([sys.argv[1], 'child'])
print(len(os.listdir('/proc/self/fd')))
";
    let tool = sandbox.text("bin/tool");
    let words = ["python3", "-c", script, &tool];
    let bare = Run::bare(&sandbox, &words).finish().success();
    let count = |stdout: &str| stdout.lines().last().and_then(|line| line.parse::<usize>().ok());
    let before = server.connections();
    let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
    assert_eq!(server.take_commands().len(), 6);
    // One of the parent, and one of each child.
    assert_eq!(server.connections() - before, 1 + 3);
    assert_eq!(count(&finished.stdout), count(&bare.stdout).map(|count| count + 1));
}
