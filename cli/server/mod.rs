//! The HTTP server: one thread for all clients, with a [`Handler`] that answers.
//!
//! A handler answers now or later: after a long command was judged on another thread, after a round
//! trip to another server, or after a person has decided. No other client waits meanwhile.
//!
//! A question's way: [`listen`] has the sockets, [`accept`] accepts a client, [`connections`] holds
//! its place and its deadlines, [`connection`] speaks HTTP, [`admission`] checks and reads the
//! request, and the [`Handler`] answers.

mod accept;
mod admission;
mod answer;
mod approval;
mod approval_queue;
mod aside;
mod asker;
mod askers;
mod case;
mod connection;
mod connections;
mod in_flight;
#[cfg(target_os = "linux")]
mod in_process;
mod limits;
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
mod stream;
pub mod tls;
mod unsealed;
mod webhook;

pub use accept::{Server, runtime};
pub use answer::{AdmittedRequest, Answer, Endpoint, Handler};
pub use approval::{Reply, Scope, Waiting};
pub use approval_queue::{ApprovalQueue, OnBehalf};
pub use asker::Asker;
pub use case::run_id;
pub use connections::Connections;
pub use in_flight::InFlight;
#[cfg(target_os = "linux")]
pub use in_process::InProcess;
#[cfg(target_os = "linux")]
pub use limits::outlast;
pub use own_process::OwnProcess;
pub use pending::Hold;
pub use policy::Policy;
#[cfg(target_os = "linux")]
pub use question::{Params, Text};
pub use question::{Question, verdict_name};
pub use reload::Reload;
