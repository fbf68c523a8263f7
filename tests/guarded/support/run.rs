//! Runs a program, with or without the library, with a deadline.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use scripted_server::Server;

use super::probe::{EMULATOR, library};
use super::sandbox::{Sandbox, make_process};
use super::system::{System, preload_variable};

/// A program that runs longer hangs. Far more than any takes on a busy machine.
const LONGEST_RUN: Duration = Duration::from_secs(60);

/// A program to run, in an environment of its own.
pub struct Run {
    command: Command,
    shown: String,
    /// The file in which minidyld reports calls that a Mac would not have.
    wrong: PathBuf,
}

impl Run {
    /// Without the library.
    pub fn bare<Word: AsRef<OsStr>>(sandbox: &Sandbox, words: &[Word]) -> Self {
        let (program, arguments) = words.split_first().expect("a program");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", sandbox.search_path())
            .env("HOME", sandbox.path("home"))
            .env("TMPDIR", sandbox.path("tmp"))
            .env("MARKS", sandbox.path("marks"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(sandbox.path("home"))
            .stdin(Stdio::null())
            .process_group(0);
        let wrong = sandbox.path("wrong");
        if let Some(loader) = System::here().loader(false) {
            command.env("MINIDYLD_WRONG", &wrong);
            // For the emulator it is an option, about the program in it.
            if program.as_ref() != EMULATOR {
                command.env("LD_PRELOAD", loader);
            }
            if let Some(inner) = env::var_os("MINIDYLD_INNER") {
                command.env("MINIDYLD_INNER", inner);
            }
        }
        Self { command, shown: shown(words), wrong }
    }

    /// With the library and the server at `url`, without fail-open.
    pub fn guarded<Word: AsRef<OsStr>>(sandbox: &Sandbox, url: &str, words: &[Word]) -> Self {
        Self::bare(sandbox, words)
            .env(preload_variable(), library())
            .env("RAMPART_URL", url)
            .env("RAMPART_FAIL_OPEN", "0")
            .env("RAMPART_TIMEOUT_MS", "10000")
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets its standard error.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self.shown.push_str(" (stderr elsewhere)");
        self
    }

    /// Runs it to its end.
    ///
    /// Its output goes to files: a pipe would stay open as long as a process that it leaves behind.
    pub fn finish(mut self) -> Finished {
        let stdout = tempfile::tempfile().expect("a file for stdout");
        let stderr = tempfile::tempfile().expect("a file for stderr");
        self.command.stdout(stdout.try_clone().expect("stdout twice"));
        if !self.shown.ends_with("(stderr elsewhere)") {
            self.command.stderr(stderr.try_clone().expect("stderr twice"));
        }
        let begun = Instant::now();
        let mut child = make_process(|| self.command.spawn())
            .unwrap_or_else(|why| panic!("{}: {why}", self.shown));
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                break Some(status);
            }
            if begun.elapsed() > LONGEST_RUN {
                let group = libc::pid_t::try_from(child.id()).expect("a pid");
                // SAFETY: takes no pointer; the group is the child's own.
                unsafe { libc::kill(-group, libc::SIGKILL) };
                child.wait().expect("a child can be waited for");
                break None;
            }
            thread::sleep(Duration::from_millis(1));
        };
        let took = begun.elapsed();
        let (stdout, stderr) = (content(stdout), content(stderr));
        let Some(status) = status else {
            panic!("it hangs: {}\nstdout: {stdout}\nstderr: {stderr}", self.shown);
        };
        let wrong = fs::read_to_string(&self.wrong).unwrap_or_default();
        assert_eq!(wrong, "", "{}: the library used what a Mac does not have", self.shown);
        Finished { status, stdout, stderr, took, shown: self.shown }
    }
}

fn shown<Word: AsRef<OsStr>>(words: &[Word]) -> String {
    let words: Vec<OsString> = words.iter().map(|word| word.as_ref().to_owned()).collect();
    let mut text = words.join(OsStr::new(" ")).to_string_lossy().into_owned();
    if let Some((cut, _)) = text.char_indices().nth(300) {
        text.truncate(cut);
    }
    text
}

fn content(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("a file can be read again");
    file.read_to_end(&mut bytes).expect("a file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until another thread or process has done something, with a deadline.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONGEST_RUN, "{what}: not after {LONGEST_RUN:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Shows that `server` is asked about a program: for tests in which nothing else is asked.
#[track_caller]
pub fn assert_guarded(sandbox: &Sandbox, server: &Server) {
    Run::guarded(sandbox, &server.url, &["sh", "-c", "curl proof"]).finish();
    assert_eq!(server.take_commands(), ["curl proof"]);
    sandbox.take_marks();
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// At least so long: that something was waited for shows on a busy machine too.
    pub took: Duration,
    shown: String,
}

impl Finished {
    /// The exit status as a shell tells it: 128 and more for a signal.
    pub fn code(&self) -> i32 {
        self.status.code().or(self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    /// What its caller sees: exit status, stdout, stderr.
    pub fn seen(&self) -> (i32, &str, &str) {
        (self.code(), &self.stdout, &self.stderr)
    }

    /// Asserts that it exited with status 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code(), 0, "{}: {self:#?}", self.shown);
        self
    }
}
