//! Other projects' programs and tests have the same results and output with the library as without.
//!
//! Everything runs twice without the library first. Lines in which those two runs differ (a time, a
//! process ID) are ignored; all others must be the same with the library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use scripted_server::{Server, Transport};

use crate::support::{Sandbox, library};
use crate::watched::{Ended, Watched};

/// More than the longest of them takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(900);

/// A directory to run in, and a server that allows everything.
pub struct Workspace {
    sandbox: Sandbox,
    server: Server,
}

impl Workspace {
    pub fn new() -> Self {
        // TCP, because programs that drop privileges cannot reach a socket in the test's directory.
        Self { sandbox: Sandbox::new(), server: Server::judging(Transport::Tcp, |_| true) }
    }

    /// An empty directory to run in.
    pub fn directory(&self, name: &str) -> PathBuf {
        let directory = self.sandbox.path("home").join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("the last run's directory can go");
        }
        fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    /// Starts `words` in an environment of its own.
    pub fn start(&self, directory: &Path, words: &[&str], guarded: bool) -> Watched {
        let (program, arguments) = words.split_first().expect("a program");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.sandbox.path("home"))
            .env("TMPDIR", self.sandbox.path("tmp"))
            .env("SOURCES", sources())
            .env("LC_ALL", "C.UTF-8")
            .current_dir(directory);
        if guarded {
            command
                .env("LD_PRELOAD", library())
                .env("RAMPART_URL", &self.server.url)
                .env("RAMPART_FAIL_OPEN", "0")
                .env("RAMPART_TIMEOUT_MS", "20000");
        }
        Watched::start(&mut command, TIMEOUT)
    }

    /// How many questions were asked since this was last called.
    pub fn questions(&self) -> usize {
        self.server.take_requests().len()
    }

    /// Runs a shell script in a directory of its own, always the same one.
    fn script(&self, script: &str, guarded: bool) -> Ended {
        let directory = self.directory("work");
        self.start(&directory, &["sh", "-eu", "-c", script], guarded).finish()
    }
}

/// The directory into which `ci/test-full` downloads sources.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("sources")
}

/// Whether `program` is installed; if not, says so.
fn has(program: &str) -> bool {
    let directories = ["/usr/local/bin", "/usr/bin", "/bin"];
    let found = directories.iter().any(|it| Path::new(it).join(program).is_file());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// The lines of a text; those in which `first` and `second` differ are replaced.
fn telling<'t>(text: &'t str, first: &str, second: &str) -> Vec<&'t str> {
    let (first, second): (Vec<_>, Vec<_>) = (first.lines().collect(), second.lines().collect());
    assert_eq!(first.len(), second.len(), "two runs without the library differ in length");
    let alike = |at: usize| first.get(at) == second.get(at);
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| if alike(at) || at >= first.len() { line } else { "(varies)" }).collect()
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Keeps an output for a person to look at.
fn keep(what: &str, run: &str, output: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{what} {run}.txt"));
    fs::write(&file, output).expect("a file");
    file
}

/// The order of an output's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Fixed,
    /// That in which parallel jobs happen to write.
    ByChance,
}

/// Asserts that a script does the same with the library as without.
fn demand_same(what: &str, order: Order, script: &str) {
    let ground = Workspace::new();
    let begun = Instant::now();
    let first = ground.script(script, false);
    let bare_took = begun.elapsed();
    let second = ground.script(script, false);
    assert_eq!((first.code, second.code), (0, 0), "{what} fails without the library: {first:#?}");
    assert_eq!(ground.questions(), 0, "{what} was asked about without the library");
    let begun = Instant::now();
    let guarded = ground.script(script, true);
    let guarded_took = begun.elapsed();
    assert_eq!(guarded.code, 0, "{what} fails with the library: {guarded:#?}");
    for stream in [|it: &Ended| it.stdout.clone(), |it: &Ended| it.stderr.clone()] {
        let [first, second, guarded] = [&first, &second, &guarded].map(|ended| match order {
            Order::Fixed => stream(ended),
            Order::ByChance => sorted(&stream(ended)),
        });
        let (with, without) =
            (telling(&guarded, &first, &second), telling(&first, &first, &second));
        let changed: Vec<_> = with.iter().zip(&without).filter(|(a, b)| a != b).take(9).collect();
        if !changed.is_empty() {
            let kept = [keep(what, "without", &first), keep(what, "with", &guarded)];
            panic!("{what}, with and without: {changed:#?}\nall of it: {kept:?}");
        }
        assert_eq!(with.len(), without.len(), "{what}: {guarded}");
        let varying = without.iter().filter(|line| **line == "(varies)").count();
        println!("{what}: {} lines alike, {varying} vary by themselves", with.len() - varying);
    }
    let questions = ground.questions();
    assert!(questions > 10, "{what}: {questions} questions");
    println!("{what}: {bare_took:.1?} without, {guarded_took:.1?} with, {questions} questions");
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn a_git_repository_is_made_and_worked_with_byte_for_byte_as_without() {
    if has("git") {
        demand_same("git", Order::Fixed, include_str!("scripts/git.sh"));
    }
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn npm_runs_nested_scripts_as_without() {
    if has("npm") && has("node") {
        demand_same("npm", Order::Fixed, include_str!("scripts/npm.sh"));
    }
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn a_c_project_configures_and_builds_in_parallel_to_the_same_bytes_as_without() {
    if !sources().join("hello.tar").exists() {
        println!("skipped: the sources of GNU hello were not fetched (ci/test-full does)");
        return;
    }
    demand_same("configure", Order::Fixed, include_str!("scripts/configure.sh"));
    demand_same("make -j4", Order::ByChance, include_str!("scripts/make.sh"));
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn perls_own_tests_of_what_starts_programs_end_as_without() {
    if !sources().join("perl/t").exists() {
        println!("skipped: the sources of Perl were not fetched (ci/test-full does)");
    } else if has("perl") {
        demand_same("perl", Order::Fixed, include_str!("scripts/perl.sh"));
    }
}
