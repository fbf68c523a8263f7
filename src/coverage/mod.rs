//! Whether the library can follow a program, read off its file before it starts.
//!
//! A program that cannot be followed is asked about like any other; what it starts in its
//! turn is not seen. The word for how much is seen goes with the question, so that a policy
//! can refuse what it could not follow.
//!
//! [`judge`] looks at one file: at its place and status, and at its bytes. [`follow`] goes on from a script to what
//! the kernel starts for it.

mod chain;
mod elf;
mod entitlements;
mod macho;
mod script;
mod signature;
mod sip;
mod window;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use chain::{Files, Seen, follow, locate};
pub use script::Interpreter;
pub use window::ReadAt;

/// So many bytes of a file tell what it is: the headers of nearly every ELF program, and the
/// `#!` line of every script.
pub const HEAD_BYTES: usize = 1024;

/// How much of what a program does will be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// The loader will load the library into it.
    Full,
    /// macOS protects it as a part of the system: dyld ignores the preload variable.
    Sip,
    /// It is signed so that dyld ignores the preload variable, or that no library of others
    /// gets in.
    Hardened,
    /// It is an arm64e program of macOS, into which only arm64e libraries can be loaded.
    Arm64e,
    /// It is a Go program with a loader: the library is loaded, and the program starts others by
    /// system calls of its own.
    Go,
    /// It has no loader that could load anything.
    Static,
    /// It runs with the rights of its owner or group, and its loader trusts no caller.
    Setuid,
    /// It is built for another machine, or another word size.
    OtherArchitecture,
    /// It starts itself anew until its environment is clean, so that the library keeps off
    /// ([`Again`](crate::again::Again)). That is no matter of its file.
    Reexec,
}

impl Coverage {
    /// Every kind, in the order in which they are documented.
    pub const ALL: [Self; 9] = [
        Self::Full,
        Self::Sip,
        Self::Hardened,
        Self::Arm64e,
        Self::Go,
        Self::Static,
        Self::Setuid,
        Self::OtherArchitecture,
        Self::Reexec,
    ];

    /// The word for it in a question and in a policy.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Sip => "sip",
            Self::Hardened => "hardened",
            Self::Arm64e => "arm64e",
            Self::Go => "go",
            Self::Static => "static",
            Self::Setuid => "setuid",
            Self::OtherArchitecture => "other-arch",
            Self::Reexec => "reexec",
        }
    }

    /// The kind that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coverage| coverage.word() == word)
    }

    /// Whether the preload variable must not name the library for such a program.
    ///
    /// On Linux the loader of another architecture complains on stderr and goes on; other
    /// loaders load the library or know nothing of it, and the variable must reach what
    /// the program starts.
    ///
    /// On macOS dyld ends a program when it cannot load an inserted library (dyld's
    /// `allowInsertFailures`, which AMFI grants to few). It cannot if no slice fits: with
    /// System Integrity Protection switched off that befalls every program of Apple's
    /// (arm64e; rbenv/ruby-build issue 2073, Homebrew/homebrew-core issue 201419). Library
    /// validation refuses ours as well. From programs it protects dyld takes the variable
    /// away (`ProcessConfig::Security`, `pruneEnvVars`), so nothing is lost by doing it first.
    #[must_use]
    pub const fn withholds_library(self, os: Os) -> bool {
        match os {
            Os::Linux => matches!(self, Self::OtherArchitecture | Self::Reexec),
            Os::MacOs => !matches!(self, Self::Full),
        }
    }
}

/// Whose rules count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Linux, with any C library.
    Linux,
    /// macOS.
    MacOs,
}

impl Os {
    /// The one that this was built for.
    pub const HERE: Self = if cfg!(target_os = "macos") { Self::MacOs } else { Self::Linux };
}

/// What the processor is, as processes see it: to a process that Rosetta translates it is
/// an `X86_64`, and its children run translated if they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// 64-bit ARM.
    Arm64,
    /// 64-bit x86.
    X86_64,
}

/// The machine that is to run a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Its system.
    pub os: Os,
    /// Its processor.
    pub cpu: Cpu,
}

impl Host {
    /// The one that this was built for.
    pub const HERE: Self = Self {
        os: Os::HERE,
        cpu: if cfg!(target_arch = "aarch64") { Cpu::Arm64 } else { Cpu::X86_64 },
    };
}

/// `st_mode` (`inode(7)`).
const TYPE_MASK: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const ANYBODY_MAY_EXECUTE: u32 = 0o111;
const GROUP_MAY_EXECUTE: u32 = 0o010;

/// What `stat(2)` says of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// `st_mode`.
    pub mode: u32,
    /// `st_flags`, which only macOS has.
    pub flags: u32,
}

impl Status {
    /// Whether it is a file that somebody may execute.
    #[must_use]
    pub const fn is_program(self) -> bool {
        self.is_regular() && self.mode & ANYBODY_MAY_EXECUTE != 0
    }

    /// Whether it is a file that holds bytes, and no pipe, device or directory.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        self.mode & TYPE_MASK == REGULAR_FILE
    }

    /// Whether a program runs with other rights than its caller's, so that its loader ignores
    /// the preload variable (`ld.so(8)`, secure-execution mode; dyld alike).
    ///
    /// Who calls does not count, though the loader is not so strict with a caller who is that
    /// user already (root, in a container): a policy should not depend on it, and there the
    /// library is loaded all the same. File capabilities are not looked at, for they are
    /// no part of the status.
    #[must_use]
    pub const fn is_privileged(self, os: Os) -> bool {
        let group = match os {
            // Without the right to execute it is the mark of mandatory locking.
            Os::Linux => SET_GROUP_ID | GROUP_MAY_EXECUTE,
            Os::MacOs => SET_GROUP_ID,
        };
        self.is_regular() && (self.mode & SET_USER_ID != 0 || self.mode & group == group)
    }
}

/// What one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'f> {
    /// A program, which can be followed so far.
    Program(Coverage),
    /// A script: the kernel starts its interpreter.
    Script(Interpreter<'f>),
    /// Nothing that the kernel runs, or nothing that is understood here.
    Unknown,
}

/// Says what the file at `path` is to `host`, by its status and its first bytes,
/// [`HEAD_BYTES`] if it has so many. A Mach-O file makes it read more, and so do the notes of
/// some ELF files.
#[must_use]
pub fn judge<'h>(
    host: Host,
    path: &[u8],
    status: Status,
    head: &'h [u8],
    file: &(impl ReadAt + ?Sized),
) -> Kind<'h> {
    if let Some(interpreter) = script::interpreter(host.os, head) {
        // The kernels ignore the set-user-ID bit of a script.
        return Kind::Script(interpreter);
    }
    let coverage = match host.os {
        Os::Linux => linux(host.cpu, status, head, file),
        Os::MacOs => macos(host.cpu, path, status, head, file),
    };
    coverage.map_or(Kind::Unknown, Kind::Program)
}

/// What can be said of a file that cannot be read; `None` if nothing speaks against it.
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
