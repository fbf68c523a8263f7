//! Long runs in which the guarded processes do everything that once got rid of the guard: no denied
//! program runs while there is a server, and each one that runs unchecked is reported.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::probes::{self, Linked};
use crate::support::{Compiler, Sandbox, installed, library};
use crate::watched::{Ended, Watched, run};

const POLICY: &str = r#"version: "1"
default_action: allow
policies:
  - name: no-rm
    match: {tool: exec}
    rules:
      - action: deny
        when: {command_matches: ["rm *"]}
        message: "not here"
"#;
const SCRIPTS: [(&str, &str); 5] = [
    ("losses.sh", include_str!("scripts/losses.sh")),
    ("work.sh", include_str!("scripts/work.sh")),
    ("worker.sh", include_str!("scripts/worker.sh")),
    ("hidden.sh", include_str!("scripts/hidden.sh")),
    ("disturb.sh", include_str!("scripts/disturb.sh")),
];
const TOOLS: [&str; 9] =
    ["fuser", "kill", "killall", "mount", "pidof", "pkill", "setpriv", "sleep", "unshare"];
const TIMEOUT: Duration = Duration::from_secs(240);

/// How often each worker tries. On a busy machine it manages some two hundred tries a minute.
fn times() -> u64 {
    let seconds = std::env::var("RAMPART_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    4 * seconds.unwrap_or(60_u64)
}

/// The command that was built beside the library.
fn rampart() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let rampart = root.join(target).join("release/rampart");
    assert!(rampart.is_file(), "{} is missing: run `make` first", rampart.display());
    rampart
}

fn is_root() -> bool {
    // SAFETY: takes no pointer.
    unsafe { libc::geteuid() == 0 }
}

/// The sandbox of such a run, which other users may enter.
struct LongRun(Sandbox);

impl LongRun {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        for (name, text) in SCRIPTS {
            sandbox.file(name, text);
        }
        sandbox.file("deny.yaml", POLICY);
        sandbox.file("token", "a-token");
        sandbox.file("marks", "");
        sandbox.file("said", "");
        fs::create_dir(sandbox.path("run")).expect("a directory");
        let probe = probes::compiled(
            &sandbox.path("probes"),
            "unreadable",
            Compiler::System,
            Linked::Dynamically,
        );
        fs::rename(probe, sandbox.path("unreadable")).expect("the probe");
        for tool in TOOLS {
            match installed(tool) {
                Some(found) => drop(symlink(found, sandbox.path("tools").join(tool))),
                None => println!("not installed, and left out: {tool}"),
            }
        }
        for (path, mode) in [("", 0o755), ("marks", 0o666), ("home", 0o777), ("token", 0o600)] {
            let permissions = Permissions::from_mode(mode);
            fs::set_permissions(sandbox.path(path), permissions).expect("permissions");
        }
        Self(sandbox)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", self.0.search_path())
            .env("HOME", self.0.path("home"))
            .env("TMPDIR", self.0.path("tmp"))
            .env("XDG_RUNTIME_DIR", self.0.path("run"))
            .env("RAMPART_HOME", self.0.path("rampart"))
            .env("RAMPART_LIBRARY", library())
            .env("RAMPART", rampart())
            .env("BIN", self.0.path("bin"))
            .env("USERS", if is_root() { "1" } else { "0" })
            .env("UNSHARE", if is_root() { "" } else { "-r" })
            .current_dir(self.0.path(""));
        command
    }

    /// A run in a process namespace of its own; `None` if that is not permitted.
    fn run(&self, flags: &str, kill: &str) -> Option<Ended> {
        let unshare = if is_root() { "-pf" } else { "-rpf" };
        let mut namespace = self.command(installed("unshare")?);
        namespace.args([unshare, "--mount-proc"]);
        let mut trial = self.command(namespace.get_program());
        trial.args(namespace.get_args()).arg("true");
        if run(&mut trial, TIMEOUT).code != 0 {
            println!("skipped: a process namespace is not permitted here");
            return None;
        }
        namespace.args(["sh", "losses.sh", flags, &times().to_string(), kill]);
        let ended = run(&mut namespace, TIMEOUT);
        assert!(ended.code == 0 && ended.stdout.ends_with("over\n"), "{ended:?}");
        Some(ended)
    }

    /// How many lines of a file contain `with`.
    fn lines(&self, file: &str, with: &str) -> usize {
        let text = fs::read_to_string(self.0.path(file)).expect("a file");
        text.lines().filter(|line| line.contains(with)).count()
    }
}

/// The number of workers, each of which tries both programs [`times()`] times.
fn workers() -> usize {
    if is_root() { 6 } else { 5 }
}

#[test]
#[ignore = "takes a minute: make test-full"]
fn nothing_that_a_guarded_tree_does_takes_its_guard_away() {
    let run = LongRun::new();
    if run.run("", "leave").is_none() {
        return;
    }
    let tries = workers() * usize::try_from(times()).expect("a small number");
    let (ran, refused) = (run.lines("marks", "rm "), run.lines("said", "blocked"));
    let saved = run.lines("rampart/audit.jsonl", "rampart-itself");
    println!("{tries} tries of each: {ran} denied ones ran; {saved} times it was to be killed");
    let unchecked = run.lines("said", "unchecked");
    assert_eq!((ran, refused, run.lines("marks", "tool "), unchecked), (0, tries, tries, 0));
    assert!(saved > 0, "nobody tried to kill the server");
}

#[test]
#[ignore = "takes a minute: make test-full"]
fn what_runs_after_the_server_was_killed_is_told_one_by_one() {
    let run = LongRun::new();
    let Some(ended) = run.run("", "kill") else { return };
    assert!(ended.stdout.contains("killed\n"), "{ended:?}");
    let tries = workers() * usize::try_from(times()).expect("a small number");
    let ran = run.lines("marks", "rm ");
    let told = run.lines("said", " runs unchecked: ");
    let rm_told = run.lines("said", "rampart: rm runs unchecked: ");
    println!("{tries} tries of each: {ran} denied ones ran, {rm_told} of them told, {told} in all");
    assert_eq!((ran, run.lines("marks", "tool ")), (rm_told, tries));
    assert_eq!(ran + run.lines("said", "rampart: blocked rm: "), tries);
    assert!(ran > 0 && ran < tries, "{ran} of {tries}: the server was not killed meanwhile");
}

#[test]
#[ignore = "takes a minute: make test-full"]
fn without_fail_open_nothing_runs_unchecked_when_the_server_is_killed() {
    let run = LongRun::new();
    let Some(ended) = run.run("--fail-open=false", "kill") else { return };
    assert!(ended.stdout.contains("killed\n"), "{ended:?}");
    assert_eq!((run.lines("marks", "rm "), run.lines("said", "unchecked")), (0, 0));
}

#[test]
#[ignore = "takes a minute: make test-full"]
fn a_server_that_comes_and_goes_hears_of_all_that_it_missed() {
    let run = LongRun::new();
    let serve = || -> Child {
        let mut command = run.command(rampart());
        command.args(["serve", "--port", "0", "--unix", "s.sock", "--policy", "deny.yaml"]);
        command.args(["--token-file", "token", "--audit", "audit.jsonl", "--audit-sync"]);
        let server = command.stderr(Stdio::null()).spawn().expect("a server");
        while std::os::unix::net::UnixStream::connect(run.0.path("s.sock")).is_err() {
            sleep(Duration::from_millis(5));
        }
        server
    };
    let mut server = serve();
    let times = 4 * times();
    let url = format!("unix://{}", run.0.text("s.sock"));
    let mut command = run.command(rampart());
    command.args(["preload", "--url", &url, "--token", "a-token", "--", "sh", "worker.sh", "x"]);
    let worker = Watched::start(command.arg(times.to_string()), TIMEOUT);
    let mut lives = 0;
    let done = |least: usize| run.lines("marks", "tool ") >= least;
    let total = usize::try_from(times).expect("a small number");
    while !done(total * 9 / 10) {
        sleep(Duration::from_millis(300));
        server.kill().expect("a child");
        server.wait().expect("a child");
        sleep(Duration::from_millis(50));
        server = serve();
        lives += 1;
    }
    let ended = worker.finish();
    server.kill().expect("a child");
    server.wait().expect("a child");
    let count = |with: &str| ended.stderr.lines().filter(|line| line.contains(with)).count();
    let (told, ran) = (count(" runs unchecked: "), run.lines("marks", "rm "));
    let audit = fs::read_to_string(run.0.path("audit.jsonl")).expect("the audit");
    let missed: usize = audit
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["request"]["event"] == "checks-missed")
        .filter_map(|line| {
            let message = line["decision"]["message"].as_str()?.to_owned();
            message.split(" programs").next()?.rsplit(' ').next()?.parse::<usize>().ok()
        })
        .sum();
    println!("{lives} lives: {told} ran unchecked, the audit tells of {missed}");
    assert_eq!(count("rm runs unchecked: "), ran, "{ended:?}");
    assert!(lives > 1 && told > 0, "{lives} lives, {told} unchecked");
    // If a question that reported missed checks got no answer, the next one reports them again.
    assert!((told..=told + lives).contains(&missed), "{missed} for {told}");
}
