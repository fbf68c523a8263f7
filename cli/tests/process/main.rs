//! The `rampart` command as a process: what it answers, what it runs, what it
//! leaves behind.
//!
//! Nothing here runs a program that could do harm: the commands that the policy is
//! asked about are only ever words in a request.

mod ask;
#[cfg(target_os = "linux")]
mod ask_terminal;
mod audit;
mod balanced;
mod commands;
#[cfg(target_os = "linux")]
mod daemons;
mod doctor;
mod embedded;
mod life;
mod many_clients;
mod person;
mod picture;
#[cfg(target_os = "linux")]
mod pipes;
mod policy_files;
mod preload;
mod reach;
mod relay;
mod relay_ask;
mod remote;
mod rules;
#[cfg(target_os = "linux")]
mod seal;
mod serve_files;
mod serve_large;
mod serve_protocol;
mod server;
mod strangers;
mod team;
mod terminal;
mod tls;
mod usage;
mod watch;
mod webhook;
mod world;
