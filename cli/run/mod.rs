//! A guarded run: what the command finds in its environment, its own server, and how long
//! that is needed.

pub mod agents;
pub mod daemons;
pub mod default_server;
pub mod embedded;
pub mod environment;
pub mod guarded;
pub mod inherited;
pub mod lifetime;
pub mod own_server;
pub mod private_directory;
#[cfg(target_os = "linux")]
pub mod seal;
pub mod sealing;
pub mod title;
