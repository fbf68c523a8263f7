//! What several fuzz targets share.

pub mod oracle;
pub mod pieces;
pub mod wire;
