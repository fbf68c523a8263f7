//! What a verdict leads to.

use clap::ValueEnum;

/// What a verdict leads to, for the library and for the server alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A refused command does not run.
    Enforce,
    /// Every command runs; the audit has what the policy would have said.
    Monitor,
    /// Nothing is checked.
    Disabled,
}

impl Mode {
    /// The name that flags, variables and the audit have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::Disabled => "disabled",
        }
    }
}
