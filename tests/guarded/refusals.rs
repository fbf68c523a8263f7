//! How a refusal looks (`RAMPART_REFUSAL`): for each function, in each kind of child, with the
//! bytes on the stderr of the child and of the parent.

use std::fs;

use scripted_server::{Server, Transport};

use crate::hooks::is_missing;
use crate::support::{
    Compiler, Finished, Run, Sandbox, System, installed, is_for_linux_alone, probe,
};
use crate::ways::{Family, Function, Given, functions};

const MODES: [&str; 3] = ["errno", "shell", "message"];

/// The wait status of a program that ended with 126.
pub const ENDED_WITH_126: i32 = 126 << 8;

const HOW: &str = "rampart: It did not run. Do not try it again or get round it; if it is needed, ask \
    the user, who can allow it: in policy test-policy that the server has.\n";

/// The message in the mode `errno`.
fn line(name: &str) -> String {
    format!("rampart: blocked {name}: not here [test-policy]\n")
}

/// The message in the other modes.
pub fn text(name: &str) -> String {
    format!("{}{HOW}", line(name))
}

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Program,
    /// `sh -c LINE`
    ShellLine,
}

/// One call, and what is expected of it.
struct Cell<'f> {
    function: &'f Function,
    what: Target,
    place: &'static str,
    mode: &'static str,
    /// How a shell is named that is given by a descriptor.
    opened_shell: String,
}

impl Cell<'_> {
    fn words(&self, sandbox: &Sandbox, compiler: Compiler, child_stderr: &str) -> Vec<String> {
        let start = probe("start", compiler).to_str().expect("text").to_owned();
        let mut words = vec![start, self.place.to_owned(), format!("--stderr={child_stderr}")];
        words.push(self.function.name.to_owned());
        let (path, name, arguments): (_, _, &[&str]) = match self.what {
            Target::Program => ("bin/rm", "rm", &["rm", "-rf", "x"]),
            Target::ShellLine => ("tools/sh", "sh", &["sh", "-c", "rm -rf 'a b'"]),
        };
        match self.function.given {
            Given::Path | Given::Memory => words.push(sandbox.text(path)),
            Given::Name => words.push(name.to_owned()),
            Given::Line(line) => {
                words.push(line.to_owned());
                return words;
            }
        }
        words.extend(arguments.iter().map(|it| (*it).to_owned()));
        words
    }

    /// Whether the library takes it for a shell's line: a shell is recognised by its name, which a
    /// file in memory does not have.
    fn is_line(&self) -> bool {
        match self.function.family {
            Family::System | Family::Popen => true,
            Family::WordExp => false,
            Family::Exec | Family::Spawn => {
                self.what == Target::ShellLine && self.function.given != Given::Memory
            }
        }
    }

    /// Whether a message shell, or the refused process itself, prints the message.
    fn is_told_by_a_program(&self) -> bool {
        self.function.family != Family::WordExp
            && match self.mode {
                "errno" => false,
                "shell" => self.is_line(),
                _ => true,
            }
    }

    /// The probe's output.
    fn outcome(&self) -> String {
        let status = ENDED_WITH_126;
        match self.function.family {
            _ if !self.is_told_by_a_program() => self.function.refusal(1),
            // The child has exited without returning from the call.
            Family::Exec => format!("1x returned -1000 errno -1000 status {status}\n"),
            Family::Spawn => format!("1x returned 0 errno 77 status {status}\n"),
            Family::System => format!("1x returned {status} errno 77 status -1000\n"),
            Family::Popen => format!("1x returned 1 errno 77 status {status}\n"),
            Family::WordExp => unreachable!("it keeps its error"),
        }
    }

    fn is_opened(&self) -> bool {
        let openers = ["fexecve", "fexecve_path_only", "execveat_empty", "syscall_execveat_empty"];
        openers.contains(&self.function.name)
    }

    /// What is written to the child's stderr, and to the parent's. The shell functions start
    /// children that share the parent's.
    fn said(&self) -> (String, String) {
        let name = match (self.function.given, self.what) {
            (Given::Memory, _) => "/memfd:copy (deleted)",
            (Given::Line("$(rm -rf 'a b') `rm`"), _) => "$(rm",
            (Given::Line(_), _) | (_, Target::Program) => "rm",
            (_, Target::ShellLine) if self.is_opened() => &self.opened_shell,
            (_, Target::ShellLine) => "sh",
        };
        let said = match self.mode {
            "errno" => line(name),
            _ if self.is_line() => text("this shell command"),
            _ => text(name),
        };
        match self.function.family {
            Family::Exec => (said, String::new()),
            Family::Spawn if self.mode == "errno" => (String::new(), said),
            Family::Spawn if self.is_told_by_a_program() => (said, String::new()),
            // The caller gets the error; its stderr is not the one that the child would have had.
            Family::Spawn => (String::new(), String::new()),
            Family::System | Family::Popen | Family::WordExp => (String::new(), said),
        }
    }
}

fn places(function: &Function) -> &'static [&'static str] {
    match function.family {
        // To copy the file the probe needs more stack than it gives to a clone.
        Family::Exec if function.given == Given::Memory => &["--in=fork", "--in=vfork"],
        Family::Exec if System::is_macos() => &["--in=fork", "--in=vfork"],
        Family::Exec => &["--in=fork", "--in=vfork", "--in=clone"],
        Family::Spawn => &["--in=direct", "--in=thread"],
        Family::System | Family::Popen | Family::WordExp => &["--in=direct"],
    }
}

fn every_cell(compiler: Compiler) {
    let sandbox = Sandbox::with_stand_ins(compiler);
    let server = Server::denying();
    let child_stderr = sandbox.text("child-stderr");
    let shell = fs::canonicalize(sandbox.path("tools/sh")).expect("a shell");
    let is_sh = shell.ends_with("sh");
    let shell = if is_sh { "sh".to_owned() } else { shell.display().to_string() };
    let mut count = 0;
    for function in functions() {
        let words = function.words(&sandbox, compiler, &[]);
        // This spawn replaces the probe itself.
        let is_exec = function.name == "posix_spawn_setexec";
        if is_exec || is_missing(&Run::bare(&sandbox, &words).finish()) {
            continue;
        }
        sandbox.take_marks();
        for what in [Target::Program, Target::ShellLine] {
            for place in places(function) {
                for mode in MODES {
                    let cell = Cell { function, what, place, mode, opened_shell: shell.clone() };
                    let words = cell.words(&sandbox, compiler, &child_stderr);
                    let case = format!("{mode} {what:?} {compiler:?} {words:?}");
                    let guarded = Run::guarded(&sandbox, &server.url, &words)
                        .env("RAMPART_REFUSAL", mode)
                        .finish();
                    let child = fs::read_to_string(&child_stderr).unwrap_or_default();
                    let _ = fs::remove_file(&child_stderr);
                    // musl's search along PATH sets errno first.
                    let searches = compiler == Compiler::Musl && function.name.ends_with('p');
                    let from = if searches { " errno 2 " } else { " errno 77 " };
                    let outcome = guarded.stdout.replace(from, " errno 77 ");
                    assert_eq!(outcome, cell.outcome(), "{case}: {guarded:#?}");
                    assert_eq!((child, &guarded.stderr), (cell.said().0, &cell.said().1), "{case}");
                    assert_eq!(sandbox.take_marks(), [""; 0], "{case}: it ran");
                    assert_eq!(server.take_commands().len(), 1, "{case}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 100, "{count} cells");
}

#[test]
fn each_function_reports_a_refusal_as_the_mode_says_and_nowhere_else() {
    every_cell(Compiler::System);
}

#[test]
fn the_same_in_programs_of_musl() {
    if is_for_linux_alone("musl") {
        return;
    }
    if installed("musl-gcc").is_some() {
        every_cell(Compiler::Musl);
    } else {
        println!("skipped, for musl-gcc is not installed (Debian: musl-tools)");
    }
}

/// The number of refusals that were reported.
pub fn told(finished: &Finished) -> usize {
    finished.stderr.matches("rampart: blocked ").count()
}

#[test]
fn a_search_along_path_reports_a_refusal_once() {
    let sandbox = Sandbox::new();
    for directory in ["second", "third"] {
        for program in ["rm", "sh"] {
            let file = sandbox.file(&format!("{directory}/{program}"), "#!/bin/true\n");
            assert!(file.exists());
        }
    }
    let path = format!(
        "{}:{}:{}:{}",
        sandbox.text("bin"),
        sandbox.text("second"),
        sandbox.text("third"),
        sandbox.text("tools")
    );
    let python = "import subprocess, sys\n\
        try: sys.exit(subprocess.run(['rm', 'x']).returncode)\n\
        except PermissionError: sys.exit(126)\n";
    let line =
        "import subprocess, sys\nsys.exit(subprocess.run(['sh', '-c', 'rm x']).returncode)\n";
    for (words, walks) in [
        (&["dash", "-c", "rm x; exit $?"][..], true),
        (&["python3", "-c", python], true),
        (&["python3", "-c", line], true),
        (&["bash", "-c", "rm x; exit $?"], false),
    ] {
        if installed(words[0]).is_none() {
            println!("skipped: {} is not installed", words[0]);
            continue;
        }
        for mode in ["shell", "message"] {
            let server = Server::denying_any_with("rm");
            let finished = Run::guarded(&sandbox, &server.url, words)
                .env("PATH", &path)
                .env("RAMPART_REFUSAL", mode)
                .finish();
            assert_eq!((finished.code(), told(&finished)), (126, 1), "{mode}: {finished:#?}");
            assert!(finished.stderr.contains(HOW), "{finished:#?}");
            assert!(!server.take_requests().is_empty());
        }
        let server = Server::denying_any_with("rm");
        let finished = Run::guarded(&sandbox, &server.url, words).env("PATH", &path).finish();
        assert!(finished.code() != 0 && (!walks || told(&finished) >= 1), "{finished:#?}");
    }
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn each_refusal_is_reported_even_if_the_same_was_refused_before() {
    let sandbox = Sandbox::new();
    for (words, times) in [
        (&["dash", "-c", "rm a; rm b; rm a; true"][..], 3),
        (&["bash", "-c", "sh -c 'rm a'; sh -c 'rm a'; true"], 2),
        (&["bash", "-O", "execfail", "-c", "exec rm a; exec rm b; true"], 2),
    ] {
        let server = Server::denying_any_with("rm");
        let finished = Run::guarded(&sandbox, &server.url, words)
            .env("RAMPART_REFUSAL", "shell")
            .finish()
            .success();
        assert_eq!(told(&finished), times, "{finished:#?}");
    }
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn a_spawn_is_reported_on_stderr_if_the_child_would_share_it() {
    let sandbox = Sandbox::new();
    let server = Server::denying();
    let start = probe("start", Compiler::System);
    let start = start.to_str().expect("text");
    let rm = sandbox.text("bin/rm");
    let elsewhere = format!("--stderr={}", sandbox.text("child-stderr"));
    for (options, said) in [
        (&[][..], text("rm")),
        // On macOS the content of file actions is not known.
        (&["--chdir-action"], if System::is_macos() { String::new() } else { text("rm") }),
        (&[&*elsewhere], String::new()),
        (&["--chdir-action", &elsewhere], String::new()),
    ] {
        let words = [&[start][..], options, &["posix_spawn", &rm, "rm", "x"]].concat();
        let finished =
            Run::guarded(&sandbox, &server.url, &words).env("RAMPART_REFUSAL", "shell").finish();
        let refused = "1x returned 1 errno 77 status -1000\n";
        assert_eq!(finished.seen(), (0, refused, &*said), "{words:?}");
        assert_eq!(server.take_requests().len(), 1);
    }
    assert_eq!(sandbox.take_marks(), [""; 0]);
}

#[test]
fn children_have_the_mode_whatever_the_caller_did_to_the_environment() {
    let sandbox = Sandbox::new();
    let server = Server::denying_any_with("rm x");
    for (mode, code) in [("shell", 126), ("errno", 126)] {
        for change in ["env -i", "env -u RAMPART_REFUSAL", "env RAMPART_REFUSAL=message"] {
            // The inner dash is the shell that is refused.
            let line =
                format!("{change} {}/dash -c 'dash -c \"rm x\"; exit $?'", sandbox.text("tools"));
            let server_line = format!("{line}; exit $?");
            let server = Server::judging(Transport::Unix, |command| command != "dash -c 'rm x'");
            let finished = Run::guarded(&sandbox, &server.url, &["bash", "-c", &server_line])
                .env("RAMPART_REFUSAL", mode)
                .env("PATH", sandbox.search_path())
                .finish();
            let is_line = finished.stderr.contains("blocked this shell command");
            assert_eq!((finished.code(), is_line), (code, mode == "shell"), "{finished:#?}");
            assert_eq!(sandbox.take_marks(), [""; 0]);
        }
    }
    drop(server);
    // By default a child gets no such variable.
    let server = Server::allowing();
    let finished = Run::guarded(&sandbox, &server.url, &["bash", "-c", "env; true"]).finish();
    assert!(finished.stdout.contains("RAMPART_MODE=enforce"), "{finished:#?}");
    assert!(!finished.stdout.contains("RAMPART_REFUSAL"), "{finished:#?}");
}
