//! Verifies the chain of an audit: each line's own hash, and that it follows the previous line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::event::{Event, is_intact};
use super::files::Lines;
use crate::failure::Failure;

/// The result.
#[derive(Debug, Default, Serialize)]
pub struct Finding {
    pub files: usize,
    pub events: u64,
    /// Remarks that are no sign of a change.
    pub notes: Vec<String>,
    pub broken: Option<Broken>,
}

/// The first line that was changed or moved.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub file: PathBuf,
    pub line: u64,
    pub why: &'static str,
}

/// The first line of a Go command's file that continues another.
#[derive(Deserialize)]
struct Continuation {
    chain_continue: String,
}

/// Verifies all files, the oldest first.
///
/// # Errors
/// A file cannot be read.
pub fn verify(files: &[PathBuf]) -> Result<Finding, Failure> {
    let mut check =
        Check { finding: Finding { files: files.len(), ..Finding::default() }, head: None };
    for (index, file) in files.iter().enumerate() {
        if !check.file(file, index + 1 == files.len())? {
            break;
        }
    }
    Ok(check.finding)
}

struct Check {
    finding: Finding,
    /// The hash of the last line, if any.
    head: Option<String>,
}

impl Check {
    /// Verifies a file; returns whether the chain still holds.
    fn file(&mut self, file: &Path, is_last: bool) -> Result<bool, Failure> {
        let fault =
            |error| Failure::new(format!("cannot read the audit {}: {error}", file.display()));
        let mut lines = Lines::open(file).map_err(fault)?;
        let (mut line, mut number) = (Vec::new(), 0);
        while lines.next(&mut line).map_err(fault)? {
            number += 1;
            let checked = match line.strip_suffix(b"\n") {
                Some(whole) => self.line(whole),
                None if is_last => {
                    let name = file.display();
                    self.finding.notes.push(format!(
                        "{name}:{number}: the last line has no end: it is being written, or its \
                         writer was killed"
                    ));
                    Ok(())
                }
                None => Err("the line has no end, but a later file continues"),
            };
            if let Err(why) = checked {
                self.finding.broken = Some(Broken { file: file.to_path_buf(), line: number, why });
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if let Ok(Continuation { chain_continue }) = serde_json::from_slice(line) {
            return self.follows(&chain_continue);
        }
        let event: Event = serde_json::from_slice(line).map_err(|_| "the line is not a record")?;
        if event.hash.is_empty() {
            return Err("the record has no hash");
        }
        self.follows(&event.prev_hash)?;
        if !is_intact(line, &event) {
            return Err("the record was changed: its hash does not match");
        }
        self.head = Some(event.hash);
        self.finding.events += 1;
        Ok(())
    }

    fn follows(&mut self, previous: &str) -> Result<(), &'static str> {
        match &self.head {
            Some(head) if head != previous => Err(
                "the record does not follow the one before it: lines are missing, moved or added",
            ),
            None if !previous.is_empty() => {
                self.finding
                    .notes
                    .push("the audit continues an earlier file, which is missing".into());
                self.head = Some(previous.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
