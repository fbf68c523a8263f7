//! What to ask a policy server before a program starts, how to ask it, and what
//! the answer means.
//!
//! Everything here is a pure function over bytes and pointers that were handed
//! in: no system call, no allocation, no lock, no global. That is what lets the
//! hooks use it in a vfork child or a signal handler, and the tests everywhere.
//!
//! A check runs through the modules in this order:
//!
//! 1. [`settings`] reads the `RAMPART_*` variables, [`url`] and [`ip`] the server's address;
//! 2. [`command`] and [`request`] put the question on the wire;
//! 3. [`answer`] (with [`json`]) reads what comes back, in whatever pieces;
//! 4. [`verdict`] decides from that answer, the mode and fail-open: run or refuse;
//! 5. [`environ`] finds what a child's environment lacks ([`coverage`]: whether the child can
//!    load the library at all, [`repair_count`]: when to stop repairing);
//! 6. [`notice`] writes the message that says why; [`shell_line`] and [`message_shell`] serve the
//!    refusals that are to look like a failed command.
//!
//! ```
//! use rampart_core::answer::Reader;
//! use rampart_core::settings::Mode;
//! use rampart_core::verdict::{Verdict, verdict};
//!
//! let mut reader = Reader::default();
//! let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"allowed\":false}";
//! // It may arrive in any pieces.
//! assert!(reader.feed(&answer[..30]).is_none());
//! let end = reader.feed(&answer[30..]).expect("all of it");
//! assert_eq!(verdict(Mode::Enforce, end.outcome, true), Verdict::Refuse);
//! assert_eq!(verdict(Mode::Monitor, end.outcome, true), Verdict::Run);
//! ```
#![cfg_attr(not(test), no_std)]

pub mod answer;
pub mod arena;
pub mod command;
pub mod coverage;
pub mod environ;
pub mod host;
pub mod ip;
pub mod json;
pub mod library_mark;
pub mod message_shell;
pub mod notice;
pub mod repair_count;
pub mod request;
pub mod run_files;
pub mod settings;
pub mod shell_line;
pub mod url;
pub mod verdict;
mod words;
