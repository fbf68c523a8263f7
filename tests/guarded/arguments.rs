//! Arguments of any size and content reach the program unchanged, and the question states them
//! truthfully.

use scripted_server::Server;
use serde_json::json;

use crate::support::{
    Compiler, Run, Sandbox, System, copy_program, installed, is_for_linux_alone, probe,
};
use crate::ways::had;

/// `MAX_ARG_STRLEN` of Linux, the NUL included.
const LONGEST_ARGUMENT: usize = 131_072;

fn start(options: &[&str], rest: &[&str]) -> Vec<String> {
    let mut words = vec![probe("start", Compiler::System).to_str().expect("text").to_owned()];
    words.extend([options, rest].concat().into_iter().map(str::to_owned));
    words
}

#[test]
fn a_variadic_call_with_any_number_of_arguments_keeps_them_all() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let variadic = probe("variadic", Compiler::System).to_str().expect("text").to_owned();
    for function in ["execl", "execlp", "execle"] {
        for count in [0usize, 1, 2, 3, 4, 5, 6, 7, 31, 32, 33, 400, 5000] {
            let program =
                sandbox.text(if function == "execlp" { "bin/../bin/rm" } else { "bin/rm" });
            let words = [&variadic, function, &count.to_string(), &program];
            let bare = Run::bare(&sandbox, &words).finish();
            let marks = sandbox.take_marks();
            assert_eq!(marks.len(), 1, "{function} {count}: {bare:?}");
            let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
            assert_eq!(guarded.seen(), bare.seen(), "{function} {count}");
            assert_eq!(sandbox.take_marks(), marks, "{function} {count}");
            let mut expected = if count == 0 { program } else { "rm".to_owned() };
            for digit in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
                .iter()
                .cycle()
                .skip(1)
                .take(count.saturating_sub(1))
            {
                expected.extend([" ", digit]);
            }
            assert_eq!(server.take_commands(), [expected], "{function} {count}");
        }
    }
}

#[test]
fn a_missing_argument_list_or_environment_is_passed_on_as_it_is() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let rm = sandbox.text("bin/rm");
    for (options, argv, question) in [
        (&["--argv=null"][..], &[][..], &*rm),
        (&[], &[], &rm),
        (&["--env=null"], &["rm", "x"], "rm x"),
        (&["--env=empty"], &["rm", "x"], "rm x"),
        (&[], &["", "x"], &format!("{rm} x")),
        (&[], &["git", "x"], &format!("{rm} x")),
        (&[], &["rm", ""], "rm ''"),
        (
            &[],
            &["rm", "it's", "a\nb", "\"", "\\", "\u{1}", "é"],
            "rm 'it'\\''s' 'a\nb' '\"' '\\' '\u{1}' 'é'",
        ),
    ] {
        for function in had(&["execve", "execveat", "posix_spawn", "execvpe", "syscall_execve"]) {
            if options == ["--argv=null"] && function == "posix_spawn" {
                continue; // glibc's posix_spawn crashes.
            }
            let words = start(options, &[&[function, &rm], argv].concat());
            let bare = Run::bare(&sandbox, &words).finish();
            let marks = sandbox.take_marks();
            let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
            assert_eq!(guarded.seen(), bare.seen(), "{words:?}");
            assert_eq!(sandbox.take_marks(), marks, "{words:?}");
            assert_eq!(marks.len(), 1, "{words:?}");
            assert_eq!(server.take_commands(), [question], "{words:?}");
        }
    }
}

/// What cannot be read fails as it does without the library, unless the C library itself crashes.
pub fn bad_pointers_fail_as_without_the_library(compiler: Compiler) {
    let sandbox = Sandbox::with_stand_ins(compiler);
    let words = [probe("bad_pointers", compiler), sandbox.path("bin/rm")];
    let bare = Run::bare(&sandbox, &words).finish().success().stdout;
    let marks = sandbox.take_marks();
    let (allowing, denying) = (Server::allowing(), Server::denying());
    let guarded = Run::guarded(&sandbox, &allowing.url, &words).finish().success().stdout;
    assert_eq!(sandbox.take_marks(), marks);
    let refused = Run::guarded(&sandbox, &denying.url, &words).env("RAMPART_REFUSAL", "shell");
    let refused = refused.finish().success().stdout;
    assert_eq!(sandbox.take_marks(), [""; 0]);
    let mut fails = 0;
    for ((bare, guarded), refused) in bare.lines().zip(guarded.lines()).zip(refused.lines()) {
        if bare.contains(": signal") || bare.ends_with(": -1000 0 -1000") {
            continue; // This C library crashes, or lacks the function.
        }
        assert_eq!(guarded, bare);
        // What the environment is like does not matter where the program is refused.
        assert!(!refused.contains(": signal"), "{refused}");
        fails += usize::from(bare.contains(&format!(" {} ", libc::EFAULT)));
    }
    assert!(fails > 200, "{bare}");
}

#[test]
fn what_cannot_be_read_fails_as_without_the_library() {
    if is_for_linux_alone("a Mac's kernel does not tell cheaply what can be read") {
        return;
    }
    bad_pointers_fail_as_without_the_library(Compiler::System);
}

#[test]
fn valgrind_finds_no_fault_in_the_look_at_arguments() {
    if is_for_linux_alone("valgrind knows no recent Mac") {
        return;
    }
    let Some(valgrind) = installed("valgrind") else {
        println!("left out: there is no valgrind");
        return;
    };
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let sizes = probe("sizes", Compiler::System);
    for size in ["1", "5", "4093"] {
        let words = ["-q", "--error-exitcode=9"].map(Into::into);
        let [count, byte] = ["3", "a"].map(Into::into);
        let program = [sizes.clone(), sandbox.path("bin/rm"), count, size.into(), byte];
        let words = [&[valgrind.clone()][..], &words, &program].concat();
        let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!((guarded.code(), &*guarded.stderr), (0, ""));
        assert_eq!(sandbox.take_marks().len(), 1, "{guarded:?}");
    }
}

#[test]
fn what_becomes_readable_meanwhile_does_not_run_unasked() {
    if is_for_linux_alone("a Mac's kernel does not tell cheaply what can be read") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let words = [probe("becomes_readable", Compiler::System), sandbox.path("bin/rm")];
    let guarded = Run::guarded(&sandbox, &server.url, &words).finish().success();
    assert_eq!(guarded.stdout, "done\n");
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn arguments_up_to_the_kernels_limits_work_and_longer_ones_fail_as_without_the_library() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let sizes = probe("sizes", Compiler::System).to_str().expect("text").to_owned();
    let rm = sandbox.text("bin/rm");
    let fits = LONGEST_ARGUMENT - 1;
    for (count, size) in [(1, fits), (1, fits + 1), (16, fits), (190_000, 2), (1, 5_000_000)] {
        for byte in ["a", "\\", "'"] {
            let words = [&*sizes, &rm, &count.to_string(), &size.to_string(), byte];
            let bare = Run::bare(&sandbox, &words).finish();
            let marks = sandbox.take_marks();
            let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
            assert_eq!(guarded.seen(), bare.seen(), "{count} arguments of {size}");
            assert_eq!(sandbox.take_marks(), marks, "{count} arguments of {size}");
            let word = match byte {
                "'" => format!("'{}'", r"'\''".repeat(size)),
                "\\" => format!("'{}'", byte.repeat(size)),
                _ => byte.repeat(size),
            };
            let expected = format!("rm{}", format!(" {word}").repeat(count));
            let asked = server.take_commands();
            assert!(asked == [expected], "{count} arguments of {size} bytes were misquoted");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_asked_about_one_by_one_and_reach_the_program() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let rm = sandbox.path("bin/rm");
    let start = probe("start", Compiler::System);
    let bytes: Vec<u8> = (1..=255).collect();
    for function in had(&["execve", "execlp", "posix_spawn", "fexecve", "execvP"]) {
        let function = std::ffi::OsStr::new(function);
        let argument = std::ffi::OsStr::from_bytes(&bytes);
        let words = [start.as_os_str(), function, rm.as_os_str(), "rm".as_ref(), argument];
        let bare = Run::bare(&sandbox, &words).finish();
        let marks = sandbox.take_marks();
        let guarded = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!(guarded.seen(), bare.seen());
        assert_eq!((sandbox.take_marks(), marks.len()), (marks, 1));
        // Byte N is sent as U+00NN, a quote as '\''.
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let expected = format!("rm '{}'", text.replace('\'', r"'\''"));
        assert_eq!(server.take_commands(), [expected]);
    }
}

#[test]
fn the_question_tells_agent_session_directory_and_that_it_is_enforced() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let rm = sandbox.text("bin/rm");
    let home = sandbox.path("home").canonicalize().expect("a home");
    for (options, function, directory) in [
        (&[][..], "execve", Some(&home)),
        (&[], "system", Some(&home)),
        (&["--chdir-action"], "posix_spawn", None),
    ] {
        let words = start(options, &[function, &rm, "rm"]);
        Run::guarded(&sandbox, &server.url, &words)
            .env("RAMPART_AGENT", "the \"agent\"")
            .env("RAMPART_SESSION", "s-1")
            .env("RAMPART_TOKEN", "t0ken")
            .finish()
            .success();
        let question = server.take_requests().swap_remove(0);
        let json = question.json();
        assert_eq!(json["agent"], "the \"agent\"");
        assert_eq!(json["session"], "s-1");
        assert_eq!(json["enforce"], true);
        assert_eq!(json["params"]["command"], if function == "system" { &*rm } else { "rm" });
        assert_eq!(json["cwd"].as_str(), directory.and_then(|it| it.to_str()), "{function}");
        assert!(
            question.head.starts_with("POST /v1/preflight/exec HTTP/1.1\r\nHost: localhost\r\n")
        );
        assert!(question.head.contains("\r\nAuthorization: Bearer t0ken\r\n"));
        assert!(question.head.contains("\r\nContent-Type: application/json\r\n"));
    }
}

#[test]
fn an_argument_list_stays_one_whatever_a_shell_would_make_of_its_words() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    for name in ["coproc", "time", "then", "A=1"] {
        copy_program(sandbox.path("bin/tool"), sandbox.path("bin").join(name));
    }
    let bin = |name: &str| sandbox.text(&format!("bin/{name}"));
    let list = |command: &str| json!({ "command": command, "form": "argv", "coverage": "full" });
    for (function, path, argv0, mark, params) in [
        ("execve", bin("coproc"), "coproc", "coproc ls", list("'coproc' ls")),
        ("execv", bin("time"), "time", "time ls", list("'time' ls")),
        ("posix_spawn", bin("then"), "then", "then ls", list("'then' ls")),
        ("execve", bin("A=1"), "A=1", "A=1 ls", list("'A=1' ls")),
        ("execve", bin("tool"), "rm", "rm ls", {
            let mut params = list(&format!("{} ls", bin("tool")));
            params["argv0"] = "rm".into();
            params
        }),
        ("execve", bin("tool"), "", "'' ls", list(&format!("{} ls", bin("tool")))),
    ] {
        let words = start(&[], &[function, &path, argv0, "ls"]);
        Run::guarded(&sandbox, &server.url, &words).finish().success();
        assert_eq!(sandbox.take_marks(), [mark], "{words:?}");
        let mut asked = server.take_requests().swap_remove(0).json()["params"].take();
        if cfg!(target_os = "macos") {
            asked["coverage"] = "full".into();
        }
        if !System::is_macos() {
            // The process that asks, a child of this one.
            let fields = asked.as_object_mut().unwrap();
            assert!(fields.remove("pid").is_some_and(|pid| pid != std::process::id()));
            assert_eq!(fields.remove("parent"), Some(std::process::id().into()), "{words:?}");
        }
        assert_eq!(asked, params, "{words:?}");
    }
    for function in ["system", "popen", "wordexp"] {
        Run::guarded(&sandbox, &server.url, &start(&[], &[function, "$(tool x)"])).finish();
        let question = server.take_requests().swap_remove(0).json();
        assert_eq!(question["params"]["form"], "line", "{function}");
        assert_eq!(question["params"]["command"], "$(tool x)", "{function}");
    }
}

#[test]
fn the_pipes_of_an_exec_are_part_of_the_question() {
    if is_for_linux_alone("pipes have no inode numbers that others could compare") {
        return;
    }
    let Some(python) = installed("python3") else {
        println!("left out: there is no python3");
        return;
    };
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let pipes = "r, w = os.pipe()\nos.dup2(r, 0)\nos.dup2(w, 1)\n";
    let numbers = "numbers = [str(os.fstat(n).st_ino) for n in (0, 1)]\n";
    let exec = "os.execve(rm, ['rm', *numbers], os.environ)\n";
    let spawn = "os.waitpid(os.posix_spawn(rm, ['rm', *numbers], os.environ), 0)\n";
    let keep = "os.set_inheritable(1, False)\n";
    for (prepare, run, told) in [
        (pipes, exec, [true, true]),
        (&*format!("{pipes}{keep}"), exec, [true, false]),
        (
            "os.close(0)\nos.open('/dev/null', os.O_RDONLY)\nos.dup2(os.pipe()[1], 1)\n",
            exec,
            [false, true],
        ),
        ("os.dup2(os.open('/dev/null', os.O_RDWR), 1)\n", exec, [false, false]),
        // A spawn may change them by file actions.
        (pipes, spawn, [false, false]),
    ] {
        let script =
            format!("import os\nrm = {:?}\n{prepare}{numbers}{run}", sandbox.text("bin/rm"));
        let words = [python.to_str().expect("text"), "-c", &script];
        Run::guarded(&sandbox, &server.url, &words).finish();
        let questions = server.take_requests();
        let question = questions.last().expect("a question").json();
        let command = question["params"]["command"].as_str().expect("a command").to_owned();
        let numbers: Vec<&str> = command.split(' ').skip(1).collect();
        for (at, name) in ["stdin", "stdout"].into_iter().enumerate() {
            let expected = told[at].then(|| format!("pipe:[{}]", numbers[at]));
            let found = question["params"].get(name).and_then(|pipe| pipe.as_str());
            assert_eq!(found, expected.as_deref(), "{name} {script}");
        }
        // It has run, whatever its streams are.
        assert!(!sandbox.take_marks().is_empty(), "{script}");
    }
}
