//! The HTTP server, whoever it is that answers: one thread, and as many clients as come.
//!
//! A handler answers now or later. Later may be a millisecond, where a long command is
//! judged on another thread, a round trip to another server, or a person's minute: nobody
//! else waits for it.
//!
//! A question goes this way: [`listen`] gives a socket, [`accept`] lets a client in by it,
//! [`crowd`] gives it a place among the others and the deadlines, [`connection`] speaks HTTP
//! with it, [`door`] sees whether it may be asked and reads it whole, and the [`Handler`]
//! answers.

mod accept;
mod answer;
mod approval;
mod asker;
mod askers;
#[cfg(target_os = "linux")]
mod bench;
mod connection;
mod crowd;
mod desk;
mod door;
mod itself;
pub mod listen;
mod local;
mod notes;
mod pending;
mod person;
mod pipes;
mod policy;
mod question;
mod reload;
mod run_terminal;
mod stream;
pub mod tls;
mod webhook;

pub use accept::{Server, runtime};
pub use answer::{Answer, Asked, Endpoint, Handler};
pub use approval::{Reply, Scope, Waiting};
pub use asker::Asker;
#[cfg(target_os = "linux")]
pub use bench::Bench;
pub use crowd::Crowd;
pub use desk::{Desk, OnBehalf};
pub use itself::Itself;
pub use pending::Hold;
pub use policy::{Policy, run_id};
#[cfg(target_os = "linux")]
pub use question::{Params, Text};
pub use question::{Question, verdict_name};
pub use reload::Reload;
