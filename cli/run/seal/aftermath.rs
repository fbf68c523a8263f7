//! Finds out which program a process really started, from what the kernel records: the path as it
//! was passed to `execve`, at the top of the new program's memory (`AT_EXECFN`, getauxval(3)), and
//! the length of the arguments (`proc_pid_stat(5)`).

use std::fs::{Metadata, metadata, read, read_link};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::memory::{Memory, has_memory_at};
use super::tracee::Started;
use crate::processes;
use crate::text_file;

/// `PF_FORKNOEXEC` (linux/sched.h): forked, but no `execve` yet.
const JUST_FORKED: u64 = 0x40;
/// `AT_EXECFN` (linux/auxvec.h)
const EXECFN: u64 = 31;
/// How much the kernel reads of a script's first line (`BINPRM_BUF_SIZE`, linux/binfmts.h).
const FIRST_LINE: u64 = 256;

/// What a check has found.
pub enum Look {
    Gone,
    /// The old program is, or may be, still running.
    NotYet,
    Same,
    /// Another program, by its path or by its NUL-terminated arguments.
    Other(Vec<u8>),
}

/// Checks what a process runs that was allowed to start `started` at `uptime` (time since boot).
/// `was` tells whether the process may have run a path before: it still does if its `execve`
/// failed.
pub fn look(
    process: i32,
    started: &Started,
    uptime: Duration,
    was: impl Fn(&[u8]) -> bool,
) -> Look {
    let pid = Pid::from_raw(process);
    // The cheapest tests first: most processes are gone by now, or have not started anything yet.
    if !processes::is_there(pid) {
        return Look::Gone;
    }
    for address in started.addresses {
        match has_memory_at(pid, address) {
            Ok(false) => {}
            Err(Errno::ESRCH) => return of_memoryless(process),
            _ => return Look::NotYet,
        }
    }
    let Some(state) = State::of(process) else { return Look::Gone };
    // Begun after the answer: another process that reuses the ID.
    if state.is_over || state.begun > uptime {
        return Look::Gone;
    }
    if state.is_just_forked {
        return Look::NotYet;
    }
    let Some((path, address)) = state.allowed_path(pid, started).or_else(|| path_of(pid)) else {
        return Look::NotYet;
    };
    if was(&path) {
        return Look::NotYet;
    }
    if path != started.path {
        let is_certain = runs(process, &path);
        return if is_certain { Look::Other(path) } else { Look::NotYet };
    }
    match state.arguments.filter(|arguments| arguments.environ_end == address) {
        Some(arguments) if arguments.bytes != started.argv_bytes => {
            match other_words(process, started, &arguments) {
                Some(words) => Look::Other(words),
                None => Look::Same,
            }
        }
        _ => Look::Same,
    }
}

/// A process without memory has usually ended. But when another thread calls `execve`, the first
/// thread is without memory until that one takes its place.
fn of_memoryless(process: i32) -> Look {
    let is_there = processes::is_there(Pid::from_raw(process));
    match is_there.then(|| State::of(process)).flatten() {
        Some(state) if !state.is_over => Look::NotYet,
        _ => Look::Gone,
    }
}

/// The arguments of a process if they are certainly not the allowed ones. A binary has them as
/// passed; for a script they follow those of its interpreter.
fn other_words(process: i32, started: &Started, there: &Arguments) -> Option<Vec<u8>> {
    if started.argv_bytes == 0 {
        return None;
    }
    let words = read(format!("/proc/{process}/cmdline")).ok()?;
    let exe = read_link(format!("/proc/{process}/exe")).ok()?;
    if exe.as_os_str().as_bytes() == started.path {
        return Some(words);
    }
    let mut line = Vec::new();
    let file = text_file::open(&within(process, &started.path)).ok()?;
    file.take(FIRST_LINE).read_to_end(&mut line).ok()?;
    let mut head = interpreter(&line)?;
    head.extend([&started.path[..], b"\0"].concat());
    let is_as_made = words.len() as u64 == there.bytes && words.starts_with(&head);
    let expected = head.len() as u64 + started.argv_bytes - started.first_bytes;
    (is_as_made && there.bytes != expected).then_some(words)
}

/// What the kernel puts in front of a script's path: the interpreter and the optional argument of
/// its first line (execve(2), "Interpreter scripts"), each NUL-terminated.
fn interpreter(text: &[u8]) -> Option<Vec<u8>> {
    let line = text.strip_prefix(b"#!")?;
    let line = line[..line.iter().position(|byte| *byte == b'\n')?].trim_ascii();
    let (name, argument) = match line.iter().position(|byte| matches!(byte, b' ' | b'\t')) {
        Some(end) => (&line[..end], line[end..].trim_ascii()),
        None => (line, &[][..]),
    };
    let mut words = [name, b"\0"].concat();
    if !argument.is_empty() {
        words.extend([argument, b"\0"].concat());
    }
    Some(words)
}

/// Whether a process runs the file at a path, or may be its interpreter. Needed because a program
/// can overwrite the path in its memory.
fn runs(process: i32, path: &[u8]) -> bool {
    let place = within(process, path);
    let (Ok(file), Ok(exe)) = (metadata(&place), metadata(format!("/proc/{process}/exe"))) else {
        return false;
    };
    let number = |file: &Metadata| (file.dev(), file.ino());
    number(&file) == number(&exe) || file.is_file() && file.mode() & 0o111 != 0 && !is_elf(&place)
}

fn is_elf(file: &Path) -> bool {
    let mut start = [0; 4];
    // If it cannot be read, assume that it is.
    text_file::open(file).and_then(|mut file| file.read_exact(&mut start)).is_err()
        || start == *b"\x7fELF"
}

/// A path as the process sees it, by its own root and working directory.
fn within(process: i32, path: &[u8]) -> PathBuf {
    let base = if path.starts_with(b"/") { "root" } else { "cwd/" };
    let path = [format!("/proc/{process}/{base}").as_bytes(), path].concat();
    std::ffi::OsStr::from_bytes(&path).into()
}

/// The path by which the kernel started a process, and its address there. `None` if it cannot be
/// read.
fn path_of(process: Pid) -> Option<(Vec<u8>, u64)> {
    let mut room = [0; 2048];
    let vector = processes::short(process.as_raw(), "auxv", &mut room).ok()?;
    let address = execfn(vector, 8).or_else(|| execfn(vector, 4))?;
    Some((Memory::new(process, size_of::<u64>()).string(address).ok()?, address))
}

/// `AT_EXECFN` of an auxiliary vector with numbers of `size` bytes. Two 4-byte numbers read as one
/// of 8 match no key, unless the second is zero.
fn execfn(vector: &[u8], size: usize) -> Option<u64> {
    let number = |bytes: &[u8]| {
        let mut whole = [0; 8];
        whole[..size].copy_from_slice(bytes);
        u64::from_le_bytes(whole)
    };
    let mut entries = vector.chunks_exact(2 * size).map(|entry| entry.split_at(size));
    entries.find(|(key, _)| number(key) == EXECFN).map(|(_, address)| number(address))
}

pub fn is_traced(process: i32) -> bool {
    processes::status_value(process, "TracerPid").is_none_or(|tracer| tracer != "0")
}

/// Time since boot.
pub fn uptime() -> Duration {
    let since = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    since.map_or(Duration::MAX, Duration::from)
}

/// What is needed from `/proc/PID/stat` (`proc_pid_stat(5)`).
struct State {
    /// It and all its threads have ended.
    is_over: bool,
    is_just_forked: bool,
    /// When it was forked, as time since boot; at most one clock tick too early.
    begun: Duration,
    /// `None` if the process has moved them.
    arguments: Option<Arguments>,
}

struct Arguments {
    /// Their length, NULs included.
    bytes: u64,
    /// Where the environment ends. The path follows it.
    environ_end: u64,
}

impl State {
    /// The allowed path and its address, if it stands where the kernel puts the path of what starts:
    /// that saves the look for the address.
    fn allowed_path(&self, process: Pid, started: &Started) -> Option<(Vec<u8>, u64)> {
        let address = self.arguments.as_ref()?.environ_end;
        let path = Memory::new(process, size_of::<u64>()).string(address).ok()?;
        (path == started.path).then_some((path, address))
    }

    fn of(process: i32) -> Option<Self> {
        let text = processes::status(process).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // Numbered as in the manual: the state is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok().filter(|it| *it > 0)?;
        let (argv, argv_end) = (field(48)?, field(49)?);
        let (environ, environ_end) = (field(50)?, field(51)?);
        let bytes = (argv_end == environ).then(|| argv_end.checked_sub(argv)).flatten();
        Some(Self {
            is_over: matches!(*fields.first()?, "Z" | "X") && field(20)? <= 1,
            is_just_forked: field(9)? & JUST_FORKED != 0,
            begun: Duration::from_millis(field(22)? * 1000 / ticks),
            arguments: bytes.map(|bytes| Arguments { bytes, environ_end }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{execfn, interpreter};

    #[test]
    fn the_words_in_front_of_a_scripts_path_are_those_of_its_first_line() {
        let table: &[(&[u8], Option<&[u8]>)] = &[
            (b"#!/bin/sh\n", Some(b"/bin/sh\0")),
            (b"#! /bin/sh -e \nexit\n", Some(b"/bin/sh\0-e\0")),
            (b"#!/usr/bin/env -S perl -w\n", Some(b"/usr/bin/env\0-S perl -w\0")),
            (b"#!\t/bin/sh\t\tx\n", Some(b"/bin/sh\0x\0")),
            // Without a newline it may be longer than what was read.
            (b"#!/bin/sh", None),
            (b"\x7fELF", None),
            (b"", None),
        ];
        for (text, expected) in table {
            assert_eq!(interpreter(text).as_deref(), *expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn the_address_of_the_path_is_found_in_vectors_of_both_sizes() {
        let wide: Vec<u8> = [33, 7, 31, 0x7fff_0000_1234, 0, 0]
            .iter()
            .flat_map(|it: &u64| it.to_le_bytes())
            .collect();
        let narrow: Vec<u8> = [33, 7, 23, 0, 31, 0xffff_1234, 0, 0]
            .iter()
            .flat_map(|it: &u32| it.to_le_bytes())
            .collect();
        assert_eq!(execfn(&wide, 8), Some(0x7fff_0000_1234));
        assert_eq!((execfn(&narrow, 8), execfn(&narrow, 4)), (None, Some(0xffff_1234)));
    }
}
