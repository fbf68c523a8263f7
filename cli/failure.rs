//! How a subcommand fails: a sentence for the person, a status for the shell.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// The command line, or a policy, is not right.
const USAGE: u8 = 2;
/// The command was found and cannot be run, as shells have it.
const CANNOT_RUN: u8 = 126;
/// The command was not found, as shells have it.
const NOT_FOUND: u8 = 127;

/// Why a subcommand ended without doing what it was asked.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    sentence: String,
}

impl Failure {
    /// Something in the world is not as it has to be: status 1.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { status: 1, sentence: sentence.into() }
    }

    /// The user has to write something else: status 2.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { status: USAGE, sentence: sentence.into() }
    }

    /// The command to run is there and cannot be run: status 126.
    pub fn cannot_run(sentence: impl Into<String>) -> Self {
        Self { status: CANNOT_RUN, sentence: sentence.into() }
    }

    /// The command to run is not there: status 127.
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self { status: NOT_FOUND, sentence: sentence.into() }
    }

    /// The same, with what follows from it.
    pub fn and(self, consequence: &str) -> Self {
        Self { sentence: format!("{}; {consequence}", self.sentence), ..self }
    }

    /// The status to exit with.
    #[cfg(target_os = "linux")]
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The sentence.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// Says it on stderr, and gives the status to exit with.
    pub fn report(&self) -> ExitCode {
        say(&self.sentence);
        ExitCode::from(self.status)
    }
}

/// Writes one `rampart: …` line to stderr, which may be closed.
pub fn say(sentence: impl Display) {
    let _ = writeln!(std::io::stderr(), "rampart: {sentence}");
}
