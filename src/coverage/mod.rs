//! How much of what a program does the library will see, found from the program's file before it
//! starts.
//!
//! A program into which the library cannot be loaded is asked about like any other, but what it
//! starts in turn is not seen. The question says how much will be seen, so that a policy can refuse
//! such programs.
//!
//! [`judge()`] looks at one file: its path, status and content. [`follow`] goes on from a script to
//! its interpreter.

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
mod broken_files;
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
