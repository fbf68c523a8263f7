//! What is kept of an answer.

use crate::arena::copy_fitting;

/// The beginning of a decoded text.
#[derive(Debug, Clone, Copy)]
pub struct Prefix<const ROOM: usize> {
    bytes: [u8; ROOM],
    /// Length of the whole text, in bytes.
    pub(super) length: usize,
}

impl<const ROOM: usize> Prefix<ROOM> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        copy_fitting(&mut self.bytes, self.length, text);
        self.length = self.length.saturating_add(text.len());
    }

    /// The beginning of the text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    pub(super) fn is(&self, text: &[u8]) -> bool {
        self.length == text.len() && self.as_bytes() == text
    }
}

/// The content of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Whether the command may run; `None` until it has been read.
    pub(super) allowed: Option<bool>,
    /// The reason, as the policy's author worded it.
    pub message: Prefix<200>,
    /// The first of the policies that matched.
    pub policy: Prefix<64>,
    /// The first suggestion: how a person would allow it.
    pub suggestion: Prefix<160>,
}

impl Answer {
    /// An answer without content.
    pub const EMPTY: Self = Self {
        allowed: None,
        message: Prefix::new(),
        policy: Prefix::new(),
        suggestion: Prefix::new(),
    };
}
