//! What a person types: a file or a folder for each.

pub mod doctor;
pub mod policy;
pub mod preload;
pub mod serve;
pub mod setup;
pub mod test;
