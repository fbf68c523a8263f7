//! The tests that take minutes: each function in each kind of child under each kind of server, a
//! server that is killed again and again, and other projects' own test suites.
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
#[allow(dead_code, unused_imports, reason = "shared with tests/guarded, which uses the rest")]
mod support;
mod watched;
#[path = "../guarded/ways.rs"]
#[allow(dead_code, reason = "shared with tests/guarded, which uses the rest")]
mod ways;
