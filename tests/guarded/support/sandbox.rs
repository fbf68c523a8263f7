//! A directory for each test: a home, and a `bin` of harmless stand-ins.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use tempfile::TempDir;

use super::probe::{Compiler, probe};
use super::system::System;

/// Names of programs that may do harm. In the sandbox each is a copy of `witness.c`, which only
/// leaves a mark.
const STAND_INS: [&str; 9] =
    ["rm", "mkfs", "dd", "curl", "wget", "shutdown", "chmod", "ssh", "tool"];

/// The real programs that a test may run, if they are installed. PATH leads to no others: a shell
/// that is refused one `rm` looks for the next.
const TOOLS: [&str; 53] = [
    "as", "awk", "bash", "basename", "busybox", "cat", "cc", "cut", "dash", "dirname", "echo",
    "ed", "env", "expr", "false", "find", "fish", "gawk", "gcc", "git", "grep", "head", "java",
    "javac", "ksh", "ld", "make", "mawk", "mkdir", "mktemp", "nice", "node", "nohup", "perl",
    "printf", "pwd", "python3", "sed", "setsid", "sh", "sleep", "sort", "stdbuf", "tail", "test",
    "timeout", "tr", "true", "uname", "unshare", "wc", "xargs", "zsh",
];

/// Excludes writing a program from making a process. A child has the descriptors of its parent
/// until its exec, and a program that somebody may write to cannot be executed (`ETXTBSY`,
/// execve(2)).
static PROCESSES: RwLock<()> = RwLock::new(());

/// Makes a process, while no other thread writes a program.
pub fn make_process<R>(make: impl FnOnce() -> R) -> R {
    let _made = PROCESSES.read().unwrap_or_else(PoisonError::into_inner);
    make()
}

/// Copies a program, while no other thread makes a process.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let _written = PROCESSES.write().unwrap_or_else(PoisonError::into_inner);
    fs::copy(from, to).expect("a copy of a program");
}

/// A temporary directory with a home and stand-ins first on PATH.
pub struct Sandbox {
    directory: TempDir,
}

impl Sandbox {
    /// With stand-ins linked against the system's C library.
    pub fn new() -> Self {
        Self::with_stand_ins(Compiler::System)
    }

    /// With stand-ins made by `compiler`.
    pub fn with_stand_ins(compiler: Compiler) -> Self {
        let sandbox = Self { directory: TempDir::new().expect("a temporary directory") };
        for directory in ["bin", "home", "tmp", "tools"] {
            fs::create_dir(sandbox.path(directory)).expect("a directory");
        }
        for name in TOOLS {
            if let Some(tool) = installed(name) {
                symlink(tool, sandbox.path("tools").join(name)).expect("a link");
            }
        }
        for name in STAND_INS {
            sandbox.stand_in(name, compiler);
        }
        sandbox
    }

    fn stand_in(&self, name: &str, compiler: Compiler) {
        // An emulated program starts programs of this machine.
        let compiler = if compiler == Compiler::Arm64 { Compiler::System } else { compiler };
        let witness = probe("witness", compiler);
        let bin = self.path("bin").join(name);
        // A copy, not a link: the witness finds its marks by its own path.
        copy_program(witness, bin);
    }

    /// A path in the sandbox.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// The same as text.
    pub fn text(&self, relative: &str) -> String {
        self.path(relative).to_str().expect("temporary paths are text").to_owned()
    }

    /// Writes a file, executable if it is a script.
    pub fn file(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("directories");
        }
        let mode = if content.as_ref().starts_with(b"#!") { 0o755 } else { 0o644 };
        let written = PROCESSES.write().unwrap_or_else(PoisonError::into_inner);
        fs::write(&path, content).expect("a file");
        drop(written);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
        path
    }

    /// PATH: the stand-ins, then the tools.
    pub fn search_path(&self) -> String {
        format!("{}:{}", self.text("bin"), self.text("tools"))
    }

    /// What has run since this was last called, one line each.
    pub fn take_marks(&self) -> Vec<String> {
        let file = self.path("marks");
        let marks = fs::read_to_string(&file).unwrap_or_default();
        if file.exists() {
            fs::write(&file, "").expect("the marks can be emptied");
        }
        marks.lines().map(str::to_owned).collect()
    }
}

/// The path of a program of the system, if it is installed.
///
/// On macOS the library is not loaded into Apple's programs: Homebrew's come first, and its bash is
/// the `sh`.
pub fn installed(name: &str) -> Option<PathBuf> {
    let directories = if *System::here() == System::Mac {
        &["/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/bin"][..]
    } else {
        &["/usr/local/bin", "/usr/bin", "/bin"]
    };
    let name = if System::is_macos() && name == "sh" { "bash" } else { name };
    directories.iter().map(|it| Path::new(it).join(name)).find(|path| path.is_file())
}
