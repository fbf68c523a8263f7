//! The words for how much of what a program does is seen.

use crate::host::Os;

/// How much of what a program does will be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// The loader will load the library into it.
    Full,
    /// System Integrity Protection covers it: dyld ignores the preload variable.
    Sip,
    /// Its code signature makes dyld ignore the preload variable or refuse other people's
    /// libraries.
    Hardened,
    /// It is an arm64e program of macOS, which loads arm64e libraries only.
    Arm64e,
    /// It is a dynamically linked Go program: it loads the library, but starts programs by system
    /// calls of its own.
    Go,
    /// It is statically linked: there is no loader.
    Static,
    /// It is set-user-ID or set-group-ID: its loader ignores the preload variable.
    Setuid,
    /// It is built for another architecture or word size.
    OtherArchitecture,
    /// It re-executes itself until its environment is clean, so that the library does not repair
    /// that ([`RepairCount`](crate::repair_count::RepairCount)). The file does not show it.
    Reexec,
}

impl Coverage {
    /// All values, in the order in which they are documented.
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

    /// The word for it in questions and policies.
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

    /// The value that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coverage| coverage.word() == word)
    }

    /// Whether the preload variable of such a program must not name the library.
    ///
    /// On Linux the loader of another architecture prints an error for a library that it cannot
    /// load. Elsewhere the variable stays, for the programs that this one starts.
    ///
    /// On macOS dyld terminates a program if it cannot load an inserted library (dyld's
    /// `allowInsertFailures`, which AMFI grants to few). It cannot if no slice fits: with System
    /// Integrity Protection switched off that is so for each of Apple's programs (arm64e;
    /// rbenv/ruby-build issue 2073, Homebrew/homebrew-core issue 201419). Library validation
    /// refuses the library as well. From protected programs dyld removes the variable anyway
    /// (`ProcessConfig::Security`, `pruneEnvVars`).
    #[must_use]
    pub const fn withholds_library(self, os: Os) -> bool {
        match os {
            Os::Linux => matches!(self, Self::OtherArchitecture | Self::Reexec),
            Os::MacOs => !matches!(self, Self::Full),
        }
    }
}
