//! Finds out what one file is.

use super::script::{self, Interpreter};
use super::status::Status;
use super::window::ReadAt;
use super::words::Coverage;
use super::{elf, macho, sip};
use crate::host::{Cpu, Host, Os};

/// Enough for the headers of nearly every ELF program and for the `#!` line of every script.
pub const HEAD_BYTES: usize = 1024;

/// What one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'f> {
    /// A program, with how much will be seen of it.
    Program(Coverage),
    /// A script: the kernel starts its interpreter.
    Script(Interpreter<'f>),
    /// A file that the kernel does not run, or whose format is not known here.
    Unknown,
}

/// What the file at `path` is on `host`. `head` are its first [`HEAD_BYTES`]; more is read of
/// Mach-O files and for the notes of some ELF files.
#[must_use]
pub fn judge<'h>(
    host: Host,
    path: &[u8],
    status: Status,
    head: &'h [u8],
    file: &(impl ReadAt + ?Sized),
) -> Kind<'h> {
    if let Some(interpreter) = script::interpreter(host.os, head) {
        // Before the status: kernels ignore the set-user-ID bit of a script (execve(2)).
        return Kind::Script(interpreter);
    }
    let coverage = match host.os {
        Os::Linux => linux(host.cpu, status, head, file),
        Os::MacOs => macos(host.cpu, path, status, head, file),
    };
    coverage.map_or(Kind::Unknown, Kind::Program)
}

/// The coverage of a file that cannot be read, if path and status tell it.
#[must_use]
pub fn judge_unread(host: Host, path: &[u8], status: Status) -> Option<Coverage> {
    if status.is_privileged(host.os) {
        Some(Coverage::Setuid)
    } else if host.os == Os::MacOs && sip::is_protected(path, status.flags) {
        Some(Coverage::Sip)
    } else {
        None
    }
}

fn linux(cpu: Cpu, status: Status, head: &[u8], file: &(impl ReadAt + ?Sized)) -> Option<Coverage> {
    match elf::coverage(cpu, head, file)? {
        Coverage::Full | Coverage::Go if status.is_privileged(Os::Linux) => Some(Coverage::Setuid),
        coverage => Some(coverage),
    }
}

fn macos(
    cpu: Cpu,
    path: &[u8],
    status: Status,
    head: &[u8],
    file: &(impl ReadAt + ?Sized),
) -> Option<Coverage> {
    if !macho::is_macho(head) {
        return None;
    }
    let host = Host { os: Os::MacOs, cpu };
    judge_unread(host, path, status).or_else(|| macho::coverage(cpu, file))
}
