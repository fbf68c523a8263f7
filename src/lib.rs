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
//! 4. [`verdict`] makes of it, the mode and fail-open: run or refuse;
//! 5. [`environ`] finds out what the child's environment lacks ([`coverage`]: whether the
//!    child can load the library at all, [`again`]: when to keep off);
//! 6. [`notice`] words what tells why; [`shell_line`] and [`teller`] are for the refusals that
//!    are to look like a failed command.
//!
//! ```
//! use rampart_core::answer::Reader;
//! use rampart_core::settings::Mode;
//! use rampart_core::verdict::{Verdict, verdict};
//!
//! let mut reader = Reader::default();
//! let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"allowed\":false}";
//! // In whatever pieces it comes; the last one ends it.
//! assert!(reader.feed(&answer[..30]).is_none());
//! let end = reader.feed(&answer[30..]).expect("all of it");
//! assert_eq!(verdict(Mode::Enforce, end.outcome, true), Verdict::Refuse);
//! assert_eq!(verdict(Mode::Monitor, end.outcome, true), Verdict::Run);
//! ```
#![cfg_attr(not(test), no_std)]

pub mod again;
pub mod answer;
pub mod arena;
pub mod command;
pub mod coverage;
pub mod environ;
pub mod host;
pub mod ip;
pub mod json;
pub mod notice;
pub mod request;
pub mod settings;
pub mod shell_line;
pub mod teller;
pub mod url;
pub mod verdict;
mod words;
