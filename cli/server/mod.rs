//! The HTTP server, whoever it is that answers: one thread, and as many clients as come.
//!
//! A handler answers now or later. Later may be a millisecond, where a long command is
//! judged on another thread, a round trip to another server, or a person's minute: nobody
//! else waits for it.
//!
//! A question goes this way: [`listen`] gives a socket, [`accept`] lets a client in by it,
//! [`connections`] gives it a place among the others and the deadlines, [`connection`] speaks HTTP
//! with it, [`admission`] sees whether it may be asked and reads it whole, and the [`Handler`]
//! answers.

mod accept;
mod admission;
mod answer;
mod approval;
mod approval_queue;
mod asker;
mod askers;
mod connection;
mod connections;
mod in_flight;
#[cfg(target_os = "linux")]
mod in_process;
pub mod listen;
mod local;
mod notifications;
mod own_process;
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
pub use answer::{AdmittedRequest, Answer, Endpoint, Handler};
pub use approval::{Reply, Scope, Waiting};
pub use approval_queue::{ApprovalQueue, OnBehalf};
pub use asker::Asker;
pub use connections::Connections;
pub use in_flight::InFlight;
#[cfg(target_os = "linux")]
pub use in_process::InProcess;
pub use own_process::OwnProcess;
pub use pending::Hold;
pub use policy::{Policy, run_id};
#[cfg(target_os = "linux")]
pub use question::{Params, Text};
pub use question::{Question, verdict_name};
pub use reload::Reload;
