//! Writes results to stdout, whose reader may have gone.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// Writes text and ends the line.
///
/// # Errors
/// It could not be written; a reader that has enough is no error.
pub fn line(text: impl Display) -> Result<(), Failure> {
    finish(writeln!(io::stdout(), "{text}"))
}

/// Writes text as it is.
///
/// # Errors
/// It could not be written; a reader that has enough is no error.
pub fn text(text: &str) -> Result<(), Failure> {
    finish(io::stdout().write_all(text.as_bytes()))
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

fn finish(written: io::Result<()>) -> Result<(), Failure> {
    match written.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
