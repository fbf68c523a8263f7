//! The library's data that nobody writes to after load.

/// The linker has no layout with pages for them; the state has a mapping of its own.
pub const HAS_READ_ONLY_DATA: bool = false;

/// See [`HAS_READ_ONLY_DATA`].
pub fn make_data_read_only() {}
