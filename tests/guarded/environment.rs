//! Children are guarded like their parent, whatever was done to the environment, and get all other
//! entries unchanged.

use std::fs;
use std::path::Path;
use std::process::Command;

use scripted_server::{Server, Transport};

use crate::support::{
    Compiler, Run, Sandbox, System, assert_guarded, is_for_linux_alone, library, preload_variable,
    probe, wait_until,
};
use crate::ways::had;

const OURS: [&str; 12] = [
    "LD_PRELOAD=",
    "DYLD_INSERT_LIBRARIES=",
    "RAMPART_URL=",
    "RAMPART_TOKEN=",
    "RAMPART_MODE=",
    "RAMPART_FAIL_OPEN=",
    "RAMPART_AGENT=",
    "RAMPART_SESSION=",
    "RAMPART_DEBUG=",
    "RAMPART_NOTICE=",
    "RAMPART_TIMEOUT_MS=",
    "RAMPART_ADDRESS=",
];

const WITH_ENVP: [&str; 9] = [
    "execve",
    "execvpe",
    "execle",
    "fexecve",
    "execveat",
    "syscall_execve",
    "syscall_execveat",
    "posix_spawn",
    "posix_spawnp",
];
const WITH_ENVIRON: [&str; 7] = ["execv", "execvp", "execvP", "execl", "execlp", "system", "popen"];

fn text(name: &str) -> String {
    probe(name, Compiler::System).to_str().expect("text").to_owned()
}

/// The entry of this preload list.
fn entry(list: &str) -> String {
    format!("{}={list}", preload_variable())
}

/// The library's entries of a dump, sorted, and the others in their order.
fn split(dump: &str) -> (Vec<&str>, Vec<&str>) {
    // The count of repairs comes with each repair.
    let lines = dump.lines().filter(|line| !line.starts_with("RAMPART_AGAIN="));
    let (mut ours, others): (Vec<_>, Vec<_>) =
        lines.partition(|line| OURS.iter().any(|name| line.starts_with(name)));
    ours.sort_unstable();
    (ours, others)
}

/// The entries that each child below must have. A child of Apple's shell has no preload list.
fn wanted(url: &str, preload: Option<&str>) -> Vec<String> {
    let mut wanted = vec![
        "RAMPART_AGENT=preload".to_owned(),
        "RAMPART_FAIL_OPEN=0".to_owned(),
        "RAMPART_MODE=enforce".to_owned(),
        "RAMPART_NOTICE=1".to_owned(),
        "RAMPART_SESSION=s-1".to_owned(),
        "RAMPART_TIMEOUT_MS=10000".to_owned(),
        "RAMPART_TOKEN=t0ken".to_owned(),
        format!("RAMPART_URL={url}"),
    ];
    wanted.extend(preload.map(entry));
    wanted.sort_unstable();
    wanted
}

/// Starts `dump` by each function with an environment that was changed in this `way`.
fn tamper(way: &str, value: &str, preload: &str) {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    for function in had(&[&WITH_ENVP[..], &WITH_ENVIRON].concat()) {
        let is_shell = matches!(function, "system" | "popen");
        let is_lost = is_shell && System::is_macos();
        if matches!(way, "null" | "cleared") && function == "fexecve" {
            continue; // glibc's fexecve fails for a NULL environment.
        }
        if is_shell && value.contains("::") {
            continue; // The repair by setenv(3) normalises the list.
        }
        let words = [&text("tamper"), way, function, &text("dump"), value];
        let run = |run: Run| {
            let run = run.env("RAMPART_SESSION", "s-1").env("RAMPART_TOKEN", "t0ken");
            run.env("RAMPART_NOTICE", "1").finish()
        };
        let bare = run(Run::bare(&sandbox, &words));
        let guarded = run(Run::guarded(&sandbox, &server.url, &words));
        let clean = |text: &str| text.replace("read ", "");
        let (bare_dump, dump) = (clean(&bare.stdout), clean(&guarded.stdout));
        let ((_, others_bare), (ours, others)) = (split(&bare_dump), split(&dump));
        let list = (!is_lost).then_some(preload);
        assert_eq!(ours, wanted(&server.url, list), "{way}, {function}: {guarded:#?}");
        // A shell keeps only valid variables, in an order of its own.
        if !is_shell {
            assert_eq!(others, others_bare, "{way}, {function}");
        }
        assert_eq!(guarded.stderr, "", "{way}, {function}");
        let asked = server.take_commands();
        let times = 1 + usize::from(is_shell && !is_lost);
        assert_eq!(asked, vec![text("dump"); times], "{way}, {function}");
    }
}

#[test]
fn children_keep_the_guard_whatever_was_done_to_the_environment() {
    let ours = library().to_str().expect("text").to_owned();
    for way in [
        "nothing",
        "empty",
        "null",
        "no preload",
        "poison",
        "poison behind",
        "only poison",
        "odd",
        "many",
        "cleared",
    ] {
        tamper(way, "", &ours);
    }
}

#[test]
fn other_preloaded_libraries_are_kept_and_this_one_is_there_once() {
    let ours = library().to_str().expect("text").to_owned();
    let other = text("other.so");
    for (given, kept) in [
        (String::new(), ours.clone()),
        (other.clone(), format!("{ours}:{other}")),
        (format!("{other} {other}"), format!("{ours}:{other}:{other}")),
        (format!("{other}:{ours}"), format!("{ours}:{other}")),
        (format!("{ours}:{ours}"), ours.clone()),
        (format!(" :{ours}:: {other}"), format!(r"\x20:{ours}::\x20{other}")),
    ] {
        if given.contains(' ') && System::is_macos() {
            continue; // For dyld a space is part of a name.
        }
        tamper("preload", &entry(&given), &kept);
    }
}

#[test]
fn a_library_that_was_preloaded_with_this_one_stays_in_children_that_lost_the_list() {
    let ours = library().to_str().expect("text").to_owned();
    let other = text("other.so");
    let preload = preload_variable();
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    for list in [format!("{ours}:{other}"), format!("{other} {ours}")] {
        if list.contains(' ') && System::is_macos() {
            continue;
        }
        let words = [&text("tamper"), "empty", "execve", &text("dump")];
        let finished =
            Run::guarded(&sandbox, &server.url, &words).env(preload, &list).finish().success();
        let (ours, _) = split(&finished.stdout);
        assert_eq!(ours[0], entry(&format!("{}:{other}", library().display())));
        let script = format!("env -u {preload} OTHER_SPEAKS=1 tool x");
        let words = ["sh", "-c", &script];
        let finished = Run::guarded(&sandbox, &server.url, &words).env(preload, &list).finish();
        assert_eq!(finished.stdout, "other library loaded\nran tool\n");
    }
}

#[test]
fn another_library_whose_name_ends_alike_is_not_taken_for_this_one() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let ours = library().to_str().expect("text").to_owned();
    let name = library().file_name().expect("a name").to_str().expect("text").to_owned();
    let alike = sandbox.text(&format!("tmp/not{name}"));
    fs::copy(probe("other.so", Compiler::System), &alike).expect("a copy");
    let list = format!("{alike}:{ours}");
    let words = [&text("tamper"), "empty", "execve", &text("dump")];
    let finished =
        Run::guarded(&sandbox, &server.url, &words).env(preload_variable(), &list).finish();
    let (ours, _) = split(&finished.stdout);
    let expected = entry(&format!("{}:{alike}", library().display()));
    assert_eq!(ours.first(), Some(&&*expected), "{finished:#?}");
}

#[test]
fn an_environment_that_moves_during_the_check_is_read_after_it() {
    if is_for_linux_alone("a vfork child does not share memory there") {
        return;
    }
    let sandbox = Sandbox::new();
    for function in ["execv", "execvp", "execl", "execlp"] {
        let moved = sandbox.path(function);
        let is_done = moved.clone();
        let server = Server::judging(Transport::Unix, move |_| {
            wait_until("the environment has moved", || is_done.exists());
            true
        });
        let words = [text("environ_moves"), function.into(), moved.to_str().expect("text").into()];
        let finished = Run::guarded(&sandbox, &server.url, &words).finish();
        assert_eq!(finished.stdout, "some value that is a little longer\nstatus 0\n", "{function}");
        assert_eq!(server.take_commands(), ["sh -c 'echo ${NEW_999-unset}'"]);
    }
}

#[test]
fn another_library_that_stands_in_front_of_the_same_functions_is_called_in_its_turn() {
    if is_for_linux_alone("dyld's interposing does not depend on the order of libraries") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guarded/probes/behind.c");
    let ours = library().to_str().expect("text").to_owned();
    for table in ["gnu", "sysv", "both"] {
        let behind = sandbox.text("behind.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o", &behind]).arg(format!("-Wl,--hash-style={table}"));
        assert!(cc.arg(&source).status().expect("a C compiler").success());
        for (function, said) in [
            ("execve", "behind: execve\n"),
            ("posix_spawn", "behind: posix_spawn\n"),
            ("fexecve", ""),
        ] {
            let words = [text("start"), function.into(), sandbox.text("bin/rm"), "rm".into()];
            let run = Run::guarded(&sandbox, &server.url, &words)
                .env("LD_PRELOAD", format!("{ours}:{behind}"));
            let finished = run.finish().success();
            assert!(
                finished.stdout.starts_with(&format!("{said}ran rm\n")),
                "{table}: {finished:#?}"
            );
            assert_eq!((server.take_commands().len(), sandbox.take_marks().len()), (1, 1));
        }
        // It may find a program where there seems to be none.
        let (allowing, denying) = (Server::allowing(), Server::denying());
        for (server, runs) in [(&allowing, 1), (&denying, 0)] {
            for function in ["execve", "posix_spawn"] {
                let words = [&*text("start"), function, "/mapped/rm", "rm"].map(str::to_owned);
                let run = Run::guarded(&sandbox, &server.url, &words)
                    .env("BEHIND_MAPS", sandbox.path("bin"))
                    .env("LD_PRELOAD", format!("{ours}:{behind}"));
                let finished = run.finish();
                assert_eq!(finished.stdout.matches("ran rm\n").count(), runs, "{finished:#?}");
                assert_eq!((server.take_commands().len(), sandbox.take_marks().len()), (1, runs));
            }
        }
    }
}

#[test]
fn a_relative_preload_path_is_absolute_in_children() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let name = library().file_name().expect("a name").to_str().expect("text").to_owned();
    fs::copy(library(), sandbox.path("home").join(&name)).expect("a copy");
    let home = sandbox.path("home").canonicalize().expect("a home");
    for given in ["./", "../home/", "././"].map(|directory| format!("{directory}{name}")) {
        // The second program is started in another directory, and starts the third.
        let dump = text("dump");
        let script = format!("cd / && sh -c 'rm x && {dump}'");
        let finished = Run::guarded(&sandbox, &server.url, &["sh", "-c", &script])
            .env(preload_variable(), &given)
            .finish()
            .success();
        assert_eq!(finished.stderr, "", "{given}: the loader found it everywhere");
        assert_eq!(server.take_commands().len(), 3, "{given}");
        let (ours, _) = split(&finished.stdout);
        let list = ours[0].strip_prefix(&entry("")).expect("a preload list");
        let path = std::path::Path::new(list).canonicalize().expect("one library");
        assert_eq!(path, home.join(&name));
    }
}

#[test]
fn what_was_read_at_load_counts_for_the_life_of_the_process() {
    let sandbox = Sandbox::new();
    for (name, value) in [
        ("RAMPART_MODE", "disabled"),
        ("RAMPART_MODE", "monitor"),
        ("RAMPART_URL", "unix:///nonexistent"),
        ("RAMPART_FAIL_OPEN", "1"),
        (preload_variable(), ""),
    ] {
        let server = Server::denying();
        let script = format!(
            "import os\nos.environ['{name}'] = '{value}'\nos.system('rm x')\n\
                     os.environ.clear()\nos.system('rm x')\nos.execv('{}', ['rm', 'x'])",
            sandbox.text("bin/rm")
        );
        let finished = Run::guarded(&sandbox, &server.url, &["python3", "-c", &script]).finish();
        assert_eq!(server.take_commands(), ["rm x"; 3], "{name}={value}: {finished:#?}");
        assert_eq!(sandbox.take_marks(), [""; 0], "{name}={value}");
    }
}

#[test]
fn the_session_is_that_of_the_first_process_in_the_whole_tree() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let sh = sandbox.text("tools/sh");
    let script =
        format!("echo $$; sh -c 'env -i {sh} -c \"/bin/true; /bin/true\"; true'; true; /bin/true");
    let finished = Run::guarded(&sandbox, &server.url, &["sh", "-c", &script]).finish().success();
    let session = format!("preload-{}", finished.stdout.trim());
    let questions = server.take_requests();
    assert_eq!(questions.len(), 6, "{questions:#?}");
    for question in questions {
        assert_eq!(question.json()["session"], *session);
    }
}

#[test]
fn disabled_leaves_everything_alone() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    for function in had(&[&WITH_ENVP[..], &WITH_ENVIRON].concat()) {
        for way in ["empty", "poison", "no preload", "odd"] {
            let words = [&text("tamper"), way, function, &text("dump")];
            let bare = Run::bare(&sandbox, &words)
                .env("RAMPART_MODE", "disabled")
                .env("RAMPART_URL", &server.url)
                .finish();
            let disabled = Run::bare(&sandbox, &words)
                .env(preload_variable(), library())
                .env("RAMPART_MODE", "disabled")
                .env("RAMPART_URL", &server.url)
                .finish();
            let list = entry(library().to_str().expect("text"));
            let lines: Vec<&str> =
                disabled.stdout.lines().filter(|it| !it.ends_with(&list)).collect();
            assert_eq!(lines, bare.stdout.lines().collect::<Vec<_>>(), "{way}, {function}");
        }
    }
    assert_eq!(server.connections(), 0);
    assert_guarded(&sandbox, &server);
}
