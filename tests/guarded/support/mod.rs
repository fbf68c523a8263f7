//! What the tests stand on: probes, a sandbox, servers, and runs with a deadline.

mod probe;
mod run;
mod sandbox;
mod server;

pub use probe::{Compiler, library, probe};
pub use run::{Finished, Run};
pub use sandbox::Sandbox;
pub use server::{ALLOWED, DENIED, Exchange, Server, Transport, json_answer};
