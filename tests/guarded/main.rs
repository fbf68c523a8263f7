//! Whole programs under the real preloaded library, against real servers on real
//! sockets.
//!
//! A test here never passes because nothing happened: an allowed program must have
//! left its mark and the server must have been asked about it; a refused one must
//! have been asked about and have left none. What the library may not change is
//! compared with a run without it.
#![cfg(any(target_os = "linux", target_os = "macos"))]

mod addresses;
mod answers;
mod arguments;
#[cfg(target_os = "linux")]
mod connections;
#[cfg(target_os = "linux")]
mod coverage;
#[cfg(target_os = "linux")]
mod delays;
#[cfg(target_os = "linux")]
mod environment;
#[cfg(target_os = "linux")]
mod exports;
mod hooks;
#[cfg(target_os = "linux")]
mod lines;
#[cfg(target_os = "linux")]
mod lookup;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "linux")]
mod matrix;
#[cfg(target_os = "linux")]
mod musl;
#[cfg(target_os = "linux")]
mod notices;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod python;
mod support;
#[cfg(target_os = "linux")]
mod surroundings;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod ways;
