//! How to recognise the processes of a run's tree. In doubt a process belongs to it: a server that
//! lives too long does less harm than one that is missing.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub use linux::Marks;
#[cfg(target_os = "macos")]
pub use macos::Marks;
