//! What the tests stand on: probes, a sandbox, servers, and runs with a deadline.
#![cfg_attr(
    target_os = "macos",
    allow(dead_code, unused_imports, reason = "some of the tests are for Linux alone")
)]

mod disk;
mod probe;
mod run;
mod sandbox;
mod server;

pub use disk::coverage_of;
pub use probe::{Compiler, library, linked_probe, probe};
pub use run::{Finished, Run, assert_guarded};
pub use sandbox::{Sandbox, installed};
pub use server::{ALLOWED, DENIED, Exchange, Server, Transport, json_answer};
