//! A temporary home for each test, and the program to run in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A policy that denies `forbidden…`, and watches `watched`.
pub const POLICY: &str = r#"version: "1"
default_action: allow
policies:
  - name: no-forbidden
    match: { tool: exec }
    rules:
      - action: deny
        when: { command_matches: ["forbidden*"] }
        message: "Do something else"
  - name: watch-it
    match: { tool: exec }
    rules:
      - action: watch
        when: { command_matches: ["watched*"] }
"#;

/// How long anything in a test may take before it counts as hung.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A temporary home.
pub struct World {
    directory: TempDir,
    program: PathBuf,
}

impl World {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("rt").tempdir_in("/tmp").unwrap();
        fs::create_dir(directory.path().join("run")).unwrap();
        Self { directory, program: env!("CARGO_BIN_EXE_rampart").into() }
    }

    /// A home with a copy of the program that has no library beside it.
    pub fn without_library() -> Self {
        let mut world = Self::new();
        let program = world.path("rampart");
        if fs::hard_link(&world.program, &program).is_err() {
            fs::copy(&world.program, &program).unwrap();
        }
        world.program = program;
        world
    }

    /// A home with a loadable library that does nothing.
    pub fn with_library() -> Self {
        let world = Self::new();
        let libraries = world.home().join("lib");
        fs::create_dir_all(&libraries).unwrap();
        world.compile_library(&libraries.join("librampart.so"));
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.path(".rampart")
    }

    /// Where embedded servers make their private directories.
    pub fn runtime(&self) -> PathBuf {
        self.path("run")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        // Independent of the umask: others must not be able to write a policy.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    pub fn compile_library(&self, to: &Path) {
        compile(&self.write("empty.c", &mark_in_c()), to, &["-shared", "-fPIC"]);
    }

    /// The program, with a clean environment.
    pub fn rampart<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    /// A program of this world.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.directory.path())
            .env("XDG_RUNTIME_DIR", self.runtime())
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        finished(&mut self.rampart(arguments))
    }

    pub fn audit(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.home().join("audit.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The audit, once it has so many lines: they are written a moment after the answers.
    pub fn audit_of(&self, lines: usize) -> Vec<serde_json::Value> {
        let text = || fs::read_to_string(self.home().join("audit.jsonl")).unwrap_or_default();
        let count = || text().matches('\n').count();
        wait_until("the audit's lines", || count() >= lines);
        let audit = self.audit();
        assert_eq!(audit.len(), lines, "{audit:?}");
        audit
    }

    /// Waits until the audit has so many lines.
    pub fn audit_at_least(&self, lines: usize) {
        let text = || fs::read_to_string(self.home().join("audit.jsonl")).unwrap_or_default();
        wait_until("the audit's lines", || text().matches('\n').count() >= lines);
    }

    /// The remaining directories of embedded servers.
    pub fn private_directories(&self) -> Vec<PathBuf> {
        fs::read_dir(self.runtime()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// The definition of the library's mark.
pub fn mark_in_c() -> String {
    let mark = str::from_utf8(&rampart_core::library_mark::MARK).unwrap().escape_debug();
    format!("const char rampart_stands_in[] = \"{mark}\";\n")
}

pub fn compile(source: &Path, to: &Path, flags: &[&str]) {
    let mut compiler = Command::new("cc");
    let status = compiler.args(flags).arg("-o").arg(to).arg(source).status().unwrap();
    assert!(status.success());
}

/// Runs a command to its end, within a time limit.
pub fn finished(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    let (sender, receiver) = channel();
    let waiter = std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    let output = receiver.recv_timeout(TIMEOUT).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-9", &pid]).status();
        panic!("{command:?} does not end");
    });
    waiter.join().unwrap().unwrap();
    output
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Waits until a condition holds.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < TIMEOUT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
