//! A guarded run: the command's environment, the run's own server and its lifetime, the seal.

pub mod daemons;
pub mod default_server;
pub mod embedded;
pub mod environment;
pub mod guarded;
pub mod inherited;
pub mod lifetime;
mod marks;
#[cfg(target_os = "linux")]
pub mod memory_shortage;
mod orphans;
pub mod own_server;
pub mod private_directory;
#[cfg(target_os = "linux")]
pub mod seal;
pub mod sealing;
pub mod title;
