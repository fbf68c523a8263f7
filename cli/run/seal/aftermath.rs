//! What has become of a process that was allowed a program, by what the kernel keeps of it: the
//! path, which stands at the top of the new program's memory (`AT_EXECFN`, getauxval(3)) whatever
//! interpreters and links make of it, and how long the arguments were (`proc_pid_stat(5)`).

use std::fs::{File, Metadata, metadata, read, read_link, read_to_string};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::memory::Memory;
use super::tracee::Started;
use crate::processes;

/// `PF_FORKNOEXEC` (linux/sched.h): it was forked, and has started no program yet.
const JUST_FORKED: u64 = 0x40;
/// `AT_EXECFN` (linux/auxvec.h)
const EXECFN: u64 = 31;
/// The kernel reads no more of a script's first line (`BINPRM_BUF_SIZE`, linux/binfmts.h).
const FIRST_LINE: u64 = 256;

/// What a look has found.
pub enum Look {
    Gone,
    /// The old program is still there, or may be.
    NotYet,
    Same,
    /// This is there instead: a path, or words with a NUL behind each.
    Other(OwnedFd, Vec<u8>),
}

/// Looks what has become of a process that was allowed to start something, so long after the
/// machine was started (`uptime`). `was`: whether it may have been started by a path before, which
/// it still is if its start has failed.
pub fn look(
    process: i32,
    started: &Started,
    uptime: Duration,
    was: impl Fn(&[u8]) -> bool,
) -> Look {
    let pid = Pid::from_raw(process);
    // The cheapest first: it costs hardly anything to look at what is gone, or not there yet.
    for address in started.addresses {
        match Memory::new(pid, size_of::<u64>()).string(address) {
            Err(Errno::EFAULT) => {}
            Err(Errno::ESRCH) => return of_memoryless(process),
            _ => return Look::NotYet,
        }
    }
    let Some(handle) = processes::handle(pid) else { return Look::Gone };
    let Some(state) = State::of(process) else { return Look::Gone };
    // Or it is another process, that has got the number.
    if state.is_over || state.begun > uptime {
        return Look::Gone;
    }
    if state.is_just_forked {
        return Look::NotYet;
    }
    let Some((path, address)) = path_of(pid) else { return Look::NotYet };
    if was(&path) {
        return Look::NotYet;
    }
    if path != started.path {
        let is_certain = runs(process, &path);
        return if is_certain { Look::Other(handle, path) } else { Look::NotYet };
    }
    match state.arguments.filter(|arguments| arguments.environ_end == address) {
        Some(arguments) if arguments.bytes != started.argv_bytes => {
            match other_words(process, started, &arguments) {
                Some(words) => Look::Other(handle, words),
                None => Look::Same,
            }
        }
        _ => Look::Same,
    }
}

/// One without memory is over, mostly. The first thread of a process is until another one, that
/// starts a program, has taken its place.
fn of_memoryless(process: i32) -> Look {
    let is_there = processes::is_there(Pid::from_raw(process));
    match is_there.then(|| State::of(process)).flatten() {
        Some(state) if !state.is_over => Look::NotYet,
        _ => Look::Gone,
    }
}

/// The words of a process, where they are certainly not those that it was allowed. A program that is
/// no script has them as they were handed over, a script behind those of its interpreter.
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
    let file = File::open(within(process, &started.path)).ok()?;
    file.take(FIRST_LINE).read_to_end(&mut line).ok()?;
    let mut head = interpreter(&line)?;
    head.extend([&started.path[..], b"\0"].concat());
    let is_as_made = words.len() as u64 == there.bytes && words.starts_with(&head);
    let expected = head.len() as u64 + started.argv_bytes - started.first_bytes;
    (is_as_made && there.bytes != expected).then_some(words)
}

/// What the kernel puts in front of a script's path: the interpreter that its first line names and
/// what stands behind that, with a NUL behind each.
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

/// Whether what stands at a path is what a process runs, or is run by what it runs. A program can
/// write over its path as over its arguments.
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
    // What cannot be read tells nothing.
    File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_err()
        || start == *b"\x7fELF"
}

/// A path as a process means it.
fn within(process: i32, path: &[u8]) -> PathBuf {
    let base = if path.starts_with(b"/") { "root" } else { "cwd/" };
    let path = [format!("/proc/{process}/{base}").as_bytes(), path].concat();
    std::ffi::OsStr::from_bytes(&path).into()
}

/// The path that the kernel has started a process by, and where that stands. `None`: it cannot be
/// read.
fn path_of(process: Pid) -> Option<(Vec<u8>, u64)> {
    let vector = read(format!("/proc/{process}/auxv")).ok()?;
    let address = execfn(&vector, 8).or_else(|| execfn(&vector, 4))?;
    Some((Memory::new(process, size_of::<u64>()).string(address).ok()?, address))
}

/// As a vector of numbers of this size has it. A pair of the smaller ones is none of the larger
/// ones' keys, unless its second number is zero.
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
    let status = read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.lines().any(|line| line == "TracerPid:\t0")
}

/// For how long the machine has been running.
pub fn uptime() -> Duration {
    let since = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    since.map_or(Duration::MAX, Duration::from)
}

/// What `/proc/PID/stat` tells (`proc_pid_stat(5)`).
struct State {
    /// It has ended, with all its threads.
    is_over: bool,
    is_just_forked: bool,
    /// When it was forked, in time since the machine was started; at most a tick too early.
    begun: Duration,
    /// Where that is as the kernel has made it.
    arguments: Option<Arguments>,
}

struct Arguments {
    /// How long they are, each with its NUL.
    bytes: u64,
    /// Where the environment behind them ends, and the path stands.
    environ_end: u64,
}

impl State {
    fn of(process: i32) -> Option<Self> {
        let text = read_to_string(format!("/proc/{process}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // Counted as the manual does, where the state is the third.
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
            // It may go on where the kernel does not read it.
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
