//! Runs a command with a deadline.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a command ended, and its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit status as a shell tells it: 128 and more for a signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A running command; killed when dropped, with its process group.
pub struct Watched {
    child: Child,
    shown: String,
    until: Instant,
    output: tempfile::TempDir,
}

impl Watched {
    /// Starts it; if it runs longer than `timeout` it hangs.
    pub fn start(command: &mut Command, timeout: Duration) -> Self {
        let output = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str| File::create(output.path().join(name)).expect("a file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|why| panic!("{command:?}: {why}"));
        let shown = format!("{command:?}");
        Self { child, shown, until: Instant::now() + timeout, output }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Ended {
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.said(name));
                return Ended { code: code.unwrap_or(-1), stdout, stderr };
            }
            let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.said(name));
            assert!(Instant::now() < self.until, "it hangs: {}\n{stdout}\n{stderr}", self.shown);
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&self, name: &str) -> String {
        let path: &Path = self.output.path();
        String::from_utf8_lossy(&fs::read(path.join(name)).expect("a file")).into_owned()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let group = libc::pid_t::try_from(self.child.id()).expect("a pid");
            // SAFETY: takes no pointer; the group is the child's own.
            unsafe { libc::kill(-group, libc::SIGKILL) };
            let _ = self.child.wait();
        }
    }
}

/// Runs it to its end.
#[track_caller]
pub fn run(command: &mut Command, timeout: Duration) -> Ended {
    Watched::start(command, timeout).finish()
}
