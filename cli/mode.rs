//! Whether verdicts are enforced.

use clap::ValueEnum;

/// What a verdict leads to, in the library and in the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A refused command does not run.
    Enforce,
    /// Every command runs; the audit shows what the policy would have decided.
    Monitor,
    /// Nothing is checked.
    Disabled,
}

impl Mode {
    /// The name in flags, variables and the audit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::Disabled => "disabled",
        }
    }
}
