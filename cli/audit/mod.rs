//! The audit: what a record is, which secrets do not get into it, and the file.

mod log;
mod mask;
mod secrets;
mod stamp;

pub use log::{Audit, Durability, Lines, Record};
pub use mask::prepare;
