//! The words for how much of a program is seen.

use crate::host::Os;

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
