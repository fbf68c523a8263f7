//! The audit: records, masking of secrets, files and their hash chain, reading and verifying.

mod event;
mod files;
mod log;
mod mask;
mod read;
mod record;
mod secrets;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use event::Event;
pub use log::{Audit, Batch, DELAY, Durability};
pub use mask::{mask, prepare};
pub use read::{Follower, Trail, place};
pub use record::Record;
pub use verify::verify;
