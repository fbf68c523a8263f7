//! Hooks in difficult surroundings: shared memory, small stacks, signals, few resources, sandboxes.

use std::fs;
use std::path::Path;

use scripted_server::{Server, Transport};

use crate::support::{
    Compiler, Finished, Run, Sandbox, System, assert_guarded, copy_program, installed,
    is_for_linux_alone, library, linked_probe, probe,
};
use crate::ways::had;

fn text(name: &str) -> String {
    probe(name, Compiler::System).to_str().expect("text").to_owned()
}

#[test]
fn a_program_starts_as_it_would_without_the_library() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let bare = Run::bare(&sandbox, &[text("fresh")]).finish().success();
    for (name, value) in [("RAMPART_MODE", "enforce"), ("RAMPART_DEBUG", "1"), ("RAMPART_URL", "?")]
    {
        let guarded =
            Run::guarded(&sandbox, &server.url, &[text("fresh")]).env(name, value).finish();
        assert_eq!(guarded.stdout, bare.stdout, "{name}={value}");
    }
    assert_guarded(&sandbox, &server);
    assert!(bare.stdout.starts_with("errno 0\ndescriptor 0\n"), "{bare:#?}");
}

/// The audit at the end of `start`'s output.
fn audit(finished: &Finished) -> &str {
    finished.stdout.find("descriptors").map_or("", |at| &finished.stdout[at..])
}

const ALL_THE_SAME: &str =
    "descriptors same\nmask same\ndispositions same\nmappings +0\nresident flat\n";

#[test]
fn two_thousand_vforked_execs_leave_their_parent_as_it_was() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    for (place, environment) in [
        ("vfork", "own"),
        ("vfork", "empty"),
        ("vfork", "large"),
        ("clone", "own"),
        ("clone", "large"),
    ] {
        if place == "clone" && System::is_macos() {
            continue; // macOS has no clone(2).
        }
        let times = if (place, environment) == ("vfork", "own") { 2000 } else { 300 };
        let words = [
            &text("start"),
            "--audit",
            &format!("--in={place}"),
            &format!("--env={environment}"),
            &format!("--times={times}"),
            "execve",
            "/bin/true",
            "true",
        ];
        let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
        let expected = format!("{times}x returned -1000 errno -1000 status 0\n{ALL_THE_SAME}");
        assert_eq!(finished.stdout, expected, "{place}, {environment}");
        assert_eq!(server.take_requests().len(), times + 1);
    }
}

#[test]
fn a_large_environment_leaves_nothing_behind_whichever_thread_had_one_first() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let words = [
        &text("start"),
        "--other-thread-first",
        "--audit",
        "--in=vfork",
        "--env=large",
        "--times=200",
        "execve",
        "/bin/true",
        "true",
    ];
    let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
    assert_eq!(audit(&finished), ALL_THE_SAME);
    assert_eq!(server.take_requests().len(), 202);
}

#[test]
fn a_denied_vfork_child_leaves_its_parent_as_it_was() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    for place in ["fork", "vfork", "clone"] {
        for function in had(&["execve", "execvp", "execvP", "execl", "fexecve", "syscall_execve"]) {
            let place = format!("--in={place}");
            let words = [
                &text("start"),
                "--audit",
                &place,
                "--times=50",
                function,
                &sandbox.text("bin/rm"),
                "rm",
            ];
            let finished = Run::guarded(&sandbox, &server.url, &words)
                .env("RAMPART_NOTICE", "0")
                .finish()
                .success();
            let expected = format!("50x returned -1 errno 1 status -1000\n{ALL_THE_SAME}");
            assert_eq!(finished.stdout, expected, "{place} {function}");
            assert_eq!(server.take_requests().len(), 51);
        }
    }
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn a_process_keeps_its_own_environment() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    // Functions without `envp` that search for the program.
    let functions = had(&["execvp", "execlp", "execvP"]);
    let environ = text("environ");
    let words = [&[environ.as_str(), "tool"], &functions[..]].concat();
    let finished = Run::guarded(&sandbox, &server.url, &words).finish().success();
    let told: Vec<&str> = finished.stdout.lines().filter(|line| line.contains(": ")).collect();
    let mut expected: Vec<String> =
        functions.iter().map(|function| format!("{function}: as it was")).collect();
    expected.extend(["system", "popen"].map(|it| format!("{it}: the library is kept")));
    assert_eq!(told, expected, "{finished:#?}");
    assert_eq!(sandbox.take_marks().len(), functions.len() + 2, "{finished:#?}");
}

#[test]
fn checks_go_on_under_a_storm_of_signals() {
    let sandbox = Sandbox::new();
    for transport in Transport::BOTH {
        for allowed in [true, false] {
            let server = Server::scripted(transport, move |exchange| {
                exchange.answer_all(|_| {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    let answer =
                        if allowed { scripted_server::ALLOWED } else { scripted_server::DENIED };
                    scripted_server::json_answer(answer)
                });
            });
            let words = [&text("storm"), "60", &sandbox.text("bin/rm")];
            let finished = Run::guarded(&sandbox, &server.url, &words)
                .env("RAMPART_NOTICE", "0")
                .finish()
                .success();
            let (ran, refused) = if allowed { (60, 0) } else { (0, 60) };
            let told = format!("ran {ran} refused {refused} other 0 alarms some deaths all\n");
            assert_eq!(finished.stdout.replace("ran rm\n", ""), told);
            assert_eq!(sandbox.take_marks().len(), ran);
            assert_eq!(server.take_requests().len(), 60);
        }
    }
}

#[test]
fn a_check_that_is_left_answers_no_other_question_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    copy_program(sandbox.path("bin/rm"), sandbox.path("bin/slow"));
    for transport in Transport::BOTH {
        for way in ["jump", "exit", "cancel"] {
            let server = Server::scripted(transport, |exchange| {
                exchange.answer_all(|question| {
                    let is_slow = question.command().contains("slow");
                    let pause_ms = if is_slow { 300 } else { 50 };
                    std::thread::sleep(std::time::Duration::from_millis(pause_ms));
                    scripted_server::verdict(is_slow)
                });
            });
            let words = [&text("leaves"), way, &sandbox.text("bin/slow"), &sandbox.text("bin/rm")];
            let finished = Run::guarded(&sandbox, &server.url, &words)
                .env("RAMPART_NOTICE", "0")
                .finish()
                .success();
            let told = format!("{}sockets 1\n", "refused\n".repeat(5));
            assert_eq!(finished.stdout, told, "{way} over {transport:?}: {finished:#?}");
            assert_eq!(sandbox.take_marks(), [""; 0]);
            assert_eq!(server.take_requests().len(), 9, "{way} over {transport:?}");
        }
    }
}

/// Runs `hostile WAY PROGRAM`.
fn hostile(sandbox: &Sandbox, server: &Server, way: &str, fail_open: &str) -> Finished {
    let words = [&text("hostile"), way, &sandbox.text("bin/rm")];
    Run::guarded(sandbox, &server.url, &words)
        .env("RAMPART_FAIL_OPEN", fail_open)
        .env("RAMPART_NOTICE", "0")
        .finish()
}

#[test]
fn without_a_free_descriptor_nothing_runs_unchecked_and_nothing_crashes() {
    let sandbox = Sandbox::new();
    for transport in Transport::BOTH {
        for way in ["no descriptors", "full table"] {
            for fail_open in ["0", "1"] {
                let server = Server::judging(transport, |_| true);
                let finished = hostile(&sandbox, &server, way, fail_open);
                assert_eq!(finished.stdout, "refused\n", "{way}: {finished:#?}");
                assert_eq!((finished.code(), sandbox.take_marks()), (0, Vec::new()), "{way}");
                assert_eq!(server.take_requests().len(), 0, "{way}");
            }
        }
    }
}

#[test]
fn scarce_or_unusual_resources_change_nothing() {
    let sandbox = Sandbox::new();
    for transport in Transport::BOTH {
        for way in [
            "few descriptors",
            "standard streams closed",
            "little memory",
            "in a signal handler",
            "on a signal stack",
            "all signals blocked",
            "children ignored",
            "cancelled thread",
            "non-blocking everything",
            "no file size",
            "other directory removed",
        ] {
            for allowed in [true, false] {
                let server = Server::judging(transport, move |_| allowed);
                let finished = hostile(&sandbox, &server, way, "0");
                let told = if allowed { "ran rm\nran\n" } else { "refused\n" };
                let told = if way == "standard streams closed" {
                    told.replace("ran rm\n", "")
                } else {
                    told.into()
                };
                assert_eq!(finished.stdout, told, "{way} over {transport:?}: {finished:#?}");
                assert_eq!(finished.code(), 0, "{way}: {finished:#?}");
                assert_eq!(sandbox.take_marks().len(), usize::from(allowed), "{way}");
                assert_eq!(server.take_commands(), ["rm x"], "{way}");
            }
        }
    }
}

#[test]
fn a_thread_that_closes_all_descriptors_lets_nothing_run_unchecked() {
    if is_for_linux_alone("a Mac has no close_range") {
        return;
    }
    let sandbox = Sandbox::new();
    for transport in Transport::BOTH {
        let server = Server::judging(transport, |_| false);
        let finished = hostile(&sandbox, &server, "descriptors closed meanwhile", "1");
        assert_eq!(finished.stdout, "refused\n".repeat(100));
        assert_eq!((finished.code(), sandbox.take_marks()), (0, Vec::new()));
        assert!(!server.take_requests().is_empty());
    }
}

/// What a seccomp filter that forbids sockets comes to.
fn forbids_sockets(ways: &[&str]) {
    let sandbox = Sandbox::new();
    for transport in Transport::BOTH {
        for way in ways {
            for (fail_open, told) in [("0", "refused\n"), ("1", "ran rm\nran\n")] {
                let server = Server::judging(transport, |_| false);
                let finished = hostile(&sandbox, &server, way, fail_open);
                assert_eq!(finished.stdout, told, "{way}: {finished:#?}");
                assert_eq!(server.take_requests().len(), 0, "{way}");
                assert_eq!(sandbox.take_marks().len(), usize::from(fail_open == "1"), "{way}");
            }
        }
    }
}

#[test]
fn a_seccomp_filter_that_forbids_sockets_leaves_it_to_fail_open() {
    forbids_sockets(&["socket EPERM", "socket EACCES", "connect EPERM", "connect EACCES"]);
}

#[test]
fn a_seccomp_filter_that_asks_a_handler_about_sockets_leaves_it_to_fail_open() {
    if !is_for_linux_alone("only Linux has such filters") {
        forbids_sockets(&["socket trapped", "connect trapped"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_queue_is_waited_for_also_where_a_seccomp_filter_forbids_to_have_the_kernel_wait() {
    if is_for_linux_alone("no sandbox there forbids these two calls") {
        return;
    }
    let sandbox = Sandbox::new();
    for way in ["setsockopt EPERM", "F_SETFL EACCES"] {
        for (allowed, told) in [(false, "refused\n"), (true, "ran rm\nran\n")] {
            let server = Server::busy_at_first(move |_| allowed);
            let finished = hostile(&sandbox, &server, way, "1");
            assert_eq!(finished.stdout, told, "{way}: {finished:#?}");
            assert_eq!(server.take_commands(), ["rm x"], "{way}: {finished:#?}");
            assert_eq!(sandbox.take_marks().len(), usize::from(allowed), "{way}");
        }
    }
}

#[test]
fn a_constructor_that_starts_a_program_before_ours_is_checked_too() {
    if is_for_linux_alone("dyld initialises inserted libraries first") {
        return;
    }
    let sandbox = Sandbox::new();
    let ours = library().to_str().expect("text").to_owned();
    let early = text("early.so");
    let needing = linked_probe("needs_early", Compiler::System, Some(Path::new(&early)));
    let needing = needing.to_str().expect("text");
    for (list, program) in [
        (format!("{ours}:{early}"), "/bin/true"),
        (format!("{early}:{ours}"), "/bin/true"),
        (ours, needing),
    ] {
        for (allowed, mark) in [(true, 1), (false, 0)] {
            let server = Server::judging(Transport::Unix, move |_| allowed);
            let finished = Run::guarded(&sandbox, &server.url, &[program])
                .env("LD_PRELOAD", &list)
                .env("EARLY", sandbox.path("bin/rm"))
                .env("RAMPART_NOTICE", "0")
                .finish();
            assert_eq!(server.take_commands(), ["rm early"], "{list}: {finished:#?}");
            assert_eq!(sandbox.take_marks().len(), mark, "{list}: {finished:#?}");
            assert_eq!(finished.code(), if allowed { 0 } else { libc::EPERM }, "{finished:#?}");
        }
    }
}

#[test]
fn a_constructor_may_wait_for_a_thread_that_starts_a_program() {
    let sandbox = Sandbox::new();
    let waits = text("waits_for_thread.so");
    let early = text("early.so");
    let needing = linked_probe("needs_early", Compiler::System, Some(Path::new(&early)));
    let needing = needing.to_str().expect("text").to_owned();
    for words in [vec![text("loads"), waits.clone()], vec![needing]] {
        for (mode, allowed) in [("enforce", true), ("enforce", false), ("disabled", false)] {
            let server = Server::judging(Transport::Unix, move |_| allowed);
            let run = || {
                Run::guarded(&sandbox, &server.url, &words)
                    .env("EARLY_LOADS", &waits)
                    .env("RAMPART_MODE", mode)
                    .env("RAMPART_NOTICE", "0")
            };
            assert!(run().finish().stdout.starts_with("called\n"), "{words:?} {mode}");
            let spawned = run().env("STARTED", sandbox.path("bin/tool")).finish();
            let ran = mode == "disabled" || allowed;
            assert_eq!(sandbox.take_marks().contains(&"tool constructed".to_owned()), ran);
            let asked = server.take_commands().contains(&"tool constructed".to_owned());
            assert_eq!(asked, mode != "disabled", "{words:?} {mode}: {spawned:#?}");
        }
    }
}

#[test]
fn a_chroot_without_server_or_library_follows_fail_open() {
    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped, for chroot(2) is for root");
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["root/bin", "root/lib64", "root/lib/x86_64-linux-gnu"] {
        fs::create_dir_all(sandbox.path(name)).expect("directories");
    }
    let loader = "lib64/ld-linux-x86-64.so.2";
    let libc = "lib/x86_64-linux-gnu/libc.so.6";
    if !Path::new("/").join(loader).exists() {
        println!("skipped, for the loader has another name here");
        return;
    }
    for (from, to) in [(format!("/{loader}"), loader), (format!("/{libc}"), libc)] {
        copy_program(from, sandbox.path("root").join(to));
    }
    copy_program(sandbox.path("bin/rm"), sandbox.path("root/bin/rm"));
    for transport in Transport::BOTH {
        for fail_open in ["0", "1"] {
            for allowed in [true, false] {
                let server = Server::judging(transport, move |_| allowed);
                let words = [&text("hostile"), "chroot", &sandbox.text("root")];
                Run::guarded(&sandbox, &server.url, &words)
                    .env("RAMPART_FAIL_OPEN", fail_open)
                    .env("RAMPART_NOTICE", "0")
                    .env("MARKS", "/marks")
                    .finish();
                let marks = sandbox.path("root/marks");
                let ran = fs::read_to_string(&marks).unwrap_or_default() == "rm x\n";
                // Missing if the program did not run.
                let _ = fs::remove_file(&marks);
                // TCP works in a chroot; the path of a Unix socket does not exist there.
                let asked = transport == Transport::Tcp;
                assert_eq!(server.take_requests().len(), usize::from(asked));
                assert_eq!(ran, if asked { allowed } else { fail_open == "1" }, "{transport:?}");
            }
        }
    }
}

#[test]
fn a_network_of_its_own_hides_tcp_but_not_a_unix_socket() {
    let sandbox = Sandbox::new();
    let works = installed("unshare").is_some()
        && Run::bare(&sandbox, &["unshare", "-n", "true"]).finish().code() == 0;
    if !works {
        println!("skipped, for unshare -n is not permitted here");
        return;
    }
    for (transport, reached) in [(Transport::Tcp, false), (Transport::Unix, true)] {
        let server = Server::judging(transport, |_| true);
        Run::guarded(&sandbox, &server.url, &["unshare", "-n", "tool", "x"]).finish();
        assert_eq!(sandbox.take_marks().len(), usize::from(reached));
        assert_eq!(server.take_requests().len(), usize::from(reached));
    }
}
