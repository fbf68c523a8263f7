//! Whole programs under the real library, against real servers on real sockets.
//!
//! A test here never passes because nothing happened: an allowed program must have left its mark
//! and been asked about; a refused one must have been asked about and left none. What the library
//! must not change is compared with a run without it.
#![cfg(any(target_os = "linux", target_os = "macos"))]

mod addresses;
mod answers;
mod arguments;
mod arm64;
mod connections;
mod coverage;
mod decisions;
mod delays;
mod descriptors;
mod environment;
mod exports;
mod hooks;
mod lines;
mod load;
mod lookup;
mod macos;
mod matrix;
#[cfg(target_os = "linux")]
mod messages;
mod musl;
mod notices;
mod preload_list;
mod programs;
mod python;
mod reexec;
#[cfg(target_os = "linux")]
mod refusals;
#[cfg(target_os = "linux")]
mod server_list;
mod support;
mod surroundings;
mod syscalls;
mod ways;
