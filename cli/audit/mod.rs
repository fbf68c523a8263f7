//! The audit: records, masking of secrets, files and their hash chain, reading and verifying.

mod batch;
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

pub use batch::Batch;
pub use event::{Event, PIPED};
pub use files::is_disk_full;
pub use log::{Audit, Durability};
pub use mask::{mask, prepare};
pub use read::{Follower, Trail, place};
pub use record::{Record, Said};
pub use verify::verify;
