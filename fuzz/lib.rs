//! Shared by several fuzz targets.

pub mod oracle;
pub mod pieces;
pub mod wire;
