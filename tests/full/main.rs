//! What takes minutes: every function in every kind of child, hours of a server's
//! life in one minute, and other people's own test suites.
//!
//! `make test-full` runs it; a plain `make test` only compiles it.
#![cfg(target_os = "linux")]

mod burst;
mod cpython;
mod flat;
mod load;
mod losses;
mod matrix;
mod probes;
mod signals;
mod soak;
mod suites;
#[path = "../guarded/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "made for the other tests, which use the rest")]
mod support;
mod watched;
