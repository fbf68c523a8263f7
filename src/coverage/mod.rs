//! Whether the library can follow a program, read off its file before it starts.
//!
//! A program that cannot be followed is asked about like any other; what it starts in its
//! turn is not seen. The word for how much is seen goes with the question, so that a policy
//! can refuse what it could not follow.
//!
//! [`judge()`] looks at one file: at its place and status, and at its bytes. [`follow`] goes on
//! from a script to what the kernel starts for it.

mod chain;
mod elf;
mod entitlements;
mod judge;
mod macho;
mod script;
mod signature;
mod sip;
mod status;
mod window;
mod words;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use chain::{Files, Seen, follow, locate};
pub use judge::{HEAD_BYTES, Kind, judge, judge_unread};
pub use script::Interpreter;
pub use status::Status;
pub use window::ReadAt;
pub use words::Coverage;
