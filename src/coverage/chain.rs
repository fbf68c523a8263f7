//! From a path to the program that the kernel starts in the end: itself, or the interpreter of a
//! script.

use core::ffi::CStr;

use super::judge::{HEAD_BYTES, Kind, judge, judge_unread};
use super::status::Status;
use super::window::ReadAt;
use super::words::Coverage;
use crate::arena::TextBuffer;
use crate::host::{Host, Os};

/// Longer paths are not followed.
const LONGEST_PATH: usize = 512;

/// Access to files.
pub trait Files {
    /// An open file, closed when dropped.
    type File: ReadAt;
    /// Why a file could not be opened.
    type Error;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's error.
    fn open(&mut self, path: &CStr) -> Result<(Self::File, Status), Self::Error>;

    /// The status of a file that could not be opened, if it may be an executable that cannot be
    /// read, like `sudo` on macOS.
    fn status(&mut self, _path: &CStr, _why: &Self::Error) -> Option<Status> {
        None
    }

    /// Called for each file on the way, in the order in which the kernel reads them.
    fn saw(&mut self, _seen: Seen<'_>) {}
}

/// A file on the way to the program.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'s> {
    /// Its path.
    pub path: &'s CStr,
    /// What it is.
    pub kind: Kind<'s>,
}

/// How many scripts may follow one another before the program: Linux runs an interpreter that is a
/// script (execve(2), "Interpreter scripts"), XNU does not.
const fn max_scripts(os: Os) -> usize {
    match os {
        Os::Linux => 4,
        Os::MacOs => 1,
    }
}

/// How much will be seen of the program at `path`, or of its interpreter if it is a script; `None`
/// if that is not known.
///
/// With `around_env`, a value of PATH, the program that `#!/usr/bin/env NAME` finds is judged
/// instead of `env`. On macOS that is right only for a caller that starts that program without
/// `env`, which is protected by the system.
///
/// # Errors
/// The system's error if the file itself cannot be opened.
pub fn follow<F: Files>(
    files: &mut F,
    host: Host,
    path: &CStr,
    around_env: Option<&[u8]>,
) -> Result<Option<Coverage>, F::Error> {
    let mut file = match files.open(path) {
        Ok(file) => file,
        Err(why) => {
            let status = files.status(path, &why);
            let coverage = status.and_then(|it| judge_unread(host, path.to_bytes(), it));
            return coverage.map(Some).ok_or(why);
        }
    };
    let mut room = [0; LONGEST_PATH];
    let mut path = path;
    for _ in 0..=max_scripts(host.os) {
        let mut head = [0; HEAD_BYTES];
        let length = file.0.read_at(0, &mut head);
        let head = head.get(..length).unwrap_or_default();
        let kind = judge(host, path.to_bytes(), file.1, head, &file.0);
        files.saw(Seen { path, kind });
        let interpreter = match kind {
            Kind::Program(coverage) => return Ok(Some(coverage)),
            Kind::Unknown => return Ok(None),
            Kind::Script(interpreter) => interpreter,
        };
        let name = interpreter.behind_env(host.os);
        let next = match around_env.zip(name) {
            Some((search, name)) => find(files, search, name, &mut room),
            None => open(files, &[interpreter.path], &mut room),
        };
        let Some(next) = next else { return Ok(None) };
        file = next;
        path = CStr::from_bytes_until_nul(&room).unwrap_or_default();
    }
    Ok(None)
}

/// The path of the program that `execvp(3)` finds by a name without a slash in the search path
/// `search`; `None` if there is none, or if the path does not fit.
pub fn locate<'r, F: Files>(
    files: &mut F,
    search: &[u8],
    name: &[u8],
    room: &'r mut [u8],
) -> Option<&'r CStr> {
    find(files, search, name, room)?;
    CStr::from_bytes_until_nul(room).ok()
}

/// Opens the program that `execvp(3)` would find, and leaves its path in `room`.
fn find<F: Files>(
    files: &mut F,
    search: &[u8],
    name: &[u8],
    room: &mut [u8],
) -> Option<(F::File, Status)> {
    if name.contains(&b'/') {
        return open(files, &[name], room);
    }
    search.split(|byte| *byte == b':').find_map(|directory| {
        let slash = if directory.is_empty() { &b""[..] } else { b"/" };
        open(files, &[directory, slash, name], room).filter(|(_, status)| status.is_program())
    })
}

/// Opens the file whose path is made of these pieces, and leaves the path in `room`.
fn open<F: Files>(files: &mut F, pieces: &[&[u8]], room: &mut [u8]) -> Option<(F::File, Status)> {
    let mut text = TextBuffer::new(room);
    pieces.iter().try_for_each(|piece| text.push(piece)).ok()?;
    text.push(b"\0").ok()?;
    files.open(CStr::from_bytes_until_nul(text.as_bytes()).ok()?).ok()
}
