//! Why a subcommand failed: a message for the person, an exit status for the shell.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The command line or the policy is wrong.
const USAGE: u8 = 2;
/// The command was found but cannot be run (POSIX, "Exit Status for Commands").
const CANNOT_RUN: u8 = 126;
/// The command was not found.
const NOT_FOUND: u8 = 127;

/// Why a subcommand ended without doing what it was asked.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    sentence: String,
}

impl Failure {
    /// Anything else failed: status 1.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { status: 1, sentence: sentence.into() }
    }

    /// The user has to change the command line or the policy: status 2.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { status: USAGE, sentence: sentence.into() }
    }

    /// The command exists but cannot be run: status 126.
    pub fn cannot_run(sentence: impl Into<String>) -> Self {
        Self { status: CANNOT_RUN, sentence: sentence.into() }
    }

    /// The command does not exist: status 127.
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self { status: NOT_FOUND, sentence: sentence.into() }
    }

    /// Appends what follows from the failure.
    pub fn and(self, consequence: &str) -> Self {
        Self { sentence: format!("{}; {consequence}", self.sentence), ..self }
    }

    /// The exit status.
    #[cfg(target_os = "linux")]
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The message.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// Writes it to stderr, and returns the exit status.
    pub fn report(&self) -> ExitCode {
        say(&self.sentence);
        ExitCode::from(self.status)
    }
}

/// Writes one `rampart: …` line to stderr, which may be closed.
pub fn say(sentence: impl Display) {
    // At once, so that the lines of several commands stay whole.
    let _ = io::stderr().write_all(format!("rampart: {sentence}\n").as_bytes());
}

/// The same from a server, which does not wait for whoever reads: what does not fit into a full
/// pipe, or on a stopped terminal, is left out.
pub fn say_at_once(sentence: impl Display) {
    let stderr = io::stderr();
    // A pipe that can be written to takes so much at once (pipe(7)).
    for piece in format!("rampart: {sentence}\n").as_bytes().chunks(libc::PIPE_BUF) {
        let mut waited = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        // If it cannot be asked, as some devices on macOS, it is written to.
        if poll(&mut waited, PollTimeout::ZERO) == Ok(0) || stderr.lock().write_all(piece).is_err()
        {
            return;
        }
    }
}

/// Why a process or a thread could not be started, for a person, with the limit that is in the way.
pub fn why_not_started(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            "no more processes and threads are allowed (ulimit -u, or a container's limit)".into()
        }
        Some(libc::EMFILE) => "too few file descriptors are allowed (ulimit -n)".into(),
        _ => error.to_string(),
    }
}
