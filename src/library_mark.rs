//! The mark in the library's file by which the command knows it from any other library. What is
//! preloaded in its place would guard nothing, and say nothing.

/// What the mark begins with.
pub const NAME: &[u8] = b"librampart speaks ";
/// The whole mark. Its number changes with what the command and the library tell each other in the
/// environment, so that neither is used with a version of the other that it does not know.
pub const MARK: [u8; 20] = *b"librampart speaks 1\n";
