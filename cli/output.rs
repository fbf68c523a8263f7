//! Writes results to stdout. A reader that has gone, as in `| head`, is no error.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// Writes a line.
///
/// # Errors
/// It could not be written; a reader that has enough is no error.
pub fn line(text: impl Display) -> Result<(), Failure> {
    finish(writeln!(io::stdout(), "{text}")).map(drop)
}

/// Writes text as it is. Returns whether the reader is still there.
///
/// # Errors
/// It could not be written; a reader that has enough is no error.
pub fn text(text: &str) -> Result<bool, Failure> {
    finish(io::stdout().write_all(text.as_bytes()))
}

/// Whether the reader of stdout is gone. A command that waits for input would not notice by
/// writing.
pub fn is_closed() -> bool {
    let mut stdout = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
    // SAFETY: poll(2) gets one `pollfd`, which this is.
    let ready = unsafe { libc::poll(&raw mut stdout, 1, 0) };
    ready > 0 && stdout.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// It could not be written; a reader that has enough is no error.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::new(format!("cannot write this as JSON: {error}")))?;
    line(text)
}

fn finish(written: io::Result<()>) -> Result<bool, Failure> {
    match written.and_then(|()| io::stdout().flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(format!("cannot write to stdout: {error}"))),
    }
}
