//! The library's data that is read-only after load.

/// Apple's linker cannot be given such a layout, so the state has a mapping of its own.
pub const HAS_READ_ONLY_DATA: bool = false;

/// See [`HAS_READ_ONLY_DATA`].
pub fn make_data_read_only() {}
