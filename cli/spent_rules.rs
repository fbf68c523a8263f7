//! Rules that hold once and are spent, kept in a file so that they do not hold again after a
//! restart or in another run.

use std::fs::OpenOptions;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rampart_policy::Memory;

use crate::failure::say_at_once;
use crate::home::{Home, make_private_directory};
use crate::text_file;

/// The file, and how far it was read and written.
#[derive(Debug)]
pub struct SpentRules {
    file: PathBuf,
    at: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// How much was read, in bytes.
    read: u64,
    /// How many of the memory's names are in the file.
    kept: usize,
    /// Whether a write error was reported.
    said: bool,
}

impl SpentRules {
    pub fn of(home: &Home) -> Self {
        Self { file: home.spent(), at: Mutex::default() }
    }

    /// Records newly spent rules, and reads what others have spent.
    pub fn keep(&self, memory: &Memory) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.exchange(&mut at, memory)
            && error.kind() != io::ErrorKind::NotFound
            && !std::mem::replace(&mut at.said, true)
        {
            let file = self.file.display();
            say_at_once(format!("cannot keep in {file} that a rule has held once: {error}"));
        }
    }

    fn exchange(&self, at: &mut Progress, memory: &Memory) -> io::Result<()> {
        let length = std::fs::metadata(&self.file).map_or(0, |metadata| metadata.len());
        if length > at.read {
            let mut file = text_file::open(&self.file)?;
            file.seek(SeekFrom::Start(at.read))?;
            let text = text_file::whole(file)?;
            // An incomplete line is read the next time.
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            at.read += whole as u64;
            memory.also_spent(
                text[..whole].lines().filter_map(|line| serde_json::from_str(line).ok()),
            );
            if memory.count_spent() == at.kept + text[..whole].lines().count() {
                at.kept = memory.count_spent();
            }
        }
        if memory.count_spent() <= at.kept {
            return Ok(());
        }
        if let Some(directory) = self.file.parent() {
            make_private_directory(directory)?;
        }
        let spent = memory.spent();
        let mut lines = String::new();
        for name in &spent[at.kept..] {
            lines += &serde_json::to_string(name)?;
            lines.push('\n');
        }
        let mut options = OpenOptions::new();
        options
            .append(true)
            .create(true)
            .mode(0o600)
            // Do not block on a pipe that nobody reads.
            .custom_flags(libc::O_NONBLOCK)
            .open(&self.file)?
            .write_all(lines.as_bytes())?;
        at.kept = spent.len();
        Ok(())
    }
}
