//! The subcommands: a file or a folder for each.

pub mod audit;
pub mod doctor;
pub mod explain;
pub mod log;
pub mod manual;
pub mod pending;
pub mod policy;
pub mod preload;
pub mod rules;
pub mod serve;
pub mod setup;
pub mod status;
pub mod suggest;
pub mod test;
pub mod watch;
